"""From a network's name, and back: a name and its options are all that a file needs to know of a network."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from rdsearch.errors import TaskError
from rdsearch.tasks import NETWORKS
from rdsearch.tasks.calls import call_with_options
from rdsearch.tasks.settings import TORCHVISION_PREFIX

START_OPTIONS = ("weights",)
"""Options that say how a network starts, not which one it is: they are no part of its id."""


def network_factory(name: str) -> Callable[..., nn.Module]:
    """The function that makes the network of a registered name, or of ``torchvision:NAME``.

    Raises:
        TaskError: torchvision has no such network.
        UnknownNameError: No network has this name.
    """
    if name.startswith(TORCHVISION_PREFIX):
        from rdsearch.tasks.networks.torchvision_models import torchvision_network  # takes a second

        return torchvision_network(name.removeprefix(TORCHVISION_PREFIX))
    return NETWORKS.load(name)


@dataclass(frozen=True)
class RegisteredNetwork:
    """A registered network with its options; calling it makes one with initial weights.

    Attributes:
        name: Registered name, or ``torchvision:NAME``.
        options: Keyword arguments of its factory.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> nn.Module:
        """Make the network.

        Raises:
            TaskError: The factory does not take these options.
            UnknownNameError: No network has this name.
        """
        return call_with_options(network_factory(self.name), self.options, f"network {self.name}")

    @property
    def id(self) -> str:
        """``name``, or ``name?option=value&…``, JSON values, for options that are not the defaults."""
        parameters = inspect.signature(network_factory(self.name)).parameters
        changed = {
            key: value
            for key, value in self.options.items()
            if key not in START_OPTIONS and (key not in parameters or parameters[key].default != value)
        }
        if not changed:
            return self.name
        return f"{self.name}?" + "&".join(f"{key}={json.dumps(changed[key])}" for key in sorted(changed))

    def takes(self, option: str) -> bool:
        """Whether the factory has a parameter of this name."""
        return option in inspect.signature(network_factory(self.name)).parameters


def build_network(network_id: str) -> nn.Module:
    """Make the network that :attr:`RegisteredNetwork.id` names, with initial weights.

    Args:
        network_id: ``"resnet20"``, ``"resnet20?classes=100"``, ``"torchvision:resnet50"``.

    Raises:
        TaskError: Options that cannot be read, are not the factory's, or say how the network starts.
        UnknownNameError: No network has this name.
    """
    name, _, query = network_id.partition("?")
    options = {}
    for pair in query.split("&") if query else []:
        key, _, value = pair.partition("=")
        try:
            options[key] = json.loads(value)
        except json.JSONDecodeError:
            raise TaskError(f"network id {network_id!r}: {pair!r} is not of the form option=value") from None
    if starting := [option for option in options if option in START_OPTIONS]:
        # Otherwise a file that names such an id would make its reader download something.
        raise TaskError(
            f"network id {network_id!r}: {', '.join(starting)} says how a network starts, not which one it is; "
            "leave it out"
        )
    if not name.startswith(TORCHVISION_PREFIX) and name in NETWORKS and not NETWORKS.is_own(name):
        # A file could give any options to somebody else's function; none that is written here names such a network.
        raise TaskError(f"network id {network_id!r}: {name} is a network of another package, which files do not name")
    return RegisteredNetwork(name, options)()
