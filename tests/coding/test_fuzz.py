from __future__ import annotations

from tests.coding.fuzz import DAMAGE, FORGERY, fuzz


def test_mutated_files_are_refused_or_give_a_network() -> None:
    outcome = fuzz(1500, seed=7)
    assert not outcome.faults
    assert {name for name, _ in outcome.counts} == {mutation.__name__ for mutation in (*DAMAGE, *FORGERY)}
    assert outcome.slowest[0] < 20
    refused = sum(count for (_, result), count in outcome.counts.items() if result == "refused")
    another = sum(count for (_, result), count in outcome.counts.items() if result == "another network")
    assert refused > 800
    assert another > 50
