"""One weight after another through its contexts, compiled: what the model looks at, and in which order.

Encoding and decoding are the same functions (see `mixing`). Units: probabilities 2^-16, mean magnitudes 1/4096 of a
quantisation level, and "levels" of them quarter octaves.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.model.counting import count, counted, decayed, weight, with_room
from rdsearch.coding.model.mixing import code_mixed, code_plain, compiled
from rdsearch.coding.model.state import (
    AT,
    BIAS,
    CONTEXTS,
    DECISIONS_PER_WEIGHT,
    END,
    ERROR,
    FAULT,
    GAIN_BITS,
    INPUTS,
    LARGEST_GAIN,
    LAST_CLASS,
    LEAST_MEAN,
    LOOKAHEAD,
    MAGNITUDE_KINDS,
    MOST,
    OK,
    OUT_OF_RANGE,
    OVERRUN,
    PER_INPUT,
    POSITIONS,
    PRIOR_WEIGHTS,
    RATE,
    ROWS_KEPT,
    SIGN_BASE,
    SIGN_CONTEXTS,
    SIGN_KIND,
    TOP_LEVEL,
    TREE_BASE,
    TREE_CONTEXTS,
    TREE_KIND,
    UNIT,
    Coder,
    Ints,
    State,
    Tape,
)

_MAGNITUDE, _TREE, _SIGN, _DONE = range(4)


@compiled
def level_of(mean: int, quarter_octaves: NDArray[np.int32]) -> int:
    """Quarter octaves of a mean magnitude (in 1/4096), 0 .. TOP_LEVEL."""
    shift = 0
    while mean >= 4096:
        mean >>= 4
        shift += 16
    return min(int(np.int64(quarter_octaves[mean])) + shift, TOP_LEVEL)


@compiled
def known(level: int) -> int:
    """48 steps for a level, the first of them for one that is not known."""
    return min((level >> 1) + 1, 47) if level else 0


@compiled
def few(magnitude: int) -> int:
    """Seven steps for one weight's magnitude."""
    if magnitude < 3:
        return magnitude
    if magnitude < 5:
        return 3
    if magnitude < 9:
        return 4
    return 5 if magnitude < 17 else 6


@compiled
def dozen(total: int) -> int:
    """Twelve steps for a weighted sum of neighbours' magnitudes."""
    if total < 5:
        return total
    if total < 10:
        return 5 if total < 7 else 6
    if total < 20:
        return 7 if total < 14 else 8
    if total < 30:
        return 9
    return 10 if total < 50 else 11


@compiled
def lean(signs: int, count: int) -> int:
    """Thirteen steps, 0 .. 24, for a sum of signs: in units of a quarter of its standard deviation if random."""
    ratio = 16 * signs * signs // (count + 1)
    root = 0
    while root < 12 and (root + 1) * (root + 1) <= ratio:
        root += 1
    return 12 + root if signs > 0 else 12 - root


@compiled
def ternary(value: int) -> int:
    """0, 1 or 2 for a negative, zero or positive value."""
    return 1 + (value > 0) - (value < 0)


