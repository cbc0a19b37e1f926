"""Bytes are leased before they are put, and held by the row that refers to them: no collection comes between.

A lease is told by the database's clock, which all who write share. It protects bytes that no row refers to
yet; after that the row does, because the database lets no row refer to bytes that it does not know.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col, select, update

from registry.database import changing, retried, time_in
from registry.exceptions import ArtifactPurged, LeaseExpired
from registry.tables import Artifact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection, Engine

LEASE = timedelta(days=1)
"""Longer than any upload that is still alive."""

_AMONG = col(Artifact.digest).in_(bindparam("digests", expanding=True))
_KEPT = (
    select(Artifact.digest, Artifact.leased_until, Artifact.purged_at)
    .where(_AMONG)
    .order_by(col(Artifact.digest))
    .with_for_update(read=True, key_share=True)
)
_THERE_AGAIN = update(Artifact).where(_AMONG).values(purged_at=None, purged_by=None, purged_because=None)


def _renewing(row: postgresql.Insert | sqlite.Insert) -> postgresql.Insert | sqlite.Insert:
    later = col(Artifact.leased_until) < row.excluded.leased_until
    renewed = {"leased_until": row.excluded.leased_until}
    return row.on_conflict_do_update(index_elements=["digest"], set_=renewed, where=later)


_RENEWING = {
    "postgresql": _renewing(postgresql.insert(Artifact)),
    "sqlite": _renewing(sqlite.insert(Artifact)),
}


@retried
def lease(engine: Engine, artifacts: Mapping[str, int], duration: timedelta = LEASE) -> None:
    """Keep collections away from *artifacts*, given as sizes by digest, for a *duration* from now.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    renewing = _RENEWING[engine.dialect.name]
    with changing(engine) as rows:
        until = time_in(rows) + duration
        for digest in sorted(artifacts):  # in one order, so that nobody waits for one another in a circle
            rows.execute(renewing, {"digest": digest, "bytes": artifacts[digest], "leased_until": until})


def hold(rows: Connection, digests: Collection[str]) -> None:
    """Keep the rows of *digests* as they are until the transaction ends; its rows may refer to them.

    Bytes that had been purged and were put again since count as there again.

    Raises:
        LeaseExpired: A collection has taken some of them: put them again.
    """
    kept = rows.execute(_KEPT, {"digests": list(digests)}).all()
    gone = set(digests) - {digest for digest, leased, purged in kept if purged is None or leased > purged}
    if gone:  # a purge waits until the lease is over
        raise LeaseExpired(min(gone))
    if again := [digest for digest, _, purged in kept if purged is not None]:
        rows.execute(_THERE_AGAIN, {"digests": again})


def purged(artifact: Artifact, subject: str) -> ArtifactPurged:
    """The error that tells when and why the bytes of *subject* were given up."""
    when = f"{artifact.purged_at:%Y-%m-%d}"
    return ArtifactPurged(artifact.digest, subject, when, str(artifact.purged_because))
