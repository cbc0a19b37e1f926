"""Whatever SQL someone writes behind the registry's back, the database itself keeps the rows true.

There are three ways in: PostgreSQL; a SQLite connection of the registry's own; and SQLite "as it comes", a
connection that switched nothing on. On the last, CHECK constraints, unique keys and triggers hold, and
foreign keys do not, because SQLite leaves them to each connection.
"""

from __future__ import annotations

import math
import reprlib
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint, text

from registry.store import Origin, Store
from registry.tables import GENESIS, LedgerEntry
from tests import outdated
from tests.integration.conftest import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.servers.postgres import PostgresServer

Row = dict[str, Any]
WAYS = ["sqlite", "sqlite as it comes", "postgresql"]
NOON = "2026-03-03 12:00:00.000000"
JANUARY, FEBRUARY = digest("january"), digest("february")
UNCHANGED = "rows are appended, never changed"


@dataclass(frozen=True)
class Way:
    """A way of writing SQL into a registry with something in it; nothing that is written stays."""

    name: str
    connection: Any
    placeholder: str = "?"

    @property
    def sqlite(self) -> bool:
        return self.name != "postgresql"

    def run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Execute one statement and return how many rows it touched."""
        cursor = self.connection.cursor()
        try:
            if self.sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(statement.replace("?", self.placeholder), values)
            return int(cursor.rowcount)
        finally:
            self.connection.rollback()
            cursor.close()

    def insert(self, table: str, row: Row, *, verb: str = "INSERT INTO", suffix: str = "") -> int:
        """Insert one row."""
        marks = ", ".join("?" for _ in row)
        statement = f"{verb} {table} ({', '.join(row)}) VALUES ({marks}) {suffix}"
        return self.run(statement, list(row.values()))

    def refusal(self, statement: Callable[[], int]) -> str:
        """What the database says when it refuses."""
        with pytest.raises((sqlite3.Error, psycopg.Error)) as refused:
            statement()
        return str(refused.value)


# What the registry holds, and for each table a row that may follow


def entry(sequence: int, **others: Any) -> Row:
    return {
        "model": "churn",
        "alias": "champion",
        "sequence": sequence,
        "previous": sequence - 1 or None,
        "kind": "promoted",
        "version": 3,
        "replaced": 2,
        "replaced_since": 2,
        "in_force": 3,
        "in_force_since": sequence,
        "actor": "ada",
        "reason": "it is better",
        "evidence": "{}",
        "dataset": None,
        "key": None,
        "recorded_at": NOON,
        "previous_hash": GENESIS if sequence == 1 else str(sequence - 1) * 64,
        "hash": str(sequence) * 64,
    } | others


def version(number: int, **others: Any) -> Row:
    return {
        "model": "churn",
        "number": number,
        "previous": number - 1 or None,
        "training": digest(f"training {number}"),
        "renewal": 0,
        "fitted": digest(f"fitted {number}"),
        "artifact": digest(f"artifact {number}"),
        "artifact_bytes": 4_096,
        "serialization": "skops",
        "estimator": "sklearn.dummy.DummyClassifier",
        "trained_on": JANUARY,
        "params": "{}",
        "input_schema": "[]",
        "input_example": "{}",
        "environment": "{}",
        "registered_by": "ada",
        "registered_at": NOON,
        "previous_hash": GENESIS if number == 1 else str(number - 1) * 64,
        "hash": str(number) * 64,
    } | others


def artifact(content: str, **others: Any) -> Row:
    return {
        "digest": digest(content),
        "bytes": 4_096,
        "leased_until": NOON,
        "purged_at": None,
        "purged_by": None,
        "purged_because": None,
    } | others


def dataset(fingerprint: str) -> Row:
    return {
        "fingerprint": fingerprint,
        "name": "a month",
        "target": "left",
        "rows": 1_000,
        "columns": "[]",
        "recorded_at": NOON,
    }


def after_fraud(number: int) -> Row:
    """What ties a version of fraud to the one before it."""
    return {"previous_hash": GENESIS if number == 1 else "f" * 63 + str(number - 1)}


def observation(sequence: int, **others: Any) -> Row:
    """It has the same columns as ever."""
    unsaid = {"alarm": None, "decided": None, "target": None}
    return outdated.observation(sequence) | unsaid | {"at": NOON, "recorded_at": NOON} | others


FIRST_OF_ANOTHER = {"alias": "canary", "replaced": 0, "replaced_since": 0}
AN_EVALUATION: Row = {
    "model": "churn",
    "number": 1,
    "dataset": FEBRUARY,
    "rows": 1_000,
    "predictions": digest("predictions"),
    "evaluated_by": "ada",
    "evaluated_at": NOON,
}
A_METRIC: Row = {
    "model": "churn",
    "number": 1,
    "dataset": FEBRUARY,
    "slice": "all",
    "name": "accuracy",
    "value": 0.9,
    "rows": 1_000,
}
A_REGISTRATION: Row = {
    "model": "churn",
    "key": "monday",
    "number": 1,
    "request": digest("request"),
    "registered_by": "ada",
    "registered_at": NOON,
}
AN_ANNOUNCEMENT: Row = {
    "model": "churn",
    "alias": "champion",
    "metric": "accuracy",
    "sequence": 2,
    "attempt": 1,
    "event": "champion.degraded",
    "announced_by": "ada",
    "announced_at": NOON,
}
A_FILE: Row = {"manifest": digest("artifact 1"), "path": "weights.bin", "digest": digest("file")}
A_PIN: Row = {"model": "churn", "number": 1, "reason": "an audit", "pinned_by": "ada", "pinned_at": NOON}
A_TAG: Row = {"key": "team", "value": "risk", "set_by": "ada", "set_at": NOON}
A_MODEL_TAG: Row = A_TAG | {"model": "churn"}
A_VERSION_TAG: Row = A_TAG | {"model": "churn", "number": 1, "digest": digest("tag"), "registered_at": NOON}
A_SIGNATURE: Row = {"model": "churn", "number": 1, "key_id": "k1", "envelope": "{}", "signed_at": NOON}
A_SOURCE: Row = {
    "model": "churn",
    "number": 1,
    "uri": "s3://models/1",
    "run_id": "a1",
    "run_link": None,
    "model_id": None,
    "metrics": "{}",
}
A_DELETION: Row = {"model": "churn", "number": 1, "reason": "unused", "deleted_by": "ada", "deleted_at": NOON}
A_PROFILE: Row = {"description": "who leaves", "changed_by": "ada", "changed_at": NOON}
A_MODEL_PROFILE: Row = A_PROFILE | {"model": "churn", "deleted_after": None}
A_VERSION_PROFILE: Row = A_PROFILE | {"model": "churn", "number": 1, "stage": "None"}
SUSPECT: Row = {"status": "suspect", "alarm": 3, "healthy": 0}
HELD: list[tuple[str, Row]] = [
    ("dataset", dataset(JANUARY)),
    ("dataset", dataset(FEBRUARY)),
    ("registered_model", {"name": "churn", "last_version": 3, "created_at": NOON}),
    ("registered_model", {"name": "unborn", "last_version": 0, "created_at": NOON}),
    ("registered_model", {"name": "fraud", "last_version": 4, "created_at": NOON}),
    *(("model_artifact", artifact(f"artifact {number}")) for number in range(1, 5)),
    ("model_artifact", artifact("predictions")),
    ("model_artifact", artifact("file")),
    ("model_artifact", artifact("orphan")),
    ("model_artifact_file", A_FILE),
    *(("model_version", version(number)) for number in (1, 2, 3)),
    *(
        ("model_version", version(number, model="fraud", hash="f" * 63 + str(number), **after_fraud(number)))
        for number in (1, 2, 3, 4)
    ),
    ("pin", A_PIN),
    ("model_tag", A_MODEL_TAG),
    ("version_tag", A_VERSION_TAG),
    ("signature", A_SIGNATURE),
    ("version_source", A_SOURCE),
    ("version_deletion", A_DELETION),
    ("model_profile", A_MODEL_PROFILE),
    ("version_profile", A_VERSION_PROFILE),
    ("registration", A_REGISTRATION),
    ("evaluation", AN_EVALUATION),
    ("metric", A_METRIC),
    ("ledger_entry", entry(1, version=1, in_force=1, replaced=0, replaced_since=0, key="once")),
    ("ledger_entry", entry(2, version=2, in_force=2, replaced=1, replaced_since=1)),
    ("ledger_entry", entry(3, kind="held", in_force=2, in_force_since=2)),
    ("observation", observation(1)),
    ("observation", observation(2)),
    ("announcement", AN_ANNOUNCEMENT),
]
MUTABLE = {
    *("model_artifact", "model_artifact_file", "pin", "model_tag", "version_tag"),
    *("model_profile", "version_profile"),
}
TABLES = [table for table in dict.fromkeys(table for table, _ in HELD) if table not in MUTABLE]

PURGED: Row = {"purged_at": NOON, "purged_by": "ada", "purged_because": "retention"}
CLEARED: Row = {"kind": "cleared", "version": 2, "in_force": 0}
NOTED: Row = {"kind": "held", "in_force": 2, "in_force_since": 2}
MAY_FOLLOW: dict[str, tuple[str, Row]] = {
    "a promotion": ("ledger_entry", entry(4)),
    "an assignment on evidence under a key": (
        "ledger_entry",
        entry(4, kind="assigned", dataset=FEBRUARY, key="twice"),
    ),
    "a rollback": ("ledger_entry", entry(4, kind="rolled-back", version=1, in_force=1)),
    "a clearing": ("ledger_entry", entry(4, **CLEARED)),
    "a candidate held": ("ledger_entry", entry(4, **NOTED)),
    "a candidate rejected": ("ledger_entry", entry(4, **NOTED | {"kind": "rejected"})),
    "a candidate approved": ("ledger_entry", entry(4, **NOTED | {"kind": "approved"})),
    "an alert that was heard": ("ledger_entry", entry(4, **NOTED | {"kind": "alerted", "version": 2})),
    "the first entry of another alias": ("ledger_entry", entry(1, **FIRST_OF_ANOTHER)),
    "a first entry that moves nothing": (
        "ledger_entry",
        entry(1, **FIRST_OF_ANOTHER, kind="held", in_force=0, in_force_since=0),
    ),
    "the longest alias": ("ledger_entry", entry(1, **FIRST_OF_ANOTHER | {"alias": "7_A-" + "z" * 252})),
    "an alias with a capital": ("ledger_entry", entry(1, **FIRST_OF_ANOTHER | {"alias": "Champion"})),
    "a version": ("model_version", version(4)),
    "a version trained on rows that nobody names": ("model_version", version(4, trained_on=None)),
    "the first version of a model": ("model_version", version(1, model="unborn")),
    "a version whose training was registered, and lost its bytes": (
        "model_version",
        version(4, training=digest("training 3"), renewal=1),
    ),
    "an artifact": ("model_artifact", artifact("another")),
    "an artifact of unknown size": ("model_artifact", artifact("another", bytes=0)),
    "an artifact that was purged": ("model_artifact", artifact("another", **PURGED)),
    "a file of a folder": ("model_artifact_file", A_FILE | {"path": "vocabulary.txt"}),
    "a pin": ("pin", A_PIN | {"number": 2}),
    "a tag": ("version_tag", A_VERSION_TAG | {"number": 2}),
    "the longest tag": ("version_tag", A_VERSION_TAG | {"key": "k" * 250, "value": "v" * 100_000}),
    "an empty tag": ("version_tag", A_VERSION_TAG | {"key": "k", "value": ""}),
    "a tag of a model": ("model_tag", A_MODEL_TAG | {"key": "stage"}),
    "a source": ("version_source", A_SOURCE | {"number": 2, "run_id": None}),
    "a deletion": ("version_deletion", A_DELETION | {"number": 2}),
    "a description of a model": ("model_profile", A_MODEL_PROFILE | {"model": "fraud"}),
    "a model that was deleted": ("model_profile", A_MODEL_PROFILE | {"model": "fraud", "deleted_after": 4}),
    "a description": ("version_profile", A_VERSION_PROFILE | {"number": 2}),
    "an archived version": ("version_profile", A_VERSION_PROFILE | {"number": 2, "stage": "Archived"}),
    "a signature": ("signature", A_SIGNATURE | {"number": 2}),
    "a signature by another key of the longest name": ("signature", A_SIGNATURE | {"key_id": "k" * 128}),
    "a dataset": ("dataset", dataset(digest("march"))),
    "a registration": ("registration", A_REGISTRATION | {"key": "k" * 256}),
    "an evaluation": ("evaluation", AN_EVALUATION | {"number": 2}),
    "a metric": ("metric", A_METRIC | {"name": "roc_auc"}),
    "a metric that is a whole number": ("metric", A_METRIC | {"name": "max_error", "value": -1}),
    "the largest finite metric": ("metric", A_METRIC | {"name": "r2", "value": 1.7976931348623157e308}),
    "the smallest finite metric": ("metric", A_METRIC | {"name": "r2", "value": -1.7976931348623157e308}),
    "a model": ("registered_model", {"name": "Eu.churn_2- a", "last_version": 0, "created_at": NOON}),
    "a model of the longest name": (
        "registered_model",
        {"name": "7" * 256, "last_version": 0, "created_at": NOON},
    ),
    "an observation": ("observation", observation(3)),
    "an observation that raises an alarm": ("observation", observation(3, **SUSPECT)),
    "an observation that ends a suspicion": (
        "observation",
        observation(3, status="degraded", alarm=1, decided=3, target=1, champion_only=2**40, target_only=0),
    ),
    "an observation of a world that changed": (
        "observation",
        observation(3, status="world-changed", alarm=1, decided=2),
    ),
    "a late observation of a version that fell": (
        "observation",
        observation(3, version=1, since=1, late=True),
    ),
    "the first observation of another metric": ("observation", observation(1, metric="r2", value=-1.5)),
    "a batch of the longest name, by a metric of the longest": (
        "observation",
        observation(1, batch="b" * 256, metric="m" * 128),
    ),
    "an announcement": ("announcement", AN_ANNOUNCEMENT | {"sequence": 1}),
    "a second announcement": ("announcement", AN_ANNOUNCEMENT | {"attempt": 2}),
}


@dataclass(frozen=True)
class Corruption:
    """A row that must not be: one that may follow, with a change; and the constraint that knows."""

    refused_by: str
    follows: str
    change: Row = field(default_factory=dict)
    sqlite_says: str = ""

    @property
    def table(self) -> str:
        return MAY_FOLLOW[self.follows][0]

    @property
    def row(self) -> Row:
        return MAY_FOLLOW[self.follows][1] | self.change

    def reason(self, way: Way) -> str:
        """What in the database's message shows that it refuses for the right reason."""
        if not way.sqlite:
            return self.refused_by
        if self.refused_by.startswith("fk_"):
            return "FOREIGN KEY constraint failed"
        if self.refused_by.startswith(("pk_", "uq_")):
            return f"{self.table}: {UNCHANGED}"
        return self.sqlite_says or self.refused_by


