"""What a file declares takes no memory; what it holds does. Run apart, under a limit of the operating system."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from rdsearch.coding.arrays import encode_arrays, is_void
from rdsearch.coding.cells import Cells
from rdsearch.coding.container import read_sections, write_sections
from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.networkfile import LEVELS, LISTED, NetworkFile, decode_file, encode_file
from rdsearch.coding.progressive import Refinement
from rdsearch.coding.steps import BitWriter

ROOT = Path(__file__).parents[2]
LIMIT = 3 << 30
"""Bytes of address space: a third of what 2^31 levels of int32 would take, more than Python, NumPy and numba do."""
DECODE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
from pathlib import Path
from rdsearch.coding.networkfile import decode_file
from rdsearch.errors import FileFormatError
try:
    file = decode_file(Path(sys.argv[1]).read_bytes(), lambda name: None)
    print("read", file.layout.weight_count)
    file.state_dict()
except FileFormatError as error:
    print("refused:", error)
# Not getrusage's figure, which a process inherits from the one that started it.
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


def head(weights: int) -> bytes:
    bits = BitWriter()
    bits.put_steps([1.0] * weights)
    for _ in range(2):
        bits.put_flags((), weights)
    return bits.data()


def file_of(layout: Layout, weights: bytes) -> bytes:
    return write_sections([(LISTED, zlib.compress(layout.to_json(), 9)), (LEVELS, head(len(layout.entries)) + weights)])


def zeros_of(*shapes: tuple[int, ...]) -> bytes:
    layout = Layout(tuple(Entry("weight", f"w{index}", shape) for index, shape in enumerate(shapes)))
    return file_of(layout, encode_arrays([np.zeros(1, np.int32)] * len(shapes)))


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")


def layered_zeros_of(shape: tuple[int, ...]) -> bytes:
    def layout(shape: tuple[int, ...]) -> Layout:
        return Layout((Entry("weight", "w", shape),))

    tiny = NetworkFile(layout((1, 1)), {"w": (np.zeros((1, 1), np.int32), 1.0)}, {})
    sections = read_sections(encode_file(tiny, [Refinement([Cells(4, 4)], [8], 0, [])]))
    forged = zlib.compress(layout(shape).to_json(), 9)
    return write_sections([(kind, forged if kind == LISTED else payload) for kind, payload in sections])


def decoded_apart(data: bytes, tmp_path: Path) -> list[str]:
    path = tmp_path / "file.rdz"
    path.write_bytes(data)
    command = [sys.executable, "-c", DECODE, str(path), str(LIMIT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@linux
def test_a_tiny_file_that_declares_two_thousand_million_zeros_is_refused_without_memory(tmp_path: Path) -> None:
    data = zeros_of((2**15, 2**15), (2**10, 2**10, 2**5, 2**5))
    assert len(data) < 120
    refused, megabytes = decoded_apart(data, tmp_path)
    assert refused.startswith("refused: coded weights: 0 bytes cannot hold 1024 segments")
    assert int(megabytes) < 250


@linux
def test_a_tiny_layered_file_of_zeros_is_refused_without_memory(tmp_path: Path) -> None:
    refused, megabytes = decoded_apart(layered_zeros_of((2**15, 2**16)), tmp_path)
    assert refused.startswith("refused: coded weights: 0 bytes cannot hold 1024 segments")
    assert int(megabytes) < 250


@linux
@pytest.mark.parametrize("shape", [(2**12, 2**12), (2**24, 2)], ids=str)
def test_a_tensor_that_its_bytes_do_not_fill_takes_memory_only_for_what_they_hold(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    real = encode_arrays([np.round(3 * np.random.default_rng(0).laplace(size=(60, 60))).astype(np.int32)])
    *_, refused, megabytes = decoded_apart(file_of(Layout((Entry("weight", "w", shape),)), real), tmp_path)
    # So many weights are in segments, and have their index where these have none.
    assert refused.startswith("refused: coded weights: segments of ")
    assert int(megabytes) < 350


def test_zeros_without_memory_become_an_array_of_their_own_on_request() -> None:
    file = decode_file(zeros_of((30, 40)), lambda _: Layout(()))
    assert is_void(file.weights["w0"][0])
    values = file.state_dict()["w0"]
    values[3, 4] = 1.0
    assert values.shape == (30, 40)
    assert values.sum() == 1.0


@pytest.mark.parametrize("array", [np.array(0), np.array(3), np.zeros((1, 1), int), np.zeros((2, 2)), np.zeros((0, 2))])
def test_only_zeros_without_memory_are_void(array: np.ndarray) -> None:
    assert not is_void(array)


def test_a_constant_that_is_not_zero_is_not_void() -> None:
    assert not is_void(np.broadcast_to(np.int32(7), (3, 3)))
