from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rdsearch.coding.arrays import decode_arrays, encode_arrays, is_void
from rdsearch.errors import FileFormatError, QuantizationError

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_NAMES = sorted(path.stem for path in GOLDEN.glob("arrays_*.bin"))
ROOT = Path(__file__).parents[2]


def round_trip(arrays: list[np.ndarray]) -> bytes:
    data = encode_arrays(arrays)
    decoded = decode_arrays(data, [np.shape(array) for array in arrays])
    assert len(decoded) == len(arrays)
    for array, back in zip(arrays, decoded, strict=True):
        assert back.dtype == np.int32
        assert back.shape == np.shape(array)
        assert back.flags.c_contiguous or is_void(back)
        np.testing.assert_array_equal(back, array)
    return data


def entropy_bytes(array: np.ndarray) -> float:
    _, counts = np.unique(array, return_counts=True)
    return float(-(counts * np.log2(counts / array.size)).sum() / 8)


def golden_arrays(name: str) -> list[np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        return [stored[key] for key in stored.files]


levels = st.one_of(st.integers(-2, 2), st.integers(-40, 40), st.integers(-(2**31), 2**31 - 1))
tensors = hnp.arrays(
    np.int64, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6), elements=levels, fill=st.just(0)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(tensors, max_size=5))
def test_any_tensors_come_back(arrays: list[np.ndarray]) -> None:
    round_trip(arrays)


@pytest.mark.parametrize(
    "array",
    [
        np.array(7),
        np.array(0),
        np.zeros(0, np.int32),
        np.zeros((3, 0, 2), np.int32),
        np.zeros((50, 40), np.int32),
        np.full((9, 9), -3),
        np.full((2, 2, 7, 7), 2**31 - 1),
        np.full(5, -(2**31)),
        np.eye(6, dtype=bool),
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.arange(60).reshape(3, 4, 5).transpose(2, 0, 1)[::-1, ::2],
        np.asfortranarray(np.arange(12).reshape(3, 4)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_edge_tensors_come_back(array: np.ndarray) -> None:
    round_trip([array])


def test_no_tensors_and_no_weights_take_no_bytes() -> None:
    assert encode_arrays([]) == b""
    assert round_trip([np.zeros((0, 3), np.int32), np.zeros(0, np.int32)]) == b""


def test_a_thousand_small_tensors_come_back_quickly() -> None:
    random = np.random.default_rng(0)
    arrays = [random.integers(-3, 4, (random.integers(0, 5), 4)) for _ in range(1000)]
    encode_arrays(arrays[:3])
    started = time.perf_counter()
    round_trip(arrays)
    assert time.perf_counter() - started < 5


def test_encoding_is_repeatable_and_leaves_its_input_alone() -> None:
    array = np.random.default_rng(1).integers(-5, 6, (20, 30))
    before = array.copy()
    assert encode_arrays([array]) == encode_arrays([array.astype(np.int8)])
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros(3, np.complex64), np.array(["a"])])
def test_tensors_of_no_integers_are_refused(array: np.ndarray) -> None:
    with pytest.raises(QuantizationError, match=r"tensor 1 is .*quantise it first"):
        encode_arrays([np.ones(2, int), array])


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**64 - 1])
def test_levels_outside_int32_are_refused(value: int) -> None:
    with pytest.raises(QuantizationError, match="use a larger step"):
        encode_arrays([np.array([value], np.uint64 if value > 2**63 else np.int64)])


@pytest.mark.parametrize("scale", [0.15, 0.5, 2.0, 10.0])
def test_an_independent_source_costs_its_entropy(scale: float) -> None:
    array = np.round(scale * np.random.default_rng(2).laplace(size=(300, 400))).astype(np.int32)
    assert len(encode_arrays([array])) < 1.015 * entropy_bytes(array) + 30


def test_zeros_cost_next_to_nothing() -> None:
    assert len(encode_arrays([np.zeros((1000, 1000), np.int32)])) <= 2
    one = np.zeros((1000, 1000), np.int32)
    one[500, 500] = 1
    assert len(encode_arrays([one])) < 120


