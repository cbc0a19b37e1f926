from __future__ import annotations

import json
from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from registry.contest import Contest
from registry.evidence import Measured
from registry.exceptions import InvalidMetric, InvalidPolicy
from registry.ledger import Reign
from registry.policy import Better, Floor, NotWorse, PromotionDecision, PromotionPolicy
from registry.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.policy import Check, CheckResult, Judgement, Outcome, Verdict

ALPHA = 0.05
EVERY_CHECK = (
    Better("roc_auc"),
    NotWorse("accuracy", margin=0.005),
    NotWorse("roc_auc", margin=0.02, slices="origin"),
    Floor("roc_auc", 0.80),
)


def answers(labels: list[int], wrong: range) -> Predictions:
    truth = np.array(labels)
    predicted = truth.copy()
    predicted[list(wrong)] = 1 - predicted[list(wrong)]
    likely = np.where(predicted == 1, 0.8, 0.2)
    return Predictions(truth, predicted, np.column_stack([1 - likely, likely]), classes=np.array([0, 1]))


def contest(
    *, rows: int = 1_000, gains: int = 0, losses: int = 0, both_wrong: int = 0, **slices: Any
) -> Contest:
    """The first rows only the champion gets right, the next nobody, the next only the challenger."""
    labels = [row % 2 for row in range(rows)]
    wrong, end = range(losses, losses + both_wrong), losses + both_wrong + gains
    challenger, champion = answers(labels, range(wrong.stop)), answers(labels, range(wrong.start, end))
    return Contest(challenger, champion, slices)


def alone(*, rows: int = 1_000, wrong: int = 0) -> Contest:
    return Contest(answers([row % 2 for row in range(rows)], range(wrong)))


def slices_of(column: str, *sizes: int) -> dict[str, Any]:
    ends = np.cumsum(sizes)
    rows = np.arange(ends[-1])
    return {
        f"{column}={number}": (rows >= end - size) & (rows < end)
        for number, (size, end) in enumerate(zip(sizes, ends, strict=True))
    }


def judged(contest: Contest, *checks: Check, alpha: float = ALPHA, **policy: Any) -> Judgement:
    return PromotionPolicy(checks=checks, **policy).judge(contest, alpha)


def outcomes(judgement: Judgement) -> list[Outcome]:
    return [result.outcome for result in judgement.checks]


def the_only(judgement: Judgement) -> CheckResult:
    (result,) = judgement.checks
    return result


# What a policy may demand


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: PromotionPolicy(checks=()), "no check; give at least one, such as Better"),
        (
            lambda: PromotionPolicy(checks=(NotWorse("f1", 0.1, "age"),)),
            "on slices alone.*add one on all rows",
        ),
        (lambda: PromotionPolicy(checks=(Better("f1"),), confidence=0), "confidence is 0.*between 0.5 and 1"),
        (lambda: PromotionPolicy(checks=(Better("f1"),), confidence=0.5), "between 0.5 and 1"),
        (lambda: PromotionPolicy(checks=(Better("f1"),), confidence=1), "between 0.5 and 1"),
        (lambda: PromotionPolicy(checks=(Better("f1"),), confidence=95), "between 0.5 and 1"),
        (lambda: PromotionPolicy(checks=(Better("f1"),), confidence=nan), "is nan; give a number between"),
        (lambda: PromotionPolicy(checks=(Better("f1"),), min_rows=0), "min_rows is 0; give 1 or more"),
        (lambda: PromotionPolicy(checks=(Better("f1"),), min_rows=-5), "min_rows is -5; give 1 or more"),
        (lambda: NotWorse("f1", margin=-0.01), "margin of 'f1' is -0.01; give 0 or a positive number"),
        (lambda: NotWorse("f1", margin=nan), "margin of 'f1' is nan; give 0 or a positive number"),
        (lambda: NotWorse("f1", margin=inf), "margin of 'f1' is inf"),
        (lambda: Floor("f1", nan), "floor of 'f1' is nan; give a number"),
        (lambda: Floor("f1", -inf), "floor of 'f1' is -inf; give a number"),
    ],
)
def test_a_policy_that_could_not_decide_is_refused_with_the_remedy(
    make: Callable[[], object], remedy: str
) -> None:
    with pytest.raises(InvalidPolicy, match=f"this policy cannot decide: .*{remedy}"):
        make()


