import numpy as np
import pytest

from benchmarks import pruning
from rdsearch.pruning import METHODS


def test_no_code_beats_the_bound_and_sets_cost_less_than_indices(monkeypatch):
    monkeypatch.setattr(pruning, "SPARSITIES", (0.95, 0.8))
    for _, distortion, bound, indices, sets, dead_zone in pruning.rates(30_000):
        assert bound == pytest.approx(-np.log2(distortion / pruning.magnitudes(30_000).mean()))
        assert bound < dead_zone < sets < indices


def test_the_two_sides_of_the_speed_table_make_the_same_picks(capsys):
    pruning.speed(3000, 0.9, None)
    pruning.speed(3000, 0.9, 20)
    measured, extrapolated = capsys.readouterr().out.splitlines()
    assert "measured, same picks" in measured
    assert "extrapolated from 20 timed steps" in extrapolated


def test_every_method_that_runs_no_network_is_timed(capsys):
    pruning.methods([(20, 30), (40, 5, 3, 3)])
    lines = capsys.readouterr().out.splitlines()
    assert "2,400 weights in 2 layers" in lines[1]
    assert [line.split()[0] for line in lines[3:]] == [name for name in METHODS if name != "rd_prune"]
