"""How each kind of database is connected to, what a transaction is there, and what its errors mean here.

On SQLite a write transaction begins as IMMEDIATE, because one that reads first and writes later fails at once
when another wrote in between, however long it would be willing to wait. It begins when its turn has come, see
``registry.turns``.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from sqlite3 import sqlite_version
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select, table, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    TimeoutError,  # noqa: A004, of the pool
)
from sqlmodel import Session

from registry.exceptions import (
    DatabaseError,
    DatabaseUnavailable,
    DatabaseUnrecognised,
    PermissionMissing,
)
from registry.limits import check_bound
from registry.migrations import OPENING, UPGRADING, Condition, Upgrade, examine, migrate
from registry.roles import READER, WRITER
from registry.turns import turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, Dialect, ExecutionContext
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

P = ParamSpec("P")
R = TypeVar("R")

_SQLITE_PRAGMAS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "recursive_triggers=ON",
)
_SECONDS_TO_WRITE = 30  # until a writer on SQLite gives up
_SECONDS_FOR_A_TURN = 25  # the rest is for SQLite to say what is wrong
_POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 20,  # a server whose machine is gone is noticed after about 35 seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 35_000,  # the same while something is being sent
    "options": "-c lock_timeout=15s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s"
    " -c timezone=UTC",
}

_KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_SECRETS = ("password", "sslpassword")  # options that the engine's own URL does not keep
_ALONE = {"sqlite_begin": "BEGIN IMMEDIATE"}
_EACH_ALONE: dict[str, dict[str, Any]] = {
    "sqlite": {"sqlite_begin": None},
    "postgresql": {"isolation_level": "AUTOCOMMIT"},
}
IDLE = 0.1
"""Seconds after which a connection to a PostgreSQL is asked whether it still works."""

_TIME_IN_SQLITE = text("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
_TIME_IN_POSTGRESQL = text("SELECT clock_timestamp()")
_ATTEMPTS = 3
_PERMISSION_MISSING = "42501"
_WRITING = ("SELECT", "INSERT", "UPDATE", "DELETE")  # SELECT if it locks
_BROKEN_OFF = {"40001", "40P01"}  # serialization failure, deadlock
_UNUSABLE = (OperationalError, InterfaceError, ProgrammingError)  # the last also if a permission is missing


@dataclass(frozen=True)
class Status:
    """What a database was found to be.

    Attributes:
        server: Such as "SQLite 3.40.1".
        version: Of the schema; None if no registry made one.
        problem: Why it would not be opened; None if it would.
        rows: How many there are in each of the registry's tables.
    """

    database: str
    server: str
    condition: Condition
    version: str | None
    problem: str | None = None
    rows: dict[str, int] = field(default_factory=dict)


def connect(url: str) -> Engine:
    """Connect to the database at *url*, and make the schema in it if it is empty.

    A SQLite database of an earlier schema version is upgraded, after a copy of it was made beside it.

    Raises:
        DatabaseUnavailable: It can't be reached or used.
        DatabaseUnrecognised: It belongs to something else.
        DatabaseOutdated: A library of an earlier schema version made it, and it is a PostgreSQL.
        LibraryOutdated: A library of a later schema version made it.
        UpgradeFailed: It could not be upgraded.
    """
    engine = _engine(url)
    event.listen(engine, "before_cursor_execute", _refuse_unwritable)
    try:
        with _translated(engine):
            _bring_up(engine, OPENING[engine.dialect.name])
    except BaseException:
        engine.dispose()
        raise
    return engine


def upgrade(url: str) -> Upgrade:
    """Bring the database at *url* to the schema version of this library, even beside other programs' tables.

    Raises:
        DatabaseUnavailable: It can't be reached or used.
        DatabaseUnrecognised: It holds tables under names of a registry's that no registry made.
        LibraryOutdated: A library of a later schema version made it.
        UpgradeFailed: It could not be upgraded.
    """
    engine = _engine(url)
    try:
        with _translated(engine):
            return _bring_up(engine, UPGRADING)
    finally:
        engine.dispose()


def status(url: str) -> Status:
    """Look what the database at *url* is, and change nothing in it.

    Raises:
        DatabaseUnavailable: It can't be reached or used.
        DatabaseUnrecognised: It is no database.
    """
    engine = _engine(url)
    try:
        with _translated(engine):
            return _status(engine)
    finally:
        engine.dispose()


def shown(engine: Engine) -> str:
    """The database's URL as people may see it."""
    return shown_url(engine.url)


