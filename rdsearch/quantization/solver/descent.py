"""Coordinate descent on the loss of a layer's rows and the price of their bits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rdsearch.base.compiled import in_threads
from rdsearch.quantization.solver.kernels import COLUMNS, descend_rows
from rdsearch.quantization.solver.rates import Rates
from rdsearch.quantization.solver.tensors import ROWS, descend_block, recorded


def descend(gradient: Tensor, alive: Tensor, moments: Tensor, rate: Tensor, rates: Rates, levels: Tensor) -> int:
    """One pass: each level chosen anew, all others of its row held.

    Args:
        gradient: (rows, columns), float64: the errors in steps times the moments; kept up to date.
        alive: (rows, columns): others stay as they are.
        moments: (columns, columns).
        rate: (rows,): price of a bit in units of the distortion.
        rates: Costs of the levels.
        levels: (rows, columns), int32: changed in place.

    Returns:
        How many levels changed.
    """
    if gradient.is_cuda:
        return _descend_on_gpu(gradient, alive, moments, rate, rates, levels)
    squares, bits = moments.numpy(), rates.bits.numpy()
    of_rows = [tensor.numpy() for tensor in (gradient, alive, rate, rates.classes, levels)]

    def work(part: slice) -> int:
        gradient, alive, rate, classes, levels = (array[part] for array in of_rows)
        return int(descend_rows(gradient, alive, squares, rate, classes, bits, levels))

    return sum(in_threads(work, len(gradient), torch.get_num_threads()))


def _descend_on_gpu(
    gradient: Tensor, alive: Tensor, moments: Tensor, rate: Tensor, rates: Rates, levels: Tensor
) -> int:
    before = levels.clone()
    for start in range(0, len(gradient), ROWS):
        some = slice(start, min(start + ROWS, len(gradient)))
        below = ROWS - (some.stop - start)
        for left in range(0, gradient.shape[1], COLUMNS):
            block = slice(left, min(left + COLUMNS, gradient.shape[1]))
            right = COLUMNS - (block.stop - left)
            # Filled up with dead weights, so that one recording serves all.
            fill, held = (0, right, 0, below), levels[some, block].double()
            (chosen,) = recorded(
                descend_block,
                F.pad(gradient[some, block], fill),
                F.pad(alive[some, block], fill),
                F.pad(moments[block, block], (0, right, 0, right)),
                F.pad(rate[some], (0, below)),
                F.pad(rates.classes[some, block].long(), fill),
                rates.bits,
                F.pad(held, fill),
            )
            chosen = chosen[: len(held), : held.shape[1]]
            levels[some, block] = chosen.to(torch.int32)
            gradient[some].addmm_(chosen - held, moments[block], alpha=-1.0)
    return int((levels != before).sum())
