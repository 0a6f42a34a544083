"""Seeded blocks: what is drawn in them, and what they leave behind."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from rdsearch.base.randomness import isolated_rng


def draws() -> tuple[list[float], list[float], float]:
    return torch.rand(3).tolist(), np.random.random(3).tolist(), random.random()  # noqa: NPY002


def test_a_block_draws_what_the_seed_says() -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    expected = draws()
    draws()
    with isolated_rng(7):
        assert draws() == expected
    with isolated_rng(8):
        assert draws() != expected


@pytest.mark.parametrize("fails", [False, True])
def test_the_caller_draws_on_as_if_there_had_been_no_block(fails: bool) -> None:
    def begin() -> None:
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        random.seed(3)

    begin()
    expected = draws()
    begin()
    try:
        with isolated_rng(7):
            draws()
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass
    assert draws() == expected


def test_seeding_looks_at_no_call_stack_where_there_is_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator to seed")
    import traceback

    def looked() -> list[str]:
        raise AssertionError("the call stack was formatted")

    monkeypatch.setattr(traceback, "format_stack", looked)
    with isolated_rng(0):
        draws()
