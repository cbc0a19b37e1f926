"""What was fetched from afar is kept near: believed no more than the store, and never in its place."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from registry import Registry, RetentionPolicy
from registry.artifacts.content import UNFINISHED
from registry.cache import Cache
from registry.exceptions import ArtifactMissing, ArtifactPurged, NothingToRollBackTo
from tests.champions import MODEL, enthrone, register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry import ModelVersion

KILOBYTE = bytes(1_000)


@pytest.fixture
def open_registry(
    tmp_path: Path, make_bucket: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Registry]]:
    """Each call opens the same registry, on a bucket unless *artifacts* are elsewhere."""
    bucket = f"s3://{make_bucket()}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    with ExitStack() as registries:

        def make(*, cache: str = "", artifacts: str = bucket) -> Registry:
            monkeypatch.setenv("MODEL_REGISTRY_CACHE", cache)
            database = f"sqlite:///{tmp_path}/registry.db"
            return registries.enter_context(Registry(database, artifacts=artifacts))

        yield make


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def lose(registry: Registry, version: ModelVersion) -> None:
    """The bucket no longer has the bytes."""
    registry.backend.artifacts.remove(version.artifact)


# Where it is


def test_what_comes_from_s3_is_kept_where_the_system_has_its_caches(
    open_registry: Callable[..., Registry], tmp_path: Path
) -> None:
    registry = open_registry()
    version = register(registry, 1)
    registry.load("delay@1")
    assert kept(tmp_path / "caches" / "prefect-model-registry") == {version.artifact}
    lose(registry, version)
    assert registry.load("delay@1").version.number == 1


def test_a_folder_of_ones_own_can_be_named_and_no_others_may_look_into_it(
    open_registry: Callable[..., Registry], tmp_path: Path
) -> None:
    own = tmp_path / "own"
    registry = open_registry(cache=str(own))
    version = register(registry, 1)
    registry.load("delay@1")
    assert kept(own) == {version.artifact}
    assert kept(tmp_path / "caches") == set()
    assert (own / "sha256").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("asked", [{"cache": "off"}, {"artifacts": "folder"}])
def test_nothing_is_kept_where_it_is_off_or_the_store_is_a_folder(
    open_registry: Callable[..., Registry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, str],
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = open_registry(**asked)
    version = register(registry, 1)
    registry.load("delay@1")
    assert kept(tmp_path / "caches") == set()
    lose(registry, version)
    with pytest.raises(ArtifactMissing):
        registry.load("delay@1")


def test_a_cache_that_cannot_be_used_stops_nobody(
    open_registry: Callable[..., Registry], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("where a folder is needed")
    registry = open_registry(cache=str(tmp_path / "file"))
    register(registry, 1)
    assert registry.load("delay@1").version.number == 1
    (said,) = caplog.messages
    assert said.startswith(f"the cache in {tmp_path}/file was passed over: ")


# What it must not hide


def test_what_was_purged_does_not_load_and_is_not_kept(
    open_registry: Callable[..., Registry], tmp_path: Path
) -> None:
    backend = open_registry().backend
    rows = replace(backend.rows, lease_time=timedelta(0))  # a purge waits until the leases are over
    registry = Registry.of(replace(backend, rows=rows))
    for number in (1, 2, 3):
        enthrone(registry, number)
        registry.load(f"delay@{number}")
    folder = tmp_path / "caches"
    assert len(kept(folder)) == 3
    old = registry.resolve("delay@1").artifact
    policy = RetentionPolicy(keep_last=1, keep_younger_than=timedelta(0), rollback_window=1)
    assert [artifact.digest for artifact in registry.purge(policy)] == [old]
    with pytest.raises(ArtifactPurged):
        registry.load("delay@1")
    assert old not in kept(folder)
    assert len(kept(folder)) == 2


def test_a_rollback_finds_its_target_in_the_store_itself(open_registry: Callable[..., Registry]) -> None:
    registry = open_registry()
    first = enthrone(registry, 1)
    enthrone(registry, 2)
    registry.load("delay@1")
    lose(registry, first)
    assert registry.load("delay@1").version.number == 1
    with pytest.raises(NothingToRollBackTo, match="has no artifact"):
        registry.roll_back(MODEL, reason="it fell")


def test_a_verification_looks_at_the_store_itself(open_registry: Callable[..., Registry]) -> None:
    registry = open_registry()
    version = register(registry, 1)
    registry.load("delay@1")
    lose(registry, version)
    assert [finding.subject for finding in registry.verify() if finding.problem] == ["delay@1"]


# How much it holds


def put(cache: Cache, content: bytes) -> Path:
    """Let the *cache* keep some *content*."""
    digest = sha256(content).hexdigest()
    file = cache.open(digest, lambda path: path.write_bytes(content))
    assert file is not None
    with file:
        assert file.read() == content
    return cache.folder / "sha256" / digest


def use(cache: Cache, path: Path, ago: int) -> None:
    """Let a file have been used so many seconds *ago*."""
    then = path.stat().st_mtime - ago
    os.utime(path, (then, then))
    assert cache.folder in path.parents


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=3_500)
    first, second, third = (put(cache, KILOBYTE + bytes([number])) for number in range(3))
    for ago, path in enumerate((third, second, first), start=1):
        use(cache, path, ago * 100)
    put(cache, KILOBYTE + bytes([0]))  # the first is used again
    fourth = put(cache, KILOBYTE + bytes([3]))
    assert kept(tmp_path) == {path.name for path in (first, third, fourth)}


def test_a_file_that_is_larger_than_all_its_room_is_given_and_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=500)
    put(cache, KILOBYTE)
    assert kept(tmp_path) == set()


def test_what_a_killed_download_left_goes_like_the_rest_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=1_500)
    left, foreign = tmp_path / "sha256" / f".left{UNFINISHED}", tmp_path / "sha256" / "letter.txt"
    left.parent.mkdir()
    for path in (left, foreign):
        path.write_bytes(KILOBYTE)
        use(cache, path, ago=100)
    new = put(cache, KILOBYTE)
    assert kept(tmp_path) == {foreign.name, new.name}
