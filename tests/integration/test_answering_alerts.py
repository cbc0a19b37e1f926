"""An alert from outside is answered once: by a rollback, or by a note that says why nothing moved."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from registry import Registry
from registry.exceptions import (
    AliasConflict,
    AliasNotSet,
    ArtifactStoreUnavailable,
    InvalidName,
    InvalidValue,
    ModelNotFound,
    ReasonMissing,
    VersionNotFound,
)
from registry.monitoring_policy import MonitoringPolicy, RollbackPolicy
from registry.rollback import Alert
from registry.scoring import Batch
from registry.store import Store
from tests.reigns import CLOSED, bytes_of, corrupt, falls, in_force, lose, three_reigns
from tests.three_versions import holdout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry.ledger import Reign
    from registry.tables import LedgerEntry


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, which were put in force one after the other."""
    with three_reigns(tmp_path_factory, tmp_path) as registry:
        yield registry


# Once


def answer(registry: Registry, key: str = "17", **alert: Any) -> LedgerEntry:
    policy = alert.pop("policy", None)
    return registry.answer(Alert(**{"model": "churn", "reason": "it fell", "key": key} | alert), policy)


def at(registry: Registry, moment: datetime) -> Registry:
    """The registry as somebody sees it who looks at *moment*."""
    rows = replace(registry.backend.rows, clock=lambda: moment)
    return Registry.of(replace(registry.backend, rows=rows))


def moved_at(registry: Registry, sequence: int) -> datetime:
    return registry.history("churn")[sequence - 1].recorded_at


@contextmanager
def without_store(registry: Registry, tmp_path: Path) -> Iterator[None]:
    """The folder is gone, as if the volume had not been mounted."""
    folder = bytes_of(registry, 2).parents[1]
    folder.rename(tmp_path / "elsewhere")
    yield
    (tmp_path / "elsewhere").rename(folder)


def watch_two_answer(registry: Registry, target: int = 2) -> None:
    """Version 3 is suspect, and its *target* answered a batch beside it."""
    quick = MonitoringPolicy(rollback=RollbackPolicy(served=0))
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    fall = registry.observe(
        "churn@champion", metric="accuracy", value=0.3, rows=500, batch="1", at=moment, policy=quick
    )
    assert fall.status == "suspect"
    batch = Batch(rows=holdout(7), key="2", at=moment, metric="accuracy")
    assert registry.score("churn@champion", batch).target == target


def test_an_alert_takes_the_version_in_force_down_and_says_by_which_rules(registry: Registry) -> None:
    entry = answer(registry)
    assert (entry.kind, entry.in_force, entry.replaced, entry.reason) == ("rolled-back", 2, 3, "it fell")
    assert entry.evidence == {
        "fell": "churn@3",
        "passed_over": {},
        "proof": "predicts its example",
        "alert": "17",
        "policy": RollbackPolicy().model_dump(mode="json"),
    }


def test_an_alert_is_answered_once(registry: Registry) -> None:
    first = answer(registry)
    later = at(registry, first.recorded_at + timedelta(days=1))
    assert answer(later) == first
    registry.assign("churn@1", reason="I looked")
    assert answer(later) == first
    registry.clear("churn", reason="gone")
    assert answer(later) == first
    assert falls(registry) == [(3, 2)]


def test_a_note_is_an_answer_too(registry: Registry) -> None:
    note = answer(registry, version=2)
    registry.assign("churn@2", reason="I looked")
    assert answer(registry, version=2) == note
    assert in_force(registry) == 2


def test_each_alias_answers_an_alert_for_itself(registry: Registry) -> None:
    for number in (1, 3):
        registry.assign(f"churn@{number}", alias="shadow", reason="start")
    answer(registry)
    assert answer(registry, alias="shadow").in_force == 1
    assert registry.aliases("churn") == {"champion": 2, "shadow": 1}


