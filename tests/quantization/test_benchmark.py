from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.divergence import Reference, bytes_at
from benchmarks.quantization import DIVERGENCES, File, between, explore, main, select
from rdsearch.tasks.splits import ArraySplit


def file(step: float, accuracy: float) -> File:
    return File(step, 0.0, bytes(int(1000 / step)), accuracy, 0.0, 0.0)


def test_for_each_bound_the_smallest_file_that_keeps_it_is_selected() -> None:
    files = [file(1, 0.9), file(2, 0.893), file(4, 0.87), file(5, 0.891), file(8, 0.4)]
    selected = select(files, dense=0.9)
    assert [chosen and chosen.step for chosen in selected.values()] == [5, 5, 5]
    assert select(files, dense=0.95)[0.01] is None


def test_a_step_is_looked_for_where_the_accuracy_last_passes_the_bound() -> None:
    files = [file(1, 0.9), file(2, 0.8), file(4, 0.7), file(8, 0.5)]
    assert between(files, 0.6) == pytest.approx(4 * 2**0.5)
    assert between(files, 0.95) is None
    assert between(files, 0.3) is None
    assert between([file(1, 0.9), file(1.05, 0.5)], 0.7) is None


def test_exploring_ends_where_the_accuracy_is_gone_and_looks_closer_at_the_bounds() -> None:
    files = explore(lambda step: file(step, 0.9 - step / 100), (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), 0.9, refinements=2)
    steps = [each.step for each in files]
    assert steps == sorted(steps)
    assert max(steps) == 16
    assert any(4 < step < 8 for step in steps)


def test_exploring_goes_on_beyond_the_grid_until_all_bounds_are_passed() -> None:
    files = explore(lambda step: file(step, 0.9 - step / 100), (2.0, 2.5), 0.9, refinements=0)
    assert files[0].step <= 1
    assert files[-1].accuracy < 0.85


def test_the_table_has_a_row_a_method_with_and_without_matching(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["quantization", "--refinements", "0", "--rows", "rounding", "magnitude", "sequential"]
    )
    main()
    lines = capsys.readouterr().out.splitlines()
    names = ("rounding", "magnitude", "sequential")
    for title in ("Bytes of", "Bytes at"):
        start = next(number for number, line in enumerate(lines) if line.startswith(title)) + 2
        table = lines[start : start + 6]
        assert [line.split()[0] for line in table] == [name for name in names for _ in range(2)]
        assert ["matched" in line for line in table] == [False, True] * 3
    # Matched, at the same divergence, `sequential` needs far fewer bytes than rounding.
    sizes = [float(line.split()[-len(DIVERGENCES)].replace(",", "")) for line in table]
    assert sizes[-1] < 0.6 * sizes[1]
    assert "cores; Python" in lines[0]


def test_bytes_at_a_divergence_lie_between_the_two_files_of_the_front_around_it() -> None:
    files = [(100, 0.4), (400, 0.1), (300, 0.9), (1600, 0.01)]
    assert bytes_at(files, 0.2) == pytest.approx(200)
    assert bytes_at(files, 0.1) == pytest.approx(400)
    assert bytes_at(files, 0.5) is None
    assert bytes_at(files, 0.001) is None


def test_a_network_does_not_diverge_from_itself_and_diverges_more_the_more_it_is_changed() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    images = np.random.default_rng(0).normal(size=(200, 1, 8, 8)).astype(np.float32)
    labels = network(torch.from_numpy(images)).argmax(1).numpy()
    reference = Reference(network, ArraySplit(images, labels))
    assert reference.accuracy == 1.0
    assert reference.compare(network) == (1.0, pytest.approx(0.0, abs=1e-12))
    divergences = []
    for scale in (0.9, 0.5):
        changed = copy.deepcopy(network)
        with torch.no_grad():
            changed[1].weight.mul_(scale)
        divergences.append(reference.compare(changed)[1])
    assert 0 < divergences[0] < divergences[1]