def shown_url(url: URL) -> str:
    """The *url* without its password, and without its options, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def asking(engine: Engine) -> Iterator[Session]:
    """A session for single statements, each of which sees what is committed by then.

    It saves the statements that begin and end a transaction, which take longer than to read a row.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    with _translated(engine), engine.connect() as connection:
        connection.execution_options(**_EACH_ALONE[engine.dialect.name])
        with Session(connection, expire_on_commit=False) as session:
            yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session in one transaction, whose rows can be used after it.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    with _translated(engine), Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """A connection in one transaction, committed at the end; what an error interrupts leaves nothing.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    with _translated(engine), _alone(engine) as alone, alone.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """The session of such a transaction, whose rows can be used after it.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    with (
        changing(engine) as connection,
        Session(connection, expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session


def retried(write: Callable[P, R]) -> Callable[P, R]:
    """Let *write*, which is one transaction, begin anew if PostgreSQL broke it off in favour of another."""

    @wraps(write)
    def attempts(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(_ATTEMPTS - 1):
            try:
                return write(*args, **kwargs)
            except DatabaseUnavailable as error:
                if _sqlstate(error) not in _BROKEN_OFF:
                    raise
        return write(*args, **kwargs)

    return attempts


def _sqlstate(error: DatabaseUnavailable) -> str | None:
    cause = error.__cause__
    return getattr(cause.orig, "sqlstate", None) if isinstance(cause, DBAPIError) else None


@contextmanager
def _alone(engine: Engine) -> Iterator[Engine]:
    """The *engine* for a write transaction, as soon as it is its turn; PostgreSQL has its own queues."""
    queue = engine.get_execution_options().get("sqlite_queue")
    if queue is None:
        yield engine
        return
    deadline = monotonic() + _SECONDS_TO_WRITE
    with turn(queue, _SECONDS_FOR_A_TURN):
        yield engine.execution_options(**_ALONE, sqlite_patience=deadline - monotonic())


def time_in(rows: Connection) -> datetime:
    """The present moment by the database's clock, in UTC."""
    if rows.dialect.name == "postgresql":
        now: datetime = rows.execute(_TIME_IN_POSTGRESQL).scalar_one()
        return now.astimezone(UTC)
    return datetime.fromisoformat(rows.execute(_TIME_IN_SQLITE).scalar_one()).replace(tzinfo=UTC)


def _bring_up(engine: Engine, mended: AbstractSet[Condition]) -> Upgrade:
    with engine.connect() as connection:
        found = examine(connection)
        found.require(mended, shown(engine))
        if found.condition is Condition.READY:
            return Upgrade(shown(engine), found.version)
        _let_readers_pass_writers(connection)
    with _migrating(engine) as connection:
        return migrate(connection, shown(engine), mended)


def _status(engine: Engine) -> Status:
    name, kind = shown(engine), _KINDS[engine.dialect.name]
    file = None if kind == "PostgreSQL" else _file(engine.url)
    if file is not None and not file.exists() and file.parent.is_dir():  # looking would make it
        return Status(name, f"{kind} {sqlite_version}", Condition.EMPTY, None)
    with engine.connect() as connection:
        found = examine(connection)
        server = f"{kind} {'.'.join(map(str, connection.dialect.server_version_info or ()))}"
        rows = {name: _count(connection, name) for name in found.tables_of_ours}
    try:
        found.require(OPENING[engine.dialect.name], name)
    except DatabaseError as error:
        return Status(name, server, found.condition, found.version, str(error), rows)
    return Status(name, server, found.condition, found.version, rows=rows)


def _count(connection: Connection, name: str) -> int:
    return connection.scalar(select(func.count()).select_from(table(name))) or 0


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """A write transaction, on SQLite without foreign keys, which can't be switched off later than here."""
    with _alone(engine) as alone, alone.connect() as connection:
        connection.detach()  # no other use of the engine gets it
        if engine.dialect.name == "sqlite":
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
        with connection.begin():
            yield connection


def _engine(url: str) -> Engine:
    parsed = parse(url)
    secrets = {name: parsed.query[name] for name in _SECRETS if name in parsed.query}
    parsed = parsed.difference_update_query(secrets)
    try:
        if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
            _refuse_memory(parsed)
            engine = create_engine(
                parsed,
                connect_args={"timeout": _SECONDS_TO_WRITE},
                execution_options={"sqlite_queue": _queue(parsed)},
            )
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
            engine = create_engine(
                parsed,
                isolation_level="READ COMMITTED",  # what locks protect is read in a statement after them
                connect_args=postgresql_options(parsed) | secrets,
            )
            event.listen(engine, "checkin", _note_when)
            event.listen(engine, "checkout", partial(_refuse_broken, engine.dialect))
            return engine
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


def _queue(url: URL) -> Path:
    """The file whose lock writers wait for: beside the database, however its path is written."""
    return Path(f"{_file(url)}-turn")


def _file(url: URL) -> Path:
    name = url.database or ""
    path = unquote(urlsplit(name).path) if name.startswith("file:") else name
    return Path(os.path.realpath(path))


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


def _refuse_unwritable(
    _connection: Connection,
    _cursor: DBAPICursor,
    _statement: str,
    parameters: Any,
    _context: ExecutionContext,
    executemany: bool,  # noqa: FBT001
) -> None:
    """Refuse on every database what one of them could not keep, or look for, and before it gets to know."""
    for row in parameters if executemany else [parameters]:
        for value in row.values() if isinstance(row, dict) else row:
            check_bound(value)


def _note_when(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["used"] = monotonic()


def _refuse_broken(
    dialect: Dialect, connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    """Let the pool connect anew where the server is gone; a connection that worked just now is believed."""
    if monotonic() - record.info.get("used", monotonic()) < IDLE:
        return
    try:
        dialect.do_ping(connection)
    except Exception as error:  # the driver's own errors come as they are
        raise DisconnectionError from error


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if "sqlite_patience" in options:
        cursor = connection.connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={options['sqlite_patience'] * 1_000:.0f}")
        cursor.close()
    begin = options.get("sqlite_begin", "BEGIN")
    if begin is not None:
        connection.exec_driver_sql(begin)


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    """Say what the database's own errors mean here; what is not about reaching or using it passes."""
    try:
        yield
    except TimeoutError as error:
        reason = "all of its connections are in use by other threads: let fewer of them use it at once"
        raise DatabaseUnavailable(shown(engine), reason) from error
    except DBAPIError as error:
        database = shown(engine)
        if error.statement and getattr(error.orig, "sqlstate", None) == _PERMISSION_MISSING:
            raise PermissionMissing(database, str(error.orig).strip(), _who_may(error)) from error
        if isinstance(error, _UNUSABLE) or error.connection_invalidated:
            raise DatabaseUnavailable(database, _reason(error)) from error
        if "not a database" in str(error.orig):
            raise DatabaseUnrecognised(database, ("no SQLite tables",)) from error
        raise


def _who_may(error: DBAPIError) -> str:
    statement, reason = (error.statement or "").lstrip(), str(error.orig)
    if statement.startswith("SELECT") and " FOR " not in statement:
        return f"only a member of the role that reads ({READER}, if it has its usual name)"
    if statement.startswith(_WRITING) and "trusted_type" not in reason:
        return f"only a member of the role that writes ({WRITER}, if it has its usual name)"
    if "to create role" in reason:
        return "only a role that has CREATEROLE"
    return f"only the owner of the {'schema' if 'for schema' in reason else 'tables'}"


def _reason(error: DBAPIError) -> str:
    if getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        return f"another process has been writing to it for {_SECONDS_TO_WRITE} s: if it hangs, end it"
    return str(error.orig)
