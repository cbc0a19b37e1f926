"""Alerts from outside: a Prometheus Alertmanager posts them here, the Prefect server hears of them as events.

Each firing alert about a model is one event, however often Alertmanager repeats it. What to do about an event
is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import TYPE_CHECKING, Literal

import uvicorn
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from registry.exceptions import EventsUnavailable, InvalidName, InvalidValue
from registry.limits import brief, check_time
from registry.references import CHAMPION, check_alias, check_model_name
from registry.tasks.events import ALERTED, event, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

LARGEST_BODY = 1_000_000  # bytes
LONGEST_REASON = 1_000  # characters
_MOST_DIGITS = 9  # of a version's number


@dataclass(frozen=True)
class Alarm:
    """What an alert says about a model.

    Attributes:
        model: The model's name.
        version: The version that is to blame; whichever was in force as the alert began to fire if None.
        alias: The alias concerned.
        reason: Why, on one line.
        since: When the alert began to fire, as it was sent.
        identity: The same for all repeats of an alert, and no other's.
    """

    model: str
    version: int | None
    alias: str
    reason: str
    since: str
    identity: tuple[str, ...]


def serve(secret: str, host: str = "127.0.0.1", port: int = 4300) -> None:
    """Receive alerts until the process is told to stop; each becomes the event ``ALERTED``.

    Raises:
        InvalidName: The secret is empty.
    """
    uvicorn.run(receiver(secret, _announce), host=host, port=port, lifespan="off", ws="none")


def receiver(secret: str, announce: Callable[[Alarm], None]) -> Starlette:
    """An ASGI app that takes Alertmanager's webhook, version 4, at ``POST /alerts``.

    Firing alerts are announced, resolved ones are passed over. An alert without a usable label ``model``,
    ``version`` or ``alias`` does not keep its neighbours from being announced.

    Statuses: 200 once every alert is announced; 401 without the bearer token; 413 for more than a megabyte;
    422 if an alert can't be understood, naming it; 503 if an alert can't be announced now, at which
    Alertmanager tries again.

    Args:
        secret: The bearer token that callers must show.
        announce: Called in a thread, once for each alert of a request, and again when Alertmanager repeats
            itself; raises EventsUnavailable if the alert is not taken.

    Raises:
        InvalidName: The secret is empty.
    """
    if not secret.strip():
        reason = (
            "an open door is no receiver: set MODEL_REGISTRY_ALERT_SECRET to the one that Alertmanager shows"
        )
        raise InvalidName("secret", "", reason)
    gate = _Receiver(secret.strip().encode(), announce)
    return Starlette(
        routes=[Route("/alerts", gate.alerts, methods=["POST"]), Route("/health", _health, methods=["GET"])]
    )


@dataclass(frozen=True)
class _Receiver:
    secret: bytes
    announce: Callable[[Alarm], None]

    async def alerts(self, request: Request) -> Response:
        self._admit(request)
        alarms, faults = _understood(_group(await _body(request)))
        try:
            for alarm in alarms:
                await run_in_threadpool(self.announce, alarm)
        except EventsUnavailable as error:
            raise HTTPException(503, str(error)) from error
        if faults:  # last: Alertmanager does not try again, and logs this
            raise HTTPException(422, "; ".join(faults))
        return Response()

    def _admit(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").encode("latin-1").partition(b" ")
        if scheme.lower() != b"bearer" or not compare_digest(token, self.secret):
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})


async def _health(_request: Request) -> Response:
    return PlainTextResponse("ok")


class _Alert(BaseModel):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str  # noqa: N815  Alertmanager's spelling
    fingerprint: str

    def alarm(self) -> Alarm:
        return Alarm(
            model=self._model(),
            version=_number(self.labels["version"]) if "version" in self.labels else None,
            alias=check_alias(self.labels.get("alias", CHAMPION)),
            reason=self._reason(),
            since=_moment(self.startsAt),
            identity=(self.fingerprint, self.startsAt),
        )

    def _model(self) -> str:
        if "model" not in self.labels:
            raise InvalidName("label model", "", "give the alert one, with the model's name")
        return check_model_name(self.labels["model"])

    def _reason(self) -> str:
        told = (self.annotations.get("summary"), self.annotations.get("description"))
        return next(filter(None, map(_line, told)), self.name)

    @property
    def name(self) -> str:
        return _line(self.labels.get("alertname")) or "an alert without a name"


class _Group(BaseModel):
    version: Literal["4"]
    alerts: list[_Alert]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"more than {LARGEST_BODY} bytes: set max_alerts in Alertmanager")
    return bytes(body)


def _group(body: bytes) -> _Group:
    try:
        return _Group.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "body"
        raise HTTPException(422, f"no webhook of Alertmanager: {place}: {fault['msg']}") from error


def _understood(group: _Group) -> tuple[list[Alarm], list[str]]:
    """What the firing alerts say, and what is wrong with those that can't be understood."""
    alarms, faults = [], []
    for alert in group.alerts:
        if alert.status == "firing":
            try:
                alarms.append(alert.alarm())
            except InvalidName as error:
                faults.append(f"alert {alert.fingerprint} ({alert.name}): {error}")
    return alarms, faults


def _number(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text):
        return int(text)
    raise InvalidName("label version", brief(text), "use the version's whole number, such as 7")


def _moment(text: str) -> str:
    """The time as it was sent: nobody has to find out later that it is none."""
    try:
        check_time(datetime.fromisoformat(text))
    except (ValueError, InvalidValue):
        rule = "send a time with a zone, such as 2026-03-01T12:00:00Z"
        raise InvalidName("startsAt", brief(text), rule) from None
    return text


def _line(text: str | None) -> str:
    """*text* on one line, and short; what is left out is what no ledger can keep."""
    readable = "".join(letter if letter.isprintable() else " " for letter in text or "")
    return " ".join(readable.split())[:LONGEST_REASON]


def _announce(alarm: Alarm) -> None:
    send(
        event(
            ALERTED,
            alarm.model,
            alarm.version,
            identity=alarm.identity,
            payload={"alias": alarm.alias, "reason": alarm.reason, "since": alarm.since},
        )
    )