def test_small_tensors_carry_no_side_information() -> None:
    random = np.random.default_rng(3)
    arrays = [np.round(random.laplace(size=36)).astype(np.int32) for _ in range(20)]
    raw = entropy_bytes(np.concatenate(arrays))
    assert len(encode_arrays(arrays)) < 1.12 * raw + 8


@pytest.mark.parametrize("axis", [0, 1])
def test_dead_rows_and_columns_are_cheap(axis: int) -> None:
    random = np.random.default_rng(4)
    array = np.round(random.laplace(size=(200, 200))).astype(np.int32)
    alive = random.random(200) < 0.3
    dead = array * (alive[:, None] if axis == 0 else alive[None, :])
    kept = array[alive] if axis == 0 else array[:, alive]
    assert len(encode_arrays([dead])) < 1.06 * entropy_bytes(kept)


def test_kernels_of_one_sign_cost_far_less_than_their_entropy() -> None:
    random = np.random.default_rng(5)
    kernels = 3 * random.laplace(size=(64, 32, 1, 1)) + 2 * random.standard_normal((64, 32, 3, 3))
    array = np.round(kernels).astype(np.int32)
    assert len(encode_arrays([array])) < 0.9 * entropy_bytes(array)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden_payloads_decode_to_what_they_were_made_of(name: str) -> None:
    arrays = golden_arrays(name)
    data = (GOLDEN / f"{name}.bin").read_bytes()
    for array, back in zip(arrays, decode_arrays(data, [array.shape for array in arrays]), strict=True):
        np.testing.assert_array_equal(back, array)
    assert encode_arrays(arrays) == data


DECODE_GOLDEN = """
import sys, numpy as np
from pathlib import Path
from rdsearch.coding import native
from rdsearch.coding.arrays import decode_arrays
if sys.argv[2] == "numba":
    native.library = lambda: None
elif native.library() is None:
    sys.exit("no decoder in C was built")
for path in sorted(Path(sys.argv[1]).glob("arrays_*.bin")):
    with np.load(path.with_suffix(".npz")) as stored:
        arrays = [stored[key] for key in stored.files]
    for array, back in zip(arrays, decode_arrays(path.read_bytes(), [array.shape for array in arrays]), strict=True):
        assert np.array_equal(array, back), path
print("same")
"""


def decode_golden_with(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DECODE_GOLDEN, str(GOLDEN), "numba"],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_golden_payloads_decode_without_simd_dispatch() -> None:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    switchable = " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
    assert decode_golden_with(NPY_DISABLE_CPU_FEATURES=switchable, NUMBA_CPU_NAME="generic") == "same"


def test_golden_payloads_decode_interpreted_as_they_do_compiled() -> None:
    assert decode_golden_with(NUMBA_DISABLE_JIT="1") == "same"


def decodes_or_refuses(data: bytes, shapes: list[tuple[int, ...]]) -> bool:
    """Whether the payload was refused; anything but a refusal or arrays of the right shapes fails the test."""
    try:
        arrays = decode_arrays(data, shapes)
    except FileFormatError:
        return True
    assert [array.shape for array in arrays] == shapes
    return False


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_every_truncation_is_survived(name: str) -> None:
    data = (GOLDEN / f"{name}.bin").read_bytes()
    shapes = [array.shape for array in golden_arrays(name)]
    for cut in range(len(data)):
        decodes_or_refuses(data[:cut], shapes)


