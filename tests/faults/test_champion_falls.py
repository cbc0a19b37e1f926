"""A service holds its champion while versions change, files rot, disks fill, databases stop, it forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from registry import Champion, Registry
from registry.artifacts.content import UNFINISHED
from registry.cache import Cache
from registry.exceptions import DatabaseUnavailable
from tests.champions import MODEL, enthrone, register, rows, until
from tests.faults.places import ROOT, Place, processes
from tests.faults.test_full_disk import fill, small_disk
from tests.servers.postgres import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.postgres import Cluster

__all__ = ["small_disk"]

OFTEN = 0.02
THREADS = 8
SWAPS = 20


@contextmanager
def held(place: Place, **given: Any) -> Iterator[tuple[Registry, Champion]]:
    """The registry at a *place* in which version 1 is in force, and its champion."""
    with place.open() as registry:
        enthrone(registry, 1)
        with Champion(MODEL, registry=registry, **{"refresh": OFTEN} | given) as champion:
            yield registry, champion


def cached(registry: Registry, folder: Path) -> Registry:
    """The same registry, which keeps near in a *folder* what it loads."""
    return Registry.of(replace(registry.backend, cache=Cache(folder, 10**9)))


# Swaps


def await_swap(champion: Champion, number: int) -> None:
    until(lambda: champion.version.number == number)


def ask_for_ever(champion: Champion, ended: Event) -> list[tuple[set[float], int]]:
    """What was answered, each time by the version that it is stamped with."""
    answers = []
    while not ended.is_set():
        model = champion.model
        answers.append((set(model.predict(rows().features)), model.version.number))
    return answers


def test_each_answer_of_eight_threads_is_of_the_version_that_it_names(place: Place) -> None:
    ended = Event()
    with held(place) as (registry, champion), ThreadPoolExecutor(THREADS) as threads:
        register(registry, 2)
        asking = [threads.submit(ask_for_ever, champion, ended) for _ in range(THREADS)]
        try:
            for swap in range(SWAPS):
                registry.assign(f"{MODEL}@{2 - swap % 2}", reason="the other's turn")
                await_swap(champion, 2 - swap % 2)
        finally:
            ended.set()
        assert champion.error is None
        for each in asking:
            answers = each.result()
            assert {version for _, version in answers} == {1, 2}
            assert all(found == {version} for found, version in answers)


def test_a_champion_that_is_quarantined_leaves_by_itself_and_one_that_is_damaged_never_comes(
    place: Place,
) -> None:
    with held(place) as (registry, champion):
        enthrone(registry, 2)
        await_swap(champion, 2)
        registry.roll_back(MODEL, reason="it fell")
        await_swap(champion, 1)
        third = register(registry, 3)
        registry.backend.artifacts.remove(third.artifact)
        registry.assign(third.reference, reason="its turn")
        until(lambda: champion.error)
        assert f"has no artifact {third.artifact}" in str(champion.error)
        assert set(champion.predict(rows().features)) == {1.0}
        fourth = enthrone(registry, 4)
        await_swap(champion, fourth.number)
        assert champion.error is None


# The cache


@pytest.mark.parametrize("damage", [b"", b"another file", None])
def test_a_cached_file_that_rotted_is_removed_and_fetched_again(
    sqlite_and_folder: Place, tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite_and_folder.open() as plain:
        registry = cached(plain, tmp_path / "cache")
        version = register(registry, 1)
        registry.load(version.reference)
        file = tmp_path / "cache" / "sha256" / version.artifact
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
        assert set(registry.load(version.reference).predict(rows().features)) == {1.0}
        assert file.read_bytes() == whole
        (said,) = caplog.messages
        assert "is removed and will be fetched again" in said
        registry.backend.artifacts.remove(version.artifact)
        assert registry.load(version.reference).version.number == 1


def test_a_full_disk_under_the_cache_stops_no_swap(
    small_disk: Path,
    sqlite_and_folder: Place,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with sqlite_and_folder.open() as plain:
        registry = cached(plain, small_disk / "cache")
        enthrone(registry, 1)
        with Champion(MODEL, registry=registry, refresh=OFTEN) as champion:
            filler = fill(small_disk)
            enthrone(registry, 2)
            await_swap(champion, 2)
            assert champion.error is None
            assert "No space left on device" in caplog.text
            assert list(small_disk.rglob(f"*{UNFINISHED}")) == []
            filler.unlink()
            third = enthrone(registry, 3)
            await_swap(champion, 3)
            assert (small_disk / "cache" / "sha256" / third.artifact).stat().st_size == third.artifact_bytes


VERSIONS, LOADS = 6, 60


def load_again_and_again(place: Place, folder: Path, stride: int) -> None:
    """Load versions from a cache that has room for two or three of them, and damage what is there."""
    with place.open() as plain:
        size = plain.resolve(f"{MODEL}@1").artifact_bytes
        registry = Registry.of(replace(plain.backend, cache=Cache(folder, int(2.5 * size))))
        for turn in range(LOADS):
            number = turn * stride % VERSIONS + 1
            model = registry.load(f"{MODEL}@{number}")
            assert set(model.predict(rows().features)) == {float(number)}
            if turn % 5 == 0:
                damaged = folder / f"damaged by {stride}"
                damaged.write_bytes(b"damaged")
                damaged.replace(folder / "sha256" / model.version.artifact)


def test_processes_that_share_a_cache_load_what_they_asked_for(
    sqlite_and_folder: Place, tmp_path: Path
) -> None:
    with sqlite_and_folder.open() as registry:
        for number in range(1, VERSIONS + 1):
            register(registry, number)
    folder = tmp_path / "cache"
    with processes().Pool(2) as pool:
        pool.starmap(load_again_and_again, [(sqlite_and_folder, folder, stride) for stride in (1, 5)])
    assert list(folder.rglob(f"*{UNFINISHED}")) == []


# The database


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    with cluster() as own:
        yield own


def test_while_the_database_is_away_the_old_one_serves_on_and_its_age_tells(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    place = Place(f"{own_cluster.server.url('postgres')}?connect_timeout=2", str(tmp_path / "artifacts"))
    with ExitStack() as stack:
        with own_cluster.running(synchronous_commit="on") as server:
            registry, champion = stack.enter_context(held(place, refresh=0.05))
            enthrone(registry, 2)
            await_swap(champion, 2)
            server.send_signal(signal.SIGINT)
            server.wait()
        until(lambda: champion.error)
        stale = champion.checked_at
        until(lambda: champion.age > 1)
        assert type(champion.error) is DatabaseUnavailable
        assert champion.checked_at == stale
        assert set(champion.predict(rows().features)) == {2.0}
        with pytest.raises(DatabaseUnavailable):
            champion.refresh()
        with own_cluster.running():
            until(lambda: champion.error is None)
            assert champion.age < 1
            enthrone(registry, 3)
            await_swap(champion, 3)
        champion.close()


# Forks

CHILDREN = 4

SERVICE = """
import os, sys, threading
from pathlib import Path
from registry import Champion
from tests.champions import rows, until

