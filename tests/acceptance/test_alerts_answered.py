"""An alert is answered by the rollback deployment: with the real trigger, and a worker that runs it.

Each test has an alias of its own, under which ``churn@2`` is in force after ``churn@1``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.settings import PREFECT_API_URL, temporary_settings

from registry.cli import main
from registry.tasks import events
from tests.servers.prefect import deploy, prefect_worker
from tests.servers.process import free_ports
from tests.watched import heard, now, promoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prefect.client.schemas.objects import FlowRun

    from registry import Registry

ROOT = Path(__file__).parents[2]
COMMAND = "from registry.cli import main; main()"
NASTY = "12 \"quotes\", 'quotes', {{ event.id }}, {% raw %}, back\\slash, naïve, 100 %"
SECONDS_TO_ANSWER = 90


@pytest.fixture(scope="module")
def registry(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The registry of a worker that waits for what the triggers of the deployments start."""
    home = tmp_path_factory.mktemp("worker")
    with (
        pytest.MonkeyPatch.context() as setting,
        promoted(tmp_path_factory, tmp_path_factory.mktemp("served"), setting) as registry,
    ):
        setting.setenv("OMP_NUM_THREADS", "1")
        deploy(prefect_api, home)
        with prefect_worker(prefect_api, home):
            yield registry


@pytest.fixture
def alias(registry: Registry) -> str:
    """Another alias, under which version 2 is in force after version 1."""
    name = f"a{uuid4().hex}"
    for number in (1, 2):
        registry.assign(f"churn@{number}", alias=name, reason="its turn")
    return name


def test_what_the_command_line_reports_comes_down(registry: Registry, prefect_api: str, alias: str) -> None:
    said = reported(prefect_api, "churn", "--reason", NASTY, "--alias", alias)
    assert f"churn@2 is reported to {prefect_api}" in said
    identifier = said.split()[-1]
    run = finished(identifier)
    assert run.state_name == "Completed"
    entry = registry.history("churn", alias=alias)[-1]
    assert (entry.kind, entry.replaced, entry.in_force) == ("rolled-back", 2, 1)
    assert entry.reason == NASTY
    assert entry.evidence["alert"] == identifier
    assert entry.flow_run_id == str(run.id)
    assert registry.quarantined("churn")[alias] == [2]


def test_what_is_posted_by_hand_needs_no_version_no_alias_and_no_reason(
    registry: Registry, prefect_api: str
) -> None:
    identifier = post(prefect_api)
    assert finished(identifier).state_name == "Completed"
    entry = registry.history("churn", alias="champion")[-1]
    assert (entry.kind, entry.replaced, entry.in_force) == ("rolled-back", 3, 2)
    assert entry.reason == "an alert that gave no reason"


def test_two_alerts_at_once_are_one_rollback_and_two_answers(
    registry: Registry, prefect_api: str, alias: str
) -> None:
    alerts = [alert(alias=alias) for _ in range(2)]
    posts = [
        subprocess.Popen([sys.executable, "-c", POST, prefect_api, json.dumps(each)])  # noqa: S603, as COMMAND
        for each in alerts
    ]
    assert [post.wait() for post in posts] == [0, 0]
    assert [finished(each["id"]).state_name for each in alerts] == ["Completed", "Completed"]
    assert kinds(registry, alias) == ["assigned", "assigned", "rolled-back"]


def test_an_alert_about_a_version_that_is_gone_moves_nothing_and_says_why(
    registry: Registry, prefect_api: str, alias: str
) -> None:
    began = now()
    identifier = post(prefect_api, alias=alias, version=1, reason="it is slow")
    assert finished(identifier).state_name == "Completed"
    note = registry.history("churn", alias=alias)[-1]
    assert (note.kind, note.version, note.in_force) == ("alerted", 1, 2)
    assert note.reason == "it is slow; nothing moves: version 2 is in force"
    [refused] = heard(prefect_api, began, events.ROLLBACK_REFUSED, least=1)
    assert refused["payload"]["why"] == "not in force"
    assert refused["payload"]["reason"] == note.reason
    assert (refused["payload"]["alias"], refused["payload"]["version"]) == (alias, 1)


