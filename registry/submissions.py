"""A version on its way into its model's chain: the transaction for which all other writers wait.

To make a statement takes longer than to run it, and each costs PostgreSQL a round trip, so there are few of
them, and they are made beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, or_
from sqlalchemy import select as sa_select  # SQLModel's own knows no five columns
from sqlmodel import col, exists, func, select, update

from registry import leases
from registry.database import changing, retried, writing
from registry.exceptions import KeyConflict
from registry.tables import (
    GENESIS,
    Artifact,
    ArtifactFile,
    DatasetRecord,
    ModelVersion,
    RegisteredModel,
    Registration,
    Signature,
)
from registry.transactions import insert_new, listed, lock_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import Connection, Engine
    from sqlmodel import SQLModel

    from registry.ledger import Stamp

_MODEL = col(ModelVersion.model) == bindparam("model")
_TRAINING = _MODEL, col(ModelVersion.training) == bindparam("training")
_KEY = col(Registration.model) == bindparam("model"), col(Registration.key) == bindparam("key")
_BEFORE = _MODEL, col(ModelVersion.number) == bindparam("previous")

TRAINED_ALIKE = (  # of several only the newest can still have its bytes
    select(ModelVersion)
    .join(Artifact, col(Artifact.digest) == col(ModelVersion.artifact))
    .where(*_TRAINING, col(Artifact.purged_at).is_(None), listed())
    .order_by(col(ModelVersion.renewal).desc())
    .limit(1)
)
"""The version of a ``model`` whose ``training`` has this digest, and whose bytes are there."""

_NEXT_NUMBER = (
    update(RegisteredModel)
    .where(col(RegisteredModel.name) == bindparam("model"))
    .values(last_version=RegisteredModel.last_version + 1)
    .returning(col(RegisteredModel.last_version))
)
_FACTS = sa_select(
    or_(TRAINED_ALIKE.exists(), exists().where(*_KEY)).label("known"),
    select(func.count()).where(*_TRAINING).scalar_subquery().label("renewals"),
    select(ModelVersion.hash).where(*_BEFORE).scalar_subquery().label("hash"),
    select(ModelVersion.registered_at).where(*_BEFORE).scalar_subquery().label("earliest"),
    exists().where(col(DatasetRecord.fingerprint) == bindparam("dataset")).label("dataset"),
)
_APPEND = insert(ModelVersion)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A version that is to be appended; the store numbers and seals it.

    Attributes:
        version: Its row, but for the number, the renewal and the hashes. Its bytes are put and leased.
        trained_on: The rows that it was fitted on; None if nobody says.
        request: Digest of the training data and the parameters, by which a reused key is noticed.
        key: Names the request, if it has a name.
        files: Of a folder: the digests of its files, by path.
        sign: Vouches for the version once it is numbered and sealed.
        notes: Further rows about the version once it is numbered, which are there with it, or not at all.
    """

    version: ModelVersion
    trained_on: DatasetRecord | None
    request: str
    key: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    sign: Callable[[ModelVersion], Signature] | None = None
    notes: Callable[[ModelVersion], Iterable[SQLModel]] = field(default=lambda _: ())


class _KnownError(Exception):
    """The training, or the key, has a version already."""


@retried
def append(engine: Engine, submission: Submission, stamp: Stamp) -> ModelVersion:
    """Give the version of the *submission* the next number, unless it has one by its key or its training.

    Raises:
        KeyConflict: The key was used for another request.
        LeaseExpired: A collection took the version's bytes: put them again.
    """
    while True:
        try:
            with changing(engine) as rows:
                return _appended(rows, submission, stamp)
        except _KnownError:
            if (known := _answered(engine, submission, stamp)) is not None:
                return known


def check_same_request(answered: Registration, request: str) -> None:
    """Raise KeyConflict if the key of an *answered* registration is used for another *request*."""
    if answered.request != request:
        raise KeyConflict(
            answered.key, f"{answered.model}@{answered.number}", "the training data or a parameter"
        )


def _appended(rows: Connection, submission: Submission, stamp: Stamp) -> ModelVersion:
    """Append the version after the last one of its model, sealed, and signed if somebody signs."""
    version, files = submission.version, submission.files
    version.number = _next_number(rows, version.model, stamp)
    version.previous = version.number - 1 or None
    facts = rows.execute(_FACTS, _asked(submission)).one()
    if facts.known:
        raise _KnownError
    leases.hold(rows, {version.artifact, *files.values()})
    if submission.trained_on is not None and not facts.dataset:
        rows.execute(insert_new(rows, DatasetRecord), submission.trained_on.model_dump())
    version.renewal = facts.renewals
    version.previous_hash = facts.hash or GENESIS
    # a clock that was set back must not let a later version look earlier
    version.registered_at = max(version.registered_at, facts.earliest or version.registered_at)
    version.hash = version.digest()
    if files:
        listed = [{"manifest": version.artifact, "path": path, "digest": files[path]} for path in files]
        rows.execute(insert_new(rows, ArtifactFile), listed)
    rows.execute(_APPEND, version.model_dump())
    if submission.sign is not None:
        rows.execute(insert(Signature), submission.sign(version).model_dump())
    for note in submission.notes(version):
        rows.execute(insert(type(note)), note.model_dump())
    if submission.key is not None:
        row = _registration(submission, submission.key, version.number, stamp)
        rows.execute(insert(Registration), row.model_dump())
    return version


def _next_number(rows: Connection, model: str, stamp: Stamp) -> int:
    """Count the model's versions on, so that no other transaction does until this one ends."""
    number = rows.execute(_NEXT_NUMBER, {"model": model}).scalar()
    if number is None:
        row = RegisteredModel(name=model, created_at=stamp.at)
        rows.execute(insert_new(rows, RegisteredModel), row.model_dump())
        number = rows.execute(_NEXT_NUMBER, {"model": model}).scalar_one()
    return int(number)


def _answered(engine: Engine, submission: Submission, stamp: Stamp) -> ModelVersion | None:
    """The version that the training or the key has, which the key names from now on; None if it went."""
    version, key = submission.version, submission.key
    with writing(engine) as session:
        lock_model(session, version.model)
        answered = None if key is None else session.get(Registration, (version.model, key))
        if answered is not None:
            check_same_request(answered, submission.request)
        training = {"model": version.model, "training": version.training}
        known = session.exec(TRAINED_ALIKE, params=training).first()
        if known is None and answered is not None:
            return session.get_one(ModelVersion, (answered.model, answered.number))
        if known is not None and key is not None and answered is None:
            session.add(_registration(submission, key, known.number, stamp))
        return known


def _asked(submission: Submission) -> dict[str, Any]:
    version = submission.version
    return {
        "model": version.model,
        "training": version.training,
        "key": submission.key,
        "previous": version.previous,
        "dataset": version.trained_on,
    }


def _registration(submission: Submission, key: str, number: int, stamp: Stamp) -> Registration:
    return Registration(
        model=submission.version.model,
        key=key,
        number=number,
        request=submission.request,
        flow_run_id=stamp.flow_run_id,
        registered_by=stamp.actor,
        registered_at=stamp.at,
    )
