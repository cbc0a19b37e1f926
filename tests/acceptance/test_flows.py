"""A version's life in flows, on a real Prefect server."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import ArtifactSort
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from flows.promote import promote
from flows.rollback import rollback
from flows.train_register_promote import train_register_promote
from registry import Better, Dataset, Floor, NotWorse, PromotionPolicy, Registry
from registry.exceptions import (
    DatabaseUnavailable,
    InvalidDataset,
    InvalidMetric,
    InvalidName,
    NothingToRollBackTo,
)
from registry.tasks import (
    decide_promotion,
    promote_version,
    register_version,
    roll_back_champion,
    train_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import TaskRun

POLICY = PromotionPolicy(
    checks=(Better("roc_auc"), NotWorse("accuracy", margin=0.05), Floor("roc_auc", 0.8)), min_rows=50
)


def train(trained_on: Dataset, *, strength: float) -> LogisticRegression:
    """Regularized so hard at a small strength that a larger one is provably better."""
    return LogisticRegression(C=strength, max_iter=10_000).fit(trained_on.features, trained_on.labels)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Training data and holdout as Parquet files."""
    frame = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0)
    paths = str(tmp_path / "train.parquet"), str(tmp_path / "holdout.parquet")
    frame[:280].to_parquet(paths[0])
    frame[280:].to_parquet(paths[1])
    return paths


@pytest.fixture
def retrain(files: tuple[str, str], registry: Registry) -> Callable[..., Any]:  # noqa: ARG001, the flows find it in the settings
    """Run the retraining flow at a regularization strength."""

    def run(strength: float, policy: PromotionPolicy = POLICY) -> Any:
        return train_register_promote(
            model="tumour",
            trainer="tests.acceptance.test_flows:train",
            training_data=files[0],
            holdout=files[1],
            target="target",
            policy=policy,
            params={"strength": strength},
        )

    return run


def test_a_better_version_goes_live_and_an_equal_one_does_not(
    retrain: Callable[..., Any], registry: Registry
) -> None:
    first, better, equal = retrain(1e-5), retrain(0.1), retrain(0.1001)
    assert [first.verdict, better.verdict, equal.verdict] == ["promote", "promote", "inconclusive"]
    assert [entry.kind for entry in registry.history("tumour")] == ["promoted", "promoted", "held"]
    assert registry.resolve("tumour@champion").number == 2


def test_an_identical_retrain_finds_its_version_and_the_decision_about_it(
    retrain: Callable[..., Any], registry: Registry
) -> None:
    first = retrain(0.1)
    assert retrain(0.1) == first
    assert len(registry.versions("tumour")) == 1
    assert [entry.kind for entry in registry.history("tumour")] == ["promoted"]


def test_a_flow_that_is_rerun_after_the_promotion_finds_it(
    registry: Registry, files: tuple[str, str]
) -> None:
    data, holdout = Dataset.read(files[0], "target"), Dataset.read(files[1], "target")
    registry.register("tumour", _fit(data, 0.1), trained_on=data)

    @flow(retries=1)
    def crashes_after_the_promotion() -> bool:
        decision = decide_promotion("tumour@1", holdout, POLICY)
        promote_version(decision)
        if next(crashes):
            raise RuntimeError("the machine was taken away")
        return decision.approved

    crashes = iter((True, False))
    assert crashes_after_the_promotion()
    assert [entry.kind for entry in registry.history("tumour")] == ["promoted"]


def test_a_missing_holdout_is_noticed_before_anything_is_trained(
    registry: Registry, files: tuple[str, str]
) -> None:
    with pytest.raises(InvalidDataset, match="nowhere"):
        train_register_promote(
            model="tumour",
            trainer="tests.acceptance.test_flows:train",
            training_data=files[0],
            holdout="nowhere.parquet",
            target="target",
            policy=POLICY,
        )
    assert registry.models() == []


@pytest.mark.parametrize("trainer", ["tests.acceptance.test_flows", ":train", "train"])
def test_a_trainer_without_a_function_is_refused(trainer: str) -> None:
    with pytest.raises(InvalidName, match="module:function"):
        train_model.fn(trainer, _frame(), {})


