"""Where the bytes of a file are: shares that add up to what the file spends on its tensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdsearch.coding.networkfile import part_sizes
from rdsearch.report.anatomy import VECTORS, anatomy

FILES = Path(__file__).parent.parent / "coding" / "golden"
RUN = Path(__file__).parent.parent.parent / "results" / "mnist_lenet300" / "front" / "trial0001_round001.rdz"


@pytest.mark.parametrize("path", [RUN, FILES / "listed.rdz", FILES / "layered.rdz"], ids=lambda path: path.name)
def test_the_parts_add_up_to_the_bytes_of_all_tensors(path: Path) -> None:
    sizes = part_sizes(path.read_bytes())
    spent = sum(size for name, size in sizes.items() if "weights" in name or VECTORS in name)
    parts = anatomy(path)
    assert spent > 0.3 * path.stat().st_size
    assert sum(part.bytes for part in parts) == pytest.approx(spent)


def test_the_largest_layer_takes_the_most_and_the_vectors_come_last() -> None:
    parts = anatomy(RUN)
    assert [part.name for part in parts] == ["fc1.weight", "fc2.weight", "fc3.weight", VECTORS]
    assert parts[0].bytes == max(part.bytes for part in parts)
    assert (parts[0].count, parts[0].survivors) == (235_200, 2_792)
    assert all(part.bytes > 0 for part in parts)


def test_a_file_that_is_damaged_or_gone_has_no_parts(tmp_path: Path) -> None:
    (tmp_path / "damaged.rdz").write_bytes(RUN.read_bytes()[:-40])
    assert anatomy(tmp_path / "damaged.rdz") == anatomy(tmp_path / "gone.rdz") == []
