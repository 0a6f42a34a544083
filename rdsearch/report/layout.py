"""The look that all interactive figures share; the page's style sheet gives text and grid their colours."""

from __future__ import annotations

from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def base_layout(vertical_title: str) -> dict[str, Any]:
    """Layout of a figure with transparent background, in the page's font."""
    axis = {"zeroline": False, "showline": True, "ticks": "outside", "automargin": True}
    return {
        "template": "none",
        "font": {"family": FONT, "size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": axis,
        "yaxis": {**axis, "title": {"text": vertical_title, "standoff": 10}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        "margin": {"l": 64, "r": 16, "t": 48, "b": 52},
        "height": 480,
        "hoverlabel": {"align": "left", "font": {"family": FONT}},
    }
