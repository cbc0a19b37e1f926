"""Writers of one SQLite file take turns, first come, first served.

Left to itself, SQLite lets a waiting writer look again now and then, and whoever looks at the right moment
overtakes the others for seconds. The kernel's queue for the lock of a file is a fair one, and a process that
dies gives up its place in it. Nothing relies on it: whoever gets no turn goes on without one, and SQLite lets
in one writer at a time all the same.
"""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OPEN: set[int] = set()
"""Descriptors of this process. A forked child's copies of them would outlive it, and with them its turn."""


@contextmanager
def turn(path: Path, patience: float) -> Iterator[None]:
    """Run the block when its turn has come among all who use *path*, or else after *patience*.

    Where the file can't be made or locked, nobody waits. A thread that asks for a second turn within its
    first waits in vain.

    Args:
        path: A file that nobody reads or writes, made by whoever comes first.
        patience: Seconds.
    """
    try:
        place = _Place(path)
    except OSError:
        yield
        return
    try:
        place.queue(patience)
        yield
    finally:
        place.leave()


class _Place:
    """A place in the queue of a file, which is an open file of its own."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)  # whoever may read it may queue
        self._turn: Future[None] = Future()
        _OPEN.add(self._descriptor)

    def queue(self, patience: float) -> None:
        """Return when the turn has come, or can't come, or after *patience*."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with suppress(RuntimeError):  # an interpreter that is shutting down starts no thread
                Thread(target=self._wait, daemon=True).start()
                wait([self._turn], patience)
                return
        except OSError:  # not every network's files can be locked
            pass
        self._turn.set_result(None)

    def leave(self) -> None:
        """End the turn; if it has not come, whoever waits for it will pass it on."""
        if not self._turn.cancel():
            self._close()

    def _wait(self) -> None:
        """Wait in a thread of its own, because the kernel knows no patience."""
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        if self._turn.set_running_or_notify_cancel():
            self._turn.set_result(None)
        else:
            self._close()

    def _close(self) -> None:
        with suppress(KeyError):  # a forked child has closed it already
            _OPEN.remove(self._descriptor)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # also for copies that a child still has
            os.close(self._descriptor)


def _forget() -> None:
    while _OPEN:
        os.close(_OPEN.pop())


os.register_at_fork(after_in_child=_forget)
