"""What the test of a part has found, whatever the part's own code raises."""

from __future__ import annotations

from collections.abc import Iterator


def said(problems: Iterator[str]) -> list[str]:
    """One sentence for each problem, each once; or what was raised while they were looked for."""
    try:
        return list(dict.fromkeys(problems))
    except Exception as error:  # whatever somebody else's code raises
        return [f"it raises {type(error).__name__}: {error}"]
