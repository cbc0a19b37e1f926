"""Bytes on their way into a store or out of it, hashed as they pass."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, Protocol
from uuid import uuid4

from registry.exceptions import ArtifactCorrupted, ArtifactMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4 * 2**20
UNFINISHED = ".part"
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Readable(Protocol):
    """A file, or the body of an HTTP response."""

    def read(self, amount: int, /) -> bytes:
        """Return up to *amount* bytes, none at the end."""


def is_digest(text: str) -> bool:
    """Tell whether *text* is a SHA-256 in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def require_digest(text: str, location: str) -> str:
    """Return *text* if it is a digest, else raise ArtifactMissing: *location* can't have it."""
    if not is_digest(text):
        raise ArtifactMissing(text, location)
    return text


def copy(source: Readable, target: BinaryIO) -> str:
    """Copy all of *source* onto the disk in one pass; return the digest of what came through."""
    digest = sha256()
    while block := source.read(BLOCK):
        digest.update(block)
        target.write(block)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


@contextmanager
def unfinished(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a file in *folder* that is gone at the end of the block, unless it was renamed by then."""
    path = folder / f".{uuid4().hex}{UNFINISHED}"
    try:
        with path.open("xb") as file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def receive(source: Readable, destination: Path, *, digest: str, location: str) -> None:
    """Let *destination* appear with all of *source*, if that has the *digest*.

    Raises:
        ArtifactCorrupted: It has another one; *destination* is as it was.
    """
    with unfinished(destination.parent) as (path, file):
        found = copy(source, file)
        if found != digest:
            raise ArtifactCorrupted(digest, found, location)
        path.replace(destination)
