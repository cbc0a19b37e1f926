"""What several processes want of one alias at the same moment, on both databases."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import Manager
from typing import TYPE_CHECKING

import pytest
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from registry import Better, PromotionPolicy, Registry
from registry.exceptions import AliasConflict, AliasNotSet, NothingToRollBackTo, RegistryError
from registry.ledger import Proposal, Reign
from registry.rollback import Alert
from registry.store import Origin, Store
from registry.tables import GENESIS, ModelVersion
from tests.examples import fit, make_dataset
from tests.forks import forks
from tests.integration.conftest import a_version_row, append_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from threading import Barrier

    from registry import PromotionDecision

TRAINING = make_dataset(rows=200)
HOLDOUT = make_dataset(rows=500, seed=1, name="february")
POLICY = PromotionPolicy(checks=(Better("accuracy"),))
AT_ONCE = 4
ROUNDS = 3
PROMOTERS, PROMOTIONS = 8, 40
WRITERS, VERSIONS = 16, 8


@dataclass(frozen=True)
class Place:
    """Where a registry is that several processes open."""

    database: str
    artifacts: str

    @contextmanager
    def open(self) -> Iterator[Registry]:
        registry = Registry(self.database, artifacts=self.artifacts, actor="ada")
        try:
            yield registry
        finally:
            registry.backend.rows.engine.dispose()


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    return Place(database_url, str(tmp_path / "artifacts"))


@pytest.fixture
def registry(place: Place) -> Iterator[Registry]:
    """Three versions of churn, each better than the one before, of which the third is in force."""
    with place.open() as registry:
        for estimator in (DummyClassifier(), DecisionTreeClassifier(max_depth=1), None):
            version = registry.register("churn", fit(TRAINING, estimator), trained_on=TRAINING)
            registry.assign(version.reference, reason=f"version {version.number}")
        yield registry


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(AT_ONCE, mp_context=forks()) as pool:
        list(pool.map(time.sleep, [0.2] * AT_ONCE))  # they are all there
        yield pool


@pytest.fixture(scope="module")
def crowd() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(WRITERS, mp_context=forks()) as pool:
        list(pool.map(time.sleep, [0.5] * WRITERS))
        yield pool


@contextmanager
def opened(database: str) -> Iterator[Store]:
    store = Store.open(database, Origin(actor="ada"))
    try:
        yield store
    finally:
        store.close()


def register_versions(database: str, barrier: Barrier) -> list[int]:
    with opened(database) as store:
        rows = [ModelVersion(**a_version_row()) for _ in range(VERSIONS)]
        barrier.wait()
        return [append_row(store, row).number for row in rows]


def promote_again_and_again(database: str, barrier: Barrier, number: int) -> list[str]:
    """What became of each proposal of this promoter, which always knows what is in force."""
    with opened(database) as store:
        return [propose(store, barrier, number + PROMOTERS * (turn % 2)) for turn in range(PROMOTIONS)]


def propose(store: Store, barrier: Barrier, version: int) -> str:
    reign = store.reign("churn", "champion")
    barrier.wait()
    proposal = Proposal(kind="promoted", model="churn", version=version, reason="better", against=reign)
    try:
        return f"{store.append_entry(proposal).reference}"
    except RegistryError as error:
        return type(error).__name__
    finally:
        barrier.wait()  # nobody looks before all have written


def roll_back(registry: Registry, *, bad: int | None = None, key: str | None = None) -> int:
    return registry.roll_back("churn", reason="broken", bad=bad, key=key).sequence


def answer(registry: Registry, *, key: str, version: int | None = None) -> int:
    return registry.answer(Alert(model="churn", reason="it fell", key=key, version=version)).sequence


def promote(registry: Registry, decision: PromotionDecision) -> int:
    return registry.promote(decision).sequence


def settle(registry: Registry, challenger: str) -> int:
    return registry.promote(registry.decide(challenger, HOLDOUT, POLICY)).sequence


def clear(registry: Registry) -> int:
    return registry.clear("churn", reason="none is good").sequence


def swap(registry: Registry, *, alias: str, times: int) -> int:
    """Put two versions in force by turns, with a judgement that moves nothing in between."""
    entry = registry.assign("churn@1", alias=alias, reason="first")
    for number in range(times):
        entry = registry.assign(f"churn@{2 - number % 2}", alias=alias, reason="by turns")
    return entry.sequence


def verify(registry: Registry, *, times: int) -> int:
    return sum(finding.problem is not None for _ in range(times) for finding in registry.verify())


def attempt(place: Place, moment: float, act: Callable[[Registry], int]) -> int | RegistryError:
    with place.open() as registry:
        registry.history("churn")  # connected, before the others wait no longer
        time.sleep(max(0, moment - time.time()))
        try:
            return act(registry)
        except RegistryError as error:
            return error


def at_once(
    processes: ProcessPoolExecutor, place: Place, *acts: Callable[[Registry], int]
) -> list[int | RegistryError]:
    """What becomes of each of the *acts*, which begin at the same moment in processes of their own."""
    moment = time.time() + 0.3
    return [each.result() for each in [processes.submit(attempt, place, moment, act) for act in acts]]


def won(results: list[int | RegistryError]) -> list[int]:
    return [result for result in results if isinstance(result, int)]


def falls(registry: Registry) -> list[tuple[int | None, int | None]]:
    """From which version to which, each time."""
    entries = registry.history("churn", alias="champion")
    return [(entry.replaced, entry.in_force) for entry in entries if entry.kind == "rolled-back"]


def assert_whole(registry: Registry) -> None:
    assert verify(registry, times=1) == 0
    sequences = [entry.sequence for entry in registry.history("churn", alias="champion")]
    assert sequences == list(range(1, len(sequences) + 1))


def test_alerts_about_one_version_take_it_down_once(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    for number in range(ROUNDS):
        results = at_once(processes, place, *[partial(roll_back, bad=3)] * AT_ONCE)
        assert len(won(results)) == 1
        losers = [result for result in results if not isinstance(result, int)]
        assert [type(error) for error in losers] == [AliasConflict] * (AT_ONCE - 1)
        assert falls(registry) == [(3, 2)] * (number + 1)
        registry.assign("churn@3", reason="it was the feed")
    assert_whole(registry)


def test_attempts_with_one_key_all_find_the_same_entry(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    for number in range(ROUNDS):
        key = f"alert-{number}"
        acts = [partial(roll_back, key=key), partial(roll_back, key=key, bad=3)] * (AT_ONCE // 2)
        results = at_once(processes, place, *acts)
        assert len(won(results)) == AT_ONCE, results
        assert len(set(won(results))) == 1
        assert falls(registry) == [(3, 2)] * (number + 1)
        registry.assign("churn@3", reason="it was the feed")
    assert_whole(registry)


@pytest.mark.parametrize(
    ("keys", "version"), [(["{}"] * 4, 3), (["{}"] * 4, None), (["{}", "{}", "{} too", "{} again"], 3)]
)
def test_alerts_of_the_same_second_are_answered_by_one_entry(
    registry: Registry, place: Place, processes: ProcessPoolExecutor, keys: list[str], version: int | None
) -> None:
    """Whether one alert came several times, or several came about one version."""
    for number in range(ROUNDS):
        acts = [partial(answer, key=key.format(number), version=version) for key in keys]
        before = registry.history("churn")
        results = at_once(processes, place, *acts)
        assert results == [len(before) + 1] * len(acts)
        assert registry.history("churn")[:-1] == before
        assert falls(registry) == [(3, 2)] * (number + 1)
        registry.assign("churn@3", reason="it was the feed")
    assert_whole(registry)


def test_alerts_of_the_same_second_that_name_no_version_are_one_rollback_and_notes(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    for number in range(ROUNDS):
        acts = [partial(answer, key=f"{number} {process}") for process in range(AT_ONCE)]
        before = registry.history("churn")
        results = at_once(processes, place, *acts)
        written = registry.history("churn")[len(before) :]
        assert sorted(won(results)) == [entry.sequence for entry in written]
        assert [entry.kind for entry in written] == ["rolled-back"] + ["alerted"] * (AT_ONCE - 1)
        assert {entry.evidence["why"] for entry in written[1:]} == {"answered"}
        assert falls(registry) == [(3, 2)] * (number + 1)
        registry.assign("churn@3", reason="it was the feed")
    assert_whole(registry)


def test_rollbacks_of_whatever_is_in_force_never_fork(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    """Each takes down what it found, or learns that something else is there; none takes down a target."""
    results = at_once(processes, place, *[roll_back] * AT_ONCE)
    assert falls(registry) == [(3, 2), (2, 1)][: len(won(results))]
    assert registry.aliases("churn") == {"champion": 3 - len(won(results))}
    assert_whole(registry)


def test_of_challengers_judged_against_one_champion_one_wins(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    registry.assign("churn@1", reason="the worst")
    decisions = [registry.decide(f"churn@{number}", HOLDOUT, POLICY) for number in (2, 3)]
    results = at_once(processes, place, *[partial(promote, decision=decision) for decision in decisions * 2])
    winner = registry.history("churn")[-1]
    assert (winner.sequence, winner.kind, winner.replaced) == (5, "promoted", 1)
    assert won(results) == [5, 5]  # either attempt of the winner
    assert {type(result) for result in results if not isinstance(result, int)} == {AliasConflict}
    assert_whole(registry)


def test_one_question_asked_at_once_is_answered_once(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    results = at_once(processes, place, *[partial(settle, challenger="churn@1")] * AT_ONCE)
    assert results == [4] * AT_ONCE
    assert registry.history("churn")[-1].kind == "rejected"
    assert registry.backend.rows.looks("churn", HOLDOUT.fingerprint) == 1


def test_a_promotion_and_a_rollback_at_once_do_not_undo_each_other(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    registry.assign("churn@1", reason="older")
    registry.assign("churn@2", reason="next")
    decision = registry.decide("churn@3", HOLDOUT, POLICY)
    results = at_once(processes, place, partial(promote, decision=decision), partial(roll_back, bad=2))
    assert [type(result) for result in results] in ([int, AliasConflict], [AliasConflict, int])
    assert registry.aliases("churn")["champion"] == (3 if isinstance(results[0], int) else 1)
    assert_whole(registry)


def test_what_happens_under_other_aliases_does_not_disturb_a_rollback(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    others = [partial(swap, alias=alias, times=10) for alias in ("shadow", "canary")]
    results = at_once(processes, place, partial(roll_back, bad=3), *others)
    assert results == [4, 11, 11]
    assert falls(registry) == [(3, 2)]


def test_judgements_noted_meanwhile_do_not_disturb_a_rollback(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    decision = registry.decide("churn@1", HOLDOUT, POLICY)
    notes = [decision.model_copy(update={"key": f"{number}"}) for number in range(AT_ONCE - 1)]
    acts = [partial(promote, decision=note) for note in notes]
    results = at_once(processes, place, *acts, partial(roll_back, bad=3))
    assert sorted(won(results)) == list(range(4, 4 + AT_ONCE))
    assert falls(registry) == [(3, 2)]
    assert_whole(registry)


def test_a_ledger_that_is_being_written_is_whole_at_every_moment(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    assert len(registry.versions("churn")) == 3
    writers = [partial(swap, alias=alias, times=20) for alias in ("shadow", "canary")]
    results = at_once(processes, place, *writers, partial(verify, times=20))
    assert results == [21, 21, 0]


def test_promotions_rollbacks_and_clearings_at_once_follow_each_other(
    registry: Registry, place: Place, processes: ProcessPoolExecutor
) -> None:
    for _ in range(ROUNDS):
        registry.assign("churn@1", reason="older")
        registry.assign("churn@2", reason="next")
        decision = registry.decide("churn@3", HOLDOUT, POLICY)
        before = registry.history("churn")
        acts = partial(promote, decision=decision), roll_back, clear, partial(roll_back, bad=2)
        results = at_once(processes, place, *acts)
        written = registry.history("churn")[len(before) :]
        assert sorted(won(results)) == [entry.sequence for entry in written]
        assert {type(each) for each in results} <= {int, AliasConflict, AliasNotSet, NothingToRollBackTo}
        in_force = written[-1].in_force
        assert registry.aliases("churn") == ({} if in_force is None else {"champion": in_force})
    assert_whole(registry)


def test_of_many_promoters_exactly_one_wins_each_round(database_url: str, crowd: ProcessPoolExecutor) -> None:
    with opened(database_url) as store, Manager() as manager:
        for _ in range(2 * PROMOTERS):
            append_row(store, ModelVersion(**a_version_row()))
        barrier = manager.Barrier(PROMOTERS)
        futures = [
            crowd.submit(promote_again_and_again, database_url, barrier, 1 + number)
            for number in range(PROMOTERS)
        ]
        rounds = list(zip(*[each.result() for each in futures], strict=True))
        entries = store.history("churn", "champion")
        assert [sorted(results)[: PROMOTERS - 1] for results in rounds] == [
            ["AliasConflict"] * (PROMOTERS - 1)
        ] * PROMOTIONS
        assert [max(results) for results in rounds] == [entry.reference for entry in entries]
        assert store.reign("churn", "champion") == Reign.of(entries[-1])
        assert [entry.sequence for entry in entries] == list(range(1, PROMOTIONS + 1))
        assert all(entry.digest() == entry.hash for entry in entries)


def test_of_many_that_register_each_gets_the_next_number(
    database_url: str, crowd: ProcessPoolExecutor
) -> None:
    with opened(database_url) as store, Manager() as manager:
        barrier = manager.Barrier(WRITERS)
        futures = [crowd.submit(register_versions, database_url, barrier) for _ in range(WRITERS)]
        numbers = [number for each in futures for number in each.result()]
        assert sorted(numbers) == list(range(1, WRITERS * VERSIONS + 1))
        versions = store.versions("churn")
        hashes = [version.hash for version in versions]
        assert [version.previous_hash for version in versions] == [GENESIS, *hashes[:-1]]
        assert [version.digest() for version in versions] == hashes
        assert [version.number for version in versions] == sorted(numbers)
