"""Fill a registry with very many versions, by the drivers' own bulk inserts.

The rows are those that registering the versions one by one, tagging and evaluating them would have left: the
chains are whole, and every reference leads to a row.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import inspect, text

from registry.ledger import Proposal
from registry.tables import (
    GENESIS,
    WHOLE,
    Artifact,
    DatasetRecord,
    Evaluation,
    Metric,
    ModelVersion,
    RegisteredModel,
    VersionTag,
    canonical_json,
)
from tests.benchmarks import crowd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sqlalchemy import Engine
    from sqlmodel import SQLModel

    from registry.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 10_000
ACTOR = "the benchmark"
METRIC = "accuracy"
HOLDOUT = DatasetRecord(
    fingerprint=crowd.digest("holdout"), name="holdout", target="y", rows=1_000, columns=[], recorded_at=AT
)
_PREDICTIONS = crowd.digest("predictions")


def team_of(number: int) -> str:
    """The tag "team" of the version with this number: one of ten."""
    return f"team-{number % 10}"


def value_of(number: int) -> float:
    """The metric of the version with this number, in no order."""
    return number * 2_654_435_761 % 2**32 / 2**32


def fill(store: Store, models: Mapping[str, int]) -> None:
    """Let an empty *store* have so many versions of each of the *models*, whose middle ones are in force."""
    with closing(_Bulk.begun(store.engine)) as bulk:
        bulk.load(DatasetRecord, [row.model_dump() for row in (trained_on(), HOLDOUT)])
        bulk.load(Artifact, [_artifact(_PREDICTIONS)])
        named = [{"name": name, "last_version": last, "created_at": AT} for name, last in models.items()]
        bulk.load(RegisteredModel, named)
        rows = versions(models)
        while batch := list(islice(rows, BATCH)):
            bulk.load(Artifact, [_artifact(row["artifact"]) for row in batch])
            bulk.load(ModelVersion, batch)
            bulk.load(VersionTag, map(_tag, batch))
            bulk.load(Evaluation, map(_evaluation, batch))
            bulk.load(Metric, map(_metric, batch))
        bulk.commit()
    tidy(store.engine)
    for model, last in models.items():
        store.append_entry(Proposal(kind="assigned", model=model, version=last // 2, reason="its turn"))


def versions(models: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """The rows of so many versions of each of the *models*, which take turns in time."""
    for index, (model, last) in enumerate(models.items()):
        times = (AT + timedelta(seconds=number * len(models) + index) for number in range(1, last + 1))
        yield from _chain(model, times)


def _chain(model: str, times: Iterable[datetime]) -> Iterator[dict[str, Any]]:
    """Rows that are sealed each after the one before, and much quicker than one by one."""
    given = crowd.a_row() | {"model": model, "registered_at": AT, "trained_on": trained_on().fingerprint}
    row = ModelVersion(**given, previous_hash=GENESIS, hash=GENESIS).model_dump(exclude={"hash"})
    last = GENESIS
    for number, at in enumerate(times, start=1):
        row |= {"number": number, "previous": number - 1 or None, "previous_hash": last}
        row |= {name: crowd.digest((model, number, name)) for name in ("training", "fitted", "artifact")}
        facts = canonical_json(row | {"registered_at": at.isoformat(timespec="microseconds")})
        last = sha256(facts.encode()).hexdigest()
        yield row | {"registered_at": at, "hash": last}


def trained_on() -> DatasetRecord:
    """What all versions were trained on."""
    return DatasetRecord(**crowd.rows().model_dump() | {"recorded_at": AT})


def _artifact(digest: str) -> dict[str, Any]:
    unpurged = dict.fromkeys(("purged_at", "purged_by", "purged_because"))
    return {"digest": digest, "bytes": 10_000, "leased_until": AT, **unpurged}


def _tag(version: Mapping[str, Any]) -> dict[str, Any]:
    tag = {"key": "team", "value": team_of(version["number"])}
    repeated = {name: version[name] for name in ("model", "number", "registered_at")}
    return {**repeated, **tag, "digest": VersionTag.digest_of(**tag), "set_by": ACTOR, "set_at": AT}


def _evaluation(version: Mapping[str, Any]) -> dict[str, Any]:
    run = {"flow_run_id": None, "evaluated_by": ACTOR, "evaluated_at": AT}
    return {**_measured(version), "rows": HOLDOUT.rows, "predictions": _PREDICTIONS, **run}


def _metric(version: Mapping[str, Any]) -> dict[str, Any]:
    value = value_of(version["number"])
    return {**_measured(version), "slice": WHOLE, "name": METRIC, "value": value, "rows": HOLDOUT.rows}


def _measured(version: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": version["model"], "number": version["number"], "dataset": HOLDOUT.fingerprint}


# How a database takes very many rows


@dataclass(frozen=True)
class _Bulk:
    """A transaction on a connection that nobody else uses, in which references are not looked at."""

    engine: Engine
    connection: Any

    @classmethod
    def begun(cls, engine: Engine) -> Self:
        connection = engine.raw_connection()
        connection.detach()
        cursor = connection.cursor()
        for statement in _BEGIN[engine.dialect.name]:
            cursor.execute(statement)
        return cls(engine, connection)

    def load(self, table: type[SQLModel], rows: Iterable[Mapping[str, Any]]) -> None:
        forms = _forms(table, self.engine)
        names, cursor = ", ".join(forms), self.connection.cursor()
        taken = ([form(row[name]) for name, form in forms.items()] for row in rows)
        if self.engine.dialect.name == "sqlite":
            marks = ", ".join("?" for _ in forms)
            cursor.executemany(f"INSERT INTO {table.__tablename__} ({names}) VALUES ({marks})", taken)  # noqa: S608, ours
            return
        with cursor.copy(f"COPY {table.__tablename__} ({names}) FROM STDIN") as copy:
            for row in taken:
                copy.write_row(row)

    def commit(self) -> None:
        self.connection.cursor().execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


_BEGIN = {
    "sqlite": ["PRAGMA foreign_keys=OFF", "PRAGMA cache_size=-1000000", "PRAGMA synchronous=OFF", "BEGIN"],
    "postgresql": ["SET session_replication_role = replica"],  # and psycopg has begun by itself
}
_TIDY = {
    "sqlite": ["ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"],
    "postgresql": ["VACUUM (ANALYZE)", "CHECKPOINT"],
}


def tidy(engine: Engine) -> None:
    """Do at once what the database would do little by little after so many rows, and be slower meanwhile."""
    for statement in _TIDY[engine.dialect.name]:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))


def _forms(table: type[SQLModel], engine: Engine) -> dict[str, Callable[[Any], Any]]:
    """How the driver takes the values of each column."""
    dialect, forms = engine.dialect, {}
    for column in inspect(table).local_table.columns:
        form = column.type.dialect_impl(dialect).bind_processor(dialect)
        forms[column.name] = form or _as_it_is
    return forms


def _as_it_is(value: Any) -> Any:
    return value
