"""What a search has found: read from its round store, written beside it for people and programs."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rdsearch.base.files import write_atomically
from rdsearch.base.units import format_size, standard_error
from rdsearch.config.yamlfile import write_yaml
from rdsearch.errors import SearchError
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.table import read_front, read_points, write_front, write_points
from rdsearch.search.outcome.manifest import baseline_of, trials_baseline
from rdsearch.search.outcome.members import judge, member_key
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.rounds import fault_of, size_fault_of
from rdsearch.search.study.constraints import feasible, nearest_misses

_FRONT_FILE = re.compile(r"(trial\d{4,}_round\d{3,})(\.rdz|\.recipe\.yaml)")


@dataclass(frozen=True)
class Results:
    """What a search has found so far.

    Attributes:
        folder: Where it lies.
        manifest: The search's manifest.
        points: Every operating point, by trial and round.
        front: The points that keep the constraints and that no other beats.
        constraints: The search's bounds.
        finished: Trials that ran to their end, or were stopped early.
        failed: Trials that were given up, with the reason of each.
        damaged: What is wrong with rounds that were passed over, in a line each.
    """

    folder: SearchFolder
    manifest: dict[str, Any]
    points: list[OperatingPoint]
    front: Front
    constraints: dict[str, float]
    finished: int
    failed: dict[int, str]
    damaged: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the search has reached its number of trials."""
        return self.finished + len(self.failed) >= int(self.manifest.get("target", 1))

    @property
    def why_all_failed(self) -> str | None:
        """The commonest reason, where every trial of a search that has all of them failed; ``None`` elsewhere."""
        if self.finished or not self.failed or not self.complete:
            return None
        reasons = Counter(_last_line(message) for message in self.failed.values())
        reason, count = reasons.most_common(1)[0]
        return (
            f"all {len(self.failed)} trials failed, {count} of them with: {reason}\n"
            "mend that and run the search again in another folder; the report has what each of them said"
        )

    @property
    def n_validation(self) -> int | None:
        """Number of validation examples, where the score is an accuracy, whose standard error they give."""
        return self.front.n_validation

    @property
    def n_trial_validation(self) -> int | None:
        """Number of examples that trials were scored on, where that is less than the front is scored on."""
        subset = self.manifest.get("validation_subset")
        return None if subset is None or subset["examples"] == self.n_validation else int(subset["examples"])

    @property
    def score_note(self) -> str:
        """How sure the validation accuracies of the front are, or what its scores are, in a line."""
        if self.manifest.get("score", {}).get("direction") == "minimize":
            return "val is minus the score, of which less is better"
        if self.n_validation is None or not len(self.front):
            return "val is the task's own score"
        errors = [standard_error(point.val_accuracy, self.n_validation) for point in self.front]
        span = f"{min(errors):.4f}" if max(errors) - min(errors) < 5e-5 else f"{min(errors):.4f} to {max(errors):.4f}"
        return f"standard error of val: {span} ({self.n_validation:,} examples{self._subset_note})"

    @property
    def _subset_note(self) -> str:
        """What the trials saw, where that is not what the front's accuracies are measured on."""
        if "validation_subset" not in self.manifest:
            return ""
        if self.n_trial_validation is not None:
            return f"; the trials saw {self.n_trial_validation:,} of them"
        whole = self.manifest["split_sizes"]["validation"]
        return f" of {whole:,}; the front is scored on all of them when the search ends"


def _last_line(message: str) -> str:
    """Of a traceback the error itself; one-line messages whole."""
    said = [line.strip() for line in message.splitlines() if line.strip()]
    return said[-1] if said else "no reason given"


def read_results(path: str | Path) -> Results:
    """Everything that a search has reported, whether it is running, interrupted, finished or published.

    Raises:
        SearchError: There is no search in the folder.
    """
    folder = SearchFolder.open(path)
    manifest = folder.read_manifest()
    constraints = dict(folder.search_file().search.constraints)
    store = folder.rounds
    # A published search has its tables and its front's files, but not the store that they came from.
    stored = not folder.is_published
    points = store.all_points() if stored else read_points(folder.points)
    outcomes = {trial: store.outcome(trial) for trial in store.trials()}
    lost: list[str] = []
    if stored:
        front, points = _sound_front(folder, manifest, points, constraints, lost)
    else:
        front = _published_front(folder, manifest)
    return Results(
        folder=folder,
        manifest=manifest,
        points=points,
        front=front,
        constraints=constraints,
        finished=sum(outcome is not None and outcome.state != "failed" for outcome in outcomes.values())
        if stored
        else len({point.trial for point in points}),
        failed={
            trial: outcome.message
            for trial, outcome in outcomes.items()
            if outcome is not None and outcome.state == "failed"
        },
        damaged=(*store.damaged.values(), *lost),
    )


def load_front(directory: str | Path) -> Front:
    """The Pareto front of a search: iterable, by rising size; every point has the path of its file.

    Args:
        directory: The search's folder.

    Raises:
        SearchError: There is no search in the folder.
    """
    return read_results(directory).front


def _sound_front(
    folder: SearchFolder,
    manifest: dict[str, Any],
    points: list[OperatingPoint],
    constraints: Mapping[str, float],
    lost: list[str],
) -> tuple[Front, list[OperatingPoint]]:
    """The front of the points whose files are what was stored; what is wrong with the others goes into ``lost``."""
    sizes = {(point.trial, point.round): fault for point in points if (fault := size_fault_of(point))}
    lost += sizes.values()
    points = [point for point in points if (point.trial, point.round) not in sizes]
    while True:
        front = _front(folder, manifest, points, constraints)
        faults = {(point.trial, point.round): fault for point in front if (fault := fault_of(point))}
        if not faults:
            return front, points
        lost += faults.values()
        points = [point for point in points if (point.trial, point.round) not in faults]


