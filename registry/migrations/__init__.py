"""The database's schema: made when the database is empty, checked whenever one is opened.

The scripts ship inside the package. Their version table has a name of its own, because other programs, such
as Prefect, keep their Alembic version under the usual one.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from registry.exceptions import DatabaseOutdated, DatabaseUnrecognised

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION_TABLE = "registry_alembic_version"
HEAD = "0002"
"""The schema version that this library works with."""

_ALEMBIC = Lock()  # Alembic keeps the migration that runs in its modules' globals

_LOCK = 7_362_001  # any number that other programs on the same PostgreSQL are unlikely to lock on


def ensure_schema(connection: Connection, database: str) -> None:
    """Make the schema in an empty database, and let no other database pass than one that has it.

    Call it inside a write transaction. *database* is the name that errors use.

    Raises:
        DatabaseUnrecognised: There are tables, but no registry made them.
        DatabaseOutdated: A registry of another schema version made them.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if not has_schema(connection, database):
        _upgrade(connection)


def has_schema(connection: Connection, database: str) -> bool:
    """Whether the database has the schema; False if it is empty.

    Raises:
        DatabaseUnrecognised: There are tables, but no registry made them.
        DatabaseOutdated: A registry of another schema version made them.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return False
    if VERSION_TABLE not in tables:
        raise DatabaseUnrecognised(database, tuple(sorted(tables)[:5]))
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608, a constant
    if found != HEAD:
        raise DatabaseOutdated(database, str(found), HEAD)
    return True


def _upgrade(connection: Connection) -> None:
    # imported here, because only the first opening of a database needs them
    from alembic.command import upgrade  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "registry:migrations")
    config.attributes["connection"] = connection
    with _ALEMBIC:
        upgrade(config, "head")