def names(refused_by: str, follows: str, column: str, values: Sequence[str]) -> dict[str, Corruption]:
    return {
        f"{follows} whose {column} is {reprlib.repr(value)}": Corruption(refused_by, follows, {column: value})
        for value in values
    }


GAP, MOVES = "ck_ledger_entry_sequence_has_no_gap", "ck_ledger_entry_moves_what_its_kind_says"
NOT_DIGESTS = ["", "abc", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "0x" + "a" * 62, " " + "a" * 63]
NOT_ALIASES = ["", "7", "07", "latest", "Latest", "-a", "a b", "a@b", "a.b", "é", "a" * 257, "champion\n"]
NOT_MODELS = [
    "",
    "a@b",
    "a/b",
    "a\\b",
    "a:b",
    " a",
    "a ",
    "é",
    "a\n",
    ".",
    "..",
    "-a",
    "a-",
    "a..b",
    "a.",
    "a" * 300,
]
ANOTHER = "the first entry of another alias"
NO_GAP = "ck_model_version_number_has_no_gap"
A_GAP, BACK = "ck_observation_sequence_has_no_gap", "ck_observation_looks_back"

CORRUPTIONS = {
    # the chain
    "a gap": Corruption(GAP, "a promotion", {"sequence": 5, "in_force_since": 5}),
    "an entry that skips the one before": Corruption(
        GAP, "a promotion", {"previous": 2, "previous_hash": "2" * 64}
    ),
    "an entry after itself": Corruption(GAP, "a promotion", {"previous": 4}),
    "a later entry that follows nothing": Corruption(GAP, "a promotion", {"previous": None}),
    "a sequence that begins at 2": Corruption(GAP, ANOTHER, {"sequence": 2, "in_force_since": 2}),
    "a sequence that begins at 0": Corruption(GAP, ANOTHER, {"sequence": 0, "in_force_since": 0}),
    "a sequence that begins below 0": Corruption(GAP, ANOTHER, {"sequence": -1, "in_force_since": -1}),
    "a fork": Corruption("pk_ledger_entry", "a promotion", entry(3, hash="f" * 64)),
    "a second beginning": Corruption("pk_ledger_entry", ANOTHER, {"alias": "champion"}),
    "a beginning that follows something": Corruption(GAP, ANOTHER, {"previous": 0}),
    "a beginning that replaces a version": Corruption(GAP, ANOTHER, {"replaced": 2}),
    "a beginning that ends a reign": Corruption(GAP, ANOTHER, {"replaced_since": 2}),
    "a beginning that follows a hash": Corruption(GAP, ANOTHER, {"previous_hash": "3" * 64}),
    # what a kind does
    "a promotion of what is in force": Corruption(MOVES, "a promotion", {"version": 2, "in_force": 2}),
    "a promotion that moves nothing": Corruption(MOVES, "a promotion", {"in_force": 2, "in_force_since": 2}),
    "a promotion that begins no reign": Corruption(MOVES, "a promotion", {"in_force_since": 2}),
    "a promotion that begins its reign later": Corruption(MOVES, "a promotion", {"in_force_since": 5}),
    "a promotion of one version that puts another in force": Corruption(
        MOVES, "a promotion", {"in_force": 1}
    ),
    "a promotion that leaves nothing in force": Corruption(MOVES, "a promotion", {"in_force": 0}),
    "a rollback that moves nothing": Corruption(MOVES, "a rollback", {"version": 2, "in_force": 2}),
    "a rollback from nothing": Corruption(MOVES, ANOTHER, {"kind": "rolled-back"}),
    "a clearing of nothing": Corruption(MOVES, ANOTHER, CLEARED),
    "a clearing of another version": Corruption(MOVES, "a clearing", {"version": 3}),
    "a clearing that clears nothing": Corruption(MOVES, "a clearing", {"in_force": 2}),
    "a clearing that begins no reign": Corruption(MOVES, "a clearing", {"in_force_since": 2}),
    "a note that moves": Corruption(MOVES, "a candidate held", {"in_force": 3, "in_force_since": 4}),
    "a note that begins a reign": Corruption(MOVES, "a candidate rejected", {"in_force_since": 4}),
    "a note that clears": Corruption(MOVES, "a candidate approved", {"in_force": 0}),
    "an alert that moves": Corruption(
        MOVES, "an alert that was heard", {"version": 1, "in_force": 1, "in_force_since": 4}
    ),
    "an alert that begins a reign": Corruption(MOVES, "an alert that was heard", {"in_force_since": 4}),
    **names(MOVES, "a promotion", "kind", ["demoted", "", "Promoted", "promoted "]),
    # what an entry says
    **names("ck_ledger_entry_has_a_reason", "a promotion", "reason", ["", "   "]),
    **names("ck_ledger_entry_alias_is_valid", ANOTHER, "alias", NOT_ALIASES),
    **names("ck_ledger_entry_hash_is_sha256", "a promotion", "hash", NOT_DIGESTS),
    **names("ck_ledger_entry_previous_hash_is_sha256", "a promotion", "previous_hash", NOT_DIGESTS),
    "an entry under a used key": Corruption(
        "uq_ledger_entry_model_alias_key", "a promotion", {"key": "once"}
    ),
    "an entry by nobody": Corruption(
        '"actor"', "a promotion", {"actor": None}, sqlite_says="ledger_entry.actor"
    ),
    # metrics and evaluations
    "a metric that is not a number": Corruption(
        "ck_metric_value_is_finite",
        "a metric",
        {"value": math.nan},
        sqlite_says="NOT NULL constraint failed: metric.value",
    ),
    "an infinite metric": Corruption("ck_metric_value_is_finite", "a metric", {"value": math.inf}),
    "a metric infinitely bad": Corruption("ck_metric_value_is_finite", "a metric", {"value": -math.inf}),
    "a metric over no rows": Corruption("ck_metric_has_rows", "a metric", {"rows": 0}),
    "a metric over fewer than no rows": Corruption("ck_metric_has_rows", "a metric", {"rows": -1}),
    "a second value of a metric": Corruption("pk_metric", "a metric", A_METRIC | {"value": 0.95}),
    "an evaluation of no rows": Corruption("ck_evaluation_has_rows", "an evaluation", {"rows": 0}),
    "a second evaluation on the same rows": Corruption("pk_evaluation", "an evaluation", {"number": 1}),
    **names("ck_evaluation_predictions_is_sha256", "an evaluation", "predictions", NOT_DIGESTS),
    # versions, datasets, registrations, models
    "a version 0": Corruption(NO_GAP, "the first version of a model", {"number": 0}),
    "a version below 0": Corruption(NO_GAP, "the first version of a model", {"number": -1}),
    "a gap between versions": Corruption(NO_GAP, "a version", {"number": 5}),
    "a version that skips the one before": Corruption(NO_GAP, "a version", {"previous": 2}),
    "a version after itself": Corruption(NO_GAP, "a version", {"previous": 4}),
    "a later version that follows nothing": Corruption(NO_GAP, "a version", {"previous": None}),
    "a first version that follows something": Corruption(
        NO_GAP, "the first version of a model", {"previous": 0}
    ),
    "a first version that follows a hash": Corruption(
        NO_GAP, "the first version of a model", {"previous_hash": "3" * 64}
    ),
    "a version renewed less than never": Corruption(
        "ck_model_version_renewal_counts", "a version", {"renewal": -1}
    ),
    "a version whose number is taken": Corruption(
        "pk_model_version", "a version", version(3, training=digest("another"))
    ),
    "a version whose training is registered": Corruption(
        "uq_model_version_model_training_renewal", "a version", {"training": digest("training 3")}
    ),
    "an artifact of less than no bytes": Corruption(
        "ck_model_version_artifact_bytes_count", "a version", {"artifact_bytes": -1}
    ),
    **names("ck_model_version_artifact_is_sha256", "a version", "artifact", NOT_DIGESTS),
    **names("ck_model_version_training_is_sha256", "a version", "training", NOT_DIGESTS),
    **names("ck_model_version_fitted_is_sha256", "a version", "fitted", NOT_DIGESTS),
    **names("ck_model_version_hash_is_sha256", "a version", "hash", NOT_DIGESTS),
    **names("ck_model_version_previous_hash_is_sha256", "a version", "previous_hash", NOT_DIGESTS),
    # artifacts, their files, pins and signatures
    **names("ck_model_artifact_digest_is_sha256", "an artifact", "digest", NOT_DIGESTS),
    "less than no bytes": Corruption("ck_model_artifact_bytes_count", "an artifact", {"bytes": -1}),
    **{
        f"a purge that does not tell {column}": Corruption(
            "ck_model_artifact_purge_is_told", "an artifact that was purged", {column: None}
        )
        for column in PURGED
    },
    **names("ck_version_tag_key_has_a_length", "a tag", "key", ["", "k" * 251]),
    **names("ck_version_tag_value_has_a_length", "a tag", "value", ["v" * 100_001]),
    **names("ck_version_tag_digest_is_sha256", "a tag", "digest", NOT_DIGESTS),
    **names("ck_model_tag_key_has_a_length", "a tag of a model", "key", ["", "k" * 251]),
    **names("ck_model_tag_value_has_a_length", "a tag of a model", "value", ["v" * 100_001]),
    **names("ck_version_deletion_has_a_reason", "a deletion", "reason", ["", "   "]),
    **names("ck_version_profile_stage_is_known", "a description", "stage", ["", "Production", "archived"]),
    "a model deleted before its first version": Corruption(
        "ck_model_profile_deleted_after_counts", "a model that was deleted", {"deleted_after": -1}
    ),
    **names("ck_pin_has_a_reason", "a pin", "reason", ["", "   "]),
    **names("ck_signature_key_id_has_a_length", "a signature", "key_id", ["", "k" * 129]),
    "a second signature by a key": Corruption("pk_signature", "a signature", {"number": 1}),
    "a dataset of no rows": Corruption("ck_dataset_has_rows", "a dataset", {"rows": 0}),
    "a dataset that is known": Corruption("pk_dataset", "a dataset", {"fingerprint": JANUARY}),
    **names("ck_dataset_fingerprint_is_sha256", "a dataset", "fingerprint", NOT_DIGESTS),
    "another answer to a key": Corruption(
        "pk_registration", "a registration", {"key": "monday", "number": 2}
    ),
    **names("ck_registration_key_has_a_length", "a registration", "key", ["", "k" * 257]),
    **names("ck_registration_request_is_sha256", "a registration", "request", NOT_DIGESTS),
    **names("ck_registered_model_name_is_valid", "a model", "name", NOT_MODELS),
    "a model that counts below 0": Corruption(
        "ck_registered_model_last_version_counts", "a model", {"last_version": -1}
    ),
    "a model that exists": Corruption("pk_registered_model", "a model", {"name": "churn"}),
    # the stream of observations
    "a gap between observations": Corruption(A_GAP, "an observation", {"sequence": 4}),
    "an observation that skips the one before": Corruption(A_GAP, "an observation", {"previous": 1}),
    "an observation after itself": Corruption(A_GAP, "an observation", {"previous": 3}),
    "a later observation that follows nothing": Corruption(A_GAP, "an observation", {"previous": None}),
    "a stream that begins at 2": Corruption(
        A_GAP, "the first observation of another metric", {"sequence": 2}
    ),
    "a stream that begins at 0": Corruption(
        A_GAP, "the first observation of another metric", {"sequence": 0}
    ),
    "a first observation that follows something": Corruption(
        A_GAP, "the first observation of another metric", {"previous": 0}
    ),
    "a fork in the stream": Corruption("pk_observation", "an observation", observation(2, batch="another")),
    "a second beginning of a stream": Corruption(
        "pk_observation", "an observation", observation(1, batch="another")
    ),
    "a batch that was observed": Corruption(
        "uq_observation_model_alias_metric_batch", "an observation", {"batch": "day 1"}
    ),
    "a batch that was observed of another version": Corruption(
        "uq_observation_model_alias_metric_batch",
        "a late observation of a version that fell",
        {"batch": "day 1"},
    ),
    # what an observation says
    **{
        f"an observation whose {column} is not a number": Corruption(
            f"ck_observation_{column}_is_finite",
            "an observation",
            {column: math.nan},
            sqlite_says=f"NOT NULL constraint failed: observation.{column}",
        )
        for column in ("value", "floor", "evidence")
    },
    **{
        f"an observation whose {column} is {value}": Corruption(
            f"ck_observation_{column}_is_finite", "an observation", {column: value}
        )
        for column, value in [
            ("value", math.inf),
            ("value", -math.inf),
            ("floor", math.inf),
            ("floor", -math.inf),
            ("evidence", math.inf),
        ]
    },
    "evidence below none": Corruption(
        "ck_observation_evidence_is_a_share", "an observation", {"evidence": -1e-9}
    ),
    "a batch of no rows": Corruption("ck_observation_has_rows", "an observation", {"rows": 0}),
    "a batch of fewer than no rows": Corruption("ck_observation_has_rows", "an observation", {"rows": -1}),
    **names("ck_observation_status_is_known", "an observation", "status", ["", "Healthy", "fallen"]),
    **names("ck_observation_batch_has_a_length", "an observation", "batch", ["", "b" * 257]),
    **names(
        "ck_observation_metric_has_a_length",
        "the first observation of another metric",
        "metric",
        ["", "m" * 129],
    ),
    **{
        f"a {column} below 0": Corruption("ck_observation_counts_count", "an observation", {column: -1})
        for column in ("healthy", "served", "champion_only", "target_only")
    },
    "an alarm that will be raised": Corruption(BACK, "an observation that raises an alarm", {"alarm": 4}),
    "an alarm before the first observation": Corruption(
        BACK, "an observation that raises an alarm", {"alarm": 0}
    ),
    "a decision that will be taken": Corruption(BACK, "an observation that ends a suspicion", {"decided": 4}),
    "a decision before the first observation": Corruption(
        BACK, "an observation that ends a suspicion", {"decided": 0}
    ),
    "an announcement before the first": Corruption(
        "ck_announcement_attempt_counts", "an announcement", {"attempt": 0}
    ),
    "an announcement that was made": Corruption("pk_announcement", "an announcement", {"sequence": 2}),
}

