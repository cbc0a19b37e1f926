"""What `registry db` says of each database, and what it does to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, inspect, text

from registry import cli
from registry.database import connect
from registry.migrations import HEAD, VERSION_TABLE
from tests.outdated import connected, held, make_outdated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Each call runs `registry db` on the database at a URL; returned are its status and what it printed."""

    def command(url: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("MODEL_REGISTRY_DATABASE", url)
        monkeypatch.setenv("COLUMNS", "500")
        monkeypatch.setattr("sys.argv", ["registry", "db", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return command


def status(run: Callable[..., tuple[int, str, str]], url: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(url, "status", "--json")
    return code, json.loads(out)


def execute(url: str, *statements: str) -> None:
    with connected(url) as engine, engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_a_ready_database_tells_what_is_in_it(run: Any, empty_database_url: str) -> None:
    make_outdated(empty_database_url)
    run(empty_database_url, "upgrade")
    code, found = status(run, empty_database_url)
    assert code == 0
    assert found["condition"] == "ready"
    assert (found["version"], found["expected"], found["problem"]) == (HEAD, HEAD, None)
    assert found["server"].startswith(("SQLite 3.", "PostgreSQL 1"))
    assert {
        name: found["rows"][name] for name in ("model_version", "ledger_entry", "model_artifact", "pin")
    } == {
        "model_version": 4,
        "ledger_entry": 3,
        "model_artifact": 6,
        "pin": 0,
    }
    code, out, _ = run(empty_database_url, "status")
    assert code == 0
    assert f"ready (schema {HEAD}, this library's is {HEAD})" in out
    assert ["model_version", "4"] in [line.split() for line in out.splitlines()]


def test_an_empty_database_is_looked_at_and_stays_empty(
    run: Any, empty_database_url: str, tmp_path: Path
) -> None:
    code, found = status(run, empty_database_url)
    assert (code, found["condition"], found["version"], found["rows"]) == (0, "empty", None, {})
    assert list(tmp_path.iterdir()) == []
    engine = create_engine(empty_database_url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_an_outdated_sqlite_can_be_used_and_a_postgresql_can_not(run: Any, empty_database_url: str) -> None:
    make_outdated(empty_database_url)
    before = held(empty_database_url)
    code, found = status(run, empty_database_url)
    assert (found["condition"], found["version"]) == ("outdated", "0002")
    if empty_database_url.startswith("sqlite"):
        assert (code, found["problem"]) == (0, None)
    else:
        assert code == 1
        assert "`registry db upgrade`" in found["problem"]
    assert held(empty_database_url) == before


@pytest.mark.parametrize(
    ("condition", "statements"),
    [
        ("newer", [f"UPDATE {VERSION_TABLE} SET version_num = '9999'"]),  # noqa: S608, a constant
        ("foreign", [f"DROP TABLE {VERSION_TABLE}"]),
    ],
)
def test_what_cannot_be_used_is_told_with_the_remedy(
    run: Any, empty_database_url: str, condition: str, statements: list[str]
) -> None:
    connect(empty_database_url).dispose()
    execute(empty_database_url, *statements)
    code, found = status(run, empty_database_url)
    assert (code, found["condition"]) == (1, condition)
    refused, out, err = run(empty_database_url, "upgrade")
    assert (refused, out) == (1, "")
    assert " ".join(err.split()) == f"error: {found['problem']}"


def test_a_database_of_other_programs_becomes_a_registry_by_an_upgrade(
    run: Any, empty_database_url: str
) -> None:
    execute(empty_database_url, "CREATE TABLE invoice (number INTEGER)")
    code, found = status(run, empty_database_url)
    assert (code, found["condition"], found["rows"]) == (1, "shared", {})
    code, out, _ = run(empty_database_url, "upgrade")
    assert code == 0
    assert f"is a registry now, of schema {HEAD}" in out
    assert status(run, empty_database_url)[0] == 0


def test_an_upgrade_tells_what_it_did_and_where_the_copy_is(run: Any, empty_database_url: str) -> None:
    make_outdated(empty_database_url)
    code, out, _ = run(empty_database_url, "upgrade")
    assert code == 0
    assert f"was upgraded from schema 0002 to {HEAD}" in out
    assert ("schema-0002.db" in out) == empty_database_url.startswith("sqlite")
    code, out, _ = run(empty_database_url, "upgrade")
    assert code == 0
    assert "there was nothing to do" in out


def test_a_database_that_cannot_be_reached_is_a_line(run: Any) -> None:
    code, out, err = run("postgresql+psycopg://ada@127.0.0.1:1/models", "status")
    assert (code, out) == (1, "")
    assert err.startswith("error: database postgresql+psycopg://ada@127.0.0.1:1/models can't be used: ")


def test_db_alone_lists_its_commands(run: Any) -> None:
    code, out, err = run("sqlite:///unused.db")
    assert code == 2
    assert all(name in out + err for name in ("status", "upgrade", "roles"))
