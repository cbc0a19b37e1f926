from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from registry import Registry
from registry.artifacts import ArtifactStore, StoredArtifact
from registry.tables import Evaluation
from tests.three_versions import holdout, three_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

NO_TIME = timedelta(0)
DAY = timedelta(days=1)


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn with their predictions: six artifacts, each two days old."""
    with three_versions(tmp_path_factory, tmp_path) as registry:
        for stored in registry.backend.artifacts.stored():
            age(registry, stored.digest, 2 * DAY)
        yield registry


def path_of(registry: Registry, digest: str) -> Path:
    return Path(registry.backend.artifacts.location, "sha256", digest)


def age(registry: Registry, digest: str, by: timedelta) -> None:
    moment = time.time() - by.total_seconds()
    os.utime(path_of(registry, digest), (moment, moment))


def orphan(registry: Registry, content: str, *, old: timedelta = 2 * DAY) -> str:
    """Leave bytes to which no row refers, as a registration does that died between the bytes and the row."""
    source = Path(registry.backend.artifacts.location, "source")
    source.write_text(content)
    digest = registry.backend.artifacts.write(source)
    source.unlink()
    age(registry, digest, old)
    return digest


def kept(registry: Registry) -> set[str]:
    return {stored.digest for stored in registry.backend.artifacts.stored()}


@dataclass
class Interrupted(ArtifactStore):
    """A store between whose steps something else happens: before and after a listing, after a removal."""

    inner: ArtifactStore
    before_listing: list[Callable[[], object]] = field(default_factory=list)
    after_listing: list[Callable[[], object]] = field(default_factory=list)
    after_removal: Callable[[str], object] = id

    @property
    def location(self) -> str:
        return self.inner.location

    def write(self, source: Path) -> str:
        return self.inner.write(source)

    def fetch(self, digest: str, destination: Path) -> None:
        self.inner.fetch(digest, destination)

    def exists(self, digest: str) -> bool:
        return self.inner.exists(digest)

    def remove(self, digest: str) -> None:
        self.inner.remove(digest)
        self.after_removal(digest)

    def stored(self) -> Iterator[StoredArtifact]:
        if self.before_listing:
            self.before_listing.pop(0)()
        yield from self.inner.stored()
        if self.after_listing:
            self.after_listing.pop(0)()

    def sweep(self, before: datetime) -> None:
        self.inner.sweep(before)


def interrupted(registry: Registry, **moments: Any) -> Registry:
    artifacts = Interrupted(registry.backend.artifacts, **moments)
    return Registry.of(replace(registry.backend, artifacts=artifacts))


def nothing() -> None:
    """What happens at a moment at which nothing happens."""


def test_what_a_row_needs_is_never_garbage(registry: Registry) -> None:
    before = kept(registry)
    assert len(before) == 6
    assert registry.collect_garbage(grace=NO_TIME) == []
    assert kept(registry) == before


def test_orphans_are_removed_and_told(registry: Registry) -> None:
    needed = kept(registry)
    orphans = {orphan(registry, "lost"), orphan(registry, "found")}
    removed = registry.collect_garbage()
    assert {stored.digest for stored in removed} == orphans
    assert [stored.size for stored in sorted(removed, key=lambda stored: stored.size)] == [4, 5]
    assert kept(registry) == needed
    assert registry.collect_garbage() == []


def test_looking_for_garbage_removes_nothing(registry: Registry) -> None:
    digest = orphan(registry, "lost")
    before = kept(registry)
    assert [stored.digest for stored in registry.find_garbage()] == [digest]
    assert kept(registry) == before


@pytest.mark.parametrize(
    ("old", "is_garbage"),
    [(NO_TIME, False), (DAY - timedelta(minutes=1), False), (DAY + timedelta(minutes=1), True)],
)
def test_an_orphan_younger_than_a_day_may_belong_to_a_registration_under_way(
    registry: Registry, old: timedelta, *, is_garbage: bool
) -> None:
    digest = orphan(registry, "under way", old=old)
    registry.collect_garbage()
    assert (digest not in kept(registry)) is is_garbage


def test_the_grace_period_can_be_chosen(registry: Registry) -> None:
    digest = orphan(registry, "lost", old=timedelta(hours=2))
    assert registry.collect_garbage(grace=timedelta(hours=3)) == []
    assert [stored.digest for stored in registry.collect_garbage(grace=timedelta(hours=1))] == [digest]


def test_half_written_files_go_when_they_are_old(registry: Registry) -> None:
    folder = Path(registry.backend.artifacts.location, "sha256")
    old, new = folder / "old.part", folder / "new.part"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    registry.collect_garbage()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_registration_that_writes_old_orphaned_bytes_again_keeps_them(registry: Registry) -> None:
    """It writes after the collection has found them and before its own row is there."""
    digest, other = orphan(registry, "written again"), orphan(registry, "lost")
    write_again = partial(orphan, registry, "written again", old=NO_TIME)
    removed = interrupted(registry, before_listing=[nothing, write_again]).collect_garbage()
    assert [stored.digest for stored in removed] == [other]
    assert digest in kept(registry)


def test_a_registration_that_writes_again_while_others_are_removed_keeps_its_bytes(
    registry: Registry,
) -> None:
    """Each is looked at right before it goes, however long it took to remove the others."""
    contents = {orphan(registry, content): content for content in ("one", "two", "three")}

    def write_the_others_again(removed: str) -> None:
        del contents[removed]
        for content in contents.values():
            orphan(registry, content, old=NO_TIME)

    removed = interrupted(registry, after_removal=write_the_others_again).collect_garbage()
    assert len(removed) == 1
    assert len(contents) == 2
    assert set(contents) <= kept(registry)


def test_a_row_that_comes_while_the_artifacts_are_listed_protects_its_bytes(registry: Registry) -> None:
    digest, rows = orphan(registry, "predictions"), holdout(seed=2)

    def commit() -> None:
        evaluation = Evaluation(
            model="churn",
            number=1,
            dataset=rows.fingerprint,
            rows=rows.rows,
            predictions=digest,
            evaluated_by="ada",
        )
        registry.backend.rows.append_evaluation(evaluation, [], rows.record())

    assert interrupted(registry, after_listing=[commit]).find_garbage() == []


def test_an_orphan_that_somebody_else_removed_meanwhile_is_no_error(registry: Registry) -> None:
    remove = partial(registry.backend.artifacts.remove, orphan(registry, "lost"))
    assert interrupted(registry, before_listing=[nothing, remove]).collect_garbage() == []
