"""Recorded tables: what every recipe of a space would have measured, as it was recorded or without its noise."""

from __future__ import annotations

import csv
import gzip
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from rdsearch.compression.measure import Baseline
from rdsearch.config.searchfile import SearchFile, load_search_file
from rdsearch.config.space import Choice, Domain, Range
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.study.constraints import reference_accuracy

ROUNDS = "pruning.rounds"
TABLES = Path(__file__).parent / "tables"
BASELINES: Mapping[str, tuple[int, Baseline]] = {
    "digits": (360, Baseline(355 / 360, 127_848)),
    "lenet300": (5000, Baseline(0.984, 1_066_440)),
    "resnet20": (1000, Baseline(0.9245, 1_084_392)),
}
"""Table to its validation examples and the dense network's figures."""
_TREES = 200


class Table(Protocol):
    """What recipes of a space measure; `test_accuracy` of its points is the accuracy without any noise."""

    file: SearchFile
    examples: int
    baseline: Baseline

    def points(
        self, parameters: Mapping[str, Scalar], noise: np.random.Generator | None = None
    ) -> Iterator[OperatingPoint]:
        """The rounds of a recipe; with ``noise`` each accuracy is that of examples drawn anew."""


def open_table(name: str, *, smooth: bool = False) -> Table:
    """A table by its name in `BASELINES`."""
    path = TABLES / f"{name}.yaml"
    with gzip.open(path.with_suffix(".csv.gz"), "rt", newline="") as stream:
        scattered = "recipe" in next(csv.reader(stream))
    return Scattered(path, *BASELINES[name]) if scattered else Grid(path, *BASELINES[name], smooth=smooth)


class _Recorded:
    def __init__(self, space: Path, examples: int, baseline: Baseline) -> None:
        self.file: SearchFile = load_search_file(space)
        self.examples, self.baseline = examples, baseline
        self.constraints = self.file.search.constraints
        self.domains = {name: domain for name, domain in self.file.space.parameters.items() if name != ROUNDS}
        with gzip.open(space.with_suffix(".csv.gz"), "rt", newline="") as stream:
            self.rows = list(csv.DictReader(stream))
        allowed = baseline.accuracy - reference_accuracy(baseline.accuracy, self.constraints)
        self._fine = allowed / 3

    def figures(self, parameters: Mapping[str, Scalar]) -> np.ndarray:
        """(rounds, 3): logarithm of bytes, accuracy, logarithm of seconds."""
        raise NotImplementedError

    def points(
        self, parameters: Mapping[str, Scalar], noise: np.random.Generator | None = None
    ) -> Iterator[OperatingPoint]:
        """See `Table`."""
        for round_, (log_size, expected, log_seconds) in enumerate(self.figures(parameters), start=1):
            hits = round(expected * self.examples) if noise is None else noise.binomial(self.examples, expected)
            accuracy, size = float(hits) / self.examples, round(math.exp(log_size))
            yield OperatingPoint(
                size_bytes=size,
                val_accuracy=accuracy,
                accuracy_drop=self.baseline.accuracy - accuracy,
                compression_ratio=self.baseline.size_bytes / size,
                sparsity=0.0,
                rate_bits_per_weight=0.0,
                seconds=math.exp(log_seconds),
                round=round_,
                parameters=parameters,
                data=b"",
                test_accuracy=float(expected),
            )

    def _seen(self, accuracy: np.ndarray) -> np.ndarray:
        """Accuracies in a scale that is fine within the constraint and coarse beyond."""
        seen: np.ndarray = np.arcsinh((self.baseline.accuracy - accuracy) / self._fine)
        return seen

    def _unseen(self, seen: np.ndarray) -> np.ndarray:
        accuracy: np.ndarray = np.clip(self.baseline.accuracy - np.sinh(seen) * self._fine, 0.0, 1.0)
        return accuracy


