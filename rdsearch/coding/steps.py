"""Steps and flags, bit by bit: what stands before levels.

::

    steps    = own? step*       own: each tensor has a step of its own; else all share the first. Of two or more
    step     = exponent mantissa:7
    exponent = 1* 0 bit         fewer than 15 ones: how far it is from that of the step before, up if the bit is 1, and
                                then one more
             | 1{15} exponent:8
    flags    = any? flag*       any: some are set; else none follows

Bits fill bytes from the highest down; zeros fill the last one. A step is a float32 whose lower 16 bits are zero
(bfloat16), not negative.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from rdsearch.coding.container import Cursor
from rdsearch.errors import FileFormatError

_FIRST_EXPONENT = 122
"""The exponent before that of the first step, of 2^-5: steps of biases tend to be less, of weights more."""
_EXPONENT_BITS, _MANTISSA_BITS = 8, 7
_MOST_ONES = 15
_LARGEST_EXPONENT = 254


class BitWriter:
    """Collects bits."""

    def __init__(self) -> None:
        self._bits = ""

    def put(self, value: int, count: int) -> None:
        """A whole number in so many bits."""
        self._bits += f"{value:0{count}b}" if count else ""

    def put_steps(self, steps: Sequence[float]) -> None:
        """The steps of some tensors."""
        patterns = (np.array(steps, np.float32).view(np.uint32) >> 16).tolist()
        own = len(set(patterns)) > 1
        if len(patterns) > 1:
            self.put(own, 1)
        before = _FIRST_EXPONENT
        for pattern in patterns if own else patterns[:1]:
            exponent, mantissa = divmod(pattern, 1 << _MANTISSA_BITS)
            apart = exponent - before
            number = 2 * apart - 1 if apart > 0 else -2 * apart
            if number >> 1 < _MOST_ONES:
                self._bits += "1" * (number >> 1) + "0"
                self.put(number & 1, 1)
            else:
                self._bits += "1" * _MOST_ONES
                self.put(exponent, _EXPONENT_BITS)
            self.put(mantissa, _MANTISSA_BITS)
            before = exponent

    def put_flags(self, numbers: Collection[int], count: int) -> None:
        """Which of so many flags are set."""
        self.put(bool(numbers), 1)
        if numbers:
            self._bits += "".join("01"[number in numbers] for number in range(count))

    def data(self) -> bytes:
        """All of them."""
        size = -(-len(self._bits) // 8)
        return int(self._bits.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")


class BitReader:
    """Reads what a `BitWriter` wrote."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._byte = 0
        self._left = 0

    def bits(self, count: int) -> int:
        """A whole number of so many bits."""
        value = 0
        for _ in range(count):
            if not self._left:
                self._byte, self._left = self._cursor.byte(), 8
            self._left -= 1
            value = value << 1 | self._byte >> self._left & 1
        return value

    def steps(self, count: int, what: str) -> list[float]:
        """The steps of so many tensors.

        Raises:
            FileFormatError: They are cut short, or impossible; ``what`` they are of.
        """
        own = count > 1 and self.bits(1)
        patterns: list[int] = []
        exponent = _FIRST_EXPONENT
        for _ in range(count if own else min(count, 1)):
            ones = 0
            while ones < _MOST_ONES and self.bits(1):
                ones += 1
            if ones == _MOST_ONES:
                exponent = self.bits(_EXPONENT_BITS)
            else:
                exponent += ones + 1 if self.bits(1) else -ones
            if not 0 <= exponent <= _LARGEST_EXPONENT:
                raise FileFormatError(f"{what} have an impossible step; the file is damaged")
            patterns.append(exponent << _MANTISSA_BITS | self.bits(_MANTISSA_BITS))
        steps: list[float] = (np.array(patterns, np.uint32) << 16).view(np.float32).tolist()
        return steps if own else steps * count

    def flags(self, count: int) -> set[int]:
        """Which of so many are set."""
        return {number for number in range(count) if self.bits(1)} if self.bits(1) else set()

    def finish(self) -> None:
        """Check that nothing but zeros fills the last byte.

        Raises:
            FileFormatError: Something does.
        """
        if self.bits(self._left):
            raise FileFormatError("bits are set behind the last step or flag; the file is damaged")
