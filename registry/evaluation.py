"""Evaluate a version: predict a dataset once, keep the predictions, and measure them by scorer name."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sklearn.metrics import get_scorer_names

from registry import schema, serving, storage
from registry.exceptions import InvalidMetric, SchemaMismatch
from registry.predictions import Predictions
from registry.tables import WHOLE, Evaluation, Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.backend import Backend
    from registry.datasets import Dataset
    from registry.tables import ModelVersion


def evaluate(
    backend: Backend,
    version: ModelVersion,
    dataset: Dataset,
    *,
    metrics: Sequence[str],
    slices: Sequence[str] = (),
) -> Evaluation:
    """Measure *version* on *dataset*, over all of it and over each value of the *slices* columns.

    An evaluation is kept by version and dataset fingerprint: what was measured before is read, and a
    further metric is computed from the stored predictions. A metric that a slice is too small for is left
    out of that slice.

    Args:
        backend: Where rows and bytes are kept.
        version: What to measure.
        dataset: The rows to measure it on.
        metrics: scikit-learn scorer names; all are higher-is-better.
        slices: Columns of *dataset*; each of their values becomes a slice such as ``origin=JFK``.

    Raises:
        SchemaMismatch: The dataset's columns, or its target, are not those of the training.
        PredictionFailed: The version does not predict these rows.
        InvalidMetric: A metric is unknown, or undefined on these rows.
        InvalidDataset: There is no column to slice by.
    """
    masks = {name: mask for column in slices for name, mask in dataset.slices(column).items()}
    stored = backend.rows.evaluation(version, dataset.fingerprint)
    known = {(metric.slice, metric.name) for metric in stored.measurements} if stored else set()
    wanted = [pair for pair in product([WHOLE, *masks], metrics) if pair not in known]
    if stored is not None and not wanted:
        return stored
    predictions = predict(backend, version, dataset) if stored is None else predictions_of(backend, stored)
    parts = {WHOLE: predictions} | {name: predictions.select(mask) for name, mask in masks.items()}
    measured = [(name, metric, _measure(parts[name], name, metric)) for name, metric in wanted]

    def keep() -> Evaluation:
        evaluation = stored or _evaluation(backend, version, dataset, predictions)
        rows = [
            Metric(**evaluation.identity, slice=name, name=metric, value=value, rows=len(parts[name]))
            for name, metric, value in measured
            if value is not None
        ]
        return backend.rows.append_evaluation(evaluation, rows, dataset.record())

    return storage.persistently(keep)


def predict(backend: Backend, version: ModelVersion, dataset: Dataset) -> Predictions:
    """What *version* answers to every row of *dataset*; nothing is kept.

    Raises:
        SchemaMismatch: The dataset's columns, or its target, are not those of the training.
        PredictionFailed: The version does not predict these rows.
    """
    target = version.trained_on and backend.rows.dataset(version.trained_on).target
    if target is not None and str(dataset.target) != target:
        difference = f"the target of dataset {dataset.name!r} is {dataset.target!r}, it predicts {target!r}"
        raise SchemaMismatch(version.reference, difference)
    features = schema.select(dataset.features, version.input_schema, version.reference)
    return Predictions.of(serving.load(backend, version).estimator, features, dataset.labels)


def predictions_of(backend: Backend, evaluation: Evaluation) -> Predictions:
    """What the version answered on every row when it was evaluated.

    Raises:
        ArtifactMissing: The stored predictions are gone.
        ArtifactCorrupted: They are not the ones that were written.
        InvalidDataset: They are none, or not one for each row.
    """
    with TemporaryDirectory(prefix="registry-") as folder:
        path = Path(folder, evaluation.predictions)
        storage.fetch(backend, evaluation.predictions, path)
        return Predictions.read(path, evaluation.rows)


def _measure(predictions: Predictions, slice_name: str, metric: str) -> float | None:
    try:
        return predictions.score(metric)
    except InvalidMetric:
        if slice_name == WHOLE or metric not in get_scorer_names():
            raise
        return None  # a slice may be too small for the metric, such as one class for a ROC AUC


def _evaluation(
    backend: Backend, version: ModelVersion, dataset: Dataset, predictions: Predictions
) -> Evaluation:
    with TemporaryDirectory(prefix="registry-") as folder:
        path = Path(folder, "predictions")
        predictions.write(path)
        digest = storage.put(backend, path)
    return Evaluation(
        model=version.model,
        number=version.number,
        dataset=dataset.fingerprint,
        rows=dataset.rows,
        predictions=digest,
        flow_run_id=backend.rows.origin.flow_run_id,
        evaluated_by=backend.rows.origin.actor,
        evaluated_at=backend.rows.clock(),
    )
