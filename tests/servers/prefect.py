"""A real Prefect server, with a database of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from tests.servers.process import await_ready, end, free_ports, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def prefect_server() -> Iterator[str]:
    """Start ``prefect server start`` on a free port, as this user, and give its API's URL."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/api"
    with workspace() as folder:
        log = folder / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(  # noqa: S603, the command is the tests' own
                [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ
                | {
                    "PREFECT_HOME": str(folder),
                    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                    "PREFECT_SERVER_UI_API_URL": url,
                    "DO_NOT_TRACK": "1",
                },
            )
        try:
            await_ready(server, lambda: _is_healthy(url), log)
            yield url
        finally:
            end(server, signal.SIGTERM)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.TransportError:
        return False
