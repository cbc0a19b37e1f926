"""The steps of a version's life as Prefect tasks: call the library, then announce what was written.

An event is emitted after its row is committed and bears an id of its own making, so a task that is retried
after an unlucky crash announces the same event again, not another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pkgutil import resolve_name
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.runtime import task_run as running

from registry import reports
from registry.datasets import Dataset
from registry.evidence import Comparison
from registry.exceptions import ArtifactStoreUnavailable, DatabaseUnavailable, InvalidName
from registry.facade import Registry
from registry.policy import PromotionDecision, PromotionPolicy
from registry.references import CHAMPION
from registry.settings import RegistrySettings, open_backend
from registry.store import Origin
from registry.tables import Evaluation, LedgerEntry, ModelVersion

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

_counting = Lock()
_EVENTS = {
    "promoted": "model-registry.version.promoted",
    "held": "model-registry.promotion.held",
    "rejected": "model-registry.promotion.rejected",
    "rolled-back": "model-registry.champion.rolled-back",
}


def open_registry() -> Registry:
    """The registry of the settings; what it writes names the running flow and task."""
    settings = RegistrySettings()
    flow_run, task_run = FlowRunContext.get(), TaskRunContext.get()
    origin = Origin(
        actor=settings.actor,
        flow_run_id=str(flow_run.flow_run.id) if flow_run and flow_run.flow_run else None,
        task_run_id=str(task_run.task_run.id) if task_run else None,
    )
    return Registry.of(open_backend(settings, origin))


def run_key(*request: str) -> str | None:
    """A key for the *request* of this task run, which its retries share, and the reruns of its flow run.

    Prefect gives the task runs of a rerun new ids, so the key counts: it is the first, second, … time that
    this attempt of the flow run asks for the same. Inside another task or a subflow that is retried, and on
    another machine than the flow's, that can't be told, and only the task run's own retries share a key:
    there the caller had better give one.
    """
    context, around = TaskRunContext.get(), FlowRunContext.get()
    if context is None:
        return None
    asked = sha256("\n".join(request).encode()).hexdigest()
    this = f"{context.task_run.id}/{asked}"
    if around is None or around.flow_run is None or around.detached:
        return this
    counted = around.task_run_dynamic_keys  # lives as long as this attempt of the flow run
    with _counting:
        if this not in counted:
            counted[asked] = int(counted.get(asked, 0)) + 1
            counted[this] = f"{around.flow_run.id}/{asked}/{counted[asked]}"
        return str(counted[this])


def _is_passing(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again may help: the database or the artifact store was out of reach."""
    try:
        state.result()
    except (DatabaseUnavailable, ArtifactStoreUnavailable):
        return True
    except Exception:  # noqa: BLE001, whatever else failed will fail again
        return False
    return False


_PATIENT: Any = {
    "retries": 3,
    "retry_delay_seconds": [1, 5, 25],
    "retry_condition_fn": _is_passing,
    "cache_policy": NO_CACHE,
}
"""For tasks that may run twice, because what they write they write once."""


@task(task_run_name="train with {trainer}", cache_policy=NO_CACHE)
def train_model(trainer: str, trained_on: Dataset, params: dict[str, Any]) -> Any:
    """Call the user's ``module:function`` with the dataset and the parameters, for a fitted estimator."""
    module, _, function = trainer.partition(":")
    if not (module and function):
        raise InvalidName("trainer", trainer, "write module:function, such as training:fit")
    return resolve_name(trainer)(trained_on, **params)


@task(task_run_name="register {model}", **_PATIENT)
def register_version(
    model: str,
    estimator: Any,
    trained_on: Dataset,
    params: dict[str, Any] | None = None,
    key: str | None = None,
) -> ModelVersion:
    """Register the estimator once, however often this task run or its flow run is tried."""
    key = key or run_key("register", model, trained_on.fingerprint, repr(params))
    with open_registry() as registry:
        version = registry.register(model, estimator, trained_on=trained_on, params=params, key=key)
        made_here = version.flow_run_id == registry.backend.rows.origin.flow_run_id
    if made_here:
        _announce(
            "model-registry.version.registered",
            version.model,
            version.number,
            identity=[version.artifact, version.registered_at.isoformat()],
            payload={"estimator": version.estimator, "trained_on": version.trained_on},
        )
    return version


