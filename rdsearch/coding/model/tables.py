"""The codec's lookup tables, made by integer arithmetic alone so that every machine has the same ones.

Probabilities are integers in units of 2^-16. The logistic domain ("stretch", the logarithm of the odds) is in units
of 1/256 nat.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

PROBABILITY_BITS = 16
STRETCH_LIMIT = 2816  # 11 nats: odds of 60 000 to 1, about what 16 bits hold
LEVELS = 96  # quarter octaves of 2^24, a mean magnitude of 4096 in units of 1/4096
_LOG_BITS = 24
_NATS_PER_OCTAVE = 11629080  # round(ln 2 * 2^24)


@cache
def stretch() -> NDArray[np.int16]:
    """Log odds of each probability.

    Returns:
        (65536,), int16: entry p is 256 * ln((p + 1/2) / (65536 - p - 1/2)).
    """
    odd = 2 * np.arange(1 << PROBABILITY_BITS, dtype=np.int64) + 1
    octaves = _log2(odd) - _log2(odd)[::-1]
    nats = (np.abs(octaves) * _NATS_PER_OCTAVE) >> _LOG_BITS
    log_odds: NDArray[np.int64] = np.sign(octaves) * ((nats + (1 << 15)) >> 16)
    return log_odds.astype(np.int16)


@cache
def squash() -> NDArray[np.int32]:
    """Probability of each log odds, the inverse of `stretch`.

    Returns:
        (2 * STRETCH_LIMIT + 1,), int32: entry s + STRETCH_LIMIT is the probability, in 1..65535, of log odds s/256.
    """
    domain = np.arange(-STRETCH_LIMIT, STRETCH_LIMIT + 1)
    below = np.searchsorted(stretch(), domain, side="left")
    above = np.searchsorted(stretch(), domain, side="right")
    middle: NDArray[np.int64] = np.clip((below + above) // 2, 1, (1 << PROBABILITY_BITS) - 1)
    return middle.astype(np.int32)


@cache
def quarter_octaves() -> NDArray[np.int32]:
    """Floor of 4 * log2 for small numbers.

    Returns:
        (4096,), int32; entry 0 is 0.
    """
    numbers = np.maximum(np.arange(4096, dtype=np.int64), 1)
    return (_log2(numbers) >> (_LOG_BITS - 2)).astype(np.int32)


@cache
def adaptation_rates(limit: int) -> NDArray[np.int32]:
    """Step of an adaptive probability that has seen n bits, for n = 0 .. limit.

    Returns:
        (limit + 1,), int32: 65536 / (n + 1.8). 1 / (n + 2) is the Bayesian estimate under a uniform prior
        (Laplace's rule of succession); contexts that see few bits see skewed ones, which a faster start serves.
    """
    return (655360 // (10 * np.arange(limit + 1, dtype=np.int64) + 18)).astype(np.int32)


def _log2(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """log2 in units of 2^-24, of numbers in 1 .. 2^20, one bit of the fraction a squaring."""
    exponent = np.zeros_like(numbers)
    for shift in (16, 8, 4, 2, 1):
        exponent += np.where(numbers >> (exponent + shift) > 0, shift, 0)
    mantissa = (numbers << 30) >> exponent
    fraction = np.zeros_like(numbers)
    for _ in range(_LOG_BITS):
        mantissa = (mantissa * mantissa) >> 30
        carry = mantissa >> 31
        mantissa >>= carry
        fraction = 2 * fraction + carry
    return (exponent << _LOG_BITS) + fraction
