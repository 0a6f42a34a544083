from __future__ import annotations

import dataclasses
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdsearch.coding.container import read_sections, write_sections
from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.networkfile import (
    BUFFERS,
    LEVELS,
    LISTED,
    RECIPE,
    REGISTERED,
    Levels,
    NetworkFile,
    decode_file,
    encode_file,
    part_sizes,
    vector_shapes,
)
from rdsearch.coding.registered import NUMBERED
from rdsearch.errors import FileFormatError

LAYOUT = Layout(
    (
        Entry("weight", "conv.weight", (4, 2, 3, 3)),
        Entry("batchnorm", "bn", (4,), "1e-05"),
        Entry("weight", "fc.weight", (3, 4)),
        Entry("vector", "fc.bias", (3,)),
        Entry("buffer", "table", (2, 2), "int64"),
        Entry("buffer", "scale", (), "float32"),
        Entry("tied", "out.weight", (3, 4), "fc.weight"),
    )
)


def unknown(network_id: str) -> Layout:
    raise LookupError(f"no {network_id}")


def registered(network_id: str) -> Layout:
    return LAYOUT if network_id == "small" else unknown(network_id)


def levels(shape: tuple[int, ...], step: float, seed: int = 0) -> Levels:
    generator = np.random.default_rng([seed, *shape])
    return (generator.geometric(0.4, shape) - 1).astype(np.int32) * generator.choice([-1, 1], shape), step


def small(**changes: Any) -> NetworkFile:
    file = NetworkFile(
        layout=LAYOUT,
        weights={"conv.weight": levels((4, 2, 3, 3), 0.5), "fc.weight": levels((3, 4), 0.25)},
        vectors={
            "bn.scale": levels((4,), 0.125, 1),
            "bn.shift": levels((4,), 0.25, 2),
            "fc.bias": levels((3,), 0.0625),
        },
        buffers={"table": np.array([[1, -2], [2**40, 0]]), "scale": np.array(1.1, np.float32)},
    )
    return replace(file, **changes)


def assert_same(found: NetworkFile, wanted: NetworkFile) -> None:
    assert found.layout == wanted.layout
    assert found.network_id == wanted.network_id
    assert found.recipe == wanted.recipe
    for mine, theirs in ((found.weights, wanted.weights), (found.vectors, wanted.vectors)):
        assert list(mine) == list(theirs)
        for name in theirs:
            assert mine[name][1] == theirs[name][1] or not theirs[name][0].any()
            np.testing.assert_array_equal(mine[name][0], theirs[name][0])
    assert list(found.buffers) == list(wanted.buffers)
    for name, buffer in wanted.buffers.items():
        assert found.buffers[name].dtype == buffer.dtype
        np.testing.assert_array_equal(found.buffers[name], buffer)


@pytest.mark.parametrize("network_id", [None, "small"])
@pytest.mark.parametrize("recipe", [None, {"pruning": {"rate": 0.2, "skip": ["é*"]}}])
def test_a_network_comes_back_as_it_was(network_id: str | None, recipe: dict[str, Any] | None) -> None:
    file = small(network_id=network_id, recipe=recipe)
    found = decode_file(encode_file(file), registered)
    assert_same(found, file)
    for levels, _ in [*found.weights.values(), *found.vectors.values()]:
        # The narrowest that holds these; what is all zeros takes no memory, whatever its type.
        assert levels.dtype == np.int8 or not levels.any()


def test_a_registered_network_needs_no_names() -> None:
    listed, named = encode_file(small()), encode_file(small(network_id="small"))
    assert b"small" in named
    assert len(named) < len(listed) - 50


# Steps that a file can hold: 8 significant bits.
steps = st.builds(lambda mantissa, power: mantissa * 2.0**power, st.integers(0, 255), st.integers(-20, 4))
shapes = st.lists(st.integers(0, 4), min_size=2, max_size=4).map(tuple)
DTYPES = ["bool", "uint8", "int16", "int32", "int64", "float32"]