AFTER = "fk_model_version_follows_the_version_before"
FOLLOWS, VERSION = "fk_ledger_entry_follows_the_entry_before", "fk_ledger_entry_model_version"
DANGLING = {
    "an entry that follows one that does not exist": Corruption(
        FOLLOWS, "a promotion", {"sequence": 6, "previous": 5, "in_force_since": 6}
    ),
    "an entry that misstates the version it replaces": Corruption(FOLLOWS, "a promotion", {"replaced": 1}),
    "an entry that says it replaces nothing": Corruption(
        FOLLOWS, "a promotion", {"replaced": 0, "replaced_since": 0}
    ),
    "an entry that misstates the reign it ends": Corruption(FOLLOWS, "a promotion", {"replaced_since": 1}),
    "an entry that misstates the hash before it": Corruption(
        FOLLOWS, "a promotion", {"previous_hash": "2" * 64}
    ),
    "an entry that follows one of another alias": Corruption(FOLLOWS, "a promotion", {"alias": "canary"}),
    "an entry that follows one of another model": Corruption(
        FOLLOWS, "a promotion", {"model": "fraud", "version": 4, "in_force": 4}
    ),
    "a note that restores what had reigned before": Corruption(
        FOLLOWS, "a candidate held", {"in_force": 1, "in_force_since": 1, "replaced": 1, "replaced_since": 1}
    ),
    "a promotion of a version that only another model has": Corruption(
        VERSION, "a promotion", {"version": 4, "in_force": 4}
    ),
    "a promotion of a version that does not exist": Corruption(
        VERSION, "a promotion", {"version": 5, "in_force": 5}
    ),
    "a promotion of a version below 0": Corruption(VERSION, "a promotion", {"version": -1, "in_force": -1}),
    "a note about a version that does not exist": Corruption(VERSION, "a candidate held", {"version": 4}),
    "an entry on evidence that nobody has seen": Corruption(
        "fk_ledger_entry_dataset", "a promotion", {"dataset": digest("march")}
    ),
    "an evaluation of a version that does not exist": Corruption(
        "fk_evaluation_model_number", "an evaluation", {"number": 4}
    ),
    "an evaluation on an unknown dataset": Corruption(
        "fk_evaluation_dataset", "an evaluation", {"dataset": digest("march")}
    ),
    "a metric without an evaluation": Corruption("fk_metric_model_number_dataset", "a metric", {"number": 2}),
    "a version of a model that does not exist": Corruption(
        "fk_model_version_model", "the first version of a model", {"model": "spam"}
    ),
    "a version of bytes that no artifact names": Corruption(
        "fk_model_version_artifact", "a version", {"artifact": digest("another")}
    ),
    "a version that misstates the hash before it": Corruption(
        AFTER, "a version", {"previous_hash": "2" * 64}
    ),
    "a version that follows one that does not exist": Corruption(
        AFTER, "a version", {"number": 6, "previous": 5, "artifact": digest("artifact 1")}
    ),
    "a version that follows one of another model": Corruption(
        AFTER, "a version", {"model": "fraud", "number": 5, "previous": 4, "training": digest("another")}
    ),
    "an evaluation whose answers no artifact names": Corruption(
        "fk_evaluation_predictions", "an evaluation", {"predictions": digest("another")}
    ),
    "a file of no artifact": Corruption(
        "fk_model_artifact_file_digest", "a file of a folder", {"digest": digest("another")}
    ),
    "a file of a folder that does not exist": Corruption(
        "fk_model_artifact_file_manifest", "a file of a folder", {"manifest": digest("another")}
    ),
    "a tag of a version that does not exist": Corruption(
        "fk_version_tag_model_registered_at_number", "a tag", {"number": 4}
    ),
    "a tag that misstates when its version was registered": Corruption(
        "fk_version_tag_model_registered_at_number", "a tag", {"registered_at": "2026-03-03 12:00:00.000001"}
    ),
    "a tag of a model that does not exist": Corruption(
        "fk_model_tag_model", "a tag of a model", {"model": "spam"}
    ),
    "a source of a version that does not exist": Corruption(
        "fk_version_source_model_number", "a source", {"number": 4}
    ),
    "a deletion of a version that does not exist": Corruption(
        "fk_version_deletion_model_number", "a deletion", {"number": 4}
    ),
    "a description of a version that does not exist": Corruption(
        "fk_version_profile_model_number", "a description", {"number": 4}
    ),
    "a description of a model that does not exist": Corruption(
        "fk_model_profile_model", "a description of a model", {"model": "spam"}
    ),
    "a pin of a version that does not exist": Corruption("fk_pin_model_number", "a pin", {"number": 4}),
    "a signature of a version that does not exist": Corruption(
        "fk_signature_model_number", "a signature", {"number": 4}
    ),
    "a version trained on unknown rows": Corruption(
        "fk_model_version_trained_on", "a version", {"trained_on": digest("march")}
    ),
    "a key that stands for no version": Corruption(
        "fk_registration_model_number", "a registration", {"number": 4}
    ),
    "an observation that follows one that does not exist": Corruption(
        "fk_observation_follows_the_one_before", "an observation", {"sequence": 5, "previous": 4}
    ),
    "an observation that follows one of another metric": Corruption(
        "fk_observation_follows_the_one_before", "an observation", {"metric": "r2"}
    ),
    "an observation that follows one under another alias": Corruption(
        "fk_observation_follows_the_one_before", "an observation", {"alias": "canary"}
    ),
    "an observation of a version that does not exist": Corruption(
        "fk_observation_model_version", "an observation", {"version": 4}
    ),
    "an observation of a reign that nothing began": Corruption(
        "fk_observation_model_alias_since", "an observation", {"since": 4}
    ),
    "an announcement of what was not observed": Corruption(
        "fk_announcement_model_alias_metric_sequence", "an announcement", {"sequence": 3}
    ),
}

