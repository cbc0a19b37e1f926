"""Score the version in force on the newest labelled rows, and let Prefect know if it is to come down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from logging import INFO, WARNING

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from registry.datasets import Dataset, is_url
from registry.exceptions import EmptyDataset, InvalidDataset, InvalidObservation
from registry.monitoring import moment_of
from registry.monitoring_policy import MonitoringPolicy
from registry.references import CHAMPION
from registry.scoring import Batch
from registry.tables import Observation
from registry.tasks import check_champion, open_registry, publish_health, score_champion
from registry.tasks.forms import AliasText, ModelText

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@flow(flow_run_name="monitor {model}")
def monitor(
    model: ModelText,
    source: str,
    metric: str = "accuracy",
    query: str | None = None,
    window: timedelta = timedelta(days=1),
    delay: timedelta = timedelta(0),
    batch: str | None = None,
    policy: MonitoringPolicy | None = None,
    alias: AliasText = CHAMPION,
    registry: str | None = None,
) -> Observation | None:
    """Score the version in force on the labelled rows of one window, record it, and announce what follows.

    The window is the last whole one before the scheduled start of the run, less the delay: of a run that is
    scheduled for 03:00 with a window of a day, the day before. Running it again finds the batch recorded.

    Args:
        model: Name of the model.
        source: Parquet or CSV file, on disk or s3://, in whose name {start} and {end} stand for the
            window, such as labels/{start:%Y-%m-%d}.parquet; or, with a query, a database's URL. Leave its
            password to the driver's own means, such as PGPASSWORD, because Prefect shows parameters.
        metric: What to score, by a scikit-learn scorer's name; the version was evaluated by it.
        query: An SQL statement for the labelled rows, in which :start and :end stand for the window.
        window: How much time a batch covers.
        delay: How long the labels take to arrive.
        batch: The batch's key, which counts once; the start of the window if not given. A key that is a date,
            such as 2026-03-01, is also the batch's time.
        policy: When numbers count as fallen, and what it takes to blame the model for it.
        alias: What to watch.
        registry: Name of a saved Model Registry block; the settings of the process if not given.

    Returns:
        The observation; nothing if there were no rows.
    """
    start, end = _window(flow_run.scheduled_start_time - delay, window)
    try:
        with open_registry(registry) as opened:
            target = opened.target_of(f"{model}@{alias}")
        rows = _read(source, query, target, {"start": start, "end": end})
        key = batch or _key(start)
        seen = Batch(rows=rows, key=key, at=moment_of(key, start), metric=metric)
        return _told(score_champion(f"{model}@{alias}", seen, policy, registry))
    except EmptyDataset as nothing:
        get_run_logger().warning("nothing to observe: %s", nothing)
        return None
    finally:  # an alarm of an earlier run that nobody heard does not wait for labels
        check_champion(model, alias, registry=registry)
        publish_health(model, metric, alias, registry)


def _told(observation: Observation) -> Observation:
    """Say in the run's log what was seen; louder where it is not well."""
    level = INFO if observation.status == "healthy" else WARNING
    get_run_logger().log(
        level,
        "%s: %s %.4g on batch %s (%d rows, floor %.4g): %s",
        observation.reference,
        observation.metric,
        observation.value,
        observation.batch,
        observation.rows,
        observation.floor,
        observation.status,
    )
    return observation


def _window(now: datetime, window: timedelta) -> tuple[datetime, datetime]:
    """The last whole window before *now*; windows are counted from the beginning of 1970, UTC."""
    if window <= timedelta(0):
        raise InvalidObservation(f"a window of {window}", "give one of some length, such as a day")
    past = datetime.fromtimestamp(now.timestamp(), UTC) - _EPOCH  # Prefect's times do not divide by windows
    end = _EPOCH + past // window * window
    return end - window, end


def _key(start: datetime) -> str:
    return f"{start:%Y-%m-%d}" if start.timetz() == _EPOCH.timetz() else start.isoformat()


def _read(source: str, query: str | None, target: str, window: dict[str, datetime]) -> Dataset:
    if query is None:
        return Dataset.read(_filled(source, window), target)
    return Dataset.query(source, query, target, parameters=window)


def _filled(source: str, window: dict[str, datetime]) -> str:
    if is_url(source):
        return source  # which is refused without being shown
    try:
        return source.format_map(window)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        reason = f"{error} can't be filled in; {{start}} and {{end}} can, such as {{start:%Y-%m-%d}}"
        raise InvalidDataset(source, reason) from None
