"""What the benchmarks of the codec take out of its source, and read in its files, is there."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import codec
from benchmarks.codec_speed import by_numba, times
from benchmarks.progressive import bytes_for
from rdsearch.coding import native
from rdsearch.coding.networkfile import part_sizes
from tests.coding.test_arrays import GOLDEN


@pytest.mark.parametrize(("part", "edits"), codec.ablations().items())
def test_each_part_can_be_taken_out_of_the_source(part: str, edits: dict[str, dict[str, str]]) -> None:
    for module, changes in edits.items():
        source = (codec.MODEL / f"{module}.py").read_text()
        changed = codec.edited(source, changes)
        compile(changed, part, "exec")
        assert len(changed.splitlines()) == len(source.splitlines())
        assert sum(a != b for a, b in zip(source.splitlines(), changed.splitlines(), strict=True)) == len(changes)


def test_a_variant_is_a_copy_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    made = codec.variant(tmp_path, "taken_apart", {"kernels": {"slots[2] = half_row": "0"}})
    assert made.code_tensor is not codec.kernels.code_tensor
    assert made.code_mixed is sys.modules["taken_apart.mixing"].code_mixed


def test_levels_are_those_of_a_file() -> None:
    file = min(Path(codec.__file__).parents[1].glob("results/digits_bytes/front/*.rdz"))
    tensors = codec.stored_levels(file)
    assert len(codec.encode_arrays(tensors)) < file.stat().st_size
    assert all(tensor.dtype == np.int32 and tensor.ndim > 1 for tensor in tensors)


def test_layers_are_weights_and_biases() -> None:
    data = (GOLDEN / "layered.rdz").read_bytes()
    layers = sum(size for part, size in part_sizes(data).items() if part.startswith("layer "))
    weights, biases = bytes_for("weights", data), bytes_for("biases and normalisation", data)
    assert weights + biases == layers
    assert min(weights, biases) > 0


def test_both_decoders_are_timed() -> None:
    found = native.library
    with by_numba():
        assert native.library() is None
    assert native.library is found
    assert min(times([np.eye(40, dtype=np.int32)], repeats=1)) > 0
