from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from math import nan, pi
from typing import TYPE_CHECKING, Any

import pytest

from registry import Better, Dataset, Floor, NotWorse, PromotionDecision, PromotionPolicy, Registry
from registry.exceptions import (
    AliasConflict,
    AliasNotSet,
    AlreadyInForce,
    ArtifactMissing,
    DecisionConflict,
    InvalidDataset,
    InvalidMetric,
    InvalidName,
    InvalidPolicy,
    ModelNotFound,
    ReasonMissing,
    RegistryError,
    SchemaMismatch,
    TrainingDataAsEvidence,
    VersionNotFound,
)
from tests.examples import fit
from tests.three_versions import POLICY, holdout, three_versions, training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.tables import LedgerEntry

FLOOR = PromotionPolicy(checks=(Floor("accuracy", 0.4),))
GREEDY = PromotionPolicy(checks=FLOOR.checks, min_rows=10_000)
ROC = PromotionPolicy(checks=(Better("roc_auc"),))
STRICT = PromotionPolicy(checks=POLICY.checks, confidence=1 - 1e-12)


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, each better than the one before; none is in force."""
    with three_versions(tmp_path_factory, tmp_path) as registry:
        yield registry


def judge(registry: Registry, number: int, **question: Any) -> PromotionDecision:
    asked = {"holdout": holdout(), "policy": POLICY, **question}
    return registry.decide(f"churn@{number}", **asked)


def put_to_the_test(registry: Registry, number: int, **question: Any) -> LedgerEntry:
    return registry.promote(judge(registry, number, **question))


def in_force(registry: Registry) -> int | None:
    return registry.aliases("churn").get("champion")


def kinds(registry: Registry) -> list[str]:
    return [entry.kind for entry in registry.history("churn")]


def part(rows: slice, *, of: Dataset | None = None) -> Dataset:
    return Dataset.from_frame((of or holdout()).frame[rows], "late", "part")


def one_class(rows: int) -> Dataset:
    frame = holdout().frame
    return Dataset.from_frame(frame[frame["late"] == 1].head(rows), "late", "late flights")


# What goes live


def test_registering_never_promotes(registry: Registry) -> None:
    assert len(registry.versions("churn")) == 3
    assert registry.aliases("churn") == {}
    assert registry.history("churn") == []
    with pytest.raises(AliasNotSet, match="promote or assign a version first"):
        registry.resolve("churn@champion")


def test_the_first_version_goes_live_above_the_floor(registry: Registry) -> None:
    entry = put_to_the_test(registry, 1)
    assert (entry.kind, entry.version, entry.in_force, entry.replaced) == ("promoted", 1, 1, None)
    assert in_force(registry) == 1


def test_the_first_version_goes_live_where_there_is_no_floor(registry: Registry) -> None:
    put_to_the_test(registry, 1, policy=PromotionPolicy(checks=(Better("accuracy"),)))
    assert in_force(registry) == 1


@pytest.mark.parametrize(("floor", "kind"), [(0.5, "held"), (0.7, "rejected")])
def test_the_first_version_does_not_go_live_below_the_floor(
    registry: Registry, floor: float, kind: str
) -> None:
    entry = put_to_the_test(registry, 1, policy=PromotionPolicy(checks=(Floor("accuracy", floor),)))
    assert (entry.kind, entry.in_force) == (kind, None)
    assert in_force(registry) is None


def test_a_better_version_takes_the_alias(registry: Registry) -> None:
    for number in (1, 2, 3):
        put_to_the_test(registry, number)
        assert in_force(registry) == number
    assert [(entry.replaced, entry.in_force) for entry in registry.history("churn")] == [
        (None, 1),
        (1, 2),
        (2, 3),
    ]


def test_a_worse_version_is_rejected(registry: Registry) -> None:
    registry.assign("churn@3", reason="start")
    entry = put_to_the_test(registry, 2)
    assert (entry.kind, entry.in_force, entry.dataset) == ("rejected", 3, holdout().fingerprint)
    assert "provably below 0" in entry.reason


def test_a_tie_keeps_the_champion(registry: Registry) -> None:
    twin = fit(training()).set_params(C=0.9)  # the same numbers inside, another estimator to the registry
    registry.register("churn", twin, trained_on=training())
    registry.assign("churn@3", reason="start")
    entry = put_to_the_test(registry, 4)
    assert (entry.kind, entry.in_force) == ("held", 3)
    assert entry.reason.startswith("accuracy differs by 0 (")


@pytest.mark.parametrize(("rows", "kind"), [(99, "held"), (100, "promoted")])
def test_too_few_rows_decide_nothing(registry: Registry, rows: int, kind: str) -> None:
    entry = put_to_the_test(registry, 3, holdout=part(slice(rows)))
    assert entry.kind == kind
    assert kind == "promoted" or entry.reason == "99 rows cannot decide, the policy wants 100 or more"


def test_rows_too_few_for_a_metric_are_too_few_rather_than_an_error(registry: Registry) -> None:
    assert judge(registry, 1, holdout=one_class(3), policy=ROC).verdict == "inconclusive"


def test_all_kinds_of_judgement_leave_the_same_evidence(registry: Registry) -> None:
    registry.assign("churn@1", reason="start")
    promoted = put_to_the_test(registry, 2)
    rejected = put_to_the_test(registry, 1)
    held = put_to_the_test(registry, 3, policy=STRICT)
    assert [promoted.kind, rejected.kind, held.kind] == ["promoted", "rejected", "held"]
    for entry in (promoted, rejected, held):
        decision = PromotionDecision.model_validate(entry.evidence)
        assert entry.evidence == decision.model_dump(mode="json")
        assert entry.reason == "; ".join(decision.reasons)
        assert decision.challenger == entry.reference
        assert [check.measured is not None for check in decision.checks] == [True, True]


def test_deciding_moves_nothing_and_writes_nothing(registry: Registry) -> None:
    assert judge(registry, 1).approved
    assert registry.history("churn") == []


def test_the_champion_is_measured_on_the_holdout_if_it_was_not_yet(registry: Registry) -> None:
    put_to_the_test(registry, 1)
    decision = judge(registry, 2, holdout=holdout(seed=2))
    assert decision.champion == "churn@1"
    assert [evaluation.dataset for evaluation in registry.evaluations("churn@1")] == [
        holdout().fingerprint,
        holdout(seed=2).fingerprint,
    ]


def test_a_slice_that_is_harmed_keeps_the_champion(registry: Registry) -> None:
    registry.assign("churn@3", reason="start")
    policy = PromotionPolicy(
        checks=(NotWorse("accuracy", 0.9), NotWorse("accuracy", 0.0, slices="origin")), min_rows=1
    )
    decision = judge(registry, 1, policy=policy)
    assert decision.verdict == "reject"
    assert [check.outcome for check in decision.checks] == ["passed", "failed", "failed", "failed"]


# Failures are no results


@pytest.mark.parametrize(
    ("question", "failure"),
    [
        ({"policy": PromotionPolicy(checks=(Better("acuracy"),))}, InvalidMetric),
        ({"holdout": one_class(200), "policy": ROC}, InvalidMetric),
        ({"policy": PromotionPolicy(checks=(*POLICY.checks, NotWorse("f1", 0, "carrier")))}, InvalidDataset),
        ({"holdout": Dataset.from_frame(holdout().frame.drop(columns="wind"), "late")}, SchemaMismatch),
        ({"holdout": training()}, TrainingDataAsEvidence),
        ({"holdout": training(), "policy": GREEDY}, TrainingDataAsEvidence),
        ({"alias": "the champion"}, InvalidName),
        ({"alias": "latest"}, InvalidName),
    ],
)
def test_what_fails_writes_nothing_into_the_ledger(
    registry: Registry, question: dict[str, Any], failure: type[RegistryError]
) -> None:
    registry.assign("churn@1", reason="start")
    with pytest.raises(failure):
        put_to_the_test(registry, 2, **question)
    assert kinds(registry) == ["assigned"]


def test_a_version_whose_bytes_are_gone_is_not_judged(registry: Registry) -> None:
    registry.backend.artifacts.remove(registry.resolve("churn@2").artifact)
    with pytest.raises(ArtifactMissing):
        judge(registry, 2, holdout=holdout(seed=2))


def test_data_that_the_challenger_was_trained_on_is_no_evidence(registry: Registry) -> None:
    with pytest.raises(TrainingDataAsEvidence, match=r"churn@1 was .* 'january'.*use a holdout"):
        judge(registry, 1, holdout=training())


def test_data_that_the_champion_was_trained_on_is_no_evidence(registry: Registry) -> None:
    registry.register("churn", fit(holdout()), trained_on=holdout())
    registry.assign("churn@4", reason="start")
    with pytest.raises(TrainingDataAsEvidence, match="churn@4 was trained on dataset 'february'"):
        judge(registry, 3)


def test_a_version_that_is_in_force_otherwise_is_held(registry: Registry) -> None:
    registry.assign("churn@1", reason="by hand")
    entry = put_to_the_test(registry, 1)
    assert (entry.kind, entry.in_force, entry.reason) == ("held", 1, "churn@1 is the champion already")


def test_the_question_that_led_to_a_promotion_finds_it_when_it_is_asked_again(registry: Registry) -> None:
    first = put_to_the_test(registry, 1)
    assert put_to_the_test(registry, 1) == first
    assert kinds(registry) == ["promoted"]


def test_another_question_about_the_version_in_force_is_another_one(registry: Registry) -> None:
    put_to_the_test(registry, 1)
    stricter = PromotionPolicy(checks=(Floor("accuracy", 0.99),))
    again = registry.decide("churn@1", holdout(), stricter)
    assert (again.verdict, again.reasons) == ("inconclusive", ["churn@1 is the champion already"])


# Compare and set


def test_a_changed_champion_invalidates_a_decision(registry: Registry) -> None:
    put_to_the_test(registry, 1)
    decision = judge(registry, 2)
    registry.assign("churn@3", reason="hotfix")
    with pytest.raises(
        AliasConflict, match=r"made against version 1 since entry 1; now version 3 since entry 2"
    ):
        registry.promote(decision)
    assert kinds(registry) == ["promoted", "assigned"]


def test_a_champion_restored_meanwhile_invalidates_a_decision(registry: Registry) -> None:
    put_to_the_test(registry, 1)
    decision = judge(registry, 2)
    registry.assign("churn@3", reason="hotfix")
    registry.assign("churn@1", reason="back")
    with pytest.raises(AliasConflict, match=r"version 1 since entry 1; now version 1 since entry 3"):
        registry.promote(decision)


def test_a_decision_against_nobody_does_not_dethrone_somebody(registry: Registry) -> None:
    decision = judge(registry, 1)
    registry.assign("churn@3", reason="hotfix")
    with pytest.raises(AliasConflict, match="made against none"):
        registry.promote(decision)


def test_candidates_held_or_rejected_meanwhile_do_not_invalidate_a_decision(registry: Registry) -> None:
    put_to_the_test(registry, 2)
    decision = judge(registry, 3)
    put_to_the_test(registry, 1)
    put_to_the_test(registry, 1, holdout=part(slice(50)))
    assert registry.promote(decision).in_force == 3
    assert kinds(registry) == ["promoted", "rejected", "held", "promoted"]


def test_a_rejection_is_noted_even_if_the_champion_changed_meanwhile(registry: Registry) -> None:
    put_to_the_test(registry, 2)
    decision = judge(registry, 1)
    registry.assign("churn@3", reason="hotfix")
    assert (registry.promote(decision).kind, in_force(registry)) == ("rejected", 3)


def test_a_decision_is_written_once(registry: Registry) -> None:
    decision = judge(registry, 1)
    assert registry.promote(decision) == registry.promote(decision)
    assert kinds(registry) == ["promoted"]


def test_a_decision_that_travelled_as_json_is_the_same(registry: Registry) -> None:
    decision = judge(registry, 1)
    travelled = PromotionDecision.model_validate(json.loads(json.dumps(decision.model_dump(mode="json"))))
    assert travelled == decision
    assert registry.promote(travelled) == registry.promote(decision)


def test_an_alias_of_ones_own_is_another_matter(registry: Registry) -> None:
    put_to_the_test(registry, 1)
    put_to_the_test(registry, 2, alias="shadow")
    assert registry.aliases("churn") == {"champion": 1, "shadow": 2}
    assert [entry.version for entry in registry.history("churn", alias="shadow")] == [2]
    assert registry.resolve("churn@shadow").number == 2


# Looks


def test_the_same_question_gets_the_same_answer_and_is_no_further_look(registry: Registry) -> None:
    registry.assign("churn@3", reason="start")
    first = judge(registry, 2)
    entry = registry.promote(first)
    again = judge(registry, 2)
    assert again == first
    assert registry.promote(again) == entry
    assert registry.backend.rows.looks("churn", holdout().fingerprint) == 1


def test_another_question_is_a_further_look_and_is_judged_more_strictly(registry: Registry) -> None:
    registry.assign("churn@3", reason="start")
    put_to_the_test(registry, 1)
    others = [
        judge(registry, 2),
        judge(registry, 1, policy=FLOOR),
        judge(registry, 1, alias="shadow"),
    ]
    assert [decision.look for decision in others] == [2, 2, 2]
    assert others[0].alpha == pytest.approx(0.05 * 6 / (pi**2 * 2**2))
    put_to_the_test(registry, 2)
    assert judge(registry, 1, policy=FLOOR).alpha == pytest.approx(0.05 * 6 / (pi**2 * 3**2))


def test_another_reign_is_another_question(registry: Registry) -> None:
    registry.assign("churn@3", reason="start")
    before = put_to_the_test(registry, 1)
    registry.assign("churn@2", reason="hotfix")
    assert judge(registry, 1).look == 2
    assert put_to_the_test(registry, 1).sequence == before.sequence + 2


def test_other_rows_are_looked_at_for_the_first_time(registry: Registry) -> None:
    put_to_the_test(registry, 1)
    assert judge(registry, 2).look == 2
    assert judge(registry, 2, holdout=holdout(seed=2)).look == 1


def test_rows_that_nothing_was_asked_about_are_not_used_up(registry: Registry) -> None:
    """Neither rows too few nor those shown for a fallen version were looked at, or even stored."""
    registry.assign("churn@1", reason="start")
    registry.assign("churn@2", reason="next")
    registry.roll_back("churn", reason="broken")
    few, many = part(slice(50)), holdout(seed=2)
    assert put_to_the_test(registry, 3, holdout=few).kind == "held"
    assert put_to_the_test(registry, 2, holdout=many).kind == "held"
    assert registry.backend.rows.looks("churn", few.fingerprint) == 0
    assert judge(registry, 3, holdout=many).look == 1


# Quarantine


def test_a_fallen_version_is_held_until_somebody_assigns_it(registry: Registry) -> None:
    registry.assign("churn@1", reason="start")
    registry.assign("churn@3", reason="next")
    fall = registry.roll_back("churn", reason="broken")
    decision = judge(registry, 3)
    assert decision.verdict == "inconclusive"
    assert decision.reasons == [
        f"churn@3 was rolled back in entry {fall.sequence}; only an assignment by hand brings it back"
    ]
    assert registry.promote(decision).kind == "held"
    registry.assign("churn@3", reason="it was the feed")
    registry.assign("churn@2", reason="compare")
    assert judge(registry, 3).verdict == "promote"


# Past the gate


def test_an_assignment_asks_no_gate_and_says_why(registry: Registry) -> None:
    entry = registry.assign("churn@1", reason="hotfix")
    assert (entry.kind, entry.reason, entry.actor, entry.evidence) == ("assigned", "hotfix", "ada", {})
    assert in_force(registry) == 1


def test_an_assignment_may_name_what_another_alias_names(registry: Registry) -> None:
    registry.assign("churn@2", reason="start")
    registry.assign("churn@champion", alias="fallback", reason="keep it")
    assert registry.aliases("churn") == {"champion": 2, "fallback": 2}


@pytest.mark.parametrize("reason", ["", " ", "\n\t"])
def test_a_reason_is_not_blank(registry: Registry, reason: str) -> None:
    registry.assign("churn@1", reason="start")
    with pytest.raises(ReasonMissing, match="say why"):
        registry.assign("churn@2", reason=reason)
    with pytest.raises(ReasonMissing, match="say why"):
        registry.clear("churn", reason=reason)
    assert kinds(registry) == ["assigned"]


def test_what_cannot_be_assigned_is_named(registry: Registry) -> None:
    registry.assign("churn@1", reason="start")
    with pytest.raises(AlreadyInForce):
        registry.assign("churn@1", reason="again")
    with pytest.raises(VersionNotFound, match="no version 9"):
        registry.assign("churn@9", reason="typo")
    with pytest.raises(InvalidName, match="'7' is not a valid alias"):
        registry.assign("churn@2", alias="7", reason="typo")


# Leaving nothing in force


def test_after_clearing_nothing_is_in_force(registry: Registry) -> None:
    registry.assign("churn@1", reason="start")
    entry = registry.clear("churn", reason="the product is gone")
    assert (entry.kind, entry.version, entry.replaced, entry.in_force) == ("cleared", 1, 1, None)
    assert registry.aliases("churn") == {}
    with pytest.raises(AliasNotSet):
        registry.resolve("churn@champion")


def test_after_clearing_floors_alone_judge_again(registry: Registry) -> None:
    registry.assign("churn@3", reason="start")
    registry.clear("churn", reason="the product is gone")
    assert put_to_the_test(registry, 1).in_force == 1


def test_what_cannot_be_cleared_is_named(registry: Registry) -> None:
    with pytest.raises(AliasNotSet):
        registry.clear("churn", reason="gone")
    with pytest.raises(ModelNotFound, match="`registry models` lists"):
        registry.clear("chrun", reason="typo")
    with pytest.raises(InvalidName):
        registry.clear("churn", alias="latest", reason="typo")


# Looking back


def test_an_alias_is_resolved_as_of_a_time(registry: Registry) -> None:
    moments = [
        registry.assign("churn@1", reason="start").recorded_at,
        registry.assign("churn@3", reason="next").recorded_at,
    ]
    assert registry.resolve("churn@champion", at=moments[0]).number == 1
    assert registry.resolve("churn@champion", at=moments[1] - timedelta(microseconds=1)).number == 1
    assert registry.resolve("churn@champion", at=moments[1].astimezone()).number == 3
    assert registry.resolve("churn@champion", at=datetime(2999, 1, 1, tzinfo=UTC)).number == 3
    with pytest.raises(AliasNotSet):
        registry.resolve("churn@champion", at=moments[0] - timedelta(microseconds=1))


# Comparing


def test_a_comparison_decides_nothing(registry: Registry) -> None:
    comparison = registry.compare("churn@3", "churn@1", holdout(), metrics=["accuracy", "roc_auc"])
    assert [result.metric for result in comparison.results] == ["accuracy", "roc_auc"]
    assert all(result.lower is not None and result.lower > 0 for result in comparison.results)
    assert (comparison.challenger, comparison.champion) == ("churn@3", "churn@1")
    assert registry.history("churn") == []


def test_a_comparison_reverses_with_its_contenders(registry: Registry) -> None:
    there = registry.compare("churn@3", "churn@1", holdout(), metrics=["accuracy"]).results[0]
    back = registry.compare("churn@1", "churn@3", holdout(), metrics=["accuracy"]).results[0]
    assert there.difference == pytest.approx(-(back.difference or 0))
    assert there.lower == pytest.approx(-(back.upper or 0))


@pytest.mark.parametrize("confidence", [0, 0.5, 1, 2, nan])
def test_a_comparison_has_bounds_that_mean_something(registry: Registry, confidence: float) -> None:
    with pytest.raises(InvalidPolicy, match=r"give a number between 0\.5 and 1"):
        registry.compare("churn@3", "churn@1", holdout(), metrics=["accuracy"], confidence=confidence)


def test_a_comparison_is_not_made_on_training_data(registry: Registry) -> None:
    with pytest.raises(TrainingDataAsEvidence):
        registry.compare("churn@3", "churn@1", training(), metrics=["accuracy"])


def test_another_answer_to_the_same_question_is_not_taken_for_this_one(registry: Registry) -> None:
    """Another run asked after a further look, was not convinced, and wrote first."""
    decision = judge(registry, 1)
    registry.promote(decision.model_copy(update={"verdict": "inconclusive"}))
    with pytest.raises(DecisionConflict, match="'held'"):
        registry.promote(decision)
    assert in_force(registry) is None
