from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rdsearch.errors import TaskError
from rdsearch.tasks.evaluation import accuracy
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.training.hooks import StepHook
from rdsearch.tasks.training.train import Epoch, train
from tests.tasks.helpers import blobs, seeded_network

SGD = TrainingConfig(epochs=2, lr=0.05, batch_size=32, optimizer="sgd", weight_decay=0.1)
ADAM = TrainingConfig(epochs=2, lr=0.01, batch_size=32, optimizer="adam", weight_decay=0.1)
ADAMW = TrainingConfig(epochs=2, lr=0.01, batch_size=32, weight_decay=0.1)


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def test_it_learns(split: ArraySplit) -> None:
    network = seeded_network()
    assert accuracy(network, split) < 0.8
    train(network, split, TrainingConfig(epochs=5, lr=0.02, batch_size=32))
    assert accuracy(network, split) > 0.98


def test_sgd_takes_the_steps_of_its_definition(split: ArraySplit) -> None:
    network = nn.Linear(4, 3)
    weight, bias = network.weight.detach().clone(), network.bias.detach().clone()
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    train(network, split, SGD, seed=7)
    generator, step = np.random.default_rng(7), 0
    for _ in range(2):
        for inputs, targets in split.batches(32, generator=generator):
            error = F.softmax(inputs @ weight.T + bias, dim=1) - F.one_hot(targets, 3)
            gradients = [error.T @ inputs / len(targets) + 0.1 * weight, error.mean(0)]
            rate = 0.05 * 0.5 * (1 + math.cos(math.pi * step / 16))
            for value, moving, gradient in zip((weight, bias), velocity, gradients, strict=True):
                moving.mul_(0.9).add_(gradient)
                value.sub_(rate * (gradient + 0.9 * moving))
            step += 1
    torch.testing.assert_close(network.weight.detach(), weight, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network.bias.detach(), bias, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", [SGD, ADAM, ADAMW], ids=["sgd", "adam", "adamw"])
def test_masked_weights_are_exactly_zero_and_the_others_move(split: ArraySplit, config: TrainingConfig) -> None:
    network = seeded_network()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    masks = {name: torch.rand(before[name].shape, generator=generator) < 0.3 for name in ("0.weight", "3.weight")}
    train(network, split, config, masks=masks)
    for name, mask in masks.items():
        after = network.get_parameter(name).detach()
        assert not after[~mask].any()
        assert (after[mask] != before[name][mask]).all()


def test_a_network_without_a_weight_trains_like_one_whose_weight_is_masked(split: ArraySplit) -> None:
    """The masked weight leaves no trace: not by momentum, not by weight decay."""
    wide, narrow = nn.Linear(4, 3), nn.Linear(3, 3)
    with torch.no_grad():
        narrow.weight.copy_(wide.weight[:, :3])
        narrow.bias.copy_(wide.bias)
    inputs, labels = blobs()
    train(wide, split, SGD, masks={"weight": torch.tensor([True, True, True, False]).expand(3, 4)})
    train(narrow, ArraySplit(inputs[:, :3].copy(), labels), SGD)
    torch.testing.assert_close(wide.weight[:, :3], narrow.weight, atol=1e-6, rtol=1e-5)


def test_masks_hold_even_where_the_masked_weight_was_not_finite_or_nothing_is_trained(split: ArraySplit) -> None:
    network = seeded_network()
    with torch.no_grad():
        network.get_parameter("0.weight")[0, 0] = float("nan")
    mask = torch.ones(16, 4, dtype=torch.bool)
    mask[0, 0] = False
    for epochs in (0, 1):
        train(network, split, TrainingConfig(epochs=epochs), masks={"0.weight": mask})
        assert network.get_parameter("0.weight")[0, 0] == 0.0
    assert torch.isfinite(network.get_parameter("0.weight")).all()


@pytest.mark.parametrize("config", [SGD, ADAM, ADAMW], ids=["sgd", "adam", "adamw"])
def test_the_same_seed_gives_the_same_weights_and_the_caller_s_randomness_is_untouched(
    split: ArraySplit, config: TrainingConfig
) -> None:
    def trained(seed: int) -> nn.Module:
        network = nn.Sequential(*seeded_network().children(), nn.Dropout(0.5))
        train(network, split, config, seed=seed)
        return network

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, again, other = trained(0), trained(0), trained(1)
    assert torch.equal(torch.rand(3), expected)
    assert same(first, again)
    assert not same(first, other)


def test_the_mode_of_every_module_is_restored(split: ArraySplit) -> None:
    network = seeded_network().eval()
    network.get_submodule("1").train()
    train(network, split, SGD)
    assert [module.training for module in network.modules()] == [False, False, True, False, False]


@pytest.mark.parametrize(("epochs", "reports"), [(0, 0), (0.5, 1), (1, 1), (2.25, 3)])
def test_progress_is_told_after_each_pass_or_part_of_one(split: ArraySplit, epochs: float, reports: int) -> None:
    seen: list[Epoch] = []
    train(seeded_network(), split, TrainingConfig(epochs=epochs, batch_size=32), progress=seen.append)
    assert [epoch.number for epoch in seen] == list(range(1, reports + 1))
    assert all(epoch.of == reports and math.isfinite(epoch.loss) for epoch in seen)


def test_a_part_of_an_epoch_takes_a_part_of_its_steps(split: ArraySplit) -> None:
    steps = []

    def loss(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        steps.append(len(targets))
        return F.cross_entropy(output, targets)

    train(seeded_network(), split, TrainingConfig(epochs=1.5, batch_size=24), loss=loss)
    assert steps == [24] * 15


def test_biases_and_scales_are_not_decayed(split: ArraySplit) -> None:
    network = seeded_network()
    before = network.get_parameter("1.weight").detach().clone()
    train(network, split, SGD, loss=lambda output, _: output.sum() * 0)
    assert torch.equal(network.get_parameter("1.weight"), before)
    assert not torch.equal(network.get_parameter("0.weight"), seeded_network().get_parameter("0.weight"))


def test_frozen_parameters_stay(split: ArraySplit) -> None:
    network = seeded_network()
    network.get_parameter("0.weight").requires_grad_(False)
    train(network, split, ADAMW, masks={"0.weight": torch.ones(16, 4, dtype=torch.bool)})
    assert torch.equal(network.get_parameter("0.weight"), seeded_network().get_parameter("0.weight"))


def test_a_last_batch_of_one_does_not_stop_batch_norm() -> None:
    train(seeded_network(), ArraySplit(*blobs(33)), TrainingConfig(epochs=1, batch_size=32))


def test_a_loss_that_is_no_number_is_an_error_with_the_rate_in_it(split: ArraySplit) -> None:
    with pytest.raises(TaskError, match=r"lr = 0\.05: lower the learning rate"):
        train(seeded_network(), split, SGD, loss=lambda output, _: output.sum() * float("nan"))


def test_masks_that_fit_nothing_are_refused(split: ArraySplit) -> None:
    with pytest.raises(TaskError, match=r"parameters are 0\.weight"):
        train(seeded_network(), split, SGD, masks={"weight": torch.ones(1, dtype=torch.bool)})
    with pytest.raises(TaskError, match=r"shape \(4, 16\), the parameter \(16, 4\)"):
        train(seeded_network(), split, SGD, masks={"0.weight": torch.ones(4, 16, dtype=torch.bool)})


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [1.0] * 8),
        ("step", [1.0] * 4 + [0.1] * 2 + [0.01] * 2),
        ("cosine", [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]),
    ],
)
def test_the_learning_rate_follows_its_schedule(split: ArraySplit, schedule: str, rates: list[float]) -> None:
    seen: list[float] = []

    class Watch(StepHook):
        def after_step(self, lr: float) -> None:
            seen.append(lr)

    config = TrainingConfig.model_validate({"epochs": 1, "lr": 0.5, "batch_size": 30, "schedule": schedule})
    train(seeded_network(), split, config, hooks=[Watch()])
    assert seen == pytest.approx([0.5 * rate for rate in rates])


