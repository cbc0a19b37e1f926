"""Every SQL statement about what may go: bytes that nothing refers to, and bytes that a policy gives up.

Whoever takes bytes locks their row first, and asks in a statement after that whether anything refers to them.
PostgreSQL lets a statement see what was committed when it began: one that waits for the lock and looks for
references by itself looks at the time before the wait, and takes what somebody has referred to meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from sqlalchemy import literal, union_all
from sqlalchemy import select as sa_select  # SQLModel's own knows no five columns
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import load_only
from sqlmodel import col, delete, exists, or_, select

from registry.database import reading, retried, time_in, writing
from registry.exceptions import ReasonMissing
from registry.ledger import fold
from registry.limits import check_text
from registry.tables import (
    Artifact,
    ArtifactFile,
    Evaluation,
    LedgerEntry,
    ModelVersion,
    Pin,
    RegisteredModel,
    VersionDeletion,
)
from registry.transactions import listed, lock_model, require_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Mapped
    from sqlmodel import Session

    from registry.retention import RetentionPolicy
    from registry.store import Store

    Forget = Callable[[str], None]

_MOST = 500  # a statement has room for so many digests, on every database

Part = Literal["model", "predictions", "file"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A version that needs an artifact: its own, predictions that it made, or a file of its folder."""

    digest: str
    part: Part
    model: str
    number: int
    registered_at: datetime

    @property
    def reference(self) -> str:
        """The version's name, such as ``churn@7``."""
        return f"{self.model}@{self.number}"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is to be known of a model before any of its versions is given up.

    Attributes:
        last: The number of the newest version.
        in_force: The versions in force, by alias.
        predecessors: The trusted predecessors of each alias that have their bytes, the nearest first.
        pins: The pins, by the version's number.
        deleted: The versions that were deleted.
        now: The time by the database's clock.
    """

    last: int
    in_force: Mapping[str, int]
    predecessors: Mapping[str, Sequence[int]]
    pins: Mapping[int, Pin]
    deleted: Collection[int]
    now: datetime


@dataclass(frozen=True)
class Disposal:
    """What of the bytes may go, and their going.

    Attributes:
        store: The database, and on whose behalf rows are written.
    """

    store: Store

    # Reading

    def orphans(self) -> list[Artifact]:
        """The artifacts that nobody has leased and nothing refers to; manifests before their files."""
        files = exists().where(col(ArtifactFile.manifest) == col(Artifact.digest))
        with reading(self.store.engine) as session:
            over = col(Artifact.leased_until) <= time_in(session.connection())
            idle = select(Artifact).where(over, ~needed()).order_by(files.desc(), col(Artifact.digest))
            return list(session.exec(idle).all())

    def known(self, digests: Iterable[str]) -> dict[str, Artifact]:
        """The rows of those of the *digests* that have one, by digest."""
        rest, rows = iter(digests), list[Artifact]()
        with reading(self.store.engine) as session:
            while some := list(islice(rest, _MOST)):
                rows += session.exec(select(Artifact).where(col(Artifact.digest).in_(some)))
        return {row.digest: row for row in rows}

    def now(self) -> datetime:
        """The present moment by the database's clock, which all who write share."""
        with reading(self.store.engine) as session:
            return time_in(session.connection())

    def held_by(self, model: str) -> list[Holder]:
        """Who among the versions of *model* needs which artifacts, of those that are not purged."""
        with reading(self.store.engine) as session:
            return _holders(session, lambda _, owner: owner == model)

    def standing(self, model: str, most: int) -> Standing:
        """What protects versions of *model*; of each alias no more than the *most* nearest predecessors."""
        with reading(self.store.engine) as session:
            return _standing(session, model, most)

    def pins(self, model: str) -> dict[int, Pin]:
        """The pins of *model*, by the version's number."""
        with reading(self.store.engine) as session:
            return _pins(session, model)

    def purged(self, model: str) -> dict[int, Artifact]:
        """What became of the bytes of those versions of *model* that were purged, by the version's number."""
        rows = (
            select(ModelVersion.number, Artifact)
            .join(Artifact, col(Artifact.digest) == col(ModelVersion.artifact))
            .where(ModelVersion.model == model, col(Artifact.purged_at).is_not(None))
        )
        with reading(self.store.engine) as session:
            return {number: artifact for number, artifact in session.exec(rows)}  # noqa: C416, tells mypy

    # Taking

    @retried
    def remove(self, digest: str, forget: Forget) -> bool:
        """Take bytes by *forget* that nobody needs, and their row; or bytes that were purged, without it.

        Returns:
            Whether they went: not if somebody leased them, refers to them, or is about to do either.
        """
        try:
            with writing(self.store.engine) as session:
                rows = _locked(session, [digest])
                if not rows or not _is_free(session, rows[0]):
                    return False
                if rows[0].purged_at is None:
                    session.exec(delete(ArtifactFile).where(col(ArtifactFile.manifest) == digest))
                    session.exec(delete(Artifact).where(col(Artifact.digest) == digest))
                forget(digest)  # while the row is locked, so that nobody puts the bytes again meanwhile
                return True
        except IntegrityError:  # something refers to them all the same, such as a manifest that stayed
            return False

    @retried
    def remove_stray(self, digest: str, size: int, forget: Forget) -> bool:
        """Take bytes by *forget* of which no row knows; False if one does by now.

        A row claims them meanwhile, so that whoever is about to lease them waits.
        """
        try:
            with writing(self.store.engine) as session:
                claim = Artifact(digest=digest, bytes=size, leased_until=time_in(session.connection()))
                session.add(claim)
                session.flush()
                forget(digest)
                session.delete(claim)
                return True
        except IntegrityError:
            return False

    @retried
    def give_up(self, digests: Collection[str], policy: RetentionPolicy) -> list[Artifact]:
        """Write that those of the artifacts are purged that *policy* gives up now; their bytes can go then.

        Nobody moves an alias, registers or pins meanwhile, of any model that needs one of them.

        Args:
            digests: Of artifacts, a few hundred at most.
            policy: What is kept.
        """
        with writing(self.store.engine) as session:
            models = sorted({holder.model for holder in _holders(session, lambda one, _: one.in_(digests))})
            for model in models:
                lock_model(session, model)
            rows = [row for row in _locked(session, digests) if row.purged_at is None]
            standings = {model: _standing(session, model, policy.rollback_window) for model in models}
            holders = _holders(session, lambda one, _: one.in_(digests))
            going = policy.expendable(holders, standings)
            present = time_in(session.connection())
            given_up = [row for row in rows if row.digest in going and row.leased_until <= present]
            for row in given_up:
                row.purged_at, row.purged_by = present, self.store.origin.actor
                row.purged_because = policy.because
            return given_up

    @retried
    def purge_again(self, digest: str) -> None:
        """Purge bytes anew that were leased after their purge, and are referred to by no new row since."""
        with writing(self.store.engine) as session:
            present = time_in(session.connection())
            for row in _locked(session, [digest]):
                if row.purged_at is not None and row.purged_at < row.leased_until <= present:
                    row.purged_at = present

    # Keeping

    @retried
    def pin(self, version: ModelVersion, reason: str) -> Pin:
        """Let no policy give up the bytes of *version*; a later *reason* replaces an earlier one.

        Raises:
            ReasonMissing: It is not said why.
            VersionDeleted: The version was deleted.
            ArtifactPurged: The bytes are gone already.
        """
        if not check_text("reason", reason).strip():
            raise ReasonMissing("pinned")
        with writing(self.store.engine) as session:
            lock_model(session, version.model)
            require_bytes(session, version.model, version.number)
            pin = Pin(
                model=version.model,
                number=version.number,
                reason=reason,
                pinned_by=self.store.origin.actor,
                pinned_at=self.store.clock(),
            )
            return session.merge(pin)

    @retried
    def unpin(self, version: ModelVersion) -> None:
        """Leave the bytes of *version* to the policies."""
        pinned = col(Pin.model) == version.model, col(Pin.number) == version.number
        with writing(self.store.engine) as session:
            session.exec(delete(Pin).where(*pinned))


