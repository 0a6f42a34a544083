"""What is coded ahead of a tensor's weights: its mean magnitude, what of it is not dead, its predictor.

These are a dozen decisions a tensor, so that only the decisions themselves are compiled: that of this file's functions
would take two seconds of a machine's first decoding.
"""

from __future__ import annotations

from rdsearch.coding.model.mixing import code_adaptive, code_plain
from rdsearch.coding.model.state import HEADER_BASE, Coder, Ints, State, Tape

LEVEL, ROWS, COLUMNS, PREDICTED, DISTANCE = range(5)  # what `fields` holds
FIELDS = 5
DISTANCE_BITS = 8

_ROWS_BASE = HEADER_BASE + 24
_COLUMNS_BASE = HEADER_BASE + 26
_PREDICTED_BASE = HEADER_BASE + 28
_DISTANCE_BASE = HEADER_BASE + 30


def code_level(decoding: bool, level: int, previous: int, state: State, coder: Coder, tape: Tape) -> int:
    """A tensor's mean magnitude, in half octaves, as the difference from the previous tensor's; 0: all are zero.

    Returns:
        The level, 0 .. 47.
    """
    if not code_adaptive(decoding, int(level > 0), HEADER_BASE, state, coder, tape):
        return 0
    difference = level - previous
    if not code_adaptive(decoding, int(difference != 0), HEADER_BASE + 1, state, coder, tape):
        return previous
    up = code_adaptive(decoding, int(difference > 0), HEADER_BASE + 2, state, coder, tape)
    size = 1
    while size < 47 and code_adaptive(
        decoding, int(abs(difference) > size), HEADER_BASE + 2 + min(size, 20), state, coder, tape
    ):
        size += 1
    level = previous + size if up else previous - size
    return min(max(level, 1), 47)


def code_extent(
    decoding: bool, extent: int, whole: int, guess: int, slot: int, state: State, coder: Coder, tape: Tape
) -> int:
    """How many rows or columns are coded, 1 .. whole: all, as many as guessed, or any number."""
    if whole < 2 or not code_adaptive(decoding, int(extent < whole), slot, state, coder, tape):
        return whole
    if guess < whole and not code_adaptive(decoding, int(extent != guess), slot + 1, state, coder, tape):
        return guess
    bits = 0
    while (whole - 2) >> bits:
        bits += 1
    return min(1 + code_plain(decoding, extent - 1, bits, coder, tape), whole - 1)


def code_header(
    decoding: bool,
    fields: Ints,
    shape: tuple[int, int, int, int],
    previous_level: int,
    guesses: tuple[int, int],
    state: State,
    coder: Coder,
    tape: Tape,
) -> None:
    """Code what a tensor begins with.

    Args:
        decoding: Read `fields` from `tape` rather than write them to it.
        fields: (FIELDS,), int64; filled in when decoding.
        shape: (rows, columns, taps, width).
        previous_level: Of the latest tensor that was not all zero.
        guesses: Rows and columns that are probably coded, at least 1 each.
        state: What the model has learnt.
        coder: The range coder's state.
        tape: Decisions written, or words read.
    """
    rows, columns, taps, _ = shape
    fields[LEVEL] = code_level(decoding, fields[LEVEL], previous_level, state, coder, tape)
    if fields[LEVEL]:
        fields[ROWS] = code_extent(decoding, fields[ROWS], rows, guesses[0], _ROWS_BASE, state, coder, tape)
        fields[COLUMNS] = code_extent(decoding, fields[COLUMNS], columns, guesses[1], _COLUMNS_BASE, state, coder, tape)
        fields[PREDICTED] = code_adaptive(decoding, fields[PREDICTED], _PREDICTED_BASE, state, coder, tape)
        if fields[PREDICTED] and taps == 1:
            far = code_adaptive(decoding, int(fields[DISTANCE] > 0), _DISTANCE_BASE, state, coder, tape)
            fields[DISTANCE] = code_plain(decoding, fields[DISTANCE], DISTANCE_BITS, coder, tape) if far else 0
