"""The coder's state between tensors: what its model has learnt, and where the range coder stands."""

from __future__ import annotations

import math

import constriction
import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.model import header, kernels, prediction, refinement_kernel, state, tables
from rdsearch.coding.reading import WORD_BYTES, Reader

_LEAST_PREDICTED = 64
_LARGE = 1 << 19
"""Weights from which on it counts how long a tensor takes."""
_DENSE = 0.25
_FIRST_ROOM = 1 << 14
_HEADER_DECISIONS = 256
_CHUNK = 1 << 16
"""Decisions that go to constriction in one call: their arrays of 24 bytes a decision fit into a processor's cache."""


class _Stream:
    """What encoder and decoder share: the model, the range coder's state, and the tape."""

    def __init__(self, tape: state.Tape, decoding: bool, model: state.Model | None = None) -> None:
        self._model = model or state.Model()
        self._decoding = decoding
        self._tape = tape
        self._coder = np.zeros(state.CODER_FIELDS, np.uint64)

    def _code_level(self, level: int) -> int:
        learnt = self._model.weights
        level = header.code_level(self._decoding, level, learnt.level, learnt.state, self._coder, self._tape)
        learnt.level = level or learnt.level
        return level

    def _code_header(self, fields: state.Ints, shape: tuple[int, ...]) -> None:
        model, learnt, matrix = self._model, self._model.of(shape), matrix_of_kernels(shape)
        rows, columns, _, _ = matrix
        before, repeat = model.before(columns)
        header.code_header(
            self._decoding,
            fields,
            matrix,
            learnt.level,
            (max(model.beside(rows).extent, 1), max(before.extent * repeat, 1)),
            learnt.state,
            self._coder,
            self._tape,
        )
        learnt.level = int(fields[header.LEVEL]) or learnt.level

    def _code_weights(self, values: NDArray[np.int32], fields: state.Ints, *, in_order: bool) -> int:
        model, learnt, shape = self._model, self._model.of(values.shape), matrix_of_kernels(values.shape)
        rows, columns, taps, _ = shape
        level, live_rows, live_columns, predicted, distance = map(int, fields)
        row_levels = np.ones(rows, np.int64)
        before, repeat = model.before(columns)
        reach = prediction.reach(taps, distance) if predicted else np.zeros((0, 2), np.int64)
        status, self._tape = kernels.code_tensor(
            self._decoding,
            values.reshape(-1),
            shape,
            (live_rows, live_columns),
            level,
            in_order,
            before.levels,
            repeat,
            model.beside(rows).levels,
            row_levels,
            reach,
            learnt.gains(taps, prediction.inputs(taps)),
            learnt.state,
            self._coder,
            self._tape,
        )
        model.remember(state.Rows(row_levels, live_rows))
        return int(status)

    def _code_cells(
        self, cells: NDArray[np.int32], targets: NDArray[np.int32], options: tuple[int, int], level: int
    ) -> int:
        status, self._tape = refinement_kernel.refine_tensor(
            self._decoding,
            cells.reshape(-1),
            targets.reshape(-1),
            matrix_of_kernels(cells.shape),
            *options,
            level,
            self._model.weights.state,
            self._coder,
            self._tape,
        )
        return int(status)


