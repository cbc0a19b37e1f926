from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, inspect, text

import registry
from registry.database import connect, upgrade
from registry.exceptions import (
    DatabaseError,
    DatabaseOutdated,
    DatabaseShared,
    DatabaseUnrecognised,
    LibraryOutdated,
    UpgradeFailed,
)
from registry.migrations import HEAD, VERSION_TABLE
from registry.search import Search, find
from registry.tables import GENESIS, Row
from registry.tags import Tags
from tests.forks import forks
from tests.outdated import (
    ROWS,
    TABLES,
    connected,
    digest,
    held,
    insert,
    make_outdated,
    to_revision,
    version,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Event

    from registry.store import Store
    from registry.tables import ModelVersion

WITHOUT_ROOM = """
import resource, signal, sys
from registry.database import connect

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
connect(sys.argv[1])
"""

ADDED = {"previous", "renewal", "previous_hash", "hash"}  # to model_version
TAGGED = Search(tags={"team": "risk"})
AT_ONCE = 8
PATIENCE = 60
ROOT = Path(registry.__file__).parents[1]


@pytest.fixture
def make_store(empty_database_url: str, open_store: Callable[..., Store]) -> Callable[..., Store]:
    """Each call opens the test's own database, in which there is nothing at first."""
    return lambda url=empty_database_url: open_store(url)


@pytest.fixture
def outdated(empty_database_url: str) -> str:
    """The URL of a database of schema version 0002, with rows in every table."""
    make_outdated(empty_database_url)
    return empty_database_url


@pytest.fixture
def outdated_sqlite(tmp_path: Path) -> Path:
    """A SQLite file of schema version 0002, with rows in every table."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "registry.db"
    make_outdated(f"sqlite:///{path}")
    return path


@pytest.fixture
def outdated_postgresql(make_postgres_database: Callable[[], str]) -> str:
    """The URL of a PostgreSQL database of schema version 0002, with rows in every table."""
    url = make_postgres_database()
    make_outdated(url)
    return url


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(AT_ONCE, mp_context=forks()) as pool:
        list(pool.map(time.sleep, [0.2] * AT_ONCE))  # they are all there
        yield pool


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "registry:migrations")
    return ScriptDirectory.from_config(config)


def described(engine: Engine) -> dict[str, Any]:
    """All that a database knows of its tables, but for the version table."""
    inspector = inspect(engine)
    return {
        table: {
            "columns": sorted(  # a column that was added later is the last
                (column["name"], repr(column["type"]), column["nullable"], str(column["default"]))
                for column in inspector.get_columns(table)
            ),
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


def guards(engine: Engine) -> set[tuple[str, str]]:
    """The triggers, each with the SQL that makes it."""
    triggers = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    }
    with engine.connect() as connection:
        return {(name, sql) for name, sql in connection.execute(text(triggers[engine.dialect.name]))}


def found_version(url: str) -> str:
    [row] = held(url, [VERSION_TABLE])[VERSION_TABLE]
    return str(row["version_num"])


def set_version(url: str, found: str) -> None:
    with connected(url) as engine, engine.begin() as connection:
        update = f"UPDATE {VERSION_TABLE} SET version_num = :found"  # noqa: S608, a constant
        connection.execute(text(update), {"found": found})


def names_of_tables(url: str) -> set[str]:
    with connected(url) as engine:
        return set(inspect(engine).get_table_names())


def make_table(url: str, name: str) -> None:
    with connected(url) as engine, engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} (note VARCHAR)"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


# What the scripts make is what the tables declare


def test_the_migrations_make_the_schema_that_the_tables_declare(
    make_empty_database: Callable[[], str], make_store: Callable[..., Store]
) -> None:
    migrated = described(make_store().engine)
    engine = create_engine(make_empty_database())
    Row.metadata.create_all(engine)
    declared = described(engine)
    engine.dispose()
    assert set(migrated) == set(declared) == set(Row.metadata.tables)
    for table, facts in declared.items():
        assert facts["columns"]
        assert migrated[table] == facts


def test_alembic_finds_nothing_to_migrate(make_store: Callable[..., Store]) -> None:
    with make_store().engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_server_default": True}
        )
        assert compare_metadata(context, Row.metadata) == []


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


# An earlier database


def test_an_upgrade_keeps_every_row(outdated: str) -> None:
    before = held(outdated)
    upgrade(outdated)
    after = held(outdated)
    assert after | {"model_version": without(ADDED, after["model_version"])} == before
    assert {table: len(rows) for table, rows in before.items() if not rows} == {}
    assert {name for row in after["model_version"] for name in row} >= ADDED


def without(names: set[str], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(({name: row[name] for name in row if name not in names} for row in rows), key=repr)


def test_an_upgraded_database_is_as_one_that_was_made_anew(
    outdated: str, make_empty_database: Callable[[], str], make_store: Callable[..., Store]
) -> None:
    assert upgrade(outdated).before == "0002"
    upgraded, anew = make_store(outdated), make_store(make_empty_database())
    assert described(upgraded.engine) == described(anew.engine)
    assert guards(upgraded.engine) == guards(anew.engine)


def test_a_database_of_the_schema_before_is_upgraded_with_its_rows(
    outdated: str, make_empty_database: Callable[[], str], make_store: Callable[..., Store]
) -> None:
    to_third(outdated)
    before = held(outdated)
    assert upgrade(outdated).before == "0003"
    assert held(outdated) == before
    upgraded, anew = make_store(outdated), make_store(make_empty_database())
    assert described(upgraded.engine) == described(anew.engine)
    assert guards(upgraded.engine) == guards(anew.engine)
    Tags(upgraded).put(upgraded.version("churn", 2), {"team": "risk"})
    assert [version.number for version in find(upgraded, TAGGED, most=9).versions] == [2]


def to_third(url: str) -> None:
    with connected(url) as engine, engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        if engine.dialect.name == "sqlite":
            driver.execute("PRAGMA foreign_keys=OFF")
        to_revision("0003", connection)
        connection.commit()


def test_the_versions_of_each_model_are_chained(outdated: str, make_store: Callable[..., Store]) -> None:
    upgrade(outdated)
    store = make_store(outdated)
    for model in ("churn", "fraud"):
        before, last = None, GENESIS
        for found in store.versions(model):
            assert (found.previous, found.renewal, found.previous_hash) == (before, 0, last)
            assert found.hash == found.digest()
            before, last = found.number, found.hash
        assert before == store.require_model(model).last_version


def test_more_versions_than_are_held_in_memory_are_chained(
    empty_database_url: str, make_store: Callable[..., Store]
) -> None:
    models = [(table, row) for table, row in ROWS if table in {"dataset", "registered_model"}]
    numbers = [("model_version", version("churn", number)) for number in range(1, 1_502)]
    make_outdated(empty_database_url, [*models, *numbers, ("model_version", version("fraud", 1))])
    upgrade(empty_database_url)
    store = make_store(empty_database_url)
    hashes = [found.digest() for found in store.versions("churn")]
    assert [found.previous_hash for found in store.versions("churn")] == [GENESIS, *hashes[:-1]]
    assert [found.hash for found in store.versions("churn")] == hashes
    assert [found.previous_hash for found in store.versions("fraud")] == [GENESIS]


def test_the_entries_of_the_ledger_keep_their_hashes(outdated: str, make_store: Callable[..., Store]) -> None:
    before = {row["sequence"]: row["hash"] for row in held(outdated)["ledger_entry"]}
    upgrade(outdated)
    entries = make_store(outdated).history("churn", "champion")
    assert {entry.sequence: entry.digest() for entry in entries} == before


def test_an_upgraded_registry_goes_on(
    outdated: str, make_store: Callable[..., Store], a_version: Callable[..., ModelVersion]
) -> None:
    upgrade(outdated)
    store = make_store(outdated)
    third = store.version("churn", 3)
    fourth = a_version(store)
    assert (fourth.number, fourth.previous, fourth.previous_hash) == (4, 3, third.hash)


def test_every_artifact_that_a_row_refers_to_is_named_once(outdated: str) -> None:
    upgrade(outdated)
    found = {row["digest"]: row["bytes"] for row in held(outdated, ["model_artifact"])["model_artifact"]}
    assert found == {
        digest("artifact churn 1"): 4_002,  # version 2 has the same bytes
        digest("artifact churn 3"): 4_003,
        digest("artifact fraud 1"): 4_001,
        **{digest(f"predictions {number}"): 0 for number in (1, 2, 3)},
    }


@pytest.mark.parametrize("table", [table for table in TABLES if table != "trusted_type"])
def test_the_rows_of_an_upgraded_database_do_not_change(outdated_sqlite: Path, table: str) -> None:
    url = f"sqlite:///{outdated_sqlite}"
    upgrade(url)
    with connected(url) as engine, engine.connect() as connection:
        for change in (f"DELETE FROM {table}", f"REPLACE INTO {table} SELECT * FROM {table}"):  # noqa: S608, ours
            with pytest.raises(Exception, match="rows are appended, never changed"):
                connection.execute(text(change))


def test_an_upgrade_of_what_is_upgraded_does_nothing(outdated: str) -> None:
    upgrade(outdated)
    before = held(outdated, sorted(Row.metadata.tables))
    again = upgrade(outdated)
    assert (again.before, again.after, again.copy) == (HEAD, HEAD, None)
    assert held(outdated, sorted(Row.metadata.tables)) == before


def test_versions_that_were_tampered_with_are_not_upgraded(outdated: str) -> None:
    with connected(outdated) as engine, engine.begin() as connection:
        insert(connection, "model_version", version("fraud", 3))
    before = held(outdated)
    with pytest.raises(UpgradeFailed, match=r"from schema version 0002 to .*number_has_no_gap"):
        upgrade(outdated)
    assert held(outdated) == before
    assert found_version(outdated) == "0002"


def test_a_sqlite_database_with_a_dangling_row_is_not_upgraded(outdated_sqlite: Path) -> None:
    url = f"sqlite:///{outdated_sqlite}"
    with connected(url) as engine, engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        insert(connection, "metric", {**ROWS_OF["metric"], "number": 7})
        connection.commit()
    before = held(url)
    with pytest.raises(UpgradeFailed, match="row 4 of metric refers to a row of evaluation that is missing"):
        connect(url)
    assert held(url) == before
    assert found_version(url) == "0002"


ROWS_OF = dict(reversed(ROWS))


# Opening


def test_sqlite_upgrades_itself_after_a_copy(outdated_sqlite: Path) -> None:
    outdated_sqlite.chmod(0o640)
    before = held(f"sqlite:///{outdated_sqlite}")
    connect(f"sqlite:///{outdated_sqlite}").dispose()
    assert found_version(f"sqlite:///{outdated_sqlite}") == HEAD
    copy = outdated_sqlite.with_name("registry.schema-0002.db")
    assert copies_of(outdated_sqlite) == [copy]
    assert copy.stat().st_mode & 0o777 == 0o640
    assert held(f"sqlite:///{copy}") == before
    assert found_version(f"sqlite:///{copy}") == "0002"


def copies_of(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*schema*"))


def test_a_copy_takes_no_other_copys_place(outdated_sqlite: Path) -> None:
    earlier = outdated_sqlite.with_name("registry.schema-0002.db")
    earlier.write_text("an earlier copy")
    earlier.with_name("registry.schema-0002-2.db.part").write_text("what a killed process left")
    assert upgrade(f"sqlite:///{outdated_sqlite}").copy == earlier.with_name("registry.schema-0002-2.db")
    assert earlier.read_text() == "an earlier copy"
    assert copies_of(outdated_sqlite) == [earlier.with_name("registry.schema-0002-2.db"), earlier]


def test_without_a_copy_there_is_no_upgrade(outdated_sqlite: Path) -> None:
    in_the_way = outdated_sqlite.with_name("registry.schema-0002.db.part")
    in_the_way.mkdir()
    with pytest.raises(UpgradeFailed, match=r"and was left as it was: .*registry.schema-0002.db.part"):
        connect(f"sqlite:///{outdated_sqlite}")
    assert found_version(f"sqlite:///{outdated_sqlite}") == "0002"
    assert copies_of(outdated_sqlite) == [in_the_way]


def test_a_postgresql_is_upgraded_only_when_someone_says_so(outdated_postgresql: str) -> None:
    with pytest.raises(
        DatabaseOutdated, match=f"0002, this library works with {HEAD}.*`registry db upgrade`"
    ):
        connect(outdated_postgresql)
    assert found_version(outdated_postgresql) == "0002"
    upgraded = upgrade(outdated_postgresql)
    assert (upgraded.before, upgraded.after, upgraded.copy) == ("0002", HEAD, None)
    connect(outdated_postgresql).dispose()


@pytest.mark.parametrize("found", ["0001", "0006", "9999"])
@pytest.mark.parametrize("bring_up", [connect, upgrade])
def test_a_database_of_an_unknown_schema_version_is_left_alone(
    make_store: Callable[..., Store], empty_database_url: str, bring_up: Callable[[str], Any], found: str
) -> None:
    make_store()
    set_version(empty_database_url, found)
    with pytest.raises(LibraryOutdated, match=f"has schema version {found}, which this library.*pip install"):
        bring_up(empty_database_url)
    assert found_version(empty_database_url) == found


def test_beside_tables_of_others_a_registry_is_made_only_when_someone_says_so(
    empty_database_url: str,
) -> None:
    make_table(empty_database_url, "invoice")
    with pytest.raises(DatabaseShared, match=r"holds invoice\) and was left alone: .*`registry db upgrade`"):
        connect(empty_database_url)
    assert names_of_tables(empty_database_url) == {"invoice"}
    upgraded = upgrade(empty_database_url)
    assert (upgraded.before, upgraded.copy) == (None, None)
    connect(empty_database_url).dispose()
    assert names_of_tables(empty_database_url) == {"invoice", VERSION_TABLE, *Row.metadata.tables}


@pytest.mark.parametrize("bring_up", [connect, upgrade])
def test_tables_of_others_under_a_name_of_ours_are_left_alone(
    empty_database_url: str, bring_up: Callable[[str], Any]
) -> None:
    make_table(empty_database_url, "invoice")
    make_table(empty_database_url, "dataset")
    with pytest.raises(DatabaseUnrecognised, match=r"holds dataset\) and was left alone"):
        bring_up(empty_database_url)
    assert names_of_tables(empty_database_url) == {"invoice", "dataset"}


def test_in_a_schema_of_its_own_a_registry_minds_no_others(make_postgres_database: Callable[[], str]) -> None:
    url = make_postgres_database()
    make_table(url, "dataset")
    with connected(url) as engine, engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA models"))
    connect(f"{url}?options=-csearch_path%3Dmodels").dispose()
    assert names_of_tables(url) == {"dataset"}


# Many at once, and sudden ends


def open_at(moment: float, url: str, *, explicitly: bool = False) -> str:
    time.sleep(max(0, moment - time.time()))
    try:
        if explicitly:
            upgrade(url)
        connect(url).dispose()
    except DatabaseError as error:
        return str(error)
    return "opened"


def open_at_once(processes: ProcessPoolExecutor, url: str, **how: Any) -> list[str]:
    moment = time.time() + 0.3
    opening = [processes.submit(open_at, moment, url, **how) for _ in range(AT_ONCE)]
    return [each.result() for each in opening]


def test_eight_processes_open_an_empty_database_at_once(
    processes: ProcessPoolExecutor, empty_database_url: str, make_store: Callable[..., Store]
) -> None:
    assert open_at_once(processes, empty_database_url) == ["opened"] * AT_ONCE
    assert found_version(empty_database_url) == HEAD
    assert len(make_store().trusted_types()) > 0


def test_eight_processes_open_an_outdated_sqlite_at_once_and_one_upgrades_it(
    processes: ProcessPoolExecutor, outdated_sqlite: Path
) -> None:
    before = held(f"sqlite:///{outdated_sqlite}")
    assert open_at_once(processes, f"sqlite:///{outdated_sqlite}") == ["opened"] * AT_ONCE
    [copy] = copies_of(outdated_sqlite)
    assert held(f"sqlite:///{copy}") == before
    assert held(f"sqlite:///{outdated_sqlite}", ["ledger_entry"])["ledger_entry"] == before["ledger_entry"]


def test_eight_processes_upgrade_a_postgresql_at_once(
    processes: ProcessPoolExecutor, outdated_postgresql: str
) -> None:
    before = held(outdated_postgresql)
    assert open_at_once(processes, outdated_postgresql, explicitly=True) == ["opened"] * AT_ONCE
    assert held(outdated_postgresql, ["ledger_entry"])["ledger_entry"] == before["ledger_entry"]
    assert found_version(outdated_postgresql) == HEAD


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE ledger_entry", "CREATE TABLE model_artifact", f"INSERT INTO {VERSION_TABLE}"],
)
def test_the_next_opening_completes_what_a_killed_one_began(
    empty_database_url: str,
    make_empty_database: Callable[[], str],
    make_store: Callable[..., Store],
    statement: str,
) -> None:
    upgrade_and_die(empty_database_url, statement)
    assert names_of_tables(empty_database_url) == set()
    completed = make_store()
    whole = make_store(make_empty_database())
    assert described(completed.engine) == described(whole.engine)
    assert completed.models() == []
    assert [each.name for each in completed.trusted_types()] == [each.name for each in whole.trusted_types()]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE model_artifact",
        "INSERT INTO model_artifact",
        "UPDATE model_version",
        "uq_model_version_model_training_renewal",
        "CREATE TRIGGER signature_no_delete",
        f"UPDATE {VERSION_TABLE}",
    ],
)
def test_an_upgrade_that_is_killed_changes_nothing_and_the_next_is_whole(
    outdated: str, make_empty_database: Callable[[], str], make_store: Callable[..., Store], statement: str
) -> None:
    before = held(outdated)
    upgrade_and_die(outdated, statement)
    assert held(outdated) == before
    assert found_version(outdated) == "0002"
    upgrade(outdated)
    completed, whole = make_store(outdated), make_store(make_empty_database())
    assert described(completed.engine) == described(whole.engine)
    assert guards(completed.engine) == guards(whole.engine)
    assert [found.digest() for found in completed.versions("churn")] == [
        found.hash for found in completed.versions("churn")
    ]


def test_a_copy_that_is_killed_is_made_again(outdated_sqlite: Path) -> None:
    url = f"sqlite:///{outdated_sqlite}"
    before = held(url)
    begin_and_die(copy_and_wait, url)
    copy = outdated_sqlite.with_name("registry.schema-0002.db")
    assert copies_of(outdated_sqlite) == [copy.with_name(f"{copy.name}.part")]
    assert found_version(url) == "0002"
    connect(url).dispose()
    assert copies_of(outdated_sqlite) == [copy]
    assert held(f"sqlite:///{copy}") == before


def test_where_there_is_no_room_for_a_copy_there_is_no_upgrade(outdated_sqlite: Path) -> None:
    url = f"sqlite:///{outdated_sqlite}"
    before = held(url)
    command = [sys.executable, "-c", WITHOUT_ROOM, url]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, our own
    assert "UpgradeFailed" in ended.stderr
    assert "registry.schema-0002.db.part can't be written" in ended.stderr
    assert copies_of(outdated_sqlite) == []
    assert held(url) == before
    assert found_version(url) == "0002"


def upgrade_and_die(url: str, statement: str) -> None:
    """Upgrade the database in a process that is killed right after the *statement*."""
    begin_and_die(upgrade_and_wait, url, statement)


def upgrade_and_wait(there: Event, url: str, statement: str) -> None:
    @event.listens_for(Engine, "after_cursor_execute")
    def wait(_connection: Any, _cursor: Any, executed: str, *_others: Any) -> None:
        if statement in executed:
            there.set()
            time.sleep(PATIENCE)

    upgrade(url)


def copy_and_wait(there: Event, url: str) -> None:
    def wait(*_: Any) -> None:
        there.set()
        time.sleep(PATIENCE)

    setattr(shutil, "copymode", wait)  # noqa: B010, the last step of a copy, whose type says more
    connect(url)


def begin_and_die(work: Callable[..., None], *arguments: str) -> None:
    """Do the *work* in a process that is killed when it says that it is there."""
    there = forks().Event()
    process = forks().Process(target=work, args=(there, *arguments))
    process.start()
    assert there.wait(PATIENCE)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
