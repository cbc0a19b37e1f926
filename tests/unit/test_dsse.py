from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib import dsse as theirs
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import (  # type: ignore[attr-defined]  # it names its exports elsewhere
    CryptoSigner,
    SSlibKey,
)

from registry.exceptions import EnvelopeRefused
from registry.signing import dsse

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY = Ed25519PrivateKey.from_private_bytes(  # RFC 8032, section 7.1, test 1
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
OTHER = Ed25519PrivateKey.from_private_bytes(  # RFC 8032, section 7.1, test 2
    bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
)
KIND = "application/vnd.in-toto+json"
PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1"}'
ENVELOPE = dsse.sign(KIND, PAYLOAD, KEY)

# DSSE's own test vectors: payload, type, signature by KEY
VECTORS = {
    "a signature": (
        PAYLOAD,
        KIND,
        "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA==",
    ),
    "a type that is not ASCII": (
        PAYLOAD,
        "application/vnd.exämple+json",
        "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw==",
    ),
    "no payload": (
        b"",
        KIND,
        "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg==",
    ),
    "no type": (
        PAYLOAD,
        "",
        "iC3q/+3Rm0+lpAJRueDmDh15PnwCfxKmS0NAfKsbv+zgulXQC/WM9trc+j1XEqlwDIg/vf/uNfebeD6sxInrDg==",
    ),
}
URL_SAFE = {
    "payload": "-_-_Pj8=",
    "payloadType": KIND,
    "signatures": [
        {"sig": "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw=="}
    ],
}


def trusting(*keys: Ed25519PrivateKey) -> dict[str, Ed25519PublicKey]:
    return {dsse.key_id(key.public_key()): key.public_key() for key in keys}


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(ENVELOPE) | fields)


def signature(key: Ed25519PrivateKey = KEY) -> dict[str, str]:
    (made,) = json.loads(dsse.sign(KIND, PAYLOAD, key))["signatures"]
    return dict(made)


# What the standard says


def test_what_is_signed_is_the_standards_encoding_of_type_and_payload() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.authenticated("http://example.com/HelloWorld", b"hello world") == expected


@pytest.mark.parametrize("vector", VECTORS.values(), ids=list(VECTORS))
def test_the_standards_test_vectors_are_signed_and_opened_as_it_says(vector: tuple[bytes, str, str]) -> None:
    payload, kind, expected = vector
    envelope = dsse.sign(kind, payload, KEY)
    assert json.loads(envelope)["signatures"][0]["sig"] == expected
    assert dsse.open_envelope(envelope, trusting(KEY), kind).payload == payload


def test_both_alphabets_of_base64_are_understood() -> None:
    opened = dsse.open_envelope(json.dumps(URL_SAFE), trusting(KEY), KIND)
    assert opened.payload == bytes.fromhex("fbffbf3e3f")


def test_a_key_id_is_optional_and_fields_that_nobody_knows_are_passed_over() -> None:
    nameless = changed(signatures=[{"sig": signature()["sig"], "cert": "…"}], note=[1])
    assert dsse.open_envelope(nameless, trusting(OTHER, KEY), KIND).key_ids == set(trusting(KEY))


def test_a_key_id_is_what_openssl_and_sha256sum_make_of_the_public_key() -> None:
    expected = "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9"
    assert dsse.key_id(KEY.public_key()) == expected


def test_several_may_sign_and_one_who_is_trusted_is_enough() -> None:
    both = changed(signatures=[signature(OTHER), signature()])
    assert dsse.open_envelope(both, trusting(KEY), KIND).key_ids == set(trusting(KEY))
    assert dsse.open_envelope(both, trusting(KEY, OTHER), KIND).key_ids == set(trusting(KEY, OTHER))


# What is refused

