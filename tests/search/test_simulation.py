"""Searches in a recorded table: its points are those that were recorded, and time passes as on real workers."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Mapping

import pytest

from benchmarks.curves import curve
from benchmarks.search import BASELINES, NOTHING, TABLES, config_of
from benchmarks.simulation import Ours, Plain, Table, simulate
from rdsearch.points.point import OperatingPoint, Scalar


@pytest.fixture(scope="module")
def table() -> Table:
    return Table(TABLES / "digits.yaml", *BASELINES["digits"])


def recorded() -> list[dict[str, str]]:
    with gzip.open(TABLES / "digits.csv.gz", "rt", newline="") as stream:
        return list(csv.DictReader(stream))


def parameters_of(row: Mapping[str, str], table: Table) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {"pruning.rounds": 8}
    for name, domain in table.domains.items():
        values[name] = next(
            value
            for value in domain.grid() or ()
            if (f"{value:.6g}" if isinstance(value, float) else str(value)) == row[name]
        )
    return values


def test_recorded_recipes_have_their_recorded_points(table: Table) -> None:
    for row in recorded()[::37]:
        point = list(table.points(parameters_of(row, table)))[int(row["round"]) - 1]
        assert point.size_bytes == int(row["size_bytes"])
        assert point.val_accuracy == pytest.approx(float(row["val_accuracy"]), abs=1e-6)
        assert point.seconds == pytest.approx(float(row["seconds"]))


def test_a_recipe_between_two_recorded_ones_lies_between_them(table: Table) -> None:
    low = parameters_of(recorded()[0], table)
    first, second = (float(value or 0) for value in (table.domains["pruning.rate"].grid() or ())[:2])
    between, high = low | {"pruning.rate": (first + second) / 2}, low | {"pruning.rate": second}
    for one, middle, other in zip(*(table.points(each) for each in (low, between, high)), strict=True):
        assert middle.size_bytes == pytest.approx(math.sqrt(one.size_bytes * other.size_bytes), abs=1)


class Scripted:
    """Proposes a recipe so many times and lets trials end at some round."""

    def __init__(self, parameters: dict[str, Scalar], count: int, rounds: int) -> None:
        self.parameters, self.left, self.rounds = parameters, count, rounds
        self.ended: list[int] = []

    def propose(self) -> tuple[int, Mapping[str, Scalar]] | None:
        self.left -= 1
        return (self.left, self.parameters) if self.left >= 0 else None

    def report(self, number: int, point: OperatingPoint, last: bool) -> bool:
        return point.round < self.rounds

    def end(self, number: int) -> None:
        self.ended.append(number)


def test_two_workers_run_side_by_side_and_stopped_trials_cost_what_they_ran(table: Table) -> None:
    parameters = parameters_of(recorded()[0], table)
    seconds = [point.seconds for point in table.points(parameters)]
    contender = Scripted(parameters, 4, 3)
    steps = simulate(contender, table, workers=2)
    assert sorted(contender.ended) == [0, 1, 2, 3]
    assert len(steps) == 12
    assert steps[-1].seconds == pytest.approx(2 * 2 * sum(seconds[:3]))
    assert [step.last for step in steps] == [step.point.round == 3 for step in steps]
    cut = simulate(Scripted(parameters, 4, 3), table, workers=2, seconds=2 * sum(seconds[:2]) + 1e-6)
    assert [step.point.round for step in cut] == [1, 1, 2, 2]


def test_a_search_in_a_table_meets_its_target_and_repeats_itself(table: Table) -> None:
    def found() -> list[float]:
        config = config_of(table, {**NOTHING, "trials": 12, "scheduler": "halving", "patience": 1}, seed=3)
        steps = simulate(Ours(table, config), table)
        assert sum(step.last for step in steps) == 12
        return curve(steps, table.baseline, config.constraints).hypervolume

    assert found() == found()
    assert found()[-1] > 0.4


def test_the_plain_set_up_learns_from_last_rounds(table: Table) -> None:
    steps = simulate(Plain(table, 12, 0), table)
    assert sum(step.last for step in steps) == 12
    assert all(step.point.round >= 4 for step in steps if step.last)
