from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rdsearch.compression.loading import load
from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.errors import QuantizationError
from rdsearch.quantization.batchnorm import batchnorm_layers, scale_and_shift
from rdsearch.quantization.folding import foldable, folded
from rdsearch.tasks.networks.identity import build_network


def digits_cnn() -> nn.Module:
    return build_network("digits_cnn")


def resnet20() -> nn.Module:
    return build_network("resnet20")


class Branches(nn.Module):
    """One pair that can be folded, and every reason why others cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.good = nn.Conv2d(3, 4, 3, bias=True)
        self.good_norm = nn.BatchNorm2d(4)
        self.branching = nn.Conv2d(4, 4, 1)
        self.branching_norm = nn.BatchNorm2d(4)
        self.twice = nn.Conv2d(4, 4, 1)
        self.twice_norm = nn.BatchNorm2d(4)
        self.tied = nn.Conv2d(4, 4, 1)
        self.tied.weight = self.branching.weight
        self.tied_norm = nn.BatchNorm2d(4)
        self.lone_norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        x = self.lone_norm(torch.relu(self.good_norm(self.good(images))))
        both = self.branching(x)
        x = self.branching_norm(both) + both
        x = self.twice_norm(self.twice(self.twice(x)))
        return self.tied_norm(self.tied(x))


class Data(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


def trained(make: Callable[[], nn.Module], channels: int, size: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    network, images = make(), torch.randn(16, channels, size, size)
    with torch.no_grad():
        for layer in batchnorm_layers(network).values():
            layer.weight.uniform_(0.3, 2.0)
            layer.bias.normal_()
    network.train()(images)
    return network.eval(), images


@pytest.mark.parametrize(
    ("make", "channels", "size", "pairs"),
    [
        (Branches, 3, 8, 1),
        (digits_cnn, 1, 8, None),
        (resnet20, 3, 32, 19),
    ],
    ids=["branches", "digits_cnn", "resnet20"],
)
def test_a_folded_network_computes_the_same_with_scales_of_one(
    make: Callable[[], nn.Module], channels: int, size: int, pairs: int | None
) -> None:
    network, images = trained(make, channels, size)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = foldable(network)
    assert len(found) == (len(batchnorm_layers(network)) if pairs is None else pairs)
    copy = folded(network, make)
    with torch.no_grad():
        torch.testing.assert_close(copy(images), network(images), rtol=1e-4, atol=1e-4)
    for name, layer in batchnorm_layers(copy).items():
        scale, _ = scale_and_shift(layer)
        assert bool((scale - 1).abs().max() < 1e-6) == (name in found)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_only_pairs_that_are_exact_are_folded() -> None:
    assert foldable(Branches()) == {"good_norm": "good"}


@pytest.mark.parametrize(
    ("network", "said"),
    [(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), "no batch normalisation"), (Data(), "cannot trace this network")],
)
def test_what_cannot_be_folded_is_said(network: nn.Module, said: str) -> None:
    with pytest.raises(QuantizationError, match=rf"quantization.fold_batchnorm: .*{said}.*leave the key false"):
        folded(network, lambda: network)


def test_the_file_of_a_folded_network_is_smaller_and_decodes_into_a_fresh_one() -> None:
    network, images = trained(digits_cnn, 1, 8)
    recipe = QuantizationRecipe(step=0.01, bias_bits=12, reestimate_batchnorm=False)
    folding = recipe.model_copy(update={"fold_batchnorm": True})
    plain, small = (pack(network, digits_cnn, settings, [], network_id="digits_cnn") for settings in (recipe, folding))
    assert len(small) < len(plain)
    decoded = load(small, into=digits_cnn()).eval()
    with torch.no_grad():
        torch.testing.assert_close(decoded(images), network(images), rtol=0.05, atol=0.05)


def test_folding_and_re_estimation_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="fold_batchnorm: needs reestimate_batchnorm: false"):
        QuantizationRecipe(fold_batchnorm=True)
