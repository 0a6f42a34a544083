from __future__ import annotations

from pathlib import Path
from typing import Any

from rdsearch.points.front import Front
from rdsearch.search.outcome.results import Results
from rdsearch.search.store.folder import SearchFolder


def results(failed: dict[int, str], finished: int = 0, target: int = 3) -> Results:
    settings: dict[str, Any] = {"manifest": {"target": target}, "points": [], "constraints": {}}
    front = Front([], baseline_accuracy=0.9, baseline_size_bytes=100)
    return Results(SearchFolder(Path("s")), front=front, finished=finished, failed=failed, **settings)


def test_a_search_all_of_whose_trials_failed_has_the_commonest_reason() -> None:
    said = 'Traceback (most recent call last):\n  File "nets.py", line 3\nValueError: no mask\n'
    reason = results({0: said, 1: "lower the learning rate", 2: "ValueError: no mask"}).why_all_failed or ""
    assert reason.startswith("all 3 trials failed, 2 of them with: ValueError: no mask\n")


def test_one_that_goes_on_or_has_found_something_has_none() -> None:
    assert results({0: "x", 1: "x"}).why_all_failed is None
    assert results({0: "x", 1: "x"}, finished=1).why_all_failed is None
