from __future__ import annotations

import os
import pty
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from registry.audit.anchors import Witness, take
from registry.audit.chains import MOST_NAMED
from registry.audit.verification import extent, verify, verify_bytes, verify_rows
from tests.owner import owning, rewrite_entries, rewrite_versions
from tests.three_versions import training

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry import Registry
    from registry.tables import LedgerEntry, ModelVersion

RESTORE = ": restore the database from a backup"


def problems(registry: Registry, *witnesses: Witness) -> dict[str, str]:
    """What is wrong, by subject."""
    found: dict[str, list[str]] = {}
    for finding in verify(registry.backend, witnesses):
        if finding.problem:
            found.setdefault(finding.subject, []).append(finding.problem)
    return {subject: ", ".join(told) for subject, told in found.items()}


def remarks(registry: Registry) -> dict[str, str]:
    return {finding.subject: finding.remark for finding in registry.verify() if finding.remark}


def anchored(registry: Registry) -> Witness:
    return Witness(take(registry.backend.rows), "monday.anchor", "the auditor")


def bytes_of(registry: Registry, digest: str) -> Path:
    return Path(registry.backend.artifacts.location, "sha256", digest)


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    overwrite(path, bytes(content))


# What is whole


def test_everything_that_is_whole_is_checked_and_found_so(registry: Registry) -> None:
    findings = list(registry.verify())
    assert problems(registry, anchored(registry)) == {}
    assert sorted(finding.subject for finding in findings) == sorted(
        [*CHAINS] + [f"{what}churn@{number}" for what in ("", "the predictions of ") for number in (1, 2, 3)]
    )


def test_an_empty_registry_is_whole(make_registry: Callable[[], Registry]) -> None:
    assert list(make_registry().verify()) == []


def test_what_there_is_to_check_is_known_before(registry: Registry) -> None:
    rows: list[int] = []
    sizes: list[int] = []
    findings = [
        *verify_rows(registry.backend, watch=rows.append),
        *verify_bytes(registry.backend, sizes.append),
    ]
    stored = sum(path.stat().st_size for path in bytes_of(registry, "").iterdir())
    assert len(findings) == 9
    assert extent(registry.backend) == (sum(rows), sum(sizes)) == (3 + 5, stored)


def test_findings_come_one_by_one(registry: Registry) -> None:
    """Large registries take long; what was found first can be shown first."""
    findings = registry.verify()
    assert next(findings).subject == "churn"
    bytes_of(registry, registry.resolve("churn@1").artifact).unlink()
    assert [finding.subject for finding in findings if finding.problem] == ["churn@1"]


# What somebody who owns the database changed


FORGED = "UPDATE ledger_entry SET reason = 'forged' WHERE alias = 'champion' AND sequence = 2"


def backdate(entry: LedgerEntry) -> None:
    if (entry.alias, entry.sequence) == ("champion", 2):
        entry.reason = "forged"


def misstate(entry: LedgerEntry) -> None:
    if (entry.alias, entry.sequence) == ("champion", 4):
        entry.replaced = entry.replaced_since = 1


def contradict(entry: LedgerEntry) -> None:
    if (entry.alias, entry.sequence) == ("champion", 4):
        entry.kind = "held"


def exchange(version: ModelVersion) -> None:
    version.estimator = "another"


def forge_entries(connection: Connection) -> None:
    rewrite_entries(connection, backdate)


def forge_versions(connection: Connection) -> None:
    rewrite_versions(connection, exchange)


def forge_a_predecessor(connection: Connection) -> None:
    rewrite_entries(connection, misstate)


def forge_a_kind(connection: Connection) -> None:
    rewrite_entries(connection, contradict)


def swap_artifacts(connection: Connection) -> None:
    digests = connection.scalars(text("SELECT artifact FROM model_version ORDER BY number")).all()
    for number, digest in ((1, digests[1]), (2, digests[0])):
        where = {"digest": digest, "number": number}
        connection.execute(text("UPDATE model_version SET artifact = :digest WHERE number = :number"), where)


CHAINS = ("churn", "churn@champion", "churn@fallback")
OF_THREE = ("registration", "pin", "metric", "evaluation", "signature")
WITHOUT_THREE = [
    *(f"DELETE FROM {table} WHERE number = 3" for table in OF_THREE),  # noqa: S608, these tests' own
    "DELETE FROM ledger_entry WHERE alias = 'champion' AND sequence >= 3",
    "DELETE FROM model_version WHERE number = 3",
    "UPDATE registered_model SET last_version = 2",
]
WITHOUT_CHURN = [
    *(f"DELETE FROM {table}" for table in (*OF_THREE, "ledger_entry", "model_version")),  # noqa: S608, as above
    "DELETE FROM registered_model",
]

