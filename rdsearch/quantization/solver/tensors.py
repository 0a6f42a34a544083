"""The inner loops of the quantisers on a GPU: one column of all rows at a time, as a graph of its kernels.

They choose what those in `kernels` choose. A column is some twenty small kernels, whose launches would take longer
than they do; so the kernels of a block of columns are recorded once, and started together from then on. Nothing here
may copy from the host, which cannot be recorded: no number in `torch.where`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from rdsearch.quantization.solver.kernels import CANDIDATES

ROWS = 512
"""Rows that are treated together, so that one recording serves every layer."""

Block = Callable[..., tuple[Tensor, ...]]


def price(magnitudes: Tensor, bits: Tensor) -> Tensor:
    """Bits of magnitudes, see `kernels.price`.

    Args:
        magnitudes: (rows, count), whole numbers as float64.
        bits: (rows, magnitudes).
    """
    last = bits.shape[1] - 1
    inside = bits.gather(1, magnitudes.clamp(max=last).long())
    return inside + 2 * torch.log2((magnitudes / last).clamp(min=1.0))


def cheapest(values: Tensor, curvature: Tensor | float, rate: Tensor, bits: Tensor) -> Tensor:
    """Levels of a column, as `kernels.cheapest` has them: (rows,), float64.

    Args:
        values: (rows,).
        curvature: One for all.
        rate: (rows,).
        bits: (rows, magnitudes).
    """
    magnitudes = values.abs()
    low = magnitudes.floor()
    candidates = torch.stack([low - 1, low, low + 1], 1)
    costs = curvature * (magnitudes[:, None] - candidates) ** 2 + rate[:, None] * price(candidates.clamp(min=0), bits)
    costs = costs.masked_fill(candidates < 1, torch.inf)
    best, least = torch.zeros_like(low), curvature * magnitudes * magnitudes + rate * bits[:, 0]
    for candidate, cost in zip(candidates.unbind(1), costs.unbind(1), strict=True):
        better = cost < least
        best, least = torch.where(better, candidate, best), torch.where(better, cost, least)
    return torch.where(values > 0, best, -best)


def descend_block(
    gradient: Tensor, alive: Tensor, moments: Tensor, rate: Tensor, classes: Tensor, bits: Tensor, levels: Tensor
) -> tuple[Tensor, ...]:
    """Coordinate descent through a block of columns: the new levels, see `kernels.descend_rows`.

    Args:
        gradient: (rows, columns).
        alive: (rows, columns).
        moments: (columns, columns).
        rate: (rows,).
        classes: (rows, columns), int64.
        bits: (classes, magnitudes).
        levels: (rows, columns), float64.
    """
    found = []
    for column in range(gradient.shape[1]):
        curvature, before = moments[column, column], levels[:, column]
        wanted = before + gradient[:, column] / curvature.masked_fill(curvature <= 0, 1.0)
        level = cheapest(wanted, curvature, rate, bits[classes[:, column]])
        level = torch.where(alive[:, column] & (curvature > 0), level, before)
        gradient = gradient - torch.outer(level - before, moments[column])
        found.append(level)
    return (torch.stack(found, 1),)


def follow_block(
    wanted: Tensor, alive: Tensor, factor: Tensor, rate: Tensor, classes: Tensor, bits: Tensor, cost: Tensor
) -> tuple[Tensor, ...]:
    """Follow open paths through a block of columns, see `kernels.follow_rows`.

    Args:
        wanted: (rows, paths, columns).
        alive: (rows, columns).
        factor: (columns, columns).
        rate: (rows,).
        classes: (rows, columns), int64.
        bits: (classes, magnitudes).
        cost: (rows, paths).

    Returns:
        Costs and origins (rows, paths), levels, int32, and errors (rows, paths, columns).
    """
    rows, paths, columns = wanted.shape
    offsets = torch.arange(CANDIDATES, device=wanted.device, dtype=wanted.dtype) - 2
    is_zero = torch.arange(CANDIDATES, device=wanted.device) == 0
    parents, levels, misses = [], [], []
    for column in range(columns):
        value = wanted[:, :, column, None]
        magnitudes = (value.abs().floor() + offsets).clamp(min=0).masked_fill(is_zero, 0.0)
        level = torch.where(value > 0, magnitudes, -magnitudes)
        error = (value - level) / factor[column, column]
        prices = price(magnitudes.flatten(1), bits[classes[:, column]]).view_as(magnitudes)
        totals = cost[..., None] + error**2 + rate[:, None, None] * prices
        possible = is_zero | ((magnitudes > 0) & alive[:, column, None, None])
        totals = totals.masked_fill(~possible, torch.inf).flatten(1)
        ordered, places = totals.sort(dim=1, stable=True)
        cost, places = ordered[:, :paths], places[:, :paths]
        parent = places // CANDIDATES
        miss = error.flatten(1).gather(1, places)
        parents.append(parent)
        levels.append(level.flatten(1).gather(1, places))
        misses.append(miss)
        wanted = wanted.gather(1, parent[..., None].expand(-1, -1, columns)) - miss[..., None] * factor[column]
    at = torch.arange(paths, device=wanted.device).expand(rows, paths)
    at = at.masked_fill(cost == torch.inf, 0)
    picked, errors = [], []
    for parent, level, miss in zip(reversed(parents), reversed(levels), reversed(misses), strict=True):
        picked.append(level.gather(1, at))
        errors.append(miss.gather(1, at))
        at = parent.gather(1, at)
    return cost, at, torch.stack(picked[::-1], 2).to(torch.int32), torch.stack(errors[::-1], 2)


class _Recorded:
    """A function whose kernels are recorded at the first call, with its shapes, and started together at the others."""

    def __init__(self, function: Block, *examples: Tensor) -> None:
        self._inputs = [example.clone() for example in examples]
        aside = torch.cuda.Stream(examples[0].device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(examples[0].device))
        with torch.cuda.stream(aside):  # the first run may load kernels, which must not be recorded
            function(*self._inputs)
        torch.cuda.current_stream(examples[0].device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = function(*self._inputs)

    def __call__(self, *values: Tensor) -> tuple[Tensor, ...]:
        for place, value in zip(self._inputs, values, strict=True):
            place.copy_(value)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)


@cache
def _recordings() -> dict[tuple[object, ...], _Recorded]:
    return {}


def recorded(function: Block, *arguments: Tensor) -> tuple[Tensor, ...]:
    """What ``function`` returns; on a GPU by a recording of its kernels, one for each function, device and shapes."""
    device = arguments[0].device
    if device.type != "cuda":
        return function(*arguments)
    key = (function, device, *(argument.shape for argument in arguments))
    with torch.cuda.device(device):
        if key not in _recordings():
            _recordings()[key] = _Recorded(function, *arguments)
        return _recordings()[key](*arguments)
