from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from rdsearch.errors import SearchError
from rdsearch.search.store.objectstore import object_store
from rdsearch.search.store.rounds import Outcome, RoundStore, fault_of, sealed, size_fault_of, unsealed
from tests.search.books import make_checkpoint, make_point


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    return tmp_path / "trials"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, trials: Path) -> RoundStore:
    """A store in a folder, and one in an object store: they behave alike."""
    return RoundStore(trials if request.param == "folder" else object_store(request.getfixturevalue("s3")))


@pytest.fixture
def folder_store(trials: Path) -> RoundStore:
    return RoundStore(trials)


def test_a_published_round_comes_back_with_its_file(store: RoundStore) -> None:
    given = make_point(parameters={"pruning.method": "erk", "x": None, "y": True, "z": 0.1})
    published = store.publish(12, given, make_checkpoint(1))
    assert published == store.point(12, 1) == store.points(12)[0]
    assert published.trial == 12
    for name in ("size_bytes", "val_accuracy", "accuracy_drop", "parameters", "seconds", "round"):
        assert getattr(published, name) == getattr(given, name)


def test_a_file_in_a_folder_has_its_path(folder_store: RoundStore, trials: Path) -> None:
    published = folder_store.publish(12, make_point(), None)
    assert published.path == trials / "00012" / "round_001" / "network.rdz"
    assert published.path.read_bytes() == make_point().data


def test_an_empty_store_has_nothing(store: RoundStore) -> None:
    assert list(store.trials()) == []
    assert store.all_points() == []
    assert store.points(3) == []
    assert store.checkpoint(3) is None
    assert store.outcome(3) is None
    assert store.last_error(3) is None


def test_points_come_by_trial_and_round(store: RoundStore) -> None:
    for trial, round_ in [(10, 2), (2, 1), (10, 1), (10, 11), (10, 3)]:
        store.publish(trial, make_point(round_), None)
    assert list(store.trials()) == [2, 10]
    assert [(point.trial, point.round) for point in store.all_points()] == [(2, 1), (10, 1), (10, 2), (10, 3), (10, 11)]


def test_the_first_report_of_a_round_counts(store: RoundStore) -> None:
    first = store.publish(0, make_point(size=100, data=b"first"), make_checkpoint(1))
    again = store.publish(0, make_point(size=999, data=b"again"), make_checkpoint(1))
    assert again == first
    assert [point.size_bytes for point in store.points(0)] == [100]


def test_a_second_report_of_a_round_leaves_nothing_in_a_folder(folder_store: RoundStore, trials: Path) -> None:
    first = folder_store.publish(0, make_point(size=100, data=b"first"), make_checkpoint(1))
    folder_store.publish(0, make_point(size=999, data=b"again"), make_checkpoint(1))
    assert first.path is not None
    assert first.path.read_bytes() == b"first"
    assert [path.name for path in (trials / "00000").iterdir()] == ["round_001"]


def test_only_the_newest_round_keeps_its_checkpoint(store: RoundStore) -> None:
    for round_ in (1, 2, 3):
        store.publish(0, make_point(round_), make_checkpoint(round_))
        checkpoint = store.checkpoint(0)
        assert checkpoint is not None
        assert checkpoint.round == round_
        np.testing.assert_array_equal(checkpoint.state["w"], np.full((2, 3), round_, np.float32))
    assert [store.place.exists(f"00000/round_00{round_}/checkpoint.safetensors") for round_ in (1, 2, 3)] == [
        False,
        False,
        True,
    ]


def test_an_ended_trial_has_an_outcome_and_no_checkpoint(store: RoundStore) -> None:
    store.publish(0, make_point(), make_checkpoint(1))
    store.finish(0, Outcome("failed", "it is ünable"))
    assert store.outcome(0) == Outcome("failed", "it is ünable")
    assert store.checkpoint(0) is None
    assert len(store.points(0)) == 1
    store.finish(1, Outcome("complete"))
    assert store.outcome(1) == Outcome("complete")


@pytest.mark.parametrize("content", [b"", b"half", b"\xff" * 100])
def test_a_damaged_checkpoint_is_passed_over_and_noted(store: RoundStore, content: bytes) -> None:
    store.publish(0, make_point(1), make_checkpoint(1))
    store.place.write("00000/round_001/checkpoint.safetensors", content)
    assert store.checkpoint(0) is None
    assert "is damaged, and the rounds up to it are computed again" in (store.last_error(0) or "")
    assert [point.round for point in store.points(0)] == [1]


@pytest.mark.parametrize(("kind", "draft"), [("folder", ".round_002.0123"), ("s3", "round_002")])
def test_a_draft_that_a_crash_left_is_no_round(
    request: pytest.FixtureRequest, trials: Path, kind: str, draft: str
) -> None:
    store = RoundStore(trials if kind == "folder" else object_store(request.getfixturevalue("s3")))
    store.publish(0, make_point(), make_checkpoint(1))
    store.place.write(f"00000/{draft}/network.rdz", b"half of a fi")
    assert [point.round for point in store.points(0)] == [1]
    store.publish(0, make_point(2), make_checkpoint(2))
    assert [point.round for point in store.points(0)] == [1, 2]


def test_a_point_without_its_file_is_refused(store: RoundStore) -> None:
    with pytest.raises(ValueError, match="without its file"):
        store.publish(0, make_point(data=None), None)
    assert store.points(0) == []


