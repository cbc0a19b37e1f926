"""An alert goes from a real Alertmanager through the receiver to a real Prefect server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import httpx
import pytest

from tests.servers.alertmanager import alertmanager
from tests.servers.prefect import prefect_server
from tests.servers.process import await_ready, end, free_ports
from tests.watched import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")
SECRET = "open sesame"  # noqa: S105  it guards nothing
SLOW = "p99 is 2.3 s,\nabove 2 s"
SERVE = "import sys; from registry.alerts import serve; serve(sys.argv[1], port=int(sys.argv[2]))"


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    """Where a downloaded Alertmanager stays from one test run to the next."""
    folder: Path = request.config.cache.mkdir("alertmanager")
    return folder


@contextmanager
def receiver(prefect_api: str, folder: Path) -> Iterator[str]:
    """Receive alerts in a process of its own, as the command line does; gives the URL to post them to."""
    [port] = free_ports(1)
    log = folder / "receiver.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  the command is the tests' own
            [sys.executable, "-c", SERVE, SECRET, str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ
            | {"PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(folder), "DO_NOT_TRACK": "1"},
        )
    try:
        await_ready(process, lambda: _is_healthy(port), log)
        yield f"http://127.0.0.1:{port}/alerts"
    finally:
        end(process, signal.SIGTERM)


@pytest.fixture
def webhook(prefect_api: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a receiver that tells the session's Prefect server."""
    with receiver(prefect_api, tmp_path) as url:
        yield url


@pytest.fixture
def model() -> str:
    """A model of which no other test speaks."""
    return f"m{uuid4().hex}"


def alert(model: str, summary: str = SLOW, **labels: str) -> dict[str, dict[str, str]]:
    """An alert as Prometheus sends it."""
    return {
        "labels": {"alertname": "ChampionIsBad", "model": model, **labels},
        "annotations": {"summary": summary},
    }


def post(webhook: str, model: str, **labels: str) -> httpx.Response:
    """Post an alert to the receiver with the right secret."""
    fired = alert(model, **labels) | {
        "status": "firing",
        "startsAt": "2026-11-23T09:43:15Z",
        "fingerprint": "f",
    }
    group = {"version": "4", "alerts": [fired]}
    return httpx.post(webhook, json=group, headers={"Authorization": f"Bearer {SECRET}"})


def heard(api: str, model: str) -> list[dict[str, Any]]:
    """The events about the model that the server has stored."""
    wanted = {"filter": {"resource": {"id": [f"model-registry.model.{model}"]}}}
    events = httpx.post(f"{api}/events/filter", json=wanted).raise_for_status().json()["events"]
    return list(events)


def reasons(api: str, model: str) -> list[str]:
    return [event["payload"]["reason"] for event in heard(api, model)]


def until(condition: Callable[[], T]) -> T:
    """Wait until the condition holds, for as long as a busy server may take."""
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def _is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    except httpx.TransportError:
        return False


def test_an_alert_is_an_event_within_seconds(prefect_api: str, webhook: str, cache: Path, model: str) -> None:
    with alertmanager(webhook, SECRET, cache=cache) as server:
        server.receive(alert(model, version="7"))
        [event] = until(lambda: heard(prefect_api, model))
    assert event["event"] == "model-registry.champion.alerted"
    assert event["payload"]["version"] == 7
    assert event["payload"]["reason"] == "p99 is 2.3 s, above 2 s"
    assert event["payload"]["alias"] == "champion"
    assert now() - timedelta(minutes=1) < datetime.fromisoformat(event["payload"]["since"]) <= now()


def test_an_alert_that_is_sent_again_is_the_same_event(
    prefect_api: str, webhook: str, cache: Path, model: str
) -> None:
    with alertmanager(webhook, SECRET, cache=cache) as server:
        server.receive(alert(model))
        until(lambda: server.counted("notifications") > 1)
        server.receive(alert(model, "wrong", severity="page"))
        until(lambda: "wrong" in reasons(prefect_api, model))  # the last to be stored
        assert server.counted("notifications_failed") == 0
    assert sorted(reasons(prefect_api, model)) == ["p99 is 2.3 s, above 2 s", "wrong"]


def test_with_the_wrong_secret_nothing_arrives_and_alertmanager_counts_a_failure(
    prefect_api: str, webhook: str, cache: Path, model: str
) -> None:
    with alertmanager(webhook, "open barley", cache=cache) as server:
        server.receive(alert(model))
        until(lambda: server.counted("notifications_failed"))
    post(webhook, model, version="9").raise_for_status()  # the server stores events in their order
    assert [event["payload"]["version"] for event in until(lambda: heard(prefect_api, model))] == [9]


def test_an_alert_of_no_model_is_a_failure_and_takes_no_neighbour_with_it(
    prefect_api: str, webhook: str, cache: Path, model: str
) -> None:
    with alertmanager(webhook, SECRET, cache=cache) as server:
        server.receive({"labels": {"alertname": "Slow"}}, alert(model))
        until(lambda: server.counted("notifications_failed"))
        assert len(until(lambda: heard(prefect_api, model))) == 1


@pytest.mark.faults
def test_an_alert_that_came_while_prefect_was_away_arrives_once_it_is_back(
    cache: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_prefect_home: Path
) -> None:
    [port] = free_ports(1)
    monkeypatch.setattr("tests.servers.prefect.free_ports", lambda _count: [port])
    monkeypatch.setenv("PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL", "0.2")  # not five seconds
    away = f"http://127.0.0.1:{port}/api"
    with receiver(away, tmp_path) as webhook, alertmanager(webhook, SECRET, cache=cache) as server:
        server.receive(alert(model))
        until(lambda: server.counted("notification_requests_failed"))
        assert post(webhook, model).status_code == 503
        with prefect_server(like=empty_prefect_home) as back:
            assert back == away
            assert until(lambda: heard(back, model))
