"""Networks as people have them, from the recipe to the file and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch import Task, compress, load
from rdsearch.compression.coverage import coverage
from rdsearch.compression.layout import layout_of, registered_layout
from rdsearch.config.space import load_recipe
from rdsearch.errors import ConfigError, PruningError, QuantizationError
from rdsearch.tasks.networks.identity import build_network
from tests.base.network.test_computed import FORMS

X = np.random.default_rng(0).normal(size=(48, 8)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
ONCE = {"retrain": {"epochs": 0}, "pruning": {"rate": 0}}


def task_of(network: nn.Module, x: np.ndarray = X, **options: Any) -> Task:
    return Task(network=network, train=(x, Y[: len(x)]), validation=(x, Y[: len(x)]), **options)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x.reshape(len(x), 2, 4))[0][:, -1])


def test_sparsity_and_rate_count_every_weight() -> None:
    torch.manual_seed(0)
    network = Recurrent()
    for skip in ([], ["head"]):
        recipe = {"retrain": {"epochs": 0}, "pruning": {"rounds": 1, "rate": 0.5, "skip": skip}}
        [point] = compress(task_of(network), recipe)
        weights = {name: value for name, value in load(point.data).items() if value.dim() > 1}
        count = sum(value.numel() for value in weights.values())
        assert count == 4 * 24 + 8 * 24 + 16
        assert point.sparsity == 1 - sum(int(value.count_nonzero()) for value in weights.values()) / count
        assert point.rate_bits_per_weight == 8 * point.size_bytes / count
        assert (weights["rnn.weight_hh_l0"] == 0).float().mean() > 0.3


@pytest.mark.parametrize("network", [nn.Linear(8, 2), nn.Sequential(nn.BatchNorm1d(8))], ids=["linear", "no weight"])
def test_quantising_alone_is_a_recipe_of_one_round(network: nn.Module) -> None:
    task = task_of(network.eval(), evaluate=lambda network, batches: 0.5)
    [point] = compress(task, {**ONCE, "quantization": {"method": "uniform"}})
    assert point.round == 1
    assert point.sparsity < 0.2
    [same] = compress(task, {**ONCE, "quantization": {"method": "uniform", "step": 0.2}})
    assert same.data == point.data


def test_a_network_with_nothing_to_prune_says_so_and_what_to_do() -> None:
    task = task_of(nn.Sequential(nn.BatchNorm1d(8)).eval(), evaluate=lambda network, batches: 0.5)
    with pytest.raises(PruningError, match=r"nothing to prune: .*\(BatchNorm1d\)\. Set pruning\.rate: 0"):
        next(compress(task, {"pruning": {"rounds": 1}, "retrain": {"epochs": 0}}))
    with pytest.raises(ConfigError, match="rate"):
        load_recipe({"pruning": {"rate": -0.1}}, "recipe")


@pytest.mark.parametrize("form", FORMS)
def test_computed_weights_are_folded_into_the_file_and_in_the_network_that_is_filled(form: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(FORMS[form](nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 2))
    recipe = {"retrain": {"epochs": 1}, "pruning": {"rounds": 2, "rate": 0.2}, "quantization": {"step": 0.01}}
    points = list(compress(task_of(network), recipe))
    assert len(points) == 2
    assert "0.weight" in load(points[0].data)
    [fine] = compress(task_of(network), {**ONCE, "quantization": {"step": 0.001, "bias_bits": 16}})
    filled = load(fine.data, into=nn.Sequential(FORMS[form](nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 2))).eval()
    with torch.no_grad():
        torch.testing.assert_close(filled(torch.from_numpy(X)), network.eval()(torch.from_numpy(X)), atol=5e-3, rtol=0)


class Auxiliary(nn.Module):
    """Answers as GoogLeNet does: with more while it trains."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.head, self.other, self.answer = nn.Linear(8, 2), nn.Linear(8, 2), answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(self.head(x), self.other(x)) if self.training else self.head(x)


