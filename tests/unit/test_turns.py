from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from threading import active_count
from typing import IO, TYPE_CHECKING, Any

import pytest

from registry.turns import turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = """
import os, sys
from pathlib import Path
from registry.turns import turn

print("here", flush=True)
with turn(Path(sys.argv[1]), 60):
    print("mine", flush=True)
    if sys.argv[2:]:
        os.fork()
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db-turn"


@pytest.fixture
def start(path: Path) -> Iterator[Callable[..., Popen[str]]]:
    """Each call starts a process that says that it is here, and again when its turn came."""
    with ExitStack() as processes:

        def begin(*arguments: str) -> Popen[str]:
            command = [sys.executable, "-c", PROGRAM, str(path), *arguments]
            process = processes.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True))  # noqa: S603
            processes.callback(process.kill)
            assert said(process) == "here"
            return process

        yield begin


def said(process: Popen[str]) -> str:
    return stream(process.stdout).readline().strip()


def let_go(process: Popen[str]) -> None:
    process.communicate("\n")


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def seconds() -> Iterator[list[float]]:
    """The seconds that the block took, in a list, once it has ended."""
    start, took = time.monotonic(), list[float]()
    yield took
    took.append(time.monotonic() - start)


def test_a_turn_that_nobody_else_wants_is_had_at_once(path: Path) -> None:
    with seconds() as took:
        for _ in range(1_000):
            with turn(path, 60):
                pass
    assert took[0] < 1
    assert path.stat().st_size == 0


def test_threads_take_turns(path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> bool:
        with turn(path, 60):
            inside.append(number)
            time.sleep(0.001)
            alone = inside == [number]
            inside.clear()
            return alone

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(200)))


def test_whoever_came_first_is_served_first(start: Callable[..., Popen[str]], path: Path) -> None:
    with turn(path, 60):
        queue = []
        for _ in range(6):
            queue.append(start())
            time.sleep(0.1)  # it says that it is here just before it queues
    for process in queue:
        assert said(process) == "mine"
        let_go(process)


def test_a_process_that_dies_gives_its_turn_back(start: Callable[..., Popen[str]], path: Path) -> None:
    holder = start()
    assert said(holder) == "mine"
    with ThreadPoolExecutor(1) as threads, seconds() as took:
        waiting = threads.submit(lambda: turn(path, 60).__enter__())
        time.sleep(0.2)
        assert not waiting.done()
        holder.kill()
        waiting.result()
    assert took[0] < 5


def test_a_turn_that_does_not_come_is_done_without(start: Callable[..., Popen[str]], path: Path) -> None:
    holder = start()
    assert said(holder) == "mine"
    holder.send_signal(signal.SIGSTOP)
    with seconds() as took, turn(path, 0.3):
        assert took == []
    assert 0.3 <= took[0] < 3


def test_a_turn_that_comes_too_late_is_passed_on(start: Callable[..., Popen[str]], path: Path) -> None:
    holder, threads, opened = start(), active_count(), descriptors()
    assert said(holder) == "mine"
    with turn(path, 0.1):
        pass
    let_go(holder)
    with seconds() as took, turn(path, 60):
        pass
    assert took[0] < 5
    assert (active_count(), descriptors()) == (threads, opened)


def descriptors() -> int:
    return sum(Path(each).name.endswith("-turn") for each in map(os.readlink, links()))


def links() -> list[str]:
    folder = Path("/proc/self/fd")
    return [str(link) for link in folder.iterdir() if link.is_symlink()]


def test_a_child_that_outlives_its_parent_does_not_keep_the_turn(
    start: Callable[..., Popen[str]], path: Path
) -> None:
    holder = start("with a child")
    assert said(holder) == "mine"
    time.sleep(0.2)
    holder.kill()
    with seconds() as took, turn(path, 20):
        pass
    assert took[0] < 5


@pytest.mark.parametrize("place", ["missing/registry.db-turn", ""], ids=["no folder", "a folder"])
def test_where_nobody_can_queue_nobody_waits(tmp_path: Path, place: str) -> None:
    with seconds() as took, turn(tmp_path / place, 60):
        pass
    assert took[0] < 1


def test_an_error_in_the_block_ends_the_turn(path: Path) -> None:
    def fail() -> Any:
        with turn(path, 60):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with seconds() as took, turn(path, 60):
        pass
    assert took[0] < 1