REFUSED: dict[str, tuple[str, str]] = {
    "another payload": (changed(payload="e30="), "does not fit"),
    "another type": (changed(payloadType="application/json"), "'application/json'"),
    "no type": (changed(payloadType=""), "''"),
    "a stranger": (dsse.sign(KIND, PAYLOAD, OTHER), "no trusted key"),
    "a stranger in a trusted name": (
        changed(signatures=[signature(OTHER) | {"keyid": signature()["keyid"]}]),
        "does not fit",
    ),
    "a trusted signature in a stranger's name": (
        changed(signatures=[signature() | {"keyid": "somebody"}]),
        "no trusted key",
    ),
    "no signature": (changed(signatures=[]), "0 signatures"),
    "too many signatures": (changed(signatures=[signature()] * 17), "17 signatures"),
    "a signature of the payload alone": (
        changed(signatures=[signature() | {"sig": dsse._encoded(KEY.sign(PAYLOAD))}]),
        "does not fit",
    ),
    "a short signature": (changed(signatures=[signature() | {"sig": "AAAA"}]), "does not fit"),
    "an empty signature": (changed(signatures=[signature() | {"sig": ""}]), "does not fit"),
    "a signature that is not base64": (changed(signatures=[signature() | {"sig": "?"}]), "base64"),
    "a payload that is not base64": (changed(payload="e30"), "base64"),
    "a payload in no ASCII": (changed(payload="é"), "base64"),
    "a payload with line breaks": (changed(payload="e3\n0="), "base64"),
    "a payload that is no text": (changed(payload=1), "not the JSON"),
    "no list of signatures": (changed(signatures={"0": signature()}), "not the JSON"),
    "signatures that are none": (changed(signatures=["sig"]), "not the JSON"),
    "a lone surrogate": (ENVELOPE.replace("payload", "payl\ud800d"), "not the JSON"),
    "half of it": (ENVELOPE[: len(ENVELOPE) // 2], "not the JSON"),
    "something behind it": (f"{ENVELOPE}{ENVELOPE}", "not the JSON"),
    "nothing": ("", "not the JSON"),
    "a list": ("[]", "not the JSON"),
    "too deep": ("[" * 100_000, "not the JSON"),
    "too long": (ENVELOPE + " " * dsse.LONGEST, "longer than 1,048,576 characters"),
}


@pytest.mark.parametrize(("envelope", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_an_envelope_is_refused(envelope: str, reason: str) -> None:
    with pytest.raises(EnvelopeRefused, match=reason):
        dsse.open_envelope(envelope, trusting(KEY), KIND)


def test_nobody_is_trusted_by_default() -> None:
    with pytest.raises(EnvelopeRefused, match="no trusted key"):
        dsse.open_envelope(ENVELOPE, {}, KIND)


def test_whoever_expects_a_short_envelope_says_so() -> None:
    with pytest.raises(EnvelopeRefused, match="longer than 100"):
        dsse.open_envelope(ENVELOPE, trusting(KEY), KIND, longest=100)


@given(place=st.integers(0, len(ENVELOPE) - 1), character=st.characters(codec="utf-8"))
def test_no_character_can_be_changed_so_that_another_payload_opens(place: int, character: str) -> None:
    envelope = ENVELOPE[:place] + character + ENVELOPE[place + 1 :]
    try:
        opened = dsse.open_envelope(envelope, trusting(KEY), KIND)
    except EnvelopeRefused:
        return
    assert opened.payload == PAYLOAD


# Another implementation


def test_securesystemslib_verifies_our_envelope() -> None:
    envelope = theirs.Envelope.from_dict(json.loads(ENVELOPE))
    public = SSlibKey.from_crypto(KEY.public_key(), keyid=dsse.key_id(KEY.public_key()))
    assert envelope.verify([public], 1) == {public.keyid: public}
    assert (envelope.payload, envelope.payload_type) == (PAYLOAD, KIND)


def test_securesystemslib_refuses_our_envelope_with_another_payload() -> None:
    envelope = theirs.Envelope.from_dict(json.loads(changed(payload="e30=")))
    public = SSlibKey.from_crypto(KEY.public_key(), keyid=dsse.key_id(KEY.public_key()))
    with pytest.raises(VerificationError):
        envelope.verify([public], 1)


def test_an_envelope_by_securesystemslib_opens() -> None:
    signer = CryptoSigner(OTHER)
    envelope = theirs.Envelope(PAYLOAD, KIND, {})
    envelope.sign(signer)
    name = signer.public_key.keyid
    opened = dsse.open_envelope(json.dumps(envelope.to_dict()), {name: OTHER.public_key()}, KIND)
    assert opened == dsse.Opened(PAYLOAD, frozenset({name}))
