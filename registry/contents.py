"""What a version can be made of: a fitted estimator, or a folder of any framework's files."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np

from registry import lineage, schema, serialization, signing, storage
from registry.artifacts.content import UNFINISHED
from registry.exceptions import InvalidDataset, InvalidFolder, PredictionFailed
from registry.folders import FORMAT as FOLDER
from registry.folders import LARGEST_MANIFEST, File, Manifest, files_in
from registry.tables import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from registry.backend import Backend
    from registry.datasets import Dataset
    from registry.signing import Verify
    from registry.tables import ModelVersion

_COMPARED_ROWS = 1000


@dataclass(frozen=True)
class Put:
    """Bytes that are in the store: their digest and size, and of a folder each file's digest, by path."""

    artifact: str
    size: int
    files: Mapping[str, str]


class Content(Protocol):
    """Something that can be registered."""

    def fingerprint(self, folder: Path) -> str:
        """What it is known by, whatever its bytes look like this time: a SHA-256.

        These bytes it may leave in *folder*, which is empty, for the steps after this one.
        """

    def columns(self, backend: Backend, trained_on: Dataset | None, folder: Path) -> dict[str, Any]:
        """What the version's row says of it."""

    def put(self, backend: Backend, folder: Path) -> Put:
        """Store its bytes."""


@dataclass(frozen=True)
class Estimator:
    """A fitted estimator, which has to come back from its bytes with the same predictions.

    Attributes:
        fitted: The estimator.
        serialization: The format to keep it in, one of ``serialization.FORMATS``.
    """

    fitted: Any
    serialization: str = serialization.FORMAT

    def fingerprint(self, folder: Path) -> str:
        """The digest of what was fitted; see ``serialization.fingerprint``.

        Raises:
            InvalidName: There is no such format.
            NotSerializable: The format can't express the estimator, or is not installed.
        """
        kept_as = serialization.check_format(self.serialization)
        serialization.dump(self.fitted, folder / "estimator", kept_as)
        return serialization.fingerprint(folder / "estimator", kept_as)

    def columns(self, backend: Backend, trained_on: Dataset | None, folder: Path) -> dict[str, Any]:
        """Its class, its libraries, and a few rows with what it says of them.

        Raises:
            NotSerializable: It does not survive saving and loading.
            UntrustedType: It holds a type that the registry does not trust.
            PickleNotAllowed: The operator does not allow its format.
            PredictionFailed: It does not predict, or answers with what has no JSON form.
            InvalidDataset: The first rows have no JSON form from which it could predict.
        """
        if trained_on is None:
            raise InvalidDataset("none", "an estimator is registered with the rows that it was fitted on")
        terms = serialization.Terms(
            serialization=self.serialization,
            trusted=[trusted.name for trusted in backend.rows.trusted_types()],
            consent=backend.consent,
        )
        compared = trained_on.features.head(_COMPARED_ROWS)
        restored = serialization.round_trip(self.fitted, compared, folder / "estimator", terms)
        return {
            "serialization": self.serialization,
            "estimator": serialization.type_name(self.fitted),
            "environment": lineage.environment(self.fitted),
            "input_example": _answered(restored, trained_on),
        }

    def put(self, backend: Backend, folder: Path) -> Put:
        """Store the file that was written to be compared."""
        path = folder / "estimator"
        return Put(storage.put(backend, path), path.stat().st_size, {})


@dataclass(frozen=True)
class Folder:
    """A folder of files, which no step opens: whoever fetches it knows what it is.

    Attributes:
        path: The folder.
    """

    path: Path

    @cached_property
    def manifest(self) -> Manifest:
        """Its files as they are now.

        Raises:
            InvalidFolder: It is none, or holds a link, too many files or a name that other systems lack.
        """
        return Manifest(tuple(_file(name, path) for name, path in files_in(self.path)))

    def fingerprint(self, folder: Path) -> str:  # noqa: ARG002, its bytes are files already
        """The digest of the manifest."""
        return hashlib.sha256(self.manifest.to_bytes()).hexdigest()

    def columns(self, backend: Backend, trained_on: Dataset | None, folder: Path) -> dict[str, Any]:  # noqa: ARG002, nothing is asked of it
        """That it is a folder; a few rows without answers."""
        rows = [] if trained_on is None else _example(trained_on, FOLDER)[0]
        return {
            "serialization": FOLDER,
            "estimator": FOLDER,
            "environment": lineage.environment(None),
            "input_example": {"rows": rows, "predictions": None},
        }

    def put(self, backend: Backend, folder: Path) -> Put:
        """Store each file, and then the manifest.

        Raises:
            InvalidFolder: A file changed since the manifest was made.
        """
        for file in self.manifest.files:
            if storage.put(backend, self.path / file.path) != file.digest:
                raise InvalidFolder(str(self.path), f"{file.path} changed while it was registered; try again")
        written = folder / "manifest"
        written.write_bytes(self.manifest.to_bytes())
        digests = {file.path: file.digest for file in self.manifest.files}
        return Put(storage.put(backend, written), self.manifest.size, digests)


