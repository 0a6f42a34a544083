"""A search on a Ray cluster of several hosts, which are cut off, lost, or come late: it ends exact."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from rdsearch.search.outcome.results import read_results
from rdsearch.search.store.rounds import Outcome
from tests.search.hosts import MISSING, TAP_MISSING, Hosts, hosts

ROOT = Path(__file__).parents[2]
TRIALS, ROUNDS = 12, 3
COMMAND = [sys.executable, "-c", "from rdsearch.cli import main; main()"]
SPACE = {
    "task": {"network": "slow_task:network", "dataset": "slow_task:data", "train": {"epochs": 0}},
    "recipe": {
        "pruning": {"method": {"choice": ["global", "uniform"]}, "rounds": ROUNDS, "rate": {"float": [0.1, 0.6]}},
        "retrain": {"epochs": 0},
        "quantization": {"method": "uniform", "step": {"float": [0.1, 1.0], "log": True}},
    },
    # Without patience every trial does all of its rounds, however bad it becomes.
    "search": {"trials": TRIALS, "seed": 1, "patience": None},
}
# Validation data whose reading takes a second, so that there is time for accidents.
TASK = """
import os
import time
from pathlib import Path

import numpy as np
import ray
import torch
from torch import nn

def network():
    return nn.Linear(8, 4)

class Slow(torch.utils.data.Dataset):
    def __init__(self, count, seconds):
        rng = np.random.default_rng(count)
        self.targets = rng.integers(0, 4, count)
        self.inputs = (rng.normal(size=(count, 8)) + 2 * np.eye(4, 8)[self.targets]).astype(np.float32)
        self.seconds = seconds / count
    def __len__(self):
        return len(self.targets)
    def __getitem__(self, index):
        if ray.is_initialized():
            Path(os.environ["RAY_TMPDIR"], f"worked at {ray.util.get_node_ip_address()}").touch()
        time.sleep(self.seconds)
        return torch.from_numpy(self.inputs[index]), int(self.targets[index])

def data():
    return {"train": Slow(240, 0.0), "validation": Slow(60, 1.0), "test": Slow(50, 0.0)}
"""
SLOW = pytest.mark.skipif("RDSEARCH_SLOW_TESTS" not in os.environ, reason="minutes; RDSEARCH_SLOW_TESTS=1 runs it")

pytestmark = [
    pytest.mark.skipif(MISSING, reason="needs network namespaces, and root to make them"),
    pytest.mark.timeout(900),
]


class Cluster:
    """A head without trials on host 1, and workers on others."""

    def __init__(self, network: Hosts, folder: Path) -> None:
        self.network = network
        self.out = folder / "out"
        self._folder = folder
        inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        self._environment = {
            **inherited,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{folder}",
            "RAY_TMPDIR": str(folder),
            "RAY_AUTH_MODE": "disabled",
        }

    def start_head(self) -> None:
        self._ray(1, "--head", "--port=6379", "--num-cpus=0", "--include-dashboard=false")

        wait_until(lambda: self.network.answers(1, 6379), "the head")

    def start_worker(self, number: int) -> None:
        self._ray(number, f"--address={self.network.address(1)}:6379", "--num-cpus=1")

    def _ray(self, number: int, *options: str) -> None:
        with (self._folder / f"ray{number}.log").open("ab") as log:
            self.network.start(
                number,
                ["ray", "start", f"--node-ip-address={self.network.address(number)}", "--block", *options],
                self._environment,
                stdout=log,
                stderr=log,
            )

    def drive(self, *words: str) -> subprocess.Popen[str]:
        address = f"{self.network.address(1)}:6379"
        return self.network.start(
            1,
            [*COMMAND, *words, "--address", address],
            self._environment,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def worked(self) -> set[int]:
        """The hosts that have computed something."""
        return {int(path.name.rpartition(".")[2]) for path in self._folder.glob("worked at *")}

    def stored(self) -> int:
        return len(list((self.out / "trials").glob("*/round_*/point.json")))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    # Not pytest's own folder: Ray's sockets must have paths of less than 108 characters.
    folder = Path(tempfile.mkdtemp(prefix="hosts-", dir="/tmp"))
    (folder / "slow_task.py").write_text(TASK)
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    try:
        with hosts(4) as network:
            yield Cluster(network, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(done: Callable[[], bool], what: str, seconds: float = 500) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def finished(driver: subprocess.Popen[str], seconds: float = 600) -> str:
    output, _ = driver.communicate(timeout=seconds)
    assert driver.returncode == 0, output
    return output


def assert_exact(out: Path) -> None:
    """Every trial is complete, and every round was stored once."""
    results = read_results(out)
    assert [results.folder.store.outcome(trial) for trial in range(TRIALS)] == [Outcome("complete")] * TRIALS
    assert results.finished == TRIALS
    rounds = [(point.trial, point.round) for point in results.points]
    assert len(rounds) == len(set(rounds)) == TRIALS * ROUNDS


def begin(cluster: Cluster, *workers: int) -> subprocess.Popen[str]:
    cluster.start_head()
    for worker in workers:
        cluster.start_worker(worker)
    driver = cluster.drive("search", "space.yaml", "--out", str(cluster.out))
    wait_until(lambda: cluster.stored() >= 2 or driver.poll() is not None, "the first rounds")
    assert driver.poll() is None, driver.communicate()
    return driver


@SLOW
def test_a_node_that_comes_late_one_that_is_cut_off_for_a_while_and_one_that_is_lost(cluster: Cluster) -> None:
    driver = begin(cluster, 2, 3)
    cluster.start_worker(4)
    cluster.network.cut(2)
    time.sleep(20)
    cluster.network.join(2)
    cluster.network.kill(3)
    finished(driver)
    assert_exact(cluster.out)
    assert 4 in cluster.worked(), "the late one as well"


def test_a_head_that_is_lost_ends_the_search_with_the_command_that_goes_on(cluster: Cluster) -> None:
    driver = begin(cluster, 2)
    cluster.network.kill(1, spare=driver)
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode != 0
    assert "rdsearch resume" in output, output
    cluster.network.kill(2)
    cluster.start_head()
    cluster.start_worker(2)
    finished(cluster.drive("resume", str(cluster.out)))
    assert_exact(cluster.out)


@SLOW
@pytest.mark.parametrize("seconds", [90, None])
def test_a_node_that_is_cut_off_for_longer_or_for_good(cluster: Cluster, seconds: int | None) -> None:
    driver = begin(cluster, 2, 3)
    cluster.network.cut(3)
    if seconds is not None:
        time.sleep(seconds)
        cluster.network.join(3)
    finished(driver)
    assert_exact(cluster.out)


needs_tap = pytest.mark.skipif(TAP_MISSING, reason="needs /dev/net/tun")


@needs_tap
def test_the_slow_cable_delays_and_loses_packets() -> None:
    with hosts(2) as network:
        assert len(network.round_trips(1, 2, 3)) == 3
        network.slow(2, 20, 0.2)
        times = network.round_trips(1, 2, 30)
    # A share of 0.8 squared comes back: 19 of 30, give or take 8 in a thousand cases but three.
    assert 8 < len(times) < 30
    assert np.median(times) >= 24, "at the least 12 ms each way"


@SLOW
@needs_tap
def test_a_slow_network_that_loses_packets(cluster: Cluster) -> None:
    for number in (2, 3):
        cluster.network.slow(number, 50, 0.015)
    finished(begin(cluster, 2, 3))
    assert_exact(cluster.out)
