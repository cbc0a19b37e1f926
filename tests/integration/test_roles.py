"""What a reader, a writer and the owner may do in a PostgreSQL that a team shares, each logged in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from sklearn.dummy import DummyClassifier
from sqlalchemy import make_url

from registry import Better, PromotionPolicy, Registry, RetentionPolicy, cli, storage
from registry.database import connect, upgrade
from registry.exceptions import InvalidName, PermissionMissing
from registry.migrations import VERSION_TABLE
from registry.roles import READER, WRITER, Roles
from registry.tables import Row
from tests.examples import fit, make_dataset
from tests.outdated import held, make_outdated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.postgres import PostgresServer

TRAINING = make_dataset(rows=200)
HOLDOUT = make_dataset(rows=500, seed=1, name="february")
MARCH = make_dataset(rows=100, seed=2, name="march")
POLICY = PromotionPolicy(checks=(Better("accuracy"),))
EAGER = RetentionPolicy(keep_last=0, keep_younger_than=timedelta(0))
MUTABLE = {
    *("model_artifact", "model_artifact_file", "pin", "model_tag", "version_tag", "trusted_type"),
    *("model_profile", "version_profile"),
}
EVIDENCE = sorted(Row.metadata.tables.keys() - MUTABLE)
OURS = sorted([*Row.metadata.tables, VERSION_TABLE])


@dataclass(frozen=True)
class Team:
    """The URLs by which each of a team reaches the same database, and the names of its group roles."""

    owner: str
    reader: str
    writer: str
    stranger: str
    roles: Roles


@pytest.fixture
def team(make_postgres_database: Callable[[], str]) -> Team:
    """A registry whose owner has granted the roles, with logins that are members of each, and of none."""
    return make_team(make_postgres_database())


@pytest.fixture(scope="module")
def onlookers(postgres_server: PostgresServer) -> Iterator[Team]:
    """A team whose registry stays empty, because nobody may do what they try."""
    name = f"test_{uuid4().hex}"
    postgres_server.create(name)
    yield make_team(postgres_server.url(name))
    postgres_server.drop(name)


def make_team(url: str) -> Team:
    mark = uuid4().hex[:12]  # the roles belong to all databases of the server
    owner, reader, writer, stranger = (f"{name}_{mark}" for name in ("owner", "reader", "writer", "stranger"))
    roles = Roles(f"readers_{mark}", f"writers_{mark}")
    run(url, f"CREATE ROLE {owner} LOGIN CREATEROLE", f"GRANT CREATE ON SCHEMA public TO {owner}")
    run(url, *(f"CREATE ROLE {name} LOGIN" for name in (reader, writer, stranger)))
    connect(as_role(url, owner)).dispose()
    run(as_role(url, owner), *roles.statements())
    run(as_role(url, owner), f"GRANT {roles.reader} TO {reader}", f"GRANT {roles.writer} TO {writer}")
    owner, reader, writer, stranger = (as_role(url, name) for name in (owner, reader, writer, stranger))
    return Team(owner, reader, writer, stranger, roles)


def as_role(url: str, name: str) -> str:
    return make_url(url).set(username=name).render_as_string()


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for statement in statements:
            connection.execute(statement)


def command(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["registry", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture
def open_as(tmp_path: Path) -> Iterator[Callable[[str], Registry]]:
    """Each call opens the registry at a URL, with artifacts that all share."""
    opened: list[Registry] = []

    def open_one(url: str) -> Registry:
        opened.append(Registry(url, artifacts=str(tmp_path / "artifacts"), actor="ada"))
        return opened[-1]

    yield open_one
    for registry in opened:
        registry.close()


def live(registry: Registry) -> None:
    """What a team does with a model: two versions, of which the second, better one is rolled back."""
    registry.register("churn", fit(TRAINING, DummyClassifier()), trained_on=TRAINING)
    registry.assign("churn@1", reason="the first")
    better = registry.register("churn", fit(TRAINING), trained_on=TRAINING, key="monday")
    registry.evaluate(better.reference, HOLDOUT, metrics=["accuracy"])
    registry.promote(registry.decide(better.reference, HOLDOUT, POLICY))
    registry.observe("churn@champion", metric="accuracy", value=0.7, rows=200, batch="monday")
    registry.roll_back("churn", reason="it fell")


def test_a_writer_lives_a_versions_whole_life(
    team: Team, open_as: Callable[[str], Registry], tmp_path: Path
) -> None:
    registry = open_as(team.writer)
    live(registry)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.bin").write_bytes(b"weights")
    registry.register_folder("weights", tmp_path / "weights", trained_on=TRAINING)
    registry.pin("churn@1", reason="for the auditors")
    registry.pin("churn@1", reason="for the auditors of this year")
    registry.unpin("churn@1")
    for subject in ("churn", "churn@1"):
        registry.tag(subject, {"team": "risk", "stage": "shadow"})
        registry.tag(subject, {"team": "growth"})
        registry.untag(subject, "stage")
    registry.clear("churn", reason="it retires")
    assert registry.resolve("churn@latest").number == 2
    assert [finding for finding in registry.verify() if finding.problem] == []


def test_a_writer_collects_what_nobody_needs(
    team: Team, open_as: Callable[[str], Registry], tmp_path: Path
) -> None:
    registry = open_as(team.writer)
    live(registry)
    (tmp_path / "orphan").write_bytes(b"no row will refer to this")
    storage.put(registry.backend, tmp_path / "orphan")
    run(team.writer, "UPDATE model_artifact SET leased_until = now() - interval '1 hour'")
    assert len(registry.collect_garbage().orphans) == 1
    assert {row.purged_by for row in registry.purge(EAGER)} == {"ada"}
    assert [finding for finding in registry.verify() if finding.problem] == []


def test_a_reader_reads_all_there_is(team: Team, open_as: Callable[[str], Registry]) -> None:
    live(open_as(team.writer))
    registry = open_as(team.reader)
    assert [model.name for model in registry.models()] == ["churn"]
    assert registry.load("churn@champion").version.number == 1
    assert [entry.kind for entry in registry.history("churn")] == ["assigned", "promoted", "rolled-back"]
    assert [each.batch for each in registry.observations("churn", metric="accuracy")] == ["monday"]
    assert registry.dossier("churn@2").evaluations
    assert len(registry.search(model="churn").versions) == 2
    assert registry.trusted()
    assert [finding for finding in registry.verify() if finding.problem] == []


WRITES: dict[str, Callable[[Registry], Any]] = {
    "register": lambda registry: registry.register("spam", fit(TRAINING), trained_on=TRAINING),
    "evaluate": lambda registry: registry.evaluate("churn@1", MARCH, metrics=["accuracy"]),
    "assign": lambda registry: registry.assign("churn@1", reason="by force"),
    "roll back": lambda registry: registry.roll_back("churn", reason="it fell"),
    "observe": lambda registry: registry.observe("churn@1", metric="accuracy", value=0.7, rows=9, batch="x"),
    "pin": lambda registry: registry.pin("churn@1", reason="for the auditors"),
    "unpin": lambda registry: registry.unpin("churn@1"),
    "tag": lambda registry: registry.tag("churn@1", {"team": "risk"}),
    "tag a model": lambda registry: registry.tag("churn", {"team": "risk"}),
    "untag": lambda registry: registry.untag("churn@1", "team"),
    "trust": lambda registry: registry.trust("sklearn.svm.SVC", reason="read"),
    "distrust": lambda registry: registry.distrust("numpy.dtype"),
}


def test_a_reader_writes_nothing(team: Team, open_as: Callable[[str], Registry]) -> None:
    live(open_as(team.writer))
    open_as(team.writer).assign("churn@2", reason="it was not to blame")
    registry = open_as(team.reader)
    for write in WRITES.values():
        with pytest.raises(
            PermissionMissing, match=r"only .* may do this in .*: permission denied for table"
        ):
            write(registry)


def test_who_is_refused_reads_whom_to_ask(team: Team, open_as: Callable[[str], Registry]) -> None:
    live(open_as(team.writer))
    with pytest.raises(PermissionMissing, match=f"only a member of the role that writes .{WRITER}"):
        open_as(team.reader).assign("churn@2", reason="by force")
    with pytest.raises(PermissionMissing, match=f"only a member of the role that reads .{READER}"):
        open_as(team.stranger)
    with pytest.raises(PermissionMissing, match="only the owner of the tables may do this"):
        open_as(team.writer).trust("sklearn.svm.SVC", reason="read")


def test_only_the_owner_makes_the_schema_and_upgrades_it(
    team: Team, make_postgres_database: Callable[[], str]
) -> None:
    url = make_postgres_database()
    writer = as_role(url, str(make_url(team.writer).username))
    with pytest.raises(PermissionMissing, match="only the owner of the schema may do this"):
        connect(writer)
    make_outdated(url)
    run(url, f"GRANT CREATE ON SCHEMA public TO {team.roles.writer}")
    run(url, f"GRANT SELECT ON {VERSION_TABLE} TO {team.roles.writer}")
    with pytest.raises(PermissionMissing, match="only the owner of the tables may do this"):
        upgrade(writer)
    [found] = held(url, [VERSION_TABLE])[VERSION_TABLE]
    assert found == {"version_num": "0002"}


def test_only_who_may_make_roles_makes_them(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", team.writer)
    assert command("db", "roles", "--reader", "newcomers", monkeypatch=monkeypatch) == 1
    assert "only a role that has CREATEROLE may do this" in capsys.readouterr().err


@pytest.mark.parametrize("table", EVIDENCE)
@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM {table}",
        "TRUNCATE {table} CASCADE",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "DROP TABLE {table} CASCADE",
    ],
)
def test_before_any_trigger_permissions_refuse(onlookers: Team, table: str, change: str) -> None:
    for url in (onlookers.writer, onlookers.reader):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(url, change.format(table=table))


def test_a_writer_updates_no_column_of_the_evidence_but_the_count_of_versions(
    onlookers: Team,
) -> None:
    allowed = {(table, column) for table, column in columns() if may_update(onlookers.writer, table, column)}
    assert {(table, column) for table, column in allowed if table not in MUTABLE} == {
        ("registered_model", "last_version")
    }
    assert not any(may_update(onlookers.reader, table, column) for table, column in columns())


def test_a_writer_trusts_nothing_and_sets_no_schema_version(onlookers: Team) -> None:
    for change in (
        "INSERT INTO trusted_type SELECT * FROM trusted_type",
        "UPDATE trusted_type SET name = name",
        "DELETE FROM trusted_type",
        f"UPDATE {VERSION_TABLE} SET version_num = version_num",  # noqa: S608, a constant
        f"DELETE FROM {VERSION_TABLE}",  # noqa: S608, a constant
        "CREATE TABLE another (id integer)",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(onlookers.writer, change)


def columns() -> list[tuple[str, str]]:
    return [(table.name, column.name) for table in Row.metadata.tables.values() for column in table.columns]


def may_update(url: str, table: str, column: str) -> bool:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        asked = connection.execute("SELECT has_column_privilege(%s, %s, 'UPDATE')", (table, column))
        return bool((asked.fetchone() or [None])[0])


def test_granting_again_takes_what_was_granted_beyond(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", team.owner)
    run(team.owner, f"GRANT UPDATE, DELETE ON ledger_entry TO {team.roles.writer}")
    names = "--reader", team.roles.reader, "--writer", team.roles.writer
    assert command("db", "roles", *names, monkeypatch=monkeypatch) == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(team.writer, "DELETE FROM ledger_entry")
    run(team.writer, "SELECT count(*) FROM ledger_entry")


def test_the_statements_can_be_read_before_someone_else_runs_them(
    make_postgres_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = make_postgres_database()
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", url)
    connect(url).dispose()
    assert command("db", "roles", "--sql", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    run(url, printed)
    for table in OURS:
        assert table in printed
    run(url, f"SET ROLE {READER}", "SELECT count(*) FROM ledger_entry")


@pytest.mark.parametrize("name", ["", "Readers", "pg_readers", "a b", "readers; DROP TABLE pin", "r" * 64])
def test_a_role_has_a_plain_name(name: str) -> None:
    with pytest.raises(InvalidName, match="is not a valid role"):
        Roles(reader=name)


def test_sqlite_has_no_roles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{tmp_path}/registry.db")
    assert command("db", "roles", monkeypatch=monkeypatch) == 1
    assert "no roles in a SQLite" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
