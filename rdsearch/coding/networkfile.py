"""A coded network: what is in a ``.rdz`` file, to bytes and back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rdsearch.coding.arrays import is_void
from rdsearch.coding.container import FIRST_LAYER, LEVELS, Cursor, layer_ends, walk, write_sections
from rdsearch.coding.layout import Entry, Layout, part_of
from rdsearch.coding.levels import Head, Levels, Shapes, decode_head, decode_levels, encode_levels
from rdsearch.coding.progressive import (
    ProgressiveLevels,
    Refinement,
    decode_progressive,
    encode_progressive,
    refinement_parts,
    weight_steps,
)
from rdsearch.coding.registered import decode_id, encode_id
from rdsearch.coding.zipped import MAX_TEXT, decode_buffers, decode_recipe, encode_buffers, encode_recipe, inflate
from rdsearch.errors import FileFormatError

Sections = tuple[tuple[int, memoryview], dict[int, memoryview], list[memoryview]]
"""A file's network, payloads by kind, and those of its quality layers, where they are in the file."""
LayoutOf = Callable[[str], Layout]
"""Finds the layout of a registered network by its id; raises LookupError for an unknown one."""

REGISTERED, LISTED, BUFFERS, RECIPE, REFINEMENT = 0, 1, 3, 4, FIRST_LAYER
SECTION_NAMES = {
    REGISTERED: "network",
    LISTED: "network",
    LEVELS: "weights, biases and normalisation",
    BUFFERS: "buffers",
    RECIPE: "recipe",
    REFINEMENT: "quality layer",
}
FINGERPRINT_BYTES = 2


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file says without its levels being decoded.

    Attributes:
        layout: The network's tensors.
        network_id: Registered id, if it has one.
        steps: Of each ``weight`` entry, by name.
        ordered: As in `NetworkFile`.
        sorted_in_parts: As in `NetworkFile`.
        refinement: As in `NetworkFile`.
        refinements: As in `NetworkFile`.
        parts: Bytes of each part of the file, by name; they add up to the file's.
    """

    layout: Layout
    network_id: str | None
    steps: Mapping[str, float]
    ordered: Sequence[str]
    sorted_in_parts: Sequence[str]
    refinement: int
    refinements: int
    parts: Mapping[str, int]


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
        ordered: Names of weights whose rows are coded in order: their magnitudes descend lexicographically, and what
            that leaves no choice about is not coded.
        sorted_in_parts: Names of weights whose rows are sorted within heads of attention or gates of recurrent layers.
        refinement: Quality layers that were there to be read; levels and steps are those of the last one.
        refinements: Quality layers that the file was written with.
    """

    layout: Layout
    weights: Mapping[str, Levels]
    vectors: Mapping[str, Levels]
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)
    network_id: str | None = None
    recipe: Mapping[str, Any] | None = None
    ordered: Sequence[str] = ()
    sorted_in_parts: Sequence[str] = ()
    refinement: int = 1
    refinements: int = 1

    def state_dict(self) -> dict[str, np.ndarray]:
        """The network's state dict: float32 values, and ``buffer`` entries as they are.

        Raises:
            FileFormatError: This machine has no memory for so many values, or some are not finite.
        """
        values = dict(self.tensors())
        return {
            name: values[entry.note if entry.kind == "tied" else name]
            for entry in self.layout.entries
            for name, _ in entry.tensors()
        }

    def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and values of one tensor after the other; of ``tied`` entries the earlier one alone. Errors as above."""
        try:
            for entry in self.layout.entries:
                if entry.kind == "weight":
                    yield entry.name, _values(self.weights[entry.name])
                elif entry.kind == "vector":
                    yield entry.name, _values(self.vectors[entry.name])
                elif entry.kind == "batchnorm":
                    yield from self._normalisation(entry).items()
                elif entry.kind == "buffer":
                    yield entry.name, self.buffers[entry.name]
        except MemoryError as error:
            total = sum(entry.size for entry in self.layout.entries)
            raise FileFormatError(f"a network of {total} values is too large for the memory of this machine") from error

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
    with np.errstate(over="ignore"):
        values = levels[0].astype(np.float32)
        values *= np.float32(levels[1])
    if not np.isfinite(values).all():
        raise FileFormatError(f"levels at a step of {levels[1]:.3g} are no finite float32: the file is damaged")
    return values


def check_writable(layout: Layout) -> None:
    """Refuse a network that no file can hold, before work goes into it.

    Raises:
        FileFormatError: A tensor is too large or has too many dimensions, or the list of tensors is too long.
    """
    text = layout.to_json()
    Layout.from_json(text)
    if len(text) > MAX_TEXT:
        raise FileFormatError(
            f"the network's list of {len(layout.entries)} tensors takes {len(text)} bytes, and a file holds at most "
            f"{MAX_TEXT}: give tensors shorter names, or fewer of them"
        )


def encode_file(network: NetworkFile, coarser: Sequence[Refinement] = ()) -> bytes:
    """The bytes of a ``.rdz`` file.

    Args:
        network: What is in it.
        coarser: Quality layers before the last one, which is the network itself; with none the file has no layers.
    """
    sections = [_encode_network(network)]
    if not coarser:
        sections.append((LEVELS, _encode_levels(network)))
    if buffers := encode_buffers(network.buffers, list(network.layout.of("buffer"))):
        sections.append((BUFFERS, buffers))
    if network.recipe is not None:
        sections.append((RECIPE, encode_recipe(network.recipe)))
    if coarser:
        weights = [network.weights[entry.name] for entry in network.layout.of("weight")]
        vectors = [network.vectors[name] for name, _ in vector_shapes(network.layout)]
        sections += [(REFINEMENT, payload) for payload in encode_progressive(weights, vectors, coarser)]
    return write_sections(sections)


def decode_file(data: bytes, layout_of: LayoutOf, only: Collection[str] | None = None) -> NetworkFile:
    """Read a ``.rdz`` file.

    Args:
        data: The whole file.
        layout_of: Where the layouts of registered networks come from.
        only: Names of tensors of the state dict: no others are decoded, but for those that are needed for them. All by
            default.

    Returns:
        The network, or of its layout the entries that hold the tensors asked for.

    Raises:
        FileFormatError: The file is not one that this version can read, is damaged, or too large for this machine.
        UnknownNameError: A tensor is asked for that the network does not have.
    """
    try:
        return _decode_network_file(data, layout_of, only)
    except MemoryError as error:
        raise FileFormatError("the file's network is too large for the memory of this machine") from error


def _encode_levels(network: NetworkFile) -> bytes:
    shapes, vectors = coded_shapes(network.layout)
    levels = [
        (network.vectors if index in vectors else network.weights)[name] for index, (name, _) in enumerate(shapes)
    ]
    ordered, in_parts = (
        [index for index, (name, _) in enumerate(shapes) if name in names]
        for names in (network.ordered, network.sorted_in_parts)
    )
    return encode_levels(levels, vectors, ordered, in_parts)


def _orders(shapes: Shapes, head: Head) -> tuple[list[str], list[str]]:
    """Names of weights whose rows are in order, and of those that are sorted in parts."""
    ordered, in_parts = ([shapes[index][0] for index in sorted(part)] for part in (head.ordered, head.sorted_in_parts))
    return ordered, in_parts


def _decode_network_file(data: bytes, layout_of: LayoutOf, only: Collection[str] | None) -> NetworkFile:
    network, sections, layers = _sections(data)
    network_id, whole = _decode_network(*network, layout_of)
    layout = whole if only is None else part_of(whole, only)
    shapes, _ = coded_shapes(layout)
    wanted = {name for name, _ in shapes}
    orders: tuple[list[str], list[str]] = [], []
    if layers:
        weights = [(entry.name, entry.shape) for entry in whole.of("weight")]
        levels = decode_progressive(layers, weights, vector_shapes(whole))
    else:
        shapes, vectors = coded_shapes(whole)
        found, head = decode_levels(sections[LEVELS], shapes, vectors, wanted)
        orders = _orders(shapes, head)
        names = {shapes[index][0] for index in vectors}
        levels = ProgressiveLevels(
            {name: pair for name, pair in found.items() if name not in names},
            {name: pair for name, pair in found.items() if name in names},
            written=1,
        )
    buffers = {entry.name for entry in layout.of("buffer")}
    values = decode_buffers(sections.get(BUFFERS), list(whole.of("buffer"))) if buffers or only is None else {}
    return NetworkFile(
        layout=layout,
        weights={name: pair for name, pair in levels.weights.items() if name in wanted},
        vectors={name: pair for name, pair in levels.vectors.items() if name in wanted},
        buffers={name: array for name, array in values.items() if name in buffers},
        network_id=network_id,
        recipe=decode_recipe(sections.get(RECIPE)),
        ordered=[name for name in orders[0] if name in wanted],
        sorted_in_parts=[name for name in orders[1] if name in wanted],
        refinement=max(len(layers), 1),
        refinements=levels.written,
    )


def _sections(data: bytes) -> Sections:
    """A file's network, the payloads of its sections by kind, and those of its quality layers."""
    walked = walk(data)
    form, listed, _ = next(walked)
    sections: dict[int, memoryview] = {}
    layers: list[memoryview] = []
    for kind, payload, _ in walked:
        if kind not in SECTION_NAMES:
            raise FileFormatError(f"the file has a section of unknown kind {kind}; install a newer rdsearch")
        if kind == REFINEMENT:
            layers.append(payload)
        elif kind in sections:
            raise FileFormatError(f"the file has two sections of kind {kind}; it is spliced or damaged")
        else:
            sections[kind] = payload
    if bool(layers) == (LEVELS in sections):
        found = "quality layers and" if layers else "neither quality layers nor"
        raise FileFormatError(f"the file has {found} a section of weights; it is spliced or damaged")
    return (form, listed), sections, layers