def fetch(backend: Backend, version: ModelVersion, destination: Path, verify: Verify | None = None) -> Path:
    """Put what was registered as *version* at *destination*: a folder if it is one, else a file.

    It appears whole, or not at all, and only once all bytes have proven to be the right ones. Nothing is
    opened or run. *verify* can ask for a signature where the operator does not; see ``signing.vouch``.

    Raises:
        FileExistsError: Something is there already.
        SignatureError: The version lacks the signature that it needs; nothing was fetched.
        ArtifactMissing: Bytes are gone.
        ArtifactCorrupted: Bytes are not the ones that were registered.
        InvalidFolder: The manifest names what could lead out of the folder.
    """
    if destination.exists() or destination.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(destination))
    signing.vouch(backend, version, verify)
    if version.serialization != FOLDER:
        storage.fetch(backend, version.artifact, destination)
        return destination
    with _unfinished(destination) as folder:
        found = manifest(backend, version)
        for file in found.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.fetch(backend, file.digest, path)
        folder.rename(destination)
    return destination


def manifest(backend: Backend, version: ModelVersion) -> Manifest:
    """The files of a *version* that is a folder.

    Raises:
        ArtifactMissing: The manifest is gone.
        ArtifactCorrupted: It is not the one that was registered; nothing of it was read.
        InvalidFolder: It names what could lead out of a folder.
    """
    with TemporaryDirectory(prefix="registry-") as folder:
        path = Path(folder, "manifest")
        storage.fetch(backend, version.artifact, path)
        if path.stat().st_size > LARGEST_MANIFEST:
            raise InvalidFolder(version.reference, f"its manifest has more than {LARGEST_MANIFEST} bytes")
        return Manifest.from_bytes(path.read_bytes())


@contextmanager
def _unfinished(destination: Path) -> Iterator[Path]:
    """A folder beside *destination* that is gone at the end of the block, unless it was renamed by then."""
    folder = destination.with_name(f".{uuid4().hex}{UNFINISHED}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _file(name: str, path: Path) -> File:
    with path.open("rb") as file:
        return File(name, os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _answered(estimator: Any, trained_on: Dataset) -> dict[str, Any]:
    """A few rows and what the estimator says of them, by which a rollback proves its target.

    The estimator is asked about the rows as they come back from JSON, which is how a rollback asks it.
    """
    subject = serialization.type_name(estimator)
    rows, asked = _example(trained_on, subject)
    try:
        predictions = np.asarray(estimator.predict(asked)).tolist()
    except Exception as error:  # it predicted these rows a moment ago, so the columns are to blame
        raise InvalidDataset(trained_on.name, _LOST.format(error)) from error
    try:
        canonical_json(predictions).encode()
    except (TypeError, ValueError):
        raise PredictionFailed(subject, f"it answers {predictions}, which is not plain and finite") from None
    return {"rows": rows, "predictions": predictions}


def _example(trained_on: Dataset, subject: str) -> tuple[list[list[Any]], pd.DataFrame]:
    """The first rows as JSON values, and the rows that are made from these again."""
    features = trained_on.features
    columns, rows = schema.describe(features), schema.example_of(features)
    try:
        canonical_json([columns, rows]).encode()
        restored = schema.restore_example(rows, columns)
        schema.select(restored, columns, subject)
    except Exception as error:  # pandas raises what it likes
        raise InvalidDataset(trained_on.name, _LOST.format(error)) from error
    return rows, restored


_LOST = "its first rows do not survive JSON ({}); use numbers, text, booleans, times, categories"
