from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from rdsearch.errors import QuantizationError
from rdsearch.quantization.uniform import (
    MAX_LEVEL,
    dequantize,
    quantize_to_bits,
    quantize_uniform,
    snap_step,
    survivor_rms,
)

steps = st.floats(1e-6, 1e3)
values = st.lists(st.floats(-100, 100, width=32), max_size=30)
LARGEST_STEP = 3.3895313892515355e38


def is_bfloat16(step: float) -> bool:
    return step == float(np.float32(step)) and int(np.float32(step).view(np.uint32)) & 0xFFFF == 0


@given(st.floats(0, LARGEST_STEP))
def test_snap_step_is_idempotent_exact_in_bfloat16_and_what_torch_rounds_to(step: float) -> None:
    snapped = snap_step(step)
    assert is_bfloat16(snapped)
    assert snap_step(snapped) == snapped
    single = torch.tensor(step, dtype=torch.float32)
    # Half-way cases go up here and to even in torch.
    assert snapped >= float(single.to(torch.bfloat16))
    if step > 1e-37:
        assert snapped == pytest.approx(step, rel=2**-8)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (-0.1, "step -0.1 must be a finite number, 0 or greater"),
        (math.nan, "step nan must be a finite number"),
        (math.inf, "step inf must be a finite number"),
        (1e39, "step 1e[+]39 must be a finite number"),
        (3.4e38, "too large; at most 3.38e38"),
    ],
)
def test_snap_step_refuses_what_no_file_can_hold(step: float, said: str) -> None:
    with pytest.raises(QuantizationError, match=said):
        snap_step(step)


def test_rounding_is_to_the_nearest_multiple() -> None:
    quantized = quantize_uniform(torch.tensor([[0.0, 0.2, 0.26], [-0.8, 1.3, -0.24]]), 0.5)
    assert quantized.levels.dtype == np.int8
    assert quantized.levels.tolist() == [[0, 0, 1], [-2, 3, 0]]
    assert quantized.step == 0.5


@pytest.mark.parametrize(
    ("largest", "kind"), [(127, np.int8), (128, np.int16), (32767, np.int16), (32768, np.int32), (2**24, np.int32)]
)
def test_levels_take_the_narrowest_type_that_holds_them_and_their_negatives(largest: int, kind: type) -> None:
    quantized = quantize_uniform(torch.tensor([float(-largest), 0.4, float(largest)]), 1.0)
    assert quantized.levels.dtype == kind
    assert np.abs(quantized.levels).tolist() == [largest, 0, largest]


def test_weights_of_several_parts_are_rounded_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    whole = quantize_uniform(weights, 0.25, 1.5), survivor_rms([weights])
    monkeypatch.setattr("rdsearch.quantization.uniform._AT_ONCE", 10)
    for same in (weights, weights.T.contiguous().T):  # the other lies in another order in memory
        parts = quantize_uniform(same, 0.25, 1.5)
        assert np.array_equal(parts.levels, whole[0].levels)
        assert survivor_rms([same]) == pytest.approx(whole[1], rel=1e-12)


def test_a_wider_dead_zone_takes_more_to_zero_and_nothing_else_moves() -> None:
    weights = torch.tensor([0.3, 0.7, 0.99, 1.0, -1.01, 1.6, -0.4])
    assert quantize_uniform(weights, 1.0, 1.0).levels.tolist() == [0, 1, 1, 1, -1, 2, 0]
    assert quantize_uniform(weights, 1.0, 2.0).levels.tolist() == [0, 0, 0, 1, -1, 2, 0]
    assert quantize_uniform(weights, 1.0, 4.0).levels.tolist() == [0] * 7


@given(values, steps, st.floats(1, 4))
def test_the_error_is_at_most_half_a_step_outside_the_dead_zone_and_zero_is_inside(
    weights: list[float], step: float, dead_zone: float
) -> None:
    assume(max(map(abs, weights), default=0.0) / step < 1e6)
    original = np.array(weights, np.float64)
    quantized = quantize_uniform(torch.tensor(weights, dtype=torch.float32), step, dead_zone)
    inside = np.abs(original) < dead_zone * quantized.step / 2
    assert (quantized.levels[inside] == 0).all()
    error = np.abs(quantized.levels[~inside] * quantized.step - original[~inside])
    assert (error <= quantized.step / 2 * (1 + 1e-9)).all()
    assert (np.sign(quantized.levels[~inside]) == np.sign(original[~inside])).all()


