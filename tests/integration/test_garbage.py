"""What nobody needs goes, whoever is killed meanwhile, and nothing else does, whoever registers meanwhile."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from registry import Registry
from registry.artifacts import FolderArtifactStore
from registry.database import time_in, writing
from registry.disposal import Disposal
from registry.exceptions import LeaseExpired
from registry.store import Store
from registry.tables import Artifact, ArtifactFile, Signature
from tests.forks import forks
from tests.shelves import (
    NO_TIME,
    Place,
    append,
    deadly,
    evaluate,
    kept,
    leasing,
    problems,
    put,
    register,
    register_folder,
    with_artifacts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

    from registry.artifacts import StoredArtifact
    from registry.tables import ModelVersion

DAY = timedelta(days=1)


@pytest.fixture
def registry(place: Place) -> Iterator[Registry]:
    """An empty one, which leases bytes for no time at all."""
    with place.open() as registry:
        yield registry


def is_known(registry: Registry, digest: str) -> bool:
    return registry.backend.rows.artifact(digest) is not None


def took(registry: Registry) -> set[str]:
    """The orphans that a collection takes."""
    return {row.digest for row in registry.collect_garbage().orphans}


# What goes


def test_what_a_row_refers_to_stays(registry: Registry) -> None:
    version = register(registry)
    evaluation = evaluate(registry, version)
    folder = register_folder(registry, "weights", "vocabulary")
    files = [put(registry, "weights"), put(registry, "vocabulary")]
    assert took(registry) == set()
    assert kept(registry) == {version.artifact, evaluation.predictions, folder.artifact, *files}
    assert problems(registry) == []


def test_bytes_without_a_row_that_refers_to_them_go_with_the_row_that_told_of_them(
    registry: Registry,
) -> None:
    version, orphans = register(registry), {put(registry, "lost"), put(registry, "lost, too")}
    found = registry.find_garbage()
    assert {row.digest for row in found.orphans} == orphans
    assert sorted(row.bytes for row in found.orphans) == [4, 9]
    assert kept(registry) == {version.artifact, *orphans}
    assert took(registry) == orphans
    assert kept(registry) == {version.artifact}
    assert not any(is_known(registry, digest) for digest in orphans)
    assert took(registry) == set()


def test_bytes_that_were_leased_and_never_put_go_too(registry: Registry) -> None:
    registry.backend.rows.lease({"0" * 64: 5})
    assert took(registry) == {"0" * 64}
    assert not is_known(registry, "0" * 64)


def test_a_manifest_that_no_version_refers_to_goes_with_its_files(registry: Registry) -> None:
    register_folder(registry, "shared", "its own")
    shared, manifest, file = (put(registry, content) for content in ("shared", "manifest", "file"))
    with writing(registry.backend.rows.engine) as session:
        for digest in (shared, file):
            session.add(ArtifactFile(manifest=manifest, path=digest, digest=digest))
    assert {row.digest for row in registry.find_garbage().orphans} == {manifest, file}
    assert took(registry) == {manifest, file}
    assert shared in kept(registry)
    assert problems(registry) == []


def test_half_written_files_go_when_they_are_a_day_old(registry: Registry) -> None:
    put(registry, "whole")
    folder = Path(registry.backend.artifacts.location, "sha256")
    old, new = folder / "old.part", folder / "new.part"
    for path, hours in ((old, 25), (new, 23)):
        path.touch()
        os.utime(path, (time.time() - hours * 3600,) * 2)
    registry.collect_garbage()
    assert (old.exists(), new.exists()) == (False, True)


# Leases


def test_an_orphan_stays_while_it_is_leased(registry: Registry) -> None:
    young = put(leasing(registry, timedelta(hours=1)), "under way")
    old = put(registry, "lost")
    assert took(registry) == {old}
    assert kept(registry) == {young}


def test_who_leases_last_keeps_the_bytes_of_all(registry: Registry) -> None:
    digest = put(registry, "lost")
    assert [row.digest for row in registry.find_garbage().orphans] == [digest]
    put(leasing(registry, DAY), "lost")
    assert took(registry) == set()


def test_an_orphan_that_was_leased_since_it_was_found_stays(registry: Registry) -> None:
    digest = put(leasing(registry, DAY), "lost")
    assert not Disposal(registry.backend.rows).remove(digest, registry.backend.artifacts.remove)
    assert kept(registry) == {digest}


@pytest.mark.parametrize("ahead", [-365 * DAY, 365 * DAY])
def test_a_machine_whose_clock_is_wrong_takes_what_every_other_would(
    registry: Registry, ahead: timedelta
) -> None:
    rows = registry.backend.rows
    wrong = replace(rows, clock=lambda: rows.clock() + ahead, lease_time=timedelta(hours=1))
    mistaken = Registry.of(replace(registry.backend, rows=wrong))
    young, old = put(mistaken, "under way"), put(registry, "lost")
    stray = stray_of(registry, "stray", old=timedelta(hours=1))
    assert took(mistaken) == {old}
    assert mistaken.remove_strays() == []
    assert kept(registry) == {young, stray}


# Strays


def stray_of(registry: Registry, content: str, *, old: timedelta = 2 * DAY) -> str:
    """Leave bytes of which no row knows, as another registry does that shares the folder."""
    source = Path(registry.backend.artifacts.location).parent / uuid4().hex
    source.write_text(content)
    digest = registry.backend.artifacts.write(source)
    moment = time.time() - old.total_seconds()
    os.utime(Path(registry.backend.artifacts.location, "sha256", digest), (moment, moment))
    return digest


def test_strays_are_told_and_left_alone(registry: Registry) -> None:
    register(registry)
    stray = stray_of(registry, "of another registry")
    for found in (registry.find_garbage(), registry.collect_garbage()):
        assert [each.digest for each in found.strays] == [stray]
    assert stray in kept(registry)


def test_strays_that_are_a_day_old_go_when_somebody_asks_for_it(registry: Registry) -> None:
    version, orphan = register(registry), put(registry, "lost")
    old, young = stray_of(registry, "old"), stray_of(registry, "young", old=timedelta(hours=23))
    assert [each.digest for each in registry.remove_strays()] == [old]
    assert kept(registry) == {version.artifact, orphan, young}
    assert [each.digest for each in registry.remove_strays(grace=NO_TIME)] == [young]


def test_a_stray_that_is_written_again_or_leased_meanwhile_stays(registry: Registry) -> None:
    written, leased, gone = (stray_of(registry, content) for content in ("written", "leased", "gone"))

    class Delayed(FolderArtifactStore):
        """Between the first listing and the second things happen."""

        def stored(self) -> Iterator[StoredArtifact]:
            if listings:
                os.utime(path_of(registry, written))
                registry.backend.rows.lease({leased: 6})
            listings.append(self)
            return super().stored()

    listings: list[FolderArtifactStore] = []
    delayed = with_artifacts(registry, Delayed(Path(registry.backend.artifacts.location)))
    assert [stray.digest for stray in delayed.remove_strays()] == [gone]
    assert kept(registry) == {written, leased}


def path_of(registry: Registry, digest: str) -> Path:
    return Path(registry.backend.artifacts.location, "sha256", digest)


# Whoever registers meanwhile


@pytest.mark.parametrize("left", [put, stray_of], ids=["orphan", "stray"])
def test_who_puts_bytes_that_are_going_waits_until_they_are_gone(
    registry: Registry, left: Callable[[Registry, str], str]
) -> None:
    digest = left(registry, "going")

    class Slow(FolderArtifactStore):
        def remove(self, digest: str) -> None:
            putting.start()
            time.sleep(0.3)
            super().remove(digest)

    putting = Thread(target=put, args=(leasing(registry, DAY), "going"))
    slow = with_artifacts(registry, Slow(Path(registry.backend.artifacts.location)))
    slow.remove_strays() if left is stray_of else slow.collect_garbage()
    putting.join()
    assert kept(registry) == {digest}
    assert is_known(registry, digest)


def test_who_refers_to_bytes_that_went_is_told_to_put_them_again(registry: Registry) -> None:
    digest = put(registry, "going")
    refer = partial(append, registry, digest)
    assert took(registry) == {digest}
    rows = registry.backend.rows
    forgetful = replace(registry.backend, rows=Leaseless(rows.engine, rows.origin))
    with pytest.raises(LeaseExpired):
        append(Registry.of(forgetful), digest)
    put(registry, "going")
    assert refer().artifact == digest
    assert took(registry) == set()


class Leaseless(Store):
    """Leases nothing, as a writer whose lease was over long ago."""

    def lease(self, artifacts: object) -> None:
        del artifacts


NAIVE = """
    UPDATE model_artifact
    SET purged_at = clock_timestamp(), purged_by = 'nobody', purged_because = 'an orphan'
    WHERE digest = :digest AND leased_until <= clock_timestamp()
      AND NOT EXISTS (SELECT FROM model_version WHERE artifact = :digest)
