"""How one ledger entry follows another, and what the whole of them says. Pure: no SQL, no clock.

The ledger is the state. A champion is not a value that someone overwrites, it is what the newest entry
puts in force; a rollback is one more entry; and what to go back to is a fold over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from registry.exceptions import AliasConflict, AlreadyInForce, InvalidValue, ReasonMissing
from registry.limits import check_text
from registry.references import CHAMPION, check_alias
from registry.tables import GENESIS, MOVES, LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Reign:
    """What is in force under an alias, and since which entry; a decision names the reign it was made against.

    Entries that move nothing leave the reign as it is. A version that comes back later begins another one,
    so a decision made against the first can't be mistaken for one made against the second.
    """

    version: int | None = None
    since: int | None = None

    @classmethod
    def of(cls, newest: LedgerEntry | None) -> Reign:
        """The reign after the *newest* entry; an empty one before the first."""
        return cls() if newest is None else cls(version=newest.in_force, since=newest.in_force_since)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What someone wants written into the ledger.

    Attributes:
        kind: One of ``tables.MOVES``, ``tables.NOTES`` or "cleared".
        version: The version spoken of; for "cleared" the one that goes.
        against: The reign that the proposal was made against. None: whichever is found.
        key: A retry with the same key finds the entry that its first attempt wrote.
    """

    kind: str
    model: str
    version: int
    reason: str
    alias: str = CHAMPION
    evidence: dict[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    against: Reign | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Who writes a row, in which run, and when."""

    actor: str
    at: datetime
    flow_run_id: str | None = None


def following(newest: LedgerEntry | None, proposal: Proposal, stamp: Stamp) -> LedgerEntry:
    """The entry that writes *proposal* after *newest*.

    Raises:
        AliasConflict: The reign is no longer the one that the proposal was made against.
        AlreadyInForce: The proposal would put in force what is in force.
        ReasonMissing: The proposal does not say why.
        InvalidValue: The evidence has no JSON form.
        InvalidName: The alias can't be called so, or the reason is no text that every database can keep.
    """
    reign = Reign.of(newest)
    _check(proposal, reign)
    sequence = 1 if newest is None else newest.sequence + 1
    moves = proposal.kind in MOVES or proposal.kind == "cleared"
    entry = LedgerEntry(
        model=proposal.model,
        alias=proposal.alias,
        sequence=sequence,
        previous=None if newest is None else newest.sequence,
        kind=proposal.kind,
        version=proposal.version,
        replaced=reign.version,
        replaced_since=reign.since,
        in_force=proposal.version if proposal.kind in MOVES else None if moves else reign.version,
        in_force_since=sequence if moves else reign.since,
        actor=stamp.actor,
        reason=proposal.reason,
        evidence=proposal.evidence,
        dataset=proposal.dataset,
        key=proposal.key,
        flow_run_id=stamp.flow_run_id,
        # a clock that was set back must not let a later entry look earlier
        recorded_at=stamp.at if newest is None else max(stamp.at, newest.recorded_at),
        previous_hash=GENESIS if newest is None else newest.hash,
        hash=GENESIS,
    )
    try:
        entry.hash = entry.digest()
    except (TypeError, ValueError) as error:
        raise InvalidValue("evidence", f"about {entry.reference}", str(error)) from error
    return entry


def _check(proposal: Proposal, reign: Reign) -> None:
    model, alias = proposal.model, check_alias(proposal.alias)
    if not proposal.reason.strip():
        raise ReasonMissing(proposal.kind)
    check_text("text", proposal.reason)  # a policy's may be many
    if proposal.against is not None and proposal.against != reign:
        raise AliasConflict(model, alias, _described(proposal.against), _described(reign))
    if proposal.kind in MOVES and proposal.version == reign.version:
        raise AlreadyInForce(f"{model}@{proposal.version}", alias)


def _described(reign: Reign) -> str:
    return "none" if reign.version is None else f"version {reign.version} since entry {reign.since}"


@dataclass(frozen=True)
class Trust:
    """What the ledger of an alias says about its versions.

    Attributes:
        champions: Versions that were put in force and are still trusted, oldest first, each once, in the
            order in which they last were.
        quarantined: Versions that were rolled back and not deliberately put in force since, each with the
            sequence of the entry that took it down.
    """

    champions: tuple[int, ...] = ()
    quarantined: dict[int, int] = field(default_factory=dict)


def fold(entries: Iterable[LedgerEntry]) -> Trust:
    """Read the *entries* of one alias, oldest first, into a stack of trusted champions and the quarantine.

    A promotion or assignment puts its version on top and forgives it. A rollback quarantines the version
    that fell and passes over those between it and its target, so two rollbacks in a row go 3 → 2 → 1.
    """
    champions: dict[int, None] = {}  # an ordered set: the last is on top
    quarantined: dict[int, int] = {}
    for entry in entries:
        if entry.kind == "rolled-back" and entry.replaced is not None:
            quarantined[entry.replaced] = entry.sequence
            while champions and next(reversed(champions)) != entry.version:
                champions.popitem()
        if entry.kind in MOVES:
            quarantined.pop(entry.version, None)
            champions.pop(entry.version, None)
            champions[entry.version] = None
    return Trust(tuple(champions), quarantined)
