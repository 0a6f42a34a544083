"""Parts of other packages: what their functions are given and answer, and the tests that they have to pass.

A package names its functions as entry points, in the groups of `rdsearch.plugins.checks.GROUPS`; docs/extend.md has a
whole one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdsearch.plugins.checks import check_plugins as check_plugins
    from rdsearch.plugins.networks import check_dataset as check_dataset
    from rdsearch.plugins.networks import check_network as check_network
    from rdsearch.plugins.pruning import check_pruning_method as check_pruning_method
    from rdsearch.plugins.quantization import check_quantization_method as check_quantization_method
    from rdsearch.plugins.samplers import check_sampler as check_sampler
    from rdsearch.pruning.layers import Allocation as Allocation
    from rdsearch.pruning.layers import Choice as Choice
    from rdsearch.pruning.layers import Layers as Layers
    from rdsearch.pruning.layers import Work as PruningWork  # noqa: F401
    from rdsearch.quantization.method import Work as QuantizationWork  # noqa: F401
    from rdsearch.quantization.method import finish as finish
    from rdsearch.quantization.uniform import Quantized as Quantized
    from rdsearch.quantization.uniform import quantize_uniform as quantize_uniform
    from rdsearch.quantization.uniform import snap_step as snap_step
    from rdsearch.search.study.samplers import Reseeded as Reseeded
    from rdsearch.search.study.samplers import Setting as SamplerSetting  # noqa: F401

_PUBLIC = {
    "Allocation": "rdsearch.pruning.layers:Allocation",
    "Choice": "rdsearch.pruning.layers:Choice",
    "Layers": "rdsearch.pruning.layers:Layers",
    "PruningWork": "rdsearch.pruning.layers:Work",
    "QuantizationWork": "rdsearch.quantization.method:Work",
    "Quantized": "rdsearch.quantization.uniform:Quantized",
    "Reseeded": "rdsearch.search.study.samplers:Reseeded",
    "SamplerSetting": "rdsearch.search.study.samplers:Setting",
    "check_dataset": "rdsearch.plugins.networks:check_dataset",
    "check_network": "rdsearch.plugins.networks:check_network",
    "check_plugins": "rdsearch.plugins.checks:check_plugins",
    "check_pruning_method": "rdsearch.plugins.pruning:check_pruning_method",
    "check_quantization_method": "rdsearch.plugins.quantization:check_quantization_method",
    "check_sampler": "rdsearch.plugins.samplers:check_sampler",
    "finish": "rdsearch.quantization.method:finish",
    "quantize_uniform": "rdsearch.quantization.uniform:quantize_uniform",
    "snap_step": "rdsearch.quantization.uniform:snap_step",
}

__all__ = [*_PUBLIC]  # noqa: PLE0604 - names only


def __getattr__(name: str) -> Any:
    # A package of networks alone does not import Optuna.
    if name in _PUBLIC:
        module, _, attribute = _PUBLIC[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'rdsearch.plugins' has no attribute {name!r}")
