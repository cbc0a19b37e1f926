"""Artifacts that are leased and purged, pins, signatures, and a hash chain through each model's versions.

Revision ID: 0003, after 0002
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from collections.abc import Iterator

revision = "0003"
down_revision = "0002"

_GENESIS = "0" * 64
_MOST = 1_000  # versions that are held in memory at a time

_EVIDENCE = {
    "model_version": [["model", "number"], ["model", "training", "renewal"]],
    "evaluation": [["model", "number", "dataset"]],
    "signature": [["model", "number", "key_id"]],
}
"""The tables of evidence that are new or were made anew, each with the keys by which a row is replaced."""

_MUTABLE = ["model_artifact", "model_artifact_file", "pin"]
"""The tables whose rows come, change and go with the bytes."""

_JSON = ["params", "input_schema", "input_example", "environment"]


def upgrade() -> None:
    """Make the new tables, chain the versions, and guard what was made."""
    _create_tables()
    _name_the_artifacts()
    _drop_guards("model_version", "evaluation")
    _chain_the_versions()
    _refer_to_artifacts()
    postgresql = op.get_context().dialect.name == "postgresql"
    for table, keys in _EVIDENCE.items():
        _guard_on_postgresql(table) if postgresql else _guard_on_sqlite(table, keys)
    if not postgresql:
        for table in _MUTABLE:
            _guard_types(table, "INSERT")
            _guard_types(table, "UPDATE")


def _create_tables() -> None:
    op.create_table(
        "model_artifact",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("purged_by", sa.String(), nullable=True),
        sa.Column("purged_because", sa.String(), nullable=True),
        _sha256("model_artifact", "digest"),
        sa.CheckConstraint("bytes >= 0", name=op.f("ck_model_artifact_bytes_count")),
        sa.CheckConstraint(
            "(purged_at IS NULL) = (purged_by IS NULL) AND (purged_at IS NULL) = (purged_because IS NULL)",
            name=op.f("ck_model_artifact_purge_is_told"),
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_model_artifact")),
    )
    op.create_table(
        "model_artifact_file",
        sa.Column("manifest", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["manifest"], ["model_artifact.digest"], name=op.f("fk_model_artifact_file_manifest")
        ),
        sa.ForeignKeyConstraint(
            ["digest"], ["model_artifact.digest"], name=op.f("fk_model_artifact_file_digest")
        ),
        sa.PrimaryKeyConstraint("manifest", "path", name=op.f("pk_model_artifact_file")),
    )
    op.create_index(op.f("ix_model_artifact_file_digest"), "model_artifact_file", ["digest"])
    op.create_table(
        "pin",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("pinned_by", sa.String(), nullable=False),
        sa.Column("pinned_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(trim(reason)) > 0", name=op.f("ck_pin_has_a_reason")),
        _of_a_version("pin"),
        sa.PrimaryKeyConstraint("model", "number", name=op.f("pk_pin")),
    )
    op.create_table(
        "signature",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(key_id) BETWEEN 1 AND 128", name=op.f("ck_signature_key_id_has_a_length")),
        _of_a_version("signature"),
        sa.PrimaryKeyConstraint("model", "number", "key_id", name=op.f("pk_signature")),
    )


def _of_a_version(table: str) -> sa.ForeignKeyConstraint:
    columns = ["model_version.model", "model_version.number"]
    return sa.ForeignKeyConstraint(["model", "number"], columns, name=op.f(f"fk_{table}_model_number"))


def _sha256(table: str, column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(_is_sha256(column), name=op.f(f"ck_{table}_{column}_is_sha256"))


def _is_sha256(column: str) -> str:
    return f"length({column}) = 64 AND ltrim({column}, '0123456789abcdef') = ''"


def _name_the_artifacts() -> None:
    """A row for each artifact that a row refers to; nobody wrote down how large predictions are: 0 bytes."""
    artifact = sa.table(
        "model_artifact",
        sa.column("digest", sa.String()),
        sa.column("bytes", sa.BigInteger()),
        sa.column("leased_until", sa.DateTime(timezone=True)),
    )
    statement = (
        "SELECT artifact AS digest, artifact_bytes AS bytes FROM model_version"
        " UNION ALL SELECT predictions, 0 FROM evaluation"
    )
    referred = sa.text(statement).columns(digest=sa.String(), bytes=sa.BigInteger()).subquery()
    moment = sa.literal(datetime.now(UTC), sa.DateTime(timezone=True))
    largest = sa.func.max(referred.c.bytes)
    rows = sa.select(referred.c.digest, largest, moment).group_by(referred.c.digest)
    op.execute(artifact.insert().from_select(["digest", "bytes", "leased_until"], rows))


def _chain_the_versions() -> None:
    with op.batch_alter_table("model_version") as table:
        table.add_column(sa.Column("previous", sa.Integer(), nullable=True))
        table.add_column(sa.Column("renewal", sa.Integer(), nullable=True))
        table.add_column(sa.Column("previous_hash", sa.String(), nullable=True))
        table.add_column(sa.Column("hash", sa.String(), nullable=True))
    _seal_the_versions()
    checks = {
        "artifact_is_sha256": _is_sha256("artifact"),
        "training_is_sha256": _is_sha256("training"),
        "fitted_is_sha256": _is_sha256("fitted"),
        "artifact_bytes_count": "artifact_bytes >= 0",
        "number_is_positive": "number > 0",
    }
    known = [sa.CheckConstraint(check, name=f"ck_model_version_{name}") for name, check in checks.items()]
    with op.batch_alter_table("model_version", reflect_args=tuple(known)) as table:
        for column, kind in {"renewal": sa.Integer, "previous_hash": sa.String, "hash": sa.String}.items():
            table.alter_column(column, existing_type=kind(), nullable=False)
        table.drop_constraint(op.f("ck_model_version_number_is_positive"), type_="check")
        table.drop_constraint(op.f("uq_model_version_model_training"), type_="unique")
        table.create_check_constraint(
            op.f("ck_model_version_number_has_no_gap"),
            "(number > 1 AND previous IS NOT NULL AND previous = number - 1)"
            f" OR (number = 1 AND previous IS NULL AND previous_hash = '{_GENESIS}')",
        )
        table.create_check_constraint(op.f("ck_model_version_renewal_counts"), "renewal >= 0")
        for column in ("hash", "previous_hash"):
            table.create_check_constraint(op.f(f"ck_model_version_{column}_is_sha256"), _is_sha256(column))
        table.create_unique_constraint(
            op.f("uq_model_version_model_number_hash"), ["model", "number", "hash"]
        )
        table.create_unique_constraint(
            op.f("uq_model_version_model_training_renewal"), ["model", "training", "renewal"]
        )
        table.create_foreign_key(
            op.f("fk_model_version_artifact"), "model_artifact", ["artifact"], ["digest"]
        )
        table.create_foreign_key(
            "fk_model_version_follows_the_version_before",
            "model_version",
            ["model", "previous", "previous_hash"],
            ["model", "number", "hash"],
        )


def _refer_to_artifacts() -> None:
    checks = {"predictions_is_sha256": _is_sha256("predictions"), "has_rows": "rows > 0"}
    known = [sa.CheckConstraint(check, name=f"ck_evaluation_{name}") for name, check in checks.items()]
    with op.batch_alter_table("evaluation", reflect_args=tuple(known)) as table:
        table.create_foreign_key(
            op.f("fk_evaluation_predictions"), "model_artifact", ["predictions"], ["digest"]
        )


# The chain, as it was made when this was the newest version of the schema


def _seal_the_versions() -> None:
    versions = sa.Table("model_version", sa.MetaData(), *_columns())
    seal = versions.update().where(
        versions.c.model == sa.bindparam("of_model"), versions.c.number == sa.bindparam("of_number")
    )
    last: dict[str, Any] = {"model": None}
    for rows in _in_portions(versions):
        sealed = []
        for row in rows:
            last = row | _link(row, last)
            links = {name: last[name] for name in ("previous", "renewal", "previous_hash", "hash")}
            sealed.append({"of_model": row["model"], "of_number": row["number"], **links})
        op.get_bind().execute(seal, sealed)


def _link(row: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """What ties a version to the *last* one, which may be of another model."""
    first = row["model"] != last["model"]
    link = {
        "previous": None if first else last["number"],
        "renewal": 0,
        "previous_hash": _GENESIS if first else last["hash"],
    }
    return link | {"hash": _digest(row | link)}


def _columns() -> list[sa.Column[Any]]:
    found = sa.inspect(op.get_bind()).get_columns("model_version")
    return [sa.Column(column["name"], column["type"]) for column in found]


def _in_portions(versions: sa.Table) -> Iterator[list[dict[str, Any]]]:
    place = sa.tuple_(versions.c.model, versions.c.number)
    after = ("", 0)
    while rows := _some_after(versions, place > sa.tuple_(*after)):
        yield rows
        after = (rows[-1]["model"], rows[-1]["number"])


def _some_after(versions: sa.Table, after: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    rows = sa.select(versions).where(after).order_by(versions.c.model, versions.c.number).limit(_MOST)
    return [dict(row) for row in op.get_bind().execute(rows).mappings()]


def _digest(row: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of all facts of a version but its hash."""
    at = row["registered_at"]
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)  # SQLite keeps UTC without saying so
    facts = {name: json.loads(value) if name in _JSON else value for name, value in row.items()}
    facts["registered_at"] = at.isoformat(timespec="microseconds")
    del facts["hash"]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# The guards


