"""Examples that lie in two numpy arrays: the fast path for everything that fits into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rdsearch.base.device import memory_of, uploaded
from rdsearch.errors import TaskError
from rdsearch.tasks.splits.base import Device

Augmentation = Callable[[Tensor, np.random.Generator], Tensor]
"""Raw inputs (b, ...) as stored, on the device, to inputs of the same shape."""

RESIDENT_BYTES_MAX = 4 * 2**30
RESIDENT_SHARE = 0.25
"""Inputs larger than this, or than this share of the memory that a process has of a GPU, are copied there batch by
batch; smaller ones stay there whole."""

UINT8_MAX = 255.0

INT64_MAX = np.iinfo(np.int64).max


def _storable(array: np.ndarray, what: str, *, uint8: bool) -> np.ndarray:
    """``array`` as uint8 (where allowed), int64 or float32, without a copy where it is one of them."""
    kind = array.dtype.kind
    if uint8 and array.dtype == np.uint8:
        return np.asarray(array)
    if kind in "iub":
        if array.dtype.type is np.uint64 and array.size and array.max() > INT64_MAX:
            raise TaskError(f"{what} go up to {array.max()}: whole numbers up to {INT64_MAX} are allowed")
        return np.asarray(array, dtype=np.int64)
    if kind == "f":
        return np.asarray(array, dtype=np.float32)
    if kind in "US":
        raise TaskError(
            f"{what} are words such as {str(array.flat[0])!r}: give numbers; of classes their positions among the "
            "network's outputs, from 0"
        )
    raise TaskError(f"{what} have dtype {array.dtype}: numbers are needed (uint8 images, int labels, floats)")


class _Arrays:
    """The whole arrays, shared by every subset that is cut from them."""

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        mean: Sequence[float] | float | None,
        std: Sequence[float] | float | None,
        augmentation: Augmentation | None,
        resized: Mapping[str, Any],
    ) -> None:
        if inputs.ndim == 0 or targets.ndim == 0:
            raise TaskError("inputs and targets are single numbers: arrays with one entry for each example are needed")
        if len(inputs) != len(targets):
            raise TaskError(f"{len(inputs)} inputs but {len(targets)} targets: one target per input is needed")
        self.inputs = _storable(inputs, "inputs", uint8=True)
        self.targets = _storable(targets, "targets", uint8=False)
        unit = UINT8_MAX if self.inputs.dtype == np.uint8 else 1.0
        self.scale = self._per_channel(1.0 if std is None else std, lambda std: 1.0 / (unit * std))
        self.shift = self._per_channel(0.0 if mean is None else mean, lambda mean: -mean)
        if std is not None:
            self.shift = self.shift / self._per_channel(std, lambda std: std)
        self.augmentation = augmentation
        self.preprocessing: dict[str, Any] = {"shape": list(self.inputs.shape[1:]), **resized}
        if unit != 1.0:
            self.preprocessing["divided_by"] = unit
        for name, given in (("mean", mean), ("std", std)):
            if given is not None:
                self.preprocessing[name] = np.asarray(given, dtype=np.float64).tolist()
        self._resident: dict[str, tuple[Tensor, Tensor]] = {}
        self._maps: dict[str, tuple[Tensor, ...]] = {}

    def _per_channel(self, value: Sequence[float] | float, convert: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """``value`` as a float32 array that broadcasts over an input of shape (channels, ...)."""
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
        shape = self.inputs.shape[1:]
        if values.ndim != 1 or (values.size > 1 and (not shape or shape[0] != values.size)):
            raise TaskError(
                f"mean and std have shape {values.shape} but the inputs have shape {shape}: "
                "give one number, or one for each channel (the inputs' first axis)"
            )
        trailing = max(len(shape) - 1, 0)
        return convert(values).reshape(values.size, *[1] * trailing).astype(np.float32)

    @cached_property
    def digest(self) -> bytes:
        digest = hashlib.sha256()
        for array in (self.inputs, self.targets, self.scale, self.shift):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.digest()

    def resident(self, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """Both arrays on ``device``, copied there once; ``None`` for the CPU and for inputs too large."""
        if device.type == "cpu":
            return None
        key = str(device)
        if self.inputs.nbytes > min(RESIDENT_BYTES_MAX, int(RESIDENT_SHARE * memory_of(device))):
            return None
        if key not in self._resident:
            # from_numpy warns about the read-only arrays of a shared object store, so they are copied first.
            self._resident[key] = (
                torch.from_numpy(np.array(self.inputs)).to(device),
                torch.from_numpy(np.array(self.targets)).to(device),
            )
        return self._resident[key]

    def prepare(self, inputs: Tensor) -> Tensor:
        """Stored inputs to what the network takes: integers stay, everything else is scaled and shifted."""
        if inputs.dtype == torch.int64:
            return inputs
        if inputs.dtype == torch.float32 and not self.shift.any() and (self.scale == 1.0).all():
            return inputs
        key = str(inputs.device)
        if key not in self._maps:
            self._maps[key] = tuple(
                torch.from_numpy(array.copy()).to(inputs.device) for array in (self.shift, self.scale)
            )
        shift, scale = self._maps[key]
        return torch.addcmul(shift, inputs.to(torch.float32), scale)

    def release(self) -> None:
        """Let go of what lies on devices."""
        self._resident.clear()
        self._maps.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_resident": {}, "_maps": {}}


class ArraySplit:
    """Inputs and targets as numpy arrays; subsets share them, and read-only arrays are fine.

    uint8 inputs are images: they are divided by 255, then normalised. Floats are normalised as they are.
    Other integers (token ids) reach the network as int64, untouched.

    Args:
        inputs: (n, ...); images as (n, channels, height, width).
        targets: (n, ...); class labels as integers (n,).
        mean: Subtracted from the inputs, for each channel or one for all, in units of 1 (not of 255).
        std: The inputs are divided by it after that.
        augmentation: Applied to the stored inputs, on the device, when a pass asks for it.
        resized: What brought images to their size before they were stored, ready for YAML; told by `preprocessing`.

    Raises:
        TaskError: Lengths or shapes that do not fit, or arrays that do not hold numbers.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        *,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        augmentation: Augmentation | None = None,
        resized: Mapping[str, Any] | None = None,
    ) -> None:
        self._arrays = _Arrays(inputs, targets, mean, std, augmentation, resized or {})
        self._indices: np.ndarray | None = None
        if len(self) == 0:
            raise TaskError("an empty split: at least one example is needed")

    def __len__(self) -> int:
        return len(self._arrays.inputs) if self._indices is None else len(self._indices)

    @property
    def stored_inputs(self) -> np.ndarray:
        """The inputs as they are stored, of this split and of those that it shares them with, (n, ...)."""
        return self._arrays.inputs

    @property
    def rows(self) -> np.ndarray:
        """Where this split's examples lie in `stored_inputs`, (m,) int64."""
        return np.arange(len(self)) if self._indices is None else self._indices

    @property
    def labels(self) -> np.ndarray | None:
        """Class of each example, (n,) int64; ``None`` where the targets are no classes."""
        targets = self._arrays.targets
        if targets.ndim != 1 or targets.dtype != np.int64:
            return None
        return targets if self._indices is None else targets[self._indices]

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Shape of an example, and what stored inputs are scaled by before a network sees them, ready for YAML."""
        return self._arrays.preprocessing

    @property
    def example_numbers(self) -> int:
        """Numbers in the inputs of one example."""
        return int(np.prod(self._arrays.inputs.shape[1:], dtype=np.int64))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the arrays, the normalisation and the positions taken, hex."""
        digest = hashlib.sha256(self._arrays.digest)
        if self._indices is not None:
            digest.update(self._indices.data)
        return digest.hexdigest()

    def subset(self, indices: np.ndarray) -> ArraySplit:
        """The examples at ``indices`` (positions in this split), without copying any."""
        indices = np.ascontiguousarray(indices, dtype=np.int64)
        if len(indices) == 0:
            raise TaskError("an empty split: at least one example is needed")
        part = ArraySplit.__new__(ArraySplit)
        part._arrays = self._arrays
        part._indices = indices if self._indices is None else self._indices[indices]
        return part

    def release(self) -> None:
        """Let go of what lies on devices, of all subsets together; it goes there again when it is read."""
        self._arrays.release()

    def batches(
        self,
        batch_size: int,
        *,
        device: Device = "cpu",
        generator: np.random.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, targets) on ``device``; see :class:`~rdsearch.tasks.splits.base.Split`."""
        device = torch.device(device)
        arrays = self._arrays
        resident = arrays.resident(device)
        order = self.rows
        if generator is not None:
            order = generator.permutation(order)
        # Of what lies there the whole order goes at once: a copy for each batch would wait for the batch before.
        places = None if resident is None else torch.from_numpy(np.array(order)).to(device)
        for start in range(0, len(order), batch_size):
            if resident is None or places is None:
                rows = order[start : start + batch_size]
                inputs = uploaded(torch.from_numpy(arrays.inputs[rows]), device)
                targets = uploaded(torch.from_numpy(arrays.targets[rows]), device)
            else:
                at = places[start : start + batch_size]
                inputs, targets = resident[0][at], resident[1][at]
            if augment and generator is not None and arrays.augmentation is not None:
                inputs = arrays.augmentation(inputs, generator)
            yield arrays.prepare(inputs), targets
