"""What no automatic step does after a version fell: bring it back, replace it in haste, or fall further."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest
from sklearn.dummy import DummyClassifier

from registry import Registry
from registry.monitoring_policy import MonitoringPolicy, RollbackPolicy
from registry.rollback import Alert
from registry.suspicion import Reading
from tests.examples import fit, make_dataset
from tests.three_versions import POLICY, holdout, three_versions, training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry import PromotionDecision
    from registry.tables import LedgerEntry, Observation

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
CAREFUL = RollbackPolicy(served=0, cooldown_batches=3, cooldown=timedelta(days=2))
WATCHED = MonitoringPolicy(patience=2, first_batches=0, rollback=CAREFUL)

_batches, _alerts = count(), count()


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, which were put in force one after the other."""
    with three_versions(tmp_path_factory, tmp_path) as registry:
        for number in (1, 2, 3):
            registry.assign(f"churn@{number}", reason=f"version {number}")
        yield registry


def observe(registry: Registry, values: list[float], metric: str = "accuracy") -> list[Observation]:
    now = registry.backend.rows.clock()
    readings = [Reading(batch=f"{next(_batches)}", value=value, rows=500, at=now) for value in values]
    return registry.observe_many("churn@champion", metric=metric, readings=readings, policy=WATCHED)


def healthy(registry: Registry, batches: int, metric: str = "accuracy") -> None:
    reference = registry.evaluations("churn@champion")[0].metrics[metric]
    assert {row.status for row in observe(registry, [reference] * batches, metric)} == {"healthy"}


def alerted(registry: Registry, policy: RollbackPolicy = CAREFUL) -> LedgerEntry:
    """What becomes of one more alert, of which the ledger hears a while after the last move."""
    later = registry.history("churn")[-1].recorded_at + timedelta(minutes=2)
    return at(registry, later).answer(Alert(model="churn", reason="it fell", key=f"{next(_alerts)}"), policy)


def at(registry: Registry, moment: datetime) -> Registry:
    """The registry as somebody sees it who looks at *moment*."""
    rows = replace(registry.backend.rows, clock=lambda: moment)
    return Registry.of(replace(registry.backend, rows=rows))


def judge(registry: Registry, reference: str = "churn@4") -> PromotionDecision:
    return registry.decide(reference, holdout(), POLICY)