def test_a_version_and_its_entry_name_the_flow_run(retrain: Callable[..., Any], registry: Registry) -> None:
    retrain(0.1)
    version, entry = registry.resolve("tumour@1"), registry.history("tumour")[0]
    assert version.flow_run_id is not None
    assert version.flow_run_id == entry.flow_run_id
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(version.flow_run_id))
        task_runs = _task_runs(client, run.id)
    assert run.name == "retrain tumour"
    assert {task_run.name for task_run in task_runs} == {
        "train with tests.acceptance.test_flows:train",
        "register tumour",
        "evaluate tumour@1",
        "decide on tumour@1",
        "promote tumour@1",
        "publish the cards of tumour@1",
    }


def test_each_step_is_announced_once_after_its_row(
    retrain: Callable[..., Any], registry: Registry, prefect_api: str
) -> None:
    since = datetime.now(UTC)
    for strength in (1e-5, 0.1, 0.1001):
        retrain(strength)
    rollback("tumour", reason="its numbers fell")
    events = _events(prefect_api, since, least=10)
    assert [event["event"].removeprefix("model-registry.") for event in events] == [
        *("version.registered", "version.evaluated", "version.promoted"),
        *("version.registered", "version.evaluated", "version.promoted"),
        *("version.registered", "version.evaluated", "promotion.held"),
        "champion.rolled-back",
    ]
    last = events[-1]
    assert last["resource"]["prefect.resource.id"] == "model-registry.model.tumour"
    assert last["payload"]["in_force"] == 1
    assert last["payload"]["sequence"] == registry.history("tumour")[-1].sequence
    assert "model-registry.model.tumour.version.1" in {
        related["prefect.resource.id"] for related in last["related"]
    }


def test_the_decision_is_published_with_its_picture(retrain: Callable[..., Any]) -> None:
    retrain(0.1)
    with get_client(sync_client=True) as client:
        newest = ArtifactFilter(key=ArtifactFilterKey(any_=["model-tumour-decision"]))
        card = str(client.read_artifacts(artifact_filter=newest, sort=ArtifactSort.CREATED_DESC)[0].data)
    assert "tumour@1" in card
    assert "data:image/png;base64," in card


def test_a_rerun_of_a_flow_run_finds_what_its_first_attempt_registered(
    registry: Registry,
) -> None:
    """Prefect's flow retry runs the flow from its first line under the same flow run."""
    attempts = []

    @flow(retries=1)
    def crashes_once() -> list[str]:
        data = _frame()
        made = [register_version("tumour", _fit(data, c), data, {"C": c}).reference for c in (0.01, 0.1)]
        attempts.append(made)
        if len(attempts) == 1:
            raise RuntimeError("the machine was taken away")
        return made

    assert crashes_once() == ["tumour@1", "tumour@2"]
    assert attempts[0] == attempts[1]
    assert len(registry.versions("tumour")) == 2


def test_a_retry_with_another_outcome_of_the_training_still_finds_the_first(registry: Registry) -> None:
    seeds = iter((0.01, 0.02))

    @flow(retries=1)
    def unseeded() -> str:
        data = _frame()
        version = register_version("tumour", _fit(data, next(seeds)), data)
        if next(crashes):
            raise RuntimeError("crashed after registering")
        return version.reference

    crashes = iter((True, False))
    assert unseeded() == "tumour@1"
    assert len(registry.versions("tumour")) == 1


def test_registrations_at_once_find_each_its_own_in_a_rerun(registry: Registry) -> None:
    """Which of them starts first is for the threads to decide, and nothing but the fit tells them apart."""
    attempts = []

    @flow(retries=1)
    def crashes_once() -> None:
        data = _frame()
        asked = [register_version.submit("tumour", _fit(data, c / 100), data) for c in range(1, 7)]
        attempts.append([future.result().training for future in asked])
        if len(attempts) == 1:
            raise RuntimeError("the machine was taken away")

    crashes_once()
    assert attempts[0] == attempts[1]
    assert len(set(attempts[0])) == len(registry.versions("tumour")) == 6


def test_two_models_registered_by_one_task_are_two_versions(registry: Registry) -> None:
    @task
    def registers_two() -> list[str]:
        data = _frame()
        return [register_version.fn("tumour", _fit(data, c), data, {"C": c}).reference for c in (0.1, 0.2)]

    assert registers_two() == ["tumour@1", "tumour@2"]
    assert len(registry.versions("tumour")) == 2


