from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdsearch.coding.arrays import encode_arrays
from rdsearch.coding.cells import FINEST, OFFSET_UNIT, Cells
from rdsearch.coding.container import read_sections, varint, write_sections
from rdsearch.coding.networkfile import (
    LEVELS,
    LISTED,
    REFINEMENT,
    NetworkFile,
    decode_file,
    encode_file,
    part_sizes,
    prefix_ends,
    vector_shapes,
)
from rdsearch.coding.progressive import Refinement
from rdsearch.errors import FileFormatError
from tests.coding.test_networkfile import LAYOUT, assert_same, small, unknown

Chain = list[list[Cells]]
CHAIN: Chain = [[Cells(3, 4), Cells(3, 2)], [Cells(3, 2), Cells(1, 2)], [FINEST, Cells(1, 2)]]


def coarser(network: NetworkFile, chain: Chain = CHAIN, shifts: Sequence[int] = (2, 2, 1)) -> list[Refinement]:
    """Layers whose biases are those of the network, a little off."""
    random = np.random.default_rng(7)
    names = [name for name, _ in vector_shapes(network.layout)]
    layers = []
    for cells, shift in zip(chain, shifts, strict=True):
        vectors = [(network.vectors[name][0] >> shift) + random.integers(-2, 3) for name in names]
        offsets = [OFFSET_UNIT * one.width // 3 for one in cells]
        layers.append(Refinement(cells, offsets, shift, [np.asarray(vector, np.int32) for vector in vectors]))
    return layers


NETWORK_FILE = small()
DATA = encode_file(NETWORK_FILE, coarser(NETWORK_FILE))
ENDS = prefix_ends(DATA)


def payloads(data: bytes = DATA) -> list[bytes]:
    return [payload for kind, payload in read_sections(data) if kind == REFINEMENT]


def with_layers(layers: Sequence[bytes]) -> bytes:
    """A file with these layers, whose checksums are right."""
    others = [(kind, payload) for kind, payload in read_sections(DATA) if kind != REFINEMENT]
    return write_sections([*others, *((REFINEMENT, payload) for payload in layers)])


def test_the_whole_file_is_the_network_that_was_coded() -> None:
    found = decode_file(DATA, unknown)
    assert_same(found, NETWORK_FILE)
    assert (found.refinement, found.refinements) == (4, 4)


def test_the_bytes_up_to_the_end_of_any_layer_are_a_coarser_network() -> None:
    for count, (end, layer) in enumerate(zip(ENDS, coarser(NETWORK_FILE), strict=False), start=1):
        found = decode_file(DATA[:end], unknown)
        assert (found.refinement, found.refinements) == (count, 4)
        assert found.buffers.keys() == NETWORK_FILE.buffers.keys()
        for name, cells, offset in zip(found.weights, layer.cells, layer.offsets, strict=True):
            levels, step = NETWORK_FILE.weights[name]
            np.testing.assert_array_equal(found.weights[name][0], cells.levels(cells.of(levels), offset))
            assert found.weights[name][1] == step / OFFSET_UNIT
        for name, vector in zip(found.vectors, layer.vectors, strict=True):
            np.testing.assert_array_equal(found.vectors[name][0], vector)
            assert found.vectors[name][1] == NETWORK_FILE.vectors[name][1] * 2**layer.shift
        assert found.state_dict().keys() == NETWORK_FILE.state_dict().keys()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_prefix_of_the_golden_file_decodes_to_what_it_always_did(number: int) -> None:
    golden = Path(__file__).parent / "golden"
    data = (golden / "layered.rdz").read_bytes()
    found = decode_file(data[: prefix_ends(data)[number - 1]], unknown)
    assert (found.refinement, found.refinements) == (number, 3)
    with np.load(golden / f"layered_{number}.npz") as wanted:
        state = found.state_dict()
        assert set(state) == set(wanted.files)
        for name in wanted.files:
            np.testing.assert_array_equal(state[name], wanted[name])
            assert state[name].dtype == wanted[name].dtype


def test_a_cut_anywhere_else_is_refused() -> None:
    assert ENDS[-1] == len(DATA)
    for length in set(range(len(DATA))) - set(ENDS):
        with pytest.raises(FileFormatError):
            decode_file(DATA[:length], unknown)


def test_every_flipped_bit_is_found() -> None:
    for position in range(len(DATA)):
        for bit in range(8):
            damaged = bytearray(DATA)
            damaged[position] ^= 1 << bit
            with pytest.raises(FileFormatError):
                decode_file(bytes(damaged), unknown)


def test_layers_of_another_file_are_refused() -> None:
    other = replace(
        NETWORK_FILE, weights={name: (-array, step) for name, (array, step) in NETWORK_FILE.weights.items()}
    )
    foreign = encode_file(other, coarser(other))
    ends = prefix_ends(foreign)
    for mine in ENDS[:-1]:
        for start, end in itertools.pairwise(ends):
            with pytest.raises(FileFormatError, match="its checksum does not match"):
                decode_file(DATA[:mine] + foreign[start:end], unknown)


def test_layers_in_another_order_or_twice_are_refused() -> None:
    bounds = [*zip([0, *ENDS], ENDS, strict=False)]
    pieces = [DATA[start:end] for start, end in bounds]
    for order in ([0, 2, 1, 3], [0, 1, 1, 2, 3], [0, 2], [1]):
        with pytest.raises(FileFormatError):
            decode_file(b"".join(pieces[index] for index in order), unknown)


def test_the_parts_of_every_prefix_add_up_and_name_the_layers() -> None:
    for count, end in enumerate(ENDS, start=1):
        sizes = part_sizes(DATA[:end])
        assert sum(sizes.values()) == end
        assert [name for name in sizes if name.startswith("layer")] == [
            f"layer {number}: {part}"
            for number in range(1, count + 1)
            for part in ("weights", "biases and normalisation")
        ]


def test_a_file_without_coarser_layers_is_no_layered_one() -> None:
    data = encode_file(NETWORK_FILE)
    assert [kind for kind, _ in read_sections(data)][:2] == [LISTED, LEVELS]
    assert prefix_ends(data) == [len(data)]
    assert (decode_file(data, unknown).refinement, decode_file(data, unknown).refinements) == (1, 1)


def test_a_network_without_weights_may_have_layers() -> None:
    layout = replace(LAYOUT, entries=tuple(entry for entry in LAYOUT.entries if entry.kind in ("vector", "batchnorm")))
    network = replace(NETWORK_FILE, layout=layout, weights={}, buffers={})
    data = encode_file(network, coarser(network, [[]], [2]))
    assert_same(decode_file(data, unknown), network)
    assert decode_file(data[: prefix_ends(data)[0]], unknown).refinement == 1


FIRST, SECOND, THIRD, LAST = payloads()


def second(shift: int, rows: list[list[int]], rest: bytes = b"") -> bytes:
    """A second layer with these cells."""
    cells = encode_arrays([np.array(rows, np.int32)])
    return varint(0) + varint(shift) + varint(len(cells)) + cells + rest


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([FIRST, SECOND, THIRD, LAST, LAST], "has 5 quality layers and says that it was written with 4"),
        ([b""], "quality layer 1 is cut short"),
        ([FIRST, b""], "quality layer 2 is cut short"),
        ([FIRST, b"\xff\xff\x01"], "quality layer 2 is cut short"),
        ([FIRST, second(17, [[3, 3], [1, 1], [0, 0]])], "quality layer 2 does not say .* or is too coarse"),
        ([FIRST, varint(0) + varint(0) + varint(0)], "quality layer 2 does not say"),
        ([FIRST, SECOND, THIRD, THIRD], "quality layer 4 does not say"),
        ([FIRST, second(2, [[0, 3], [1, 1], [0, 0]])], "cells of 1 from 0 with points at 0/8, which is impossible"),
        ([FIRST, second(2, [[3, 3], [1, 1], [0, 8]])], "points at 8/8, which is impossible"),
        ([FIRST, second(2, [[5, 3], [4, 2], [0, 0]])], "cells of 4 from 5 cannot follow one with cells of 4 from 3"),
        ([FIRST, second(3, [[3, 3], [4, 2], [0, 0]])], "biases are coarser than those before"),
        ([FIRST[:1] + b"\x41" + FIRST[2:]], "written with 65, of at most 64"),
        ([FIRST[:1] + b"\x00" + FIRST[2:]], "written with 0"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers: list[bytes], said: str) -> None:
    with pytest.raises(FileFormatError, match=said):
        decode_file(with_layers(layers), unknown)


def test_layers_beside_a_plain_section_of_weights_are_refused() -> None:
    sections = [(LISTED, dict(read_sections(DATA))[LISTED]), (LEVELS, b""), (REFINEMENT, FIRST)]
    with pytest.raises(FileFormatError, match="quality layers and a section of weights"):
        decode_file(write_sections(sections), unknown)


def test_biases_that_leave_int32_are_refused() -> None:
    first = [np.full(shape, 2**30) for _, shape in vector_shapes(LAYOUT)]
    last = {name: (np.full(shape, 2**32), 1.0) for name, shape in vector_shapes(LAYOUT)}
    network = replace(NETWORK_FILE, vectors=last)
    data = encode_file(network, [replace(coarser(NETWORK_FILE, CHAIN[:1], [2])[0], vectors=first)])
    with pytest.raises(FileFormatError, match="a bias outside int32"):
        decode_file(data, unknown)


@settings(max_examples=200)
@given(st.integers(0, 3), st.binary(min_size=1, max_size=40), st.integers(0, 400))
def test_whatever_a_layer_holds_there_is_a_network_or_a_clear_error(number: int, noise: bytes, at: int) -> None:
    layers = payloads()[: number + 1]
    position = at % len(layers[number])
    layers[number] = layers[number][:position] + noise + layers[number][position + len(noise) :]
    try:
        found = decode_file(with_layers(layers), unknown)
    except FileFormatError:
        return
    assert {name: levels.shape for name, (levels, _) in found.weights.items()} == {
        name: levels.shape for name, (levels, _) in NETWORK_FILE.weights.items()
    }
