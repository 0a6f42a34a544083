from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from rdsearch.errors import TaskError
from rdsearch.tasks import Task
from rdsearch.tasks.splits import LoaderSplit
from tests.tasks.helpers import seeded_network

DATA = TensorDataset(torch.arange(20.0)[:, None], torch.arange(20) % 2)


class Fixed(Sampler[int]):
    """Positions of one's own, in an order that may be drawn anew in each pass."""

    def __init__(self, drawn: Any, shuffled: bool = False) -> None:
        self.drawn, self.shuffled = drawn, shuffled

    def __iter__(self) -> Iterator[Any]:
        if self.shuffled:
            return iter([self.drawn[at] for at in torch.randperm(len(self.drawn))])
        return iter(self.drawn)


class Endless(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0


class Prefetching(DataLoader[Any]):
    def __iter__(self) -> Any:
        return ((inputs.half(), targets) for inputs, targets in super().__iter__())


def read(loader: DataLoader[Any]) -> list[int]:
    return [int(value) for inputs, _ in LoaderSplit(loader).batches(6) for value in inputs[:, 0]]


ALL = list(range(20))


@pytest.mark.parametrize(
    ("loader", "expected"),
    [
        (DataLoader(DATA), ALL),
        (DataLoader(DATA, shuffle=True), ALL),
        (DataLoader(DATA, sampler=RandomSampler(DATA, generator=torch.Generator())), ALL),
        (DataLoader(DATA, sampler=SequentialSampler(range(5))), ALL[:5]),
        (DataLoader(DATA, sampler=SubsetRandomSampler([7, 3, 11])), [7, 3, 11]),
        (DataLoader(DATA, sampler=SubsetRandomSampler(torch.tensor([7, 3]))), [7, 3]),  # type: ignore[arg-type]
        (DataLoader(DATA, sampler=range(10, 14)), [10, 11, 12, 13]),
        (DataLoader(DATA, sampler=Fixed([9, 2])), [9, 2]),
        (DataLoader(DATA, sampler=Fixed([9, 2, 5, 1], shuffled=True)), [1, 2, 5, 9]),
        (DataLoader(DATA, batch_sampler=BatchSampler(SubsetRandomSampler([4, 6]), 2, drop_last=True)), [4, 6]),
    ],
)
def test_the_examples_that_a_sampler_chooses_are_read(loader: DataLoader[Any], expected: list[int]) -> None:
    assert read(loader) == expected
    assert len(LoaderSplit(loader)) == len(expected)


def test_parts_of_one_dataset_by_samplers_stay_apart_in_a_task() -> None:
    inputs = TensorDataset(torch.randn(40, 4), torch.arange(40) % 3)
    train, validation = (
        DataLoader(inputs, 8, sampler=SubsetRandomSampler(part)) for part in (range(30), range(30, 40))
    )
    task = Task(network=seeded_network(), train=train, validation=validation)
    assert (len(task.train), len(task.validation)) == (30, 10)
    seen = [
        {tuple(row.tolist()) for batch, _ in part.batches(7) for row in batch} for part in (task.train, task.validation)
    ]
    assert seen[0].isdisjoint(seen[1])


def test_labels_and_cuts_follow_the_sampler() -> None:
    dataset: Any = TensorDataset(torch.arange(20.0)[:, None], torch.arange(20) % 2)
    dataset.targets = np.arange(20) % 2
    split = LoaderSplit(DataLoader(dataset, sampler=SubsetRandomSampler([5, 7, 8])))
    assert split.labels is not None
    assert split.labels.tolist() == [1, 1, 0]
    part = split.subset(np.array([2, 0]))
    assert [int(value) for inputs, _ in part.batches(2) for value in inputs[:, 0]] == [8, 5]
    assert split.fingerprint != LoaderSplit(DataLoader(dataset, sampler=SubsetRandomSampler([5, 7, 9]))).fingerprint


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (lambda: DataLoader(DATA, sampler=WeightedRandomSampler([1.0] * 20, 20)), "a WeightedRandomSampler is not"),
        (lambda: DataLoader(DATA, sampler=DistributedSampler(DATA, 2, 0)), "a DistributedSampler gives each process"),
        (lambda: DataLoader(DATA, sampler=RandomSampler(DATA, replacement=True)), "a RandomSampler with replacement"),
        (lambda: DataLoader(DATA, sampler=RandomSampler(DATA, num_samples=8)), "num_samples=8 draws others of its 20"),
        (lambda: DataLoader(DATA, batch_sampler=[[1, 2], [3]]), "the batches of a list are not followed"),
        (lambda: DataLoader(DATA, batch_size=None), "batch_size=None reads batches that its Dataset has made"),
        (lambda: DataLoader(DATA, sampler=Fixed([1, 1, 2])), "a Fixed gives some examples more than once"),
        (lambda: DataLoader(DATA, sampler=Fixed([1, 20])), "gives position 20 in a Dataset of 20: allowed are 0 to 19"),
        (lambda: DataLoader(DATA, sampler=Fixed(["a"])), "gives 'a': positions in the Dataset are needed"),
        (lambda: DataLoader(DATA, sampler=Fixed([])), "gives no example"),
        (lambda: DataLoader(DATA, sampler=Endless()), "more than once"),
        (lambda: Prefetching(DATA), "Prefetching changes what a DataLoader gives"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_a_way_out(loader: Callable[[], DataLoader[Any]], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        LoaderSplit(loader())


def test_a_sampler_that_chooses_anew_is_refused() -> None:
    class Half(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(torch.randperm(20)[:10].tolist())

    with pytest.raises(TaskError, match="a Half chooses other examples in each pass"):
        LoaderSplit(DataLoader(DATA, sampler=Half()))


def test_the_user_s_generator_stays_where_it_was() -> None:
    class Shuffled(RandomSampler):
        pass

    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    assert read(DataLoader(DATA, sampler=Shuffled(DATA, generator=generator))) == ALL
    assert torch.equal(generator.get_state(), before)


def test_how_a_loader_reads_is_kept_and_what_has_no_say_is_told() -> None:
    def collate(examples: list[Any]) -> Any:
        return default_collate(examples)

    loader = DataLoader(
        DATA,
        num_workers=1,
        collate_fn=collate,
        timeout=50,
        prefetch_factor=3,
        multiprocessing_context="fork",
        in_order=False,
        worker_init_fn=print,
        drop_last=True,
        generator=torch.Generator(),
        persistent_workers=True,
    )
    split = LoaderSplit(loader)
    made = split._loader(4, None, 0)
    for option in ("num_workers", "timeout", "prefetch_factor", "in_order", "worker_init_fn"):
        assert getattr(made, option) == getattr(loader, option)
    assert made.multiprocessing_context.get_start_method() == "fork"  # type: ignore[union-attr]
    assert split.set_aside == ["drop_last", "generator", "persistent_workers"]
    inputs = TensorDataset(torch.randn(40, 4), torch.arange(40) % 3)
    (note,) = Task(network=seeded_network(), train=DataLoader(inputs, drop_last=True)).notes[:1]
    assert note.startswith("train: the DataLoader's drop_last has no say: every example is read once in a pass")
