"""Watch the version in force: record what was measured on live rows, and what is held of the version since.

Each batch is one row, which carries all that the next one needs. Who has labelled rows and not yet a metric
begins in ``registry.scoring``.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import TYPE_CHECKING

from registry.detection import Baseline
from registry.exceptions import (
    AliasConflict,
    BaselineMissing,
    InvalidObservation,
    NeverInForce,
)
from registry.health import Watch
from registry.limits import (
    LARGEST_COUNT,
    LARGEST_NUMBER,
    LARGEST_VALUE,
    LONGEST,
    check_text,
    check_time,
    shown,
)
from registry.monitoring_policy import MonitoringPolicy
from registry.observations import Reigning
from registry.references import CHAMPION, LATEST, Reference, check_alias
from registry.safeguards import candidates
from registry.words import count, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.backend import Backend
    from registry.suspicion import Contrast, Reading
    from registry.tables import Evaluation, ModelVersion, Observation

_DATED = re.compile(r"\d{4}-\d\d-\d\d")
_FARTHEST_EAST = timedelta(hours=14)  # where a day begins first
_RACES = 5
_SHARES = frozenset({"accuracy", "f1_micro", "precision_micro", "recall_micro", "recall_weighted"})
"""Metrics that are the mean of one 0 or 1 for each row; the spread of others is the evaluation's to tell."""

_ONE_DEVIATION = 0.158655  # the normal law beyond one standard deviation


AGAIN = timedelta(minutes=10)
"""An event that was accepted so long ago, and of which nothing came, is sent again."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is watched, by which metric, and when its numbers count as fallen.

    Attributes:
        reference: Who made the predictions: an alias such as ``churn@champion`` for the version in force
            now, or a version by its number.
        metric: The name under which the version was evaluated, a scikit-learn scorer: higher is better.
        alias: What the version is, or was, in force as, if *reference* does not say.
        policy: When numbers count as fallen, and what it takes to blame the model; if not given, the one by
            which the version, or the one before it, was watched last, else the defaults. Another policy
            takes over what was found under the one before.
    """

    reference: Reference
    metric: str
    alias: str = CHAMPION
    policy: MonitoringPolicy | None = None


def observe(backend: Backend, subject: Subject, readings: Sequence[Reading]) -> list[Observation]:
    """Record what was measured of a version on batches of live rows, in the order given, all or none.

    A batch that was recorded before counts once: its row is returned as it is. One that is older than the
    newest is marked as late; it counts, but if it is older than an alarm, it tells nothing of what came
    after. So is one of a version that is no longer in force, which changes nothing that is held of the one
    that is.

    Raises:
        InvalidObservation: A value, a number of rows, a key or a time can't be; nothing was recorded.
        InvalidBaseline: No fall could be told from the reference.
        BaselineMissing: The version was never evaluated by this metric on a holdout.
        NeverInForce: The version never held the alias.
        NotFound: There is no such model or version, or nothing is in force.
    """
    check_text("metric", subject.metric)
    now = backend.rows.clock()
    readings = [_checked(reading, subject.metric, now) for reading in readings]
    for _ in range(_RACES - 1):
        try:
            return backend.observations.append(_watch(backend, subject), readings)
        except AliasConflict:
            continue  # the alias moved between reading and writing
    return backend.observations.append(_watch(backend, subject), readings)


def moment_of(batch: str, now: datetime) -> datetime:
    """The time of a *batch* of which none was given: that in its name, such as ``2026-03-01``, else *now*.

    A date is midnight UTC. Where it is today already, but not yet there, the time is *now*.
    """
    if not _DATED.match(batch):
        return now
    with suppress(ValueError):
        named = datetime.fromisoformat(batch)
        named = named if named.tzinfo else named.replace(tzinfo=UTC)
        return now if now < named <= now + _FARTHEST_EAST else named
    return now


def alarms(
    backend: Backend, model: str, alias: str = CHAMPION, again: timedelta = AGAIN
) -> list[Observation]:
    """The decisions about the version in force that Prefect has to hear of now, or again.

    A decision is an observation that raised a suspicion, or ended one as "degraded" or "world-changed". It is
    to be heard again if the version is to come down, the server accepted the event longer than *again* ago,
    and the ledger has no answer to it: whoever was to answer crashed.

    Raises:
        ModelNotFound: There is no such model.
    """
    backend.rows.require_model(model)
    reign = backend.rows.reign(model, alias)
    newest = (
        backend.observations.newest(model, alias, row.metric, reign.version)
        for row in backend.observations.newest_of_each(model, alias)
    )
    standing = [row for row in newest if row is not None and row.since == reign.since]
    decisions = (
        backend.observations.at(row, decided)
        for row in standing
        if (decided := row.decided or row.alarm) is not None
    )
    return [decision for decision in decisions if _is_due(backend, decision, again)]


def alarm_of(decision: Observation) -> str:
    """What names the alarm of a *decision*, by which it is answered once."""
    return f"{decision.metric} #{decision.sequence}"


def explained(decision: Observation) -> str:
    """Why a *decision* was taken, in a sentence."""
    fallen = (
        f"{decision.metric} of {decision.reference} is {number(decision.value)} on batch {decision.batch}"
        f" ({count(decision.rows, 'row')}), the floor {number(decision.floor)}"
    )
    contest = decision.state["contest"]
    if not (contest and contest["batches"]):
        return fallen
    target = f"{decision.model}@{contest['target']}"
    return (
        f"{fallen}; in {count(contest['batches'], 'batch')} after the alarm only {target} was right on"
        f" {count(contest['target_only'], 'row')}, only {decision.reference} on {contest['champion_only']:,}"
    )


