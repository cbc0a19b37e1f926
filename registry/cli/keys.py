"""Commands about who vouches for versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registry import console
from registry.cli.options import Ref, open_registry
from registry.settings import RegistrySettings

app = typer.Typer()


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="For the private key; FILE.pub is beside it.")],
) -> None:
    """Make a key that signs versions. What it prints goes where it is trusted: keygen FILE >> trusted.toml.

    The private key is encrypted if MODEL_REGISTRY_SIGNING_PASSPHRASE holds a passphrase.
    """
    from registry.signing.keys import generate, trust_entry  # noqa: PLC0415, most commands need no cryptography

    key = generate(file, RegistrySettings().signing_passphrase.get_secret_value())
    console.note(f"made key {key.key_id}: {file} is for you alone, {file}.pub for everybody")
    console.note(f"to sign what is registered: MODEL_REGISTRY_SIGNING_KEY={file.absolute()}")
    console.note("to trust it where models are loaded, add these lines to the file that")
    console.note("MODEL_REGISTRY_TRUSTED_KEYS names there:")
    typer.echo(trust_entry(key))


@app.command()
def sign(ref: Ref) -> None:
    """Vouch for a version that is registered already, by the key MODEL_REGISTRY_SIGNING_KEY names."""
    registry = open_registry()
    version = registry.resolve(ref)
    signature = registry.sign(version.reference)
    console.say(f"{version.reference} is signed by key {signature.key_id}")
