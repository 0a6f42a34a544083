from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.errors import TaskError
from rdsearch.tasks import Task
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.splits.copies import copies
from tests.tasks.helpers import seeded_network


def images(count: int, seed: int = 0, side: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, side, side), dtype=np.uint8)


def split(pixels: np.ndarray) -> ArraySplit:
    return ArraySplit(pixels, np.arange(len(pixels)) % 3)


@given(seed=st.integers(0, 50), side=st.integers(1, 3))
def test_copies_are_those_that_a_comparison_of_all_with_all_finds(seed: int, side: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 2, (20, 1, side, side), dtype=np.uint8)
    one, other = split(pixels).subset(np.arange(3, 12)), split(pixels).subset(np.array([0, 15, 19]))
    expected = [at for at in range(9) if any((pixels[at + 3] == pixels[row]).all() for row in (0, 15, 19))]
    assert copies(one, other).tolist() == expected


def test_one_other_pixel_makes_another_image() -> None:
    pixels = images(30)
    near = pixels.copy()
    near[4, 0, 3, 5] ^= 1
    assert copies(split(near), split(pixels)).tolist() == [at for at in range(30) if at != 4]


def test_rows_of_tables_are_never_copies() -> None:
    table = ArraySplit(np.zeros((20, 4), np.float32), np.zeros(20, np.int64))
    assert len(copies(table, table)) == 0
    assert len(copies(split(images(5)), table)) == 0


def test_a_cut_leaves_no_copy_on_both_sides_and_says_so() -> None:
    pixels = np.concatenate([images(30), images(30)])
    task = Task(network=seeded_network(), train=(pixels, np.arange(60) % 3), validation=0.25)
    assert len(task.validation) == 15
    assert len(copies(task.train, task.validation)) == 0
    left_out = 60 - 15 - len(task.train)
    assert left_out > 0
    assert task._split_notes == [
        f"{left_out} training images are copies of some in the validation part, and are left out of training"
    ]
    with pytest.raises(TaskError, match="every training image is a copy"):
        Task(network=seeded_network(), train=(np.zeros((20, 1, 2, 2), np.uint8), np.zeros(20, int)))


def test_parts_of_which_one_would_be_scaled_are_refused() -> None:
    pixels = images(30)
    with pytest.raises(TaskError, match="train holds images of uint8 and validation of float32: uint8 is divided by"):
        Task(network=seeded_network(), train=split(pixels), validation=(pixels / 255.0, np.zeros(30, int)))


def test_a_validation_part_of_one_s_own_is_kept_and_its_copies_are_told() -> None:
    pixels = images(30)
    task = Task(
        network=seeded_network(),
        train=(pixels, np.arange(30) % 3),
        validation=(np.concatenate([pixels[:4], images(6, 1)]), np.zeros(10, np.int64)),
    )
    assert (len(task.train), len(task.validation)) == (30, 10)
    (note,) = task._split_notes
    assert note == "4 of 10 validation images are training images too, to the last pixel: leave them out"
