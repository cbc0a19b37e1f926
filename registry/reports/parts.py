"""The parts that all cards are made of."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from registry.words import markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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
