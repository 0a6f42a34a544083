"""One tensor's refinement from a coarser quality layer to the next, compiled: what the model looks at.

Encoding and decoding are the same function (see `mixing`). Where the coder of whole tensors (`kernels`) knows only
what lies behind a weight, here every neighbour is known, those ahead as coarsely as the layer before says. Units as
there: probabilities 2^-16, mean magnitudes 1/4096 of a cell, "levels" of them quarter octaves.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.model.counting import count, counted, decayed, weight, with_room
from rdsearch.coding.model.kernels import dozen, few, known, lean, level_of, ternary
from rdsearch.coding.model.mixing import code_mixed, compiled
from rdsearch.coding.model.state import (
    AT,
    BIAS,
    CONTEXTS,
    END,
    FAULT,
    INPUTS,
    LOOKAHEAD,
    MAX_OPTIONS,
    OK,
    OVERRUN,
    POSITIONS,
    PRIOR_WEIGHTS,
    SIGN_BASE,
    SIGN_CONTEXTS,
    SIGN_KIND,
    TOP_LEVEL,
    Coder,
    State,
    Tape,
)

ZERO_KINDS = 10  # decisions about weights that are zero so far: more than 0?, more than 1?, ...; then the others


@partial(compiled, allocates=True)
def refine_tensor(
    decoding: bool,
    values: NDArray[np.int32],
    targets: NDArray[np.int32],
    shape: tuple[int, int, int, int],
    zero_options: int,
    other_options: int,
    level: int,
    state: State,
    coder: Coder,
    tape: Tape,
) -> tuple[int, Tape]:
    """Code which of the finer cells each weight is in.

    Args:
        decoding: Read from `tape` rather than write to it.
        values: (rows * columns * taps,), int32, in C order: the first of the finer cells that a weight may be in, with
            its sign; when done, the one that it is in.
        targets: As `values` when done; not read when decoding.
        shape: (rows, columns, taps, width): the tensor as a matrix of kernels, `width` taps a line.
        zero_options: Cells, the zero one included, that a weight may be in that is zero so far.
        other_options: Cells that any other weight may be in.
        level: Mean magnitude of `targets`, in half octaves, 1 .. 47.
        state: What the model has learnt.
        coder: The range coder's state.
        tape: Decisions written, or words read.

    Returns:
        (status, tape): the tape is a larger one when the encoder ran out of room.
    """
    rows, columns, taps, width = shape
    row_stride = columns * taps
    spatial = taps > 1
    tensor_level = 2 * level
    mean = min(((1722 if level & 1 else 1218) << (level >> 1)) >> 10, 1 << 24)  # the middle of the half octave
    quarter_octaves = state.quarter_octaves
    slots = np.zeros(INPUTS, np.uint32)
    coarse_rows = np.zeros(rows, np.int64)
    coarse_columns = np.zeros(columns + 2, np.int64)
    coarse_taps = np.zeros(taps, np.int64)
    index = 0
    for row in range(rows):
        for column in range(columns):
            for tap in range(taps):
                magnitude = counted(abs(weight(values, index)))
                coarse_rows[row] += magnitude
                coarse_columns[column + 1] += magnitude
                coarse_taps[tap] += magnitude
                index += 1
    coarse_total = np.int64(0)
    for tap in range(taps):
        coarse_total += coarse_taps[tap]
    coarse_mean = coarse_total * 4096 // (rows * row_stride) + 1

    column_sums = np.zeros(columns, np.int64)
    column_counts = np.zeros(columns, np.int64)
    column_signs = np.zeros(columns, np.int64)
    tap_sums = np.zeros(taps, np.int64)
    tap_counts = np.zeros(taps, np.int64)
    tap_signs = np.zeros(taps, np.int64)
    set_magnitude = tensor_level >> 2
    previous_sign = 1
    kernels = 0
    for row in range(rows):
        row_sum, row_count, row_signs = 0, 0, 0
        row_coarse = (coarse_rows[row] * 4096 + PRIOR_WEIGHTS * coarse_mean) // (row_stride + PRIOR_WEIGHTS)
        row_prior = min(mean * row_coarse // coarse_mean, 1 << 24)
        row_context = known(level_of(row_coarse, quarter_octaves))
        recent = row_prior
        for column in range(columns):
            start = row * row_stride + column * taps
            column_coarse = coarse_columns[column + 1] * 4096 + PRIOR_WEIGHTS * coarse_mean
            column_coarse //= rows * taps + PRIOR_WEIGHTS
            column_prior = min(mean * column_coarse // coarse_mean, 1 << 24)
            column_mean = column_sums[column] * 4096 + PRIOR_WEIGHTS * column_prior
            column_level = level_of(column_mean // (row * taps + PRIOR_WEIGHTS), quarter_octaves)
            column_context = known(level_of(column_coarse, quarter_octaves))
            kernel_sum = 0
            for tap in range(taps):
                kernel_sum += counted(abs(weight(values, start + tap)))
            if not decoding:
                tape = with_room(tape, coder, (MAX_OPTIONS + 1) * taps)
            for tap in range(taps):
                here = start + tap
                before = weight(values, here)
                options = other_options if before else zero_options
                seen = column * taps + tap
                across = weight(values, here - taps) if column else 0
                beyond = weight(values, here + taps) if column + 1 < columns else 0
                above = weight(values, here - row_stride) if row else 0
                below = weight(values, here + row_stride) if row + 1 < rows else 0
                if options == 1:
                    magnitude = abs(before)
                    value = before
                else:
                    row_mean = (row_sum * 4096 + PRIOR_WEIGHTS * row_prior) // (seen + PRIOR_WEIGHTS)
                    row_level = level_of(row_mean, quarter_octaves)
                    joint = min(max(row_level + column_level - tensor_level, 0), TOP_LEVEL)
                    if spatial:
                        x = tap % width
                        line_before = tap >= width
                        line_after = tap + width < taps
                        left = weight(values, here - 1) if x else 0
                        right = weight(values, here + 1) if x + 1 < width else 0
                        up = weight(values, here - width) if line_before else 0
                        down = weight(values, here + width) if line_after else 0
                        up_left = weight(values, here - width - 1) if x and line_before else 0
                        up_right = weight(values, here - width + 1) if line_before and x + 1 < width else 0
                        down_left = weight(values, here + width - 1) if line_after and x else 0
                        down_right = weight(values, here + width + 1) if line_after and x + 1 < width else 0
                        around = (kernel_sum - counted(abs(before))) * 4096 + 2 * row_mean
                        local = around // (taps + 1)
                        tap_mean = tap_sums[tap] * 4096 + 2 * PRIOR_WEIGHTS * mean
                        tap_level = level_of(tap_mean // (kernels + 2 * PRIOR_WEIGHTS), quarter_octaves)
                        expected = min(max(joint + tap_level - tensor_level, 0), TOP_LEVEL)
                        position = min(tap, POSITIONS - 1)
                    else:
                        left, right, up, down = across, beyond, above, below
                        up_left = weight(values, here - row_stride - 1) if row and column else 0
                        up_right = weight(values, here - row_stride + 1) if row and column + 1 < columns else 0
                        down_left = weight(values, here + row_stride - 1) if row + 1 < rows and column else 0
                        down_right = (
                            weight(values, here + row_stride + 1) if row + 1 < rows and column + 1 < columns else 0
                        )
                        local = recent
                        expected = joint
                        position = POSITIONS
                    near = 2 * (abs(left) + abs(up) + abs(right) + abs(down))
                    near += abs(up_left) + abs(up_right) + abs(down_left) + abs(down_right)
                    far = abs(across) + abs(beyond) + abs(above) + abs(below) if spatial else 0
                    local_level = level_of(local, quarter_octaves)
                    touched = 0
                    if near + far:
                        touched = 2 if near + far > 2 else 1
                    slots[0] = 3 * ((2 * joint + local_level) >> 1) + touched
                    slots[1] = ((few(abs(left)) * 7 + few(abs(up))) * 7 + few(abs(right))) * 7 + few(abs(down))
                    slots[2] = (row_level >> 1) * 48 + (column_level >> 1)
                    if spatial:
                        slots[3] = few(abs(across)) * 7 + few(abs(beyond))
                        slots[3] = (slots[3] * 7 + few(abs(above))) * 7 + few(abs(below))
                    else:
                        slots[3] = few(abs(up_left)) * 7 + few(abs(up_right))
                        slots[3] = (slots[3] * 7 + few(abs(down_left))) * 7 + few(abs(down_right))
                    slots[4] = dozen((near + 1) >> 1) * (TOP_LEVEL + 1) + local_level
                    slots[5] = row_context * 48 + column_context
                    slots[6] = dozen(far) * (TOP_LEVEL + 1) + expected
                    slots[7] = row_context * 48 + min(position, 47)
                    first_kind = 0
                    if before:
                        first_kind = ZERO_KINDS
                        slots[6] = min(abs(before), 47) * 48 + (tensor_level >> 1)
                    for j in range(INPUTS):
                        slots[j] += j * CONTEXTS + first_kind * INPUTS * CONTEXTS
                    value = 0 if decoding else weight(targets, here)
                    rest = abs(value) - abs(before)
                    k = 0
                    while k < options - 1:
                        kind = min(k, ZERO_KINDS - 1)
                        more = code_mixed(
                            decoding,
                            int(rest > k),
                            first_kind + kind,
                            slots,
                            set_magnitude,
                            position,
                            BIAS,
                            expected,
                            state,
                            coder,
                            tape,
                        )
                        if not more:
                            break
                        if kind < ZERO_KINDS - 1:
                            for j in range(INPUTS):
                                slots[j] += INPUTS * CONTEXTS
                        k += 1
                    magnitude = abs(before) + k
                    if before:
                        value = -magnitude if before < 0 else magnitude
                    elif magnitude:
                        nearby = ((ternary(left) * 3 + ternary(up)) * 3 + ternary(right)) * 3 + ternary(down)
                        slope = 2 * left + 2 * up + 2 * right + 2 * down - up_left - up_right
                        slots[0] = nearby * 3 + ternary(up_left)
                        slots[1] = (ternary(across) * 3 + ternary(above)) * 9 + ternary(left) * 3 + ternary(up)
                        slots[1] += 81 * (ternary(beyond) * 3 + ternary(below))
                        slots[2] = lean(row_signs, row_count)
                        slots[3] = lean(column_signs[column], column_counts[column]) + 25 * few(magnitude)
                        slots[4] = 3 * previous_sign + ternary(up_left + up_right + down_left + down_right)
                        slots[5] = position * 25 + lean(tap_signs[tap], tap_counts[tap])
                        slots[6] = min(max(slope, -15), 15) + 15 + 31 * min(magnitude - 1, 2)
                        slots[7] = lean(row_signs, row_count) * 25 + lean(column_signs[column], column_counts[column])
                        for j in range(INPUTS):
                            slots[j] += SIGN_BASE + j * SIGN_CONTEXTS
                        negative = code_mixed(
                            decoding, int(value < 0), SIGN_KIND, slots, 0, position, 0, expected, state, coder, tape
                        )
                        value = -magnitude if negative else magnitude
                        kernel_sum += counted(magnitude)
                    if before:
                        kernel_sum += counted(magnitude) - counted(abs(before))
                    values[here] = value
                    if decoding and (coder[FAULT] or coder[AT] > coder[END] + np.uint64(LOOKAHEAD)):
                        return OVERRUN, tape
                if magnitude:
                    sign = -1 if value < 0 else 1
                    previous_sign = 1 + sign
                    row_signs += sign
                    row_count += 1
                    row_sum += counted(magnitude)
                    count(column, magnitude, sign, column_sums, column_counts, column_signs)
                    count(tap, magnitude, sign, tap_sums, tap_counts, tap_signs)
                recent = decayed(recent, magnitude)
            kernels += 1
    return OK, tape