@task(task_run_name="evaluate {reference}", **_PATIENT)
def evaluate_version(
    reference: str, dataset: Dataset, metrics: Sequence[str], slices: Sequence[str] = ()
) -> Evaluation:
    """Measure the version on the dataset, or read what was measured before."""
    with open_registry() as registry:
        evaluation = registry.evaluate(reference, dataset, metrics=metrics, slices=slices)
    _announce(
        "model-registry.version.evaluated",
        evaluation.model,
        evaluation.number,
        identity=[evaluation.dataset, evaluation.evaluated_at.isoformat(), *sorted(evaluation.metrics)],
        payload={"dataset": evaluation.dataset, "rows": evaluation.rows, "metrics": evaluation.metrics},
    )
    return evaluation


@task(task_run_name="compare {challenger} with {champion}", **_PATIENT)
def compare_versions(challenger: str, champion: str, dataset: Dataset, metrics: Sequence[str]) -> Comparison:
    """Measure two versions on the same rows, and publish the comparison as an artifact."""
    with open_registry() as registry:
        comparison = registry.compare(challenger, champion, dataset, metrics=metrics)
    model = challenger.partition("@")[0]
    _publish(model, "comparison", reports.comparison_card(comparison))
    return comparison


@task(task_run_name="decide on {challenger}", **_PATIENT)
def decide_promotion(
    challenger: str, holdout: Dataset, policy: PromotionPolicy, alias: str = CHAMPION
) -> PromotionDecision:
    """Judge the challenger by the policy, and publish the decision as an artifact."""
    with open_registry() as registry:
        decision = registry.decide(challenger, holdout, policy, alias=alias)
    _publish(decision.reference.model, "decision", reports.decision_card(decision))
    return decision


def _outcome() -> str:
    decision: PromotionDecision = running.parameters["decision"]
    return f"{decision.verdict} {decision.challenger}"


@task(task_run_name=_outcome, **_PATIENT)
def promote_version(decision: PromotionDecision) -> LedgerEntry:
    """Write the decision into the ledger; approved, the challenger takes the alias."""
    with open_registry() as registry:
        return _announced(registry.promote(decision))


@task(task_run_name="roll back {model}@{alias}", **_PATIENT)
def roll_back_champion(model: str, reason: str, bad: int | None = None, alias: str = CHAMPION) -> LedgerEntry:
    """Put the trusted predecessor in force, once however often this task run is tried."""
    key = run_key("roll back", model, alias)
    with open_registry() as registry:
        return _announced(registry.roll_back(model, reason=reason, alias=alias, bad=bad, key=key))


def _announced(entry: LedgerEntry) -> LedgerEntry:
    _announce(
        _EVENTS[entry.kind],
        entry.model,
        entry.version,
        identity=[entry.hash],
        payload={
            "alias": entry.alias,
            "sequence": entry.sequence,
            "replaced": entry.replaced,
            "in_force": entry.in_force,
            "reason": entry.reason,
            "actor": entry.actor,
        },
    )
    return entry


def _announce(event: str, model: str, number: int, *, identity: list[str], payload: dict[str, Any]) -> None:
    resource = f"model-registry.model.{model}"
    emit_event(
        event,
        resource={"prefect.resource.id": resource, "prefect.resource.name": model},
        related=[
            {
                "prefect.resource.id": f"{resource}.version.{number}",
                "prefect.resource.role": "model-version",
                "prefect.resource.name": f"{model}@{number}",
            }
        ],
        payload={"model": model, "version": number} | payload,
        id=uuid5(NAMESPACE_URL, "/".join([event, model, str(number), *identity])),
    )


def _publish(model: str, kind: str, markdown: str) -> None:
    """Prefect's artifact keys know letters, digits and dashes only."""
    readable = model.replace(".", "-").replace("_", "-")
    create_markdown_artifact(
        key=f"model-{readable}-{kind}", markdown=markdown, description=f"{kind} of {model}"
    )