OF_ANOTHER_TYPE = {
    "an alias of bytes": ("the first entry of another alias", {"alias": b"canary"}),
    "a hash of bytes": ("a promotion", {"hash": b"4" * 64}),
    "a fingerprint of bytes": ("a dataset", {"fingerprint": digest("march").encode()}),
    "a version between two others": ("a version", {"number": 4.5, "previous": 3.5}),
    "an artifact whose digest is bytes": ("an artifact", {"digest": digest("another").encode()}),
    "a path of bytes": ("a file of a folder", {"path": b"vocabulary.txt"}),
    "a reason of bytes": ("a pin", {"reason": b"an audit"}),
    "a tag of bytes": ("a tag", {"value": b"risk"}),
    "a tag whose time is a number": ("a tag", {"registered_at": 1_772_539_200}),
    "a tag of a model of bytes": ("a tag of a model", {"key": b"team"}),
    "a source of bytes": ("a source", {"uri": b"s3://models/2"}),
    "a deletion whose time is a number": ("a deletion", {"deleted_at": 1_772_539_200}),
    "a description of bytes": ("a description", {"description": b"who leaves"}),
    "a count of versions in words": ("a description of a model", {"deleted_after": "many"}),
    "an envelope of bytes": ("a signature", {"envelope": b"{}"}),
    "a size in words": ("a version", {"artifact_bytes": "many"}),
    "rows counted in words": ("a dataset", {"rows": "many"}),
    "a moment that is a number": ("a promotion", {"recorded_at": 1_772_539_200}),
    "a row below the first": ("a promotion", {"rowid": -1}),
    "a batch of bytes": ("an observation", {"batch": b"day 3"}),
    "a count of healthy batches between two others": ("an observation", {"healthy": 2.5}),
    "lateness that is neither true nor false": ("an observation", {"late": 2}),
    "an attempt counted in words": ("an announcement", {"attempt": "first"}),
}


