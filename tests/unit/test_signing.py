from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError
from securesystemslib import dsse as theirs
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # it names its exports elsewhere

from registry import signing
from registry.exceptions import InvalidName, KeyUnusable, SignatureInvalid, SignatureMissing
from registry.signing import dsse, keys, statements
from registry.signing.keys import SigningKey, TrustedKey
from registry.tables import GENESIS, ModelVersion, Signature, canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
TODAY = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def a_version(number: int = 4, **columns: Any) -> ModelVersion:
    """A version as the database would give it, sealed, that no database ever held."""
    facts: dict[str, Any] = {
        "model": "churn",
        "previous": number - 1,
        "training": f"{number:064x}",
        "fitted": f"{number:064x}",
        "artifact": f"{number:064x}",
        "artifact_bytes": 4_096,
        "serialization": "skops",
        "estimator": "sklearn.linear_model._logistic.LogisticRegression",
        "trained_on": "1" * 64,
        "params": {"C": 0.1},
        "input_schema": [{"name": "age", "type": "float64"}],
        "input_example": {"rows": [[1.0]], "predictions": [0]},
        "environment": {"python": "3.11"},
        "registered_by": "ada",
        "registered_at": TODAY,
        "previous_hash": GENESIS,
        "hash": "",
    }
    version = ModelVersion(number=number, **facts | columns)
    version.hash = version.digest()
    return version


def trusted(key: Ed25519PrivateKey = KEY, **limits: Any) -> dict[str, TrustedKey]:
    text = keys.trust_entry(TrustedKey.model_construct(name="the pipeline", public_key=key.public_key()))
    public_key = text.partition("public_key = ")[2].strip().strip('"')
    entry = TrustedKey(name="the pipeline", public_key=public_key, **limits)
    return {entry.key_id: entry}


def signed(version: ModelVersion, key: Ed25519PrivateKey = KEY) -> Signature:
    return signing.sign(version, key, TODAY)


def statement(signature: Signature) -> dict[str, Any]:
    opened = dsse.open_envelope(
        signature.envelope, {signature.key_id: KEY.public_key()}, statements.PAYLOAD_TYPE
    )
    found: dict[str, Any] = json.loads(opened.payload)
    return found


def saying(content: Any, kind: str = statements.PAYLOAD_TYPE) -> Signature:
    """A signature by the trusted key below something else."""
    envelope = dsse.sign(
        kind, content if isinstance(content, bytes) else canonical_json(content).encode(), KEY
    )
    return signed(a_version()).model_copy(update={"envelope": envelope})


# The statement


def test_what_is_signed_is_an_in_toto_statement_about_bytes_name_number_and_row() -> None:
    version = a_version()
    assert statement(signed(version)) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "churn@4", "digest": {"sha256": version.artifact}}],
        "predicateType": statements.PREDICATE_TYPE,
        "predicate": {
            "model": "churn",
            "version": 4,
            "evidence": {"sha256": version.hash},
            "serialization": "skops",
            "signedAt": "2026-03-03T12:00:00Z",
        },
    }


def test_securesystemslib_verifies_a_versions_signature_and_reads_its_statement() -> None:
    envelope = theirs.Envelope.from_dict(json.loads(signed(a_version()).envelope))
    public = SSlibKey.from_crypto(KEY.public_key(), keyid=dsse.key_id(KEY.public_key()))
    assert envelope.verify([public], 1)
    assert json.loads(envelope.payload)["subject"][0]["name"] == "churn@4"


def test_a_signature_by_a_trusted_key_is_good() -> None:
    signing.check(a_version(), [signed(a_version())], trusted(), TODAY)


def test_a_statement_may_say_more_than_is_asked() -> None:
    said = statement(signed(a_version()))
    said["predicate"]["approvedBy"] = "ada"
    signing.check(a_version(), [saying(said | {"note": "hello"})], trusted(), TODAY)


