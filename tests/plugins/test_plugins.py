"""Parts of other packages: found by entry points, tried out, refused where names clash, and used by a search."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdsearch.compression.loading import decode
from rdsearch.config.searchfile import SAMPLERS
from rdsearch.errors import PluginError, TaskError
from rdsearch.plugins import check_plugins
from rdsearch.pruning import METHODS
from rdsearch.search.outcome.results import read_results
from rdsearch.tasks import NETWORKS
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.networks.identity import build_network
from rdsearch.tasks.settings import TaskConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")

Install = Callable[..., Path]


def block(file: str) -> str:
    """A file that the page has its reader write."""
    found = re.search(rf"<!-- file: {re.escape(file)} -->\n```\w+\n(.*?)```", PAGE, re.S)
    assert found is not None
    return found[1]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package where Python finds it, as an installation does."""

    def make(name: str, points: dict[str, dict[str, str]], **modules: str) -> Path:
        folder = tmp_path / "packages" / name
        described = folder / f"{name}-0.1.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in named.items()) for group, named in points.items()]
        (described / "entry_points.txt").write_text("\n".join(lines))
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(folder)
        return folder

    return make


@pytest.fixture
def tinyparts(install: Install, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the page on extending."""
    monkeypatch.delitem(sys.modules, "tinyparts", raising=False)
    points: dict[str, dict[str, str]] = tomllib.loads(block("pyproject.toml"))["project"]["entry-points"]
    return install("tinyparts", points, tinyparts=block("tinyparts.py"))


def test_the_package_of_the_page_passes_the_tests_of_its_parts(tinyparts: Path) -> None:
    assert check_plugins("tinyparts") == []
    assert "even" in METHODS
    assert "even" in list(METHODS)
    assert METHODS.check("even") == "even"
    with pytest.raises(PluginError, match=r"no installed package 'others' adds anything: .*rdsearch\.samplers"):
        check_plugins("others")


def test_a_search_uses_all_parts_also_in_its_workers_and_its_files_need_no_package(
    tinyparts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parts.yaml").write_text(block("parts.yaml"))
    path = os.pathsep.join([str(tinyparts), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", "from rdsearch.cli import main; main()", "search", "parts.yaml", "--quiet"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "results" / "parts")
    assert results.manifest["versions"]["tinyparts"] == "0.1"
    assert "even" in {point.parameters["pruning.method"] for point in results.points}
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tinyparts)])
    assert "tiny" not in NETWORKS
    file = results.front[0].path
    assert file is not None
    assert decode(file).state_dict()["0.weight"].shape == (24, 64)


def test_a_file_cannot_have_a_network_of_another_package_made(tinyparts: Path) -> None:
    assert load_task(TaskConfig(network="tiny", dataset="scans")).network_id is None
    with pytest.raises(TaskError, match="tiny is a network of another package, which files do not name"):
        build_network("tiny?width=1000000")


def test_a_name_that_is_taken_is_refused_and_both_packages_are_named(install: Install) -> None:
    install("one", {"rdsearch.pruning": {"lamp": "one:make", "mine": "one:make"}})
    install("other", {"rdsearch.pruning": {"mine": "other:make"}, "rdsearch.samplers": {"mine": "other:make"}})
    with pytest.raises(PluginError, match=r"'mine' is claimed by one 0\.1 and other 0\.1: uninstall one, or rename"):
        METHODS.check("mine")
    with pytest.raises(PluginError, match=r"'lamp' is claimed by rdsearch itself and one 0\.1"):
        METHODS.check("lamp")
    assert METHODS.check("global") == "global"
    assert SAMPLERS.check("mine") == "mine"
    assert any("claimed by" in problem for problem in check_plugins("one"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('broken')", "cannot be imported from bad:make: RuntimeError: broken"),
        ("other = 1", "cannot be imported from bad:make: AttributeError"),
        ("make = 3", "bad:make is a int: a function is needed"),
    ],
)
def test_a_package_that_does_not_work_is_named(
    install: Install, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    install("bad", {"rdsearch.pruning": {"mine": "bad:make"}}, bad=text)
    with pytest.raises(PluginError) as error:
        METHODS.load("mine")
    assert str(error.value).startswith("the pruning method 'mine' of the package bad 0.1")
    assert said in str(error.value)


def test_nothing_is_looked_for_on_import_or_for_help() -> None:
    code = (
        "import sys, importlib.metadata as metadata\n"
        "def forbidden(**options): raise SystemExit('looked for')\n"
        "metadata.entry_points = forbidden\n"
        "import rdsearch.cli, rdsearch.base.registry, rdsearch.tasks, rdsearch.pruning\n"
        "sys.argv = ['rdsearch', '--help']\n"
        "rdsearch.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "Usage" in done.stdout, done.stderr
    assert "looked for" not in done.stderr


def wrong_parts() -> list[Any]:
    """Functions with one mistake each, the test that has to find it, and what it says."""
    from rdsearch.plugins import (
        Choice,
        Quantized,
        check_dataset,
        check_network,
        check_pruning_method,
        check_quantization_method,
        check_sampler,
        finish,
        quantize_uniform,
    )

    def one_too_many(work: Any) -> Any:
        return lambda survivors: Choice([*work.layers.floors[:-1], survivors], work.layers.magnitudes)

    def drawn(work: Any) -> Any:
        import numpy as np

        generator = np.random.default_rng()
        return lambda survivors: Choice(work.layers.floors, [generator.random(size) for size in work.layers.sizes])

    def revived(work: Any) -> Any:
        levels = {
            name: Quantized(found.levels + 1, found.step)
            for name, weight in work.weights().items()
            for found in [quantize_uniform(weight, work.steps[name])]
        }
        finish(work, levels)
        return levels

    def not_left(work: Any) -> Any:
        return {name: quantize_uniform(weight, work.steps[name]) for name, weight in work.weights().items()}

    def forgetful(search: Any) -> Any:
        import optuna

        return optuna.samplers.RandomSampler(seed=search.config.seed)

    def noise() -> Any:
        import numpy as np

        return {"train": (np.random.default_rng().random((20, 3)), np.arange(20) % 2)}

    return [
        (check_pruning_method, one_too_many, "its counts sum to"),
        (check_pruning_method, drawn, "its scores differ from one call to the next: draw by work.generator()"),
        (check_quantization_method, revived, "pruned weights get values again"),
        (check_quantization_method, not_left, "work.coarse does not hold the decoded weights"),
        (check_sampler, forgetful, "is another one after an interruption"),
        (check_dataset, noise, "its training data differs from one call to the next"),
        (check_network, dict, "it returns a dict: an nn.Module is needed"),
        (check_pruning_method, lambda work: 1 / 0, "it raises ZeroDivisionError"),
    ]


@pytest.mark.parametrize(("check", "part", "said"), wrong_parts())
def test_the_tests_find_what_a_part_does_wrong(check: Any, part: Any, said: str) -> None:
    assert any(said in problem for problem in check(part))
