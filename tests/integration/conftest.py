"""Registries on both databases, and rows to put into them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from shutil import copy
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from registry.ledger import Proposal
from registry.store import Origin, Store
from registry.submissions import Submission
from registry.tables import GENESIS, DatasetRecord, LedgerEntry, ModelVersion, now
from tests.audited import audited_on_postgresql, audited_on_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from registry import Registry
    from tests.shelves import Place


KINDS = ["sqlite", "postgresql"]


@pytest.fixture(params=KINDS)
def make_empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Each call returns the URL of another database without a table, of each of the two kinds in turn."""
    if request.param == "sqlite":
        numbers = count(1)
        return lambda: f"sqlite:///{tmp_path}/registry-{next(numbers)}.db"
    make: Callable[[], str] = request.getfixturevalue("make_postgres_database")
    return make


@pytest.fixture
def empty_database_url(make_empty_database: Callable[[], str]) -> str:
    """The URL of a database without a table, of each of the two kinds in turn."""
    return make_empty_database()


@pytest.fixture(params=KINDS)
def make_database(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> Callable[[], str]:
    """Each call returns the URL of another database in which there is the schema, of each kind in turn."""
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("make_postgres_registry")
        return make
    numbers = count(1)
    return lambda: f"sqlite:///{copy(empty_database, tmp_path / f'registry-{next(numbers)}.db')}"


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """The URL of a database in which there is the schema, of each of the two kinds in turn."""
    return make_database()


@pytest.fixture
def open_store() -> Iterator[Callable[..., Store]]:
    """Each call opens the database at a URL, for another *actor* or with another *clock*."""
    with ExitStack() as stores:

        def make(url: str, *, actor: str = "ada", clock: Callable[[], datetime] = now) -> Store:
            store = Store.open(url, Origin(actor=actor))
            stores.callback(store.engine.dispose)
            return replace(store, clock=clock)

        yield make


@pytest.fixture
def make_store(database_url: str, open_store: Callable[..., Store]) -> Callable[..., Store]:
    """Each call opens the test's own database, which is of each of the two kinds in turn."""

    def make(url: str = database_url, **others: Any) -> Store:
        return open_store(url, **others)

    return make


@pytest.fixture(params=KINDS)
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Iterator[Registry]:
    """Three versions of churn and the entries of two aliases of it, on each of the two kinds in turn."""
    session = tmp_path_factory.getbasetemp()
    if request.param == "sqlite":
        with audited_on_sqlite(session, tmp_path) as registry:
            yield registry
    else:
        server = request.getfixturevalue("postgres_server")
        with audited_on_postgresql(session, tmp_path, server) as registry:
            yield registry


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    """Where there is an empty registry, on each of the two kinds of database in turn."""
    from tests.shelves import Place  # noqa: PLC0415, which builds on this file

    return Place(database_url, str(tmp_path / "artifacts"))


@pytest.fixture(scope="session")
def a_version() -> Callable[..., ModelVersion]:
    """Each call registers another version; no estimator is needed, because the store never looks at bytes."""

    def append(
        store: Store, *, model: str = "churn", key: str | None = None, request: str = "", **columns: Any
    ) -> ModelVersion:
        row = ModelVersion(**a_version_row(model=model) | columns)
        return append_row(store, row, key=key, request=request or digest("request"))

    return append


@pytest.fixture(scope="session")
def an_entry() -> Callable[..., LedgerEntry]:
    """Each call writes one entry about a version."""

    def append(store: Store, version: int = 1, **proposal: Any) -> LedgerEntry:
        usual = {"kind": "assigned", "model": "churn", "reason": "a reason"}
        return store.append_entry(Proposal(version=version, **usual | proposal))

    return append


def append_row(store: Store, row: ModelVersion, **submission: Any) -> ModelVersion:
    """Append a version's *row*, whose bytes are leased and never put."""
    store.lease({row.artifact: row.artifact_bytes})
    usual: dict[str, Any] = {"trained_on": a_dataset(), "request": digest("request")}
    return store.append_version(Submission(version=row, **usual | submission))


def a_version_row(*, model: str = "churn") -> dict[str, Any]:
    """The columns of a version that nobody trained before."""
    return {
        "model": model,
        "number": 0,
        "training": digest(uuid4().hex),
        "fitted": digest(uuid4().hex),
        "artifact": digest("artifact"),
        "artifact_bytes": 4_096,
        "serialization": "skops",
        "estimator": "sklearn.linear_model._logistic.LogisticRegression",
        "trained_on": a_dataset().fingerprint,
        "params": {"C": 0.1},
        "input_schema": [{"name": "age", "type": "float64"}],
        "input_example": {"rows": [[1.0]], "predictions": [0]},
        "environment": {"python": "3.11", "scikit-learn": "1.9"},
        "registered_by": "ada",
        "registered_at": datetime(2026, 3, 3, 12, tzinfo=UTC),
    }


def chained(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The *rows* of versions, each model's in the order of its numbers, sealed as the store seals them."""
    last: dict[str, str] = {}
    for row in rows:
        before = {"previous": row["number"] - 1 or None, "previous_hash": last.get(row["model"], GENESIS)}
        version = ModelVersion(**row | before)
        last[version.model] = version.hash = version.digest()
        yield version.model_dump()


def an_artifact() -> dict[str, Any]:
    """The bytes of every version that ``a_version_row`` makes."""
    return {"digest": digest("artifact"), "bytes": 4_096, "leased_until": now()}


def a_dataset(name: str = "january") -> DatasetRecord:
    """A dataset known by its *name* alone."""
    columns = [{"name": "age", "type": "float64"}]
    return DatasetRecord(fingerprint=digest(name), name=name, target="left", rows=1_000, columns=columns)


def digest(text: str) -> str:
    """A SHA-256 that some artifact, dataset or request could have."""
    return sha256(text.encode()).hexdigest()
