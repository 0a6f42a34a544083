"""The end of a training for the file: levels go until the file fits, and no more of them than have to."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from rdsearch.quantization.uniform import Quantized
from rdsearch.retraining.rate.state import FileLevels, Trained

LEVELS = 1000


def survivors(whole: nn.Module, levels: FileLevels, last: bool = False) -> int:
    """A codec that takes a byte for each level that is not zero."""
    return sum(int(np.count_nonzero(one.levels)) for one in levels.weights.values())


@pytest.mark.parametrize("target", [1, 499, 500, 997, 2000])
def test_levels_that_lie_close_together_go_one_by_one(target: int) -> None:
    torch.manual_seed(0)
    source = nn.Sequential(nn.Linear(40, LEVELS // 40, bias=False))
    levels = {"0.weight": Quantized(np.ones((LEVELS // 40, 40), np.int32), 0.1)}
    network, whole = copy.deepcopy(source), copy.deepcopy(source)
    trained = Trained(network, whole, source, levels, bits=4, lr=0.01, size=survivors, inputs=torch.zeros(2, 40))
    with torch.no_grad():
        order = torch.randperm(LEVELS)
        trained.coded.values.copy_(0.5 + 1e-6 * (1 + order))
    left = trained.settle(target).weights["0.weight"].levels
    found = np.count_nonzero(left)
    assert 0.998 * min(target, LEVELS) <= found <= target
    assert set(np.flatnonzero(left)) == set(order.argsort(descending=True)[:found].tolist())
    assert np.count_nonzero(whole.get_parameter("0.weight").detach().numpy()) == found
