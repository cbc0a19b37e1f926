"""PostgreSQL is stopped, frozen, restarted in the middle of a transaction, or has no connection left."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import event

from registry import Registry
from registry.exceptions import DatabaseUnavailable
from registry.tables import LedgerEntry, ModelVersion, Registration
from tests.faults.places import MODEL, Place, assert_answered, assert_tidy, count_of, register
from tests.servers.faulty_wire import faulty_wire
from tests.servers.postgres import cluster
from tests.servers.process import family

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.servers.postgres import Cluster

IMPATIENT = "connect_timeout=2&options=-c%20statement_timeout%3D3s%20-c%20lock_timeout%3D1s"
CONNECTIONS = 20
SECONDS = 15


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    with cluster() as own:
        yield own


@pytest.fixture
def server(own_cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the test's own, which the test may end."""
    with running(own_cluster) as process:
        yield process


def running(own: Cluster) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The server as it is for users: what it has committed outlives it."""
    return own.running(max_connections=f"{CONNECTIONS}", synchronous_commit="on")


@pytest.fixture
def own_place(server: subprocess.Popen[bytes], own_cluster: Cluster, tmp_path: Path) -> Place:
    assert server.poll() is None
    name = f"faults_{uuid4().hex}"
    own_cluster.server.create(name)
    return Place(f"{own_cluster.server.url(name)}?{IMPATIENT}", str(tmp_path / "artifacts"))


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """Whatever happens takes no longer."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def begin(registry: Registry) -> None:
    register(registry, 1)
    registry.assign(f"{MODEL}@1", reason="the first")


def test_a_server_that_stopped_is_named_and_found_again(
    own_place: Place, own_cluster: Cluster, server: subprocess.Popen[bytes]
) -> None:
    with own_place.open() as registry:
        begin(registry)
        server.send_signal(signal.SIGINT)
        server.wait()
        with bounded(), pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1"):
            registry.resolve(f"{MODEL}@champion")
        with bounded(), pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1"):
            register(registry, 2)
        with running(own_cluster):
            assert registry.resolve(f"{MODEL}@champion").number == 1
            assert register(registry, 2).number == 2
            assert_answered(registry, {1: 1, 2: 2}, {1, 2})
            assert_tidy(registry)


def test_a_restart_between_two_calls_is_not_noticed(
    own_place: Place, own_cluster: Cluster, server: subprocess.Popen[bytes]
) -> None:
    with own_place.open() as registry:
        begin(registry)
        server.send_signal(signal.SIGINT)
        server.wait()
        with running(own_cluster):
            assert registry.resolve(f"{MODEL}@champion").number == 1
            assert register(registry, 2).number == 2
            assert_tidy(registry)


def test_a_server_that_is_frozen_refuses_newcomers_in_time_and_doubles_nothing(
    own_place: Place, server: subprocess.Popen[bytes]
) -> None:
    with own_place.open() as registry, ThreadPoolExecutor(1) as thread:
        begin(registry)
        frozen = family(server)
        signalled(frozen, signal.SIGSTOP)
        try:
            waiting = thread.submit(register, registry, 2)
            with bounded(), pytest.raises(DatabaseUnavailable, match="timeout"), own_place.open():
                pass
        finally:
            signalled(frozen, signal.SIGCONT)
        try:
            assert waiting.result(SECONDS).number == 2
        except DatabaseUnavailable:  # the server thawed, and said that it took too long
            assert register(registry, 2).number == 2
        assert_answered(registry, {1: 1, 2: 2}, {1, 2})
        assert_tidy(registry)


def signalled(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process, number)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_a_restart_in_the_middle_of_a_transaction_leaves_nothing_of_it(
    own_place: Place, own_cluster: Cluster, server: subprocess.Popen[bytes], end: signal.Signals
) -> None:
    with own_place.open() as registry, ThreadPoolExecutor(1) as thread:
        begin(registry)
        about_to_commit, ended = Event(), Event()

        def pause(_: object) -> None:
            about_to_commit.set()
            assert ended.wait(SECONDS)

        other = stopping_before_the_row(registry, pause)
        waiting = thread.submit(register, other, 2)
        assert about_to_commit.wait(SECONDS)
        signalled([server.pid] if end is not signal.SIGKILL else family(server), end)
        server.wait()
        ended.set()
        with pytest.raises(DatabaseUnavailable):
            waiting.result(SECONDS)
        with running(own_cluster):
            assert count_of(registry, ModelVersion, Registration) == [1, 1]
            assert register(registry, 2).number == 2
            assert_answered(registry, {1: 1, 2: 2}, {1, 2})
            assert_tidy(registry)


def stopping_before_the_row(registry: Registry, pause: Callable[[object], None]) -> Registry:
    """The same registry, which calls *pause* when the transaction with the version is about to commit."""
    rows = registry.backend.rows

    class Pausing(type(rows)):  # type: ignore[misc]  # whatever the store's class is
        def append_version(self, *given: object) -> object:
            event.listen(self.engine, "commit", pause, once=True)
            return super().append_version(*given)

    fields = {name: getattr(rows, name) for name in rows.__dataclass_fields__}
    return Registry.of(replace(registry.backend, rows=Pausing(**fields)))


def test_a_commit_whose_answer_is_lost_is_found_by_the_retry(
    own_place: Place, own_cluster: Cluster, server: subprocess.Popen[bytes]
) -> None:
    assert server.poll() is None
    with faulty_wire(own_cluster.server.port) as wire:
        port = f":{own_cluster.server.port}/"
        place = replace(own_place, database=own_place.database.replace(port, f":{wire.port}/"))
        with place.open() as registry:
            begin(registry)
            other = stopping_before_the_row(registry, lambda _: wire.lost.append(b"COMMIT"))
            with pytest.raises(DatabaseUnavailable):
                register(other, 2)
            assert wire.lost == []
            assert count_of(registry, ModelVersion) == [2]
            assert register(registry, 2).number == 2
            engine = registry.backend.rows.engine
            event.listen(engine, "commit", lambda _: wire.lost.append(b"COMMIT"), once=True)
            with pytest.raises(DatabaseUnavailable):
                registry.assign(f"{MODEL}@2", reason="better")
            assert registry.resolve(f"{MODEL}@champion").number == 2
            assert count_of(registry, ModelVersion, LedgerEntry) == [2, 2]
            assert_answered(registry, {1: 1, 2: 2}, {1, 2})
            assert_tidy(registry)


def connect_for_ever(own: Cluster, connections: ExitStack) -> None:
    while True:
        connections.enter_context(psycopg.connect(own.server.url("postgres").replace("+psycopg", "")))


def test_where_others_have_taken_all_connections_the_refusal_is_at_once_and_passes(
    own_place: Place, own_cluster: Cluster
) -> None:
    with own_place.open() as registry:
        begin(registry)
    with ExitStack() as others:
        with pytest.raises(psycopg.OperationalError):
            connect_for_ever(own_cluster, others)
        with bounded(), pytest.raises(DatabaseUnavailable, match="connection"), own_place.open():
            pass
    with own_place.open() as registry:
        assert register(registry, 2).number == 2
        assert_answered(registry, {1: 1, 2: 2}, {1, 2})
        assert_tidy(registry)


def test_registries_that_lie_idle_do_not_hold_others_up(own_place: Place) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(own_place.open()) for _ in range(CONNECTIONS // 2)]
        for number, registry in enumerate(idle):
            assert register(registry, number).number == number + 1
        answers = {number: number + 1 for number in range(len(idle))}
        assert_answered(idle[0], answers, set(answers))
        assert_tidy(idle[0])
