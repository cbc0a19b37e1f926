"""Commands for those who look after the registry's honesty from outside."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry import arguments, console
from registry.artifacts.content import unfinished
from registry.cli.options import open_registry, writing
from registry.exceptions import AnchorUnusable
from registry.references import check_model_name
from registry.settings import RegistrySettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.audit.anchors import Witness
    from registry.backend import Backend
    from registry.signing.keys import SigningKey, TrustedKey

app = typer.Typer(no_args_is_help=True)

Trusted = Annotated[
    Path | None,
    typer.Option(metavar="KEYS", help="Whose anchors to believe, instead of MODEL_REGISTRY_TRUSTED_KEYS."),
]


@app.command()
def anchor(
    file: Annotated[str, typer.Argument(metavar="FILE", help="To be made, on disk or s3://bucket/key.")],
    key: Annotated[
        Path | None, typer.Option(help="What signs it, instead of MODEL_REGISTRY_SIGNING_KEY.")
    ] = None,
    *,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Let nobody vouch for it; then keep it where nobody can write.")
    ] = False,
) -> None:
    """Write down how long each chain is and where it ends, so that even a full rewrite is noticed.

    Keep anchors where the database's owner can't write; `registry verify --anchor FILE` looks at them.
    """
    from registry.audit import anchors  # noqa: PLC0415, most commands need no cryptography

    backend = open_registry().backend
    signer = None if unsigned else _signer(backend, key, file)
    taken = anchors.take(backend.rows)
    anchors.keep(anchors.signed(taken, signer) if signer else anchors.unsigned(taken), file)
    chains = len(taken.versions) + len(taken.entries)
    console.say(f"{file} holds {chains:,} chains of {taken.database}{'' if signer else ', unsigned'}")


@app.command()
def export(
    model: Annotated[
        str | None, typer.Option(metavar="NAME", parser=check_model_name, help="Of this model alone.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=arguments.moment, metavar="TIME", help="From then on; local unless it has a zone."
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=arguments.moment, metavar="TIME", help="Before then.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of the standard output.")
    ] = None,
) -> None:
    """Print everything that happened as JSON Lines, oldest first: who did what, when, why, on what evidence.

    The hash of a line is SHA-256 over its record, written as JSON with sorted keys and without spaces, in
    UTF-8 without escapes. Its previous_hash is the hash of the line before it about the same alias or, where
    that is null, about the same model. `python -m pydoc registry.audit.trail` says it all.
    """
    lines = open_registry().audit(model, since=since, until=until)
    if output is None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    with writing(output), unfinished(output.absolute().parent) as (path, file):
        file.writelines(f"{line}\n".encode() for line in lines)
        file.flush()
        path.replace(output)


def witnesses(
    backend: Backend, sources: Sequence[str], trust: Path | None, anchored_as: str
) -> list[Witness]:
    """The anchors at *sources*, each of which may be believed and is of this database.

    Raises:
        AnchorUnusable: One can't be read, is not to be believed, or is of another registry.
        KeyUnusable: The file of trusted keys can't be used.
    """
    if not sources:
        return []
    from registry.audit import anchors  # noqa: PLC0415, most commands need no cryptography

    trusted = _trusted(backend, trust)
    read = [anchors.read(source, trusted) for source in sources]
    for witness in read:
        anchors.refuse_another(witness, anchored_as or anchors.place(backend.rows.engine.url))
    return read


def _signer(backend: Backend, key: Path | None, anchor: str) -> SigningKey:
    from registry.signing.keys import SigningKey  # noqa: PLC0415, most commands need no cryptography

    if key is not None:
        return SigningKey(key, RegistrySettings().signing_passphrase.get_secret_value())
    if backend.signing_key is None:
        reason = "nothing signs it: name a key by --key or MODEL_REGISTRY_SIGNING_KEY, or ask for --unsigned"
        raise AnchorUnusable(anchor, reason)
    return backend.signing_key


def _trusted(backend: Backend, trust: Path | None) -> dict[str, TrustedKey] | None:
    from registry.signing.keys import read_trusted  # noqa: PLC0415, most commands need no cryptography

    file = trust or (backend.trust.file if backend.trust else None)
    return None if file is None else read_trusted(file)
