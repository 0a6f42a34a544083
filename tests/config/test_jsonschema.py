"""The schema takes what the checks take, and marks what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rdsearch.config.jsonschema import search_file_schema
from rdsearch.config.searchfile import check_search
from rdsearch.config.yamlfile import parse_yaml, read_yaml

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = search_file_schema()
READY = sorted((Path(__file__).parent.parent.parent / "search_spaces").glob("*.yaml"))
KEPT = sorted((Path(__file__).parent.parent.parent / "results").glob("*/config.yaml"))


def mistakes(tree: Mapping[str, Any]) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(dict(tree))]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", [*READY, *KEPT], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_ready_file_and_every_searchs_own_fits(path: Path) -> None:
    assert mistakes(read_yaml(path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "recipe: {pruning: {metod: lamp}}",
        "recipe: {pruning: {method: lampp}}",
        "recipe: {pruning: {rate: {floats: [0.1, 0.5]}}}",
        "recipe: {pruning: {rate: 2}}",
        "search: {sampler: tpee}",
        "search: {trials: 0}",
        "tasks: {network: lenet300}",
    ],
)
def test_mistakes_are_marked(text: str) -> None:
    assert mistakes(parse_yaml(text, "here"))


@pytest.mark.parametrize(
    "text",
    [
        "search: {time: 2h, constraints: {accuracy_drop: 1%}}",
        "recipe: {pruning: null, retrain: null}",
        "recipe: null",
        "recipe: {pruning: {budgets: {per_group: {conv: 'conv*'}, float: [0.25, 4], log: true}}}",
    ],
)
def test_what_people_write_is_not_marked(text: str) -> None:
    tree = parse_yaml("task: {network: digits_cnn, dataset: digits}\n" + text, "here")
    check_search(tree, source="here", name="here")
    assert mistakes(tree) == []


def test_every_key_says_what_it_is() -> None:
    models = {name: model for name, model in SCHEMA["$defs"].items() if "properties" in model}
    assert [
        f"{name}.{key}"
        for name, model in models.items()
        for key, inner in model["properties"].items()
        if "description" not in inner and name != "Range"
    ] == []


def test_names_of_the_registries_can_be_completed() -> None:
    (names, _) = SCHEMA["$defs"]["PruningRecipe"]["properties"]["method"]["anyOf"]
    assert {"lamp", "surp"} <= set(names["enum"])
