"""Commands that register a version, or move an alias, with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registry import arguments, console
from registry.cli.options import Alias, Data, Json, Name, Reason, Ref, open_registry, read_rows
from registry.references import CHAMPION

app = typer.Typer()


@app.command()
def register(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="A folder of any framework's files, without links.")],
    data: Annotated[
        str, typer.Option(help="Parquet or CSV file that it was trained on, on disk or s3://.")
    ] = "",
    target: Annotated[str, typer.Option(help="Column of --data that the model predicts.")] = "",
    key: Annotated[str, typer.Option(help="Names this request: asked again, it gets the same version.")] = "",
) -> None:
    """Register a folder as the next version of a model, with the rows that it was trained on, if you know."""
    from registry.datasets import Dataset  # noqa: PLC0415, most commands need no pandas

    if bool(data) != bool(target):
        raise typer.BadParameter("--data and --target go together: which rows, and what is predicted")
    trained_on = Dataset.read(data, target) if data else None
    version = open_registry().register_folder(name, folder, trained_on=trained_on, key=key or None)
    console.say(f"{folder} is {version.reference}")


@app.command()
def promote(
    ref: Ref,
    data: Data,
    policy: Annotated[Path | None, typer.Option(help="Policy as a JSON or TOML file.")] = None,
    better: Annotated[list[str], typer.Option(metavar="METRIC", help="Must be better.")] = [],  # noqa: B006, read only
    not_worse: Annotated[
        list[str], typer.Option(metavar="METRIC=MARGIN", help="Must not be worse by the margin.")
    ] = [],  # noqa: B006, read only
    floor: Annotated[list[str], typer.Option(metavar="METRIC=VALUE", help="Must be above the value.")] = [],  # noqa: B006, read only
    min_rows: Annotated[int | None, typer.Option(help="Fewer rows decide nothing; 100 by default.")] = None,
    alias: Alias = CHAMPION,
    because: Annotated[str, typer.Option(metavar="TEXT", help="Why it is to be promoted.")] = "",
    approved_by: Annotated[
        str, typer.Option(metavar="NAME", help="Who agrees, if the policy asks for a person.")
    ] = "",
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Why they agree.")] = "",
    *,
    json: Json = False,
) -> None:
    """Judge a version on a holdout, and put it in force if it is provably better. 1 if it is not."""
    registry = open_registry()
    demands = arguments.promotion_policy(policy, arguments.checks(better, not_worse, floor), min_rows)
    rows = read_rows(registry, ref, data)
    with console.working(f"judging {ref}"):
        decision = registry.decide(ref, rows, demands, alias=alias)
        if approved_by and decision.approved:
            registry.approve(decision, by=approved_by, comment=comment)
        entry = registry.promote(decision, because=because)
    console.show_decision(decision, json=json)
    if decision.approved and entry.kind != "promoted":
        console.note(f"held all the same: {entry.reason}")
    raise typer.Exit(0 if entry.kind == "promoted" else 1)


@app.command()
def assign(
    ref: Ref, alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion.")], reason: Reason
) -> None:
    """Put a version in force without a gate; the ledger says so."""
    console.show_history([open_registry().assign(ref, alias=alias, reason=reason)], json=False)


@app.command()
def clear(
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion.")],
    reason: Reason,
) -> None:
    """Leave nothing in force under an alias."""
    console.show_history([open_registry().clear(name, alias=alias, reason=reason)], json=False)


@app.command()
def rollback(
    name: Name,
    reason: Reason,
    version: Annotated[int | None, typer.Option(help="Only if this version is in force.")] = None,
    alias: Alias = CHAMPION,
) -> None:
    """Put the trusted predecessor in force; the version that falls is quarantined."""
    with console.working(f"rolling {name} back"):
        entry = open_registry().roll_back(name, reason=reason, alias=alias, bad=version)
    console.show_history([entry], json=False)
