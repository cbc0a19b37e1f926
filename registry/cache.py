"""Bytes that were fetched before, kept near, under their digest, on a disk of this machine.

What stands here is believed no more than what a store gives: it is hashed whenever it is opened, and that
very file, still open, is what is read then. Nothing is lost with the folder, so what goes wrong in it stops
nobody.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from logging import getLogger
from typing import TYPE_CHECKING, BinaryIO

from registry.artifacts.content import UNFINISHED, is_digest, require_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_OWN = 0o700  # whoever could write into a file could do so between its check and its reading
_log = getLogger(__name__)


@dataclass(frozen=True)
class Cache:
    """A folder that processes of one user may share.

    Attributes:
        folder: Where the files stand, below ``sha256``; it is made when the first is kept.
        most_bytes: How much they may hold together; what was not used for longest goes first.
    """

    folder: Path
    most_bytes: int

    def open(self, digest: str, fetch: Callable[[Path], object]) -> BinaryIO | None:
        """Open the bytes with this *digest*, which *fetch* puts at a path if they are not here.

        None if another process took them away at that moment. A file that is open stays readable, also when
        there is no room for it here any more.

        Raises:
            ArtifactMissing: This is no digest.
            OSError: The folder can't be used, or its disk is full.
        """
        path = self._path(digest)
        if (known := _checked(path)) is not None:
            return known
        path.parent.mkdir(_OWN, parents=True, exist_ok=True)
        fetch(path)
        fetched = _checked(path)
        self._make_room()
        return fetched

    def forget(self, digest: str) -> None:
        """Remove the bytes with this *digest*, if they are here."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / "sha256" / require_digest(digest, str(self.folder))

    def _make_room(self) -> None:
        kept = 0
        for _, size, path in sorted(_files(self.folder / "sha256"), reverse=True):
            kept += size
            if kept > self.most_bytes:
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108, it comes from a scan as text


def _checked(path: Path) -> BinaryIO | None:
    """Open the file named after its digest; None if it is not there, or was not what it should be."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    try:
        found = file_digest(file, "sha256").hexdigest()
        if found == path.name:
            with suppress(OSError):  # it may be somebody else's
                os.utime(file.fileno())  # the newest are the last to go
            file.seek(0)
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    _log.warning("%s has digest %s, is removed and will be fetched again", path, found)
    path.unlink(missing_ok=True)
    return None


def _files(folder: Path) -> Iterator[tuple[int, int, str]]:
    """When each file was last used, its size and its path; also those that killed downloads left behind."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_digest(entry.name) or entry.name.endswith(UNFINISHED):
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    yield status.st_mtime_ns, status.st_size, entry.path
