from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.coding.layout import Entry, Layout
from rdsearch.errors import FileFormatError

LAYOUT = Layout(
    (
        Entry("weight", "conv.weight", (4, 3, 3, 3)),
        Entry("batchnorm", "bn", (4,), "1e-05"),
        Entry("vector", "fc.bias", (10,)),
        Entry("buffer", "mask", (2, 2), "bool"),
        Entry("tied", "out.weight", (4, 3, 3, 3), "conv.weight"),
    )
)
names = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=6)
shapes = st.lists(st.integers(0, 50), max_size=4)


def rows() -> list[list[Any]]:
    content: list[list[Any]] = json.loads(LAYOUT.to_json())
    return content


@given(names, st.data())
def test_the_compact_form_comes_back(chosen: list[str], data: st.DataObject) -> None:
    layout = Layout(
        tuple(
            Entry(
                data.draw(st.sampled_from(["weight", "vector", "buffer"])),
                name,
                tuple(data.draw(shapes)),
                data.draw(st.sampled_from(["", "int64"])),
            )
            for name in chosen
        )
    )
    assert Layout.from_json(layout.to_json()) == layout
    assert Layout.from_json(layout.to_json()).fingerprint() == layout.fingerprint()


def test_entries_are_found_by_kind_and_counted() -> None:
    assert Layout.from_json(LAYOUT.to_json()) == LAYOUT
    assert [entry.name for entry in LAYOUT.of("weight")] == ["conv.weight"]
    assert LAYOUT.weight_count == 108
    assert Entry("vector", "scalar", ()).size == 1


def test_a_normalisation_stands_for_its_five_tensors() -> None:
    assert Entry("batchnorm", "bn", (4,), "1e-05").tensors() == [
        ("bn.weight", (4,)),
        ("bn.bias", (4,)),
        ("bn.running_mean", (4,)),
        ("bn.running_var", (4,)),
        ("bn.num_batches_tracked", ()),
    ]


@pytest.mark.parametrize(
    ("row", "place", "value"), [(0, 1, "conv.w"), (0, 2, [4, 3, 9]), (0, 0, "vector"), (1, 3, "1e-3")]
)
def test_the_fingerprint_sees_every_part_of_an_entry(row: int, place: int, value: Any) -> None:
    changed = rows()
    changed[row][place] = value
    entries = tuple(Entry(kind, name, tuple(shape), note) for kind, name, shape, note in changed)
    assert len(LAYOUT.fingerprint()) == 2
    assert Layout(entries).fingerprint() != LAYOUT.fingerprint()


def test_the_fingerprint_never_changes() -> None:
    # It is in files: another value would make them all unreadable.
    assert Layout((Entry("weight", "w", (2, 3)),)).fingerprint().hex() == "91fa"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.append(r[0]), "'conv.weight' twice"),
        (lambda r: r.append(["vector", "bn.weight", [4], ""]), "'bn.weight' twice"),
        (lambda r: r[0].__setitem__(2, [2**31, 2**31, 0]), "impossible shape"),
        (lambda r: r[4].__setitem__(3, "nowhere"), "tied to 'nowhere', which does not fit it"),
        (lambda r: r[4].__setitem__(3, "bn"), "tied to 'bn', which does not fit it"),
        (lambda r: r[4].__setitem__(2, [4]), "which does not fit it"),
        (lambda r: r.insert(0, r.pop(4)), "which does not fit it"),
        (lambda r: r[1].__setitem__(3, "soon"), "'bn' has an impossible form"),
        (lambda r: r[1].__setitem__(3, "nan"), "'bn' has an impossible form"),
        (lambda r: r[1].__setitem__(3, "1.5"), "'bn' has an impossible form"),
        (lambda r: r[1].__setitem__(2, [2, 2]), "'bn' has an impossible form"),
        (lambda r: r[0].__setitem__(0, "sparse"), "unknown entry"),
        (lambda r: r[0].__setitem__(1, 3), "unknown entry"),
        (lambda r: r[0].__setitem__(2, [-1]), "impossible shape"),
        (lambda r: r[0].__setitem__(2, [True]), "impossible shape"),
        (lambda r: r[0].__setitem__(2, [1.5]), "impossible shape"),
        (lambda r: r[0].__setitem__(2, [0, 2**70]), "impossible shape"),
        (lambda r: r[0].__setitem__(2, [1] * 65), "impossible shape"),
        (lambda r: r[0].__setitem__(2, {}), "impossible shape"),
        (lambda r: r[0].__setitem__(2, 7), "impossible shape"),
        (lambda r: r[0].append(1), "damaged"),
        (lambda r: r.append(3), "damaged"),
    ],
)
def test_entries_that_do_not_fit_together_are_refused(change: Any, said: str) -> None:
    changed = rows()
    change(changed)
    with pytest.raises(FileFormatError, match=said):
        Layout.from_json(json.dumps(changed).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"3", b"null", b'{"weight": 1}', b'"text"', b"\xff", b"[" * 100_000])
def test_what_is_no_list_of_tensors_is_refused(text: bytes) -> None:
    with pytest.raises(FileFormatError, match="the list of tensors in the file is damaged"):
        Layout.from_json(text)
