"""Every test that the parts of a package have to pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rdsearch.base.plugins import installed
from rdsearch.base.registry import Registry
from rdsearch.config.searchfile import SAMPLERS
from rdsearch.errors import PluginError, RdsearchError
from rdsearch.plugins.networks import check_dataset, check_network
from rdsearch.plugins.pruning import check_pruning_method
from rdsearch.plugins.quantization import check_quantization_method
from rdsearch.plugins.samplers import check_sampler
from rdsearch.pruning import METHODS as PRUNING
from rdsearch.quantization import METHODS as QUANTIZATION
from rdsearch.tasks import DATASETS, NETWORKS

GROUPS: dict[str, tuple[Registry[Any], Callable[[Any], list[str]]]] = {
    "rdsearch.networks": (NETWORKS, check_network),
    "rdsearch.datasets": (DATASETS, check_dataset),
    "rdsearch.pruning": (PRUNING, check_pruning_method),
    "rdsearch.quantization": (QUANTIZATION, check_quantization_method),
    "rdsearch.samplers": (SAMPLERS, check_sampler),
}
"""Groups of entry points, with the table that each adds to and the test of its functions."""


def check_plugins(package: str) -> list[str]:
    """Try everything out that an installed package adds to rdsearch; for the tests of that package.

    Args:
        package: The distribution's name, as ``pip`` has it.

    Returns:
        One sentence for each problem; empty when all is well.

    Raises:
        PluginError: The package adds nothing: an entry point is missing, or the package is not installed.
    """
    problems, found = [], 0
    for group, (registry, check) in GROUPS.items():
        for name, claims in installed(group, registry.kind).items():
            for plugin in claims:
                if _plain(plugin.package) != _plain(package):
                    continue
                found += 1
                try:
                    registry.check(name)
                    problems += [f"{plugin}: {problem}" for problem in check(plugin.load())]
                except RdsearchError as error:
                    problems.append(str(error))
    if not found:
        raise PluginError(
            f"no installed package {package!r} adds anything: its entry points belong into the groups "
            f"{', '.join(GROUPS)}"
        )
    return problems


def _plain(package: str) -> str:
    """A distribution's name without the differences that do not count."""
    return package.lower().replace("_", "-").replace(".", "-")
