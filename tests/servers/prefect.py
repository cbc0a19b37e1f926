"""A real Prefect server, with a database of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.servers.process import await_ready, end, free_ports, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POOL = "registry"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class PrefectHome:
    """What a server keeps in a folder, which can be killed and started again on the same port."""

    folder: Path
    port: int

    @property
    def api(self) -> str:
        """The URL of the server's API."""
        return f"http://127.0.0.1:{self.port}/api"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``prefect server start``, as this user, for the length of the block."""
        log = self.folder / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(  # noqa: S603, the command is the tests' own
                [sys.executable, "-m", "prefect", "server", "start", "--port", str(self.port)],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ
                | {
                    "PREFECT_HOME": str(self.folder),
                    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.2",
                    "PREFECT_SERVER_UI_API_URL": self.api,
                    "DO_NOT_TRACK": "1",
                },
            )
        try:
            await_ready(server, lambda: _is_healthy(self.api), log)
            yield server
        finally:
            end(server, signal.SIGTERM)


@contextmanager
def prefect_home() -> Iterator[PrefectHome]:
    """An empty home, which does not outlive the block; nothing runs yet."""
    (port,) = free_ports(1)
    with workspace() as folder:
        yield PrefectHome(folder, port)


@contextmanager
def prefect_server() -> Iterator[str]:
    """Start a server with a home of its own, and give its API's URL."""
    with prefect_home() as home, home.running():
        yield home.api


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.TransportError:
        return False


def prefect(api: str, *arguments: str, **environment: str) -> None:
    """Run Prefect's own command from the repository's root, where deployments are made."""
    done = subprocess.run(  # noqa: S603, the command is the tests' own
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=ROOT,
        env=_environment(api, environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def deploy(api: str, home: Path) -> None:
    """Put the repository's deployments onto the server, into a pool for processes."""
    prefect(api, "work-pool", "create", POOL, "--type", "process", "--overwrite", PREFECT_HOME=str(home))
    prefect(api, "deploy", "--all", "--prefect-file", "deployments/prefect.yaml", PREFECT_HOME=str(home))


@contextmanager
def prefect_worker(api: str, home: Path, **environment: str) -> Iterator[Path]:
    """Let a worker start the runs of the pool; gives its log."""
    log = home / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(  # noqa: S603, the command is the tests' own
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment(
                api, {"PREFECT_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "1", **environment}
            ),
        )
    try:
        await_ready(worker, lambda: b"started" in log.read_bytes(), log)
        yield log
    finally:
        end(worker, signal.SIGTERM)


def _environment(api: str, more: Mapping[str, str]) -> dict[str, str]:
    return os.environ | {"PREFECT_API_URL": api, "DO_NOT_TRACK": "1", **more}
