"""Compare two versions: let both answer the same rows, and measure the one against the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import evaluation
from registry.contest import Contest
from registry.evidence import Comparison
from registry.exceptions import TrainingDataAsEvidence
from registry.policy import check_confidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.backend import Backend
    from registry.datasets import Dataset
    from registry.predictions import Predictions
    from registry.tables import ModelVersion


def compare(
    backend: Backend,
    contenders: tuple[ModelVersion, ModelVersion],
    dataset: Dataset,
    *,
    metrics: Sequence[str],
    confidence: float = 0.95,
) -> Comparison:
    """Measure the first of the *contenders* against the second on the same rows; nothing is decided.

    Raises:
        InvalidPolicy: No bound has this confidence.
        TrainingDataAsEvidence: One of them was trained on these rows.
        InvalidMetric: A metric is unknown, or undefined on these rows.
    """
    challenger, champion = contenders
    alpha = 1 - check_confidence(confidence)
    refuse_training_data(contenders, dataset)
    contest = contest_on(backend, contenders, dataset, metrics=metrics)
    return Comparison(
        challenger=challenger.reference,
        champion=champion.reference,
        dataset=dataset.fingerprint,
        dataset_name=dataset.name,
        confidence=confidence,
        results=[contest.measure(metric, alpha) for metric in metrics],
    )


def refuse_training_data(contenders: Iterable[ModelVersion | None], dataset: Dataset) -> None:
    """Raise TrainingDataAsEvidence if one of the *contenders* was trained on the *dataset*."""
    for version in contenders:
        if version is not None and version.trained_on == dataset.fingerprint:
            raise TrainingDataAsEvidence(version.reference, dataset.name)


def contest_on(
    backend: Backend,
    contenders: tuple[ModelVersion, ModelVersion | None],
    dataset: Dataset,
    *,
    metrics: Sequence[str],
    slices: Sequence[str] = (),
) -> Contest:
    """What the contenders, the second of which may be None, answer on every row; measured if not yet.

    Raises:
        SchemaMismatch: The dataset's columns are not those of a contender's training.
        PredictionFailed: A contender does not predict these rows.
        InvalidMetric: A metric is unknown, or undefined on these rows.
    """

    def answers(version: ModelVersion) -> Predictions:
        measured = evaluation.evaluate(backend, version, dataset, metrics=metrics, slices=slices)
        return evaluation.predictions_of(backend, measured)

    challenger, champion = contenders
    return Contest(
        challenger=answers(challenger),
        champion=None if champion is None else answers(champion),
        slices={column: dataset.slices(column) for column in slices},
    )
