"""What the model counts as weights go by, and room for what it writes, compiled: for both coders of tensors."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.model.mixing import compiled
from rdsearch.coding.model.state import AT, STATISTIC_LIMIT, Coder, Ints, Tape


@compiled
def weight(values: NDArray[np.int32], index: int) -> int:
    """One weight, in 64 bits: the magnitude of -2^31 needs 32."""
    return int(np.int64(values[index]))


@compiled
def counted(magnitude: int) -> int:
    """What a magnitude counts as in means."""
    return min(magnitude, STATISTIC_LIMIT)


@compiled
def count(at: int, magnitude: int, sign: int, sums: Ints, counts: Ints, signs: Ints) -> None:
    """Take a weight that is not zero into the statistics of its column, or its tap."""
    sums[at] += counted(magnitude)
    counts[at] += 1
    signs[at] += sign


@compiled
def decayed(recent: int, magnitude: int) -> int:
    """The mean magnitude of the latest weights, in 1/4096, with one more weight."""
    return recent + ((counted(magnitude) * 4096 - recent) >> 3) if magnitude else recent - (recent >> 3)


@partial(compiled, allocates=True)
def with_room(tape: Tape, coder: Coder, decisions: int) -> Tape:
    """The tape, or a larger one with what is written on it, that takes so many decisions more."""
    written = np.int64(coder[AT])
    if written + decisions <= tape.size:
        return tape
    larger = np.empty(2 * tape.size + decisions, np.uint32)
    for at in range(written):  # a slice's assignment takes a second to compile
        larger[at] = tape[at]
    return larger
