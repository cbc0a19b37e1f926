"""Bytes are leased before they are put, and held by the row that refers to them: no collection comes between.

A lease is told by the database's clock, which all who write share. It protects bytes that no row refers to
yet; after that the row does, because the database lets no row refer to bytes that it does not know.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col, select

from registry.database import retried, time_in, writing
from registry.exceptions import ArtifactPurged, LeaseExpired
from registry.tables import Artifact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Engine
    from sqlmodel import Session

LEASE = timedelta(days=1)
"""Longer than any upload that is still alive."""

_KEPT = (
    select(Artifact)
    .where(col(Artifact.digest).in_(bindparam("digests", expanding=True)))
    .order_by(col(Artifact.digest))
    .with_for_update(read=True, key_share=True)
)


@retried
def lease(engine: Engine, artifacts: Mapping[str, int], duration: timedelta = LEASE) -> None:
    """Keep collections away from *artifacts*, given as sizes by digest, for a *duration* from now.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    with writing(engine) as session:
        until = time_in(session) + duration
        for digest in sorted(artifacts):  # in one order, so that nobody waits for one another in a circle
            row = insert(Artifact).values(digest=digest, bytes=artifacts[digest], leased_until=until)
            later = col(Artifact.leased_until) < row.excluded.leased_until
            renewed = {"leased_until": row.excluded.leased_until}
            session.exec(row.on_conflict_do_update(index_elements=["digest"], set_=renewed, where=later))


def hold(session: Session, digests: Collection[str]) -> None:
    """Keep the rows of *digests* as they are until the transaction ends; its rows may refer to them.

    Bytes that had been purged and were put again since count as there again.

    Raises:
        LeaseExpired: A collection has taken some of them: put them again.
    """
    kept = session.exec(_KEPT, params={"digests": list(digests)}).all()
    gone = set(digests) - {artifact.digest for artifact in kept if not _taken(artifact)}
    if gone:
        raise LeaseExpired(min(gone))
    for artifact in kept:
        if artifact.purged_at is not None:
            artifact.purged_at = artifact.purged_by = artifact.purged_because = None


def purged(artifact: Artifact, subject: str) -> ArtifactPurged:
    """The error that tells when and why the bytes of *subject* were given up."""
    when = f"{artifact.purged_at:%Y-%m-%d}"
    return ArtifactPurged(artifact.digest, subject, when, str(artifact.purged_because))


def _taken(artifact: Artifact) -> bool:
    """Whether the bytes were purged, and nobody leased them since: a purge waits until the lease is over."""
    return artifact.purged_at is not None and artifact.leased_until <= artifact.purged_at
