import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rdsearch.errors import PruningError, TaskError
from rdsearch.pruning.layers import Work
from rdsearch.pruning.methods.least_distortion import UNITS, least_distortion
from rdsearch.pruning.methods.output_distortion import KEPT, Curve, distortion_curves
from rdsearch.pruning.prune import _layers, prune
from rdsearch.pruning.weights import prunable_weights
from tests.tasks.helpers import FORMS, AnyForm


def kept(masks):
    return [int(mask.sum()) for mask in masks.values()]


def curve(distortions):
    """A distortion for every count, from all pruned to none."""
    return Curve(np.arange(len(distortions), dtype=float), np.array(distortions, dtype=float))


def least_by_trying(curves, total):
    every = itertools.product(*(range(len(curve.counts)) for curve in curves))
    return min(
        sum(curve.distortions[count] for curve, count in zip(curves, counts, strict=True))
        for counts in every
        if sum(counts) == total
    )


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=6), min_size=1, max_size=4), st.data())
def test_the_table_finds_the_least_distortion_that_trying_all_finds(falls, data):
    curves = [curve(np.cumsum([0.0, *fall])[::-1]) for fall in falls]
    total = data.draw(st.integers(0, sum(len(fall) for fall in falls)))
    counts = least_distortion(curves, total)
    assert sum(counts) == total
    found = sum(curve.distortions[count] for curve, count in zip(curves, counts, strict=True))
    assert found == pytest.approx(least_by_trying(curves, total))


def test_a_curve_with_a_threshold_is_not_mistaken_for_a_slope():
    # Two weights of the first layer are worth nothing apart: a greedy choice would never take them.
    assert least_distortion([curve([10, 10, 0]), curve([5, 4, 3])], 2) == [2, 0]


@pytest.mark.parametrize("total", [1, UNITS + 1, 99_999, 250_000, 300_430])
def test_large_layers_meet_the_total_exactly_and_share_it_well(total):
    # d(k) = a (1 - k/n)^2 falls evenly when the density of each layer is 1 - m n / a for one m.
    sizes, weights = np.array([430, 100_000, 200_000]), np.array([1.0, 300.0, 100.0])
    shares = np.linspace(0, 1, 41)
    curves = [Curve(shares * n, a * (1 - shares) ** 2) for n, a in zip(sizes, weights, strict=True)]
    counts = least_distortion(curves, total)
    assert sum(counts) == total
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))

    def densities(m):
        return np.clip(1 - m * sizes / weights, 0, 1)

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (densities(middle) * sizes).sum() > total else (low, middle)
    best, found = (
        sum(curve.at(np.array([count]))[0] for curve, count in zip(curves, kept, strict=True))
        for kept in (densities(low) * sizes, counts)
    )
    assert found <= 1.002 * best + 1e-9


class Gated(nn.Module):
    """A layer between two whose outputs are multiplied by zero."""

    def __init__(self):
        super().__init__()
        self.first, self.idle, self.last = nn.Linear(8, 20), nn.Linear(8, 20), nn.Linear(20, 5)
        self.norm, self.drop = nn.BatchNorm1d(20), nn.Dropout(0.5)

    def forward(self, x):
        return self.last(self.drop(self.norm(torch.relu(self.first(x) + 0 * self.idle(x)))))


@pytest.fixture
def gated():
    torch.manual_seed(0)
    return Gated()


def pruned(network, survivors, masks=None, **settings):
    inputs = torch.randn(100, 8, generator=torch.Generator().manual_seed(1))
    weights = prunable_weights(network)
    return prune(weights, masks, survivors, method="rd_prune", network=network, inputs=lambda: inputs, **settings)


def test_a_layer_without_influence_gives_all_its_weights_first(gated):
    assert kept(pruned(gated, 160 + 1 + 100)) == [160, 1, 100]
    first, idle, last = kept(pruned(gated, 200))
    assert idle == 1
    assert first + last == 199


def test_survivors_are_exact_nested_and_the_largest_of_each_layer(gated):
    masks = None
    for survivors in (400, 300, 180, 60, 3):
        before, masks = masks, pruned(gated, survivors, masks)
        assert sum(kept(masks)) == survivors
        assert min(kept(masks)) >= 1
        for name, weight in prunable_weights(gated).items():
            assert before is None or not (masks[name] & ~before[name]).any()
            smallest = weight[masks[name]].abs().min()
            assert (weight[~masks[name]].abs() <= smallest).all()


