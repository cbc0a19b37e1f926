"""The Prefect server that is deployed to: the one that is configured, or one of our own."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import prefect
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, PREFECT_HOME, temporary_settings

from registry.exceptions import PortTaken, ServerIncompatible, ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prefect.client.orchestration import SyncPrefectClient

SECONDS_TO_START = 120
"""A server that starts for the first time makes its database."""

_SECONDS_TO_STOP = 10
_ADDRESS = "127.0.0.1"
_NOT_UNDERSTOOD = {404, 405, 422}
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h
_LIBC = ctypes.CDLL(None)


def configured_server() -> str | None:
    """The URL of the API that the environment or Prefect's profile names, if one does."""
    url: str | None = PREFECT_API_URL.value()
    return url


@contextmanager
def connected() -> Iterator[SyncPrefectClient]:
    """A client of the configured server, which answers.

    Raises:
        ServerUnavailable: None is configured, or it does not answer, or it does not let us in.
        ServerIncompatible: It is of another version, and does not know what it was asked for.
    """
    url = configured_server()
    if url is None:
        reason = "none is configured; set PREFECT_API_URL, or start one by `registry serve`"
        raise ServerUnavailable("a Prefect server", reason)
    with get_client(sync_client=True) as client:
        found = _version(client, url)
        try:
            yield client
        except httpx.HTTPStatusError as error:
            raise _explained(url, found, error) from error
        except httpx.TransportError as error:
            raise ServerUnavailable(url, _cause(error)) from error


def differing_version(client: SyncPrefectClient) -> str | None:
    """The version of the server behind *client*, if it is older or newer than here by more than a patch."""
    found = _asked(client)
    return None if found.split(".")[:2] == prefect.__version__.split(".")[:2] else found


def _version(client: SyncPrefectClient, url: str) -> str:
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            return _asked(client)
    except httpx.HTTPStatusError as error:
        raise ServerUnavailable(url, _status(error)) from error
    except (httpx.TransportError, ValueError) as error:
        raise ServerUnavailable(url, _cause(error)) from error


def _asked(client: SyncPrefectClient) -> str:
    if client.server_type == ServerType.CLOUD:
        return prefect.__version__  # it answers every version's clients, and does not say its own
    return client.api_version()


def _explained(url: str, found: str, error: httpx.HTTPStatusError) -> Exception:
    if found != prefect.__version__ and error.response.status_code in _NOT_UNDERSTOOD:
        return ServerIncompatible(url, found, prefect.__version__, _status(error))
    return ServerUnavailable(url, _status(error))


def _status(error: httpx.HTTPStatusError) -> str:
    return f"{error.request.url.path}: {error.response.status_code} {error.response.reason_phrase}"


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__


@contextmanager
def own_server(port: int) -> Iterator[str]:
    """A Prefect server on *port* of this machine, for the length of the block; gives its API's URL.

    The block's flow runs, and whatever else is started from it, use the server.

    Raises:
        PortTaken: Something else listens there.
        ServerUnavailable: It does not start.
    """
    if _is_taken(port):
        raise PortTaken(port)
    url = f"http://{_ADDRESS}:{port}/api"
    log = PREFECT_HOME.value() / "registry-serve.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        server = _start(port, url, output.fileno())
    try:
        _await_healthy(server, url, log)
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
    finally:
        _end(server)


def _start(port: int, url: str, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603, the command is our own
        [sys.executable, "-m", "prefect", "server", "start", "--host", _ADDRESS, "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # it answers until the last run has ended, though Ctrl-C is for all
        preexec_fn=_die_with_us,  # noqa: PLW1509, a single call into libc, loaded before the fork
        env={
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            **os.environ,
            "PREFECT_SERVER_UI_API_URL": url,
        },
    )


def _die_with_us() -> None:
    if sys.platform == "linux":
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def _await_healthy(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not _is_healthy(url):
        if server.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip().splitlines()
            raise ServerUnavailable(url, f"it did not start; the end of {log} is {' '.join(said[-3:])!r}")
        time.sleep(0.1)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.TransportError:
        return False


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_ADDRESS, port))
        except OSError:
            return True
    return False


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(_SECONDS_TO_STOP)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
