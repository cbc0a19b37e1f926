"""A model before its first version: a name that is taken, with what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlmodel import col, delete

from registry.database import retried, writing
from registry.exceptions import InvalidName
from registry.limits import MOST_TAGS, check_text
from registry.profiles import touch_model
from registry.references import check_model_name
from registry.tables import ModelProfile, ModelTag, RegisteredModel
from registry.tags import Tags, check_tag
from registry.transactions import insert_new, lock_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlmodel import Session

    from registry.store import Store


@retried
def create(
    store: Store,
    name: str,
    *,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    created_at: datetime | None = None,
) -> bool:
    """Make a model without versions, or bring one back that was deleted, whose numbers go on.

    Returns:
        Whether there was none.

    Raises:
        InvalidName: A model can't be called so, or what is said of it can't be kept.
    """
    tags = tags or {}
    check_model_name(name)
    check_text("description", description)
    for key, value in tags.items():
        check_tag(key, value)
    if len(tags) > MOST_TAGS:
        raise InvalidName("tag", next(iter(tags)), f"{name} would have {len(tags)}, and can have {MOST_TAGS}")
    row = RegisteredModel(name=name, created_at=created_at or store.clock())
    with writing(store.engine) as session:
        new = _inserted(session, row)
        lock_model(session, name)
        if not new and not _is_deleted(session, name):
            return False
        if not new or description:
            profile = touch_model(session, name, store)
            profile.description, profile.deleted_after = description, None
            profile.changed_at = row.created_at
        session.exec(delete(ModelTag).where(col(ModelTag.model) == name))
        session.add_all([Tags(store).row(row, key, value) for key, value in tags.items()])
        return True


def _inserted(session: Session, row: RegisteredModel) -> bool:
    """Whether there was none; another transaction may be adding one at this moment."""
    if session.get(RegisteredModel, row.name) is not None:
        return False
    rows = session.connection()
    statement = insert_new(rows, RegisteredModel).returning(col(RegisteredModel.name))
    return rows.execute(statement, row.model_dump()).first() is not None


def _is_deleted(session: Session, name: str) -> bool:
    session.expire_all()  # it may have been read before it was locked
    profile = session.get(ModelProfile, name)
    return (
        profile is not None and profile.deleted_after == session.get_one(RegisteredModel, name).last_version
    )
