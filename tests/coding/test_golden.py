"""Stored files and payloads decode to what they were made of, here and in other surroundings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rdsearch.coding.layout import Layout
from rdsearch.coding.networkfile import decode_file, part_sizes
from tests.coding.make_golden import LAYOUTS, files
from tests.coding.test_arrays import DECODE_GOLDEN, GOLDEN, ROOT

FILES = sorted(path.stem for path in GOLDEN.glob("*.rdz.npz"))
OTHER_NUMPY = "2.1.3"


def layout_of(network_id: str) -> Layout:
    return LAYOUTS[network_id]


def golden(name: str) -> tuple[bytes, dict[str, np.ndarray]]:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        return (GOLDEN / name).read_bytes(), {key: stored[key] for key in stored.files}


@pytest.mark.parametrize("name", FILES)
def test_golden_files_decode_to_what_they_were_made_of(name: str) -> None:
    data, wanted = golden(name)
    state = decode_file(data, layout_of).state_dict()
    assert list(state) == list(wanted)
    for key, array in wanted.items():
        assert state[key].dtype == array.dtype
        np.testing.assert_array_equal(state[key], array)
    assert sum(part_sizes(data).values()) == len(data)


def test_golden_files_are_those_that_the_script_makes() -> None:
    made = files()
    assert {f"{name}.rdz" for name in made} == set(FILES)
    for name, data in made.items():
        # Not the bytes: builds of zlib differ in what they write.
        state = decode_file(data, layout_of).state_dict()
        assert all(np.array_equal(state[key], array) for key, array in golden(f"{name}.rdz")[1].items())


def test_golden_payloads_decode_under_another_numpy(tmp_path: Path) -> None:
    """In an environment of its own, which holds what decoding needs: NumPy, numba and constriction."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--retries", "0", "--timeout", "15"]
    packages = [f"numpy=={OTHER_NUMPY}", "numba", "constriction"]
    installed = subprocess.run([*install, *packages], capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"no package index gives NumPy {OTHER_NUMPY}: {installed.stderr.strip().splitlines()[-1]}")
    assert np.__version__ != OTHER_NUMPY
    done = subprocess.run(
        [str(python), "-c", "import numpy; print(numpy.__version__)" + DECODE_GOLDEN, str(GOLDEN)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "numba")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [OTHER_NUMPY, "same"]
