"""What may be written down: texts, numbers, times and parameters that every database keeps, and how much.

SQLite takes a NUL, a NaN or a text of any length where PostgreSQL refuses it, so both are asked for less:
what comes in at a door is refused by its name there, and whatever slips through as a database is handed it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from registry.exceptions import InvalidName, InvalidParameters, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal[
    "actor",
    "alert",
    "batch",
    "column",
    "comment",
    "dataset name",
    "description",
    "key",
    "metric",
    "name",
    "reason",
    "run id",
    "slice",
    "source",
    "tag",
    "tag value",
    "target",
    "text",
    "value",
]

LONGEST: dict[Kind, int] = {
    "actor": 256,
    "alert": 256,
    "batch": 256,
    "column": 1_000,
    "comment": 5_000,  # it is part of a reason
    "dataset name": 1_000,
    "description": 100_000,
    "key": 256,
    "metric": 128,
    "name": 256,
    "reason": 10_000,
    "run id": 256,
    "slice": 500,  # in an index, of which a PostgreSQL's row has room for 2,704 bytes
    "source": 4_000,
    "tag": 250,
    "tag value": 100_000,  # MLflow's prompts are tags
    "target": 1_000,
    "text": 2**24,  # whatever a row holds: evidence, a schema, the reasons of a policy
    "value": 2**16,  # a text among the parameters
}
"""So many characters a text of each kind may have."""

MOST_TAGS = 100
"""So many tags a model or a version may have."""

LARGEST_PARAMETERS = 2**16
"""So many bytes of JSON the parameters of a version may have."""

DEEPEST = 32
"""So many lists and dicts may lie within one another in parameters."""

LARGEST_COUNT = 2**53
"""So many rows can be counted without a rounding."""

LARGEST_VALUE = 1e300
"""So large a metric may be; the sums over its batches have to be numbers, too."""

LARGEST_NUMBER = 999_999_999
"""No version has a higher number."""

_SHOWN = 40
_READABLE = 64  # bits; longer numbers are easier to tell in hex
_TOO_DEEP = f"they are more than {DEEPEST} levels deep; flatten them"
_TOO_MUCH = f"they are more than {LARGEST_PARAMETERS:,} bytes of JSON; put what is larger into a file"


def brief(text: str) -> str:
    """The beginning of *text*, for an error to name it by."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def shown(value: Any) -> str:
    """The beginning of a *value* as text, for an error to name it by; Python writes no 5,000 digits."""
    long = isinstance(value, int) and value.bit_length() > _READABLE
    return brief(f"{value:#x}" if long else str(value))


def check_text(kind: Kind, text: str) -> str:
    """Return *text* if every database can keep it, and it is not over-long, else raise InvalidName."""
    if "\0" in text or not _is_unicode(text):
        raise InvalidName(kind, brief(text), "leave out NUL characters and lone surrogates")
    if len(text) > LONGEST[kind]:
        rule = f"it has {len(text):,} characters; use at most {LONGEST[kind]:,}"
        raise InvalidName(kind, brief(text), rule)
    return text


def check_line(kind: Kind, text: str) -> str:
    """Return *text* if it is one line that can be read and kept, else raise InvalidName."""
    if not (text.strip() and len(text) <= LONGEST[kind] and text.isprintable()):
        raise InvalidName(kind, brief(text), f"use 1 to {LONGEST[kind]} printable characters")
    return text


def check_time(at: datetime) -> datetime:
    """The moment *at* in UTC; raise InvalidValue if it has no zone, or UTC no such year."""
    if at.tzinfo is None:
        raise InvalidValue("time", str(at), "give it a zone; at.astimezone() takes it as the local time here")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidValue("time", str(at), "the years 1 to 9999 in UTC are known") from None


def check_count(kind: str, count: int) -> int:
    """Return *count* if it is one, else raise InvalidValue."""
    if not 0 < count <= LARGEST_COUNT:
        raise InvalidValue(kind, shown(count), f"give a whole number from 1 to {LARGEST_COUNT:,}")
    return count


def check_parameters(parameters: dict[str, Any], default: Callable[[Any], Any]) -> dict[str, Any]:
    """The *parameters* as they will be read back; what is no JSON is turned into it by *default*.

    Raises:
        InvalidParameters: They have no JSON form, lose something in it, or are too much of it.
    """
    try:
        text = _written(parameters, default)
        read: dict[str, Any] = json.loads(text, object_pairs_hook=_each_key_once)
    except RecursionError:
        raise InvalidParameters(_TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise InvalidParameters(f"{error}; pass plain numbers, text, lists and dicts") from error
    try:
        for part in _parts(read):
            check_bound(part, "value")
    except (InvalidName, InvalidValue) as error:
        raise InvalidParameters(str(error)) from error
    return read


def check_bound(value: Any, kind: Kind = "text") -> None:
    """Refuse a text or a number that some database could not keep, or would keep as another one.

    Raises:
        InvalidName: The text has a NUL or a lone surrogate, or is over-long.
        InvalidValue: The number is not finite, or is whole and has more than 64 bits.
    """
    if isinstance(value, str):
        check_text(kind, value)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidValue("number", shown(value), "it has more than 64 bits; write it as text")
    elif isinstance(value, float) and not isfinite(value):
        raise InvalidValue("number", str(value), "give a finite one, or leave it out")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _written(parameters: dict[str, Any], default: Callable[[Any], Any]) -> str:
    """The JSON of the *parameters*, of which no more is made than may be kept."""
    encoder = json.JSONEncoder(default=default, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    parts, size = [], 0
    for part in encoder.iterencode(parameters):
        parts.append(part)
        size += len(part.encode(errors="surrogatepass"))
        if size > LARGEST_PARAMETERS:
            raise InvalidParameters(_TOO_MUCH)
    return "".join(parts)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("two keys of a dict are the same as text")
    return read


def _parts(value: Any) -> Iterator[Any]:
    """The keys and the values of a JSON value that hold nothing themselves, level by level."""
    level = [value]
    for _ in range(DEEPEST + 1):
        yield from (part for part in level if not isinstance(part, dict | list))
        level = [inner for part in level for inner in _inside(part)]
    if level:
        raise InvalidParameters(_TOO_DEEP)


def _inside(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return [*part, *part.values()]
    return part if isinstance(part, list) else []
