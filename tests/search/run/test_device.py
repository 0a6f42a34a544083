from __future__ import annotations

import pytest

from rdsearch.errors import SearchError
from rdsearch.search.run.device import (
    CONTEXT_BYTES,
    claim_device,
    device_index,
    memory_limit,
    taken_by_others,
    visible_gpus,
)

GIB = 2**30


class Card:
    """What torch says of a GPU."""

    name, uuid, total_memory = "Test 80", "b7", 80 * GIB


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """A machine with GPUs, of which Ray gave number 2 to this worker; collects the memory limits that are set."""
    found: list[tuple[float, int]] = []
    monkeypatch.setattr("ray.get_gpu_ids", lambda: [2])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: Card)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda index: (70 * GIB, 80 * GIB))
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", lambda share, index: found.append((share, index)))
    return found


def test_a_worker_takes_its_gpu_and_its_share_of_the_memory_that_nothing_else_has(
    limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert claim_device(0.25, {"b7": 4 * GIB, "other": 60 * GIB}) == "cuda:0"
    assert limits == [((0.25 * 76 * GIB - CONTEXT_BYTES) / (80 * GIB), 0)]


def test_shares_with_what_each_process_needs_besides_fit_beside_the_driver() -> None:
    total, taken = 80 * GIB, 3 * GIB
    for count in (1, 2, 3, 4, 7, 16):
        assert count * (memory_limit(1 / count, total, taken, total) + CONTEXT_BYTES) <= total - taken


def test_no_more_than_is_free_is_given() -> None:
    assert memory_limit(0.5, 80 * GIB, 0, 7 * GIB) == 7 * GIB


def test_a_share_that_leaves_nothing_is_an_error_that_says_what_to_do(limits: list[tuple[float, int]]) -> None:
    with pytest.raises(SearchError, match=r"a share of 0\.01 of Test 80 leaves a trial no memory: .* a greater share"):
        claim_device(0.01, {})
    assert limits == []


def test_a_whole_gpu_has_no_limit(limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert claim_device(1, {}) == "cuda:2"
    assert limits == []


def test_without_a_gpu_from_ray_the_processor_computes_whatever_torch_sees(
    limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.get_gpu_ids", list)
    assert claim_device(0.5, {}) == "cpu"
    assert limits == []


def test_a_driver_that_has_used_no_gpu_takes_nothing() -> None:
    assert taken_by_others() == {}


def test_rays_number_of_an_amd_gpu_is_looked_up_where_ray_has_written_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device_index("3", visible_gpus(rocm=True)) == 0
    assert device_index("3", visible_gpus(rocm=False)) == 3


@pytest.mark.parametrize(
    ("identity", "visible", "index"),
    [("3", None, 3), ("3", "3", 0), ("3", "1,3", 1), ("GPU-b", "GPU-a,GPU-b", 1), ("3", "GPU-a", 0)],
)
def test_the_index_counts_visible_gpus(identity: str, visible: str | None, index: int) -> None:
    assert device_index(identity, visible) == index
