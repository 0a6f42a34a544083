"""A search's books without Ray: a real journal and store, and trials whose points are made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.config.searchfile import SearchConfig
from rdsearch.config.space import RecipeSpace, parse_space
from rdsearch.points.point import OperatingPoint
from rdsearch.search.store.rounds import Outcome, RoundStore
from rdsearch.search.store.studies import STUDY_NAME, StudyPlace
from rdsearch.search.study.ledger import Ledger

TREE: dict[str, Any] = {
    "pruning": {
        "method": {"choice": ["global", "erk"]},
        "rate": {"float": [0.1, 0.5], "points": 3},
        "rounds": {"int": [2, 4]},
    },
    "retrain": {"lr": {"float": [1e-4, 1e-2], "log": True, "points": 2}},
}


def make_space(tree: dict[str, Any] = TREE) -> RecipeSpace:
    space, problems = parse_space(tree, "here")
    assert problems == []
    return space


def make_point(round_: int = 1, size: int = 1000, accuracy: float = 0.9, **changes: Any) -> OperatingPoint:
    figures: dict[str, Any] = {
        "size_bytes": size,
        "val_accuracy": accuracy,
        "accuracy_drop": 0.95 - accuracy,
        "compression_ratio": 100_000 / size,
        "sparsity": 0.5,
        "rate_bits_per_weight": 1.5,
        "seconds": 0.25,
        "round": round_,
        "parameters": {"pruning.rate": 0.2},
        "data": b"file of round %d" % round_,
    }
    return OperatingPoint(**{**figures, **changes})


def make_checkpoint(round_: int) -> Checkpoint:
    return Checkpoint(
        round_, {"w": np.full((2, 3), round_, np.float32), "n": np.array(3)}, {"w": np.array([[True, False, True]] * 2)}
    )


class Books:
    """A folder with a journal and a store; ``open`` begins another run on it."""

    def __init__(self, folder: Path, target: int = 6, tree: dict[str, Any] = TREE, **config: Any) -> None:
        self.journal = folder / "study.journal"
        self.store = RoundStore(folder / "trials")
        self.target, self.tree = target, tree
        self.config = SearchConfig(**{"sampler": "random", "heuristics": False, **config})

    def open(
        self, target: int | None = None, tree: dict[str, Any] | None = None, first: Sequence[dict[str, Any]] = ()
    ) -> Ledger:
        space = make_space(tree or self.tree)
        return Ledger(self.journal, self.store, space, self.config, target or self.target, first)

    def publish(self, number: int, rounds: int = 2, accuracy: float = 0.9, **changes: Any) -> None:
        for round_ in range(1, rounds + 1):
            point = make_point(round_, size=2000 // round_ + number, accuracy=accuracy, **changes)
            self.store.publish(number, point, make_checkpoint(round_))

    def complete(self, number: int, rounds: int = 2, accuracy: float = 0.9, **changes: Any) -> None:
        self.publish(number, rounds, accuracy, **changes)
        self.store.finish(number, Outcome("complete"))

    def study(self) -> optuna.Study:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        return optuna.load_study(study_name=STUDY_NAME, storage=JournalStorage(JournalFileBackend(str(self.journal))))

    def trials(self) -> list[FrozenTrial]:
        return self.study().get_trials()


def ledger(study: StudyPlace, books: Books, target: int = 4) -> Ledger:
    """Books on a study that lies elsewhere."""
    return Ledger(study, books.store, make_space(), books.config, target)


def states(study: StudyPlace) -> list[str]:
    opened = optuna.load_study(study_name=study.name, storage=study.open())
    return [trial.state.name for trial in opened.get_trials()]