def challenger(registry: Registry) -> None:
    """Version 4, better than any that is in force after version 3 fell."""
    rows = make_dataset(rows=600, seed=9, name="march", origin=[row // 2 % 3 for row in range(600)])
    assert registry.register("churn", fit(rows), trained_on=rows).number == 4


# Who may take over


def test_a_target_served_long_enough(registry: Registry) -> None:
    registry.assign("churn@1", reason="a while ago")
    healthy(registry, 30)
    registry.assign("churn@2", reason="a week ago")
    healthy(registry, 29)
    registry.assign("churn@3", reason="yesterday")
    entry = alerted(registry, RollbackPolicy())
    assert entry.in_force == 1
    assert entry.evidence["passed_over"] == {"churn@2": "churn@2 served 29 healthy batches"}


def test_a_target_served_over_all_its_reigns(registry: Registry) -> None:
    for _ in range(2):
        registry.assign("churn@2", reason="again")
        healthy(registry, 15)
        registry.assign("churn@3", reason="and back")
    assert alerted(registry, RollbackPolicy()).in_force == 2


def test_a_target_served_by_the_metric_that_counted_most(registry: Registry) -> None:
    registry.assign("churn@2", reason="a week ago")
    for reference in ("churn@2", "churn@3"):
        registry.evaluate(reference, holdout(), metrics=["f1"])
    healthy(registry, 2)
    healthy(registry, 3, metric="f1")
    registry.assign("churn@3", reason="yesterday")
    assert alerted(registry, CAREFUL.model_copy(update={"served": 3})).in_force == 2


def test_where_nobody_watches_no_service_is_asked(registry: Registry) -> None:
    assert alerted(registry, RollbackPolicy()).in_force == 2


def test_watching_one_alias_asks_no_service_under_another(registry: Registry) -> None:
    healthy(registry, 1)
    for number in (2, 3):
        registry.assign(f"churn@{number}", alias="shadow", reason="shadow")
    alert = Alert(model="churn", alias="shadow", reason="it fell", key="1")
    assert registry.answer(alert).in_force == 2


def test_where_somebody_watches_who_never_served_is_no_target(registry: Registry) -> None:
    healthy(registry, 1)
    entry = alerted(registry, RollbackPolicy())
    assert (entry.kind, entry.in_force, entry.evidence["why"]) == ("alerted", 3, "no predecessor")
    assert "churn@2 served 0 healthy batches; churn@1 served 0 healthy batches" in entry.reason


def test_who_looked_may_go_back_to_a_version_that_never_served(registry: Registry) -> None:
    healthy(registry, 1)
    assert registry.roll_back("churn", reason="I looked").in_force == 2


# Quarantine


def test_an_identical_retrain_of_a_fallen_version_is_held(registry: Registry) -> None:
    """On other rows the same estimator came out, so it is another version and the same model."""
    rows = make_dataset(rows=400, seed=5, name="march", origin=training().frame["origin"].tolist())
    same = fit(training())
    again = registry.register("churn", same, trained_on=rows)
    assert again.number == 4
    fall = registry.roll_back("churn", reason="broken")
    decision = judge(registry)
    assert decision.verdict == "inconclusive"
    assert "; ".join(decision.reasons) == (
        f"churn@4 is churn@3 over again, which was rolled back in entry {fall.sequence}; "
        "only an assignment by hand brings it back"
    )
    assert registry.promote(decision).kind == "held"
    registry.assign("churn@4", reason="it was the feed")
    assert registry.aliases("churn") == {"champion": 4}


def test_a_retrain_on_the_same_rows_is_the_fallen_version_and_held(registry: Registry) -> None:
    registry.roll_back("churn", reason="broken")
    again = registry.register("churn", fit(training()), trained_on=training())
    assert again.number == 3
    assert judge(registry, again.reference).verdict == "inconclusive"


def test_a_quarantine_is_of_one_alias(registry: Registry) -> None:
    registry.assign("churn@1", alias="shadow", reason="start")
    registry.roll_back("churn", reason="broken")
    assert registry.decide("churn@3", holdout(), POLICY, alias="shadow").approved


def test_another_model_is_not_held_for_what_fell(registry: Registry) -> None:
    challenger(registry)
    registry.roll_back("churn", reason="broken")
    assert judge(registry).approved


# Cooldown


def test_after_an_automatic_rollback_nothing_is_promoted_by_itself(registry: Registry) -> None:
    challenger(registry)
    fall = alerted(registry)
    decision = judge(registry)
    end = fall.recorded_at + timedelta(days=2)
    assert decision.verdict == "inconclusive"
    assert "; ".join(decision.reasons) == (
        f"cooling down after the rollback in entry {fall.sequence}: nothing is promoted by itself before"
        f" 3 healthy batches in a row, or {end:%Y-%m-%d %H:%M} UTC"
    )
    entry = registry.promote(decision)
    assert (entry.kind, entry.in_force) == ("held", 2)
    assert registry.backend.rows.looks("churn", holdout().fingerprint) == 0


def test_a_cooldown_is_over_after_so_many_healthy_batches_in_a_row(registry: Registry) -> None:
    challenger(registry)
    alerted(registry)
    held = registry.promote(judge(registry))
    healthy(registry, 2)
    assert not judge(registry).approved
    healthy(registry, 1)
    decision = judge(registry)
    assert (decision.approved, decision.look) == (True, 1)
    assert decision.key != held.key
    assert registry.promote(decision).in_force == 4


def test_batches_that_are_interrupted_by_an_alarm_are_not_in_a_row(registry: Registry) -> None:
    challenger(registry)
    alerted(registry)
    healthy(registry, 2)
    assert observe(registry, [0.1])[0].status == "suspect"
    assert [row.status for row in observe(registry, [0.99] * 3)] == ["suspect", "healthy", "healthy"]
    assert not judge(registry).approved
    healthy(registry, 2)
    assert judge(registry).approved


def test_a_cooldown_that_is_over_stays_over(registry: Registry) -> None:
    challenger(registry)
    alerted(registry)
    healthy(registry, 3)
    assert observe(registry, [0.1])[0].status == "suspect"
    assert judge(registry).approved


def test_how_healthy_the_target_was_in_an_earlier_reign_ends_no_cooldown(registry: Registry) -> None:
    challenger(registry)
    registry.assign("churn@2", reason="a week ago")
    healthy(registry, 3)
    registry.assign("churn@3", reason="yesterday")
    assert alerted(registry).in_force == 2
    healthy(registry, 2)
    assert not judge(registry).approved


def test_of_several_metrics_each_has_to_recover(registry: Registry) -> None:
    challenger(registry)
    registry.evaluate("churn@2", holdout(), metrics=["f1"])
    alerted(registry)
    healthy(registry, 3)
    healthy(registry, 2, metric="f1")
    assert not judge(registry).approved
    healthy(registry, 1, metric="f1")
    assert judge(registry).approved


def test_a_cooldown_is_over_after_some_time(registry: Registry) -> None:
    challenger(registry)
    fall = alerted(registry)
    registry.promote(judge(registry))
    end = fall.recorded_at + timedelta(days=2)
    assert not judge(at(registry, end - timedelta(seconds=1))).approved
    assert judge(at(registry, end)).approved


def test_a_held_question_finds_its_answer_as_long_as_the_cooldown_lasts(registry: Registry) -> None:
    challenger(registry)
    alerted(registry)
    entry = registry.promote(judge(registry))
    assert registry.promote(judge(registry)) == entry


def test_a_deliberate_assignment_ends_the_cooldown(registry: Registry) -> None:
    challenger(registry)
    alerted(registry)
    registry.assign("churn@1", reason="I looked")
    assert judge(registry).approved


def test_who_rolls_back_by_hand_has_looked_so_nothing_cools_down(registry: Registry) -> None:
    challenger(registry)
    registry.roll_back("churn", reason="I looked")
    assert judge(registry).approved


def test_a_cooldown_follows_the_policy_that_the_rollback_was_made_by(registry: Registry) -> None:
    challenger(registry)
    fall = alerted(registry, CAREFUL.model_copy(update={"cooldown": timedelta(0)}))
    assert judge(at(registry, fall.recorded_at)).approved


# Freeze


def fallen_twice(registry: Registry) -> LedgerEntry:
    first, second = alerted(registry), alerted(registry)
    assert [first.in_force, second.in_force] == [2, 1]
    return second


def test_after_two_automatic_rollbacks_nothing_moves_by_itself(registry: Registry) -> None:
    challenger(registry)
    registry.clear("churn", reason="begin anew")
    for number in (4, 1, 2, 3):
        registry.assign(f"churn@{number}", reason="again")
    fall = fallen_twice(registry)
    entry = alerted(registry)
    assert (entry.kind, entry.in_force, entry.evidence["why"]) == ("alerted", 1, "frozen")
    assert entry.reason == (
        "it fell; nothing moves: frozen: 2 automatic rollbacks without a healthy period in between,"
        f" the last in entry {fall.sequence}; move the alias by hand, or wait for 3 healthy batches in a row"
    )
    later = at(registry, fall.recorded_at + timedelta(days=99))
    decision = judge(later)
    assert (decision.verdict, decision.reasons[0][:7]) == ("inconclusive", "frozen:")
    assert registry.roll_back("churn", reason="I looked").in_force == 4


def test_a_freeze_ends_with_an_assignment(registry: Registry) -> None:
    challenger(registry)
    fallen_twice(registry)
    registry.assign("churn@2", reason="I looked")
    assert judge(registry).approved
    assert alerted(registry).in_force == 1


def test_a_freeze_ends_with_a_healthy_period(registry: Registry) -> None:
    challenger(registry)
    fallen_twice(registry)
    healthy(registry, 2)
    assert judge(registry).reasons[0].startswith("frozen:")
    healthy(registry, 1)
    assert judge(registry).approved


def test_a_freeze_ends_with_a_rollback_by_hand(registry: Registry) -> None:
    challenger(registry)
    mode = fit(training(), DummyClassifier(strategy="most_frequent"))
    registry.register("churn", mode, trained_on=training())
    registry.clear("churn", reason="begin anew")
    for number in (5, 4, 1, 2, 3):
        registry.assign(f"churn@{number}", reason="again")
    fallen_twice(registry)
    assert registry.roll_back("churn", reason="I looked").in_force == 4
    assert alerted(registry).in_force == 5


def test_without_a_cooldown_there_still_is_a_freeze_that_one_healthy_batch_ends(registry: Registry) -> None:
    hasty = CAREFUL.model_copy(update={"cooldown_batches": 0})
    challenger(registry)
    assert [alerted(registry, hasty).kind for _ in range(2)] == ["rolled-back"] * 2
    note = alerted(registry, hasty)
    assert note.evidence["why"] == "frozen"
    assert note.reason.endswith("or wait for 1 healthy batch in a row")
    healthy(registry, 1)
    assert judge(registry).approved


def test_a_cooldown_of_no_batches_is_none(registry: Registry) -> None:
    challenger(registry)
    alerted(registry, CAREFUL.model_copy(update={"cooldown_batches": 0}))
    assert judge(registry).approved


def test_a_healthy_period_in_between_keeps_it_from_freezing(registry: Registry) -> None:
    """A version that served well and then fell ends its reign with an alarm, and had its healthy period."""
    alerted(registry)
    healthy(registry, 3)
    assert observe(registry, [0.1])[0].healthy == 0
    assert alerted(registry).in_force == 1
    registry.register("churn", fit(training(), DummyClassifier(strategy="prior")), trained_on=training())
    assert alerted(registry).evidence["why"] == "no predecessor"


def test_an_alarm_after_the_freeze_was_lifted_does_not_freeze_again(registry: Registry) -> None:
    challenger(registry)
    registry.clear("churn", reason="begin anew")
    for number in (4, 1, 2, 3):
        registry.assign(f"churn@{number}", reason="again")
    fallen_twice(registry)
    healthy(registry, 3)
    assert observe(registry, [0.01])[0].healthy == 0
    assert alerted(registry).in_force == 4


def test_a_rollback_by_hand_in_between_counts_for_no_freeze(registry: Registry) -> None:
    challenger(registry)
    registry.clear("churn", reason="begin anew")
    for number in (4, 1, 2, 3):
        registry.assign(f"churn@{number}", reason="again")
    alerted(registry)
    registry.roll_back("churn", reason="I looked")
    assert alerted(registry).in_force == 4


def test_a_promotion_in_between_counts_for_no_freeze(registry: Registry) -> None:
    challenger(registry)
    alerted(registry)
    healthy(registry, 3)
    assert registry.promote(judge(registry)).in_force == 4
    assert alerted(registry).in_force == 2
    assert alerted(registry).in_force == 1


@pytest.mark.parametrize(("limit", "answers"), [(1, ["rolled-back", "alerted"]), (3, ["rolled-back"] * 2)])
def test_how_many_falls_freeze_is_the_policys(registry: Registry, limit: int, answers: list[str]) -> None:
    policy = CAREFUL.model_copy(update={"freeze_after": limit})
    assert [alerted(registry, policy).kind for _ in range(2)] == answers
    assert alerted(registry, policy).evidence["why"] == ("frozen" if limit == 1 else "no predecessor")
