"""The demo: a year of real flights, through the flows that a team would deploy.

Each month a version is trained on that month and judged on the next. Most are not provably better and are
held. One month's feed is broken; one version goes past the gate by hand, turns out bad, and comes down. In
autumn the version in force is watched day by day. One that learned from a new feed is promoted; the feed is
joined wrongly, which nothing but the outcomes shows; the version comes down by itself, and no haste replaces
it. December is worse for every version: nothing comes down, and a retrained one takes over.
"""

from __future__ import annotations

from calendar import month_abbr, month_name, monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby, islice
from typing import TYPE_CHECKING

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from threadpoolctl import threadpool_limits

from registry.datasets import Dataset
from registry.monitoring import alarm_of, explained
from registry.monitoring_policy import MonitoringPolicy, RollbackPolicy
from registry.policy import Better, Floor, NotWorse, PromotionPolicy
from registry.scoring import Batch
from registry.tasks import open_registry

from .feeds import BOTH, BROKEN_MONTH, DELAYS, ESTIMATED_SINCE, ESTIMATES, MISJOINED, Feeds
from .flights import TARGET, read_flights, train
from .monitor import monitor
from .rollback import rollback
from .train_register_promote import train_register_promote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from registry.tables import LedgerEntry, Observation

    from .feeds import Columns

MODEL = "flight-delay"
METRIC = "accuracy"
POLICY = PromotionPolicy(
    checks=(
        Better("roc_auc"),
        NotWorse("accuracy", margin=0.005),
        NotWorse("roc_auc", margin=0.02, slices="origin"),
        Floor("roc_auc", 0.80),
    ),
    min_rows=500,
)
WATCH = MonitoringPolicy(
    correlation=0.02,  # flights share a day's weather: 0.025 on the holdout of version 1, 0.021 of version 2
    patience=14,  # days
    rollback=RollbackPolicy(cooldown_batches=10),  # days; its 30 of the clock do not pass while a demo runs
)
_HOTFIX_AFTER = 7
_LEARNED = {DELAYS: "", ESTIMATES: " with the estimates", BOTH: " with delays and estimates"}
_WATCHED = (3, 9, 10)  # March on trial: a version that nobody watched is nothing to fall back on


@dataclass(frozen=True)
class Act:
    """One thing that happened in the year.

    Attributes:
        when: A day, or several.
        what: What was done.
        entry: What it left in the ledger, if it was a decision.
        watched: What was recorded of the days, if they were watched.
    """

    when: str
    what: str
    entry: LedgerEntry | None = None
    watched: Sequence[Observation] = ()


def play(folder: Path) -> Iterator[Act]:
    """Replay 2013 with the feeds' files in *folder*; one act at a time, as it happens."""
    feeds = Feeds(read_flights(), folder)
    quick = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})  # it adds a second to each flow run
    with quick, threadpool_limits(1):  # several threads wait for each other when the machine is busy
        for number in range(1, 10):
            yield from _month(feeds, number)
        yield from _november(feeds)
        yield from _december(feeds)


def _month(feeds: Feeds, number: int) -> Iterator[Act]:
    """The month after *number*, at whose end the version that was trained on *number* is judged."""
    if number + 1 in _WATCHED:
        yield from _stretches(_scored(feeds, _days(number + 1)))
    yield _retrain(feeds, number, ESTIMATES if number >= ESTIMATED_SINCE else DELAYS)
    if number == _HOTFIX_AFTER:
        yield from _hotfix(feeds, number + 1)


def _november(feeds: Feeds) -> Iterator[Act]:
    """The estimates are joined wrongly, the version that lives on them comes down, and a cooldown begins."""
    days = _days(MISJOINED.month)
    yield from _stretches(_scored(feeds, islice(days, MISJOINED.day - 1)))
    for row in _until_decided(_monitored(feeds, days)):
        yield Act(_when(row), _happened(row), watched=[row])
        if row.status == "degraded":
            yield _answer(row)
    yield from _stretches(_scored(feeds, days))
    yield _retrain(feeds, 10, BOTH)


def _december(feeds: Feeds) -> Iterator[Act]:
    """Storms and holidays: every version does worse, so that none comes down, but a new one is asked for."""
    days, until = _days(12), 31
    for act in _stretches(_until_decided(_monitored(feeds, days))):
        yield act
        until = act.watched[-1].at.day
    yield _retrain(feeds, 11, BOTH, until)
    yield from _stretches(_scored(feeds, days))


# Deciding


def _retrain(feeds: Feeds, number: int, columns: Columns, until: int = 31) -> Act:
    """Train on a month, and judge on the days of the next *until* one."""
    train_register_promote(
        model=MODEL,
        trainer=f"{train.__module__}:{train.__name__}",
        training_data=str(feeds.training(number, columns)),
        holdout=str(feeds.month(number + 1, until)),
        target=TARGET,
        policy=POLICY,
        params={"max_iter": 100},
    )
    last = min(until, _last(number + 1))
    judged_on = _named(number + 1) if last == _last(number + 1) else f"1–{last} {_named(number + 1)}"
    what = f"trained on {_named(number)}{_LEARNED[columns]}, judged on {judged_on}"
    return Act(f"{last} {month_abbr[number + 1]}", what, _newest())


