from __future__ import annotations

import hashlib
import json
import re
import sys
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import make_url, text

from registry import Registry, cli
from registry.approval import Signature, approve
from registry.audit import anchors
from registry.audit.anchors import place, take
from registry.exceptions import AnchorUnusable, ArtifactStoreUnavailable, InvalidValue, ModelNotFound
from registry.signing import dsse
from registry.signing.keys import SigningKey, generate, read_trusted, trust_entry
from tests.examples import fit
from tests.owner import owning
from tests.three_versions import POLICY, holdout, training

if TYPE_CHECKING:
    from collections.abc import Callable


on_sqlite = pytest.mark.parametrize("registry", ["sqlite"], indirect=True)


def exported(registry: Registry, **scope: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in registry.audit(**scope)]


# The export


def recomputed(lines: list[str]) -> None:
    """What an auditor writes who has nothing but the export: no line of this library."""
    heads: dict[tuple[str, str | None], str] = {}
    for line in lines:
        event = json.loads(line)
        if event["record"] is None:
            continue
        chain = event["model"], event["alias"]
        sealed = json.dumps(event["record"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(sealed.encode()).hexdigest() == event["hash"], event["when"]
        assert event["previous_hash"] == event["record"]["previous_hash"] == heads.get(chain, "0" * 64)
        heads[chain] = event["hash"]


def test_the_chains_can_be_recomputed_from_the_export_alone(registry: Registry) -> None:
    registry.assign("churn@1", alias="canary", reason='a "reason" \\ with \u2028 é 🦉 \x9b1m\ttab')
    lines = list(registry.audit())
    recomputed(lines)
    forged = [line.replace("broken", "works") for line in lines]
    with pytest.raises(AssertionError):
        recomputed(forged)
    with pytest.raises(AssertionError):
        recomputed([line for line in lines if '"promoted"' not in line])


def test_each_line_says_who_did_what_when_and_why(registry: Registry) -> None:
    events = exported(registry)
    assert [(event["what"], event["alias"], event["from"], event["to"]) for event in events] == [
        ("registered", None, None, None),
        ("promoted", "champion", None, 1),
        ("registered", None, None, None),
        ("promoted", "champion", 1, 2),
        ("registered", None, None, None),
        ("promoted", "champion", 2, 3),
        ("assigned", "fallback", None, 1),
        ("rolled-back", "champion", 3, 2),
    ]
    assert [event["version"] for event in events] == [1, 1, 2, 2, 3, 3, 1, 2]
    assert {(event["model"], event["who"]) for event in events} == {("churn", "ada")}
    assert [event["why"] for event in events[-2:]] == ["the first", "broken"]
    times = [datetime.fromisoformat(event["when"]) for event in events]
    assert times == sorted(times)
    assert {time.utcoffset() for time in times} == {timedelta(0)}


def test_a_line_says_on_what_evidence(registry: Registry) -> None:
    promoted = exported(registry)[3]
    assert promoted["evidence"]["verdict"] == "promote"
    assert promoted["evidence"]["dataset"] == holdout().fingerprint
    assert promoted["evidence"]["policy"]["checks"][0]["metric"] == "accuracy"
    assert promoted["evidence"]["policy_fingerprint"] == POLICY.fingerprint
    assert promoted["record"]["evidence"]["checks"][0]["measured"]["metric"] == "accuracy"


def test_a_line_says_who_approved(registry: Registry) -> None:
    manual = POLICY.model_copy(update={"approval": "manual"})
    decision = registry.decide("churn@3", holdout(seed=2), manual, alias="canary")
    approve(registry.backend.rows, decision, Signature("grace", "looks right"))
    registry.promote(decision)
    approved, promoted = exported(registry)[-2:]
    assert (approved["what"], approved["approver"]) == ("approved", "grace")
    assert (promoted["what"], promoted["approver"], promoted["who"]) == ("promoted", "grace", "ada")


def test_what_happened_to_versions_beside_the_chains_is_told(registry: Registry, key: Key) -> None:
    registry.pin("churn@1", reason="a customer runs it")
    signature = Registry.of(replace(registry.backend, signing_key=key.signing)).sign("churn@2")
    artifact = registry.resolve("churn@3").artifact
    purge = "purged_at = '2126-03-03 12:00:00.000000', purged_by = 'bob', purged_because = 'too old'"
    with owning(registry) as connection:
        connection.execute(text(f"UPDATE model_artifact SET {purge} WHERE digest = '{artifact}'"))  # noqa: S608, this test's own
    told = [event for event in exported(registry) if event["record"] is None]
    assert [(event["what"], event["version"], event["who"], event["why"]) for event in told] == [
        ("pinned", 1, "ada", "a customer runs it"),
        ("signed", 2, signature.key_id, None),
        ("purged", 3, "bob", "too old"),
    ]
    assert told[-1]["when"] == "2126-03-03T12:00:00.000000+00:00"


def test_an_export_can_be_of_one_model_or_of_some_time(registry: Registry) -> None:
    registry.register("boat", fit(training()), trained_on=training())
    everything = exported(registry)
    moment = datetime.fromisoformat(everything[3]["when"])
    assert exported(registry, model="boat") == everything[-1:]
    assert exported(registry, since=moment) == everything[3:]
    assert exported(registry, until=moment) == everything[:3]
    with pytest.raises(ModelNotFound):
        exported(registry, model="train")
    with pytest.raises(InvalidValue):
        registry.audit(since=moment.replace(tzinfo=None))


def test_a_clock_that_was_set_back_changes_no_order_within_a_chain(registry: Registry) -> None:
    with owning(registry) as connection:
        connection.execute(
            text("UPDATE model_version SET registered_at = '2020-03-03 12:00:00.000000' WHERE number = 2")
        )
    versions = [event["version"] for event in exported(registry) if event["what"] == "registered"]
    assert versions == [1, 2, 3]


def test_a_row_that_cannot_be_read_gets_a_line_too(registry: Registry) -> None:
    with owning(registry) as connection:
        connection.execute(text("UPDATE ledger_entry SET evidence = '{' WHERE alias = 'fallback'"))
    (event,) = (event for event in exported(registry) if event["what"] == "unreadable")
    assert event["why"] == "entry churn@fallback@1 was changed after it was written"
    assert event["record"] is None


# Anchors


@dataclass(frozen=True)
class Key:
    """A key that signs, and what a file of trusted keys says of it."""

    signing: SigningKey
    entry: str

    def trusted(self, **restrictions: str) -> Path:
        """A file that trusts this key alone."""
        file = self.signing.file.with_suffix(".toml")
        file.write_text(self.entry + "".join(f"{name} = {value}\n" for name, value in restrictions.items()))
        return file


@pytest.fixture
def make_key(tmp_path: Path) -> Callable[[str], Key]:
    """Each call makes another key."""

    def make(name: str) -> Key:
        entry = trust_entry(generate(tmp_path / name))
        return Key(SigningKey(tmp_path / name), entry)

    return make


@pytest.fixture
def key(make_key: Callable[[str], Key]) -> Key:
    """The auditor's."""
    return make_key("auditor")


def test_an_anchor_says_which_registry_it_is_of_and_how_it_was(registry: Registry) -> None:
    taken = take(registry.backend.rows)
    history = registry.history("churn", alias="champion")
    assert (taken.entries["churn@champion"].length, taken.entries["churn@champion"].hash) == (
        4,
        history[-1].hash,
    )
    assert taken.versions["churn"].hash == registry.resolve("churn@3").hash
    assert set(taken.entries) == {"churn@champion", "churn@fallback"}
    assert taken.actor == "ada"
    assert re.fullmatch(r"sqlite:////.+/registry\.db|postgresql://127\.0\.0\.1:\d+/test_\w+", taken.database)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (
            "postgresql+psycopg://ada:secret@db.example/registry?sslmode=require",
            "postgresql://db.example:5432/registry",
        ),
        ("postgresql://bob@db.example:6543/registry", "postgresql://db.example:6543/registry"),
        ("postgresql:///registry?host=/run/postgresql", "postgresql:///run/postgresql:5432/registry"),
        ("sqlite:////srv/a/../registry.db", "sqlite:////srv/registry.db"),
    ],
)
def test_a_registry_has_one_name_whoever_uses_it(url: str, name: str) -> None:
    assert place(make_url(url)) == name


