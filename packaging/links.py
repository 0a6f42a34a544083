"""Links that lead somewhere from wherever they are read."""

from __future__ import annotations

import re

_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z]+:|#")


def absolute(text: str, repository: str, version: str) -> str:
    """Markdown whose links need no checkout.

    Args:
        text: Markdown with links relative to the repository's root.
        repository: Its address, such as ``https://example.org/me/rdsearch``; may be empty.
        version: Whose tag the links lead to.
    """

    def link(match: re.Match[str]) -> str:
        picture, label, target = match["picture"], match["text"], match["target"]
        if _ELSEWHERE.match(target):
            return match[0]
        if not repository:
            return "" if picture else label
        return f"{picture}[{label}]({repository}/{'raw' if picture else 'blob'}/v{version}/{target})"

    return _LINK.sub(link, text)
