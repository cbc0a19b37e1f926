"""What the registry adds to the database's own time; the table's brackets are ratios within one run."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, text

from registry.references import Reference
from registry.store import Origin, Store
from registry.submissions import Submission
from registry.tables import DatasetRecord, LedgerEntry, ModelVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHAMPION = Reference("churn", "champion")
FEW, MANY = 100, 100_000
AT = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 5_000


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind; PostgreSQL here does not wait for the disk."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    make: Callable[[], str] = request.getfixturevalue("make_postgres_database")
    return make()


def _digest(thing: object) -> str:
    return sha256(str(thing).encode()).hexdigest()


def _version(number: int) -> ModelVersion:
    return ModelVersion(
        model="churn",
        number=0,
        training=_digest(("training", number)),
        fitted=_digest(("fitted", number)),
        artifact=_digest(("artifact", number)),
        artifact_bytes=10_000,
        serialization="skops",
        estimator="sklearn.linear_model._logistic.LogisticRegression",
        trained_on=_digest("rows"),
        params={"model_type": "LogisticRegression"},
        input_schema=[{"name": f"x{i}", "dtype": "float64", "kind": "number"} for i in range(8)],
        input_example={"rows": [[0.5] * 8] * 5, "predictions": [0] * 5},
        environment={"python": "3.11.7", "scikit-learn": "1.9.1"},
        registered_by="the benchmark",
        registered_at=AT,
        previous_hash="",
        hash="",  # the store seals it
    )


def _rows() -> DatasetRecord:
    return DatasetRecord(fingerprint=_digest("rows"), name="rows", target="y", rows=1000, columns=[])


def _register(store: Store, number: int) -> None:
    version = _version(number)
    store.lease({version.artifact: version.artifact_bytes})
    store.append_version(Submission(version=version, trained_on=_rows(), request=_digest("request")))


@pytest.fixture
def grow(database: str) -> Iterator[Callable[[int], Store]]:
    """A registry in which two versions took turns as champion so many times."""
    with ExitStack() as stores:

        def make(entries: int) -> Store:
            store = Store.open(database, Origin(actor="the benchmark"))
            stores.callback(store.close)
            return _filled(store, entries)

        yield make


def _filled(store: Store, entries: int) -> Store:
    for number in (1, 2):
        _register(store, number)
    with store.engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # an empty table's statistics make each check a full scan
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        for first in range(1, entries + 1, BATCH):
            last = min(first + BATCH, entries + 1)
            connection.execute(insert(LedgerEntry), [_entry(sequence) for sequence in range(first, last)])
    with store.engine.begin() as connection:  # tidy up what so many rows at once leave behind
        sqlite = connection.dialect.name == "sqlite"
        connection.execute(text("ANALYZE"))
    if sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    return store


def _entry(sequence: int) -> dict[str, Any]:
    version = 1 + sequence % 2
    return {
        "model": "churn",
        "alias": "champion",
        "sequence": sequence,
        "previous": sequence - 1 or None,
        "kind": "assigned",
        "version": version,
        "replaced": 3 - version if sequence > 1 else None,
        "replaced_since": sequence - 1 or None,
        "in_force": version,
        "in_force_since": sequence,
        "actor": "the benchmark",
        "reason": "its turn",
        "evidence": {},
        "recorded_at": AT,
        "previous_hash": f"{sequence - 1:064x}",
        "hash": f"{sequence:064x}",
    }


@pytest.mark.parametrize("entries", [FEW, MANY])
@pytest.mark.parametrize("way", ["raw", "registry"])
def test_the_champion_is_one_indexed_read(
    grow: Callable[[int], Store], way: str, entries: int, benchmark: Any
) -> None:
    store = grow(entries if benchmark.enabled else FEW)
    benchmark.group = f"resolve the champion, {store.engine.dialect.name}"
    if way == "registry":
        version = benchmark(store.resolve, CHAMPION)
        assert version.number in {1, 2}
        return
    connection = store.engine.raw_connection()
    cursor = connection.cursor()
    mark = "?" if store.engine.dialect.name == "sqlite" else "%s"
    newest = f"model = {mark} AND alias = {mark} ORDER BY sequence DESC LIMIT 1"
    statement = f"SELECT in_force FROM ledger_entry WHERE {newest}"  # noqa: S608, the mark is ours

    def read() -> Any:
        cursor.execute(statement, ("churn", "champion"))
        return cursor.fetchone()

    assert benchmark(read)[0] in {1, 2}
    connection.close()


@pytest.mark.parametrize("entries", [FEW, MANY])
@pytest.mark.parametrize("way", ["raw", "registry"])
def test_a_version_costs_little_more_than_its_row(
    grow: Callable[[int], Store], way: str, entries: int, benchmark: Any
) -> None:
    store = grow(entries if benchmark.enabled else FEW)
    benchmark.group = f"register a row, {store.engine.dialect.name}"
    numbers = count(10)
    if way == "registry":
        benchmark(lambda: _register(store, next(numbers)))
        return
    with store.engine.begin() as connection:
        connection.execute(text("CREATE TABLE raw_version (number integer PRIMARY KEY, facts text)"))
    facts = str(_version(1).model_dump(mode="json"))
    statement = text("INSERT INTO raw_version VALUES (:number, :facts)")

    def write() -> None:
        with store.engine.begin() as connection:
            connection.execute(statement, {"number": next(numbers), "facts": facts})

    benchmark(write)
