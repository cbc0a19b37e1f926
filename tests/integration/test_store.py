from __future__ import annotations

import socket
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from threading import Barrier
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import example, given, settings
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.exc import IntegrityError

from registry.exceptions import (
    AliasConflict,
    AliasNotSet,
    AlreadyInForce,
    DatabaseUnavailable,
    DatabaseUnrecognised,
    DatasetNotFound,
    KeyConflict,
    ModelNotFound,
    ReasonMissing,
    RegistryError,
    VersionNotFound,
)
from registry.ledger import Reign, fold
from registry.migrations import VERSION_TABLE
from registry.references import Reference
from registry.store import Origin, Store
from registry.tables import Evaluation, LedgerEntry, Metric, ModelVersion
from tests.forks import forks
from tests.integration.conftest import a_dataset, a_version_row, append_row, digest
from tests.lives import a_proposal, lives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.servers.postgres import PostgresServer

    MakeStore = Callable[..., Store]
    AVersion = Callable[..., ModelVersion]
    AnEntry = Callable[..., LedgerEntry]

T = TypeVar("T")
CHAMPION = Reference("churn", "champion")
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    """A clock that shows what it is set to."""

    def __init__(self) -> None:
        self.shows = NOON

    def __call__(self) -> datetime:
        return self.shows


def at_once(actions: Sequence[Callable[[], T]]) -> list[T | RegistryError]:
    """Run each of the *actions* in a thread, all at the same moment; an error of the registry is a result."""
    barrier = Barrier(len(actions))

    def run(action: Callable[[], T]) -> T | RegistryError:
        barrier.wait()
        try:
            return action()
        except RegistryError as error:
            return error

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(run, actions))


def chain_of(entries: list[LedgerEntry]) -> list[tuple[int, str]]:
    return [(entry.sequence, entry.previous_hash) for entry in entries]


# What other processes do


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(8, mp_context=forks()) as pool:
        list(pool.map(time.sleep, [0.2] * 8))  # they are all there
        yield pool


def open_at(moment: float, url: str) -> list[str]:
    time.sleep(max(0, moment - time.time()))
    store = Store.open(url, Origin(actor="ada"))
    tables = inspect(store.engine).get_table_names()
    store.engine.dispose()
    return tables


def register_at(moment: float, url: str, count: int) -> list[int]:
    store = Store.open(url, Origin(actor="ada"))
    rows = [ModelVersion(**a_version_row()) for _ in range(count)]
    time.sleep(max(0, moment - time.time()))
    numbers = [append_row(store, row).number for row in rows]
    store.engine.dispose()
    return numbers


# Registering


def test_numbers_have_no_gap_when_threads_register_at_once(
    make_store: MakeStore, a_version: AVersion
) -> None:
    store = make_store()
    made = at_once([lambda: [a_version(store).number for _ in range(5)]] * 8)
    numbers = [number for each in made if isinstance(each, list) for number in each]
    assert sorted(numbers) == list(range(1, 41))
    assert [version.number for version in store.versions("churn")] == sorted(numbers)


def test_numbers_have_no_gap_when_processes_register_at_once(
    make_store: MakeStore, database_url: str, processes: ProcessPoolExecutor
) -> None:
    store, moment = make_store(), time.time() + 0.5
    made = [processes.submit(register_at, moment, database_url, 10) for _ in range(4)]
    numbers = [number for each in made for number in each.result()]
    assert sorted(numbers) == list(range(1, 41))
    assert store.resolve(Reference("churn", "latest")).number == 40


