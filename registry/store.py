"""Every SQL statement of the registry. The store appends rows and reads them; it decides nothing.

Writes about one model take turns, so that numbers have no gap and an alias moves once: SQLite has one writer
at a time anyway, and on PostgreSQL the model's row is locked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import bindparam, case, insert
from sqlmodel import SQLModel, col, delete, func, or_, select

from registry import leases
from registry.database import asking, connect, reading, retried, shown, writing
from registry.exceptions import (
    AliasNotSet,
    AliasNotSetThen,
    DatasetNotFound,
    InvalidName,
    ModelNotFound,
    ReasonMissing,
    VersionNotFound,
)
from registry.ledger import Proposal, Reign, Stamp, following
from registry.limits import LARGEST_NUMBER, check_text
from registry.references import LATEST, Reference
from registry.submissions import TRAINED_ALIKE, Submission, append
from registry.tables import (
    CHOICES,
    MOVES,
    Artifact,
    DatasetRecord,
    Evaluation,
    LedgerEntry,
    Metric,
    ModelProfile,
    ModelVersion,
    RegisteredModel,
    Registration,
    Signature,
    TrustedType,
    now,
)
from registry.transactions import add_if_new, aliases_in, listed, lock_model, refuse_deleted, require_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Engine
    from sqlmodel import Session
    from sqlmodel.sql.expression import SelectOfScalar

R = TypeVar("R", bound=SQLModel)

_MOST_PASSED = 500  # versions that one statement leaves out

# what programs ask again and again: to make a statement takes longer than to run it
_VERSION = select(ModelVersion).where(
    col(ModelVersion.model) == bindparam("model"), col(ModelVersion.number) == bindparam("number"), listed()
)
_OF_ALIAS = col(LedgerEntry.model) == bindparam("model"), col(LedgerEntry.alias) == bindparam("alias")
_NEWEST_ENTRY = select(LedgerEntry).where(*_OF_ALIAS).order_by(col(LedgerEntry.sequence).desc()).limit(1)
_REIGN = (
    select(LedgerEntry.in_force, LedgerEntry.in_force_since)
    .where(*_OF_ALIAS)
    .order_by(col(LedgerEntry.sequence).desc())
    .limit(1)
)
_IN_FORCE = select(ModelVersion).where(
    col(ModelVersion.model) == bindparam("model"),
    col(ModelVersion.number)
    == select(LedgerEntry.in_force)
    .where(*_OF_ALIAS)
    .order_by(col(LedgerEntry.sequence).desc())
    .limit(1)
    .scalar_subquery(),
)
_LAST = (
    select(ModelVersion)
    .where(col(ModelVersion.model) == bindparam("model"), listed())
    .order_by(col(ModelVersion.number).desc())
    .limit(1)
)
_MODELS = (
    select(RegisteredModel)
    .outerjoin(ModelProfile, col(ModelProfile.model) == col(RegisteredModel.name))
    .where(
        or_(
            col(ModelProfile.deleted_after).is_(None),
            col(ModelProfile.deleted_after) < col(RegisteredModel.last_version),
        )
    )
)
_MODEL = _MODELS.where(col(RegisteredModel.name) == bindparam("model"))
_APPEND_ENTRY = insert(LedgerEntry)
_WRITTEN = select(LedgerEntry).where(*_OF_ALIAS, col(LedgerEntry.key) == bindparam("key"))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """On whose behalf rows are written: a person or service, and the run in which it acts, if any.

    Raises:
        InvalidName: The actor is blank, or it or a run is no text that every database can keep.
    """

    actor: str
    flow_run_id: str | None = None
    task_run_id: str | None = None

    def __post_init__(self) -> None:
        if not self.actor.strip():
            raise InvalidName("actor", self.actor, "say whom the ledger is to name")
        check_text("actor", self.actor)
        check_text("run id", self.flow_run_id or "")
        check_text("run id", self.task_run_id or "")


@dataclass(frozen=True)
class Store:
    """The registry's rows in one database.

    Attributes:
        engine: Where the rows are.
        origin: Whom new rows name.
        clock: What time new rows bear.
        lease_time: How long bytes are safe from collections before a row refers to them.
    """

    engine: Engine
    origin: Origin
    clock: Callable[[], datetime] = field(default=now)
    lease_time: timedelta = leases.LEASE

    @classmethod
    def open(cls, url: str, origin: Origin) -> Self:
        """Connect to the database at *url*, and make the schema in it if it is empty.

        Raises:
            DatabaseUnavailable: It can't be reached or used.
            DatabaseUnrecognised: It belongs to something else.
            DatabaseOutdated: A library of an earlier schema version made it, and it is a PostgreSQL.
            LibraryOutdated: A library of a later schema version made it.
            UpgradeFailed: It is a SQLite of an earlier schema version that can't be upgraded.
        """
        return cls(connect(url), origin)

    def close(self) -> None:
        """Give the connections back to the database."""
        self.engine.dispose()

    @property
    def name(self) -> str:
        """The database's URL without its password."""
        return shown(self.engine)

    # Reading

    def models(self) -> list[RegisteredModel]:
        """All models, by name."""
        return self._read(_MODELS.order_by(RegisteredModel.name))

    def versions(self, model: str) -> list[ModelVersion]:
        """All versions of *model*, oldest first.

        Raises:
            ModelNotFound: There is no such model.
        """
        self.require_model(model)
        return self._read(
            select(ModelVersion)
            .where(ModelVersion.model == model, listed())
            .order_by(col(ModelVersion.number))
        )

    def page_of_versions(self, model: str, *, most: int, below: int | None = None) -> list[ModelVersion]:
        """The newest versions of *model*, newest first, or the newest with a number *below* this one.

        Only *most* of them are read, however many there are; the last one's number leads to the next page.

        Raises:
            ModelNotFound: There is no such model.
        """
        self.require_model(model)
        page = select(ModelVersion).where(ModelVersion.model == model, listed())
        if below is not None:
            page = page.where(ModelVersion.number < below)
        return self._read(page.order_by(col(ModelVersion.number).desc()).limit(most))

    def newest_versions(self, most: int) -> list[str]:
        """References of the versions of all models that were registered last, newest first.

        Only each model's last *most* can be among them, which spares SQLite the other rows.
        """
        last = col(RegisteredModel.last_version)
        newest = (
            select(ModelVersion.model, ModelVersion.number)
            .join(RegisteredModel, col(RegisteredModel.name) == col(ModelVersion.model))
            .where(col(ModelVersion.number) > last - most, listed())
            .order_by(col(ModelVersion.registered_at).desc(), col(ModelVersion.number).desc())
        )
        with asking(self.engine) as session:
            return [f"{model}@{number}" for model, number in session.exec(newest.limit(most))]

    def version(self, model: str, number: int) -> ModelVersion:
        """One version of *model* by its number.

        Raises:
            ModelNotFound: There is no such model.
            VersionNotFound: There is no such version of it, or it was deleted.
        """
        possible = 0 < number <= LARGEST_NUMBER
        found = self._first(_VERSION, model=model, number=number) if possible else None
        if found is None:
            self.require_model(model)
            if possible:
                with asking(self.engine) as session:
                    refuse_deleted(session, model, number)
            raise VersionNotFound(model, number)
        return found

    def resolve(self, reference: Reference, at: datetime | None = None) -> ModelVersion:
        """The version that *reference* names now, or, for an alias, named at a time.

        Raises:
            ModelNotFound: There is no such model.
            VersionNotFound: There is no such version of it.
            AliasNotSet: Nothing is, or was, in force under the alias.
        """
        if isinstance(reference.selector, int):
            return self.version(reference.model, reference.selector)
        model, alias = reference.model, reference.selector
        if alias == LATEST:
            found = self._first(_LAST, model=model)
        elif at is None:
            found = self._first(_IN_FORCE, model=model, alias=alias)
        else:
            found = self._in_force_at(model, alias, at)
        if found is None:
            self.require_model(model)
            raise AliasNotSet(model, alias)
        return found

    def reign(self, model: str, alias: str, at: datetime | None = None) -> Reign:
        """What is in force under the alias, or what was *at* a time."""
        newest = _REIGN if at is None else _REIGN.where(LedgerEntry.recorded_at <= at)
        with asking(self.engine) as session:
            found = session.exec(newest, params={"model": model, "alias": alias}).first()
        return Reign() if found is None else Reign(version=found[0], since=found[1])

    def history(self, model: str, alias: str | None = None) -> list[LedgerEntry]:
        """Every entry of the model, or of one alias of it, in the order of writing.

        Raises:
            ModelNotFound: There is no such model.
        """
        self.require_model(model)
        entries = select(LedgerEntry).where(LedgerEntry.model == model)
        if alias is not None:
            entries = entries.where(LedgerEntry.alias == alias)
        order = (
            (LedgerEntry.recorded_at, LedgerEntry.alias, LedgerEntry.sequence)
            if alias is None
            else (LedgerEntry.sequence,)
        )
        return self._read(entries.order_by(*order))

    def quarantined(self, model: str, alias: str) -> dict[int, int]:
        """The quarantine of the alias, as ``ledger.fold`` has it, without reading the entries one by one."""
        rises = select(LedgerEntry.in_force, func.max(LedgerEntry.sequence)).where(*_moves(model, alias))
        falls = (
            select(LedgerEntry.replaced, func.max(LedgerEntry.sequence))
            .where(LedgerEntry.model == model, LedgerEntry.alias == alias, LedgerEntry.kind == "rolled-back")
            .group_by(col(LedgerEntry.replaced))
        )
        with reading(self.engine) as session:
            fell = {version: sequence for version, sequence in session.exec(falls)}  # noqa: C416, tells mypy
            risen = session.exec(rises.group_by(col(LedgerEntry.in_force)))
            return {
                version: fell[version] for version, rise in risen if version and fell.get(version, 0) > rise
            }

    def champions(self, model: str, alias: str) -> Iterator[int]:
        """The trusted champions of the alias, as ``ledger.fold`` has them, but the newest first.

        They are read one by one as they are asked for, so that the first does not wait for the last.
        """
        passed: list[int] = []
        below = above = None
        while (newest := self._newest_rise(model, alias, below, passed)) is not None:
            version, below = newest
            passed.append(version)
            if self.last_rise(model, alias, version) != below:
                continue  # it rose again later, among those that a rollback passed over
            target = self._passed_over_by(model, alias, below, above)
            if target is None:
                yield version
            # between a target's choice and the rollback to it there is nobody to go back to
            chosen = self._last_move(model, alias, target or version, CHOICES, until=below)
            below = above = chosen or below

    def last_rise(self, model: str, alias: str, version: int) -> int | None:
        """The last entry of the alias that put *version* in force; None if none did."""
        return self._last_move(model, alias, version, MOVES)

    def entry_at(self, model: str, alias: str, sequence: int) -> LedgerEntry:
        """The entry of the alias with this number."""
        with asking(self.engine) as session:
            return session.get_one(LedgerEntry, (model, alias, sequence))

    def aliases(self, model: str) -> dict[str, int]:
        """The versions in force, by alias."""
        with asking(self.engine) as session:
            return aliases_in(session, model)

    def entry(self, model: str, alias: str, key: str) -> LedgerEntry | None:
        """The entry that was written under this *key*."""
        return self._first(
            select(LedgerEntry).where(
                LedgerEntry.model == model, LedgerEntry.alias == alias, LedgerEntry.key == key
            )
        )

    def looks(self, model: str, dataset: str) -> int:
        """How often a gate has judged a version of *model* on the *dataset* with this fingerprint."""
        judged = select(func.count()).where(
            LedgerEntry.model == model,
            LedgerEntry.dataset == dataset,
            col(LedgerEntry.kind).in_(("promoted", "held", "rejected")),
        )
        with asking(self.engine) as session:
            return session.exec(judged).one()

    def registered_as(self, model: str, key: str) -> Registration | None:
        """The answer that an earlier request with this key got."""
        return self._first(select(Registration).where(Registration.model == model, Registration.key == key))

    def trained_alike(self, model: str, training: str) -> ModelVersion | None:
        """The version whose estimator and training data have this digest, and whose bytes are there."""
        with asking(self.engine) as session:
            return session.exec(TRAINED_ALIKE, params={"model": model, "training": training}).first()

    def fitted_alike(self, version: ModelVersion) -> list[int]:
        """The numbers of the versions whose estimator is that of *version*, itself among them."""
        alike = select(ModelVersion.number).where(
            ModelVersion.model == version.model, ModelVersion.fitted == version.fitted
        )
        with asking(self.engine) as session:
            return list(session.exec(alike.order_by(col(ModelVersion.number))))

    def evaluation(self, version: ModelVersion, dataset: str) -> Evaluation | None:
        """The evaluation of *version* on the *dataset* with this fingerprint, with its metrics."""
        return self._first(
            select(Evaluation).where(
                Evaluation.model == version.model,
                Evaluation.number == version.number,
                Evaluation.dataset == dataset,
            )
        )

    def evaluations(self, version: ModelVersion) -> list[Evaluation]:
        """All evaluations of *version*, oldest first."""
        return self._read(
            select(Evaluation)
            .where(Evaluation.model == version.model, Evaluation.number == version.number)
            .order_by(col(Evaluation.evaluated_at))
        )

    def signatures(self, version: ModelVersion) -> list[Signature]:
        """Who vouches for *version*, or claims to, oldest first."""
        return self._read(
            select(Signature)
            .where(Signature.model == version.model, Signature.number == version.number)
            .order_by(col(Signature.signed_at), col(Signature.key_id))
        )

    def dataset(self, fingerprint: str) -> DatasetRecord:
        """What is known of a dataset that some row names.

        Raises:
            DatasetNotFound: None does.
        """
        found = self._first(select(DatasetRecord).where(DatasetRecord.fingerprint == fingerprint))
        if found is None:
            raise DatasetNotFound(fingerprint)
        return found

    def trusted_types(self) -> list[TrustedType]:
        """The allow-list: exact names of types that artifacts may contain."""
        return self._read(select(TrustedType).order_by(TrustedType.name))

    def artifact(self, digest: str) -> Artifact | None:
        """What is known of the bytes with this digest; None if no row refers to them or is about to."""
        return self._first(select(Artifact).where(Artifact.digest == digest))

    def artifacts(self) -> dict[str, str]:
        """Every digest that a row refers to, with the reference that needs it."""
        with reading(self.engine) as session:
            predictions = session.exec(select(Evaluation.predictions, Evaluation.model, Evaluation.number))
            needed = {digest: f"the predictions of {model}@{number}" for digest, model, number in predictions}
            versions = session.exec(select(ModelVersion.artifact, ModelVersion.model, ModelVersion.number))
            return needed | {digest: f"{model}@{number}" for digest, model, number in versions}

    # Appending

    def lease(self, artifacts: Mapping[str, int]) -> None:
        """Keep collections away from *artifacts*, sizes by digest, until rows that need them are there."""
        leases.lease(self.engine, artifacts, self.lease_time)

    def append_version(self, submission: Submission) -> ModelVersion:
        """Give the version the next number, unless its key or an identical training has one already.

        Raises:
            KeyConflict: The key was used for another request.
            LeaseExpired: A collection took the version's bytes: put them again.
        """
        return append(self.engine, submission, self._stamp())

    @retried
    def append_signature(self, signature: Signature) -> Signature:
        """Add the *signature*, unless its key signed the version before: that signature is returned."""
        with writing(self.engine) as session:
            add_if_new(session, signature)
            return session.get_one(Signature, (signature.model, signature.number, signature.key_id))

    @retried
    def append_evaluation(
        self, evaluation: Evaluation, metrics: Collection[Metric], dataset: DatasetRecord
    ) -> Evaluation:
        """Add the *evaluation*, if it is new, and those of its *metrics* that are.

        Raises:
            LeaseExpired: A collection took the predictions' bytes: put them again.
        """
        with writing(self.engine) as session:
            lock_model(session, evaluation.model)
            leases.hold(session.connection(), [evaluation.predictions])
            add_if_new(session, dataset)
            evaluation.evaluated_at = _after_the_last(session, evaluation)
            add_if_new(session, evaluation)
            for metric in metrics:
                add_if_new(session, metric)
            session.flush()
            session.expire_all()
            key = (evaluation.model, evaluation.number, evaluation.dataset)
            stored = session.get_one(Evaluation, key)
            _ = stored.measurements  # read while there is a session
            return stored

    @retried
    def append_entry(self, proposal: Proposal) -> LedgerEntry:
        """Write what is proposed after the newest entry of its alias.

        A proposal whose key is in the ledger already was written by an earlier attempt: that entry is
        returned. One made against another reign is refused, see ``ledger.following``.

        Raises:
            AliasConflict: The reign is no longer the one that the proposal was made against.
            AlreadyInForce: The proposal would move nothing.
            ReasonMissing: The proposal does not say why.
            VersionDeleted: The version that it would put in force was deleted.
            ArtifactPurged: Its bytes were given up.
        """
        with writing(self.engine) as session:
            lock_model(session, proposal.model)
            alias = {"model": proposal.model, "alias": proposal.alias}
            if proposal.key is not None:
                written = session.exec(_WRITTEN, params=alias | {"key": proposal.key}).first()
                if written is not None:
                    return written
            if proposal.kind in MOVES:
                require_bytes(session, proposal.model, proposal.version)
            newest = session.exec(_NEWEST_ENTRY, params=alias).first()
            entry = following(newest, proposal, self._stamp())
            session.connection().execute(_APPEND_ENTRY, entry.model_dump())
            return entry

    def trust(self, name: str, reason: str) -> TrustedType:
        """Add the exact *name* of a type to the allow-list.

        Raises:
            ReasonMissing: It is not said why.
        """
        if not reason.strip():
            raise ReasonMissing("trusted")
        check_text("reason", reason)
        row = TrustedType(name=name, reason=reason, trusted_by=self.origin.actor, trusted_at=self.clock())
        with writing(self.engine) as session:
            add_if_new(session, row)
            return session.get_one(TrustedType, name)

    def distrust(self, name: str) -> None:
        """Remove *name* from the allow-list; artifacts that contain it no longer load."""
        with writing(self.engine) as session:
            session.exec(delete(TrustedType).where(col(TrustedType.name) == name))

    # Transactions

    def _stamp(self) -> Stamp:
        return Stamp(actor=self.origin.actor, at=self.clock(), flow_run_id=self.origin.flow_run_id)

    def _read(self, statement: SelectOfScalar[R]) -> list[R]:
        with asking(self.engine) as session:
            return list(session.exec(statement).all())

    def _first(self, statement: SelectOfScalar[R], **parameters: object) -> R | None:
        with asking(self.engine) as session:
            return session.exec(statement, params=parameters).first()

    def _in_force_at(self, model: str, alias: str, at: datetime) -> ModelVersion:
        number = self.reign(model, alias, at).version
        if number is None:
            self.require_model(model)
            raise AliasNotSetThen(model, alias, at.isoformat(timespec="seconds"))
        return self.version(model, number)

    def _newest_rise(
        self, model: str, alias: str, below: int | None, passed: Sequence[int]
    ) -> tuple[int, int] | None:
        """The newest version *below* an entry that is not *passed*, and which entry put it in force."""
        rises = (
            select(LedgerEntry.version, LedgerEntry.sequence)
            .where(*_rises(model, alias, below), col(LedgerEntry.in_force).not_in(passed[-_MOST_PASSED:]))
            .order_by(col(LedgerEntry.sequence).desc())
        )
        with asking(self.engine) as session:
            return session.exec(rises.limit(1)).first()

    def _passed_over_by(self, model: str, alias: str, risen: int, below: int | None) -> int | None:
        """The target of the last rollback that went past what had *risen*: to a version chosen before it.

        So the first entry after *risen* that put the target in force is the rollback itself.
        """
        first = func.min(LedgerEntry.sequence)
        rollback = case((col(LedgerEntry.kind) == "rolled-back", LedgerEntry.sequence))
        targets = (
            select(LedgerEntry.version)
            .where(*_rises(model, alias, below), LedgerEntry.sequence > risen)
            .group_by(col(LedgerEntry.version))
            .having(func.min(rollback) == first)
            .order_by(first.desc())
        )
        with asking(self.engine) as session:
            return session.exec(targets.limit(1)).first()

    def _last_move(
        self, model: str, alias: str, version: int, kinds: Sequence[str], until: int | None = None
    ) -> int | None:
        moves = select(LedgerEntry.sequence).where(
            *_moves(model, alias), LedgerEntry.in_force == version, col(LedgerEntry.kind).in_(kinds)
        )
        if until is not None:
            moves = moves.where(LedgerEntry.sequence <= until)
        with asking(self.engine) as session:
            return session.exec(moves.order_by(col(LedgerEntry.sequence).desc()).limit(1)).first()

    def require_model(self, model: str) -> RegisteredModel:
        """The row of *model*.

        Raises:
            ModelNotFound: There is no such model.
        """
        found = self._first(_MODEL, model=model)
        if found is None:
            raise ModelNotFound(model)
        return found


def _after_the_last(session: Session, evaluation: Evaluation) -> datetime:
    """When it was evaluated; a clock that was set back must not let a later evaluation look earlier."""
    times = select(func.max(Evaluation.evaluated_at)).where(
        Evaluation.model == evaluation.model, Evaluation.number == evaluation.number
    )
    last: datetime | None = session.exec(times).one()
    moment = evaluation.evaluated_at
    return moment if last is None else max(moment, last + timedelta(microseconds=1))


def _rises(model: str, alias: str, below: int | None) -> tuple[Any, ...]:
    """The entries *below* another one that put a version in force."""
    rises = LedgerEntry.model == model, LedgerEntry.alias == alias, col(LedgerEntry.kind).in_(MOVES)
    return rises if below is None else (*rises, LedgerEntry.sequence < below)


def _moves(model: str, alias: str) -> tuple[Any, ...]:
    """The entries that began a reign, as their index knows them."""
    return (
        LedgerEntry.model == model,
        LedgerEntry.alias == alias,
        LedgerEntry.in_force_since == LedgerEntry.sequence,
    )
