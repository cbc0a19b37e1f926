"""What an observation adds to its row, and how long a rollback looks for its target.

The table's brackets are ratios within one run. PostgreSQL here does not wait for the disk.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, text

from registry.artifacts.filesystem import FolderArtifactStore
from registry.backend import Backend
from registry.detection import Baseline
from registry.health import Watch
from registry.ledger import Proposal
from registry.monitoring_policy import MonitoringPolicy
from registry.observations import Reigning
from registry.safeguards import candidates
from registry.store import Origin, Store
from registry.suspicion import Reading
from registry.tables import Artifact, DatasetRecord, LedgerEntry, ModelVersion, Observation, RegisteredModel
from tests.integration.conftest import a_dataset, a_version_row, an_artifact, chained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Entries = Iterator[tuple[str, int]]

AT = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = "churn", "champion", "accuracy"
AT_A_TIME = 5_000
SERVED = 30


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """An empty registry on each kind of database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/registry.db"
    else:
        url = request.getfixturevalue("make_postgres_database")()
    with ExitStack() as stores:
        store = Store.open(url, Origin(actor="the benchmark"))
        stores.callback(store.close)
        yield Backend(store, FolderArtifactStore(tmp_path))


# An observation


@pytest.fixture(params=[100, 10_000])
def watched(request: pytest.FixtureRequest, backend: Backend, benchmark: Any) -> Backend:
    """A version in force that was observed so often."""
    versions(backend.rows, 1)
    backend.rows.append_entry(Proposal(kind="assigned", model="churn", version=1, reason="the first"))
    backend.observations.append(watch(), [reading(0)])
    [first] = backend.observations.last(*STREAM, 1)
    length = request.param if benchmark.enabled else 100
    rows = [follower(first, sequence) for sequence in range(2, length + 1)]
    with backend.rows.engine.begin() as connection:
        connection.execute(insert(Observation), rows)
    tidy(backend.rows)
    return backend


def watch() -> Watch:
    return Watch(
        model="churn",
        alias="champion",
        metric="accuracy",
        version=1,
        since=1,
        in_force=True,
        policy=MonitoringPolicy(),
        baseline=Baseline(0.9, 2_000),
        has_target=lambda: True,
    )


def reading(day: int) -> Reading:
    return Reading(batch=f"day {day}", value=0.9, rows=1_000, at=AT + timedelta(days=day % 90))


def follower(first: Observation, sequence: int) -> dict[str, Any]:
    return first.model_dump() | {"sequence": sequence, "previous": sequence - 1, "batch": f"copy {sequence}"}


@pytest.mark.parametrize("batches", [1, 1_000])
@pytest.mark.parametrize("way", ["raw", "registry"])
def test_an_observation_costs_little_more_than_its_row(
    watched: Backend, way: str, batches: int, benchmark: Any
) -> None:
    benchmark.group = f"observe {batches:,} at once, {watched.rows.engine.dialect.name}"
    days = count(1)
    if way == "registry":
        benchmark(lambda: watched.observations.append(watch(), [reading(next(days)) for _ in range(batches)]))
        return
    [first] = watched.observations.last(*STREAM, 1)
    sequences = count(first.sequence + 1)
    statement = insert(Observation)

    def write() -> None:
        rows = [follower(first, next(sequences)) for _ in range(batches)]
        with watched.rows.engine.begin() as connection:
            connection.execute(statement, rows)

    benchmark(write)


# A rollback's target


def back_and_forth(chance: Random, entries: int) -> Entries:
    """Two versions take turns."""
    _ = chance
    return (("assigned", 1 + sequence % 2) for sequence in range(entries))


def back_and_forth_by_rollback(chance: Random, entries: int) -> Entries:
    """One version is promoted and rolled back to the other, again and again."""
    _ = chance
    return (("promoted", 2) if sequence % 2 else ("rolled-back", 1) for sequence in range(entries))


