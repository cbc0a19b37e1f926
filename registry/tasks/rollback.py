"""Take a version down, by hand or because of an alert, and wait for no library that may not be needed."""

from __future__ import annotations

from prefect import task

from registry.monitoring_policy import RollbackPolicy
from registry.references import CHAMPION
from registry.rollback import Alert
from registry.tables import LedgerEntry
from registry.tasks.announcements import announce_entry
from registry.tasks.runs import PATIENT, open_registry, run_key


@task(task_run_name="roll back {model}@{alias}", **PATIENT)
def roll_back_champion(
    model: str,
    reason: str,
    bad: int | None = None,
    alias: str = CHAMPION,
    registry: str | None = None,
) -> LedgerEntry:
    """Put the trusted predecessor in force, once however often this task run is tried."""
    key = run_key("roll back", model, alias)
    with open_registry(registry) as opened:
        return announce_entry(opened.roll_back(model, reason=reason, alias=alias, bad=bad, key=key))


@task(task_run_name="answer the alert about {alert.model}", **PATIENT)
def answer_alert(
    alert: Alert, policy: RollbackPolicy | None = None, registry: str | None = None
) -> LedgerEntry:
    """Roll back as the alert asks, or write down why nothing moves; once, however often it is tried."""
    with open_registry(registry) as opened:
        return announce_entry(opened.answer(alert, policy))
