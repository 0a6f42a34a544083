from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rdsearch.compression.loading import decode, load
from rdsearch.compression.measure import dense_network
from rdsearch.compression.pack import pack
from rdsearch.compression.rounds import compress, rounds
from rdsearch.config.recipe import QuantizationRecipe, Recipe
from rdsearch.errors import RdsearchError
from rdsearch.quantization.uniform import Quantized, dequantize, quantize_to_bits, quantize_uniform
from rdsearch.retraining.levels import StraightThrough, train_levels
from rdsearch.retraining.settings import DistillationSettings, LevelTraining
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.task import Task
from tests.tasks.helpers import blobs, seeded_network

CPU = torch.device("cpu")
COARSE = {
    "pruning": {"rounds": 1, "rate": 0.3},
    "retrain": {"epochs": 0},
    "quantization": {"step": 2.5, "bias_bits": 4},
}


@pytest.fixture(scope="module")
def task() -> Task:
    return Task(
        network=seeded_network,
        train=blobs(600),
        validation=120,
        training=TrainingConfig(epochs=6, lr=0.02, batch_size=32),
    )


def coarse(network: nn.Module, step: float) -> dict[str, Quantized]:
    """Round the weights of a network in place."""
    levels = {name: quantize_uniform(weight, step) for name, weight in network.named_parameters() if weight.dim() > 1}
    with torch.no_grad():
        for name, quantized in levels.items():
            network.get_parameter(name).copy_(torch.from_numpy(dequantize(quantized)))
    return levels


def test_the_gradient_is_that_at_the_coded_values_and_float_values_come_back() -> None:
    network = nn.Linear(4, 3)
    levels = {"weight": quantize_uniform(network.weight, 0.25)}
    mask = torch.from_numpy(levels["weight"].levels != 0)
    own_bias = network.bias.detach().clone()
    hook = StraightThrough(network, levels, bits=3)
    own = network.weight.detach().clone()
    inputs, labels = (torch.from_numpy(array) for array in blobs(12))
    hook.before_forward()
    seen = network.weight.detach().clone()
    torch.testing.assert_close(seen[mask], torch.round(own / 0.25)[mask] * 0.25, rtol=0, atol=0)
    np.testing.assert_array_equal(network.bias.detach().numpy(), dequantize(quantize_to_bits(own_bias, 3)))
    F.cross_entropy(network(inputs), labels).backward()
    coded = nn.Linear(4, 3)
    coded.load_state_dict(network.state_dict())
    F.cross_entropy(coded(inputs), labels).backward()
    hook.after_backward()
    torch.testing.assert_close(network.weight.grad, coded.weight.grad, rtol=0, atol=0)
    assert torch.equal(network.weight.detach(), own)
    assert torch.equal(network.bias.detach(), own_bias)


def test_levels_move_zeros_stay_and_the_network_is_what_decodes_from_them(task: Task) -> None:
    network = dense_network(task)
    levels = coarse(network, 0.5)
    new = train_levels(
        network,
        levels,
        task,
        LevelTraining(epochs=4, lr=0.02, batch_size=32),
        bits=6,
        distillation=DistillationSettings(),
        seed=0,
        device=CPU,
    )
    moved = 0
    for name, before in levels.items():
        assert new[name].step == before.step
        assert new[name].levels.dtype == np.int32
        assert not new[name].levels[before.levels == 0].any()
        moved += int((new[name].levels != before.levels).sum())
        np.testing.assert_array_equal(network.get_parameter(name).detach().numpy(), dequantize(new[name]))
    assert moved > 0


def test_training_levels_restores_what_a_coarse_step_has_lost(task: Task) -> None:
    """At the same step and hardly more bytes."""
    plain, trained = (next(iter(compress(task, tree(epochs), device="cpu"))) for epochs in (0, 6))
    assert plain.accuracy_drop > 0.05
    assert trained.accuracy_drop < plain.accuracy_drop / 2
    assert trained.size_bytes <= plain.size_bytes + 8


def tree(epochs: float, **quantization: Any) -> dict[str, Any]:
    training = {"epochs": epochs, "lr": 0.02, "batch_size": 32}
    return {**COARSE, "quantization": {**COARSE["quantization"], **quantization, "training": training}}


@pytest.mark.parametrize("method", ["uniform", "rate_aware", "hessian", "sequential"])
def test_it_follows_every_method_and_the_float_network_goes_on_untouched(task: Task, method: str) -> None:
    recipes = [Recipe.model_validate(tree(epochs, method=method, step=1.0)) for epochs in (0, 1)]
    (plain, plain_after), (trained, trained_after) = (
        next(iter(rounds(task, recipe, device="cpu"))) for recipe in recipes
    )
    assert plain.data != trained.data
    before, after = (decode(point.data or b"").weights for point in (plain, trained))
    for name, (levels, step) in after.items():
        assert step == before[name][1]
        assert not levels[before[name][0] == 0].any()
    for name, array in plain_after.state.items():
        np.testing.assert_array_equal(array, trained_after.state[name])


def test_what_is_trained_is_what_is_coded(task: Task) -> None:
    """The network that training leaves, at the bits of its biases and normalisations, is that of the file."""
    network = dense_network(task)
    left: list[nn.Module] = []

    def trainer(coarse: nn.Module, levels: Any) -> dict[str, Quantized]:
        settings = LevelTraining(epochs=1, lr=0.01, batch_size=32)
        new = train_levels(
            coarse, levels, task, settings, bits=8, distillation=DistillationSettings(), seed=0, device=CPU
        )
        left.append(coarse)
        return new

    settings = QuantizationRecipe(step=0.5, reestimate_batchnorm=False)
    data = pack(network, task.fresh_network, settings, [], train_levels=trainer)
    decoded = load(data, into=task.fresh_network())
    points = torch.from_numpy(blobs(50)[0])
    with torch.inference_mode():
        torch.testing.assert_close(decoded(points), left[0].eval()(points), atol=0.15, rtol=0.05)


def test_a_network_whose_levels_are_all_zero_is_coded_as_it_is(task: Task) -> None:
    network = dense_network(task)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    levels = coarse(network, 0.5)
    new = train_levels(
        network, levels, task, LevelTraining(epochs=1), bits=8, distillation=DistillationSettings(), seed=0, device=CPU
    )
    assert not any(quantized.levels.any() for quantized in new.values())


def test_training_that_diverges_is_a_clear_error() -> None:
    steep = Task(
        network=seeded_network(),
        train=blobs(),
        validation=60,
        loss=lambda output, labels: 1e30 * F.cross_entropy(output, labels),
    )
    recipe = tree(2)
    recipe["quantization"]["training"] |= {"lr": 10.0, "optimizer": "sgd"}
    with pytest.raises(RdsearchError, match="lower"):
        list(compress(steep, recipe, device="cpu"))


def test_a_file_of_trained_levels_may_have_quality_layers(task: Task) -> None:
    single, layered = (
        next(iter(compress(task, tree(1, step=0.2, layers=layers), device="cpu"))).data or b"" for layers in (1, 3)
    )
    assert decode(layered).refinements == 3
    for name, value in load(single).items():
        assert torch.equal(load(layered)[name], value)
