from __future__ import annotations

import torch
from torch import nn

from rdsearch.retraining.survivors import Survivors


def two_layers() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    network = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Linear(4, 2))
    generator = torch.Generator().manual_seed(0)
    names = ("0.weight", "1.weight")
    return network, {name: torch.rand(network.get_parameter(name).shape, generator=generator) < 0.5 for name in names}


def test_values_are_the_masked_weights_in_order_and_can_be_replaced() -> None:
    network, masks = two_layers()
    survivors = Survivors(network, masks)
    expected = torch.cat([network.get_parameter(name).detach()[mask] for name, mask in masks.items()])
    before = {name: network.get_parameter(name).detach().clone() for name in masks}
    torch.testing.assert_close(survivors.values(), expected, rtol=0, atol=0)
    survivors.put(expected + 1)
    for name, mask in masks.items():
        torch.testing.assert_close(network.get_parameter(name).detach(), before[name] + mask, rtol=0, atol=0)


def test_gradients_are_read_and_replaced_only_where_the_weights_live() -> None:
    network, masks = two_layers()
    survivors = Survivors(network, masks)
    weight = network.get_parameter("0.weight")
    weight.grad = torch.ones_like(weight)
    alive = int(masks["0.weight"].sum())
    assert survivors.gradients().sum() == alive  # the other layer has none, which counts as zero
    survivors.put_gradients(torch.full((sum(survivors.counts),), 5.0))
    torch.testing.assert_close(weight.grad, 1 + 4.0 * masks["0.weight"])
    assert network.get_parameter("1.weight").grad is None


def test_every_memory_layout_is_written_in_place() -> None:
    network, masks = two_layers()
    network[0].to(memory_format=torch.channels_last)
    Survivors(network, masks).put(torch.zeros(sum(int(mask.sum()) for mask in masks.values())))
    for name, mask in masks.items():
        assert not network.get_parameter(name)[mask].any()
        assert network.get_parameter(name)[~mask].all()


def test_the_unit_of_a_weight_is_its_layers_root_mean_square_and_never_zero() -> None:
    network, masks = two_layers()
    with torch.no_grad():
        network.get_parameter("1.weight").zero_()
    units = Survivors(network, masks).root_mean_squares()
    first = network.get_parameter("0.weight").detach()[masks["0.weight"]]
    torch.testing.assert_close(units[: len(first)], first.square().mean().sqrt().expand(len(first)))
    assert (units > 0).all()


def test_frozen_and_empty_layers_are_left_out() -> None:
    network, masks = two_layers()
    network.get_parameter("0.weight").requires_grad_(False)
    survivors = Survivors(network, masks)
    assert survivors.counts == [int(masks["1.weight"].sum())]
    masks["1.weight"][:] = False
    masks["0.weight"][:] = True
    network.get_parameter("0.weight").requires_grad_(True)
    assert Survivors(network, masks).counts == [24]
