"""A server that lives as long as a ``with`` block, under an ordinary user even when the tests run as root."""

from __future__ import annotations

import ctypes
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SECONDS_TO_START = 60
SECONDS_TO_STOP = 10
GRPC_OFFSET = 10_000
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG in linux/prctl.h
_LIBC = ctypes.CDLL(None)


class ServerFailedError(Exception):
    """A server did not start; the message ends with what it said."""


def installed(project: str, name: str) -> Path:
    """Return where *project*, as installed by pip, keeps the file or folder called *name*."""
    files = distribution(project).files or []
    path = next(file for file in files if name in file.parts)
    inside = path.parts[: path.parts.index(name) + 1]
    return Path(str(distribution(project).locate_file(Path(*inside)))).resolve()


@contextmanager
def workspace() -> Iterator[Path]:
    """Give a folder that the servers' user owns and reaches; it is gone afterwards."""
    parent = next(folder for folder in (tempfile.gettempdir(), "/tmp") if _reaches(folder))  # noqa: S108  mkdtemp
    folder = Path(tempfile.mkdtemp(prefix="registry-tests-", dir=parent))
    try:
        _hand_over(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def within_reach(program: Path, *, tree: Sequence[Path], folder: Path) -> Path:
    """Return *program*, or its copy in *folder* if only this user can run it, as below a private home.

    Args:
        program: The executable.
        tree: What it needs, itself included: files and folders that stand side by side.
        folder: Where a copy may go.
    """
    if _reaches(program):
        return program
    for part in tree:
        copy = shutil.copytree if part.is_dir() else shutil.copy2
        _hand_over(Path(copy(part, folder / part.name)))
    return folder / program.relative_to(tree[0].parent)


def free_ports(count: int) -> list[int]:
    """Pick ports of 127.0.0.1, each free together with the one 10,000 above it.

    All lie below the range from which kernels give ports to outgoing connections, and are drawn at random, so
    that test runs beside this one rarely draw the same.
    """
    drawn = random.SystemRandom().sample(range(GRPC_OFFSET, 22_000), k=1_000)
    free = (port for port in drawn if _is_free(port) and _is_free(port + GRPC_OFFSET))
    return [next(free) for _ in range(count)]


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    folder: Path,
    ready: Callable[[], bool],
    stop: signal.Signals = signal.SIGINT,
    **environment: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in *folder* for the length of the block, which begins once *ready* says so.

    At the end it gets the signal *stop*, and is killed if that does not help. The block may end it earlier.

    Raises:
        ServerFailedError: It ended, or was not ready within a minute.
    """
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603  the command is the tests' own
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_the_tests,  # noqa: PLW1509  a single call into libc, loaded before the fork
            **_as_ordinary_user(folder, environment),
        )
    try:
        await_ready(server, ready, log)
        yield server
    finally:
        end(server, stop)


def run(command: Sequence[str | Path], *, folder: Path) -> None:
    """Run *command* in *folder* to its end.

    Raises:
        ServerFailedError: It ended with another status than 0.
    """
    done = subprocess.run(  # noqa: S603  the command is the tests' own
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **_as_ordinary_user(folder, {}),
    )
    if done.returncode:
        raise ServerFailedError(f"{command[0]} ended with status {done.returncode}:\n{done.stdout.decode()}")


def await_ready(server: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    """Wait until *ready* says so.

    Raises:
        ServerFailedError: The server ended, or was not ready within a minute.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-8_000:]
            raise ServerFailedError(f"{server.args!r} did not start (status {server.returncode}):\n{said}")
        time.sleep(0.02)


def end(server: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    """Send the signal *stop*, and kill the server and its children if that does not help."""
    server.send_signal(stop)
    with suppress(subprocess.TimeoutExpired):
        server.wait(SECONDS_TO_STOP)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def family(server: subprocess.Popen[bytes]) -> list[int]:
    """The numbers of the process and of all that it started, those too that left its group."""
    found = [server.pid]
    for parent in found:  # which grows meanwhile
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def die_with_the_tests() -> None:
    """Called in a process that is about to become a server: it is told to end when the tests are killed."""
    if sys.platform == "linux":
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def _ordinary_user() -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _as_ordinary_user(folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    user = _ordinary_user()
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    home = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder)}
    return {"cwd": folder, "stdin": subprocess.DEVNULL, "env": {**home, **environment}, **identity}


def _reaches(path: str | Path) -> bool:
    test = ["/usr/bin/env", "test", "-x", path]
    return subprocess.run(test, check=False, **_as_ordinary_user(Path("/"), {})).returncode == 0  # noqa: S603  fixed


def _hand_over(path: Path) -> None:
    if user := _ordinary_user():
        for part in (path, *path.rglob("*")):
            os.chown(part, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False
