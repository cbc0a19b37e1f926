"""Put a plan onto a Prefect server: what is missing is created, what differs is changed, the rest left alone.

Nothing is ever deleted, and nothing is switched: whether a deployment is paused, a schedule active or an
automation enabled is for people to say once it exists.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    WorkerFilter,
    WorkerFilterStatus,
)
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker
from pydantic_core import to_jsonable_python

from registry.deployments.choices import form_of, newest_versions
from registry.deployments.plan import Limit
from registry.deployments.servers import differing_version
from registry.exceptions import DeploymentRefused, RegistryError, WorkPoolNotFound
from registry.tasks.forms import TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import DeploymentSchedule
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.events import DeploymentTriggerTypes
    from prefect.events.schemas.automations import Automation, AutomationCore

    from registry.deployments.plan import Plan, Planned, Timetable

POOL = "registry"
"""The work pool that is made if it does not exist."""

Outcome = Literal["created", "changed", "unchanged", "left", "not in the file"]


@dataclass(frozen=True)
class Change:
    """What became of one thing on the server.

    Attributes:
        outcome: What was done; ``left`` if somebody switched it on or off, which stays so.
        kind: Such as ``deployment`` or ``automation``.
        name: Such as ``rollback/rollback``.
        what: Which of its fields changed, or how it was left.
        id: What the server calls it.
    """

    outcome: Outcome
    kind: Literal["work pool", "deployment", "schedule", "automation"]
    name: str
    what: tuple[str, ...] = ()
    id: UUID | None = field(default=None, compare=False)

    @property
    def deployed(self) -> bool:
        """Whether it is a deployment of the plan, and now on the server."""
        return self.kind == "deployment" and self.outcome in {"created", "changed", "unchanged"}

    def __str__(self) -> str:
        return f"{self.outcome} {self.kind} {self.name}{': ' * bool(self.what)}{', '.join(self.what)}"


def put(client: SyncPrefectClient, plan: Plan, pool: str | None = None) -> Iterator[Change]:
    """Make the server behind *client* have what *plan* says, for workers to run; tells what it does.

    Runs will work in the present working folder.

    Args:
        client: A client of the server.
        plan: What is to be there.
        pool: The work pool of all deployments; each one's own in the plan if not given, or ``registry``.

    Raises:
        WorkPoolNotFound: A pool of another name than ``registry`` does not exist; nothing was changed.
        DeploymentRefused: The server does not take a deployment; those before it were put.
    """
    pools = {planned.name: pool or _pool_of(planned) for planned in plan.deployments}
    yield from _make_pools(client, set(pools.values()))
    yield from _put_all(client, plan, pools)


def put_for_serving(client: SyncPrefectClient, plan: Plan) -> Iterator[Change]:
    """The same for a process that runs the deployments itself, so that they wait in no work pool."""
    yield from _put_all(client, plan, {})


def idle_pools(client: SyncPrefectClient, plan: Plan, pool: str | None = None) -> list[str]:
    """The work pools of *plan*, or *pool* instead, in which runs would wait, because there is no worker."""
    online = WorkerFilter(status=WorkerFilterStatus.model_validate({"any_": ["ONLINE"]}))
    pools = {pool or _pool_of(planned) for planned in plan.deployments}
    return sorted(each for each in pools if not client.read_workers_for_work_pool(each, worker_filter=online))


# Work pools


def _pool_of(planned: Planned) -> str:
    return planned.spec.work_pool.name if planned.spec.work_pool else POOL


def _make_pools(client: SyncPrefectClient, pools: set[str]) -> Iterator[Change]:
    missing = [pool for pool in sorted(pools) if not _exists(client, pool)]
    for pool in missing:
        if pool != POOL:
            raise WorkPoolNotFound(pool)
    for pool in missing:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
        yield Change("created", "work pool", pool, ("for processes",))


def _exists(client: SyncPrefectClient, pool: str) -> bool:
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        return False
    return True


# Deployments


def _put_all(client: SyncPrefectClient, plan: Plan, pools: Mapping[str, str]) -> Iterator[Change]:
    look_up = newest_versions()
    for planned in plan.deployments:
        existing, newest = _read(client, planned.name), look_up(planned)
        form = form_of(planned, newest, existing.parameter_openapi_schema if existing else None)
        wanted = {**_fields(planned, pools.get(planned.name)), "parameter_openapi_schema": form}
        yield from _put(client, planned, existing, wanted)
        if isinstance(newest, RegistryError):
            yield Change("left", "deployment", planned.name, (f"what its run form offers, because {newest}",))
    yield from _strangers(client, plan)


def _put(
    client: SyncPrefectClient,
    planned: Planned,
    existing: DeploymentResponse | None,
    wanted: Mapping[str, Any],
) -> Iterator[Change]:
    with _refusals(client, f"deployment {planned.name}"):
        if existing is None:
            change = Change("created", "deployment", planned.name, id=_create(client, planned, wanted))
        else:
            change = _update(client, planned.name, existing, wanted)
    assert change.id is not None  # noqa: S101, for the type checker
    yield change
    if existing is not None:
        yield from _put_schedules(client, planned, existing)
    yield from _put_automations(client, planned, change.id)


def _fields(planned: Planned, pool: str | None) -> dict[str, Any]:
    """What the deployment is to be, in the words of Prefect's API."""
    spec, limit = planned.spec, planned.spec.concurrency_limit
    fields: dict[str, Any] = {
        "description": spec.description or planned.flow.description,
        "tags": list(spec.tags),
        "entrypoint": planned.entrypoint,
        "parameters": to_jsonable_python(spec.parameters),
        "enforce_parameter_schema": spec.enforce_parameter_schema,
        "concurrency_limit": limit.limit if isinstance(limit, Limit) else limit,
        "concurrency_options": _options(limit),
        "pull_steps": _pull_steps(spec.pull),
        "work_pool_name": pool,
    }
    if spec.version is not None:
        fields["version"] = spec.version
    if pool is not None and spec.work_pool is not None:
        fields["job_variables"] = to_jsonable_python(spec.work_pool.job_variables)
        if spec.work_pool.work_queue_name:
            fields["work_queue_name"] = spec.work_pool.work_queue_name
    return fields


