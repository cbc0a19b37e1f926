"""The ``registry`` command. Exit status: 0 done, 1 refused (with the reason), 2 misuse."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from registry import console
from registry.cli import keeping, looking, moving, running, watching
from registry.cli.options import opened
from registry.exceptions import (
    InvalidDeployments,
    InvalidName,
    InvalidObservation,
    InvalidPolicy,
    InvalidReference,
    ReasonMissing,
    RegistryError,
)

app = typer.Typer(
    help="Versions of models: what there is, what is in force and why, and what to do about it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for room in (looking, moving, watching, running, keeping):
    app.add_typer(room.app)

_MISUSE = (
    InvalidDeployments,
    InvalidName,
    InvalidObservation,
    InvalidPolicy,
    InvalidReference,
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
) -> None:
    # the environment, so that flows started from here find the same registry
    if database:
        os.environ["MODEL_REGISTRY_DATABASE"] = database
    if artifacts:
        os.environ["MODEL_REGISTRY_ARTIFACTS"] = artifacts
