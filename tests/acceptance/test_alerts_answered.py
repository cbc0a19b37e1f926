"""An alert is answered by the rollback deployment: with the real trigger, and a worker that runs it.

Each test has an alias of its own, under which ``churn@2`` is in force after ``churn@1``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.settings import PREFECT_API_URL, temporary_settings

from registry import Batch, Dataset, Registry, RollbackPolicy
from registry.cli import main
from registry.tasks import events
from registry.tasks.announcements import announce_alarms
from tests.servers.prefect import deploy, prefect_worker
from tests.servers.process import free_ports
from tests.watched import STRICT, fallen, heard, now, promoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prefect.client.schemas.objects import FlowRun

    from registry.tables import LedgerEntry, Observation

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
        deploy(prefect_api)
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


@pytest.mark.long
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
    assert kinds(registry, alias) == ["assigned", "assigned", "rolled-back", "alerted"]
    assert registry.history("churn", alias=alias)[-1].evidence["why"] == "answered"


@pytest.mark.long
def test_an_alert_about_a_version_that_fell_since_it_began_to_fire_moves_nothing_however_late_it_comes(
    registry: Registry, prefect_api: str
) -> None:
    """Alertmanager waits before it tells of an alert; it writes nanoseconds."""
    alias = f"a{uuid4().hex}"
    for number in (1, 2, 3):
        before(registry, minutes=30).assign(f"churn@{number}", alias=alias, reason="its turn")
    fall = before(registry, minutes=10).roll_back("churn", alias=alias, reason="I looked")
    since = f"{now() - timedelta(minutes=20):%Y-%m-%dT%H:%M:%S.%f}964Z"
    run = finished(post(prefect_api, alias=alias, since=since))
    assert (run.state_name, run.parameters["occurred"]) == ("Completed", since)
    note = registry.history("churn", alias=alias)[-1]
    assert (note.kind, note.in_force, note.evidence.get("entry")) == ("alerted", 2, fall.sequence)


@pytest.mark.long
def test_an_alert_that_does_not_say_since_when_was_raised_as_it_occurred(
    registry: Registry, prefect_api: str, alias: str
) -> None:
    raised = alert(alias=alias, since="")
    run = finished(post(prefect_api, raised))
    assert run.state_name == "Completed"
    assert datetime.fromisoformat(run.parameters["occurred"]) == datetime.fromisoformat(raised["occurred"])
    assert registry.aliases("churn")[alias] == 1


@pytest.mark.long
def test_who_was_better_on_live_rows_takes_over(registry: Registry, prefect_api: str, alias: str) -> None:
    registry.assign("churn@3", alias=alias, reason="its turn")
    run = finished(post(prefect_api, alias=alias, version=3, target=1))
    assert run.parameters["target"] == 1
    entry = registry.history("churn", alias=alias)[-1]
    assert (entry.kind, entry.replaced, entry.in_force) == ("rolled-back", 3, 1)


@pytest.mark.long
def test_who_won_the_comparison_takes_over_however_long_ago_it_was(
    registry: Registry, alias: str, tmp_path: Path
) -> None:
    """The alarm goes by the deployment's trigger, and by a policy to which each answer is long ago."""
    registry.assign("churn@3", alias=alias, reason="its turn")
    with without_bytes(registry, 2, tmp_path):  # so it is version 1 that is compared
        decision = degraded(registry, alias)
    assert decision.state["contest"]["target"] == 1
    assert announce_alarms(registry, "churn", alias) == [decision]
    entry = answered(registry, alias)
    assert (entry.kind, entry.replaced, entry.in_force) == ("rolled-back", 3, 1)
    assert entry.evidence["proof"] == "predicts its example"
    assert "only churn@1 was right" in entry.reason


@pytest.mark.long
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


def post(api: str, raised: dict[str, Any] | None = None, **payload: Any) -> str:
    """Post an alert; its id."""
    raised = raised or alert(**payload)
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
            time.sleep(0.5)


@contextmanager
def without_bytes(registry: Registry, number: int, folder: Path) -> Iterator[None]:
    """The version's artifact is out of reach for a while."""
    digest = registry.resolve(f"churn@{number}").artifact
    artifact = Path(registry.backend.artifacts.location, "sha256", digest)
    artifact.rename(folder / digest)
    yield
    (folder / digest).rename(artifact)


def degraded(registry: Registry, alias: str) -> Observation:
    """Score the version in force on fallen rows until it is to come down."""
    rules = RollbackPolicy(served=0, proved_within=timedelta(0))
    policy = STRICT.model_copy(update={"confirm": "required", "rollback": rules})
    rows = Dataset.from_frame(fallen(), "late")
    for number in range(9):
        batch = Batch(rows=rows, key=f"{number}", at=now(), metric="accuracy")
        decision = registry.score(f"churn@{alias}", batch, policy=policy)
        if decision.status == "degraded":
            return decision
    pytest.fail("the version was not found out")


def answered(registry: Registry, alias: str) -> LedgerEntry:
    """The entry that answers the alarm about the alias."""
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    while (entry := registry.history("churn", alias=alias)[-1]).kind == "assigned":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return entry


def before(registry: Registry, minutes: int) -> Registry:
    """The registry as it was used so long ago."""
    moment = now() - timedelta(minutes=minutes)
    rows = replace(registry.backend.rows, clock=lambda: moment)
    return Registry.of(replace(registry.backend, rows=rows))


def kinds(registry: Registry, alias: str) -> list[str]:
    return [entry.kind for entry in registry.history("churn", alias=alias)]
