"""Say that an alert started nothing: Prefect itself keeps silent about an automation that could not act."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from registry.exceptions import AlertUnanswered


@flow(flow_run_name="unanswered: {alert}")
def unanswered(automation: str, reason: str, alert: str, occurred: datetime | None = None) -> None:
    """Fail, so that somebody looks.

    Args:
        automation: Name of the automation that could not act.
        reason: Why, as Prefect says.
        alert: Id of the event that was to start something.
        occurred: When the automation failed.

    Raises:
        AlertUnanswered: Always.
    """
    when = f" at {occurred:%Y-%m-%d %H:%M:%S %Z}" if occurred else ""
    raise AlertUnanswered(alert, automation, f"{reason}{when}")
