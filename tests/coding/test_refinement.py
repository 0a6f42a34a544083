from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.coding.arrays import encode_arrays
from rdsearch.coding.cells import FINEST, Cells
from rdsearch.coding.refinement import decode_refinements, encode_refinements
from rdsearch.errors import FileFormatError

SHAPES = [(6, 5, 3, 3), (40, 30), (7,), (0, 4), (4, 1, 5, 5), (9, 8, 1, 1), ()]
CHAIN = [Cells(7, 4), Cells(3, 4), Cells(3, 2), Cells(1, 2), FINEST]


def arrays(seed: int = 0, scale: float = 2.5) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [np.asarray(np.rint(scale * random.laplace(size=shape)), np.int32) for shape in SHAPES]


def layers(chain: list[Cells]) -> list[list[Cells]]:
    return [[cells] * len(SHAPES) for cells in chain]


def assert_decoded(payloads: list[bytes], tensors: list[np.ndarray], wanted: list[list[Cells]]) -> None:
    for count in range(1, len(payloads) + 1):
        found = decode_refinements(payloads[:count], [tensor.shape for tensor in tensors], wanted[:count])
        for array, tensor, cells in zip(found, tensors, wanted[count - 1], strict=True):
            np.testing.assert_array_equal(array, cells.of(tensor))
            assert array.dtype == np.int32
            assert array.shape == tensor.shape


def test_every_layer_decodes_to_its_cells() -> None:
    assert_decoded(encode_refinements(arrays(), layers(CHAIN)), arrays(), layers(CHAIN))


def test_tensors_may_be_refined_in_different_layers() -> None:
    wanted = layers(CHAIN)
    wanted[1] = [wanted[0][0], *wanted[1][1:]]
    wanted[2] = [wanted[1][0], wanted[2][1], *wanted[1][2:]]
    assert_decoded(encode_refinements(arrays(), wanted), arrays(), wanted)


@given(st.lists(st.integers(-70, 70) | st.just(0), min_size=1, max_size=60), st.integers(0, 4))
def test_every_tensor_comes_back(values: list[int], first: int) -> None:
    tensor = np.array(values, np.int32).reshape(1, -1)
    chain = [[cells] for cells in CHAIN[first:]]
    assert_decoded(encode_refinements([tensor], chain), [tensor], chain)


@pytest.mark.parametrize("shape", [(3, 4, 3, 3), (8, 9)])
def test_magnitudes_beyond_those_that_means_count(shape: tuple[int, ...]) -> None:
    tensor = np.random.default_rng(3).integers(-(2**30), 2**30, shape).astype(np.int32)
    chain = [[Cells(1 << 20, 1 << 20)], [Cells(1 << 16, 1 << 16)], [Cells(1 << 12, 1 << 12)]]
    assert_decoded(encode_refinements([tensor], chain), [tensor], chain)


def test_tensors_of_zeros_and_none_at_all_cost_next_to_nothing() -> None:
    zeros = [np.zeros((50, 40), np.int32)] * len(SHAPES)
    assert sum(map(len, encode_refinements(zeros, layers(CHAIN)))) < 12
    assert encode_refinements([np.zeros((0, 3), np.int32)], [[Cells(2, 2)], [FINEST]]) == [b"", b""]
    assert_decoded([b"", b""], [np.zeros((0, 3), np.int32)], [[Cells(2, 2)], [FINEST]])


def test_layers_cost_little_beside_one_payload() -> None:
    random = np.random.default_rng(5)
    rows = np.exp(random.standard_normal((64, 1, 1, 1)))
    tensors = [np.rint(rows * random.laplace(size=(64, 32, 3, 3))).astype(np.int32) for _ in range(3)]
    layered = encode_refinements(tensors, [[cells] * 3 for cells in (Cells(4, 4), Cells(2, 2), FINEST)])
    assert sum(map(len, layered)) < 1.02 * len(encode_arrays(tensors))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_damaged_layers_give_other_cells_or_a_clear_error(seed: int, layer: int) -> None:
    random = np.random.default_rng(seed)
    payloads = encode_refinements(arrays(), layers(CHAIN))
    damaged = bytearray(payloads[layer])
    damaged[random.integers(len(damaged))] ^= 1 << int(random.integers(8))
    cut = bytes(damaged[: random.integers(1, len(damaged) + 1)])
    try:
        found = decode_refinements([*payloads[:layer], cut], SHAPES, layers(CHAIN)[: layer + 1])
    except FileFormatError:
        return
    coarse, fine = CHAIN[layer - 1], CHAIN[layer]
    zero, others = coarse.split(fine)
    for array, tensor in zip(found, arrays(), strict=True):
        before = coarse.of(tensor)
        beyond = np.abs(array) - np.abs(coarse.first(before, fine))
        assert ((beyond >= 0) & (beyond < np.where(before == 0, zero, others))).all()


def test_a_layer_that_ends_too_early_or_too_late_is_refused() -> None:
    payloads = encode_refinements(arrays(), layers(CHAIN))
    with pytest.raises(FileFormatError, match="a quality layer of 4 bytes ends before"):
        decode_refinements([payloads[0], payloads[1][:4]], SHAPES, layers(CHAIN)[:2])
    with pytest.raises(FileFormatError, match="left over"):
        decode_refinements([payloads[0], payloads[1] + b"\1" * 40], SHAPES, layers(CHAIN)[:2])
