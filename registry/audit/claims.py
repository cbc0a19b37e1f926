"""What the ledger's evidence says was measured, held against the metrics that are kept.

Metrics are in no chain of hashes. But each decision repeats those that it was made by, and the ledger is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from math import isclose
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from registry.audit.chains import ENTRIES
from registry.exceptions import InvalidName
from registry.limits import LARGEST_NUMBER, check_text
from registry.references import check_model_name
from registry.tables import WHOLE, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection

    from registry.audit.chains import Raw

    Named = tuple[str, int, str, str, str]

_AT_ONCE = 3_000  # claims whose metrics are looked up by one statement
_ACCURACY = 1e-6  # a share of the value; a sum in another order differs by less

_DECISION = ENTRIES.picker("model", "alias", "sequence", "dataset", "evidence")
_METRIC = Row.metadata.tables["metric"].c
_OTHER_FORM = (AttributeError, KeyError, TypeError, ValueError, OverflowError, InvalidName)
_NAME = [_METRIC[column] for column in ("model", "number", "dataset", "slice", "name")]


class Claim(NamedTuple):
    """A decision says that a version scored so.

    Attributes:
        entry: The entry with the decision, such as ``entry 3 of churn@champion``.
        metric: Model, number, dataset, slice and name, by which the metric is kept.
        value: What it was.
    """

    entry: str
    metric: Named
    value: float

    @property
    def subject(self) -> str:
        """Such as ``accuracy of churn@7``."""
        model, number, _, part, name = self.metric
        return f"{name} of {model}@{number}{'' if part == WHOLE else f' on {part}'}"


class Contradiction(NamedTuple):
    """A metric that is not, or no longer, what a decision says it was."""

    subject: str
    problem: str


@dataclass(frozen=True)
class Hearing:
    """The ledger's decisions are held against the metrics while the ledger is read.

    Attributes:
        connection: Where the metrics are.
        contradictions: What was found, once for each metric.
    """

    connection: Connection
    contradictions: dict[Named, Contradiction] = field(default_factory=dict)

    def attend(self, entries: Iterable[Raw]) -> None:
        """Look at what some *entries* were decided by."""
        claims = chain.from_iterable(map(_claims, entries))
        while some := list(islice(claims, _AT_ONCE)):
            kept = _kept(self.connection, {claim.metric for claim in some})
            for claim in some:
                if problem := _contradicted(claim, kept):
                    self.contradictions.setdefault(claim.metric, Contradiction(claim.subject, problem))


def _contradicted(claim: Claim, kept: Mapping[Named, float]) -> str | None:
    found = kept.get(claim.metric)
    if found is None:
        return f"is missing, and {claim.entry} was decided by it"
    if not isclose(found, claim.value, rel_tol=_ACCURACY, abs_tol=_ACCURACY):
        return f"is {found!r}, and {claim.entry} was decided by {claim.value!r}"
    return None


def _kept(connection: Connection, metrics: Iterable[Named]) -> dict[Named, float]:
    """The values of those of the *metrics* that are kept."""
    wanted = _listed(json.dumps(list(metrics)), connection.dialect.name)
    same = (column == cast(value, column.type) for column, value in zip(_NAME, wanted, strict=True))
    rows = connection.execute(select(*_NAME, _METRIC.value).where(*same))
    return {(row[0], row[1], row[2], row[3], row[4]): row[5] for row in rows}


def _listed(names: str, dialect: str) -> list[ColumnElement[Any]]:
    """SQL for the columns of a table that is given as JSON, because thousands of parameters bind slowly."""
    places = range(len(_NAME))
    if dialect == "postgresql":
        row = func.jsonb_array_elements(cast(literal(names, Text), JSONB)).column_valued("listed")
        return [row.op("->>")(place) for place in places]
    value = func.json_each(literal(names, Text)).table_valued("value", name="listed").c.value
    return [func.json_extract(value, f"$[{place}]") for place in places]


def _claims(row: Raw) -> Iterator[Claim]:
    model, alias, sequence, dataset, evidence = _DECISION(row)
    if dataset is None:
        return
    try:
        yield from _made(f"entry {sequence} of {model}@{alias}", str(dataset), from_json(evidence))
    except _OTHER_FORM:
        return  # whether it is as it was written, its hash says


def _made(entry: str, dataset: str, decision: dict[str, Any]) -> Iterator[Claim]:
    contenders = [(side, _version(decision[side])) for side in ("challenger", "champion") if decision[side]]
    for check in decision["checks"]:
        if measured := check["measured"]:
            for side, version in contenders:
                if measured[side] is not None:
                    metric = (*version, dataset, *_text(measured["slice"], measured["metric"]))
                    yield Claim(entry, metric, float(measured[side]))


def _version(reference: str) -> tuple[str, int]:
    model, _, number = reference.partition("@")
    if not 0 < int(number) <= LARGEST_NUMBER:
        raise ValueError(reference)
    return _model(model), int(number)


_model = lru_cache(maxsize=1_000)(check_model_name)


@lru_cache(maxsize=1_000)
def _text(part: str, metric: str) -> tuple[str, str]:
    return check_text("slice", part), check_text("metric", metric)
