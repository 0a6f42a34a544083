"""Every end of a run that can still speak: the front, one sentence, and the command that goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from rdsearch.config.yamlfile import read_yaml
from tests.search.driven import PATIENCE, Search

pytestmark = pytest.mark.timeout(2400)


def processes_of_ray(driver: subprocess.Popen[bytes], name: str) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-f", f"/{name} .*rdsearch-ray-{driver.pid}-"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_ray_that_is_killed_ends_the_run_with_front_sentence_and_command(search: Search, name: str) -> None:
    with search.driver(40) as process:
        search.wait_for_rounds(3, process)
        stored = search.rounds()
        (victim,) = processes_of_ray(process, name)
        os.kill(victim, signal.SIGKILL)
        assert process.wait(timeout=PATIENCE) == 1, search.log
    assert "has ended (where memory runs out, it may be killed)" in search.log
    assert f"go on with `rdsearch resume {search.folder}`" in search.log
    assert "Traceback" not in search.log
    assert (search.folder / "front.csv").read_text().count("\n") > 1
    assert stored.items() <= search.rounds().items()


def test_trials_whose_workers_are_killed_for_memory_are_tried_again_alone_and_then_fail(search: Search) -> None:
    # The memory monitor finds that more than a thousandth is used, and kills every worker.
    starved = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "50"}
    with search.driver(2, starved) as process:
        assert process.wait(timeout=PATIENCE) in (0, 1), search.log
    assert "Traceback" not in search.log
    assert "killed for memory: tried again, one at a time" in search.log
    outcomes = [json.loads(path.read_text()) for path in sorted(search.folder.glob("trials/*/outcome.json"))]
    assert [outcome["state"] for outcome in outcomes] == ["failed", "failed"]
    for outcome in outcomes:
        assert outcome["message"] == "its worker was killed since the machine's memory ran out"
    assert (search.folder / "front.csv").exists()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_before_the_first_trial_leaves_a_search_that_goes_on(search: Search, number: signal.Signals) -> None:
    with search.driver(7) as process:
        search.wait_for_lock(process)
        deadline = time.monotonic() + PATIENCE
        while read_yaml(search.folder / "config.yaml")["search"]["trials"] != 7:
            assert time.monotonic() < deadline
        os.kill(process.pid, number)
        assert process.wait(timeout=PATIENCE) == 0, search.log
    assert f"interrupted; go on with `rdsearch resume {search.folder}`" in search.log
    assert "Traceback" not in search.log
    assert not list(search.folder.glob("trials/*/round_*"))