def _locked(session: Session, digests: Collection[str]) -> Sequence[Artifact]:
    """The rows that nobody else holds, locked until the transaction ends."""
    rows = select(Artifact).where(col(Artifact.digest).in_(digests)).order_by(col(Artifact.digest))
    return session.exec(rows.with_for_update(skip_locked=True)).all()


def _is_free(session: Session, locked: Artifact) -> bool:
    """Whether nobody needs the bytes of a row that is *locked*, nor is about to."""
    if locked.purged_at is not None:
        return locked.leased_until <= locked.purged_at
    if locked.leased_until > time_in(session.connection()):
        return False
    still = select(Artifact.digest).where(Artifact.digest == locked.digest, needed())
    return session.exec(still).first() is None


def needed() -> ColumnElement[bool]:
    """SQL: a version needs the artifact that the statement is about; see ``Holder``."""
    digest = col(Artifact.digest)
    of_a_folder = exists().where(
        col(ArtifactFile.digest) == digest, col(ModelVersion.artifact) == col(ArtifactFile.manifest)
    )
    return or_(
        exists().where(col(ModelVersion.artifact) == digest),
        exists().where(col(Evaluation.predictions) == digest),
        of_a_folder,
    )


def _holders(
    session: Session, narrow: Callable[[Mapped[str], Mapped[str]], ColumnElement[bool]]
) -> list[Holder]:
    """Who needs which artifacts that are not purged, narrowed down by digest or by model."""
    version = [getattr(ModelVersion, name) for name in ("model", "number", "registered_at")]

    def held(part: Part, digest: Mapped[str], *links: ColumnElement[bool]) -> Select[Any]:
        there = digest == Artifact.digest, col(Artifact.purged_at).is_(None)
        wanted = narrow(digest, col(ModelVersion.model))
        columns = digest.label("digest"), literal(part).label("part"), *version
        return sa_select(*columns).where(*links, *there, wanted)

    of_the_version = (
        col(Evaluation.model) == col(ModelVersion.model),
        col(Evaluation.number) == col(ModelVersion.number),
    )
    rows = session.connection().execute(
        union_all(
            held("model", col(ModelVersion.artifact)),
            held("predictions", col(Evaluation.predictions), *of_the_version),
            held("file", col(ArtifactFile.digest), col(ArtifactFile.manifest) == col(ModelVersion.artifact)),
        )
    )
    return [Holder(**row) for row in rows.mappings()]


