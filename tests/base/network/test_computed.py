from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from rdsearch.base.network.computed import fold_computed, forget_graphs


def old(make: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    """Without torch's advice to take the new form."""

    def made(layer: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(layer)

    return made


FORMS: dict[str, Callable[[Any], nn.Module]] = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "old weight norm": old(nn.utils.weight_norm),
    "old spectral norm": old(nn.utils.spectral_norm),
    "masked": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_computed_becomes_a_weight_and_the_function_stays(form: str) -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(FORMS[form](nn.Linear(5, 5)), nn.ReLU(), nn.Linear(5, 2)), torch.randn(3, 5)
    network(x)
    wanted = network.eval()(x).detach()
    folded = fold_computed(copy.deepcopy(forget_graphs(network)))
    assert sorted(folded.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert isinstance(folded[0].weight, nn.Parameter)
    assert torch.equal(folded(x), wanted)
    assert torch.equal(network(x), wanted)
    assert "0.weight" not in network.state_dict()


def test_modes_stay_and_a_plain_network_stays_what_it_is() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    network[1].eval()
    before = network[0].weight
    assert fold_computed(network)[0].weight is before
    assert network.training
    assert not network[1].training
