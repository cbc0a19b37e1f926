"""Whether a version needs a signature, and gets one: also asked by who has no keys at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from registry.exceptions import InvalidName, KeyUnusable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.backend import Backend
    from registry.tables import ModelVersion, Signature

    Sign = Callable[[ModelVersion], Signature]

Verify = Literal["off", "if_signed", "required"]
"""Whether versions need a signature to be loaded, laxest first."""

_LEVELS: tuple[Verify, ...] = get_args(Verify)


@dataclass(frozen=True)
class Trust:
    """Whom a consumer believes.

    Attributes:
        file: Names the trusted keys; it is read whenever a signature is checked, so that a key that was
            taken out of it stops counting at once.
        verify: Whether versions need a signature.
    """

    file: Path
    verify: Verify = "if_signed"


def stricter(*levels: str | None) -> Verify:
    """The strictest of the *levels*; of none, "off".

    Raises:
        InvalidName: There is no such level.
    """
    for level in levels:
        if level not in {None, *_LEVELS}:
            raise InvalidName("way to verify", str(level), f"use {', '.join(_LEVELS)}")
    return max((level for level in _LEVELS if level in {"off", *levels}), key=_LEVELS.index)


def signer(backend: Backend) -> Sign | None:
    """What signs a version by the configured key; None if none is configured.

    Raises:
        KeyUnusable: The key can't be read.
    """
    if backend.signing_key is None:
        return None
    from registry.signing.statements import sign  # noqa: PLC0415, who signs nothing needs no cryptography

    private = backend.signing_key.private
    return lambda version: sign(version, private, backend.rows.clock())


def vouch(backend: Backend, version: ModelVersion, verify: Verify | None = None) -> None:
    """Refuse *version* if it lacks the signature that the operator, or the caller by *verify*, asks for.

    A caller can be stricter than the operator's setting, never laxer. "if_signed" protects a version that
    bears signatures from changes, and not against whoever takes its signatures away: the database refuses
    to delete them, but its owner could make it. Only "required" holds against that.

    Raises:
        InvalidName: There is no such way to verify.
        KeyUnusable: Keys are to be checked, and the file of trusted keys is not named or can't be used.
        SignatureMissing: A signature is required, and there is none.
        SignatureInvalid: There are signatures, and none is good by a trusted key.
    """
    trust = backend.trust
    level = stricter(None if trust is None else trust.verify, verify)
    if level == "off":
        return
    if trust is None:
        raise keys_missing(level)
    signatures = backend.rows.signatures(version)
    if signatures or level == "required":
        from registry.signing.keys import read_trusted  # noqa: PLC0415, as above
        from registry.signing.statements import check  # noqa: PLC0415

        check(version, signatures, read_trusted(trust.file), backend.rows.clock())


def keys_missing(verify: Verify) -> KeyUnusable:
    """What to raise where signatures are to be checked, and nobody said by which keys."""
    reason = f"signatures are to be checked ({verify}), and it names no file of trusted keys"
    return KeyUnusable("MODEL_REGISTRY_TRUSTED_KEYS", reason)
