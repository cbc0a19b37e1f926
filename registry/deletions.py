"""Every SQL statement by which versions and models are deleted: nothing finds them any more, their rows stay.

A number is not given again, so what the ledger says of a version stays true of that version. The bytes go
with the next purge, because no retention policy keeps them any longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import col, select

from registry.database import retried, writing
from registry.exceptions import ReasonMissing, StillNeeded
from registry.limits import check_text
from registry.profiles import touch_model
from registry.tables import ModelVersion, Pin, RegisteredModel, VersionDeletion
from registry.transactions import aliases_in, listed, lock_model, refuse_deleted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlmodel import Session

    from registry.store import Store

_ALIAS = "clear the alias, or move it to another version, first"
_PIN = "unpin it first"


@dataclass(frozen=True)
class Deletions:
    """What is deleted, and by whom.

    Attributes:
        store: The database, and on whose behalf rows are written.
    """

    store: Store

    @retried
    def delete(self, version: ModelVersion, reason: str) -> VersionDeletion:
        """Let nobody find *version* any more.

        Raises:
            ReasonMissing: It is not said why.
            VersionDeleted: It was deleted before.
            StillNeeded: It is in force under an alias, or pinned.
        """
        check_reason(reason)
        with writing(self.store.engine) as session:
            lock_model(session, version.model)
            refuse_deleted(session, version.model, version.number)
            in_force = aliases_in(session, version.model).items()
            held = [alias for alias, number in in_force if number == version.number]
            _refuse_needed(session, version.reference, held, version.model, [version.number])
            touch_model(session, version.model, self.store)  # notes when the model changed
            deletion = self._deletion(version.model, version.number, reason)
            session.add(deletion)
            return deletion

    @retried
    def delete_model(self, model: RegisteredModel, reason: str) -> None:
        """Let nobody find *model* and its versions any more; a version registered later brings its name back.

        Raises:
            ReasonMissing: It is not said why.
            StillNeeded: A version of it is in force under an alias, or pinned.
        """
        check_reason(reason)
        with writing(self.store.engine) as session:
            lock_model(session, model.name)
            numbers = select(ModelVersion.number).where(col(ModelVersion.model) == model.name, listed())
            left = session.exec(numbers).all()
            _refuse_needed(session, model.name, list(aliases_in(session, model.name)), model.name, left)
            session.add_all([self._deletion(model.name, number, reason) for number in left])
            profile = touch_model(session, model.name, self.store)
            profile.description = ""
            profile.deleted_after = session.get_one(RegisteredModel, model.name).last_version

    def _deletion(self, model: str, number: int, reason: str) -> VersionDeletion:
        by, at = self.store.origin.actor, self.store.clock()
        return VersionDeletion(model=model, number=number, reason=reason, deleted_by=by, deleted_at=at)


def check_reason(reason: str) -> str:
    """Return *reason* if it says why something is deleted and can be kept, else raise."""
    if not check_text("reason", reason).strip():
        raise ReasonMissing("deleted")
    return reason


def _refuse_needed(
    session: Session, subject: str, held: list[str], model: str, numbers: Sequence[int]
) -> None:
    if held:
        raise StillNeeded(subject, f"in force as {', '.join(held)}", _ALIAS)
    pins = select(Pin).where(col(Pin.model) == model, col(Pin.number).in_(numbers))
    if (pin := session.exec(pins).first()) is not None:
        raise StillNeeded(
            subject, f"pinned by {pin.pinned_by} ({pin.model}@{pin.number}: {pin.reason})", _PIN
        )
