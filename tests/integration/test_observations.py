"""The streams of observations, on both databases: what several writers, retries and crashes leave of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.exc import DatabaseError

import registry
from registry import monitoring
from registry.artifacts.filesystem import FolderArtifactStore
from registry.backend import Backend
from registry.exceptions import AliasConflict, InvalidObservation, RegistryError
from registry.monitoring import Subject, alarms, observe
from registry.monitoring_policy import MonitoringPolicy
from registry.observations import Reigning
from registry.references import Reference
from registry.safeguards import candidates
from registry.suspicion import Contrast, Reading
from registry.tables import Evaluation, LedgerEntry, Metric, ModelVersion, Observation
from tests.integration.conftest import a_dataset, digest
from tests.integration.test_store import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.store import Store

    MakeStore = Callable[..., Store]
    AVersion = Callable[..., ModelVersion]
    AnEntry = Callable[..., LedgerEntry]
    MakeBackend = Callable[..., Backend]

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=36_500)
GOOD, BAD = 0.9, 0.5
CHAMPION = Subject(reference=Reference("churn", "champion"), metric="accuracy")
FIRST = replace(CHAMPION, reference=Reference("churn", 1))
STREAM = "churn", "champion", "accuracy"
WRITERS = 8


class Clock:
    """A clock that shows a time; at one of its readings, something happens."""

    def __init__(self) -> None:
        self.shows = LATER
        self.readings = 0
        self.at_reading: dict[int, Callable[[], Any]] = {}

    def __call__(self) -> datetime:
        self.readings += 1
        self.at_reading.get(self.readings, lambda: None)()
        return self.shows

    def before_writing(self, happens: Callable[[], Any]) -> None:
        """Let something happen after the next observation looked at the ledger, and before it writes."""
        self.at_reading = {self.readings + 2: happens}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_backend(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry, tmp_path: Path, clock: Clock
) -> MakeBackend:
    """Each call opens a registry; in a new one three versions were evaluated, and the first was assigned."""

    def make(*url: str) -> Backend:
        store = make_store(*url, clock=clock)
        if not store.models():
            for _ in range(3):
                evaluate(store, a_version(store))
            an_entry(store, 1)
        return Backend(store, FolderArtifactStore(tmp_path / "artifacts"))

    return make


@pytest.fixture
def backend(make_backend: MakeBackend) -> Backend:
    return make_backend()


def evaluate(store: Store, version: ModelVersion) -> None:
    identity: dict[str, Any] = {
        "model": "churn",
        "number": version.number,
        "dataset": a_dataset("february").fingerprint,
    }
    evaluation = Evaluation(**identity, rows=2_000, predictions=digest("predictions"), evaluated_by="ada")
    metrics = [
        Metric(**identity, slice="all", name=name, value=GOOD, rows=2_000)
        for name in ("accuracy", "recall_micro")
    ]
    store.lease({evaluation.predictions: 10})
    store.append_evaluation(evaluation, metrics, a_dataset("february"))


def batch(day: int, value: float = GOOD, **others: Any) -> Reading:
    usual: dict[str, Any] = {"batch": f"day {day}", "rows": 1_000, "at": NOON + timedelta(days=day)}
    return Reading(value=value, **usual | others)


def beside(target: int, *, champion_only: int = 0, target_only: int = 0) -> Contrast:
    return Contrast(target=target, champion_only=champion_only, target_only=target_only)


def stream(backend: Backend, metric: str = "accuracy") -> list[Observation]:
    return backend.observations.last("churn", "champion", metric, 100_000)


def facts(rows: list[Observation]) -> list[dict[str, Any]]:
    """All that the rows say, but for when they were written."""
    return [row.model_dump(exclude={"recorded_at"}) for row in rows]


# Many at once


def test_a_stream_has_no_gap_and_no_fork_when_many_write_at_once(make_backend: MakeBackend) -> None:
    def write(backend: Backend, writer: int) -> list[int]:
        mine = [batch(writer + WRITERS * turn, value) for turn, value in enumerate((GOOD, 0.87, 0.9, 0.93))]
        return [row.sequence for reading in mine for row in observe(backend, CHAMPION, [reading])]

    backends = [make_backend() for _ in range(WRITERS)]
    written = at_once([partial(write, backend, writer) for writer, backend in enumerate(backends)])
    assert [each for each in written if isinstance(each, RegistryError)] == []
    rows = stream(backends[0])
    assert [row.sequence for row in rows] == list(range(1, 4 * WRITERS + 1))
    assert [row.previous for row in rows] == [None, *range(1, 4 * WRITERS)]
    assert len({row.batch for row in rows}) == 4 * WRITERS


def test_whoever_writes_at_once_each_continues_from_the_state_before(
    make_backend: MakeBackend, make_database: Callable[[], str]
) -> None:
    backends = [make_backend() for _ in range(WRITERS)]
    at_once(
        [
            partial(observe, backend, CHAMPION, [batch(writer, 0.85 + writer / 100)])
            for writer, backend in enumerate(backends)
        ]
    )
    rows = stream(backends[0])
    alone = make_backend(make_database())
    for row in rows:
        observe(alone, CHAMPION, [Reading(batch=row.batch, value=row.value, rows=row.rows, at=row.at)])
    assert len(rows) == WRITERS
    assert facts(stream(alone)) == facts(rows)


def test_more_threads_than_there_are_connections_may_meet_an_alarm_at_once(backend: Backend) -> None:
    seen = at_once([partial(observe, backend, CHAMPION, [batch(day, BAD)]) for day in range(24)])
    assert [each for each in seen if isinstance(each, RegistryError)] == []
    assert [row.sequence for row in stream(backend)] == list(range(1, 25))


def test_a_batch_that_is_delivered_by_many_at_once_is_one_row(make_backend: MakeBackend) -> None:
    backends = [make_backend() for _ in range(WRITERS)]
    seen = at_once(
        [partial(observe, each, CHAMPION, [batch(1, GOOD - i / 100)]) for i, each in enumerate(backends)]
    )
    rows = [each[0] for each in seen if isinstance(each, list)]
    assert len(rows) == WRITERS
    assert facts(rows) == facts(stream(backends[0])) * WRITERS


# Delivered again


def test_a_batch_that_is_delivered_again_keeps_its_first_row(backend: Backend) -> None:
    [first] = observe(backend, CHAMPION, [batch(1)])
    observe(backend, CHAMPION, [batch(2)])
    [again] = observe(backend, CHAMPION, [batch(1, BAD, rows=7)])
    assert again == first
    assert len(stream(backend)) == 2


def test_a_batch_that_is_there_twice_in_one_call_is_one_row(backend: Backend) -> None:
    rows = observe(backend, CHAMPION, [batch(1), batch(2), batch(1, BAD), batch(3), batch(2, BAD)])
    assert [row.sequence for row in rows] == [1, 2, 1, 3, 2]
    assert [(row.batch, row.value) for row in stream(backend)] == [(f"day {day}", GOOD) for day in (1, 2, 3)]


def test_a_batch_counts_once_even_when_another_version_rules_by_then(
    backend: Backend, an_entry: AnEntry
) -> None:
    an_entry(backend.rows, 2)
    [first] = observe(backend, CHAMPION, [batch(1)])
    an_entry(backend.rows, 1, kind="rolled-back")
    assert observe(backend, CHAMPION, [batch(1, BAD)]) == [first]
    assert observe(backend, FIRST, [batch(1, BAD)]) == [first]
    assert [(row.version, row.batch) for row in stream(backend)] == [(2, "day 1")]


def test_a_batch_counts_once_in_each_stream(backend: Backend, an_entry: AnEntry) -> None:
    an_entry(backend.rows, 1, alias="canary")
    subjects = [
        CHAMPION,
        replace(CHAMPION, metric="recall_micro"),
        replace(CHAMPION, reference=Reference("churn", "canary")),
    ]
    rows = [observe(backend, subject, [batch(1)])[0] for subject in subjects]
    assert [(row.alias, row.metric, row.sequence) for row in rows] == [
        ("champion", "accuracy", 1),
        ("champion", "recall_micro", 1),
        ("canary", "accuracy", 1),
    ]


def test_more_batches_than_one_statement_has_room_for_are_known(backend: Backend) -> None:
    days = [batch(day) for day in range(1, 1_202)]
    first = observe(backend, CHAMPION, days)
    assert observe(backend, CHAMPION, [*days, batch(2_000)])[:-1] == first
    assert len(stream(backend)) == 1_202


# All or nothing


@pytest.mark.parametrize(
    "wrong",
    [batch(2, 1.5), batch(2, float("nan")), batch(2, rows=0), batch(2, batch=""), batch(2, batch="b" * 257)],
    ids=["no score", "no number", "no rows", "no name", "no end of a name"],
)
def test_batches_are_recorded_together_or_not_at_all(backend: Backend, wrong: Reading) -> None:
    with pytest.raises(InvalidObservation):
        observe(backend, CHAMPION, [batch(1), wrong, batch(3)])
    assert stream(backend) == []


def test_what_the_database_refuses_takes_the_batches_before_it_along(backend: Backend) -> None:
    watch = monitoring._watch(backend, CHAMPION)
    with pytest.raises(DatabaseError, match="batch_has_a_length"):
        backend.observations.append(watch, [batch(1), batch(2, batch="b" * 257)])
    assert stream(backend) == []


@pytest.mark.parametrize("change", ["UPDATE observation SET value = 1", "DELETE FROM observation"])
def test_an_observation_stays_as_it_was_written(backend: Backend, change: str) -> None:
    [row] = observe(backend, CHAMPION, [batch(1)])
    with (
        pytest.raises(DatabaseError, match="never changed"),
        backend.rows.engine.begin() as connection,
    ):
        connection.execute(text(change))
    assert stream(backend) == [row]


# Moves between looking and writing


def test_a_promotion_meanwhile_makes_the_batch_that_of_the_version_in_force(
    backend: Backend, an_entry: AnEntry, clock: Clock
) -> None:
    clock.before_writing(lambda: an_entry(backend.rows, 2))
    [row] = observe(backend, CHAMPION, [batch(1)])
    assert (row.version, row.since, row.late) == (2, 2, False)


def test_a_promotion_meanwhile_makes_the_batch_of_a_version_that_is_named_late(
    backend: Backend, an_entry: AnEntry, clock: Clock
) -> None:
    observe(backend, FIRST, [batch(1)])
    clock.before_writing(lambda: an_entry(backend.rows, 2))
    [row] = observe(backend, FIRST, [batch(2, BAD)])
    assert (row.version, row.since, row.late) == (1, 1, True)
    assert (row.status, row.healthy, row.served) == ("healthy", 1, 1)


def test_a_version_that_comes_back_meanwhile_is_observed_in_its_new_reign(
    backend: Backend, an_entry: AnEntry, clock: Clock
) -> None:
    an_entry(backend.rows, 2)
    clock.before_writing(lambda: an_entry(backend.rows, 1, kind="rolled-back"))
    [row] = observe(backend, FIRST, [batch(1)])
    assert (row.version, row.since, row.late) == (1, 3, False)


def test_a_version_that_went_and_came_meanwhile_is_observed_in_its_new_reign(
    backend: Backend, an_entry: AnEntry, clock: Clock
) -> None:
    def go_and_come() -> None:
        an_entry(backend.rows, 2)
        an_entry(backend.rows, 1, kind="rolled-back")

    clock.before_writing(go_and_come)
    [row] = observe(backend, CHAMPION, [batch(1)])
    assert (row.version, row.since) == (1, 3)


def test_a_note_meanwhile_disturbs_nobody(backend: Backend, an_entry: AnEntry, clock: Clock) -> None:
    before = clock.readings
    clock.before_writing(lambda: an_entry(backend.rows, 2, kind="held"))
    observe(backend, CHAMPION, [batch(1)])
    assert clock.readings - before == 3  # by the note, and twice by an observation that was tried once


def test_an_alias_that_never_rests_is_given_up(backend: Backend, an_entry: AnEntry, clock: Clock) -> None:
    moving = count(2)

    def move() -> None:
        if not moved:
            moved.append(1)
            an_entry(backend.rows, 1 + next(moving) % 3)
            moved.clear()

    moved: list[int] = []
    clock.at_reading = dict.fromkeys(range(clock.readings + 2, 1_000), move)
    with pytest.raises(AliasConflict, match="made against version"):
        observe(backend, CHAMPION, [batch(1)])
    assert stream(backend) == []


# Reading


def test_the_newest_observation_is_that_of_the_stream_or_of_one_version(
    backend: Backend, an_entry: AnEntry
) -> None:
    observations = backend.observations
    assert observations.newest(*STREAM) is None
    observe(backend, CHAMPION, [batch(1), batch(2)])
    an_entry(backend.rows, 2)
    observe(backend, CHAMPION, [batch(3)])
    observe(backend, replace(CHAMPION, metric="recall_micro"), [batch(4)])
    newest = [observations.newest(*STREAM, version) for version in (None, 1, 2, 3)]
    assert [row and row.batch for row in newest] == ["day 3", "day 2", "day 3", None]
    of_each = observations.newest_of_each("churn", "champion")
    assert [(row.metric, row.batch) for row in of_each] == [("accuracy", "day 3"), ("recall_micro", "day 4")]
    assert observations.newest_of_each("churn", "canary") == []
    assert observations.newest("fraud", "champion", "accuracy") is None


def test_the_last_observations_are_read_oldest_first(backend: Backend) -> None:
    written = observe(backend, CHAMPION, [batch(day) for day in range(5)])
    assert backend.observations.last(*STREAM, 2) == written[-2:]
    assert backend.observations.last(*STREAM, 50) == written
    assert backend.observations.last(*STREAM, 0) == []


def test_an_observation_is_found_by_its_batch_and_by_its_place(backend: Backend) -> None:
    [first, second] = observe(backend, CHAMPION, [batch(1), batch(2)])
    assert backend.observations.of_batch(*STREAM, "day 1") == first
    assert backend.observations.of_batch(*STREAM, "day 3") is None
    assert backend.observations.of_batch("churn", "champion", "recall_micro", "day 1") is None
    assert backend.observations.at(first, 2) == second


def test_what_was_observed_is_read_as_it_was_written(backend: Backend, make_backend: MakeBackend) -> None:
    subject = replace(CHAMPION, policy=MonitoringPolicy(tolerance=0.02))
    readings = [
        batch(1, 0.1 + 0.2, rows=2**40),
        batch(2, rows=2**40, contrast=beside(2, champion_only=2**33)),
    ]
    written = observe(backend, subject, readings)
    assert facts(stream(make_backend())) == facts(written)


def test_service_is_counted_over_all_reigns_by_the_metric_that_counted_most(
    backend: Backend, an_entry: AnEntry
) -> None:
    assert backend.observations.service("churn", "champion", 1) is None
    observe(backend, CHAMPION, [batch(1), batch(2)])
    observe(backend, replace(CHAMPION, metric="recall_micro"), [batch(1)])
    an_entry(backend.rows, 2)
    an_entry(backend.rows, 1, kind="rolled-back")
    observe(backend, CHAMPION, [batch(3)])
    assert [backend.observations.service("churn", "champion", version) for version in (1, 2)] == [3, 0]
    assert backend.observations.service("churn", "canary", 1) is None


def test_recovery_is_counted_in_one_reign_by_the_metric_that_counted_least(
    backend: Backend, an_entry: AnEntry
) -> None:
    first = Reigning("churn", "champion", 1, 1)
    assert backend.observations.recovery(first) == 0
    observe(backend, CHAMPION, [batch(1), batch(2), batch(3)])
    assert backend.observations.recovery(first) == 3
    observe(backend, replace(CHAMPION, metric="recall_micro"), [batch(1)])
    assert backend.observations.recovery(first) == 1
    an_entry(backend.rows, 2)
    assert backend.observations.recovery(Reigning("churn", "champion", 2, 2)) == 0
    assert backend.observations.recovery(first) == 1


def test_the_last_target_is_that_beside_this_version_in_this_reign_and_lately(
    backend: Backend, an_entry: AnEntry, clock: Clock
) -> None:
    an_entry(backend.rows, 2)
    reign = Reigning("churn", "champion", 2, 2)
    observe(backend, CHAMPION, [batch(1), batch(2, contrast=beside(3))])
    observe(backend, CHAMPION, [batch(3, contrast=beside(1)), batch(4)])
    last_target = backend.observations.last_target
    assert last_target(reign, clock.shows) == 1
    assert last_target(reign, clock.shows + timedelta(microseconds=1)) is None
    assert last_target(replace(reign, since=1), NOON) is None
    assert last_target(replace(reign, version=3), NOON) is None
    assert last_target(replace(reign, alias="canary"), NOON) is None


def test_a_decision_was_announced_as_often_as_the_server_accepted_its_event(backend: Backend) -> None:
    [decided, other] = observe(backend, CHAMPION, [batch(1), batch(2)])
    assert backend.observations.announcements(decided) == []
    for attempt in (1, 2):
        assert backend.observations.announce(decided, "degraded").attempt == attempt
    assert backend.observations.announce(other, "degraded").attempt == 1
    told = backend.observations.announcements(decided)
    assert [(row.sequence, row.attempt, row.announced_by) for row in told] == [(1, 1, "ada"), (1, 2, "ada")]


def test_what_is_announced_by_several_at_once_is_numbered_through(make_backend: MakeBackend) -> None:
    backends = [make_backend() for _ in range(4)]
    [decided] = observe(backends[0], CHAMPION, [batch(1)])
    made = at_once([partial(each.observations.announce, decided, "degraded") for each in backends])
    assert len(made) == 4
    told = backends[0].observations.announcements(decided)
    assert [row.attempt for row in told] == [1, 2, 3, 4]


# Crashes


OBSERVE_AND_WAIT = """
import sys, time
from datetime import datetime, timedelta
from sqlalchemy import Engine, event
from tests.integration.test_observations import CHAMPION, batch
from registry.backend import Backend
from registry.monitoring import observe
from registry.store import Origin, Store

