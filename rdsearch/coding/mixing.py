"""One bit through the model and the arithmetic coder, compiled.

Encoder and decoder are the same functions, so that they cannot drift apart: where the encoder has a bit, the decoder
asks the arithmetic coder for it, and all else is shared. Everything is integer arithmetic.

Units: probabilities 2^-16, log odds 1/256 nat.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rdsearch.coding.state import (
    APM_BINS,
    APM_SHIFT,
    APM_WIDTH,
    AT,
    BIAS,
    CODE,
    COUNT_LIMIT,
    END,
    FLOOR,
    HIGH,
    INPUTS,
    KINDS,
    LEARNING_RATE,
    LIMIT,
    LOW,
    PADDING,
    SETS,
    TOP_LEVEL,
    Ints,
    State,
)

Bytes = NDArray[np.uint8]

Function = TypeVar("Function", bound=Callable[..., Any])
SOURCES = ("state.py", "mixing.py", "kernels.py")


def compiled(function: Function) -> Function:
    """Compile on the first call, or take what an earlier process compiled.

    numba notices changes of a function's own file only; a name that holds the checksum of all the sources keeps it
    from running machine code that was made of older ones.
    """
    folder = Path(__file__).parent
    checksum = zlib.crc32(b"".join((folder / name).read_bytes() for name in SOURCES))
    function.__qualname__ = f"{function.__qualname__}_{checksum:08x}"
    try:
        return cast("Function", njit(cache=True, error_model="numpy")(function))
    except RuntimeError:  # numba found no folder that it may write its cache to
        return cast("Function", njit(error_model="numpy")(function))


@compiled
def code_bit(decoding: bool, bit: int, probability: int, coder: Ints, buffer: Bytes) -> int:
    """Binary arithmetic coding without carries, on 48-bit bounds: `probability` is that of a 1."""
    low, high = coder[LOW], coder[HIGH]
    middle = low + ((high - low) >> 16) * probability
    if decoding:
        bit = 1 if coder[CODE] <= middle else 0
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> 40 == 0:
        if decoding:
            byte = np.int64(PADDING)
            if coder[AT] < coder[END]:
                byte = np.int64(buffer[coder[AT]])
            coder[CODE] = ((coder[CODE] << 8) & 0xFFFFFFFFFFFF) | byte
        else:
            buffer[coder[AT]] = high >> 40
        coder[AT] += 1
        low = (low << 8) & 0xFFFFFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFFFFFF) | 255
    coder[LOW], coder[HIGH] = low, high
    return bit


@compiled
def code_adaptive(decoding: bool, bit: int, slot: int, state: State, coder: Ints, buffer: Bytes) -> int:
    """One bit by one adaptive probability alone: headers."""
    counter = int(np.int64(state.counters[slot]))
    probability: int = min(max(counter >> 16, FLOOR), 65536 - FLOOR)
    bit = code_bit(decoding, bit, probability, coder, buffer)
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
    slots: Ints,
    set_a: int,
    set_b: int,
    expected: int,
    state: State,
    coder: Ints,
    buffer: Bytes,
) -> int:
    """One bit by the mixed votes of its contexts.

    Logistic mixing as in Mahoney's PAQ: the contexts' log odds are summed by two sets of weights that learn online
    by gradient descent on the coding cost; the two are averaged, and an adaptive map (APM) of the result, chosen by
    the expected magnitude, corrects what is left by a quarter.
    """
    counters, weights, maps, votes = state.counters, state.weights, state.maps, state.votes
    stretch, squash, rates = state.stretch, state.squash, state.rates
    row_a = kind * SETS + set_a
    row_b = (KINDS + kind) * SETS + set_b
    dot_a = BIAS * weights[row_a, INPUTS]
    dot_b = BIAS * weights[row_b, INPUTS]
    for j in range(INPUTS):
        vote = stretch[counters[slots[j]] >> 16]
        votes[j] = vote
        dot_a += weights[row_a, j] * vote
        dot_b += weights[row_b, j] * vote
    odds_a = min(max(dot_a >> 16, -LIMIT), LIMIT)
    odds_b = min(max(dot_b >> 16, -LIMIT), LIMIT)
    odds = ((odds_a + odds_b) >> 1) + LIMIT
    map_row = kind * (TOP_LEVEL + 1) + expected
    left = min(odds // APM_WIDTH, APM_BINS - 1)
    offset = odds - left * APM_WIDTH
    refined = (maps[map_row, left] * (APM_WIDTH - offset) + maps[map_row, left + 1] * offset) // APM_WIDTH
    probability = min(max((3 * squash[odds] + refined) >> 2, FLOOR), 65536 - FLOOR)

    bit = code_bit(decoding, bit, probability, coder, buffer)

    target = 65535 * bit
    step_a = (target - squash[odds_a + LIMIT]) * LEARNING_RATE
    step_b = (target - squash[odds_b + LIMIT]) * LEARNING_RATE
    for j in range(INPUTS):
        vote = votes[j]
        weights[row_a, j] += (vote * step_a) >> 18
        weights[row_b, j] += (vote * step_b) >> 18
        counter = int(np.int64(counters[slots[j]]))
        count = counter & 1023
        estimate = counter >> 10
        estimate += (((target << 6) - estimate) * int(np.int64(rates[count]))) >> 16
        counters[slots[j]] = estimate << 10 | min(count + 1, COUNT_LIMIT)
    weights[row_a, INPUTS] += (BIAS * step_a) >> 18
    weights[row_b, INPUTS] += (BIAS * step_b) >> 18
    nearest = left + 1 if 2 * offset > APM_WIDTH else left
    maps[map_row, nearest] += (target - maps[map_row, nearest]) >> APM_SHIFT
    return bit