def test_one_good_signature_among_bad_ones_is_enough() -> None:
    bad = [signed(a_version(), OTHER), signed(a_version(3))]
    signing.check(a_version(), [*bad, signed(a_version())], trusted(), TODAY)


# What vouches for nothing


def renamed(**subject: Any) -> dict[str, Any]:
    said = statement(signed(a_version()))
    return said | {"subject": [said["subject"][0] | subject]}


def rowed(**predicate: Any) -> dict[str, Any]:
    said = statement(signed(a_version()))
    return said | {"predicate": said["predicate"] | predicate}


REFUSED: dict[str, tuple[Callable[[], Signature], str]] = {
    "another version's": (lambda: signed(a_version(3)), "what was signed is churn@3"),
    "another model's": (lambda: signed(a_version(model="fraud")), "what was signed is fraud@4"),
    "a stranger's": (lambda: signed(a_version(), OTHER), "is not trusted"),
    "one of other bytes": (lambda: saying(renamed(digest={"sha256": "f" * 64})), "other bytes"),
    "one of the bytes of another version": (
        lambda: signed(a_version(artifact="f" * 64)),
        "what was signed are other bytes",
    ),
    "one of another row": (lambda: signed(a_version(registered_by="eve")), "another row"),
    "one that names another number beside": (lambda: saying(rowed(version=3)), "another row"),
    "one that names another model beside": (lambda: saying(rowed(model="fraud")), "another row"),
    "one of another format of the bytes": (lambda: saying(rowed(serialization="pickle")), "another row"),
    "one of two subjects": (
        lambda: saying(renamed() | {"subject": [*renamed()["subject"], *renamed(name="b")["subject"]]}),
        "what was signed is churn@4, b",
    ),
    "one of no subject": (lambda: saying(renamed() | {"subject": []}), "what was signed is nothing"),
    "another kind of predicate": (
        lambda: saying(renamed() | {"predicateType": "https://slsa.dev/provenance/v1"}),
        "no such statement",
    ),
    "another kind of statement": (lambda: saying(renamed() | {"_type": "other"}), "no such statement"),
    "one without a time": (lambda: saying(rowed(signedAt="yesterday")), "no statement about a version"),
    "one of a time without a zone": (lambda: saying(rowed(signedAt="2026-03-03T12:00:00")), "no statement"),
    "no statement": (lambda: saying([1]), "no statement about a version"),
    "no JSON": (lambda: saying(b"\xff"), "no statement about a version"),
    "another type of payload": (lambda: saying(renamed(), "application/json"), "'application/json'"),
    "no envelope": (
        lambda: signed(a_version()).model_copy(update={"envelope": "signed, ada"}),
        "not the JSON of an envelope",
    ),
    "a stranger's in a trusted name": (
        lambda: signed(a_version(), OTHER).model_copy(update={"key_id": dsse.key_id(KEY.public_key())}),
        "no trusted key signed it",
    ),
}


