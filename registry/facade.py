"""The door: one object whose methods are the steps of a version's life, each a call of the step's function.

A step loads its libraries when it is first taken, so that a program that only asks for the champion's number
does not wait for scikit-learn. That is the one reason for the imports inside these methods.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from registry.exceptions import InvalidDataset
from registry.limits import check_count, check_time
from registry.references import CHAMPION, Reference, check_alias
from registry.settings import RegistrySettings, open_backend
from registry.tables import RegisteredModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from registry.artifacts import StoredArtifact
    from registry.audit.verification import Finding
    from registry.backend import Backend
    from registry.backtest import Backtest
    from registry.datasets import Dataset
    from registry.dossier import Dossier
    from registry.evidence import Comparison
    from registry.garbage import Garbage
    from registry.monitoring_policy import MonitoringPolicy, RollbackPolicy
    from registry.policy import PromotionDecision, PromotionPolicy
    from registry.retention import Plan, RetentionPolicy
    from registry.rollback import Alert
    from registry.scoring import Batch
    from registry.search import Page, Ranking
    from registry.serving import LoadedModel
    from registry.signing import Verify
    from registry.suspicion import Reading
    from registry.tables import (
        Artifact,
        DatasetRecord,
        Evaluation,
        LedgerEntry,
        ModelVersion,
        Observation,
        Pin,
        Signature,
        TrustedType,
    )
    from registry.tags import Tagged


class Registry:
    """A model registry: a database of versions and decisions, and a store of artifacts.

    ``Registry()`` takes what is not given from the settings (``MODEL_REGISTRY_DATABASE``,
    ``MODEL_REGISTRY_ARTIFACTS``, ``MODEL_REGISTRY_ACTOR``), else a SQLite file and a folder here.

    Args:
        database: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/database``.
        artifacts: A folder, or ``s3://bucket/prefix``.
        actor: Whom the ledger names; the user of this process by default.

    Raises:
        DatabaseError: The database can't be used as a registry's.
        ArtifactStoreUnavailable: boto3 can't be configured for the bucket.
    """

    def __init__(
        self,
        database: str | None = None,
        *,
        artifacts: str | Path | None = None,
        actor: str | None = None,
    ) -> None:
        given = {"database": database, "artifacts": artifacts and str(artifacts), "actor": actor}
        overridden = {name: value for name, value in given.items() if value is not None}
        self.backend = open_backend(RegistrySettings.model_validate(overridden))

    @classmethod
    def of(cls, backend: Backend) -> Self:
        """A registry on a *backend* that is open already."""
        registry = cls.__new__(cls)
        registry.backend = backend
        return registry

    def close(self) -> None:
        """Give the connections back to the database; ``with Registry() as registry:`` does so at its end."""
        self.backend.rows.close()

    def allowing_pickle(self) -> Self:
        """This registry, for steps that may load versions kept as pickle, joblib or cloudpickle.

        Loading one runs whatever code its bytes hold: only for models whose makers you trust. It is the
        caller's consent; the operator's is the setting ``MODEL_REGISTRY_ALLOW_PICKLE``, and both are needed.
        """
        return self.of(self.backend.allowing_pickle())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # A version's life, in its order

    def register(  # noqa: PLR0913, what there is to say of a version
        self,
        model: str,
        estimator: Any,
        *,
        trained_on: Dataset,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        serialization: str = "skops",
    ) -> ModelVersion:
        """Register a fitted *estimator* as the next version of *model*; see ``registration.register``.

        Where the operator's settings allow pickle, the *serialization* may be "pickle", "joblib" or
        "cloudpickle", for what skops can't express; see ``allowing_pickle`` for what that asks of everybody
        who loads it.
        """
        from registry.contents import Estimator
        from registry.registration import Candidate, register

        content = Estimator(estimator, serialization)
        candidate = Candidate(
            model=model, content=content, trained_on=trained_on, params=dict(params or {}), key=key
        )
        return register(self.backend, candidate)

    def register_folder(
        self,
        model: str,
        folder: str | Path,
        *,
        trained_on: Dataset | None = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> ModelVersion:
        """Register a *folder* of any framework's files as the next version of *model*.

        It can be put in force, rolled back to and fetched; it is never opened here, so it can't be evaluated.
        See ``registration.register``.
        """
        from registry.contents import Folder
        from registry.registration import Candidate, register

        candidate = Candidate(
            model=model,
            content=Folder(Path(folder)),
            trained_on=trained_on,
            params=dict(params or {}),
            key=key,
        )
        return register(self.backend, candidate)

    def fetch(self, reference: str, destination: str | Path, *, verify: Verify | None = None) -> Path:
        """Copy a version's bytes to *destination*, a folder or a file; see ``contents.fetch``."""
        from registry.contents import fetch

        return fetch(self.backend, self.resolve(reference), Path(destination), verify)

    def evaluate(
        self, reference: str, dataset: Dataset, *, metrics: Sequence[str], slices: Sequence[str] = ()
    ) -> Evaluation:
        """Measure a version on *dataset* by scikit-learn scorer names; see ``evaluation.evaluate``."""
        from registry.evaluation import evaluate

        return evaluate(self.backend, self.resolve(reference), dataset, metrics=metrics, slices=slices)

    def compare(
        self,
        challenger: str,
        champion: str,
        dataset: Dataset,
        *,
        metrics: Sequence[str],
        confidence: float = 0.95,
    ) -> Comparison:
        """Measure two versions against each other on the same rows; see ``comparison.compare``."""
        from registry.comparison import compare

        contenders = self.resolve(challenger), self.resolve(champion)
        return compare(self.backend, contenders, dataset, metrics=metrics, confidence=confidence)

    def backtest(  # noqa: PLR0913, what there is to ask
        self,
        model: str,
        dataset: Dataset,
        *,
        metrics: Sequence[str],
        slices: Sequence[str] = (),
        last: int | None = None,
        alias: str = CHAMPION,
        confidence: float = 0.95,
    ) -> Backtest:
        """Measure the versions of *model* against the one in force; see ``backtest.backtest``."""
        from registry.backtest import Question, backtest

        question = Question(metrics=metrics, slices=slices, last=last, alias=alias, confidence=confidence)
        return backtest(self.backend, model, dataset, question)

    def decide(
        self, challenger: str, holdout: Dataset, policy: PromotionPolicy, *, alias: str = CHAMPION
    ) -> PromotionDecision:
        """Judge a version against the one in force; nothing moves. See ``promotion.decide``."""
        from registry.promotion import decide

        return decide(self.backend, self.resolve(challenger), holdout, policy, alias)

    def approve(self, decision: PromotionDecision, *, by: str, comment: str) -> LedgerEntry:
        """Note that a person agrees with *decision*, as its policy may ask; see ``approval.approve``."""
        from registry.approval import Signature, approve

        return approve(self.backend.rows, decision, Signature(by, comment))

    def decline(self, decision: PromotionDecision, *, by: str, comment: str) -> LedgerEntry:
        """Note that a person does not agree with *decision*; see ``approval.decline``."""
        from registry.approval import Signature, decline

        return decline(self.backend.rows, decision, Signature(by, comment))

    def withhold(self, decision: PromotionDecision, *, reason: str) -> LedgerEntry:
        """Note that a challenger that passed is held all the same; see ``approval.withhold``."""
        from registry.approval import withhold

        return withhold(self.backend.rows, decision, reason)

    def approval(self, decision: PromotionDecision) -> LedgerEntry | None:
        """The entry by which *decision* is approved, if it is; see ``approval.approval_of``."""
        from registry.approval import approval_of

        return approval_of(self.backend.rows, decision)

    def promote(self, decision: PromotionDecision, *, because: str = "") -> LedgerEntry:
        """Write *decision* into the ledger; approved, it moves the alias. See ``promotion.promote``."""
        from registry.promotion import promote

        return promote(self.backend, decision, because)

    def assign(self, reference: str, *, alias: str = CHAMPION, reason: str) -> LedgerEntry:
        """Put a version in force without a gate; the ledger says so. See ``promotion.assign``."""
        from registry.promotion import assign

        return assign(self.backend, self.resolve(reference), alias, reason)

    def clear(self, model: str, *, alias: str = CHAMPION, reason: str) -> LedgerEntry:
        """Leave nothing in force under *alias*; see ``promotion.clear``."""
        from registry.promotion import clear

        return clear(self.backend.rows, model, alias, reason)

    def roll_back(
        self,
        model: str,
        *,
        reason: str,
        alias: str = CHAMPION,
        bad: int | None = None,
        key: str | None = None,
    ) -> LedgerEntry:
        """Take the version in force down, its trusted predecessor up; see ``rollback.roll_back``."""
        from registry.rollback import roll_back

        return roll_back(self.backend, Reference(model, alias), reason=reason, bad=bad, key=key)

    def observe(  # noqa: PLR0913, what there is to say of a batch
        self,
        reference: str,
        *,
        metric: str,
        value: float,
        rows: int,
        batch: str,
        at: datetime | None = None,
        alias: str = CHAMPION,
        policy: MonitoringPolicy | None = None,
    ) -> Observation:
        """Record what a metric was on a batch of live rows; see ``monitoring.observe``.

        A batch without a time has that in its name, such as ``2026-03-01``, or the present one.
        """
        from registry.monitoring import moment_of
        from registry.suspicion import Reading

        moment = at or moment_of(batch, self.backend.rows.clock())
        reading = Reading(batch=batch, value=value, rows=rows, at=moment)
        (row,) = self.observe_many(reference, metric=metric, readings=[reading], alias=alias, policy=policy)
        return row

    def observe_many(
        self,
        reference: str,
        *,
        metric: str,
        readings: Sequence[Reading],
        alias: str = CHAMPION,
        policy: MonitoringPolicy | None = None,
    ) -> list[Observation]:
        """Record many batches in one transaction, in the order given; see ``monitoring.observe``."""
        from registry.monitoring import Subject, observe

        subject = Subject(reference=Reference.parse(reference), metric=metric, alias=alias, policy=policy)
        return observe(self.backend, subject, readings)

    def score(self, alias: str, batch: Batch, *, policy: MonitoringPolicy | None = None) -> Observation:
        """Score the version in force as *alias*, such as ``churn@champion``; see ``scoring.score``."""
        from registry.scoring import score

        return score(self.backend, Reference.parse(alias), batch, policy)

    def answer(self, alert: Alert, policy: RollbackPolicy | None = None) -> LedgerEntry:
        """Roll back as an alert asks, or write down why nothing moves; see ``rollback.answer``."""
        from registry.rollback import answer

        return answer(self.backend, alert, policy)

    def load(
        self, reference: str, *, verify: Verify | None = None, allow_pickle: bool = False
    ) -> LoadedModel:
        """Fetch, check and restore a version; see ``serving.load``.

        A signature is asked for as the settings say, and if *verify* is "if_signed" or "required", at least
        as that says. A version that is kept as pickle, joblib or cloudpickle, which runs whatever code its
        bytes hold, is loaded if both the settings and *allow_pickle* allow it.
        """
        from registry.serving import load

        backend = self.backend.allowing_pickle() if allow_pickle else self.backend
        return load(backend, self.resolve(reference), verify)

    # Looking

    def resolve(self, reference: str, *, at: datetime | None = None) -> ModelVersion:
        """The version that *reference* names now, or, for an alias, named *at* a time, which has a zone.

        Raises:
            InvalidReference: The text has no such form.
            InvalidValue: The time has no zone.
            NotFound: There is no such model, version or alias.
        """
        return self.backend.rows.resolve(Reference.parse(reference), at and check_time(at))

    def models(self) -> list[RegisteredModel]:
        """All models, by name."""
        return self.backend.rows.models()

    def versions(self, model: str) -> list[ModelVersion]:
        """All versions of *model*, oldest first."""
        return self.backend.rows.versions(model)

    def last_versions(self, model: str, most: int) -> list[ModelVersion]:
        """The newest versions of *model*, oldest first, but only so many."""
        return self.backend.rows.page_of_versions(model, most=most)[::-1]

    def search(  # noqa: PLR0913, what there is to ask
        self,
        *,
        model: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        alias: str | None = None,
        ranking: Ranking | None = None,
        most: int = 50,
        after: str | None = None,
    ) -> Page:
        """The versions to which all of this applies, a page at a time: see ``search``.

        The newest come first, or with an *alias* those that are in force under it, by model, or with a
        *ranking* the best. Times are those of registration, until excluded. ``page.next``, given as *after*
        to the same search, leads to the page after it.

        Raises:
            ModelNotFound: There is no such model.
            InvalidName: *after* is of another search, or the alias or a tag can't be one.
            InvalidValue: A time has no zone, or a number can't be one.
        """
        from registry.search import Search, find

        asked = Search(model=model, tags=tags or {}, since=since, until=until, alias=alias, ranking=ranking)
        return find(self.backend.rows, asked, most=most, after=after)

    def tags(self, subject: str) -> dict[str, str]:
        """The tags of a version, ``churn@7``, or of a model, ``churn``, by key."""
        from registry.tags import Tags

        return {tag.key: tag.value for tag in Tags(self.backend.rows).of(self._tagged(subject))}

    def aliases(self, model: str) -> dict[str, int]:
        """The versions of *model* in force, by alias."""
        return self.backend.rows.aliases(model)

    def evaluations(self, reference: str) -> list[Evaluation]:
        """All evaluations of a version, oldest first."""
        return self.backend.rows.evaluations(self.resolve(reference))

    def dossier(self, reference: str) -> Dossier:
        """All that is known of a version; see ``dossier.gather``."""
        from registry.dossier import gather

        return gather(self.backend, self.resolve(reference))

    def card(self, reference: str) -> str:
        """All that is known of a version, as one HTML file; see ``card.card``."""
        from registry.card import card

        return card(self.backend, self.dossier(reference))

    def target_of(self, reference: str) -> str:
        """The column that a version predicts.

        Raises:
            InvalidDataset: It was registered without the rows that it was trained on.
        """
        version = self.resolve(reference)
        if version.trained_on is None:
            raise InvalidDataset("none", f"nobody said on which rows {version.reference} was trained")
        return self.backend.rows.dataset(version.trained_on).target

    def quarantined(self, model: str) -> dict[str, list[int]]:
        """The versions of *model* that were rolled back and not assigned since, by alias."""
        rows = self.backend.rows
        aliases = dict.fromkeys(entry.alias for entry in rows.history(model))
        fallen = {alias: sorted(rows.quarantined(model, alias)) for alias in aliases}
        return {alias: versions for alias, versions in fallen.items() if versions}

    def health(self, model: str, *, alias: str = CHAMPION) -> list[Observation]:
        """What is held of the version in force: its newest observation of each metric, by metric.

        Raises:
            ModelNotFound: There is no such model.
        """
        from registry.dossier import observed

        self.backend.rows.require_model(model)
        return observed(self.backend, model, alias)

    def observations(
        self, model: str, *, metric: str, alias: str = CHAMPION, most: int = 1000
    ) -> list[Observation]:
        """The newest observations of a metric, at *most* so many, oldest first.

        Raises:
            ModelNotFound: There is no such model.
            InvalidValue: There can't be so many.
        """
        check_count("most", most)
        self.backend.rows.require_model(model)
        return self.backend.observations.last(model, alias, metric, most)

    def pause(self, model: str, *, alias: str = CHAMPION) -> str | None:
        """Why nothing is promoted by itself at present, a freeze or a cooldown; None if it is."""
        from registry.safeguards import standstill

        return standstill(self.backend, model, alias)

    def alarms(
        self, model: str, *, alias: str = CHAMPION, again: timedelta | None = None
    ) -> list[Observation]:
        """The decisions that Prefect has to hear of now; see ``monitoring.alarms``."""
        from registry.monitoring import AGAIN, alarms

        return alarms(self.backend, model, check_alias(alias), AGAIN if again is None else again)

    def dataset(self, fingerprint: str) -> DatasetRecord:
        """What is known of a dataset that a version or an evaluation names.

        Raises:
            DatasetNotFound: None does.
        """
        return self.backend.rows.dataset(fingerprint)

    def history(self, model: str, *, alias: str | None = None) -> list[LedgerEntry]:
        """Every entry about *model*, or about one alias of it, oldest first."""
        return self.backend.rows.history(model, None if alias is None else check_alias(alias))

    # Keeping

    def sign(self, reference: str) -> Signature:
        """Vouch for a version by the key of the settings; see ``signing.sign_version``."""
        from registry.signing import sign_version

        return sign_version(self.backend, self.resolve(reference))

    def trust(self, type_name: str, *, reason: str) -> TrustedType:
        """Let artifacts hold the type of this exact name; see ``Store.trust``.

        Raises:
            InvalidName: There is no such type here.
        """
        from registry.serialization import check_type_name

        return self.backend.rows.trust(check_type_name(type_name), reason)

    def trusted(self) -> list[TrustedType]:
        """The types that artifacts may hold beyond those that skops trusts by itself, by name."""
        return self.backend.rows.trusted_types()

    def distrust(self, type_name: str) -> None:
        """Take a type from the allow-list; versions that hold it no longer load."""
        self.backend.rows.distrust(type_name)

    def verify(self) -> Iterator[Finding]:
        """Check the chains of versions and entries, and all bytes; see ``verification.verify``."""
        from registry.audit.verification import verify

        return verify(self.backend)

    def audit(
        self, model: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[str]:
        """Everything that happened, an event a line, as ``registry.audit.trail`` describes it.

        Raises:
            ModelNotFound: There is no such model.
            InvalidValue: A time has no zone.
        """
        from registry.audit.trail import Scope, trail

        scope = Scope(model, since and check_time(since), until and check_time(until))
        return trail(self.backend.rows, scope)

    def find_garbage(self) -> Garbage:
        """The bytes that nobody needs; see ``garbage.find_garbage``."""
        from registry.garbage import find_garbage

        return find_garbage(self.backend)

    def collect_garbage(self) -> Garbage:
        """Remove the bytes that no row needs; see ``garbage.collect_garbage``."""
        from registry.garbage import collect_garbage

        return collect_garbage(self.backend)

    def find_strays(self, *, grace: timedelta | None = None) -> list[StoredArtifact]:
        """The bytes of which no row knows, older than *grace*, a day by default."""
        from registry.garbage import GRACE, find_strays

        return find_strays(self.backend, GRACE if grace is None else grace)

    def remove_strays(self, *, grace: timedelta | None = None) -> list[StoredArtifact]:
        """Remove what ``find_strays`` finds; see ``garbage.remove_strays``, it may be another registry's."""
        from registry.garbage import GRACE, remove_strays

        return remove_strays(self.backend, GRACE if grace is None else grace)

    def plan_purge(self, policy: RetentionPolicy) -> Plan:
        """What ``purge`` would give up, and why it keeps the rest; see ``retention.plan``."""
        from registry.retention import plan

        return plan(self.backend, policy)

    def purge(self, policy: RetentionPolicy) -> list[Artifact]:
        """Give up the bytes that *policy* does not keep; their rows stay. See ``retention.purge``."""
        from registry.retention import purge

        return purge(self.backend, policy)

    def pin(self, reference: str, *, reason: str) -> Pin:
        """Let no retention policy give up the bytes of a version; see ``Disposal.pin``."""
        from registry.disposal import Disposal

        return Disposal(self.backend.rows).pin(self.resolve(reference), reason)

    def unpin(self, reference: str) -> None:
        """Leave the bytes of a version to the retention policies."""
        from registry.disposal import Disposal

        Disposal(self.backend.rows).unpin(self.resolve(reference))

    def tag(self, subject: str, tags: Mapping[str, str]) -> None:
        """Note *tags*, values by key, on a version, ``churn@7``, or on a model, ``churn``; all, or none.

        Tags are notes, and no evidence: who may write may change them, and nothing is decided by them.

        Raises:
            InvalidName: A key or a value can't be kept, or there would be too many, see ``limits``.
        """
        from registry.tags import Tags

        Tags(self.backend.rows).put(self._tagged(subject), tags)

    def untag(self, subject: str, *keys: str) -> None:
        """Take the tags of these *keys* from a version or a model, if it has them."""
        from registry.tags import Tags

        Tags(self.backend.rows).remove(self._tagged(subject), keys)

    def _tagged(self, subject: str) -> Tagged:
        return self.resolve(subject) if "@" in subject else self.backend.rows.require_model(subject)

    def describe(self, subject: str, text: str) -> None:
        """Say what a version, ``churn@7``, or a model, ``churn``, is for; see ``Profiles.describe``."""
        from registry.profiles import Profiles

        Profiles(self.backend.rows).describe(self._tagged(subject), text)

    def description(self, subject: str) -> str:
        """What was said of a version, ``churn@7``, or of a model, ``churn``; empty if nothing was."""
        from registry.profiles import Profiles

        return Profiles(self.backend.rows).description(self._tagged(subject))

    def delete(self, subject: str, *, reason: str) -> None:
        """Let nobody find a version, ``churn@7``, or a model with all of its versions, ``churn``, any more.

        Their rows stay, and their numbers are not given again; see ``Deletions``.

        Raises:
            ReasonMissing: It is not said why.
            StillNeeded: A version is in force under an alias, or pinned.
        """
        from registry.deletions import Deletions

        deletions, found = Deletions(self.backend.rows), self._tagged(subject)
        if isinstance(found, RegisteredModel):
            deletions.delete_model(found, reason)
        else:
            deletions.delete(found, reason)

    def pins(self, model: str) -> dict[int, Pin]:
        """The pins of *model*, by the version's number."""
        from registry.disposal import Disposal

        return Disposal(self.backend.rows).pins(model)

    def purged(self, model: str) -> dict[int, Artifact]:
        """What became of the bytes of the versions of *model* that were purged, by the version's number."""
        from registry.disposal import Disposal

        return Disposal(self.backend.rows).purged(model)