def prefix_ends(data: bytes) -> list[int]:
    """Where a file may be cut: the end of each quality layer that is there; the file's own end where it has none.

    Raises:
        FileFormatError: The file is damaged.
    """
    return layer_ends(data) or [len(data)]


def part_sizes(data: bytes) -> dict[str, int]:
    """Bytes of each part of a file, by name; they add up to ``len(data)``.

    Raises:
        FileFormatError: The file is damaged.
    """
    return _part_sizes(len(data), _sections(data))


def summarise(data: bytes, layout_of: LayoutOf) -> Summary:
    """What is in a file, without decoding its levels; arguments and errors as for `decode_file`."""
    network, sections, layers = _sections(data)
    network_id, layout = _decode_network(*network, layout_of)
    shapes, vectors = coded_shapes(layout)
    weights = [name for index, (name, _) in enumerate(shapes) if index not in vectors]
    orders: tuple[list[str], list[str]] = [], []
    written = 1
    if layers:
        written, steps = weight_steps(layers, len(weights))
    else:
        head = decode_head(Cursor(sections[LEVELS], "the section of weights"), shapes, vectors)
        steps = [step for index, step in sorted(head.steps.items()) if index not in vectors]
        orders = _orders(shapes, head)
    return Summary(
        layout=layout,
        network_id=network_id,
        steps=dict(zip(weights, steps, strict=True)),
        ordered=orders[0],
        sorted_in_parts=orders[1],
        refinement=max(len(layers), 1),
        refinements=written,
        parts=_part_sizes(len(data), (network, sections, layers)),
    )


