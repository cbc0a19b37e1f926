"""What each of many processes does that write into one database at once, and how long each write took it.

A process keeps its connection from one call to the next, so that only the first pays for it.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg

from registry.store import Origin, Store
from registry.submissions import Submission
from registry.tables import DatasetRecord, ModelVersion, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Barrier

TABLES = (
    "CREATE TABLE raw_version (id integer PRIMARY KEY {generated}, number integer, facts text)",
    "CREATE TABLE raw_model (last integer)",
    "INSERT INTO raw_model VALUES (0)",
)
INSERT = "INSERT INTO raw_version (number, facts) VALUES (0, {mark})"
NUMBER = "UPDATE raw_model SET last = last + 1 RETURNING last"
NUMBERED = "INSERT INTO raw_version (number, facts) VALUES ({mark}, {mark})"


def a_row() -> dict[str, Any]:
    """The columns of a version that nobody trained before, with bytes of its own."""
    return {
        "model": "churn",
        "number": 0,
        "training": digest(uuid4()),
        "fitted": digest(uuid4()),
        "artifact": digest(uuid4()),
        "artifact_bytes": 10_000,
        "serialization": "skops",
        "estimator": "sklearn.linear_model._logistic.LogisticRegression",
        "trained_on": rows().fingerprint,
        "params": {"model_type": "LogisticRegression"},
        "input_schema": [{"name": f"x{i}", "dtype": "float64", "kind": "number"} for i in range(8)],
        "input_example": {"rows": [[0.5] * 8] * 5, "predictions": [0] * 5},
        "environment": {"python": "3.11.7", "scikit-learn": "1.9.1"},
        "registered_by": "the benchmark",
        "registered_at": now(),
    }


def rows() -> DatasetRecord:
    """What all of them were trained on."""
    return DatasetRecord(fingerprint=digest("rows"), name="rows", target="y", rows=1_000, columns=[])


def digest(thing: object) -> str:
    """A SHA-256 that some bytes could have."""
    return sha256(str(thing).encode()).hexdigest()


def register(url: str, writes: int, barrier: Barrier) -> list[float]:
    """Register versions whose bytes are leased already."""
    store = _store(url)
    versions = [ModelVersion(**a_row()) for _ in range(writes)]
    store.lease({version.artifact: version.artifact_bytes for version in versions})
    request = digest("request")
    return _timed(
        barrier,
        versions,
        lambda each: store.append_version(Submission(version=each, trained_on=rows(), request=request)),
    )


def insert(url: str, writes: int, barrier: Barrier) -> list[float]:
    """Insert rows, each for itself, which is the least that a write can cost."""
    connection, mark = _connection(url)
    statement = INSERT.format(mark=mark)
    return _timed(barrier, _facts(writes), lambda each: connection.execute(statement, (each,)))


def number(url: str, writes: int, barrier: Barrier) -> list[float]:
    """Insert rows that are numbered without a gap, so that each waits for the one before."""
    connection, mark = _connection(url)
    statement = NUMBERED.format(mark=mark)

    def write(facts: str) -> None:
        connection.execute("BEGIN IMMEDIATE" if mark == "?" else "BEGIN")
        last = connection.execute(NUMBER).fetchone()
        connection.execute(statement, (last[0], facts))
        connection.execute("COMMIT")

    return _timed(barrier, _facts(writes), write)


WAYS = {"insert": insert, "number": number, "register": register}


def _timed(barrier: Barrier, things: Iterable[Any], write: Callable[[Any], object]) -> list[float]:
    barrier.wait()
    took = []
    for thing in things:
        start = perf_counter()
        write(thing)
        took.append(perf_counter() - start)
    return took


def _facts(writes: int) -> list[str]:
    return [str(ModelVersion(**a_row()).model_dump(mode="json")) for _ in range(writes)]


@cache
def _store(url: str) -> Store:
    return Store.open(url, Origin(actor="the benchmark"))


@cache
def _connection(url: str) -> tuple[Any, str]:
    """A connection that commits each statement, and waits for the disk as the registry does."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
        return connection, "?"
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True), "%s"


def prepare(url: str) -> None:
    """Make the registry's tables, and those for rows that are no registry's."""
    Store.open(url, Origin(actor="the benchmark")).close()
    connection, mark = _connection(url)
    generated = "" if mark == "?" else "GENERATED ALWAYS AS IDENTITY"
    for statement in TABLES:
        connection.execute(statement.format(generated=generated))
