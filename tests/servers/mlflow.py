"""A real MLflow server, whose registry is one of ours, or MLflow's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from tests.servers.process import await_ready, die_with_the_tests, end, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class MlflowServer:
    """Where the server is, and the registry that it serves.

    Attributes:
        url: Of the server.
        database: Of the registry.
        artifacts: The registry's folder.
    """

    url: str
    database: str
    artifacts: str


@contextmanager
def mlflow_server(folder: Path, *, ours: bool = True) -> Iterator[MlflowServer]:
    """Run ``mlflow server`` in *folder*, with runs in a database of MLflow's.

    Models are in a registry of *ours*, or in MLflow's database, too.
    """
    (port,) = free_ports(1)
    server = MlflowServer(
        f"http://127.0.0.1:{port}", f"sqlite:///{folder}/registry.db", str(folder / "artifacts")
    )
    command = {
        "--backend-store-uri": f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination": str(folder / "runs"),
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
    }
    if ours:
        command["--registry-store-uri"] = f"prefect-registry+{server.database}?artifacts={server.artifacts}"
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603, the command is the tests' own
            [sys.executable, "-m", "mlflow", "server", *(part for pair in command.items() for part in pair)],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_the_tests,  # noqa: PLW1509, a single call into libc
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MODEL_REGISTRY_ACTOR": "the server"},
        )
    try:
        await_ready(process, lambda: _is_healthy(server.url), log)
        yield server
    finally:
        end(process, signal.SIGTERM)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.TransportError:
        return False