@on_sqlite
def test_a_signed_anchor_is_read_by_whoever_trusts_the_key(
    registry: Registry, key: Key, tmp_path: Path
) -> None:
    taken, file = take(registry.backend.rows), str(tmp_path / "monday")
    anchors.keep(anchors.signed(taken, key.signing), file)
    assert anchors.read(file, read_trusted(key.trusted())) == (taken, file, "auditor")


def refusal(file: Path, trusted: Path | None) -> str:
    with pytest.raises(AnchorUnusable) as refused:
        anchors.read(str(file), None if trusted is None else read_trusted(trusted))
    return refused.value.reason


@on_sqlite
def test_an_anchor_that_is_not_to_be_believed_is_refused(
    registry: Registry, key: Key, make_key: Callable[[str], Key], tmp_path: Path
) -> None:
    taken, file = take(registry.backend.rows), tmp_path / "monday"
    file.write_text(anchors.signed(taken, key.signing))
    assert refusal(file, None) == "it is signed: name the keys that you trust by --trust"
    assert refusal(file, make_key("stranger").trusted()).startswith("no trusted key signed it")
    assert "expired" in refusal(file, key.trusted(not_after="2026-01-01T00:00:00Z"))
    assert "may not sign for churn" in refusal(file, key.trusted(models='["boat"]'))
    forged = anchors.unsigned(taken.model_copy(update={"versions": {}})).encode()
    envelope = json.loads(file.read_text()) | {"payload": b64encode(forged).decode()}
    file.write_text(json.dumps(envelope))
    assert refusal(file, key.trusted()) == "its signature does not fit its content"
    file.write_text(dsse.sign("text/plain", anchors.unsigned(taken).encode(), key.signing.private))
    assert refusal(file, key.trusted()).startswith("it holds 'text/plain'")
    file.write_text(dsse.sign(anchors.PAYLOAD_TYPE, b"{}", key.signing.private))
    assert refusal(file, key.trusted()) == "what is signed is no anchor of this library"