def test_a_policy_is_also_refused_when_it_comes_as_json() -> None:
    with pytest.raises(InvalidPolicy, match="give 0 or a positive number"):
        PromotionPolicy.model_validate({"checks": [{"check": "not worse", "metric": "f1", "margin": -1}]})


@pytest.mark.parametrize(
    "odd",
    [
        {"checks": [{"check": "best", "metric": "f1"}]},
        {"checks": [{"metric": "f1"}]},
        {"checks": [{"check": "better", "metric": "f1"}], "min_row": 50},
    ],
)
def test_a_word_that_no_policy_has_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"check|min_row"):
        PromotionPolicy.model_validate(odd)


def test_checks_are_written_as_they_are_spoken() -> None:
    assert Better("roc_auc") == Better(metric="roc_auc")
    assert NotWorse("accuracy", 0.005, "origin") == NotWorse("accuracy", margin=0.005, slices="origin")
    assert NotWorse("accuracy").margin == 0
    assert Floor("roc_auc", 0.8) == Floor(metric="roc_auc", value=0.8)


def test_a_policy_cannot_be_changed() -> None:
    policy = PromotionPolicy(checks=EVERY_CHECK)
    with pytest.raises(ValidationError, match="frozen"):
        policy.min_rows = 1  # type: ignore[misc]  # that is the point


def test_a_policy_names_each_metric_and_each_column_once() -> None:
    policy = PromotionPolicy(
        checks=(*EVERY_CHECK, NotWorse("f1", 0.1, slices="carrier"), NotWorse("f1", 0.1))
    )
    assert policy.metrics == ["roc_auc", "accuracy", "f1"]
    assert policy.slice_columns == ["origin", "carrier"]


def test_a_policy_survives_json() -> None:
    policy = PromotionPolicy(checks=EVERY_CHECK, confidence=0.99, min_rows=500)
    restored = PromotionPolicy.model_validate(json.loads(json.dumps(policy.model_dump(mode="json"))))
    assert restored == policy
    assert [type(check) for check in restored.checks] == [Better, NotWorse, NotWorse, Floor]
    assert restored.fingerprint == policy.fingerprint


def test_a_policy_has_a_form_to_fill_in() -> None:
    schema = TypeAdapter(PromotionPolicy).json_schema()
    assert set(schema["properties"]["checks"]["items"]["discriminator"]["mapping"]) == {
        "better",
        "not worse",
        "floor",
    }


@pytest.mark.parametrize(
    "other",
    [
        {"checks": EVERY_CHECK[::-1]},
        {"checks": EVERY_CHECK[:-1]},
        {"confidence": 0.9},
        {"min_rows": 101},
        {"checks": (*EVERY_CHECK[:-1], Floor("roc_auc", 0.81))},
    ],
)
def test_policies_that_demand_different_things_have_different_fingerprints(other: dict[str, Any]) -> None:
    policy = PromotionPolicy(checks=EVERY_CHECK)
    assert policy.fingerprint == PromotionPolicy(checks=list(EVERY_CHECK)).fingerprint
    assert policy.fingerprint != PromotionPolicy(**{"checks": EVERY_CHECK, **other}).fingerprint


# Better


@pytest.mark.parametrize(
    ("gains", "losses", "verdict"),
    [(60, 30, "promote"), (30, 60, "reject"), (50, 45, "inconclusive"), (0, 0, "inconclusive")],
)
def test_a_challenger_has_to_be_provably_better(gains: int, losses: int, verdict: Verdict) -> None:
    assert judged(contest(gains=gains, losses=losses), Better("accuracy")).verdict == verdict


@pytest.mark.parametrize("metric", ["accuracy", "neg_log_loss", "roc_auc", "f1"])
def test_a_tie_keeps_the_champion(metric: str) -> None:
    judgement = judged(contest(both_wrong=200), Better(metric))
    assert judgement.verdict == "inconclusive"
    assert judgement.reasons[0].startswith(f"{metric} differs by 0 (")
    assert judgement.reasons[0].endswith("not provably above 0: more rows are unlikely to help")


def test_what_is_proven_at_one_look_may_be_unproven_at_a_later_one() -> None:
    close = contest(gains=60, losses=40)
    assert judged(close, Better("accuracy"), alpha=0.05).verdict == "promote"
    assert judged(close, Better("accuracy"), alpha=0.005).verdict == "inconclusive"


