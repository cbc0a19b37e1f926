"""Bytes on their way into the registry: leased, put, and held by the row that refers to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlmodel import Session

from registry import storage
from registry.artifacts import FolderArtifactStore
from registry.backend import Backend
from registry.database import time_in, writing
from registry.exceptions import ArtifactMissing, ArtifactPurged, LeaseExpired
from registry.tables import Artifact, ModelVersion
from tests.integration.conftest import a_version_row, append_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.store import Store

    MakeStore = Callable[..., Store]

DAY = timedelta(days=1)


@pytest.fixture
def backend(make_store: MakeStore, tmp_path: Path) -> Backend:
    return Backend(make_store(), FolderArtifactStore(tmp_path / "artifacts"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"a model")
    return path


def lease_of(store: Store, digest: str) -> timedelta:
    """How long the lease lasts from now on, by the database's clock."""
    artifact = store.artifact(digest)
    assert artifact is not None
    with Session(store.engine) as session:
        return artifact.leased_until - time_in(session.connection())


def purge(store: Store, digest: str, *, after: timedelta) -> None:
    """Give the bytes up, so long after their lease was over."""
    with writing(store.engine) as session:
        artifact = session.get_one(Artifact, digest)
        artifact.purged_at = artifact.leased_until + after
        artifact.purged_by, artifact.purged_because = "ada", "older than a year"


def test_bytes_that_are_put_are_leased_for_a_day(backend: Backend, source: Path) -> None:
    digest = storage.put(backend, source)
    artifact = backend.rows.artifact(digest)
    assert artifact is not None
    assert (artifact.bytes, artifact.purged_at) == (7, None)
    assert DAY - timedelta(minutes=1) < lease_of(backend.rows, digest) <= DAY


def test_bytes_are_leased_before_anything_stands_under_their_digest(backend: Backend, source: Path) -> None:
    class Refusing(FolderArtifactStore):
        def adopt(self, staged: Path, digest: str) -> None:
            raise OSError(f"{staged} can't be {digest}")

    refusing = replace(backend, artifacts=Refusing(source.parent / "artifacts"))
    with pytest.raises(OSError, match="can't be"):
        storage.put(refusing, source)
    [digest] = _digests(backend.rows)
    assert lease_of(backend.rows, digest) > timedelta(0)
    assert list(backend.artifacts.stored()) == []


def _digests(store: Store) -> list[str]:
    with store.engine.connect() as connection:
        return list(connection.execute(text("SELECT digest FROM model_artifact")).scalars())


def test_a_lease_is_renewed_and_never_shortened(backend: Backend, source: Path) -> None:
    digest = storage.put(backend, source)
    for lease, expected in ((timedelta(0), DAY), (3 * DAY, 3 * DAY), (2 * DAY, 3 * DAY)):
        storage.put(replace(backend, rows=replace(backend.rows, lease_time=lease)), source)
        assert abs(lease_of(backend.rows, digest) - expected) < timedelta(minutes=1)


def test_a_lease_does_not_believe_this_machines_clock(make_store: MakeStore) -> None:
    store = make_store()
    late = replace(store, clock=lambda: store.clock() + 400 * DAY)
    late.lease({"0" * 64: 1})
    assert lease_of(store, "0" * 64) <= DAY


def test_a_version_whose_bytes_nobody_leased_is_not_appended(make_store: MakeStore) -> None:
    store, row = make_store(), ModelVersion(**a_version_row())
    append_row(store, row)
    other = ModelVersion(**a_version_row() | {"artifact": "1" * 64})
    with pytest.raises(LeaseExpired, match="1" * 64):
        append_row(replace_lease(store), other)
    assert store.require_model("churn").last_version == 1


def replace_lease(store: Store) -> Store:
    """A store that leases nothing."""

    class Careless(type(store)):  # type: ignore[misc]  # the class is given as a value
        def lease(self, artifacts: object) -> None:
            """Forget it."""

    return Careless(store.engine, store.origin)


def test_bytes_that_were_purged_are_missing_and_it_is_said_why(backend: Backend, source: Path) -> None:
    digest = storage.put(backend, source)
    purge(backend.rows, digest, after=DAY)
    backend.artifacts.remove(digest)
    with pytest.raises(ArtifactPurged, match="older than a year"):
        storage.fetch(backend, digest, source.with_name("fetched"))
    with pytest.raises(ArtifactMissing) as missing:
        storage.fetch(backend, "0" * 64, source.with_name("fetched"))
    assert not isinstance(missing.value, ArtifactPurged)


def test_purged_bytes_count_again_once_they_were_put_again(backend: Backend, source: Path) -> None:
    digest = storage.put(backend, source)
    purge(backend.rows, digest, after=-3 * DAY)  # the lease was taken after the purge
    append_row(backend.rows, ModelVersion(**a_version_row() | {"artifact": digest}))
    artifact = backend.rows.artifact(digest)
    assert artifact is not None
    assert (artifact.purged_at, artifact.purged_by, artifact.purged_because) == (None, None, None)


def test_bytes_that_were_purged_after_their_lease_are_not_taken_for_there(
    backend: Backend, source: Path
) -> None:
    digest = storage.put(backend, source)
    purge(backend.rows, digest, after=DAY)
    with pytest.raises(LeaseExpired):
        append_row(replace_lease(backend.rows), ModelVersion(**a_version_row() | {"artifact": digest}))


def test_whoever_lost_the_bytes_puts_them_again() -> None:
    attempts = []

    def store() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise LeaseExpired("0" * 64)
        return "stored"

    assert storage.persistently(store) == "stored"


def test_a_lease_that_is_always_too_short_is_given_up() -> None:
    attempts = []

    def store() -> str:
        attempts.append(1)
        raise LeaseExpired("0" * 64)

    with pytest.raises(LeaseExpired):
        storage.persistently(store)
    assert len(attempts) == 3