@pytest.mark.parametrize(("forged", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_a_signature_is_refused(forged: Callable[[], Signature], reason: str) -> None:
    with pytest.raises(SignatureInvalid, match=reason):
        signing.check(a_version(), [forged()], trusted(), TODAY)


@pytest.mark.parametrize(
    "change", [{"artifact": "f" * 64}, {"params": {"C": 9}}, {"registered_by": "eve"}, {"hash": "f" * 64}]
)
def test_a_signature_is_refused_once_the_row_was_changed(change: dict[str, Any]) -> None:
    version = a_version()
    signature = signed(version)
    for column, value in change.items():
        setattr(version, column, value)
    with pytest.raises(SignatureInvalid, match="row was changed"):
        signing.check(version, [signature], trusted(), TODAY)


def test_a_signature_is_refused_though_whoever_changed_the_row_hashed_it_again() -> None:
    with pytest.raises(SignatureInvalid, match="what was signed is another row"):
        signing.check(a_version(params={"C": 9}), [signed(a_version())], trusted(), TODAY)


def test_a_version_without_signatures_is_refused_where_one_is_required() -> None:
    with pytest.raises(SignatureMissing, match="churn@4 bears no signature"):
        signing.check(a_version(), [], trusted(), TODAY)


def test_a_thousand_worthless_signatures_make_no_long_message_and_hide_no_good_one() -> None:
    worthless = [
        signed(a_version()).model_copy(update={"key_id": f"{number:064}"}) for number in range(1_000)
    ]
    with pytest.raises(SignatureInvalid) as refusal:
        signing.check(a_version(), worthless, trusted(), TODAY)
    assert len(str(refusal.value)) < 1_000
    signing.check(a_version(), [*worthless, signed(a_version())], trusted(), TODAY)


def test_a_changed_row_is_not_signed() -> None:
    version = a_version()
    version.registered_by = "eve"
    with pytest.raises(SignatureInvalid, match="row was changed"):
        signed(version)


# What a key may


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"not_after": TODAY}, "the key of the pipeline expired on 2026-03-03 12:00 UTC"),
        ({"not_before": TODAY + DAY}, "the key of the pipeline is not valid before 2026-03-04 12:00 UTC"),
        ({"models": ["fraud", "churn-*"]}, "the key of the pipeline may not sign for churn"),
        ({"models": []}, "may not sign for churn"),
    ],
)
def test_a_key_vouches_for_nothing_beyond_its_limits(limits: dict[str, Any], reason: str) -> None:
    with pytest.raises(SignatureInvalid, match=reason):
        signing.check(a_version(), [signed(a_version())], trusted(**limits), TODAY)


@pytest.mark.parametrize(
    "limits",
    [
        {"not_after": TODAY + DAY},
        {"not_before": TODAY},
        {"models": ["churn"]},
        {"models": ["fraud", "ch*"]},
        {"models": ["*"]},
    ],
)
def test_a_key_vouches_within_its_limits(limits: dict[str, Any]) -> None:
    signing.check(a_version(), [signed(a_version())], trusted(**limits), TODAY)


# How strict to be


def test_a_caller_can_be_stricter_than_the_operator_and_never_laxer() -> None:
    assert signing.stricter("if_signed", "off") == "if_signed"
    assert signing.stricter("if_signed", "required") == "required"
    assert signing.stricter("required", None) == "required"
    assert signing.stricter(None, None) == "off"


@pytest.mark.parametrize("level", ["requierd", "", "OFF"])
def test_a_level_that_does_not_exist_is_refused_rather_than_taken_for_lax(level: str) -> None:
    with pytest.raises(InvalidName, match="use off, if_signed, required"):
        signing.stricter("if_signed", level)


# Files of keys


def test_a_key_that_was_made_signs_what_its_printed_lines_trust(tmp_path: Path) -> None:
    made = keys.generate(tmp_path / "release.pem")
    trust = tmp_path / "trusted.toml"
    trust.write_text(keys.trust_entry(made))
    private = SigningKey(tmp_path / "release.pem").private
    signing.check(a_version(), [signed(a_version(), private)], keys.read_trusted(trust), TODAY)
    assert keys.read_trusted(trust)[made.key_id].name == "release"


