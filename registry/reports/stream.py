"""Observations as they are told: what was held after each batch, and who came into force where."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, groupby, takewhile
from typing import TYPE_CHECKING, NamedTuple

from registry.reports.sheet import GREEN, INK, PURPLE, VERMILLION, Mark
from registry.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.tables import LedgerEntry, Observation


class Look(NamedTuple):
    """How a status is told: by a word, a sign in a text, a mark and a background in a picture."""

    word: str
    since: str
    sign: str
    mark: Mark
    tint: str = "white"
    hatch: str = ""


LOOKS = {
    "healthy": Look("healthy", "healthy since", "●", Mark("o", GREEN, GREEN)),
    "suspect": Look("suspect", "suspect since", "◇", Mark("D", INK, "white", 8.0), "#F8ECAC", "////"),
    "degraded": Look("degraded", "degraded since", "✖", Mark("X", VERMILLION, VERMILLION, 9.0), "#F6CDB0"),
    "world-changed": Look(
        "world changed", "the world changed by", "◆", Mark("D", PURPLE, PURPLE, 8.0), "#F0D6E6", "...."
    ),
}
"""The look of each status."""


class Rise(NamedTuple):
    """A version came into force before the batch at *place*, by an entry of this *kind* if it is known."""

    place: int
    version: int | None
    kind: str | None


@dataclass(frozen=True)
class Stream:
    """Observations of one model, alias and metric, oldest first, and the ledger of the alias.

    Attributes:
        rows: The observations.
        standing: Beside each the newest one, by then, of what was in force by then: a batch of a version that
            was no longer in force says nothing of the one that was.
        entries: The ledger's.
        before: What stood before the first row.
    """

    rows: Sequence[Observation]
    standing: Sequence[Observation]
    entries: Sequence[LedgerEntry]
    before: Observation | None = None

    @classmethod
    def of(cls, rows: Sequence[Observation], entries: Sequence[LedgerEntry]) -> Stream:
        """The stream of all that is known."""
        standing: list[Observation] = list(accumulate(rows, _newer_reign))
        return cls(rows, standing, entries)

    def last(self, most: int) -> Stream:
        """Its newest rows, at *most* so many."""
        before = self.standing[-most - 1] if len(self.rows) > most else None
        return Stream(self.rows[-most:], self.standing[-most:], self.entries, before)

    @property
    def newest(self) -> Observation:
        """The newest observation of the newest reign that was observed."""
        return self.standing[-1]

    @property
    def successor(self) -> LedgerEntry | None:
        """What last moved the alias, if nothing was observed since."""
        moves = [entry for entry in self.entries if entry.moved and entry.sequence > self.newest.since]
        return moves[-1] if moves else None

    @property
    def move(self) -> LedgerEntry | None:
        """What put in force whatever is in force, if the ledger that is given holds it."""
        began = (entry for entry in self.entries if entry.sequence == self.newest.since)
        return self.successor or next(began, None)

    @property
    def reigns(self) -> list[list[int]]:
        """The places of each reign."""
        places = range(len(self.rows))
        return [list(reign) for _, reign in groupby(places, lambda place: self.standing[place].since)]

    @property
    def rises(self) -> list[Rise]:
        """Who came into force where: also who was before the first row, and who was not observed yet."""
        kinds = {entry.sequence: entry.kind for entry in self.entries if entry.moved}
        rises = []
        for place, *_ in self.reigns:
            row = self.standing[place]
            begins = row.sequence == 1 or place > 0 or (self.before and self.before.since != row.since)
            rises.append(Rise(place, row.version, kinds.get(row.since) if begins else None))
        after = self.successor
        return [*rises, Rise(len(self.rows), after.in_force, after.kind)] if after else rises

    @property
    def stretches(self) -> list[tuple[str, int, int]]:
        """Each status but healthy, with the first and the last place of it."""
        found = []
        for places in self.reigns:
            for status, same in groupby(places, lambda place: self.standing[place].status):
                first, *rest = same
                found.append((status, first, rest[-1] if rest else first))
        return [stretch for stretch in found if stretch[0] != "healthy"]

    def turned(self, status: str) -> list[int]:
        """The places of the batches that raised an alarm, or that ended the suspicion with this *status*."""
        if status == "suspect":
            return [place for place, row in enumerate(self.rows) if row.alarm == row.sequence]
        return [
            place
            for place, row in enumerate(self.rows)
            if row.status == status and row.decided == row.sequence
        ]

    def since(self, quoted: Callable[[str], str]) -> str:
        """What is held of the newest, and since which batch: ``degraded since batch 2026-03-01``."""
        newest = self.newest
        same = takewhile(lambda row: _held(row) == _held(newest), reversed(self.standing))
        first = list(same)[-1]
        earlier = " or earlier" if first is self.standing[0] and first.sequence > 1 else ""
        return f"{LOOKS[newest.status].since} batch {quoted(first.batch)}{earlier}"

    def state(self, named: Callable[[int], str], quoted: Callable[[str], str]) -> str:
        """What holds now: ``Degraded since batch 2026-03-01``; or who came after it and was not observed."""
        since, after = self.since(quoted), self.successor
        if after is None:
            return since[0].upper() + since[1:]
        now = "Nothing" if after.in_force is None else named(after.in_force)
        unseen = "" if after.in_force is None else " and not observed yet"
        return f"{now} is in force{unseen}; before that {named(self.newest.version)}: {since}"

    def score(self, who: str, quoted: Callable[[str], str]) -> str:
        """The newest value and what it is held against, of *who*."""
        row = self.newest
        batch = f"batch {quoted(row.batch)}"
        return f"{who} was {number(row.value)} on {batch}, against a floor of {number(row.floor)}"


def _newer_reign(held: Observation, row: Observation) -> Observation:
    return row if row.since >= held.since else held


def _held(row: Observation) -> tuple[int, str]:
    return row.since, row.status