@partial(compiled, allocates=True)
def code_tensor(
    decoding: bool,
    values: NDArray[np.int32],
    shape: tuple[int, int, int, int],
    extent: tuple[int, int],
    level: int,
    in_order: bool,
    column_priors: Ints,
    columns_a_prior: int,
    row_priors: Ints,
    row_levels: Ints,
    reach: NDArray[np.int64],
    gains: NDArray[np.int32],
    state: State,
    coder: Coder,
    tape: Tape,
) -> tuple[int, Tape]:
    """Code the weights of one tensor that is not all zero.

    Args:
        decoding: Read `values` from `tape` rather than write them to it.
        values: (rows * columns * taps,), int32, in C order; filled in when decoding.
        shape: (rows, columns, taps, width): the tensor as a matrix of kernels, `width` taps a line.
        extent: Rows and columns that are coded, from the first on; the others are zero.
        level: Mean magnitude in half octaves, 1 .. 47.
        in_order: Rows descend lexicographically in their magnitudes.
        column_priors: (columns / columns_a_prior,), int64: levels of the rows of the layer before, 0 .. TOP_LEVEL;
            0: unknown.
        columns_a_prior: Adjacent columns that come from the same row of the layer before.
        row_priors: (rows,), int64: levels of the rows of the latest tensor with as many rows; 0: unknown.
        row_levels: (rows,), int64: filled with the level of each row.
        reach: (inputs, 2), int64: rows back and entries back of what the predictor looks at; none: no predictor.
        gains: (sets, inputs), int32: the predictor's weights, changed in place.
        state: What the model has learnt.
        coder: The range coder's state.
        tape: Decisions written, or words read.

    Returns:
        (status, tape): the tape is a larger one when the encoder ran out of room.
    """
    _, all_columns, taps, width = shape
    rows, columns = extent
    tensor_level = 2 * level
    mean = ((1722 if level & 1 else 1218) << (level >> 1)) >> 10  # the middle of the half octave
    slots = np.zeros(INPUTS, np.uint32)
    quarter_octaves = state.quarter_octaves
    column_sums = np.zeros(columns, np.int64)
    column_counts = np.zeros(columns, np.int64)
    column_signs = np.zeros(columns, np.int64)
    # Above the tensor's. Untouched zeros take no memory, so that a shape alone takes none.
    column_excess = np.zeros(columns + 2, np.int64)
    tap_sums = np.zeros(taps, np.int64)
    tap_counts = np.zeros(taps, np.int64)
    tap_signs = np.zeros(taps, np.int64)
    spatial = taps > 1
    row_stride = all_columns * taps
    previous_sign = 1
    kernels = 0
    set_magnitude = tensor_level >> 2

    inputs = len(reach)
    unit = max(mean, LEAST_MEAN)
    margin = 0
    for i in range(inputs):
        margin = max(margin, abs(reach[i, 1]))
    kept = 2 * margin + columns * taps if inputs else 0
    window = np.zeros(ROWS_KEPT * kept, np.int32)
    starts = np.zeros(inputs, np.int64)
    nearby = np.zeros(inputs, np.int32)

    for row in range(rows):
        row_sum, row_count, row_signs = 0, 0, 0
        row_level = level_of(mean, quarter_octaves)
        recent = mean
        tight = in_order and row > 0
        row_prior_context = known(row_priors[row])
        prior, columns_left = 0, columns_a_prior
        here_in_window = (row % ROWS_KEPT) * kept + margin
        if inputs:
            for i in range(columns * taps):
                window[here_in_window + i] = 0
            for i in range(inputs):
                back = (row + ROWS_KEPT - reach[i, 0]) % ROWS_KEPT
                starts[i] = back * kept + margin - reach[i, 1]
        for column in range(columns):
            start = row * row_stride + column * taps
            column_mean = (column_sums[column] * 4096 + PRIOR_WEIGHTS * mean) // (row * taps + PRIOR_WEIGHTS)
            column_level = level_of(column_mean, quarter_octaves)
            column_excess[column + 1] = column_level - tensor_level
            beside = column_excess[column] + column_excess[column + 2]
            half_column = column_level >> 1
            prior_context = known(column_priors[prior])
            columns_left -= 1
            if columns_left == 0:
                prior += 1
                columns_left = columns_a_prior
            kernel_sum = 0
            if not decoding:
                tape = with_room(tape, coder, DECISIONS_PER_WEIGHT * taps)
            for tap in range(taps):
                here = start + tap
                seen = column * taps + tap
                row_level = level_of((row_sum * 4096 + PRIOR_WEIGHTS * mean) // (seen + PRIOR_WEIGHTS), quarter_octaves)
                across = weight(values, here - taps) if column else 0
                above = weight(values, here - row_stride) if row else 0
                joint = min(max(row_level + column_level - tensor_level, 0), TOP_LEVEL)
                if spatial:
                    x = tap % width
                    on_line = tap >= width
                    left = weight(values, here - 1) if x else 0
                    up = weight(values, here - width) if on_line else 0
                    up_left = weight(values, here - width - 1) if x and on_line else 0
                    up_right = weight(values, here - width + 1) if on_line and x + 1 < width else 0
                    near = 2 * abs(left) + 2 * abs(up) + abs(up_left) + abs(up_right)
                    local = row_sum * 4096 + PRIOR_WEIGHTS * mean
                    local = (kernel_sum * 4096 + 2 * local // (seen + PRIOR_WEIGHTS)) // (tap + 2)
                    tap_mean = (tap_sums[tap] * 4096 + 2 * PRIOR_WEIGHTS * mean) // (kernels + 2 * PRIOR_WEIGHTS)
                    expected = joint + level_of(tap_mean, quarter_octaves) - tensor_level
                    expected = min(max(expected, 0), TOP_LEVEL)
                    position = min(tap, POSITIONS - 1)
                else:
                    left, up = across, above
                    up_left = weight(values, here - row_stride - 1) if row and column else 0
                    up_right = weight(values, here - row_stride + 1) if row and column + 1 < columns else 0
                    near = 2 * abs(left) + 2 * abs(up) + abs(up_left) + abs(up_right)
                    if column > 1:
                        near += abs(weight(values, here - 2))
                    local = recent
                    expected = joint
                    position = POSITIONS
                local_level = level_of(local, quarter_octaves)
                half_row = row_level >> 1

                forecast, energy = 0, PER_INPUT * inputs
                gain_row = min(tap, POSITIONS - 1)
                if inputs:
                    total = 1 << (GAIN_BITS - 1)
                    for i in range(inputs):
                        one = weight(window, starts[i] + seen)
                        nearby[i] = one
                        total += int(np.int64(gains[gain_row, i])) * one
                        energy += one * one
                    forecast = min(max(total >> GAIN_BITS, -MOST), MOST)

                touched = 0
                if near:
                    touched = 2 if near > 2 else 1
                slots[0] = 3 * ((2 * joint + local_level) >> 1) + touched
                slots[1] = ((few(abs(left)) * 7 + few(abs(up))) * 7 + few(abs(across))) * 7 + few(abs(above))
                slots[2] = half_row * 48 + half_column
                slots[3] = half_column * 48 + (tensor_level >> 1)
                slots[4] = dozen(near) * (TOP_LEVEL + 1) + local_level
                slots[5] = prior_context * 48 + row_prior_context
                slots[6] = min(max(column_level + beside + row_level + 40, 0), 300) >> 1
                if tight:
                    slots[7] = 1152 + min(abs(above), 5) * (TOP_LEVEL + 1) + row_level
                else:
                    slots[7] = min(3 * abs(forecast) >> 5, 23) * 48 + (expected >> 1)
                for j in range(INPUTS):
                    slots[j] += j * CONTEXTS

                value = weight(values, here)
                magnitude = abs(value)
                size_class, extra, rest = 0, 0, 0
                if not decoding:
                    size_class = magnitude
                    if magnitude > 4:
                        octave = 2
                        while (magnitude - 1) >> (octave + 1):
                            octave += 1
                        extra = octave - 1
                        size_class = 5 + 2 * (octave - 2) + (((magnitude - 1) >> extra) & 1)
                        rest = (magnitude - 1) & ((1 << extra) - 1)
                largest = abs(above) if tight and abs(above) < 5 else LAST_CLASS

                k, depth, node, found, group = 0, 0, 1, 0, 0
                phase = _MAGNITUDE if largest else _DONE
                while phase != _DONE:
                    set_a, set_b, bias = set_magnitude, position, BIAS
                    if phase == _MAGNITUDE:
                        bit = int(size_class > k)
                        kind = min(k, MAGNITUDE_KINDS - 1)
                    elif phase == _TREE:
                        bit = (rest >> (extra - 1 - depth)) & 1
                        kind = TREE_KIND + node
                        set_a, set_b = group, 0
                        slots[0] = group
                        slots[1] = tensor_level * 12 + group
                        slots[2] = row_level * 12 + group
                        slots[3] = expected * 12 + group
                        slots[4] = local_level * 12 + group
                        slots[5] = column_level * 12 + group
                        slots[6] = position * 12 + group
                        slots[7] = min(abs(forecast) >> 3, TOP_LEVEL) * 12 + group
                        for j in range(INPUTS):
                            slots[j] = TREE_BASE + (j * TREE_CONTEXTS + slots[j]) * 8 + node
                    else:
                        bit = int(value < 0)
                        kind = SIGN_KIND
                        set_a = 0
                        bias = min(max(-forecast * min(magnitude, 8) * 2, -1024), 1024)
                        leaning = (5 * abs(forecast) + 32) >> 6
                        leaning = 19 + (min(leaning, 19) if forecast > 0 else -min(leaning, 19))
                        slope = 2 * left + 2 * up - up_left if spatial else left + up
                        beside_above = ternary(left) * 3 + ternary(up)
                        slots[0] = (beside_above * 3 + ternary(up_left)) * 3 + ternary(up_right)
                        slots[1] = (ternary(across) * 3 + ternary(above)) * 9 + beside_above
                        slots[2] = lean(row_signs, row_count) * 3 + previous_sign
                        slots[3] = lean(column_signs[column], column_counts[column]) + 25 * few(magnitude)
                        slots[4] = leaning + 40 * min(magnitude - 1, 3)
                        slots[5] = position * 25 + lean(tap_signs[tap], tap_counts[tap])
                        slots[6] = min(max(slope, -15), 15) + 15 + 31 * min(magnitude - 1, 2)
                        slots[7] = leaning * 9 + beside_above
                        for j in range(INPUTS):
                            slots[j] += SIGN_BASE + j * SIGN_CONTEXTS
                    bit = code_mixed(decoding, bit, kind, slots, set_a, set_b, bias, expected, state, coder, tape)
                    if phase == _MAGNITUDE:
                        k += bit
                        if bit and kind < MAGNITUDE_KINDS - 1:
                            for j in range(INPUTS):
                                slots[j] += INPUTS * CONTEXTS
                        if not bit or k == largest:
                            phase = _SIGN if k else _DONE
                            if decoding:
                                magnitude = k
                            if k > 4:
                                phase = _TREE
                                extra = ((k - 5) >> 1) + 1
                                group = min(k - 5, 11)
                    elif phase == _TREE:
                        node = 2 * node + bit
                        found = 2 * found + bit
                        depth += 1
                    else:
                        if decoding:
                            if magnitude > 2147483647 + bit:
                                return OUT_OF_RANGE, tape
                            value = -magnitude if bit else magnitude
                            values[here] = value
                        phase = _DONE
                    if phase == _TREE and depth == min(extra, 3):
                        found = (found << (extra - depth)) + code_plain(decoding, rest, extra - depth, coder, tape)
                        if decoding:
                            magnitude = 1 + ((2 + ((k - 5) & 1)) << extra) + found
                        phase = _SIGN

                if magnitude:
                    sign = -1 if value < 0 else 1
                    previous_sign = 1 + sign
                    row_signs += sign
                    row_count += 1
                    kernel_sum += counted(magnitude)
                    row_sum += counted(magnitude)
                    count(column, magnitude, sign, column_sums, column_counts, column_signs)
                    count(tap, magnitude, sign, tap_sums, tap_counts, tap_signs)
                recent = decayed(recent, magnitude)
                if min(magnitude, 5) != min(abs(above), 5):
                    tight = False
                if inputs:
                    scaled = min((magnitude * (4096 * UNIT) + (unit >> 1)) // unit, MOST) if magnitude else 0
                    if value < 0:
                        scaled = -scaled
                    window[here_in_window + seen] = scaled
                    error = min(max(scaled - forecast, -ERROR), ERROR)
                    if error and energy > PER_INPUT * inputs:
                        change = RATE * abs(error) // energy
                        if error < 0:
                            change = -change
                        for i in range(inputs):
                            gain = int(np.int64(gains[gain_row, i])) + ((change * weight(nearby, i) + 128) >> 8)
                            gains[gain_row, i] = min(max(gain, -LARGEST_GAIN), LARGEST_GAIN)
                if decoding and (coder[FAULT] or coder[AT] > coder[END] + np.uint64(LOOKAHEAD)):
                    return OVERRUN, tape
            kernels += 1
        row_levels[row] = row_level
    return OK, tape
