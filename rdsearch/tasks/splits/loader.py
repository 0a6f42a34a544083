"""Examples that come from a torch Dataset or DataLoader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, default_collate

from rdsearch.base.randomness import isolated_rng
from rdsearch.errors import TaskError
from rdsearch.tasks.splits.base import Batch, Device
from rdsearch.tasks.splits.samplers import loading_options, positions, set_aside

FINGERPRINT_EXAMPLES = 64
"""Examples, evenly spread, whose content is fingerprinted: reading a whole image folder would take hours."""

_LABEL_ATTRIBUTES = ("targets", "labels", "_labels")


def _to(value: Any, device: torch.device) -> Any:
    """Every tensor inside ``value`` (nested tuples, lists, mappings) on ``device``, every kind of float as float32."""
    if isinstance(value, Tensor):
        value = value.float() if value.is_floating_point() else value
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: _to(entry, device) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_to(entry, device) for entry in value)
    return value


def _whole(targets: Any) -> Any:
    """Targets of any kind of integers as int64, which losses take."""
    if isinstance(targets, Tensor) and not targets.dtype.is_floating_point and not targets.dtype.is_complex:
        return targets if targets.dtype is torch.bool else targets.long()
    return targets


class _Collate:
    """A collate function that says which examples it cannot join."""

    def __init__(self, function: Callable[[list[Any]], Any]) -> None:
        self._function = function

    def __call__(self, examples: list[Any]) -> Any:
        try:
            return self._function(examples)
        except (RuntimeError, TypeError, ValueError) as error:
            raise TaskError(
                f"examples cannot be joined into a batch, their inputs are {_kinds(examples)} ({error}): give all of "
                "them one shape, or a DataLoader with a collate_fn that joins them"
            ) from error


def _kinds(examples: list[Any]) -> str:
    """The first two forms that the inputs of examples have."""
    inputs = [example[0] if isinstance(example, (tuple, list)) and example else example for example in examples]
    found = dict.fromkeys(
        str(tuple(np.shape(value))) if hasattr(value, "shape") else f"a {type(value).__name__}" for value in inputs
    )
    return " and ".join(list(found)[:2])


def _update(digest: Any, value: Any) -> None:
    """Feed tensors, arrays, images and plain values, nested as they may be, into ``digest``."""
    if isinstance(value, Mapping):
        for key in value:
            _update(digest, key)
            _update(digest, value[key])
    elif isinstance(value, (tuple, list)):
        for entry in value:
            _update(digest, entry)
    elif isinstance(value, (str, bytes)):
        digest.update(value.encode() if isinstance(value, str) else value)
    else:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())


def _numbers(value: Any) -> int:
    """How many numbers lie in tensors and arrays, nested as they may be."""
    if isinstance(value, Mapping):
        return sum(map(_numbers, value.values()))
    if isinstance(value, (tuple, list)):
        return sum(map(_numbers, value))
    return int(np.prod(np.shape(value), dtype=np.int64))


def dataset_labels(dataset: Any) -> np.ndarray | None:
    """Classes of a torch Dataset without reading its examples, (n,) int64, where it tells them."""
    if isinstance(dataset, Subset):
        inner = dataset_labels(dataset.dataset)
        return None if inner is None else inner[np.asarray(dataset.indices, dtype=np.int64)]
    if getattr(dataset, "target_transform", None) is not None:
        return None  # what it tells is not what it gives
    for attribute in _LABEL_ATTRIBUTES:
        value = getattr(dataset, attribute, None)
        if isinstance(value, (Tensor, np.ndarray, list, tuple)):
            labels = np.asarray(value)
            if labels.ndim == 1 and labels.dtype.kind in "iu" and len(labels) == len(dataset):
                return labels.astype(np.int64)
    return None


class LoaderSplit:
    """A torch Dataset, or what a DataLoader reads of one, with the loader's way of collating and its workers.

    The order is this project's: the data set's own for evaluation, a seeded shuffle for training, so that
    results repeat. What a data set draws at random is seeded batch by batch for the same reason. A loader of
    an ``IterableDataset`` is read as it comes. A sampler's choice of examples is kept, not its order; batches are as
    large as the recipe says, and the last one is never dropped.

    Args:
        source: Yields (input, target) examples; inputs may be tuples or mappings of tensors.

    Attributes:
        set_aside: Options of the loader that have no say here.

    Raises:
        TaskError: An empty source, an iterable one whose length is not known, or a loader whose sampler or batches
            cannot be followed.
    """

    def __init__(self, source: Dataset[Any] | DataLoader[Any]) -> None:
        loader = source if isinstance(source, DataLoader) else None
        dataset: Any = source.dataset if isinstance(source, DataLoader) else source
        self._iterable = loader if isinstance(dataset, IterableDataset) else None
        if isinstance(dataset, IterableDataset) and loader is None:
            raise TaskError("an IterableDataset has no batches of its own: wrap it in a DataLoader")
        self._loading: dict[str, Any] = {}
        self.set_aside: list[str] = []
        try:
            length = len(dataset)
        except TypeError:
            raise TaskError(
                f"the length of {type(dataset).__name__} is not known: give it a __len__, or use a map-style Dataset"
            ) from None
        if length == 0:
            raise TaskError("an empty split: at least one example is needed")
        if loader is not None and self._iterable is None:
            self._loading, self.set_aside = loading_options(loader), set_aside(loader)
            chosen = positions(loader)
            dataset = dataset if chosen is None else Subset(dataset, chosen.tolist())
        self._dataset = dataset
        self._length = len(dataset)
        if self._iterable is not None and self._iterable.drop_last and self._iterable.batch_size:
            self._length -= self._length % self._iterable.batch_size

    def __len__(self) -> int:
        return self._length

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Class of each example where the Dataset tells it (``targets`` or ``labels``), (n,) int64."""
        return None if self._iterable is not None else dataset_labels(self._dataset)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """The Dataset's own transform, in its own words, where it has one."""
        dataset = self._dataset
        while isinstance(dataset, Subset):
            dataset = dataset.dataset
        transform = getattr(dataset, "transform", None)
        return {} if transform is None else {"transform": str(transform)}

    @cached_property
    def example_numbers(self) -> int:
        """Numbers in the inputs of one example; 1 where examples can only be iterated, whose batches are their own."""
        if self._iterable is not None:
            return 1
        with isolated_rng(0):
            example = self._dataset[0]
        # A loader's own way of collating may take examples that are no pairs.
        return _numbers(example[0] if isinstance(example, (tuple, list)) else example)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the length, the labels where known, and the content of some examples, hex."""
        digest = hashlib.sha256(str(len(self)).encode())
        if self.labels is not None:
            _update(digest, self.labels)
        with isolated_rng(0):
            if self._iterable is not None:
                _update(digest, next(iter(self._iterable)))
            else:
                positions = np.linspace(0, len(self) - 1, min(len(self), FINGERPRINT_EXAMPLES)).astype(int)
                for position in positions:
                    _update(digest, self._dataset[int(position)])
        return digest.hexdigest()

    @property
    def is_iterable(self) -> bool:
        """Whether examples can only be read in the order in which they come, so that there are no subsets."""
        return self._iterable is not None

    def subset(self, indices: np.ndarray) -> LoaderSplit:
        """The examples at ``indices``.

        Raises:
            TaskError: The source can only be iterated.
        """
        if self._iterable is not None:
            raise TaskError("a loader of an IterableDataset cannot be cut: give validation data of its own")
        part = LoaderSplit(Subset(self._dataset, [int(index) for index in indices]))
        part._loading, part.set_aside = self._loading, self.set_aside
        return part

    def batches(
        self,
        batch_size: int,
        *,
        device: Device = "cpu",
        generator: np.random.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """Yield (inputs, targets) on ``device``; see :class:`~rdsearch.tasks.splits.base.Split`."""
        device = torch.device(device)
        seed = 0 if generator is None else int(generator.integers(2**31))
        loader = self._iterable or self._loader(batch_size, generator, seed)
        # Only the reading is seeded, so that the global state is the caller's again between two batches.
        with isolated_rng(seed):
            batches = iter(loader)
        number = examples = 0
        while True:
            with isolated_rng(seed + number):
                batch = next(batches, None)
            if batch is None:
                return self._check_count(examples)
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise TaskError(
                    f"a batch is {_described(batch)}: a pair (inputs, targets) is needed; a DataLoader's collate_fn "
                    "can make one, and its inputs may be a mapping"
                )
            inputs, targets = batch
            yield _to(inputs, device), _to(_whole(targets), device)
            number, examples = number + 1, examples + len(targets)

    def _check_count(self, examples: int) -> None:
        """A stream says its length itself, and workers that do not share it give everything several times."""
        if examples != self._length:
            raise TaskError(
                f"{type(self._dataset).__name__} has given {examples} examples in a pass, and its length is "
                f"{self._length}: let __len__ be the number of examples, and __iter__ give each worker its own share"
            )

    def _loader(self, batch_size: int, generator: np.random.Generator | None, seed: int) -> DataLoader[Any]:
        order: Sequence[int] = range(len(self))
        if generator is not None:
            order = [int(index) for index in generator.permutation(len(self))]
        worker_seeds = torch.Generator().manual_seed(seed)
        options = {**self._loading, "collate_fn": _Collate(self._loading.get("collate_fn", default_collate))}
        return DataLoader(self._dataset, batch_size=batch_size, sampler=order, generator=worker_seeds, **options)


def _described(batch: Any) -> str:
    """What a batch is that is no pair."""
    if isinstance(batch, Mapping):
        return f"a mapping of {', '.join(map(str, batch))}"
    return f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
