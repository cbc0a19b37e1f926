"""The steps from a registered version to its promotion, for any flow that has one to promote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect.logging import get_run_logger

from registry.exceptions import AliasConflict, FourEyesNeeded, InvalidName
from registry.references import CHAMPION
from registry.tables import now
from registry.tasks.approval import (
    Answer,
    approve_promotion,
    ask,
    decline_promotion,
    require_somebody,
    withhold_promotion,
)
from registry.tasks.cards import publish_cards
from registry.tasks.promotion import decide_promotion, evaluate_version, promote_version
from registry.tasks.runs import open_registry

if TYPE_CHECKING:
    from registry.datasets import Dataset
    from registry.policy import PromotionDecision, PromotionPolicy, Verdict
    from registry.tables import LedgerEntry

MOST_OTHERS = 10
"""So many other versions, the newest, can be judged instead of the one that a person is asked about."""

_CAME_OUT: dict[str, Verdict] = {"promoted": "promote", "rejected": "reject", "held": "inconclusive"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a promotion is asked for with.

    Attributes:
        holdout: The rows to judge by; no contender may have been trained on them.
        policy: What must hold, and whether a person has to agree.
        alias: What the version is to become.
        because: Why, in the words of whoever asks.
        registry: Name of a ``ModelRegistry`` block; None means the settings.

    Raises:
        NobodyToAsk: A person has to agree, and no Prefect server is configured.
    """

    holdout: Dataset
    policy: PromotionPolicy
    alias: str = CHAMPION
    because: str = ""
    registry: str | None = None

    def __post_init__(self) -> None:
        if self.policy.approval == "manual":
            require_somebody()


def settle(challenger: str, request: Request) -> PromotionDecision:
    """Judge the version, ask a person if the policy wants that, promote it if all agree, and write it down.

    Returns:
        The decision as it came out: where a person rejected or nobody answered, it says so.
    """
    decision = _judge(challenger, request)
    if not decision.approved or decision.policy.approval == "automatic":
        return _finish(decision, promote_version(decision, request.because, request.registry), request)
    try:
        return _agree(decision, request)
    except AliasConflict as conflict:
        reason = f"{conflict}; promote it again to decide against what is in force now"
        return _finish(decision, withhold_promotion(decision, reason, request.registry), request)


def _judge(challenger: str, request: Request) -> PromotionDecision:
    holdout, policy, registry = request.holdout, request.policy, request.registry
    model = challenger.partition("@")[0]
    with open_registry(registry) as opened:
        in_force = opened.aliases(model).get(request.alias)
    if holdout.rows >= policy.min_rows:
        champion = [] if in_force is None else [f"{model}@{in_force}"]
        for contender in dict.fromkeys([challenger, *champion]):
            evaluate_version(contender, holdout, policy.metrics, policy.slice_columns, registry)
    return decide_promotion(challenger, holdout, policy, request.alias, registry)


def _agree(decision: PromotionDecision, request: Request) -> PromotionDecision:
    """Let a person decide about what the policy approved; an approval of an earlier attempt is found."""
    until, note, registry = now() + decision.policy.answer_within, "", request.registry
    others = _others(decision, registry)
    with open_registry(registry) as opened:
        is_approved = opened.approval(decision) is not None
    while not is_approved:
        try:
            answer = ask(decision, others, until, note)
        except InvalidName as unwritable:
            note = str(unwritable)
            continue
        if answer is None:
            reason = f"nobody answered before {until:%Y-%m-%d %H:%M} UTC"
            return _finish(decision, withhold_promotion(decision, reason, registry), request)
        if answer.verdict != "approve":
            return _refused(decision, answer, request)
        try:
            approve_promotion(decision, answer.by, answer.comment, registry)
            is_approved = True
        except FourEyesNeeded as needed:
            note = str(needed)
    return _finish(decision, promote_version(decision, request.because, registry), request)


def _refused(decision: PromotionDecision, answer: Answer, request: Request) -> PromotionDecision:
    if answer.other is None:
        entry = decline_promotion(decision, answer.by, answer.comment, request.registry)
        return _finish(decision, entry, request)
    reason = f"{answer.by} asks for {answer.other} instead: {answer.comment}"
    _finish(decision, withhold_promotion(decision, reason, request.registry), request)
    return settle(answer.other, request)


def _others(decision: PromotionDecision, registry: str | None) -> list[str]:
    """The newest versions that could be judged instead of the challenger."""
    model = decision.reference.model
    with open_registry(registry) as opened:
        fallen = opened.quarantined(model).get(decision.alias, [])
        versions = opened.versions(model)
    out = {decision.challenger, decision.champion, *(f"{model}@{number}" for number in fallen)}
    return [version.reference for version in reversed(versions) if version.reference not in out][:MOST_OTHERS]


def _finish(decision: PromotionDecision, entry: LedgerEntry, request: Request) -> PromotionDecision:
    """Say in the run's log and on the cards what was written; return the decision as it came out."""
    get_run_logger().info("%s %s: %s", entry.reference, entry.kind, entry.reason)
    publish_cards(entry.reference, entry.alias, request.registry)
    verdict = _CAME_OUT[entry.kind]
    if verdict == decision.verdict:
        return decision
    return decision.model_copy(update={"verdict": verdict, "reasons": [entry.reason]})