@event.listens_for(Engine, "after_cursor_execute")
def wait(connection, cursor, statement, *others):
    if statement.startswith("INSERT INTO observation"):
        print("there", flush=True)
        time.sleep(60)

store = Store.open(sys.argv[1], Origin(actor="ada"))
object.__setattr__(store, "clock", lambda: datetime.fromisoformat(sys.argv[2]))
observe(Backend(store, None), CHAMPION, [batch(3, 0.8), batch(4, 0.85)])
"""


def test_a_killed_observer_leaves_nothing_half_written_and_the_next_goes_on_as_if_it_had_not_been(
    make_backend: MakeBackend, make_database: Callable[[], str], database_url: str
) -> None:
    backend, uninterrupted = make_backend(), make_backend(make_database())
    before = observe(backend, CHAMPION, [batch(1), batch(2, 0.86)])
    observe_and_die(database_url)
    assert stream(backend) == before
    observe(backend, CHAMPION, [batch(3, 0.8), batch(4, 0.85)])
    observe(backend, CHAMPION, [batch(5)])
    values = (GOOD, 0.86, 0.8, 0.85, GOOD)
    observe(uninterrupted, CHAMPION, [batch(day, value) for day, value in enumerate(values, start=1)])
    assert facts(stream(backend)) == facts(stream(uninterrupted))


def observe_and_die(url: str) -> None:
    """Observe in a process that is killed when its rows are written and not committed."""
    root = Path(registry.__file__).parents[1]
    command = [sys.executable, "-c", OBSERVE_AND_WAIT, url, LATER.isoformat()]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603, our own
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.kill()
    assert process.returncode < 0


def test_one_call_of_many_batches_leaves_what_many_calls_of_one_do(
    make_backend: MakeBackend, make_database: Callable[[], str]
) -> None:
    at_a_time, together = make_backend(), make_backend(make_database())
    days = [batch(day, 0.9 - day / 150) for day in range(12)]
    for day in days:
        observe(at_a_time, CHAMPION, [day])
    observe(together, CHAMPION, days)
    assert facts(stream(at_a_time)) == facts(stream(together))
    assert {row.status for row in stream(together)} > {"healthy"}


# What it costs


@dataclass
class Statements:
    """The SQL that an engine was given."""

    seen: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        self.seen.append((statement, parameters))

    @property
    def queries(self) -> list[tuple[str, Any]]:
        return [(query, values) for query, values in self.seen if query.startswith("SELECT")]


@pytest.fixture
def statements(backend: Backend) -> Iterator[Statements]:
    heard = Statements()
    event.listen(backend.rows.engine, "before_cursor_execute", heard)
    yield heard
    event.remove(backend.rows.engine, "before_cursor_execute", heard)


def grow(backend: Backend, length: int) -> None:
    """Make the stream *length* observations long, by copies of its newest."""
    [newest] = backend.observations.last(*STREAM, 1)
    rows = [
        newest.model_dump() | {"sequence": number, "previous": number - 1, "batch": f"copy {number}"}
        for number in range(newest.sequence + 1, length + 1)
    ]
    with backend.rows.engine.begin() as connection:
        connection.execute(insert(Observation), rows)
    with backend.rows.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def rows_read(backend: Backend, query: str, values: Any) -> float:
    """How many rows PostgreSQL looks at to answer, those that it throws away among them."""
    with backend.rows.engine.connect() as connection:
        explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", values).scalar_one()
    pending, found = [explained[0]["Plan"]], 0
    while pending:
        node = pending.pop()
        pending += node.get("Plans", [])
        found += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return found


def steps_taken(backend: Backend, query: str, values: Any) -> int:
    """How many hundreds of instructions SQLite's machine runs to answer, rounded up."""
    hundreds = count()
    with sqlite3.connect(str(backend.rows.engine.url.database)) as connection:
        connection.set_progress_handler(lambda: next(hundreds) * 0, 100)
        connection.execute(query, values).fetchall()
    connection.close()
    return next(hundreds)