def test_versions_are_read_page_by_page(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    for model in ["churn", "fraud"] * 5:
        a_version(store, model=model)
    pages, below = [], None
    while page := store.page_of_versions("churn", most=2, below=below):
        pages.append([version.reference for version in page])
        below = page[-1].number
    assert pages == [["churn@5", "churn@4"], ["churn@3", "churn@2"], ["churn@1"]]
    with pytest.raises(ModelNotFound):
        store.page_of_versions("chrun", most=2)


def test_each_model_numbers_its_own_versions(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    numbers = [a_version(store, model=model).number for model in ("churn", "fraud", "churn")]
    assert numbers == [1, 1, 2]
    assert [(model.name, model.last_version) for model in store.models()] == [("churn", 2), ("fraud", 1)]


def test_a_registration_that_fails_takes_no_number(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    a_version(store)
    with pytest.raises(IntegrityError):
        a_version(store, artifact="not a digest")
    assert a_version(store).number == 2


def test_models_that_are_new_at_once_may_share_a_dataset_that_is_new(
    make_store: MakeStore, a_version: AVersion
) -> None:
    store = make_store()
    made = at_once([partial(a_version, store, model=f"model-{i}") for i in range(8)])
    assert [version.number for version in made if isinstance(version, ModelVersion)] == [1] * 8


def test_a_key_stands_for_one_version(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    first, again = (a_version(store, key="monday") for _ in range(2))
    assert (again.number, again.training) == (first.number, first.training)
    assert len(store.versions("churn")) == 1


def test_a_key_stands_for_one_version_even_when_attempts_overlap(
    make_store: MakeStore, a_version: AVersion
) -> None:
    store = make_store()
    made = at_once([lambda: a_version(store, key="monday").number] * 8)
    assert made == [1] * 8
    assert len(store.versions("churn")) == 1


def test_a_key_belongs_to_its_model(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    a_version(store)
    assert a_version(store, key="monday").number == 2
    assert a_version(store, key="monday", model="fraud").number == 1


def test_a_key_does_not_serve_another_request(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    a_version(store, key="monday", request=digest("january"))
    with pytest.raises(KeyConflict, match="'monday' already stands for churn@1"):
        a_version(store, key="monday", request=digest("february"))
    assert len(store.versions("churn")) == 1


def test_an_identical_training_is_the_same_version(make_store: MakeStore, a_version: AVersion) -> None:
    store, training = make_store(), digest("training")
    made = at_once([lambda: a_version(store, training=training).number] * 8)
    assert made == [1] * 8
    found = store.trained_alike("churn", training)
    assert found is not None
    assert found.number == 1
    assert store.trained_alike("fraud", training) is None


def test_a_key_also_stands_for_a_version_that_an_identical_training_made(
    make_store: MakeStore, a_version: AVersion
) -> None:
    store, training = make_store(actor="grace"), digest("training")
    a_version(store, training=training)
    assert a_version(store, training=training, key="monday").number == 1
    assert a_version(store, key="monday").number == 1
    registration = store.registered_as("churn", "monday")
    assert registration is not None
    assert registration.registered_by == "grace"


def test_what_was_registered_is_read_as_it_was_written(make_store: MakeStore, a_version: AVersion) -> None:
    row = {"params": {"C": 0.1, "solver": "é"}, "artifact_bytes": 2**40, "git_dirty": True}
    a_version(make_store(), **row)
    read = make_store().version("churn", 1)
    assert {name: getattr(read, name) for name in row} == row
    assert read.registered_at == a_version_row()["registered_at"]
    assert read.reference == "churn@1"


# Evaluating


def evaluated(store: Store, version: ModelVersion, **metrics: float) -> Evaluation:
    dataset = a_dataset("february")
    identity: dict[str, Any] = {
        "model": version.model,
        "number": version.number,
        "dataset": dataset.fingerprint,
    }
    evaluation = Evaluation(**identity, rows=10, predictions=digest("predictions"), evaluated_by="ada")
    rows = [
        Metric(**identity, slice="all", name=name, value=value, rows=10) for name, value in metrics.items()
    ]
    store.lease({evaluation.predictions: 10})
    return store.append_evaluation(evaluation, rows, dataset)


def test_metrics_are_added_to_an_evaluation_and_never_changed(
    make_store: MakeStore, a_version: AVersion
) -> None:
    store = make_store()
    version = a_version(store)
    assert evaluated(store, version, accuracy=0.9).metrics == {"accuracy": 0.9}
    assert evaluated(store, version, accuracy=0.5, r2=-1.0).metrics == {"accuracy": 0.9, "r2": -1.0}
    [evaluation] = store.evaluations(version)
    assert evaluation.metrics == {"accuracy": 0.9, "r2": -1.0}


def test_the_same_evaluation_may_be_written_at_once(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    version = a_version(store)
    made = at_once([lambda: evaluated(store, version, accuracy=0.9).metrics] * 6)
    assert made == [{"accuracy": 0.9}] * 6


# Deciding


def test_of_promoters_that_decided_against_the_same_reign_exactly_one_wins(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    numbers = [a_version(store).number for _ in range(16)]
    for round_ in range(20):
        reign = store.reign("churn", "champion")
        challengers = numbers[:8] if round_ % 2 else numbers[8:]
        results = at_once(
            [partial(an_entry, store, number, kind="promoted", against=reign) for number in challengers]
        )
        [won] = [result for result in results if isinstance(result, LedgerEntry)]
        assert [type(result) for result in results if result is not won] == [AliasConflict] * 7
        assert store.resolve(CHAMPION).number == won.version
    history = store.history("churn", "champion")
    assert [entry.sequence for entry in history] == list(range(1, 21))
    assert all(entry.hash == entry.digest() for entry in history)


def test_candidates_held_meanwhile_do_not_disturb_a_promotion(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    numbers = [a_version(store).number for _ in range(8)]
    an_entry(store, 1)
    reign = store.reign("churn", "champion")
    held = [partial(an_entry, store, number, kind="held") for number in numbers[2:]]
    results = at_once([*held, partial(an_entry, store, 2, kind="promoted", against=reign)])
    assert {type(result) for result in results} == {LedgerEntry}
    assert store.aliases("churn") == {"champion": 2}
    history = store.history("churn", "champion")
    assert [entry.previous_hash for entry in history[1:]] == [entry.hash for entry in history[:-1]]
    assert [entry.version for entry in history if entry.moved] == [1, 2]


def test_a_proposal_under_one_key_is_written_once(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    a_version(store)
    results = at_once([lambda: an_entry(store, 1, key="once").sequence] * 4)
    assert results == [1] * 4
    assert an_entry(store, 1, key="once", against=Reign(version=7, since=7)).sequence == 1
    assert len(store.history("churn")) == 1


def test_a_key_finds_its_entry_under_its_alias_alone(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    a_version(store)
    an_entry(store, 1, key="once")
    an_entry(store, 1, key="once", alias="canary")
    found = store.entry("churn", "canary", "once")
    assert found is not None
    assert found.alias == "canary"
    assert store.entry("churn", "champion", "twice") is None


def test_what_moves_nothing_or_says_not_why_is_not_written(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    a_version(store)
    an_entry(store, 1)
    with pytest.raises(AlreadyInForce):
        an_entry(store, 1)
    with pytest.raises(ReasonMissing):
        an_entry(store, 1, alias="canary", reason=" ")
    with pytest.raises(ModelNotFound):
        an_entry(store, 1, model="fraud")
    assert len(store.history("churn")) == 1


def test_an_entry_hashes_the_same_when_it_is_read(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store(clock=lambda: datetime.fromisoformat("2026-03-03T12:00:00.000001+09:00"))
    a_version(store)
    evidence = {"z": 0.1 + 0.2, "a": [1e300, -0.0, 2**70, None, True], "é": "\u2028"}
    written = an_entry(store, 1, evidence=evidence, dataset=a_dataset().fingerprint, key="once")
    [read] = make_store().history("churn")
    assert read.digest() == read.hash == written.hash
    assert read.evidence == evidence


# Looking


def test_an_alias_is_resolved_as_of_a_time(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    clock = Clock()
    store = make_store(clock=clock)
    for _ in range(3):
        a_version(store)
    for kind, number in [("promoted", 1), ("promoted", 2), ("held", 3), ("cleared", 2), ("assigned", 1)]:
        an_entry(store, number, kind=kind)
        clock.shows += HOUR

    def in_force(hours: float) -> int | None:
        with suppress(AliasNotSet):
            return store.resolve(CHAMPION, NOON + hours * HOUR).number
        return None

    instant = timedelta(microseconds=1) / HOUR
    asked = [-1, -instant, 0, 0.5, 1 - instant, 1, 1.5, 2.5, 3 - instant, 3, 3.5, 4, 1000]
    assert [in_force(hours) for hours in asked] == [None, None, 1, 1, 1, 2, 2, 2, 2, None, None, 1, 1]
    assert store.resolve(CHAMPION).number == 1
    assert store.resolve(CHAMPION, datetime.fromisoformat("2026-03-03T22:30:00+09:00")).number == 2


def test_a_clock_set_back_does_not_change_what_was_in_force(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    clock = Clock()
    store = make_store(clock=clock)
    a_version(store), a_version(store)
    an_entry(store, 1)
    clock.shows -= HOUR
    an_entry(store, 2)
    assert store.resolve(CHAMPION, NOON).number == 2
    with pytest.raises(AliasNotSet):
        store.resolve(CHAMPION, NOON - HOUR / 2)


def test_what_does_not_exist_is_named(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    a_version(store)
    with pytest.raises(VersionNotFound, match="'churn' has no version 2"):
        store.resolve(Reference("churn", 2))
    with pytest.raises(AliasNotSet, match="nothing is in force as churn@champion"):
        store.resolve(CHAMPION)
    with pytest.raises(DatasetNotFound, match="dataset 'ffff'"):
        store.dataset("ffff")
    for ask in (store.versions, store.history):
        with pytest.raises(ModelNotFound, match="no model 'fraud'"):
            ask("fraud")
    for selector in (1, "champion", "latest"):
        with pytest.raises(ModelNotFound, match="no model 'fraud'"):
            store.resolve(Reference("fraud", selector))


def test_aliases_are_those_that_are_in_force(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    a_version(store), a_version(store), a_version(store, model="fraud")
    assert store.aliases("churn") == {}
    an_entry(store, 1)
    an_entry(store, 2, kind="held")
    an_entry(store, 2, alias="canary")
    an_entry(store, 1, alias="retired")
    an_entry(store, 1, alias="retired", kind="cleared")
    an_entry(store, 2, alias="refused", kind="rejected")
    an_entry(store, 1, model="fraud", alias="canary")
    assert store.aliases("churn") == {"champion": 1, "canary": 2}


def test_history_is_in_the_order_of_writing(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    clock = Clock()
    store = make_store(clock=clock)
    a_version(store), a_version(store)
    for hours, alias, number in [(1, "champion", 1), (1, "canary", 2), (-3, "champion", 2), (9, "canary", 1)]:
        clock.shows += hours * HOUR
        an_entry(store, number, alias=alias)
    in_order = [(entry.alias, entry.sequence) for entry in store.history("churn")]
    assert in_order == [("champion", 1), ("champion", 2), ("canary", 1), ("canary", 2)]
    assert [entry.version for entry in store.history("churn", "canary")] == [2, 1]
    assert store.history("churn", "retired") == []


def test_a_look_at_a_dataset_is_a_judgement_by_a_gate(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    for _ in range(4):
        a_version(store)
    a_version(store, model="fraud")
    january = a_dataset().fingerprint
    an_entry(store, 1, kind="assigned", dataset=january)
    assert store.looks("churn", january) == 0
    an_entry(store, 2, kind="promoted", dataset=january)
    an_entry(store, 3, kind="held", dataset=january, alias="canary")
    an_entry(store, 4, kind="rejected", dataset=january)
    an_entry(store, 4, kind="rejected")
    an_entry(store, 1, kind="promoted", dataset=january, model="fraud")
    assert store.looks("churn", january) == 3
    assert store.looks("churn", digest("march")) == 0


# What the ledger says of the versions


TWICE_PASSED_OVER = [
    *(("promoted", number) for number in (1, 2, 3, 4)),
    *(("rolled-back", number) for number in (3, 1)),
    *(("promoted", number) for number in (3, 1)),
]


@pytest.mark.parametrize("left_out", [1, 500])
def test_the_standing_of_versions_is_what_the_whole_history_says(
    make_store: MakeStore, a_version: AVersion, monkeypatch: pytest.MonkeyPatch, left_out: int
) -> None:
    monkeypatch.setattr("registry.store._MOST_PASSED", left_out)
    store, numbers = make_store(), count(1)
    for _ in range(5):
        a_version(store)

    @given(lives())
    @example(TWICE_PASSED_OVER)
    @settings(max_examples=40, deadline=None)
    def lived(life: list[tuple[str, int]]) -> None:
        alias = f"life-{next(numbers)}"
        for kind, version in life:
            store.append_entry(a_proposal(kind, version, alias))
        told = fold(store.history("churn", alias))
        assert store.quarantined("churn", alias) == told.quarantined
        assert list(store.champions("churn", alias)) == list(reversed(told.champions))

    lived()


def test_the_standing_is_that_of_the_versions_of_one_alias(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    for model in ("churn", "churn", "fraud"):
        a_version(store, model=model)
    an_entry(store, 1)
    an_entry(store, 2, alias="canary")
    an_entry(store, 1, model="fraud", alias="canary")
    an_entry(store, 1, alias="canary")
    an_entry(store, 2, alias="canary", kind="rolled-back")
    standing = {
        key: (list(store.champions(*key)), store.quarantined(*key))
        for key in [("churn", "champion"), ("churn", "canary"), ("fraud", "canary"), ("churn", "retired")]
    }
    assert list(standing.values()) == [([1], {}), ([2], {1: 3}), ([1], {}), ([], {})]


def test_champions_are_read_as_far_as_they_are_asked_for(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    for number in range(1, 5):
        a_version(store)
        an_entry(store, number)
    statements: list[str] = []
    event.listen(
        store.engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement)
    )
    champions = store.champions("churn", "champion")
    assert statements == []
    assert next(champions) == 4
    asked = len(statements)
    assert list(champions) == [3, 2, 1]
    assert len(statements) >= 4 * asked


def test_a_version_last_rose_in_the_last_entry_that_put_it_in_force(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    for _ in range(3):
        a_version(store)
    life = [("promoted", 1), ("assigned", 2), ("rolled-back", 1), ("held", 2), ("alerted", 1), ("cleared", 1)]
    for kind, number in life:
        an_entry(store, number, kind=kind)
    an_entry(store, 3, alias="canary")
    an_entry(store, 2, alias="canary")
    assert [store.last_rise("churn", "champion", number) for number in (1, 2, 3)] == [3, 2, None]
    assert [store.last_rise("churn", "canary", number) for number in (1, 2, 3)] == [None, 2, 1]
    assert store.last_rise("fraud", "champion", 1) is None


def test_an_entry_is_found_at_its_place_in_the_ledger_of_its_alias(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    for _ in range(2):
        a_version(store)
    an_entry(store, 1, alias="canary", reason="try it")
    an_entry(store, 1)
    written = an_entry(store, 2, reason="better")
    assert store.entry_at("churn", "champion", 2).hash == written.hash
    assert store.entry_at("churn", "canary", 1).reason == "try it"


def test_versions_whose_estimator_is_the_same_are_known_by_it(
    make_store: MakeStore, a_version: AVersion
) -> None:
    store, alike = make_store(), digest("fitted")
    for fitted in (alike, digest("another"), alike, alike):
        a_version(store, fitted=fitted)
    a_version(store, model="fraud", fitted=alike)
    assert store.fitted_alike(store.version("churn", 3)) == [1, 3, 4]
    assert store.fitted_alike(store.version("churn", 2)) == [2]
    assert store.fitted_alike(store.version("fraud", 1)) == [1]


def test_every_artifact_that_a_row_needs_is_listed(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    evaluated(store, a_version(store, artifact=digest("first")))
    assert store.artifacts() == {
        digest("first"): "churn@1",
        digest("predictions"): "the predictions of churn@1",
    }


def test_a_reader_does_not_wait_for_a_writer(
    make_store: MakeStore, a_version: AVersion, an_entry: AnEntry
) -> None:
    store = make_store()
    a_version(store), a_version(store)
    an_entry(store, 1)
    writing = store.engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
    with writing.begin() as connection, ThreadPoolExecutor(1) as thread:
        connection.execute(text("UPDATE registered_model SET last_version = last_version + 1"))
        assert thread.submit(store.resolve, CHAMPION).result(timeout=5).number == 1
        assert thread.submit(store.models).result(timeout=5)[0].last_version == 2
        connection.rollback()


def test_a_writer_does_not_wait_for_a_reader(make_store: MakeStore, a_version: AVersion) -> None:
    store = make_store()
    a_version(store)
    with store.engine.connect() as connection, ThreadPoolExecutor(1) as thread:
        connection.execute(text("SELECT * FROM model_version")).all()
        assert thread.submit(a_version, store).result(timeout=5).number == 2


# Trusting types


def test_a_type_is_trusted_by_whoever_came_first(make_store: MakeStore) -> None:
    store = make_store()
    seeded = len(store.trusted_types())
    trusted = at_once([lambda: store.trust("churn.Encoder", "read").name] * 6)
    assert trusted == ["churn.Encoder"] * 6
    assert store.trust("churn.Encoder", "another reason").reason == "read"
    assert len(store.trusted_types()) == seeded + 1


def test_a_type_is_distrusted_once_and_for_all(make_store: MakeStore) -> None:
    store = make_store()
    store.trust("churn.Encoder", "read")
    assert at_once([lambda: store.distrust("churn.Encoder")] * 4) == [None] * 4
    assert "churn.Encoder" not in {trusted.name for trusted in store.trusted_types()}


# Opening


def test_processes_that_open_an_empty_database_at_once_all_find_one_schema(
    empty_database_url: str, processes: ProcessPoolExecutor
) -> None:
    moment = time.time() + 0.5
    opened = [processes.submit(open_at, moment, empty_database_url) for _ in range(8)]
    tables = [each.result(timeout=60) for each in opened]
    assert tables == [tables[0]] * 8
    assert VERSION_TABLE in tables[0]


def test_threads_may_open_different_databases_at_once(open_store: MakeStore, tmp_path: Path) -> None:
    opening = [lambda i=i: open_store(f"sqlite:///{tmp_path}/{i}.db").models() for i in range(6)]
    assert at_once(opening) == [[]] * 6


def test_a_database_is_opened_again(make_store: MakeStore, a_version: AVersion) -> None:
    a_version(make_store())
    assert make_store().resolve(Reference("churn", "latest")).number == 1


def test_a_database_of_something_else_is_left_alone(empty_database_url: str, tmp_path: Path) -> None:
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE invoice (number INTEGER)"))
    before = contents(tmp_path)
    with pytest.raises(DatabaseUnrecognised, match=r"it holds .*invoice.* and was left alone"):
        Store.open(empty_database_url, Origin(actor="ada"))
    assert contents(tmp_path) == before
    assert inspect(engine).get_table_names() == ["invoice"]
    engine.dispose()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, and not a database. " * 100)
    before = contents(tmp_path)
    with pytest.raises(DatabaseUnrecognised, match="was left alone"):
        Store.open(f"sqlite:///{path}", Origin(actor="ada"))
    assert contents(tmp_path) == before


def test_an_empty_file_becomes_a_registry(open_store: MakeStore, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    assert open_store(f"sqlite:///{tmp_path}/empty.db").models() == []


@pytest.mark.parametrize("path", ["", "missing/registry.db"], ids=["a folder", "a path in a missing folder"])
def test_sqlite_cannot_be_opened_at(tmp_path: Path, path: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="unable to open database file"):
        Store.open(f"sqlite:///{tmp_path}/{path}", Origin(actor="ada"))
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_may_only_be_read_is_read(
    open_store: MakeStore, a_version: AVersion, tmp_path: Path
) -> None:
    a_version(open_store(f"sqlite:///{tmp_path}/registry.db"))
    store = open_store(f"sqlite:///file:{tmp_path}/registry.db?mode=ro&uri=true")
    assert store.resolve(Reference("churn", "latest")).number == 1
    with pytest.raises(DatabaseUnavailable, match="readonly database"):
        a_version(store)


def test_an_empty_file_that_may_only_be_read_becomes_no_registry(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(DatabaseUnavailable, match="readonly database"):
        Store.open(f"sqlite:///file:{tmp_path}/empty.db?mode=ro&uri=true", Origin(actor="ada"))
    assert contents(tmp_path) == {"empty.db": b""}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "registry.db",
        "redis://localhost/0",
        "mysql://localhost/registry",
        "mysql+pymysql://localhost/registry",
        "postgres://localhost/registry",
        "postgresql+asyncpg://localhost/registry",
        "sqlite+aiosqlite:///registry.db",
        "postgresql+psycopg://localhost:port/registry",
        "postgresql+psycopg://localhost/registry?nonsense=1",
    ],
)
def test_no_registry_can_be_at(url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        Store.open(url, Origin(actor="ada"))


def test_a_server_that_refuses_connections_is_reported_soon() -> None:
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="refused"):
        Store.open(f"postgresql+psycopg://ada@127.0.0.1:{closed_port()}/registry", Origin(actor="ada"))
    assert time.monotonic() - began < 5


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port, began = silent.getsockname()[1], time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="timeout"):
            Store.open(f"postgresql+psycopg://ada@127.0.0.1:{port}/registry", Origin(actor="ada"))
        assert time.monotonic() - began < 10


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


WITH_A_PASSWORD = {
    "the server refuses": "postgresql+psycopg://ada:hunter2@127.0.0.1:1/registry",
    "the host is unknown": "postgresql+psycopg://ada:hunter2@host.invalid/registry",
    "the port is no number": "postgresql+psycopg://ada:hunter2@localhost:port/registry",
    "it holds a slash": "postgresql+psycopg://ada:hun/ter2@127.0.0.1:1/registry",
    "it holds a question mark": "postgresql+psycopg://ada:hun?ter2@127.0.0.1:1/registry",
    "it holds an @": "postgresql+psycopg://ada:hun@ter2@127.0.0.1:1/registry",
    "it holds all of them": "postgresql+psycopg://ada:@hun/@ter2?@127.0.0.1:1/registry",
    "a slash is missing": "postgresql+psycopg:/ada:hunter2@127.0.0.1:1/registry",
    "the scheme is missing": "ada:hunter2@127.0.0.1:1/registry",
    "the scheme is another": "mysql://ada:hunter2@127.0.0.1/registry",
    "the option is unknown": "postgresql+psycopg://ada:hunter2@127.0.0.1:1/registry?nonsense=1",
    "it is an option": "postgresql+psycopg://127.0.0.1:1/registry?user=ada&password=hunter2",
    "it is an option of another database": "mysql://127.0.0.1:1/registry?user=ada&password=hunter2",
    "it is an option of nothing": "127.0.0.1:1/registry?user=ada&password=hunter2",
}


@pytest.mark.parametrize("url", WITH_A_PASSWORD.values(), ids=list(WITH_A_PASSWORD))
def test_no_error_shows_the_password_when(url: str) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        Store.open(url, Origin(actor="ada"))
    shown = "".join(traceback.format_exception(refused.value)) + repr(refused.value)
    assert [secret for secret in ("hunter2", "hun", "ter2") if secret in shown.replace(__name__, "")] == []


@pytest.mark.parametrize(
    "secret", ["ada:hunter2@{}", "ada@{}?password=hunter2", "{}?user=ada&password=hunter2"]
)
def test_a_store_does_not_show_its_password(
    open_store: MakeStore,
    postgres_server: PostgresServer,
    make_postgres_database: Callable[[], str],
    secret: str,
) -> None:
    user, _, place = make_postgres_database().removeprefix("postgresql+psycopg://").partition("@")
    store = open_store("postgresql+psycopg://" + secret.replace("ada", user).format(place))
    assert "hunter2" not in store.name
    assert str(postgres_server.port) in store.name
    assert "hunter2" not in repr(store)


def test_errors_of_a_working_store_do_not_show_its_password(
    open_store: MakeStore, make_postgres_database: Callable[[], str]
) -> None:
    store = open_store(make_postgres_database().replace("@", ":hunter2@"))
    with store.engine.begin() as connection:
        connection.execute(text("DROP TABLE trusted_type"))
    with pytest.raises(DatabaseUnavailable, match="trusted_type") as refused:
        store.trusted_types()
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


def test_what_the_url_of_a_postgresql_says_is_heard(
    open_store: MakeStore, make_postgres_database: Callable[[], str]
) -> None:
    url = make_postgres_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA team"))
    engine.dispose()
    store = open_store(f"{url}?options=-csearch_path%3Dteam&connect_timeout=7")
    with store.engine.connect() as connection:
        assert connection.execute(text("SHOW search_path")).scalar() == "team"
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "15s"
        assert "ledger_entry" in inspect(connection).get_table_names(schema="team")
