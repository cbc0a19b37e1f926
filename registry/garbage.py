"""Collect what crashes leave behind: bytes that no row refers to, or that were purged and are there still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from registry.disposal import Disposal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from registry.artifacts import StoredArtifact
    from registry.backend import Backend
    from registry.tables import Artifact

GRACE = timedelta(days=1)
"""Half-written files that are younger may be being written, and younger strays be another registry's."""

_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Bytes that nobody needs.

    Attributes:
        orphans: Artifacts to which no row refers, and whose lease is over.
        leftovers: Purged artifacts whose bytes are there still, or again without a row that refers to them.
        strays: Bytes in the store of which no row knows: of another registry that shares the folder or the
            bucket, or younger than the backup that the database was restored from.
    """

    orphans: Sequence[Artifact]
    leftovers: Sequence[Artifact]
    strays: Sequence[StoredArtifact]


def find_garbage(backend: Backend) -> Garbage:
    """All that nobody needs at present; nothing is changed."""
    disposal = Disposal(backend.rows)
    leftovers: list[Artifact] = []
    strays: list[StoredArtifact] = []
    present = disposal.now()
    for some in _portions(backend.artifacts.stored()):
        known = disposal.known(stored.digest for stored in some)
        strays += [stored for stored in some if stored.digest not in known]
        leftovers += [row for row in known.values() if _is_left_over(row, present)]
    return Garbage(orphans=disposal.orphans(), leftovers=leftovers, strays=strays)


def collect_garbage(backend: Backend) -> Garbage:
    """Remove orphans and leftovers, and half-written files that are older than a day; strays are only found.

    Each goes in a transaction of its own, in which nobody can lease or refer to it. Whoever is killed in
    between leaves a row, bytes, or both, and nothing that refers to them: the next collection takes the rest.

    Returns:
        What went, and the strays that were found.
    """
    disposal, forget = Disposal(backend.rows), backend.artifacts.remove
    found = find_garbage(backend)
    orphans = [row for row in found.orphans if disposal.remove(row.digest, forget)]
    for row in found.leftovers:
        disposal.purge_again(row.digest)
    leftovers = [row for row in found.leftovers if disposal.remove(row.digest, forget)]
    backend.artifacts.sweep(disposal.now() - GRACE)
    return Garbage(orphans=orphans, leftovers=leftovers, strays=found.strays)


def find_strays(backend: Backend, grace: timedelta = GRACE) -> list[StoredArtifact]:
    """The strays that were written longer ago than *grace*, by the store's time and the database's."""
    before = Disposal(backend.rows).now() - grace
    return [stray for stray in find_garbage(backend).strays if stray.modified < before]


def remove_strays(backend: Backend, grace: timedelta = GRACE) -> list[StoredArtifact]:
    """Remove what ``find_strays`` finds, and return it.

    This is for whoever knows that no other registry uses the folder or the bucket: what is a stray to this
    one may be another one's champion. Each is looked at again right before it goes.
    """
    disposal, old = Disposal(backend.rows), set(find_strays(backend, grace))
    return [
        stored
        for stored in backend.artifacts.stored()
        if stored in old and disposal.remove_stray(stored.digest, stored.size, backend.artifacts.remove)
    ]


def _is_left_over(row: Artifact, present: datetime) -> bool:
    return row.purged_at is not None and row.leased_until <= present


def _portions(stored: Iterator[StoredArtifact]) -> Iterator[list[StoredArtifact]]:
    while some := list(islice(stored, _AT_ONCE)):
        yield some
