"""How far a network's outputs are from another's, and what bytes they cost."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from rdsearch.tasks.evaluation import CPU_BATCH_SIZE
from rdsearch.tasks.splits import Split

_SMALLEST = 1e-12
"""What rounding leaves of a divergence; it has a logarithm."""


class Reference:
    """What a float network answers to the images of a split.

    Attributes:
        accuracy: Its top-1 accuracy there.
    """

    def __init__(self, network: nn.Module, split: Split) -> None:
        self._split = split
        self._expected, self.accuracy = self._answers(network)

    def compare(self, network: nn.Module) -> tuple[float, float]:
        """Top-1 accuracy, and the mean divergence KL(float network || network) in nats."""
        answered, accuracy = self._answers(network)
        divergence = torch.nn.functional.kl_div(answered, self._expected, reduction="batchmean", log_target=True)
        return accuracy, max(float(divergence), _SMALLEST)

    def _answers(self, network: nn.Module) -> tuple[Tensor, float]:
        """Logarithms of the probabilities (images, classes), and the accuracy."""
        network.eval()
        answers, right = [], 0
        with torch.inference_mode():
            for images, labels in self._split.batches(CPU_BATCH_SIZE):
                answers.append(network(images).double().log_softmax(1))
                right += int((answers[-1].argmax(1) == labels).sum())
        return torch.cat(answers), right / len(self._split)


def bytes_at(files: list[tuple[int, float]], divergence: float) -> float | None:
    """Bytes at a divergence, on the line (both in logarithms) through the two files around it, both on the front.

    Args:
        files: Bytes and divergence of each.
        divergence: In nats.
    """
    front: list[tuple[int, float]] = []
    for size, value in sorted(files):
        if not front or value < front[-1][1]:
            front.append((size, value))
    for (small, far), (large, near) in itertools.pairwise(front):
        if near <= divergence <= far:
            share = math.log(far / divergence) / math.log(far / near)
            return small * (large / small) ** share
    return None
