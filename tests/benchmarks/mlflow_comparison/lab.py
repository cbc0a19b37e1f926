"""Where it is measured: databases of both systems, empty or filled, on SQLite and a real PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import psycopg

from registry import Registry
from tests.benchmarks import filling
from tests.benchmarks.mlflow_comparison import theirs
from tests.benchmarks.mlflow_comparison.lines import Patience
from tests.servers.postgres import PostgresServer, cluster
from tests.servers.seaweedfs import seaweedfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = Patience(seconds=15, least=7, most=100)
PLACES = ("SQLite", "PostgreSQL")
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "512MB"}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything there is.

    Attributes:
        few: Versions in all, of which a model has a tenth.
        many: Versions in all, of which a model has *large*, if there are so many.
        theirs: The same of MLflow.
        large: Versions of one model.
        writers: Processes that write at once, or MLflow's threads.
        writes: Of each of them.
        megabytes: Of the large file.
        patience: With each line.
    """

    few: int = 1_000
    many: int = 1_000_000
    theirs: int = 100_000
    large: int = 10_000
    writers: int = 8
    writes: int = 25
    megabytes: int = 500
    patience: Patience = PATIENCE

    @classmethod
    def quick(cls) -> Self:
        """Enough to see that everything runs."""
        patience = Patience(seconds=0.1, least=1, most=20)
        return cls(few=200, many=1_000, theirs=1_000, writers=2, writes=5, megabytes=20, patience=patience)

    def models(self, versions: int) -> dict[str, int]:
        """How many versions of each model there are among so many in all: a few, many, and the rest."""
        small = self.few // 10
        large = min(self.large, versions - small)
        rest = versions - small - large
        others = {f"other-{n}": min(self.large, rest - n * self.large) for n in range(-(-rest // self.large))}
        return {"few": small, "m": large, **others}


@dataclass
class Lab:
    """Makes what is asked for, once, and takes it away at the end.

    Attributes:
        folder: Where all of it is.
        sizes: How much of everything there is.
        closing: What is to be done at the end.
    """

    folder: Path
    sizes: Sizes
    closing: ExitStack = field(default_factory=ExitStack)
    _made: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.close()

    def new_database(self, place: str) -> str:
        """The URL of an empty database."""
        name = f"lab_{uuid4().hex}"
        if place == "SQLite":
            return f"sqlite:///{self.folder}/{name}.db"
        server: PostgresServer = self._once(self._postgres)
        server.create(name)
        return server.url(name)

    def registry(self, place: str) -> Registry:
        """An empty registry of ours, with a folder of its own."""
        registry = Registry(self.new_database(place), artifacts=self.folder / uuid4().hex, actor="ada")
        self.closing.callback(registry.close)
        return registry

    def new_folder(self) -> Path:
        """An empty folder."""
        folder = self.folder / uuid4().hex
        folder.mkdir()
        return folder

    def new_location(self, place: str) -> str:
        """Where artifacts may go: an empty folder, or a prefix in S3."""
        return f"s3://{self._once(self._bucket)}/{uuid4().hex}" if place == "S3" else str(self.new_folder())

    @property
    def file(self) -> Path:
        """The large file."""
        file: Path = self._once(self.new_file, self.sizes.megabytes)
        return file

    def new_file(self, megabytes: int) -> Path:
        """A file of so many MB that can't be compressed."""
        path = self.new_folder() / "weights"
        with path.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(1_000_000))
        return path

    def filled(self, place: str, versions: int) -> Registry:
        """A registry of ours with so many versions in all."""
        registry: Registry = self._once(self._filled, place, versions)
        return registry

    def mlflow(self, place: str) -> Any:
        """A client of an MLflow with as many versions as is bearable."""
        return self._once(self._mlflow, place)

    def new_mlflow(self, place: str) -> Any:
        """A client of an empty MLflow."""
        return theirs.opened(self.new_database(place))

    def connection(self, url: str) -> Any:
        """A connection of the driver's own, which commits each statement, and waits for the disk."""
        if url.startswith("sqlite"):
            connection: Any = sqlite3.connect(
                url.removeprefix("sqlite:///"), timeout=30, isolation_level=None
            )
            connection.execute("PRAGMA synchronous=FULL")
        else:
            connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        self.closing.callback(connection.close)
        return connection

    def _once(self, make: Callable[..., Any], *of: Any) -> Any:
        key = (make.__name__, *of)
        if key not in self._made:
            self._made[key] = make(*of)
        return self._made[key]

    def _postgres(self) -> PostgresServer:
        made = self.closing.enter_context(cluster())
        self.closing.enter_context(made.running(**DURABLE))
        return made.server

    def _bucket(self) -> str:
        server = self.closing.enter_context(seaweedfs())
        for own in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
            os.environ.pop(own, None)
        os.environ |= server.environment  # where boto3 and its users look, here and in new processes
        server.client().create_bucket(Bucket="lab")
        return "lab"

    def _filled(self, place: str, versions: int) -> Registry:
        registry = self.registry(place)
        filling.fill(registry.backend.rows, self.sizes.models(versions))
        return registry

    def _mlflow(self, place: str) -> Any:
        client = self.new_mlflow(place)
        theirs.fill(client, self.sizes.models(self.sizes.theirs))
        return client


def url_of(registry: Registry) -> str:
    """The URL of the database of *registry*."""
    return registry.backend.rows.engine.url.render_as_string(hide_password=False)


def mark_of(place: str) -> str:
    """How the driver marks a parameter."""
    return "?" if place == "SQLite" else "%s"
