from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.config.yamlfile import apply_override, parse_yaml, read_yaml, write_yaml
from rdsearch.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-2e3", -2000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("1.5e-4", 1.5e-4),
        ("12", 12),
        ("-3", -3),
        (".inf", float("inf")),
        ("e5", "e5"),
        ("1e", "1e"),
        ("2h", "2h"),
        ("conv*.weight", "conv*.weight"),
        ("null", None),
        ("[1, 2]", [1, 2]),
    ],
)
def test_scalars_are_read_as_people_mean_them(text: str, value: object) -> None:
    read = parse_yaml(text, "here")
    assert read == value
    assert type(read) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_back(value: float) -> None:
    read = parse_yaml(repr(value), "here")
    assert isinstance(read, float)
    assert read == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' stands here twice"),
        ("a:\n  b: 1\n  b: 1\n", "line 3, column 3: the key 'b' stands here twice"),
        ("a:\n\tb: 1\n", "line 2, column 1: found character"),
        ("[1, 2", "line 1, column 6: "),
        ("? [1]\n: 2\n", "line 1, column 3: a key must be text"),
        ("!!python/object:os.system {}", "line 1, column 1: could not determine a constructor"),
    ],
)
def test_a_mistake_has_its_line_and_column(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "space.yaml")
    assert str(error.value).startswith("space.yaml: 1 mistake\n  - " + said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; it must be a mapping of keys to values"),
        (b"- 1\n- 2\n", "holds [1, 2]; it must be a mapping"),
        (b"just text", "holds just text; it must be a mapping"),
        (b"\xff\xfe", "cannot be read: it is not UTF-8 text"),
    ],
)
def test_a_file_must_hold_a_mapping(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_yaml(path)
    assert said in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: 1 mistake\n  - cannot be read: No such file"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_write_and_read_keep_values_and_order(tmp_path: Path) -> None:
    tree = {"z": 1, "a": {"rate": 1e-7, "names": ["é", "conv*"], "none": None, "yes": "yes", "id": "99e168148310"}}
    write_yaml(tmp_path / "t.yaml", tree)
    assert read_yaml(tmp_path / "t.yaml") == tree
    assert list(read_yaml(tmp_path / "t.yaml")) == ["z", "a"]


@pytest.mark.parametrize(
    ("override", "result"),
    [
        ("a.b=3", {"a": {"b": 3}, "n": None}),
        ("a.c.d=1e-3", {"a": {"b": 1, "c": {"d": 1e-3}}, "n": None}),
        ("new=[1, x]", {"a": {"b": 1}, "n": None, "new": [1, "x"]}),
        ("a={float: [0, 1]}", {"a": {"float": [0, 1]}, "n": None}),
        ("a.b=x=y", {"a": {"b": "x=y"}, "n": None}),
        ("n.x=1", {"a": {"b": 1}, "n": {"x": 1}}),
    ],
)
def test_an_override_sets_one_value(override: str, result: dict[str, Any]) -> None:
    tree: dict[str, Any] = {"a": {"b": 1}, "n": None}
    apply_override(tree, override)
    assert tree == result


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a.b", "'a.b' must be of the form path.to.key=value"),
        ("=3", "'=3' must be of the form"),
        ("a..b=3", "must be of the form"),
        ("a.b.c=3", "a.b is 1, which has no keys"),
        ("a=[1", "--set a: 1 mistake"),
    ],
)
def test_a_wrong_override_is_explained(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        apply_override({"a": {"b": 1}}, override)
    assert said in str(error.value)


def _bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "a: 2026-13-45",
        "a: 2026-01-01 99:99:99",
        "a: " + "9" * 5000,
        "a: 0x" + "f" * 5000,
        "a: 1" + ":59" * 3000,
        "[" * 100_000,
        "{a: " * 5000,
        "a: &x [*x]",
        _bomb(),
        "a: !!int abc",
        "a: !!bool abc",
        "a: !!timestamp abc",
    ],
    ids=lambda text: text[:20],
)
def test_what_cannot_be_read_is_a_mistake_and_no_crash(text: str) -> None:
    with pytest.raises(ConfigError, match="here: 1 mistake"):
        parse_yaml(text, "here")