class Grid(_Recorded):
    """A grid of recipes.

    Between recorded values of a range, accuracy and the logarithms of size and seconds are interpolated linearly (in
    the logarithm of the value where the range is so searched).

    Args:
        space: The search file; the table lies beside it.
        examples: Validation examples.
        baseline: The dense network's figures.
        smooth: Take the noise out of the accuracies: each is that of a forest that has not seen it.
    """

    def __init__(self, space: Path, examples: int, baseline: Baseline, *, smooth: bool = False) -> None:
        super().__init__(space, examples, baseline)
        self._axes = {name: np.array(_coordinates(domain)) for name, domain in self.domains.items()}
        shape = [len(axis) for axis in self._axes.values()]
        rounds = max(int(row["round"]) for row in self.rows)
        self._values = np.full((*shape, rounds, 3), np.nan)
        places = {
            name: {text: place for place, text in enumerate(_texts(domain))} for name, domain in self.domains.items()
        }
        for row in self.rows:
            place = tuple(places[name][row[name]] for name in self.domains if row[name] in places[name])
            if len(place) == len(self.domains):
                figures = math.log(int(row["size_bytes"])), float(row["val_accuracy"]), math.log(float(row["seconds"]))
                self._values[(*place, int(row["round"]) - 1)] = figures
        if np.isnan(self._values).any():
            raise SystemExit(f"{space.with_suffix('.csv.gz')} lacks recipes: go on with benchmarks.record_table")
        if smooth:
            self._values[..., 1] = self._smoothed(self._values[..., 1])

    def recorded(self) -> Iterator[OperatingPoint]:
        """Every point that was recorded."""
        grids = (
            domain.values if isinstance(domain, Choice) else domain.grid() or () for domain in self.domains.values()
        )
        for values in itertools.product(*grids):
            yield from self.points(dict(zip(self.domains, values, strict=True)) | {ROUNDS: self._values.shape[-2]})

    def figures(self, parameters: Mapping[str, Scalar]) -> np.ndarray:
        """Between the recorded ones."""
        corners: list[list[tuple[int, float]]] = []
        for name, domain in self.domains.items():
            corners.append(_corners(self._axes[name], _coordinate(domain, parameters[name])))
        figures = np.zeros(self._values.shape[-2:])
        for corner in itertools.product(*corners):
            weight = math.prod(share for _, share in corner)
            figures += weight * self._values[tuple(place for place, _ in corner)]
        return figures[: int(parameters[ROUNDS])]

    def _smoothed(self, accuracies: np.ndarray) -> np.ndarray:
        """Each accuracy as trees predict it that were grown without it (out of bag)."""
        from sklearn.ensemble import ExtraTreesRegressor

        grid = np.meshgrid(*self._axes.values(), np.arange(1, accuracies.shape[-1] + 1.0), indexing="ij")
        columns = [each.ravel() for each in grid]
        for name, column in zip(self.domains, list(columns), strict=False):
            domain = self.domains[name]
            if isinstance(domain, Choice):
                columns += [column == place for place in range(len(domain.values))]
            elif name == "pruning.rate":
                columns.append(-np.log2(1 - column) * columns[len(self.domains)])  # octaves of weights that are gone
        forest = ExtraTreesRegressor(_TREES, max_features=0.7, bootstrap=True, oob_score=True, random_state=0)
        forest.fit(np.column_stack(columns), self._seen(accuracies.ravel()))
        return self._unseen(forest.oob_prediction_).reshape(accuracies.shape)


class Scattered(_Recorded):
    """Scattered recipes, and a Gaussian process of each figure between them; it is without noise as it stands."""

    def __init__(self, space: Path, examples: int, baseline: Baseline) -> None:
        super().__init__(space, examples, baseline)
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        inputs = np.array([self._row({name: float(row[name]) for name in self.domains}) for row in self.rows])
        accuracy = np.array([float(row["val_accuracy"]) for row in self.rows])
        targets = [
            np.log([float(row["size_bytes"]) for row in self.rows]),
            self._seen(accuracy),
            np.log([float(row["seconds"]) for row in self.rows]),
        ]
        kernel = ConstantKernel(1.0) * RBF(np.ones(inputs.shape[1]), (0.1, 100.0)) + WhiteKernel(0.01, (1e-6, 1.0))
        self.models = [
            GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(inputs, target) for target in targets
        ]

    def figures(self, parameters: Mapping[str, Scalar]) -> np.ndarray:
        """As the processes predict them."""
        row = self._row(parameters)[None]
        size, seen, seconds = (float(model.predict(row)[0]) for model in self.models)
        return np.array([[size, float(self._unseen(np.array(seen))), seconds]])

    def _row(self, parameters: Mapping[str, Scalar]) -> np.ndarray:
        row = []
        for name, domain in self.domains.items():
            low, high = (_coordinate(domain, each) for each in (domain.probes()[0], domain.probes()[-1]))
            row.append((_coordinate(domain, parameters[name]) - low) / (high - low))
        return np.array(row)


def _coordinates(domain: Domain) -> list[float]:
    if isinstance(domain, Choice):
        return [float(place) for place in range(len(domain.values))]
    return [_coordinate(domain, value) for value in domain.grid() or ()]


def _coordinate(domain: Choice | Range, value: Scalar) -> float:
    if isinstance(domain, Choice):
        return float(domain.values.index(value))
    return math.log(float(value or 0)) if domain.log else float(value or 0)


def _texts(domain: Domain) -> list[str]:
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in domain.grid() or ()]


def _corners(axis: np.ndarray, at: float) -> list[tuple[int, float]]:
    if len(axis) == 1:
        return [(0, 1.0)]
    right = int(np.clip(np.searchsorted(axis, at), 1, len(axis) - 1))
    share = float(np.clip((at - axis[right - 1]) / (axis[right] - axis[right - 1]), 0, 1))
    return [(place, weight) for place, weight in ((right - 1, 1 - share), (right, share)) if weight > 0]