def by_name(logits: Tensor, other: Tensor) -> dict[str, Tensor]:
    return {"aux": other, "logits": logits}


def test_the_right_output_is_trained_on() -> None:
    torch.manual_seed(0)
    network = Auxiliary(by_name).eval()
    recipe = {
        "retrain": {"epochs": 40, "lr": 0.1},
        "pruning": {"rate": 0},
        "quantization": {"step": 0.001, "bias_bits": 16},
    }
    [point] = compress(task_of(network), recipe)
    state = load(point.data)
    assert point.val_accuracy > 0.85
    assert (state["head.weight"] - network.head.weight).abs().max() > 0.05
    torch.testing.assert_close(state["other.weight"], network.other.weight.detach(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["regnet_y_400mf", "convnext_tiny", "vit_b_32", "mobilenet_v3_small"])
def test_a_registered_layout_is_that_of_the_network_itself(name: str) -> None:
    network_id = f"torchvision:{name}"
    assert registered_layout(network_id) == layout_of(build_network(network_id))


def test_what_methods_leave_aside_is_said_with_its_share() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.idle = nn.Parameter(torch.zeros(1, 1, 8)), nn.BatchNorm1d(8)
            self.embedding, self.head = nn.Embedding(10, 8), nn.Linear(8, 10)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head((self.embedding(tokens) + self.token).mean(1))

    recipe = load_recipe({"pruning": {"skip": ["head"]}, "quantization": {"method": "hessian"}}, "recipe")
    assert coverage(Mixed().eval(), recipe, torch.zeros(2, 3, dtype=torch.int64)) == [
        "pruning: 50.0% of the weights are never pruned, as skip says: head.weight",
        "hessian: 50.0% of the weights are quantised with regard to the inputs of their layers",
        "hessian: 50.0% of the weights are rounded by rate alone: embedding.weight (looked up)",
        "batch normalisation that no training input reaches is left as it is: idle",
        "small parameters of several axes are vectors at 8 bits, as biases are: token",
    ]


def test_a_normalisation_that_runs_as_often_as_its_inputs_say_is_named() -> None:
    class Adaptive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.once, self.often, self.head = nn.BatchNorm1d(8), nn.BatchNorm1d(8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.once(x)
            for _ in range(1 + int(x.abs().max() > 2)):
                x = self.often(x) / 2
            return self.head(x)

    inputs = torch.cat([torch.zeros(2, 8), 5 * torch.ones(2, 8)])

    def named(matches: bool, given: Tensor) -> list[str]:
        recipe = load_recipe({"quantization": {"reestimate_batchnorm": matches}}, "recipe")
        return [line for line in coverage(Adaptive().eval(), recipe, given) if "runs more often for some" in line]

    (only,) = named(True, inputs)
    assert only.endswith("the compressed network runs it another number of times than the float one: often")
    assert named(True, inputs[:2]) == named(False, inputs) == []


def test_a_pattern_for_vectors_alone_is_told_from_one_for_nothing_and_plain_weights_have_a_step_of_their_own() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.one, self.two = nn.Parameter(torch.ones(8, 1)), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x) * self.scale.T)

    torch.manual_seed(0)
    network = Scaled()
    for setting in ({"plain": ["scale"]}, {"step_multipliers": {"sc*": 0.1}}):
        with pytest.raises(QuantizationError, match=r"names no weight but 1 of the vectors.*bias_bits"):
            next(compress(task_of(network), {**ONCE, "quantization": setting}))
    settings = {"step": 1.0, "plain": ["two"], "plain_step": 0.01}
    [point] = compress(task_of(network), {**ONCE, "quantization": settings})
    state, own = load(point.data), network.state_dict()
    rms = own["two.weight"].square().mean().sqrt()
    assert float((state["two.weight"] - own["two.weight"]).abs().max()) <= 0.0051 * rms
    assert float((state["one.weight"] - own["one.weight"]).abs().max()) > 0.1 * rms
