"""Commands that keep the registry whole, small and safe."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry import arguments, console
from registry.cli import audit
from registry.cli.audit import Trusted
from registry.cli.options import Json, Reason, Ref, Subject, open_registry

if TYPE_CHECKING:
    from registry.facade import Registry
    from registry.retention import RetentionPolicy

app = typer.Typer()

_CENTURY = 876_000  # hours


@app.command()
def verify(
    anchor: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Hold the chains against this checkpoint; repeat it for more."),
    ] = None,
    trust: Trusted = None,
    anchored_as: Annotated[
        str, typer.Option(metavar="NAME", help="What the anchors call this database, if it has moved since.")
    ] = "",
    *,
    rows_only: Annotated[
        bool, typer.Option("--rows-only", help="Leave out the bytes, which may take hours to read.")
    ] = False,
    json: Json = False,
) -> None:
    """Check every chain of hashes, what rows refer to, and all bytes. 1 if something is wrong."""
    from registry.audit.verification import extent, verify_bytes, verify_rows  # noqa: PLC0415, needs cryptography

    backend = open_registry().backend
    witnesses = audit.witnesses(backend, anchor or [], trust, anchored_as)
    total = extent(backend)
    with console.measuring({"rows": total.rows, "bytes": 0 if rows_only else total.bytes}) as told:
        findings = list(verify_rows(backend, witnesses, told["rows"]))
        if not rows_only:
            findings += verify_bytes(backend, told["bytes"])
    console.show_findings(findings, json=json)
    raise typer.Exit(1 if any(finding.problem for finding in findings) else 0)


@app.command()
def gc(
    retention: Annotated[
        Path | None, typer.Option(help="JSON or TOML file that says which versions keep their bytes.")
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option(help="Or: so many of each model's newest versions do.", min=0)
    ] = None,
    keep_days: Annotated[
        int | None, typer.Option(help="And those registered within so many days.", min=0, max=_CENTURY)
    ] = None,
    rollback_window: Annotated[
        int | None, typer.Option(help="And so many that each alias could go back to.", min=1)
    ] = None,
    hours: Annotated[
        int, typer.Option(help="Leave strays alone that are younger.", min=0, max=_CENTURY)
    ] = 24,
    *,
    strays: Annotated[
        bool, typer.Option("--strays", help="Remove bytes of which no row knows, too; are they nobody's?")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go, and why not.")] = False,
    json: Json = False,
) -> None:
    """Remove bytes that nothing needs; with a retention policy, also those of versions that it gives up.

    What is in force, pinned, or could be gone back to keeps its bytes whatever the policy. Rows stay.
    """
    keep_younger_than = None if keep_days is None else timedelta(days=keep_days)
    policy = arguments.retention_policy(
        retention,
        keep_last=keep_last,
        keep_younger_than=keep_younger_than,
        rollback_window=rollback_window,
    )
    grace = timedelta(hours=hours) if strays else None
    with console.working("looking"):
        swept = (_foreseen if dry_run else _swept)(open_registry(), policy, grace)
    console.show_swept(swept, "would be removed" if dry_run else "removed", json=json)


def _foreseen(registry: Registry, policy: RetentionPolicy | None, grace: timedelta | None) -> console.Swept:
    plan = None if policy is None else registry.plan_purge(policy)
    return console.Swept(
        garbage=registry.find_garbage(),
        purged=plan.artifacts if plan else (),
        strays=() if grace is None else registry.find_strays(grace=grace),
        kept=plan.kept if plan else {},
    )


def _swept(registry: Registry, policy: RetentionPolicy | None, grace: timedelta | None) -> console.Swept:
    return console.Swept(
        garbage=registry.collect_garbage(),
        purged=() if policy is None else registry.purge(policy),
        strays=() if grace is None else registry.remove_strays(grace=grace),
    )


@app.command()
def pin(ref: Ref, reason: Reason) -> None:
    """Let no retention policy give up the bytes of a version."""
    pinned = open_registry().pin(ref, reason=reason)
    console.say(f"{pinned.model}@{pinned.number} is pinned: {pinned.reason}")


@app.command()
def unpin(ref: Ref) -> None:
    """Leave the bytes of a version to the retention policies."""
    registry = open_registry()
    version = registry.resolve(ref)
    registry.unpin(version.reference)
    console.say(f"{version.reference} is not pinned")


@app.command()
def tag(
    subject: Subject,
    tags: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="A key that is there changes.")],
) -> None:
    """Note something on a version or a model; nothing is decided by it."""
    open_registry().tag(subject, arguments.tags(tags))
    console.say(f"{subject} is tagged")


@app.command()
def untag(
    subject: Subject, keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Of the tags.")]
) -> None:
    """Take tags from a version or a model, if it has them."""
    open_registry().untag(subject, *keys)
    console.say(f"{subject} has no tag {' or '.join(keys)}")


@app.command()
def tags(subject: Subject, *, json: Json = False) -> None:
    """List the tags of a version or a model."""
    console.show_tags(open_registry().tags(subject), json=json)


@app.command()
def describe(
    subject: Subject,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it is for; nothing takes it back.")],
) -> None:
    """Say what a version or a model is for."""
    open_registry().describe(subject, text)
    console.say(f"{subject} is described")


@app.command()
def delete(subject: Subject, reason: Reason) -> None:
    """Let nobody find a version, or a model with all of its versions, any more. Rows and numbers stay."""
    open_registry().delete(subject, reason=reason)
    console.say(f"{subject} is deleted: {reason}")


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