# Not worse


@pytest.mark.parametrize(
    ("margin", "outcome"), [(0.0, "inconclusive"), (0.02, "inconclusive"), (0.03, "passed"), (0.5, "passed")]
)
def test_the_challenger_has_to_prove_that_it_is_not_worse(margin: float, outcome: Outcome) -> None:
    result = the_only(judged(contest(gains=45, losses=55), NotWorse("accuracy", margin)))
    assert (result.outcome, result.threshold) == (outcome, -margin)


def test_without_a_margin_the_threshold_reads_zero() -> None:
    result = the_only(judged(contest(), NotWorse("accuracy")))
    assert json.loads(result.model_dump_json())["threshold"] == 0
    assert "-0" not in result.model_dump_json(include={"threshold"})


def test_harm_beyond_the_margin_rejects() -> None:
    judgement = judged(contest(gains=0, losses=100), NotWorse("accuracy", 0.05))
    assert judgement.verdict == "reject"
    assert "provably below −0.05" in judgement.reasons[0]


def test_a_challenger_as_good_as_the_champion_is_not_worse_by_a_margin() -> None:
    assert judged(contest(), NotWorse("accuracy", 0.01)).verdict == "promote"


# Slices


def test_a_slice_on_which_harm_is_proven_blocks() -> None:
    parts = slices_of("origin", 100, 500, 400)
    harmful = contest(losses=50, both_wrong=50, gains=300, origin=parts)
    judgement = judged(harmful, Better("accuracy"), NotWorse("accuracy", 0.02, "origin"))
    assert judgement.verdict == "reject"
    assert outcomes(judgement) == ["passed", "failed", "passed", "passed"]
    assert [result.measured.slice for result in judgement.checks if result.measured] == ["all", *parts]
    (reason,) = judgement.reasons
    assert reason.startswith("accuracy on origin=0 differs by −0.5000 (")
    assert reason.endswith("), provably below −0.02")


def test_a_slice_on_which_harm_is_merely_possible_does_not_block() -> None:
    doubtful = contest(gains=300, losses=4, origin=slices_of("origin", 10, 990))
    assert judged(doubtful, Better("accuracy"), NotWorse("accuracy", 0.0, "origin")).verdict == "promote"


def test_the_more_slices_the_more_proof_each_takes() -> None:
    """Holm's procedure: a p-value of 0.023 is harm on one slice of two, but not on one of twenty."""
    two = contest(rows=2_000, gains=0, losses=4, origin=slices_of("origin", 100, 1_900))
    twenty = contest(rows=2_000, gains=0, losses=4, origin=slices_of("origin", *[100] * 20))
    check = NotWorse("accuracy", 0.0, "origin")
    assert [result.outcome for result in check.judge(two, ALPHA)] == ["failed", "passed"]
    assert [result.outcome for result in check.judge(twenty, ALPHA)] == ["passed"] * 20


def test_a_slice_that_is_too_small_for_the_metric_is_left_out() -> None:
    parts = slices_of("origin", 998, 1, 1)
    better = contest(gains=100, both_wrong=20, origin=parts)
    results = judged(better, Better("roc_auc"), NotWorse("roc_auc", 0.02, "origin")).checks
    assert [result.measured.slice for result in results if result.measured] == ["all", "origin=0"]


def test_slices_of_which_none_can_be_compared_prove_nothing() -> None:
    single = {f"row={row}": np.arange(200) == row for row in range(200)}
    better = contest(rows=200, gains=60, both_wrong=20, row=single)
    judgement = judged(better, Better("roc_auc"), NotWorse("roc_auc", 0.02, "row"))
    assert judgement.verdict == "inconclusive"
    assert judgement.reasons == ["200 slices of row too small to compare roc_auc on"]


# Floor


@pytest.mark.parametrize(("wrong", "verdict"), [(150, "promote"), (195, "inconclusive"), (250, "reject")])
def test_the_lower_bound_has_to_be_above_the_floor(wrong: int, verdict: Verdict) -> None:
    assert judged(alone(wrong=wrong), Floor("accuracy", 0.8)).verdict == verdict


def test_a_floor_holds_beside_a_champion_too() -> None:
    better_but_bad = contest(gains=300, losses=0, both_wrong=400)
    judgement = judged(better_but_bad, Better("accuracy"), Floor("accuracy", 0.8))
    assert (judgement.verdict, outcomes(judgement)) == ("reject", ["passed", "failed"])


