"""Reading YAML as people mean it: no key twice, ``1e-3`` is a number, every mistake a clear error."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from rdsearch.base.files import write_atomically
from rdsearch.errors import ConfigError

_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
       |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
       |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
       |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


_MOST_VALUES = 1_000_000
_LONGEST_BITS = 1024
"""Of a whole number: those of a float end there."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its two surprises: repeated keys pass silently, and ``1e-3`` is text."""


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
        if key in mapping:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands here twice", key_node.start_mark
            )
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


class _Dumper(yaml.SafeDumper):
    """Quotes text that the loader would take for a number: ``99e1681`` as an id."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse_yaml(text: str, source: str) -> Any:
    """The value that ``text`` stands for.

    Raises:
        ConfigError: It is not YAML, with the line and column.
    """
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with two corrections
        values = _count(tree, {})
    except RecursionError:
        raise ConfigError(source, ["it nests too deep to be read"]) from None
    except (ValueError, LookupError, AttributeError) as error:
        # What looks like a date or a number, or is said to be one, and is none.
        raise ConfigError(source, [f"a value cannot be read: {error}; put text into quotes"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or str(error)
        raise ConfigError(source, [f"{where}{reason}"]) from None
    if values > _MOST_VALUES:
        raise ConfigError(source, [f"with its aliases written out it has {values:,} values; at most {_MOST_VALUES:,}"])
    return tree


def _count(value: Any, known: dict[int, int]) -> int:
    """Values in a tree, with those that aliases repeat counted each time.

    Raises:
        ValueError: A whole number is so long that it cannot be shown.
    """
    if isinstance(value, int) and value.bit_length() > _LONGEST_BITS:
        raise ValueError(f"a whole number has {value.bit_length():,} bits")
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(value)]


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: The file is missing, unreadable, or holds something else than a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(str(path), [f"cannot be read: {reason}"]) from None
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, dict):
        found = "is empty" if tree is None else f"holds {str(tree)[:60]}"
        raise ConfigError(str(path), [f"{found}; it must be a mapping of keys to values (key: value)"])
    return tree


def write_yaml(path: Path, tree: Any) -> None:
    """Write ``tree`` as YAML, keys in their order."""
    write_atomically(path, dump_yaml(tree))


def dump_yaml(tree: Any, *, in_one_line: bool = False) -> str:
    """``tree`` as YAML that `parse_yaml` reads as it was, keys in their order."""
    form: dict[str, Any] = {"default_flow_style": True, "width": math.inf} if in_one_line else {}
    return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **form))


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Set one value of ``tree`` in place from ``"a.b=c"``; ``c`` is read as YAML.

    Raises:
        ConfigError: It is not of this form, or the path leads through a value that has no keys.
    """
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError("--set", [f"{override!r} must be of the form path.to.key=value"])
    node = tree
    for position, key in enumerate(keys[:-1]):
        if node.get(key) is None:
            node[key] = {}
        node = node[key]
        if not isinstance(node, dict):
            here = ".".join(keys[: position + 1])
            raise ConfigError("--set", [f"{override!r}: {here} is {node!r}, which has no keys"])
    node[keys[-1]] = parse_yaml(text, f"--set {path}")
