"""Writers that wait for one another, for a database that is gone, or for a process that hangs."""

from __future__ import annotations

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import DeadlockDetected
from sqlalchemy import event, text

from registry import database
from registry.exceptions import DatabaseUnavailable
from registry.submissions import Submission
from registry.tables import ModelVersion
from tests.integration.conftest import a_dataset, a_version_row, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry.store import Store

    MakeStore = Callable[..., Store]
    AVersion = Callable[..., ModelVersion]

HOLDER = """
import sys
from registry.database import writing
from registry.store import Origin, Store

store = Store.open(sys.argv[1], Origin(actor="bob"))
with writing(store.engine) as session:
    session.connection()
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/registry.db"


@pytest.fixture
def hold() -> Iterator[Callable[[str], Popen[str]]]:
    """Each call starts a process that is in the middle of a write transaction."""
    with ExitStack() as processes:

        def begin(url: str) -> Popen[str]:
            command = [sys.executable, "-c", HOLDER, url]
            process = processes.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True))  # noqa: S603
            processes.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            return process

        yield begin


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers on SQLite that give up after 3 seconds."""
    monkeypatch.setattr(database, "_SECONDS_TO_WRITE", 3)
    monkeypatch.setattr(database, "_SECONDS_FOR_A_TURN", 2.5)


