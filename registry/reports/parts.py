"""The parts that all cards are made of."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC
from typing import TYPE_CHECKING
from urllib.parse import quote

from registry.words import markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

_LONGEST_LINK = 60


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; each of the *columns* is a head and a rule, such as ``Metric :--``."""
    heads, rules = zip(*(column.rsplit(" ", 1) for column in columns), strict=True)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows))


def picture(alt: str, png: bytes) -> str:
    """A PNG within the text, so that it needs no server."""
    return f"![{markdown(alt)}](data:image/png;base64,{b64encode(png).decode()})"


def small_print(*facts: str) -> str:
    """What belongs to the record, in a list; an empty fact is left out."""
    return "\n".join(f"- {fact}" for fact in facts if fact)


def minute(moment: datetime) -> str:
    """Such as ``2026-03-01 12:00 UTC``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def link(text: str, url: str | None) -> str:
    """*text* that leads to *url*, if there is one that a browser opens."""
    shown = markdown(text, _LONGEST_LINK)
    if url is None or not url.startswith(("http://", "https://")):
        return shown
    return f"[{shown}]({quote(url, safe=':/?&=%#@,;+~-._')})"


def footer(links: Mapping[str, str]) -> str:
    """A line of *links*, each a name and its URL; what a card ends with where somebody knows them."""
    if not links:
        return ""
    return f"\nSee {' · '.join(link(name, url) for name, url in links.items())}\n"
