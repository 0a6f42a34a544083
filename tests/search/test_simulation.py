"""Searches in a recorded table: its points are those that were recorded, and time passes as on real workers."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Mapping

import numpy as np
import pytest

from benchmarks.curves import Step, curve
from benchmarks.recorded import BASELINES, TABLES, Grid
from benchmarks.search import NOTHING, config_of
from benchmarks.simulation import Ours, Plain, simulate
from rdsearch.points.point import OperatingPoint, Scalar


@pytest.fixture(scope="module")
def table() -> Grid:
    return Grid(TABLES / "digits.yaml", *BASELINES["digits"])


def recorded() -> list[dict[str, str]]:
    with gzip.open(TABLES / "digits.csv.gz", "rt", newline="") as stream:
        return list(csv.DictReader(stream))


def parameters_of(row: Mapping[str, str], table: Grid) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {"pruning.rounds": 8}
    for name, domain in table.domains.items():
        values[name] = next(
            value
            for value in domain.grid() or ()
            if (f"{value:.6g}" if isinstance(value, float) else str(value)) == row[name]
        )
    return values


def test_recorded_recipes_have_their_recorded_points(table: Grid) -> None:
    for row in recorded()[::37]:
        point = list(table.points(parameters_of(row, table)))[int(row["round"]) - 1]
        assert point.size_bytes == int(row["size_bytes"])
        assert point.val_accuracy == pytest.approx(float(row["val_accuracy"]), abs=1e-6)
        assert point.seconds == pytest.approx(float(row["seconds"]))


def test_a_recipe_between_two_recorded_ones_lies_between_them(table: Grid) -> None:
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


def test_two_workers_run_side_by_side_and_stopped_trials_cost_what_they_ran(table: Grid) -> None:
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


def test_a_search_in_a_table_meets_its_target_and_repeats_itself(table: Grid) -> None:
    def found() -> list[float]:
        config = config_of(table, {**NOTHING, "trials": 12, "scheduler": "halving", "patience": 1}, seed=3)
        steps = simulate(Ours(table, config), table)
        assert sum(step.last for step in steps) == 12
        return curve(steps, table.baseline, config.constraints).hypervolume

    assert found() == found()
    assert found()[-1] > 0.4


def test_the_plain_set_up_learns_from_last_rounds(table: Grid) -> None:
    steps = simulate(Plain(table, 12, 0), table)
    assert sum(step.last for step in steps) == 12
    assert all(step.point.round >= 4 for step in steps if step.last)


def test_a_smoothed_table_has_the_same_sizes_and_accuracies_that_differ_by_noise(table: Grid) -> None:
    smooth = Grid(TABLES / "digits.yaml", *BASELINES["digits"], smooth=True)
    pairs = list(zip(table.recorded(), smooth.recorded(), strict=True))
    assert all(one.size_bytes == other.size_bytes for one, other in pairs)
    near = [(one, other) for one, other in pairs if other.accuracy_drop < 0.1]
    differences = [one.val_accuracy - (other.test_accuracy or 0.0) for one, other in near]
    binomial = [math.sqrt(one.val_accuracy * (1 - one.val_accuracy) / 360) for one, _ in near]
    assert abs(sum(differences)) / len(near) < 0.2 * sum(binomial) / len(near)
    spread = math.sqrt(sum(each**2 for each in differences) / len(near))
    assert 0.5 < spread / (sum(binomial) / len(near)) < 2


def test_noise_is_drawn_anew_and_known_to_the_score_alone(table: Grid) -> None:
    parameters = parameters_of(recorded()[0], table)
    clean = list(table.points(parameters))
    noise = np.random.default_rng(0)
    draws = np.array([[point.val_accuracy for point in table.points(parameters, noise)] for _ in range(400)])
    expected = np.array([point.test_accuracy for point in clean])
    np.testing.assert_allclose(draws.mean(0), expected, atol=0.005)
    np.testing.assert_allclose(draws.std(0), np.sqrt(expected * (1 - expected) / 360), rtol=0.2)
    noisy = [Step(1.0, point, last=True) for point in table.points(parameters, noise)]
    honest = curve(noisy, table.baseline, {"accuracy_drop": 0.9})
    assert honest.hypervolume != honest.expected
    plain = curve([Step(1.0, point, last=True) for point in clean], table.baseline, {"accuracy_drop": 0.9})
    assert plain.expected == pytest.approx(plain.hypervolume, rel=0.01)
