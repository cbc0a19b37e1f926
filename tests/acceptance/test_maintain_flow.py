"""Maintenance verifies first; it removes what nobody needs, or fails for all to see and removes nothing."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.events.worker import EventsWorker

from flows.maintain import maintain
from registry import Registry, RetentionPolicy
from registry.exceptions import ArtifactPurged, RegistryUnsound
from registry.tasks import events
from tests.shelves import NO_TIME, evaluate, kept, leasing, problems, put, register
from tests.watched import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from prefect.client.schemas.objects import State

NOTHING = RetentionPolicy(keep_last=1, keep_younger_than=NO_TIME, rollback_window=1)
DAY = timedelta(days=1)


@pytest.fixture
def held(registry: Registry) -> Iterator[Registry]:
    """Three versions with predictions, of which the second is in force, an orphan, and one that is leased."""
    with registry:
        unleased = leasing(registry, NO_TIME)
        for _ in range(3):
            evaluate(unleased, register(unleased))
        registry.assign("churn@2", reason="the best")
        put(unleased, "an orphan")
        put(leasing(registry, DAY), "under way")
        yield registry


@pytest.fixture
def began() -> datetime:
    """When the test began; what it asks the server for is younger."""
    return now()


def told(api: str, since: datetime, name: str) -> list[dict[str, Any]]:
    """The events of this name about a registry that the server got since then, as soon as there is one."""
    EventsWorker.drain_all()  # it sends in the background
    about = {"resource": {"id": ["model-registry.registry"]}, "occurred": {"since": since.isoformat()}}
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = httpx.post(f"{api}/events/filter", json={"filter": about, "limit": 50})
        if found := [each for each in answer.raise_for_status().json()["events"] if each["event"] == name]:
            return found
        time.sleep(0.1)
    return []


def card() -> str:
    """What the newest run published."""
    key = ArtifactFilter(key=ArtifactFilterKey(any_=["registry-upkeep"]))
    with get_client(sync_client=True) as client:
        newest = client.read_artifacts(artifact_filter=key, sort=ArtifactSort.CREATED_DESC)[0]
    assert newest.type == "markdown"
    return str(newest.data)


def last_run() -> State[Any]:
    name = FlowRunFilter(name=FlowRunFilterName(any_=["maintain the registry"]))
    with get_client(sync_client=True) as client:
        [run] = client.read_flow_runs(flow_run_filter=name, sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert run.state is not None
    return run.state


def test_a_sound_registry_loses_its_garbage_and_what_the_policy_gives_up(
    held: Registry, prefect_api: str, began: datetime
) -> None:
    upkeep = maintain(retention=NOTHING)
    assert upkeep.problems == []
    assert [artifact.bytes for artifact in upkeep.garbage] == [len("an orphan")]
    assert len(upkeep.purged) == 2  # the first version, and its predictions
    assert len(kept(held)) == 5
    assert problems(held) == []
    with pytest.raises(ArtifactPurged):
        held.load("churn@1")
    assert last_run().is_completed()
    shown = card()
    assert "The registry is sound" in shown
    assert "| Given up by the retention policy | 2 | " in shown
    [event] = told(prefect_api, began, events.MAINTAINED)
    counted = {name: event["payload"][name] for name in ("wrong", "removed", "purged", "strays")}
    assert counted == {"wrong": 0, "removed": 1, "purged": 2, "strays": 0}
    assert event["payload"]["freed"] == upkeep.freed > 0


def test_without_a_policy_no_version_loses_its_bytes(held: Registry) -> None:
    upkeep = maintain(scope="rows")
    assert (len(upkeep.garbage), len(upkeep.purged)) == (1, 0)
    assert len(kept(held)) == 7


def test_where_something_is_wrong_nothing_is_removed_and_the_run_fails_with_its_name(
    held: Registry, prefect_api: str, began: datetime
) -> None:
    held.backend.artifacts.remove(held.resolve("churn@2").artifact)
    before = kept(held)
    with pytest.raises(RegistryUnsound, match="nothing was removed; the first is churn@2: "):
        maintain(retention=NOTHING)
    assert kept(held) == before
    assert held.purged("churn") == {}
    state = last_run()
    assert state.is_failed()
    assert "churn@2" in str(state.message)
    assert "## 1 problem, nothing was removed" in card()
    [event] = told(prefect_api, began, events.UNSOUND)
    assert event["payload"]["wrong"] == 1
    assert event["payload"]["problems"][0].startswith("churn@2: ")