def of_all_kinds(chance: Random, entries: int) -> Entries:
    """Of 10,000 versions half are held; one promotion of five is rolled back."""
    stack: dict[int, None] = {}
    for _ in range(entries):
        version, what = chance.randint(1, 10_000), chance.random()
        if what < 0.1 and len(stack) > 1:
            stack.popitem()
            yield "rolled-back", next(reversed(stack))
        elif what < 0.5 and version != next(reversed(stack), None):
            stack.pop(version, None)
            stack[version] = None
            yield "promoted", version
        else:
            yield "held", version


SHAPES: dict[str, tuple[Callable[[Random, int], Entries], int]] = {
    "two versions": (back_and_forth, 2),
    "two versions by rollback": (back_and_forth_by_rollback, 2),
    "10,000 versions": (of_all_kinds, 10_000),
}


@pytest.mark.parametrize("entries", [100, 100_000])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("watching", ["unwatched", "watched"])
def test_the_target_of_a_rollback_is_found_in_a_long_ledger(
    backend: Backend, shape: str, entries: int, watching: str, benchmark: Any
) -> None:
    life, numbers = SHAPES[shape]
    versions(backend.rows, numbers)
    fill(backend.rows, life(Random(1), entries if benchmark.enabled else 100))
    if watching == "watched":
        serve(backend, predecessor(backend, 0))
    tidy(backend.rows)
    benchmark.group = f"find the target of a rollback, {shape}, {backend.rows.engine.dialect.name}"
    target = benchmark(predecessor, backend, SERVED)
    assert target
    if benchmark.enabled:
        assert benchmark.stats.stats.min < 0.05  # the least, because others use the machine, too


def predecessor(backend: Backend, served: int) -> int:
    """What an automatic rollback would go back to."""
    reign = backend.rows.reign("churn", "champion")
    assert reign.version is not None
    assert reign.since is not None
    found = candidates(backend, Reigning("churn", "champion", reign.version, reign.since), served)
    return next(number for number, objection in found if objection is None)


def serve(backend: Backend, version: int) -> None:
    """Let *version* have served long enough."""
    reign = backend.rows.reign("churn", "champion")
    backend.observations.append(
        Watch(**watch().__dict__ | {"version": reign.version, "since": reign.since}), [reading(0)]
    )
    [first] = backend.observations.last(*STREAM, 1)
    row = follower(first, 2) | {"version": version, "served": SERVED}
    with backend.rows.engine.begin() as connection:
        connection.execute(insert(Observation), [row])


# What is there before


def versions(store: Store, numbers: int) -> None:
    rows = list(chained(a_version_row() | {"number": number} for number in range(1, numbers + 1)))
    with store.engine.begin() as connection:
        connection.execute(insert(DatasetRecord), [a_dataset().model_dump()])
        connection.execute(
            insert(RegisteredModel), [{"name": "churn", "last_version": numbers, "created_at": AT}]
        )
        connection.execute(insert(Artifact), [an_artifact()])
        connection.execute(insert(ModelVersion), rows)


def fill(store: Store, life: Entries) -> None:
    rows = [*ledger(life)]
    with store.engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # an empty table's statistics make each check a full scan
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        for first in range(0, len(rows), AT_A_TIME):
            connection.execute(insert(LedgerEntry), rows[first : first + AT_A_TIME])


def ledger(life: Entries) -> Iterator[dict[str, Any]]:
    in_force = since = None
    for sequence, (kind, version) in enumerate(life, start=1):
        replaced, replaced_since = in_force, since
        if sequence == 1 or kind != "held":
            in_force, since = version, sequence
        yield {
            "model": "churn",
            "alias": "champion",
            "sequence": sequence,
            "previous": sequence - 1 or None,
            "kind": "assigned" if sequence == 1 else kind,
            "version": version,
            "replaced": replaced,
            "replaced_since": replaced_since,
            "in_force": in_force,
            "in_force_since": since,
            "actor": "the benchmark",
            "reason": "its turn",
            "evidence": {},
            "recorded_at": AT,
            "previous_hash": f"{sequence - 1:064x}",
            "hash": f"{sequence:064x}",
        }


def tidy(store: Store) -> None:
    """Tidy up what so many rows at once leave behind."""
    with store.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    if store.engine.dialect.name == "sqlite":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
