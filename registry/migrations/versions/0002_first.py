"""Models, versions, evaluations, the ledger and observations, and the triggers that keep them unchanged.

Revision ID: 0002, because databases of the unreleased 0001 are refused and not upgraded
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from registry.trust import TRUSTED

revision = "0002"
down_revision = None

_KEYS = {
    "registered_model": [["name"]],
    "dataset": [["fingerprint"]],
    "model_version": [["model", "number"], ["model", "training"]],
    "registration": [["model", "key"]],
    "evaluation": [["model", "number", "dataset"]],
    "metric": [["model", "number", "dataset", "slice", "name"]],
    "ledger_entry": [["model", "alias", "sequence"], ["model", "alias", "key"]],
    "observation": [["model", "alias", "metric", "sequence"], ["model", "alias", "metric", "batch"]],
    "announcement": [["model", "alias", "metric", "sequence", "attempt"]],
}
"""The tables whose rows are evidence, each with the keys by which a row could be replaced."""

_REFUSED_UPDATE = {
    "registered_model": "WHEN (NOT (NEW.name = OLD.name AND NEW.created_at = OLD.created_at"
    " AND NEW.last_version = OLD.last_version + 1))"
}
"""Which updates of a table are refused, where not all are."""


def upgrade() -> None:
    """Make the tables, refuse changes to evidence, and name the types to trust."""
    _create_tables()
    postgresql = op.get_context().dialect.name == "postgresql"
    if postgresql:
        op.execute(_REFUSE)
    for table, keys in _KEYS.items():
        for statement in _postgresql_guards(table) if postgresql else _sqlite_guards(table, keys):
            op.execute(statement)
    _trust_at_first()


def _trust_at_first() -> None:
    names = sa.table(
        "trusted_type",
        sa.column("name", sa.String()),
        sa.column("reason", sa.String()),
        sa.column("trusted_by", sa.String()),
        sa.column("trusted_at", sa.DateTime(timezone=True)),
    )
    reason, by, at = "part of scikit-learn, without side effects", "prefect-model-registry", datetime.now(UTC)
    rows = [{"name": name, "reason": reason, "trusted_by": by, "trusted_at": at} for name in sorted(TRUSTED)]
    op.bulk_insert(names, rows)


def _sqlite_guards(table: str, keys: list[list[str]]) -> list[str]:
    """Triggers; the one before INSERT is for INSERT OR REPLACE, which deletes without a DELETE.

    The one after it is there because SQLite keeps a value of any type in any column: BLOB 'champion' would
    be another alias than the text. A row below 1 could be taken for one that is given no number yet.
    """
    same = " OR ".join(
        "(" + " AND ".join(f"{column} = NEW.{column}" for column in key) + ")" for key in [*keys, ["rowid"]]
    )
    present = f"SELECT 1 FROM {table} WHERE {same}"  # noqa: S608, the names are this module's own
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table}: rows are appended, never changed'); END"
    refuse_type = f"BEGIN SELECT RAISE(ABORT, '{table}: a value is not of its column''s type'); END"
    odd = " OR ".join(["NEW.rowid < 1", *_of_another_type(table)])
    when = _REFUSED_UPDATE.get(table, "")
    return [
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {when} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS ({present}) {refuse}",
        f"CREATE TRIGGER {table}_is_typed AFTER INSERT ON {table} WHEN {odd} {refuse_type}",
    ]


def _of_another_type(table: str) -> list[str]:
    names = {int: "integer", bool: "integer", float: "real"}
    columns = sa.inspect(op.get_bind()).get_columns(table)
    types = {column["name"]: column["type"].python_type for column in columns}
    neither = [f"NEW.{name} NOT IN (0, 1)" for name, type_ in types.items() if type_ is bool]
    return neither + [
        f"typeof(NEW.{name}) NOT IN ('{names.get(type_, 'text')}', 'null')" for name, type_ in types.items()
    ]


_REFUSE = """
CREATE FUNCTION registry_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        MESSAGE = TG_TABLE_NAME || ': rows are appended, never changed', ERRCODE = 'restrict_violation';
END $$
"""


def _postgresql_guards(table: str) -> list[str]:
    refuse = "EXECUTE FUNCTION registry_refuse_change()"
    when = _REFUSED_UPDATE.get(table, "")
    return [
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW {when} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW {refuse}",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}",
    ]


def _create_tables() -> None:
    op.create_table(
        "dataset",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "length(fingerprint) = 64 AND ltrim(fingerprint, '0123456789abcdef') = ''",
            name=op.f("ck_dataset_fingerprint_is_sha256"),
        ),
        sa.CheckConstraint("rows > 0", name=op.f("ck_dataset_has_rows")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_dataset")),
    )
    op.create_table(
        "registered_model",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "length(name) > 0 AND ltrim(name, 'abcdefghijklmnopqrstuvwxyz0123456789._-') = ''"
            " AND length(name) <= 128"
            " AND length(substr(name, 1, 1)) > 0"
            " AND ltrim(substr(name, 1, 1), 'abcdefghijklmnopqrstuvwxyz0123456789') = ''"
            " AND length(substr(name, length(name), 1)) > 0"
            " AND ltrim(substr(name, length(name), 1), 'abcdefghijklmnopqrstuvwxyz0123456789') = ''"
            " AND replace(replace(name, '-', '.'), '_', '.') NOT LIKE '%..%'",
            name=op.f("ck_registered_model_name_is_valid"),
        ),
        sa.CheckConstraint("last_version >= 0", name=op.f("ck_registered_model_last_version_counts")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_registered_model")),
    )
    op.create_table(
        "trusted_type",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("trusted_by", sa.String(), nullable=False),
        sa.Column("trusted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_trusted_type")),
    )
    op.create_table(
        "model_version",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("training", sa.String(), nullable=False),
        sa.Column("fitted", sa.String(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("artifact_bytes", sa.BigInteger(), nullable=False),
        sa.Column("serialization", sa.String(), nullable=False),
        sa.Column("estimator", sa.String(), nullable=False),
        sa.Column("trained_on", sa.String(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("input_schema", sa.Text(), nullable=False),
        sa.Column("input_example", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("git_commit", sa.String(), nullable=True),
        sa.Column("git_dirty", sa.Boolean(), nullable=True),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("task_run_id", sa.String(), nullable=True),
        sa.Column("registered_by", sa.String(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "length(artifact) = 64 AND ltrim(artifact, '0123456789abcdef') = ''",
            name=op.f("ck_model_version_artifact_is_sha256"),
        ),
        sa.CheckConstraint(
            "length(training) = 64 AND ltrim(training, '0123456789abcdef') = ''",
            name=op.f("ck_model_version_training_is_sha256"),
        ),
        sa.CheckConstraint(
            "length(fitted) = 64 AND ltrim(fitted, '0123456789abcdef') = ''",
            name=op.f("ck_model_version_fitted_is_sha256"),
        ),
        sa.CheckConstraint("artifact_bytes >= 0", name=op.f("ck_model_version_artifact_bytes_count")),
        sa.CheckConstraint("number > 0", name=op.f("ck_model_version_number_is_positive")),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], name=op.f("fk_model_version_model")),
        sa.ForeignKeyConstraint(
            ["trained_on"], ["dataset.fingerprint"], name=op.f("fk_model_version_trained_on")
        ),
        sa.PrimaryKeyConstraint("model", "number", name=op.f("pk_model_version")),
        sa.UniqueConstraint("model", "training", name=op.f("uq_model_version_model_training")),
    )
    op.create_index(op.f("ix_model_version_artifact"), "model_version", ["artifact"], unique=False)
    op.create_index(op.f("ix_model_version_model_fitted"), "model_version", ["model", "fitted"], unique=False)
    op.create_table(
        "evaluation",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("predictions", sa.String(), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("evaluated_by", sa.String(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "length(predictions) = 64 AND ltrim(predictions, '0123456789abcdef') = ''",
            name=op.f("ck_evaluation_predictions_is_sha256"),
        ),
        sa.CheckConstraint("rows > 0", name=op.f("ck_evaluation_has_rows")),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.fingerprint"], name=op.f("fk_evaluation_dataset")),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["model_version.model", "model_version.number"],
            name=op.f("fk_evaluation_model_number"),
        ),
        sa.PrimaryKeyConstraint("model", "number", "dataset", name=op.f("pk_evaluation")),
    )
    op.create_index(op.f("ix_evaluation_predictions"), "evaluation", ["predictions"], unique=False)
    op.create_table(
        "ledger_entry",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("replaced", sa.Integer(), nullable=False),
        sa.Column("replaced_since", sa.Integer(), nullable=False),
        sa.Column("in_force", sa.Integer(), nullable=False),
        sa.Column("in_force_since", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=True),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(kind IN ('promoted', 'assigned', 'rolled-back') AND in_force = version"
            " AND in_force <> replaced AND in_force_since = sequence"
            " AND (kind <> 'rolled-back' OR replaced <> 0)) OR (kind = 'cleared'"
            " AND in_force = 0 AND replaced <> 0 AND version = replaced"
            " AND in_force_since = sequence) OR (kind IN ('held', 'rejected', 'approved', 'alerted')"
            " AND in_force = replaced AND in_force_since = replaced_since)",
            name=op.f("ck_ledger_entry_moves_what_its_kind_says"),
        ),
        sa.CheckConstraint(
            "length(alias) > 0 AND ltrim(alias, 'abcdefghijklmnopqrstuvwxyz0123456789-') = ''"
            " AND ltrim(substr(alias, 1, 1), 'abcdefghijklmnopqrstuvwxyz') = ''"
            " AND length(alias) <= 64 AND alias <> 'latest'",
            name=op.f("ck_ledger_entry_alias_is_valid"),
        ),
        sa.CheckConstraint(
            "length(hash) = 64 AND ltrim(hash, '0123456789abcdef') = ''",
            name=op.f("ck_ledger_entry_hash_is_sha256"),
        ),
        sa.CheckConstraint(
            "length(previous_hash) = 64 AND ltrim(previous_hash, '0123456789abcdef') = ''",
            name=op.f("ck_ledger_entry_previous_hash_is_sha256"),
        ),
        sa.CheckConstraint(
            "(sequence > 1 AND previous IS NOT NULL AND previous = sequence - 1) OR (sequence = 1"
            " AND previous IS NULL AND replaced = 0 AND replaced_since = 0"
            " AND previous_hash = '0000000000000000000000000000000000000000000000000000000000000000')",
            name=op.f("ck_ledger_entry_sequence_has_no_gap"),
        ),
        sa.CheckConstraint("length(trim(reason)) > 0", name=op.f("ck_ledger_entry_has_a_reason")),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.fingerprint"], name=op.f("fk_ledger_entry_dataset")),
        sa.ForeignKeyConstraint(
            ["model", "alias", "previous", "replaced", "replaced_since", "previous_hash"],
            [
                "ledger_entry.model",
                "ledger_entry.alias",
                "ledger_entry.sequence",
                "ledger_entry.in_force",
                "ledger_entry.in_force_since",
                "ledger_entry.hash",
            ],
            name="fk_ledger_entry_follows_the_entry_before",
        ),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_version.model", "model_version.number"],
            name=op.f("fk_ledger_entry_model_version"),
        ),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], name=op.f("fk_ledger_entry_model")),
        sa.PrimaryKeyConstraint("model", "alias", "sequence", name=op.f("pk_ledger_entry")),
        sa.UniqueConstraint("model", "alias", "key", name=op.f("uq_ledger_entry_model_alias_key")),
        sa.UniqueConstraint(
            "model",
            "alias",
            "sequence",
            "in_force",
            "in_force_since",
            "hash",
            name=op.f("uq_ledger_entry_model_alias_sequence_in_force_in_force_since_hash"),
        ),
    )
    op.create_index(
        op.f("ix_ledger_entry_model_alias_recorded_at"),
        "ledger_entry",
        ["model", "alias", "recorded_at"],
        unique=False,
    )
    op.create_index(
        "ix_ledger_entry_rises",
        "ledger_entry",
        ["model", "alias", "in_force", "sequence", "kind"],
        unique=False,
        sqlite_where=sa.text("in_force_since = sequence"),
        postgresql_where=sa.text("in_force_since = sequence"),
    )
    op.create_index(op.f("ix_ledger_entry_model_dataset"), "ledger_entry", ["model", "dataset"], unique=False)
    op.create_table(
        "registration",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("registered_by", sa.String(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "length(request) = 64 AND ltrim(request, '0123456789abcdef') = ''",
            name=op.f("ck_registration_request_is_sha256"),
        ),
        sa.CheckConstraint("length(key) BETWEEN 1 AND 256", name=op.f("ck_registration_key_has_a_length")),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["model_version.model", "model_version.number"],
            name=op.f("fk_registration_model_number"),
        ),
        sa.PrimaryKeyConstraint("model", "key", name=op.f("pk_registration")),
    )
    op.create_table(
        "metric",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("slice", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("rows > 0", name=op.f("ck_metric_has_rows")),
        sa.CheckConstraint(
            "value BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308",
            name=op.f("ck_metric_value_is_finite"),
        ),
        sa.ForeignKeyConstraint(
            ["model", "number", "dataset"],
            ["evaluation.model", "evaluation.number", "evaluation.dataset"],
            name=op.f("fk_metric_model_number_dataset"),
        ),
        sa.PrimaryKeyConstraint("model", "number", "dataset", "slice", "name", name=op.f("pk_metric")),
    )
    op.create_table(
        "observation",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("floor", sa.Float(precision=53), nullable=False),
        sa.Column("evidence", sa.Float(precision=53), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("alarm", sa.Integer(), nullable=True),
        sa.Column("decided", sa.Integer(), nullable=True),
        sa.Column("healthy", sa.Integer(), nullable=False),
        sa.Column("served", sa.Integer(), nullable=False),
        sa.Column("target", sa.Integer(), nullable=True),
        sa.Column("champion_only", sa.BigInteger(), nullable=False),
        sa.Column("target_only", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('healthy', 'suspect', 'degraded', 'world-changed')",
            name=op.f("ck_observation_status_is_known"),
        ),
        sa.CheckConstraint(
            "(alarm IS NULL OR alarm BETWEEN 1 AND sequence)"
            " AND (decided IS NULL OR decided BETWEEN 1 AND sequence)",
            name=op.f("ck_observation_looks_back"),
        ),
        sa.CheckConstraint(
            "(sequence > 1 AND previous IS NOT NULL AND previous = sequence - 1)"
            " OR (sequence = 1 AND previous IS NULL)",
            name=op.f("ck_observation_sequence_has_no_gap"),
        ),
        sa.CheckConstraint("evidence >= 0", name=op.f("ck_observation_evidence_is_a_share")),
        sa.CheckConstraint(
            "evidence BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308",
            name=op.f("ck_observation_evidence_is_finite"),
        ),
        sa.CheckConstraint(
            "floor BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308",
            name=op.f("ck_observation_floor_is_finite"),
        ),
        sa.CheckConstraint(
            "healthy >= 0 AND served >= 0 AND champion_only >= 0 AND target_only >= 0",
            name=op.f("ck_observation_counts_count"),
        ),
        sa.CheckConstraint("length(batch) BETWEEN 1 AND 256", name=op.f("ck_observation_batch_has_a_length")),
        sa.CheckConstraint(
            "length(metric) BETWEEN 1 AND 128", name=op.f("ck_observation_metric_has_a_length")
        ),
        sa.CheckConstraint("rows > 0", name=op.f("ck_observation_has_rows")),
        sa.CheckConstraint(
            "value BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308",
            name=op.f("ck_observation_value_is_finite"),
        ),
        sa.ForeignKeyConstraint(
            ["model", "alias", "metric", "previous"],
            ["observation.model", "observation.alias", "observation.metric", "observation.sequence"],
            name="fk_observation_follows_the_one_before",
        ),
        sa.ForeignKeyConstraint(
            ["model", "alias", "since"],
            ["ledger_entry.model", "ledger_entry.alias", "ledger_entry.sequence"],
            name=op.f("fk_observation_model_alias_since"),
        ),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_version.model", "model_version.number"],
            name=op.f("fk_observation_model_version"),
        ),
        sa.PrimaryKeyConstraint("model", "alias", "metric", "sequence", name=op.f("pk_observation")),
        sa.UniqueConstraint(
            "model", "alias", "metric", "batch", name=op.f("uq_observation_model_alias_metric_batch")
        ),
    )
    op.create_index(
        op.f("ix_observation_model_alias_version_metric_sequence"),
        "observation",
        ["model", "alias", "version", "metric", "sequence"],
        unique=False,
    )
    op.create_index(
        "ix_observation_answers",
        "observation",
        ["model", "alias", "recorded_at"],
        unique=False,
        sqlite_where=sa.text("target IS NOT NULL"),
        postgresql_where=sa.text("target IS NOT NULL"),
    )
    op.create_table(
        "announcement",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("announced_by", sa.String(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("attempt > 0", name=op.f("ck_announcement_attempt_counts")),
        sa.ForeignKeyConstraint(
            ["model", "alias", "metric", "sequence"],
            ["observation.model", "observation.alias", "observation.metric", "observation.sequence"],
            name=op.f("fk_announcement_model_alias_metric_sequence"),
        ),
        sa.PrimaryKeyConstraint(
            "model", "alias", "metric", "sequence", "attempt", name=op.f("pk_announcement")
        ),
    )
