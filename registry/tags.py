"""Every SQL statement about tags: notes on models and versions, which people and services may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import col, delete, select

from registry.database import reading, retried, writing
from registry.exceptions import InvalidName
from registry.limits import MOST_TAGS, brief, check_line, check_text
from registry.tables import ModelTag, ModelVersion, RegisteredModel, VersionTag
from registry.transactions import lock_model

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement

    from registry.store import Store

Tagged = RegisteredModel | ModelVersion
"""What tags are about."""

Tag = ModelTag | VersionTag


@dataclass(frozen=True)
class Tags:
    """The tags of models and versions.

    Attributes:
        store: The database, and on whose behalf rows are written.
    """

    store: Store

    def of(self, subject: Tagged) -> Sequence[Tag]:
        """The tags of a model or a version, by key."""
        table: Any = _table(subject)
        with reading(self.store.engine) as session:
            found: Sequence[Tag] = session.exec(
                select(table).where(*_about(subject)).order_by(table.key)
            ).all()
        return found

    @retried
    def put(self, subject: Tagged, tags: Mapping[str, str]) -> None:
        """Give a model or a version *tags*, values by key, in one transaction; a key that it has changes.

        Raises:
            InvalidName: A key or a value can't be kept, or there would be too many.
        """
        for key, value in tags.items():
            check_tag(key, value)
        rows = [self.row(subject, key, value) for key, value in tags.items()]
        with writing(self.store.engine) as session:
            lock_model(session, _model(subject))
            there = set(session.exec(select(_table(subject).key).where(*_about(subject))))
            _refuse_too_many(subject, len(there | tags.keys()), tags)
            for row in rows:
                session.merge(row)

    @retried
    def remove(self, subject: Tagged, keys: Collection[str]) -> None:
        """Take the tags of these *keys* from a model or a version; one that it does not have is none less."""
        table = _table(subject)
        with writing(self.store.engine) as session:
            session.exec(delete(table).where(*_about(subject), col(table.key).in_(keys)))

    def row(self, subject: Tagged, key: str, value: str) -> Tag:
        """The row of a tag that was checked."""
        by, at = self.store.origin.actor, self.store.clock()
        if isinstance(subject, RegisteredModel):
            return ModelTag(model=subject.name, key=key, value=value, set_by=by, set_at=at)
        return VersionTag(
            model=subject.model,
            number=subject.number,
            registered_at=subject.registered_at,
            key=key,
            value=value,
            digest=VersionTag.digest_of(key, value),
            set_by=by,
            set_at=at,
        )


def check_tag(key: str, value: str) -> None:
    """Raise InvalidName unless every database can keep the tag."""
    check_line("tag", key)
    check_text("tag value", value)


def _table(subject: Tagged) -> type[Tag]:
    return ModelTag if isinstance(subject, RegisteredModel) else VersionTag


def _model(subject: Tagged) -> str:
    return subject.name if isinstance(subject, RegisteredModel) else subject.model


def _about(subject: Tagged) -> tuple[ColumnElement[bool], ...]:
    if isinstance(subject, RegisteredModel):
        return (col(ModelTag.model) == subject.name,)
    return col(VersionTag.model) == subject.model, col(VersionTag.number) == subject.number


def _refuse_too_many(subject: Tagged, count: int, new: Collection[str]) -> None:
    if count > MOST_TAGS:
        name = subject.name if isinstance(subject, RegisteredModel) else subject.reference
        rule = f"{name} would have {count:,} tags; it can have {MOST_TAGS}"
        raise InvalidName("tag", brief(", ".join(new)), rule)
