"""The common ground of every settings model: strict keys, and pydantic's complaints in one voice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from rdsearch.base.registry import Registry, among, suggest
from rdsearch.errors import UnknownNameError

# What pydantic puts into the location of a mistake beside keys: the branch of a union, and that it is the key itself.
_BRANCHES = frozenset(
    {"float", "int", "str", "bool", "constrained-float", "constrained-int", "constrained-str", "[key]"}
)
_BRANCH_PREFIXES = ("list[", "dict[", "tuple[", "function-")

# What pydantic says of a value that is out of bounds or of the wrong type, in our words. ``{...}`` comes from
# the error's context.
_ALLOWED = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_long": "must not have more than {max_length} items",
    "invalid_key": "is a key, and keys must be text",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "finite_number": "must be a finite number",
}


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values do not change after the check."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    removed: ClassVar[Mapping[str, str]] = {}
    """Keys that an earlier version had, each to what is said where one is given."""

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # pydantic takes true for 1, so that "trials: yes" would be one trial.
        if isinstance(value, bool) and info.field_name:
            annotation = str(cls.model_fields[info.field_name].annotation)
            if "bool" not in annotation and ("int" in annotation or "float" in annotation):
                raise PydanticCustomError("float_type" if "float" in annotation else "int_type", "must be a number")
        return value


class Known:
    """In the annotation of a setting: the names of a registry, and on others the list of what is known."""

    def __init__(self, registry: Registry[Any]) -> None:
        self._registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self._registry)}

    def _check(self, name: str) -> str:
        try:
            return self._registry.check(name)
        except UnknownNameError as error:
            raise ValueError(str(error)) from None


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """One line a mistake: its path, the value seen, what is allowed, and the nearest name for an unknown key.

    Args:
        error: What pydantic raised when it validated ``model``.
        model: The model that was validated; its fields are the allowed keys.
        prefix: Path of the model in the whole file, put before every path (``"task"``).
    """
    said: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        said.setdefault(_path(prefix, detail), []).append(detail)
    lines = []
    for path, details in said.items():
        telling = [detail for detail in details if not _is_wrong_type(detail)]
        if telling:
            lines += [f"{path}: {_complaint(detail, model)}" for detail in telling]
        elif not any(other.startswith(f"{path}.") for other in said):
            lines.append(f"{path}: {_wrong_type(details)}")
    return lines


def shown(value: object) -> str:
    """A value as a settings file has it: ``true``, ``null``, and text in quotes."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _path(prefix: str, detail: ErrorDetails) -> str:
    *parents, last = detail["loc"] or ("",)
    keys = [str(part) for part in parents if not _is_branch(part)]
    if detail["type"] == "extra_forbidden" or not _is_branch(last):
        keys.append(str(last))
    return ".".join(key for key in (prefix, *keys) if key) or "the file"


def _is_branch(part: object) -> bool:
    return isinstance(part, str) and (part in _BRANCHES or part.startswith(_BRANCH_PREFIXES))


def _is_wrong_type(detail: ErrorDetails) -> bool:
    return detail["type"].endswith(("_type", "_parsing", "_from_float"))


def _wrong_type(details: Sequence[ErrorDetails]) -> str:
    """That a value is of no type that its key takes; more than one where the key takes several."""
    rules = dict.fromkeys(_rule(detail).removeprefix("must be ") for detail in details)
    return f"{shown(details[0]['input'])} must be {' or '.join(rules)}"


def _complaint(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        inner, key = _model_at(model, detail["loc"][:-1]), str(detail["loc"][-1])
        if issubclass(inner, Settings) and key in inner.removed:
            return inner.removed[key]
        return f"unknown key{among(key, list(inner.model_fields), 'allowed here are')}"
    if kind == "missing":
        return "is required and not given"
    if kind == "value_error":
        return str(detail["ctx"]["error"]).rstrip(".") if "ctx" in detail else detail["msg"]
    return f"{shown(value)} {_rule(detail)}{_nearest_literal(detail)}"


def _rule(detail: ErrorDetails) -> str:
    template = _ALLOWED.get(detail["type"])
    # Bounds come as floats; 1.0 reads better as 1.
    context = {
        name: int(bound) if isinstance(bound, float) and bound.is_integer() else bound
        for name, bound in detail.get("ctx", {}).items()
    }
    return template.format(**context) if template else detail["msg"]


def _nearest_literal(detail: ErrorDetails) -> str:
    if detail["type"] != "literal_error" or not isinstance(detail["input"], str):
        return ""
    expected = str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
    nearest = suggest(detail["input"], [name.strip("' ") for name in expected.split(",")])
    return f".{nearest}" if nearest else ""


def _model_at(model: type[BaseModel], location: Sequence[object]) -> type[BaseModel]:
    """The model found by walking ``location`` down from ``model``."""
    current: type[BaseModel] = model
    for part in location:
        info = current.model_fields.get(str(part))
        if info is None:
            continue
        inner = [info.annotation, *getattr(info.annotation, "__args__", ())]
        current = next((kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)), current)
    return current


def flatten(settings: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Leaves of nested mappings by their address: ``{("pruning", "rate"): 0.2, ...}``; an empty mapping is a leaf."""
    leaves: dict[tuple[str, ...], Any] = {}
    for key, value in settings.items():
        address = (*prefix, str(key))
        if isinstance(value, Mapping) and value:
            leaves.update(flatten(value, address))
        else:
            leaves[address] = value
    return leaves