@st.composite
def files(draw: st.DrawFn) -> NetworkFile:
    def drawn(shape: tuple[int, ...]) -> Levels:
        size = int(np.prod(shape))
        values = draw(st.lists(st.integers(-40, 40) | st.just(0), min_size=size, max_size=size))
        return np.array(values, np.int32).reshape(shape), draw(steps)

    entries: list[Entry] = []
    for index, kind in enumerate(
        draw(st.lists(st.sampled_from(["weight", "vector", "batchnorm", "buffer"]), max_size=5))
    ):
        shape = draw(shapes) if kind in ("weight", "buffer") else (draw(st.integers(0, 5)),)
        note = {"batchnorm": "1e-05", "buffer": draw(st.sampled_from(DTYPES))}.get(kind, "")
        entries.append(Entry(kind, f"layer{index}", shape, note))
    layout = Layout(tuple(entries))
    return NetworkFile(
        layout=layout,
        weights={entry.name: drawn(entry.shape) for entry in layout.of("weight")},
        vectors={name: drawn(shape) for name, shape in vector_shapes(layout)},
        buffers={
            entry.name: np.full(entry.shape, draw(st.integers(0, 1)), np.dtype(entry.note))
            for entry in layout.of("buffer")
        },
        recipe=draw(st.none() | st.just({"a": [1, None]})),
    )


@given(files())
def test_every_network_comes_back_as_it_was(file: NetworkFile) -> None:
    data = encode_file(file)
    assert_same(decode_file(data, unknown), file)
    assert sum(part_sizes(data).values()) == len(data)


def test_part_sizes_name_what_the_bytes_are_for() -> None:
    data = encode_file(small(recipe={"pruning": {}}))
    sizes = part_sizes(data)
    assert list(sizes) == [
        "network",
        "weights, biases and normalisation",
        "buffers",
        "recipe",
        "header and checksums",
    ]
    assert sum(sizes.values()) == len(data)
    assert all(size > 0 for size in sizes.values())


def test_the_state_dict_has_every_tensor_of_the_network() -> None:
    file = small()
    state = file.state_dict()
    assert {name: array.shape for name, array in state.items()} == {
        "conv.weight": (4, 2, 3, 3),
        "bn.weight": (4,),
        "bn.bias": (4,),
        "bn.running_mean": (4,),
        "bn.running_var": (4,),
        "bn.num_batches_tracked": (),
        "fc.weight": (3, 4),
        "fc.bias": (3,),
        "table": (2, 2),
        "scale": (),
        "out.weight": (3, 4),
    }
    assert state["fc.weight"].dtype == np.float32
    np.testing.assert_array_equal(state["fc.weight"], file.weights["fc.weight"][0] * np.float32(0.25))
    np.testing.assert_array_equal(state["out.weight"], state["fc.weight"])
    # sqrt(var + eps) is 1, so that the layer's weight and bias are its whole map.
    np.testing.assert_allclose(state["bn.running_var"] + np.float32(1e-5), 1.0, rtol=1e-7)
    np.testing.assert_array_equal(state["bn.weight"], file.vectors["bn.scale"][0] * np.float32(0.125))
    assert not state["bn.running_mean"].any()


DATA = encode_file(small(recipe={"a": 1}))


