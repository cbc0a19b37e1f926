"""A promotion waits for a person, who answers as the Prefect UI does: by resuming the run with a form."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from httpx import codes
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.promote import promote
from registry import PromotionDecision, PromotionPolicy, Registry
from registry.exceptions import NobodyToAsk
from registry.tasks import approval, events
from tests.three_versions import POLICY, holdout, three_versions
from tests.watched import heard, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from prefect.client.schemas.objects import FlowRun

MANUAL = PromotionPolicy(checks=POLICY.checks, approval="manual", answer_within=timedelta(seconds=40))


@pytest.fixture
def registry(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """Three versions of churn, each better than the one before; the first is in force."""
    monkeypatch.setattr(approval, "_POLLING", 0.2)
    with three_versions(tmp_path_factory, tmp_path) as registry:
        registry.assign("churn@1", reason="to begin with")
        monkeypatch.setenv("MODEL_REGISTRY_DATABASE", registry.backend.rows.name)
        monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", str(tmp_path / "registry" / "artifacts"))
        yield registry


@pytest.fixture
def start(tmp_path: Path, registry: Registry) -> Iterator[Callable[..., Future[PromotionDecision]]]:  # noqa: ARG001, the flow finds it in the settings
    """Start the promote flow in the background."""
    rows = tmp_path / "holdout.parquet"
    frame = holdout().frame
    frame.to_parquet(rows, index=False)
    with ThreadPoolExecutor(2) as runs:

        def begin(version: str = "churn@2", policy: PromotionPolicy = MANUAL) -> Future[PromotionDecision]:
            return runs.submit(copy_context().run, promote, version, str(rows), "the spring release", policy)

        yield begin


def paused(version: str = "churn@2", since: UUID | None = None) -> FlowRun:
    """The newest run about the version, as soon as it waits for an answer to a question after *since*."""
    name = FlowRunFilter(name=FlowRunFilterName(any_=[f"promote {version}"]))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(flow_run_filter=name, sort=FlowRunSort.EXPECTED_START_TIME_DESC)
        waiting = [run for run in runs if run.state and run.state.is_paused() and run.state.id != since]
        if waiting and has_dialog(waiting[0]):
            return waiting[0]
        time.sleep(0.1)
    pytest.fail(f"no run about {version} waits for an answer")


def has_dialog(run: FlowRun) -> bool:
    """Prefect pauses a run a moment before it keeps what it asks."""
    try:
        dialog(run)
    except PrefectHTTPStatusError as error:
        assert error.response.status_code == codes.NOT_FOUND  # noqa: PT017, anything else is no answer
        return False
    return True


def resume(run: FlowRun, **answer: str) -> str:
    with get_client(sync_client=True) as client:
        return client.resume_flow_run(run.id, run_input=answer).status.value


def dialog(run: FlowRun) -> tuple[str, dict[str, Any]]:
    """The text and the form that the UI shows."""
    assert run.state is not None
    keys = run.state.state_details.run_input_keyset
    assert keys is not None
    with get_client(sync_client=True) as client:
        return (
            json.loads(client.read_flow_run_input(run.id, keys["description"])),
            json.loads(client.read_flow_run_input(run.id, keys["schema"])),
        )


def test_the_dialog_shows_the_evidence_and_an_approval_promotes(
    prefect_api: str, registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    began, run = now(), start()
    waiting = paused()
    text, form = dialog(waiting)
    assert "May churn@2 become champion, in place of churn@1?" in text
    assert "| Check | Outcome | Measured |" in text
    choices = form["properties"]["decision"]["enum"]
    assert choices == ["approve churn@2", "reject churn@2", "judge churn@3 instead"]
    assert sorted(form["required"]) == ["comment", "decision", "name"]
    assert resume(waiting) == "REJECT"
    assert resume(waiting, decision="approve churn@2", name=" ", comment="fine") == "REJECT"
    assert resume(waiting, decision="approve churn@9", name="Grace", comment="fine") == "REJECT"
    assert registry.aliases("churn") == {"champion": 1}
    assert resume(waiting, decision="approve churn@2", name="Grace", comment="fine") == "ACCEPT"
    assert run.result(60).approved
    approved, promoted = registry.history("churn")[-2:]
    assert (approved.kind, promoted.kind, promoted.in_force) == ("approved", "promoted", 2)
    assert promoted.reason.startswith("the spring release; Grace approves: fine; ")
    assert promoted.flow_run_id == str(waiting.id)
    [told] = heard(prefect_api, began, events.APPROVED, least=1)
    assert told["payload"]["approval"] == {"by": "Grace", "comment": "fine"}


def test_a_rejection_and_another_version_are_written_down(
    registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    run = start()
    waiting = paused()
    assert resume(waiting, decision="judge churn@3 instead", name="Grace", comment="it is newer") == "ACCEPT"
    again = paused(since=waiting.state.id if waiting.state else None)
    assert "May churn@3 become champion" in dialog(again)[0]
    assert resume(again, decision="reject churn@3", name="Grace", comment="too slow") == "ACCEPT"
    decision = run.result(60)
    assert (decision.challenger, decision.verdict) == ("churn@3", "reject")
    assert decision.reasons == ["Grace rejects: too slow"]
    held, rejected = registry.history("churn")[-2:]
    assert (held.kind, held.version) == ("held", 2)
    assert held.reason == "Grace asks for churn@3 instead: it is newer"
    assert (rejected.kind, rejected.version) == ("rejected", 3)
    assert registry.aliases("churn") == {"champion": 1}


def test_of_two_who_resume_at_once_one_is_told_that_it_is_too_late(
    registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    run = start()
    waiting = paused()
    answers = [
        {"decision": "approve churn@2", "name": "Grace", "comment": "fine"},
        {"decision": "reject churn@2", "name": "Alan", "comment": "no"},
    ]
    with ThreadPoolExecutor(2) as people:
        said = [people.submit(copy_context().run, _try_to_resume, waiting, answer) for answer in answers]
    accepted = [each.result() == "ACCEPT" for each in said]
    assert sorted(accepted) == [False, True]
    decision = run.result(60)
    assert decision.approved == accepted[0]
    assert [entry.kind for entry in registry.history("churn")].count("promoted") == accepted[0]


def test_nobody_answers_and_the_challenger_is_held(
    registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    hurried = MANUAL.model_copy(update={"answer_within": timedelta(seconds=3)})
    decision = start(policy=hurried).result(60)
    assert decision.verdict == "inconclusive"
    entry = registry.history("churn")[-1]
    assert (entry.kind, entry.version) == ("held", 2)
    assert entry.reason.startswith("nobody answered before 20")


def test_whoever_registered_the_version_is_asked_for_somebody_else(
    registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    run = start(policy=MANUAL.model_copy(update={"four_eyes": True}))
    waiting = paused()
    registrant = registry.resolve("churn@2").registered_by
    assert resume(waiting, decision="approve churn@2", name=registrant, comment="my own") == "ACCEPT"
    again = paused(since=waiting.state.id if waiting.state else None)
    assert f"{registrant} registered churn@2" in dialog(again)[0]
    assert resume(again, decision="approve churn@2", name="Grace", comment="fine") == "ACCEPT"
    assert run.result(60).approved
    assert registry.history("churn")[-1].evidence["approval"]["by"] == "Grace"


def test_whoever_gives_a_name_or_comment_that_can_not_be_kept_is_asked_again(
    registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    run = start()
    waiting = paused()
    assert resume(waiting, decision="approve churn@2", name="Gr\0ce", comment="fine") == "ACCEPT"
    again = paused(since=waiting.state.id if waiting.state else None)
    assert "leave out NUL characters" in dialog(again)[0]
    assert resume(again, decision="reject churn@2", name="Grace", comment="x" * 5_001) == "ACCEPT"
    once_more = paused(since=again.state.id if again.state else None)
    assert "use at most 5,000" in dialog(once_more)[0]
    assert resume(once_more, decision="approve churn@2", name="Grace", comment="fine") == "ACCEPT"
    assert run.result(60).approved
    assert registry.history("churn")[-1].evidence["approval"] == {"by": "Grace", "comment": "fine"}


def test_a_champion_that_changed_while_it_waited_holds_the_challenger(
    registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    run = start()
    waiting = paused()
    registry.assign("churn@3", reason="a hotfix meanwhile")
    assert resume(waiting, decision="approve churn@2", name="Grace", comment="fine") == "ACCEPT"
    assert run.result(60).verdict == "inconclusive"
    entry = registry.history("churn")[-1]
    assert (entry.kind, entry.version, entry.in_force) == ("held", 2, 3)
    assert "promote it again to decide against what is in force now" in entry.reason


def test_a_version_that_fell_while_it_waited_is_held(
    registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    run = start()
    waiting = paused()
    registry.assign("churn@2", reason="impatience")
    registry.roll_back("churn", reason="it fell")
    assert resume(waiting, decision="approve churn@2", name="Grace", comment="fine") == "ACCEPT"
    assert run.result(60).verdict == "inconclusive"
    entry = registry.history("churn")[-1]
    assert (entry.kind, entry.version, entry.in_force) == ("held", 2, 1)


def test_a_run_that_is_retried_after_its_approval_goes_on(
    registry: Registry, start: Callable[..., Future[PromotionDecision]]
) -> None:
    decision = registry.decide("churn@2", holdout(), MANUAL)
    registry.approve(decision, by="Grace", comment="fine")
    assert start().result(60).approved
    assert registry.aliases("churn") == {"champion": 2}


@pytest.mark.usefixtures("registry")
def test_without_a_server_nobody_is_asked(tmp_path: Path) -> None:
    rows = tmp_path / "holdout.parquet"
    holdout().frame.to_parquet(rows, index=False)
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(NobodyToAsk, match="registry serve"):
        promote.fn("churn@2", str(rows), "the spring release", MANUAL)


def _try_to_resume(run: FlowRun, answer: dict[str, str]) -> str:
    return resume(run, **answer)
