"""A database as the library of schema version 0002 left it, made by that version's script and plain SQL."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from alembic.command import upgrade
from alembic.config import Config
from sqlalchemy import create_engine, event, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

Row = dict[str, Any]
JANUARY, FEBRUARY = (sha256(month.encode()).hexdigest() for month in ("january", "february"))
NOON = "2026-03-03 12:00:00.000000"
GENESIS = "0" * 64


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def version(model: str, number: int, **others: Any) -> Row:
    return {
        "model": model,
        "number": number,
        "training": digest(f"training {model} {number}"),
        "fitted": digest(f"fitted {model} {number}"),
        "artifact": digest(f"artifact {model} {number}"),
        "artifact_bytes": 4_000 + number,
        "serialization": "skops",
        "estimator": "sklearn.linear_model._logistic.LogisticRegression",
        "trained_on": JANUARY,
        "params": '{"C":0.1,"über":"größer"}',
        "input_schema": '[{"name":"age","type":"float64"}]',
        "input_example": '{"predictions":[0],"rows":[[1.5e-300]]}',
        "environment": '{"python":"3.11"}',
        "git_commit": "c0ffee",
        "git_dirty": True,
        "flow_run_id": None,
        "task_run_id": None,
        "registered_by": "ada",
        "registered_at": f"2026-03-03 12:00:00.{number:06}",
    } | others


def entry(previous: Row | None, **others: Any) -> Row:
    """A promotion that follows the *previous* entry of churn's champion."""
    sequence = 1 if previous is None else previous["sequence"] + 1
    row: Row = {
        "model": "churn",
        "alias": "champion",
        "sequence": sequence,
        "previous": None if previous is None else previous["sequence"],
        "kind": "promoted",
        "version": sequence,
        "replaced": 0 if previous is None else previous["in_force"],
        "replaced_since": 0 if previous is None else previous["in_force_since"],
        "in_force": sequence,
        "in_force_since": sequence,
        "actor": "ada",
        "reason": "it is better",
        "evidence": '{"confidence":0.95}',
        "dataset": FEBRUARY,
        "key": None,
        "flow_run_id": None,
        "recorded_at": NOON,
        "previous_hash": GENESIS if previous is None else previous["hash"],
    } | others
    return row | {"hash": sealed(row)}


def sealed(row: Row) -> str:
    """The hash of an entry as 0002's library took it: of its facts, in which nothing is null and not 0."""
    facts = row | {"evidence": json.loads(row["evidence"])}
    numbers = ("replaced", "replaced_since", "in_force", "in_force_since")
    facts |= {name: row[name] or None for name in numbers}
    moment = datetime.fromisoformat(row["recorded_at"]).replace(tzinfo=UTC)
    facts["recorded_at"] = moment.isoformat(timespec="microseconds")
    return digest(json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def observation(sequence: int) -> Row:
    return {
        "model": "churn",
        "alias": "champion",
        "metric": "accuracy",
        "sequence": sequence,
        "previous": sequence - 1 or None,
        "version": 2,
        "since": 2,
        "batch": f"day {sequence}",
        "at": NOON,
        "value": 0.9,
        "rows": 1_000,
        "late": False,
        "floor": 0.88,
        "evidence": 0.01,
        "status": "healthy",
        "healthy": sequence,
        "served": sequence,
        "champion_only": 0,
        "target_only": 0,
        "state": "{}",
        "policy": "{}",
        "actor": "ada",
        "recorded_at": NOON,
    }


def evaluation(number: int) -> Row:
    return {
        "model": "churn",
        "number": number,
        "dataset": FEBRUARY,
        "rows": 1_000,
        "predictions": digest(f"predictions {number}"),
        "evaluated_by": "ada",
        "evaluated_at": NOON,
    }


def metric(number: int) -> Row:
    return {
        "model": "churn",
        "number": number,
        "dataset": FEBRUARY,
        "slice": "all",
        "name": "accuracy",
        "value": 0.9,
        "rows": 1_000,
    }


def dataset(fingerprint: str) -> Row:
    columns = '[{"name":"age","type":"float64"}]'
    facts = {"name": "a month", "target": "left", "rows": 1_000, "columns": columns, "recorded_at": NOON}
    return {"fingerprint": fingerprint} | facts


def model(name: str, last_version: int) -> Row:
    return {"name": name, "last_version": last_version, "created_at": NOON}


FIRST = entry(None)
SECOND = entry(FIRST)
HELD = entry(SECOND, kind="held", version=3, in_force=2, in_force_since=2)
REGISTRATION = {
    "model": "churn",
    "key": "monday",
    "number": 1,
    "request": digest("request"),
    "registered_by": "ada",
    "registered_at": NOON,
}
ANNOUNCEMENT = {
    "model": "churn",
    "alias": "champion",
    "metric": "accuracy",
    "sequence": 2,
    "attempt": 1,
    "event": "champion.degraded",
    "announced_by": "ada",
    "announced_at": NOON,
}
ROWS: list[tuple[str, Row]] = [
    *(("dataset", dataset(fingerprint)) for fingerprint in (JANUARY, FEBRUARY)),
    ("registered_model", model("churn", 3)),
    ("registered_model", model("fraud", 1)),
    ("registered_model", model("unborn", 0)),
    ("model_version", version("churn", 1)),
    # the same bytes under another number, and little known of where they come from
    (
        "model_version",
        version("churn", 2, artifact=digest("artifact churn 1"), git_commit=None, git_dirty=None),
    ),
    ("model_version", version("churn", 3, git_dirty=False, flow_run_id="run 3")),
    ("model_version", version("fraud", 1)),
    ("registration", REGISTRATION),
    *(("evaluation", evaluation(number)) for number in (1, 2, 3)),
    *(("metric", metric(number)) for number in (1, 2, 3)),
    *(("ledger_entry", row) for row in (FIRST, SECOND, HELD)),
    *(("observation", observation(sequence)) for sequence in (1, 2)),
    ("announcement", ANNOUNCEMENT),
]
"""What the database holds; each row may refer to those before it."""

TABLES = [*dict.fromkeys(table for table, _ in ROWS), "trusted_type"]


def make_outdated(url: str, rows: list[tuple[str, Row]] = ROWS) -> None:
    """Make the tables of schema version 0002 in the empty database at *url*, and put the *rows* into them."""
    with connected(url) as engine, engine.begin() as connection:
        to_revision("0002", connection)
        for table, row in rows:
            insert(connection, table, row)


def insert(connection: Connection, table: str, row: Row) -> None:
    marks = ", ".join(f":{column}" for column in row)
    statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608, names of the tests' own
    connection.execute(text(statement), row)


def to_revision(revision: str, connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "registry:migrations")
    config.attributes["connection"] = connection
    upgrade(config, revision)


def held(url: str, tables: list[str] = TABLES) -> dict[str, list[Row]]:
    """All rows in the database as the database itself has them, of each table in an order of their own."""
    with connected(url) as engine, engine.connect() as connection:
        return {
            table: sorted(
                (dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()),  # noqa: S608, as above
                key=repr,
            )
            for table in tables
        }


@contextmanager
def connected(url: str) -> Iterator[Engine]:
    """An engine that is none of the library's: its transactions are real, and it checks foreign keys."""
    options = {} if url.startswith("sqlite") else {"options": "-c timezone=UTC"}
    engine = create_engine(url, connect_args=options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        yield engine
    finally:
        engine.dispose()


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
