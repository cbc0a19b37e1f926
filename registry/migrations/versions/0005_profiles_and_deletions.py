"""Descriptions, deletions and MLflow's sources; names as MLflow's users write them; folders without data.

Revision ID: 0005, after 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WORDS = f"{_LETTERS}0123456789_"

_WIDENED = {
    ("registered_model", "name_is_valid"): (
        f"length(name) > 0 AND ltrim(name, '{_WORDS}.- ') = '' AND length(name) <= 256"
        f" AND length(substr(name, 1, 1)) > 0 AND ltrim(substr(name, 1, 1), '{_WORDS}') = ''"
        " AND length(substr(name, length(name), 1)) > 0"
        f" AND ltrim(substr(name, length(name), 1), '{_WORDS}') = ''"
        " AND name NOT LIKE '%..%'"
    ),
    ("ledger_entry", "alias_is_valid"): (
        f"length(alias) > 0 AND ltrim(alias, '{_WORDS}-') = ''"
        f" AND length(substr(alias, 1, 1)) > 0 AND ltrim(substr(alias, 1, 1), '{_WORDS}') = ''"
        " AND ltrim(alias, '0123456789') <> '' AND length(alias) <= 256 AND lower(alias) <> 'latest'"
    ),
    ("model_tag", "value_has_a_length"): "length(value) <= 100000",
    ("version_tag", "value_has_a_length"): "length(value) <= 100000",
}
"""The checks that let more pass from now on."""

_EVIDENCE = {"version_source": ["model", "number"], "version_deletion": ["model", "number"]}
"""The new tables whose rows are never changed, each with the key by which one could be replaced."""

_MUTABLE = ["model_profile", "version_profile"]
"""The new tables whose rows change as people like."""


def upgrade() -> None:
    """Let more pass the old tables' checks, and make the new tables with their guards."""
    postgresql = op.get_context().dialect.name == "postgresql"
    _widen_on_postgresql() if postgresql else _widen_on_sqlite()
    _create_tables()
    for table, key in _EVIDENCE.items():
        _guard_on_postgresql(table) if postgresql else _guard_on_sqlite(table, key)
    if not postgresql:
        for table in _MUTABLE:
            _guard_types(table, "INSERT")
            _guard_types(table, "UPDATE")


def _widen_on_postgresql() -> None:
    for (table, name), check in _WIDENED.items():
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, check)
    op.alter_column("model_version", "trained_on", existing_type=sa.String(), nullable=True)


def _widen_on_sqlite() -> None:
    """Write the tables' definitions anew, as SQLite's page on ALTER TABLE has it for checks and NOT NULL.

    What the rows look like on disk does not change, and their triggers and indexes stay as they are.
    """
    changed = {table: _definition(table) for table in {table for table, _ in _WIDENED} | {"model_version"}}
    for (table, name), check in _WIDENED.items():
        changed[table] = _with_check(changed[table], f"ck_{table}_{name}", check)
    changed["model_version"] = _once(
        changed["model_version"], "trained_on VARCHAR NOT NULL", "trained_on VARCHAR"
    )
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema=ON")
    for table, definition in changed.items():
        connection.exec_driver_sql(
            "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?", (definition, table)
        )
    connection.exec_driver_sql(f"PRAGMA schema_version={version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema=OFF")


def _definition(table: str) -> str:
    statement = sa.text("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = :name")
    return str(op.get_bind().execute(statement, {"name": table}).scalar_one())


def _with_check(definition: str, name: str, check: str) -> str:
    """The *definition* of a table whose check of this *name* is another one."""
    begin = definition.index("CHECK", definition.index(f"CONSTRAINT {name} "))
    depth, end = 0, begin
    for end in range(begin, len(definition)):
        depth += {"(": 1, ")": -1}.get(definition[end], 0)
        if definition[end] == ")" and depth == 0:
            break
    return f"{definition[:begin]}CHECK ({check}){definition[end + 1 :]}"


def _once(definition: str, old: str, new: str) -> str:
    if definition.count(old) != 1:
        raise ValueError(f"the definition of a table has not one {old!r}")
    return definition.replace(old, new)


def _create_tables() -> None:
    op.create_table(
        "version_source",
        *_of_a_version("version_source"),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("run_link", sa.String(), nullable=True),
        sa.Column("model_id", sa.String(), nullable=True),
        sa.Column("metrics", sa.Text(), nullable=False),
    )
    op.create_index(op.f("ix_version_source_run_id"), "version_source", ["run_id"])
    op.create_table(
        "version_deletion",
        *_of_a_version("version_deletion"),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("deleted_by", sa.String(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(trim(reason)) > 0", name=op.f("ck_version_deletion_has_a_reason")),
    )
    op.create_table(
        "model_profile",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("deleted_after", sa.Integer(), nullable=True),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("deleted_after >= 0", name=op.f("ck_model_profile_deleted_after_counts")),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], name=op.f("fk_model_profile_model")),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_model_profile")),
    )
    op.create_table(
        "version_profile",
        *_of_a_version("version_profile"),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("stage IN ('None', 'Archived')", name=op.f("ck_version_profile_stage_is_known")),
    )


def _of_a_version(table: str) -> list[sa.Column[int] | sa.Column[str] | sa.Constraint]:
    return [
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["model_version.model", "model_version.number"],
            name=op.f(f"fk_{table}_model_number"),
        ),
        sa.PrimaryKeyConstraint("model", "number", name=op.f(f"pk_{table}")),
    ]


# The guards


def _guard_on_postgresql(table: str) -> None:
    refuse = "EXECUTE FUNCTION registry_refuse_change()"
    op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}")


def _guard_on_sqlite(table: str, key: list[str]) -> None:
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    present = f"SELECT 1 FROM {table} WHERE ({same}) OR rowid = NEW.rowid"  # noqa: S608, the names are this module's own
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table}: rows are appended, never changed'); END"
    op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS ({present}) {refuse}")
    _guard_types(table, "INSERT")


def _guard_types(table: str, change: str) -> None:
    """Refuse values that PostgreSQL's columns could not hold; SQLite keeps any value in any column."""
    name = f"{table}_is_typed" if change == "INSERT" else f"{table}_stays_typed"
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table}: a value is not of its column''s type'); END"
    odd = " OR ".join(["NEW.rowid < 1", *_of_another_type(table)])
    op.execute(f"CREATE TRIGGER {name} AFTER {change} ON {table} WHEN {odd} {refuse}")


def _of_another_type(table: str) -> list[str]:
    numbers = {"number", "deleted_after"}
    names = [column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)]
    kinds = {name: "integer" if name in numbers else "text" for name in names}
    return [f"typeof(NEW.{name}) NOT IN ('{kind}', 'null')" for name, kind in kinds.items()]
