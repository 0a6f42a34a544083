"""Parameters as numbers: ranges in units of their length, choices by their place, and which of them a trial has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

_STEPS = np.array([0.05, 0.15, 0.3])
"""Standard deviations of the steps that are taken from good recipes, in units of a range."""
_MOVED, _FLIPPED = 0.6, 0.15
"""Shares of the numbers and of the choices that such a step changes."""


class Encoding:
    """Rows of numbers for a space's parameters: first the ranges, in [0, 1], then the places of choices.

    A parameter that not every trial has is conditional: one more column of choices says whether a row has it, and
    where it has not, the parameter stands in the middle.

    Args:
        space: Name to distribution.
        seen: Parameters of the trials that are known.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], seen: Sequence[Mapping[str, Any]]) -> None:
        self._ranges = {
            name: each for name, each in space.items() if isinstance(each, FloatDistribution | IntDistribution)
        }
        self._choices = {name: each for name, each in space.items() if isinstance(each, CategoricalDistribution)}
        self._conditional = [name for name in space if any(name not in each for each in seen)]
        always = [name for name in self._choices if name not in self._conditional]
        # What a recipe has follows from the choices that every recipe has: as in the newest trial that chose the same.
        self._deciding = [self.numbers + list(self._choices).index(name) for name in always]
        self._present = {
            tuple(self._choices[name].to_internal_repr(each[name]) for name in always): [
                float(name in each) for name in self._conditional
            ]
            for each in seen
        }

    @property
    def numbers(self) -> int:
        """Columns that are numbers, the first ones."""
        return len(self._ranges)

    def encode(self, parameters: Mapping[str, Any]) -> np.ndarray:
        """(columns,) float64."""
        row = [_unit(each, parameters[name]) if name in parameters else 0.5 for name, each in self._ranges.items()]
        for name, choice in self._choices.items():
            row.append(float(choice.to_internal_repr(parameters[name])) if name in parameters else 0.0)
        row += [float(name in parameters) for name in self._conditional]
        return np.array(row)

    def decode(self, row: np.ndarray) -> dict[str, Any]:
        """A value for every parameter, those that the row has not included."""
        values: dict[str, Any] = {
            name: _value(each, float(at)) for (name, each), at in zip(self._ranges.items(), row, strict=False)
        }
        for (name, choice), place in zip(self._choices.items(), row[self.numbers :], strict=False):
            values[name] = choice.to_external_repr(int(place))
        return values

    def spread(self, seed: int, place: int) -> np.ndarray:
        """(columns,): one of a sequence of rows that fill the space evenly, scrambled Sobol points."""
        columns = self.numbers + len(self._choices)
        sequence = qmc.Sobol(columns, seed=seed)
        row = sequence.fast_forward(place).random(1) if place else sequence.random(1)
        for column, choice in enumerate(self._choices.values(), start=self.numbers):
            row[0, column] = min(int(row[0, column] * len(choice.choices)), len(choice.choices) - 1)
        settled: np.ndarray = self._settled(row)[0]
        return settled

    def random(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """(count, columns): rows spread evenly over the space."""
        numbers = generator.random((count, self.numbers))
        places = [generator.integers(len(choice.choices), size=count) for choice in self._choices.values()]
        return self._settled(np.column_stack([numbers, *places]) if places else numbers)

    def near(self, generator: np.random.Generator, bases: np.ndarray, count: int) -> np.ndarray:
        """(count, columns): a step away from any of ``bases`` (n, columns), n > 0."""
        rows = bases[generator.integers(len(bases), size=count), : self.numbers + len(self._choices)].copy()
        moved = generator.random((count, self.numbers)) < _MOVED
        lengths = generator.choice(_STEPS, size=(count, 1))
        rows[:, : self.numbers] += moved * lengths * generator.standard_normal((count, self.numbers))
        rows[:, : self.numbers] = np.clip(rows[:, : self.numbers], 0.0, 1.0)
        for column, choice in enumerate(self._choices.values(), start=self.numbers):
            flipped = generator.random(count) < _FLIPPED
            rows[flipped, column] = generator.integers(len(choice.choices), size=int(flipped.sum()))
        return self._settled(rows)

    def _settled(self, rows: np.ndarray) -> np.ndarray:
        """Rows with whole numbers at whole numbers, and with the columns that say what they have."""
        for column, each in enumerate(self._ranges.values()):
            if isinstance(each, IntDistribution) or each.step is not None or each.single():
                rows[:, column] = [_unit(each, _value(each, float(at))) for at in rows[:, column]]
        if not self._conditional:
            return rows
        everything = [1.0] * len(self._conditional)
        present = np.array([self._present.get(tuple(row[self._deciding]), everything) for row in rows])
        for place, name in enumerate(self._conditional):
            absent = present[:, place] == 0
            if name in self._ranges:
                rows[absent, list(self._ranges).index(name)] = 0.5
            else:
                rows[absent, self.numbers + list(self._choices).index(name)] = 0.0
        return np.column_stack([rows, present])


def _unit(range_: FloatDistribution | IntDistribution, value: float) -> float:
    if range_.low == range_.high:
        return 0.5
    low, high, at = (math.log(each) if range_.log else float(each) for each in (range_.low, range_.high, value))
    return min(max((at - low) / (high - low), 0.0), 1.0)


def _value(range_: FloatDistribution | IntDistribution, at: float) -> float | int:
    low, high = range_.low, range_.high
    value = math.exp(math.log(low) * (1 - at) + math.log(high) * at) if range_.log else low * (1 - at) + high * at
    if range_.step is not None and not range_.log:
        value = low + round((value - low) / range_.step) * range_.step
    inside = min(max(value, low), high)
    return round(inside) if isinstance(range_, IntDistribution) else float(inside)
