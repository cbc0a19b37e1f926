from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from registry import Batch, MonitoringPolicy, Registry, RegistrySettings, RollbackPolicy, cli
from registry.exceptions import (
    ArtifactCorrupted,
    InvalidName,
    KeyUnusable,
    NothingToRollBackTo,
    NotVouchedFor,
    SignatureInvalid,
    SignatureMissing,
)
from registry.settings import open_backend
from registry.signing import keys
from registry.submissions import Submission
from registry.tables import ModelVersion, Signature
from tests.examples import fit, make_dataset
from tests.integration.conftest import a_dataset, a_version_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from registry.signing import Verify

    OpenRegistry = Callable[..., Registry]


class Noted(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Notes whenever one of its kind is built from bytes."""

    built: ClassVar[list[Noted]] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.built.append(self)

    def fit(self, rows: pd.DataFrame, labels: Any) -> Noted:  # noqa: ARG002, scikit-learn's signature
        return self

    def predict(self, rows: pd.DataFrame) -> Any:
        return np.zeros(len(rows))


@pytest.fixture
def make_key(tmp_path: Path) -> Callable[[str], Path]:
    """Each call makes the private key of another signer, whom nobody trusts yet."""

    def make(name: str) -> Path:
        keys.generate(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def trusting(tmp_path: Path) -> Callable[..., Path]:
    """Each call writes the file of trusted keys anew: it names these signers, within *limits*."""

    def write(*signers: Path, limits: str = "") -> Path:
        file = tmp_path / "trusted.toml"
        file.write_text("".join(entry(signer) + limits + "\n" for signer in signers))
        return file

    return write


def entry(signer: Path) -> str:
    public = keys.SigningKey(signer).private.public_key()
    return keys.trust_entry(keys.TrustedKey.model_construct(name=signer.name, public_key=public))


def opening(database: str, tmp_path: Path) -> Iterator[OpenRegistry]:
    with ExitStack() as registries:

        def make(**settings: Any) -> Registry:
            usual = {"database": database, "artifacts": f"{tmp_path}/artifacts", "actor": "ada"}
            registry = Registry.of(open_backend(RegistrySettings(**usual | settings)))
            registries.callback(registry.close)
            return registry

        yield make


@pytest.fixture
def on_each_database(database_url: str, tmp_path: Path) -> Iterator[OpenRegistry]:
    """Each call opens the test's one registry with other settings; on each of the two kinds in turn."""
    yield from opening(database_url, tmp_path)


@pytest.fixture
def open_registry(tmp_path: Path) -> Iterator[OpenRegistry]:
    """Each call opens the test's one registry with other settings."""
    yield from opening(f"sqlite:///{tmp_path}/registry.db", tmp_path)


def register(registry: Registry, *, seed: int = 0, estimator: Any = None) -> ModelVersion:
    dataset = make_dataset(seed=seed)
    return registry.register("churn", fit(dataset, estimator), trained_on=dataset)


def tamper(registry: Registry, *statements: str) -> None:
    """Change rows as somebody can who owns the database: no trigger is in the way."""
    tables = ("model_version", "signature")
    with registry.backend.rows.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            off = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables]
        else:
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            off = [f"DROP TRIGGER {name}" for name in connection.scalars(text(triggers))]
        for statement in (*off, *statements):
            connection.execute(text(statement))


def lose_bytes(registry: Registry, version: ModelVersion) -> None:
    registry.backend.artifacts.remove(version.artifact)


# Signing