ATTEMPTS: dict[str, tuple[Any, dict[str, str]]] = {
    "edit a reason": (FORGED, {"churn@champion": "entry 2 was changed after it was written"}),
    "edit a time": (
        "UPDATE ledger_entry SET recorded_at = '2020-01-01 00:00:00.000000' WHERE alias = 'fallback'",
        {"churn@fallback": "entry 1 was changed after it was written"},
    ),
    "edit a hash": (
        "UPDATE ledger_entry SET hash = previous_hash WHERE alias = 'champion' AND sequence = 2",
        {"churn@champion": "entry 2 was changed after it was written"},
    ),
    "edit evidence into what is none": (
        "UPDATE ledger_entry SET evidence = '{' WHERE alias = 'champion' AND sequence = 2",
        {"churn@champion": "entry 2 was changed after it was written"},
    ),
    "edit a version": (
        "UPDATE model_version SET registered_by = 'bob' WHERE number = 2",
        {"churn": "version 2 was changed after it was written"},
    ),
    "delete the first entry": (
        "DELETE FROM ledger_entry WHERE alias = 'champion' AND sequence = 1",
        {"churn@champion": f"entry 1 is missing{RESTORE}"},
    ),
    "delete entries in the middle": (
        "DELETE FROM ledger_entry WHERE alias = 'champion' AND sequence IN (2, 3)",
        {"churn@champion": f"entries 2 to 3 are missing{RESTORE}"},
    ),
    "delete a version in the middle": (
        [
            *(f"DELETE FROM {table} WHERE number = 2" for table in OF_THREE),  # noqa: S608, as above
            "DELETE FROM model_version WHERE number = 2",
        ],
        {
            "churn": f"version 2 is missing{RESTORE}",
            "churn@2": f"2 rows of ledger_entry refer to it, and it is missing{RESTORE}",
            "accuracy of churn@2": "is missing, and entry 2 of churn@champion was decided by it",
        },
    ),
    "forge an entry that misstates the one before": (
        forge_a_predecessor,
        {"churn@champion": "entry 4 does not follow the entry before it"},
    ),
    "forge an entry that is not of its kind": (
        forge_a_kind,
        {"churn@champion": "entry 4 says of itself what its kind does not do"},
    ),
    "swap two versions' artifacts": (swap_artifacts, {"churn": "version 1 was changed after it was written"}),
    "cut off the last version": (
        WITHOUT_THREE[:-1],
        {"churn": f"version 3 is missing{RESTORE}"},
    ),
    "change a metric": (
        "UPDATE metric SET value = 0.999 WHERE number = 2",
        {"accuracy of churn@2": "is 0.999, and entry 2 of churn@champion was decided by"},
    ),
    "delete a dataset": (
        "DELETE FROM dataset WHERE name = 'january'",
        {"dataset": f"3 rows of model_version refer to it, and it is missing{RESTORE}"},
    ),
    "delete what is known of bytes": (
        "DELETE FROM model_artifact WHERE digest = (SELECT artifact FROM model_version WHERE number = 1)",
        {"artifact": f"1 row of model_version refer to it, and it is missing{RESTORE}"},
    ),
    "delete an evaluation": (
        "DELETE FROM evaluation WHERE number = 1",
        {"the evaluation of churn@1 on": f"1 row of metric refer to it, and it is missing{RESTORE}"},
    ),
}
"""What is tried, and what is found by a verification without an anchor."""

UNTRACEABLE: dict[str, tuple[Any, dict[str, str]]] = {
    "cut off the last entry": (
        "DELETE FROM ledger_entry WHERE alias = 'champion' AND sequence = 4",
        {"churn@champion": "entry 4 is missing, and the anchor"},
    ),
    "cut off the last version, counter and traces included": (
        WITHOUT_THREE,
        {
            "churn": "version 3 is missing, and the anchor",
            "churn@champion": "entries 3 to 4 are missing, and the anchor",
        },
    ),
    "write all entries anew": (
        forge_entries,
        {"churn@champion": "was written anew: entry 4 is not the one that the anchor"},
    ),
    "write all versions anew": (
        forge_versions,
        {"churn": "was written anew: version 3 is not the one that the anchor"},
    ),
    "delete all that was said of an alias": (
        "DELETE FROM ledger_entry WHERE alias = 'fallback'",
        {"churn@fallback": "is gone, and the anchor monday.anchor"},
    ),
    "delete the model": (
        WITHOUT_CHURN,
        dict.fromkeys(("churn", "churn@champion", "churn@fallback"), "is gone, and the anchor monday.anchor"),
    ),
}
"""What is tried, and what is found only with an anchor that was taken before."""


