"""A broken model comes down by itself, and a changed world does not bring one down: with all parts real.

The flights are those of the demo, every sixth of them. The monitor flow runs here; the rollback is started by
the deployment's trigger on the Prefect server, and run by a worker. Nobody touches anything in between.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flows.feeds import DELAYS, ESTIMATES, MISJOINED, Feeds
from flows.flights import TARGET, read_flights
from flows.monitor import monitor
from flows.train_register_promote import train_register_promote
from registry import Batch, Better, Dataset, Floor, MonitoringPolicy, NotWorse, PromotionPolicy, Registry
from registry.tasks import events
from tests.servers.prefect import deploy, prefect_worker
from tests.watched import heard

if TYPE_CHECKING:
    from pathlib import Path

    from registry.policy import PromotionDecision
    from registry.tables import LedgerEntry, Observation

MODEL = "flight-delay"
POLICY = PromotionPolicy(
    checks=(Better("roc_auc"), NotWorse("accuracy", margin=0.01), Floor("roc_auc", 0.80)), min_rows=500
)
WATCH = MonitoringPolicy(correlation=0.02, patience=14)
SMALL = {"max_iter": 30, "max_leaf_nodes": 8}
SECONDS_TO_ANSWER = 90


@pytest.fixture
def feeds(tmp_path: Path) -> Feeds:
    return Feeds(read_flights().iloc[::6], tmp_path / "feeds")


@pytest.mark.long
def test_what_broke_comes_down_and_what_the_world_did_stays(
    prefect_api: str, registry: Registry, feeds: Feeds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = datetime.now(UTC)
    deploy(prefect_api)
    with prefect_worker(prefect_api, tmp_path):
        _promote_three_versions(registry, feeds)
        assert registry.aliases(MODEL) == {"champion": 3}
        assert _watch(registry, feeds, date(2013, 11, 1), MISJOINED) == "healthy"

        announced, entry = _break_the_feed(registry, feeds)
        assert (entry.kind, entry.replaced, entry.in_force) == ("rolled-back", 3, 2)
        assert entry.evidence["proof"] == "answered beside the champion"
        assert registry.quarantined(MODEL) == {"champion": [3]}
        delay = (entry.recorded_at - announced).total_seconds()
        with capsys.disabled():
            sys.stdout.write(f" [{delay:.1f} s from the event to the ledger's entry]")

        again = _retrain(feeds, 9, ESTIMATES, SMALL)
        assert (again.challenger, again.verdict) == (f"{MODEL}@3", "inconclusive")
        assert "only an assignment by hand brings it back" in again.reasons[0]

        before = len(registry.history(MODEL))
        assert _change_the_world(registry, feeds) == "world-changed"
        assert heard(prefect_api, began, events.WORLD_CHANGED, model=MODEL, least=1)
        assert registry.aliases(MODEL) == {"champion": 2}
        assert len(registry.history(MODEL)) == before
        assert len(heard(prefect_api, began, events.ROLLED_BACK, model=MODEL, least=1)) == 1


def _promote_three_versions(registry: Registry, feeds: Feeds) -> None:
    """Each better than the one before; the first two serve a month of healthy days."""
    weak = {"max_iter": 4, "learning_rate": 0.4, "max_leaf_nodes": 8}
    assert _retrain(feeds, 1, DELAYS, weak).approved
    assert _watch(registry, feeds, date(2013, 3, 1), date(2013, 4, 1)) == "healthy"
    assert _retrain(feeds, 2, DELAYS, SMALL).approved
    assert _watch(registry, feeds, date(2013, 10, 1), date(2013, 11, 1)) == "healthy"
    assert _retrain(feeds, 9, ESTIMATES, SMALL).approved


def _retrain(feeds: Feeds, month: int, columns: tuple[str, ...], params: dict[str, Any]) -> PromotionDecision:
    return train_register_promote(
        model=MODEL,
        trainer="flows.flights:train",
        training_data=str(feeds.training(month, columns)),
        holdout=str(feeds.month(month + 1)),
        target=TARGET,
        policy=POLICY,
        params=params,
    )


def _watch(registry: Registry, feeds: Feeds, first: date, end: date) -> str:
    """Score the days before *end*, as they were delivered; what is held of the champion after the last."""
    observations = [_score(registry, day, feeds.day(day)) for day in _days(first, end)]
    return observations[-1].status


def _score(registry: Registry, day: date, file: Path) -> Observation:
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    batch = Batch(rows=Dataset.read(file, TARGET), key=str(day), at=at, metric="accuracy")
    return registry.score(f"{MODEL}@champion", batch, policy=WATCH)


def _days(first: date, end: date) -> list[date]:
    return [first + timedelta(days=day) for day in range((end - first).days)]


def _break_the_feed(registry: Registry, feeds: Feeds) -> tuple[datetime, LedgerEntry]:
    """Let the monitor run on the misjoined days until it says that the champion is degraded, and wait."""
    for day in _days(MISJOINED, MISJOINED + timedelta(days=10)):
        observation = monitor(MODEL, str(feeds.day(day)), batch=str(day), policy=WATCH)
        assert observation is not None
        if observation.status == "degraded":
            announced = datetime.now(UTC)
            return announced, _rolled_back(registry)
    pytest.fail("the broken version was not found out")


def _rolled_back(registry: Registry) -> LedgerEntry:
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    while (entry := registry.history(MODEL)[-1]).kind != "rolled-back":
        assert time.monotonic() < deadline, f"nothing happened after {entry!r}"
        time.sleep(0.5)
    return entry


def _change_the_world(registry: Registry, feeds: Feeds) -> str:
    """From now on all departure delays come in seconds, which both versions read in minutes."""
    status = "healthy"
    for day in _days(date(2013, 12, 1), date(2013, 12, 31)):
        frame = Dataset.read(feeds.day(day), TARGET).frame
        file = feeds.folder / "seconds" / f"{day}.parquet"
        file.parent.mkdir(exist_ok=True)
        frame.assign(dep_delay=frame["dep_delay"] * 60).to_parquet(file, index=False)
        status = _score(registry, day, file).status
        if status not in {"healthy", "suspect"}:
            monitor(MODEL, str(file), batch=str(day), policy=WATCH)  # finds the batch, and what is to be told
            break
    return status
