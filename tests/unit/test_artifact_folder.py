"""A folder of artifacts: its files, and what happens when it can't be used."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import registry
from registry.artifacts import FolderArtifactStore
from registry.exceptions import ArtifactStoreUnavailable
from tests.servers.process import workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODEL = b"a model" * 100_000
DIGEST = sha256(MODEL).hexdigest()
NOBODY = 65_534


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(MODEL)
    return path


def test_an_artifact_is_a_read_only_file_named_by_its_digest(tmp_path: Path, source: Path) -> None:
    FolderArtifactStore(tmp_path / "store").write(source)
    [file] = (tmp_path / "store" / "sha256").iterdir()
    assert file.name == DIGEST
    assert stat.S_IMODE(file.stat().st_mode) == 0o444


def test_a_store_makes_its_folder_only_when_something_is_written(tmp_path: Path, source: Path) -> None:
    store = FolderArtifactStore(tmp_path / "store")
    assert not store.exists(DIGEST)
    assert not (tmp_path / "store").exists()
    store.write(source)
    assert store.exists(DIGEST)


def test_errors_name_the_folder_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FolderArtifactStore(Path("store"))
    monkeypatch.chdir("/")
    assert store.location == str(tmp_path / "store")


def test_files_that_are_not_artifacts_are_neither_listed_nor_swept(tmp_path: Path, source: Path) -> None:
    store = FolderArtifactStore(tmp_path / "store")
    store.write(source)
    note = tmp_path / "store" / "sha256" / "README"
    note.touch()
    store.sweep(datetime.now(UTC) + timedelta(hours=1))
    assert [artifact.digest for artifact in store.stored()] == [DIGEST]
    assert note.exists()


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
def test_a_store_where_a_file_stands_is_refused_by_every_method(
    tmp_path: Path, source: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    refused(FolderArtifactStore(tmp_path / place), source, because="a file stands where a folder is needed")


def test_a_store_that_this_user_may_not_use_is_refused_by_every_method() -> None:
    with workspace() as folder:
        source, closed = folder / "source", folder / "closed"
        source.write_bytes(MODEL)
        closed.mkdir(mode=0)
        with as_ordinary_user():
            refused(FolderArtifactStore(closed), source, because="grant the right")


def test_a_file_for_which_there_is_no_room_leaves_nothing_behind(tmp_path: Path, source: Path) -> None:
    store = FolderArtifactStore(tmp_path / "store")
    with room_for_files_of(len(MODEL) // 2), pytest.raises(ArtifactStoreUnavailable, match="free some space"):
        store.write(source)
    assert list((tmp_path / "store" / "sha256").iterdir()) == []
    assert store.write(source) == DIGEST


def test_a_folder_store_does_not_load_boto3() -> None:
    program = "import registry.artifacts, sys; sys.exit('boto3' in sys.modules)"
    [package] = registry.__path__
    environment = {**os.environ, "PYTHONPATH": str(Path(package).parent)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0  # noqa: S603  ours


def refused(store: FolderArtifactStore, source: Path, *, because: str) -> None:
    """Every method of *store* says so, and names the place."""
    uses: list[Callable[[], object]] = [
        lambda: store.write(source),
        lambda: store.fetch(DIGEST, source.with_name("fetched")),
        lambda: store.exists(DIGEST),
        lambda: store.remove(DIGEST),
        lambda: list(store.stored()),
    ]
    for use in uses:
        with pytest.raises(ArtifactStoreUnavailable, match=because) as refusal:
            use()
        assert refusal.value.location == store.location
        assert store.location in str(refusal.value)


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Lay down root's rights, which no folder withstands."""
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def room_for_files_of(size: int) -> Iterator[None]:
    """Let the operating system refuse larger files, in bytes, as a full disk or a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