def _front(
    folder: SearchFolder, manifest: dict[str, Any], points: list[OperatingPoint], constraints: Mapping[str, float]
) -> Front:
    """The front on the whole validation part, once all of its members have been scored there; else as trials saw it."""
    if "validation_subset" in manifest:
        judgement = judge(points, constraints, baseline_of(manifest), folder.read_whole_part())
        if not judgement.unknown:
            return _with_files(folder, judgement.members, _figures(manifest, whole=True))
    kept = [point for point in points if feasible(point, constraints)]
    return _with_files(folder, kept, _figures(manifest, whole=False))


def _published_front(folder: SearchFolder, manifest: dict[str, Any]) -> Front:
    figures = _figures(manifest, whole=folder.whole_part.exists())
    return _with_files(folder, read_front(folder.front_csv, **figures), figures)


def _figures(manifest: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """What a front is measured against and on, as `Front` takes it."""
    baseline = baseline_of(manifest) if whole else trials_baseline(manifest)
    subset = manifest.get("validation_subset")
    examples = manifest["split_sizes"]["validation"] if whole or subset is None else subset["examples"]
    return {
        "baseline_accuracy": baseline.accuracy,
        "baseline_size_bytes": baseline.size_bytes,
        "n_validation": int(examples) if manifest.get("score", {}).get("accuracy", True) else None,
    }


def _with_files(folder: SearchFolder, points: Iterable[OperatingPoint], figures: dict[str, Any]) -> Front:
    """The front of points, each with its copy in ``front/`` and its test score, where there are such."""
    tests = folder.read_tests()
    members = []
    for stored in Front(points, **figures):
        point = replace(stored, path=front_file(folder, stored))
        if fault_of(point):
            point = stored
            with contextlib.suppress(SearchError):
                folder.fetch(point.path)
        score = tests.get(point.sha256 or digest(point)) if tests else point.test_accuracy
        members.append(replace(point, test_accuracy=score))
    return Front(members, **figures)


def front_file(folder: SearchFolder, point: OperatingPoint) -> Path:
    """Where a front's file is copied to; the same as long as the point is on the front."""
    return folder.front_files / f"{member_key(point)}.rdz"


def digest(point: OperatingPoint) -> str:
    """SHA-256 of a stored point's file, hex."""
    return hashlib.sha256(file_of(point).read_bytes()).hexdigest()


def file_of(point: OperatingPoint) -> Path:
    """Where a stored point's file lies.

    Raises:
        SearchError: The point has no file on disk.
    """
    if point.path is None or not point.path.exists():
        raise SearchError(f"the file of trial {point.trial}, round {point.round} is not there: {point.path}")
    return point.path


def write_results(results: Results) -> Results:
    """Write ``points.csv``, ``front.csv``, the front's files and recipes, and the picture of the front.

    Returns:
        The same, each point of the front with the path of its file in ``front/``.
    """
    folder = results.folder
    folder.refuse_links()
    write_points(folder.points, results.points)
    copies = _copy_front(folder, results.front, results.manifest.get("inputs"))
    front = Front(
        copies,
        baseline_accuracy=results.front.baseline_accuracy,
        baseline_size_bytes=results.front.baseline_size_bytes,
        n_validation=results.front.n_validation,
    )
    write_front(folder.front_csv, front)
    # After the table, so that it never names a file that is not there.
    _remove_former_members(folder, front)
    folder.push_results()
    return replace(results, front=front)


def _copy_front(
    folder: SearchFolder, front: Iterable[OperatingPoint], inputs: Mapping[str, Any] | None
) -> list[OperatingPoint]:
    """Copy the front's files; their names stay the same as long as they are on the front.

    Beside each lies its recipe, and what has to be done to inputs before its network sees them.
    """
    if not folder.trials.exists():
        return list(front)
    folder.front_files.mkdir(exist_ok=True)
    copies = []
    space = folder.search_file().space
    for point in front:
        target = front_file(folder, point)
        recipe = target.with_suffix(".recipe.yaml")
        if not recipe.exists():
            told = {"recipe": space.recipe(point.parameters).cut(point.round).as_dict()}
            write_yaml(recipe, told | ({} if inputs is None else {"inputs": dict(inputs)}))
        if point.path != target:  # else it is there, and what it should be
            write_atomically(target, file_of(point).read_bytes())
        copies.append(replace(point, path=target))
    return copies


def _remove_former_members(folder: SearchFolder, front: Iterable[OperatingPoint]) -> None:
    """Remove files of points that have left the front, and nothing else that somebody may have put there."""
    if not folder.trials.exists():
        return
    members = {front_file(folder, point).name.removesuffix(".rdz") for point in front}
    for file in folder.front_files.iterdir():
        match = _FRONT_FILE.fullmatch(file.name)
        if match and match[1] not in members:
            file.unlink()


def misses_text(results: Results) -> str:
    """What to say when nothing keeps the constraints: the bounds, and the points that miss them by the least."""
    bounds = ", ".join(f"{name} {bound:g}" for name, bound in results.constraints.items())
    if not results.points:
        return "no trial has reported a point yet"
    rows = [
        f"  {format_size(point.size_bytes)}, validation accuracy {point.val_accuracy:.4f} "
        f"(drop {point.accuracy_drop:+.4f}), trial {point.trial} round {point.round}"
        for point in nearest_misses(results.points, results.constraints)
    ]
    return f"no point keeps the constraints ({bounds}); the nearest misses:\n" + "\n".join(rows)
