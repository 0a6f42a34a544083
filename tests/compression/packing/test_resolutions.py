from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.coding.arrays import encode_arrays
from rdsearch.coding.cells import FINEST, Cells
from rdsearch.compression.packing.resolutions import LEAST_SHARE, RATIO, choose_cells


def tensors(seed: int = 0, scale: float = 3.0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        np.rint(scale * factor * random.laplace(size=(40, 50))).astype(np.int32) for factor in (0.3, 0.6, 1, 1.5, 2, 3)
    ]


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_the_bytes_of_each_prefix_are_near_the_share_that_it_aims_at(count: int) -> None:
    layers = choose_cells(tensors(), count)
    assert len(layers) == count - 1
    sizes = [
        len(encode_arrays([one.of(array) for one, array in zip(cells, tensors(), strict=True)]))
        for cells in [*layers, [FINEST] * 6]
    ]
    ratio = max(RATIO, LEAST_SHARE ** (1 / (count - 1)))
    for number, size in enumerate(reversed(sizes)):
        assert size / sizes[-1] == pytest.approx(ratio**number, abs=0.07)


def test_each_layer_splits_the_one_before() -> None:
    layers = [*choose_cells(tensors(), 5), [FINEST] * 6]
    for coarse, fine in itertools.pairwise(layers):
        assert coarse != fine
        for one, other in zip(coarse, fine, strict=True):
            one.split(other)


@given(st.lists(st.lists(st.integers(-300, 300), max_size=20), max_size=4), st.integers(1, 8))
def test_whatever_the_levels_layers_are_nested_and_leave_something(values: list[list[int]], count: int) -> None:
    levels = [np.array(row, np.int32) for row in values]
    layers = choose_cells(levels, count)
    assert len(layers) < count
    for coarse, fine in itertools.pairwise([*layers, [FINEST] * len(levels)]):
        for one, other in zip(coarse, fine, strict=True):
            one.split(other)
    for cells in layers:
        assert any(one.of(array).any() for one, array in zip(cells, levels, strict=True))


def test_levels_that_cannot_be_told_apart_more_coarsely_have_no_more_layers() -> None:
    assert choose_cells([np.array([0, 1, -1, 0], np.int32)], 4) == []
    assert choose_cells([np.zeros((3, 3), np.int32)], 4) == []
    assert choose_cells([], 4) == []


def test_large_levels_take_a_dead_zone_and_wide_cells() -> None:
    (cells,) = choose_cells([np.rint(1000 * np.random.default_rng(1).laplace(size=(60, 60))).astype(np.int32)], 2)
    assert cells[0].width > 1
    assert isinstance(cells[0], Cells)