@on_sqlite
def test_an_anchor_without_a_signature_is_read_where_no_key_is_trusted(
    registry: Registry, key: Key, tmp_path: Path
) -> None:
    taken, file = take(registry.backend.rows), tmp_path / "monday"
    file.write_text(anchors.unsigned(taken))
    assert anchors.read(str(file), None) == (taken, str(file), None)
    assert refusal(file, key.trusted()) == "nobody signed it, and trusted keys are named"


@pytest.mark.parametrize(
    ("content", "reason"), [(b'{"model": "churn"}', "it is no anchor"), (b"\xff", "it is no text")]
)
def test_what_is_no_anchor_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "monday"
    assert refusal(file, None) == "there is no such file"
    file.write_bytes(content)
    assert refusal(file, None) == reason


@on_sqlite
def test_an_anchor_is_never_overwritten_and_never_half_written(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "anchors"
    folder.mkdir()
    written = anchors.unsigned(take(registry.backend.rows))
    anchors.keep(written, f"{folder}/monday")
    with pytest.raises(AnchorUnusable, match="it exists, and an anchor is never overwritten"):
        anchors.keep("another", f"{folder}/monday")
    with pytest.raises(AnchorUnusable, match="can't be written: No such file or directory"):
        anchors.keep(written, f"{folder}/none/monday")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"monday": written}


@on_sqlite
def test_an_anchor_can_be_kept_in_a_bucket(registry: Registry, make_bucket: Callable[[], str]) -> None:
    taken, place_of_it = take(registry.backend.rows), f"s3://{make_bucket()}/anchors/monday"
    anchors.keep(anchors.unsigned(taken), place_of_it)
    anchors.keep(anchors.unsigned(taken), place_of_it)  # as when the first answer was lost
    with pytest.raises(AnchorUnusable, match="it exists"):
        anchors.keep("another", place_of_it)
    assert anchors.read(place_of_it, None) == (taken, place_of_it, None)
    with pytest.raises(AnchorUnusable, match="there is no such file"):
        anchors.read(f"{place_of_it}-after", None)
    with pytest.raises(ArtifactStoreUnavailable):
        anchors.keep("another", "s3://no-such-bucket/monday")


