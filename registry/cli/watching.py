"""Commands about a version in force: how it does, and the alarm when it does badly."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from registry import arguments, console
from registry.cli.options import Alias, Json, Name, Reason, Ref, open_registry, writing
from registry.exceptions import EventsUnavailable
from registry.monitoring_policy import MonitoringPolicy
from registry.references import CHAMPION, Reference

if TYPE_CHECKING:
    from registry.facade import Registry

app = typer.Typer()


@app.command()
def observe(
    ref: Ref,
    metric: Annotated[str, typer.Option(help="scikit-learn scorer name by which the version was evaluated.")],
    value: Annotated[float | None, typer.Option(help="What it is on the batch; higher is better.")] = None,
    rows: Annotated[int | None, typer.Option(help="How many rows the batch has.")] = None,
    batch: Annotated[str, typer.Option(help="What names the batch; it counts once.")] = "",
    at: Annotated[
        datetime | None,
        typer.Option(
            parser=arguments.moment, metavar="TIME", help="The batch's time; that in its name, else now."
        ),
    ] = None,
    batches: Annotated[
        Path | None, typer.Option(help="CSV file with columns batch, value, rows and perhaps at, instead.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Monitoring policy as a JSON or TOML file.")] = None,
    alias: Alias = CHAMPION,
    *,
    json: Json = False,
) -> None:
    """Record what a metric was on live rows; what is held of the version since is printed."""
    registry = open_registry()
    rules = None if policy is None else arguments.policy(policy, MonitoringPolicy)
    single = [] if value is None and rows is None else [arguments.Batch(batch, value, rows, at)]
    readings = arguments.readings(arguments.batches(batches) if batches else single)
    observations = registry.observe_many(ref, metric=metric, readings=readings, alias=alias, policy=rules)
    console.show_observations(observations, json=json)
    for reading, row in zip(readings, observations, strict=True):
        if (reading.value, reading.rows) != (row.value, row.rows):
            known = f"{row.batch} was recorded before, of {row.reference} with {row.value} on {row.rows} rows"
            console.note(f"warning: {known}; what is given now was not taken")
    for name in dict.fromkeys(row.alias for row in observations):
        _announce_alarms(registry, Reference.parse(ref).model, name)


def _announce_alarms(registry: Registry, model: str, alias: str) -> None:
    """Tell Prefect what the observations led to; if it can't hear it now, the next run does."""
    if not registry.alarms(model, alias=alias):
        return
    from registry.tasks.announcements import announce_alarms  # noqa: PLC0415, most commands need no Prefect
    from registry.tasks.events import require_server  # noqa: PLC0415

    try:
        require_server()
        for decision in announce_alarms(registry, model, alias):
            console.note(f"Prefect was told: {decision.reference} is {decision.status}")
    except EventsUnavailable as error:
        console.note(f"warning: recorded, but {error}; the next observation or monitor run tells it")


@app.command()
def health(
    name: Name,
    metric: Annotated[
        str, typer.Option(help="The batches of this metric; the newest of each if not given.")
    ] = "",
    chart: Annotated[
        Path | None, typer.Option(help="Draw a metric's control chart into this PNG file.")
    ] = None,
    last: Annotated[int, typer.Option(help="So many batches.", min=1)] = 20,
    alias: Alias = CHAMPION,
    *,
    json: Json = False,
) -> None:
    """Show what was observed of the versions in force, and what is held of them."""
    registry = open_registry()
    entries = registry.history(name, alias=alias)
    if chart is not None and not metric:
        raise typer.BadParameter("a chart shows one metric; name it, such as --metric accuracy")
    rows = registry.health(name, alias=alias)
    if metric:
        rows = registry.observations(name, metric=metric, alias=alias, most=last)
        if not rows:
            console.complain(f"nothing was observed of {name}@{alias} by {metric!r}")
            raise typer.Exit(1)
    if chart is not None:
        with writing(chart):
            observations = registry.observations(name, metric=metric, alias=alias)
            console.draw_control_chart(observations, entries, chart)
    console.show_health(
        console.Health(
            alias=f"{name}@{alias}",
            in_force=registry.aliases(name).get(alias),
            pause=registry.pause(name, alias=alias),
            observations=rows,
        ),
        json=json,
    )


@app.command()
def alert(
    name: Name,
    reason: Reason,
    version: Annotated[int | None, typer.Option(help="Which version is bad; the one in force now.")] = None,
    alias: Alias = CHAMPION,
) -> None:
    """Tell Prefect that a version in force is bad; its rollback deployment answers."""
    from registry.tasks import events  # noqa: PLC0415, other commands need no Prefect

    accused = open_registry().resolve(f"{name}@{alias if version is None else version}").number
    events.require_server()
    event = events.event(
        events.ALERTED,
        name,
        accused,
        identity=[uuid4().hex],
        payload={"alias": alias, "reason": reason},
    )
    events.send(event)
    console.say(f"{name}@{accused} is reported to {events.server()}: event {event.id}")
