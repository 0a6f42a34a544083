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

from rdsearch.coding.arrays import decode_arrays, encode_arrays, is_void
from rdsearch.coding.cells import Cells
from rdsearch.coding.model import state, tables
from rdsearch.coding.model.refinement_kernel import refine_tensor
from rdsearch.coding.stream import Decoder, Encoder, matrix_of_kernels, mean_level
from rdsearch.errors import FileFormatError

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
    known = [cells.of(array) for cells, array in zip(layers[0], arrays, strict=True)]
    payloads = [encode_arrays(known)]
    model = state.Model()
    for coarser, finer in itertools.pairwise(layers):
        encoder = _Encoder(model)
        for index, (coarse, fine) in enumerate(zip(coarser, finer, strict=True)):
            if fine != coarse and arrays[index].size:
                before, known[index] = coarse.first(known[index], fine), fine.of(arrays[index])
                encoder.refine(before, known[index], coarse.split(fine))
        payloads.append(encoder.finish())
    return payloads


def encode_differences(groups: Sequence[Sequence[Array]]) -> list[bytes]:
    """One payload a group of tensors; the model learns from group to group."""
    model = state.Model()
    payloads = []
    for arrays in groups:
        encoder = _Encoder(model)
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
    model = state.Model()
    groups = []
    for payload in payloads:
        decoder = _Decoder(payload, model)
        groups.append([decoder.get(shape) if math.prod(shape) else np.zeros(shape, np.int32) for shape in shapes])
        decoder.finish()
    return groups


def decode_refinements(
    payloads: Sequence[bytes], shapes: Sequence[Shape], layers: Sequence[Sequence[Cells]]
) -> list[Array]:
    """The cells of every weight as the last of ``layers`` says; one payload a layer.

    Raises:
        FileFormatError: A payload is damaged, or does not fit the shapes or layers.
    """
    known = decode_arrays(payloads[0], shapes)
    model = state.Model()
    for payload, (coarser, finer) in zip(payloads[1:], itertools.pairwise(layers), strict=True):
        decoder = _Decoder(payload, model)
        for index, (coarse, fine) in enumerate(zip(coarser, finer, strict=True)):
            if fine != coarse and known[index].size:
                known[index] = decoder.refine(known[index], coarse, fine)
        decoder.finish()
    return known


class _Encoder(Encoder):
    """Codes refinements with a model that learns from layer to layer."""

    def __init__(self, model: state.Model) -> None:
        super().__init__()
        self._model = model

    def refine(self, before: Array, after: Array, options: tuple[int, int]) -> None:
        """Code one tensor's cells, given the first of those that are possible; ``before`` is overwritten."""
        level = mean_level(after, tables.quarter_octaves())
        self._make_room()
        self._code_level(level)
        if level:
            _, self._tape = refine_tensor(
                False,
                before.reshape(-1),
                after.reshape(-1),
                matrix_of_kernels(after.shape),
                *options,
                level,
                self._model.weights.state,
                self._coder,
                self._tape,
            )
        self._flush()


class _Decoder(Decoder):
    """Reads what `_Encoder` wrote."""

    def __init__(self, data: bytes, model: state.Model) -> None:
        super().__init__(data)
        self._model = model

    def refine(self, known: Array, coarse: Cells, fine: Cells) -> Array:
        """The next tensor's cells, given those that it is known to lie in.

        Raises:
            FileFormatError: The payload ends before the tensor does, or a cell's number leaves int32.
        """
        level = self._code_level(0)
        status = state.OK
        if level:
            self._check_room(known.shape)
        before = coarse.first(known, fine) if level or not is_void(known) else known
        if level:
            flat = before.reshape(-1)
            status, self._tape = refine_tensor(
                True,
                flat,
                flat,
                matrix_of_kernels(before.shape),
                *coarse.split(fine),
                level,
                self._model.weights.state,
                self._coder,
                self._tape,
            )
        if status == state.OVERRUN or self._exhausted():
            raise FileFormatError(
                f"coded weights: a quality layer of {self._size} bytes ends before a tensor of shape {before.shape} "
                "does; the file is damaged or belongs to another network"
            )
        return before
