"""A person agrees with what a policy decided, or does not; the ledger says who, why and when.

An approval adds to the evidence and never replaces it: only a decision to promote can be approved. Each
answer to a decision is an entry of its own, and the newest one counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from registry.exceptions import ApprovalMissing, FourEyesNeeded, InvalidName, NothingToApprove, ReasonMissing
from registry.ledger import Proposal
from registry.limits import check_text
from registry.tables import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.policy import PromotionDecision
    from registry.store import Store
    from registry.tables import LedgerEntry


@dataclass(frozen=True)
class Signature:
    """Under whose name an answer is given, and with what comment; nobody checks the name.

    Raises:
        InvalidName: The name is blank, or it or the comment is no text that every database can keep.
        ReasonMissing: The comment is blank.
    """

    by: str
    comment: str

    def __post_init__(self) -> None:
        if not self.by.strip():
            raise InvalidName("name", self.by, "say who you are")
        if not self.comment.strip():
            raise ReasonMissing("an answer")
        check_text("name", self.by)
        check_text("comment", self.comment)


def approve(store: Store, decision: PromotionDecision, signature: Signature) -> LedgerEntry:
    """Note that a person agrees with *decision*; nothing moves before it is promoted.

    Raises:
        NothingToApprove: The policy was not convinced.
        FourEyesNeeded: The person registered the challenger, and the policy wants another one.
        AliasConflict: The reign that the decision was made against is over; decide again.
    """
    if not decision.approved:
        raise NothingToApprove(decision.challenger, decision.verdict)
    if _is_own(store, decision, signature.by):
        raise FourEyesNeeded(decision.challenger, signature.by)
    reason = f"{signature.by} approves: {signature.comment}"
    return _answer(store, decision, "approved", reason, signature)


def decline(store: Store, decision: PromotionDecision, signature: Signature) -> LedgerEntry:
    """Note that a person does not agree: the challenger is rejected, whatever its evidence."""
    return _answer(store, decision, "rejected", f"{signature.by} rejects: {signature.comment}", signature)


def withhold(store: Store, decision: PromotionDecision, reason: str) -> LedgerEntry:
    """Note that a challenger that passed is held all the same, and why."""
    return _answer(store, decision, "held", check_text("reason", reason), None)


def answers(store: Store, decision: PromotionDecision) -> Iterator[LedgerEntry]:
    """What was answered to *decision* so far, oldest first."""
    number = 1
    model = decision.reference.model
    while (entry := store.entry(model, decision.alias, answer_key(decision.key, number))) is not None:
        yield entry
        number += 1


def approval_of(store: Store, decision: PromotionDecision) -> LedgerEntry | None:
    """The entry by which *decision* is approved; None if it is not, or not as its policy wants it now."""
    given = list(answers(store, decision))
    if not given or given[-1].kind != "approved":
        return None
    return None if _is_own(store, decision, given[-1].evidence["approval"]["by"]) else given[-1]


def require_approval(store: Store, decision: PromotionDecision) -> LedgerEntry | None:
    """The approval of *decision*; None if its policy asks for none.

    Raises:
        ApprovalMissing: The policy asks for one, and there is none.
    """
    if decision.policy.approval == "automatic":
        return None
    if (approval := approval_of(store, decision)) is None:
        raise ApprovalMissing(decision.challenger)
    return approval


def answer_key(question: str, number: int) -> str:
    """What names the answer of this *number* to a decision, by the key of its *question*."""
    return hashlib.sha256(canonical_json([question, "answer", number]).encode()).hexdigest()


def _is_own(store: Store, decision: PromotionDecision, by: str) -> bool:
    """Whether the policy wants four eyes, and the challenger was registered under the same name."""
    if not decision.policy.four_eyes:
        return False
    challenger = store.resolve(decision.reference)
    return by.strip().casefold() == challenger.registered_by.strip().casefold()


def _answer(
    store: Store, decision: PromotionDecision, kind: str, reason: str, signature: Signature | None
) -> LedgerEntry:
    given = list(answers(store, decision))
    if given and _is_same(given[-1], kind, reason, store.origin.flow_run_id):
        return given[-1]  # a retry finds what its first attempt wrote
    evidence = decision.model_dump(mode="json")
    entry = store.append_entry(
        Proposal(
            kind=kind,
            model=decision.reference.model,
            version=int(decision.reference.selector),
            alias=decision.alias,
            reason=reason,
            evidence=evidence | ({"approval": asdict(signature)} if signature else {}),
            dataset=decision.dataset,
            against=decision.against if kind == "approved" else None,
            key=answer_key(decision.key, len(given) + 1),
        )
    )
    if _is_same(entry, kind, reason, store.origin.flow_run_id):
        return entry
    return _answer(store, decision, kind, reason, signature)  # somebody answered at the same moment


def _is_same(entry: LedgerEntry, kind: str, reason: str, flow_run_id: str | None) -> bool:
    return (entry.kind, entry.reason, entry.flow_run_id) == (kind, reason, flow_run_id)
