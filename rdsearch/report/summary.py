"""What a report is made from: plain data about one search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.references import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSummary:
    """One search, as its report shows it.

    Attributes:
        name: What was compressed, for the title: ``"lenet300 on mnist"``.
        points: Every operating point, in any order.
        front: Those that no other beats (and that keep the search's constraints), with the dense baseline.
        trials_finished: Trials that ran to their end.
        trials_failed: Trials that gave up with an error.
        seconds: Wall time of the search.
        manifest: Versions, seeds, hardware, fingerprints, split sizes: any nesting of mappings, sequences and
            scalars. A setting whose secrecy matters has no place in it.
        command: The command line that ran the search, when there was one.
        config: The resolved search file as text, when there was one.
        n_validation: Number of validation examples, for the standard error of an accuracy.
        n_trial_validation: Number of those that trials were scored on, where it is less.
        reference_accuracy: The accuracy that is worth nothing in the hypervolume; the reference size is the
            dense network's.
        importances: Under ``"front"`` and each objective, each parameter's share in what makes a trial good.
        ancestors: For each point of the front, the heuristic that it is or lies nearest to; empty where none was tried.
        heuristic_trials: Trials that were no proposals of the sampler, but heuristics.
        references: Published points, to be shown beside the front.
    """

    name: str
    points: Sequence[OperatingPoint]
    front: Front
    trials_finished: int
    trials_failed: int
    seconds: float
    manifest: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    config: str | None = None
    n_validation: int | None = None
    n_trial_validation: int | None = None
    reference_accuracy: float = 0.0
    importances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ancestors: Sequence[str] = ()
    heuristic_trials: Collection[int] = ()
    references: Sequence[Reference] = ()