DEEP = b"[" * 100_000
DIGITS = b'{"size_bytes": ' + b"9" * 5000 + b"}"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"null", DEEP, DIGITS, json.dumps({"size_bytes": 1}).encode(), sealed({"file": 1})]
)
def test_a_damaged_round_counts_for_nothing_and_is_named(store: RoundStore, content: bytes) -> None:
    for round_ in (1, 2, 3):
        store.publish(0, make_point(round_), None)
    store.place.write("00000/round_002/point.json", content)
    assert [point.round for point in store.points(0)] == [1, 3]
    assert list(store.damaged) == ["00000/round_002"]
    assert "round_002/point.json is damaged: " in store.damaged["00000/round_002"]
    with pytest.raises(SearchError, match="is damaged"):
        store.point(0, 2)


def test_a_damaged_round_that_is_computed_again_takes_its_place(store: RoundStore) -> None:
    store.publish(0, make_point(1), None)
    store.place.write("00000/round_001/point.json", b"half of a po")
    assert store.points(0) == []
    again = store.publish(0, make_point(1, size=17, data=b"x" * 17), None)
    assert store.points(0) == [again]
    assert store.damaged == {}


def test_any_flipped_bit_of_a_round_is_noticed(folder_store: RoundStore, trials: Path) -> None:
    published = folder_store.publish(7, make_point(size=15), make_checkpoint(1))
    chance = random.Random(13)
    flips = 0
    for name in ("point.json", "network.rdz", "checkpoint.safetensors"):
        path = trials / "00007/round_001" / name
        content = path.read_bytes()
        for _ in range(60):
            damaged, place = bytearray(content), chance.randrange(len(content))
            damaged[place] ^= 1 << chance.randrange(8)
            path.write_bytes(bytes(damaged))
            flips += 1
            if name == "checkpoint.safetensors":
                found = folder_store.checkpoint(7)  # white space in its header may change as well
                assert found is None or found.to_bytes() == content
            elif name == "network.rdz":
                assert "does not fit" in fault_of(folder_store.points(7)[0])
                assert size_fault_of(folder_store.points(7)[0]) == ""
            else:
                assert folder_store.points(7) in ([], [published])  # white space may change, and what is said may not
        path.write_bytes(content)
    assert flips == 180
    assert folder_store.points(7) == [published]


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../../../../secret.txt"},
        {"file": "/etc/passwd"},
        {"trial": 4},
        {"round": 2},
        {"val_accuracy": None},
        {"val_accuracy": "0.9"},
        {"seconds": float("nan")},
        {"parameters": None},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_point_that_lies_is_passed_over_even_with_a_checksum(
    folder_store: RoundStore, trials: Path, changes: dict[str, object]
) -> None:
    folder_store.publish(3, make_point(), None)
    path = trials / "00003/round_001/point.json"
    path.write_bytes(sealed(unsealed(path.read_bytes()) | changes))
    assert folder_store.points(3) == []
    assert "point.json is damaged" in folder_store.damaged["00003/round_001"]


def test_a_point_that_lies_about_its_size_is_found_out(folder_store: RoundStore) -> None:
    assert "has 15 bytes, and its round says 14;" in size_fault_of(folder_store.publish(0, make_point(size=14), None))
    assert "does not fit" in fault_of(folder_store.point(0, 1))


@pytest.mark.parametrize("name", ["point.json", "network.rdz"])
def test_a_symbolic_link_in_a_round_is_not_followed(
    folder_store: RoundStore, trials: Path, tmp_path: Path, name: str
) -> None:
    folder_store.publish(0, make_point(), None)
    path = trials / "00000/round_001" / name
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere)
    if name == "point.json":
        with pytest.raises(SearchError, match="symbolic link"):
            folder_store.point(0, 1)
    else:
        assert "symbolic link" in fault_of(folder_store.point(0, 1))


def test_a_store_that_cannot_be_written_says_so_and_leaves_no_half_round(tmp_path: Path) -> None:
    (tmp_path / "trials").write_text("a file where a folder should be")
    with pytest.raises(SearchError, match=r"round 1 of trial 0 cannot be stored in .*round_001"):
        RoundStore(tmp_path / "trials").publish(0, make_point(), None)


def test_errors_are_kept_and_the_last_line_is_the_error(store: RoundStore) -> None:
    store.log_error(0, "Traceback\n  line\nValueError: first\n")
    store.log_error(0, "Traceback\n  line\nMemoryError: no memory\n\n")
    assert store.last_error(0) == "MemoryError: no memory"
    assert b"ValueError: first" in store.place.read("00000/errors.log")


def test_a_draft_of_a_long_round_is_kept_until_the_round_is_stored(store: RoundStore) -> None:
    assert store.read_draft(0, 2) is None
    store.publish(0, make_point(1), make_checkpoint(1))
    store.write_draft(0, 2, b"half way")
    store.write_draft(0, 2, b"nearly there")
    again = RoundStore(store.place)
    assert [point.round for point in again.points(0)] == [1]
    assert list(again.trials()) == [0]
    assert again.read_draft(0, 2) == b"nearly there"
    name = "00000/.round_002.draft"
    kept = store.place.read(name)
    store.place.write(name, kept[:-1] + b"?")
    assert again.read_draft(0, 2) is None
    again.publish(0, make_point(2), None)
    assert not store.place.exists(name)


def test_what_killed_writers_left_goes_when_the_trial_ends(folder_store: RoundStore, trials: Path) -> None:
    folder_store.publish(0, make_point(), make_checkpoint(1))
    (trials / "00000/.round_002.0123").mkdir()
    (trials / "00000/.round_002.0123/network.rdz").write_bytes(b"half of a fi")
    (trials / "00000/.outcome.json.0123.tmp").write_bytes(b"{")
    folder_store.finish(0, Outcome("complete"))
    assert sorted(path.name for path in (trials / "00000").iterdir()) == ["outcome.json", "round_001"]
