"""The database's schema: made when the database is empty, brought up to date, and checked on every opening.

The scripts ship inside the package. Their version table has a name of its own, because other programs, such
as Prefect, keep their Alembic version under the usual one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from registry.exceptions import (
    DatabaseError,
    DatabaseOutdated,
    DatabaseShared,
    DatabaseUnrecognised,
    LibraryOutdated,
    UpgradeFailed,
)
from registry.migrations.backup import back_up
from registry.tables import Row

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from alembic.config import Config
    from sqlalchemy import Connection

VERSION_TABLE = "registry_alembic_version"
HEAD = "0005"
"""The schema version that this library works with."""

_ALEMBIC = Lock()  # Alembic keeps the migration that runs in its modules' globals

_LOCK = 7_362_001  # any number that other programs on the same PostgreSQL are unlikely to lock on


class Condition(StrEnum):
    """What a registry finds when it opens a database."""

    READY = "ready"
    EMPTY = "empty"
    OUTDATED = "outdated"
    NEWER = "newer"
    """It has a schema version that this library does not know."""
    SHARED = "shared"
    """There are tables of other programs, and none has a name of ours."""
    FOREIGN = "foreign"
    """There are tables with names of ours, which no registry made."""


OPENING = {
    "sqlite": frozenset({Condition.EMPTY, Condition.OUTDATED}),
    "postgresql": frozenset({Condition.EMPTY}),
}
"""What an opening mends, by the kind of database: a team's is upgraded when the team says so."""

UPGRADING = frozenset({Condition.EMPTY, Condition.OUTDATED, Condition.SHARED})
"""What an explicit upgrade mends."""


@dataclass(frozen=True)
class Schema:
    """The schema that was found in a database.

    Attributes:
        version: None if no registry made it.
        tables: The names that it has in the schema that is searched first.
    """

    condition: Condition
    version: str | None
    tables: tuple[str, ...]

    @property
    def tables_of_ours(self) -> tuple[str, ...]:
        """Those among the tables whose names a registry uses, whoever made them."""
        return tuple(name for name in self.tables if name in _ours())

    def require(self, mended: AbstractSet[Condition], database: str) -> None:
        """Refuse a *database* that is not ready, unless its condition is among what will be *mended*."""
        if self.condition is not Condition.READY and self.condition not in mended:
            raise self._refusal(database)

    def _refusal(self, database: str) -> DatabaseError:
        if self.condition is Condition.OUTDATED:
            return DatabaseOutdated(database, str(self.version), HEAD)
        if self.condition is Condition.NEWER:
            return LibraryOutdated(database, str(self.version), HEAD)
        if self.condition is Condition.SHARED:
            return DatabaseShared(database, self.tables[:5])
        return DatabaseUnrecognised(database, self.tables_of_ours[:5])


@dataclass(frozen=True)
class Upgrade:
    """What was done to a database's schema.

    Attributes:
        before: The schema version that was found; None if there was none.
        copy: Where the database is as it was before; None if no copy was needed.
    """

    database: str
    before: str | None
    after: str = HEAD
    copy: Path | None = None


def examine(connection: Connection) -> Schema:
    """Look which schema is in the database."""
    tables = tuple(sorted(inspect(connection).get_table_names()))
    if not tables:
        return Schema(Condition.EMPTY, None, tables)
    if VERSION_TABLE not in tables:
        taken = not _ours().isdisjoint(tables)
        return Schema(Condition.FOREIGN if taken else Condition.SHARED, None, tables)
    version = str(connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")))  # noqa: S608, a constant
    return Schema(_condition(version), version, tables)


def migrate(connection: Connection, database: str, mended: AbstractSet[Condition]) -> Upgrade:
    """Bring the schema to the version of this library, if what is found is among what is to be *mended*.

    Call it inside a write transaction, which on SQLite checks no foreign keys: they are checked at the end
    instead, because there a table that others refer to is changed by making it anew.

    Raises:
        DatabaseError: What is found is not to be mended, or can't be. *database* is the name it uses.
    """
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    found = examine(connection)
    found.require(mended, database)
    if found.condition is Condition.READY:
        return Upgrade(database, found.version)
    try:
        copy = _copy(connection, found.version)
        _upgrade(connection)
        _check_foreign_keys(connection)
    except (IntegrityError, OSError, ValueError) as error:  # what it reads may have been written by hand
        reason = str(error.orig) if isinstance(error, IntegrityError) else str(error)
        raise UpgradeFailed(database, found.version or "none", HEAD, reason) from error
    return Upgrade(database, found.version, copy=copy)


def _copy(connection: Connection, version: str | None) -> Path | None:
    if connection.dialect.name != "sqlite" or version is None:
        return None
    files = connection.exec_driver_sql("PRAGMA database_list")
    return back_up(next(Path(row.file) for row in files if row.name == "main"), version)


def _upgrade(connection: Connection) -> None:
    from alembic.command import upgrade  # noqa: PLC0415, only a database that is not ready needs it

    config = _config()
    config.attributes["connection"] = connection
    with _ALEMBIC:
        upgrade(config, "head")


def _check_foreign_keys(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        if row.table in _ours():
            raise ValueError(
                f"row {row.rowid} of {row.table} refers to a row of {row.parent} that is missing"
            )


def _condition(version: str) -> Condition:
    if version == HEAD:
        return Condition.READY
    return Condition.OUTDATED if version in _earlier() else Condition.NEWER


def _earlier() -> set[str]:
    from alembic.script import ScriptDirectory  # noqa: PLC0415, as above

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415, as above

    config = Config()
    config.set_main_option("script_location", "registry:migrations")
    return config


def _ours() -> AbstractSet[str]:
    return Row.metadata.tables.keys()
