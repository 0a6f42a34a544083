"""A coded network: what is in a ``.rdz`` file, to bytes and back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rdsearch.coding.arrays import is_void
from rdsearch.coding.container import FIRST_LINK, Cursor, link_ends, read_sections, varint, write_sections
from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.levels import Levels, decode_levels, encode_levels
from rdsearch.coding.progressive import (
    ProgressiveLevels,
    Refinement,
    decode_progressive,
    encode_progressive,
    refinement_parts,
)
from rdsearch.errors import FileFormatError

LayoutOf = Callable[[str], Layout]
"""Finds the layout of a registered network by its id; raises LookupError for an unknown one."""

NETWORK, WEIGHTS, VECTORS, BUFFERS, RECIPE, REFINEMENT = 1, 2, 3, 4, 5, FIRST_LINK
SECTION_NAMES = {
    NETWORK: "network",
    WEIGHTS: "weights",
    VECTORS: "biases and normalisation",
    BUFFERS: "buffers",
    RECIPE: "recipe",
    REFINEMENT: "quality layer",
}
MAX_VALUES = 2**31
"""More values than this in one file are refused before memory is taken for them."""
_MAX_TEXT = 2**22
"""Bytes of JSON: room for 50 000 tensors."""
_REGISTERED, _LISTED = 0, 1
_BUFFER_DTYPES = frozenset(
    {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32"}
)


@dataclass(frozen=True)
class NetworkFile:
    """A network as whole numbers.

    Attributes:
        layout: The network's tensors.
        weights: Levels of each ``weight`` entry, by name.
        vectors: Levels of each ``vector`` entry by name, and of a ``batchnorm`` entry's scale and shift by
            ``name.scale`` and ``name.shift``.
        buffers: Values of each ``buffer`` entry, by name.
        network_id: Registered id; with it a file needs neither names nor shapes.
        recipe: What made the file; optional, and its bytes count.
        refinement: Quality layers that were there to be read; levels and steps are those of the last one.
        refinements: Quality layers that the file was written with.
    """

    layout: Layout
    weights: Mapping[str, Levels]
    vectors: Mapping[str, Levels]
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)
    network_id: str | None = None
    recipe: Mapping[str, Any] | None = None
    refinement: int = 1
    refinements: int = 1

    def state_dict(self) -> dict[str, np.ndarray]:
        """The network's state dict: float32 values, and ``buffer`` entries as they are.

        Raises:
            FileFormatError: This machine has no memory for so many values, or some are not finite.
        """
        try:
            return self._state()
        except MemoryError as error:
            total = sum(entry.size for entry in self.layout.entries)
            raise FileFormatError(f"a network of {total} values is too large for the memory of this machine") from error

    def _state(self) -> dict[str, np.ndarray]:
        state: dict[str, np.ndarray] = {}
        for entry in self.layout.entries:
            if entry.kind == "weight":
                state[entry.name] = _values(self.weights[entry.name])
            elif entry.kind == "vector":
                state[entry.name] = _values(self.vectors[entry.name])
            elif entry.kind == "batchnorm":
                state |= self._normalisation(entry)
            elif entry.kind == "buffer":
                state[entry.name] = self.buffers[entry.name]
            else:
                state[entry.name] = state[entry.note]
        return state

    def _normalisation(self, entry: Entry) -> dict[str, np.ndarray]:
        return {
            f"{entry.name}.weight": _values(self.vectors[f"{entry.name}.scale"]),
            f"{entry.name}.bias": _values(self.vectors[f"{entry.name}.shift"]),
            f"{entry.name}.running_mean": np.zeros(entry.shape, np.float32),
            # So that the layer's own sqrt(var + eps) is 1 and its map is just scale and shift.
            f"{entry.name}.running_var": np.ones(entry.shape, np.float32) - np.float32(entry.note),
            f"{entry.name}.num_batches_tracked": np.zeros((), np.int64),
        }


def _values(levels: Levels) -> np.ndarray:
    if is_void(levels[0]):
        return np.zeros(levels[0].shape, np.float32)
    # A product of arrays without dimensions is no array.
    with np.errstate(over="ignore"):
        values = np.asarray(levels[0].astype(np.float32) * np.float32(levels[1]))
    if not np.isfinite(values).all():
        raise FileFormatError(f"levels at a step of {levels[1]:.3g} are no finite float32: the file is damaged")
    return values


def encode_file(network: NetworkFile, coarser: Sequence[Refinement] = ()) -> bytes:
    """The bytes of a ``.rdz`` file.

    Args:
        network: What is in it.
        coarser: Quality layers before the last one, which is the network itself; with none the file has no layers.
    """
    weights = [network.weights[entry.name] for entry in network.layout.of("weight")]
    vectors = [network.vectors[name] for name, _ in vector_shapes(network.layout)]
    sections = [(NETWORK, _encode_network(network))]
    if not coarser:
        sections += [(WEIGHTS, encode_levels(weights)), (VECTORS, encode_levels(vectors))]
    buffers = b"".join(_raw(network.buffers[entry.name]) for entry in network.layout.of("buffer"))
    if buffers:
        sections.append((BUFFERS, zlib.compress(buffers, 9)))
    if network.recipe is not None:
        sections.append((RECIPE, zlib.compress(json.dumps(network.recipe, separators=(",", ":")).encode(), 9)))
    if coarser:
        sections += [(REFINEMENT, payload) for payload in encode_progressive(weights, vectors, coarser)]
    return write_sections(sections)


def decode_file(data: bytes, layout_of: LayoutOf) -> NetworkFile:
    """Read a ``.rdz`` file.

    Args:
        data: The whole file.
        layout_of: Where the layouts of registered networks come from.

    Raises:
        FileFormatError: The file is not one that this version can read, is damaged, or too large for this machine.
    """
    try:
        return _decode_network_file(data, layout_of)
    except MemoryError as error:
        raise FileFormatError("the file's network is too large for the memory of this machine") from error


def _decode_network_file(data: bytes, layout_of: LayoutOf) -> NetworkFile:
    sections, layers = _sections(data)
    network_id, layout = _decode_network(sections[NETWORK], layout_of)
    weights = [(entry.name, entry.shape) for entry in layout.of("weight")]
    vectors = vector_shapes(layout)
    if layers:
        levels = decode_progressive(layers, weights, vectors)
    else:
        levels = ProgressiveLevels(
            decode_levels(sections[WEIGHTS], weights, SECTION_NAMES[WEIGHTS]),
            decode_levels(sections[VECTORS], vectors, SECTION_NAMES[VECTORS]),
            written=1,
        )
    return NetworkFile(
        layout=layout,
        weights=levels.weights,
        vectors=levels.vectors,
        buffers=_decode_buffers(sections.get(BUFFERS), list(layout.of("buffer"))),
        network_id=network_id,
        recipe=_decode_recipe(sections.get(RECIPE)),
        refinement=max(len(layers), 1),
        refinements=levels.written,
    )


def _sections(data: bytes) -> tuple[dict[int, bytes], list[bytes]]:
    """The payloads of a file's sections by kind, and those of its quality layers."""
    sections: dict[int, bytes] = {}
    layers: list[bytes] = []
    for kind, payload in read_sections(data):
        if kind not in SECTION_NAMES:
            raise FileFormatError(f"the file has a section of unknown kind {kind}; install a newer rdsearch")
        if kind == REFINEMENT:
            layers.append(payload)
        elif kind in sections:
            raise FileFormatError(f"the file has two sections of kind {kind}; it is spliced or damaged")
        else:
            sections[kind] = payload
    for kind in (WEIGHTS, VECTORS):
        if layers and kind in sections:
            raise FileFormatError(f"the file has quality layers and a {SECTION_NAMES[kind]} section; it is spliced")
    for kind in (NETWORK,) if layers else (NETWORK, WEIGHTS, VECTORS):
        if kind not in sections:
            raise FileFormatError(f"the file has no {SECTION_NAMES[kind]} section; it is spliced or damaged")
    return sections, layers


