r"""Everything that happened, as an auditor can read it without this library: one JSON object for each event.

The lines are in the order of writing. Each says

- ``what`` happened: ``registered``, ``signed``, ``pinned``, ``purged``, or what the ledger calls it:
  ``promoted``, ``assigned``, ``held``, ``rejected``, ``approved``, ``rolled-back``, ``cleared``, ``alerted``;
- ``when``, in UTC; ``who`` did it; ``why``; ``who`` of a signature is the key;
- of which ``model`` and ``version``, under which ``alias``, and which version was in force before (``from``)
  and after (``to``); none is null;
- on what ``evidence``: the verdict and its reasons, the policy and its fingerprint, and the dataset; who the
  ``approver`` was, where a person had to agree; the ``flow_run_id`` in which it was done;
- ``record``: the row as it was sealed when it was written, with all evidence; ``hash`` and ``previous_hash``.

The hash of a line is SHA-256, in hexadecimal digits, over its ``record`` as canonical JSON: keys sorted by
code point at every depth, no spaces, text as UTF-8 without escapes but for ``\"``, ``\\`` and control
characters, numbers as they stand in the line. In Python that is::

    json.dumps(line["record"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

The versions of a model are a chain, and so are the entries of an alias: the ``previous_hash`` of a line,
which its ``record`` repeats, is the ``hash`` of the line before it in its chain; of the first it is 64 zeros.
Lines whose ``record`` is null are in no chain. What a line says stands in its record, too, under the names
of the database: ``who`` is ``actor`` or ``registered_by``, ``when`` is ``recorded_at`` or ``registered_at``,
``what`` is ``kind``, ``why`` is ``reason``, ``from`` is ``replaced``, ``to`` is ``in_force``.
"""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy import func, null, select, true

from registry.audit.chains import ENTRIES, VERSIONS, moment, snapshot, stream
from registry.exceptions import RegistryError
from registry.policy import PromotionPolicy
from registry.tables import Row, canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select

    from registry.audit.chains import Kind, Raw
    from registry.store import Store

Event = dict[str, Any]

_QUOTED = ("verdict", "reasons", "policy", "dataset", "dataset_name", "rows")


