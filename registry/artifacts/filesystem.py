"""Artifacts in a folder: ``<root>/sha256/<digest>``, read-only files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from registry.artifacts.content import (
    UNFINISHED,
    copied,
    durable,
    hashed,
    is_digest,
    proven,
    receive,
    require_digest,
    unfinished,
)
from registry.artifacts.protocol import ArtifactStore, StoredArtifact
from registry.exceptions import ArtifactMissing, ArtifactStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READ_ONLY = 0o444
_NOT_A_FOLDER = "a file stands where a folder is needed: name another folder"
_FULL = "there is no room for the file: free some space, or raise the quota"
_FORBIDDEN = "this user may not use it: grant the right to read and write, or name another folder"
_REASONS = {
    errno.ENOTDIR: _NOT_A_FOLDER,
    errno.EEXIST: _NOT_A_FOLDER,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: "its file system is mounted read-only: remount it, or name another folder",
}


class FolderArtifactStore(ArtifactStore):
    """Keeps artifacts in a folder, which is made when the first is written."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._folder = self._root / "sha256"

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    @contextmanager
    def stage(self, source: Path) -> Iterator[StagedFile]:
        """Copy and hash in one pass; bytes that are here already will be replaced, which heals them."""
        with ExitStack() as copying:
            with source.open("rb") as file, self._translated():
                _make_durable_folder(self._folder)
                path, target = copying.enter_context(unfinished(self._folder))
                digest = hashed(durable(copied(file, target), target), target)
                path.chmod(_READ_ONLY)
            yield StagedFile(self, path, digest, target.tell())

    def adopt(self, staged: Path, digest: str) -> None:
        """Let the file *staged* in this folder stand under its *digest*."""
        with self._translated():
            staged.replace(self._folder / digest)
            _sync_folder(self._folder)

    def fetch(self, digest: str, destination: Path) -> None:
        """Copy the file beside *destination* and check it there."""
        with self._open(digest) as source:
            receive(source, destination, digest=digest, location=self.location)

    def check(self, digest: str) -> int:
        """Read the file."""
        with self._open(digest) as source:
            return proven(source, digest=digest, location=self.location)

    def exists(self, digest: str) -> bool:
        """Look for the file."""
        with self._translated(), suppress(FileNotFoundError):
            self._path(digest).stat()
            return True
        return False

    def remove(self, digest: str) -> None:
        """Unlink the file."""
        with self._translated():
            self._path(digest).unlink(missing_ok=True)

    def stored(self) -> Iterator[StoredArtifact]:
        """List the folder; a file that is removed meanwhile may be left out."""
        for path, status in self._files():
            if is_digest(path.name):
                yield StoredArtifact(path.name, status.st_size, _modified(status))

    def sweep(self, before: datetime) -> None:
        """Unlink temporary files to which nothing was written since *before*."""
        for path, status in self._files():
            if path.suffix == UNFINISHED and _modified(status) < before:
                path.unlink(missing_ok=True)

    def disconnect(self) -> None:
        """Nothing lies open."""

    def _open(self, digest: str) -> BinaryIO:
        path = self._path(digest)
        try:
            with self._translated():
                return path.open("rb")
        except FileNotFoundError as error:
            raise ArtifactMissing(digest, self.location) from error

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        with self._translated(), suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                with suppress(FileNotFoundError):
                    yield path, path.stat()

    def _path(self, digest: str) -> Path:
        return self._folder / require_digest(digest, self.location)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if reason := _REASONS.get(error.errno or 0):
                raise ArtifactStoreUnavailable(self.location, reason) from error
            raise


@dataclass(frozen=True)
class StagedFile:
    """A copy beside the artifacts, whole and on the disk, under a name of its own.

    Attributes:
        store: Whose folder it is in.
        path: The copy.
        digest: The SHA-256 of its bytes.
        size: How many bytes it has.
    """

    store: FolderArtifactStore
    path: Path
    digest: str
    size: int

    def publish(self) -> None:
        """Rename it, and make sure that the name survives a power cut."""
        self.store.adopt(self.path, self.digest)


def _modified(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _make_durable_folder(folder: Path) -> None:
    new = [level for level in (folder, *folder.parents) if not level.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for level in new:
        _sync_folder(level.parent)


def _sync_folder(folder: Path) -> None:
    """A new name survives a power cut only once its folder is on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
