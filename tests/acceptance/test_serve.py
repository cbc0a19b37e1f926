"""One command has it all: a server, the deployments, and what runs them; and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from registry.cli import main
from registry.deployments import read_plan
from tests.servers.process import end, free_ports
from tests.three_versions import POLICY, holdout, three_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry import Registry

COMMAND = "from registry.cli import main; main()"
SECONDS_TO_RUN = 180
SECONDS_TO_STOP = 20
ALERT = {
    "id": "5f3c0f3e-3c6b-4f0e-9a55-0d6e4b8b7f11",
    "event": "model-registry.champion.alerted",
    "resource": {"prefect.resource.id": "model-registry.model.churn"},
    "payload": {"version": 2, "reason": "it is slow"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers keep their database: the first makes it."""
    return tmp_path_factory.mktemp("prefect-home")


def environment(home: Path, **more: str) -> dict[str, str]:
    """That of a machine on which nobody configured a server; whatever is started from it can be found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "COLUMNS": "300", **more}


@contextmanager
def serving(folder: Path, home: Path, port: int, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """``registry serve`` in *folder*, once it has everything."""
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603, the command is the tests' own
            [sys.executable, "-c", COMMAND, "serve", "--port", str(port)],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment(home, **more),
        )
    try:
        await_that(lambda: b"Ctrl-C stops it" in log.read_bytes() or process.poll() is not None)
        assert process.returncode is None, log.read_text()
        yield process
    finally:
        end(process, signal.SIGTERM)


def started_from(home: Path) -> dict[int, str]:
    """The processes that live with this *home*: their ids and commands."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"PREFECT_HOME={home}\0".encode() in (process / "environ").read_bytes():
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(process.name)] = command
        except OSError:  # it ended meanwhile, or is another's
            continue
    return {number: command for number, command in found.items() if command}


def ask(port: int, path: str, **body: Any) -> Any:
    """Ask Prefect's server, again if its database is busy, as Prefect's own client does."""
    answers: list[httpx.Response] = []

    def is_answered() -> bool:
        answers.append(httpx.post(f"http://127.0.0.1:{port}/api/{path}", json=body, timeout=30))
        return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

    await_that(is_answered)
    return answers[-1].raise_for_status().json()


def finished(port: int, flow_run: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def is_over() -> bool:
        found[:] = ask(port, "flow_runs/filter", flow_runs={"id": {"any_": [flow_run]}})
        return found[0]["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

    await_that(is_over)
    return found[0]


def await_that(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_RUN
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def where(registry: Registry) -> dict[str, str]:
    return {
        "MODEL_REGISTRY_DATABASE": registry.backend.rows.name,
        "MODEL_REGISTRY_ARTIFACTS": registry.backend.artifacts.location,
    }


@pytest.mark.long
def test_the_quick_start_runs_what_it_is_asked_to_and_leaves_no_process(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, home: Path
) -> None:
    [port] = free_ports(1)
    holdout().frame.to_parquet(tmp_path / "february.parquet")
    with three_versions(tmp_path_factory, tmp_path) as registry:
        registry.assign("churn@1", reason="the first")
        with serving(tmp_path, home, port, **where(registry)) as process:
            deployments = {each["name"]: each for each in ask(port, "deployments/filter")}
            assert set(deployments) == {planned.spec.name for planned in read_plan().deployments}
            assert {each["work_pool_name"] for each in deployments.values()} == {None}
            assert len(ask(port, "automations/filter")) == 2
            form = f"http://127.0.0.1:{port}/v2/deployments/deployment/{deployments['promote']['id']}/run"
            assert form in (tmp_path / "serve.log").read_text()
            assert httpx.get(form, headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}).is_success
            parameters = {
                "version": "churn@2",
                "holdout": "february.parquet",  # runs work in the folder that is served from
                "policy": POLICY.model_dump(mode="json"),
                "reason": "it is the better one",
            }
            path = f"deployments/{deployments['promote']['id']}/create_flow_run"
            run = finished(port, ask(port, path, parameters=parameters)["id"])
            assert run["state_type"] == "COMPLETED", run["state"]["message"]
            assert registry.aliases("churn") == {"champion": 2}
            alert = {**ALERT, "occurred": datetime.now(UTC).isoformat()}
            httpx.post(f"http://127.0.0.1:{port}/api/events", json=[alert]).raise_for_status()
            await_that(lambda: registry.aliases("churn") == {"champion": 1})
            assert len(started_from(home)) >= 2
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS_TO_STOP) == 0
        assert started_from(home) == {}


@pytest.mark.faults
def test_a_run_under_way_does_not_outlive_the_quick_start(tmp_path: Path, home: Path) -> None:
    [port] = free_ports(1)
    with serving(tmp_path, home, port) as process:
        unanswered = next(
            each["id"] for each in ask(port, "deployments/filter") if each["name"] == "unanswered"
        )
        parameters = {"automation": "a", "reason": "b", "alert": "c"}
        ask(port, f"deployments/{unanswered}/create_flow_run", parameters=parameters)
        await_that(lambda: any("prefect.engine" in command for command in started_from(home).values()))
        process.send_signal(signal.SIGHUP)
        assert process.wait(SECONDS_TO_STOP) == 0
    assert started_from(home) == {}


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells the server that we were killed")
def test_the_server_does_not_outlive_a_quick_start_that_is_killed(tmp_path: Path, home: Path) -> None:
    [port] = free_ports(1)
    with serving(tmp_path, home, port) as process:
        process.kill()
        process.wait()
        await_that(lambda: not started_from(home))


def test_with_a_configured_server_no_other_is_started(tmp_path: Path, home: Path, prefect_api: str) -> None:
    [port] = free_ports(1)
    with serving(tmp_path, home, port, PREFECT_API_URL=prefect_api) as process:
        assert (
            f"Prefect's UI is at {prefect_api.removesuffix('/api')}" in (tmp_path / "serve.log").read_text()
        )
        assert list(started_from(home)) == [process.pid]
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS_TO_STOP) == 0
    assert httpx.get(f"{prefect_api}/health").is_success


def test_a_port_that_is_taken_is_refused(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = httpx.URL(prefect_api).port
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "argv", ["registry", "serve", "--port", str(port)])
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (1, "")
    assert said.err.strip().endswith(
        f"port {port} is taken: name another by --port, or, if a Prefect server listens there, use it by "
        f"PREFECT_API_URL={prefect_api}"
    )
