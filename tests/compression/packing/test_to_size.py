from __future__ import annotations

import pytest

from rdsearch.compression.packing.to_size import LARGEST_STEP, PACKINGS, TOLERANCE, pack_to_size
from rdsearch.compression.rounds import compress
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.errors import QuantizationError
from rdsearch.tasks.task import Task
from tests.tasks.helpers import blobs, seeded_network


class Files:
    """Files of sizes that fall as a power of the step, from a floor on."""

    def __init__(self, power: float, floor: int = 0) -> None:
        self.power, self.floor = power, floor
        self.steps: list[float] = []

    def __call__(self, step: float) -> bytes:
        self.steps.append(step)
        return bytes(self.floor + round(20_000 * step**-self.power))


@pytest.mark.parametrize("power", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("target_bytes", [9_000, 20_000, 60_000])
def test_the_file_fills_what_is_asked_for_to_a_hundredth(power: float, target_bytes: int) -> None:
    files = Files(power, floor=500)
    size = len(pack_to_size(files, 1.0, target_bytes))
    assert (1 - TOLERANCE) * target_bytes <= size <= target_bytes
    assert len(files.steps) <= PACKINGS


def test_a_file_that_fits_is_taken_at_once() -> None:
    files = Files(1.0)
    assert len(pack_to_size(files, 1.0, 20_100)) == 20_000
    assert files.steps == [1.0]


def test_sizes_that_jump_give_the_largest_file_below() -> None:
    def pack_at(step: float) -> bytes:
        return bytes(9_000 if step < 1.3 else 4_000)

    assert len(pack_to_size(pack_at, 1.0, 8_000)) == 4_000


def test_a_size_below_that_of_the_coarsest_step_is_refused() -> None:
    files = Files(0.1, floor=5_000)
    with pytest.raises(
        QuantizationError, match=r"target_bytes = 6,000.*coarsest step, 10, the file takes 20,887 bytes"
    ):
        pack_to_size(files, 1.0, 6_000)
    assert max(files.steps) == LARGEST_STEP


@pytest.mark.parametrize("method", ["uniform", "sequential"])
def test_every_round_of_a_trial_has_the_size_asked_for(method: str) -> None:
    task = Task(network=seeded_network(), train=blobs(600), validation=blobs(120, seed=4))
    recipe = {
        "pruning": {"rounds": 2, "rate": 0.3},
        "retrain": {"epochs": 0},
        "quantization": {"method": method, "target_bytes": 225, "calibration": 64},
    }
    points = list(compress(task, recipe, device="cpu"))
    assert len(points) == 2
    assert all(0.95 * 225 <= point.size_bytes <= 225 for point in points)
    again = list(compress(task, recipe, device="cpu"))
    assert [point.data for point in again] == [point.data for point in points]


def test_a_size_is_reached_in_one_way() -> None:
    with pytest.raises(ValueError, match=r"target_bytes: 700 is reached by the step"):
        QuantizationRecipe(target_bytes=700, training={"epochs": 1})