def test_the_loss_of_all_but_the_start_is_noticed() -> None:
    array = np.round(3 * np.random.default_rng(6).laplace(size=(100, 100))).astype(np.int32)
    with pytest.raises(FileFormatError, match="truncated"):
        decode_arrays(encode_arrays([array])[:500], [array.shape])


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_every_bit_flip_is_survived(name: str) -> None:
    data = (GOLDEN / f"{name}.bin").read_bytes()
    shapes = [array.shape for array in golden_arrays(name)]
    for place in range(0, len(data), max(1, len(data) // 150)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        decodes_or_refuses(bytes(flipped), shapes)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200),
    st.lists(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=30), max_size=4),
)
def test_foreign_bytes_are_survived(data: bytes, shapes: list[tuple[int, ...]]) -> None:
    decodes_or_refuses(data, shapes)


def test_bytes_left_over_are_refused() -> None:
    array = np.arange(40).reshape(4, 10)
    with pytest.raises(FileFormatError, match="left over"):
        decode_arrays(encode_arrays([array]) + bytes(20), [array.shape])
    with pytest.raises(FileFormatError, match="belongs to another network"):
        decode_arrays(b"\1", [(0, 3)])


def test_shapes_that_the_bytes_cannot_fill_are_refused_before_memory_is_taken() -> None:
    data = encode_arrays([np.arange(40).reshape(4, 10)])
    started = time.perf_counter()
    with pytest.raises(FileFormatError, match="cannot hold"):
        decode_arrays(data, [(1 << 20, 1 << 20)])
    with pytest.raises(FileFormatError, match="cannot hold"):
        decode_arrays(encode_arrays([np.zeros(3, int)]), [(1 << 40, 1 << 40)])
    assert time.perf_counter() - started < 2


def test_payload_is_the_words_of_constrictions_range_coder(monkeypatch: pytest.MonkeyPatch) -> None:
    import constriction

    from rdsearch.coding import stream
    from rdsearch.coding.model import state

    decisions: list[np.ndarray] = []
    flush = stream.Encoder._flush

    def recorded(encoder: stream.Encoder) -> None:
        decisions.append(encoder._tape[: int(encoder._coder[state.AT])].copy())
        flush(encoder)

    monkeypatch.setattr(stream.Encoder, "_flush", recorded)
    random = np.random.default_rng(5)
    arrays = [random.laplace(scale=scale, size=(40, 30)).round().astype(np.int32) for scale in (0.3, 2.0)]
    payload = encode_arrays(arrays)
    tape = np.concatenate(decisions)
    words = np.frombuffer(payload.ljust(-(-len(payload) // 4) * 4, b"\0"), ">u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    bits = decoder.decode(constriction.stream.model.Bernoulli(perfect=False), (tape >> 1) / 65536.0)
    np.testing.assert_array_equal(bits, tape & 1)
    assert len(payload) < sum(array.size for array in arrays)


def test_large_tensors_are_coded_in_segments_of_which_one_can_be_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdsearch.coding import segments

    monkeypatch.setattr(segments, "LARGEST_ALONE", 3000)
    monkeypatch.setattr(segments, "SEGMENT", 1500)
    random = np.random.default_rng(7)
    shapes: list[tuple[int, ...]] = [(10, 20), (7, 500), (0, 3), (20, 20), (2000,), (5,), (4, 500)]
    arrays = [np.round(random.laplace(size=shape)).astype(np.int32) for shape in shapes]
    arrays[1][3:] = 0
    arrays[-1][:] = 0
    data = round_trip(arrays)
    (alone,) = segments.decode_tensors(data, shapes, wanted=[3])
    np.testing.assert_array_equal(alone, arrays[3])
    damaged = bytearray(data)
    damaged[-30:] = bytes(30)
    (alone,) = segments.decode_tensors(bytes(damaged), shapes, wanted=[0])
    np.testing.assert_array_equal(alone, arrays[0])
    with pytest.raises(FileFormatError):
        decode_arrays(data[:-1], shapes)


def test_segments_learn_apart_and_cost_little_more() -> None:
    random = np.random.default_rng(8)
    array = (random.random((2050, 2050)) < 0.01).astype(np.int32)
    data = round_trip([array])
    halves = sum(len(encode_arrays([array[first : first + 1023]])) for first in (0, 1023, 2046))
    assert halves <= len(data) <= halves + 12
