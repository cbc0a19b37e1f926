"""The deployments reach a Prefect server by `registry deploy` and by Prefect's own command, over and over."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import prefect
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from registry.cli import main
from registry.deployments import prefect_file, read_plan
from registry.exceptions import InvalidDeployments
from tests.examples import fit, make_dataset
from tests.servers.prefect import POOL, ROOT, deploy_by_prefect
from tests.servers.process import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

    from registry import Registry

    Run = Callable[..., list[str]]
    Said = Callable[..., tuple[Any, str]]

FLOWS = {
    "retrain": "flows/train_register_promote.py:train_register_promote",
    "promote": "flows/promote.py:promote",
    "monitor": "flows/monitor.py:monitor",
    "backtest": "flows/backtest.py:backtest",
    "rollback": "flows/rollback.py:rollback",
    "maintain": "flows/maintain.py:maintain",
    "unanswered": "flows/unanswered.py:unanswered",
}
AUTOMATIONS = ["roll back on an alert", "say that an alert went unanswered"]
OWN_FLOW = """
from prefect import flow
from registry.tasks.forms import VersionChoice

@flow
def look(version: VersionChoice, rows: int = 100) -> None:
    "Look at a version."
"""


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    """The server, with nothing deployed on it."""
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for pool in client.read_work_pools():
            client.delete_work_pool(pool.name)
        yield client


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], registry: Registry) -> Run:
    """Run the command line here, for the lines that it prints."""
    del registry  # whose settings the command finds

    def run(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], registry: Registry) -> Said:
    """Run the command line here, for its exit status and its error output."""
    del registry

    def run(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    monkeypatch.setenv("COLUMNS", "300")
    return run


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a file with one deployment of a flow of one's own, beside it, into the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN_FLOW)

    def write(**more: Any) -> str:
        looking = {"name": "look", "entrypoint": "own.py:look", "tags": ["model-registry"], **more}
        (tmp_path / "own.yaml").write_text(yaml.safe_dump({"deployments": [looking]}))
        return "own.yaml"

    return write


def everything(client: SyncPrefectClient) -> dict[str, Any]:
    """All that a deploy could change, as the server has it, with the ids."""
    volatile = {"updated", "status", "last_polled"}
    answers = {
        "deployments": client.request("POST", "/deployments/filter", json={}),
        "automations": client.request("POST", "/automations/filter", json={}),
        "work_pools": client.request("POST", "/work_pools/filter", json={}),
    }
    return {
        kind: [{key: value for key, value in thing.items() if key not in volatile} for thing in answer.json()]
        for kind, answer in answers.items()
    }


def deployed(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    [found] = [each for each in client.read_deployments() if each.name == name]
    return found


# The library's own


def test_deploying_twice_changes_nothing_the_second_time(
    client: SyncPrefectClient, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = run("deploy")
    assert first[0] == "created work pool registry: for processes"
    assert all(line.startswith("created ") for line in first)
    made = everything(client)
    assert [pool["type"] for pool in made["work_pools"]] == ["process"]
    assert sorted(each["name"] for each in made["deployments"]) == sorted(FLOWS)
    assert sorted(each["name"] for each in made["automations"]) == AUTOMATIONS
    steps = {json.dumps(each["pull_steps"]) for each in made["deployments"]}
    assert steps == {
        f'[{{"prefect.deployments.steps.set_working_directory": {{"directory": "{tmp_path}"}}}}]'
    }
    second = run("deploy")
    assert {line.split()[0] for line in second} == {"unchanged"}
    assert len(second) == len(FLOWS) + len(AUTOMATIONS)
    assert everything(client) == made


def test_no_schedule_runs_before_somebody_switches_it_on(client: SyncPrefectClient, run: Run) -> None:
    run("deploy")
    schedules = {each.name: each.schedules for each in client.read_deployments() if each.schedules}
    assert sorted(schedules) == ["maintain", "monitor", "retrain"]
    for [schedule] in schedules.values():
        assert not schedule.active
        assert schedule.schedule.model_dump()["timezone"] == "Europe/Berlin"


@pytest.mark.long
@pytest.mark.parametrize("ours_first", [True, False])
def test_prefects_own_command_and_ours_find_what_the_other_deployed(
    client: SyncPrefectClient, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ours_first: bool
) -> None:
    monkeypatch.chdir(ROOT)
    ids: list[dict[str, str]] = []
    for ours in (ours_first, not ours_first, True):
        if ours:
            assert not [line for line in run("deploy") if line.startswith("not in the file")]
        else:
            deploy_by_prefect(PREFECT_API_URL.value(), tmp_path)
        found = everything(client)
        ids.append({each["name"]: each["id"] for each in found["deployments"]})
        assert {each["name"]: each["entrypoint"] for each in found["deployments"]} == FLOWS
        assert sorted(each["name"] for each in found["automations"]) == AUTOMATIONS
    assert ids[0] == ids[1] == ids[2]
    assert {line.split()[0] for line in run("deploy")} == {"unchanged"}


def test_the_forms_describe_what_they_ask_for(client: SyncPrefectClient, run: Run) -> None:
    run("deploy")
    form = deployed(client, "promote").parameter_openapi_schema
    assert form is not None
    assert {"version", "holdout", "policy", "reason", "alias"} <= set(form["properties"])
    assert "such as churn@7" in form["properties"]["version"]["description"]
    form = deployed(client, "monitor").parameter_openapi_schema
    assert form is not None
    for policy in ("MonitoringPolicy", "RollbackPolicy"):
        fields = form["definitions"][policy]["properties"]
        assert [name for name, field in fields.items() if not field.get("description")] == []


def test_the_examples_are_parameters_that_the_server_takes(client: SyncPrefectClient, run: Run) -> None:
    run("deploy")
    for name, more in {"promote": {"version": "flight-delay@1", "reason": "it is better"}}.items():
        client.create_flow_run_from_deployment(deployed(client, name).id, parameters=more)
    for name in ("retrain", "monitor", "backtest"):
        client.create_flow_run_from_deployment(deployed(client, name).id)
    for flow_run in client.read_flow_runs():
        client.delete_flow_run(flow_run.id)


# A file of one's own


def test_a_change_of_the_file_changes_what_differs_and_says_so(
    client: SyncPrefectClient, run: Run, own: Callable[..., str]
) -> None:
    trigger = {
        "type": "event",
        "name": "look at it",
        "expect": ["seen"],
        "parameters": {"version": "churn@1"},
    }
    daily = {"slug": "daily", "cron": "0 5 * * *"}
    run("deploy", "--file", own(triggers=[trigger], schedules=[daily]))
    before = everything(client)
    lines = run(
        "deploy",
        "--file",
        own(
            parameters={"rows": 9},
            concurrency_limit={"limit": 2, "collision_strategy": "CANCEL_NEW"},
            triggers=[{**trigger, "expect": ["seen", "heard"]}, {**trigger, "name": "again"}],
            schedules=[{**daily, "cron": "0 6 * * *"}, {"slug": "hourly", "interval": 3600}],
        ),
    )
    assert lines == [
        "changed deployment look/look: parameters, concurrency limit, concurrency options",
        "changed schedule daily of look/look: times",
        "created schedule hourly of look/look",
        "changed automation look at it: trigger",
        "created automation again",
    ]
    after = everything(client)
    [deployment] = after["deployments"]
    assert deployment["id"] == before["deployments"][0]["id"]
    assert deployment["parameters"] == {"rows": 9}
    assert deployment["global_concurrency_limit"]["limit"] == 2
    assert {each["slug"]: each["schedule"].get("cron") for each in deployment["schedules"]} == {
        "daily": "0 6 * * *",
        "hourly": None,
    }
    expected = {each["name"]: sorted(each["trigger"]["expect"]) for each in after["automations"]}
    assert expected == {"look at it": ["heard", "seen"], "again": ["seen"]}
    assert before["automations"][0]["id"] in {each["id"] for each in after["automations"]}
    lines = run("deploy", "--file", own())
    assert "changed deployment look/look: parameters, concurrency limit, concurrency options" in lines
    assert "not in the file schedule hourly of look/look" in lines
    assert "not in the file automation again" in lines
    assert len(everything(client)["automations"]) == 2


def test_what_people_switched_stays_so(client: SyncPrefectClient, run: Run, own: Callable[..., str]) -> None:
    trigger = {"type": "event", "name": "look at it", "expect": ["seen"]}
    daily = {"slug": "daily", "cron": "0 5 * * *"}
    run("deploy", "--file", own(triggers=[trigger], schedules=[daily]))
    looking = deployed(client, "look")
    client.update_deployment_schedule(looking.id, looking.schedules[0].id, active=False)
    client.pause_deployment(looking.id)
    [automation] = client.read_automations()
    client.pause_automation(automation.id)
    changed = {**trigger, "expect": ["heard"]}, {**daily, "cron": "0 6 * * *"}
    lines = run("deploy", "--file", own(triggers=[changed[0]], schedules=[changed[1]], description="New."))
    assert "left schedule daily of look/look: off here, on in the file" in lines
    assert "left automation look at it: off here, on in the file" in lines
    looking = deployed(client, "look")
    assert looking.paused
    assert not looking.schedules[0].active
    [automation] = client.read_automations()
    assert not automation.enabled


def test_a_form_offers_the_versions_that_exist_and_keeps_them_while_the_registry_is_away(
    client: SyncPrefectClient,
    run: Run,
    own: Callable[..., str],
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = make_dataset(rows=60, name="rows")
    registry.register("churn", fit(rows), trained_on=rows)
    run("deploy", "--file", own())
    assert offered(deployed(client, "look")) == ["churn@1"]
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    [line, left] = run("deploy", "--file", own())
    assert line == "unchanged deployment look/look"
    assert left.startswith("left deployment look/look: what its run form offers, because database")
    assert offered(deployed(client, "look")) == ["churn@1"]


def offered(deployment: DeploymentResponse) -> list[str]:
    form = deployment.parameter_openapi_schema
    assert form is not None
    [versions] = [way["enum"] for way in form["properties"]["version"]["anyOf"] if "enum" in way]
    return list(versions)


def test_only_the_named_are_deployed(client: SyncPrefectClient, run: Run) -> None:
    run("deploy", "--name", "rollback", "--name", "promote")
    assert sorted(each.name for each in client.read_deployments()) == ["promote", "rollback"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "build": ({"build": [{"step": {}}]}, "'look': build: this is not supported here"),
    "schedule": ({"schedules": [{"slug": "a", "rrule": "FREQ=DAILY"}]}, "schedules.0.rrule: this is not"),
    "no slug": ({"schedules": [{"cron": "0 5 * * *"}]}, "schedules.0.slug: this is needed"),
    "no cron": ({"schedules": [{"slug": "a", "cron": "every day"}]}, "schedules.0"),
    "trigger": ({"triggers": [{"expect": ["seen"], "macth": {}}]}, "triggers: 'macth' is not supported"),
    "twice": (
        {"schedules": [{"slug": "a", "cron": "@daily"}] * 2},
        "two of its schedules are called the same",
    ),
    "flow": ({"entrypoint": "own.py:nothing"}, "the flow 'own.py:nothing' does not load"),
    "type": ({"parameters": {"rows": "many"}}, "'look': parameters: 'many' is not of type 'integer'"),
    "name": ({"parameters": {"row": 7}}, "'look': its flow has no parameter 'row'"),
    "file": ({"entrypoint": "flows/nothing.py:nothing"}, "nothing.py:nothing' does not load"),
    "template": ({"description": "{{ prefect.variables.x }}"}, "description of 'look' holds a template"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_understood_is_refused_by_its_name(
    case: str, own: Callable[..., str], tmp_path: Path
) -> None:
    more, reason = BAD[case]
    with pytest.raises(InvalidDeployments) as refusal:
        read_plan(tmp_path / own(**more))
    assert reason in str(refusal.value)
    assert "own.yaml" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no deployments"),
        ("deployments: {", "while parsing"),
        ("deployments: [{name: a}]\nbuild: []", "'build' is not supported"),
        ("deployments: [{entrypoint: own.py:look}]", "deployment number 1 has no name"),
    ],
)
def test_what_is_no_file_of_deployments_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InvalidDeployments, match=reason):
        read_plan(tmp_path / "bad.yaml")
    with pytest.raises(InvalidDeployments, match="No such file"):
        read_plan(tmp_path / "none.yaml")


def test_the_environment_is_filled_in(
    own: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSION_TO_SEE", "7")
    [planned] = read_plan(tmp_path / own(parameters={"version": "churn@{{ $VERSION_TO_SEE }}"})).deployments
    assert planned.spec.parameters == {"version": "churn@7"}


def test_the_librarys_flows_can_be_deployed_by_a_file_of_ones_own(
    own: Callable[..., str], tmp_path: Path
) -> None:
    [planned] = read_plan(tmp_path / own(entrypoint="flows/rollback.py:rollback")).deployments
    assert planned.flow.name == "rollback"
    assert planned.entrypoint == f"{prefect_file().parents[1]}/flows/rollback.py:rollback"


# Faults


def test_a_deployment_that_was_renamed_is_made_again_and_the_other_reported(
    client: SyncPrefectClient, run: Run
) -> None:
    run("deploy", "--name", "rollback")
    ours = deployed(client, "rollback")
    client.create_deployment(ours.flow_id, "rollback-2", tags=ours.tags, entrypoint=ours.entrypoint)
    client.delete_deployment(ours.id)
    lines = run("deploy", "--name", "rollback")
    assert "created deployment rollback/rollback" in lines
    assert lines[-1] == "not in the file deployment rollback/rollback-2"
    assert sorted(each.name for each in client.read_deployments()) == ["rollback", "rollback-2"]


def test_a_work_pool_that_does_not_exist_is_refused_before_anything_changes(
    client: SyncPrefectClient, said: Said
) -> None:
    status, line = said("deploy", "--pool", "gpus")
    assert status == 1
    assert "there is no work pool 'gpus'" in line
    assert "prefect work-pool create gpus" in line
    assert everything(client) == {"deployments": [], "automations": [], "work_pools": []}


def test_a_pool_that_exists_takes_them_all(client: SyncPrefectClient, run: Run) -> None:
    client.create_work_pool(WorkPoolCreate(name="gpus", type="process"))
    run("deploy", "--pool", "gpus")
    assert {each.work_pool_name for each in client.read_deployments()} == {"gpus"}
    [changed] = {line.partition(": ")[2] for line in run("deploy") if line.startswith("changed")}
    assert changed == "work pool"
    assert {each.work_pool_name for each in client.read_deployments()} == {POOL}


def test_what_the_server_does_not_take_is_said_in_its_words(
    client: SyncPrefectClient, run: Run, said: Said, own: Callable[..., str]
) -> None:
    loud: dict[str, Any] = {"name": POOL, "job_variables": {"stream_output": "loud"}}
    status, line = said("deploy", "--file", own(work_pool=loud))
    assert status == 1
    assert "the Prefect server refused deployment look/look" in line
    assert "'loud' is not" in line
    assert client.read_deployments() == []
    run("deploy", "--file", own())
    status, line = said("deploy", "--file", own(work_pool=loud))
    assert status == 1
    assert "'loud' is not" in line
    assert deployed(client, "look").job_variables == {}


def test_without_a_server_nothing_is_deployed(said: Said) -> None:
    with temporary_settings({PREFECT_API_URL: None}):
        status, line = said("deploy")
    assert status == 1
    assert "set PREFECT_API_URL, or start one by `registry serve`" in line
    assert line.count("\n") == 1


def test_a_server_that_is_away_is_named(said: Said) -> None:
    [port] = free_ports(1)
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        status, line = said("deploy")
    assert status == 1
    assert f"http://127.0.0.1:{port}/api can't be used" in line
    assert line.count("\n") == 1


def test_a_server_of_another_version_is_warned_of(
    client: SyncPrefectClient, prefect_api: str, said: Said
) -> None:
    with another_version(prefect_api, "3.1.0"):
        status, notes = said("deploy", "--name", "rollback")
    assert status == 0
    assert "warning: the Prefect server has version 3.1.0" in notes
    assert deployed(client, "rollback").name == "rollback"


def test_a_server_that_does_not_understand_is_refused_with_both_versions(
    prefect_api: str, said: Said, client: SyncPrefectClient
) -> None:
    with another_version(prefect_api, "3.1.0", unknown="/automations"):
        status, line = said("deploy", "--name", "rollback")
    assert status == 1
    assert f"runs Prefect 3.1.0, here is Prefect {prefect.__version__}" in line
    assert "/automations" in line
    assert client.read_automations() == []


@contextmanager
def another_version(api: str, version: str, unknown: str = "nothing") -> Iterator[None]:
    """The server behind a door that says another version, and knows no path that has *unknown* in it."""

    class Door(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if self.raw_requestline and self.parse_request():
                self._pass_on()

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.endswith("/admin/version"):
                status, content = 200, json.dumps(version).encode()
            elif unknown in self.path:
                status, content = 404, b'{"detail": "Not Found"}'
            else:
                kept = {"Content-Type": "application/json"}
                answer = httpx.request(
                    self.command, api.removesuffix("/api") + self.path, content=body, headers=kept
                )
                status, content = answer.status_code, answer.content
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=door.serve_forever).start()
    try:
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{door.server_port}/api"}):
            yield
    finally:
        door.shutdown()
        door.server_close()
