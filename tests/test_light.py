"""Opening a file is light: what is imported for it, and what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rdsearch.coding.container import FIRST_LAYER, read_sections, write_sections
from rdsearch.coding.native import library
from rdsearch.coding.networkfile import decode_file, summarise
from rdsearch.coding.registered import LAYOUTS
from rdsearch.tasks import NETWORKS
from tests.coding.make_golden import LAYOUTS as GOLDEN_LAYOUTS
from tests.coding.test_arrays import GOLDEN, ROOT
from tests.compression.make_layouts import layouts

HEAVY = {"torch", "ray", "optuna", "sklearn", "pandas", "pyarrow", "scipy.linalg", "scipy._lib", "safetensors.torch"}
FILE = ROOT / "results" / "mnist_lenet5" / "front"


def imported(*arguments: str) -> set[str]:
    """Modules that a command leaves imported."""
    code = (
        "import sys; from rdsearch.cli import main\n"
        f"sys.argv = ['rdsearch', *{list(arguments)!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split("MODULES ")[1].split())


def test_info_imports_nothing_that_decodes_or_trains() -> None:
    file = min(FILE.glob("*.rdz"))
    found = imported("info", str(file))
    assert not found & {*HEAVY, "numba", "constriction", "scipy", "rdsearch.coding.stream"}
    assert len([name for name in found if "." not in name]) < 250


def test_decode_imports_nothing_that_trains(tmp_path: Path) -> None:
    for file in (min(FILE.glob("*.rdz")), GOLDEN / "layered.rdz"):
        found = imported("decode", str(file), "-o", str(tmp_path / "out.safetensors"))
        assert not found & HEAVY
        assert ("numba" in found) == ("rdsearch.coding.stream" in found) == (library() is None)


def test_stored_layouts_are_those_of_the_registered_networks() -> None:
    wanted = layouts()
    assert set(wanted) == set(NETWORKS)
    assert {path.stem: path.read_bytes() for path in LAYOUTS.glob("*")} == wanted


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.rdz")))
def test_a_summary_says_what_decoding_says(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    file, summary = decode_file(data, GOLDEN_LAYOUTS.__getitem__), summarise(data, GOLDEN_LAYOUTS.__getitem__)
    assert summary.layout == file.layout
    assert summary.steps == {name: step for name, (_, step) in file.weights.items()}
    assert summary.network_id == file.network_id
    assert list(summary.ordered) == list(file.ordered)
    assert (summary.refinement, summary.refinements) == (file.refinement, file.refinements)
    assert sum(summary.parts.values()) == len(data)


def test_a_summary_does_not_look_at_levels() -> None:
    """Half of them may be missing, if only the checksum is right."""
    data = (GOLDEN / "listed.rdz").read_bytes()
    sections = [(kind, payload[: len(payload) // 2] if kind == 2 else payload) for kind, payload in read_sections(data)]
    assert all(kind < FIRST_LAYER for kind, _ in sections)
    steps = summarise(write_sections(sections), GOLDEN_LAYOUTS.__getitem__).steps
    assert np.isfinite(list(steps.values())).all()