def _drop_guards(*tables: str) -> None:
    """SQLite drops the others with the tables that it makes anew."""
    on_sqlite = op.get_context().dialect.name == "sqlite"
    for table in tables:
        if on_sqlite:
            op.execute(f"DROP TRIGGER {table}_no_update")
        else:
            for change in ("update", "delete", "truncate"):
                op.execute(f"DROP TRIGGER {table}_no_{change} ON {table}")


def _guard_on_postgresql(table: str) -> None:
    refuse = "EXECUTE FUNCTION registry_refuse_change()"
    op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}")


def _guard_on_sqlite(table: str, keys: list[list[str]]) -> None:
    same = " OR ".join(
        "(" + " AND ".join(f"{column} = NEW.{column}" for column in key) + ")" for key in [*keys, ["rowid"]]
    )
    present = f"SELECT 1 FROM {table} WHERE {same}"  # noqa: S608, the names are this module's own
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
    names = {int: "integer", bool: "integer", float: "real"}
    columns = sa.inspect(op.get_bind()).get_columns(table)
    types = {column["name"]: column["type"].python_type for column in columns}
    neither = [f"NEW.{name} NOT IN (0, 1)" for name, type_ in types.items() if type_ is bool]
    return neither + [
        f"typeof(NEW.{name}) NOT IN ('{names.get(type_, 'text')}', 'null')" for name, type_ in types.items()
    ]