def test_a_registered_version_is_signed_and_loads_where_a_signature_is_required(
    on_each_database: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    signer = make_key("pipeline")
    register(on_each_database(signing_key=signer))
    consumer = on_each_database(trusted_keys=trusting(signer), verify="required")
    assert consumer.load("churn@1").version.reference == "churn@1"


def test_a_version_and_its_signature_commit_together(on_each_database: OpenRegistry) -> None:
    def fail(version: ModelVersion) -> Signature:
        raise KeyUnusable("the key", f"it vanished before {version.reference} was signed")

    store = on_each_database().backend.rows
    row = ModelVersion(**a_version_row())
    store.lease({row.artifact: 1})
    with pytest.raises(KeyUnusable, match="before churn@1 was signed"):
        store.append_version(Submission(version=row, trained_on=a_dataset(), request="0" * 64, sign=fail))
    assert store.models() == []


@pytest.mark.parametrize("change", ["UPDATE signature SET key_id = 'x'", "DELETE FROM signature"])
def test_the_database_keeps_signatures_as_they_are(
    on_each_database: OpenRegistry, make_key: Callable[[str], Path], change: str
) -> None:
    registry = on_each_database(signing_key=make_key("pipeline"))
    version = register(registry)
    with (
        pytest.raises(DBAPIError, match="rows are appended, never changed"),
        registry.backend.rows.engine.begin() as connection,
    ):
        connection.execute(text(change))
    assert len(registry.backend.rows.signatures(version)) == 1


def test_a_key_that_can_not_be_read_refuses_before_bytes_are_stored(
    open_registry: OpenRegistry, tmp_path: Path
) -> None:
    registry = open_registry(signing_key=tmp_path / "none")
    with pytest.raises(KeyUnusable, match="No such file"):
        register(registry)
    assert list(registry.backend.artifacts.stored()) == []
    assert registry.models() == []


def test_versions_from_before_there_was_a_key_are_signed_later_and_by_several(
    on_each_database: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    register(on_each_database())
    first, second = make_key("first"), make_key("second")
    for signer in (first, second, first):
        on_each_database(signing_key=signer).sign("churn@latest")
    for signer in (first, second):
        on_each_database(trusted_keys=trusting(signer), verify="required").load("churn@1")
    registry = on_each_database(trusted_keys=trusting(second))
    found = [(voucher.name, voucher.problem is None) for voucher in registry.dossier("churn@1").vouchers]
    assert sorted(found, key=str) == [("second", True), (None, False)]


def test_without_a_key_nothing_can_be_signed(open_registry: OpenRegistry) -> None:
    registry = open_registry()
    register(registry)
    with pytest.raises(KeyUnusable, match="MODEL_REGISTRY_SIGNING_KEY"):
        registry.sign("churn@1")


def test_who_signs_learns_of_a_signature_in_the_name_of_the_same_key(
    open_registry: OpenRegistry, make_key: Callable[[str], Path]
) -> None:
    registry = open_registry(signing_key=make_key("pipeline"))
    register(registry)
    register(open_registry(), seed=1)
    copy_signature(registry, source=1, target=2)
    with pytest.raises(SignatureInvalid, match="what was signed is churn@1"):
        registry.sign("churn@2")


# Checking


def copy_signature(registry: Registry, *, source: int, target: int) -> None:
    """Give one version's signature to another, for which nothing but INSERT is needed."""
    copied = text(
        "INSERT INTO signature (model, number, key_id, envelope, signed_at) "
        "SELECT model, :target, key_id, envelope, signed_at FROM signature WHERE number = :source"
    )
    with registry.backend.rows.engine.begin() as connection:
        connection.execute(copied, {"source": source, "target": target})


@pytest.mark.parametrize("verify", ["if_signed", "required"])
def test_a_replay_of_the_third_versions_signature_on_the_fourth_is_refused_before_bytes_are_fetched(
    on_each_database: OpenRegistry,
    make_key: Callable[[str], Path],
    trusting: Callable[..., Path],
    verify: Verify,
) -> None:
    signer = make_key("pipeline")
    for seed in range(3):
        register(on_each_database(signing_key=signer), seed=seed)
    fourth = register(on_each_database(), seed=3)
    consumer = on_each_database(trusted_keys=trusting(signer), verify=verify)
    copy_signature(consumer, source=3, target=4)
    lose_bytes(consumer, fourth)
    with pytest.raises(SignatureInvalid, match="what was signed is churn@3"):
        consumer.load("churn@4")


CHANGES: dict[str, tuple[str, ...]] = {
    "other bytes": ("UPDATE model_version SET artifact = '{first}' WHERE number = 2",),
    "other columns": ("UPDATE model_version SET input_schema = '[]' WHERE number = 2",),
    "another author": ("UPDATE model_version SET registered_by = 'eve' WHERE number = 2",),
    "another hash": ("UPDATE model_version SET hash = '{zeros}' WHERE number = 2",),
}


@pytest.mark.parametrize("statements", CHANGES.values(), ids=list(CHANGES))
def test_a_row_that_was_changed_by_sql_is_refused(
    on_each_database: OpenRegistry,
    make_key: Callable[[str], Path],
    trusting: Callable[..., Path],
    statements: tuple[str, ...],
) -> None:
    signer = make_key("pipeline")
    registry = on_each_database(signing_key=signer, trusted_keys=trusting(signer))
    first, _ = register(registry), register(registry, seed=1)
    filled = [each.format(first=first.artifact, zeros="0" * 64) for each in statements]
    tamper(registry, *filled)
    with pytest.raises(SignatureInvalid, match="row was changed"):
        registry.load("churn@2")
    registry.load("churn@1")


def test_a_row_that_was_changed_and_hashed_again_is_refused(
    on_each_database: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    signer = make_key("pipeline")
    registry = on_each_database(signing_key=signer, trusted_keys=trusting(signer))
    forged = register(registry)
    forged.registered_by = "eve"
    tamper(registry, f"UPDATE model_version SET registered_by = 'eve', hash = '{forged.digest()}'")  # noqa: S608, these tests' own
    assert registry.resolve("churn@1").hash == registry.resolve("churn@1").digest()
    with pytest.raises(SignatureInvalid, match="what was signed is another row"):
        registry.load("churn@1")


def test_a_key_that_expired_or_is_not_trusted_any_more_counts_at_once_and_nothing_is_deserialised(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    signer = make_key("pipeline")
    registry = open_registry(signing_key=signer, trusted_keys=trusting(signer))
    registry.trust(f"{__name__}.Noted", reason="these tests' own")
    register(registry, estimator=Noted())
    registry.load("churn@1")
    Noted.built.clear()
    trusting(signer, limits="not_after = 2026-01-01T00:00:00Z")
    with pytest.raises(SignatureInvalid, match="pipeline expired on 2026-01-01"):
        registry.load("churn@1")
    trusting(signer, limits='models = ["fraud"]')
    with pytest.raises(SignatureInvalid, match="may not sign for churn"):
        registry.load("churn@1")
    trusting()
    with pytest.raises(SignatureInvalid, match="is not trusted"):
        registry.load("churn@1")
    trusting(signer).unlink()
    with pytest.raises(KeyUnusable, match="No such file"):
        registry.load("churn@1")
    assert Noted.built == []


def test_a_version_without_signature_loads_unless_one_is_required(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    register(open_registry())
    file = trusting(make_key("pipeline"))
    open_registry(trusted_keys=file).load("churn@1")
    open_registry(trusted_keys=file, verify="off").load("churn@1")
    with pytest.raises(SignatureMissing, match="registry sign churn@1"):
        open_registry(trusted_keys=file, verify="required").load("churn@1")


def test_a_caller_can_ask_for_more_than_the_operator_and_not_for_less(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    register(open_registry())
    file = trusting(make_key("pipeline"))
    with pytest.raises(SignatureMissing):
        open_registry(trusted_keys=file).load("churn@1", verify="required")
    with pytest.raises(SignatureMissing):
        open_registry(trusted_keys=file, verify="required").load("churn@1", verify="off")
    with pytest.raises(KeyUnusable, match="MODEL_REGISTRY_TRUSTED_KEYS"):
        open_registry().load("churn@1", verify="required")
    with pytest.raises(InvalidName, match="requierd"):
        open_registry().load("churn@1", verify="requierd")  # type: ignore[arg-type]


def test_a_good_signature_does_not_replace_the_check_of_the_bytes(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    signer = make_key("pipeline")
    registry = open_registry(signing_key=signer, trusted_keys=trusting(signer), verify="required")
    path = Path(registry.backend.artifacts.location, "sha256", register(registry).artifact)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(ArtifactCorrupted):
        registry.load("churn@1")


# Every way to the bytes


def a_batch() -> Batch:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Batch(rows=make_dataset(seed=7), key="2026-03-01", at=at, metric="accuracy")


WAYS: dict[str, Callable[[Registry, Path], object]] = {
    "load": lambda registry, _: registry.load("churn@2"),
    "fetch": lambda registry, folder: registry.fetch("churn@2", folder / "fetched"),
    "evaluate": lambda registry, _: registry.evaluate("churn@2", make_dataset(seed=8), metrics=["accuracy"]),
    "compare": lambda registry, _: registry.compare(
        "churn@1", "churn@2", make_dataset(seed=8), metrics=["accuracy"]
    ),
    "score": lambda registry, _: registry.score("churn@champion", a_batch()),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_no_way_to_the_bytes_of_a_version_leads_past_the_check(
    open_registry: OpenRegistry,
    make_key: Callable[[str], Path],
    trusting: Callable[..., Path],
    tmp_path: Path,
    way: Callable[[Registry, Path], object],
) -> None:
    signer = make_key("pipeline")
    register(open_registry(signing_key=signer))
    register(open_registry(), seed=1)
    registry = open_registry(trusted_keys=trusting(signer), verify="required")
    registry.assign("churn@2", reason="a start")
    registry.evaluate("churn@1", make_dataset(seed=8), metrics=["accuracy"])
    with pytest.raises(NotVouchedFor):
        way(registry, tmp_path)
    assert not (tmp_path / "fetched").exists()


def test_a_backtest_leaves_out_versions_for_which_nobody_vouches(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    signer = make_key("pipeline")
    register(open_registry(signing_key=signer))
    register(open_registry(), seed=1)
    registry = open_registry(trusted_keys=trusting(signer), verify="required")
    found = registry.backtest("churn", make_dataset(seed=8), metrics=["accuracy"])
    assert [version.reference for version in found.measured] == ["churn@1"]
    assert [left.reference for left in found.left_out] == ["churn@2"]
    assert "bears no signature" in found.left_out[0].reason


def three_champions(open_registry: OpenRegistry, signer: Path) -> None:
    """The first and the third version of churn are signed; all were in force, the third still is."""
    for seed, key in enumerate((signer, None, signer)):
        registry = open_registry(signing_key=key)
        registry.assign(register(registry, seed=seed).reference, reason="a start")


def test_a_rollback_passes_over_versions_for_which_nobody_vouches_and_says_so(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    signer = make_key("pipeline")
    three_champions(open_registry, signer)
    registry = open_registry(trusted_keys=trusting(signer), verify="required")
    rolled_back = registry.roll_back("churn", reason="broken")
    assert rolled_back.version == 1
    assert "bears no signature" in rolled_back.evidence["passed_over"]["churn@2"]


def test_a_rollback_needs_no_trusted_keys_where_none_are_configured(
    open_registry: OpenRegistry, make_key: Callable[[str], Path]
) -> None:
    three_champions(open_registry, make_key("pipeline"))
    registry = open_registry()
    assert [registry.roll_back("churn", reason="broken").version for _ in range(2)] == [2, 1]


def test_a_rollback_that_can_not_tell_whom_to_trust_moves_nothing(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    signer = make_key("pipeline")
    three_champions(open_registry, signer)
    registry = open_registry(trusted_keys=trusting(signer), verify="required")
    trusting(signer).unlink()
    with pytest.raises(KeyUnusable):
        registry.roll_back("churn", reason="broken")
    trusting()
    with pytest.raises(NothingToRollBackTo):
        registry.roll_back("churn", reason="broken")
    assert registry.aliases("churn") == {"champion": 3}


def test_a_suspicion_is_looked_into_by_a_predecessor_for_which_somebody_vouches(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    signer = make_key("pipeline")
    three_champions(open_registry, signer)
    registry = open_registry(trusted_keys=trusting(signer), verify="required")
    registry.evaluate("churn@3", make_dataset(seed=8), metrics=["accuracy"])
    policy = MonitoringPolicy(detector="threshold", rollback=RollbackPolicy(served=0))
    fallen = registry.observe(
        "churn@3", metric="accuracy", value=0.0, rows=100, batch="2026-02-28", policy=policy
    )
    assert (fallen.status, registry.score("churn@champion", a_batch()).target) == ("suspect", 1)


# Settings, and what people see


def test_where_keys_are_trusted_signatures_are_checked_without_further_settings(
    open_registry: OpenRegistry, make_key: Callable[[str], Path], trusting: Callable[..., Path]
) -> None:
    register(open_registry(signing_key=make_key("stranger")))
    file = trusting(make_key("pipeline"))
    with pytest.raises(SignatureInvalid):
        open_registry(trusted_keys=file).load("churn@1")
    open_registry(trusted_keys=file, verify="off").load("churn@1")
    open_registry().load("churn@1")


def test_settings_that_would_check_nothing_are_refused(open_registry: OpenRegistry) -> None:
    with pytest.raises(KeyUnusable, match="MODEL_REGISTRY_TRUSTED_KEYS can't be used"):
        open_registry(verify="required")
    with pytest.raises(InvalidName, match="'always' is not a valid way to verify"):
        open_registry(verify="always")


def test_empty_environment_variables_name_no_files(
    monkeypatch: pytest.MonkeyPatch, open_registry: OpenRegistry
) -> None:
    for name in ("SIGNING_KEY", "SIGNING_PASSPHRASE", "TRUSTED_KEYS", "VERIFY"):
        monkeypatch.setenv(f"MODEL_REGISTRY_{name}", "")
    backend = open_registry().backend
    assert (backend.signing_key, backend.trust) == (None, None)


def test_keygen_sign_and_show_on_the_command_line(
    open_registry: OpenRegistry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code, capsys.readouterr().err
        return capsys.readouterr().out

    register(open_registry())
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.setenv("MODEL_REGISTRY_SIGNING_PASSPHRASE", "correct horse")
    (tmp_path / "trusted.toml").write_text(run("keygen", str(tmp_path / "release.pem")))
    monkeypatch.setenv("MODEL_REGISTRY_SIGNING_KEY", str(tmp_path / "release.pem"))
    (key_id,) = keys.read_trusted(tmp_path / "trusted.toml")
    assert run("sign", "churn@latest") == f"churn@1 is signed by key {key_id}\n"
    assert "does not count: not checked, because no keys are trusted" in " ".join(
        run("show", "churn@1").split()
    )
    monkeypatch.setenv("MODEL_REGISTRY_TRUSTED_KEYS", str(tmp_path / "trusted.toml"))
    assert f"by release ({key_id[:12]}) on " in " ".join(run("show", "churn@1").split())
    (shown,) = json.loads(run("show", "churn@1", "--json"))["signatures"]
    assert (shown["key_id"], shown["name"], shown["problem"]) == (key_id, "release", None)
    monkeypatch.setenv("MODEL_REGISTRY_TRUSTED_KEYS", str(tmp_path / "gone.toml"))
    (shown,) = json.loads(run("show", "churn@1", "--json"))["signatures"]
    assert shown["problem"].endswith("gone.toml can't be used: No such file or directory")
