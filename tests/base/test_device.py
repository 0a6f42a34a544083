from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from rdsearch.base.device import checked_device, choose_device, computes_bfloat16, memory_of
from rdsearch.errors import TaskError


def test_without_a_name_the_first_gpu_is_used_where_there_is_one() -> None:
    assert checked_device(None) == choose_device()
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_that_is_there_is_taken(device: str | torch.device) -> None:
    assert checked_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", 3.5])
def test_one_that_is_not_is_refused_with_what_to_give(device: str) -> None:
    with pytest.raises(TaskError, match=r"device = .* cannot be used here: .* Give 'cpu', 'cuda'"):
        checked_device(device)


@pytest.mark.parametrize(("device", "index"), [("cuda", 2), ("cuda:1", 1)])
def test_the_memory_of_a_share_is_asked_for_by_the_number_of_the_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, index: int
) -> None:
    def fraction(asked: object) -> float:
        # As torch does: "cuda" is no GPU that has a number.
        assert asked == index
        return 0.25

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", fraction)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda asked: SimpleNamespace(total_memory=1000))
    assert memory_of(torch.device(device)) == 250


@pytest.mark.parametrize(
    ("told", "computes"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_f": True}, False), ({}, False)],
)
def test_bfloat16_is_used_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, bool], computes: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert computes_bfloat16(torch.device("cpu")) is computes
    assert not computes_bfloat16(torch.device("meta"))
