"""Lives that an alias may lead: entries of every kind, and rollbacks to where a rollback goes."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from registry.ledger import Proposal, Reign, Stamp, Trust, fold, following
from registry.tables import CHOICES, NOTES, LedgerEntry

KINDS = (*CHOICES, *CHOICES, "rolled-back", "rolled-back", "rolled-back", "cleared", NOTES[0])
STAMP = Stamp(actor="ada", at=datetime(2026, 3, 3, 12, tzinfo=UTC))


def below(trust: Trust, version: int) -> list[int]:
    """The trusted champions to go back to from *version*, the nearest first."""
    return [champion for champion in reversed(trust.champions) if champion != version]


@st.composite
def lives(draw: st.DrawFn, versions: int = 4) -> list[tuple[str, int]]:
    """Kinds of entry with their versions, in the order of writing; what moves nothing is left out."""
    wishes = st.tuples(st.sampled_from(KINDS), st.integers(1, versions))
    entries: list[LedgerEntry] = []
    for kind, number in draw(st.lists(wishes, min_size=4, max_size=25)):
        version = _possible(entries, kind, number)
        if version is not None:
            entries.append(following(entries[-1] if entries else None, a_proposal(kind, version), STAMP))
    return [(entry.kind, entry.version) for entry in entries]


def a_proposal(kind: str, version: int, alias: str = "champion") -> Proposal:
    """What would write an entry of this *kind*."""
    return Proposal(kind=kind, model="churn", version=version, reason="a reason", alias=alias)


def _possible(entries: list[LedgerEntry], kind: str, number: int) -> int | None:
    """The version of the next entry, if there can be one of this *kind*; *number* is the one to prefer."""
    in_force = Reign.of(entries[-1] if entries else None).version
    if kind == "cleared":
        return in_force
    if kind == "rolled-back":
        targets = below(fold(entries), in_force) if in_force else []
        return targets[min(number, len(targets)) - 1] if targets else None
    return None if kind in CHOICES and number == in_force else number