def _part_sizes(size: int, found: Sections) -> dict[str, int]:
    (kind, network), sections, layers = found
    parts = {SECTION_NAMES[kind]: len(network)}
    parts |= {SECTION_NAMES[kind]: len(payload) for kind, payload in sections.items()}
    for number, payload in enumerate(layers, start=1):
        for name, part in zip(("weights", "biases and normalisation"), refinement_parts(payload), strict=True):
            parts[f"layer {number}: {name}"] = part
    parts["header and checksums"] = size - sum(parts.values())
    return parts


def coded_shapes(layout: Layout) -> tuple[list[tuple[str, tuple[int, ...]]], set[int]]:
    """Name and shape of every tensor that is coded, in the order of the layout, and which of them are vectors."""
    shapes: list[tuple[str, tuple[int, ...]]] = []
    vectors: set[int] = set()
    for entry in layout.entries:
        if entry.kind == "batchnorm":
            vectors |= {len(shapes), len(shapes) + 1}
            shapes += [(f"{entry.name}.scale", entry.shape), (f"{entry.name}.shift", entry.shape)]
        elif entry.kind in ("weight", "vector"):
            if entry.kind == "vector":
                vectors.add(len(shapes))
            shapes.append((entry.name, entry.shape))
    return shapes, vectors


def vector_shapes(layout: Layout) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of every bias, scale and shift, in the order of the layout."""
    shapes, vectors = coded_shapes(layout)
    return [shapes[index] for index in sorted(vectors)]


def _encode_network(network: NetworkFile) -> tuple[int, bytes]:
    if network.network_id is not None:
        return REGISTERED, encode_id(network.network_id) + network.layout.fingerprint()
    return LISTED, zlib.compress(network.layout.to_json(), 9)


def _decode_network(kind: int, payload: memoryview, layout_of: LayoutOf) -> tuple[str | None, Layout]:
    if kind == LISTED:
        return None, Layout.from_json(inflate(payload, "the list of tensors"))
    if len(payload) < FINGERPRINT_BYTES:
        raise FileFormatError("the file does not say which network it is of; it is damaged")
    network_id = decode_id(bytes(payload[:-FINGERPRINT_BYTES]))
    return network_id, _registered(network_id, payload[-FINGERPRINT_BYTES:], layout_of)


def _registered(network_id: str, fingerprint: memoryview, layout_of: LayoutOf) -> Layout:
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
