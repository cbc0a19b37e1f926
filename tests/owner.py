"""What somebody can do who owns the database: no trigger, no key and no check is in the way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import NullPool, create_engine, inspect, text, update
from sqlmodel import Session, select

from registry.tables import GENESIS, LedgerEntry, ModelVersion, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from registry import Registry


@contextmanager
def owning(registry: Registry) -> Iterator[Connection]:
    """A connection on which nothing is refused, committed at the end."""
    url = registry.backend.rows.engine.url
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            _disarm_sqlite(connection)
        else:
            _disarm_postgresql(connection)
        yield connection
        connection.commit()


def _disarm_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
    triggers = (
        connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
    )
    for name in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")


def _disarm_postgresql(connection: Connection) -> None:
    connection.execute(text("SET session_replication_role = replica"))
    for table in Row.metadata.sorted_tables:
        for check in inspect(connection).get_check_constraints(table.name):
            connection.execute(text(f'ALTER TABLE {table.name} DROP CONSTRAINT "{check["name"]}"'))


def rewrite_entries(connection: Connection, change: Callable[[LedgerEntry], None]) -> None:
    """Change entries, and give all of them hashes that fit."""
    _rewrite(connection, LedgerEntry, ("alias",), change)


def rewrite_versions(connection: Connection, change: Callable[[ModelVersion], None]) -> None:
    """Change versions, and give all of them hashes that fit."""
    _rewrite(connection, ModelVersion, (), change)


def _rewrite(connection: Connection, table: Any, key: tuple[str, ...], change: Callable[[Any], None]) -> None:
    with Session(connection) as session:
        order = (*key, "number" if table is ModelVersion else "sequence")
        rows = session.exec(select(table).order_by(*(getattr(table, name) for name in order))).all()
        session.expunge_all()
    ends: dict[tuple[Any, ...], str] = {}
    for row in rows:
        chain = tuple(getattr(row, name) for name in key)
        change(row)
        row.previous_hash = ends.get(chain, GENESIS)
        row.hash = ends[chain] = row.digest()
        identity = [column == getattr(row, column.name) for column in table.__table__.primary_key]
        connection.execute(update(table).where(*identity).values(row.model_dump()))
