"""One bit through the model and the range coder, compiled.

Encoder and decoder are the same functions, so that they cannot drift apart: where the encoder has a bit, the decoder
asks the range coder for it, and all else is shared. Everything is integer arithmetic.

Units: probabilities 2^-16, log odds 1/256 nat.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from rdsearch.coding.model.state import (
    APM_BINS,
    APM_SHIFT,
    APM_WIDTH,
    AT,
    COUNT_LIMIT,
    END,
    FAULT,
    FLOOR,
    INPUTS,
    KINDS,
    LEARNING_RATE,
    LIMIT,
    OFFSET,
    RANGE,
    SETS,
    TOP_LEVEL,
    Coder,
    Slots,
    State,
    Tape,
)

_PRECISION = np.uint64(24)
_WORD_BITS = np.uint64(32)
_WORD_RANGE = np.uint64(1 << 32)
_ONE = np.uint64(1)

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function, *, allocates: bool = False) -> Function:
    """Compile on the first call, or take what an earlier process compiled; `allocates`: the function makes
    arrays, and lets other threads run.

    numba notices changes of a function's own file only; a name that holds the checksum of all the sources keeps it
    from running machine code that was made of older ones.
    """
    folder = Path(__file__).parent
    checksum = zlib.crc32(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py"))))
    function.__qualname__ = f"{function.__qualname__}_{checksum:08x}"
    # Counting references to the arrays at every call, which functions that allocate nothing can do without, takes
    # longer than all the rest together; and an array is seven arguments, so that calls themselves take a tenth.
    options: dict[str, Any] = {
        "error_model": "numpy",
        **({"nogil": True} if allocates else {"_nrt": False, "forceinline": True}),
    }
    try:
        return cast("Function", njit(cache=True, **options)(function))
    except RuntimeError:  # numba found no folder that it may write its cache to
        return cast("Function", njit(**options)(function))


@compiled
def code_bit(decoding: bool, bit: int, probability: int, coder: Coder, tape: Tape) -> int:
    """One decision: written down for constriction to encode, or read from its range coder's words.

    The decoder is that of constriction's range coder (64-bit state, 32-bit words) for a Bernoulli model of 24-bit
    precision with ``perfect=False``: constriction codes arrays, and here each decision's probability follows from
    those before it. `probability` is that of a 1, in 2^-16.
    """
    at = np.int64(coder[AT])
    if not decoding:
        tape[at] = np.uint32((probability << 1) | bit)
        coder[AT] = np.uint64(at + 1)
        return bit
    offset = coder[OFFSET]
    scale = coder[RANGE] >> _PRECISION
    # What constriction makes of a probability: (1 - p) of all but two of the 2^24 parts, and one more.
    zeros = scale * np.uint64((((65536 - probability) * 16777214) >> 16) + 1)
    if offset < zeros:
        bit = 0
        width = zeros
    else:
        bit = 1
        offset -= zeros
        width = (scale << _PRECISION) - zeros
        if offset >= width:
            # No encoder leaves its range here.
            coder[FAULT] = np.uint64(1)
            offset = width - _ONE
    if width < _WORD_RANGE:
        word = np.uint64(0)
        if at < np.int64(coder[END]):
            word = np.uint64(tape[at])
        width <<= _WORD_BITS
        offset = (offset << _WORD_BITS) | word
        coder[AT] = np.uint64(at + 1)
    coder[RANGE] = width
    coder[OFFSET] = offset
    return bit


@compiled
def code_plain(decoding: bool, value: int, bits: int, coder: Coder, tape: Tape) -> int:
    """A whole number of so many bits, the highest first, at one bit each."""
    even = int(np.int64(32768))  # a constant would have numba compile `code_bit` once more for it
    found = 0
    for at in range(bits - 1, -1, -1):
        found = 2 * found + code_bit(decoding, (value >> at) & 1, even, coder, tape)
    return found


@compiled
def code_adaptive(decoding: bool, bit: int, slot: int, state: State, coder: Coder, tape: Tape) -> int:
    """One bit by one adaptive probability alone: headers."""
    counter = int(np.int64(state.counters[slot]))
    probability: int = min(max(counter >> 16, FLOOR), 65536 - FLOOR)
    bit = code_bit(decoding, bit, probability, coder, tape)
    count = counter & 1023
    estimate = counter >> 10
    estimate += (((65535 * bit << 6) - estimate) * int(np.int64(state.rates[count]))) >> 16
    state.counters[slot] = estimate << 10 | min(count + 1, COUNT_LIMIT)
    return bit


@compiled
def code_mixed(
    decoding: bool,
    bit: int,
    kind: int,
    slots: Slots,
    set_a: int,
    set_b: int,
    bias: int,
    expected: int,
    state: State,
    coder: Coder,
    tape: Tape,
) -> int:
    """One bit by the mixed votes of its contexts.

    Logistic mixing as in Mahoney's PAQ: the contexts' log odds are summed by two sets of weights that learn online
    by gradient descent on the coding cost; the two are averaged, and an adaptive map (APM) of the result, chosen by
    the expected magnitude, corrects what is left by a quarter.
    """
    counters, weights, maps, votes = state.counters, state.weights, state.maps, state.votes
    stretch, squash, rates = state.stretch, state.squash, state.rates
    row_a = np.uint32(kind * SETS + set_a)
    row_b = np.uint32((KINDS + kind) * SETS + set_b)
    dot_a, dot_b = 0, 0
    for j in range(INPUTS):
        votes[j] = stretch[counters[slots[j]] >> 16]
    votes[INPUTS] = bias
    for j in range(INPUTS + 1):
        dot_a += int(np.int64(weights[row_a, j]) * np.int64(votes[j]))
        dot_b += int(np.int64(weights[row_b, j]) * np.int64(votes[j]))
    odds_a = min(max(dot_a >> 16, -LIMIT), LIMIT)
    odds_b = min(max(dot_b >> 16, -LIMIT), LIMIT)
    odds = ((odds_a + odds_b) >> 1) + LIMIT
    map_row = np.uint32(kind * (TOP_LEVEL + 1) + expected)
    left = min(odds // APM_WIDTH, APM_BINS - 1)
    offset = odds - left * APM_WIDTH
    refined = (maps[map_row, left] * (APM_WIDTH - offset) + maps[map_row, left + 1] * offset) // APM_WIDTH
    probability = min(max(int(np.int64((3 * squash[odds] + refined) >> 2)), FLOOR), 65536 - FLOOR)

    bit = code_bit(decoding, bit, probability, coder, tape)

    target = 65535 * bit
    step_a = (target - squash[odds_a + LIMIT]) * LEARNING_RATE
    step_b = (target - squash[odds_b + LIMIT]) * LEARNING_RATE
    for j in range(INPUTS + 1):
        weights[row_a, j] += (votes[j] * step_a + 131072) >> 18
        weights[row_b, j] += (votes[j] * step_b + 131072) >> 18
    for j in range(INPUTS):
        counter = int(np.int64(counters[slots[j]]))
        count = counter & 1023
        estimate = counter >> 10
        estimate += (((target << 6) - estimate) * int(np.int64(rates[count]))) >> 16
        counters[slots[j]] = estimate << 10 | min(count + 1, COUNT_LIMIT)
    nearest = left + 1 if 2 * offset > APM_WIDTH else left
    maps[map_row, nearest] += (target - maps[map_row, nearest]) >> APM_SHIFT
    return bit
