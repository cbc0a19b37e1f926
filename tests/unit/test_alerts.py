"""What the receiver makes of Alertmanager's webhooks; the payloads were sent by Alertmanager 0.25."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from registry.alerts import LARGEST_BODY, LONGEST_REASON, Alarm, receiver
from registry.exceptions import EventsUnavailable, InvalidName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROOT = Path(__file__).parents[2]
SECRET = "open sesame"  # noqa: S105  it guards nothing
BEARER = {b"Authorization": f"Bearer {SECRET}".encode()}

FIRING = {
    "status": "firing",
    "labels": {"alertname": "ChampionLatencyHigh", "model": "churn", "severity": "page", "version": "7"},
    "annotations": {"description": "for 5 minutes", "summary": "p99 of churn@7 is 2.3 s,\nabove 2 s"},
    "startsAt": "2026-11-23T09:43:15.474716964Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph?g0.expr=p99",
    "fingerprint": "fe5b0be330ce4991",
}
RESOLVED = FIRING | {"status": "resolved", "annotations": {}, "endsAt": "2026-11-23T09:43:20Z"}
OF_NO_MODEL = {
    "status": "firing",
    "labels": {"alertname": "ChampionLatencyHigh", "instance": "web-1", "severity": "page"},
    "annotations": {"description": "someone else's"},
    "startsAt": "2026-11-23T09:43:15.474716964Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "",
    "fingerprint": "ad63fc479cb3d72c",
}
GROUP = {
    "receiver": "registry",
    "status": "firing",
    "groupLabels": {"alertname": "ChampionLatencyHigh"},
    "commonLabels": {"alertname": "ChampionLatencyHigh", "severity": "page"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager.example:9093",
    "version": "4",
    "groupKey": '{}:{alertname="ChampionLatencyHigh"}',
    "truncatedAlerts": 0,
}


def labelled(**labels: str) -> dict[str, Any]:
    """The firing alert with these labels."""
    return FIRING | {"labels": labels}


def annotated(**annotations: str) -> dict[str, Any]:
    """The firing alert with these annotations."""
    return FIRING | {"annotations": annotations}


def webhook(*alerts: dict[str, Any], **group: Any) -> bytes:
    return json.dumps(GROUP | {"alerts": alerts} | group).encode()


def call(
    announce: Callable[[Alarm], None],
    content: bytes | AsyncIterator[bytes] = b"",
    *,
    to: str = "POST /alerts",
    headers: dict[bytes, bytes] = BEARER,
) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(receiver(SECRET, announce))
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            method, path = to.split()
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(ask())


def refuse(_alarm: Alarm) -> None:
    raise EventsUnavailable("http://prefect.example/api", "Connection refused")


def test_a_firing_alert_is_announced_with_what_it_says() -> None:
    announced: list[Alarm] = []
    assert call(announced.append, webhook(FIRING)).status_code == 200
    assert announced == [
        Alarm(
            model="churn",
            version=7,
            alias="champion",
            reason="p99 of churn@7 is 2.3 s, above 2 s",
            since="2026-11-23T09:43:15.474716964Z",
            identity=("fe5b0be330ce4991", "2026-11-23T09:43:15.474716964Z"),
        )
    ]


def test_a_version_may_be_left_out_and_an_alias_named() -> None:
    announced: list[Alarm] = []
    call(announced.append, webhook(labelled(model="churn", alias="shadow")))
    [alarm] = announced
    assert (alarm.version, alarm.alias) == (None, "shadow")


def test_a_resolved_alert_is_passed_over() -> None:
    announced: list[Alarm] = []
    assert call(announced.append, webhook(RESOLVED)).status_code == 200
    assert announced == []


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        (annotated(summary="slow", description="for 5 minutes"), "slow"),
        (annotated(summary=" \n", description="for\n5 minutes\0"), "for 5 minutes"),
        (annotated(runbook="http://wiki.example"), "ChampionLatencyHigh"),
        (labelled(model="churn") | {"annotations": {}}, "an alert without a name"),
        (annotated(summary="slow " * 1_000), ("slow " * 1_000)[:LONGEST_REASON]),
    ],
)
def test_the_reason_is_the_first_thing_told_on_one_short_line(alert: dict[str, Any], reason: str) -> None:
    announced: list[Alarm] = []
    call(announced.append, webhook(alert))
    assert [alarm.reason for alarm in announced] == [reason]


@pytest.mark.parametrize(
    ("alert", "fault"),
    [
        (OF_NO_MODEL, "alert ad63fc479cb3d72c (ChampionLatencyHigh): '' is not a valid label model"),
        (labelled(model="Churn!"), "'Churn!' is not a valid model name"),
        (labelled(model="churn", alias="7"), "'7' is not a valid alias"),
        *((labelled(model="churn", version=text), f"{text!r} is not a valid label version") for text in
          ("v7", "0", "-7", "7.0", "", "٧", "9" * 10)),
        (labelled(model="churn", version="9" * 5_000), "is not a valid label version"),
    ],
)  # fmt: skip
def test_an_alert_that_can_not_be_understood_is_named(alert: dict[str, Any], fault: str) -> None:
    announced: list[Alarm] = []
    response = call(announced.append, webhook(alert))
    assert response.status_code == 422
    assert fault in response.text
    assert announced == []


def test_a_bad_neighbour_is_named_and_keeps_no_alert_from_being_announced() -> None:
    announced: list[Alarm] = []
    response = call(announced.append, webhook(OF_NO_MODEL, FIRING, labelled(model="churn", version="x")))
    assert [alarm.model for alarm in announced] == ["churn"]
    assert response.status_code == 422
    assert response.text.count("is not a valid label") == 2


def test_while_alerts_are_not_taken_alertmanager_is_told_to_try_again() -> None:
    response = call(refuse, webhook(OF_NO_MODEL, FIRING))
    assert response.status_code == 503
    assert response.text == "http://prefect.example/api did not take an event: Connection refused"


@pytest.mark.parametrize(
    "began", ["", "yesterday", "2026-03-01T12:00:00", "9999-12-31T23:59:59-12:00", "2026\0", "x" * 10_000]
)
def test_an_alert_that_does_not_say_when_it_began_is_named_and_its_neighbour_announced(began: str) -> None:
    announced: list[Alarm] = []
    response = call(announced.append, webhook(FIRING | {"startsAt": began}, FIRING))
    assert response.status_code == 422
    assert "is not a valid startsAt: send a time with a zone" in response.text
    assert len(announced) == 1
    assert len(response.text) < 500


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "body: Invalid JSON"),
        (b"{", "body: Invalid JSON"),
        (b"[]", "body: Input should be an object"),
        (webhook(FIRING, version="3"), "version: Input should be '4'"),
        (webhook(FIRING, {"status": "firing"}), "alerts.1.labels: Field required"),
        (webhook(FIRING | {"status": "pending"}), "alerts.0.status: Input should be"),
    ],
)
def test_what_is_no_webhook_is_refused_whole_and_the_fault_named(body: bytes, fault: str) -> None:
    announced: list[Alarm] = []
    response = call(announced.append, body)
    assert response.status_code == 422
    assert f"no webhook of Alertmanager: {fault}" in response.text
    assert announced == []


@pytest.mark.parametrize(
    "shown",
    [None, SECRET, f"Basic {SECRET}", "Bearer ", f"Bearer {SECRET}!", "Bearer open", "Bearer öpen sesame"],
)
def test_without_the_secret_nothing_is_read(shown: str | None) -> None:
    read: list[bytes] = []
    announced: list[Alarm] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(webhook(FIRING))
        yield read[-1]

    headers = {b"Authorization": shown.encode("latin-1")} if shown else {}
    response = call(announced.append, body(), headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert (read, announced) == ([], [])


def test_a_body_is_read_to_its_limit_and_no_further() -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" " * 100_000

    assert call(refuse, body()).status_code == 413
    assert read == LARGEST_BODY // 100_000 + 1


def test_a_body_as_large_as_the_limit_is_read() -> None:
    announced: list[Alarm] = []
    assert call(announced.append, webhook(FIRING).ljust(LARGEST_BODY)).status_code == 200
    assert len(announced) == 1


def test_health_needs_no_secret() -> None:
    assert call(refuse, to="GET /health", headers={}).status_code == 200


@pytest.mark.parametrize("secret", ["", " \n"])
def test_without_a_secret_the_receiver_does_not_start(secret: str) -> None:
    with pytest.raises(InvalidName, match="an open door is no receiver"):
        receiver(secret, refuse)


def test_a_secret_from_a_file_is_the_one_that_alertmanager_reads_from_the_same_file() -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(receiver(f"{SECRET}\n", refuse))
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            return await client.post("/alerts", content=webhook(RESOLVED), headers=BEARER)

    assert asyncio.run(ask()).status_code == 200


def test_the_receiver_loads_no_heavy_library() -> None:
    code = "import sys, registry.alerts; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    assert {"pandas", "sklearn", "numpy", "matplotlib"}.isdisjoint(done.stdout.split())