folder, children = Path(sys.argv[1]), int(sys.argv[2])


def tell(what, text):
    path = folder / f"{what}.part"
    path.write_text(text)
    path.rename(folder / what)  # nobody reads half of it


champion = Champion("delay", refresh=0.05)
until(lambda: champion.checked_at and champion.age < 0.02)  # it looks at the ledger by itself
pids = []
for child in range(children):
    if pid := os.fork():
        pids.append(pid)
        continue
    databases = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit()
                 and os.path.exists(f"/proc/self/fd/{fd}")]
    inherited = [name for name in databases if "registry.db" in name or name.startswith("socket:")]
    assert threading.active_count() == 1, threading.enumerate()
    answers = [*champion.predict(rows().features)]
    assert threading.active_count() == 2, threading.enumerate()
    tell(f"{child}.started", f"{inherited} {answers[0]}")
    until(lambda: champion.version.number == 2)
    tell(f"{child}.ended", f"{champion.predict(rows().features)[0]} {champion.error}")
    champion.close()
    os._exit(0)
assert champion.version.number == 1  # starts the thread again
until(lambda: champion.version.number == 2)
assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * children
"""


def settings(place: Place) -> dict[str, str]:
    return {
        **os.environ,
        **dict(place.environment),
        "MODEL_REGISTRY_DATABASE": place.database,
        "MODEL_REGISTRY_ARTIFACTS": place.artifacts,
        "PYTHONPATH": str(ROOT),
    }


def told(folder: Path, what: str) -> list[str]:
    return [path.read_text() for path in folder.glob(f"*.{what}")]


def test_four_forked_children_inherit_no_connection_and_each_follows_a_swap(
    place: Place, tmp_path: Path
) -> None:
    with place.open() as registry:
        enthrone(registry, 1)
        command = [sys.executable, "-c", SERVICE, str(tmp_path), f"{CHILDREN}"]
        with subprocess.Popen(command, env=settings(place), stderr=subprocess.PIPE, text=True) as service:  # noqa: S603
            try:
                until(lambda: len(told(tmp_path, "started")) == CHILDREN or service.poll(), seconds=60)
                assert service.poll() is None, service.communicate()[1]
                assert told(tmp_path, "started") == ["[] 1.0"] * CHILDREN
                enthrone(registry, 2)
                _, said = service.communicate(timeout=60)
            finally:
                service.kill()
        assert (service.returncode, said) == (0, "")
        assert told(tmp_path, "ended") == ["2.0 None"] * CHILDREN


INTERRUPTED = """
import os, signal, sys
from registry import Champion
from tests.champions import until

champion = Champion("delay", refresh=0.05)
print("ready", flush=True)
until(lambda: champion._refreshing.locked() and champion.age > 0.5)  # it hangs in the store
print("hangs", flush=True)
sys.stdin.readline()  # until what it waits for is no longer in force
child = os.fork()
signal.alarm(20)
if child == 0:
    assert champion.refresh().version.number == 1
    champion.close()
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_in_the_middle_of_a_refresh_leaves_the_child_able_to_refresh(sqlite_and_folder: Place) -> None:
    with sqlite_and_folder.open() as registry:
        enthrone(registry, 1)
        second = register(registry, 2)
        file = Path(registry.backend.artifacts.location, "sha256", second.artifact)
        file.unlink()
        os.mkfifo(file)  # whoever opens it waits until somebody writes
        command = [sys.executable, "-c", INTERRUPTED]
        with subprocess.Popen(  # noqa: S603, the code is this file's
            command,
            env=settings(sqlite_and_folder),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as service:
            try:
                assert service.stdout is not None
                assert service.stdout.readline() == "ready\n"
                registry.assign(second.reference, reason="its turn")
                assert service.stdout.readline() == "hangs\n"
                registry.assign(f"{MODEL}@1", reason="the other hangs")
                _, said = service.communicate("go on\n", timeout=60)
            finally:
                service.kill()
        assert (service.returncode, said) == (0, "")
