"""What is to be on a Prefect server, as a file in the format of Prefect's own ``prefect.yaml`` says it.

The whole file is read, and every flow that it names loaded, before anything is put onto a server. What of
the format is not supported is refused by its name, because what is ignored would be missed.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.events import DeploymentTriggerTypes
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Schedule
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validate
from prefect.utilities.templating import apply_values
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from registry.deployments.shipped import entrypoint_of, flows_package, prefect_file
from registry.exceptions import InvalidDeployments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prefect import Flow

_TRIGGER: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)
_AROUND = {"name", "prefect-version", "definitions", "deployments", "pull"}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Timetable(_Section):
    """When a deployment runs by itself; on the server it is found again by its slug."""

    slug: str
    cron: str | None = None
    interval: timedelta | None = None
    timezone: str | None = None
    anchor_date: datetime | None = None
    day_or: bool = True
    active: bool = True
    parameters: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_a_schedule(self) -> Timetable:
        if (self.cron is None) == (self.interval is None):
            raise ValueError("give either cron or interval")
        self.schedule  # noqa: B018, Prefect refuses what is none
        return self

    @cached_property
    def schedule(self) -> DeploymentScheduleCreate:
        """The same in Prefect's terms."""
        anchor: dict[str, Any] = {} if self.anchor_date is None else {"anchor_date": self.anchor_date}
        timetable = Schedule(
            interval=self.interval,
            cron=self.cron,
            timezone=self.timezone,
            day_or=self.day_or,
            active=self.active,
            parameters=to_jsonable_python(self.parameters),
            slug=self.slug,
            **anchor,
        )
        return DeploymentScheduleCreate.from_schedule(timetable)


class Pool(_Section):
    """Where the runs of a deployment wait for a worker."""

    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = {}


class Limit(_Section):
    """How many runs of a deployment there may be at once, and what becomes of one too many."""

    limit: int
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"
    grace_period_seconds: int | None = None