def _is_due(backend: Backend, decision: Observation, again: timedelta) -> bool:
    sent = backend.observations.announcements(decision)
    if not sent:
        return True
    key = f"alert/{alarm_of(decision)}"
    if decision.status != "degraded" or backend.rows.entry(decision.model, decision.alias, key):
        return False
    return sent[-1].announced_at <= backend.rows.clock() - again


def _alias_of(subject: Subject) -> str:
    selector = subject.reference.selector
    named = isinstance(selector, str) and selector != LATEST
    return check_alias(str(selector) if named else subject.alias)


def _watch(backend: Backend, subject: Subject) -> Watch:
    version, alias = backend.rows.resolve(subject.reference), _alias_of(subject)
    reign = backend.rows.reign(version.model, alias)
    in_force = reign.version == version.number
    since = reign.since if in_force else backend.rows.last_rise(version.model, alias, version.number)
    if since is None:
        raise NeverInForce(version.reference, alias)
    stream = version.model, alias, subject.metric
    seen = backend.observations.newest(*stream, version.number)
    last = seen if seen and seen.since == since else backend.observations.newest(*stream)
    policy = subject.policy or (MonitoringPolicy.model_validate(last.policy) if last else MonitoringPolicy())
    return Watch(
        model=version.model,
        alias=alias,
        metric=subject.metric,
        version=version.number,
        since=since,
        in_force=in_force,
        policy=policy,
        baseline=None if seen else _baseline(backend, version, (alias, since), subject.metric, policy),
        has_target=lambda: _has_target(backend, Reigning(*stream[:2], version.number, since), policy),
    )


def _has_target(backend: Backend, reign: Reigning, policy: MonitoringPolicy) -> bool:
    return any(objection is None for _, objection in candidates(backend, reign, policy.rollback.served))


def _baseline(
    backend: Backend,
    version: ModelVersion,
    rise: tuple[str, int],
    metric: str,
    policy: MonitoringPolicy,
) -> Baseline:
    """What is normal for *version*: the evaluation by which it was promoted, else its newest on a holdout."""
    evaluation = _reference_evaluation(backend, version, rise, metric)
    return Baseline(
        evaluation.metrics[metric],
        evaluation.rows,
        sd=None if metric in _SHARES else _spread(backend, evaluation, metric),
        tolerance=policy.tolerance,
        best=0.0 if metric.startswith("neg_") else 1.0,
        correlation=policy.correlation,
    )


def _reference_evaluation(
    backend: Backend, version: ModelVersion, rise: tuple[str, int], metric: str
) -> Evaluation:
    promoted_on = backend.rows.entry_at(version.model, *rise).dataset
    fit = [
        evaluation
        for evaluation in backend.rows.evaluations(version)
        if evaluation.dataset != version.trained_on and metric in evaluation.metrics
    ]
    if not fit:
        raise BaselineMissing(version.reference, metric)
    return next((evaluation for evaluation in fit if evaluation.dataset == promoted_on), fit[-1])


def _spread(backend: Backend, evaluation: Evaluation, metric: str) -> float:
    """The metric's standard error on the evaluation's rows, times their root."""
    from registry import statistics  # noqa: PLC0415, recording a share needs no statistics
    from registry.evaluation import predictions_of  # noqa: PLC0415, nor the predictions

    standing = statistics.standing(metric, predictions_of(backend, evaluation))
    error = (standing.upper(_ONE_DEVIATION) - standing.lower(_ONE_DEVIATION)) / 2
    return error * sqrt(evaluation.rows)


def _checked(reading: Reading, metric: str, now: datetime) -> Reading:
    """The *reading* with numbers that every database can keep, numpy's are none, if it can be."""
    subject = f"batch {reading.batch[:40]!r}"
    if not (0 < len(reading.batch) <= LONGEST["batch"] and reading.batch.isprintable()):
        raise InvalidObservation(subject, f"name it with 1 to {LONGEST['batch']} printable characters")
    if not 0 < reading.rows <= LARGEST_COUNT or reading.rows != int(reading.rows):
        reason = f"it has {shown(reading.rows)} rows; give a whole number from 1 to {LARGEST_COUNT:,}"
        raise InvalidObservation(subject, reason)
    if not abs(reading.value) <= LARGEST_VALUE:
        reason = f"its value is {shown(reading.value)}; leave it out, a missing batch is none"
        raise InvalidObservation(subject, reason)
    if metric.startswith("neg_") and reading.value > 0:
        reason = f"{metric} is never above 0, as higher is better; write {-reading.value}"
        raise InvalidObservation(subject, reason)
    if reading.at.tzinfo is None:
        raise InvalidObservation(subject, f"its time {reading.at:%Y-%m-%d %H:%M} has no zone; give it one")
    if reading.at > now:
        raise InvalidObservation(
            subject, f"its time {reading.at:%Y-%m-%d %H:%M %Z} has not come; check the clock"
        )
    if reading.contrast is not None:
        _check_contrast(reading.contrast, subject, reading.rows)
    return replace(reading, value=float(reading.value), rows=int(reading.rows), at=check_time(reading.at))


def _check_contrast(contrast: Contrast, subject: str, rows: int) -> None:
    counts = contrast.champion_only, contrast.target_only
    if min(counts) < 0 or sum(counts) > rows:
        reason = f"on {shown(counts[0])} and {shown(counts[1])} of its {rows} rows only one of two was right"
        raise InvalidObservation(subject, reason)
    if not 0 < contrast.target <= LARGEST_NUMBER:
        raise InvalidObservation(subject, f"its target {shown(contrast.target)} is no version's number")
    if contrast.value is not None and not abs(contrast.value) <= LARGEST_VALUE:
        raise InvalidObservation(subject, f"its target's value is {shown(contrast.value)}; leave it out")
