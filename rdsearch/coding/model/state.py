"""The model's shape: constants, the layout of its adaptive state, and what passes from tensor to tensor."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.model import tables

Ints = NDArray[np.int64]
Coder = NDArray[np.uint64]
Slots = NDArray[np.uint32]
"""Where in `State.counters` each context's probability is; unsigned, which spares a test for negative indices."""
Tape = NDArray[np.uint32]
"""Encoding: the decisions so far, ``probability << 1 | bit`` each. Decoding: the payload's words."""

INPUTS = 8  # contexts that vote on each bit
BIAS = 256  # the input beside them for magnitudes, one nat; for signs it is what the predictor says
LIMIT = tables.STRETCH_LIMIT  # log odds are clipped here
TOP_LEVEL = 95
FLOOR = 16  # no bit is given less than 16/65536: what a dead weight costs, and how far damaged data can run
COUNT_LIMIT = 1000  # bits after which an adaptive probability forgets
LEARNING_RATE = 4
APM_BINS = 32
APM_WIDTH = 176  # log odds a bin: 2 * LIMIT / APM_BINS
APM_SHIFT = 6
PRIOR_WEIGHTS = 12  # a row's or column's mean starts as that many weights of the tensor's mean
STATISTIC_LIMIT = 4095  # larger magnitudes count as this in means

CONTEXTS = 2432  # contexts that an input has at most
MAGNITUDE_KINDS = 36  # zero?, > 1?, > 2?, ...; the last one serves all further, from 2^17 on
SIGN_KIND = MAGNITUDE_KINDS
TREE_KIND = SIGN_KIND + 1  # 7 nodes: up to three bits inside a class of magnitudes
KINDS = TREE_KIND + 8
SIGN_BASE = INPUTS * CONTEXTS * MAGNITUDE_KINDS
SIGN_CONTEXTS = 1024
TREE_BASE = SIGN_BASE + INPUTS * SIGN_CONTEXTS
TREE_CONTEXTS = (TOP_LEVEL + 1) * 12
HEADER_BASE = TREE_BASE + INPUTS * TREE_CONTEXTS * 8
HEADER_BITS = 40
COUNTERS = HEADER_BASE + HEADER_BITS
SETS = 64  # weight sets of a mixer, for each kind
POSITIONS = 26  # kernel taps told apart; further ones share the last

# The predictor: least mean squares, normalised (Haykin, Adaptive Filter Theory), on weights in units of UNIT a mean
UNIT = 64  # of a weight's value: so many parts of the tensor's mean magnitude
MOST = 8 * UNIT  # larger values count as this
LEAST_MEAN = 82  # in 1/4096: smaller means count as this
GAIN_BITS = 20  # of the predictor's weights, behind the point
LARGEST_GAIN = 1 << 24
RATE = 5368832  # the step of an update, 0.02, in 2^-28
ERROR = 4 * UNIT  # larger errors count as this
PER_INPUT = 205  # what each input adds to the energy that an update is divided by: 0.05 of a mean's square
ROWS_KEPT = 5  # the current row of a tensor, and four above

MAX_OPTIONS = 64  # cells into which a quality layer may split one of the layer before: it bounds a weight's decisions

LAST_CLASS = 62  # the class that holds 2^31

RANGE, OFFSET, AT, END, FAULT = range(5)  # what `coder` holds
CODER_FIELDS = 5
LOOKAHEAD = 2  # words that the range decoder holds before it has decoded anything
DECISIONS_PER_WEIGHT = 96  # at most: LAST_CLASS for the class, 29 bits of the rest, a sign

OK, OVERRUN, OUT_OF_RANGE = range(3)
FIRST_LEVEL = 20  # the first tensor's mean magnitude is coded as the difference from 2^10/4096 = 1/4
FIRST_LEVEL_OF_VECTORS = 28  # 4
LAST_LEVEL = 47
_EVEN_ODDS = 1 << 31  # a probability of 1/2, never adapted
_FIRST_WEIGHT = 8430  # 0.13 for each of seven votes