"""


@pytest.mark.parametrize(("naive", "lost"), [(True, True), (False, False)], ids=["naive", "ours"])
def test_asking_for_references_in_the_statement_that_waits_loses_what_is_referred_to_meanwhile(
    make_postgres_database: Callable[[], str], tmp_path: Path, *, naive: bool, lost: bool
) -> None:
    """PostgreSQL looks at the row again after the wait, and at the references as they were before it."""
    with Place(make_postgres_database(), str(tmp_path / "artifacts")).open() as registry:
        digest, rows = put(registry, "an orphan so far"), registry.backend.rows

        def collect() -> None:
            if not naive:
                registry.collect_garbage()
                return
            with writing(rows.engine) as session:
                if session.connection().execute(text(NAIVE), {"digest": digest}).rowcount:
                    registry.backend.artifacts.remove(digest)

        def collect_meanwhile(version: ModelVersion) -> Signature:
            """The reference is written and not committed; the row is locked, for it is purged no longer."""
            collecting.start()
            until(lambda: waits(registry) or not collecting.is_alive())
            assert waits(registry) == naive
            return Signature(model=version.model, number=version.number, key_id="a key", envelope="{}")

        collecting = Thread(target=collect)
        with writing(rows.engine) as session:
            purged = session.get_one(Artifact, digest)
            purged.purged_at = time_in(session.connection())
            purged.purged_by, purged.purged_because = "ada", "retention"
        put(registry, "an orphan so far")
        version = append(registry, digest, sign=collect_meanwhile)
        collecting.join()
        assert version.artifact == digest
        assert (digest not in kept(registry)) == lost
        assert bool(registry.purged("churn")) == lost


def waits(registry: Registry) -> bool:
    """Whether somebody waits for a row that somebody else has locked."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with registry.backend.rows.engine.connect() as connection:
        return bool(connection.execute(text(waiting)).scalar_one())


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


