"""What transactions that write have in common: the lock of a model, and rows that may be there already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, inspect
from sqlalchemy import select as sa_select  # SQLModel's own knows no optional table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased
from sqlmodel import SQLModel, col, exists, func, or_, select

from registry.exceptions import ModelNotFound, VersionDeleted
from registry.leases import purged
from registry.tables import Artifact, LedgerEntry, ModelVersion, RegisteredModel, VersionDeletion

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import ColumnElement, Connection, Select
    from sqlmodel import Session

_LOCK = select(RegisteredModel.name).where(col(RegisteredModel.name) == bindparam("model")).with_for_update()
_GONE = (
    sa_select(Artifact, VersionDeletion)
    .select_from(ModelVersion)
    .join(Artifact, col(Artifact.digest) == col(ModelVersion.artifact))
    .outerjoin(
        VersionDeletion,
        (col(VersionDeletion.model) == col(ModelVersion.model))
        & (col(VersionDeletion.number) == col(ModelVersion.number)),
    )
    .where(
        col(ModelVersion.model) == bindparam("model"),
        col(ModelVersion.number) == bindparam("number"),
        or_(col(Artifact.purged_at).is_not(None), col(VersionDeletion.number).is_not(None)),
    )
)
_DELETION = select(VersionDeletion).where(
    col(VersionDeletion.model) == bindparam("model"), col(VersionDeletion.number) == bindparam("number")
)


def _aliases() -> Select[Any]:
    """Each alias of a model with what is in force, by one look for each, however many entries it has."""
    of_model = col(LedgerEntry.model) == bindparam("model")
    first = select(func.min(LedgerEntry.alias).label("alias")).where(of_model).cte("names", recursive=True)
    entry = aliased(LedgerEntry)
    following = select(func.min(entry.alias)).where(
        col(entry.model) == bindparam("model"), col(entry.alias) > first.c.alias
    )
    step = select(following.scalar_subquery()).where(first.c.alias.is_not(None))
    names = first.union_all(step)
    newest = aliased(LedgerEntry)
    in_force = (
        select(newest.in_force)
        .where(col(newest.model) == bindparam("model"), col(newest.alias) == names.c.alias)
        .order_by(col(newest.sequence).desc())
        .limit(1)
    )
    return select(names.c.alias, in_force.scalar_subquery()).where(names.c.alias.is_not(None))


_ALIASES = _aliases()


def listed() -> ColumnElement[bool]:
    """SQL: nobody deleted the version that the statement is about."""
    same = (
        col(VersionDeletion.model) == col(ModelVersion.model),
        col(VersionDeletion.number) == col(ModelVersion.number),
    )
    return ~exists().where(*same)


def lock_model(session: Session, model: str) -> None:
    """Let no other transaction write about *model* until this one ends.

    Raises:
        ModelNotFound: There is no such model.
    """
    if session.connection().execute(_LOCK, {"model": model}).first() is None:
        raise ModelNotFound(model)


def require_bytes(session: Session, model: str, number: int) -> None:
    """Let nobody count on a version that was deleted or whose bytes were purged; both wait for the lock, too.

    Raises:
        VersionDeleted: It was.
        ArtifactPurged: They were.
    """
    gone = session.execute(_GONE, {"model": model, "number": number}).first()
    if gone is not None:
        artifact, deletion = gone
        raise purged(artifact, f"{model}@{number}") if deletion is None else _deleted(deletion)


def refuse_deleted(session: Session, model: str, number: int) -> None:
    """Raise VersionDeleted if somebody deleted the version."""
    deletion = session.exec(_DELETION, params={"model": model, "number": number}).first()
    if deletion is not None:
        raise _deleted(deletion)


def _deleted(deletion: VersionDeletion) -> VersionDeleted:
    return VersionDeleted(deletion.model, deletion.number, deletion.deleted_by, deletion.reason)


def aliases_in(session: Session, model: str) -> dict[str, int]:
    """The versions of *model* in force, by alias."""
    found = session.connection().execute(_ALIASES, {"model": model})
    return {alias: number for alias, number in found if number}


def add_if_new(session: Session, row: SQLModel) -> None:
    """Add *row* unless its key is there, or another transaction is adding it at this moment."""
    table = type(row)
    identity = inspect(table).primary_key_from_instance(row)
    if session.get(table, tuple(identity)) is None:  # SQLite's triggers refuse an insert of what is there
        rows = session.connection()
        rows.execute(insert_new(rows, table), row.model_dump())


def insert_new(rows: Connection, table: type[SQLModel]) -> postgresql.Insert | sqlite.Insert:
    """The statement that inserts rows of *table*, but those whose keys others have inserted meanwhile."""
    insert = postgresql.insert if rows.dialect.name == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()
