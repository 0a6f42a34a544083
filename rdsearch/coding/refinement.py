"""Integer tensors in quality layers: each payload, after those before it, says more about every level.

The first layer is coded as any tensor is (`stream`). Each further one codes which of the finer cells a level is in,
given the coarser cells of the whole tensor. By the chain rule of entropy layers cost nothing but what a model has to
learn anew, and a few bytes for the end of each payload.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.arrays import decode_arrays, encode_arrays
from rdsearch.coding.cells import Cells
from rdsearch.coding.model import state
from rdsearch.coding.reading import reader_of

Array = NDArray[np.int32]
Shape = tuple[int, ...]


def encode_refinements(arrays: Sequence[Array], layers: Sequence[Sequence[Cells]]) -> list[bytes]:
    """Code tensors of levels in layers.

    Args:
        arrays: C-ordered int32 tensors.
        layers: What each layer shall know of each tensor; a layer's cells are, or split, those of the one before.

    Returns:
        One payload a layer.
    """
    from rdsearch.coding.stream import Encoder

    known = [cells.of(array) for cells, array in zip(layers[0], arrays, strict=True)]
    payloads = [encode_arrays(known)]
    model = state.Model()
    for coarser, finer in itertools.pairwise(layers):
        encoder = Encoder(model)
        for index, (coarse, fine) in enumerate(zip(coarser, finer, strict=True)):
            if fine != coarse and arrays[index].size:
                before, known[index] = coarse.first(known[index], fine), fine.of(arrays[index])
                encoder.refine(before, known[index], coarse.split(fine))
        payloads.append(encoder.finish())
    return payloads


def encode_differences(groups: Sequence[Sequence[Array]]) -> list[bytes]:
    """One payload a group of tensors; the model learns from group to group."""
    from rdsearch.coding.stream import Encoder

    model = state.Model()
    payloads = []
    for arrays in groups:
        encoder = Encoder(model)
        for array in arrays:
            if array.size:
                encoder.put(np.ascontiguousarray(array, np.int32).reshape(array.shape))
        payloads.append(encoder.finish())
    return payloads


def decode_differences(payloads: Sequence[bytes], shapes: Sequence[Shape]) -> list[list[Array]]:
    """Read what `encode_differences` wrote, groups of the same shapes.

    Raises:
        FileFormatError: A payload is damaged, or does not fit the shapes.
    """
    reader = reader_of()
    groups = []
    for payload in payloads:
        reader.go_on(payload)
        groups.append([reader.get(shape) if math.prod(shape) else np.zeros(shape, np.int32) for shape in shapes])
        reader.finish()
    return groups


def decode_refinements(
    payloads: Sequence[bytes], shapes: Sequence[Shape], layers: Sequence[Sequence[Cells]]
) -> list[Array]:
    """The cells of every weight as the last of ``layers`` says; one payload a layer.

    Raises:
        FileFormatError: A payload is damaged, or does not fit the shapes or layers.
    """
    known = decode_arrays(payloads[0], shapes)
    reader = reader_of()
    for payload, (coarser, finer) in zip(payloads[1:], itertools.pairwise(layers), strict=True):
        reader.go_on(payload)
        for index, (coarse, fine) in enumerate(zip(coarser, finer, strict=True)):
            if fine != coarse and known[index].size:
                known[index] = reader.refine(known[index], coarse, fine)
        reader.finish()
    return known
