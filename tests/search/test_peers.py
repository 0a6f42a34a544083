"""Other searchers in a recorded table are told what they need, and every round of theirs counts."""

from __future__ import annotations

import pytest

from benchmarks.curves import curve
from benchmarks.peers import PEERS
from benchmarks.recorded import open_table
from benchmarks.simulation import simulate


@pytest.mark.parametrize("name", [name for name in PEERS if name.startswith("Optuna") and "GP" not in name])
def test_a_peer_searches_and_repeats_itself(name: str) -> None:
    table = open_table("digits")

    def found() -> list[float]:
        steps = simulate(PEERS[name](table, 3), table, seconds=40.0)
        return curve(steps, table.baseline, table.file.search.constraints).hypervolume

    assert found() == found()
    assert found()[-1] > 0.4


def test_peers_are_told_the_constraint_and_a_round_that_keeps_it() -> None:
    table = open_table("digits")
    peer = PEERS["Optuna TPE"](table, 0)
    simulate(peer, table, seconds=40.0)
    told = [trial for trial in peer.study.get_trials() if trial.state.is_finished()]
    assert len(told) > 5
    for trial in told:
        drop = table.baseline.accuracy - trial.values[1]
        assert (trial.constraints["accuracy_drop"] <= 0) == (drop <= 0.1 + 1e-9)
        rounds = peer.rounds[trial.number]
        keep = [point for point in rounds if point.accuracy_drop <= 0.1 + 1e-9]
        assert trial.values[1] == (keep or rounds)[-1].val_accuracy
