"""Decide whether a challenger takes the alias, and write the decision into the ledger."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry import statistics
from registry.approval import answer_key, require_approval, withhold
from registry.comparison import contest_on, refuse_training_data
from registry.exceptions import AliasNotSet, DecisionConflict
from registry.ledger import Proposal, Reign
from registry.limits import check_text
from registry.policy import Judgement, PromotionDecision, PromotionPolicy
from registry.references import CHAMPION, check_alias
from registry.safeguards import pause
from registry.tables import canonical_json
from registry.trust import disclosed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.backend import Backend
    from registry.datasets import Dataset
    from registry.policy import Verdict
    from registry.store import Store
    from registry.tables import LedgerEntry, ModelVersion

_NOTHING: Mapping[str, Any] = {}
_KINDS: dict[Verdict, str] = {"promote": "promoted", "reject": "rejected", "inconclusive": "held"}


def decide(
    backend: Backend,
    challenger: ModelVersion,
    holdout: Dataset,
    policy: PromotionPolicy,
    alias: str = CHAMPION,
) -> PromotionDecision:
    """Judge *challenger* by *policy* against the version in force; nothing is written but evaluations.

    Both are measured on *holdout*, the champion too if it was not yet. Each further decision on the same
    holdout spends less of the error probability, which counts those that were written: so hand every decision
    to ``promote``, whatever its verdict. A question that the ledger has answered already, the same
    challenger, reign, rows and policy, gets the same answer.

    So does a question that is asked again after the challenger was promoted, as by a flow that is rerun.
    A challenger that is in force for another reason is left to be noted as held.

    Raises:
        TrainingDataAsEvidence: A contender was trained on the holdout.
        SchemaMismatch: The holdout's columns are not those of the training.
        PredictionFailed: A contender does not predict the holdout.
        InvalidMetric: A metric is unknown, or undefined on these rows.
    """
    question = _ask(backend, challenger, holdout, policy, check_alias(alias))
    if answered := _answered(backend.rows, question):
        return answered
    look = backend.rows.looks(challenger.model, holdout.fingerprint) + 1
    alpha = statistics.alpha_at_look(1 - policy.confidence, look)
    paused = pause(backend, question.challenger, alias)
    judgement = Judgement("inconclusive", [], [paused]) if paused else _judge(backend, question, alpha)
    return PromotionDecision(
        challenger=challenger.reference,
        champion=question.champion and question.champion.reference,
        alias=alias,
        against=question.against,
        dataset=holdout.fingerprint,
        dataset_name=holdout.name,
        rows=holdout.rows,
        look=look,
        alpha=alpha,
        policy=policy,
        verdict=judgement.verdict,
        checks=judgement.checks,
        reasons=judgement.reasons,
        key=_digest([question.key, paused])
        if paused
        else question.key,  # so that it may be asked again later
    )


def promote(backend: Backend, decision: PromotionDecision, because: str = "") -> LedgerEntry:
    """Write *decision* into the ledger: an approved challenger takes the alias, another is noted.

    The entry's kind is "promoted", "rejected" or "held". Writing the same decision again finds its entry. A
    challenger that came into quarantine since, or for whose alias a cooldown or freeze began, is held.

    Args:
        backend: Where the registry keeps what it keeps.
        decision: What ``decide`` made of the challenger.
        because: Why the promotion was asked for; it stands before the policy's reasons.

    Raises:
        ApprovalMissing: The policy asks for a person's approval, and there is none.
        PickleNotAllowed: The challenger's format runs code, and the operator or the caller does not allow it.
        AliasConflict: Another run moved the alias since; decide again.
        DecisionConflict: Another run that asked the same got another answer, which is written.
    """
    rows, challenger = backend.rows, decision.reference
    check_text("reason", because)
    kind = _KINDS[decision.verdict]
    if written := rows.entry(challenger.model, decision.alias, decision.key):
        if written.kind != kind:
            raise DecisionConflict(decision.challenger, decision.verdict, written.kind)
        return written
    if not decision.approved:
        return rows.append_entry(_proposal(decision, kind, because))
    approval, version = require_approval(rows, decision), rows.resolve(challenger)
    if paused := pause(backend, version, decision.alias):
        return withhold(rows, decision, paused)
    backend.consent.require(version.reference, version.serialization)
    agreed = {"approval": approval.evidence["approval"]} if approval else {}
    told = disclosed(version.serialization) | agreed
    entry = rows.append_entry(_proposal(decision, kind, because, approval, told))
    if entry.kind != kind:
        raise DecisionConflict(decision.challenger, decision.verdict, entry.kind)
    return entry


def _proposal(
    decision: PromotionDecision,
    kind: str,
    because: str,
    approval: LedgerEntry | None = None,
    told: Mapping[str, Any] = _NOTHING,
) -> Proposal:
    agreed = [approval.reason] if approval else []
    evidence = decision.model_dump(mode="json")
    return Proposal(
        kind=kind,
        model=decision.reference.model,
        version=int(decision.reference.selector),
        alias=decision.alias,
        reason="; ".join([*([because] if because.strip() else []), *agreed, *decision.reasons]),
        evidence={**evidence, **told},
        dataset=decision.dataset if decision.checks else None,  # rows that nobody looked at are as new
        against=decision.against if decision.approved else None,
        key=decision.key,
    )


def assign(
    backend: Backend,
    version: ModelVersion,
    alias: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
) -> LedgerEntry:
    """Put *version* in force without a gate; the ledger says so, and why.

    Raises:
        AlreadyInForce: It holds the alias.
        PickleNotAllowed: Its format runs code, and the operator or the caller does not allow it.
    """
    backend.consent.require(version.reference, version.serialization)
    return backend.rows.append_entry(
        Proposal(
            kind="assigned",
            model=version.model,
            version=version.number,
            alias=check_alias(alias),
            reason=check_text("reason", reason),
            evidence=disclosed(version.serialization) | dict(evidence or {}),
        )
    )


def clear(store: Store, model: str, alias: str, reason: str) -> LedgerEntry:
    """Leave nothing in force under *alias*, until the next promotion or assignment.

    Raises:
        ModelNotFound: There is no such model.
        AliasNotSet: Nothing is in force.
        AliasConflict: Another version came into force meanwhile.
    """
    reign = store.reign(model, check_alias(alias))
    if reign.version is None:
        store.versions(model)  # raises if it is the model that is missing
        raise AliasNotSet(model, alias)
    return store.append_entry(
        Proposal(
            kind="cleared",
            model=model,
            version=reign.version,
            alias=alias,
            reason=check_text("reason", reason),
            against=reign,
        )
    )


@dataclass(frozen=True, kw_only=True)
class _Question:
    """May *challenger* take *alias* from the reign that it is *against*, by *policy* on *holdout*?"""

    challenger: ModelVersion
    champion: ModelVersion | None
    alias: str
    against: Reign
    holdout: Dataset
    policy: PromotionPolicy

    @property
    def key(self) -> str:
        facts = [
            self.challenger.reference,
            self.alias,
            [self.against.version, self.against.since],
            self.holdout.fingerprint,
            self.policy.fingerprint,
        ]
        return _digest(facts)


def _ask(
    backend: Backend, challenger: ModelVersion, holdout: Dataset, policy: PromotionPolicy, alias: str
) -> _Question:
    reign = backend.rows.reign(challenger.model, alias)
    champion = None if reign.version is None else backend.rows.version(challenger.model, reign.version)
    refuse_training_data((challenger, champion), holdout)
    return _Question(
        challenger=challenger,
        champion=champion,
        alias=alias,
        against=reign,
        holdout=holdout,
        policy=policy,
    )


def _answered(rows: Store, question: _Question) -> PromotionDecision | None:
    """What the ledger says to the question, also if it is asked again after the promotion it led to."""
    model, alias = question.challenger.model, question.alias
    for key in (question.key, answer_key(question.key, 1)):
        if entry := rows.entry(model, alias, key):
            decision = PromotionDecision.model_validate(entry.evidence)
            return decision.model_copy(update={"policy": decision.policy.asked_again(question.policy)})
    if question.against.version != question.challenger.number:
        return None
    entry = rows.entry_at(model, alias, int(question.against.since or 0))
    if entry.kind != "promoted":
        return None
    decision = PromotionDecision.model_validate(entry.evidence)
    same = (decision.dataset, decision.policy) == (question.holdout.fingerprint, question.policy)
    return decision if same else None


def _judge(backend: Backend, question: _Question, alpha: float) -> Judgement:
    challenger, policy = question.challenger, question.policy
    if question.against.version == challenger.number:
        return Judgement("inconclusive", [], [f"{challenger.reference} is the {question.alias} already"])
    if foregone := policy.foregone(question.holdout.rows):
        return foregone
    contest = contest_on(
        backend,
        (challenger, question.champion),
        question.holdout,
        metrics=policy.metrics,
        slices=policy.slice_columns,
    )
    return policy.judge(contest, alpha)


def _digest(facts: list[Any]) -> str:
    return hashlib.sha256(canonical_json(facts).encode()).hexdigest()
