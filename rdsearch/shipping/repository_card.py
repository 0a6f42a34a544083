"""The model card of a repository: metadata that the Hub reads, and the files with their figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rdsearch.base.units import format_size
from rdsearch.config.yamlfile import dump_yaml
from rdsearch.shipping.card import score_text, table
from rdsearch.tasks.preprocessing import preprocessing_text


def repository_card(config: Mapping[str, Any], n_validation: int | None) -> str:
    """The page, as Markdown with metadata in YAML before it.

    Args:
        config: The repository's ``config.json``.
        n_validation: Validation examples, where the score is an accuracy.
    """
    word = "accuracy" if config["score"]["accuracy"] else "score"
    points, dense = config["points"], config["dense"]
    metadata: dict[str, Any] = {
        "library_name": "rdsearch",
        "tags": ["rdsearch", "model-compression", "pruning", "quantization"],
    }
    if config["score"]["accuracy"]:
        metadata["metrics"] = ["accuracy"]
    tested = any(point["test_accuracy"] is not None for point in points)
    head = ["file", "bytes", "times smaller", f"validation {word}", "drop", *([f"test {word}"] if tested else [])]
    rows = [
        [
            f"[`{point['file'].partition('/')[2]}`]({point['file']})",
            f"{point['size_bytes']:,}",
            f"{point['compression_ratio']:.1f}",
            score_text(point["val_accuracy"], n_validation),
            f"{point['accuracy_drop']:+.4f}",
            *([_test(point)] if tested else []),
        ]
        for point in points
    ]
    first = points[0]["file"]
    sizes = sorted(point["size_bytes"] for point in points)
    span = format_size(sizes[0]) + (f" to {format_size(sizes[-1])}" if len(sizes) > 1 else "")
    return (
        "\n\n".join(
            [
                f"---\n{dump_yaml(metadata).strip()}\n---",
                f"# {config['task']}, compressed to {span}",
                f"The dense network takes {dense['size_bytes']:,} bytes of float32 and has a validation {word} of "
                f"{score_text(dense['val_accuracy'], n_validation)}. Each file below decodes to the network whose "
                f"{word} is shown.",
                table(head, rows),
                "## Use it",
                "```python\nimport rdsearch\n\n"
                f'weights = rdsearch.load("{first}")  # name to tensor; or, into a network of the same class:\n'
                f'network = rdsearch.load("{first}", into=network)\n```',
                f"Inputs: {preprocessing_text(config['inputs'])}.",
                "Decoded, the network is an ordinary dense one with many zeros: smaller to store and send, not faster.",
                f"The `.recipe.yaml` beside each file says how it was made. Made by rdsearch {config['version']}.",
            ]
        )
        + "\n"
    )


def _test(point: Mapping[str, Any]) -> str:
    return "" if point["test_accuracy"] is None else f"{point['test_accuracy']:.4f}"
