"""The ledger as people read it: a table of entries, and the card of all that was decided about an alias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.ledger import fold
from registry.reports.parts import link, minute, picture, small_print, table
from registry.reports.timeline import timeline
from registry.words import NOTHING, count, markdown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.tables import LedgerEntry, Observation

MOST_ENTRIES = 20
"""A table shows no more entries than these, the newest."""

_LONGEST_REASON, _RUN = 300, 8
_COLUMNS = ("Entry :--", "When :--", "What :--", "By :--", "Why :--")
_NO_RUNS: Mapping[str, str] = {}


def timeline_card(
    entries: Sequence[LedgerEntry],
    observations: Sequence[Observation] = (),
    runs: Mapping[str, str] = _NO_RUNS,
) -> str:
    """All that was decided about an alias, as Markdown with the picture in it.

    Args:
        entries: All of one alias, oldest first.
        observations: Of the same alias by one metric, oldest first.
        runs: URLs of flow runs, by id.
    """
    if not entries:
        return "## Nothing was decided yet\n"
    name = f"{entries[-1].model}@{entries[-1].alias}"
    parts = [
        f"## {markdown(name)}: {_state(entries)}",
        picture(f"Who was {name} when", timeline(entries, observations)),
        *ledger_table(entries, runs),
    ]
    if standing := small_print(_rollback_target(entries), _quarantine(entries)):
        parts += ["---", standing]
    return "\n\n".join(parts) + "\n"


def ledger_table(entries: Sequence[LedgerEntry], runs: Mapping[str, str] = _NO_RUNS) -> list[str]:
    """The newest *entries* as a table, the newest first, and a sentence about those that are not in it.

    Args:
        entries: Oldest first.
        runs: URLs of flow runs, by id.
    """
    newest = entries[: -MOST_ENTRIES - 1 : -1]
    with_runs = any(entry.flow_run_id for entry in newest)
    columns = (*_COLUMNS, "Flow run :--") if with_runs else _COLUMNS
    rows = [[*_cells(entry), *([_run(entry, runs)] if with_runs else [])] for entry in newest]
    more = len(entries) - len(newest)
    note = f"These are the newest {len(newest)} of {count(len(entries), 'decision')}."
    return [table(columns, rows), *([note] if more else [])]


def answered(entry: LedgerEntry) -> str:
    """What was answered to a decision to promote: who agreed or did not, when, and with what comment."""
    signature, when = entry.evidence.get("approval"), minute(entry.recorded_at)
    if signature is None:
        return f"{entry.kind.capitalize()} on {when}: {markdown(entry.reason, _LONGEST_REASON)}"
    said = "Rejected" if entry.kind == "rejected" else "Approved"
    comment = markdown(signature["comment"], _LONGEST_REASON)
    return f"{said} by {markdown(signature['by'])} on {when}: {comment}"


def _cells(entry: LedgerEntry) -> list[str]:
    return [
        f"{markdown(entry.alias)} {entry.sequence:,}",
        minute(entry.recorded_at),
        f"{entry.kind.replace('-', ' ')} {_moved(entry)}",
        markdown(entry.actor, 60),
        markdown(entry.reason, _LONGEST_REASON),
    ]


def _moved(entry: LedgerEntry) -> str:
    """The version that is spoken of, and which one it replaced: ``@7, from @5``."""
    if entry.moved and entry.replaced is not None and entry.replaced != entry.version:
        return f"@{entry.version}, from @{entry.replaced}"
    return f"@{entry.version}"


def _run(entry: LedgerEntry, runs: Mapping[str, str]) -> str:
    run = entry.flow_run_id
    return NOTHING if run is None else link(run[:_RUN], runs.get(run))


def _state(entries: Sequence[LedgerEntry]) -> str:
    newest = entries[-1]
    began = next((entry for entry in reversed(entries) if entry.moved), None)
    if began is None:
        return "nothing was in force yet"
    since = minute(began.recorded_at)
    if newest.in_force is None:
        return f"nothing is in force since {since}"
    return f"version {newest.in_force} is in force since {since}"


def _rollback_target(entries: Sequence[LedgerEntry]) -> str:
    *below, top = fold(entries).champions or (None,)
    if entries[-1].in_force is None or top != entries[-1].in_force:
        return ""
    return f"A rollback would go to version {below[-1]}" if below else "There is nothing to roll back to"


def _quarantine(entries: Sequence[LedgerEntry]) -> str:
    fallen = sorted(fold(entries).quarantined)
    newest = ", ".join(f"@{version}" for version in fallen[-MOST_ENTRIES:])
    return f"Quarantined: {'…, ' * (len(fallen) > MOST_ENTRIES)}{newest}" if fallen else ""
