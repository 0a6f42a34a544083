"""Pages from templates: one file each, with plots, styles and scripts inside, that asks nothing of a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from rdsearch.base.terminal import printable
from rdsearch.base.units import format_duration, format_size
from rdsearch.points.scalars import format_cell
from rdsearch.report.labels import format_value
from rdsearch.report.table import format_ratio

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Content security policy of a page that asks nothing of anybody."""
LIVE_POLICY = POLICY.replace("script-src", "connect-src 'self'; script-src 'self'")
"""That of a page which a server of ours serves, and which asks it whether something has changed."""
PLOTLY_NAME = f"plotly-{get_plotlyjs_version()}.js"
"""Where a live page finds the plots' library, so that it comes but once."""


def rendered(
    template: str, title: str, figures: Mapping[str, go.Figure], *, live: int | None = None, **values: Any
) -> str:
    """A page as text.

    Args:
        template: Name of a template that extends ``page.html.j2``.
        title: Of the page.
        figures: By the id of the element that shows each.
        live: Number of this state of the page, where it is served and shows the next one of its own accord.
        values: What else the template shows; text is escaped.
    """
    return rendered_text(
        template,
        title=title,
        plotly=Markup(get_plotlyjs()) if live is None else None,  # noqa: S704 - the library's own source
        figures={name: _harmless(str(figure.to_json())) for name, figure in figures.items()},
        live=live,
        **values,
    )


def rendered_text(template: str, *, live: int | None = None, **values: Any) -> str:
    """Any template as text; see `rendered`."""
    policy = POLICY if live is None else LIVE_POLICY
    known = {"live": live, "policy": Markup(policy), "plotly_name": PLOTLY_NAME}  # noqa: S704 - a constant
    return _environment().get_template(template).render(**known, **values)


def script_text(value: Any) -> Markup:
    """Plain data as JSON that cannot end the script element it stands in."""
    return _harmless(json.dumps(value, separators=(",", ":"), allow_nan=False))


def _breakable(name: str) -> Markup:
    """A name that a narrow column may break after an underscore."""
    return Markup(escape(printable(name)).replace("_", Markup("_<wbr>")))  # noqa: S704 - escaped


def _harmless(text: str) -> Markup:
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rdsearch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        size=format_size,
        bytes=lambda value: f"{value:,}",
        ratio=format_ratio,
        duration=format_duration,
        accuracy=lambda value: "–" if value is None else f"{value:.4f}",
        drop=lambda value: f"{value:+.4f}".replace("-", "−"),
        cell=format_cell,
        value=format_value,
        printable=printable,
        breakable=_breakable,
    )
    return environment
