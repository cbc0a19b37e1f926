"""Events about models: their names, their ids, and how they reach the Prefect server.

An event bears an id of its own making, so announcing the same again is the same event, not another one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import Event, RelatedResource, Resource
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from registry.exceptions import EventsUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, TaskRun

REGISTERED = "model-registry.version.registered"
EVALUATED = "model-registry.version.evaluated"
APPROVED = "model-registry.promotion.approved"
PROMOTED = "model-registry.version.promoted"
HELD = "model-registry.promotion.held"
REJECTED = "model-registry.promotion.rejected"
REFERENCE_DISAGREES = "model-registry.reference.disagrees"
SUSPECT = "model-registry.champion.suspect"
DEGRADED = "model-registry.champion.degraded"
WORLD_CHANGED = "model-registry.champion.world-changed"
ALERTED = "model-registry.champion.alerted"
ROLLED_BACK = "model-registry.champion.rolled-back"
ROLLBACK_REFUSED = "model-registry.rollback.refused"
MAINTAINED = "model-registry.registry.maintained"
UNSOUND = "model-registry.registry.unsound"

PATIENCE = 10.0
"""Seconds until a server that accepts connections but does not answer counts as away."""


def event(
    name: str, model: str, version: int | None, *, identity: Sequence[str], payload: Mapping[str, Any]
) -> Event:
    """The event *name* about a version of *model*, or about whichever is in force if *version* is None.

    It has happened now, and concerns the running flow and task too, if there are any.

    Args:
        name: One of this module's.
        model: The model's name.
        version: The version's number.
        identity: What tells this event from others of the same name and version.
        payload: Facts that have a JSON form; the model and the version are added to them.
    """
    resource = f"model-registry.model.{model}"
    return Event(
        event=name,
        resource=Resource({"prefect.resource.id": resource, "prefect.resource.name": model}),
        related=[*_versions(resource, model, version), *_runs()],
        payload={"model": model, "version": version, **payload},
        id=uuid5(NAMESPACE_URL, "/".join([name, model, str(version), *identity])),
    )


def send(event: Event) -> None:
    """Hand *event* to the Prefect server; it has accepted the event when this returns.

    Without a configured server that is the embedded one, which is started first. Nothing is tried again
    here: the caller knows how long it can wait.

    Raises:
        EventsUnavailable: The server can't be reached, did not answer in time, or refused.
    """
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), _translated(), _client() as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")])


def require_server() -> None:
    """Refuse to go on without a configured server: the embedded one runs no automation.

    Raises:
        EventsUnavailable: None is configured.
    """
    if not PREFECT_API_URL.value():
        raise EventsUnavailable(server(), "it runs no automation; set PREFECT_API_URL to a server that does")


def server() -> str:
    """The server that events go to: its API's URL, or what to call the embedded one."""
    return PREFECT_API_URL.value() or "the embedded Prefect server"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        answer = error.response
        raise EventsUnavailable(server(), f"{answer.status_code} {answer.reason_phrase}") from error
    except httpx.HTTPError as error:
        raise EventsUnavailable(server(), str(error) or type(error).__name__) from error


def _client() -> SyncPrefectClient:
    try:
        return get_client({"timeout": PATIENCE}, sync_client=True)  # of our own: a flow's is more patient
    except (RuntimeError, ValueError) as error:  # the embedded server does not start, or is switched off
        raise EventsUnavailable(server(), str(error)) from error


def _versions(resource: str, model: str, version: int | None) -> list[RelatedResource]:
    if version is None:
        return []
    return [_related("model-version", f"{resource}.version.{version}", f"{model}@{version}")]


def _runs() -> list[RelatedResource]:
    around, within = FlowRunContext.get(), TaskRunContext.get()
    runs: dict[str, FlowRun | TaskRun | None] = {
        "flow-run": around.flow_run if around else None,
        "task-run": within.task_run if within else None,
    }
    return [_related(kind, f"prefect.{kind}.{run.id}", run.name) for kind, run in runs.items() if run]


def _related(role: str, resource: str, name: str) -> RelatedResource:
    return RelatedResource(
        {"prefect.resource.id": resource, "prefect.resource.role": role, "prefect.resource.name": name}
    )
