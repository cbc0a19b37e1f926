"""The key that signs, and the keys that a consumer trusts: each a file that its owner keeps.

Trusted keys are written down in TOML, on the side of whoever loads models, never in the registry::

    [[keys]]
    name = "release pipeline"                       # for people
    public_key = "MCowBQYDK2VwAyEA…"                # the line between the marks of FILE.pub
    not_before = 2026-01-01T00:00:00Z               # optional, and so are the others below
    not_after = 2027-01-01T00:00:00Z                # from then on nothing that it signed is trusted
    models = ["churn", "flight-*"]                  # what it may sign for; everything by default
"""

from __future__ import annotations

import json
import os
import tomllib
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from registry.exceptions import KeyUnusable
from registry.signing import dsse

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

PASSPHRASE = "MODEL_REGISTRY_SIGNING_PASSPHRASE"  # noqa: S105, where it is, not what it is


@dataclass(frozen=True)
class SigningKey:
    """A private key, which is read when something is signed for the first time.

    Attributes:
        file: PKCS #8 in PEM, Ed25519.
        passphrase: What the file is encrypted by; empty if it is not.
    """

    file: Path
    passphrase: str = field(default="", repr=False)

    @cached_property
    def private(self) -> Ed25519PrivateKey:
        """The key itself.

        Raises:
            KeyUnusable: The file can't be read, or holds something else.
        """
        password = self.passphrase.encode() or None
        try:
            key = load_pem_private_key(_read(self.file), password)
        except TypeError:
            reason = f"it is not encrypted, and {PASSPHRASE} is set"
            reason = reason if password else f"it is encrypted: set {PASSPHRASE}"
            raise KeyUnusable(str(self.file), reason) from None
        except (ValueError, UnsupportedAlgorithm):
            reason = "it is no private key in PEM" + (", or the passphrase is wrong" if password else "")
            raise KeyUnusable(str(self.file), reason) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnusable(str(self.file), "it is not an Ed25519 key: `registry keygen FILE` makes one")
        return key


def _public_key(text: Any) -> Ed25519PublicKey:
    try:
        key = load_der_public_key(b64decode(text, validate=True))
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("this is not the base64 line of an Ed25519 public key")  # noqa: TRY004, for Pydantic
    return key


class TrustedKey(BaseModel):
    """A key whose signatures a consumer accepts, and for what.

    Attributes:
        name: Whose it is, for people.
        public_key: The key.
        not_before: From when on it is trusted.
        not_after: From when on nothing that it signed is trusted any more, whenever it did.
        models: The models it may sign for: names, in which ``*`` stands for anything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(min_length=1)
    public_key: Annotated[Ed25519PublicKey, BeforeValidator(_public_key)]
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None
    models: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.* -]+$")], ...] = ("*",)

    @property
    def key_id(self) -> str:
        """By which signatures name it."""
        return dsse.key_id(self.public_key)

    def objection(self, model: str, at: datetime) -> str | None:
        """Why its signature under a version of *model* does not count *at* this time; None if it does."""
        if self.not_before is not None and at < self.not_before:
            return f"the key of {self.name} is not valid before {self.not_before:%Y-%m-%d %H:%M %Z}"
        if self.not_after is not None and at >= self.not_after:
            return f"the key of {self.name} expired on {self.not_after:%Y-%m-%d %H:%M %Z}"
        if not any(fnmatchcase(model, pattern) for pattern in self.models):
            return f"the key of {self.name} may not sign for {model}"
        return None


class _TrustFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[TrustedKey] = []


def read_trusted(file: Path) -> dict[str, TrustedKey]:
    """The keys that the TOML *file* names, by key id.

    Raises:
        KeyUnusable: The file can't be read, is not of the form above, or names a key twice.
    """
    try:
        keys = _TrustFile.model_validate(tomllib.loads(_read(file).decode())).keys
    except ValidationError as error:
        complaints = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise KeyUnusable(str(file), "; ".join(complaints)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KeyUnusable(str(file), f"it is not TOML: {error}") from None
    trusted = {key.key_id: key for key in keys}
    if len(trusted) < len(keys):
        raise KeyUnusable(str(file), "it names a key twice: which entry counts?")
    return trusted


def generate(file: Path, passphrase: str = "") -> TrustedKey:
    """Make a key: the private one in *file*, for its owner's eyes only, the public one in *file*.pub.

    Raises:
        KeyUnusable: One of the files exists, or can't be written; nothing is left of the other.
    """
    private = Ed25519PrivateKey.generate()
    public, password = private.public_key(), passphrase.encode()
    encryption: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    public_file = file.with_name(f"{file.name}.pub")
    _create(public_file, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    try:
        _create(file, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), 0o600)
    except KeyUnusable:
        public_file.unlink()
        raise
    return TrustedKey.model_construct(name=file.stem, public_key=public)


def trust_entry(key: TrustedKey) -> str:
    """The lines by which a consumer trusts the *key*, to be added to the file of trusted keys."""
    der = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = json.dumps(key.name)  # which TOML quotes alike
    return f'[[keys]]\nname = {name}\npublic_key = "{b64encode(der).decode()}"\n'


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise KeyUnusable(str(file), error.strerror or type(error).__name__) from None


def _create(file: Path, content: bytes, mode: int) -> None:
    """Write a *file* that was not there."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KeyUnusable(str(file), "it exists, and a key is never overwritten") from None
    except OSError as error:
        raise KeyUnusable(str(file), error.strerror or type(error).__name__) from None
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(descriptor)
    except OSError as error:
        file.unlink()
        raise KeyUnusable(str(file), error.strerror or type(error).__name__) from None
