"""Go back to the newest champion that is still trusted, after it proved that it works.

Whatever needs the estimator's libraries is imported when a target has to prove itself, so that an alert does
not wait for scikit-learn where the target has just answered beside the champion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from registry.exceptions import (
    AliasConflict,
    AliasNotSet,
    ArtifactCorrupted,
    ArtifactMissing,
    ArtifactPurged,
    ArtifactStoreUnavailable,
    DataError,
    InvalidFolder,
    KeyConflict,
    ModelError,
    NothingToRollBackTo,
    NotVouchedFor,
    ReasonMissing,
    VersionDeleted,
)
from registry.ledger import Proposal, Reign
from registry.limits import check_line, check_text, check_time
from registry.monitoring_policy import RollbackPolicy
from registry.observations import Reigning
from registry.references import CHAMPION, Reference, check_alias
from registry.safeguards import candidates, frozen
from registry.trust import disclosed

if TYPE_CHECKING:
    from datetime import datetime

    from registry.backend import Backend
    from registry.tables import LedgerEntry

_ECHO = timedelta(minutes=1)
"""An alert that was raised so soon after a rollback may still speak of the version that fell."""

_RACES = 5  # an alias that moves so often while one alert is answered is not for this alert to move


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Somebody, or something, says that a version in force is bad.

    Attributes:
        model: Whose version.
        reason: What is wrong; it goes into the ledger.
        key: What names the alert: the same alert is answered once.
        alias: What the version is in force as.
        version: The version's number; None for the one that was in force at the time of the alert.
        at: When the alert was raised, with a zone; None for now.
        target: The number of the version that was better on live rows, if they told; it is tried first.
    """

    model: str
    reason: str
    key: str
    alias: str = CHAMPION
    version: int | None = None
    at: datetime | None = None
    target: int | None = None


def roll_back(
    backend: Backend,
    alias: Reference,
    *,
    reason: str,
    bad: int | None = None,
    key: str | None = None,
) -> LedgerEntry:
    """Take the version in force down and put its trusted predecessor in force; the fallen is quarantined.

    This is for somebody who has looked: no gate is asked, and no cooldown follows. Predecessors are tried
    from the nearest back: one that does not load, or does not predict what it predicted when it was
    registered, is passed over, and the evidence says why. So is one in a format that runs code where the
    operator does not allow it; where the operator does, it was put in force with a caller's consent.

    Args:
        backend: Where rows and bytes are kept.
        alias: What to roll back, such as ``churn@champion``.
        reason: Why; it goes into the ledger.
        bad: The number of the version that is to come down, if the caller knows; None for the one in force.
        key: A retry with the same key finds the entry that the first attempt wrote.

    Raises:
        InvalidName: The alias, or the key, can't be called so, or the reason is no text to keep.
        ModelNotFound: There is no such model.
        AliasNotSet: Nothing is in force.
        AliasConflict: Not *bad* but another version is in force, or one came into force meanwhile.
        KeyConflict: The key stands for another entry.
        NothingToRollBackTo: No trusted predecessor works; nothing changed.
        ArtifactStoreUnavailable: Whether a predecessor works can't be told now; nothing changed.
    """
    rows, model, name = backend.rows, alias.model, check_alias(str(alias.selector))
    check_text("reason", reason)
    if key is not None:
        check_line("key", key)
    reign = rows.reign(model, name)  # first, so that a move since then is seen by its key
    if key is not None and (written := rows.entry(model, name, key)) is not None:
        return _same_request(written, bad)
    fallen = _reigning(backend, alias, reign)
    if bad is not None and bad != fallen.version:
        found = f"version {fallen.version} since entry {fallen.since}"
        raise AliasConflict(model, name, f"version {bad}", found)
    target, evidence = _working_predecessor(backend, fallen)
    return rows.append_entry(_rolled_back(fallen, target, reason, evidence, key))


