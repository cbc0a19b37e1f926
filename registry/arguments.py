"""What is written on the command line, or in a file that it names, as values that the library understands."""

from __future__ import annotations

import csv
import json
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from registry.exceptions import InvalidObservation, InvalidPolicy
from registry.monitoring import moment_of
from registry.policy import Better, Check, Floor, NotWorse, PromotionPolicy
from registry.retention import RetentionPolicy
from registry.suspicion import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

P = TypeVar("P", bound=BaseModel)


def moment(text: str) -> datetime:
    """A time, which is local unless it has a zone."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):  # the year 1 has no local time
        raise typer.BadParameter("write a time such as 2026-03-01 or 2026-03-01T12:00+00:00") from None


def tags(given: Sequence[str]) -> dict[str, str]:
    """Tags that were written as ``key=value``; the first equals sign ends the key."""
    pairs = [text.partition("=") for text in given]
    for key, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{key!r} is no KEY=VALUE, such as team=risk")
    return {key: value for key, _, value in pairs}


# Batches of live rows


@dataclass(frozen=True)
class Batch:
    """A batch as it was written down: what is not given is None."""

    key: str
    value: float | None
    rows: int | None
    at: datetime | None


def batches(file: Path) -> list[Batch]:
    """The batches in a CSV file with the columns batch, value, rows and perhaps at.

    Raises:
        InvalidObservation: It can't be read, lacks a column, or a line of it makes no sense.
    """
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            return [_batch(file, table.line_num, row) for row in table]
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidObservation(str(file), str(error)) from error


def readings(given: Sequence[Batch]) -> list[Reading]:
    """The batches as the library takes them; a time is that in the batch's name, else now, unless given."""
    if not given:
        raise typer.BadParameter("give --value, --rows and --batch, or a file of --batches")
    now = datetime.now(UTC)
    return [_reading(batch, now) for batch in given]


def _batch(file: Path, line: int, row: dict[str, Any]) -> Batch:
    try:
        at = moment(row["at"]) if row.get("at") else None
        return Batch(row["batch"], float(row["value"]), int(row["rows"]), at)
    except KeyError as column:
        reason = f"it has no column {column}; batch, value and rows are needed"
        raise InvalidObservation(str(file), reason) from None
    except (ValueError, TypeError, typer.BadParameter) as error:
        raise InvalidObservation(f"line {line} of {file}", str(error)) from error


def _reading(batch: Batch, now: datetime) -> Reading:
    if not batch.key or batch.value is None or batch.rows is None:
        raise typer.BadParameter("a batch needs all of --value, --rows and --batch")
    at = batch.at or moment_of(batch.key, now)
    return Reading(batch=batch.key, value=batch.value, rows=batch.rows, at=at)


# Policies


def promotion_policy(file: Path | None, checks: tuple[Check, ...], min_rows: int | None) -> PromotionPolicy:
    """The policy in a file, or of checks that were given one by one.

    Raises:
        InvalidPolicy: Neither is given, or both, or it could not decide anything.
    """
    if file is not None and (checks or min_rows is not None):
        raise InvalidPolicy(f"{file} says all that must hold; give the file or the options, not both")
    if file is not None:
        return policy(file, PromotionPolicy)
    if not checks:
        raise InvalidPolicy("nothing must hold; say what must by --better, --not-worse, --floor or --policy")
    if min_rows is None:
        return PromotionPolicy(checks=checks)
    return PromotionPolicy(checks=checks, min_rows=min_rows)


def retention_policy(file: Path | None, **given: Any) -> RetentionPolicy | None:
    """The policy in a file, or of what is *given* of its fields; None if neither is.

    Raises:
        InvalidPolicy: Both are given, or it could not decide anything.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    if file is not None and fields:
        raise InvalidPolicy(f"{file} says all that is kept; give the file or the options, not both")
    if file is not None:
        return policy(file, RetentionPolicy)
    return RetentionPolicy.model_validate(fields) if fields else None


def policy(file: Path, kind: type[P]) -> P:
    """The policy of a *kind* in a JSON or TOML file.

    Raises:
        InvalidPolicy: It can't be read, or holds no such policy.
    """
    try:
        text = file.read_text()
        content = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
        return kind.model_validate(content)
    except (OSError, ValueError, InvalidPolicy) as error:
        raise InvalidPolicy(f"{file}: {_cause(error)}") from error


def checks(better: Sequence[str], not_worse: Sequence[str], floor: Sequence[str]) -> tuple[Check, ...]:
    """The checks of a promotion policy: metrics, and metrics with a margin or a floor, ``accuracy=0.9``.

    Raises:
        InvalidPolicy: One is no metric with a number.
    """
    return (
        *map(Better, better),
        *(NotWorse(metric, margin) for metric, margin in map(_pair, not_worse)),
        *(Floor(metric, value) for metric, value in map(_pair, floor)),
    )


def _cause(error: Exception) -> str:
    if isinstance(error, InvalidPolicy):
        return error.reason
    if isinstance(error, OSError):
        return str(error.strerror)
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return f"it is no JSON or TOML ({error})"


def _pair(text: str) -> tuple[str, float]:
    metric, _, number = text.partition("=")
    try:
        return metric, float(number)
    except ValueError:
        raise InvalidPolicy(f"{text!r} is no METRIC=NUMBER, such as roc_auc=0.8") from None