@pytest.mark.parametrize("data", [DATA, encode_file(small(network_id="small"))], ids=["listed", "registered"])
def test_every_truncation_is_refused(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(FileFormatError):
            decode_file(data[:length], registered)


@pytest.mark.parametrize("data", [DATA, encode_file(small(network_id="small"))], ids=["listed", "registered"])
def test_every_flipped_bit_is_found(data: bytes) -> None:
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(FileFormatError):
                decode_file(bytes(damaged), registered)


def changed(kind: int, payload: bytes | None) -> bytes:
    """A file whose checksums are right and one of whose sections is another, or gone."""
    sections = [(k, payload if k == kind else p) for k, p in read_sections(DATA)]
    return write_sections([(k, p) for k, p in sections if p is not None])


@settings(max_examples=300)
@given(st.sampled_from([LISTED, LEVELS, BUFFERS, RECIPE]), st.binary(max_size=40), st.data())
def test_a_section_forged_with_a_right_checksum_gives_a_network_or_a_clear_error(
    kind: int, noise: bytes, data: st.DataObject
) -> None:
    payload = dict(read_sections(DATA))[kind]
    place = data.draw(st.integers(0, len(payload)))
    for forged in (noise, payload[:place] + noise, payload[:place] + noise + payload[place + len(noise) :]):
        try:
            state = decode_file(changed(kind, forged), registered).state_dict()
        except FileFormatError:
            continue
        assert all(isinstance(array, np.ndarray) for array in state.values())


def test_a_step_that_makes_levels_infinite_is_a_clear_error() -> None:
    file = decode_file(DATA, registered)
    name, (levels, _) = next((name, pair) for name, pair in file.weights.items() if np.abs(pair[0]).max() > 1)
    forged = dataclasses.replace(file, weights={**file.weights, name: (levels, 3e38)})
    with pytest.raises(FileFormatError, match=r"step of 3e[+]38 are no finite float32"):
        forged.state_dict()


def named(network: bytes) -> bytes:
    """The file of a registered network that says so in these bytes."""
    return write_sections([(REGISTERED, network), *read_sections(DATA)[1:]])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (write_sections([*read_sections(DATA), (9, b"x")]), "section of unknown kind 9; install a newer rdsearch"),
        (write_sections(read_sections(DATA) + read_sections(DATA)[1:2]), "two sections of kind 2"),
        (changed(LEVELS, None), "neither quality layers nor a section of weights"),
        (changed(BUFFERS, None), "the buffers section holds 0 bytes, 36 are needed"),
        (changed(LISTED, b""), "the list of tensors is damaged"),
        (changed(LISTED, b"not zlib"), "the list of tensors is damaged"),
        (named(b""), "does not say which network"),
        (named(b"big" + bytes(2)), "network 'big', which is not known here: no big"),
        (named(b"small" + bytes(2)), "another version of network 'small'"),
        (named(bytes([len(NUMBERED), 0, 0])), f"network number {len(NUMBERED)}; install a newer rdsearch"),
        (changed(LEVELS, b""), "the section of weights is cut short"),
        (changed(LEVELS, b"\x7f" + b"\xff" * 70), "weights have an impossible step"),
        (changed(BUFFERS, zlib.compress(bytes(10_000))), "damaged or too long"),
        (changed(BUFFERS, zlib.compress(bytes(36)) + b"more"), "damaged or too long"),
        (changed(BUFFERS, zlib.compress(bytes(36))[:-2]), "damaged or too long"),
        (changed(RECIPE, zlib.compress(b"[1]")), "the recipe section is damaged: it holds no mapping"),
        (changed(RECIPE, zlib.compress(b"{")), "the recipe section is damaged"),
        (changed(RECIPE, zlib.compress(b"[" * 100_000)), "the recipe section is damaged"),
        (changed(RECIPE, zlib.compress(bytes(2**22 + 1))), "damaged or too long: at most 4194304 bytes"),
    ],
)
def test_each_kind_of_damage_has_its_message(data: bytes, said: str) -> None:
    with pytest.raises(FileFormatError, match=said):
        decode_file(data, registered)


@pytest.mark.parametrize(
    "dtype", ["object", "f4,(", "(2,3", "", "\0", "datetime64", ">f4", "float128", "S8", "no" * 100]
)
def test_a_buffer_of_an_impossible_type_is_refused(dtype: str) -> None:
    file = small(layout=Layout((Entry("buffer", "b", (1,), dtype),)), weights={}, vectors={})
    data = encode_file(replace(file, buffers={"b": np.zeros(1, np.int64)}))
    with pytest.raises(FileFormatError, match="impossible type"):
        decode_file(data, unknown)


def test_rows_in_order_cost_less_and_are_named() -> None:
    random = np.random.default_rng(1)
    matrix = np.round(random.laplace(size=(200, 20))).astype(np.int32)
    matrix = matrix[np.lexsort(np.minimum(np.abs(matrix), 5).T[::-1])[::-1]]
    layout = Layout((Entry("weight", "w", matrix.shape),))
    plain = NetworkFile(layout, {"w": (matrix, 1.0)}, {})
    ordered = replace(plain, ordered=("w",))
    assert len(encode_file(ordered)) < 0.95 * len(encode_file(plain))
    found = decode_file(encode_file(ordered), unknown)
    assert list(found.ordered) == ["w"]
    np.testing.assert_array_equal(found.weights["w"][0], matrix)


def test_a_bias_that_is_zero_where_its_row_is_costs_less() -> None:
    random = np.random.default_rng(2)
    alive = random.random(400) < 0.1
    matrix = np.round(2 * random.laplace(size=(400, 50))).astype(np.int32) * alive[:, None]
    bias = np.round(20 * random.laplace(size=400)).astype(np.int32) * alive
    layout = Layout((Entry("weight", "w", matrix.shape), Entry("vector", "b", bias.shape)))
    behind = NetworkFile(layout, {"w": (matrix, 1.0)}, {"b": (bias, 1.0)})
    other = replace(behind, vectors={"b": (random.permutation(bias), 1.0)})
    assert len(encode_file(behind)) < len(encode_file(other)) - 8
    for file in (behind, other):
        assert_same(decode_file(encode_file(file), unknown), file)