class Diary(StepHook):
    def __init__(self, name: str, entries: list[str]) -> None:
        self.name, self.entries = name, entries

    def before_forward(self) -> None:
        self.entries.append(f"before {self.name}")

    def objective(
        self, inputs: object, output: torch.Tensor, targets: torch.Tensor, loss: torch.Tensor
    ) -> torch.Tensor:
        assert output.shape == (len(targets), 3)
        self.entries.append(f"objective {self.name}")
        return loss

    def after_step(self, lr: float) -> None:
        self.entries.append(f"step {self.name}")

    def epoch_done(self) -> bool:
        self.entries.append(f"epoch {self.name}")
        return False

    def finish(self) -> None:
        self.entries.append(f"finish {self.name}")


def test_hooks_are_called_in_order_around_each_step(split: ArraySplit) -> None:
    entries: list[str] = []
    train(seeded_network(), split, TrainingConfig(epochs=1, batch_size=240), hooks=[Diary(n, entries) for n in "ab"])
    assert entries == [
        *("before a", "before b", "objective a", "objective b", "step a", "step b"),
        *("epoch a", "epoch b", "finish a", "finish b"),
    ]


def test_a_hooks_objective_is_what_is_minimised(split: ArraySplit) -> None:
    class Nothing(StepHook):
        def objective(self, inputs: object, output: object, targets: object, loss: torch.Tensor) -> torch.Tensor:
            return loss * 0

    network = seeded_network()
    train(network, split, TrainingConfig(epochs=1, lr=0.1), hooks=[Nothing()])
    assert torch.equal(network.get_parameter("0.weight"), seeded_network().get_parameter("0.weight"))


def test_training_ends_when_a_hook_says_so(split: ArraySplit) -> None:
    class Enough(StepHook):
        def epoch_done(self) -> bool:
            return True

    seen: list[Epoch] = []
    train(seeded_network(), split, TrainingConfig(epochs=5), hooks=[Enough()], progress=seen.append)
    assert len(seen) == 1
