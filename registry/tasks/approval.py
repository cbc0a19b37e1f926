"""Ask a person in the Prefect UI whether a challenger that passed may go live, and write the answer down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from prefect import task
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.settings import PREFECT_API_URL
from pydantic import Field, create_model

from registry import reports
from registry.approval import Signature
from registry.exceptions import NobodyToAsk
from registry.policy import PromotionDecision
from registry.tables import LedgerEntry, now
from registry.tasks.announcements import announce_entry
from registry.tasks.runs import PATIENT, open_registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_POLLING = 3  # seconds until a paused run notices its answer

# Neither they nor the choice has a default, so an empty answer is refused.
_name: Any = (str, Field(pattern=r"\S", description="Who you are; it goes into the ledger."))
_comment: Any = (str, Field(pattern=r"\S", description="Why; it goes into the ledger."))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person said to a decision.

    Attributes:
        verdict: Whether the challenger may go live; "instead" asks to judge *other*.
        other: Reference of the version to judge instead.
        by: Who said so.
        comment: Why.
    """

    verdict: Literal["approve", "reject", "instead"]
    by: str
    comment: str
    other: str | None = None


def require_somebody() -> None:
    """Refuse to ask where nobody could answer: the embedded server has no UI, and ends with its program.

    Raises:
        NobodyToAsk: No Prefect server is configured.
    """
    if not PREFECT_API_URL.value():
        raise NobodyToAsk


def ask(decision: PromotionDecision, others: Sequence[str], until: datetime, note: str = "") -> Answer | None:
    """Pause the flow run until a person resumes it with an answer; None if nobody does *until* then.

    Args:
        decision: What the policy decided; its checks stand in the dialog.
        others: References of the versions that could be judged instead.
        until: When to give up.
        note: What went wrong with the answer before.

    Raises:
        InvalidName: The name or the comment that was given is no text to keep.
    """
    choices = _choices(decision.challenger, others)
    decide: Any = (Literal[tuple(choices)], Field(description="What is to happen."))
    form = create_model("Approval", __base__=RunInput, decision=decide, name=_name, comment=_comment)
    description = "\n\n".join(filter(None, [f"**{note}**" if note else "", reports.ballot(decision)]))
    seconds = max(1, int((until - now()).total_seconds()))
    try:
        given: Any = pause_flow_run(
            wait_for_input=form.with_initial_data(description=description),
            timeout=seconds,
            poll_interval=_POLLING,
            key=uuid4().hex,  # of its own, so that a run that is retried asks again
        )
    except FlowPauseTimeout:
        return None
    signature = Signature(given.name.strip(), given.comment.strip())
    verdict, other = choices[given.decision]
    return Answer(verdict=verdict, other=other, by=signature.by, comment=signature.comment)


def _choices(
    challenger: str, others: Sequence[str]
) -> dict[str, tuple[Literal["approve", "reject", "instead"], str | None]]:
    return {
        f"approve {challenger}": ("approve", None),
        f"reject {challenger}": ("reject", None),
        **{f"judge {other} instead": ("instead", other) for other in others},
    }


@task(task_run_name="approve {decision.challenger}", **PATIENT)
def approve_promotion(
    decision: PromotionDecision, by: str, comment: str, registry: str | None = None
) -> LedgerEntry:
    """Write down that a person agrees with the decision."""
    with open_registry(registry) as opened:
        return announce_entry(opened.approve(decision, by=by, comment=comment))


@task(task_run_name="decline {decision.challenger}", **PATIENT)
def decline_promotion(
    decision: PromotionDecision, by: str, comment: str, registry: str | None = None
) -> LedgerEntry:
    """Write down that a person does not agree with the decision."""
    with open_registry(registry) as opened:
        return announce_entry(opened.decline(decision, by=by, comment=comment))


@task(task_run_name="hold {decision.challenger}", **PATIENT)
def withhold_promotion(decision: PromotionDecision, reason: str, registry: str | None = None) -> LedgerEntry:
    """Write down why a challenger that passed is held all the same."""
    with open_registry(registry) as opened:
        return announce_entry(opened.withhold(decision, reason=reason))
