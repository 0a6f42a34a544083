"""Fronts and published points as files for papers and other programs: pictures, pages, CSV and LaTeX tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence

from rdsearch.base.terminal import printable
from rdsearch.errors import RdsearchError
from rdsearch.points.point import OperatingPoint
from rdsearch.report.comparison import Comparison
from rdsearch.report.comparison_page import render_comparison
from rdsearch.report.image import IMAGE_SUFFIXES, comparison_picture, front_picture, picture_bytes

_COLUMNS = ("name", "point", "size_bytes", "compression_ratio", "val_accuracy", "test_accuracy", "source")
_SPECIAL = re.compile(r"[\\{}$&#^_~%]")
_ESCAPES = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}


def exported(comparison: Comparison, suffix: str, points: Sequence[OperatingPoint] = ()) -> str | bytes:
    """What a file with one of `EXPORTS` as its suffix holds.

    Args:
        comparison: What to show.
        suffix: ``".svg"``, say.
        points: Of a comparison of one search, every operating point, for its picture.

    Raises:
        RdsearchError: matplotlib, which pictures need, is not installed; or the suffix is none of `EXPORTS`.
    """
    if suffix in IMAGE_SUFFIXES:
        alone = len(comparison.contenders) == 1
        front = comparison.contenders[0].front
        picture = (
            front_picture(points, front, references=comparison.references)
            if alone and (points or len(front))
            else comparison_picture(comparison)
        )
        return picture_bytes(picture, suffix)
    if suffix not in _TEXTS:
        raise RdsearchError(f"a report cannot be a {suffix or 'file without an ending'}: give {', '.join(EXPORTS)}")
    return _TEXTS[suffix](comparison)


def csv_text(comparison: Comparison) -> str:
    """One row a file of a front, then one a published point, whose accuracy is taken for a test accuracy."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in comparison.contenders:
        for number, point in enumerate(one.front, start=1):
            figures = (point.compression_ratio, point.val_accuracy, point.test_accuracy)
            cells = ["" if figure is None else repr(float(figure)) for figure in figures]
            writer.writerow([printable(one.name), number, point.size_bytes, *cells, ""])
    for published in comparison.references:
        row = [published.name, "", published.size_bytes, "", "", repr(published.accuracy), published.source]
        writer.writerow(row)
    return text.getvalue()


def latex_text(comparison: Comparison) -> str:
    """A table for the ``booktabs`` package, one block a search, the published points last."""
    blocks = []
    for one in comparison.contenders:
        rows = [_row(escaped(one.name), "dense", one.front.baseline_size_bytes, 1.0, one.front.baseline_accuracy, None)]
        rows += [
            _row("", str(number), point.size_bytes, point.compression_ratio, point.val_accuracy, point.test_accuracy)
            for number, point in enumerate(one.front, start=1)
        ]
        blocks.append("\n".join(rows))
    published = [
        _row(escaped(f"{one.name}, {one.source}".removesuffix(", ")), "", one.size_bytes, None, None, one.accuracy)
        for one in comparison.references
    ]
    blocks += ["\n".join(published)] if published else []
    body = "\n\\midrule\n".join(blocks)
    head = r"search & file & bytes & ratio & validation & test \\"
    return (
        "% needs \\usepackage{booktabs}\n"
        f"\\begin{{tabular}}{{llrrrr}}\n\\toprule\n{head}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"
    )


def escaped(text: str) -> str:
    """Text as LaTeX shows it: no character of it is a command."""
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], f"\\{found[0]}"), printable(text))


def _row(name: str, file: str, size: int, ratio: float | None, validation: float | None, test: float | None) -> str:
    digits = f"{size:,}".replace(",", r"\,")
    ratios = "--" if ratio is None else f"{ratio:.{1 if ratio < 99.95 else 0}f}$\\times$"
    accuracies = ["--" if accuracy is None else f"{accuracy:.4f}" for accuracy in (validation, test)]
    return " & ".join([name, file, digits, ratios, *accuracies]) + r" \\"


_TEXTS: Mapping[str, Callable[[Comparison], str]] = {".html": render_comparison, ".csv": csv_text, ".tex": latex_text}
EXPORTS = (*_TEXTS, *IMAGE_SUFFIXES)
"""What a report can be, by the ending of its file."""
