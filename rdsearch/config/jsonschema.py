"""The JSON schema of a search file, by which editors complete keys, show what they mean and mark mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, create_model
from pydantic.json_schema import GenerateJsonSchema

from rdsearch.config.recipe import Recipe
from rdsearch.config.searchfile import ResourceConfig, SearchConfig
from rdsearch.tasks.settings import TaskConfig

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_BOUNDS = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_DOMAIN = {
    "description": "A range that the search tries values from.",
    "type": "object",
    "properties": {
        "choice": {"description": "One of these values.", "type": "array", "items": _SCALAR, "minItems": 1},
        "int": {"description": "A whole number from the first to the second, both included.", **_BOUNDS},
        "float": {"description": "A number between the two.", **_BOUNDS},
        "log": {"description": "Whether the range is even in orders of magnitude.", "type": "boolean"},
        "points": {"description": "Values that sampler grid takes of the range.", "type": "integer", "minimum": 2},
        "per_group": {
            "description": "Names of groups of layers, each with the pattern of its layers.",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
    },
    "additionalProperties": False,
    "minProperties": 1,
}


def search_file_schema() -> dict[str, Any]:
    """The schema, for JSON Schema 2020-12: every key, its meaning, and in the recipe a range instead of any value.

    A file that fits it may still be wrong in ways that no schema can say; ``rdsearch validate`` says those.
    """
    parts: dict[str, Any] = {
        "task": (TaskConfig, None),
        "recipe": (Recipe, None),
        "search": (SearchConfig, None),
        "resources": (ResourceConfig, None),
    }
    whole: type[BaseModel] = create_model("SearchFile", **parts)
    schema = whole.model_json_schema()
    recipes = _named("recipe", schema)
    for name in recipes:
        model = schema["$defs"][name]
        model["properties"] = {key: _or_range(inner, recipes) for key, inner in model["properties"].items()}
    schema["$defs"]["Range"] = _DOMAIN
    for name in ("recipe", "search", "resources"):
        schema["properties"][name] = _or_null(schema["properties"][name])
    for name in ("pruning", "retrain"):
        recipe = schema["$defs"]["Recipe"]["properties"]
        recipe[name] = _or_null(recipe[name])
    schema["additionalProperties"] = False
    # What ``config.yaml`` of a search has besides.
    schema["properties"] |= {"name": {"type": "string"}, "id": {"type": "string"}}
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "rdsearch search file"}


def _named(section: str, schema: Mapping[str, Any]) -> set[str]:
    """The models that a section is made of."""
    found: set[str] = set()
    open_ = [schema["properties"][section]]
    while open_:
        for name in _references(open_.pop()):
            if name not in found:
                found.add(name)
                open_.append(schema["$defs"][name])
    return found


def _references(part: Any) -> list[str]:
    if isinstance(part, Mapping):
        here = [part["$ref"].rpartition("/")[2]] if "$ref" in part else []
        return here + [name for inner in part.values() for name in _references(inner)]
    return [name for inner in part for name in _references(inner)] if isinstance(part, list) else []


def _or_null(value: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a part that may be left empty."""
    return {"anyOf": [dict(value), {"type": "null"}]} | {key: value[key] for key in ("description",) if key in value}


def _or_range(value: Mapping[str, Any], models: set[str]) -> dict[str, Any]:
    """The schema of a key of the recipe that holds a value, or a range of values."""
    if set(_references(value)) & models:
        return dict(value)  # a part with keys of its own, which have ranges
    kept = {key: value[key] for key in ("description", "title", "default") if key in value}
    rest = {key: inner for key, inner in value.items() if key not in kept}
    return {**kept, "anyOf": [rest, {"$ref": "#/$defs/Range"}]}
