from __future__ import annotations

import pytest
import torch
from torch import nn

from rdsearch.base.network.weights import weights_of


class Transformer(nn.Module):
    """What vision transformers and their like have beside their layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 5, width))
        self.biases = nn.Parameter(torch.zeros(9, 3))
        self.scale = nn.Parameter(torch.ones(width, 1, 1))
        self.norm = nn.LayerNorm((2, width))
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


def test_tokens_positions_tables_and_scales_are_no_weights() -> None:
    assert list(weights_of(Transformer(64))) == ["layers.0.weight", "layers.2.weight"]


def test_matrices_of_no_layer_are_weights_where_they_make_up_the_network() -> None:
    network = Transformer(64)
    network.experts = nn.Parameter(torch.zeros(4, 64, 64))
    network.other = nn.Parameter(torch.zeros(64, 64))
    assert list(weights_of(network)) == ["experts", "other", "layers.0.weight", "layers.2.weight"]


@pytest.mark.parametrize("layer", [nn.Linear(1, 8), nn.Linear(8, 1), nn.Conv2d(1, 1, 1), nn.Embedding(1, 8)])
def test_a_layers_weight_is_one_at_any_size(layer: nn.Module) -> None:
    assert list(weights_of(layer)) == ["weight"]


def test_no_value_is_needed_and_shared_weights_appear_once() -> None:
    with torch.device("meta"):
        network = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5)})
    network["head"].weight = network["embed"].weight
    assert list(weights_of(network)) == ["embed.weight"]


def test_a_convolution_of_transformers_is_a_layer() -> None:
    pytorch_utils = pytest.importorskip("transformers.pytorch_utils")
    assert list(weights_of(pytorch_utils.Conv1D(1, 4))) == ["weight"]
