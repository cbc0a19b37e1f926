"""Events that are sent are on the server, once, and the sender hears if they are not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TaskRunContext
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_ENABLED,
    temporary_settings,
)

from registry.exceptions import EventsUnavailable
from registry.tasks import events
from registry.tasks.events import ALERTED, DEGRADED, event, send
from tests.servers.process import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model() -> str:
    """A model of which no other test speaks."""
    return f"m{uuid4().hex}"


def heard(api: str, model: str, at_least: int = 1) -> list[dict[str, Any]]:
    """The events about the model, once there are enough; the server stores what it accepted later."""
    wanted = {"filter": {"resource": {"id": [f"model-registry.model.{model}"]}}}
    deadline = time.monotonic() + 20
    while True:
        found = httpx.post(f"{api}/events/filter", json=wanted).raise_for_status().json()["events"]
        if len(found) >= at_least:
            return list(found)
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def alert(model: str, reason: str = "slow") -> Any:
    return event(ALERTED, model, 7, identity=[reason], payload={"reason": reason})


def test_an_event_that_was_sent_is_on_the_server(prefect_api: str, model: str) -> None:
    send(alert(model))
    [found] = heard(prefect_api, model)
    assert found["event"] == "model-registry.champion.alerted"
    assert found["payload"] == {"model": model, "version": 7, "reason": "slow"}
    assert found["resource"]["prefect.resource.name"] == model
    assert found["related"] == [
        {
            "prefect.resource.id": f"model-registry.model.{model}.version.7",
            "prefect.resource.role": "model-version",
            "prefect.resource.name": f"{model}@7",
        }
    ]


def test_an_event_about_whichever_version_is_in_force_names_none(prefect_api: str, model: str) -> None:
    send(event(DEGRADED, model, None, identity=[], payload={}))
    [found] = heard(prefect_api, model)
    assert found["payload"] == {"model": model, "version": None}
    assert found["related"] == []


def test_the_same_event_twice_is_one(prefect_api: str, model: str) -> None:
    for reason in ("slow", "slow", "wrong"):
        send(alert(model, reason))
    found = heard(prefect_api, model, at_least=2)
    assert sorted(each["payload"]["reason"] for each in found) == ["slow", "wrong"]


def test_another_name_model_version_or_identity_is_another_event() -> None:
    def made(name: str = ALERTED, model: str = "churn", version: int = 7, identity: str = "a") -> Any:
        return event(name, model, version, identity=[identity], payload={}).id

    assert made() == made()
    assert len({made(), made(name=DEGRADED), made(model="spam"), made(version=8), made(identity="b")}) == 5


def test_an_event_from_a_task_names_the_task_run_and_its_flow_run(prefect_api: str, model: str) -> None:
    @task
    def tell() -> dict[str, str]:
        send(alert(model))
        around, within = FlowRunContext.get(), TaskRunContext.get()
        assert around is not None
        assert around.flow_run is not None
        assert within is not None
        return {"flow-run": str(around.flow_run.id), "task-run": str(within.task_run.id)}

    @flow
    def watch() -> dict[str, str]:
        return tell()

    runs = watch()
    [found] = heard(prefect_api, model)
    related = {each["prefect.resource.role"]: each["prefect.resource.id"] for each in found["related"]}
    for kind, identifier in runs.items():
        assert related[kind] == f"prefect.{kind}.{identifier}"


def test_a_server_that_can_not_be_reached_is_named_within_seconds() -> None:
    [port] = free_ports(1)
    began = time.monotonic()
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        pytest.raises(EventsUnavailable, match=rf"http://127.0.0.1:{port}/api did not take.*refused"),
    ):
        send(alert("churn"))
    assert time.monotonic() - began < 20


def test_a_server_that_goes_away_during_a_flow_is_not_waited_for(prefect_api: str) -> None:
    """A flow's own client, which has been connected, would try for a minute."""
    [port] = free_ports(1)

    @flow
    def watch() -> float:
        began = time.monotonic()
        get_client(sync_client=True).hello()
        with (
            temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
            pytest.raises(EventsUnavailable),
        ):
            send(alert("churn"))
        return time.monotonic() - began

    assert prefect_api
    assert watch() < 20


@contextmanager
def silent_server() -> Iterator[int]:
    """A port at which connections are accepted, and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PATIENCE", 0.2)
    began = time.monotonic()
    with (
        silent_server() as port,
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        pytest.raises(EventsUnavailable, match="timed out"),
    ):
        send(alert("churn"))
    assert time.monotonic() - began < 8


def test_a_server_that_refuses_is_quoted(prefect_api: str) -> None:
    with (
        temporary_settings({PREFECT_API_URL: f"{prefect_api}/nowhere"}),
        pytest.raises(EventsUnavailable, match=r"did not take an event: 404 Not Found$"),
    ):
        send(alert("churn"))


def test_where_there_is_no_server_at_all_the_sender_is_told() -> None:
    none = {PREFECT_API_URL: None, PREFECT_SERVER_EPHEMERAL_ENABLED: False}
    with temporary_settings(none), pytest.raises(EventsUnavailable, match="No Prefect API URL"):
        send(alert("churn"))


def test_the_module_loads_no_step_and_no_heavy_library() -> None:
    code = "import json, sys, registry.tasks.events; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    loaded = set(json.loads(done.stdout))
    assert {"pandas", "sklearn", "numpy", "registry.facade", "registry.store"}.isdisjoint(loaded)
