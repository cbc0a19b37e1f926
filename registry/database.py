"""How each kind of database is connected to, what a transaction is there, and what its errors mean here.

On SQLite a write transaction begins as IMMEDIATE, because one that reads first and writes later fails at once
when another wrote in between, however long it would be willing to wait.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
from sqlmodel import Session

from registry.exceptions import DatabaseUnavailable, DatabaseUnrecognised
from registry.migrations import ensure_schema, has_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

_SQLITE_PRAGMAS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "recursive_triggers=ON",
)
_POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,
    "options": "-c lock_timeout=15s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s"
    " -c timezone=UTC",
}

_SECRETS = ("password", "sslpassword")  # options that the engine's own URL does not keep
_ALONE = {"sqlite_begin": "BEGIN IMMEDIATE"}


def connect(url: str) -> Engine:
    """Connect to the database at *url*, and make the schema in it if it is empty.

    Raises:
        DatabaseUnavailable: It can't be reached or used.
        DatabaseUnrecognised: It belongs to something else.
        DatabaseOutdated: A library of another schema version made it.
    """
    engine = _engine(url)
    try:
        with _translated(shown(engine)):
            _ensure_schema(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def shown(engine: Engine) -> str:
    """The database's URL as people may see it."""
    return shown_url(engine.url)


def shown_url(url: URL) -> str:
    """The *url* without its password, and without its options, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session whose rows can be used after it.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    with _translated(shown(engine)), Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session in one transaction, committed at the end; what an error interrupts leaves nothing.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    alone = engine.execution_options(**_ALONE)
    with _translated(shown(engine)), Session(alone, expire_on_commit=False) as session, session.begin():
        yield session


def _ensure_schema(engine: Engine) -> None:
    with engine.connect() as connection:
        if has_schema(connection, shown(engine)):
            return
        _let_readers_pass_writers(connection)
    with engine.execution_options(**_ALONE).begin() as connection:
        ensure_schema(connection, shown(engine))


def _engine(url: str) -> Engine:
    parsed = parse(url)
    secrets = {name: parsed.query[name] for name in _SECRETS if name in parsed.query}
    parsed = parsed.difference_update_query(secrets)
    try:
        if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
            _refuse_memory(parsed)
            engine = create_engine(parsed, connect_args={"timeout": 30})
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
            return create_engine(
                parsed, pool_pre_ping=True, connect_args=postgresql_options(parsed) | secrets
            )
    except ModuleNotFoundError:
        reason = "its driver is missing; pip install 'prefect-model-registry[postgres]'"
        raise DatabaseUnavailable(shown_url(parsed), reason) from None
    raise DatabaseUnavailable(shown_url(parsed), "write sqlite:///registry.db or postgresql+psycopg://…")


def postgresql_options(url: URL, *settings: str) -> dict[str, Any]:
    """How to connect to a PostgreSQL: in UTC, with time limits and further *settings* such as ``jit=off``.

    What the *url* itself says goes before, but for the settings.
    """
    ours = {name: value for name, value in _POSTGRESQL_OPTIONS.items() if name not in url.query}
    parts = [_POSTGRESQL_OPTIONS["options"], url.query.get("options"), *(f"-c {each}" for each in settings)]
    return ours | {"options": " ".join(str(part) for part in parts if part)}


def parse(url: str) -> URL:
    """The *url* in its parts.

    Raises:
        DatabaseUnavailable: It is none, or its password is not written so that it can be told apart.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        reason = "this is no database URL; write sqlite:///file.db or postgresql+psycopg://user@host/database"
        raise DatabaseUnavailable(cut(url), reason) from None
    if parsed.host is not None and "@" in f"{parsed.host}{parsed.database}":
        raise DatabaseUnavailable(cut(url), "write an @ in its password as %40")
    return parsed


def cut(url: str) -> str:
    """What of an unreadable *url* is surely no password."""
    return re.split(r"[?;=\s]", re.sub(r":.*@", ":***@", url, flags=re.DOTALL), maxsplit=1)[0]


def _refuse_memory(url: URL) -> None:
    if not url.database or ":memory:" in url.database or "mode=memory" in str(url):
        reason = "what is in memory is gone with its connection; name a file, such as sqlite:///registry.db"
        raise DatabaseUnavailable(shown_url(url), reason)


def _let_readers_pass_writers(connection: Connection) -> None:
    """Turn a new SQLite file's write-ahead log on; the file keeps it."""
    if connection.dialect.name != "sqlite":
        return
    connection.exec_driver_sql("COMMIT")  # in a transaction it can't be turned on
    try:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    except OperationalError:  # at once, when another process is turning it on: wait until it has
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _configure_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions itself, see _begin_sqlite
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


@contextmanager
def _translated(database: str) -> Iterator[None]:
    """Say what the database's own errors mean here; what is not about reaching or using it passes."""
    try:
        yield
    except (OperationalError, ProgrammingError) as error:  # the latter also where a permission is missing
        raise DatabaseUnavailable(database, str(error.orig)) from error
    except DBAPIError as error:
        if "not a database" in str(error.orig):
            raise DatabaseUnrecognised(database, ("no SQLite tables",)) from error
        raise