def prefix_ends(data: bytes) -> list[int]:
    """Where a file may be cut: the end of each quality layer that is there; the file's own end where it has none.

    Raises:
        FileFormatError: The file is damaged.
    """
    return link_ends(data) or [len(data)]


def part_sizes(data: bytes) -> dict[str, int]:
    """Bytes of each part of a file, by name; they add up to ``len(data)``.

    Raises:
        FileFormatError: The file is damaged.
    """
    sections, layers = _sections(data)
    parts = {SECTION_NAMES[kind]: len(payload) for kind, payload in sections.items()}
    for number, payload in enumerate(layers, start=1):
        for kind, size in zip((WEIGHTS, VECTORS), refinement_parts(payload), strict=True):
            parts[f"layer {number}: {SECTION_NAMES[kind]}"] = size
    parts["header and checksums"] = len(data) - sum(parts.values())
    return parts


def vector_shapes(layout: Layout) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of every small coded vector, in the order in which a file stores them."""
    shapes: list[tuple[str, tuple[int, ...]]] = []
    for entry in layout.entries:
        if entry.kind == "vector":
            shapes.append((entry.name, entry.shape))
        elif entry.kind == "batchnorm":
            shapes += [(f"{entry.name}.scale", entry.shape), (f"{entry.name}.shift", entry.shape)]
    return shapes


def _encode_network(network: NetworkFile) -> bytes:
    if network.network_id is not None:
        name = network.network_id.encode()
        return bytes([_REGISTERED]) + varint(len(name)) + name + network.layout.fingerprint()
    return bytes([_LISTED]) + zlib.compress(network.layout.to_json(), 9)


def _decode_network(payload: bytes, layout_of: LayoutOf) -> tuple[str | None, Layout]:
    cursor = Cursor(payload, "the network section")
    form = cursor.byte()
    if form == _LISTED:
        layout = Layout.from_json(_inflate(cursor.rest(), "the list of tensors"))
        network_id = None
    elif form == _REGISTERED:
        network_id = cursor.take(cursor.varint()).decode(errors="replace")
        layout = _registered(network_id, cursor.rest(), layout_of)
    else:
        raise FileFormatError(f"the network section has unknown form {form}; install a newer rdsearch")
    total = sum(entry.size for entry in layout.entries)
    if total > MAX_VALUES:
        raise FileFormatError(f"the file declares {total} values; at most {MAX_VALUES} are read")
    return network_id, layout


def _registered(network_id: str, fingerprint: bytes, layout_of: LayoutOf) -> Layout:
    try:
        layout = layout_of(network_id)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        # The id comes from the file: whatever its options do to the network's factory is the file's fault.
        raise FileFormatError(f"the file is of network {network_id!r}, which is not known here: {error}") from None
    if layout.fingerprint() != fingerprint:
        raise FileFormatError(
            f"the file was made for another version of network {network_id!r}: the tensors' names or shapes differ"
        )
    return layout


def _raw(buffer: np.ndarray) -> bytes:
    return np.ascontiguousarray(buffer, buffer.dtype.newbyteorder("<")).tobytes()


def _decode_buffers(payload: bytes | None, entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    dtypes = [_buffer_dtype(entry) for entry in entries]
    sizes = [entry.size * dtype.itemsize for entry, dtype in zip(entries, dtypes, strict=True)]
    raw = _inflate(payload, "the buffers section", sum(sizes)) if payload is not None else b""
    if len(raw) != sum(sizes):
        raise FileFormatError(f"the buffers section holds {len(raw)} bytes, {sum(sizes)} are needed; it is damaged")
    cursor = Cursor(raw, "the buffers section")
    return {
        entry.name: np.frombuffer(cursor.take(size), dtype).reshape(entry.shape).astype(dtype.newbyteorder("="))
        for entry, dtype, size in zip(entries, dtypes, sizes, strict=True)
    }


def _buffer_dtype(entry: Entry) -> np.dtype[Any]:
    if entry.note not in _BUFFER_DTYPES:
        raise FileFormatError(f"buffer {entry.name!r} has impossible type {entry.note[:40]!r}; the file is damaged")
    return np.dtype(entry.note).newbyteorder("<")


def _decode_recipe(payload: bytes | None) -> dict[str, Any] | None:
    if payload is None:
        return None
    try:
        recipe = json.loads(_inflate(payload, "the recipe section"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"the recipe section is damaged: {error}") from None
    if not isinstance(recipe, dict):
        raise FileFormatError("the recipe section is damaged: it holds no mapping")
    return recipe


def _inflate(data: bytes, what: str, limit: int = _MAX_TEXT) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(data, limit + 1)
    except zlib.error as error:
        raise FileFormatError(f"{what} is damaged: {error}") from None
    if len(text) > limit or not decompressor.eof or decompressor.unused_data:
        raise FileFormatError(f"{what} is damaged or too long: at most {limit} bytes are read")
    return text
