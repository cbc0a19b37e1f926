"""Watch the version in force: record, decide, and let Prefect know what must happen.

An alarm is not lost while the server is away: what was decided is a row, and the next run announces every
decision that no server has accepted yet.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect import task

from registry import reports
from registry.monitoring import AGAIN, alarm_of
from registry.monitoring_policy import MonitoringPolicy
from registry.references import CHAMPION
from registry.scoring import Batch
from registry.tables import Observation
from registry.tasks import events
from registry.tasks.announcements import announce, announce_alarms
from registry.tasks.cards import publish
from registry.tasks.runs import PATIENT, open_registry


@task(task_run_name="observe {reference} {metric} on {batch}", **PATIENT)
def record_observation(
    reference: str,
    metric: str,
    value: float,
    rows: int,
    batch: str,
    at: datetime | None = None,
    policy: MonitoringPolicy | None = None,
    registry: str | None = None,
) -> Observation:
    """Record what the metric was on a batch of live rows; a batch that is delivered again counts once."""
    with open_registry(registry) as opened:
        return _told(
            opened.observe(
                reference, metric=metric, value=value, rows=rows, batch=batch, at=at, policy=policy
            )
        )


@task(task_run_name="score {alias} on {batch.key}", **PATIENT)
def score_champion(
    alias: str, batch: Batch, policy: MonitoringPolicy | None = None, registry: str | None = None
) -> Observation:
    """Score the version in force on labelled live rows, and record it."""
    with open_registry(registry) as opened:
        return _told(opened.score(alias, batch, policy=policy))


@task(task_run_name="check {model}@{alias}", **PATIENT)
def check_champion(
    model: str, alias: str = CHAMPION, again: timedelta = AGAIN, registry: str | None = None
) -> list[Observation]:
    """Announce the decisions about the version in force that Prefect has not heard of; return them."""
    with open_registry(registry) as opened:
        return announce_alarms(opened, model, alias, again)


@task(task_run_name="draw the health of {model}@{alias}", **PATIENT)
def publish_health(model: str, metric: str, alias: str = CHAMPION, registry: str | None = None) -> None:
    """Publish the control chart of a metric as an artifact."""
    with open_registry(registry) as opened:
        observations = opened.observations(model, metric=metric, alias=alias)
        entries = opened.history(model, alias=alias)
    if observations:
        watched = metric if alias == CHAMPION else f"{metric}.{alias}"
        publish(model, f"health-{watched}", reports.health_card(observations, entries))


def _told(observation: Observation) -> Observation:
    """Say so if the first batches contradict the evaluation by which the version was promoted."""
    if (distance := observation.state["disagreement"]) is not None:
        announce(
            events.REFERENCE_DISAGREES,
            observation.model,
            observation.version,
            identity=[observation.alias, alarm_of(observation), observation.recorded_at.isoformat()],
            payload={
                "alias": observation.alias,
                "metric": observation.metric,
                "standard_errors": distance,
                "reference": observation.state["baseline"]["value"],
            },
        )
    return observation