# The first version


def test_the_first_version_is_judged_by_floors_alone() -> None:
    judgement = judged(alone(wrong=100), *EVERY_CHECK[:3], Floor("accuracy", 0.8))
    assert judgement.verdict == "promote"
    assert outcomes(judgement) == ["skipped", "skipped", "skipped", "passed"]
    assert judgement.reasons == ["accuracy is 0.9000 (0.8833 … 0.9145), provably above the floor 0.8"]
    assert judgement.checks[0].reason == "there is no champion yet to compare the roc_auc with"


def test_the_first_version_goes_live_where_there_is_no_floor() -> None:
    judgement = judged(alone(wrong=500), Better("accuracy"))
    assert judgement.verdict == "promote"
    assert judgement.reasons == ["there is no champion yet, and no floor to stay above"]


def test_the_first_version_stays_out_below_the_floor() -> None:
    assert judged(alone(wrong=500), Better("accuracy"), Floor("accuracy", 0.8)).verdict == "reject"


# Verdicts


def test_too_few_rows_decide_nothing_whatever_they_show() -> None:
    judgement = judged(contest(rows=99, gains=90), Better("accuracy"))
    assert (judgement.verdict, judgement.checks) == ("inconclusive", [])
    assert judgement.reasons == ["99 rows cannot decide, the policy wants 100 or more"]
    assert judged(contest(rows=100, gains=90), Better("accuracy")).verdict == "promote"


def test_all_checks_have_to_hold_each_at_the_full_alpha() -> None:
    """Demanding more is no reason to judge each demand by another bound (intersection-union test)."""
    close = contest(gains=60, losses=40)
    lonely = the_only(judged(close, Better("accuracy")))
    crowded = judged(close, Better("accuracy"), *[NotWorse("accuracy", 0.01)] * 10)
    assert crowded.verdict == "promote"
    assert crowded.checks[0] == lonely


def test_proof_against_outweighs_the_lack_of_proof_and_is_the_reason() -> None:
    judgement = judged(
        contest(gains=50, losses=45, both_wrong=300), Better("accuracy"), Floor("accuracy", 0.9)
    )
    assert outcomes(judgement) == ["inconclusive", "failed"]
    assert judgement.verdict == "reject"
    assert judgement.reasons == [judgement.checks[1].reason]


def test_a_metric_that_is_unknown_fails_rather_than_decides() -> None:
    with pytest.raises(InvalidMetric, match="did you mean accuracy"):
        judged(contest(), Better("acuracy"))


# Reasons


@pytest.mark.parametrize(
    ("contest", "check", "reason"),
    [
        (
            contest(gains=60, losses=30),
            Better("accuracy"),
            "accuracy differs by +0.03000 (0.01462 … 0.04602), provably above 0",
        ),
        (
            contest(gains=50, losses=45),
            Better("accuracy"),
            (
                "accuracy differs by +0.005000 (−0.01116 … 0.02126), not provably above 0: "
                "about 24,000 rows would decide"
            ),
        ),
        (
            contest(gains=45, losses=50),
            NotWorse("accuracy", 0.01),
            (
                "accuracy differs by −0.005000 (−0.02126 … 0.01116), not provably above −0.01: "
                "about 24,000 rows would decide"
            ),
        ),
        (
            contest(gains=45, losses=50),
            Better("accuracy"),
            (
                "accuracy differs by −0.005000 (−0.02126 … 0.01116), not provably above 0: "
                "more rows are unlikely to help"
            ),
        ),
        (
            contest(both_wrong=300),
            Floor("accuracy", 0.7),
            "accuracy is 0.7000 (0.6757 … 0.7233), not provably above the floor 0.7",
        ),
    ],
)
def test_a_reason_is_a_sentence_with_the_numbers(contest: Contest, check: Check, reason: str) -> None:
    assert judged(contest, check).reasons == [reason]