def answer(backend: Backend, alert: Alert, policy: RollbackPolicy | None = None) -> LedgerEntry:
    """Roll back as the *alert* asks, or write down why nothing moves: the entry's kind says which.

    An alert is answered once, and alerts that come together by one rollback. Nothing moves, and the entry's
    kind is "alerted", if the version is no longer in force, if too many automatic rollbacks went
    before (see ``safeguards``), or if no predecessor is fit: trusted, by *policy* seasoned, and working.
    An alert that a rollback has answered already gets a note of that, unless it names the version that fell.

    Args:
        backend: Where rows and bytes are kept.
        alert: Who says what of which version.
        policy: What is asked of the version to go back to, and what is held back afterwards; if not given,
            the one by which the alias was watched last, else the defaults.

    Raises:
        InvalidName: The alias, or the alert, can't be called so, or its reason is no text to keep.
        InvalidValue: Its time has no zone.
        ModelNotFound: There is no such model.
        VersionNotFound: There is no such version of it.
        AliasNotSet: Nothing is, or at that time was, in force.
        ReasonMissing: The alert does not say why.
        ArtifactStoreUnavailable: Whether a predecessor works can't be told now; nothing changed.
        AliasConflict: The alias moved again and again meanwhile.
    """
    if not alert.reason.strip():
        raise ReasonMissing("alerted")
    check_text("reason", alert.reason)
    check_line("alert", alert.key)
    heard = backend.rows.clock()
    alert = replace(alert, at=alert.at and check_time(alert.at))
    for _ in range(_RACES - 1):
        try:
            return _answer(backend, alert, policy)
        except AliasConflict:  # another run moved the alias: what it left may be the answer
            alert = replace(alert, at=alert.at or heard)
    return _answer(backend, alert, policy)


def _answer(backend: Backend, alert: Alert, policy: RollbackPolicy | None) -> LedgerEntry:
    rows, name = backend.rows, check_alias(alert.alias)
    found = rows.reign(alert.model, name)  # first, so that a move since then is seen by its key
    if (written := rows.entry(alert.model, name, _key(alert))) is not None:
        return written
    reign = _reigning(backend, Reference(alert.model, name), found)
    began = rows.entry_at(alert.model, name, reign.since)
    if not _is_about_the_fall(alert, began, rows.clock()):
        return rows.append_entry(_proposed(backend, alert, reign, policy))
    if alert.version is not None:
        return began  # when it comes again, it still is about the version that fell
    return rows.append_entry(_answered(alert, reign, began))


def _is_about_the_fall(alert: Alert, began: LedgerEntry, now: datetime) -> bool:
    """Whether the rollback that began this reign answers the alert, which was raised before or just then."""
    if began.kind != "rolled-back" or alert.version not in {None, began.replaced}:
        return False
    raised = min(alert.at or now, now)  # the clock of whoever raised it may be ahead
    return raised <= began.recorded_at + _ECHO


def _answered(alert: Alert, reign: Reigning, began: LedgerEntry) -> Proposal:
    """The note that a rollback was the answer: the alert might seem to mean another version the next time."""
    explained = f"the rollback of {began.model}@{began.replaced} in entry {began.sequence} is the answer"
    note = _note(alert, reign, "answered", explained)
    evidence = note.evidence | {"entry": began.sequence}
    return replace(note, version=began.replaced or note.version, evidence=evidence)


def _proposed(backend: Backend, alert: Alert, reign: Reigning, policy: RollbackPolicy | None) -> Proposal:
    """The rollback that answers the alert, or the note why there is none."""
    accused = _accused(backend, alert, reign)
    if accused != reign.version:
        note = _note(alert, reign, "not in force", f"version {reign.version} is in force")
        return replace(note, version=accused)
    if reason := frozen(backend, reign):
        return _note(alert, reign, "frozen", reason)
    rules = policy or _watched_by(backend, reign)
    try:
        target, evidence = _working_predecessor(backend, reign, rules, alert.target)
    except NothingToRollBackTo as nothing:
        return _note(alert, reign, "no predecessor", nothing.reason)
    evidence |= {"alert": alert.key, "policy": rules.model_dump(mode="json")}
    return _rolled_back(reign, target, alert.reason, evidence, _key(alert))


def _accused(backend: Backend, alert: Alert, reign: Reigning) -> int:
    """The number of the version that the alert is about."""
    if alert.version is not None:
        return backend.rows.version(alert.model, alert.version).number
    if alert.at is not None:
        return backend.rows.resolve(Reference(alert.model, reign.alias), alert.at).number
    return reign.version


