"""Every SQL statement of the registry. The store appends rows and reads them; it decides nothing.

Writes about one model take turns, so that numbers have no gap and an alias moves once: SQLite has one writer
at a time anyway, and on PostgreSQL the model's row is locked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import case, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel, col, delete, func, select, update

from registry.database import connect, reading, shown, writing
from registry.exceptions import (
    AliasNotSet,
    AliasNotSetThen,
    KeyConflict,
    ModelNotFound,
    ReasonMissing,
    VersionNotFound,
)
from registry.ledger import Proposal, Reign, Stamp, following
from registry.references import LATEST, Reference
from registry.tables import (
    CHOICES,
    MOVES,
    DatasetRecord,
    Evaluation,
    LedgerEntry,
    Metric,
    ModelVersion,
    RegisteredModel,
    Registration,
    TrustedType,
    now,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Engine
    from sqlmodel import Session
    from sqlmodel.sql.expression import SelectOfScalar

R = TypeVar("R", bound=SQLModel)

_MOST_PASSED = 500  # versions that one statement leaves out


@dataclass(frozen=True, kw_only=True)
class Origin:
    """On whose behalf rows are written: a person or service, and the run in which it acts, if any."""

    actor: str
    flow_run_id: str | None = None
    task_run_id: str | None = None


@dataclass(frozen=True)
class Store:
    """The registry's rows in one database.

    Attributes:
        engine: Where the rows are.
        origin: Whom new rows name.
        clock: What time new rows bear.
    """

    engine: Engine
    origin: Origin
    clock: Callable[[], datetime] = field(default=now)

    @classmethod
    def open(cls, url: str, origin: Origin) -> Self:
        """Connect to the database at *url*, and make the schema in it if it is empty.

        Raises:
            DatabaseUnavailable: It can't be reached or used.
            DatabaseUnrecognised: It belongs to something else.
            DatabaseOutdated: A library of another schema version made it.
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
        return self._read(select(RegisteredModel).order_by(RegisteredModel.name))

    def versions(self, model: str) -> list[ModelVersion]:
        """All versions of *model*, oldest first.

        Raises:
            ModelNotFound: There is no such model.
        """
        self.require_model(model)
        return self._read(
            select(ModelVersion).where(ModelVersion.model == model).order_by(col(ModelVersion.number))
        )

    def newest_versions(self, most: int) -> list[str]:
        """References of the versions of all models that were registered last, newest first.

        Only each model's last *most* can be among them, which spares SQLite the other rows.
        """
        last = col(RegisteredModel.last_version)
        newest = (
            select(ModelVersion.model, ModelVersion.number)
            .join(RegisteredModel, col(RegisteredModel.name) == col(ModelVersion.model))
            .where(col(ModelVersion.number) > last - most)
            .order_by(col(ModelVersion.registered_at).desc(), col(ModelVersion.number).desc())
        )
        with reading(self.engine) as session:
            return [f"{model}@{number}" for model, number in session.exec(newest.limit(most))]

    def version(self, model: str, number: int) -> ModelVersion:
        """One version of *model* by its number.

        Raises:
            ModelNotFound: There is no such model.
            VersionNotFound: There is no such version of it.
        """
        found = self._first(
            select(ModelVersion).where(ModelVersion.model == model, ModelVersion.number == number)
        )
        if found is None:
            self.require_model(model)
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
        if reference.selector == LATEST:
            return self.version(reference.model, self.require_model(reference.model).last_version)
        reign = self.reign(reference.model, reference.selector, at)
        if reign.version is None:
            self.require_model(reference.model)
            if at is not None:
                raise AliasNotSetThen(reference.model, reference.selector, at.isoformat(timespec="seconds"))
            raise AliasNotSet(reference.model, reference.selector)
        return self.version(reference.model, reign.version)

    def reign(self, model: str, alias: str, at: datetime | None = None) -> Reign:
        """What is in force under the alias, or what was *at* a time."""
        newest = select(LedgerEntry.in_force, LedgerEntry.in_force_since).where(
            LedgerEntry.model == model, LedgerEntry.alias == alias
        )
        if at is not None:
            newest = newest.where(LedgerEntry.recorded_at <= at)
        with reading(self.engine) as session:
            found = session.exec(newest.order_by(col(LedgerEntry.sequence).desc()).limit(1)).first()
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
        with reading(self.engine) as session:
            return session.get_one(LedgerEntry, (model, alias, sequence))

    def aliases(self, model: str) -> dict[str, int]:
        """The versions in force, by alias."""
        newest = (
            select(LedgerEntry.alias, func.max(LedgerEntry.sequence).label("sequence"))
            .where(LedgerEntry.model == model)
            .group_by(LedgerEntry.alias)
            .subquery()
        )
        entries = select(LedgerEntry).where(
            LedgerEntry.model == model,
            LedgerEntry.alias == newest.c.alias,
            LedgerEntry.sequence == newest.c.sequence,
        )
        return {entry.alias: entry.in_force for entry in self._read(entries) if entry.in_force is not None}

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
        with reading(self.engine) as session:
            return session.exec(judged).one()

    def registered_as(self, model: str, key: str) -> Registration | None:
        """The answer that an earlier request with this key got."""
        return self._first(select(Registration).where(Registration.model == model, Registration.key == key))

    def trained_alike(self, model: str, training: str) -> ModelVersion | None:
        """The version whose estimator and training data have this digest."""
        return self._first(
            select(ModelVersion).where(ModelVersion.model == model, ModelVersion.training == training)
        )

    def fitted_alike(self, version: ModelVersion) -> list[int]:
        """The numbers of the versions whose estimator is that of *version*, itself among them."""
        alike = select(ModelVersion.number).where(
            ModelVersion.model == version.model, ModelVersion.fitted == version.fitted
        )
        with reading(self.engine) as session:
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

    def dataset(self, fingerprint: str) -> DatasetRecord:
        """What is known of a dataset that some row names."""
        with reading(self.engine) as session:
            return session.get_one(DatasetRecord, fingerprint)

    def trusted_types(self) -> list[TrustedType]:
        """The allow-list: exact names of types that artifacts may contain."""
        return self._read(select(TrustedType).order_by(TrustedType.name))

    def artifacts(self) -> dict[str, str]:
        """Every digest that a row refers to, with the reference that needs it."""
        with reading(self.engine) as session:
            predictions = session.exec(select(Evaluation.predictions, Evaluation.model, Evaluation.number))
            needed = {digest: f"the predictions of {model}@{number}" for digest, model, number in predictions}
            versions = session.exec(select(ModelVersion.artifact, ModelVersion.model, ModelVersion.number))
            return needed | {digest: f"{model}@{number}" for digest, model, number in versions}

    # Appending

    def append_version(
        self, version: ModelVersion, trained_on: DatasetRecord, key: str | None, request: str
    ) -> ModelVersion:
        """Give *version* the next number, unless its key or an identical training has one already.

        Raises:
            KeyConflict: The key was used for another request.
        """
        with writing(self.engine) as session:
            _add_if_new(session, RegisteredModel(name=version.model, created_at=self.clock()))
            lock_model(session, version.model)
            known = self._known_version(session, version, key, request)
            if known is None:
                _add_if_new(session, trained_on)
                version.number = session.exec(
                    update(RegisteredModel)
                    .where(col(RegisteredModel.name) == version.model)
                    .values(last_version=RegisteredModel.last_version + 1)
                    .returning(col(RegisteredModel.last_version))
                ).scalar_one()
                session.add(version)
                session.flush()
                known = version
            if key is not None and session.get(Registration, (version.model, key)) is None:
                session.add(
                    Registration(
                        model=version.model,
                        key=key,
                        number=known.number,
                        request=request,
                        flow_run_id=self.origin.flow_run_id,
                        registered_by=self.origin.actor,
                        registered_at=self.clock(),
                    )
                )
            return known

    def append_evaluation(
        self, evaluation: Evaluation, metrics: Iterable[Metric], dataset: DatasetRecord
    ) -> Evaluation:
        """Add the *evaluation*, if it is new, and those of its *metrics* that are."""
        with writing(self.engine) as session:
            lock_model(session, evaluation.model)
            _add_if_new(session, dataset)
            _add_if_new(session, evaluation)
            for metric in metrics:
                _add_if_new(session, metric)
            session.flush()
            session.expire_all()
            key = (evaluation.model, evaluation.number, evaluation.dataset)
            stored = session.get_one(Evaluation, key)
            _ = stored.measurements  # read while there is a session
            return stored

    def append_entry(self, proposal: Proposal) -> LedgerEntry:
        """Write what is proposed after the newest entry of its alias.

        A proposal whose key is in the ledger already was written by an earlier attempt: that entry is
        returned. One made against another reign is refused, see ``ledger.following``.

        Raises:
            AliasConflict: The reign is no longer the one that the proposal was made against.
            AlreadyInForce: The proposal would move nothing.
            ReasonMissing: The proposal does not say why.
        """
        with writing(self.engine) as session:
            lock_model(session, proposal.model)
            entries = select(LedgerEntry).where(
                LedgerEntry.model == proposal.model, LedgerEntry.alias == proposal.alias
            )
            if proposal.key is not None:
                written = session.exec(entries.where(LedgerEntry.key == proposal.key)).first()
                if written is not None:
                    return written
            newest = session.exec(entries.order_by(col(LedgerEntry.sequence).desc()).limit(1)).first()
            stamp = Stamp(actor=self.origin.actor, at=self.clock(), flow_run_id=self.origin.flow_run_id)
            entry = following(newest, proposal, stamp)
            session.add(entry)
            return entry

    def trust(self, name: str, reason: str) -> TrustedType:
        """Add the exact *name* of a type to the allow-list.

        Raises:
            ReasonMissing: It is not said why.
        """
        if not reason.strip():
            raise ReasonMissing("trusted")
        row = TrustedType(name=name, reason=reason, trusted_by=self.origin.actor, trusted_at=self.clock())
        with writing(self.engine) as session:
            _add_if_new(session, row)
            return session.get_one(TrustedType, name)

    def distrust(self, name: str) -> None:
        """Remove *name* from the allow-list; artifacts that contain it no longer load."""
        with writing(self.engine) as session:
            session.exec(delete(TrustedType).where(col(TrustedType.name) == name))

    # Transactions

    def _read(self, statement: SelectOfScalar[R]) -> list[R]:
        with reading(self.engine) as session:
            return list(session.exec(statement).all())

    def _first(self, statement: SelectOfScalar[R]) -> R | None:
        with reading(self.engine) as session:
            return session.exec(statement.limit(1)).first()

    def _newest_rise(
        self, model: str, alias: str, below: int | None, passed: Sequence[int]
    ) -> tuple[int, int] | None:
        """The newest version *below* an entry that is not *passed*, and which entry put it in force."""
        rises = (
            select(LedgerEntry.version, LedgerEntry.sequence)
            .where(*_rises(model, alias, below), col(LedgerEntry.in_force).not_in(passed[-_MOST_PASSED:]))
            .order_by(col(LedgerEntry.sequence).desc())
        )
        with reading(self.engine) as session:
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
        with reading(self.engine) as session:
            return session.exec(targets.limit(1)).first()

    def _last_move(
        self, model: str, alias: str, version: int, kinds: Sequence[str], until: int | None = None
    ) -> int | None:
        moves = select(LedgerEntry.sequence).where(
            *_moves(model, alias), LedgerEntry.in_force == version, col(LedgerEntry.kind).in_(kinds)
        )
        if until is not None:
            moves = moves.where(LedgerEntry.sequence <= until)
        with reading(self.engine) as session:
            return session.exec(moves.order_by(col(LedgerEntry.sequence).desc()).limit(1)).first()

    def require_model(self, model: str) -> RegisteredModel:
        """The row of *model*.

        Raises:
            ModelNotFound: There is no such model.
        """
        found = self._first(select(RegisteredModel).where(RegisteredModel.name == model))
        if found is None:
            raise ModelNotFound(model)
        return found

    def _known_version(
        self, session: Session, version: ModelVersion, key: str | None, request: str
    ) -> ModelVersion | None:
        answered = None if key is None else session.get(Registration, (version.model, key))
        if answered is not None:
            check_same_request(answered, request)
        alike = select(ModelVersion).where(
            ModelVersion.model == version.model, ModelVersion.training == version.training
        )
        known = session.exec(alike).first()
        if known is None and answered is not None:
            return session.get_one(ModelVersion, (answered.model, answered.number))
        return known


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


def lock_model(session: Session, model: str) -> None:
    """Let no other transaction write about *model* until this one ends."""
    row = select(RegisteredModel).where(RegisteredModel.name == model).with_for_update()
    if session.exec(row).first() is None:
        raise ModelNotFound(model)


def check_same_request(answered: Registration, request: str) -> None:
    """Raise KeyConflict if the key of an *answered* registration is used for another *request*."""
    if answered.request != request:
        raise KeyConflict(
            answered.key, f"{answered.model}@{answered.number}", "the training data or a parameter"
        )


def _add_if_new(session: Session, row: SQLModel) -> None:
    """Add *row* unless its key is there, or another transaction is adding it at this moment."""
    table = type(row)
    identity = inspect(table).primary_key_from_instance(row)
    if session.get(table, tuple(identity)) is None:  # SQLite's triggers refuse an insert of what is there
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        session.exec(insert(table).values(row.model_dump()).on_conflict_do_nothing())