def _standing(session: Session, model: str, most: int) -> Standing:
    in_force, predecessors = {}, {}
    for alias in session.exec(select(LedgerEntry.alias).where(LedgerEntry.model == model).distinct()):
        reigning, nearest = _champions(session, model, alias)
        if reigning is not None:
            in_force[alias] = reigning
        predecessors[alias] = list(islice(nearest, most))
    return Standing(
        last=session.get_one(RegisteredModel, model).last_version,
        in_force=in_force,
        predecessors=predecessors,
        pins=_pins(session, model),
        deleted=set(session.exec(select(VersionDeletion.number).where(VersionDeletion.model == model))),
        now=time_in(session.connection()),
    )


def _champions(session: Session, model: str, alias: str) -> tuple[int | None, Iterator[int]]:
    """What is in force under the alias, and where it could go back to, as ``ledger.fold`` has it."""
    told = [getattr(LedgerEntry, name) for name in ("kind", "version", "replaced", "in_force")]
    moves = select(LedgerEntry).where(
        LedgerEntry.model == model,
        LedgerEntry.alias == alias,
        LedgerEntry.in_force_since == LedgerEntry.sequence,
    )
    in_order = moves.order_by(col(LedgerEntry.sequence)).options(load_only(*told))
    entries = session.exec(in_order).all()
    in_force = entries[-1].in_force if entries else None
    trusted = (number for number in reversed(fold(entries).champions) if number != in_force)
    return in_force, (number for number in trusted if _has_bytes(session, model, number))


def _has_bytes(session: Session, model: str, number: int) -> bool:
    kept = (
        select(ModelVersion.number)
        .join(Artifact, col(Artifact.digest) == col(ModelVersion.artifact))
        .where(
            ModelVersion.model == model,
            ModelVersion.number == number,
            col(Artifact.purged_at).is_(None),
            listed(),
        )
    )
    return session.exec(kept).first() is not None


def _pins(session: Session, model: str) -> dict[int, Pin]:
    return {pin.number: pin for pin in session.exec(select(Pin).where(Pin.model == model))}
