"""Every SQL statement about descriptions, and about versions that were set aside: notes that may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.database import asking, retried, writing
from registry.limits import check_text
from registry.tables import ModelProfile, ModelVersion, RegisteredModel, VersionProfile
from registry.transactions import lock_model

if TYPE_CHECKING:
    from sqlmodel import Session

    from registry.store import Store

Profile = ModelProfile | VersionProfile


@dataclass(frozen=True)
class Profiles:
    """What is said of models and versions.

    Attributes:
        store: The database, and on whose behalf rows are written.
    """

    store: Store

    def of(self, subject: RegisteredModel | ModelVersion) -> Profile | None:
        """What is said of a model or a version; None if nobody said anything."""
        with asking(self.store.engine) as session:
            if isinstance(subject, RegisteredModel):
                return session.get(ModelProfile, subject.name)
            return session.get(VersionProfile, (subject.model, subject.number))

    def description(self, subject: RegisteredModel | ModelVersion) -> str:
        """What a model or a version is for, as somebody wrote it; empty if nobody did."""
        profile = self.of(subject)
        return "" if profile is None else profile.description

    @retried
    def describe(self, subject: RegisteredModel | ModelVersion, text: str) -> None:
        """Say what a model or a version is for; an empty *text* takes back what was said.

        Raises:
            InvalidName: The text can't be kept.
        """
        check_text("description", text)
        with writing(self.store.engine) as session:
            if isinstance(subject, RegisteredModel):
                lock_model(session, subject.name)
                touch_model(session, subject.name, self.store).description = text
            else:
                lock_model(session, subject.model)
                touch_version(session, subject, self.store).description = text

    @retried
    def set_aside(self, version: ModelVersion, *, archived: bool) -> None:
        """Note whether *version* is archived, as MLflow's stages have it."""
        with writing(self.store.engine) as session:
            lock_model(session, version.model)
            touch_model(session, version.model, self.store)
            touch_version(session, version, self.store).stage = "Archived" if archived else "None"


def touch_model(session: Session, model: str, store: Store) -> ModelProfile:
    """The profile of a *model* that is about to change on behalf of whoever uses *store*."""
    by, at = store.origin.actor, store.clock()
    profile = session.get(ModelProfile, model)
    if profile is None:
        profile = ModelProfile(model=model, changed_by=by, changed_at=at)
        session.add(profile)
    profile.changed_by, profile.changed_at = by, at
    return profile


def touch_version(session: Session, version: ModelVersion, store: Store) -> VersionProfile:
    """The profile of a *version* that is about to change on behalf of whoever uses *store*."""
    by, at = store.origin.actor, store.clock()
    profile = session.get(VersionProfile, (version.model, version.number))
    if profile is None:
        number = version.number
        profile = VersionProfile(model=version.model, number=number, changed_by=by, changed_at=at)
        session.add(profile)
    profile.changed_by, profile.changed_at = by, at
    return profile
