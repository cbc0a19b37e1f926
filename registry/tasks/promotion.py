"""From training to promotion: each step a task that calls the library, then announces what was written."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run as running

from registry import reports
from registry.datasets import Dataset
from registry.evidence import Comparison
from registry.exceptions import InvalidName
from registry.policy import PromotionDecision, PromotionPolicy
from registry.references import CHAMPION
from registry.tables import Evaluation, LedgerEntry, ModelVersion
from registry.tasks import events
from registry.tasks.announcements import announce, announce_entry
from registry.tasks.cards import publish
from registry.tasks.forms import refresh_choices
from registry.tasks.runs import PATIENT, open_registry, run_key


@task(task_run_name="train with {trainer}", cache_policy=NO_CACHE)
def train_model(trainer: str, trained_on: Dataset, params: dict[str, Any]) -> Any:
    """Call the user's ``module:function`` with the dataset and the parameters, for a fitted estimator."""
    module, _, function = trainer.partition(":")
    if not (module and function):
        raise InvalidName("trainer", trainer, "write module:function, such as training:fit")
    return resolve_name(trainer)(trained_on, **params)


@task(task_run_name="register {model}", **PATIENT)
def register_version(
    model: str,
    estimator: Any,
    trained_on: Dataset,
    params: dict[str, Any] | None = None,
    key: str | None = None,
    registry: str | None = None,
) -> ModelVersion:
    """Register the estimator once, however often this task run or its flow run is tried."""
    key = key or run_key("register", model, trained_on.fingerprint, repr(params))
    with open_registry(registry) as opened:
        version = opened.register(model, estimator, trained_on=trained_on, params=params, key=key)
        if version.flow_run_id == opened.backend.rows.origin.flow_run_id:  # made by this run
            announce(
                events.REGISTERED,
                version.model,
                version.number,
                identity=[version.artifact, version.registered_at.isoformat()],
                payload={"estimator": version.estimator, "trained_on": version.trained_on},
            )
        refresh_choices(opened, registry)
    return version


@task(task_run_name="evaluate {reference}", **PATIENT)
def evaluate_version(
    reference: str,
    dataset: Dataset,
    metrics: Sequence[str],
    slices: Sequence[str] = (),
    registry: str | None = None,
) -> Evaluation:
    """Measure the version on the dataset, or read what was measured before."""
    with open_registry(registry) as opened:
        evaluation = opened.evaluate(reference, dataset, metrics=metrics, slices=slices)
    announce(
        events.EVALUATED,
        evaluation.model,
        evaluation.number,
        identity=[evaluation.dataset, evaluation.evaluated_at.isoformat(), *sorted(evaluation.metrics)],
        payload={"dataset": evaluation.dataset, "rows": evaluation.rows, "metrics": evaluation.metrics},
    )
    return evaluation


@task(task_run_name="compare {challenger} with {champion}", **PATIENT)
def compare_versions(
    challenger: str,
    champion: str,
    dataset: Dataset,
    metrics: Sequence[str],
    registry: str | None = None,
) -> Comparison:
    """Measure two versions on the same rows, and publish the comparison as an artifact."""
    with open_registry(registry) as opened:
        comparison = opened.compare(challenger, champion, dataset, metrics=metrics)
    model = challenger.partition("@")[0]
    publish(model, "comparison", reports.comparison_card(comparison))
    return comparison


@task(task_run_name="decide on {challenger}", **PATIENT)
def decide_promotion(
    challenger: str,
    holdout: Dataset,
    policy: PromotionPolicy,
    alias: str = CHAMPION,
    registry: str | None = None,
) -> PromotionDecision:
    """Judge the challenger by the policy, and publish the decision as an artifact."""
    with open_registry(registry) as opened:
        decision = opened.decide(challenger, holdout, policy, alias=alias)
    beside = [decision.champion.partition("@")[2]] if decision.champion else []
    publish(decision.reference.model, "decision", reports.decision_card(decision), beside)
    return decision


def _outcome() -> str:
    decision: PromotionDecision = running.parameters["decision"]
    return f"{decision.verdict} {decision.challenger}"


@task(task_run_name=_outcome, **PATIENT)
def promote_version(
    decision: PromotionDecision, because: str = "", registry: str | None = None
) -> LedgerEntry:
    """Write the decision into the ledger; approved, the challenger takes the alias."""
    with open_registry(registry) as opened:
        return announce_entry(opened.promote(decision, because=because))
