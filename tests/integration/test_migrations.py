from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

import registry
from registry.migrations import HEAD, VERSION_TABLE
from registry.tables import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from registry.store import Store

WAIT_AT = """
import sys, time
from sqlalchemy import Engine, event
from registry.store import Origin, Store

@event.listens_for(Engine, "after_cursor_execute")
def wait(connection, cursor, statement, *others):
    if sys.argv[2] in statement:
        print("there", flush=True)
        time.sleep(60)

Store.open(sys.argv[1], Origin(actor="ada"))
"""


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "registry:migrations")
    return ScriptDirectory.from_config(config)


def described(engine: Engine) -> dict[str, Any]:
    """All that a database knows of its tables, but for the version table."""
    inspector = inspect(engine)
    return {
        table: {
            "columns": [
                (column["name"], repr(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            ],
            "primary key": inspector.get_pk_constraint(table),
            "unique keys": by_name(inspector.get_unique_constraints(table)),
            "foreign keys": by_name(inspector.get_foreign_keys(table)),
            "indexes": by_name(inspector.get_indexes(table)),
            "checks": by_name(inspector.get_check_constraints(table)),
        }
        for table in inspector.get_table_names()
        if table != VERSION_TABLE
    }


def by_name(constraints: Any) -> list[dict[str, Any]]:
    return sorted((in_words(constraint) for constraint in constraints), key=lambda found: found["name"] or "")


def in_words(constraint: Any) -> dict[str, Any]:
    """A constraint or index, in which SQL such as an index's WHERE is text, so that it can be compared."""
    options = {name: str(option) for name, option in constraint.get("dialect_options", {}).items()}
    return {**constraint, "dialect_options": options}


def test_the_migrations_make_the_schema_that_the_tables_declare(
    make_database: Callable[[], str], make_store: Callable[..., Store]
) -> None:
    migrated = described(make_store().engine)
    engine = create_engine(make_database())
    Row.metadata.create_all(engine)
    declared = described(engine)
    engine.dispose()
    assert set(migrated) == set(declared) == set(Row.metadata.tables)
    for table, facts in declared.items():
        assert facts["columns"]
        assert migrated[table] == facts


def test_every_constraint_has_a_name_to_be_refused_by(make_store: Callable[..., Store]) -> None:
    for facts in described(make_store().engine).values():
        named = [*facts["unique keys"], *facts["foreign keys"], *facts["indexes"], *facts["checks"]]
        assert [constraint for constraint in [facts["primary key"], *named] if not constraint["name"]] == []


def test_the_schema_version_of_the_library_is_that_of_the_newest_script() -> None:
    assert scripts().get_heads() == [HEAD]


def test_a_new_registry_trusts_what_the_first_migration_names(make_store: Callable[..., Store]) -> None:
    first = scripts().get_revision("0002")
    assert first is not None
    seeded = {trusted.name for trusted in make_store().trusted_types()}
    assert seeded == set(first.module.TRUSTED)
    assert seeded


@pytest.mark.parametrize("statement", ["CREATE TABLE ledger_entry", f"INSERT INTO {VERSION_TABLE}"])
def test_the_next_opening_completes_what_a_killed_one_began(
    database_url: str, make_database: Callable[[], str], make_store: Callable[..., Store], statement: str
) -> None:
    begin_and_die(database_url, statement)
    engine = create_engine(database_url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    completed = make_store()
    whole = make_store(make_database())
    assert described(completed.engine) == described(whole.engine)
    assert completed.models() == []
    assert [each.name for each in completed.trusted_types()] == [each.name for each in whole.trusted_types()]


def begin_and_die(url: str, statement: str) -> None:
    """Open the database in a process that is killed right after the *statement*."""
    command = [sys.executable, "-c", WAIT_AT, url, statement]
    root = Path(registry.__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603, our own
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.kill()
    assert process.returncode < 0
