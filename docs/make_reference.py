"""Writes the reference parts of docs/search-files.md and docs/cli.md from the code.

Each part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the text around it is written by hand.
Run ``python docs/make_reference.py`` after a setting or a command has changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from rdsearch.cli import app
from rdsearch.config import defaults
from rdsearch.config.recipe import ProfileRecipe, PruningRecipe, QuantizationRecipe, SurpRecipe
from rdsearch.config.searchfile import (
    AT_LEAST,
    AT_MOST,
    SAMPLERS,
    TRACKERS,
    HalvingConfig,
    ResourceConfig,
    SearchConfig,
)
from rdsearch.pruning import METHODS, SCHEDULES
from rdsearch.retraining.settings import DistillationSettings, LevelTraining, RetrainRecipe
from rdsearch.tasks import DATASETS, NETWORKS
from rdsearch.tasks.settings import FactoryOptions, TaskConfig, TrainingConfig

DOCS = Path(__file__).parent
PAGES = ("search-files.md", "cli.md")
HELP_WIDTH = 100

SECTIONS: dict[str, type[BaseModel]] = {
    "task": TaskConfig,
    "task.options": FactoryOptions,
    "task.train": TrainingConfig,
    "recipe.pruning": PruningRecipe,
    "recipe.pruning.profile": ProfileRecipe,
    "recipe.pruning.surp": SurpRecipe,
    "recipe.retrain": RetrainRecipe,
    "recipe.retrain.distillation": DistillationSettings,
    "recipe.quantization": QuantizationRecipe,
    "recipe.quantization.training": LevelTraining,
    "search": SearchConfig,
    "search.halving": HalvingConfig,
    "resources": ResourceConfig,
}

# What is allowed where a validator and not the type says so.
ALLOWED: dict[str, Iterable[str]] = {
    "recipe.pruning.method": METHODS,
    "recipe.pruning.schedule": SCHEDULES,
    "search.sampler": SAMPLERS,
    "search.trackers": TRACKERS,
    "search.constraints": (*AT_MOST, *AT_LEAST),
}
ALLOWED_TEXT = {
    "task.network": "see [networks](#networks)",
    "task.dataset": "see [data sets](#data-sets)",
    "task.validation": "count ≥ 1, or 0 < share < 1",
    "search.time": "above 0; seconds, or text such as `2h`, `90m`, `1h30m`",
    "resources.gpu": "0 to 1",
    "search.storage": "`postgresql://…`, `mysql://…`, `sqlite:////absolute/path.db`",
}
LEFT_OPEN = ("search.constraints", "recipe.quantization.method", "recipe.quantization.step", "resources.gpu")
CHOSEN = "[chosen](#what-a-file-leaves-open)"
_TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def section_table(section: str) -> str:
    """The keys of one section of a search file, as a Markdown table."""
    model = SECTIONS[section]
    schema = model.model_json_schema()
    rows = ["| key | type | allowed | default | meaning |", "|---|---|---|---|---|"]
    for name, info in model.model_fields.items():
        key = f"{section}.{name}"
        described = schema["properties"][name]
        default = "required" if info.is_required() else CHOSEN if key in LEFT_OPEN else _default(info.default)
        cells = (f"`{name}`", _type(described, key), _allowed(described, key), default, _prose(info.description or ""))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _branches(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(described.get("anyOf", [described]))


def _type(described: Mapping[str, Any], key: str) -> str:
    if key in SECTIONS:
        return f"keys, see [`{key}`](#{key.replace('.', '')})"
    return " or ".join(dict.fromkeys(_type_of(branch) for branch in _branches(described)))


def _type_of(branch: Mapping[str, Any]) -> str:
    if "enum" in branch or "const" in branch:
        return "text"
    if branch.get("type") == "array":
        items = branch.get("items") or branch["prefixItems"][0]
        return f"list of {_type_of(items)}s" if _type_of(items) != "text" else "list of texts"
    if branch.get("type") == "object":
        return "mapping"
    return "path" if branch.get("format") == "path" else _TYPES[branch["type"]]


def _allowed(described: Mapping[str, Any], key: str) -> str:
    if key in ALLOWED:
        return ", ".join(f"`{name}`" for name in ALLOWED[key])
    if key in ALLOWED_TEXT:
        return ALLOWED_TEXT[key]
    if key in SECTIONS:
        return ""
    return "; ".join(dict.fromkeys(text for branch in _branches(described) if (text := _range(branch))))


def _range(branch: Mapping[str, Any]) -> str:
    if "enum" in branch:
        return ", ".join(f"`{value}`" for value in branch["enum"])
    if "const" in branch:
        return f"`{branch['const']}`"
    if "prefixItems" in branch:
        return ", ".join(_range(item) for item in branch["prefixItems"])
    if branch.get("type") == "array":
        return _range(branch["items"])
    if branch.get("type") == "object":
        values = branch.get("additionalProperties")
        return f"values {_range(values)}" if isinstance(values, dict) and _range(values) else ""
    return ", ".join(f"{sign} {_number(branch[name])}" for name, sign in _BOUNDS.items() if name in branch)


def _number(value: float) -> str:
    return "2⁶³" if value == 2**63 else "2³²" if value == 2**32 else f"{value:,.10g}".replace(",", " ")


def _default(value: Any) -> str:
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _prose(text: str) -> str:
    plain = " ".join(text.replace("``", "`").split()).rstrip(".")
    return plain[:1].upper() + plain[1:]


def defaults_text() -> str:
    """What a search does where its file says nothing, as `rdsearch.config.defaults` has it."""
    parts = [
        "| left open | chosen |",
        "|---|---|",
        f"| `search.constraints` | `accuracy_drop: {defaults.ACCURACY_DROP:g}` where the score is an accuracy; none "
        "elsewhere |",
        *(
            f"| `recipe.quantization.method`, `step` | {_flow(quantizer)} {when} |"
            for quantizer, when in (
                (defaults.QUANTIZERS[True], "where the inputs of all layers can be looked at"),
                (defaults.QUANTIZERS[False], "elsewhere, and where `dead_zone` is given"),
            )
        ),
        f"| `recipe.quantization.granularity` | {_flow(defaults.WITHOUT_ACCURACY)} where the method is `sequential` "
        "and the score no accuracy |",
        f"| `resources.gpu` | {defaults.GPU_SHARE_SMALL:g} for networks of less than "
        f"{_number(defaults.SMALL_PARAMETERS)} parameters, {defaults.GPU_SHARE_LARGE:g} for others |",
    ]
    kind = defaults.Kind(
        accuracy=True, trains=True, calibrates=True, parameters=266_610, examples=54_000, smallest_file=20
    )
    for space, when in (
        (
            defaults.usual_space(kind),
            "`recipe`, where the network can be trained again (its task has a loss, or its targets are classes): "
            "training for the file, in part taught by the dense network where the score is an accuracy. "
            "Sizes and passes are those of LeNet-300-100 on MNIST: from a thousandth to a tenth of the "
            f"dense network's bytes, and about {_number(defaults.FILE_STEPS)} steps.",
        ),
        (defaults.usual_space(replace(kind, trains=False)), "`recipe`, where it cannot:"),
        (
            defaults.rounds_space(kind),
            "`rdsearch init --rounds`, and where a file is hardly larger than the names in it:",
        ),
    ):
        lines = "\n".join(f"  {section}: {{{_flow_items(keys)}}}" for section, keys in space.items())
        parts += ["", when, "", f"```yaml\nrecipe:\n{lines}\n```"]
    step = _flow_items({"step": defaults.STEPS[False]})
    return "\n".join([*parts, "", f"Where the quantiser is `uniform`, the space has `{step}`."])


def _flow(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}: {value}`" for key, value in values.items())


def _flow_items(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {_flow_value(value)}" for key, value in values.items())


def _flow_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + _flow_items(value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow_value, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def command_reference() -> str:
    """What ``--help`` says of every command."""
    top = click.Context(app, info_name="rdsearch", terminal_width=HELP_WIDTH, **app.context_settings)
    parts = [f"```text\n{app.get_help(top)}\n```"]
    for name, command in app.commands.items():
        context = click.Context(command, info_name=name, parent=top, terminal_width=HELP_WIDTH)
        parts.append(f"## rdsearch {name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


PARTS: dict[str, Callable[[], str]] = {
    **{section: (lambda section=section: section_table(section)) for section in SECTIONS},  # type: ignore[misc]
    "defaults": defaults_text,
    "networks": lambda: _names(NETWORKS),
    "data-sets": lambda: _names(DATASETS),
    "commands": command_reference,
}


def refreshed(text: str) -> str:
    """A page with its generated parts made anew.

    Raises:
        KeyError: A part has a name that nothing generates.
    """
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}", text)


def main() -> None:
    """Refresh the pages in place."""
    for name in PAGES:
        page = DOCS / name
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