def test_a_retried_rollback_rolls_back_once(registry: Registry) -> None:
    data = _frame()
    for c in (0.001, 0.01, 0.1):
        registry.register("tumour", _fit(data, c), trained_on=data)
        registry.assign("tumour@latest", reason="for the test")

    @flow(retries=1)
    def crashes_after_the_rollback() -> int | None:
        entry = roll_back_champion("tumour", "it is bad")
        if next(crashes):
            raise RuntimeError("the answer was lost")
        return entry.in_force

    crashes = iter((True, False))
    assert crashes_after_the_rollback() == 2
    assert [entry.kind for entry in registry.history("tumour")].count("rolled-back") == 1


def test_the_rollback_flow_restores_the_predecessor(registry: Registry) -> None:
    data = _frame()
    for c in (0.001, 0.01):
        registry.register("tumour", _fit(data, c), trained_on=data)
        registry.assign("tumour@latest", reason="for the test")
    assert rollback("tumour", reason="its numbers fell").in_force == 1
    with pytest.raises(NothingToRollBackTo):
        rollback("tumour", reason="and again")
    assert registry.resolve("tumour@champion").number == 1


def test_the_promote_flow_takes_any_reference(registry: Registry, files: tuple[str, str]) -> None:
    data = Dataset.read(files[0], "target")
    registry.register("tumour", _fit(data, 0.1), trained_on=data)
    decision = promote("tumour@latest", files[1], "to be looked at", POLICY, alias="staging")
    assert decision.approved
    assert registry.resolve("tumour@staging").number == 1


def test_a_policy_travels_as_the_json_of_a_run_form(registry: Registry, files: tuple[str, str]) -> None:
    data = Dataset.read(files[0], "target")
    registry.register("tumour", _fit(data, 0.1), trained_on=data)
    form = json.loads(POLICY.model_dump_json())
    decision = promote("tumour@1", files[1], "asked again", form)  # the UI sends plain JSON
    assert decision.policy == POLICY


def test_what_will_fail_again_is_not_tried_again(retrain: Callable[..., Any], registry: Registry) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidMetric):
        retrain(0.1, PromotionPolicy(checks=(Floor("rocauc", 0.8),), min_rows=50))
    assert time.monotonic() - started < 15, "retries would have waited for 31 seconds"
    assert registry.history("tumour") == []


@pytest.mark.usefixtures("registry")
def test_a_database_out_of_reach_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _frame()
    failures = iter((DatabaseUnavailable("the database", "it restarts"),))
    real = Registry.register

    def flaky(self: Registry, *args: Any, **kwargs: Any) -> Any:
        for failure in failures:
            raise failure
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Registry, "register", flaky)

    @flow
    def once() -> str:
        return register_version("tumour", _fit(data, 0.1), data).reference

    assert once() == "tumour@1"


def _task_runs(client: SyncPrefectClient, flow_run_id: UUID) -> list[TaskRun]:
    """The task runs of a flow run; the server writes them down some moments after they ended."""
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    for _ in range(50):
        runs = client.read_task_runs(flow_run_filter=chosen)
        if len(runs) >= 5:
            return runs
        time.sleep(0.2)
    return []


def _events(api: str, since: datetime, least: int) -> list[dict[str, Any]]:
    """Our events since a time, oldest first; the server takes a moment to write them down."""
    until = since + timedelta(hours=1)
    chosen = {
        "occurred": {"since": since.isoformat(), "until": until.isoformat()},
        "event": {"prefix": ["model-registry."]},
        "order": "ASC",
    }
    found: list[dict[str, Any]] = []
    for _ in range(100):
        answer = httpx.post(f"{api}/events/filter", json={"filter": chosen}).raise_for_status()
        found = answer.json()["events"]
        if len(found) >= least:
            break
        time.sleep(0.2)
    return found


def _frame() -> Dataset:
    return Dataset.from_frame(load_breast_cancer(as_frame=True).frame[:200], "target", "first rows")


def _fit(data: Dataset, c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=10_000).fit(data.features, data.labels)
