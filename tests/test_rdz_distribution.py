"""The small distribution: a wheel of the codec alone, in an environment that holds what decoding needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from rdsearch import __version__
from tests.coding.test_arrays import DECODE_GOLDEN, GOLDEN, ROOT
from tests.coding.test_c_decoder import COMPILER

LOAD = """
import sys, numpy as np, rdz
with np.load(sys.argv[2]) as stored:
    wanted = {name: stored[name] for name in stored.files}
state = rdz.load(sys.argv[1])
assert list(state) == list(wanted)
assert all(np.array_equal(state[name], array) for name, array in wanted.items())
assert len(rdz.load(sys.argv[3])) == 8
assert list(rdz.load_tensors(sys.argv[3], ["conv1.weight"])) == ["conv1.weight"]
heavy = {"numba", "constriction"} if sys.argv[4] == "C" else set()
foreign = (heavy | {"torch", "ray", "optuna", "pydantic", "click", "rich", "rdsearch", "scipy"}) & set(sys.modules)
assert not foreign, foreign
print("same")
"""
KERNELS = ["numba", *(["C"] if COMPILER else [])]
OTHER_NUMPY = "2.1.3"
REGISTERED = min((ROOT / "results" / "mnist_lenet5" / "front").glob("*.rdz"))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("rdz")
    run = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "0", "--timeout", "15"]
    wheel = [*run, "wheel", "--quiet", "--no-deps", "-w", str(home), str(ROOT / "packaging" / "rdz")]
    built = subprocess.run(wheel, capture_output=True, text=True, check=False)
    if built.returncode and "hatchling" in built.stderr:
        pytest.skip("no package index gives hatchling")
    assert built.returncode == 0, built.stderr
    subprocess.run([sys.executable, "-m", "venv", str(home / "environment")], check=True, capture_output=True)
    found = home / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [str(found), *run[1:], "install", "--quiet", f"numpy=={OTHER_NUMPY}", *map(str, home.glob("*.whl"))]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"no package index gives what it needs: {installed.stderr.strip().splitlines()[-1]}")
    return found


def ran(python: Path, *arguments: str | Path, status: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["NUMBA_CACHE_DIR"] = str(python.parents[2] / "numba")
    done = subprocess.run(
        [python, *arguments], capture_output=True, text=True, check=False, cwd=python.parent, env=environment
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_it_loads_files_with_numpy_numba_and_constriction_alone(python: Path) -> None:
    file = GOLDEN / "listed.rdz"
    assert ran(python, "-c", LOAD, file, f"{file}.npz", REGISTERED, KERNELS[-1]).split() == ["same"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_golden_payloads_decode_under_another_numpy(python: Path, kernel: str) -> None:
    assert np.__version__ != OTHER_NUMPY
    code = "import numpy; print(numpy.__version__)" + DECODE_GOLDEN.replace("rdsearch", "rdz")
    assert ran(python, "-c", code, GOLDEN, kernel).split() == [OTHER_NUMPY, "same"]


def test_its_commands(python: Path, tmp_path: Path) -> None:
    file, out = GOLDEN / "layered.rdz", tmp_path / "out.npz"
    assert "quality layers: 3 of 3" in ran(python, "-m", "rdz", "info", file)
    assert "network: lenet5_caffe" in ran(python, "-m", "rdz", "info", REGISTERED)
    ran(python, "-m", "rdz", "decode", file, "-o", out)
    with np.load(out) as found, np.load(GOLDEN / "layered_3.npz") as wanted:
        assert found.files == wanted.files
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted.files)
    assert "not known here" in ran(python, "-m", "rdz", "info", GOLDEN / "registered.rdz", status=2)


def test_its_version_is_that_of_rdsearch() -> None:
    project = tomllib.loads((ROOT / "packaging" / "rdz" / "pyproject.toml").read_text())["project"]
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert set(project["dependencies"]) <= set(whole["dependencies"])
