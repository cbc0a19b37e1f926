"""The way back to MLflow: a version's files, each of which has proven to be the one that was registered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

from mlflow.entities import FileInfo
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from registry import contents, signing, storage
from registry.folders import FORMAT as FOLDER
from registry.mlflow import pyfunc
from registry.mlflow.errors import refused, told
from registry.mlflow.locations import Place, configured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class _File:
    """A file of a version: its size in bytes, and how it gets to a path."""

    size: int
    fetch: Callable[[Path], None]


class VersionArtifacts(ArtifactRepository):
    """The files of one version, for reading. Their digests, and who vouches for the version, are checked.

    A folder is the folder that was registered; an estimator of our own is an MLflow model that loads it.

    Args:
        artifact_uri: What the registry's store gave as the version's download URI.
        tracking_uri: Not needed.
        registry_uri: Which registry; by default the one that MLflow is set to, else the settings'.
    """

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._registry_uri = registry_uri

    @cached_property
    def _files(self) -> Mapping[str, _File]:
        with told():
            backend = configured(self._registry_uri)
            version = Place.parse(self.artifact_uri).version_in(backend)
            signing.vouch(backend, version)
            if version.serialization != FOLDER:
                texts = pyfunc.described(version)
                return {name: _text(content) for name, content in texts.items()}
            files = contents.manifest(backend, version).files

            def fetched(digest: str) -> Callable[[Path], None]:
                return lambda path: storage.fetch(backend, digest, path)

            return {file.path: _File(file.size, fetched(file.digest)) for file in files}

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """The files and folders directly below *path*."""
        above = PurePosixPath(path or ".")
        found: dict[str, FileInfo] = {}
        for name, file in self._files.items():
            inside = PurePosixPath(name)
            if inside == above or not inside.is_relative_to(above):
                continue
            first, *rest = inside.relative_to(above).parts
            child = str(above / first)
            found[child] = FileInfo(child, bool(rest), None if rest else file.size)
        return [found[name] for name in sorted(found)]

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        file = self._files.get(str(PurePosixPath(remote_file_path)))
        if file is None:
            name = f"{self.artifact_uri} has no file {remote_file_path!r}"
            raise refused(name, RESOURCE_DOES_NOT_EXIST)
        # a file appears at its path by a rename within its folder, and only once it has proven right
        with told(), TemporaryDirectory(prefix="registry-", dir=Path(local_path).parent) as scratch:
            fetched = Path(scratch, "file")
            file.fetch(fetched)
            fetched.replace(local_path)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse: a version is what it was when it was registered."""
        raise refused(_FIXED)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse: a version is what it was when it was registered."""
        raise refused(_FIXED)

    def delete_artifacts(self, artifact_path: str | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse: bytes go by `registry gc`."""
        raise refused(_FIXED)


_FIXED = "The files of a registered version don't change: register another version"


def _text(content: str) -> _File:
    written = content.encode()

    def write(path: Path) -> None:
        path.write_bytes(written)

    return _File(len(written), write)
