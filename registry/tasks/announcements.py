"""What was written is announced, by events whose ids come from their rows: a retry announces nothing new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.events import emit_event

from registry.monitoring import AGAIN, alarm_of, explained
from registry.references import CHAMPION
from registry.tasks import events

if TYPE_CHECKING:
    from datetime import timedelta

    from prefect.events import Event

    from registry.facade import Registry
    from registry.tables import LedgerEntry, Observation

_OF_STATUS = {
    "suspect": events.SUSPECT,
    "degraded": events.DEGRADED,
    "world-changed": events.WORLD_CHANGED,
}
_OF_KIND = {
    "approved": events.APPROVED,
    "promoted": events.PROMOTED,
    "held": events.HELD,
    "rejected": events.REJECTED,
    "rolled-back": events.ROLLED_BACK,
    "alerted": events.ROLLBACK_REFUSED,
}


def announce_entry(entry: LedgerEntry) -> LedgerEntry:
    """Announce what an *entry* of the ledger says."""
    announce(
        _OF_KIND[entry.kind],
        entry.model,
        entry.version,
        identity=[entry.hash],
        payload={
            "alias": entry.alias,
            "sequence": entry.sequence,
            "replaced": entry.replaced,
            "in_force": entry.in_force,
            "reason": entry.reason,
            "actor": entry.actor,
        }
        | {fact: entry.evidence[fact] for fact in ("why", "approval") if fact in entry.evidence},
    )
    return entry


def announce_alarms(
    registry: Registry, model: str, alias: str = CHAMPION, again: timedelta = AGAIN
) -> list[Observation]:
    """Send the decisions about the version in force that no server has accepted yet; return them.

    Raises:
        EventsUnavailable: The server did not take one. It, and what comes after it, is sent the next time.
    """
    due = registry.alarms(model, alias=alias, again=again)
    for decision in due:
        events.send(_alarm(registry, decision))
        registry.backend.observations.announce(decision, _OF_STATUS[decision.status])
    return due


def _alarm(registry: Registry, decision: Observation) -> Event:
    attempt = len(registry.backend.observations.announcements(decision)) + 1
    return events.event(
        _OF_STATUS[decision.status],
        decision.model,
        decision.version,
        identity=[decision.alias, alarm_of(decision), decision.recorded_at.isoformat(), str(attempt)],
        payload={
            "alias": decision.alias,
            "alarm": alarm_of(decision),
            "metric": decision.metric,
            "value": decision.value,
            "floor": decision.floor,
            "rows": decision.rows,
            "batch": decision.batch,
            "reason": explained(decision),
            "policy": decision.policy["rollback"],
            "target": contest["target"] if (contest := decision.state["contest"]) else None,
        },
    )


def announce(name: str, model: str, number: int, *, identity: list[str], payload: dict[str, Any]) -> None:
    """Emit an event about a version; it is sent in the background, and lost if there is no server."""
    event = events.event(name, model, number, identity=identity, payload=payload)
    versions = [related.root for related in event.related if related.role == "model-version"]
    emit_event(  # adds the running flow and task by itself
        event.event, resource=event.resource.root, related=versions, payload=event.payload, id=event.id
    )
