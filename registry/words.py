"""Numbers and foreign text as people read them; and as Markdown that stays text."""

from __future__ import annotations

import re
import unicodedata
from math import floor, inf, isfinite, log10

NOTHING = "\N{EN DASH}"
"""What stands where there is no number."""

_MINUS = "\N{MINUS SIGN}"

_PLAIN = (1e-6, 1e15)  # outside of these sizes digits alone are hard to read

# A mark inside a word or a number is harmless there, and its name more legible without an entity.
_MEANINGFUL = re.compile(
    r"""(?<=[^\W_])[-_=@](?=[^\W_]) | (?<=\d)\.(?=\d) | (?P<mark>[\\`*_{}\[\]<>()\#+\-.!|~&:$@=^"])""",
    re.VERBOSE,
)


def number(value: float, digits: int = 4) -> str:
    """The significant *digits*, or all of them before the point; ``12,345``, ``0.8100``."""
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    if not isfinite(value):
        text = f"{value}".replace("inf", "∞")
    elif not _PLAIN[0] <= abs(rounded) < _PLAIN[1]:
        text = f"{value:.{digits}g}"
    else:
        decimals = max(0, digits - 1 - floor(log10(abs(rounded))))
        text = f"{value:,.{decimals}f}"
    return text.replace("-", _MINUS)


def signed(value: float) -> str:
    """The number with its sign, ``+0.0143``; zero has none."""
    text = number(value)
    return text if text == "0" or text.startswith(_MINUS) else f"+{text}"


def short(value: float) -> str:
    """A number that somebody chose, as it was written: ``0.005``."""
    text = number(value, 6)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def lower_bound(bound: float | None) -> str:
    """A lower bound, of which None is minus infinity."""
    return number(-inf if bound is None else bound)


def interval(lower: float | None, upper: float | None) -> str:
    """Two bounds, ``0.0123 … ∞``; None is infinite."""
    return f"{lower_bound(lower)} … {number(inf if upper is None else upper)}"


def count(things: int, thing: str) -> str:
    """``1 row``, ``21,345 rows``, ``2 batches``, ``3 aliases``."""
    plural = f"{thing}es" if thing.endswith(("ch", "s")) else f"{thing}s"
    return f"{things:,} {thing if things == 1 else plural}"


def visible(text: str) -> str:
    """*text* on one line, with a mark for each character that would show nothing or steer a terminal."""
    return "".join(" " if character.isspace() else _visible(character) for character in text)


def plain(text: str, longest: int) -> str:
    """*text* on one line of at most *longest* characters, without any that are invisible."""
    line = " ".join(visible(text).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def markdown(text: str, longest: int = 120) -> str:
    """*text* from outside as Markdown that shows it and means nothing: no table cell, link, image or HTML.

    What could mean something becomes a numeric character reference, which CommonMark and GitHub's tables
    never read as structure (CommonMark 0.31, section 2.5).
    """
    return _MEANINGFUL.sub(_reference, plain(text, longest))


def _reference(match: re.Match[str]) -> str:
    mark = match["mark"]
    return match[0] if mark is None else f"&#{ord(mark)};"


def _visible(character: str) -> str:
    # "C": controls, marks that turn the direction of writing, lone surrogates, unassigned code points
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character).startswith("C") else character