def _watched_by(backend: Backend, reign: Reigning) -> RollbackPolicy:
    """The policy by which the alias was watched last; the defaults if nobody watches it."""
    seen = backend.observations.newest_of_each(reign.model, reign.alias)
    last = max(seen, key=lambda row: row.recorded_at, default=None)
    return RollbackPolicy.model_validate(last.policy["rollback"]) if last else RollbackPolicy()


def _note(alert: Alert, reign: Reigning, why: str, explained: str) -> Proposal:
    return Proposal(
        kind="alerted",
        model=alert.model,
        version=reign.version,
        alias=alert.alias,
        reason=f"{alert.reason}; nothing moves: {explained}",
        evidence={"alert": alert.key, "why": why},
        against=Reign(version=reign.version, since=reign.since),
        key=_key(alert),
    )


def _key(alert: Alert) -> str:
    return f"alert/{alert.key}"


def _rolled_back(
    fallen: Reigning, target: int, reason: str, evidence: dict[str, Any], key: str | None
) -> Proposal:
    return Proposal(
        kind="rolled-back",
        model=fallen.model,
        version=target,
        alias=fallen.alias,
        reason=reason,
        evidence={"fell": f"{fallen.model}@{fallen.version}"} | evidence,
        against=Reign(version=fallen.version, since=fallen.since),
        key=key,
    )


def _same_request(written: LedgerEntry, bad: int | None) -> LedgerEntry:
    """Return what was *written* under a key, if that was to take *bad* down."""
    if written.kind == "rolled-back" and bad in {None, written.replaced}:
        return written
    first = f"entry {written.sequence} of {written.model}@{written.alias} ({written.kind})"
    raise KeyConflict(str(written.key), first, "what is to come down")


def _reigning(backend: Backend, alias: Reference, reign: Reign) -> Reigning:
    if reign.version is None or reign.since is None:
        backend.rows.versions(alias.model)  # raises if it is the model that is missing
        raise AliasNotSet(alias.model, str(alias.selector))
    return Reigning(alias.model, str(alias.selector), reign.version, reign.since)


def _working_predecessor(
    backend: Backend, fallen: Reigning, policy: RollbackPolicy | None = None, better: int | None = None
) -> tuple[int, dict[str, Any]]:
    """The first candidate that works, and the evidence: how it proved it, and whom it was preferred to.

    The one that was *better* on live rows is asked first, then the nearest.
    """
    target = _contested(backend, fallen, policy) if policy else None
    if target is not None and better in {None, target}:
        proof = {"passed_over": {}, "proof": "answered beside the champion"}
        return target, proof | _format(backend, fallen.model, target)
    passed_over: dict[str, str] = {}
    for number, objection in candidates(backend, fallen, policy.served if policy else 0, better):
        failure = objection or _failure(backend, fallen.model, number)
        if failure is None:
            proof = {"passed_over": passed_over, "proof": "predicts its example"}
            return number, proof | _format(backend, fallen.model, number)
        passed_over[f"{fallen.model}@{number}"] = failure
    reasons = "; ".join(passed_over.values()) or f"version {fallen.version} has no trusted predecessor"
    raise NothingToRollBackTo(fallen.model, fallen.alias, reasons)


def _format(backend: Backend, model: str, number: int) -> dict[str, str]:
    return disclosed(backend.rows.version(model, number).serialization)


def _contested(backend: Backend, fallen: Reigning, policy: RollbackPolicy) -> int | None:
    """The version against which the one in force was measured lately: it works, and on live rows."""
    target = backend.observations.last_target(fallen, backend.rows.clock() - policy.proved_within)
    if target is None:
        return None
    served = backend.observations.service(fallen.model, fallen.alias, target)
    return target if served is not None and served >= policy.served else None


def _failure(backend: Backend, model: str, number: int) -> str | None:
    """What keeps a version from working; None if it works."""
    from registry.proof import prove  # noqa: PLC0415, it needs the estimator's libraries

    try:
        prove(backend.allowing_pickle(), backend.rows.version(model, number))
    except (ArtifactPurged, VersionDeleted) as error:
        return str(error)
    except ArtifactMissing as error:
        if next(iter(backend.artifacts.stored()), None) is None:
            reason = "it holds nothing at all: mount or restore it"
            raise ArtifactStoreUnavailable(backend.artifacts.location, reason) from error
        return str(error)
    except (ArtifactCorrupted, InvalidFolder, NotVouchedFor, ModelError, DataError) as error:
        return str(error)
    return None
