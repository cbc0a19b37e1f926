"""Score the version in force on labelled live rows, and observe what came out.

While a version is suspect, the version to go back to answers the same rows: which of the two is right more
often tells a broken model from a changed world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry import evaluation, statistics
from registry.comparison import refuse_training_data
from registry.exceptions import (
    ArtifactCorrupted,
    ArtifactMissing,
    DataError,
    InvalidMetric,
    ModelError,
    NotVouchedFor,
)
from registry.monitoring import Subject, observe
from registry.monitoring_policy import MonitoringPolicy
from registry.observations import Reigning
from registry.references import Reference, check_alias
from registry.safeguards import candidates
from registry.suspicion import Contrast, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registry.backend import Backend
    from registry.datasets import Dataset
    from registry.predictions import Predictions
    from registry.tables import ModelVersion, Observation


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Labelled live rows, and what they are.

    Attributes:
        rows: The rows with their labels.
        key: What names the batch: one that is delivered again counts once.
        at: The batch's own time.
        metric: What to score, by a scikit-learn scorer's name.
    """

    rows: Dataset
    key: str
    at: datetime
    metric: str


def score(
    backend: Backend, alias: Reference, batch: Batch, policy: MonitoringPolicy | None = None
) -> Observation:
    """Score the version in force on *batch* and record it; while it is suspect, ask the target, too.

    A batch that was recorded before is not scored again.

    Raises:
        TrainingDataAsEvidence: The version was trained on these rows.
        SchemaMismatch: The columns are not those of the training.
        PredictionFailed: The version does not predict these rows.
        InvalidMetric: The metric is unknown, or undefined on these rows.
        InvalidObservation: The batch's key or time can't be.
        BaselineMissing: The version was never evaluated by this metric on a holdout.
        NotFound: There is no such model, or nothing is in force.
    """
    name = check_alias(str(alias.selector))
    recorded = backend.observations.of_batch(alias.model, name, batch.metric, batch.key)
    if recorded is not None:
        return recorded
    champion = backend.rows.resolve(alias)
    refuse_training_data([champion], batch.rows)
    answers = evaluation.predict(backend, champion, batch.rows)
    targets = _targets(backend, champion, name, batch.metric)
    contrast, unanswered = _first_contrast(backend, targets, batch, answers)
    reading = Reading(
        batch=batch.key,
        value=answers.score(batch.metric),
        rows=len(answers),
        at=batch.at,
        contrast=contrast,
        unanswered=unanswered,
    )
    subject = Subject(
        reference=Reference(champion.model, champion.number),
        metric=batch.metric,
        alias=name,
        policy=policy,
    )
    (observation,) = observe(backend, subject, [reading])
    return observation


def _targets(backend: Backend, champion: ModelVersion, alias: str, metric: str) -> Iterator[ModelVersion]:
    """Whom a rollback could take, the nearest first; none unless there is a suspicion."""
    newest = backend.observations.newest(champion.model, alias, metric, champion.number)
    since = backend.rows.reign(champion.model, alias).since
    if newest is None or newest.status != "suspect" or newest.since != since:
        return
    reign = Reigning(champion.model, alias, champion.number, newest.since)
    policy = MonitoringPolicy.model_validate(newest.policy)
    for number, objection in candidates(backend, reign, policy.rollback.served):
        if objection is None:
            yield backend.rows.version(champion.model, number)


def _first_contrast(
    backend: Backend, targets: Iterator[ModelVersion], batch: Batch, answers: Predictions
) -> tuple[Contrast | None, bool]:
    """What the first of the *targets* that works answers; and whether there were some, and none worked."""
    asked = False
    for target in targets:
        asked = True
        if (contrast := _contrast(backend, target, batch, answers)) is not None:
            return contrast, False
    return None, asked


def _contrast(backend: Backend, target: ModelVersion, batch: Batch, answers: Predictions) -> Contrast | None:
    """What the *target* answers to the same rows; None if it can't, or if on these rows it proves nothing."""
    try:
        refuse_training_data([target], batch.rows)
        theirs = evaluation.predict(backend, target, batch.rows)
    except (ArtifactMissing, ArtifactCorrupted, NotVouchedFor, ModelError, DataError):
        return None
    ours_only, theirs_only = statistics.wins(batch.metric, answers, theirs)
    return Contrast(
        target=target.number,
        champion_only=ours_only,
        target_only=theirs_only,
        value=_value(theirs, batch.metric),
    )


def _value(predictions: Predictions, metric: str) -> float | None:
    """The metric; None where a target has none that can still be right, such as without probabilities."""
    try:
        return predictions.score(metric)
    except InvalidMetric:
        return None
