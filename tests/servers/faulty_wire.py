"""A TCP line to a server that damages, delays or drops what passes, as often as a test orders."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Fault: TypeAlias = Callable[[bytes], bytes]

T = TypeVar("T")

SMALLEST_BODY = 4_096  # bytes; headers are shorter
GO_ON = b"HTTP/1.1 100 "  # no answer yet: the server wants to see the body first
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, whatever is still to be sent


def flipped(block: bytes) -> bytes:
    """Change one bit of *block*."""
    return block[:-1] + bytes([block[-1] ^ 1])


def cut(block: bytes) -> bytes:
    """Let half of *block* pass, then the line hangs up."""
    return block[: len(block) // 2]


def http_answer(status: str) -> bytes:
    """An answer such as ``503 Slow Down``, without a body."""
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@dataclass(frozen=True)
class FaultyWire:
    """Listens on *port*. Each order in a queue is carried out once, in turn.

    Attributes:
        port: Where the client finds it.
        upward: Damages a request that has a body.
        downward: Damages an answer that has a body.
        hangups: The next connection is reset as soon as it stands.
        stalls: The next request waits so many seconds.
        answers: The next request gets this answer, and the server never hears of it.
        lost: The next request that holds these bytes reaches the server, whose answer is lost.
    """

    port: int
    upward: SimpleQueue[Fault] = field(default_factory=SimpleQueue)
    downward: SimpleQueue[Fault] = field(default_factory=SimpleQueue)
    hangups: SimpleQueue[None] = field(default_factory=SimpleQueue)
    stalls: SimpleQueue[float] = field(default_factory=SimpleQueue)
    answers: SimpleQueue[bytes] = field(default_factory=SimpleQueue)
    lost: list[bytes] = field(default_factory=list)

    def mend(self) -> None:
        """Forget all orders that were not carried out."""
        self.lost.clear()
        for orders in (self.upward, self.downward, self.hangups, self.stalls, self.answers):
            while not orders.empty():
                _ = orders.get_nowait()


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
            if not wire.hangups.empty():
                _ = wire.hangups.get_nowait()
                _reset(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", server))
            except OSError:  # the server is away
                _reset(near)
                continue
            line = _Line(near, far, wire)
            for way in (line.carry_requests, line.carry_answers):
                threading.Thread(target=way, daemon=True).start()


def _reset(near: socket.socket) -> None:
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    near.close()


@dataclass
class _Line:
    """One connection: requests go from *near* to *far*, answers the other way, one at a time."""

    near: socket.socket
    far: socket.socket
    wire: FaultyWire
    speaker: socket.socket | None = None
    damaged: socket.socket | None = None
    is_deaf: bool = False

    def carry_requests(self) -> None:
        with suppress(OSError), self.near, self.far:
            while block := self.near.recv(2**16):
                if self.speaker is not self.near and not self._admits():
                    break
                self._expect_loss(block)
                if not self._carry(block, self.near, self.far, self.wire.upward):
                    break
            self._hang_up()

    def carry_answers(self) -> None:
        with suppress(OSError), self.near, self.far:
            while block := self.far.recv(2**16):
                if self.is_deaf and not block.startswith(GO_ON):
                    break
                if not self._carry(block, self.far, self.near, self.wire.downward):
                    break
            self._hang_up()

    def _admits(self) -> bool:
        """Whether a request that begins may pass, if it has to wait then after that."""
        if (seconds := _order(self.wire.stalls)) is not None:
            time.sleep(seconds)
        if (answer := _order(self.wire.answers)) is None:
            return True
        self.near.sendall(answer)
        self.near.shutdown(socket.SHUT_WR)
        while self.near.recv(2**16):  # to its end, or a reset would overtake the answer
            pass
        return False

    def _expect_loss(self, block: bytes) -> None:
        for words in [words for words in self.wire.lost if words in block]:
            self.wire.lost.remove(words)
            self.is_deaf = True

    def _carry(
        self, block: bytes, source: socket.socket, target: socket.socket, faults: SimpleQueue[Fault]
    ) -> bool:
        """Pass the block on, or what a fault leaves of it; tell whether it was whole."""
        if self.speaker is not source:
            self.speaker, self.damaged = source, None
        passed = block
        if self.damaged is None and len(block) >= SMALLEST_BODY and (fault := _order(faults)) is not None:
            self.damaged, passed = source, fault(block)
        target.sendall(passed)
        return len(passed) == len(block)

    def _hang_up(self) -> None:
        for end in (self.near, self.far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _order(orders: SimpleQueue[T]) -> T | None:
    try:
        return orders.get_nowait()
    except Empty:
        return None
