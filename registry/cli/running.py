"""Commands that run something: the deployments, a server for them, the demo."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry import console
from registry.cli.options import open_registry
from registry.settings import RegistrySettings

if TYPE_CHECKING:
    from registry.deployments import Change
    from registry.facade import Registry

app = typer.Typer()


@app.command()
def serve(
    *,
    alerts: Annotated[bool, typer.Option("--alerts", help="Take Alertmanager's webhooks.")] = False,
    host: Annotated[str, typer.Option(help="Address at which --alerts listens.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 4200, or 4300 of --alerts.", min=1, max=65_535)
    ] = None,
) -> None:
    """Run all deployments from this folder, with a Prefect server of their own if none is configured.

    With --alerts: receive alerts from outside at POST /alerts, under the secret in
    MODEL_REGISTRY_ALERT_SECRET, and nothing else.
    """
    if alerts:
        from registry.alerts import serve as receive  # noqa: PLC0415, other commands need no server

        receive(RegistrySettings().alert_secret.get_secret_value(), host, port or 4300)
    else:
        _serve_deployments(port or 4200)


def _serve_deployments(port: int) -> None:
    from registry import deployments  # noqa: PLC0415, reading commands need no Prefect

    plan = deployments.read_plan()
    with deployments.serving(port) as server:
        with deployments.connected() as client:
            _warn_of_version(deployments.differing_version(client))
            changes = [_told(change) for change in deployments.put_for_serving(client, plan)]
        console.say(f"Prefect's UI is at {deployments.page_of(server)}")
        for change in changes:
            if change.name == "promote/promote":
                console.say(f"promote a version at {deployments.page_of(server, deployment=change.id)}")
        console.say(f"other commands find this server by PREFECT_API_URL={server}; Ctrl-C stops it")
        deployments.run_forever(change for change in changes if change.deployed)


@app.command()
def deploy(
    file: Annotated[
        Path | None, typer.Option(help="Deployments in the format of prefect.yaml, instead of the library's.")
    ] = None,
    pool: Annotated[str, typer.Option(help="Work pool of all of them, instead of each one's own.")] = "",
    name: Annotated[list[str], typer.Option(help="Only the deployment so named; may be repeated.")] = [],  # noqa: B006, read only
) -> None:
    """Put the deployments and automations onto the Prefect server; what is there already is kept up to date.

    Their runs will work in this folder. Nothing is deleted, and nothing is switched on or off.
    """
    from registry import deployments  # noqa: PLC0415, reading commands need no Prefect

    plan = deployments.read_plan(file).only(name)
    with deployments.connected() as client:
        _warn_of_version(deployments.differing_version(client))
        for change in deployments.put(client, plan, pool or None):
            _told(change)
        for idle in deployments.idle_pools(client, plan, pool or None):
            console.note(f"no worker starts the runs yet: `prefect worker start --pool {idle}`")


def _told(change: Change) -> Change:
    console.say(str(change))
    return change


def _warn_of_version(found: str | None) -> None:
    if found is not None:
        console.note(f"warning: the Prefect server has version {found}, which is not this one's")


@app.command()
def demo() -> None:
    """Replay a year of 336,776 real flights here: retraining, monitoring, an incident and its rollback."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from registry.deployments import flows_package  # noqa: PLC0415, reading commands need no Prefect

    year, registry = import_module(f"{flows_package()}.demo"), open_registry()
    if year.MODEL in {model.name for model in registry.models()}:
        console.complain(
            f"this registry has a model {year.MODEL!r} already: run the demo in another folder, or see "
            f"`registry history {year.MODEL}`"
        )
        raise typer.Exit(1)
    console.narrate(year.play(Path("flight-delay")))
    console.show_next_steps(year.MODEL, _draw(registry, year.MODEL, year.METRIC))


def _draw(registry: Registry, model: str, metric: str) -> list[Path]:
    """Draw the ledger and the observations of a model in this folder."""
    from registry.reports import control_chart, timeline  # noqa: PLC0415, no other command needs matplotlib

    entries, observations = registry.history(model), registry.observations(model, metric=metric)
    pictures = {
        Path(f"{model}-timeline.png"): timeline(entries, observations),
        Path(f"{model}-health.png"): control_chart(observations, entries),
    }
    for path, picture in pictures.items():
        path.write_bytes(picture)
    return list(pictures)
