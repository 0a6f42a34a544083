from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from rdsearch.quantization.batchnorm import batchnorm_layers, match_statistics, scale_and_shift, set_scale_and_shift
from tests.tasks.helpers import FORMS, AnyForm


class Small(nn.Module):
    """Two convolutions with a shortcut and a linear layer, each normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8, eps=1e-3)
        self.fc, self.bn3 = nn.Linear(8, 5), nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(x + self.bn2(self.conv2(x)))
        return self.bn3(self.fc(x.mean((2, 3))))


@pytest.fixture
def network() -> nn.Module:
    """Random weights and random statistics."""
    torch.manual_seed(0)
    network = Small()
    for layer in batchnorm_layers(network).values():
        nn.init.uniform_(layer.weight, -1.5, 1.5)
        nn.init.normal_(layer.bias)
        nn.init.normal_(layer.running_mean)
        nn.init.uniform_(layer.running_var, 0.2, 2.0)
    return network.eval()


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(64, 3, 6, 6, generator=torch.Generator().manual_seed(1)) + 0.3


def coarsened(network: nn.Module, step: float = 0.1) -> nn.Module:
    coarse = copy.deepcopy(network)
    with torch.no_grad():
        for _name, parameter in coarse.named_parameters():
            if parameter.dim() > 1:
                parameter.copy_((parameter / step).round() * step)
    assert any(not torch.equal(a, b) for a, b in zip(coarse.parameters(), network.parameters(), strict=True))
    return coarse


def output_moments(network: nn.Module, inputs: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and deviation of each channel that leaves each batch normalisation."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    handles = []
    for name, layer in batchnorm_layers(network).items():

        def record(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
            flat = output.transpose(0, 1).flatten(1)
            found[name] = flat.mean(1), flat.std(1, correction=0)

        handles.append(layer.register_forward_hook(record))
    with torch.no_grad():
        network.eval()(inputs)
    for handle in handles:
        handle.remove()
    return found


def test_scale_and_shift_are_the_layer_at_inference(network: nn.Module) -> None:
    for layer in batchnorm_layers(network).values():
        scale, shift = scale_and_shift(layer)
        x = torch.randn(16, len(scale), *([3, 3] if isinstance(layer, nn.BatchNorm2d) else []))
        shape = (1, -1, *([1, 1] if x.dim() == 4 else []))
        torch.testing.assert_close(layer(x), x * scale.view(shape) + shift.view(shape), atol=1e-5, rtol=1e-5)


def test_setting_scale_and_shift_gives_that_very_map() -> None:
    layer = nn.BatchNorm1d(3, eps=1e-2).eval()
    scale, shift = torch.tensor([2.0, -0.5, 0.0]), torch.tensor([1.0, 0.0, -3.0])
    set_scale_and_shift(layer, scale, shift)
    x = torch.randn(7, 3)
    torch.testing.assert_close(layer(x), x * scale + shift)
    for found, wanted in zip(scale_and_shift(layer), (scale, shift), strict=True):
        torch.testing.assert_close(found, wanted)


def test_layers_without_statistics_or_affine_part_or_with_tensors_of_their_own_are_no_normalisation() -> None:
    class Scaled(nn.BatchNorm1d):
        def __init__(self, channels: int) -> None:
            super().__init__(channels)
            self.temperature = nn.Parameter(torch.ones(channels))

    network = nn.Sequential(
        nn.BatchNorm1d(2, affine=False),
        nn.BatchNorm1d(2, track_running_stats=False),
        nn.LayerNorm(2),
        Scaled(2),
        nn.BatchNorm1d(2),
    )
    assert list(batchnorm_layers(network)) == ["4"]


@pytest.mark.parametrize("count", [2, 64, 150])
def test_after_matching_every_channel_has_the_float_networks_mean_and_deviation(network: nn.Module, count: int) -> None:
    inputs = torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(1)) + 0.3
    coarse = coarsened(network)
    before, wanted = output_moments(coarse, inputs), output_moments(network, inputs)
    match_statistics(coarse, network, [inputs])
    after = output_moments(coarse, inputs)
    assert list(after) == ["bn1", "bn2", "bn3"]
    assert max(float((before[name][0] - wanted[name][0]).abs().max()) for name in wanted) > 1e-2
    for name, (mean, deviation) in wanted.items():
        torch.testing.assert_close(after[name][0], mean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(after[name][1], deviation, atol=1e-4, rtol=1e-4)


def test_unchanged_weights_stay_an_unchanged_function(network: nn.Module, inputs: Tensor) -> None:
    same = copy.deepcopy(network)
    match_statistics(same, network, [inputs])
    unseen = torch.randn(32, 3, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(same(unseen), network(unseen), atol=1e-4, rtol=1e-4)


def test_the_float_network_and_both_modes_are_left_alone(network: nn.Module, inputs: Tensor) -> None:
    coarse = coarsened(network).train()
    before = copy.deepcopy(network.state_dict())
    match_statistics(coarse, network, [inputs])
    assert coarse.training
    assert not network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in [*coarse.modules(), *network.modules()])
    assert all(parameter.requires_grad for parameter in coarse.parameters())


def test_only_normalisations_change(network: nn.Module, inputs: Tensor) -> None:
    coarse = coarsened(network)
    before = copy.deepcopy(coarse.state_dict())
    match_statistics(coarse, network, [inputs])
    changed = {name for name, value in coarse.state_dict().items() if not torch.equal(before[name], value)}
    assert {name.split(".")[0] for name in changed} == {"bn1", "bn2", "bn3"}


def test_a_channel_that_died_keeps_its_mean_and_nothing_is_nan(network: nn.Module, inputs: Tensor) -> None:
    coarse = copy.deepcopy(network)
    with torch.no_grad():
        coarse.conv1.weight[2] = 0.0
        coarse.conv2.weight.zero_()
    wanted = output_moments(network, inputs)
    match_statistics(coarse, network, [inputs])
    after = output_moments(coarse, inputs)
    assert all(torch.isfinite(value).all() for value in coarse.state_dict().values())
    torch.testing.assert_close(after["bn1"][0], wanted["bn1"][0], atol=1e-4, rtol=1e-4)
    assert float(after["bn1"][1][2]) < 1e-5
    torch.testing.assert_close(after["bn2"][0], wanted["bn2"][0], atol=1e-4, rtol=1e-4)


def test_a_channel_that_is_dead_in_the_float_network_is_safe(network: nn.Module, inputs: Tensor) -> None:
    with torch.no_grad():
        network.conv1.weight[2] = 0.0
    coarse = coarsened(network)
    match_statistics(coarse, network, [inputs])
    with torch.no_grad():
        assert torch.isfinite(coarse(inputs)).all()
    torch.testing.assert_close(
        output_moments(coarse, inputs)["bn1"][0], output_moments(network, inputs)["bn1"][0], atol=1e-4, rtol=1e-4
    )


def test_several_batches_average_their_maps_by_size(network: nn.Module, inputs: Tensor) -> None:
    first, second, both = (coarsened(network) for _ in range(3))
    match_statistics(first, network, [inputs[:16]])
    match_statistics(second, network, [inputs[16:]])
    match_statistics(both, network, [inputs[:16], inputs[16:]])
    for name, layer in batchnorm_layers(both).items():
        if name != "bn1":
            continue  # later layers see inputs that earlier corrections of the other batch have not touched
        parts = [scale_and_shift(batchnorm_layers(part)[name]) for part in (first, second)]
        scale, shift = scale_and_shift(layer)
        torch.testing.assert_close(scale, parts[0][0] * 0.25 + parts[1][0] * 0.75, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(shift, parts[0][1] * 0.25 + parts[1][1] * 0.75, atol=1e-5, rtol=1e-5)


def test_nothing_happens_without_normalisation_or_inputs(network: nn.Module) -> None:
    coarse = coarsened(network)
    before = copy.deepcopy(coarse.state_dict())
    match_statistics(coarse, network, [])
    assert all(torch.equal(before[name], value) for name, value in coarse.state_dict().items())
    plain = nn.Sequential(nn.Linear(3, 2))
    match_statistics(plain, copy.deepcopy(plain), [torch.randn(4, 3)])


@pytest.mark.parametrize("by_keyword", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_inputs_in_any_form_and_layers_called_by_keyword_are_matched_alike(form: str, by_keyword: bool) -> None:
    x = torch.randn(150, 4, generator=torch.Generator().manual_seed(1))
    reference = AnyForm().eval()
    expected = coarsened(reference, 0.3)
    matched = coarsened(reference, 0.3)
    matched.by_keyword = by_keyword
    match_statistics(expected, reference, [x[:100], x[100:]])
    match_statistics(matched, reference, [FORMS[form](x[:100]), FORMS[form](x[100:])])
    for name, value in expected.state_dict().items():
        assert torch.equal(matched.state_dict()[name], value), name
    assert not torch.equal(expected.body[1].weight, reference.body[1].weight)
