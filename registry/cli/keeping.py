"""Commands that keep the registry whole, small and safe."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from registry import console
from registry.cli.options import Json, Reason, open_registry

app = typer.Typer()

_CENTURY = 876_000  # hours


@app.command()
def verify(*, json: Json = False) -> None:
    """Check the ledger's chains and every artifact's digest. 1 if something is wrong."""
    with console.working("checking"):
        findings = list(open_registry().verify())
    console.show_findings(findings, json=json)
    raise typer.Exit(1 if any(finding.problem for finding in findings) else 0)


@app.command()
def gc(
    hours: Annotated[int, typer.Option(help="Leave alone what is younger.", min=0, max=_CENTURY)] = 24,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    json: Json = False,
) -> None:
    """Remove artifacts that no version and no evaluation needs."""
    registry, grace = open_registry(), timedelta(hours=hours)
    if dry_run:
        console.show_garbage(registry.find_garbage(grace=grace), "would be removed", json=json)
    else:
        console.show_garbage(registry.collect_garbage(grace=grace), "removed", json=json)


@app.command()
def trust(type_name: Annotated[str, typer.Argument(metavar="TYPE")], reason: Reason) -> None:
    """Let artifacts contain a type, by its exact name. Read its code first: a file may call it."""
    added = open_registry().trust(type_name, reason=reason)
    console.say(f"{added.name} is trusted: {added.reason}")


@app.command()
def distrust(type_name: Annotated[str, typer.Argument(metavar="TYPE")]) -> None:
    """Take a type from the allow-list; versions that contain it no longer load."""
    open_registry().distrust(type_name)
    console.say(f"{type_name} is not trusted")


@app.command()
def trusted(*, json: Json = False) -> None:
    """List the types that artifacts may contain beyond what skops trusts by itself."""
    console.show_trusted(open_registry().trusted(), json=json)
