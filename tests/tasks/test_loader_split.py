from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from rdsearch.errors import TaskError
from rdsearch.tasks.splits import ArraySplit, LoaderSplit, Split, as_split, cut_validation


class Numbers(Dataset[tuple[torch.Tensor, int]]):
    """Example i is (i, i modulo 2), with noise from every global generator when asked for."""

    def __init__(self, count: int = 10, noise: bool = False) -> None:
        self.count, self.noise = count, noise
        self.targets = [index % 2 for index in range(count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        value = torch.tensor([float(index)])
        if self.noise:
            value = value + torch.rand(1) + random.random() + np.random.rand()  # noqa: NPY002
        return value, self.targets[index]


class Stream(IterableDataset[tuple[torch.Tensor, int]]):
    def __init__(self, length: int | None) -> None:
        self.length = length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("unknown")
        return self.length

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        return iter([(torch.tensor([float(index)]), 0) for index in range(6)])


def values(split: Split, **arguments: Any) -> list[float]:
    return [float(value) for inputs, _ in split.batches(4, **arguments) for value in inputs[:, 0]]


def test_evaluation_reads_in_order_and_training_in_a_seeded_one() -> None:
    split = LoaderSplit(DataLoader(Numbers(), batch_size=3, shuffle=True))
    assert values(split) == list(range(10))
    shuffled = values(split, generator=np.random.default_rng(0))
    assert shuffled != list(range(10))
    assert sorted(shuffled) == list(range(10))
    assert shuffled == values(split, generator=np.random.default_rng(0))


def test_random_transforms_repeat_and_leave_the_global_state_alone() -> None:
    split = LoaderSplit(Numbers(noise=True))
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert values(split) == values(split)
    print_before = split.fingerprint
    assert (torch.rand(1), random.random(), np.random.rand()) == expected  # noqa: NPY002
    assert LoaderSplit(Numbers(noise=True)).fingerprint == print_before


def test_a_loader_s_collate_function_is_kept() -> None:
    def doubled(examples: list[tuple[torch.Tensor, int]]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        return {"x": 2 * torch.stack([x for x, _ in examples])}, torch.tensor([y for _, y in examples])

    inputs, _ = next(iter(LoaderSplit(DataLoader(Numbers(), collate_fn=doubled)).batches(3)))
    assert inputs["x"][:, 0].tolist() == [0.0, 2.0, 4.0]


def test_labels_are_known_without_reading_and_follow_subsets() -> None:
    subset = LoaderSplit(Subset(Numbers(), [1, 3, 4])).labels
    assert subset is not None
    assert subset.tolist() == [1, 1, 0]
    train, validation = cut_validation(LoaderSplit(Numbers(20)), 10, 0)
    assert validation.labels is not None
    assert np.bincount(validation.labels).tolist() == [5, 5]
    assert len(train) == 10


def test_labels_that_the_dataset_gives_otherwise_than_it_tells_are_not_known() -> None:
    dataset = Numbers()
    dataset.target_transform = lambda label: 1 - label  # type: ignore[attr-defined]
    assert LoaderSplit(dataset).labels is None
    assert LoaderSplit(Subset(dataset, [1, 2])).labels is None


def test_workers_read_the_same_examples() -> None:
    split = LoaderSplit(DataLoader(Numbers(noise=True), num_workers=1))
    assert values(split) == values(split)
    assert len(values(split)) == 10


def test_a_stream_is_read_as_it_comes_but_cannot_be_cut() -> None:
    split = LoaderSplit(DataLoader(Stream(6), batch_size=2))
    assert values(split) == list(range(6))
    assert len(split) == 6
    with pytest.raises(TaskError, match="validation data of its own"):
        cut_validation(split, 2, 0)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (DataLoader(Stream(None)), "length"),
        (Stream(6), "wrap it in a DataLoader"),
        (Subset(Numbers(), []), "empty"),
        ([1, 2, 3], "is a list"),
        (7, "is a int"),
    ],
)
def test_what_cannot_be_a_split_is_refused(source: object, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        as_split(source, "train")


def test_pairs_and_tensor_datasets_become_array_splits() -> None:
    inputs, targets = torch.arange(6.0)[:, None], torch.arange(6)
    for data in ((inputs, targets), (inputs.numpy(), targets.numpy()), TensorDataset(inputs, targets)):
        split = as_split(data)
        assert isinstance(split, ArraySplit)
        assert values(split) == list(range(6))
    assert as_split(split) is split


def test_batches_that_are_no_pairs_are_refused() -> None:
    triple = TensorDataset(torch.zeros(4, 1), torch.zeros(4), torch.zeros(4))
    with pytest.raises(TaskError, match=r"a batch is a list of 3: a pair \(inputs, targets\) is needed"):
        next(iter(as_split(triple).batches(2)))
    named = Pairs([torch.zeros(2)] * 4, [0] * 4)
    loader = DataLoader(named, collate_fn=lambda pairs: {"x": torch.stack([x for x, _ in pairs]), "y": pairs[0][1]})
    with pytest.raises(TaskError, match=r"a batch is a mapping of x, y: .* collate_fn can make one"):
        next(iter(as_split(loader).batches(2)))


class Pairs(Dataset[tuple[Any, Any]]):
    def __init__(self, inputs: list[Any], targets: list[Any]) -> None:
        self.pairs = list(zip(inputs, targets, strict=True))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.pairs[index]


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int16, int])
def test_labels_of_any_kind_of_integers_are_int64(kind: type) -> None:
    _, targets = next(iter(as_split(Pairs([torch.zeros(2)] * 3, [kind(1), kind(0), kind(2)])).batches(3)))
    assert targets.dtype == torch.int64
    assert targets.tolist() == [1, 0, 2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floats_of_any_kind_are_float32(dtype: torch.dtype) -> None:
    inputs, targets = next(iter(as_split(Pairs([torch.ones(2, dtype=dtype)] * 3, [0.5] * 3)).batches(3)))
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.float32)


@pytest.mark.parametrize("workers", [0, 1])
def test_examples_that_cannot_be_joined_are_named(workers: int) -> None:
    dataset = Pairs([torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)], [0, 1])
    with pytest.raises(TaskError, match=r"their inputs are \(3, 8, 8\) and \(3, 8, 9\) .*collate_fn"):
        list(as_split(DataLoader(dataset, num_workers=workers)).batches(2))
    with pytest.raises(TaskError, match="their inputs are a Image"):
        list(as_split(Pairs([Image.new("L", (4, 4))] * 2, [0, 1])).batches(2))


def test_a_stream_that_gives_another_number_than_it_says_is_refused() -> None:
    with pytest.raises(TaskError, match="Stream has given 6 examples in a pass, and its length is 7"):
        values(LoaderSplit(DataLoader(Stream(7), batch_size=2)))
    split = LoaderSplit(DataLoader(Stream(6), batch_size=4, drop_last=True))
    assert len(split) == 4
    assert values(split) == [0, 1, 2, 3]
