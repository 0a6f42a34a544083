"""The test of quantization methods of other packages."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from rdsearch.base.randomness import isolated_rng
from rdsearch.plugins.said import said
from rdsearch.pruning.weights import prunable_weights
from rdsearch.quantization.method import Work
from rdsearch.quantization.uniform import MAX_LEVEL, Quantized, dequantize, quantize_uniform, snap_step

STEP = 0.07


def check_quantization_method(method: Callable[[Work], Any]) -> list[str]:
    """Try a quantization method out on a small pruned network with convolution, normalisation and linear layers.

    Args:
        method: ``method(work) -> levels``: each weight of ``work.steps`` as `rdsearch.plugins.Quantized`; the decoded
            weights are left in ``work.coarse``, as `rdsearch.plugins.finish` does it.

    Returns:
        One sentence for each problem; empty when all is well.
    """
    return said(_problems(method))


def _problems(method: Callable[[Work], Any]) -> Iterator[str]:
    work, again = _work(), _work()
    before = copy.deepcopy(work.network.state_dict())
    levels, repeated = method(work), method(again)
    if not isinstance(levels, dict) or not all(isinstance(each, Quantized) for each in levels.values()):
        yield "it answers with something else than a dict of names to rdsearch.plugins.Quantized"
        return
    if missing := sorted(set(work.steps) ^ set(levels)):
        yield f"weights of work.steps without levels, or levels of others: {', '.join(missing)}"
        return
    if any(not torch.equal(tensor, before[name]) for name, tensor in work.network.state_dict().items()):
        yield "it changes the float network: work.coarse alone is to be changed"
    for name, weight in work.weights().items():
        quantized = levels[name]
        if quantized.levels.dtype.kind not in "iu" or quantized.levels.shape != tuple(weight.shape):
            yield (
                f"{name}: levels of type {quantized.levels.dtype} and shape {quantized.levels.shape}: integers of "
                f"shape {tuple(weight.shape)} are needed"
            )
            continue
        if int(np.abs(quantized.levels.astype(np.int64)).max()) > MAX_LEVEL:
            yield f"{name}: levels beyond {MAX_LEVEL}"
        if quantized.step != snap_step(quantized.step):
            yield f"{name}: the step {quantized.step!r} is none that a file can hold: use rdsearch.plugins.snap_step"
        if np.any(quantized.levels[weight.numpy() == 0]):
            yield f"{name}: pruned weights get values again"
        if not np.array_equal(dequantize(quantized), work.coarse.get_parameter(name).detach().numpy()):
            yield f"{name}: work.coarse does not hold the decoded weights: end with rdsearch.plugins.finish"
        if not np.array_equal(quantized.levels, repeated[name].levels):
            yield f"{name}: levels differ from one call to the next"
    for name in work.plain:
        nearest = quantize_uniform(work.weights()[name], work.steps[name])
        if not np.array_equal(levels[name].levels, nearest.levels):
            yield f"{name}: a weight of work.plain has to be rounded to nearest"


def _work() -> Work:
    with isolated_rng(0):
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 6), nn.ReLU(),
            nn.Linear(6, 3),
        )  # fmt: skip
        inputs = torch.rand(32, 1, 6, 6)
        network(inputs)
    network.eval()
    names = list(prunable_weights(network, []))
    with torch.no_grad():
        for name in names:
            weight = network.get_parameter(name)
            weight[weight.abs() < weight.abs().median()] = 0.0
    steps = {name: snap_step(STEP) for name in names}
    return Work(network, copy.deepcopy(network), steps, rate_weight=0.04, plain=frozenset(names[-1:]), batches=[inputs])
