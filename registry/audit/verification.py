"""Check that nothing was changed, taken out or lost: the rows, and the bytes that they refer to."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from registry.audit.anchors import differences
from registry.audit.chains import ENTRIES, VERSIONS, follow, snapshot
from registry.audit.claims import Hearing
from registry.audit.holdings import damage, held, weight
from registry.audit.relations import dangling, miscounted
from registry.tables import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from registry.audit.anchors import Witness
    from registry.audit.chains import Chain, Raw
    from registry.backend import Backend

    Watch = Callable[[int], None]

_CHAINS = (VERSIONS, ENTRIES)


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        subject: What was checked, such as ``churn@champion`` or ``churn@7``.
        problem: What is wrong with it; None if it is right.
        remark: What has to be known of it though nothing is wrong.
    """

    subject: str
    problem: str | None = None
    remark: str | None = None


class Extent(NamedTuple):
    """How much there is to check: rows of chains, and bytes."""

    rows: int
    bytes: int


def _nobody(_done: int) -> None:
    pass


def extent(backend: Backend) -> Extent:
    """How much there is to check, to tell how far a verification has come."""
    engine = backend.rows.engine
    with snapshot(engine) as connection:
        rows = sum(connection.scalar(select(func.count()).select_from(kind.table)) or 0 for kind in _CHAINS)
    return Extent(rows, weight(engine))


def verify(backend: Backend, witnesses: Sequence[Witness] = ()) -> Iterator[Finding]:
    """Check the rows, then the bytes, see ``verify_rows`` and ``verify_bytes``; findings come one by one.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    return chain(verify_rows(backend, witnesses), verify_bytes(backend))


def verify_rows(
    backend: Backend, witnesses: Sequence[Witness] = (), watch: Watch = _nobody
) -> Iterator[Finding]:
    """Check every chain of versions and of entries, what rows refer to, and what decisions were made by.

    A chain that someone cut short, counter included, or wrote anew with hashes that fit, can't be told from
    the rows: for that there are *witnesses*, anchors that were taken before. *watch* is told how many rows of
    chains were read.
    """
    with snapshot(backend.rows.engine) as connection:
        hearing = Hearing(connection)

        def read(entries: Sequence[Raw]) -> None:
            hearing.attend(entries)
            watch(len(entries))

        versions = follow(connection, VERSIONS, lambda portion: watch(len(portion)))
        for followed in chain(versions, follow(connection, ENTRIES, read)):
            yield from _breaks(followed)
        for counted in miscounted(connection):
            yield Finding(*counted)
        for table in Row.metadata.sorted_tables:
            for missing in dangling(connection, table):
                yield Finding(*missing)
        for contradiction in hearing.contradictions.values():
            yield Finding(*contradiction)
        for witness in witnesses:
            yield from _testimony(connection, witness)


def verify_bytes(backend: Backend, watch: Watch = _nobody) -> Iterator[Finding]:
    """Read all bytes that rows refer to; *watch* is told how many. Purged ones are not looked for."""
    for holding in held(backend.rows.engine):
        if holding.purged:
            yield Finding(holding.name, remark=holding.purged)
        else:
            yield Finding(holding.name, damage(backend, holding))
            watch(holding.size)


def _breaks(followed: Chain) -> Iterator[Finding]:
    if not followed.problems:
        yield Finding(followed.name)
    for problem in followed.problems:
        yield Finding(followed.name, problem)
    if followed.others:
        yield Finding(followed.name, f"{followed.others:,} more of its rows are wrong")


def _testimony(connection: Connection, witness: Witness) -> Iterator[Finding]:
    unsigned = "nobody signed it: whoever can write that file can make it say anything"
    yield Finding(f"anchor {witness.source}", remark=None if witness.signed_by else unsigned)
    for difference in differences(connection, witness):
        yield Finding(*difference)
