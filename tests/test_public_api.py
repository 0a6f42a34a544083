"""The names that users may rely on, and what they cost to import."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import rdsearch

HEAVY = ("torch", "ray", "optuna", "sklearn", "pandas", "plotly", "matplotlib", "numba")


def imported_by(code: str) -> set[str]:
    listing = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(listing.stdout.splitlines()[-1].split())


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("code", "own", "others"),
    [
        ("import rdsearch", 1, 40),
        (
            "import sys; sys.argv = ['rdsearch', '--help']\nfrom rdsearch import cli\n"
            "try: cli.main()\nexcept SystemExit: pass",
            17,
            120,
        ),
    ],
)
def test_import_and_help_load_little_and_nothing_heavy(code: str, own: int, others: int) -> None:
    added = imported_by(code) - imported_by("")
    assert packages(added).isdisjoint(HEAVY)
    mine = {name for name in added if packages({name}) == {"rdsearch"}}
    assert len(mine) <= own, sorted(mine)
    assert len(added - mine) <= others, sorted(added - mine)


def test_checking_a_search_file_does_not_load_torch() -> None:
    code = "from rdsearch.config.searchfile import load_search_file\nfrom rdsearch.config.ready import find_space\n"
    assert packages(imported_by(code + "load_search_file(find_space('digits'))")).isdisjoint(HEAVY)


def test_compression_needs_neither_ray_nor_optuna() -> None:
    assert packages(imported_by("import rdsearch\nrdsearch.compress, rdsearch.load")).isdisjoint({"ray", "optuna"})


def test_import_and_help_take_less_than_700_milliseconds_of_the_processor() -> None:
    command = str(Path(sys.executable).with_name("rdsearch"))

    def used() -> float:
        told = resource.getrusage(resource.RUSAGE_CHILDREN)
        return told.ru_utime + told.ru_stime

    times = []
    for _ in range(5):
        before = used()
        subprocess.run([command, "--help"], capture_output=True, check=True)
        times.append(used() - before)
    # The least, as other processes share caches and cores.
    assert min(times) < 0.7


def test_every_public_name_is_there() -> None:
    for name in ("search", "resume", "load_front", "compress", "load", "Task", "coding"):
        assert name in dir(rdsearch)
        assert getattr(rdsearch, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        rdsearch.nothing_such  # noqa: B018


def test_search_stays_callable_after_its_package_is_imported() -> None:
    import rdsearch.search.api

    assert rdsearch.search is sys.modules["rdsearch.search"]
    assert callable(rdsearch.search)


def test_load_front_gives_points_with_files(finished: Path) -> None:
    front = rdsearch.load_front(finished)
    assert len(front) > 0
    assert [point.size_bytes for point in front] == sorted(point.size_bytes for point in front)
    assert all(point.path is not None and point.path.stat().st_size == point.size_bytes for point in front)
    assert list(front.to_pandas()["size_bytes"]) == [point.size_bytes for point in front]
    assert front.pick(max_drop=0.5).size_bytes == front[0].size_bytes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"space": "digits", "task": "lenet300"}, "task is a str: give a rdsearch.Task"),
        ({"space": "digits", "trials": "many"}, "'many' must be a whole number"),
        ({"space": "digits", "trials": 0}, "0 must be at least 1"),
        ({"space": "digits", "time": "soon"}, "'soon' is no duration"),
        ({"space": "nosuch"}, "is no file, and no ready search file either"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_its_folder_is_made(
    tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(rdsearch.RdsearchError, match=said):
        rdsearch.search(**arguments, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_search_with_a_task_of_ones_own_never_reads_its_test_split(tmp_path: Path) -> None:
    import numpy as np
    from torch import nn

    def forbidden() -> object:
        raise AssertionError("the test split was read")

    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(400, 12)).astype(np.float32)
    targets = (inputs[:, :4].sum(1) > 0).astype(np.int64)
    task = rdsearch.Task(
        network=nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2)),
        train=(inputs, targets),
        validation=100,
        test=forbidden,
        name="own",
    )
    space = {
        "recipe": {
            "pruning": {"rounds": 2, "rate": {"float": [0.2, 0.5]}},
            "retrain": {"epochs": 1, "lr": 0.01},
        },
        "search": {"trials": 3, "constraints": {}},
    }
    out = tmp_path / "own"
    front = rdsearch.search(space, task=task, out=out, console=Console(quiet=True))
    assert 1 <= len(front) <= 6
    assert front[0].path is not None
    network = rdsearch.load(front[0].path, into=task.fresh_network())
    assert task.score(network) == front[0].val_accuracy
    with pytest.raises(rdsearch.RdsearchError, match="as task="):
        rdsearch.resume(out, trials=4, console=Console(quiet=True))
    longer = rdsearch.resume(out, task=task, trials=4, console=Console(quiet=True))
    assert len(longer) >= 1


def test_test_split_of_ones_own_task_is_read_after_the_search(tmp_path: Path) -> None:
    import numpy as np
    from torch import nn

    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(300, 6)).astype(np.float32)
    targets = (inputs[:, 0] > 0).astype(np.int64)
    task = rdsearch.Task(
        network=nn.Linear(6, 2), train=(inputs, targets), validation=100, test=(inputs[:50], targets[:50]), name="own"
    )
    space = {"recipe": {"pruning": {"rounds": 2}, "retrain": {"lr": {"float": [0.01, 0.1]}}}}
    space["search"] = {"trials": 2, "constraints": {}}
    rdsearch.search(space, task=task, out=tmp_path / "own", console=Console(quiet=True))
    front = rdsearch.score_on_test(tmp_path / "own", task=task)
    for point in front:
        network = rdsearch.load(point.path or b"", into=task.fresh_network())
        assert task.score(network, split=task.test_split()) == point.test_accuracy
