"""A person agrees with a decision before it goes live, and the ledger says who, why and when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registry import Better, Floor, PromotionDecision, PromotionPolicy, Registry
from registry.exceptions import (
    AliasConflict,
    ApprovalMissing,
    FourEyesNeeded,
    InvalidName,
    InvalidPolicy,
    NothingToApprove,
    ReasonMissing,
)
from tests.three_versions import POLICY, holdout, three_versions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANUAL = PromotionPolicy(checks=POLICY.checks, approval="manual")
FOUR_EYES = PromotionPolicy(checks=POLICY.checks, approval="manual", four_eyes=True)


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, each better than the one before; the first is in force."""
    with three_versions(tmp_path_factory, tmp_path) as registry:
        registry.assign("churn@1", reason="to begin with")
        yield registry


def judge(registry: Registry, number: int = 2, policy: PromotionPolicy = MANUAL) -> PromotionDecision:
    return registry.decide(f"churn@{number}", holdout(), policy)


def kinds(registry: Registry) -> list[str]:
    return [entry.kind for entry in registry.history("churn")]


def test_without_an_approval_nothing_is_promoted(registry: Registry) -> None:
    with pytest.raises(ApprovalMissing, match="churn@2 passed, and its policy asks for a person's approval"):
        registry.promote(judge(registry))
    assert kinds(registry) == ["assigned"]


def test_the_ledger_says_who_approved_and_why(registry: Registry) -> None:
    decision = judge(registry)
    approval = registry.approve(decision, by="Grace", comment="looked at every slice")
    assert (approval.kind, approval.reason) == ("approved", "Grace approves: looked at every slice")
    assert approval.evidence["approval"] == {"by": "Grace", "comment": "looked at every slice"}
    assert registry.aliases("churn") == {"champion": 1}
    promoted = registry.promote(decision, because="the spring release")
    assert promoted.reason.startswith("the spring release; Grace approves: looked at every slice; ")
    assert promoted.evidence["approval"]["by"] == "Grace"
    assert kinds(registry) == ["assigned", "approved", "promoted"]


def test_a_promotion_that_is_tried_again_finds_its_entry(registry: Registry) -> None:
    decision = judge(registry)
    registry.approve(decision, by="Grace", comment="fine")
    assert registry.promote(decision) == registry.promote(decision)
    assert registry.promote(judge(registry)) == registry.history("churn")[-1]
    assert kinds(registry) == ["assigned", "approved", "promoted"]


def test_a_person_can_reject_what_the_policy_would_promote(registry: Registry) -> None:
    decision = judge(registry)
    entry = registry.decline(decision, by="Grace", comment="not before the holidays")
    assert (entry.kind, entry.reason) == ("rejected", "Grace rejects: not before the holidays")
    with pytest.raises(ApprovalMissing):
        registry.promote(decision)


def test_the_newest_answer_counts(registry: Registry) -> None:
    decision = judge(registry)
    registry.approve(decision, by="Grace", comment="fine")
    registry.withhold(decision, reason="nobody is there to watch it")
    assert registry.approval(decision) is None
    registry.approve(decision, by="Alan", comment="I am")
    assert registry.promote(decision).kind == "promoted"
    assert kinds(registry) == ["assigned", "approved", "held", "approved", "promoted"]


def test_a_question_that_was_answered_by_a_person_is_asked_with_the_same_numbers(registry: Registry) -> None:
    decision = judge(registry)
    registry.decline(decision, by="Grace", comment="not today")
    assert judge(registry) == decision
    assert judge(registry, 3).look == decision.look + 1


def test_who_agrees_is_no_part_of_the_evidence_that_is_demanded() -> None:
    assert MANUAL.fingerprint == FOUR_EYES.fingerprint == POLICY.fingerprint


def test_a_person_who_rejected_is_not_passed_by_a_policy_that_asks_nobody(registry: Registry) -> None:
    registry.decline(judge(registry), by="Grace", comment="no")
    with pytest.raises(ApprovalMissing):
        registry.promote(judge(registry, policy=POLICY))


