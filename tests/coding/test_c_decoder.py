"""The decoder in C reads what Python reads: the format is its description."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import numpy as np
import pytest

from rdsearch.coding.arrays import encode_arrays
from rdsearch.coding.cells import Cells
from rdsearch.coding.container import read_sections, write_sections
from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.networkfile import RECIPE, NetworkFile, decode_file, encode_file, prefix_ends
from rdsearch.coding.progressive import Refinement
from rdsearch.coding.segments import LARGEST_ALONE, decode_tensors
from rdsearch.errors import FileFormatError
from tests.coding import fuzz
from tests.coding.make_golden import LAYOUTS, cases, no_network
from tests.coding.test_arrays import GOLDEN, ROOT
from tests.coding.test_golden import FILES, golden

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed")
LIMIT = 1 << 20
"""Bytes of tensors that the program of the fuzz takes; see rdz_many.c."""
OK, FOREIGN, DAMAGED, UNKNOWN_LAYOUT, TOO_LARGE, _ = range(6)


def build(home: Path, name: str, *options: str) -> Path:
    program = home / name
    flags = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{ROOT / 'decoder'}"]
    source = str(ROOT / "decoder" / "rdz.c")
    command = [str(COMPILER), *flags, *options, "-o", str(program), source, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def sanitizers(home: Path) -> list[str]:
    """The options for them, where the compiler has them."""
    options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    (home / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [str(COMPILER), *options, "-o", str(home / "empty"), str(home / "empty.c")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("the compiler has no sanitizers")
    return options


@pytest.fixture(scope="module")
def rdz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("decoder"), "rdz", "-O2")


def values_of(rdz: Path, out: Path, *arguments: str | Path) -> dict[str, np.ndarray]:
    """What the program writes, by name; by number for a bare payload."""
    first, file, *more = arguments if arguments[0] == "--payload" else ("", *arguments)
    command = [str(part) for part in (rdz, first, file, out, *more) if part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data, at, found = out.read_bytes(), 0, {}
    for number, line in enumerate(done.stdout.splitlines()):
        kind, shape, *name = line.split(" ", 2)
        sizes = [] if shape == "-" else [int(size) for size in shape.split("x")]
        array = np.frombuffer(data, kind, int(np.prod(sizes)), at).reshape(sizes)
        at += array.nbytes
        found[name[0] if name else str(number)] = array
    assert at == len(data)
    return found


def payload_of(rdz: Path, home: Path, payload: bytes, arrays: list[np.ndarray]) -> list[np.ndarray]:
    (home / "payload").write_bytes(payload)
    shapes = ["x".join(map(str, array.shape)) or "-" for array in arrays]
    return list(values_of(rdz, home / "out", "--payload", home / "payload", *shapes).values())


@pytest.mark.parametrize("name", FILES)
def test_golden_files(rdz: Path, tmp_path: Path, name: str) -> None:
    layout = tmp_path / "layout.json"
    layout.write_bytes(LAYOUTS["golden"].to_json())
    wanted = golden(name)[1]
    found = values_of(rdz, tmp_path / "out", GOLDEN / name, layout)
    assert list(found) == list(wanted)
    for key, array in wanted.items():
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)


def test_every_prefix_of_a_golden_file_in_quality_layers(rdz: Path, tmp_path: Path) -> None:
    data = (GOLDEN / "layered.rdz").read_bytes()
    for number, end in enumerate(prefix_ends(data), 1):
        (tmp_path / "prefix").write_bytes(data[:end])
        found = values_of(rdz, tmp_path / "out", tmp_path / "prefix")
        with np.load(GOLDEN / f"layered_{number}.npz") as wanted:
            assert list(found) == list(wanted)
            for key in wanted:
                assert found[key].dtype == wanted[key].dtype
                np.testing.assert_array_equal(found[key], wanted[key])


@pytest.mark.parametrize("scale", [0.3, 40.0, 3e6])
def test_quality_layers_of_every_form(rdz: Path, tmp_path: Path, scale: float) -> None:
    random = np.random.default_rng(int(scale))
    shapes = {"conv": (7, 5, 3, 3), "wide": (4, 1, 5, 6), "matrix": (20, 31), "one": (1, 1), "none": (0, 3)}
    weights = {
        name: (np.round(scale * random.laplace(size=shape)).astype(np.int32), 0.5) for name, shape in shapes.items()
    }
    bias = np.round(500 * random.laplace(size=20)).astype(np.int32)
    chain = [Cells(61, 32), Cells(29, 32), Cells(29, 8), Cells(5, 8)]
    coarser = [
        Refinement([cells] * len(shapes), [cells.width * 3] * len(shapes), shift, [bias >> shift])
        for cells, shift in zip(chain, (9, 4, 4, 0), strict=True)
    ]
    entries = [Entry("weight", name, shape) for name, shape in shapes.items()]
    layout = Layout((*entries, Entry("vector", "bias", (20,))))
    data = encode_file(NetworkFile(layout, weights, {"bias": (bias, 0.25)}), coarser)
    for end in prefix_ends(data):
        (tmp_path / "prefix").write_bytes(data[:end])
        found = values_of(rdz, tmp_path / "out", tmp_path / "prefix")
        for name, wanted in decode_file(data[:end], no_network).state_dict().items():
            np.testing.assert_array_equal(found[name], wanted)


@pytest.mark.parametrize("name", cases())
def test_golden_payloads(rdz: Path, tmp_path: Path, name: str) -> None:
    arrays = cases()[name]
    found = payload_of(rdz, tmp_path, (GOLDEN / f"arrays_{name}.bin").read_bytes(), arrays)
    for wanted, array in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("seed", range(6))
def test_tensors_of_every_form(rdz: Path, tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = []
    for _ in range(12):
        shape = tuple(random.integers(1, 14, random.integers(0, 6)))
        scale = 10.0 ** random.uniform(-1.5, 6)
        rows = random.lognormal(0, 1, (*shape[:1], *(1,) * (len(shape) - 1)))
        array = np.round(scale * random.laplace(size=shape) * rows)
        array = np.asarray(np.clip(array, -(2**31), 2**31 - 1).astype(np.int32))
        if array.ndim > 1:
            array[random.random(array.shape) < random.random()] = 0
            array[int(random.integers(1, len(array) + 1)) :] = 0
        arrays.append(array)
    image = np.round(3 * np.sin(np.arange(140) * 2 * np.pi / 28) + random.normal(size=(50, 140)))
    arrays.append(image.astype(np.int32))
    for wanted, array in zip(arrays, payload_of(rdz, tmp_path, encode_arrays(arrays), arrays), strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_segments(rdz: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)

    def sparse(*shape: int) -> np.ndarray:
        array = np.zeros(shape, np.int32)
        array.reshape(-1)[random.integers(0, array.size, 300)] = random.integers(-9, 9, 300)
        return array

    arrays = [sparse(70), sparse(3000, 1000), sparse(9, 3), np.zeros((2, 1 << 21), np.int32), sparse(40, 30, 3, 3)]
    found = payload_of(rdz, tmp_path, encode_arrays(arrays), arrays)
    for wanted, array in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_a_vector_that_is_a_segment_alone(rdz: Path, tmp_path: Path) -> None:
    array = np.zeros(LARGEST_ALONE + 1, np.int32)
    array[::99_991] = 5
    payload = encode_arrays([array])
    np.testing.assert_array_equal(decode_tensors(payload, [array.shape])[0], array)
    np.testing.assert_array_equal(payload_of(rdz, tmp_path, payload, [array])[0], array)


def test_files_that_it_does_not_read_are_refused_in_a_sentence(rdz: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(fuzz.LAYOUT.to_json())
    for status, words, arguments in (
        (FOREIGN, "not a .rdz file", [ROOT / "decoder" / "rdz.c"]),
        (UNKNOWN_LAYOUT, "registered network", [GOLDEN / "registered.rdz"]),
        (UNKNOWN_LAYOUT, "registered network", [GOLDEN / "registered.rdz", other]),
    ):
        file, *more = map(str, arguments)
        done = subprocess.run([rdz, file, tmp_path / "out", *more], capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert words in done.stderr
    assert not (tmp_path / "out").exists()


def mutants(count: int, seed: int) -> list[bytes]:
    random = Random(seed)
    kinds = [*fuzz.DAMAGE, *fuzz.FORGERY, *[fuzz.forged_payload, fuzz.forged_stream] * 6]
    return [random.choice(kinds)(random.choice(fuzz.CORPUS), random) for _ in range(count)]


def python_reads(data: bytes) -> tuple[int, int] | None:
    """Number of tensors and a hash of their bytes; `None` where the file is refused."""
    try:
        network = decode_file(data, lambda _: fuzz.LAYOUT)
        if sum(entry.size for entry in network.layout.entries) > LIMIT:
            return None
        state = network.state_dict()
    except FileFormatError:
        return None
    return len(state), fnv(b"".join(array.tobytes() for array in state.values()))


def fnv(data: bytes) -> int:
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) & (1 << 64) - 1
    return value


def test_mutated_files_are_read_as_python_reads_them_or_refused(tmp_path: Path) -> None:
    many = str(Path(__file__).parent / "rdz_many.c")
    program = build(tmp_path, "many", "-DRDZ_NO_MAIN", "-O1", "-g", *sanitizers(tmp_path), many)
    layout = tmp_path / "layout.json"
    layout.write_bytes(fuzz.LAYOUT.to_json())
    files = [*fuzz.PREFIXES, *mutants(250, seed=11)]
    done = subprocess.run(
        [program, layout],
        input=b"".join(len(data).to_bytes(4, "little") + data for data in files),
        capture_output=True,
        check=False,
        env={**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1"},
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    counts = {True: 0, False: 0}
    for data, line in zip(files, done.stdout.decode().splitlines(), strict=True):
        status, *result = map(int, line.split())
        wanted = python_reads(data)
        if wanted is None and status == OK:  # it does not look at a recipe, damaged or not
            sections = [(kind, payload) for kind, payload in read_sections(data) if kind != RECIPE]
            wanted = python_reads(write_sections(sections))
        if status != TOO_LARGE:
            assert wanted == (tuple(result) if status == OK else None), (status, data)
        counts[status == OK] += 1
    assert min(counts.values()) > 50


def test_the_layout_is_what_tells_networks_apart(rdz: Path, tmp_path: Path) -> None:
    """The fingerprint, BLAKE2b, of texts of every length of a block."""
    layout = tmp_path / "layout.json"
    for extra in range(0, 140, 7):
        network = Layout((Entry("vector", "é" * 3 + "x" * extra, (2,)),))
        (name,) = (entry.name for entry in network.entries)
        file = encode_file(NetworkFile(network, {}, {name: (np.array([1, -2]), 0.5)}, network_id="n"))
        (tmp_path / "file").write_bytes(file)
        layout.write_bytes(network.to_json())
        found = values_of(rdz, tmp_path / "out", tmp_path / "file", layout)
        assert {key: array.tolist() for key, array in found.items()} == {name: [0.5, -1.0]}
