"""The README's service, run as its users would run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.servers.process import await_ready, end, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Service:
    """A running service."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def predict(self, rows: list[dict[str, Any]]) -> httpx.Response:
        return httpx.post(f"{self.url}/predict", json=rows, timeout=30)

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/health", timeout=30).json()
        return found

    def answers(self) -> bool:
        """Tell whether it accepts requests."""
        try:
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        except httpx.TransportError:
            return False


@contextmanager
def service(folder: Path, app: str = "tests.service:app", **settings: str) -> Iterator[Service]:
    """Run the *app* by uvicorn for the length of the block; what it says goes to a file in *folder*."""
    [port] = free_ports(1)
    log = folder / "service.log"
    command = [sys.executable, "-m", "uvicorn", app, f"--port={port}", "--no-access-log"]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603, the command is the tests' own
            command, cwd=ROOT, env=os.environ | settings, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        await_ready(process, Service(port).answers, log)
        yield Service(port)
    finally:
        end(process, signal.SIGINT)