def attempt(connection: Connection, what: Any) -> None:
    if callable(what):
        what(connection)
        return
    for statement in [what] if isinstance(what, str) else what:
        connection.execute(text(statement))


def assert_found(found: dict[str, str], expected: dict[str, str]) -> None:
    assert len(found) == len(expected), found
    for subject, problem in expected.items():
        (told,) = (said for name, said in found.items() if name == subject or name.startswith(f"{subject} "))
        assert told.startswith(problem), found


@pytest.mark.parametrize("what", [*ATTEMPTS, *UNTRACEABLE])
def test_the_database_itself_refuses(registry: Registry, what: str) -> None:
    forged, _ = (ATTEMPTS | UNTRACEABLE)[what]
    with pytest.raises(DBAPIError), registry.backend.rows.engine.begin() as connection:
        attempt(connection, forged)
    assert problems(registry) == {}


@pytest.mark.parametrize("what", ATTEMPTS)
def test_what_an_owner_changed_is_found_and_named(registry: Registry, what: str) -> None:
    forged, expected = ATTEMPTS[what]
    with owning(registry) as connection:
        attempt(connection, forged)
    assert_found(problems(registry), expected)


@pytest.mark.parametrize("what", UNTRACEABLE)
def test_an_anchor_finds_what_leaves_no_trace(registry: Registry, what: str) -> None:
    forged, expected = UNTRACEABLE[what]
    anchor = anchored(registry)
    with owning(registry) as connection:
        attempt(connection, forged)
    assert problems(registry) == {}
    assert_found(problems(registry, anchor), expected)


def test_a_database_that_was_replaced_is_not_that_of_the_anchor(
    registry: Registry, make_registry: Callable[[], Registry]
) -> None:
    anchor, other = anchored(registry), make_registry()
    assert set(problems(other, anchor)) == set(CHAINS)


def test_chains_that_grew_are_still_those_of_the_anchor(registry: Registry) -> None:
    anchor = anchored(registry)
    registry.assign("churn@1", reason="once more")
    registry.assign("churn@3", alias="canary", reason="a new alias")
    assert problems(registry, anchor) == {}


def test_one_alias_does_not_vouch_for_another(registry: Registry) -> None:
    with owning(registry) as connection:
        attempt(connection, "UPDATE ledger_entry SET alias = 'spare' WHERE alias = 'fallback'")
    assert problems(registry) == {"churn@spare": "entry 1 was changed after it was written"}


def test_every_wrong_row_of_a_chain_is_named_up_to_a_number(registry: Registry) -> None:
    for number in range(MOST_NAMED + 5):
        registry.assign(f"churn@{1 + number % 2}", alias="busy", reason=f"turn {number}")
    with owning(registry) as connection:
        attempt(connection, "UPDATE ledger_entry SET actor = 'bob' WHERE alias = 'busy'")
    told = [finding.problem for finding in registry.verify() if finding.subject == "churn@busy"]
    assert told[0] == "entry 1 was changed after it was written"
    assert told[MOST_NAMED:] == ["5 more of its rows are wrong"]


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'somebody else'",
        "kind = 'rejected'",
        "version = 3",
        "in_force = 3",
        "dataset = NULL",
        "key = 'key'",
        "evidence = evidence || ' '",
    ],
)
def test_each_field_is_sealed(registry: Registry, change: str) -> None:
    with owning(registry) as connection:
        attempt(connection, f"UPDATE ledger_entry SET {change} WHERE alias = 'champion' AND sequence = 2")  # noqa: S608, these tests' own
    assert problems(registry)["churn@champion"] == "entry 2 was changed after it was written"


