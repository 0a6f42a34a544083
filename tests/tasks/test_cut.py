from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.errors import TaskError
from rdsearch.tasks.splits import ArraySplit, cut_validation
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


@pytest.mark.parametrize("validation", [0, 10, 11, 0.01, 0.99])
def test_a_cut_that_leaves_nothing_on_one_side_is_refused(validation: float) -> None:
    with pytest.raises(TaskError, match="allowed are 1 to 9"):
        cut_validation(ArraySplit(np.zeros((10, 1)), np.zeros(10)), validation, 0)
