"""What the ledger's evidence says was measured, held against the metrics that are kept.

Metrics are in no chain of hashes. But each decision repeats those that it was made by, and the ledger is.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import islice
from math import isclose
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Text, select, tuple_, type_coerce

from registry.audit.chains import stream
from registry.exceptions import InvalidReference
from registry.references import Reference
from registry.tables import WHOLE, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection

_AT_ONCE = 3_000  # claims whose metrics are looked up by one statement
_ACCURACY = 1e-6  # a share of the value; a sum in another order differs by less

_ENTRY = Row.metadata.tables["ledger_entry"].c
_METRIC = Row.metadata.tables["metric"].c


class Claim(NamedTuple):
    """A decision says that a version scored so.

    Attributes:
        entry: The entry with the decision, such as ``entry 3 of churn@champion``.
        metric: Model, number, dataset, slice and name, by which the metric is kept.
        value: What it was.
    """

    entry: str
    metric: tuple[Any, ...]
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


def contradictions(connection: Connection) -> Iterator[Contradiction]:
    """The metrics that a decision in the ledger contradicts, each once."""
    claims, told = _claims(connection), set()
    while some := list(islice(claims, _AT_ONCE)):
        kept = _kept(connection, {claim.metric[:3] for claim in some})
        for claim in some:
            if claim.metric not in told and (problem := _contradicted(claim, kept)):
                told.add(claim.metric)
                yield Contradiction(claim.subject, problem)


def _contradicted(claim: Claim, kept: Mapping[tuple[Any, ...], float]) -> str | None:
    found = kept.get(claim.metric)
    if found is None:
        return f"is missing, and {claim.entry} was decided by it"
    if not isclose(found, claim.value, rel_tol=_ACCURACY, abs_tol=_ACCURACY):
        return f"is {found!r}, and {claim.entry} was decided by {claim.value!r}"
    return None


def _kept(connection: Connection, evaluations: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], float]:
    of = tuple_(_METRIC.model, _METRIC.number, _METRIC.dataset)
    metrics = select(*of.clauses, _METRIC.slice, _METRIC.name, _METRIC.value).where(of.in_(evaluations))
    return {tuple(row[:-1]): row[-1] for rows in stream(connection, metrics) for row in rows}


def _claims(connection: Connection) -> Iterator[Claim]:
    evidence = type_coerce(_ENTRY.evidence, Text)
    judged = select(_ENTRY.model, _ENTRY.alias, _ENTRY.sequence, _ENTRY.dataset, evidence).where(
        _ENTRY.dataset.is_not(None)
    )
    for portion in stream(connection, judged):
        for model, alias, sequence, dataset, decision in portion:
            try:
                yield from _made(f"entry {sequence} of {model}@{alias}", dataset, json.loads(decision))
            except (KeyError, TypeError, ValueError, InvalidReference):
                continue  # evidence of another form; whether it is as it was written, its hash says


def _made(entry: str, dataset: str, decision: dict[str, Any]) -> Iterator[Claim]:
    contenders = [(side, _version(decision[side])) for side in ("challenger", "champion") if decision[side]]
    for check in decision["checks"]:
        if measured := check["measured"]:
            for side, version in contenders:
                if measured[side] is not None:
                    metric = (*version, dataset, measured["slice"], measured["metric"])
                    yield Claim(entry, metric, measured[side])


@lru_cache(maxsize=1_000)
def _version(reference: str) -> tuple[str, int | str]:
    parsed = Reference.parse(reference)
    return parsed.model, parsed.selector