def test_an_approval_gives_every_proof_and_sums_the_slices_up() -> None:
    better = contest(gains=100, origin=slices_of("origin", 500, 500), carrier=slices_of("carrier", 1_000))
    judgement = judged(
        better,
        Better("accuracy"),
        NotWorse("accuracy", 0.02, "origin"),
        NotWorse("accuracy", 0.0, "carrier"),
        Floor("accuracy", 0.8),
    )
    assert judgement.verdict == "promote"
    assert [reason.partition(" (")[0] for reason in judgement.reasons] == [
        "accuracy differs by +0.1000",
        "accuracy is 1.000",
        "accuracy is provably worse by more than 0.02 on none of 2 slices of origin",
        "accuracy is provably worse on none of 1 slice of carrier",
    ]


def test_a_check_is_named_in_few_words() -> None:
    checks = (Better("f1"), NotWorse("f1"), NotWorse("f1", 0.005), Floor("f1", 0.8))
    assert [result.check for result in judged(contest(both_wrong=100), *checks).checks] == [
        "f1 better",
        "f1 not worse",
        "f1 not worse by more than 0.005",
        "f1 above 0.8",
    ]


def test_a_remedy_never_names_fewer_rows_than_are_needed() -> None:
    judgement = judged(contest(gains=50, losses=45), Better("accuracy"))
    needed = contest(gains=50, losses=45).difference("accuracy").rows_needed(0, ALPHA)
    assert needed is not None
    assert 23_000 < needed <= 24_000
    assert "about 24,000 rows" in judgement.reasons[0]


# Decisions


def test_a_decision_survives_json() -> None:
    judgement = judged(
        contest(gains=60, losses=30, origin=slices_of("origin", 500, 500)), *EVERY_CHECK, confidence=0.9
    )
    unbounded = Measured(metric="f1", slice="all", rows=1, challenger=0.5, method="none")
    decision = PromotionDecision(
        challenger="churn@2",
        champion="churn@1",
        against=Reign(version=1, since=4),
        dataset="d" * 64,
        dataset_name="january",
        rows=1_000,
        look=3,
        alpha=ALPHA,
        policy=PromotionPolicy(checks=EVERY_CHECK),
        verdict=judgement.verdict,
        checks=[*judgement.checks, judgement.checks[0].model_copy(update={"measured": unbounded})],
        reasons=judgement.reasons,
        key="key",
    )
    restored = PromotionDecision.model_validate(json.loads(json.dumps(decision.model_dump(mode="json"))))
    assert restored == decision
    assert restored.against == Reign(version=1, since=4)
    assert [type(check) for check in restored.policy.checks] == [Better, NotWorse, NotWorse, Floor]
    assert restored.model_dump_json() == decision.model_dump_json()


@pytest.mark.parametrize(
    "misspelled",
    [
        {"check": "not worse", "metric": "roc_auc", "margin": 0.02, "slice": "country"},
        {"check": "floor", "metric": "roc_auc", "value": 0.8, "margn": 3},
        {"check": "better", "metric": "roc_auc", "margin": 0.1},
    ],
)
def test_a_misspelled_demand_is_refused_and_not_dropped(misspelled: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PromotionPolicy.model_validate({"checks": [misspelled]})


def test_a_slice_too_small_to_prove_anything_blocks_nothing_and_is_named() -> None:
    """One row that only the champion gets right has no variance, which looks like certainty."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    right = np.where(rng.random(400) < 0.8, labels, 1 - labels)
    worse = right.copy()
    worse[0] = 1 - labels[0]
    right[0] = labels[0]
    classes = np.array([0, 1])
    mask = np.arange(400) == 0
    both = Contest(
        challenger=Predictions(labels, worse, classes=classes),
        champion=Predictions(labels, right, classes=classes),
        slices={"origin": {"origin=one": mask, "origin=rest": ~mask}},
    )
    results = NotWorse("balanced_accuracy", 0.02, slices="origin").judge(both, 0.03)
    assert [result.outcome for result in results] == ["passed", "skipped"]
    assert results[1].reason == "1 slice of origin too small to compare balanced_accuracy on"


def test_a_slice_that_is_wholly_wrong_blocks() -> None:
    labels = np.arange(400) % 2
    mask = np.arange(400) < 40
    both = Contest(
        challenger=Predictions(labels, np.where(mask, 1 - labels, labels), classes=np.array([0, 1])),
        champion=Predictions(labels, labels, classes=np.array([0, 1])),
        slices={"origin": {"origin=broken": mask, "origin=rest": ~mask}},
    )
    results = NotWorse("balanced_accuracy", 0.02, slices="origin").judge(both, 0.03)
    assert [result.outcome for result in results] == ["failed", "passed"]
