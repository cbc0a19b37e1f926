"""One process that has it all: a server if there is none, every deployment on it, and their runs."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003, pydantic reads the annotation

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.settings import PREFECT_UI_URL

from registry.deployments.servers import configured_server, own_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.deployments.upsert import Change

_POLL_SECONDS = 2  # somebody is looking


@contextmanager
def serving(port: int) -> Iterator[str]:
    """A Prefect server for the length of the block: the configured one, or one of our own on *port*.

    Whatever ends the process gently also ends the server, if it is our own. Gives the API's URL.

    Raises:
        PortTaken: Something else listens there.
        ServerUnavailable: The server does not start.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    with suppress(KeyboardInterrupt):
        configured = configured_server()
        if configured is not None:
            yield configured
            return
        with own_server(port) as url:
            yield url


def _interrupt(*_arguments: object) -> None:
    """End as if by Ctrl-C, for which a running loop cleans up."""
    signal.raise_signal(signal.SIGINT)


def page_of(api: str, *, deployment: UUID | None = None) -> str:
    """Where people find the server with this *api* URL, or there the run form of a *deployment*."""
    page = PREFECT_UI_URL.value() if api == configured_server() and PREFECT_UI_URL.value() else None
    root = (page or api.removesuffix("/api")).rstrip("/")
    return root if deployment is None else f"{root}/v2/deployments/deployment/{deployment}/run"


def run_forever(deployments: Iterable[Change]) -> None:
    """Start each run of the *deployments* that were put for serving, when it is due, as a process of its own.

    It ends when the process is to end; the runs that are under way end with it.
    """
    runner = _Runner(name="registry serve", query_seconds=_POLL_SECONDS, pause_on_shutdown=False)
    for change in deployments:
        runner.add_deployment(_Known(name=change.name, known=change.id))
    asyncio.run(runner.start())


class _Runner(Runner):
    def handle_sigterm(self, *_arguments: Any, **_options: Any) -> None:
        _interrupt()


class _Known(RunnerDeployment):
    """A deployment that is on the server already: the runner is to run it, and not to put it there again."""

    known: UUID

    async def aapply(self, *_arguments: Any, **_options: Any) -> UUID:
        return self.known