@given(values, steps)
def test_dequantize_is_exactly_levels_times_step(weights: list[float], step: float) -> None:
    assume(max(map(abs, weights), default=0.0) / step < 2**15)
    quantized = quantize_uniform(torch.tensor(weights, dtype=torch.float32), step)
    exact = quantized.levels.astype(np.float64) * quantized.step
    decoded = dequantize(quantized)
    assert decoded.dtype == np.float32
    # 16 bits of level times 8 of step fit into a float32's 24.
    assert (decoded.astype(np.float64) == exact).all()


@given(values, steps)
def test_quantizing_twice_changes_nothing(weights: list[float], step: float) -> None:
    assume(max(map(abs, weights), default=0.0) / step < 2**15)
    once = quantize_uniform(torch.tensor(weights, dtype=torch.float32), step)
    twice = quantize_uniform(torch.from_numpy(dequantize(once)), once.step)
    assert (twice.levels == once.levels).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    weights = torch.tensor([0.1, bad])
    with pytest.raises(QuantizationError, match="NaN or infinite"):
        quantize_uniform(weights, 0.1)
    with pytest.raises(QuantizationError, match="NaN or infinite"):
        quantize_uniform(weights, survivor_rms([weights]))
    with pytest.raises(QuantizationError, match="NaN or infinite"):
        quantize_to_bits(weights, 8)


def test_a_step_too_small_for_the_levels_is_refused() -> None:
    assert quantize_uniform(torch.tensor([float(MAX_LEVEL)]), 1.0).levels[0] == MAX_LEVEL
    with pytest.raises(QuantizationError, match=r"step 1 puts a weight on level 3\.36e\+07; at most 16777216"):
        quantize_uniform(torch.tensor([2.0 * MAX_LEVEL]), 1.0)


def test_step_zero_is_for_zeros_only() -> None:
    quantized = quantize_uniform(torch.zeros(2, 3), 0.0)
    assert (quantized.levels.shape, quantized.step) == ((2, 3), 0.0)
    assert not dequantize(quantized).any()
    with pytest.raises(QuantizationError, match="step 0"):
        quantize_uniform(torch.tensor([0.5]), 0.0)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), max_size=20).filter(lambda v: not v or max(map(abs, v)) > 1e-30),
    st.integers(2, 16),
)
def test_bits_bound_the_levels_and_half_a_step_the_error(weights: list[float], bits: int) -> None:
    quantized = quantize_to_bits(torch.tensor(weights, dtype=torch.float32), bits)
    top = 2 ** (bits - 1) - 1
    assert np.abs(quantized.levels).max(initial=0) <= top
    error = np.abs(quantized.levels * quantized.step - np.array(weights))
    assert error.max(initial=0.0) <= quantized.step / 2 * (1 + 1e-9)
    # No more than one bfloat16 coarser than the step that would just do.
    largest = max(map(abs, weights), default=0.0)
    assert quantized.step <= largest / top * (1 + 2**-7) * (1 + 2**-8)


@pytest.mark.parametrize("weights", [[0.0, -0.0], [], [1e-42, -1e-44]])
def test_bits_of_nothing_but_zeros_or_nearly_so_are_zeros(weights: list[float]) -> None:
    quantized = quantize_to_bits(torch.tensor(weights, dtype=torch.float32), 8)
    assert quantized.levels.shape == (len(weights),)
    assert not dequantize(quantized).any()


def test_half_precision_and_empty_tensors_are_taken() -> None:
    assert quantize_uniform(torch.tensor([0.5], dtype=torch.float16), 0.25).levels.tolist() == [2]
    assert quantize_uniform(torch.tensor([0.5], dtype=torch.bfloat16), 0.25).levels.tolist() == [2]
    assert quantize_uniform(torch.zeros(0, 3), 0.25).levels.shape == (0, 3)
    assert quantize_uniform(torch.tensor(0.5), 0.25).levels.shape == ()


def test_quantizing_leaves_the_weights_alone_and_takes_those_with_gradients() -> None:
    weights = torch.nn.Parameter(torch.tensor([0.3, 0.7]))
    quantize_uniform(weights, 1.0)
    assert weights.tolist() == pytest.approx([0.3, 0.7])


def test_survivor_rms_counts_what_is_not_zero() -> None:
    assert survivor_rms([torch.tensor([3.0, 0.0]), torch.tensor([[0.0, 4.0]])]) == pytest.approx(math.sqrt(12.5))
    assert survivor_rms([torch.zeros(4)]) == 0.0
    assert survivor_rms([]) == 0.0
