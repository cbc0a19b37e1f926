"""Collect artifacts that no row refers to: what a crash between the bytes and the row leaves behind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.artifacts import StoredArtifact
    from registry.backend import Backend

GRACE = timedelta(days=1)
"""Younger bytes may belong to a registration that has not written its row yet."""


def find_garbage(backend: Backend, grace: timedelta = GRACE) -> list[StoredArtifact]:
    """The artifacts older than *grace* to which no row refers."""
    listed = [
        stored for stored in backend.artifacts.stored() if backend.rows.clock() - stored.modified > grace
    ]
    needed = backend.rows.artifacts()  # read after the listing: a row that came meanwhile protects its bytes
    return [stored for stored in listed if stored.digest not in needed]


def collect_garbage(backend: Backend, grace: timedelta = GRACE) -> list[StoredArtifact]:
    """Remove what ``find_garbage`` finds, and half-written files as old; return what was removed.

    A registration may write the very bytes again that are garbage until its row comes. They then bear a new
    time, so the listing is gone through once more, and each goes only if it still reads as it was found.
    """
    garbage = set(find_garbage(backend, grace))
    removed = []
    for stored in backend.artifacts.stored():
        if stored in garbage:
            backend.artifacts.remove(stored.digest)
            removed.append(stored)
    backend.artifacts.sweep(backend.rows.clock() - grace)
    return removed
