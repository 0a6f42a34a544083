from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.coding.container import Cursor
from rdsearch.coding.steps import BitReader, BitWriter
from rdsearch.errors import FileFormatError

steps_ = st.lists(st.integers(0, 255 * 128 - 1), max_size=9).map(
    lambda patterns: (np.array(patterns, np.uint32) << 16).view(np.float32).tolist()
)


def read(data: bytes) -> BitReader:
    return BitReader(Cursor(data, "a head"))


@given(steps_, steps_, st.sets(st.integers(0, 8)), st.sets(st.integers(0, 8)))
def test_steps_and_flags_come_back_as_they_were(
    weights: list[float], vectors: list[float], flags: set[int], others: set[int]
) -> None:
    bits = BitWriter()
    bits.put_steps(weights)
    bits.put_steps(vectors)
    bits.put_flags(flags, 9)
    bits.put_flags(others, 9)
    found = read(bits.data())
    assert found.steps(len(weights), "weights") == weights
    assert found.steps(len(vectors), "biases") == vectors
    assert (found.flags(9), found.flags(9)) == (flags, others)
    found.finish()


def test_a_step_takes_little_more_than_its_mantissa_where_exponents_are_near() -> None:
    bits = BitWriter()
    bits.put_steps([2.0**-5, 2.0**-4 * 1.5, 2.0**-5])
    # Own steps; no difference; one more, a half; one less.
    assert f"{int.from_bytes(bits.data(), 'big'):032b}" == "1" + "00" + "0000000" + "01" + "1000000" + "100" + "0" * 10


@pytest.mark.parametrize("count", [1, 2, 200])
def test_a_shared_step_is_written_once(count: int) -> None:
    bits = BitWriter()
    bits.put_steps([0.25] * count)
    assert len(bits.data()) == 2
    assert read(bits.data()).steps(count, "weights") == [0.25] * count


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a head is cut short"),
        (b"\xff" * 64, "weights have an impossible step"),  # an infinite one
        (b"\x00", "a head is cut short"),
        (b"\x00\x01", "bits are set behind the last step or flag"),
    ],
)
def test_each_kind_of_damage_has_its_message(data: bytes, said: str) -> None:
    bits = read(data)

    def everything() -> None:
        bits.steps(1, "weights")
        bits.finish()

    with pytest.raises(FileFormatError, match=said):
        everything()
