"""Workers die, run out of memory or measure nonsense; nodes go; disks fill up; files are damaged."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import rdsearch
from rdsearch.errors import SearchError
from rdsearch.search.outcome.results import Results, read_results
from tests.search.paced import REHEARSED, ROUNDS, evaluations, paced_space, paced_task

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    folder = tmp_path / "faults"
    folder.mkdir()
    return folder


@contextlib.contextmanager
def importable() -> Iterator[None]:
    """Ray's workers find the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
        yield


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    """A Ray that the searches of this file share; a search alone would start its own."""
    from rdsearch.search.run.session import ray_session

    with importable(), ray_session(None):
        yield


def run(folder: Path, faults: Path, trials: int, seconds: float = 0.05, **space: Any) -> Results:
    quiet = Console(quiet=True)
    if folder.joinpath("config.yaml").exists():
        rdsearch.resume(folder, task=paced_task(seconds, faults), trials=trials, console=quiet)
    else:
        rdsearch.search(paced_space(trials, **space), task=paced_task(seconds, faults), out=folder, console=quiet)
    return read_results(folder)


def rounds(results: Results) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for point in results.points:
        found.setdefault(point.trial or 0, []).append(point.round)
    return found


ALL = list(range(1, ROUNDS + 1))


@pytest.mark.usefixtures("two_workers")
def test_a_killed_worker_costs_its_running_round_and_nothing_else(tmp_path: Path, faults: Path) -> None:
    (faults / "killed").write_text("1")
    results = run(tmp_path / "search", faults, 4)
    assert not (faults / "killed").exists()
    assert not results.failed
    assert rounds(results) == dict.fromkeys(range(4), ALL)
    assert evaluations(faults) == REHEARSED + 1 + len(results.points) + 1


@pytest.mark.usefixtures("two_workers")
def test_a_trial_that_fails_whatever_is_tried_ends_with_its_reason_and_the_search_goes_on(
    tmp_path: Path, faults: Path
) -> None:
    for name in ("killed", "memory error", "cpu out of memory", "gpu out of memory"):
        (faults / name).write_text("3")  # at the first attempt and at two more
    (faults / "nan").write_text("1")
    results = run(tmp_path / "search", faults, 7, concurrent=1)
    said = dict(sorted(results.failed.items()))
    assert list(said) == [0, 1, 2, 3, 4]
    assert said[0] == "its worker died again and again"
    assert said[1] == "the decoded network scores nan on the validation part; the score must be a number"
    assert said[2] == "MemoryError: no room for a tensor"
    assert "can't allocate memory" in said[3]
    assert said[4].endswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert rounds(results) == {5: ALL, 6: ALL}
    assert results.complete


@pytest.mark.usefixtures("two_workers")
def test_a_flipped_bit_costs_its_round_and_nothing_else(
    tmp_path: Path, faults: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "search"
    whole = run(folder, faults, 2)
    point = folder / "trials/00001/round_002/point.json"
    content = bytearray(point.read_bytes())
    content[content.index(b"size_bytes") + 14] ^= 1
    point.write_bytes(bytes(content))
    file = folder / "trials/00000/round_003/network.rdz"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    for copy in folder.glob("front/trial0000_round003*"):
        copy.write_bytes(b"cut off")
    rdsearch.resume(folder, task=paced_task(0.05, faults), trials=3, console=Console(width=1000))
    assert f"{point} is damaged" in capsys.readouterr().out
    results = read_results(folder)
    assert not [p for p in results.points if (p.trial, p.round) == (1, 2)]
    kept = {(p.trial, p.round): p.sha256 for p in results.points}
    assert all(kept.get((p.trial, p.round), p.sha256) == p.sha256 for p in whole.points)
    for member in results.front:
        assert member.path is not None
        assert hashlib.sha256(member.path.read_bytes()).hexdigest() == member.sha256


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.usefixtures("two_workers")
def test_a_full_disk_stops_the_search_and_loses_nothing(small_disk: Path, faults: Path) -> None:
    folder = small_disk / "search"
    with pytest.raises((SearchError, OSError), match="No space left on device"):
        run(folder, faults, 40)
    before = {path: path.read_bytes() for path in folder.glob("trials/*/round_*/[np]*")}
    assert before
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    target = len(list(folder.glob("trials/*"))) + 6
    results = run(folder, faults, target)
    assert not results.failed
    assert rounds(results) == dict.fromkeys(range(target), ALL)
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.usefixtures("two_workers")
def test_of_many_events_those_that_are_ready_are_shown_one_by_one_and_each_once() -> None:
    import ray

    from rdsearch.search.run.actors import ReadyEvents

    never = ray.remote(lambda: None).options(resources={"nowhere": 1})
    pending = [never.remote() for _ in range(5)]
    events, heard = ReadyEvents(), list[int]()
    assert events.get_futures() == set()
    for future in (*pending, *map(ray.put, range(20))):
        events.track_future(future, on_result=heard.append)
    for number in range(20):
        (future,) = events.get_futures()
        assert events.get_futures() == {future}, "until it is taken"
        if number % 2:
            events.discard_future(future)
        else:
            events.resolve_future(future)
    assert len(set(heard)) == len(heard) == 10
    assert events.get_futures() == set(pending), "Tune waits for any of them"
