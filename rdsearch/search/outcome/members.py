"""The front's members on the whole validation part, where trials were scored on a subset of it.

A front is the best of many noisy scores, so its members' scores flatter them, the more the smaller the subset. At the
end of a search each member is scored on the whole part. What falls behind by that makes room for others, which are
scored too, until the whole part has been asked about every member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rdsearch.base.device import choose_device
from rdsearch.compression.loading import load
from rdsearch.compression.measure import Baseline
from rdsearch.points.front import pareto
from rdsearch.points.point import OperatingPoint
from rdsearch.search.store.rounds import fault_of
from rdsearch.search.study.constraints import feasible
from rdsearch.tasks.task import Task


@dataclass(frozen=True)
class Judgement:
    """The front as far as the whole validation part is known.

    Attributes:
        members: What no other point beats, within the bounds; figures on the whole part, or estimated there.
        unknown: Those of them that have not been scored on the whole part.
    """

    members: list[OperatingPoint]
    unknown: list[OperatingPoint]


def member_key(point: OperatingPoint) -> str:
    """Name of a stored point: its trial and round, whose file never changes."""
    return f"trial{point.trial:04d}_round{point.round:03d}"


def judge(
    points: Iterable[OperatingPoint], constraints: Mapping[str, float], baseline: Baseline, scores: Mapping[str, float]
) -> Judgement:
    """The front of points of which some have been scored on the whole validation part.

    A point that has not is taken to lose there what it lost on the subset: the dense network was scored on the same
    examples, so that what makes the subset easy or hard cancels.

    Args:
        points: With the figures that their trials saw.
        constraints: Bounds that members keep.
        baseline: The dense network on the whole part.
        scores: Scores on the whole part, by `member_key`.
    """
    known, members = set(scores), []
    for point in points:
        score = scores.get(member_key(point), baseline.accuracy - point.accuracy_drop)
        members.append(replace(point, val_accuracy=score, accuracy_drop=baseline.accuracy - score))
    front = pareto(point for point in members if feasible(point, constraints))
    return Judgement(front, [point for point in front if member_key(point) not in known])


def score_members(
    task: Task,
    points: list[OperatingPoint],
    constraints: Mapping[str, float],
    baseline: Baseline,
    scores: Mapping[str, float],
    fetch: Callable[[Path | None], None],
) -> dict[str, float]:
    """Score files on the whole validation part until every member of the front has been.

    Args:
        task: With the whole validation part.
        points: Every stored point, with the figures that its trial saw.
        constraints: Bounds that members keep.
        baseline: The dense network on the whole part.
        scores: What is known already.
        fetch: Sees that a point's file is on this machine.

    Returns:
        ``scores`` and the new ones.
    """
    found, device = dict(scores), choose_device()
    known = {member_key(point): point for point in points}
    while unknown := judge(points, constraints, baseline, found).unknown:
        for point in unknown:
            fetch(point.path)
            if fault_of(point):
                points = [other for other in points if other is not known[member_key(point)]]
                continue
            network = load(point.path or b"", into=task.fresh_network())
            found[member_key(point)] = task.score(network.to(device), device=device)
    return found