def test_the_ten_thousandth_observation_costs_what_the_tenth_did(
    backend: Backend, statements: Statements
) -> None:
    def cost(day: int) -> tuple[int, list[float]]:
        statements.seen.clear()
        observe(backend, CHAMPION, [batch(day)])
        asked = len(statements.seen)
        read = steps_taken if backend.rows.engine.dialect.name == "sqlite" else rows_read
        return asked, [read(backend, *query) for query in statements.queries if "FOR UPDATE" not in query[0]]

    observe(backend, CHAMPION, [batch(day) for day in range(1, 10)])
    few, little = cost(10)
    grow(backend, 9_999)
    many, much = cost(20_000)
    assert [row.sequence for row in backend.observations.last(*STREAM, 1)] == [10_000]
    assert many == few <= 16
    assert sum(much) <= sum(little) + 5


@pytest.mark.parametrize("make_database", ["sqlite"], indirect=True)  # PostgreSQL scans what is short
def test_every_query_on_the_way_of_an_observation_and_of_a_rollback_uses_an_index(
    backend: Backend, an_entry: AnEntry, statements: Statements
) -> None:
    an_entry(backend.rows, 2)
    an_entry(backend.rows, 1, kind="rolled-back")
    an_entry(backend.rows, 3)
    observe(backend, CHAMPION, [batch(1), batch(2, contrast=beside(1))])
    statements.seen.clear()
    reign = Reigning("churn", "champion", 3, 4)
    observe(backend, CHAMPION, [batch(3, BAD)])
    list(candidates(backend, reign, served=30))
    alarms(backend, "churn")
    backend.observations.recovery(reign)
    backend.observations.last_target(reign, NOON)
    backend.observations.of_batch(*STREAM, "day 1")
    backend.observations.last(*STREAM, 30)
    assert len(statements.queries) > 20
    with backend.rows.engine.connect() as connection:
        plans = {
            query: [step[-1] for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)]
            for query, values in statements.queries
        }
    scans = {
        query: step
        for query, steps in plans.items()
        for step in steps
        if step.startswith("SCAN") and "CONSTANT ROW" not in step and "subquery" not in step
    }
    assert scans == {}
    sorted_ = {query: steps for query, steps in plans.items() if "USE TEMP B-TREE FOR ORDER BY" in steps}
    assert [query for query in sorted_ if "observation" in query] == []