def _options(limit: Limit | int | None) -> dict[str, Any] | None:
    return limit.model_dump(exclude={"limit"}, exclude_none=True) if isinstance(limit, Limit) else None


def _pull_steps(given: Sequence[dict[str, Any]] | None) -> list[dict[str, Any]]:
    if given is not None:
        return list(given)
    return [{"prefect.deployments.steps.set_working_directory": {"directory": str(Path.cwd().resolve())}}]


def _read(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _create(client: SyncPrefectClient, planned: Planned, fields: Mapping[str, Any]) -> UUID:
    return client.create_deployment(
        flow_id=client.create_flow_from_name(planned.flow.name),
        name=planned.spec.name,
        paused=planned.spec.paused,
        schedules=[timetable.schedule for timetable in planned.spec.schedules],
        **fields,
    )


def _update(
    client: SyncPrefectClient, name: str, existing: DeploymentResponse, wanted: Mapping[str, Any]
) -> Change:
    found = _found(existing, wanted["concurrency_options"] or {})
    differing = {key: value for key, value in wanted.items() if found.get(key) != value}
    if not differing:
        return Change("unchanged", "deployment", name, id=existing.id)
    checked_by = {"work_pool_name": wanted["work_pool_name"]} if "job_variables" in differing else {}
    client.update_deployment(existing.id, DeploymentUpdate(**{**differing, **checked_by}))
    return Change(
        "changed", "deployment", name, tuple(_WORDS.get(key, key) for key in differing), existing.id
    )


_WORDS = {
    "parameter_openapi_schema": "run form",
    "enforce_parameter_schema": "check of the run form",
    "concurrency_limit": "concurrency limit",
    "concurrency_options": "concurrency options",
    "pull_steps": "pull steps",
    "work_pool_name": "work pool",
    "work_queue_name": "work queue",
    "job_variables": "job variables",
}


def _found(existing: DeploymentResponse, options: Mapping[str, Any]) -> dict[str, Any]:
    """The deployment as it is there, in the words of the API; of its *options* those that somebody chose."""
    found = existing.model_dump(mode="json", exclude={"concurrency_limit", "concurrency_options"})
    limit, chosen = existing.global_concurrency_limit, existing.concurrency_options
    found["concurrency_limit"] = None if limit is None else limit.limit
    found["concurrency_options"] = None if chosen is None else chosen.model_dump(include=set(options))
    return found


# Schedules


def _put_schedules(
    client: SyncPrefectClient, planned: Planned, existing: DeploymentResponse
) -> Iterator[Change]:
    found = {schedule.slug or str(schedule.id): schedule for schedule in existing.schedules}
    for timetable in planned.spec.schedules:
        there = found.pop(timetable.slug, None)
        name = f"{timetable.slug} of {planned.name}"
        with _refusals(client, f"schedule {name}"):
            for outcome, *what in _put_schedule(client, existing.id, timetable, there):
                yield Change(outcome, "schedule", name, tuple(what))
    for slug in found:
        yield Change("not in the file", "schedule", f"{slug} of {planned.name}")


def _put_schedule(
    client: SyncPrefectClient, deployment: UUID, timetable: Timetable, there: DeploymentSchedule | None
) -> Iterator[tuple[Outcome, *tuple[str, ...]]]:
    wanted = timetable.schedule
    if there is None:
        client.create_deployment_schedules(deployment, [wanted])
        yield ("created",)
        return
    if _times(timetable, there.schedule) != _times(timetable, wanted.schedule):
        client.update_deployment_schedule(deployment, there.id, schedule=wanted.schedule)
        yield "changed", "times"
    if there.parameters != wanted.parameters:
        client.update_deployment_schedule(deployment, there.id, parameters=wanted.parameters)
        yield "changed", "parameters"
    if there.active != wanted.active:
        yield "left", _switched(on=there.active)


def _times(timetable: Timetable, schedule: Any) -> dict[str, Any]:
    """The *schedule* without what differs each time that it is written down."""
    unsaid = {"anchor_date"} if timetable.anchor_date is None else set()
    times: dict[str, Any] = schedule.model_dump(mode="json", exclude=unsaid)
    return times


def _switched(*, on: bool) -> str:
    return "on here, off in the file" if on else "off here, on in the file"


# Automations


def _put_automations(client: SyncPrefectClient, planned: Planned, deployment: UUID) -> Iterator[Change]:
    related = client.read_resource_related_automations(f"prefect.deployment.{deployment}")
    for trigger in planned.triggers:
        wanted = _automation(trigger, deployment)
        there = next((automation for automation in related if automation.name == wanted.name), None)
        with _refusals(client, f"automation {wanted.name!r}"):
            yield from _put_automation(client, wanted, there)
        if there is not None:
            related.remove(there)
    for automation in related:
        yield Change("not in the file", "automation", automation.name)


def _automation(trigger: DeploymentTriggerTypes, deployment: UUID) -> AutomationCore:
    """What Prefect's own deploy makes of a trigger, so that each of the two knows the other's."""
    trigger.set_deployment_id(deployment)
    return trigger.as_automation()


def _put_automation(
    client: SyncPrefectClient, wanted: AutomationCore, there: Automation | None
) -> Iterator[Change]:
    if there is None:
        client.create_automation(wanted)
        yield Change("created", "automation", wanted.name)
        return
    parts = ("description", "trigger", "actions")
    differing = tuple(part for part in parts if getattr(there, part) != getattr(wanted, part))
    if differing:
        fields = {"owner_resource", "enabled"}
        kept = type(wanted)(**wanted.model_dump(exclude=fields), enabled=there.enabled)
        client.update_automation(there.id, kept)
    yield Change("changed" if differing else "unchanged", "automation", wanted.name, differing)
    if there.enabled != wanted.enabled:
        yield Change("left", "automation", wanted.name, (_switched(on=there.enabled),))


# What nobody planned


def _strangers(client: SyncPrefectClient, plan: Plan) -> Iterator[Change]:
    """Deployments of models that the file does not have: another file's, or renamed, or no longer wanted."""
    tagged = DeploymentFilter(tags=DeploymentFilterTags.model_validate({"all_": [TAG]}))
    for deployment in client.read_deployments(deployment_filter=tagged):
        name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
        if name not in plan.names:
            yield Change("not in the file", "deployment", name, id=deployment.id)


@contextmanager
def _refusals(client: SyncPrefectClient, subject: str) -> Iterator[None]:
    """Say what the server did not take, if it is not our being there that it minds, or our version."""
    try:
        yield
    except (httpx.HTTPStatusError, ObjectAlreadyExists) as error:
        cause = error.http_exc if isinstance(error, ObjectAlreadyExists) else error
        if not isinstance(cause, httpx.HTTPStatusError) or not _is_about(client, cause.response):
            raise
        raise DeploymentRefused(subject, _detail(cause.response)) from error


def _is_about(client: SyncPrefectClient, answer: httpx.Response) -> bool:
    """Whether the server understood, and refused what it was given."""
    if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        return differing_version(client) is None
    return answer.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT}


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text