def test_a_private_key_is_for_its_owners_eyes_only(tmp_path: Path) -> None:
    keys.generate(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    file = tmp_path / "key"
    made = keys.generate(file, "correct horse")
    assert b"ENCRYPTED" in file.read_bytes()
    private = SigningKey(file, "correct horse").private
    assert dsse.key_id(private.public_key()) == made.key_id
    for passphrase, reason in (
        ("", "it is encrypted: set MODEL_REGISTRY_SIGNING_PASSPHRASE"),
        ("x", "wrong"),
    ):
        with pytest.raises(KeyUnusable, match=reason):
            _ = SigningKey(file, passphrase).private


def test_a_key_that_should_be_encrypted_and_is_not_is_refused(tmp_path: Path) -> None:
    keys.generate(tmp_path / "key")
    with pytest.raises(KeyUnusable, match="it is not encrypted"):
        _ = SigningKey(tmp_path / "key", "correct horse").private


@pytest.mark.parametrize("existing", ["key", "key.pub"])
def test_a_key_is_never_overwritten_and_nothing_is_left_of_the_attempt(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    with pytest.raises(KeyUnusable, match=rf"{existing} can't be used: it exists"):
        keys.generate(tmp_path / "key")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {existing: "precious"}


def test_a_key_can_not_be_made_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="No such file or directory"):
        keys.generate(tmp_path / "nowhere" / "key")


def test_what_is_no_ed25519_key_signs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "key"
    other = generate_private_key(SECP256R1())
    file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(KeyUnusable, match="it is not an Ed25519 key"):
        _ = SigningKey(file).private
    file.write_text("a key")
    with pytest.raises(KeyUnusable, match="no private key in PEM"):
        _ = SigningKey(file).private
    with pytest.raises(KeyUnusable, match="No such file"):
        _ = SigningKey(tmp_path / "none").private


def test_a_passphrase_is_not_shown() -> None:
    assert "horse" not in repr(SigningKey(__file__, "correct horse"))  # type: ignore[arg-type]


LINE = next(
    line for line in keys.trust_entry(next(iter(trusted().values()))).splitlines() if "public" in line
)
ENTRY = f'[[keys]]\nname = "ada"\n{LINE}\n'
EC = generate_private_key(SECP256R1()).public_key()

UNREADABLE: dict[str, tuple[str, str]] = {
    "no TOML": ("[[keys", "it is not TOML"),
    "a misspelled limit": (f"{ENTRY}not_afer = 2026-01-01T00:00:00Z", "keys.0.not_afer"),
    "a misspelled table": ("[[key]]", "key: "),
    "a time without a zone": (f"{ENTRY}not_after = 2026-01-01T00:00:00", "keys.0.not_after"),
    "a day without a zone": (f"{ENTRY}not_after = 2026-01-01", "keys.0.not_after"),
    "models that can't exist": (f'{ENTRY}models = ["Churn?"]', "keys.0.models.0"),
    "a key without a name": (f"[[keys]]\n{LINE}", "keys.0.name"),
    "a name without a key": ('[[keys]]\nname = "ada"', "keys.0.public_key"),
    "no base64": ('[[keys]]\nname = "ada"\npublic_key = "?"', "not the base64 line"),
    "half a key": (f'[[keys]]\nname = "ada"\n{LINE[:-20]}"', "not the base64 line"),
    "a number": ('[[keys]]\nname = "ada"\npublic_key = 1', "not the base64 line"),
    "a key twice": (ENTRY + ENTRY.replace("ada", "eve"), "it names a key twice"),
}


@pytest.mark.parametrize(("text", "reason"), UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_file_of_trusted_keys_is_refused_whole(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "trusted.toml"
    file.write_text(text)
    with pytest.raises(KeyUnusable, match=reason):
        keys.read_trusted(file)


def test_a_file_of_trusted_keys_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="No such file"):
        keys.read_trusted(tmp_path / "trusted.toml")
    (tmp_path / "trusted.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(KeyUnusable, match="not TOML"):
        keys.read_trusted(tmp_path / "trusted.toml")


def test_an_empty_file_trusts_nobody(tmp_path: Path) -> None:
    (tmp_path / "trusted.toml").touch()
    assert keys.read_trusted(tmp_path / "trusted.toml") == {}


def test_only_ed25519_keys_are_trusted() -> None:
    der = EC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValidationError, match="not the base64 line of an Ed25519"):
        TrustedKey(name="ada", public_key=dsse._encoded(der))