@dataclass(frozen=True)
class Scope:
    """What is asked about.

    Attributes:
        model: Only this one; None: all.
        since: Only from then on.
        until: Only before then.
    """

    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, model: ColumnElement[Any], at: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQL: a row about *model*, written *at* a time, is within."""
        within: ColumnElement[bool] = true()
        if self.model is not None:
            within &= model == self.model
        if self.since is not None:
            within &= at >= self.since
        if self.until is not None:
            within &= at < self.until
        return within


def trail(store: Store, scope: Scope) -> Iterator[str]:
    """What happened, oldest first, each event as a line of ASCII JSON without its end.

    Raises:
        ModelNotFound: There is no such model.
        DatabaseUnavailable: The database can't be reached or used.
    """
    if scope.model is not None:
        store.require_model(scope.model)
    with snapshot(store.engine) as connection:
        chains = [_chained(connection, kind, scope) for kind in (VERSIONS, ENTRIES)]
        notes = [_noted(connection, what, statement) for what, statement in _notes(scope).items()]
        for _, event in heapq.merge(*chains, *notes, key=itemgetter(0)):
            yield json.dumps(event)


def _event(what: str, when: str | None, **facts: Any) -> Event:
    """All lines have the same keys, in the same order."""
    names = ("model", "alias", "version", "from", "to", "who", "why", "evidence", "approver", "flow_run_id")
    sealed = ("sequence", "previous_hash", "hash", "record")
    return {"when": when, "what": what} | {name: facts.get(name) for name in (*names, *sealed)}


def _chained(connection: Connection, kind: Kind, scope: Scope) -> Iterator[tuple[str, Event]]:
    """The events of a kind of chain, each with the moment to order it by, at which no chain goes back."""
    columns, dialect = kind.table.c, connection.dialect
    at = columns[kind.at]
    latest = func.max(at).over(
        partition_by=[columns[name] for name in kind.key], order_by=columns[kind.number]
    )
    rows = kind.raw(dialect).add_columns(moment(latest, dialect)).where(scope.holds(columns.model, at))
    order = [latest, *(columns[name] for name in (*kind.key, kind.number))]
    read = partial(_read, kind, kind.writer())
    for portion in stream(connection, rows.order_by(*order)):
        for row in portion:
            yield str(row[-1]), read(row[:-1])


def _read(kind: Kind, write: Callable[[Raw], str], row: Raw) -> Event:
    try:
        record = json.loads(write(row))
    except (TypeError, ValueError, KeyError):
        name = "@".join(str(part) for part in kind.picker(*kind.key, kind.number)(row))
        return _event("unreadable", None, why=f"{kind.noun} {name} was changed after it was written")
    describe = _registered if kind is VERSIONS else _decided
    return describe(record) | {"hash": row[-1], "previous_hash": record["previous_hash"], "record": record}


def _registered(record: dict[str, Any]) -> Event:
    facts = {"version": record["number"], "sequence": record["number"], "who": record["registered_by"]}
    evidence = {"artifact": record["artifact"], "dataset": record["trained_on"]}
    same = {name: record[name] for name in ("model", "flow_run_id")}
    return _event("registered", record["registered_at"], evidence=evidence, **facts, **same)


def _decided(record: dict[str, Any]) -> Event:
    found = record["evidence"] if isinstance(record["evidence"], dict) else {}
    evidence = {name: found[name] for name in _QUOTED if name in found}
    if "policy" in evidence:
        evidence["policy_fingerprint"] = _fingerprint(canonical_json(evidence["policy"]))
    renamed = {"who": "actor", "why": "reason", "from": "replaced", "to": "in_force"}
    same = ("model", "alias", "version", "flow_run_id", "sequence")
    return _event(
        record["kind"],
        record["recorded_at"],
        evidence=evidence,
        approver=(found.get("approval") or {}).get("by"),
        **{name: record[column] for name, column in renamed.items()},
        **{name: record[name] for name in same},
    )


@lru_cache(maxsize=1_000)
def _fingerprint(policy: str) -> str | None:
    try:
        return PromotionPolicy.model_validate_json(policy).fingerprint
    except (ValidationError, RegistryError):
        return None  # a policy of another kind


def _notes(scope: Scope) -> dict[str, Select[Any]]:
    """What happened to versions beside the chains: model, version, time, who and why; oldest first."""
    tables = Row.metadata.tables
    signature, pin, artifact = (tables[name].c for name in ("signature", "pin", "model_artifact"))
    version = VERSIONS.table.c
    signed = [signature.model, signature.number, signature.signed_at, signature.key_id, null()]
    pinned = [pin.model, pin.number, pin.pinned_at, pin.pinned_by, pin.reason]
    purged = [version.model, version.number, artifact.purged_at, artifact.purged_by, artifact.purged_because]
    notes: dict[str, list[Any]] = {"signed": signed, "pinned": pinned, "purged": purged}
    statements = {
        what: select(*columns)
        .where(scope.holds(columns[0], columns[2]), columns[2].is_not(None))
        .order_by(columns[2], columns[0], columns[1])
        for what, columns in notes.items()
    }
    statements["purged"] = statements["purged"].where(version.artifact == artifact.digest)
    return statements


def _noted(connection: Connection, what: str, statement: Select[Any]) -> Iterator[tuple[str, Event]]:
    for portion in stream(connection, statement):
        for model, version, at, who, why in portion:
            when = at.astimezone(UTC).isoformat(" ", "microseconds")
            facts = {"model": model, "version": version, "who": who, "why": why}
            yield when.partition("+")[0], _event(what, when.replace(" ", "T"), **facts)
