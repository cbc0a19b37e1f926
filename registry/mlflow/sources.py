"""What MLflow calls the source of a version: read from wherever it is, and taken into the artifact store.

A version whose bytes are not taken, because the operator says so, or because a prompt has none, keeps a
*reference*: a small artifact that says where they are. Nothing checks what MLflow finds there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import mlflow
import yaml
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.store.artifact.utils.models import _parse_model_uri
from mlflow.tracking import MlflowClient
from sqlmodel import col, select

from registry import lineage, signing, storage
from registry.contents import Folder, Put
from registry.database import reading
from registry.exceptions import InvalidName, NumberTaken, RegistryError
from registry.limits import MOST_TAGS, check_text
from registry.mlflow.errors import refused
from registry.references import Reference
from registry.settings import RegistrySettings
from registry.submissions import Submission
from registry.tables import (
    ArtifactFile,
    ModelVersion,
    VersionDeletion,
    VersionProfile,
    VersionSource,
    canonical_json,
)
from registry.tags import Tags, check_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlmodel import SQLModel

    from registry.backend import Backend

REFERENCE = "reference"
"""What a version without bytes of its own has as its serialization."""

_KIND = "prefect-model-registry/reference/1"
_SERVER = "_MLFLOW_SERVER_FILE_STORE"  # set in the processes of ``mlflow server``
_LARGEST_MLMODEL = 2**20  # bytes, before anything is parsed


@dataclass(frozen=True, kw_only=True)
class Told:
    """What MLflow says of a version that is to be created.

    Attributes:
        model: The name of the registered model.
        source: Where its bytes are, a URI or a path.
        local: Where they are on this machine, if they are.
        tags: Notes, by key.
        metrics: What the run that made it measured.
        stage: "None" or "Archived".
        training: What makes the version the same as an earlier one; by default nothing does.
        number: The number that it has to get; None for any.
        registered_at: When it was, if not now.
        deleted: Why it is there no more, for a number that has to be passed over.
    """

    model: str
    source: str
    run_id: str | None = None
    run_link: str | None = None
    model_id: str | None = None
    description: str | None = None
    local: Path | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    stage: str = "None"
    training: str = field(default_factory=lambda: uuid4().hex)
    number: int | None = None
    registered_at: datetime | None = None
    deleted: str | None = None


def told(*, local: str | None, **said: Any) -> Told:
    """What MLflow says of a version, with the run and the logged model that it does not say."""
    source = Told(local=None if local is None else Path(local), **said)
    model_id = source.model_id or _logged_model(source.source)
    if source.run_id or model_id is None:
        return replace(source, run_id=source.run_id or None, model_id=model_id)
    try:
        return replace(source, run_id=_tracking().get_logged_model(model_id).source_run_id, model_id=model_id)
    except MlflowException as error:
        raise _unreadable(source.source, error) from error


def take(backend: Backend, told: Told) -> ModelVersion:
    """Register what is *told*, with the bytes of its source.

    Raises:
        ModelNotFound: There is no such model.
        InvalidName: A tag, or a text, can't be kept.
        InvalidFolder: The source has a link, too many files or a name that other systems lack.
        MlflowException: The source can't be read.
    """
    copied = _registered(backend, told.source)
    if copied is not None:
        return copy(backend, told, copied)
    return keep(backend, told) if takes_bytes(told) else refer(backend, told)


def keep(backend: Backend, told: Told) -> ModelVersion:
    """Register what is *told* with the bytes of its source, wherever MLflow finds them; see ``take``."""
    with _found(told) as folder:
        content = Folder(folder)
        with TemporaryDirectory(prefix="registry-") as scratch:
            return storage.persistently(
                lambda: _append(backend, told, content.put(backend, Path(scratch)), _described(folder))
            )


def refer(backend: Backend, told: Told) -> ModelVersion:
    """Register what is *told* without bytes: the version says where they are."""
    with TemporaryDirectory(prefix="registry-") as scratch:
        path = Path(scratch, "reference")
        path.write_text(canonical_json({"kind": _KIND, "uri": told.source}), encoding="utf-8")
        size = path.stat().st_size
        columns = {"serialization": REFERENCE, "estimator": REFERENCE}
        return storage.persistently(
            lambda: _append(backend, told, Put(storage.put(backend, path), size, {}), columns)
        )


def copy(backend: Backend, told: Told, original: ModelVersion) -> ModelVersion:
    """Register the same bytes as those of *original*, which may be deleted later: bytes know no model."""
    listed = select(ArtifactFile).where(col(ArtifactFile.manifest) == original.artifact)
    with reading(backend.rows.engine) as session:
        files = {row.path: row.digest for row in session.exec(listed)}
    names = ("fitted", "serialization", "estimator", "trained_on", "params", "input_schema", "input_example")
    kept = {name: getattr(original, name) for name in (*names, "environment", "git_commit", "git_dirty")}
    return _append(backend, told, Put(original.artifact, original.artifact_bytes, files), kept)


def takes_bytes(told: Told) -> bool:
    """Whether the version is to have bytes of its own."""
    if told.tags.get(IS_PROMPT_TAG_KEY, "").lower() == "true":
        return False
    way = RegistrySettings().mlflow_sources
    if way not in {"copy", "refer"}:
        raise InvalidName("MODEL_REGISTRY_MLFLOW_SOURCES", way, "write copy or refer")
    return way == "copy"


# Rows


def _append(backend: Backend, told: Told, put: Put, columns: Mapping[str, Any]) -> ModelVersion:
    _check(told)
    rows = backend.rows
    rows.lease({put.artifact: put.size})
    row: dict[str, Any] = {
        "model": told.model,
        "number": 0,  # the store numbers and seals it
        "training": training_of(told),
        "fitted": put.artifact,
        "artifact": put.artifact,
        "artifact_bytes": put.size,
        "params": {},
        "input_schema": [],
        "input_example": {"rows": [], "predictions": None},
        "environment": lineage.environment(None),
        "flow_run_id": rows.origin.flow_run_id,
        "task_run_id": rows.origin.task_run_id,
        "registered_by": rows.origin.actor,
        "registered_at": told.registered_at or rows.clock(),
    }
    submission = Submission(
        version=ModelVersion(**row | dict(columns)),
        trained_on=None,
        request=_digest(told.source),
        files=put.files,
        sign=signing.signer(backend),
        notes=lambda version: _notes(backend, told, version),
    )
    return rows.append_version(submission)


def _notes(backend: Backend, told: Told, version: ModelVersion) -> Iterator[SQLModel]:
    if told.number not in {None, version.number}:
        raise NumberTaken(version.reference, int(told.number or 0))
    key: dict[str, Any] = {"model": version.model, "number": version.number}
    by = backend.rows.origin.actor
    yield VersionSource(
        **key,
        uri=told.source,
        run_id=told.run_id,
        run_link=told.run_link,
        model_id=told.model_id,
        metrics=dict(told.metrics),
    )
    if told.description or told.stage != "None":
        at = version.registered_at
        said = {"description": told.description or "", "stage": told.stage}
        yield VersionProfile(**key | said, changed_by=by, changed_at=at)
    for name, value in told.tags.items():
        yield Tags(backend.rows).row(version, name, value)
    if told.deleted is not None:
        yield VersionDeletion(**key, reason=told.deleted, deleted_by=by, deleted_at=backend.rows.clock())


def _check(told: Told) -> None:
    check_text("source", told.source)
    check_text("description", told.description or "")
    for name, value in told.tags.items():
        check_tag(name, value)
    if len(told.tags) > MOST_TAGS:
        rule = f"a version can have {MOST_TAGS}, and this one would have {len(told.tags)}"
        raise InvalidName("tag", ", ".join(told.tags)[:40], rule)


def training_of(told: Told) -> str:
    """What the row of the version has as its training: the same for the same thing, if that is *told*."""
    return _digest(told.training)


def _digest(text: str) -> str:
    return hashlib.sha256(f"mlflow\n{text}".encode()).hexdigest()


# Bytes


def _registered(backend: Backend, source: str) -> ModelVersion | None:
    """The version of this registry that a source such as ``models:/churn/7`` names; None if it names none."""
    if urlsplit(source).scheme != "models" or _logged_model(source) is not None:
        return None
    named = _parse_model_uri(source)
    selector = int(named.version) if named.version else named.alias
    if selector is None or named.name is None:
        raise refused(
            f"{source!r} can't be copied: name a version or an alias, models:/NAME/7 or models:/NAME@alias"
        )
    return backend.rows.resolve(Reference(named.name, selector))


def _logged_model(source: str) -> str | None:
    """The id of MLflow's logged model that a source such as ``models:/m-1f…`` names."""
    return _parse_model_uri(source).model_id if urlsplit(source).scheme == "models" else None


