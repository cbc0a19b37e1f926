"""Register a fitted estimator as the next version of a model, exactly once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from registry import lineage, schema, serialization
from registry.exceptions import InvalidDataset, InvalidName, InvalidParameters, PredictionFailed
from registry.references import check_model_name
from registry.store import check_same_request
from registry.tables import ModelVersion, canonical_json

if TYPE_CHECKING:
    import pandas as pd

    from registry.backend import Backend
    from registry.datasets import Dataset

LONGEST_KEY = 256
_COMPARED_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What someone wants registered.

    Attributes:
        model: The model's name; the first registration makes the model.
        estimator: The fitted estimator.
        trained_on: The rows that it was fitted on.
        params: Parameters to remember; JSON values, and NumPy's numbers, which searches draw.
        key: Names this request. A retry with the same key gets the version that the first attempt made.
    """

    model: str
    estimator: Any
    trained_on: Dataset
    params: dict[str, Any] = field(default_factory=dict)
    key: str | None = None


def register(backend: Backend, candidate: Candidate) -> ModelVersion:
    """The version of the *candidate*: the one that an identical training has, or its key, or a new one.

    The training goes before the key, so that reruns of a flow that registers several estimators at once
    find each its own. The key is for trainings that come out different each time.

    The bytes are stored before the row is, and the row only after the estimator came back from its bytes
    with equal predictions, so a crash leaves bytes to collect and never a version that does not load.

    Raises:
        InvalidName: The model can't be called so.
        InvalidParameters: The parameters have no JSON form.
        KeyConflict: The key was used for other training data or parameters.
        NotSerializable: The estimator does not survive saving and loading.
        UntrustedType: The estimator holds a type that the registry does not trust.
        PredictionFailed: The estimator does not predict, or answers with what has no JSON form.
        InvalidDataset: The first rows have no JSON form from which the estimator could predict.
    """
    candidate = _checked(candidate)
    request = _digest(candidate.trained_on.fingerprint, canonical_json(candidate.params))
    rows, model, key = backend.rows, candidate.model, candidate.key
    answered = None if key is None else rows.registered_as(model, key)
    if answered is not None:
        check_same_request(answered, request)
    fitted = serialization.fingerprint(candidate.estimator)
    training = _digest(fitted, candidate.trained_on.fingerprint)
    version = rows.trained_alike(model, training)
    if version is None and answered is not None:
        return rows.version(model, answered.number)
    version = version or _stored(backend, candidate, training, fitted)
    return rows.append_version(version, candidate.trained_on.record(), key, request)


def _checked(candidate: Candidate) -> Candidate:
    """Refuse what can't be written down; return the candidate with its parameters as they will be read."""
    check_model_name(candidate.model)
    key = candidate.key
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise InvalidName("key", key[:40], f"use 1 to {LONGEST_KEY} printable characters")
    try:
        text = canonical_json(json.loads(json.dumps(candidate.params, default=_number)))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParameters(str(error)) from error
    return replace(candidate, params=json.loads(text))


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _stored(backend: Backend, candidate: Candidate, training: str, fitted: str) -> ModelVersion:
    features, rows = candidate.trained_on.features, backend.rows
    trusted = [trusted.name for trusted in rows.trusted_types()]
    code = lineage.code_in(Path())
    with TemporaryDirectory(prefix="registry-") as folder:
        path = Path(folder, "estimator")
        restored = serialization.round_trip(
            candidate.estimator, features.head(_COMPARED_ROWS), path, trusted=trusted
        )
        return ModelVersion(
            model=candidate.model,
            number=0,  # the store numbers it
            training=training,
            fitted=fitted,
            serialization=serialization.FORMAT,
            estimator=serialization.type_name(candidate.estimator),
            trained_on=candidate.trained_on.fingerprint,
            params=candidate.params,
            input_schema=schema.describe(features),
            input_example=_example(restored, candidate.trained_on),
            environment=lineage.environment(candidate.estimator),
            git_commit=code.commit,
            git_dirty=code.dirty,
            flow_run_id=rows.origin.flow_run_id,
            task_run_id=rows.origin.task_run_id,
            registered_by=rows.origin.actor,
            registered_at=rows.clock(),
            artifact_bytes=path.stat().st_size,
            artifact=backend.artifacts.write(path),  # last, so that whatever is refused leaves no bytes
        )


def _example(estimator: Any, trained_on: Dataset) -> dict[str, Any]:
    """A few rows and what the estimator says of them, by which a rollback proves its target.

    The estimator is asked about the rows as they come back from JSON, which is how a rollback asks it.
    """
    rows, subject = schema.example_of(trained_on.features), serialization.type_name(estimator)
    try:
        predictions = np.asarray(estimator.predict(_written_down(rows, trained_on, subject))).tolist()
    except Exception as error:  # it predicted these rows a moment ago, so the columns are to blame
        reason = (
            f"its first rows do not survive JSON ({error}); use numbers, text, booleans, times, categories"
        )
        raise InvalidDataset(trained_on.name, reason) from error
    try:
        canonical_json(predictions).encode()
    except (TypeError, ValueError):
        raise PredictionFailed(subject, f"it answers {predictions}, which is not plain and finite") from None
    return {"rows": rows, "predictions": predictions}


def _written_down(rows: list[list[Any]], trained_on: Dataset, subject: str) -> pd.DataFrame:
    columns = schema.describe(trained_on.features)
    canonical_json([columns, rows]).encode()
    return schema.select(schema.restore_example(rows, columns), columns, subject)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