@pytest.mark.parametrize("version", [None, 3])
def test_alerts_that_come_together_about_one_version_are_answered_by_one_entry(
    registry: Registry, version: int | None
) -> None:
    first = answer(registry, "1", version=version)
    assert answer(registry, "2", version=3) == answer(registry, "3", version=3) == first
    assert answer(at(registry, first.recorded_at + timedelta(minutes=1)), "4", version=3) == first
    assert len(registry.history("churn")) == 4


@pytest.mark.parametrize("late", [timedelta(0), timedelta(minutes=1)])
def test_an_alert_that_names_no_version_and_finds_it_fallen_gets_a_note_of_that(
    registry: Registry, late: timedelta
) -> None:
    fall = answer(registry, "1")
    note = answer(at(registry, fall.recorded_at + late), "2")
    assert (note.kind, note.reference, note.in_force) == ("alerted", "churn@3", 2)
    assert note.evidence == {"alert": "2", "why": "answered", "entry": fall.sequence}
    assert (
        note.reason
        == f"it fell; nothing moves: the rollback of churn@3 in entry {fall.sequence} is the answer"
    )


def test_an_alert_that_another_one_answered_takes_down_nobody_when_it_comes_again(registry: Registry) -> None:
    """Whoever repeats an alert does so minutes later, when it would be about the version that took over."""
    fall = answer(registry, "our own", version=3)
    note = answer(at(registry, fall.recorded_at + timedelta(seconds=30)), "am-1")
    for minutes in (6, 6 * 60):
        again = fall.recorded_at + timedelta(minutes=minutes)
        assert answer(at(registry, again), "am-1") == answer(at(registry, again), "am-1", at=again) == note
    assert falls(registry) == [(3, 2)]
    assert registry.history("churn")[3:] == [fall, note]


def test_an_alert_after_a_rollback_by_hand_is_answered_by_that(registry: Registry) -> None:
    by_hand = registry.roll_back("churn", reason="I looked")
    assert answer(registry, "1", version=3) == by_hand
    assert answer(registry, "2").evidence["entry"] == by_hand.sequence
    assert in_force(registry) == 2


def test_an_alert_that_was_raised_before_the_fall_and_arrives_late_is_about_the_fall(
    registry: Registry,
) -> None:
    first = answer(registry, "1")
    later = at(registry, first.recorded_at + timedelta(hours=3))
    assert answer(later, "2", at=moved_at(registry, 3)).evidence["entry"] == first.sequence
    assert answer(later, "3", at=first.recorded_at, version=3) == first
    assert falls(registry) == [(3, 2)]


def test_an_alert_from_a_clock_that_is_ahead_was_not_raised_later_than_it_came(registry: Registry) -> None:
    first = answer(registry, "1")
    ahead = first.recorded_at + timedelta(hours=1)
    assert answer(at(registry, first.recorded_at), "2", at=ahead).evidence["why"] == "answered"


def test_an_alert_a_while_after_the_fall_is_about_who_came_then(registry: Registry) -> None:
    first = answer(registry, "1")
    later = at(registry, first.recorded_at + timedelta(minutes=1, seconds=1))
    assert answer(later, "2").in_force == 1
    assert falls(registry) == [(3, 2), (2, 1)]


def test_an_alert_about_who_came_then_is_never_an_echo(registry: Registry) -> None:
    answer(registry, "1")
    assert answer(registry, "2", version=2).in_force == 1


def test_an_alert_just_after_an_assignment_is_about_who_was_assigned(registry: Registry) -> None:
    answer(registry, "1")
    registry.assign("churn@3", reason="it was the feed")
    assert answer(registry, "2").evidence["fell"] == "churn@3"


