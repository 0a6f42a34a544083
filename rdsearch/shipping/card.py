"""The model card: what a shipped network is, does and comes from, on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdsearch.base.units import format_size, standard_error
from rdsearch.points.point import OperatingPoint
from rdsearch.tasks.preprocessing import preprocessing_text

_FILES = {
    "network.rdz": "the compressed network; `rdsearch info`, `rdsearch decode`, `rdsearch.load`",
    "network.safetensors": "the same weights as dense float32 tensors",
    "network.onnx": "the same network for ONNX Runtime and others",
    "network.pt2": "the same network for torch alone (`torch.export.load`)",
    "predict.py": "runs the network on images or arrays",
    "inputs.json": "what is done to inputs; read by `predict.py`",
    "recipe.yaml": "how it was pruned, retrained and quantised",
    "provenance.json": "where it comes from, with the SHA-256 of each file",
}


@dataclass(frozen=True)
class Facts:
    """What the card says.

    Attributes:
        point: The file and its figures.
        n_validation: Validation examples, where the score is an accuracy.
        n_test: Test examples, where that is known and the score is an accuracy.
        n_front: Files on the front that it was chosen from.
        minimized: Whether scores are minus what the task returns.
        baseline: The dense network: `accuracy` and `size_bytes`.
        inputs: What is done to inputs.
        recipe: The recipe as YAML.
        manifest: The search's.
        command: The command that shipped it.
        sizes: Each shipped file's bytes.
        checked: What was found of each file, by its name.
        notes: What is missing, and why.
    """

    point: OperatingPoint
    n_validation: int | None
    n_test: int | None
    n_front: int
    minimized: bool
    baseline: Mapping[str, float]
    inputs: Mapping[str, Any]
    recipe: str
    manifest: Mapping[str, Any]
    command: str | None
    sizes: Mapping[str, int]
    checked: Mapping[str, str]
    notes: Sequence[str]


def card(facts: Facts) -> str:
    """The page, as Markdown."""
    name = facts.manifest["task"]
    sections = [
        f"# {name}, compressed to {format_size(facts.point.size_bytes)}",
        table(["figure", "value"], _figures(facts)),
        _choice(facts),
        "## Use it",
        _use(facts),
        "## Files",
        table(
            ["file", "bytes", "what it is", "checked"],
            [
                [f"`{file}`", f"{size:,}", _FILES[file], facts.checked.get(file, "")]
                for file, size in facts.sizes.items()
            ],
        ),
        *facts.notes,
        "Decoded, the network is an ordinary dense one of many zeros: smaller to store and to send, not faster.",
        "## Recipe",
        f"```yaml\n{facts.recipe.strip()}\n```",
        "## Provenance",
        table(["", ""], _provenance(facts)),
    ]
    return "\n\n".join(sections) + "\n"


def score_text(score: float, examples: int | None) -> str:
    """A score with its standard error, where that is known."""
    if examples is None:
        return f"{score:.4f}"
    return f"{score:.4f} ± {standard_error(score, examples):.4f} (standard error, {examples:,} examples)"


def _figures(facts: Facts) -> list[list[str]]:
    point, dense = facts.point, facts.baseline
    word = "accuracy" if facts.n_validation is not None else "score"
    turned = ", minus what the task returns" if facts.minimized else ""
    test = "not read; `rdsearch test` reads the test split"
    if point.test_accuracy is not None:
        test = score_text(point.test_accuracy, facts.n_test)
    return [
        ["size", f"{point.size_bytes:,} bytes"],
        ["dense network", f"{dense['size_bytes']:,} bytes of float32, {point.compression_ratio:.1f} times as many"],
        [f"validation {word}{turned}", score_text(point.val_accuracy, facts.n_validation)],
        [f"of the dense network, validation {word}", score_text(dense["accuracy"], facts.n_validation)],
        ["drop", f"{point.accuracy_drop:+.4f}"],
        [f"test {word}{turned}", test],
        ["zeros among the prunable weights", f"{point.sparsity:.2%}"],
        ["bits per prunable weight", f"{point.rate_bits_per_weight:.3f}"],
    ]


def _choice(facts: Facts) -> str:
    if facts.n_front == 1:
        return "Every figure is that of the decoded file."
    return (
        f"Every figure is that of the decoded file. It was chosen from {facts.n_front} files by their validation "
        "figures, which are therefore a little too good; a test figure is not."
    )


def _use(facts: Facts) -> str:
    told = f"Its inputs: {preprocessing_text(facts.inputs)}."
    parts = []
    if "predict.py" in facts.sizes:
        # Only where a raw image is all that is needed.
        example = "image.png" if facts.inputs.get("divided_by") and "transform" not in facts.inputs else "inputs.npy"
        parts.append(f"```bash\npython predict.py {example}\n```")
    parts.append(
        "```python\nimport rdsearch\n\n"
        'network = rdsearch.load("network.rdz", into=network)  # of the same class, or a state dict without into=\n```'
    )
    return "\n\n".join([*parts, told])


def _provenance(facts: Facts) -> list[list[str]]:
    manifest, point = facts.manifest, facts.point
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    hardware = manifest["hardware"]
    return [
        ["search", f"{manifest['name']}, begun {manifest['created']}, seed {manifest['seed']}"],
        ["its command", f"`{manifest['command']}`" if manifest["command"] else "from Python"],
        ["this folder's command", f"`{facts.command}`" if facts.command else "from Python"],
        ["trial, round", f"{point.trial}, {point.round}"],
        ["task fingerprint", f"`{manifest['task_fingerprint']}`"],
        ["validation part", f"`{manifest['split_fingerprints']['validation']}`"],
        ["versions", versions],
        ["machine", f"{hardware['platform']}, {hardware['processor']}, {', '.join(hardware['gpus']) or 'no GPU'}"],
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def ordered(folder: Path) -> list[Path]:
    """What is in a folder that is being shipped, in the card's order."""
    return [folder / name for name in _FILES if (folder / name).exists()]


KNOWN_FILES = frozenset(_FILES) | {"README.md"}
"""All that a shipped folder may hold."""