def test_budgets_and_profiles_come_on_top(gated):
    plain = kept(pruned(gated, 150))
    assert kept(pruned(gated, 150, budgets={"last": 3.0}))[2] > plain[2]
    assert kept(pruned(gated, 150, profile={"depth": 1.5}))[2] > plain[2]


def test_the_network_is_afterwards_as_it_was(gated):
    gated.train()
    gated.drop.eval()
    before = {name: value.clone() for name, value in gated.state_dict().items()}
    pruned(gated, 100)
    assert all(torch.equal(before[name], value) for name, value in gated.state_dict().items())
    assert gated.training
    assert not gated.drop.training
    assert gated.first.weight.requires_grad


def test_a_curve_is_the_distortion_of_the_output_when_one_layer_is_pruned():
    network = nn.Sequential(nn.Linear(6, 30, bias=False), nn.Linear(30, 4, bias=False))
    inputs = torch.randn(70, 6)
    layers = _layers(prunable_weights(network), None)
    curves = distortion_curves(Work(layers, network=network, inputs=lambda: inputs))
    assert [curve.counts[-1] for curve in curves] == [180, 120]
    assert all(len(curve.counts) == len(KEPT) + 1 and curve.distortions[-1] == 0 for curve in curves)
    assert all((np.diff(curve.distortions) <= 0).all() for curve in curves)
    weight = network[0].weight.detach()
    smallest = weight.abs().flatten().sort().values[180 - int(curves[0].counts[5]) - 1]
    with torch.no_grad():
        coarse = inputs @ torch.where(weight.abs() > smallest, weight, 0.0).T @ network[1].weight.T
        expected = (coarse - network(inputs)).square().sum(1).mean()
    assert curves[0].distortions[5] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    "wrap", [lambda y: (y, None), lambda y: {"logits": y, "loss": y.sum()}, lambda y: [[y], "text"]]
)
def test_outputs_may_be_lists_tuples_and_mappings(gated, wrap):
    forward = gated.forward
    expected = kept(pruned(gated, 150))
    gated.forward = lambda x: wrap(forward(x))
    assert kept(pruned(gated, 150)) == expected


@pytest.mark.parametrize("form", FORMS)
def test_inputs_may_be_tuples_and_mappings(form):
    inputs = torch.randn(100, 4, generator=torch.Generator().manual_seed(1))
    network = AnyForm()
    weights = prunable_weights(network)
    expected, masks = (
        prune(weights, None, 60, method="rd_prune", network=network, inputs=lambda given=given: given)
        for given in (inputs, FORMS[form](inputs))
    )
    assert all(torch.equal(masks[name], mask) for name, mask in expected.items())


def test_convolutions_are_pruned_too():
    network = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(6 * 36, 10))
    inputs = torch.rand(3, 1, 26, 26)
    weights = prunable_weights(network)
    masks = prune(weights, None, 300, method="rd_prune", network=network, inputs=lambda: inputs)
    assert sum(kept(masks)) == 300


def test_what_is_missing_or_broken_is_said(gated):
    weights = prunable_weights(gated)
    with pytest.raises(PruningError, match=r"give prune\(\) the network and inputs"):
        prune(weights, None, 100, method="rd_prune")
    with pytest.raises(PruningError, match="hold no examples"):
        prune(weights, None, 100, method="rd_prune", network=gated, inputs=lambda: torch.zeros(0, 8))
    with pytest.raises(PruningError, match="hold no examples"):
        prune(weights, None, 100, method="rd_prune", network=gated, inputs=lambda: {"x": torch.zeros(0, 8)})
    with pytest.raises(TaskError, match="holds a NoneType: give tensors"):
        prune(weights, None, 100, method="rd_prune", network=gated, inputs=lambda: None)
    with pytest.raises(PruningError, match=r"NaN or infinite when first\.weight is pruned or as it is"):
        prune(weights, None, 100, method="rd_prune", network=gated, inputs=lambda: torch.full((3, 8), torch.nan))
    gated.forward = lambda x: "text"
    with pytest.raises(PruningError, match="returns str without a tensor of numbers"):
        prune(weights, None, 100, method="rd_prune", network=gated, inputs=lambda: torch.zeros(3, 8))
