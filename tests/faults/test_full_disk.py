"""The disk is full: of the artifacts, of the database, of both."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import count
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from registry.exceptions import ArtifactStoreUnavailable, DatabaseUnavailable
from registry.tables import LedgerEntry, ModelVersion
from tests.faults.places import MODEL, Place, assert_tidy, assert_whole, count_of, register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry import Registry

MEGABYTES = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder, mount, umount = tmp_path / "small", shutil.which("mount"), shutil.which("umount")
    folder.mkdir()
    command = [str(mount), "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603, the command is the tests' own
    if done.returncode:
        pytest.skip(f"here not even root may mount a small file system: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run([str(umount), "--lazy", str(folder)], check=True)  # noqa: S603, the same


def fill(disk: Path) -> Path:
    """Write until not a byte more fits."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


def test_bytes_that_do_not_fit_leave_no_version_and_no_file(small_disk: Path, tmp_path: Path) -> None:
    with Place(f"sqlite:///{tmp_path}/registry.db", str(small_disk / "artifacts")).open() as registry:
        register(registry, 1)
        filler = fill(small_disk)
        with pytest.raises(ArtifactStoreUnavailable, match="free some space"):
            register(registry, 2)
        assert count_of(registry, ModelVersion) == [1]
        assert list(small_disk.rglob("*.part")) == []
        assert registry.load(f"{MODEL}@1").version.number == 1
        assert_whole(registry)
        filler.unlink()
        assert register(registry, 2).number == 2
        assert_tidy(registry)


def swap_for_ever(registry: Registry) -> None:
    """What the database's log has room for already goes through."""
    for number in count():
        registry.assign(f"{MODEL}@{2 - number % 2}", reason="x" * 5_000)


def test_a_full_disk_under_the_database_stops_writers_and_no_readers(small_disk: Path) -> None:
    place = Place(f"sqlite:///{small_disk}/registry.db", str(small_disk / "artifacts"))
    with place.open() as registry:
        for number in (1, 2):
            register(registry, number)
        registry.assign(f"{MODEL}@1", reason="the first")
        filler = fill(small_disk)
        with pytest.raises(DatabaseUnavailable, match="full"):
            swap_for_ever(registry)
        assert registry.load(f"{MODEL}@champion").version.model == MODEL
        with pytest.raises((ArtifactStoreUnavailable, DatabaseUnavailable)):
            register(registry, 3)
        written = count_of(registry, ModelVersion, LedgerEntry)
        assert_whole(registry)
    filler.unlink()
    with place.open() as registry:
        assert count_of(registry, ModelVersion, LedgerEntry) == written
        assert register(registry, 3).number == 3
        assert registry.assign(f"{MODEL}@3", reason="there is room again").sequence == written[1] + 1
        with registry.backend.rows.engine.connect() as connection:
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
        assert_tidy(registry)