def _hotfix(feeds: Feeds, number: int) -> Iterator[Act]:
    """Someone assigns the version of the broken month by hand; its numbers are bad; it is rolled back."""
    hotfix = f"{MODEL}@{BROKEN_MONTH}"
    with open_registry() as registry:
        entry = registry.assign(hotfix, reason="hotfix: it looked fine on the laptop")
        yield Act(f"31 {month_abbr[number]}", f"{hotfix} is assigned by hand, past the gate", entry)
        judge = Dataset.read(feeds.month(number), TARGET)
        measured = registry.evaluate(hotfix, judge, metrics=["roc_auc"])
    found = measured.metrics["roc_auc"]
    entry = rollback(MODEL, reason=f"ROC AUC is {found:.3f} on {month_name[number]}, below the floor of 0.80")
    yield Act(f"31 {month_abbr[number]}", f"its ROC AUC is {found:.3f}, so it is rolled back", entry)


def _answer(alarm: Observation) -> Act:
    """Run the rollback with what its trigger in ``deployments/prefect.yaml`` takes from the alarm's event."""
    entry = rollback(
        model=alarm.model,
        reason=explained(alarm),
        version=alarm.version,
        alias=alarm.alias,
        alert=alarm_of(alarm),
        occurred=alarm.recorded_at,
        target=alarm.target,
        policy=RollbackPolicy.model_validate(alarm.policy["rollback"]),
    )
    return Act(_when(alarm), "so it is rolled back (by the demo itself: no automation runs here)", entry)


def _newest() -> LedgerEntry:
    with open_registry() as registry:
        return registry.history(MODEL)[-1]


# Watching


def _scored(feeds: Feeds, days: Iterable[date]) -> Iterator[Observation]:
    """Watch the *days* through the library, which takes a fraction of the time of as many flow runs."""
    with open_registry() as registry:
        for day in days:
            rows = Dataset.read(feeds.day(day), TARGET)
            at = datetime(day.year, day.month, day.day, tzinfo=UTC)
            batch = Batch(rows=rows, key=str(day), at=at, metric=METRIC)
            yield registry.score(f"{MODEL}@champion", batch, policy=WATCH)


def _monitored(feeds: Feeds, days: Iterable[date]) -> Iterator[Observation]:
    """Watch the *days* by runs of the flow, which let Prefect know what is decided."""
    for day in days:
        row = monitor(MODEL, str(feeds.day(day)), metric=METRIC, batch=str(day), policy=WATCH)
        if row is not None:
            yield row


def _until_decided(rows: Iterable[Observation]) -> Iterator[Observation]:
    """The *rows* as far as the one that blames the version or the world."""
    for row in rows:
        yield row
        if row.decided == row.sequence:
            return


def _days(month: int) -> Iterator[date]:
    return (date(2013, month, day) for day in range(1, _last(month) + 1))


def _last(month: int) -> int:
    return monthrange(2013, month)[1]


# Telling


def _stretches(rows: Iterable[Observation]) -> Iterator[Act]:
    """An act for each stretch of days after which the same was held of the version in force."""
    for _, same in groupby(rows, key=lambda row: row.status):
        watched = list(same)
        yield Act(_when(*watched), _held(watched), watched=watched)


def _when(*rows: Observation) -> str:
    """The day, such as ``18 Nov``, or from which to which."""
    days = dict.fromkeys([rows[0].at.day, rows[-1].at.day])
    return f"{'–'.join(map(str, days))} {month_abbr[rows[0].at.month]}"


def _held(rows: Sequence[Observation]) -> str:
    """What a stretch of days brings."""
    newest = rows[-1]
    if newest.status == "world-changed":
        return "neither is right more often: the world changed, and nothing comes down"
    if newest.target is not None:
        return f"an alarm, and {len(rows) - 1} days on which @{newest.target} answers the same rows"
    return f"{len(rows)} days watched"


def _happened(row: Observation) -> str:
    """What a day of the incident brings."""
    if row.status == "degraded":
        return f"@{row.target} is right more often, so it is not the world: @{row.version} is to blame"
    if row.alarm == row.sequence:
        return "the evidence of a fall passes 1, which is the alarm"
    if row.status == "suspect":
        return f"@{row.target} answers the same rows; it does better, not provably so"
    if row.batch == str(MISJOINED):
        return "each estimate is joined to the row after its own, and nothing shows it"
    return "low as in a storm, and no alarm yet"


def _named(month: int) -> str:
    return f"{month_name[month]}{' (feed broken)' if month == BROKEN_MONTH else ''}"