class Spec(_Section):
    """One deployment of the file."""

    name: str
    entrypoint: str
    description: str | None = None
    tags: tuple[str, ...] = ()
    version: str | None = None
    parameters: dict[str, Any] = {}
    schedules: tuple[Timetable, ...] = ()
    paused: bool = False
    concurrency_limit: int | Limit | None = None
    enforce_parameter_schema: bool = True
    work_pool: Pool | None = None
    pull: tuple[dict[str, Any], ...] | None = None
    triggers: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _tells_its_parts_apart(self) -> Spec:
        for kind, names in (
            ("schedules", [timetable.slug for timetable in self.schedules]),
            ("triggers", [trigger.get("name") for trigger in self.triggers]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two of its {kind} are called the same")
        return self


@dataclass(frozen=True)
class Planned:
    """One deployment that is to be on the server.

    Attributes:
        spec: What the file says of it.
        flow: The flow that it runs.
        entrypoint: Where a run finds the flow.
        triggers: What starts it, besides schedules and people.
    """

    spec: Spec
    flow: Flow[..., Any]
    entrypoint: str
    triggers: tuple[DeploymentTriggerTypes, ...]

    @property
    def name(self) -> str:
        """What the server knows it by, such as ``rollback/rollback``."""
        return f"{self.flow.name}/{self.spec.name}"

    @property
    def form(self) -> dict[str, Any]:
        """The JSON schema of the flow's parameters."""
        form: dict[str, Any] = to_jsonable_python(parameter_schema(self.flow).model_dump(exclude_unset=True))
        return form


@dataclass(frozen=True)
class Plan:
    """What is to be on the server.

    Attributes:
        file: Where that is written.
        deployments: All that the file has, or those of them that were asked for.
        names: What the server knows all that the file has by.
    """

    file: Path
    deployments: tuple[Planned, ...]
    names: tuple[str, ...]

    def only(self, names: Sequence[str]) -> Plan:
        """The deployments with these *names*, all if there are none.

        Raises:
            InvalidDeployments: The file has no deployment of one of the names.
        """
        known = {planned.spec.name: planned for planned in self.deployments}
        for name in names:
            if name not in known:
                raise InvalidDeployments(
                    str(self.file), f"it has no deployment {name!r}, but {', '.join(known)}"
                )
        wanted = tuple(known[name] for name in dict.fromkeys(names))
        return replace(self, deployments=wanted or self.deployments)


def read_plan(file: Path | None = None) -> Plan:
    """Read *file*, or the one that comes with the library if there is none, and load its flows.

    Environment variables are filled in where it says ``{{ $NAME }}``. Entrypoints in ``flows/`` that are not
    in the working folder are those of the library.

    Raises:
        InvalidDeployments: It is no such file, asks for what is not supported, or a flow does not load.
    """
    source = file or prefect_file()
    content = _read(source)
    common = content.get("pull")
    planned = tuple(
        _planned(source, {"pull": common, **section} if common is not None else section)
        for section in _sections(source, content)
    )
    names = tuple(each.name for each in planned)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidDeployments(str(source), f"it has {twice!r} twice")
    return Plan(source, planned, names)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidDeployments(str(file), f"{error}") from error
    if not isinstance(content, dict) or not content.get("deployments"):
        raise InvalidDeployments(str(file), "it has no deployments")
    if unknown := content.keys() - _AROUND:
        raise InvalidDeployments(str(file), f"{_listed(unknown)} is not supported here")
    return content


def _sections(file: Path, content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The deployments as they are written, with the environment's variables filled in."""
    for number, section in enumerate(content["deployments"], 1):
        if not isinstance(section, dict) or not isinstance(section.get("name"), str):
            raise InvalidDeployments(str(file), f"deployment number {number} has no name")
        filled: Any = apply_values(section, dict(os.environ), remove_notset=False)
        for key, value in filled.items():
            if key != "triggers" and "{{" in str(value):
                reason = f"{key} of {section['name']!r} holds a template that can't be filled in"
                raise InvalidDeployments(str(file), f"{reason}; of these only {{{{ $NAME }}}} is supported")
        yield filled


def _planned(file: Path, section: dict[str, Any]) -> Planned:
    try:
        spec = Spec.model_validate(section)
        triggers = tuple(
            _trigger(spec.name, number, trigger) for number, trigger in enumerate(spec.triggers, 1)
        )
    except ValueError as error:
        raise InvalidDeployments(str(file), f"{section['name']!r}: {_fault(error)}") from error
    entrypoint = spec.entrypoint
    if _is_ours(file, entrypoint):
        entrypoint = entrypoint_of(entrypoint)
        spec = spec.model_copy(update={"parameters": _with_trainer(spec.parameters)})
    planned = Planned(spec, _loaded(file, spec.name, entrypoint), entrypoint, triggers)
    for given in (spec.parameters, *(timetable.parameters for timetable in spec.schedules)):
        _check_parameters(file, planned, given)
    return planned


def _is_ours(file: Path, entrypoint: str) -> bool:
    path = Path(entrypoint.partition(":")[0])
    if path.parts[:1] != ("flows",) or ":" not in entrypoint:
        return False
    return file == prefect_file() or not path.exists()


def _with_trainer(parameters: dict[str, Any]) -> dict[str, Any]:
    """The *parameters*, in which a trainer of the library's flows is where these are installed."""
    trainer = parameters.get("trainer")
    if isinstance(trainer, str) and trainer.startswith("flows."):
        return {**parameters, "trainer": f"{flows_package()}.{trainer.removeprefix('flows.')}"}
    return parameters


def _loaded(file: Path, name: str, entrypoint: str) -> Flow[..., Any]:
    try:
        flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    except Exception as error:  # the flow's module may raise anything
        cause = error.__cause__ or error
        reason = f"{name!r}: the flow {entrypoint!r} does not load: {type(cause).__name__}: {cause}"
        raise InvalidDeployments(str(file), reason) from error
    return flow


def _check_parameters(file: Path, planned: Planned, given: Mapping[str, Any]) -> None:
    """Refuse what the flow does not take, because the server lets it pass until the flow runs."""
    takes = inspect.signature(planned.flow.fn).parameters.values()
    unknown = given.keys() - {parameter.name for parameter in takes}
    if unknown and not any(parameter.kind == parameter.VAR_KEYWORD for parameter in takes):
        reason = f"{planned.spec.name!r}: its flow has no parameter {_listed(unknown)}"
        raise InvalidDeployments(str(file), reason)
    faults = validate(to_jsonable_python(given), planned.form, ignore_required=True)
    if faults:
        raise InvalidDeployments(str(file), f"{planned.spec.name!r}: parameters: {faults[0].message}")


def _trigger(deployment: str, number: int, written: dict[str, Any]) -> DeploymentTriggerTypes:
    named = {"name": f"{deployment}__automation_{number}", **written}
    trigger = _TRIGGER.validate_python(named)
    if unknown := named.keys() - type(trigger).model_fields.keys():
        raise ValueError(f"triggers: {_listed(unknown)} is not supported here")
    return trigger


def _fault(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {_MEANINGS.get(fault['type'], fault['msg'])}"
        for fault in error.errors()
    )


_MEANINGS = {"extra_forbidden": "this is not supported here", "missing": "this is needed"}


def _listed(keys: set[Any]) -> str:
    return ", ".join(sorted(repr(key) for key in keys))
