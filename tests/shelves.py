"""Registries whose versions are rows and a few bytes each: what is kept and what goes needs no more."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from registry import Registry, storage
from registry.artifacts import FolderArtifactStore
from registry.database import reading, time_in
from registry.settings import RegistrySettings, open_backend
from registry.submissions import Submission
from registry.tables import Evaluation, ModelVersion
from tests.integration.conftest import a_dataset, a_version_row
from tests.integration.conftest import digest as digest_of

if TYPE_CHECKING:
    from datetime import datetime

    from registry.artifacts import ArtifactStore

NO_TIME = timedelta(0)


@dataclass(frozen=True)
class Place:
    """Where a registry is, for processes that each open it."""

    database: str
    artifacts: str

    def open(self, lease_time: timedelta = NO_TIME) -> Registry:
        """The registry, which leases bytes for no time at all unless it is said for how long."""
        settings = RegistrySettings(database=self.database, artifacts=self.artifacts, actor="ada")
        backend = open_backend(settings)
        return Registry.of(replace(backend, rows=replace(backend.rows, lease_time=lease_time)))


def leasing(registry: Registry, lease_time: timedelta) -> Registry:
    """The same registry, which leases bytes for so long."""
    backend = registry.backend
    return Registry.of(replace(backend, rows=replace(backend.rows, lease_time=lease_time)))


class Deadly(FolderArtifactStore):
    """Removing an artifact is the end of the process: before the bytes are gone, or right after."""

    def __init__(self, root: Path, moment: str) -> None:
        super().__init__(root)
        self._moment = moment

    def remove(self, digest: str) -> None:
        if self._moment == "after":
            super().remove(digest)
        os.kill(os.getpid(), signal.SIGKILL)


def with_artifacts(registry: Registry, artifacts: ArtifactStore) -> Registry:
    """The same registry, which keeps its bytes elsewhere."""
    return Registry.of(replace(registry.backend, artifacts=artifacts))


def deadly(registry: Registry, place: Place, moment: str) -> Registry:
    """The same registry, whose process dies at the first removal, at this *moment* of it."""
    return with_artifacts(registry, Deadly(Path(place.artifacts), moment))


def put(registry: Registry, content: str) -> str:
    """Leave bytes, leased and without a row that refers to them."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "content")
        source.write_text(content)
        return storage.put(registry.backend, source)


def append(registry: Registry, digest: str, *, model: str = "churn", **submission: Any) -> ModelVersion:
    """Append a version that refers to bytes which were put."""
    return _append(registry, {"artifact": digest}, model, **submission)


def _append(registry: Registry, columns: dict[str, Any], model: str, **submission: Any) -> ModelVersion:
    version = ModelVersion(**a_version_row(model=model) | columns)
    usual: dict[str, Any] = {"trained_on": a_dataset(), "request": digest_of("request")}
    return registry.backend.rows.append_version(Submission(version=version, **usual | submission))


def register(
    registry: Registry, content: str = "", *, model: str = "churn", old: timedelta = NO_TIME
) -> ModelVersion:
    """Append a version with bytes of its own, registered so long ago."""
    digest = put(registry, content or uuid4().hex)
    registered_at = database_time(registry) - old
    return _append(registry, {"artifact": digest, "registered_at": registered_at}, model)


def evaluate(registry: Registry, version: ModelVersion, content: str = "") -> Evaluation:
    """Append an evaluation of *version* with predictions of its own."""
    rows = a_dataset("february")
    evaluation = Evaluation(
        model=version.model,
        number=version.number,
        dataset=rows.fingerprint,
        rows=rows.rows,
        predictions=put(registry, content or uuid4().hex),
        evaluated_by="ada",
    )
    return registry.backend.rows.append_evaluation(evaluation, [], rows)


def register_folder(registry: Registry, *contents: str) -> ModelVersion:
    """Append a version whose manifest names a file of each of the *contents*."""
    files = {f"{number}.bin": put(registry, content) for number, content in enumerate(contents)}
    return append(registry, put(registry, f"the manifest of {files}"), files=files)


def database_time(registry: Registry) -> datetime:
    """What time it is by the database's clock."""
    with reading(registry.backend.rows.engine) as session:
        return time_in(session.connection())


def kept(registry: Registry) -> set[str]:
    """The digests of the bytes that are there."""
    return {stored.digest for stored in registry.backend.artifacts.stored()}


def problems(registry: Registry) -> list[str]:
    """What is wrong with the registry."""
    return [finding.problem for finding in registry.verify() if finding.problem]