def cases(corruptions: dict[str, Any], name: str = "corruption") -> pytest.MarkDecorator:
    return pytest.mark.parametrize(name, corruptions.values(), ids=list(corruptions))


def on(*ways: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways, indirect=True)


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Each way into a registry that holds what is ``HELD``."""
    if request.param == "postgresql":
        with a_postgresql_registry(request.getfixturevalue("postgres_server")) as opened:
            yield opened
    else:
        path = str(tmp_path_factory.mktemp("registry") / "registry.db")
        with a_sqlite_registry(path, request.param) as opened:
            yield opened


@contextmanager
def a_sqlite_registry(path: str, name: str) -> Iterator[Way]:
    store = Store.open(f"sqlite:///{path}", Origin(actor="ada"))
    fill(store)
    if name == "sqlite":
        connection: Any = store.engine.raw_connection()
    else:
        connection = sqlite3.connect(path, isolation_level=None)
    yield Way(name, connection)
    connection.close()
    store.engine.dispose()


@contextmanager
def a_postgresql_registry(server: PostgresServer) -> Iterator[Way]:
    database = f"ledger_{uuid4().hex}"
    server.create(database)
    url = server.url(database)
    store = Store.open(url, Origin(actor="ada"))
    fill(store)
    store.engine.dispose()
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        yield Way("postgresql", connection, placeholder="%s")
    server.drop(database)


def fill(store: Store) -> None:
    with store.engine.begin() as connection:
        for table, row in HELD:
            marks = ", ".join(f":{column}" for column in row)
            insert = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608, names of this file
            connection.execute(text(insert), row)


def stored(table: str) -> Row:
    """The first row that *table* holds."""
    return next(row for name, row in HELD if name == table)


# Rows that may follow, and rows that must not be


@cases(MAY_FOLLOW, "following")
def test_a_true_row_passes_by_the_way_on_which_false_ones_are_refused(
    way: Way, following: tuple[str, Row]
) -> None:
    assert way.insert(*following) == 1


@cases(CORRUPTIONS)
def test_the_database_refuses(way: Way, corruption: Corruption) -> None:
    refusal = way.refusal(lambda: way.insert(corruption.table, corruption.row))
    assert corruption.reason(way) in refusal


@cases(DANGLING)
@on("sqlite", "postgresql")
def test_the_foreign_keys_refuse(way: Way, corruption: Corruption) -> None:
    refusal = way.refusal(lambda: way.insert(corruption.table, corruption.row))
    assert corruption.reason(way) in refusal


@cases(DANGLING)
@on("sqlite as it comes")
def test_a_sqlite_connection_that_does_not_check_foreign_keys_lets_in(
    way: Way, corruption: Corruption
) -> None:
    assert way.insert(corruption.table, corruption.row) == 1


@cases(OF_ANOTHER_TYPE, "odd")
@on("sqlite", "sqlite as it comes")
def test_sqlite_refuses_what_a_column_of_postgresql_could_not_hold(way: Way, odd: tuple[str, Row]) -> None:
    table, row = MAY_FOLLOW[odd[0]]
    refusal = way.refusal(lambda: way.insert(table, row | odd[1]))
    assert refusal == f"{table}: a value is not of its column's type"


# Rows that are there


CHANGES = {
    "an update, even to what is there": "UPDATE {table} SET {column} = {column}",
    "a deletion": "DELETE FROM {table}",
}
CHANGES_OF_SQLITE = {
    "UPDATE OR REPLACE": "UPDATE OR REPLACE {table} SET {column} = {column}",
    "UPDATE OR IGNORE": "UPDATE OR IGNORE {table} SET {column} = {column}",
    "an update of its place in the file": "UPDATE {table} SET rowid = rowid + 1000",
    "REPLACE by itself": "REPLACE INTO {table} SELECT * FROM {table}",
    "REPLACE by itself in another place": (
        "REPLACE INTO {table} (rowid, {columns}) SELECT rowid + 1000, {columns} FROM {table}"
    ),
}
CHANGES_OF_POSTGRESQL = {
    "TRUNCATE": "TRUNCATE {table} CASCADE",
    "a deletion within a query": "WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT * FROM gone",
    "MERGE that deletes": "MERGE INTO {table} USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
    "MERGE that updates": (
        "MERGE INTO {table} USING (SELECT 1) AS one ON true"
        " WHEN MATCHED THEN UPDATE SET {column} = {table}.{column}"
    ),
}
KEYS = {
    "signature": ["model", "number", "key_id"],
    "version_source": ["model", "number"],
    "version_deletion": ["model", "number"],
    "registered_model": ["name"],
    "dataset": ["fingerprint"],
    "model_version": ["model", "number"],
    "registration": ["model", "key"],
    "evaluation": ["model", "number", "dataset"],
    "metric": ["model", "number", "dataset", "slice", "name"],
    "ledger_entry": ["model", "alias", "sequence"],
    "observation": ["model", "alias", "metric", "sequence"],
    "announcement": ["model", "alias", "metric", "sequence", "attempt"],
}
every_table = pytest.mark.parametrize("table", TABLES)


def on_table(change: str, table: str) -> str:
    columns = list(stored(table))
    return change.format(table=table, column=columns[0], columns=", ".join(columns))


@every_table
@cases(CHANGES, "change")
def test_a_row_does_not_change_by(way: Way, table: str, change: str) -> None:
    assert f"{table}: {UNCHANGED}" in way.refusal(lambda: way.run(on_table(change, table)))


@every_table
@cases(CHANGES_OF_SQLITE, "change")
@on("sqlite", "sqlite as it comes")
def test_a_row_in_sqlite_does_not_change_by(way: Way, table: str, change: str) -> None:
    assert f"{table}: {UNCHANGED}" in way.refusal(lambda: way.run(on_table(change, table)))


@every_table
@cases(CHANGES_OF_POSTGRESQL, "change")
@on("postgresql")
def test_a_row_in_postgresql_does_not_change_by(way: Way, table: str, change: str) -> None:
    assert UNCHANGED in way.refusal(lambda: way.run(on_table(change, table)))


@every_table
def test_an_insert_that_would_update_is_refused(way: Way, table: str) -> None:
    row = stored(table)
    column = next(iter(row))
    suffix = f"ON CONFLICT ({', '.join(KEYS[table])}) DO UPDATE SET {column} = excluded.{column}"
    assert UNCHANGED in way.refusal(lambda: way.insert(table, row, suffix=suffix))


REPLACEMENTS = {
    "an entry by its place in the chain": ("ledger_entry", stored("ledger_entry") | {"reason": "another"}),
    "an entry by the key of its request": ("ledger_entry", entry(4, key="once")),
    "an entry by its place in the file": ("ledger_entry", entry(4, rowid=1)),
    "a version by its number": ("model_version", version(3, artifact=digest("another"))),
    "a version by its training": ("model_version", version(4, training=digest("training 3"))),
    "a signature by its key": ("signature", A_SIGNATURE | {"envelope": "[]"}),
    "a signature by its place in the file": ("signature", A_SIGNATURE | {"number": 2, "rowid": 1}),
    "a version by its place in the file": ("model_version", version(4, rowid=1)),
    "a dataset by its fingerprint": ("dataset", stored("dataset") | {"rows": 2_000}),
    "a dataset by its place in the file": ("dataset", dataset(digest("march")) | {"rowid": 1}),
    "an evaluation by its key": ("evaluation", AN_EVALUATION | {"predictions": digest("other")}),
    "an evaluation by its place in the file": ("evaluation", AN_EVALUATION | {"number": 2, "rowid": 1}),
    "a metric by its key": ("metric", A_METRIC | {"value": 0.95}),
    "a metric by its place in the file": ("metric", A_METRIC | {"name": "roc_auc", "rowid": 1}),
    "an answer to a request by its key": ("registration", A_REGISTRATION | {"number": 2}),
    "an answer to a request by its place in the file": (
        "registration",
        A_REGISTRATION | {"key": "tuesday", "rowid": 1},
    ),
    "a source by its key": ("version_source", A_SOURCE | {"uri": "elsewhere"}),
    "a source by its place in the file": ("version_source", A_SOURCE | {"number": 2, "rowid": 1}),
    "a deletion by its key": ("version_deletion", A_DELETION | {"reason": "another"}),
    "a deletion by its place in the file": ("version_deletion", A_DELETION | {"number": 2, "rowid": 1}),
    "an observation by its place in the stream": ("observation", observation(1, batch="another")),
    "an observation by its batch": ("observation", observation(3, batch="day 1")),
    "an observation by its place in the file": ("observation", observation(3, rowid=1)),
    "an announcement by its key": ("announcement", AN_ANNOUNCEMENT | {"event": "champion.healthy"}),
    "an announcement by its place in the file": (
        "announcement",
        AN_ANNOUNCEMENT | {"attempt": 2, "rowid": 1},
    ),
    "a model by its name": ("registered_model", {"name": "churn", "last_version": 0, "created_at": NOON}),
    "a model by its place in the file": (
        "registered_model",
        {"name": "spam", "last_version": 0, "created_at": NOON, "rowid": 1},
    ),
}


@cases(REPLACEMENTS, "replacement")
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE INTO", "REPLACE INTO"])
@on("sqlite", "sqlite as it comes")
def test_sqlite_does_not_replace(way: Way, verb: str, replacement: tuple[str, Row]) -> None:
    table, row = replacement
    assert way.refusal(lambda: way.insert(table, row, verb=verb)) == f"{table}: {UNCHANGED}"


# The one row that changes, and how


def test_a_model_counts_its_versions_one_by_one(way: Way) -> None:
    counted = way.run("UPDATE registered_model SET last_version = last_version + 1 WHERE name = 'churn'")
    assert counted == 1


@pytest.mark.parametrize(
    "change",
    [
        "last_version = last_version - 1",
        "last_version = last_version + 2",
        "last_version = 0",
        "last_version = last_version + 1, name = 'renamed'",
        "last_version = last_version + 1, created_at = '2020-01-01 00:00:00.000000'",
    ],
)
def test_a_model_does_not_change_otherwise(way: Way, change: str) -> None:
    update = "UPDATE registered_model SET {} WHERE name = 'churn'"
    refusal = way.refusal(lambda: way.run(update.format(change)))
    assert f"registered_model: {UNCHANGED}" in refusal


def test_a_type_can_be_distrusted(way: Way) -> None:
    assert way.run("DELETE FROM trusted_type") > 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE model_artifact SET leased_until = '2030-01-01 00:00:00.000000'",
        "UPDATE model_artifact SET purged_at = leased_until, purged_by = 'ada', purged_because = 'retention'",
        "DELETE FROM model_artifact_file",
        "UPDATE pin SET reason = 'another audit'",
        "DELETE FROM pin",
        "UPDATE version_tag SET value = 'growth'",
        "DELETE FROM version_tag",
        "UPDATE model_tag SET value = 'growth'",
        "DELETE FROM model_tag",
        "UPDATE model_profile SET description = 'who stays'",
        "UPDATE version_profile SET stage = 'Archived'",
    ],
)
def test_what_is_about_bytes_changes_and_so_do_notes(way: Way, change: str) -> None:
    assert way.run(change) > 0


@on("sqlite", "postgresql")
def test_an_artifact_that_a_row_refers_to_stays(way: Way) -> None:
    delete = "DELETE FROM model_artifact WHERE digest = ?"
    refusal = way.refusal(lambda: way.run(delete, [digest("artifact 3")]))
    assert "FOREIGN KEY constraint failed" in refusal or "fk_model_version_artifact" in refusal
    assert way.run(delete, [digest("orphan")]) == 1


@pytest.mark.parametrize(
    "change",
    [
        "model_artifact SET digest = CAST(digest AS BLOB)",
        "model_artifact SET bytes = 'many'",
        "pin SET reason = x'61'",
        "version_tag SET value = x'61'",
        "model_tag SET key = x'61'",
        "model_profile SET description = x'61'",
        "version_profile SET description = x'61'",
    ],
)
@on("sqlite", "sqlite as it comes")
def test_what_changes_in_sqlite_stays_of_its_columns_type(way: Way, change: str) -> None:
    refusal = way.refusal(lambda: way.run(f"UPDATE {change}"))
    assert refusal.endswith(": a value is not of its column's type")


# Nothing is without a guard


UNREACHABLE = {
    # a row that breaks one of these breaks the foreign key beside it or the primary key too
    "fk_ledger_entry_model",
    "uq_ledger_entry_model_alias_sequence_in_force_in_force_since_hash",
    "uq_model_version_model_number_hash",
}


def test_every_table_of_the_registry_is_attacked_here_but_the_list_that_may_shrink() -> None:
    assert {*TABLES, *MUTABLE, "trusted_type"} == set(LedgerEntry.metadata.tables)


def test_every_check_of_the_schema_has_a_row_that_it_refuses() -> None:
    checks = {
        str(constraint.name)
        for table in LedgerEntry.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint | UniqueConstraint | ForeignKeyConstraint)
    }
    refused = {corruption.refused_by for corruption in [*CORRUPTIONS.values(), *DANGLING.values()]}
    assert checks - refused == UNREACHABLE
