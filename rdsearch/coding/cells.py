"""What a quality layer knows of a weight: the cell that its level lies in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.arrays import is_void
from rdsearch.coding.model.state import MAX_OPTIONS
from rdsearch.errors import FileFormatError

Array = NDArray[np.int32]

OFFSET_UNIT = 8
"""Points at which a cell is reconstructed are in so many parts of a step."""
_LARGEST = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True)
class Cells:
    """A partition of the levels, the same for both signs.

    A level is in cell 0 if its magnitude is below `dead`; else in the cell, of its sign, with the number
    ``1 + (magnitude - dead) // width``.

    Attributes:
        dead: Least magnitude that is not taken for zero, 1 or more.
        width: Magnitudes in a cell, 1 or more.
    """

    dead: int
    width: int

    def of(self, levels: Array) -> Array:
        """The cell of each level, with the level's sign."""
        magnitudes = np.abs(levels.astype(np.int64))
        cells = np.where(magnitudes < self.dead, 0, 1 + (magnitudes - self.dead) // self.width)
        return _int32(np.sign(levels) * cells)

    def split(self, finer: Cells) -> tuple[int, int]:
        """Cells of ``finer`` in cell 0, and in every other cell.

        Raises:
            FileFormatError: ``finer`` does not split these cells, or into more than `MAX_OPTIONS`.
        """
        zero, rest = divmod(self.dead - finer.dead, finer.width)
        others, uneven = divmod(self.width, finer.width)
        if rest or uneven or not (0 <= zero < MAX_OPTIONS and 1 <= others <= MAX_OPTIONS):
            raise FileFormatError(
                f"a quality layer with cells of {finer.width} from {finer.dead} cannot follow one with cells of "
                f"{self.width} from {self.dead}; the file is damaged"
            )
        return zero + 1, others

    def first(self, cells: Array, finer: Cells) -> Array:
        """The first of the finer cells in each cell, with the cell's sign.

        Raises:
            FileFormatError: As for `split`, or a number leaves int32.
        """
        zero, others = self.split(finer)
        magnitudes = np.abs(cells.astype(np.int64))
        # The last of the finer cells has to fit as well.
        if magnitudes.max(initial=0) * others + zero > _LARGEST:
            raise FileFormatError("a quality layer has a level outside int32; the file is damaged")
        return _int32(np.sign(cells) * np.where(magnitudes == 0, 0, zero + (magnitudes - 1) * others))

    def levels(self, cells: Array, offset: int) -> Array:
        """The point of each cell, in units of ``1 / OFFSET_UNIT``: `offset` above its least magnitude, 0 for cell 0.

        Raises:
            FileFormatError: A point leaves int32.
        """
        if is_void(cells):
            return cells
        magnitudes = np.abs(cells.astype(np.int64))
        points = np.where(magnitudes == 0, 0, (self.dead + (magnitudes - 1) * self.width) * OFFSET_UNIT + offset)
        if points.max(initial=0) > _LARGEST:
            raise FileFormatError("a quality layer has a level outside int32; the file is damaged")
        return _int32(np.sign(cells) * points)


FINEST = Cells(1, 1)
"""Every level is a cell of its own."""


def _int32(array: np.ndarray) -> Array:
    # np.sign of an array without dimensions is no array.
    return np.ascontiguousarray(array, np.int32).reshape(np.shape(array))