# The command line


@dataclass
class Answer:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Each call runs `registry` with its arguments, in a folder of the test's own."""
    database = registry.backend.rows.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", database)
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", registry.backend.artifacts.location)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Answer(int(end.value.code or 0), *capsys.readouterr())

    return run


def test_a_ledger_that_was_cut_short_is_found_by_the_anchor_of_yesterday(
    run: Callable[..., Answer], registry: Registry, key: Key
) -> None:
    signed = run("audit", "anchor", "monday", "--key", str(key.signing.file))
    assert (signed.status, signed.err) == (0, "")
    assert signed.out.startswith("monday holds 3 chains of ")
    registry.assign("churn@3", reason="works again")
    against = "--anchor", "monday", "--trust", str(key.trusted())
    assert run("audit", "anchor", "tuesday", "--key", str(key.signing.file)).status == 0
    assert run("verify", *against, "--anchor", "tuesday").status == 0
    with owning(registry) as connection:
        connection.execute(text("DELETE FROM ledger_entry WHERE alias = 'champion' AND sequence = 5"))
    assert run("verify").status == run("verify", *against).status == 0
    found = run("verify", *against, "--anchor", "tuesday", "--rows-only", "--json")
    assert found.status == 1
    (problem,) = json.loads(found.out)["problems"]
    assert problem["subject"] == "churn@champion"
    assert problem["problem"].startswith("entry 5 is missing, and the anchor tuesday of ")


@on_sqlite
def test_an_anchor_is_unsigned_only_if_somebody_asks_for_that(
    run: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, key: Key
) -> None:
    refused = run("audit", "anchor", "monday")
    assert refused.status == 1
    assert "nothing signs it: name a key by --key" in refused.err
    assert not Path("monday").exists()
    assert run("audit", "anchor", "monday", "--unsigned").out.endswith(", unsigned\n")
    looked = run("verify", "--anchor", "monday")
    assert looked.status == 0
    assert looked.out.startswith("anchor monday: nobody signed it")
    monkeypatch.setenv("MODEL_REGISTRY_SIGNING_KEY", str(key.signing.file))
    assert run("audit", "anchor", "tuesday").status == 0
    monkeypatch.setenv("MODEL_REGISTRY_TRUSTED_KEYS", str(key.trusted()))
    assert run("verify", "--anchor", "tuesday").status == 0
    assert "nobody signed it" in run("verify", "--anchor", "monday").err


@on_sqlite
def test_an_anchor_of_another_registry_is_refused_before_anything_is_compared(
    run: Callable[..., Answer], registry: Registry
) -> None:
    taken = take(registry.backend.rows).model_copy(update={"database": "sqlite:////elsewhere/registry.db"})
    Path("monday").write_text(anchors.unsigned(taken))
    refused = run("verify", "--anchor", "monday")
    assert (refused.status, refused.out) == (1, "")
    assert "it is of sqlite:////elsewhere/registry.db, and this is sqlite:///" in refused.err
    moved = run("verify", "--anchor", "monday", "--anchored-as", "sqlite:////elsewhere/registry.db")
    assert moved.status == 0


def test_an_export_is_printed_or_written_whole(run: Callable[..., Answer], registry: Registry) -> None:
    printed = run("audit", "export")
    assert (printed.status, printed.err) == (0, "")
    assert printed.out.isascii()
    recomputed(printed.out.splitlines())
    assert run("audit", "export", "-o", "trail.jsonl").out == ""
    assert Path("trail.jsonl").read_text() == printed.out == "".join(f"{line}\n" for line in registry.audit())
    later = run("audit", "export", "--model", "churn", "--since", "2100-01-01")
    assert (later.status, later.out) == (0, "")
    refused = run("audit", "export", "--model", "train", "-o", "nothing.jsonl")
    assert refused.status == 1
    assert not Path("nothing.jsonl").exists()
    assert "can't be written" in run("audit", "export", "-o", "none/trail.jsonl").err


@on_sqlite
def test_the_help_says_how_the_hashes_are_taken(run: Callable[..., Answer]) -> None:
    told = " ".join(run("audit", "export", "--help").out.split())
    assert "SHA-256 over its record" in told
    assert "sorted keys" in told
