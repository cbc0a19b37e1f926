from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.three_versions import three_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry import Registry


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, two aliases of it, and a ledger of four entries of one."""
    with three_versions(tmp_path_factory, tmp_path) as registry:
        for number in (1, 2, 3):
            registry.assign(f"churn@{number}", reason=f"version {number}")
        registry.assign("churn@1", alias="fallback", reason="the first")
        registry.roll_back("churn", reason="broken")
        yield registry


def problems(registry: Registry) -> dict[str, str]:
    return {finding.subject: finding.problem for finding in registry.verify() if finding.problem}


def tamper(registry: Registry, statement: str) -> None:
    """Change rows as somebody can who owns the database: no trigger and no constraint is in the way."""
    with closing(sqlite3.connect(str(registry.backend.rows.engine.url.database))) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
        connection.commit()


def change_second_entry(registry: Registry, change: str) -> None:
    tamper(registry, f"UPDATE ledger_entry SET {change} WHERE alias = 'champion' AND sequence = 2")  # noqa: S608, these tests' own


def bytes_of(registry: Registry, digest: str) -> Path:
    return Path(registry.backend.artifacts.location, "sha256", digest)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_everything_that_is_whole_is_checked_and_found_so(registry: Registry) -> None:
    findings = list(registry.verify())
    assert problems(registry) == {}
    assert sorted(finding.subject for finding in findings) == sorted(
        ["churn@champion", "churn@fallback"]
        + [f"{what}churn@{number}" for what in ("", "the predictions of ") for number in (1, 2, 3)]
    )


def test_an_empty_registry_is_whole(make_registry: Callable[[], Registry]) -> None:
    assert list(make_registry().verify()) == []


@pytest.mark.parametrize(
    "change",
    [
        "reason = 'nothing happened'",
        "actor = 'somebody else'",
        'evidence = \'{"fell": "churn@1"}\'',
        "evidence = '5'",
        "kind = 'rejected'",
        "version = 3",
        "in_force = 3",
        "in_force = 'three'",
        "dataset = NULL, key = 'key'",
        "recorded_at = '2020-01-01 00:00:00.000000'",
        "reason = X'00'",
        f"hash = '{'0' * 64}'",
    ],
)
def test_an_entry_that_was_changed_is_found_and_named(registry: Registry, change: str) -> None:
    change_second_entry(registry, change)
    assert problems(registry) == {"churn@champion": "entry 2 was changed after it was written"}


@pytest.mark.parametrize("change", ["evidence = '{'", "recorded_at = 'yesterday'", "recorded_at = 5"])
def test_an_entry_that_cannot_even_be_read_is_found(registry: Registry, change: str) -> None:
    change_second_entry(registry, change)
    assert list(problems(registry)) == ["churn"]
    assert problems(registry)["churn"].startswith("an entry of its ledger can't be read, it was changed: ")


@pytest.mark.parametrize(
    ("statement", "gap"),
    [
        ("DELETE FROM ledger_entry WHERE alias = 'champion' AND sequence = 1", 2),
        ("DELETE FROM ledger_entry WHERE alias = 'champion' AND sequence = 3", 4),
        ("UPDATE ledger_entry SET sequence = 9 WHERE alias = 'champion' AND sequence = 3", 4),
        ("UPDATE ledger_entry SET previous_hash = hash WHERE alias = 'champion' AND sequence = 3", 3),
    ],
)
def test_an_entry_that_was_taken_out_is_missed(registry: Registry, statement: str, gap: int) -> None:
    tamper(registry, statement)
    assert problems(registry) == {"churn@champion": f"entry {gap} does not follow the entry before it"}


def test_one_alias_does_not_vouch_for_another(registry: Registry) -> None:
    tamper(registry, "UPDATE ledger_entry SET reason = 'forged' WHERE alias = 'fallback'")
    assert problems(registry) == {"churn@fallback": "entry 1 was changed after it was written"}


def test_an_artifact_that_is_missing_is_named(registry: Registry) -> None:
    bytes_of(registry, registry.resolve("churn@2").artifact).unlink()
    found = problems(registry)
    assert list(found) == ["churn@2"]
    assert "has no artifact" in found["churn@2"]
    assert "restore it from a backup" in found["churn@2"]


def test_an_artifact_of_which_one_bit_flipped_is_named(registry: Registry) -> None:
    flip(bytes_of(registry, registry.resolve("churn@3").artifact))
    found = problems(registry)
    assert list(found) == ["churn@3"]
    assert "now has digest" in found["churn@3"]


def test_predictions_are_artifacts_too(registry: Registry) -> None:
    (evaluation,) = registry.evaluations("churn@1")
    flip(bytes_of(registry, evaluation.predictions))
    assert list(problems(registry)) == ["the predictions of churn@1"]


def test_all_that_is_wrong_is_found_at_once(registry: Registry) -> None:
    bytes_of(registry, registry.resolve("churn@1").artifact).unlink()
    flip(bytes_of(registry, registry.resolve("churn@2").artifact))
    tamper(registry, "UPDATE ledger_entry SET reason = 'forged' WHERE sequence = 1")
    assert sorted(problems(registry)) == ["churn@1", "churn@2", "churn@champion", "churn@fallback"]


def test_findings_come_one_by_one(registry: Registry) -> None:
    """Large registries take long; what was found first can be shown first."""
    findings = registry.verify()
    assert next(findings).subject == "churn@champion"
    bytes_of(registry, registry.resolve("churn@1").artifact).unlink()
    assert [finding.subject for finding in findings if finding.problem] == ["churn@1"]
