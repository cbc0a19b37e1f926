"""Tags of models and versions, and the indexes along which versions are searched.

Revision ID: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_MUTABLE = ["model_tag", "version_tag"]
"""The tables whose rows change as people like."""


def upgrade() -> None:
    """Make the indexes, then the tables, which refer to one of them."""
    _create_indexes()
    _create_tables()
    if op.get_context().dialect.name == "sqlite":
        for table in _MUTABLE:
            _guard_types(table, "INSERT")
            _guard_types(table, "UPDATE")


def _create_indexes() -> None:
    op.create_index(
        op.f("ix_model_version_registered_at_model_number"),
        "model_version",
        ["registered_at", "model", "number"],
    )
    op.create_index(
        op.f("ix_model_version_model_registered_at_number"),
        "model_version",
        ["model", "registered_at", "number"],
        unique=True,
    )
    op.create_index(
        op.f("ix_metric_dataset_name_slice_value_model_number"),
        "metric",
        ["dataset", "name", "slice", "value", "model", "number"],
    )
    op.create_index(
        "ix_ledger_entry_firsts",
        "ledger_entry",
        ["alias", "model", "sequence"],
        sqlite_where=sa.text("sequence = 1"),
        postgresql_where=sa.text("sequence = 1"),
    )


def _create_tables() -> None:
    op.create_table(
        "model_tag",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        *_has_lengths("model_tag"),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], name=op.f("fk_model_tag_model")),
        sa.PrimaryKeyConstraint("model", "key", name=op.f("pk_model_tag")),
    )
    op.create_table(
        "version_tag",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        *_has_lengths("version_tag"),
        sa.CheckConstraint(
            "length(digest) = 64 AND ltrim(digest, '0123456789abcdef') = ''",
            name=op.f("ck_version_tag_digest_is_sha256"),
        ),
        sa.ForeignKeyConstraint(
            ["model", "registered_at", "number"],
            ["model_version.model", "model_version.registered_at", "model_version.number"],
            name=op.f("fk_version_tag_model_registered_at_number"),
        ),
        sa.PrimaryKeyConstraint("model", "number", "key", name=op.f("pk_version_tag")),
    )
    op.create_index(
        op.f("ix_version_tag_digest_registered_at_model_number"),
        "version_tag",
        ["digest", "registered_at", "model", "number"],
    )
    op.create_index(
        op.f("ix_version_tag_model_digest_registered_at_number"),
        "version_tag",
        ["model", "digest", "registered_at", "number"],
    )


def _has_lengths(table: str) -> list[sa.CheckConstraint]:
    checks = {
        "key_has_a_length": "length(key) BETWEEN 1 AND 250",
        "value_has_a_length": "length(value) <= 5000",
    }
    return [sa.CheckConstraint(check, name=op.f(f"ck_{table}_{name}")) for name, check in checks.items()]


def _guard_types(table: str, change: str) -> None:
    """Refuse values that PostgreSQL's columns could not hold; SQLite keeps any value in any column."""
    name = f"{table}_is_typed" if change == "INSERT" else f"{table}_stays_typed"
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table}: a value is not of its column''s type'); END"
    odd = " OR ".join(["NEW.rowid < 1", *_of_another_type(table)])
    op.execute(f"CREATE TRIGGER {name} AFTER {change} ON {table} WHEN {odd} {refuse}")


def _of_another_type(table: str) -> list[str]:
    columns = sa.inspect(op.get_bind()).get_columns(table)
    kinds = {column["name"]: "integer" if column["name"] == "number" else "text" for column in columns}
    return [f"typeof(NEW.{name}) <> '{kind}'" for name, kind in kinds.items()]