@pytest.mark.parametrize("named", [True, False])
def test_an_alert_about_a_version_long_superseded_moves_nothing(registry: Registry, named: bool) -> None:  # noqa: FBT001, an example
    accused = {"version": 2} if named else {"at": moved_at(registry, 2)}
    entry = answer(registry, **accused)
    assert (entry.kind, entry.reference, entry.in_force) == ("alerted", "churn@2", 3)
    assert entry.evidence == {"alert": "17", "why": "not in force"}
    assert entry.reason == "it fell; nothing moves: version 3 is in force"


def test_an_alert_about_a_version_that_fell_a_while_ago_moves_nothing(registry: Registry) -> None:
    later = at(registry, answer(registry, "1").recorded_at + timedelta(hours=1))
    entry = answer(later, "2", version=3)
    assert (entry.kind, entry.evidence["why"], entry.in_force) == ("alerted", "not in force", 2)


def test_a_time_without_a_zone_is_no_time(registry: Registry) -> None:
    local = moved_at(registry, 2).astimezone().replace(tzinfo=None)
    with pytest.raises(InvalidValue, match="give it a zone"):
        answer(registry, "1", at=local)


@pytest.mark.parametrize(
    ("alert", "failure"),
    [
        ({"version": 9}, VersionNotFound),
        ({"version": 0}, VersionNotFound),
        ({"version": -1}, VersionNotFound),
        ({"model": "chrun"}, ModelNotFound),
        ({"alias": "shadow"}, AliasNotSet),
        ({"alias": "latest"}, InvalidName),
        ({"key": "17\0"}, InvalidName),
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, AliasNotSet),
        ({"reason": " "}, ReasonMissing),
        ({"reason": " ", "version": 2}, ReasonMissing),
    ],
)
def test_an_alert_that_makes_no_sense_writes_nothing(
    registry: Registry, alert: dict[str, Any], failure: type[Exception]
) -> None:
    before = registry.history("churn")
    with pytest.raises(failure):
        answer(registry, **alert)
    assert registry.history("churn") == before


def test_an_alert_that_finds_no_predecessor_is_noted(registry: Registry) -> None:
    registry.clear("churn", reason="begin anew")
    registry.assign("churn@1", alias="lonely", reason="start")
    entry = answer(registry, alias="lonely")
    assert (entry.kind, entry.in_force, entry.evidence["why"]) == ("alerted", 1, "no predecessor")
    assert entry.reason == "it fell; nothing moves: version 1 has no trusted predecessor"


@pytest.mark.parametrize(("harm", "why"), [(lose, "has no artifact"), (corrupt, "was not opened")])
def test_an_alert_passes_over_who_does_not_work_and_says_why(
    registry: Registry, harm: Callable[[Registry], None], why: str
) -> None:
    harm(registry)
    entry = answer(registry)
    assert entry.in_force == 1
    assert why in entry.evidence["passed_over"]["churn@2"]


def test_an_alert_that_finds_nobody_who_works_is_noted_with_all_the_reasons(registry: Registry) -> None:
    corrupt(registry)
    bytes_of(registry, 1).unlink()
    entry = answer(registry)
    assert (entry.kind, entry.in_force) == ("alerted", 3)
    assert re.search(r"was not opened.*; .*has no artifact", entry.reason)


# While the store is away


def test_a_store_that_is_gone_condemns_nobody_and_the_alert_may_be_answered_later(
    registry: Registry, tmp_path: Path
) -> None:
    before = registry.history("churn")
    with without_store(registry, tmp_path):
        with pytest.raises(ArtifactStoreUnavailable, match="holds nothing at all"):
            answer(registry)
        with pytest.raises(ArtifactStoreUnavailable):
            registry.roll_back("churn", reason="I looked")
    assert registry.history("churn") == before
    assert answer(registry).in_force == 2


