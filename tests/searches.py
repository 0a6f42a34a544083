"""A small search on real digits, as the content of a search file."""

from __future__ import annotations

from typing import Any

SPACE: dict[str, Any] = {
    "task": {"network": "digits_cnn", "dataset": "digits", "validation": 300, "train": {"epochs": 4, "lr": 3e-3}},
    "recipe": {
        "pruning": {
            "method": {"choice": ["global", "uniform", "surp"]},
            "rounds": {"int": [2, 3]},
            "rate": {"float": [0.2, 0.6]},
        },
        "retrain": {"epochs": {"int": [0, 1]}, "lr": 2e-3},
        "quantization": {"method": "uniform", "step": {"float": [0.2, 0.8], "log": True}, "calibration": 128},
    },
    "search": {"trials": 6, "seed": 3, "constraints": {"accuracy_drop": 0.5}, "patience": None},
    "resources": {"cpu": 1},
}
