"""A TCP line to a server that damages what passes, as often as a test orders."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Fault: TypeAlias = Callable[[bytes], bytes]

SMALLEST_BODY = 4_096  # bytes; headers are shorter


def flipped(block: bytes) -> bytes:
    """Change one bit of *block*."""
    return block[:-1] + bytes([block[-1] ^ 1])


def cut(block: bytes) -> bytes:
    """Let half of *block* pass, then the line hangs up."""
    return block[: len(block) // 2]


@dataclass(frozen=True)
class FaultyWire:
    """Listens on *port*; each fault in a queue damages one request or one answer that has a body."""

    port: int
    upward: SimpleQueue[Fault] = field(default_factory=SimpleQueue)
    downward: SimpleQueue[Fault] = field(default_factory=SimpleQueue)


@contextmanager
def faulty_wire(server: int) -> Iterator[FaultyWire]:
    """Forward connections to the local port *server* for the length of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = FaultyWire(listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, server, wire), daemon=True).start()
        try:
            yield wire
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, server: int, wire: FaultyWire) -> None:
    with suppress(OSError):  # the listener was shut down
        while True:
            near, _ = listener.accept()
            line = _Line(near, socket.create_connection(("127.0.0.1", server)))
            for source, target, faults in (
                (line.near, line.far, wire.upward),
                (line.far, line.near, wire.downward),
            ):
                threading.Thread(target=line.forward, args=(source, target, faults), daemon=True).start()


@dataclass
class _Line:
    """One connection: requests go from *near* to *far*, answers the other way, one at a time."""

    near: socket.socket
    far: socket.socket
    damaged: socket.socket | None = None

    def forward(self, source: socket.socket, target: socket.socket, faults: SimpleQueue[Fault]) -> None:
        with suppress(OSError), source, target:
            while block := source.recv(2**16):
                passed = self._pass(block, source, faults)
                target.sendall(passed)
                if len(passed) < len(block):
                    break
            for end in (source, target):
                end.shutdown(socket.SHUT_RDWR)

    def _pass(self, block: bytes, source: socket.socket, faults: SimpleQueue[Fault]) -> bytes:
        if self.damaged not in {None, source}:
            self.damaged = None  # the other side speaks: the damaged message is over
        if self.damaged is source or len(block) < SMALLEST_BODY:
            return block
        try:
            fault = faults.get_nowait()
        except Empty:
            return block
        self.damaged = source
        return fault(block)
