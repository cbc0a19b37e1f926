"""Bytes on their way into the registry and out of it: leased, put and proven; fetched and proven again."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from logging import getLogger
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from registry.exceptions import ArtifactMissing, LeaseExpired
from registry.leases import purged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.backend import Backend

T = TypeVar("T")

_ATTEMPTS = 3
_log = getLogger(__name__)


def put(backend: Backend, source: Path) -> str:
    """Store the bytes of *source* and return their digest; they are leased until a row refers to them.

    Raises:
        DatabaseUnavailable: The lease can't be written.
        ArtifactStoreUnavailable: The bytes can't be.
    """
    with backend.artifacts.stage(source) as staged:
        backend.rows.lease({staged.digest: staged.size})
        staged.publish()
        return staged.digest


def persistently(store: Callable[[], T]) -> T:
    """What *store* returns, which puts bytes and then writes the row that refers to them.

    It is called again if a collection took the bytes in between, because the lease was over by then.

    Raises:
        LeaseExpired: That happened again and again: leases are too short.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return store()
        except LeaseExpired:
            continue
    return store()


def fetch(backend: Backend, digest: str, destination: Path) -> None:
    """Copy bytes to *destination*, which appears only once they have proven to be the right ones.

    Raises:
        ArtifactMissing: They are gone.
        ArtifactPurged: A retention policy gave them up.
        ArtifactCorrupted: They are others; *destination* is as it was.
    """
    try:
        backend.artifacts.fetch(digest, destination)
    except ArtifactMissing:
        row = backend.rows.artifact(digest)
        if row is None or row.purged_at is None:
            raise
        raise purged(row, backend.artifacts.location) from None


@contextmanager
def opened(backend: Backend, digest: str) -> Iterator[BinaryIO]:
    """Open bytes that have proven to be the right ones: those near if there are any, else a copy.

    Raises:
        ArtifactMissing: They are gone.
        ArtifactPurged: A retention policy gave them up.
        ArtifactCorrupted: They are others; nothing was opened.
    """
    near = _near(backend, digest)
    if near is not None:
        with near:
            yield near
        return
    with TemporaryDirectory(prefix="registry-") as folder:
        path = Path(folder, digest)
        fetch(backend, digest, path)
        with path.open("rb") as file:
            yield file


def _near(backend: Backend, digest: str) -> BinaryIO | None:
    """The bytes from the cache; None if there is none, if it can't be used, or if they were given up."""
    if backend.cache is None:
        return None
    row = backend.rows.artifact(digest)
    try:
        if row is None or row.purged_at is not None:
            backend.cache.forget(digest)
            return None
        return backend.cache.open(digest, partial(fetch, backend, digest))
    except OSError as error:
        _log.warning("the cache in %s was passed over: %s", backend.cache.folder, error)
        return None