def test_a_bucket_out_of_reach_condemns_nobody(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CLOSED.items():
        monkeypatch.setenv(name, value)
    away = Registry(registry.backend.rows.name, artifacts="s3://bucket", actor="ada")
    before = registry.history("churn")
    with away:
        with pytest.raises(ArtifactStoreUnavailable):
            answer(away)
        assert registry.history("churn") == before
        watch_two_answer(registry)
        assert answer(away, policy=RollbackPolicy(served=0)).in_force == 2


def test_a_target_that_answered_lately_takes_over_without_the_store(
    registry: Registry, tmp_path: Path
) -> None:
    watch_two_answer(registry)
    with without_store(registry, tmp_path):
        entry = answer(registry, policy=RollbackPolicy(served=0))
    assert (entry.in_force, entry.evidence["proof"]) == (2, "answered beside the champion")


def test_a_target_that_answered_long_ago_proves_itself_again(registry: Registry, tmp_path: Path) -> None:
    watch_two_answer(registry)
    answered = registry.observations("churn", metric="accuracy")[-1].recorded_at
    policy = RollbackPolicy(served=0, proved_within=timedelta(minutes=5))
    later = at(registry, answered + timedelta(minutes=5, seconds=1))
    with without_store(registry, tmp_path), pytest.raises(ArtifactStoreUnavailable):
        answer(later, policy=policy)
    assert answer(later, policy=policy).evidence["proof"] == "predicts its example"


def test_a_target_that_answered_beside_an_earlier_reign_proves_itself_again(registry: Registry) -> None:
    watch_two_answer(registry)
    registry.assign("churn@1", reason="hotfix")
    registry.assign("churn@2", reason="and")
    registry.assign("churn@3", reason="back")
    assert answer(registry, policy=RollbackPolicy(served=0)).evidence["proof"] == "predicts its example"


def test_who_was_measured_beside_it_takes_over_before_a_nearer_one(
    registry: Registry, tmp_path: Path
) -> None:
    path = bytes_of(registry, 2)
    path.rename(tmp_path / "elsewhere")
    watch_two_answer(registry, target=1)
    (tmp_path / "elsewhere").rename(path)
    entry = answer(registry, policy=RollbackPolicy(served=0))
    assert (entry.in_force, entry.evidence["proof"]) == (1, "answered beside the champion")


def test_who_was_better_on_live_rows_is_tried_before_a_nearer_one(registry: Registry) -> None:
    """The alert comes so late that whoever was better has to prove itself again."""
    entry = answer(registry, target=1)
    assert (entry.in_force, entry.evidence["proof"]) == (1, "predicts its example")
    assert entry.evidence["passed_over"] == {}


def test_who_was_better_takes_over_though_another_one_answered_lately(registry: Registry) -> None:
    watch_two_answer(registry)
    policy = RollbackPolicy(served=0)
    assert answer(registry, target=1, policy=policy).in_force == 1


def test_who_was_better_and_answered_lately_takes_over_without_the_store(
    registry: Registry, tmp_path: Path
) -> None:
    watch_two_answer(registry)
    with without_store(registry, tmp_path):
        entry = answer(registry, target=2, policy=RollbackPolicy(served=0))
    assert (entry.in_force, entry.evidence["proof"]) == (2, "answered beside the champion")


def test_who_was_better_and_works_no_more_leaves_the_place_to_the_nearest(registry: Registry) -> None:
    bytes_of(registry, 1).unlink()
    entry = answer(registry, target=1)
    assert entry.in_force == 2
    assert list(entry.evidence["passed_over"]) == ["churn@1"]


@pytest.mark.parametrize("target", [1, 3, 9])
def test_who_is_no_predecessor_that_is_trusted_is_no_target(registry: Registry, target: int) -> None:
    registry.roll_back("churn", reason="so that 3 is quarantined")
    registry.clear("churn", reason="begin anew")
    registry.assign("churn@2", alias="shadow", reason="start")
    registry.assign("churn@1", alias="shadow", reason="next")
    assert answer(registry, alias="shadow", target=target).in_force == 2


def test_who_was_better_and_served_too_little_is_no_target(registry: Registry) -> None:
    watch_two_answer(registry)
    entry = answer(registry, target=1, policy=RollbackPolicy(served=1))
    assert (entry.kind, entry.evidence["why"]) == ("alerted", "no predecessor")
    assert entry.reason.index("churn@1 served") < entry.reason.index("churn@2 served")


@pytest.mark.parametrize("order", [("accuracy", "f1"), ("f1", "accuracy")])
def test_an_alert_follows_the_policy_by_which_the_alias_was_watched_last(
    registry: Registry, order: tuple[str, str]
) -> None:
    registry.evaluate("churn@3", holdout(), metrics=["f1"])
    policies = [RollbackPolicy(served=0, freeze_after=limit) for limit in (5, 7)]
    for metric, rules in zip(order, policies, strict=True):
        watch = MonitoringPolicy(rollback=rules)
        registry.observe("churn@champion", metric=metric, value=0.9, rows=500, batch="1", policy=watch)
    assert answer(registry).evidence["policy"] == policies[1].model_dump(mode="json")


def test_an_alert_may_bring_a_policy_of_its_own(registry: Registry) -> None:
    watch_two_answer(registry)
    policy = RollbackPolicy(served=0, freeze_after=9)
    assert answer(registry, policy=policy).evidence["policy"] == policy.model_dump(mode="json")


def test_who_looked_has_the_target_prove_itself_anyhow(registry: Registry) -> None:
    watch_two_answer(registry)
    assert registry.roll_back("churn", reason="I looked").evidence["proof"] == "predicts its example"


# While others move the alias


class Restless(Store):
    """The alias moves each time after somebody has read who is in force, so many times."""

    moves: ClassVar[list[str]] = []
    others: ClassVar[Any] = None

    def reign(self, model: str, alias: str, at: datetime | None = None) -> Reign:
        found = super().reign(model, alias, at)
        if self.moves:
            self.others.assign(self.moves.pop(), reason="meanwhile")
        return found


@pytest.fixture
def restless(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """Each call returns a registry in which others assign these versions meanwhile."""
    monkeypatch.setattr(Restless, "others", registry)

    def make(*moves: int) -> Registry:
        monkeypatch.setattr(Restless, "moves", [f"churn@{number}" for number in reversed(moves)])
        rows = registry.backend.rows
        return Registry.of(replace(registry.backend, rows=Restless(rows.engine, rows.origin)))

    return make


def test_an_alert_about_a_version_that_was_replaced_meanwhile_moves_nothing(
    restless: Callable[..., Registry],
) -> None:
    registry = restless(2)
    entry = answer(registry, version=3)
    assert (entry.kind, entry.evidence["why"], in_force(registry)) == ("alerted", "not in force", 2)


def test_an_alert_about_whoever_is_in_force_does_not_take_down_who_came_meanwhile(
    restless: Callable[..., Registry],
) -> None:
    registry = restless(2)
    entry = answer(registry)
    assert (entry.kind, entry.reference, in_force(registry)) == ("alerted", "churn@3", 2)


def test_an_alert_is_answered_though_the_alias_moves_a_few_times(restless: Callable[..., Registry]) -> None:
    entry = answer(restless(2, 1, 2, 3), version=3)
    assert (entry.kind, entry.replaced, entry.sequence) == ("rolled-back", 3, 8)


def test_a_note_is_not_made_of_what_is_no_longer_so(restless: Callable[..., Registry]) -> None:
    """Version 2 comes into force while it is being written that another one is."""
    entry = answer(restless(2), version=2)
    assert (entry.kind, entry.replaced, entry.in_force) == ("rolled-back", 2, 3)


def test_an_alias_that_never_stands_still_is_not_for_an_alert_to_move(
    restless: Callable[..., Registry],
) -> None:
    registry = restless(*[2, 3] * 5)
    with pytest.raises(AliasConflict):
        answer(registry)
    assert falls(registry) == []
