"""Signed bytes in an envelope: DSSE version 1, with Ed25519.

What is signed is the payload together with its type, so that one kind of statement can't be passed off as
another. The envelope is JSON; nothing in it is believed, and no byte of the payload is handed out, before a
signature over it was verified by a key that the caller trusts.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, ValidationError

from registry.exceptions import EnvelopeRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LONGEST = 1 << 20
"""An envelope of more characters is not read, unless the caller expects one."""

MOST_SIGNATURES = 16

_URL_SAFE = str.maketrans("-_", "+/")  # either alphabet is to be understood


class _Signature(BaseModel):
    keyid: str = ""  # a hint that nobody vouches for: it says which key to try, and nothing else
    sig: str


class _Envelope(BaseModel):
    model_config = ConfigDict(strict=True)

    payloadType: str  # noqa: N815, the standard calls it so
    payload: str
    signatures: list[_Signature]


class Opened(NamedTuple):
    """What an envelope held, and who vouches for it.

    Attributes:
        payload: The bytes that were signed.
        key_ids: The trusted keys that signed them, at least one.
    """

    payload: bytes
    key_ids: frozenset[str]


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key's DER SubjectPublicKeyInfo, in hexadecimal digits."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def sign(payload_type: str, payload: bytes, key: Ed25519PrivateKey) -> str:
    """The JSON envelope of the *payload*, whose type is a media type or URI, signed by *key*."""
    signature = _Signature(
        keyid=key_id(key.public_key()), sig=_encoded(key.sign(authenticated(payload_type, payload)))
    )
    envelope = _Envelope(payloadType=payload_type, payload=_encoded(payload), signatures=[signature])
    return envelope.model_dump_json()


def open_envelope(
    envelope: str, trusted: Mapping[str, Ed25519PublicKey], payload_type: str, *, longest: int = LONGEST
) -> Opened:
    """The payload of an *envelope* that a *trusted* key signed, by key id.

    Raises:
        EnvelopeRefused: It is malformed or longer than *longest* characters, holds another type, or no
            trusted key signed it.
    """
    parsed = _parsed(envelope, longest)
    if parsed.payloadType != payload_type:
        raise EnvelopeRefused(f"it holds {parsed.payloadType[:80]!r}, not {payload_type!r}")
    payload = _decoded(parsed.payload)
    signed = authenticated(payload_type, payload)
    key_ids = frozenset(
        name for each in parsed.signatures for name, key in _hinted(each, trusted) if _fits(each, key, signed)
    )
    if not key_ids:
        raise EnvelopeRefused(_why_nobody(parsed, trusted))
    return Opened(payload, key_ids)


def authenticated(payload_type: str, payload: bytes) -> bytes:
    """What the signature is over, the protocol's PAE: type and payload, each after its length in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _parsed(envelope: str, longest: int) -> _Envelope:
    if len(envelope) > longest:
        raise EnvelopeRefused(f"it is longer than {longest:,} characters")
    try:
        parsed = _Envelope.model_validate_json(envelope)
    except (ValidationError, UnicodeEncodeError):
        raise EnvelopeRefused("it is not the JSON of an envelope") from None
    if not 0 < len(parsed.signatures) <= MOST_SIGNATURES:
        raise EnvelopeRefused(f"it bears {len(parsed.signatures):,} signatures, not 1 to {MOST_SIGNATURES}")
    return parsed


def _hinted(
    signature: _Signature, trusted: Mapping[str, Ed25519PublicKey]
) -> list[tuple[str, Ed25519PublicKey]]:
    """The keys worth trying: the one that the signature names, or each if it names none."""
    if not signature.keyid:
        return list(trusted.items())
    return [(signature.keyid, trusted[signature.keyid])] if signature.keyid in trusted else []


def _fits(signature: _Signature, key: Ed25519PublicKey, signed: bytes) -> bool:
    try:
        key.verify(_decoded(signature.sig), signed)
    except InvalidSignature:
        return False
    return True


def _why_nobody(envelope: _Envelope, trusted: Mapping[str, Ed25519PublicKey]) -> str:
    if any(_hinted(signature, trusted) for signature in envelope.signatures):
        return "its signature does not fit its content"
    named = ", ".join(signature.keyid[:12] for signature in envelope.signatures)
    return f"no trusted key signed it, but {named or 'somebody'}"


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text.translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeRefused("it is not all base64 where it should be") from None
