"""Registries, and the real servers, each started when the first test asks for it."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from shutil import copy
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from registry import Registry
from registry.store import Origin, Store
from tests.servers.postgres import PostgresServer, postgres
from tests.servers.seaweedfs import SeaweedFSServer, seaweedfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a busy machine OpenMP's threads wait for each other
os.environ["MODEL_REGISTRY_CACHE"] = "off"  # what happens to a bucket is to be noticed


@pytest.hookimpl(tryfirst=True)  # before the marks are looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What simulates and what measures takes long."""
    for item in items:
        if not {"benchmarks", "simulation"}.isdisjoint(item.path.parts):
            item.add_marker("long")


@pytest.fixture(scope="session")
def make_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[Path], None]], Path]:
    """Each call gives the folder of this name, which the first of all workers to ask for it fills."""
    own = tmp_path_factory.getbasetemp()
    common = own if worker_id == "master" else own.parent

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder = common / name
        with (common / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished = common / f"{name}.new"
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for the whole session."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs_server() -> Iterator[SeaweedFSServer]:
    """An S3 for the whole session."""
    with seaweedfs() as server:
        yield server


@pytest.fixture
def make_postgres_database(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """Each call returns the SQLAlchemy URL of another empty database, which goes with the test."""
    with ExitStack() as databases:
        yield lambda: _database(postgres_server, databases, "template1")


@pytest.fixture
def make_postgres_registry(
    postgres_server: PostgresServer, postgres_template: str
) -> Iterator[Callable[[], str]]:
    """Each call returns the URL of another database with the schema, copied, which is fast."""
    with ExitStack() as databases:
        yield lambda: _database(postgres_server, databases, postgres_template)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database in which there is a schema and nothing else."""
    postgres_server.create("schema_alone")
    Store.open(postgres_server.url("schema_alone"), Origin(actor="ada")).close()
    return "schema_alone"


def _database(server: PostgresServer, databases: ExitStack, template: str) -> str:
    name = f"test_{uuid4().hex}"
    server.create(name, template)
    databases.callback(server.drop, name)
    return server.url(name)


@pytest.fixture
def make_bucket(seaweedfs_server: SeaweedFSServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Each call returns the name of another empty bucket; the environment leads boto3 to it."""
    for own in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(own, raising=False)
    for name, value in seaweedfs_server.environment.items():
        monkeypatch.setenv(name, value)

    def make() -> str:
        name = f"test-{uuid4().hex}"
        seaweedfs_server.client().create_bucket(Bucket=name)
        return name

    return make


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which there is a schema and nothing else, for copying, which is faster than making it."""
    path = tmp_path_factory.mktemp("empty") / "registry.db"
    Store.open(f"sqlite:///{path}", Origin(actor="ada")).engine.dispose()
    return path


@pytest.fixture
def make_registry(tmp_path: Path, empty_database: Path) -> Iterator[Callable[..., Registry]]:
    """Each call returns another empty registry, on SQLite and a folder, used by *actor*."""
    with ExitStack() as registries:

        def make(*, actor: str = "ada") -> Registry:
            folder = tmp_path / uuid4().hex
            folder.mkdir()
            database = f"sqlite:///{copy(empty_database, folder)}"
            registry = Registry(database, artifacts=f"{folder}/artifacts", actor=actor)
            registries.callback(registry.backend.rows.engine.dispose)
            return registry

        yield make
