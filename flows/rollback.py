"""Take the version in force down and put its trusted predecessor in force, by hand or because of an alert."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from registry.monitoring_policy import RollbackPolicy
from registry.references import CHAMPION
from registry.rollback import Alert
from registry.tables import LedgerEntry
from registry.tasks.cards import publish_cards
from registry.tasks.rollback import answer_alert, roll_back_champion


@flow(flow_run_name="roll back {model}")
def rollback(
    model: str,
    reason: str,
    version: int | None = None,
    alias: str = CHAMPION,
    alert: str | None = None,
    occurred: datetime | None = None,
    target: int | None = None,
    policy: RollbackPolicy | None = None,
    registry: str | None = None,
) -> LedgerEntry:
    """Go back to the newest champion that is still trusted and works.

    Args:
        model: Name of the model.
        reason: Why; it goes into the ledger.
        version: The number of the version that is to come down; whichever is, or at the time of the alert
            was, in force if not given.
        alias: What to roll back.
        alert: What names the alert that this answers. An alert is answered once; if nothing may move, the
            ledger says why.
        occurred: When the alert was raised.
        target: The number of the version that was better on live rows: an alert goes back to it if it works.
        policy: What an alert asks of the version to go back to, and what it holds back afterwards; if not
            given, the one by which the alias was watched last.
        registry: Name of a saved Model Registry block; the settings of the process if not given.

    Returns:
        The ledger's entry.
    """
    if alert is None:
        entry = roll_back_champion(model, reason, bad=version, alias=alias, registry=registry)
    else:
        raised = Alert(
            model=model, reason=reason, key=alert, alias=alias, version=version, at=occurred, target=target
        )
        entry = answer_alert(raised, policy, registry)
    publish_cards(entry.reference, alias, registry)
    return entry