def test_who_asks_a_person_later_is_not_passed_by_a_policy_that_asked_nobody(registry: Registry) -> None:
    registry.withhold(judge(registry, policy=POLICY), reason="a cooldown had begun")
    with pytest.raises(ApprovalMissing):
        registry.promote(judge(registry))


def test_an_approval_of_ones_own_is_none_once_four_eyes_are_wanted(registry: Registry) -> None:
    registrant = registry.resolve("churn@2").registered_by
    registry.approve(judge(registry), by=registrant, comment="my own")
    with pytest.raises(ApprovalMissing):
        registry.promote(judge(registry, policy=FOUR_EYES))
    registry.approve(judge(registry, policy=FOUR_EYES), by="Grace", comment="fine")
    assert registry.promote(judge(registry, policy=FOUR_EYES)).kind == "promoted"


def test_no_approval_replaces_evidence(registry: Registry) -> None:
    strict = PromotionPolicy(checks=(Better("roc_auc"), Floor("roc_auc", 0.9999)), approval="manual")
    decision = judge(registry, policy=strict)
    with pytest.raises(NothingToApprove, match="assign it"):
        registry.approve(decision, by="Grace", comment="I like it")
    assert kinds(registry) == ["assigned"]


def test_whoever_registered_a_version_does_not_approve_it(registry: Registry) -> None:
    decision = judge(registry, policy=FOUR_EYES)
    registrant = registry.resolve("churn@2").registered_by
    with pytest.raises(FourEyesNeeded, match="somebody else has to approve it"):
        registry.approve(decision, by=f" {registrant.upper()} ", comment="my own")
    registry.approve(decision, by="Grace", comment="fine")
    assert registry.promote(decision).kind == "promoted"


def test_an_approval_does_not_outlive_the_reign_it_was_given_against(registry: Registry) -> None:
    decision = judge(registry)
    registry.assign("churn@3", reason="a hotfix meanwhile")
    with pytest.raises(AliasConflict):
        registry.approve(decision, by="Grace", comment="fine")
    late = judge(registry)
    assert late.key != decision.key


def test_a_champion_that_changed_after_the_approval_is_not_dethroned_by_it(registry: Registry) -> None:
    decision = judge(registry)
    registry.approve(decision, by="Grace", comment="fine")
    registry.assign("churn@3", reason="a hotfix meanwhile")
    with pytest.raises(AliasConflict):
        registry.promote(decision)
    assert registry.aliases("churn") == {"champion": 3}


def test_a_version_that_fell_while_it_waited_is_held(registry: Registry) -> None:
    decision = judge(registry)
    registry.approve(decision, by="Grace", comment="fine")
    registry.assign("churn@2", reason="impatience")
    registry.roll_back("churn", reason="it fell")
    entry = registry.promote(decision)
    assert (entry.kind, entry.version) == ("held", 2)
    assert "was rolled back" in entry.reason
    assert registry.aliases("churn") == {"champion": 1}


@pytest.mark.parametrize("answer", [("", "fine", InvalidName), ("Grace", " ", ReasonMissing)])
def test_an_answer_needs_a_name_and_a_comment(registry: Registry, answer: tuple[str, str, Any]) -> None:
    by, comment, error = answer
    with pytest.raises(error):
        registry.approve(judge(registry), by=by, comment=comment)


def test_two_people_who_answer_at_once_are_both_in_the_ledger(registry: Registry) -> None:
    decision = judge(registry)

    def answer(number: int) -> str:
        return registry.approve(decision, by=f"person {number}", comment="fine").reason

    with ThreadPoolExecutor(4) as people:
        reasons = set(people.map(answer, range(4)))
    assert reasons == {f"person {number} approves: fine" for number in range(4)}
    assert kinds(registry).count("approved") == 4


@pytest.mark.parametrize(
    "nonsense", [{"four_eyes": True}, {"approval": "manual", "answer_within": timedelta(0)}]
)
def test_a_policy_that_nobody_could_answer_is_refused(nonsense: dict[str, Any]) -> None:
    with pytest.raises(InvalidPolicy):
        PromotionPolicy(checks=POLICY.checks, **nonsense)
