"""The decoder in C inside the package gives what numba gives, and says the same of damage."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from zlib import crc32

import numpy as np
import pytest

from rdsearch.coding import native, segments
from rdsearch.coding.arrays import decode_arrays, encode_arrays
from rdsearch.coding.container import read_sections, write_sections
from rdsearch.coding.networkfile import REFINEMENT, decode_file, prefix_ends
from rdsearch.errors import FileFormatError
from tests.coding import fuzz
from tests.coding.test_arrays import GOLDEN, ROOT
from tests.coding.test_c_decoder import COMPILER
from tests.coding.test_golden import FILES, golden, layout_of

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed")
LIBRARY = runpy.run_path(str(ROOT / "packaging" / "decoder_library.py"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = LIBRARY["compiled"](tmp_path_factory.mktemp("library"), "-Wall", "-Wextra", "-Werror")
    return made


@pytest.fixture(autouse=True)
def use(built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    def library_at(path: Path) -> None:
        monkeypatch.setattr(native, "LIBRARY", path)
        native.library.cache_clear()

    library_at(built)
    assert native.library() is not None
    yield library_at
    native.library.cache_clear()


def by_numba(data: bytes) -> object:
    """What reading a file gives without the library."""
    with pytest.MonkeyPatch.context() as without:
        without.setattr(native, "library", lambda: None)
        return outcome(data)


def outcome(data: bytes) -> object:
    try:
        network = decode_file(data, lambda _: fuzz.LAYOUT)
    except FileFormatError as error:
        return str(error)
    tensors = {**network.weights, **network.vectors}
    return {name: (levels.tolist(), step) for name, (levels, step) in tensors.items()}


@pytest.mark.parametrize("name", FILES)
def test_golden_files(name: str) -> None:
    data, wanted = golden(name)
    state = decode_file(data, layout_of).state_dict()
    assert all(np.array_equal(state[key], array) for key, array in wanted.items())


@pytest.mark.parametrize("number", range(1, 4))
def test_every_prefix_of_a_golden_file_in_quality_layers(number: int) -> None:
    data = (GOLDEN / "layered.rdz").read_bytes()
    state = decode_file(data[: prefix_ends(data)[number - 1]], layout_of).state_dict()
    with np.load(GOLDEN / f"layered_{number}.npz") as wanted:
        assert list(wanted) == list(state)
        assert all(np.array_equal(state[key], wanted[key]) for key in wanted)


def forged_layer(random: Random) -> bytes:
    """A file in quality layers, one of them damaged or cut short, with right checksums."""
    sections = list(read_sections(fuzz.CORPUS[-1]))
    layers = [at for at, (kind, _) in enumerate(sections) if kind == REFINEMENT]
    at = random.choice(layers[1:])
    payload = bytearray(sections[at][1])
    if random.random() < 0.5:
        payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)
    else:
        end = len(payload) - payload[0]  # where its vectors begin: their size is ahead, in a byte
        del payload[random.randrange(end // 2, end) : end]
    sections[at] = REFINEMENT, bytes(payload)
    return write_sections(sections)


def test_damaged_files_are_read_or_refused_in_the_same_words() -> None:
    random = Random(3)
    kinds = [*fuzz.DAMAGE, *fuzz.FORGERY, *[fuzz.forged_payload, fuzz.forged_stream] * 6]
    files = [random.choice(kinds)(random.choice(fuzz.CORPUS), random) for _ in range(100)]
    files += [forged_layer(random) for _ in range(40)]
    outcomes = [outcome(data) for data in files]
    for data, found in zip(files, outcomes, strict=True):
        assert found == by_numba(data)
    said = [found for found in outcomes if isinstance(found, str)]
    assert len({found for found in said if found.startswith("coded weights")}) > 2
    assert any("a quality layer of" in found for found in said)
    assert sum(not isinstance(found, str) for found in outcomes[100:]) > 5


def test_segments_are_read_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LARGEST_ALONE", 5000)
    monkeypatch.setattr(segments, "SEGMENT", 1500)
    random = np.random.default_rng(1)
    arrays = [np.round(random.laplace(size=shape)).astype(np.int32) for shape in ((90, 70), (40,), (9, 30, 3, 3))]
    arrays[1][:] = 0
    payload = encode_arrays(arrays)
    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(lambda _: decode_arrays(payload, [array.shape for array in arrays]), range(4)):
            assert all(map(np.array_equal, found, arrays))


def test_a_level_outside_int32_and_a_shape_without_end_are_refused() -> None:
    extreme = np.array([[2**31 - 1, -(2**31)]] * 3)
    payload = encode_arrays([extreme])
    np.testing.assert_array_equal(decode_arrays(payload, [(3, 2)])[0], extreme)
    with pytest.raises(FileFormatError, match="cannot hold a tensor"):
        decode_arrays(payload, [(2000, 2000)])
    with pytest.raises(FileFormatError, match="end before"):
        decode_arrays(payload, [(300, 20)])


def test_a_library_of_another_source_or_none_is_not_used(
    use: Callable[[Path], None], built: Path, tmp_path: Path
) -> None:
    use(tmp_path / "absent.so")
    assert native.library() is None
    (tmp_path / "foreign.so").write_bytes(b"not a library")
    use(tmp_path / "foreign.so")
    assert native.library() is None
    changed = bytearray(built.read_bytes())
    source = crc32(native._SOURCE.read_bytes()).to_bytes(4, "little")
    at = bytes(changed).index(source)
    changed[at] ^= 1
    shutil.copy(built, tmp_path / "older.so")
    (tmp_path / "older.so").write_bytes(changed)
    use(tmp_path / "older.so")
    assert native.library() is None