@contextmanager
def within(least: float, most: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert least <= time.monotonic() - began <= most


# SQLite


@pytest.mark.usefixtures("impatient")
def test_a_writer_that_hangs_is_waited_for_in_bounded_time(
    open_store: MakeStore, a_version: AVersion, hold: Callable[[str], Popen[str]], sqlite_url: str
) -> None:
    store = open_store(sqlite_url)
    hold(sqlite_url).send_signal(signal.SIGSTOP)
    with (
        within(2.9, 5),
        pytest.raises(DatabaseUnavailable, match="writing to it for 3 s: if it hangs, end it"),
    ):
        a_version(store)


def test_a_writer_that_is_killed_lets_the_next_write_at_once(
    open_store: MakeStore, a_version: AVersion, hold: Callable[[str], Popen[str]], sqlite_url: str
) -> None:
    store, holder = open_store(sqlite_url), hold(sqlite_url)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(a_version, store)
        time.sleep(0.3)
        assert not waiting.done()
        holder.kill()
        with within(0, 2):
            assert waiting.result().number == 1


@pytest.mark.usefixtures("impatient")
def test_a_database_written_by_something_that_takes_no_turns_is_waited_for(
    open_store: MakeStore, a_version: AVersion, sqlite_url: str
) -> None:
    store = open_store(sqlite_url)
    with ThreadPoolExecutor(1) as thread, store.engine.connect() as other:
        other.execute(text("SELECT 1"))
        other.exec_driver_sql("COMMIT")
        other.exec_driver_sql("BEGIN IMMEDIATE")
        waiting = thread.submit(a_version, store)
        time.sleep(0.3)
        other.exec_driver_sql("COMMIT")
        other.exec_driver_sql("BEGIN")
        assert waiting.result().number == 1


@pytest.mark.parametrize("way", ["{0}/link.db", "file:{0}/link.db?uri=true", "{0}/folder/../link.db"])
def test_writers_share_one_queue_however_they_name_the_file(
    open_store: MakeStore, a_version: AVersion, tmp_path: Path, way: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "registry.db")
    a_version(open_store(f"sqlite:///{way.format(tmp_path)}"))
    assert [path.name for path in tmp_path.rglob("*-turn")] == ["registry.db-turn"]


def test_where_no_queue_can_be_made_writers_do_without(
    open_store: MakeStore, a_version: AVersion, sqlite_url: str, tmp_path: Path
) -> None:
    store = open_store(sqlite_url)
    a_version(store)
    (tmp_path / "registry.db-turn").unlink()
    (tmp_path / "registry.db-turn").mkdir()
    assert a_version(store).number == 2


def test_more_threads_than_connections_may_write_at_once(
    open_store: MakeStore, a_version: AVersion, sqlite_url: str
) -> None:
    store = open_store(sqlite_url)
    with ThreadPoolExecutor(24) as threads:
        made = list(threads.map(lambda _: a_version(store).number, range(24)))
    assert sorted(made) == list(range(1, 25))


# PostgreSQL


@pytest.fixture
def postgres_url(make_postgres_database: Callable[[], str]) -> str:
    return make_postgres_database()


def settings(store: Store) -> dict[str, str]:
    with store.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        return raw.info.get_parameters()


def test_a_connection_to_postgresql_notices_that_its_server_is_gone(
    open_store: MakeStore, postgres_url: str
) -> None:
    kept = {name: value for name, value in settings(open_store(postgres_url)).items() if "keep" in name}
    assert [kept[f"keepalives{each}"] for each in ("", "_idle", "_interval", "_count")] == [
        "1",
        "20",
        "5",
        "3",
    ]
    theirs = settings(open_store(f"{postgres_url}?keepalives_idle=77&tcp_user_timeout=9000"))
    assert (theirs["keepalives_idle"], theirs["tcp_user_timeout"]) == ("77", "9000")


def test_a_connection_that_was_cut_in_mid_transaction_is_replaced(
    open_store: MakeStore, a_version: AVersion, postgres_url: str
) -> None:
    store = open_store(postgres_url)
    a_version(store)
    with pytest.raises(DatabaseUnavailable, match="terminating connection"):
        write_until_cut(store, partial(end_all, postgres_url))
    assert a_version(store).number == 2
    end_all(postgres_url)  # while nobody uses them
    time.sleep(database.IDLE)
    assert a_version(store).number == 3


def write_until_cut(store: Store, cut: Callable[[], None]) -> None:
    with database.writing(store.engine) as session:
        session.connection().execute(text("UPDATE registered_model SET last_version = last_version + 1"))
        cut()
        session.connection().execute(text("SELECT 1"))


def end_all(url: str) -> None:
    """What an administrator does, or a server that shuts down."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_pool_without_a_free_connection_is_no_riddle(
    open_store: MakeStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(postgres_url)
    monkeypatch.setattr(store.engine.pool, "_timeout", 0.1)
    with ExitStack() as others:
        for _ in range(15):
            others.enter_context(store.engine.connect())
        with pytest.raises(DatabaseUnavailable, match="all of its connections are in use"):
            store.models()
    assert store.models() == []


def test_a_lock_that_something_else_keeps_is_waited_for_in_bounded_time(
    open_store: MakeStore, a_version: AVersion, postgres_url: str
) -> None:
    a_version(open_store(postgres_url))
    hurried = open_store(f"{postgres_url}?options=-c%20lock_timeout%3D500ms")
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:
        other.execute("SELECT * FROM registered_model FOR UPDATE")
        with within(0.4, 5), pytest.raises(DatabaseUnavailable, match="lock timeout"):
            a_version(hurried)
    assert a_version(hurried).number == 2


def test_a_write_that_was_broken_off_by_a_deadlock_begins_anew(
    open_store: MakeStore, a_version: AVersion, postgres_url: str
) -> None:
    store, row = open_store(postgres_url), ModelVersion(**a_version_row())
    a_version(store)
    met = errors(store)
    submission = Submission(version=row, trained_on=a_dataset(), request=digest("request"))
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as other, ThreadPoolExecutor(1) as thread:
        other.execute("SET deadlock_timeout = '20s'")  # not this one is to be broken off
        other.execute("SELECT * FROM model_artifact FOR UPDATE")
        waiting = thread.submit(store.append_version, submission)
        await_waiting(postgres_url)
        other.execute("SELECT * FROM registered_model FOR UPDATE")
        assert not waiting.done()
        other.commit()
        assert waiting.result().number == 2
    assert met == [DeadlockDetected.sqlstate]


def await_waiting(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        while connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is None:
            time.sleep(0.02)


def errors(store: Store) -> list[str]:
    """What PostgreSQL will have refused, by its codes."""
    codes: list[str] = []
    event.listen(store.engine, "handle_error", lambda met: codes.append(met.original_exception.sqlstate))
    return codes


def test_transactions_see_what_others_have_committed_whatever_is_usual_in_a_postgresql(
    open_store: MakeStore, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        usual = "ALTER DATABASE {} SET default_transaction_isolation = 'serializable'"
        connection.execute(sql.SQL(usual).format(sql.Identifier(connection.info.dbname)))
    with database.writing(open_store(postgres_url).engine) as session:
        assert session.connection().execute(text("SHOW transaction_isolation")).scalar() == "read committed"
