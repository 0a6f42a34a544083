from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from rdsearch.base.network.channels import joined_channels
from rdsearch.coding.networkfile import prefix_ends
from rdsearch.compression.loading import decode, load
from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.errors import QuantizationError, RdsearchError
from rdsearch.quantization import METHODS
from rdsearch.quantization.batchnorm import batchnorm_layers
from rdsearch.quantization.uniform import snap_step, survivor_rms


def make() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 5), nn.BatchNorm1d(5)
    )


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = make()
    with torch.no_grad():
        network[4].weight.mul_(torch.rand_like(network[4].weight) < 0.4)
        for layer in batchnorm_layers(network).values():
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_()
    network.train()(inputs() * 2 + 1)
    return network.eval()


def inputs(seed: int = 1) -> Tensor:
    return torch.randn(64, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def packed(
    network: nn.Module, calibration: bool = True, factory: Callable[[], nn.Module] = make, **settings: object
) -> bytes:
    recipe = QuantizationRecipe.model_validate(settings)
    return pack(network, factory, recipe, [inputs()] if calibration else [])


def in_its_own_order(network: nn.Module, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A file's tensors with the first layer's channels where the network has them."""
    (channels,) = joined_channels(network, inputs()[:1])
    mine, coded = network[0].weight.detach().numpy(), state["0.weight"]
    distances = ((mine[:, None] - coded[None]) ** 2).reshape(len(mine), len(coded), -1).sum(-1)
    order = linear_sum_assignment(distances)[1]
    return {**state} | {
        axis.tensor: axis.taken(torch.from_numpy(state[axis.tensor]), order).numpy() for axis in channels.axes
    }


def test_every_weight_is_within_half_a_step_and_pruned_ones_stay_zero(network: nn.Module) -> None:
    file = decode(packed(network, step=0.1))
    weights = [network[0].weight, network[4].weight]
    state = in_its_own_order(network, file.state_dict())
    step = snap_step(0.1 * survivor_rms(weights))
    for name, weight in zip(["0.weight", "4.weight"], weights, strict=True):
        assert file.weights[name][1] == step
        decoded = state[name]
        assert np.abs(decoded - weight.detach().numpy()).max() <= step / 2 * (1 + 1e-6)
        assert not decoded[weight.detach().numpy() == 0].any()


def test_each_tensor_may_have_a_step_of_its_own(network: nn.Module) -> None:
    file = decode(packed(network, granularity="tensor", step=0.1))
    for index, name in ((0, "0.weight"), (4, "4.weight")):
        assert file.weights[name][1] == snap_step(0.1 * survivor_rms([network[index].weight]))
    assert file.weights["0.weight"][1] != file.weights["4.weight"][1]


def test_a_fine_step_gives_the_very_function(network: nn.Module) -> None:
    decoded = load(packed(network, calibration=False, step=1e-4, bias_bits=16), into=make()).eval()
    x = inputs(2)
    with torch.no_grad():
        torch.testing.assert_close(decoded(x), network(x), atol=2e-3, rtol=2e-3)


def test_re_estimation_brings_the_outputs_statistics_back(network: nn.Module) -> None:
    def difference(data: bytes) -> float:
        with torch.no_grad():
            found, wanted = load(data, into=make()).eval()(inputs()), network(inputs())
        return float((found.mean(0) - wanted.mean(0)).abs().max() + (found.std(0) - wanted.std(0)).abs().max())

    matched = difference(packed(network, step=1.0, bias_bits=16))
    unmatched = difference(packed(network, step=1.0, bias_bits=16, reestimate_batchnorm=False))
    assert matched < 5e-3 < unmatched
    assert difference(packed(network, calibration=False, step=1.0, bias_bits=16)) == pytest.approx(unmatched, rel=1e-4)


def test_packing_changes_neither_the_network_nor_its_mode(network: nn.Module) -> None:
    network.train()
    before = copy.deepcopy(network.state_dict())
    packed(network, step=0.5)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_the_same_network_gives_the_same_bytes(network: nn.Module) -> None:
    assert packed(network) == packed(copy.deepcopy(network))


def test_fewer_bits_and_coarser_steps_make_smaller_files(network: nn.Module) -> None:
    sizes = [len(packed(network, step=step)) for step in (0.05, 0.2, 0.8)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    assert len(packed(network, bias_bits=3)) < len(packed(network, bias_bits=16))


def test_a_network_that_is_all_zeros_is_packed(network: nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    state = load(packed(network))
    assert not any(state[name].any() for name, _ in network.named_parameters())


@pytest.mark.parametrize("name", ["0.weight", "4.bias", "1.weight"])
def test_a_value_that_is_not_finite_is_refused(network: nn.Module, name: str) -> None:
    with torch.no_grad():
        network.get_parameter(name).view(-1)[0] = float("nan")
    with pytest.raises(QuantizationError, match="NaN or infinite"):
        packed(network)


def test_the_recipe_is_stored_when_asked_for(network: nn.Module) -> None:
    data = pack(network, make, QuantizationRecipe(), [inputs()], recipe={"pruning": {"rate": 0.5}})
    assert decode(data).recipe == {"pruning": {"rate": 0.5}}
    assert decode(packed(network)).recipe is None


def test_half_precision_networks_are_packed_in_their_own_precision() -> None:
    torch.manual_seed(0)
    network = nn.Linear(8, 4).bfloat16()
    data = pack(network, lambda: nn.Linear(8, 4).bfloat16(), QuantizationRecipe(step=0.01), [])
    decoded = load(data, into=nn.Linear(8, 4).bfloat16())
    torch.testing.assert_close(decoded.weight, network.weight, atol=2e-2, rtol=2e-2)
    assert decoded.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_file_that_decodes_to_a_network_near_the_float_one(
    network: nn.Module, method: str
) -> None:
    data = packed(network, method=method, step=0.2, rate_weight=0.02, bias_bits=12)
    decoded = load(data, into=make()).eval()
    state = in_its_own_order(network, {name: tensor.numpy() for name, tensor in load(data).items()})
    assert not state["4.weight"][network[4].weight.detach().numpy() == 0].any()
    with torch.no_grad():
        found, wanted = decoded(inputs()), network(inputs())
    assert float((found - wanted).square().mean()) < 0.02 * float(wanted.var())


def test_layers_named_plain_are_rounded_to_nearest_and_a_pattern_must_match(network: nn.Module) -> None:
    file = decode(packed(network, method="sequential", rate_weight=1.0, plain=["4"]))
    step = file.weights["4.weight"][1]
    state = in_its_own_order(network, file.state_dict())
    errors = {
        name: np.abs(state[f"{name}.weight"] - network[int(name)].weight.detach().numpy()).max() for name in ("0", "4")
    }
    assert errors["4"] <= step / 2 * (1 + 1e-6) < errors["0"]
    with pytest.raises(RdsearchError, match=r"quantization\.plain: pattern 'fc' matches no layer"):
        packed(network, plain=["fc"])


def test_a_method_that_looks_at_inputs_asks_for_them(network: nn.Module) -> None:
    with pytest.raises(QuantizationError, match="0 batches of calibration inputs are given"):
        packed(network, calibration=False, method="sequential")


def test_the_last_layer_is_the_network_of_a_file_without_layers(network: nn.Module) -> None:
    single, layered = packed(network, step=0.05), packed(network, step=0.05, quality_layers=4)
    assert decode(layered).refinements == 4
    for name, value in load(single).items():
        assert torch.equal(load(layered)[name], value), name


def test_a_file_of_one_layer_is_one_without_layers(network: nn.Module) -> None:
    assert packed(network, quality_layers=1) == packed(network)


def test_finer_layers_come_closer_to_the_float_network(network: nn.Module) -> None:
    data, x = packed(network, step=0.05, quality_layers=4, bias_bits=12), inputs(2)
    with torch.no_grad():
        errors = [
            float((load(data[:end], into=make()).eval()(x) - network(x)).square().mean()) for end in prefix_ends(data)
        ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * errors[0]


def test_batch_normalisation_is_matched_in_every_layer(network: nn.Module) -> None:
    def error_of_first_layer(**settings: object) -> float:
        data = packed(network, step=0.1, quality_layers=3, bias_bits=12, **settings)
        with torch.no_grad():
            first = load(data[: prefix_ends(data)[0]], into=make()).eval()(inputs())
            return float((first.mean(0) - network(inputs()).mean(0)).abs().max())

    assert error_of_first_layer() < 0.2 * error_of_first_layer(reestimate_batchnorm=False)


def test_a_network_of_few_levels_has_as_many_layers_as_can_be_told_apart(network: nn.Module) -> None:
    assert decode(packed(network, step=10.0, quality_layers=8)).refinements < 8
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    data = packed(network, quality_layers=3)
    assert decode(data).refinements == 1
    assert prefix_ends(data) == [len(data)]


def test_a_layers_step_is_multiplied_by_that_of_the_first_pattern_that_matches(network: nn.Module) -> None:
    plain, multiplied = (
        decode(packed(network, step=0.1, step_multipliers=multipliers)).weights
        for multipliers in ({}, {"4": 3.0, "*": 0.5})
    )
    assert multiplied["4.weight"][1] == pytest.approx(3 * plain["4.weight"][1], rel=1e-2)
    assert multiplied["0.weight"][1] == pytest.approx(plain["0.weight"][1] / 2, rel=1e-2)


def test_a_step_pattern_that_matches_nothing_is_refused(network: nn.Module) -> None:
    with pytest.raises(RdsearchError, match=r"quantization\.step_multipliers.*'fc\*'"):
        packed(network, step_multipliers={"fc*": 2.0})


@pytest.mark.parametrize("method", ["uniform", "rate_aware", "hessian", "sequential"])
@pytest.mark.parametrize("matched", [True, False])
def test_a_network_that_is_not_kept_makes_the_very_file_that_a_kept_one_makes(
    network: nn.Module, method: str, matched: bool
) -> None:
    settings = QuantizationRecipe(method=method, reestimate_batchnorm=matched)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kept = pack(network, make, settings, [inputs()])
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert pack(network, make, settings, [inputs()], keep=False) == kept


@pytest.mark.parametrize("method", ["uniform", "rate_aware", "hessian", "sequential"])
def test_the_memory_of_a_network_that_is_not_kept_serves_for_the_decoded_one(network: nn.Module, method: str) -> None:
    weight = network[4].weight
    settings = QuantizationRecipe(method=method, reestimate_batchnorm=False)
    data = pack(network, make, settings, [inputs()], keep=False)
    decoded = torch.from_numpy(decode(data).state_dict()["4.weight"])
    # In the file hidden units are in an order of their own.
    assert torch.equal(weight.detach().flatten().sort().values, decoded.flatten().sort().values)
