"""How the survivors are trained again after pruning, and their levels after quantisation.

``retrain.retrain`` is the way in for a round's float network, ``levels.train_levels`` for the levels of its file. Each
option is one file: a hook around the steps of the one training loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdsearch.base.registry import Registry

if TYPE_CHECKING:
    from rdsearch.retraining.gates import Gates
    from rdsearch.retraining.penalties import Slope

PENALTIES: Registry[Slope] = Registry(
    "penalty",
    {
        "l1": "rdsearch.retraining.penalties:l1",
        "log_sum": "rdsearch.retraining.penalties:log_sum",
        "funnel": "rdsearch.retraining.penalties:funnel",
        "grouped": "rdsearch.retraining.penalties:grouped",
    },
)

GATES: Registry[type[Gates]] = Registry(
    "kind of gates",
    {
        "hard_concrete": "rdsearch.retraining.hard_concrete:HardConcrete",
        "variational_dropout": "rdsearch.retraining.variational_dropout:VariationalDropout",
    },
)
