from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from rdsearch.base.network.wrappers import unwrapped


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def compiled(inner: nn.Module) -> nn.Module:
    made: nn.Module = torch.compile(inner, backend="eager")
    return made


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "parallel": nn.DataParallel,
    "compiled": compiled,
    "averaged": AveragedModel,
    "compiled parallel": lambda inner: compiled(nn.DataParallel(inner)),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_the_network_itself_is_found_and_shares_its_tensors(wrap: Callable[[nn.Module], nn.Module]) -> None:
    wrapped = wrap(network())
    found = unwrapped(wrapped)
    assert list(found.state_dict()) == list(network().state_dict())
    assert {id(tensor) for tensor in found.parameters()} == {id(tensor) for tensor in wrapped.parameters()}


def test_a_network_without_wrappers_is_given_back_itself() -> None:
    own = network()
    assert unwrapped(own) is own


def test_a_part_may_be_wrapped_and_used_twice_and_stays_as_it_is() -> None:
    part = nn.DataParallel(network())
    whole = nn.Sequential(part, nn.Linear(2, 4), compiled(part))
    names = list(whole.state_dict())
    found = unwrapped(whole)
    assert list(found.state_dict()) == [
        *(f"0.{name}" for name in network().state_dict()),
        "1.weight",
        "1.bias",
        *(f"2.{name}" for name in network().state_dict()),
    ]
    assert found.get_submodule("0") is found.get_submodule("2")
    assert list(whole.state_dict()) == names
    found.load_state_dict({name: torch.full_like(value, 2.0) for name, value in found.state_dict().items()})
    assert all((value == 2.0).all() for value in whole.state_dict().values())
    inputs = torch.ones(5, 4)
    torch.testing.assert_close(found(inputs), nn.Sequential(part, whole[1], part)(inputs))


def test_an_attribute_called_module_is_no_wrapper() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.module(x)
            return found

    own = Own()
    assert unwrapped(own) is own
