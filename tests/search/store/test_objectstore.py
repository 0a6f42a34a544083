"""What an object store does otherwise than a folder: no rename, no locks, and a connection."""

from __future__ import annotations

import json
import pickle
import time

import pytest

from rdsearch.errors import SearchError
from rdsearch.search.store import patience
from rdsearch.search.store.objectstore import ObjectStore, is_address, object_store
from rdsearch.search.store.rounds import RoundStore
from tests.search.books import make_checkpoint, make_point
from tests.search.s3 import unreliable


class Recorded(ObjectStore):
    """Keeps the names of what it wrote, and fails on request before one of them."""

    def create(self, name: str, data: bytes) -> bool:
        self._note(name)
        return super().create(name, data)

    def write(self, name: str, data: bytes) -> None:
        self._note(name)
        super().write(name, data)

    def _note(self, name: str) -> None:
        self.__dict__.setdefault("written", []).append(name.rpartition("/")[2].partition("-")[0])
        if self.__dict__.get("fails_at") == name.rpartition("/")[2]:
            raise OSError(5, "the connection is gone")


def test_the_marker_is_written_last(s3: str) -> None:
    place = Recorded(s3)
    RoundStore(place).publish(0, make_point(), make_checkpoint(1))
    written = place.__dict__["written"]
    assert sorted(written) == ["checkpoint.safetensors", "network", "point.json"]
    assert written[-1] == "point.json"


def test_a_round_whose_marker_could_not_be_written_is_none(s3: str) -> None:
    place = Recorded(s3)
    place.__dict__["fails_at"] = "point.json"
    with pytest.raises(SearchError, match=r"round 1 of trial 0 cannot be stored in s3://.*the connection is gone"):
        RoundStore(place).publish(0, make_point(), make_checkpoint(1))
    store = RoundStore(object_store(s3))
    assert store.points(0) == []
    assert store.checkpoint(0) is None
    store.publish(0, make_point(), make_checkpoint(1))
    assert [point.round for point in store.points(0)] == [1]


class Overtaken(ObjectStore):
    """Another worker publishes the whole round while this one is busy with its parts."""

    def write(self, name: str, data: bytes) -> None:
        super().write(name, data)
        if not self.__dict__.get("overtaken"):
            self.__dict__["overtaken"] = True
            RoundStore(object_store(self.address)).publish(0, make_point(size=5, data=b"first"), None)


def test_of_two_workers_on_one_round_the_first_counts_with_its_own_file(s3: str) -> None:
    point = RoundStore(Overtaken(s3)).publish(0, make_point(size=6, data=b"second"), None)
    assert point.size_bytes == 5
    place = object_store(s3)
    file = json.loads(place.read("00000/round_001/point.json"))["file"]
    assert place.read(f"00000/round_001/{file}") == b"first"


def test_a_place_travels_without_its_connection(s3: str) -> None:
    place = object_store(s3)
    place.write("a/b", b"1")
    data = pickle.dumps(place)
    assert b"S3FileSystem" not in data
    assert pickle.loads(data).read("a/b") == b"1"  # noqa: S301 - made in the line above


def test_endpoint_may_stand_in_the_address(s3: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    object_store(s3).write("a", b"1")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    host = s3_endpoint.removeprefix("http://")
    place = object_store(f"{s3}?endpoint_override={host}&scheme=http")
    assert place.read("a") == b"1"
    assert place.where("a") == f"{s3}/a"


def test_names_are_one_level_deep_and_the_tree_is_not(s3: str) -> None:
    place = object_store(s3)
    for name in ("a/x", "a/b/y", "c"):
        place.write(name, b"")
    assert sorted(place.names("")) == ["a", "c"]
    assert sorted(place.names("a")) == ["b", "x"]
    assert place.names("nowhere") == []
    assert place.tree() == ["a/b/y", "a/x", "c"]
    place.remove("a/x")
    place.remove("a/x")
    assert place.tree("a") == ["a/b/y"]
    assert not place.exists("a/x")
    assert place.exists("a/b/y")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://host/x", r"ftp:// is not supported; allowed: a folder, or s3://BUCKET/PREFIX"),
        ("s3://bucket", "a bucket and a prefix are needed"),
        ("s3:///prefix", "a bucket and a prefix are needed"),
    ],
)
def test_addresses_that_name_no_prefix_are_errors(address: str, message: str) -> None:
    assert is_address(address)
    with pytest.raises(SearchError, match=message):
        object_store(address)


def test_a_bucket_that_is_not_there_is_a_clear_error(s3: str) -> None:
    with pytest.raises(SearchError, match="cannot be stored in s3://no-such-bucket"):
        RoundStore(object_store(s3.replace("searches", "no-such-bucket"))).publish(0, make_point(), None)


@pytest.mark.parametrize("status", [500, 503])
def test_a_request_that_fails_for_a_while_is_made_again(
    s3: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    object_store(s3).write("a", b"here")
    with unreliable(s3_endpoint) as (endpoint, failures):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        place = object_store(s3)
        for use in (lambda: place.read("a") == b"here", lambda: place.names("") == ["a"], lambda: place.exists("a")):
            failures += [status] * 6  # the library itself gives up after a few
            assert use()
            assert not failures


def test_a_request_that_is_refused_or_fails_on_and_on_is_given_up(
    s3: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    RoundStore(object_store(s3)).publish(0, make_point(), None)
    with unreliable(s3_endpoint) as (endpoint, failures):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        store = RoundStore(object_store(s3))
        failures += [403] * 1000
        started = time.monotonic()
        with pytest.raises(SearchError, match="cannot be read"):
            store.point(0, 1)
        assert time.monotonic() - started < 20
        failures[:] = [500] * 1000
        monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.5)
        with pytest.raises(SearchError, match=r"point\.json cannot be read") as caught:
            store.point(0, 1)
        assert "move the folder away" not in str(caught.value)
        failures.clear()
        assert store.point(0, 1).round == 1
