from __future__ import annotations

from tests.coding.fuzz import DAMAGE, FORGERY, RARE, fuzz


def test_mutated_files_are_refused_or_give_a_network() -> None:
    outcome = fuzz(1500, seed=7)
    assert not outcome.faults
    often = {mutation.__name__ for mutation in (*DAMAGE, *FORGERY) if mutation not in RARE}
    assert often <= {name for name, _ in outcome.counts}
    assert outcome.slowest[0] < 20
    refused = sum(count for (_, result), count in outcome.counts.items() if result == "refused")
    another = sum(count for (_, result), count in outcome.counts.items() if result == "another network")
    assert refused > 800
    assert another > 50
