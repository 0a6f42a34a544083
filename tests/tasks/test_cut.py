from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.errors import TaskError
from rdsearch.tasks.splits import ArraySplit, cut_validation, draw_subset
from rdsearch.tasks.splits.cut import stratified


@given(
    labels=st.lists(st.integers(0, 5), min_size=2, max_size=200),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 10),
)
def test_stratified_draws_the_exact_count_and_every_class_its_share(labels: list[int], share: float, seed: int) -> None:
    array = np.array(labels)
    count = round(share * len(array))
    drawn = stratified(array, count, np.random.default_rng(seed))
    assert len(drawn) == count == len(set(drawn.tolist()))
    for label in set(labels):
        exact = count * np.mean(array == label)
        assert abs(np.sum(array[drawn] == label) - exact) < 1.0


@given(examples=st.integers(2, 60), seed=st.integers(0, 10), data=st.data())
def test_the_parts_are_disjoint_and_complete(examples: int, seed: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, examples - 1))
    split = ArraySplit(np.arange(examples, dtype=np.float32)[:, None], np.arange(examples) % 3)
    train, validation = cut_validation(split, count, seed)
    rows = [{int(row) for inputs, _ in part.batches(7) for row in inputs[:, 0]} for part in (train, validation)]
    assert len(validation) == len(rows[1]) == count
    assert not rows[0] & rows[1]
    assert rows[0] | rows[1] == set(range(examples))


def test_the_same_seed_cuts_the_same_part_and_another_seed_another() -> None:
    split = ArraySplit(np.zeros((50, 1)), np.arange(50) % 5)
    prints = [cut_validation(split, 0.2, seed)[1].fingerprint for seed in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]


def test_without_classes_the_cut_is_random() -> None:
    split = ArraySplit(np.zeros((50, 1)), np.linspace(0, 1, 50))
    assert split.labels is None
    assert len(cut_validation(split, 0.1, 0)[1]) == 5


@pytest.mark.parametrize("validation", [0, 10, 11, 0.01, 0.99, -3, float("nan"), float("inf"), True, "many", None])
def test_a_cut_that_leaves_nothing_on_one_side_is_refused(validation: Any) -> None:
    with pytest.raises(TaskError, match=r"validation = .*: give a count from 1 to 9, or a share"):
        cut_validation(ArraySplit(np.zeros((10, 1)), np.zeros(10)), validation, 0)


@given(examples=st.integers(2, 60), seed=st.integers(0, 10), data=st.data())
def test_a_subset_is_drawn_from_the_part_with_every_class_having_its_share(
    examples: int, seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, examples - 1))
    validation = ArraySplit(np.arange(examples, dtype=np.float32)[:, None], np.arange(examples) % 3)
    subset = draw_subset(validation, count, seed)
    rows = [int(row) for inputs, _ in subset.batches(7) for row in inputs[:, 0]]
    assert len(rows) == len(set(rows)) == count
    assert set(rows) <= set(range(examples))
    assert all(
        abs(sum(row % 3 == label for row in rows) - count * np.mean(np.arange(examples) % 3 == label)) < 1
        for label in range(3)
    )
    assert draw_subset(validation, count, seed).fingerprint == subset.fingerprint


@pytest.mark.parametrize("size", [0, 10, 1.0, True])
def test_a_subset_is_neither_empty_nor_all(size: float) -> None:
    with pytest.raises(TaskError, match=r"validation_subset = .*: give a count from 1 to 9"):
        draw_subset(ArraySplit(np.zeros((10, 1)), np.zeros(10)), size, 0)
