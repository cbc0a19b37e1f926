"""A retention policy gives up bytes that nobody will go back to, and no others, whoever acts meanwhile."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from sklearn.tree import DecisionTreeClassifier

from registry import Registry, RetentionPolicy
from registry.disposal import Disposal
from registry.exceptions import ArtifactPurged, NothingToRollBackTo, ReasonMissing, VersionNotFound
from registry.ledger import Proposal
from tests.examples import fit, make_dataset
from tests.forks import forks
from tests.shelves import (
    NO_TIME,
    Place,
    database_time,
    deadly,
    evaluate,
    kept,
    leasing,
    problems,
    put,
    register,
    register_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from multiprocessing.process import BaseProcess

    from registry import Dataset
    from registry.disposal import Holder, Standing

PATIENCE = 60
DAY = timedelta(days=1)
NOTHING = RetentionPolicy(keep_last=0, keep_younger_than=NO_TIME, rollback_window=1)
"""Keeps no more than a policy must."""


@pytest.fixture
def registry(place: Place) -> Iterator[Registry]:
    """An empty one, which leases bytes for no time at all."""
    with place.open() as registry:
        yield registry


def with_bytes(registry: Registry, model: str = "churn") -> list[int]:
    """The versions whose bytes are there."""
    there = kept(registry)
    return [version.number for version in registry.versions(model) if version.artifact in there]


def reasons(registry: Registry, policy: RetentionPolicy = NOTHING) -> dict[str, list[str]]:
    return {reference: list(why) for reference, why in registry.plan_purge(policy).kept.items()}


# What is kept, and why


def test_a_policy_gives_up_what_nothing_keeps(registry: Registry) -> None:
    version = register(registry)
    plan = registry.plan_purge(NOTHING)
    assert (plan.given_up, plan.kept) == (["churn@1"], {})
    assert [row.digest for row in plan.artifacts] == [version.artifact]
    assert with_bytes(registry) == [1]
    [purged] = registry.purge(NOTHING)
    assert with_bytes(registry) == []
    assert purged.digest == version.artifact
    assert purged.purged_by == "ada"
    assert str(purged.purged_because).startswith("retention: neither in force nor pinned")
    assert abs(database_time(registry) - purged.purged_at) < timedelta(minutes=1)  # type: ignore[operator]
    assert registry.versions("churn") == [version]
    assert problems(registry) == []
    assert registry.purge(NOTHING) == []


def test_the_newest_versions_keep_their_bytes(registry: Registry) -> None:
    for _ in range(4):
        register(registry)
    policy = NOTHING.model_copy(update={"keep_last": 2})
    assert reasons(registry, policy) == {
        "churn@3": ["among the newest 2"],
        "churn@4": ["among the newest 2"],
    }
    registry.purge(policy)
    assert with_bytes(registry) == [3, 4]


def test_what_is_young_by_the_clock_of_the_database_keeps_its_bytes(registry: Registry) -> None:
    for old in (31 * DAY, 29 * DAY):
        register(registry, old=old)
    policy = NOTHING.model_copy(update={"keep_younger_than": 30 * DAY})
    rows = registry.backend.rows
    mistaken = replace(registry.backend, rows=replace(rows, clock=lambda: rows.clock() + 365 * DAY))
    assert reasons(Registry.of(mistaken), policy) == {"churn@2": ["younger than 30 days"]}
    Registry.of(mistaken).purge(policy)
    assert with_bytes(registry) == [2]


def test_what_is_in_force_under_any_alias_keeps_its_bytes(registry: Registry) -> None:
    for _ in range(3):
        register(registry)
    registry.assign("churn@1", alias="fallback", reason="the first")
    registry.assign("churn@2", reason="the second")
    expected = {"churn@1": ["in force as fallback"], "churn@2": ["in force as champion"]}
    assert reasons(registry) == expected
    registry.purge(NOTHING)
    assert with_bytes(registry) == [1, 2]


@pytest.mark.parametrize(("window", "expected"), [(1, [3, 5]), (2, [2, 3, 5]), (9, [1, 2, 3, 5])])
def test_what_an_alias_could_go_back_to_keeps_its_bytes(
    registry: Registry, window: int, expected: list[int]
) -> None:
    for number in range(1, 6):
        register(registry)
        registry.assign(f"churn@{number}", reason="the next") if number != 4 else None
    registry.purge(NOTHING.model_copy(update={"rollback_window": window}))
    assert with_bytes(registry) == expected
    assert registry.aliases("churn") == {"champion": 5}


def test_an_alias_that_was_cleared_could_go_back_to_what_it_was(registry: Registry) -> None:
    register(registry)
    registry.assign("churn@1", reason="the first")
    registry.clear("churn", reason="nothing for now")
    assert reasons(registry) == {"churn@1": ["champion could go back to it"]}


def test_what_was_rolled_back_is_nothing_to_go_back_to(registry: Registry) -> None:
    for number in (1, 2, 3):
        register(registry)
        registry.assign(f"churn@{number}", reason="the next")
    roll_back(registry, to=2)
    assert reasons(registry) == {
        "churn@1": ["champion could go back to it"],
        "churn@2": ["in force as champion"],
    }


def test_a_version_is_kept_to_go_back_to_where_nearer_ones_were_given_up(registry: Registry) -> None:
    for number in (1, 2, 3, 4):
        register(registry)
        registry.assign(f"churn@{number}", reason="the next")
    registry.pin("churn@1", reason="the reference")
    registry.purge(NOTHING)
    assert with_bytes(registry) == [1, 3, 4]
    roll_back(registry, to=3)
    registry.unpin("churn@1")
    assert reasons(registry) == {
        "churn@1": ["champion could go back to it"],
        "churn@3": ["in force as champion"],
    }


def roll_back(registry: Registry, *, to: int) -> None:
    """Write down a rollback; these versions have no estimator that could prove itself."""
    entry = Proposal(kind="rolled-back", model="churn", version=to, reason="it broke")
    registry.backend.rows.append_entry(entry)


def test_what_is_pinned_keeps_its_bytes_until_it_is_unpinned(registry: Registry) -> None:
    register(registry)
    pin = registry.pin("churn@1", reason="the auditor asked")
    assert (pin.model, pin.number, pin.pinned_by) == ("churn", 1, "ada")
    assert registry.pins("churn") == {1: pin}
    assert reasons(registry) == {"churn@1": ["pinned by ada: the auditor asked"]}
    registry.pin("churn@1", reason="and asked again")
    assert reasons(registry) == {"churn@1": ["pinned by ada: and asked again"]}
    assert registry.purge(NOTHING) == []
    registry.unpin("churn@1")
    registry.unpin("churn@1")
    assert registry.pins("churn") == {}
    assert len(registry.purge(NOTHING)) == 1


def test_a_pin_says_why_and_of_which_version(registry: Registry) -> None:
    register(registry)
    with pytest.raises(ReasonMissing):
        registry.pin("churn@1", reason=" ")
    with pytest.raises(VersionNotFound):
        registry.pin("churn@2", reason="the next one")
    assert registry.pins("churn") == {}


# What is shared


def test_predictions_go_with_their_version(registry: Registry) -> None:
    first, second = register(registry), register(registry)
    lost, kept_ = evaluate(registry, first), evaluate(registry, second)
    registry.pin("churn@2", reason="the reference")
    assert {row.digest for row in registry.purge(NOTHING)} == {first.artifact, lost.predictions}
    assert kept(registry) == {second.artifact, kept_.predictions}


def test_bytes_stay_while_a_version_of_whatever_model_keeps_them(registry: Registry) -> None:
    register(registry, "the same")
    register(registry, "the same", model="churn-eu")
    registry.assign("churn-eu@1", reason="the first")
    expected = {"churn@1": ["churn-eu@1 has the same bytes"], "churn-eu@1": ["in force as champion"]}
    assert reasons(registry) == expected
    assert registry.purge(NOTHING) == []
    assert with_bytes(registry, "churn") == with_bytes(registry, "churn-eu") == [1]


def test_bytes_that_no_model_keeps_go_for_all_of_them(registry: Registry) -> None:
    for model in ("churn", "churn-eu"):
        register(registry, "the same", model=model)
    plan = registry.plan_purge(NOTHING)
    assert plan.given_up == ["churn@1", "churn-eu@1"]
    assert len(plan.artifacts) == len(registry.purge(NOTHING)) == 1
    assert set(registry.purged("churn")) == set(registry.purged("churn-eu")) == {1}


def test_files_of_a_folder_go_with_the_last_folder_that_has_them(registry: Registry) -> None:
    register_folder(registry, "shared", "of the first")
    register_folder(registry, "shared", "of the second")
    registry.pin("churn@2", reason="the reference")
    assert len(registry.purge(NOTHING)) == 2
    shared, second = put(registry, "shared"), put(registry, "of the second")
    assert kept(registry) == {shared, second, registry.resolve("churn@2").artifact}
    assert problems(registry) == []
    registry.unpin("churn@2")
    assert len(registry.purge(NOTHING)) == 3
    assert kept(registry) == set()


def test_bytes_that_somebody_is_registering_again_stay(registry: Registry) -> None:
    version = register(registry, "the same")
    put(leasing(registry, DAY), "the same")
    [(reference, [why])] = reasons(registry).items()
    assert (reference, why.partition(":")[0]) == (version.reference, "leased")
    assert registry.purge(NOTHING) == []


# What was given up


@pytest.fixture
def january() -> Dataset:
    return make_dataset(rows=100)


def test_a_purged_version_neither_loads_nor_comes_in_force_until_its_training_is_registered_again(
    registry: Registry, january: Dataset
) -> None:
    """Of three champions, the first fell out of the window."""
    for depth in (1, 2, 3):
        estimator = fit(january, DecisionTreeClassifier(max_depth=depth))
        version = registry.register("churn", estimator, trained_on=january)
        registry.assign(version.reference, reason="the next")
    registry.purge(NOTHING)
    assert with_bytes(registry) == [2, 3]
    with pytest.raises(ArtifactPurged, match="retention: neither in force"):
        registry.load("churn@1")
    with pytest.raises(ArtifactPurged, match="retention: neither in force"):
        registry.assign("churn@1", reason="the good old one")
    with pytest.raises(ArtifactPurged, match="retention: neither in force"):
        registry.pin("churn@1", reason="too late")
    assert registry.roll_back("churn", reason="it broke").version == 2
    with pytest.raises(NothingToRollBackTo, match="was purged"):
        registry.roll_back("churn", reason="it broke, too")
    estimator = fit(january, DecisionTreeClassifier(max_depth=1))
    again = registry.register("churn", estimator, trained_on=january)
    assert (again.number, again.renewal) == (4, 1)
    assert registry.load("churn@4").predict(january.features).shape == (100,)
    registry.assign("churn@4", reason="the good old one")
    assert problems(registry) == []


def test_what_was_purged_and_put_again_without_a_row_is_garbage(registry: Registry) -> None:
    version = register(registry, "the same")
    registry.purge(NOTHING)
    put(registry, "the same")
    assert [row.digest for row in registry.find_garbage().leftovers] == [version.artifact]
    assert [row.digest for row in registry.collect_garbage().leftovers] == [version.artifact]
    assert kept(registry) == set()
    assert registry.find_garbage().leftovers == []


def purge_and_die(place: Place, moment: str) -> None:
    with place.open() as registry:
        deadly(registry, place, moment).purge(NOTHING)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_is_killed_at_the_bytes_leaves_no_version_that_seems_to_have_them(
    place: Place, registry: Registry, moment: str
) -> None:
    for _ in range(3):
        register(registry)
    killed = forks().Process(target=purge_and_die, args=(place, moment))
    killed.start()
    assert ended(killed) == -signal.SIGKILL
    assert len(kept(registry)) == (3 if moment == "before" else 2)
    assert problems(registry) == []
    with pytest.raises(ArtifactPurged):
        registry.assign("churn@1", reason="in the meantime")
    registry.collect_garbage()
    assert kept(registry) == set()
    assert problems(registry) == []


# Whoever acts meanwhile


@pytest.mark.parametrize(
    "act",
    [
        lambda registry: registry.assign("churn@1", reason="after all"),
        lambda registry: registry.pin("churn@1", reason="after all"),
        lambda registry: register(registry, "the first", model="churn-eu"),
    ],
    ids=["assign", "pin", "register"],
)
def test_what_comes_between_the_plan_and_the_purge_counts(
    registry: Registry, act: Callable[[Registry], object]
) -> None:
    """The policy is asked again while the models are locked."""
    first = register(registry, "the first")
    for model in ("churn", "churn-eu"):
        register(registry, model=model)
    going = [row.digest for row in registry.plan_purge(NOTHING).artifacts]
    act(registry)
    registry.pin("churn-eu@1", reason="the reference")
    policy = NOTHING.model_copy(update={"keep_last": 1})
    given_up = Disposal(registry.backend.rows).give_up(going, policy)
    assert first.artifact in going
    assert first.artifact not in {row.digest for row in given_up}


@pytest.mark.parametrize("what", ["assign", "pin"])
def test_who_wants_a_version_while_it_is_given_up_waits_and_is_refused(registry: Registry, what: str) -> None:
    version = register(registry)
    refused: list[Exception] = []

    def want() -> None:
        try:
            getattr(registry, what)(version.reference, reason="meanwhile")
        except ArtifactPurged as error:
            refused.append(error)

    class Slow(RetentionPolicy):
        def expendable(self, holders: Iterable[Holder], standings: Mapping[str, Standing]) -> set[str]:
            wanting.start()
            time.sleep(0.3)
            return super().expendable(holders, standings)

    wanting = Thread(target=want)
    policy = Slow.model_validate(NOTHING.model_dump())
    assert len(Disposal(registry.backend.rows).give_up([version.artifact], policy)) == 1
    wanting.join()
    assert len(refused) == 1
    assert registry.aliases("churn") == {}
    assert registry.pins("churn") == {}


def ended(process: BaseProcess) -> int | None:
    """With which status the process ended."""
    process.join(PATIENCE)
    process.kill()
    return process.exitcode


def test_bytes_in_a_bucket_are_given_up_too(make_bucket: Callable[[], str], database_url: str) -> None:
    with Place(database_url, f"s3://{make_bucket()}/team").open() as registry:
        register(registry)
        second = register(registry)
        registry.pin("churn@2", reason="the reference")
        assert len(registry.purge(NOTHING)) == 1
        assert kept(registry) == {second.artifact}
        with pytest.raises(ArtifactPurged):
            registry.fetch("churn@1", "nowhere")
