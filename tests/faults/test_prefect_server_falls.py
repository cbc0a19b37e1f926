"""The Prefect server is killed while a flow registers, and comes back, or does not; or was never there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from registry.tables import ModelVersion
from tests.faults.places import ROOT, Place, assert_tidy, count_of
from tests.servers.prefect import prefect_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.prefect import PrefectHome

SECONDS = 120


@pytest.fixture(scope="module")
def home() -> Iterator[PrefectHome]:
    """Where the server keeps its runs."""
    with prefect_home() as home:
        yield home


@contextmanager
def flow_run(
    place: Place, home: PrefectHome, folder: Path, *, retries: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A flow in a process of its own, whose client tries each call again so often."""
    environment = {
        "PREFECT_API_URL": home.api,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_CLIENT_MAX_RETRIES": str(retries),
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "MODEL_REGISTRY_DATABASE": place.database,
        "MODEL_REGISTRY_ARTIFACTS": place.artifacts,
        "DO_NOT_TRACK": "1",
    }
    with (folder / "flow.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603, the command is the tests' own
            [sys.executable, "-m", "tests.faults.training_flow", str(folder)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def await_file(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert process.poll() is None, path.with_name("flow.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_a_flow_outlives_a_server_that_comes_back(
    sqlite_and_folder: Place, home: PrefectHome, tmp_path: Path
) -> None:
    with home.running() as server, flow_run(sqlite_and_folder, home, tmp_path, retries=6) as run:
        await_file(tmp_path / "registered 1", run)
        kill(server)
        (tmp_path / "go on").touch()
        time.sleep(3)
        with home.running():
            assert run.wait(SECONDS) == 0, (tmp_path / "flow.log").read_text()
    with sqlite_and_folder.open() as registry:
        assert count_of(registry, ModelVersion) == [2]
        assert_tidy(registry)


def test_a_flow_whose_server_stays_away_fails_and_its_rerun_doubles_nothing(
    sqlite_and_folder: Place, home: PrefectHome, tmp_path: Path
) -> None:
    with home.running() as server, flow_run(sqlite_and_folder, home, tmp_path, retries=1) as run:
        await_file(tmp_path / "registered 1", run)
        kill(server)
        (tmp_path / "go on").touch()
        assert run.wait(SECONDS) != 0
    with sqlite_and_folder.open() as registry:
        assert count_of(registry, ModelVersion) <= [2]
        with home.running(), flow_run(sqlite_and_folder, home, tmp_path, retries=1) as run:
            assert run.wait(SECONDS) == 0, (tmp_path / "flow.log").read_text()
        assert count_of(registry, ModelVersion) == [2]
        assert_tidy(registry)


def test_a_flow_without_a_server_registers_nothing(
    sqlite_and_folder: Place, home: PrefectHome, tmp_path: Path
) -> None:
    with sqlite_and_folder.open() as registry:
        with flow_run(sqlite_and_folder, home, tmp_path, retries=0) as run:
            assert run.wait(SECONDS) != 0
        assert count_of(registry, ModelVersion) == [0]
        assert not (tmp_path / "registered 1").exists()
