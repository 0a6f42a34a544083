from __future__ import annotations

import pytest

from rdsearch.search.run.device import claim_device, device_index


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """A machine with GPUs, of which Ray gave number 2 to this worker; collects the memory limits that are set."""
    found: list[tuple[float, int]] = []
    monkeypatch.setattr("ray.get_gpu_ids", lambda: [2])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", lambda share, index: found.append((share, index)))
    return found


def test_a_worker_takes_its_gpu_and_its_share_of_the_memory(
    limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert claim_device(0.25) == "cuda:0"
    assert limits == [(0.25, 0)]


def test_a_whole_gpu_has_no_limit(limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert claim_device(1) == "cuda:2"
    assert limits == []


def test_without_a_gpu_from_ray_the_processor_computes_whatever_torch_sees(
    limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.get_gpu_ids", list)
    assert claim_device(0.5) == "cpu"
    assert limits == []


@pytest.mark.parametrize(
    ("identity", "visible", "index"),
    [("3", None, 3), ("3", "3", 0), ("3", "1,3", 1), ("GPU-b", "GPU-a,GPU-b", 1), ("3", "GPU-a", 0)],
)
def test_the_index_counts_visible_gpus(identity: str, visible: str | None, index: int) -> None:
    assert device_index(identity, visible) == index