@contextmanager
def _found(told: Told) -> Iterator[Path]:
    """A folder with the bytes of a source; a source that is a file is a folder of that file."""
    with TemporaryDirectory(prefix="registry-") as scratch:
        path = told.local if told.local is not None and told.local.is_dir() else None
        try:
            path = path or _local(told.source) or _downloaded(told.source, scratch)
        except RegistryError:
            raise
        except Exception as error:  # whatever the store of some cloud raises
            raise _unreadable(told.source, error) from error
        if path.is_file():
            folder = Path(scratch, "alone")
            folder.mkdir()
            shutil.copyfile(path, folder / path.name)
            path = folder
        yield path


def _local(source: str) -> Path | None:
    if not source.strip():
        raise FileNotFoundError("it is empty")
    parts = urlsplit(source)
    if parts.scheme not in {"", "file"}:
        return None
    path = Path(unquote(parts.path) if parts.scheme else source)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    return path


def _downloaded(source: str, scratch: str) -> Path:
    folder = Path(scratch, "source")
    folder.mkdir()
    if _SERVER in os.environ:
        source = _placed(source)
        if (served := _local(source)) is not None:
            return served
        if urlsplit(source).scheme == "mlflow-artifacts":
            from mlflow.server.handlers import _get_artifact_repo_mlflow_artifacts  # noqa: PLC0415, in a server

            inside = unquote(urlsplit(source).path).lstrip("/")
            return Path(_get_artifact_repo_mlflow_artifacts().download_artifacts(inside, str(folder)))
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(folder)))


