from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from rdsearch.base.registry import Registry
from rdsearch.base.schema import Known, Settings, explain, flatten, shown


class Inner(Settings):
    size: int = Field(1, ge=1)
    kind: Literal["fast", "exact"] = "fast"


class Outer(Settings):
    inner: Inner = Inner()
    maybe: Inner | None = None
    share: float = Field(0.5, gt=0, lt=1)
    rate: float | list[float] = 0.1
    steps: dict[str, float] = {}
    flag: bool = False
    text: str = ""
    needed: int


def mistakes(tree: dict[str, Any], prefix: str = "") -> list[str]:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate({"needed": 1, **tree})
    return explain(error.value, Outer, prefix)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"share": 1.5}, "share: 1.5 must be less than 1"),
        ({"share": 0}, "share: 0 must be greater than 0"),
        ({"share": "much"}, "share: 'much' must be a number"),
        ({"share": float("nan")}, "share: nan must be a finite number"),
        ({"share": None}, "share: null must be a number"),
        ({"needed": 1.5}, "needed: 1.5 must be a whole number"),
        ({"needed": True}, "needed: true must be a whole number"),
        ({"share": True}, "share: true must be a number"),
        ({"flag": 3}, "flag: 3 must be true or false"),
        ({"text": 3}, "text: 3 must be text"),
        ({"inner": 3}, "inner: 3 must be a mapping of keys to values"),
        ({"inner": {"size": 0}}, "inner.size: 0 must be at least 1"),
        ({"inner": {"kind": "fest"}}, "inner.kind: 'fest' must be 'fast' or 'exact'. Did you mean 'fast'?"),
        ({"inner": {"kind": "slow"}}, "inner.kind: 'slow' must be 'fast' or 'exact'"),
        ({"inner": {"sise": 1}}, "inner.sise: unknown key. Did you mean 'size'? Allowed here are size, kind."),
        ({"maybe": {"sise": 1}}, "maybe.sise: unknown key. Did you mean 'size'? Allowed here are size, kind."),
        ({"rate": "high"}, "rate: 'high' must be a number or a list"),
        ({"rate": [0.1, "high"]}, "rate.1: 'high' must be a number"),
        ({"steps": {"conv[12]*": "x"}}, "steps.conv[12]*: 'x' must be a number"),
        ({"steps": [1]}, "steps: [1] must be a mapping of keys to values"),
        ({"int": 1}, "int: unknown key: allowed here are inner, maybe, share, rate, steps, flag, text, needed."),
    ],
)
def test_a_mistake_is_one_line_with_path_value_and_rule(tree: dict[str, Any], said: str) -> None:
    found = mistakes(tree)
    assert [line.rstrip() for line in found] == [said]


def test_all_mistakes_come_at_once_under_the_prefix() -> None:
    found = mistakes({"share": 2, "flag": "maybe", "inner": {"size": -1}}, prefix="task")
    assert found == [
        "task.inner.size: -1 must be at least 1",
        "task.share: 2 must be less than 1",
        "task.flag: 'maybe' must be true or false",
    ]


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate({})
    assert explain(error.value, Outer, "task") == ["task.needed: is required and not given"]


def test_settings_cannot_be_changed_after_the_check() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Inner().size = 3  # type: ignore[misc]


def test_known_accepts_registered_names_only() -> None:
    check = TypeAdapter(Annotated[str, Known(Registry("fruit", {"apple": "x:y"}))])
    assert check.validate_python("apple") == "apple"
    with pytest.raises(ValueError, match=r"unknown fruit 'aple'. Did you mean 'apple'\? Known are apple\."):
        check.validate_python("aple")
    assert check.json_schema() == {"type": "string", "enum": ["apple"]}


def test_values_are_shown_as_a_settings_file_has_them() -> None:
    assert [shown(value) for value in (None, True, False, 1.5, "a")] == ["null", "true", "false", "1.5", "'a'"]


def test_flatten_gives_leaves_by_address() -> None:
    tree = {"a": {"b": 1, "c": {"d": [2]}}, "e": {}}
    assert flatten(tree) == {("a", "b"): 1, ("a", "c", "d"): [2], ("e",): {}}


trees = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.text("abc", min_size=1), inner, max_size=3), max_leaves=10
)


@given(st.dictionaries(st.text("abc", min_size=1), trees, max_size=4))
def test_flatten_loses_nothing(tree: dict[str, Any]) -> None:
    rebuilt: dict[str, Any] = {}
    for (*parents, last), value in flatten(tree).items():
        node = rebuilt
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = value
    assert rebuilt == tree
