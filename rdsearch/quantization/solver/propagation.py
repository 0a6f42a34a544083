"""Levels chosen one after another along a row, the weights to come making up for each choice.

With one path this is the greedy choice of Optimal Brain Surgeon and GPTQ. With several it is the M-algorithm (Anderson
and Mohan 1984) on the same tree, as decoders of lattices use it: after each weight the cheapest paths so far stay open,
so that a level that looks worse at first may still win. Weights are in steps: a level is a whole number.

All rows pass through a block of columns together. What the columns beyond have to make up for is then one product of
matrices. It is taken once for all paths of a row: paths that stay open have parted from each other a few dozen columns
ago, and what they chose before is the same. Only blocks in which they still differ are looked at path by path.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rdsearch.base.compiled import in_threads
from rdsearch.quantization.solver.kernels import follow_rows
from rdsearch.quantization.solver.rates import Rates
from rdsearch.quantization.solver.tensors import ROWS, follow_block, recorded

BLOCK = 64
"""Columns of a block: the state of a row's paths in it stays in a processor's cache."""


@dataclass
class _Open:
    """A block of columns in some rows whose paths have not yet agreed on it.

    Attributes:
        columns: Of the block.
        rows: (n,), int64: the rows.
        places: (n, paths), int64: what each path has chosen there, as a place in the two below.
        picked: (choices, columns): levels.
        errors: (choices, columns): errors, in units of the pivots.
    """

    columns: slice
    rows: Tensor
    places: Tensor
    picked: Tensor
    errors: Tensor


def propagate(weights: Tensor, alive: Tensor, factor: Tensor, rate: Tensor, rates: Rates, paths: int) -> Tensor:
    """Choose the levels of every row.

    Args:
        weights: (rows, columns), float64.
        alive: (rows, columns): others become zero.
        factor: (columns, columns): upper Cholesky factor of the inverse of the second moments.
        rate: (rows,): price of a bit in units of the distortion.
        rates: Costs of the levels.
        paths: Paths that stay open, at least 1.

    Returns:
        (rows, columns), int32, on the device of the weights.
    """
    levels = torch.empty(weights.shape, dtype=torch.int32, device=weights.device)
    for start in range(0, len(weights), ROWS):
        part = slice(start, start + ROWS)
        some = Rates(rates.classes[part], rates.bits)
        _propagate(weights[part], alive[part], factor, rate[part], some, paths, levels[part])
    return levels


def _propagate(
    weights: Tensor, alive: Tensor, factor: Tensor, rate: Tensor, rates: Rates, paths: int, levels: Tensor
) -> None:
    rows, columns = weights.shape
    common = weights.clone()  # what the weights should be, as far as all paths of a row agree
    cost = torch.full((rows, paths), torch.inf, dtype=weights.dtype, device=weights.device)
    cost[:, 0] = 0.0
    opened: list[_Open] = []
    for start in range(0, columns, BLOCK):
        block, beyond = slice(start, min(start + BLOCK, columns)), slice(start + BLOCK, None)
        wanted = common[:, None, block].repeat(1, paths, 1)
        for before in opened:
            missed = before.errors @ factor[before.columns, block]
            wanted.index_add_(0, before.rows, missed[before.places], alpha=-1.0)
        classes = rates.classes[:, block]
        cost, origins, picked, errors = _follow(
            wanted, alive[:, block], factor[block, block], rate, classes, rates.bits, cost
        )
        for before in opened:
            before.places = before.places.gather(1, origins[before.rows])
        opened.append(_behind(block, cost, picked, errors))
        opened = [left for before in opened if (left := _settle(before, common, factor, beyond, levels)) is not None]
    for before in opened:
        levels[before.rows, before.columns] = before.picked[before.places[:, 0]]


def _behind(block: slice, cost: Tensor, picked: Tensor, errors: Tensor) -> _Open:
    """What is open just behind a block: its levels and errors (rows, paths, columns), costs (rows, paths)."""
    places = torch.arange(cost.numel(), device=cost.device).view(cost.shape)
    # Paths that are not open count as the first one, which always is.
    places = torch.where(cost < torch.inf, places, places[:, :1])
    rows = torch.arange(len(cost), device=cost.device)
    return _Open(block, rows, places, picked.flatten(0, 1), errors.flatten(0, 1))


def _settle(block: _Open, common: Tensor, factor: Tensor, beyond: slice, levels: Tensor) -> _Open | None:
    """Write down what rows agree on, and have the columns beyond make up for it; what is left open, if anything."""
    agreed = (block.places == block.places[:, :1]).all(1)
    rows, chosen = block.rows[agreed], block.places[agreed, 0]
    levels[rows, block.columns] = block.picked[chosen]
    if beyond.start < len(factor):
        missed = block.errors[chosen] @ factor[block.columns, beyond]
        common[:, beyond].index_add_(0, rows, missed, alpha=-1.0)
    if len(rows) == len(block.rows):
        return None
    left, places = torch.unique(block.places[~agreed], return_inverse=True)
    return _Open(block.columns, block.rows[~agreed], places, block.picked[left], block.errors[left])


def _follow(
    wanted: Tensor, alive: Tensor, factor: Tensor, rate: Tensor, classes: Tensor, bits: Tensor, cost: Tensor
) -> tuple[Tensor, ...]:
    """Costs, origins, levels and errors of the paths behind a block of columns: see `tensors.follow_block`."""
    if wanted.is_cuda:
        return _follow_on_gpu(wanted, alive, factor, rate, classes, bits, cost)
    cost, origins = cost.clone(), torch.empty(cost.shape, dtype=torch.int64)
    picked, errors = torch.empty(wanted.shape, dtype=torch.int32), torch.empty_like(wanted)
    pivots, prices = factor.contiguous().numpy(), bits.numpy()
    some = (wanted, alive.contiguous(), rate, classes.contiguous(), cost, origins, picked, errors)
    of_rows = [tensor.numpy() for tensor in some]

    def follow(part: slice) -> None:
        wanted, alive, rate, classes, *results = (array[part] for array in of_rows)
        follow_rows(wanted, alive, pivots, rate, classes, prices, *results)

    in_threads(follow, len(wanted), torch.get_num_threads())
    return cost, origins, picked, errors


def _follow_on_gpu(
    wanted: Tensor, alive: Tensor, factor: Tensor, rate: Tensor, classes: Tensor, bits: Tensor, cost: Tensor
) -> tuple[Tensor, ...]:
    rows, _, columns = wanted.shape
    below, right = ROWS - rows, BLOCK - columns
    # Filled up with dead weights, so that one recording serves all.
    pivots = F.pad(factor, (0, right, 0, right))
    pivots.diagonal()[columns:] = 1.0
    cost, origins, picked, errors = recorded(
        follow_block,
        F.pad(wanted, (0, right, 0, 0, 0, below)),
        F.pad(alive, (0, right, 0, below)),
        pivots,
        F.pad(rate, (0, below)),
        F.pad(classes.long(), (0, right, 0, below)),
        bits,
        F.pad(cost, (0, 0, 0, below)),
    )
    return cost[:rows], origins[:rows], picked[:rows, :, :columns], errors[:rows, :, :columns]
