"""Who vouches for a version: a signed statement that binds bytes, name, number and the rest of the row.

The statement is an in-toto Statement in a DSSE envelope, so other tools read it. Its subject is the version
and the digest of its bytes; its predicate holds the hash of the version's row, in which there are training
data, parameters, code and the hash of the version before. A signature that is copied below another version
vouches for nothing, and neither does one of a version whose row was changed.

Whom to believe is the business of whoever loads: their file names the keys (see ``keys``), and no row of the
registry can add one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from registry.exceptions import (
    EnvelopeRefused,
    KeyUnusable,
    SignatureInvalid,
    SignatureMissing,
)
from registry.signing import dsse
from registry.signing.keys import read_trusted
from registry.signing.policy import signer
from registry.tables import ModelVersion, Signature, canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from registry.backend import Backend
    from registry.signing.keys import TrustedKey


PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "urn:prefect-model-registry:registered-version:v1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_MOST_TOLD = 5  # problems of a version, for anybody who may write can add a signature that is none
_CHANGED = "the version's row was changed since it was registered"


class _SHA256(BaseModel):
    sha256: str


class _Subject(BaseModel):
    name: str
    digest: _SHA256


class _Predicate(BaseModel):
    model: str
    version: int
    evidence: _SHA256
    serialization: str
    signed_at: AwareDatetime = Field(alias="signedAt")


class _Statement(BaseModel):
    model_config = ConfigDict(strict=True)

    type: str = Field(alias="_type")
    subject: list[_Subject]
    predicate_type: str = Field(alias="predicateType")
    predicate: _Predicate


@dataclass(frozen=True, kw_only=True)
class Voucher:
    """A signature below a version, as whoever looks at it sees it.

    Attributes:
        key_id: Which key signed, says the row.
        signed_at: When, says the row.
        name: Whose key that is, says the file of trusted keys; None if it names no such key.
        problem: Why the signature does not count; None if it does.
    """

    key_id: str
    signed_at: datetime
    name: str | None
    problem: str | None


def sign(version: ModelVersion, key: Ed25519PrivateKey, at: datetime) -> Signature:
    """Vouch for *version* by *key*; nothing is stored.

    Raises:
        SignatureInvalid: The version's row was changed since it was registered.
    """
    if version.hash != version.digest():
        raise SignatureInvalid(version.reference, (_CHANGED,))
    payload = canonical_json(_statement(version, at).model_dump(mode="json", by_alias=True)).encode()
    return Signature(
        model=version.model,
        number=version.number,
        key_id=dsse.key_id(key.public_key()),
        envelope=dsse.sign(PAYLOAD_TYPE, payload, key),
        signed_at=at,
    )


def check(
    version: ModelVersion, signatures: Sequence[Signature], trusted: Mapping[str, TrustedKey], at: datetime
) -> None:
    """Refuse *version* unless one of its *signatures* is good *at* this time by a *trusted* key.

    Raises:
        SignatureMissing: There is none.
        SignatureInvalid: None of them is good.
    """
    if not signatures:
        raise SignatureMissing(version.reference)
    problems = [_problem(version, signature, trusted, at) for signature in signatures]
    if None not in problems:
        raise SignatureInvalid(version.reference, tuple(filter(None, problems[:_MOST_TOLD])))


def sign_version(backend: Backend, version: ModelVersion) -> Signature:
    """Vouch for *version* by the configured key, beside what others signed; once for each key.

    Raises:
        KeyUnusable: No key is configured, or it can't be read.
        SignatureInvalid: The version's row was changed since it was registered, or somebody wrote a
            signature below it that names this key and is not by it.
    """
    signs = signer(backend)
    if signs is None or backend.signing_key is None:
        reason = "it names no private key: `registry keygen FILE` makes one"
        raise KeyUnusable("MODEL_REGISTRY_SIGNING_KEY", reason)
    stored = backend.rows.append_signature(signs(version))
    public = backend.signing_key.private.public_key()
    if flaw := _flaw(version, stored, public):
        raise SignatureInvalid(version.reference, (flaw,))
    return stored


def vouchers(backend: Backend, version: ModelVersion) -> list[Voucher]:
    """The signatures below *version*, oldest first, each with what the file of trusted keys says of it."""
    try:
        trusted, unknown = read_trusted(backend.trust.file) if backend.trust else {}, None
    except KeyUnusable as unusable:
        trusted, unknown = {}, str(unusable)
    if backend.trust is None:
        unknown = "not checked, because no keys are trusted"
    return [
        Voucher(
            key_id=signature.key_id,
            signed_at=signature.signed_at,
            name=trusted[signature.key_id].name if signature.key_id in trusted else None,
            problem=unknown or _problem(version, signature, trusted, backend.rows.clock()),
        )
        for signature in backend.rows.signatures(version)
    ]


def _statement(version: ModelVersion, at: datetime) -> _Statement:
    return _Statement(
        _type=STATEMENT_TYPE,
        subject=[_Subject(name=version.reference, digest=_SHA256(sha256=version.artifact))],
        predicateType=PREDICATE_TYPE,
        predicate=_Predicate(
            model=version.model,
            version=version.number,
            evidence=_SHA256(sha256=version.hash),
            serialization=version.serialization,
            signedAt=at,
        ),
    )


def _problem(
    version: ModelVersion, signature: Signature, trusted: Mapping[str, TrustedKey], at: datetime
) -> str | None:
    key = trusted.get(signature.key_id)
    if key is None:
        return f"key {signature.key_id[:12]} is not trusted"
    return key.objection(version.model, at) or _flaw(version, signature, key.public_key)


def _flaw(version: ModelVersion, signature: Signature, key: Ed25519PublicKey) -> str | None:
    """What keeps *signature* from being one of *version* by *key*."""
    try:
        opened = dsse.open_envelope(signature.envelope, {signature.key_id: key}, PAYLOAD_TYPE)
        found = _Statement.model_validate_json(opened.payload)
    except EnvelopeRefused as refused:
        return refused.reason
    except ValidationError:
        return "what was signed is no statement about a version"
    return _difference(found, version)


def _difference(found: _Statement, version: ModelVersion) -> str | None:
    if version.hash != version.digest():
        return _CHANGED
    expected = _statement(version, found.predicate.signed_at)
    if found == expected:
        return None
    if [subject.name for subject in found.subject] != [version.reference]:
        return f"what was signed is {', '.join(subject.name[:80] for subject in found.subject) or 'nothing'}"
    if found.subject != expected.subject:
        return "what was signed are other bytes"
    return (
        "what was signed is another row"
        if found.predicate != expected.predicate
        else "it is no such statement"
    )
