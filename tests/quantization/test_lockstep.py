from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rdsearch.quantization.lockstep import Lockstep


class Chain(nn.Module):
    """Two layers, the first twice; says what it has computed so far."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.then = nn.Linear(4, 4), nn.Linear(4, 2), then
        self.computed: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        for name in ("a", "a", "b"):
            x = getattr(self, name)(x)
            self.computed.append(name)
            self.then()
        return x


PRODUCTS = [("a.weight", 0), ("a.weight", 1), ("b.weight", 0)]


def test_it_computes_what_comes_before_the_product_that_is_asked_for_and_no_more() -> None:
    network, batch = Chain(), torch.randn(3, 4)
    with Lockstep(network, PRODUCTS, batch) as beside:
        assert network.computed == []
        for number, key in enumerate(PRODUCTS):
            product = beside.product(*key)
            assert product is not None
            assert len(network.computed) == number
            assert product.weight is network.get_parameter(key[0])
            if number == 1:
                with torch.no_grad():
                    torch.testing.assert_close(product.given.columns(slice(None))[0], network.a(batch))
            assert beside.product(*key) is product  # as often as one likes


def test_what_it_has_gone_past_or_never_computes_is_none() -> None:
    with Lockstep(Chain(), PRODUCTS, torch.randn(3, 4)) as beside:
        assert beside.product("b.weight", 0) is not None
        assert beside.product("a.weight", 1) is None
        assert beside.product("c.weight", 0) is None
        assert beside.product("b.weight", 0) is not None
    with Lockstep(Chain(), [*PRODUCTS, ("b.weight", 1)], torch.randn(3, 4)) as beside:
        assert beside.product("b.weight", 1) is None
        assert beside.product("b.weight", 1) is None


def test_what_nobody_asks_for_is_not_waited_for() -> None:
    network = Chain()
    with Lockstep(network, PRODUCTS[2:], torch.randn(3, 4)) as beside:
        assert beside.product(*PRODUCTS[2]) is not None
    assert network.computed == ["a", "a"]


def test_leaving_early_ends_the_pass_and_leaves_the_network_as_it_was() -> None:
    network = Chain().train()
    before = threading.active_count()
    with Lockstep(network, PRODUCTS, torch.randn(3, 4)) as beside:
        beside.product(*PRODUCTS[1])
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert network.computed == ["a"]
    assert all(module.training for module in network.modules())
    with Lockstep(network, PRODUCTS, torch.randn(3, 4)):
        pass
    assert network.computed == ["a"]


def test_what_the_network_raises_is_raised_where_it_is_asked() -> None:
    def fail() -> None:
        raise ZeroDivisionError("in the network")

    with Lockstep(Chain(fail), PRODUCTS, torch.randn(3, 4)) as beside:
        assert beside.product(*PRODUCTS[0]) is not None
        with pytest.raises(ZeroDivisionError, match="in the network"):
            beside.product(*PRODUCTS[1])
