"""Members of a front, scored on the whole validation part where trials saw a subset of it."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import rdsearch
from rdsearch.base.units import standard_error
from rdsearch.compression.measure import Baseline
from rdsearch.points.front import pareto
from rdsearch.points.point import OperatingPoint
from rdsearch.search.outcome.members import judge, member_key
from rdsearch.search.outcome.results import read_results
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.task import task_of
from tests.search.books import make_point
from tests.searches import SPACE

WHOLE = Baseline(0.9, 4000)
"""On the subset the dense network has 0.95, as the points of `make_point` are measured against."""


def seen(trial: int, size: int, accuracy: float) -> OperatingPoint:
    return make_point(size=size, accuracy=accuracy, trial=trial)


def test_what_was_not_scored_is_taken_to_lose_on_the_whole_part_what_it_lost_on_the_subset() -> None:
    small, large = seen(1, 100, 0.85), seen(2, 200, 0.94)
    judgement = judge([small, large], {}, WHOLE, {})
    assert [point.val_accuracy for point in judgement.members] == pytest.approx([0.8, 0.89])
    assert [point.accuracy_drop for point in judgement.members] == pytest.approx([0.1, 0.01])
    assert judgement.unknown == judgement.members


def test_a_member_that_falls_behind_makes_room_for_the_next() -> None:
    lucky, solid = seen(1, 100, 0.93), seen(2, 100, 0.92)
    assert [point.trial for point in judge([lucky, solid], {}, WHOLE, {}).unknown] == [1]
    after = judge([lucky, solid], {}, WHOLE, {member_key(lucky): 0.8})
    assert [point.trial for point in after.unknown] == [2]
    last = judge([lucky, solid], {}, WHOLE, {member_key(lucky): 0.8, member_key(solid): 0.81})
    assert [(point.trial, point.val_accuracy) for point in last.members] == [(2, 0.81)]
    assert last.unknown == []


def test_bounds_are_kept_on_the_whole_part() -> None:
    point = seen(1, 100, 0.945)
    assert judge([point], {"accuracy_drop": 0.01}, WHOLE, {}).members
    assert not judge([point], {"accuracy_drop": 0.01}, WHOLE, {member_key(point): 0.88}).members
    assert not judge([point], {"val_accuracy": 0.9}, WHOLE, {}).members


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.5, 1), st.floats(0.5, 1)), max_size=20))
def test_asking_about_unknown_members_ends_with_a_front_that_no_asked_point_beats(
    points: list[tuple[int, float, float]],
) -> None:
    given_ = [seen(trial, size, accuracy) for trial, (size, accuracy, _) in enumerate(points)]
    truth = {member_key(point): whole for point, (_, _, whole) in zip(given_, points, strict=True)}
    scores: dict[str, float] = {}
    for _ in range(len(points) + 1):
        judgement = judge(given_, {}, WHOLE, scores)
        scores |= {member_key(point): truth[member_key(point)] for point in judgement.unknown}
    assert not judgement.unknown
    assert all(point.val_accuracy == truth[member_key(point)] for point in judgement.members)
    asked = [point for point in judge(given_, {}, WHOLE, truth).members if member_key(point) in scores]
    assert {member_key(point) for point in asked} <= {member_key(point) for point in judgement.members}
    assert pareto(judgement.members) == judgement.members


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def space(**search: Any) -> dict[str, Any]:
    task = {**SPACE["task"], "validation": 400, "validation_subset": 100}
    return {**SPACE, "task": task, "search": {"trials": 3, "seed": 1, "constraints": {}, **search}}


def test_a_search_on_a_subset_ends_with_a_front_on_the_whole_part(tmp_path: Path) -> None:
    folder, log = tmp_path / "s", io.StringIO()
    front = rdsearch.search(space(), out=folder, console=Console(file=log, width=200))
    task = task_of(SearchFolder.open(folder).search_file())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["split_sizes"]["validation"] == 400
    assert manifest["baseline"]["val_accuracy"] == task.dense_score == front.baseline_accuracy
    assert manifest["validation_subset"] == {
        "examples": 100,
        "fingerprint": task.on_subset().validation.fingerprint,
        "baseline_val_accuracy": task.on_subset().dense_score,
    }
    assert "on 400 examples" in log.getvalue()
    assert "trials are scored on a part of that" in log.getvalue()
    assert "scored on the whole validation part, 400 examples" in log.getvalue()

    stored = {(row["trial"], row["round"]): row for row in rows(folder / "points.csv")}
    dense = task.on_subset().dense_score
    for row in stored.values():
        network = rdsearch.load(folder / row["file"], into=task.fresh_network())
        assert float(row["val_accuracy"]) == task.on_subset().score(network)
        assert float(row["accuracy_drop"]) == pytest.approx(dense - float(row["val_accuracy"]))
    members = rows(folder / "front.csv")
    assert len(members) == len(front) > 0
    for row in members:
        network = rdsearch.load(folder / row["file"], into=task.fresh_network())
        accuracy = float(row["val_accuracy"])
        assert accuracy == task.score(network)
        assert float(row["accuracy_drop"]) == pytest.approx(task.dense_score - accuracy)
        assert row["val_examples"] == "400"
        assert float(row["val_standard_error"]) == pytest.approx(math.sqrt(accuracy * (1 - accuracy) / 400))
    assert front.n_validation == 400
    assert "(400 examples; the trials saw 100 of them)" in read_results(folder).score_note

    # More trials, of which the newest round is not scored on the whole part yet: the front is as the trials saw it.
    (folder / "validation.json").write_text("{}")
    before = read_results(folder)
    assert before.n_validation == 100
    assert before.front.baseline_accuracy == dense
    assert "(100 examples of 400; the front is scored on all of them when the search ends)" in before.score_note
    longer = rdsearch.resume(folder, trials=4, console=Console(quiet=True))
    assert longer.n_validation == 400
    assert all(
        point.val_accuracy == float(row["val_accuracy"])
        for point, row in zip(longer, rows(folder / "front.csv"), strict=True)
    )
    tested = rdsearch.score_on_test(folder)
    assert all(point.test_accuracy is not None for point in tested)
    assert (
        longer.within_standard_error().val_accuracy
        >= longer[-1].val_accuracy - standard_error(longer[-1].val_accuracy, 400) - 1e-9
    )

    # A published copy has no store, and says the same.
    for name in ("trials", "study.journal"):
        (folder / name).rename(tmp_path / name)
    assert list(read_results(folder).front) == list(tested)
    assert read_results(folder).n_validation == 400
