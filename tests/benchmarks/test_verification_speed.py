"""What it takes to verify a long ledger, beside reading the same rows and doing nothing with them.

The table's brackets are ratios within one run, to the bare ``SELECT *`` of the entries by the driver alone.
"""

from __future__ import annotations

import tracemalloc
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, text

from registry.artifacts import FolderArtifactStore
from registry.audit.verification import verify_rows
from registry.backend import Backend
from registry.ledger import Proposal, Stamp, following
from registry.store import Origin, Store
from registry.tables import (
    GENESIS,
    Artifact,
    DatasetRecord,
    Evaluation,
    LedgerEntry,
    Metric,
    ModelVersion,
    RegisteredModel,
)
from tests.integration.conftest import a_dataset, a_version_row, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

FEW, MANY = 1_000, 200_000
AT = datetime(2026, 3, 3, 12, tzinfo=UTC)
BATCH = 5_000
JUDGED = 4  # each fourth entry is a decision with its evidence, the others are assignments
FOR_EACH = 20  # entries there are of a version


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind; PostgreSQL here does not wait for the disk."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    make: Callable[[], str] = request.getfixturevalue("make_postgres_database")
    return make()


@pytest.fixture
def grow(database: str, tmp_path: Path) -> Iterator[Callable[[int], Backend]]:
    """A registry with so many entries of one alias, and the versions and metrics that they speak of."""
    with ExitStack() as stores:

        def make(entries: int) -> Backend:
            store = Store.open(database, Origin(actor="ada"))
            stores.callback(store.close)
            with store.engine.begin() as connection:
                _fill(connection, entries)
            with store.engine.connect() as connection:
                connection.execute(text("ANALYZE"))
                connection.commit()
            return Backend(store, FolderArtifactStore(tmp_path))

        yield make


def _fill(connection: Connection, entries: int) -> None:
    if connection.dialect.name == "postgresql":  # an empty table's statistics make each check a full scan
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    versions, data = entries // FOR_EACH, [a_dataset("january"), a_dataset("february")]
    key = {"model": "churn", "dataset": data[1].fingerprint}
    numbers = range(1, versions + 1)
    of_all = {"rows": 1_000, "predictions": digest("artifact"), "evaluated_by": "ada", "evaluated_at": AT}
    whole = {"slice": "all", "name": "roc_auc", "value": 0.81, "rows": 1_000}
    for table, rows in (
        (RegisteredModel, [{"name": "churn", "last_version": versions, "created_at": AT}]),
        (DatasetRecord, [record.model_dump() for record in data]),
        (Artifact, [{"digest": digest("artifact"), "bytes": 4_096, "leased_until": AT}]),
        (ModelVersion, _versions(versions)),
        (Evaluation, ({**key, "number": number, **of_all} for number in numbers)),
        (Metric, ({**key, "number": number, **whole} for number in numbers)),
        (LedgerEntry, _entries(entries, versions)),
    ):
        _insert(connection, table, rows)


def _insert(connection: Connection, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == BATCH:
            connection.execute(insert(table), some)
            some = []
    if some:
        connection.execute(insert(table), some)


def _versions(most: int) -> Iterator[dict[str, Any]]:
    before = GENESIS
    for number in range(1, most + 1):
        linked = {"number": number, "previous": number - 1 or None, "previous_hash": before, "hash": GENESIS}
        version = ModelVersion(**a_version_row() | linked)
        version.hash = before = version.digest()
        yield version.model_dump()


def _entries(most: int, versions: int) -> Iterator[dict[str, Any]]:
    newest, stamp = None, Stamp(actor="ada", at=AT, flow_run_id="8f3c2a9e-5d1b-4c53-9d0f-0b1f6f0d7a11")
    for number in range(most):
        version = 1 + number % versions
        newest = following(newest, _judged(version) if number % JUDGED == 0 else _assigned(version), stamp)
        yield newest.model_dump()


def _assigned(version: int) -> Proposal:
    return Proposal(kind="assigned", model="churn", version=version, reason="its turn")


def _judged(version: int) -> Proposal:
    measured = {"metric": "roc_auc", "slice": "all", "rows": 1_000, "challenger": 0.81, "champion": None}
    bounds = {"difference": 0.0143, "lower": 0.0123, "upper": None, "method": "DeLong"}
    reason = "roc_auc differs by +0.0143 (0.0123 … ∞), provably above 0"
    check = {"check": "roc_auc better", "outcome": "passed", "reason": reason, "measured": measured | bounds}
    evidence = {
        "challenger": f"churn@{version}",
        "champion": None,
        "checks": [check] * 3,
        "reasons": [reason],
    }
    dataset = a_dataset("february").fingerprint
    return Proposal(
        kind="promoted", model="churn", version=version, reason=reason, evidence=evidence, dataset=dataset
    )


@pytest.mark.parametrize("entries", [FEW, MANY])
@pytest.mark.parametrize("way", ["raw", "registry"])
def test_a_long_ledger_is_verified_in_a_few_times_what_reading_it_takes(
    grow: Callable[[int], Backend], way: str, entries: int, benchmark: Any
) -> None:
    backend = grow(entries)
    engine = backend.rows.engine
    benchmark.group = f"verify {entries:,} entries, {engine.dialect.name}"
    if way == "registry":
        findings = benchmark.pedantic(lambda: list(verify_rows(backend)), rounds=3)
        assert [finding.problem for finding in findings] == [None, None]
        return
    connection = engine.raw_connection()
    cursor = connection.cursor()

    def read() -> int:
        cursor.execute("SELECT * FROM ledger_entry")
        return sum(len(rows) for rows in iter(lambda: cursor.fetchmany(BATCH), []))

    assert benchmark.pedantic(read, rounds=3) == entries
    connection.close()


def test_a_ledger_of_any_length_is_verified_in_the_same_memory(grow: Callable[[int], Backend]) -> None:
    backend = grow(12_000)
    in_use: list[int] = []
    tracemalloc.start()
    for _ in verify_rows(backend, watch=lambda _: in_use.append(tracemalloc.get_traced_memory()[0])):
        pass
    tracemalloc.stop()
    _versions, _first, second, *later = in_use  # of the second portion on, the one before is still there
    assert len(later) == 4
    assert max(later) < 1.01 * second