@pytest.mark.parametrize("registry", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        "in_force = 'three'",
        "sequence = 'two'",
        "recorded_at = 5",
        "recorded_at = replace(recorded_at, ' ', 'T')",
        "recorded_at = CAST(recorded_at AS BLOB)",
        "reason = X'00'",
        "reason = CAST(X'ff' AS TEXT)",
        "evidence = CAST(evidence AS BLOB)",
    ],
)
def test_a_value_that_no_registry_writes_is_found(registry: Registry, change: str) -> None:
    """SQLite keeps a value of any type in any column."""
    with owning(registry) as connection:
        attempt(connection, f"UPDATE ledger_entry SET {change} WHERE alias = 'champion' AND sequence = 4")  # noqa: S608, as above
    assert re.fullmatch(
        r"entry (4|two) was changed after it was written", problems(registry)["churn@champion"]
    )


@pytest.mark.parametrize("registry", ["sqlite"], indirect=True)
@pytest.mark.parametrize("table", ["ledger_entry", "model_version", "evaluation", "metric", "dataset"])
def test_a_plain_sqlite_connection_cannot_replace_a_row(registry: Registry, table: str) -> None:
    with closing(sqlite3.connect(str(registry.backend.rows.engine.url.database))) as connection:
        row = connection.execute(f"SELECT * FROM {table}").fetchone()  # noqa: S608, as above
        replace = f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})"  # noqa: S608, as above
        with pytest.raises(sqlite3.IntegrityError, match="rows are appended, never changed"):
            connection.execute(replace, row)


ACCURACY = {"slice": "all", "metric": "accuracy", "challenger": 0.0}
CLAIM: dict[str, Any] = {"challenger": "churn@2", "champion": None, "checks": [{"measured": ACCURACY}]}
OTHER_FORMS: list[dict[str, Any]] = [
    {},
    {"challenger": "churn@2"},
    CLAIM | {"challenger": 2},
    CLAIM | {"challenger": "churn@champion"},
    CLAIM | {"challenger": "churn@1000000000000"},
    CLAIM | {"challenger": "churn\0@2"},
    CLAIM | {"checks": [{"measured": "much"}]},
    CLAIM | {"checks": [{"measured": {"slice": "all", "metric": "accuracy"}}]},
    CLAIM | {"checks": [{"measured": ACCURACY | {"slice": {}}}]},
    CLAIM | {"checks": [{"measured": ACCURACY | {"metric": "accuracy\0"}}]},
    CLAIM | {"checks": [{"measured": ACCURACY | {"challenger": "high"}}]},
    CLAIM | {"checks": [{"measured": ACCURACY | {"challenger": 10**400}}]},
]
"""Evidence that no policy of this library gives."""


def test_evidence_of_another_form_is_no_claim(registry: Registry) -> None:
    def judge_by(evidence: dict[str, Any]) -> Callable[[LedgerEntry], None]:
        def change(entry: LedgerEntry) -> None:
            if (entry.alias, entry.sequence) == ("champion", 2):
                entry.evidence = evidence

        return change

    with owning(registry) as connection:
        for evidence in OTHER_FORMS:
            rewrite_entries(connection, judge_by(evidence))
            connection.commit()
            assert problems(registry) == {}, evidence
        rewrite_entries(connection, judge_by(CLAIM))
    assert "was decided by 0.0" in problems(registry)["accuracy of churn@2"]


# What became of the bytes


