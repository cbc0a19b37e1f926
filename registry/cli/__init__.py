"""The ``registry`` command. Exit status: 0 done, 1 refused (with the reason), 2 misuse."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from registry import console
from registry.cli import audit, importing, keeping, keys, looking, moving, running, watching
from registry.cli import database as databases
from registry.cli.options import allowed, opened
from registry.exceptions import (
    InvalidDeployments,
    InvalidName,
    InvalidObservation,
    InvalidPolicy,
    InvalidReference,
    InvalidValue,
    ReasonMissing,
    RegistryError,
)

app = typer.Typer(
    help="Versions of models: what there is, what is in force and why, and what to do about it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for room in (looking, moving, watching, running, keeping, keys):
    app.add_typer(room.app)
app.add_typer(audit.app, name="audit", help="What an auditor takes away: checkpoints, and all that happened.")
app.add_typer(importing.app, name="import", help="What other registries hold, brought here.")
app.add_typer(databases.app, name="db", help="The database: its state, its schema, its roles.")

_MISUSE = (
    InvalidDeployments,
    InvalidName,
    InvalidObservation,
    InvalidPolicy,
    InvalidReference,
    InvalidValue,
    ReasonMissing,
)


def main() -> None:
    """Run the command line; a refusal is one line on the error output."""
    try:
        with opened:
            app(prog_name="registry")
    except RegistryError as error:
        console.complain(str(error))
        sys.exit(2 if isinstance(error, _MISUSE) else 1)


@app.callback()
def _choose(
    database: Annotated[str, typer.Option(help="Instead of MODEL_REGISTRY_DATABASE.")] = "",
    artifacts: Annotated[str, typer.Option(help="Instead of MODEL_REGISTRY_ARTIFACTS.")] = "",
    *,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Let versions kept as pickle, joblib or cloudpickle run their code, if the operator does.",
        ),
    ] = False,
) -> None:
    (allowed.add if allow_pickle else allowed.discard)("pickle")
    # the environment, so that flows started from here find the same registry
    if database:
        os.environ["MODEL_REGISTRY_DATABASE"] = database
    if artifacts:
        os.environ["MODEL_REGISTRY_ARTIFACTS"] = artifacts
