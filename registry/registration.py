"""Register a fitted estimator, or a folder, as the next version of a model, exactly once."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from registry import lineage, schema, signing, storage
from registry.limits import brief, check_line, check_parameters
from registry.references import check_model_name
from registry.submissions import Submission, check_same_request
from registry.tables import ModelVersion, canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.backend import Backend
    from registry.contents import Content
    from registry.datasets import Dataset
    from registry.signing.policy import Sign


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What someone wants registered.

    Attributes:
        model: The model's name; the first registration makes the model.
        content: What the version is made of.
        trained_on: The rows that it was fitted on; None of a folder of which nobody says.
        params: Parameters to remember; JSON values, and NumPy's numbers, which searches draw.
        key: Names this request. A retry with the same key gets the version that the first attempt made.
    """

    model: str
    content: Content
    trained_on: Dataset | None
    params: dict[str, Any] = field(default_factory=dict)
    key: str | None = None


def register(backend: Backend, candidate: Candidate) -> ModelVersion:
    """The version of the *candidate*: the one that an identical training has, or its key, or a new one.

    The training goes before the key, so that reruns of a flow that registers several estimators at once
    find each its own. The key is for trainings that come out different each time.

    The bytes are stored before the row is, and the row only after the estimator came back from its bytes
    with equal predictions, so a crash leaves bytes to collect and never a version that does not load.

    Raises:
        InvalidName: The model, or the key, can't be called so.
        InvalidParameters: The parameters have no JSON form, or are too much of it.
        KeyConflict: The key was used for other training data or parameters.
        NotSerializable: The estimator does not survive saving and loading.
        UntrustedType: The estimator holds a type that the registry does not trust.
        PredictionFailed: The estimator does not predict, or answers with what has no JSON form.
        InvalidDataset: The first rows have no JSON form from which the estimator could predict.
        InvalidFolder: The folder can't be a version.
        KeyUnusable: A key is configured that can't sign it.
    """
    candidate = _checked(candidate)
    sign = signing.signer(backend)  # first, so that a key that can't be read leaves no bytes
    return storage.persistently(lambda: _register(backend, candidate, sign))


def _register(backend: Backend, candidate: Candidate, sign: Sign | None) -> ModelVersion:
    data = "" if candidate.trained_on is None else candidate.trained_on.fingerprint
    request = _digest(data, canonical_json(candidate.params))
    rows, model, key = backend.rows, candidate.model, candidate.key
    answered = None if key is None else rows.registered_as(model, key)
    if answered is not None:
        check_same_request(answered, request)
    with TemporaryDirectory(prefix="registry-") as folder:
        fitted = candidate.content.fingerprint(Path(folder))
        version = rows.trained_alike(model, _digest(fitted, data))
        if version is None and answered is not None:
            return rows.version(model, answered.number)
        files: Mapping[str, str] = {}
        if version is None:
            version, files = _stored(backend, candidate, fitted, Path(folder))
        submission = Submission(
            version=version,
            trained_on=None if candidate.trained_on is None else candidate.trained_on.record(),
            request=request,
            key=key,
            files=files,
            sign=sign,
        )
        return rows.append_version(submission)


def _checked(candidate: Candidate) -> Candidate:
    """Refuse what can't be written down; return the candidate with its parameters as they will be read."""
    check_model_name(candidate.model)
    if candidate.key is not None:
        check_line("key", candidate.key)
    return replace(candidate, params=check_parameters(candidate.params, _number))


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{brief(repr(value))} is a {type(value).__name__}")


def _stored(
    backend: Backend, candidate: Candidate, fitted: str, folder: Path
) -> tuple[ModelVersion, Mapping[str, str]]:
    """The version's row, whose bytes are stored by then, and the digests of its files if it has many."""
    rows, trained_on = backend.rows, candidate.trained_on
    with ThreadPoolExecutor(1) as beside:  # git takes nearly as long as the proof does
        looked = beside.submit(lineage.code_in, Path())
        said = candidate.content.columns(backend, trained_on, folder)
    code = looked.result()
    put = candidate.content.put(backend, folder)  # last, so that whatever is refused leaves no bytes
    version = ModelVersion(
        model=candidate.model,
        number=0,  # the store numbers and seals it
        training=_digest(fitted, "" if trained_on is None else trained_on.fingerprint),
        fitted=fitted,
        artifact=put.artifact,
        artifact_bytes=put.size,
        trained_on=None if trained_on is None else trained_on.fingerprint,
        params=candidate.params,
        input_schema=[] if trained_on is None else schema.describe(trained_on.features),
        git_commit=code.commit,
        git_dirty=code.dirty,
        flow_run_id=rows.origin.flow_run_id,
        task_run_id=rows.origin.task_run_id,
        registered_by=rows.origin.actor,
        registered_at=rows.clock(),
        **said,
    )
    return version, put.files


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
