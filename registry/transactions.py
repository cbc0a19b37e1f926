"""What transactions that write have in common: the lock of a model, and rows that may be there already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel, col, select

from registry.exceptions import ModelNotFound
from registry.leases import purged
from registry.tables import Artifact, ModelVersion, RegisteredModel

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlmodel import Session

_LOCK = select(RegisteredModel.name).where(col(RegisteredModel.name) == bindparam("model")).with_for_update()
_PURGED = (
    select(Artifact)
    .join(ModelVersion, col(ModelVersion.artifact) == col(Artifact.digest))
    .where(
        col(ModelVersion.model) == bindparam("model"),
        col(ModelVersion.number) == bindparam("number"),
        col(Artifact.purged_at).is_not(None),
    )
)


def lock_model(session: Session, model: str) -> None:
    """Let no other transaction write about *model* until this one ends.

    Raises:
        ModelNotFound: There is no such model.
    """
    if session.connection().execute(_LOCK, {"model": model}).first() is None:
        raise ModelNotFound(model)


def require_bytes(session: Session, model: str, number: int) -> None:
    """Let nobody count on a version whose bytes were purged; a purge waits for the model's lock, too.

    Raises:
        ArtifactPurged: They were.
    """
    artifact = session.exec(_PURGED, params={"model": model, "number": number}).first()
    if artifact is not None:
        raise purged(artifact, f"{model}@{number}")


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