def test_an_alert_that_can_not_start_a_rollback_fails_a_run_for_all_to_see(
    registry: Registry, prefect_api: str, alias: str
) -> None:
    identifier = post(prefect_api, alias=alias, version="abc")
    run = finished(identifier, deployment="unanswered")
    assert (run.state_name, run.name) == ("Failed", f"unanswered: {identifier}")
    assert run.state is not None
    message = str(run.state.message)
    assert "AlertUnanswered" in message
    assert "roll back on an alert" in message
    assert identifier in message
    assert "'abc'" in message
    assert kinds(registry, alias) == ["assigned", "assigned"]


# What is refused before anything is sent


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Any, str]]:
    """Run the command line here, for its exit status and the one line of its error output."""

    def run(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        [line] = capsys.readouterr().err.splitlines()
        return ended.value.code, line

    monkeypatch.setenv("COLUMNS", "300")
    return run


@pytest.mark.usefixtures("registry")
def test_an_alert_that_no_server_would_hear_is_refused(refused: Callable[..., tuple[Any, str]]) -> None:
    with temporary_settings({PREFECT_API_URL: None}):
        status, line = refused("alert", "churn", "--reason", "slow")
    assert status == 1
    assert "set PREFECT_API_URL to a server" in line


@pytest.mark.usefixtures("registry")
def test_an_alert_to_a_server_that_is_away_is_refused(refused: Callable[..., tuple[Any, str]]) -> None:
    [port] = free_ports(1)
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        status, line = refused("alert", "churn", "--reason", "slow")
    assert status == 1
    assert f"http://127.0.0.1:{port}/api did not take an event" in line


@pytest.mark.parametrize("secret", [None, "", "  "])
def test_a_receiver_without_a_secret_is_not_opened(
    refused: Callable[..., tuple[Any, str]], monkeypatch: pytest.MonkeyPatch, secret: str | None
) -> None:
    monkeypatch.delenv("MODEL_REGISTRY_ALERT_SECRET", raising=False)
    if secret is not None:
        monkeypatch.setenv("MODEL_REGISTRY_ALERT_SECRET", secret)
    status, line = refused("serve", "--alerts")
    assert status == 2
    assert "an open door is no receiver" in line
    assert "MODEL_REGISTRY_ALERT_SECRET" in line


POST = """
import json, sys, httpx
httpx.post(f"{sys.argv[1]}/events", json=[json.loads(sys.argv[2])]).raise_for_status()
"""


def alert(**payload: Any) -> dict[str, Any]:
    """An event as any program may write it."""
    return {
        "id": str(uuid4()),
        "event": "model-registry.champion.alerted",
        "resource": {"prefect.resource.id": "model-registry.model.churn"},
        "occurred": now().isoformat(),
        "payload": payload,
    }


def post(api: str, **payload: Any) -> str:
    """Post an alert; its id."""
    raised = alert(**payload)
    httpx.post(f"{api}/events", json=[raised]).raise_for_status()
    return str(raised["id"])


def reported(api: str, *arguments: str) -> str:
    """What ``registry alert`` says in a process of its own."""
    done = subprocess.run(  # noqa: S603, the command is the tests' own
        [sys.executable, "-c", COMMAND, "alert", *arguments],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": api, "DO_NOT_TRACK": "1", "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def finished(identifier: str, deployment: str = "rollback") -> FlowRun:
    """The run that answers the alert, once it has ended."""
    of = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    with get_client(sync_client=True) as client:
        while True:
            runs = [
                run
                for run in client.read_flow_runs(deployment_filter=of)
                if run.parameters["alert"] == identifier
            ]
            if runs and runs[0].state is not None and runs[0].state.is_final():
                [run] = runs
                return run
            assert time.monotonic() < deadline, runs
            time.sleep(0.2)


def kinds(registry: Registry, alias: str) -> list[str]:
    return [entry.kind for entry in registry.history("churn", alias=alias)]
