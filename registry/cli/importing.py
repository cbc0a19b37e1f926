"""Commands that bring what other registries hold."""

from __future__ import annotations

from typing import Annotated

import typer

from registry import console
from registry.cli.options import Json, open_registry
from registry.exceptions import ExtraMissing

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _room() -> None:
    """Keep the name of the one command, as another registry may be brought one day."""


@app.command()
def mlflow(
    source: Annotated[
        str,
        typer.Option("--from", metavar="URI", help="sqlite:///mlflow.db, postgresql://… or https://…"),
    ],
    model: Annotated[
        list[str], typer.Option(metavar="NAME", help="Only this model; repeat it for more.")
    ] = [],  # noqa: B006, read only
    *,
    json: Json = False,
) -> None:
    """Bring an MLflow registry here, with its bytes. Begin it again as you like: nothing doubles.

    Numbers, times, tags, descriptions, aliases, stages and the runs' metrics come with the versions. 1 if
    something could not be brought; what that is, is told.
    """
    try:
        from registry.mlflow.importing import Source, bring  # noqa: PLC0415, an extra
    except ModuleNotFoundError as error:
        raise ExtraMissing("MLflow", "mlflow", str(error)) from None
    backend = open_registry().backend
    with console.working("looking"):
        opened = Source(source)
        found = opened.models(model)
    total = sum(len(inventory.versions) for inventory in found)
    with console.measuring({"versions": total}) as told:
        report = bring(backend, opened, found, told["versions"])
    console.show_import(report, json=json)
    raise typer.Exit(1 if report.problems else 0)