class Encoder(_Stream):
    """Codes tensors into one growing payload; with a ``model`` that others have taught, and that it teaches."""

    def __init__(self, model: state.Model | None = None) -> None:
        super().__init__(np.empty(_FIRST_ROOM, np.uint32), decoding=False, model=model)
        self._encoder = constriction.stream.queue.RangeEncoder()
        # The very numbers of constriction's Bernoulli model, four times as fast.
        self._model_of_bits = constriction.stream.model.Categorical(lazy=True, perfect=False)

    def put(self, tensor: NDArray[np.int32], *, in_order: bool = False) -> None:
        """Code one tensor that has weights: C-ordered, any shape; ``in_order``: its rows are (see `in_order`)."""
        self._make_room()
        fields = describe(tensor.reshape(matrix_of_kernels(tensor.shape)[:3]))
        self._code_header(fields, tensor.shape)
        if fields[header.LEVEL]:
            self._code_weights(tensor, fields, in_order=in_order)
        self._flush()

    def refine(self, before: NDArray[np.int32], after: NDArray[np.int32], options: tuple[int, int]) -> None:
        """Code one tensor's cells, given the first of those that are possible; ``before`` is overwritten."""
        level = mean_level(after, tables.quarter_octaves())
        self._make_room()
        self._code_level(level)
        if level:
            self._code_cells(before, after, options, level)
        self._flush()

    def _make_room(self) -> None:
        """Room on the tape for a header."""
        if self._tape.size < _HEADER_DECISIONS:
            self._tape = np.empty(_FIRST_ROOM, np.uint32)

    def _flush(self) -> None:
        """Hand the tape's decisions to constriction, and rewind it."""
        count = int(self._coder[state.AT])
        for start in range(0, count, _CHUNK):
            chunk = self._tape[start : min(start + _CHUNK, count)]
            probabilities = np.empty((chunk.size, 2))
            np.divide(chunk >> 1, 65536.0, out=probabilities[:, 1])
            np.subtract(1.0, probabilities[:, 1], out=probabilities[:, 0])
            self._encoder.encode((chunk & 1).astype(np.int32), self._model_of_bits, probabilities)
        self._coder[state.AT] = 0

    def finish(self) -> bytes:
        """The payload: constriction's words, most significant byte first, ended with the fewest bytes that will do.

        The last two words may hold any number of the final range; zeros at the end are left out.
        """
        words = self._encoder.get_compressed()
        settled, (low, width) = self._encoder.pos()
        data = words.astype(">u4").tobytes().ljust(WORD_BYTES * (settled + 2), b"\0")
        head, tail = data[: WORD_BYTES * settled], int.from_bytes(data[WORD_BYTES * settled :], "big")
        # Where the range runs over 2^64, constriction has decided already which side of it the tail is on.
        first, last = (low, min(low + width, 1 << 64) - 1) if tail >= low else (0, low + width - (1 << 64) - 1)
        for kept in range(2 * WORD_BYTES + 1):
            unit = 1 << (8 * (2 * WORD_BYTES - kept))
            shortest = -(-first // unit) * unit
            if shortest <= last:
                break
        payload: bytes = head + shortest.to_bytes(2 * WORD_BYTES, "big")
        return payload.rstrip(b"\0")


class Decoder(_Stream, Reader):
    """Reads tensors from a payload by the compiled functions that the encoder uses; see `Reader`."""

    def __init__(self, data: bytes) -> None:
        Reader.__init__(self, data)
        _Stream.__init__(self, np.empty(0, np.uint32), decoding=True)
        self._fields = np.zeros(header.FIELDS, np.int64)
        self.go_on(data)

    def go_on(self, data: bytes) -> None:
        """See `Reader`."""
        Reader.go_on(self, data)
        padded = data.ljust(max(-(-len(data) // WORD_BYTES), state.LOOKAHEAD) * WORD_BYTES, b"\0")
        self._tape = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._coder[state.FAULT] = 0
        self._coder[state.RANGE] = (1 << 64) - 1
        self._coder[state.OFFSET] = int.from_bytes(padded[: WORD_BYTES * state.LOOKAHEAD], "big")
        self._coder[state.AT] = state.LOOKAHEAD
        self._coder[state.END] = self._tape.size

    def _next(self, shape: tuple[int, ...]) -> bool:
        self._fields[:] = 0
        self._code_header(self._fields, shape)
        return bool(self._fields[header.LEVEL])

    def _read(self, values: NDArray[np.int32], *, in_order: bool) -> int:
        return self._code_weights(values, self._fields, in_order=in_order)

    def _next_cells(self, shape: tuple[int, ...]) -> bool:
        self._fields[header.LEVEL] = self._code_level(0)
        return bool(self._fields[header.LEVEL])

    def _split(self, cells: NDArray[np.int32], options: tuple[int, int]) -> int:
        return self._code_cells(cells, cells, options, int(self._fields[header.LEVEL]))

    def _exhausted(self) -> bool:
        return bool(self._coder[state.AT] > self._coder[state.END] + np.uint64(state.LOOKAHEAD))

    def _words(self) -> int:
        return int(self._coder[state.AT])


def matrix_of_kernels(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A tensor's shape as (rows, columns, taps, taps a line); a vector is one row."""
    if len(shape) < 2:
        return 1, math.prod(shape), 1, 1
    return shape[0], shape[1], math.prod(shape[2:]), shape[-1] if len(shape) > 2 else 1


def describe(tensor: NDArray[np.int32]) -> state.Ints:
    """What a tensor's header says: (FIELDS,), int64.

    Args:
        tensor: (rows, columns, taps).
    """
    fields = np.zeros(header.FIELDS, np.int64)
    used = tensor != 0
    rows, columns = _extent(used.any((1, 2))), _extent(used.any((0, 2)))
    if not rows:
        return fields
    live = tensor[:rows, :columns]
    predicted = _worth_predicting(live)
    distance = prediction.best_distance(live[:, :, 0]) if predicted and tensor.shape[2] == 1 else 0
    fields[:] = mean_level(live, tables.quarter_octaves()), rows, columns, predicted, distance
    return fields


def _worth_predicting(live: NDArray[np.int32]) -> bool:
    """Whether the predictor may save more than it takes in time: in sparse tensors it saves little."""
    large = live.size > _LARGE
    return live.size >= _LEAST_PREDICTED and not (large and np.count_nonzero(live) < _DENSE * live.size)


def _extent(used: NDArray[np.bool_]) -> int:
    """Entries up to the last one that is used."""
    return used.size - int(np.argmax(used[::-1])) if used.any() else 0


def in_order(tensor: NDArray[np.int32]) -> bool:
    """Whether the rows of a tensor descend lexicographically in their magnitudes, those of 5 and more being alike."""
    rows = np.minimum(np.abs(tensor.reshape(len(tensor), -1).astype(np.int64)), 5).astype(np.int8)
    steps = rows[1:] - rows[:-1]
    first = np.argmax(steps != 0, axis=1)
    return bool((np.take_along_axis(steps, first[:, None], 1) <= 0).all())


def mean_level(tensor: NDArray[np.int32], quarter_octaves: NDArray[np.int32]) -> int:
    """Half octaves of the mean magnitude in units of 1/4096, 1 .. LAST_LEVEL; 0 where all weights are zero."""
    total = int(np.abs(tensor.astype(np.int64)).sum())
    if not total:
        return 0
    mean = total * 4096 // tensor.size
    return min(max(int(kernels.level_of(mean, quarter_octaves)) // 2, 1), state.LAST_LEVEL)