def _placed(source: str) -> str:
    """Where a server that has no tracking server but itself finds a source of MLflow's own schemes."""
    parts = urlsplit(source)
    if (model_id := _logged_model(source)) is not None:
        return str(_tracking().get_logged_model(model_id).artifact_location)
    if parts.scheme == "runs":
        run_id, _, path = parts.path.lstrip("/").partition("/")
        return f"{_tracking().get_run(run_id).info.artifact_uri}/{path}"
    return source


def _tracking() -> Any:
    """Who knows runs and logged models: in a server, its own store."""
    if _SERVER in os.environ:
        from mlflow.server.handlers import _get_tracking_store  # noqa: PLC0415, in a server

        return _get_tracking_store()
    return MlflowClient()


def _unreadable(source: str, error: Exception) -> MlflowException:
    return refused(
        f"The bytes of {source!r} can't be read ({error}), so no version was registered: correct the source,"
        " or set MODEL_REGISTRY_MLFLOW_SOURCES=refer to register sources that nobody looks at"
    )


def _described(folder: Path) -> dict[str, str]:
    """What the row says of a folder: MLflow's loader if it is a model of MLflow's."""
    path = folder / "MLmodel"
    estimator = "folder"
    if path.is_file() and path.stat().st_size <= _LARGEST_MLMODEL:
        try:
            loader = yaml.safe_load(path.read_bytes())["flavors"]["python_function"]["loader_module"]
            estimator = check_text("name", str(loader))
        except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError, InvalidName):
            pass  # it is a folder of files all the same
    return {"serialization": "folder", "estimator": estimator}
