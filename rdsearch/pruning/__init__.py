"""Which weights survive: criteria, allocations between layers, budgets, and schedules over the rounds.

``prune.prune`` is the way in: masks and a number of survivors go in, narrower masks come out. Each method
decides how many weights a layer keeps and in which order they go; budgets then shift the counts, and the
total stays exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdsearch.base.registry import Registry

if TYPE_CHECKING:
    from rdsearch.pruning.layers import Method
    from rdsearch.pruning.schedules import Schedule

METHODS: Registry[Method] = Registry(
    "pruning method",
    {
        "global": "rdsearch.pruning.methods.global_magnitude:global_magnitude",
        "uniform": "rdsearch.pruning.methods.uniform:uniform",
        "uniform_plus": "rdsearch.pruning.methods.uniform_plus:uniform_plus",
        "erk": "rdsearch.pruning.methods.erk:erk",
        "lamp": "rdsearch.pruning.methods.lamp:lamp",
        "surp": "rdsearch.pruning.methods.surp:surp",
        "rd_prune": "rdsearch.pruning.methods.rd_prune:rd_prune",
    },
    group="rdsearch.pruning",
)

SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    {
        "constant": "rdsearch.pruning.schedules:constant",
        "cubic": "rdsearch.pruning.schedules:cubic",
        "linear": "rdsearch.pruning.schedules:linear",
        "one_shot": "rdsearch.pruning.schedules:one_shot",
    },
)
