"""Bytes on their way into a store or out of it, hashed as they pass."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO, Protocol
from uuid import uuid4

from registry.exceptions import ArtifactCorrupted, ArtifactMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from hashlib import _Hash
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
    """Copy all of *source* onto the disk; return the digest of what stands there then.

    A large file is hashed behind the copy, which costs little more than the slower of the two alone.
    """
    digest = sha256()
    with ThreadPoolExecutor(1) as behind:
        spans = [behind.submit(_hash, digest, target, *span) for span in _copied_by_kernel(source, target)]
        while block := source.read(BLOCK):
            wait(spans)
            digest.update(block)
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
        for span in spans:
            span.result()
    return digest.hexdigest()


def _copied_by_kernel(source: Readable, target: BinaryIO) -> Iterator[tuple[int, int]]:
    """Let the kernel copy a large file; yield the start and the size of each span that it has copied."""
    if not isinstance(source, BufferedReader) or os.fstat(source.fileno()).st_size <= BLOCK:
        return
    start = 0
    with suppress(OSError):  # as between two file systems; what is wrong with the disk comes up again later
        while size := os.copy_file_range(source.fileno(), target.fileno(), BLOCK, start, start):
            yield start, size
            start += size
    source.seek(start)
    target.seek(start)


def _hash(digest: _Hash, file: BinaryIO, start: int, size: int) -> None:
    digest.update(os.pread(file.fileno(), size, start))


@contextmanager
def unfinished(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a file in *folder* that is gone at the end of the block, unless it was renamed by then."""
    path = folder / f".{uuid4().hex}{UNFINISHED}"
    try:
        with path.open("x+b") as file:
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
