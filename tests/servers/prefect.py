"""A real Prefect server, with a database of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from prefect.settings import PREFECT_API_URL, temporary_settings

from registry.deployments import connected, put, read_plan
from tests.servers.process import await_ready, die_with_the_tests, end, free_ports, workspace

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
                preexec_fn=die_with_the_tests,  # noqa: PLW1509, a single call into libc
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


def make_database(home: Path) -> None:
    """Make a server's database in *home*, with nothing in it, which takes longer than to start a server."""
    prefect("", "server", "database", "upgrade", "-y", PREFECT_HOME=str(home))


@contextmanager
def prefect_home(like: Path | None = None) -> Iterator[PrefectHome]:
    """A home, empty or *like* another, which does not outlive the block; nothing runs yet."""
    (port,) = free_ports(1)
    with workspace() as folder:
        if like:
            shutil.copytree(like, folder, dirs_exist_ok=True)
        yield PrefectHome(folder, port)


@contextmanager
def prefect_server(like: Path | None = None) -> Iterator[str]:
    """Start a server with a home of its own, which may begin *like* another, and give its API's URL."""
    with prefect_home(like) as home, home.running():
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


def deploy(api: str) -> list[str]:
    """Put the repository's deployments onto the server, as ``registry deploy`` does; tells what it did."""
    with temporary_settings({PREFECT_API_URL: api}), chdir(ROOT), connected() as client:
        return [str(change) for change in put(client, read_plan())]


def deploy_by_prefect(api: str, home: Path) -> None:
    """The same by Prefect's own command, which takes many times as long."""
    if not httpx.get(f"{api}/work_pools/{POOL}").is_success:
        prefect(api, "work-pool", "create", POOL, "--type", "process", PREFECT_HOME=str(home))
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
            preexec_fn=die_with_the_tests,  # noqa: PLW1509, a single call into libc
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