WRITERS, COLLECTORS = 4, 2
ENOUGH, SECONDS, ROUND = 150, 10, 0.2
PATIENCE = 60


@dataclass(frozen=True)
class Fair:
    """Where writers and collectors meet until enough was removed; writers are at the same few contents."""

    place: Place
    begin: float
    removed: Any

    def contents(self) -> Iterator[str]:
        """What is registered now, again and again until it is over."""
        time.sleep(max(0, self.begin - time.time()))
        while (now := time.time() - self.begin) < SECONDS and self.removed.value < ENOUGH:
            yield f"content {now // ROUND:.0f}"


def write(fair: Fair, seed: int) -> None:
    """Register contents, and die every other time between the bytes and the row."""
    random = Random(seed)
    with fair.place.open() as registry:
        for content in fair.contents():
            digest = put(registry, f"{content} {random.randrange(3)}")
            time.sleep(random.random() / 100)
            if random.random() > 0.5:
                with suppress(LeaseExpired):
                    append(registry, digest, model=f"model-{seed}")


def collect(fair: Fair) -> None:
    with fair.place.open() as registry:
        for _ in fair.contents():
            gone = len(registry.collect_garbage().orphans)
            with fair.removed.get_lock():
                fair.removed.value += gone


@pytest.mark.long
def test_collectors_take_nothing_that_writers_register_again_and_again(
    place: Place, registry: Registry
) -> None:
    """Without any lease, so that only the rows' locks keep them apart."""
    fair = Fair(place, time.time() + 8, forks().Value("i", 0))
    everybody = [
        *(forks().Process(target=collect, args=(fair,)) for _ in range(COLLECTORS)),
        *(forks().Process(target=write, args=(fair, seed)) for seed in range(WRITERS)),
    ]
    for process in everybody:
        process.start()
    assert ended(*everybody) == [0] * len(everybody)
    registered = {
        version.artifact for model in registry.models() for version in registry.versions(model.name)
    }
    assert len(registered) > 10
    assert fair.removed.value > 10
    late = {stray.digest for stray in registry.collect_garbage().strays}  # put after their lease was over
    assert kept(registry) == registered | late
    assert problems(registry) == []


def ended(*processes: BaseProcess) -> list[int | None]:
    """With which status each of the processes ended."""
    for process in processes:
        process.join(PATIENCE)
        process.kill()
    return [process.exitcode for process in processes]


# Whoever is killed


def collect_and_die(place: Place, moment: str) -> None:
    with place.open() as registry:
        deadly(registry, place, moment).collect_garbage()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_is_killed_at_the_bytes_leaves_what_the_next_collection_finishes(
    place: Place, registry: Registry, moment: str
) -> None:
    version, orphans = register(registry), {put(registry, content) for content in ("one", "two", "three")}
    killed = forks().Process(target=collect_and_die, args=(place, moment))
    killed.start()
    assert ended(killed) == [-signal.SIGKILL]
    assert all(is_known(registry, digest) for digest in orphans)
    assert len(kept(registry)) == (4 if moment == "before" else 3)
    assert problems(registry) == []
    assert took(registry) == orphans
    assert kept(registry) == {version.artifact}
    assert problems(registry) == []


def test_what_the_killed_one_left_can_be_registered_before_the_next_collection(
    place: Place, registry: Registry
) -> None:
    put(registry, "half gone")
    killed = forks().Process(target=collect_and_die, args=(place, "after"))
    killed.start()
    assert ended(killed) == [-signal.SIGKILL]
    assert kept(registry) == set()
    version = register(registry, "half gone")
    assert took(registry) == set()
    assert kept(registry) == {version.artifact}
    assert problems(registry) == []


# In a bucket


def test_garbage_in_a_bucket_goes_too(make_bucket: Callable[[], str], database_url: str) -> None:
    with Place(database_url, f"s3://{make_bucket()}/team").open() as registry:
        version, orphan = register(registry), put(registry, "lost")
        assert took(registry) == {orphan}
        assert kept(registry) == {version.artifact}
        assert problems(registry) == []