def test_bytes_are_looked_at_where_they_are(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no/room")
    assert problems(registry) == {}


def test_bytes_that_are_missing_are_named(registry: Registry) -> None:
    bytes_of(registry, registry.resolve("churn@2").artifact).unlink()
    found = problems(registry)
    assert list(found) == ["churn@2"]
    assert "has no artifact" in found["churn@2"]
    assert "restore it from a backup" in found["churn@2"]


def test_bytes_of_which_one_bit_flipped_are_named(registry: Registry) -> None:
    flip(bytes_of(registry, registry.resolve("churn@3").artifact))
    assert "now has digest" in problems(registry)["churn@3"]


def test_bytes_that_were_cut_short_are_named(registry: Registry) -> None:
    path = bytes_of(registry, registry.resolve("churn@3").artifact)
    overwrite(path, path.read_bytes()[:-1])
    assert list(problems(registry)) == ["churn@3"]


def test_bytes_that_were_swapped_are_both_named(registry: Registry) -> None:
    one, two = (bytes_of(registry, registry.resolve(f"churn@{number}").artifact) for number in (1, 2))
    first, second = one.read_bytes(), two.read_bytes()
    overwrite(one, second)
    overwrite(two, first)
    assert set(problems(registry)) == {"churn@1", "churn@2"}


def test_predictions_are_bytes_too(registry: Registry) -> None:
    (evaluation,) = registry.evaluations("churn@1")
    flip(bytes_of(registry, evaluation.predictions))
    assert list(problems(registry)) == ["the predictions of churn@1"]


def test_a_size_that_is_misstated_is_named(registry: Registry) -> None:
    version = registry.resolve("churn@1")
    with owning(registry) as connection:
        attempt(connection, f"UPDATE model_artifact SET bytes = 7 WHERE digest = '{version.artifact}'")  # noqa: S608, as above
    assert problems(registry) == {"churn@1": f"has {version.artifact_bytes:,} bytes, and its row says 7"}


def test_bytes_that_were_purged_are_reported_and_are_no_problem(registry: Registry) -> None:
    version = registry.resolve("churn@1")
    purge = "purged_at = '2026-03-03 12:00:00.000000', purged_by = 'ada', purged_because = 'too old'"
    with owning(registry) as connection:
        attempt(connection, f"UPDATE model_artifact SET {purge} WHERE digest = '{version.artifact}'")  # noqa: S608, as above
    bytes_of(registry, version.artifact).unlink()
    assert problems(registry) == {}
    assert remarks(registry) == {"churn@1": "purged by ada on 2026-03-03: too old"}


def test_bytes_that_nothing_refers_to_are_not_looked_for(registry: Registry) -> None:
    registry.backend.rows.lease({"0" * 64: 1_000})
    assert problems(registry) == {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of two files."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"weights")
    (folder / "labels.txt").write_text("late\n")
    return folder


def test_each_file_of_a_folder_is_looked_at(registry: Registry, folder: Path) -> None:
    version = registry.register_folder("boat", folder, trained_on=training())
    assert problems(registry) == {}
    flip(max(bytes_of(registry, "").iterdir(), key=lambda path: path.read_bytes() == b"weights"))
    flip(bytes_of(registry, version.artifact))
    assert set(problems(registry)) == {"weights.bin of boat@1", "boat@1"}


def test_rows_about_a_folders_files_are_held_against_its_manifest(registry: Registry, folder: Path) -> None:
    registry.register_folder("boat", folder, trained_on=training())
    with owning(registry) as connection:
        attempt(connection, "UPDATE model_artifact_file SET path = 'labels.bin' WHERE path = 'labels.txt'")
    assert problems(registry) == {"boat@1": "names other files than its rows do, 'labels.bin' among them"}


def test_all_that_is_wrong_is_found_at_once(registry: Registry) -> None:
    bytes_of(registry, registry.resolve("churn@1").artifact).unlink()
    flip(bytes_of(registry, registry.resolve("churn@2").artifact))
    with owning(registry) as connection:
        attempt(connection, "UPDATE ledger_entry SET reason = 'forged' WHERE sequence = 1")
    assert sorted(problems(registry)) == ["churn@1", "churn@2", "churn@champion", "churn@fallback"]


# Somebody waits


def run(registry: Registry, **files: Any) -> subprocess.CompletedProcess[str]:
    engine, artifacts = registry.backend.rows.engine, registry.backend.artifacts
    settings = {
        "MODEL_REGISTRY_DATABASE": engine.url.render_as_string(hide_password=False),
        "MODEL_REGISTRY_ARTIFACTS": artifacts.location,
    }
    command = [sys.executable, "-c", "from registry.cli import main; main()", "verify"]
    environment = os.environ | settings | {"TERM": "xterm"}
    return subprocess.run(  # noqa: S603, the command is this test's own
        command, env=environment, check=False, text=True, stdout=subprocess.PIPE, **files
    )


@pytest.mark.parametrize("registry", ["sqlite"], indirect=True)
def test_a_person_sees_how_far_it_is_and_a_program_does_not(registry: Registry) -> None:
    flip(bytes_of(registry, registry.resolve("churn@3").artifact))
    with os.fdopen(os.open(os.devnull, os.O_RDONLY)) as nothing:
        piped = run(registry, stderr=subprocess.PIPE, stdin=nothing)
    assert (piped.returncode, piped.stderr) == (1, "")
    assert piped.stdout.splitlines()[-1] == "9 checked, 1 wrong"
    ours, theirs = pty.openpty()
    watched = run(registry, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert (watched.returncode, watched.stdout) == (1, piped.stdout)
    assert re.search(r"bytes.*100%", shown)
