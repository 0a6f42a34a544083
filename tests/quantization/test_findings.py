"""What is kept of a float network for those who would find the same, and what is not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from rdsearch.quantization.findings import LARGEST, Findings


@dataclass(frozen=True)
class Sum:
    value: float
    nbytes: int = 8


class Noisy(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + torch.rand(1)


class Counting(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 2)
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        self.runs += 1
        return super().forward(inputs)


def asked_twice(network: nn.Module, nbytes: int = 8) -> int:
    """How often it is looked for."""
    findings, times = Findings(), 0

    def find() -> Sum:
        nonlocal times
        times += 1
        with torch.no_grad():
            return Sum(float(network(torch.ones(1, 4)).sum()), nbytes)

    first = findings.get("sum", network, find)
    again = findings.get("sum", network, find)
    assert times == 2 or again is first
    return times


def test_what_was_found_is_not_looked_for_again() -> None:
    assert asked_twice(nn.Linear(4, 2)) == 1


def test_another_key_is_something_else() -> None:
    findings, network = Findings(), nn.Linear(4, 2)
    assert findings.get("one", network, lambda: Sum(1.0)).value == 1.0
    assert findings.get("two", network, lambda: Sum(2.0)).value == 2.0


@pytest.mark.parametrize("network", [Noisy(4, 2), Counting()], ids=["draws at random", "writes to its buffers"])
def test_of_a_network_that_a_run_leaves_traces_in_nothing_is_kept(network: nn.Module) -> None:
    assert asked_twice(network) == 2


def test_no_more_is_kept_than_there_is_room_for() -> None:
    assert asked_twice(nn.Linear(4, 2), LARGEST) == 1
    assert asked_twice(nn.Linear(4, 2), LARGEST + 1) == 2
