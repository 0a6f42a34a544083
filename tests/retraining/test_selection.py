from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from rdsearch.retraining.selection import BestEpoch
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.training.train import Epoch, train
from tests.tasks.helpers import blobs, seeded_network


def trained(scores: list[float], patience: int) -> tuple[nn.Module, list[nn.Module]]:
    """A network whose epochs get these scores, and copies of it as it was scored."""
    import copy

    seen: list[nn.Module] = []
    given: Iterator[float] = iter(scores)

    def score(network: nn.Module) -> float:
        seen.append(copy.deepcopy(network))
        return next(given)

    network = seeded_network()
    hook = BestEpoch(network, score, patience)
    config = TrainingConfig(epochs=len(scores), lr=0.01, batch_size=32, schedule="constant")
    train(network, ArraySplit(*blobs()), config, hooks=[hook])
    return network, seen


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("scores", "patience", "best", "epochs"),
    [
        ([0.1, 0.3, 0.2, 0.2, 0.9], 2, 1, 4),
        ([0.1, 0.3, 0.2, 0.2, 0.9], 5, 4, 5),
        ([0.5, 0.5, 0.4], 1, 0, 2),
        ([-9.0, -3.0, -4.0], 9, 1, 3),
        ([0.1, math.nan, 0.2], 2, 2, 3),
    ],
)
def test_the_best_epoch_is_put_back_and_training_ends_when_patience_does(
    scores: list[float], patience: int, best: int, epochs: int
) -> None:
    network, seen = trained(scores, patience)
    assert len(seen) == epochs
    assert same(network, seen[best])
    assert sum(same(network, other) for other in seen) == 1


def test_scoring_between_epochs_does_not_change_what_is_trained() -> None:
    scored, _ = trained([0.1, 0.2, 0.3], 3)
    plain = seeded_network()
    config = TrainingConfig(epochs=3, lr=0.01, batch_size=32, schedule="constant")
    train(plain, ArraySplit(*blobs()), config, progress=lambda epoch: isinstance(epoch, Epoch))
    assert same(scored, plain)
