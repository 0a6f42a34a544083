from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.coding.cells import FINEST, OFFSET_UNIT, Cells
from rdsearch.coding.model.state import MAX_OPTIONS
from rdsearch.errors import FileFormatError

LEVELS = np.arange(-40, 41, dtype=np.int32)


@st.composite
def nested(draw: st.DrawFn) -> tuple[Cells, Cells]:
    fine = Cells(draw(st.integers(1, 6)), draw(st.integers(1, 4)))
    return Cells(fine.dead + draw(st.integers(0, 5)) * fine.width, fine.width * draw(st.integers(1, 4))), fine


def test_cells_are_a_dead_zone_and_runs_of_magnitudes_of_each_sign() -> None:
    cells = Cells(dead=3, width=2)
    assert cells.of(np.array([0, 1, -2, 3, 4, 5, -6, -7], np.int32)).tolist() == [0, 0, 0, 1, 1, 2, -2, -3]
    np.testing.assert_array_equal(FINEST.of(LEVELS), LEVELS)


@given(nested())
def test_the_finer_cell_of_a_level_is_among_those_that_split_the_coarser_one(pair: tuple[Cells, Cells]) -> None:
    coarse, fine = pair
    zero, others = coarse.split(fine)
    before, after = coarse.of(LEVELS), fine.of(LEVELS)
    beyond = np.abs(after) - np.abs(coarse.first(before, fine))
    assert (beyond >= 0).all()
    assert (beyond < np.where(before == 0, zero, others)).all()
    assert (np.sign(after)[before != 0] == np.sign(before)[before != 0]).all()


@given(nested(), st.integers(0, 31))
def test_a_cell_is_reconstructed_inside_it_and_zero_at_zero(pair: tuple[Cells, Cells], offset: int) -> None:
    cells = pair[0]
    offset = min(offset, OFFSET_UNIT * cells.width - 1)
    known = cells.of(LEVELS)
    points = cells.levels(known, offset) / OFFSET_UNIT
    np.testing.assert_array_equal(cells.of(np.trunc(points).astype(np.int32)), known)
    assert not points[known == 0].any()


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        (Cells(3, 1), Cells(4, 1)),
        (Cells(3, 2), Cells(2, 2)),
        (Cells(2, 3), Cells(2, 2)),
        (Cells(2, 1), Cells(2, 2)),
        (Cells(MAX_OPTIONS + 1, 1), FINEST),
        (Cells(1, MAX_OPTIONS + 1), FINEST),
    ],
)
def test_cells_that_do_not_split_others_are_refused(coarse: Cells, fine: Cells) -> None:
    with pytest.raises(FileFormatError, match=f"cells of {fine.width} from {fine.dead} cannot follow"):
        coarse.split(fine)


def test_numbers_that_leave_int32_are_refused() -> None:
    far = np.array([2**31 - 1], np.int32)
    with pytest.raises(FileFormatError, match="outside int32"):
        Cells(2, 2).first(far, FINEST)
    with pytest.raises(FileFormatError, match="outside int32"):
        Cells(2, 2).levels(far, 0)
