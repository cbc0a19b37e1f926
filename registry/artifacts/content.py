"""Bytes on their way into a store or out of it, hashed as they pass."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO, Protocol
from uuid import uuid4

from registry.exceptions import ArtifactCorrupted, ArtifactMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from hashlib import _Hash
    from pathlib import Path

BLOCK = 4 * 2**20
UNFINISHED = ".part"

Span = tuple[int, int]
"""Where a part of a file starts, and its size, in bytes."""

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


def proven(source: Readable, *, digest: str, location: str) -> int:
    """Read all of *source*, which must have the *digest*; return how many bytes it has.

    Raises:
        ArtifactCorrupted: It has another one.
    """
    found, size = sha256(), 0
    while block := source.read(BLOCK):
        found.update(block)
        size += len(block)
    if found.hexdigest() != digest:
        raise ArtifactCorrupted(digest, found.hexdigest(), location)
    return size


def hashed(spans: Iterable[Span], file: BinaryIO) -> str:
    """The digest of *file*, whose *spans* come one after another as they are filled.

    Each is hashed behind the next, which costs little more than the slower of the two alone.
    """
    digest = sha256()
    with ThreadPoolExecutor(1) as behind:
        hashing = [behind.submit(_hash, digest, file, *span) for span in spans]
    for each in hashing:
        each.result()
    return digest.hexdigest()


def _hash(digest: _Hash, file: BinaryIO, start: int, size: int) -> None:
    digest.update(os.pread(file.fileno(), size, start))


def durable(spans: Iterable[Span], file: BinaryIO) -> Iterator[Span]:
    """The *spans* of *file*, which is on the disk after the last of them."""
    yield from spans
    os.fsync(file.fileno())


def copied(source: Readable, target: BinaryIO) -> Iterator[Span]:
    """Copy all of *source*, span by span; of a large file the kernel does it."""
    yield from _copied_by_kernel(source, target)
    start = target.tell()
    while block := source.read(BLOCK):
        target.write(block)
        target.flush()
        yield start, len(block)
        start += len(block)


def _copied_by_kernel(source: Readable, target: BinaryIO) -> Iterator[Span]:
    if not isinstance(source, BufferedReader) or os.fstat(source.fileno()).st_size <= BLOCK:
        return
    start = 0
    with suppress(OSError):  # as between two file systems; what is wrong with the disk comes up again later
        while size := os.copy_file_range(source.fileno(), target.fileno(), BLOCK, start, start):
            yield start, size
            start += size
    source.seek(start)
    target.seek(start)


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
        found = hashed(copied(source, file), file)
        if found != digest:
            raise ArtifactCorrupted(digest, found, location)
        path.replace(destination)