class Rows(NamedTuple):
    """What a coded tensor's rows are like.

    Attributes:
        levels: (rows,), int64: of their mean magnitudes, 0 .. TOP_LEVEL; 0: unknown.
        extent: So many of them are coded, from the first on; the others are zero.
    """

    levels: NDArray[np.int64]
    extent: int


class State(NamedTuple):
    """The model's adaptive state, changed in place, and the tables that it reads (see `tables`).

    Attributes:
        counters: (COUNTERS,), uint32: 22 bits of probability, 10 bits of how often it was adapted.
        weights: (2 * KINDS * SETS, INPUTS + 1), int32: mixing weights in units of 2^-16, the bias last.
        maps: (KINDS * (TOP_LEVEL + 1), APM_BINS + 1), int32: refined probabilities at evenly spaced log odds.
        votes: (INPUTS + 1,), int32: room for the log odds of the bit at hand, and the constant input after them.
    """

    counters: NDArray[np.uint32]
    weights: NDArray[np.int32]
    maps: NDArray[np.int32]
    votes: NDArray[np.int32]
    stretch: NDArray[np.int16]
    squash: NDArray[np.int32]
    rates: NDArray[np.int32]
    quarter_octaves: NDArray[np.int32]


class Learnt:
    """What the tensors of one form have taught: adaptive probabilities, mixing weights and maps, and the predictor.

    Attributes:
        state: The first three.
        level: Half octaves of the mean magnitude of the latest of them that was not all zero.
    """

    def __init__(self, level: int) -> None:
        weights = np.full((2 * KINDS * SETS, INPUTS + 1), _FIRST_WEIGHT, np.int32)
        weights[:, INPUTS] = 0
        bins = np.arange(APM_BINS + 1) * APM_WIDTH
        self.state = State(
            counters=np.full(COUNTERS, _EVEN_ODDS, np.uint32),
            weights=weights,
            maps=np.tile(tables.squash()[bins], (KINDS * (TOP_LEVEL + 1), 1)),
            votes=np.full(INPUTS + 1, BIAS, np.int32),
            stretch=tables.stretch(),
            squash=tables.squash(),
            rates=tables.adaptation_rates(COUNT_LIMIT),
            quarter_octaves=tables.quarter_octaves(),
        )
        self.level = level
        self._gains: dict[int, NDArray[np.int32]] = {}

    def gains(self, taps: int, inputs: int) -> NDArray[np.int32]:
        """The predictor's weights for kernels of so many taps, as the latest tensor of such kernels has left them."""
        if taps not in self._gains:
            self._gains[taps] = np.zeros((min(taps, POSITIONS), inputs), np.int32)
        return self._gains[taps]


class Model:
    """What is learnt of vectors and of other tensors, apart, and what all of them say about the tensors to come."""

    def __init__(self) -> None:
        self._rows: dict[int, Rows] = {}
        self._last = Rows(np.zeros(0, np.int64), 0)

    @cached_property
    def weights(self) -> Learnt:
        """Of tensors of two or more dimensions."""
        return Learnt(FIRST_LEVEL)

    @cached_property
    def vectors(self) -> Learnt:
        """Of tensors of fewer: biases and normalisation have little in common with weights."""
        return Learnt(FIRST_LEVEL_OF_VECTORS)

    def of(self, shape: tuple[int, ...]) -> Learnt:
        """Of tensors like one of this shape."""
        return self.weights if len(shape) > 1 else self.vectors

    def before(self, columns: int) -> tuple[Rows, int]:
        """The rows that seem to be these columns' inputs, all unknown where there are none; and columns for each.

        A dead output channel is a dead input channel of the next layer. The layer before is taken where its rows
        divide the columns (a flattened feature map repeats each channel); else the latest one with as many rows.
        """
        rows = self._last.levels.size
        if rows > 1 and columns % rows == 0:
            return self._last, columns // rows
        return self.beside(columns), 1

    def beside(self, rows: int) -> Rows:
        """The rows of the latest tensor with as many: residual branches share dead channels."""
        return self._rows.get(rows) or Rows(np.zeros(rows, np.int64), rows)

    def remember(self, rows: Rows) -> None:
        """Keep what a coded tensor's rows are like for the tensors to come."""
        self._last = rows
        if rows.levels.size > 1:
            self._rows[rows.levels.size] = rows
