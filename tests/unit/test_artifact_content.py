from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from random import randrange
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from registry.artifacts.content import BLOCK, copied, durable, hashed, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.artifacts.content import Readable

SIZES = [0, 1, BLOCK, BLOCK + 1, 5 * BLOCK + 7]


@pytest.fixture(params=SIZES, scope="module")
def content(request: pytest.FixtureRequest) -> bytes:
    return os.urandom(request.param)


def received(source: Readable, folder: Path) -> tuple[str, bytes]:
    """The digest of what was copied, and what stands on the disk."""
    with unfinished(folder) as (path, file):
        return hashed(durable(copied(source, file), file), file), path.read_bytes()


def test_a_file_is_copied_and_hashed_whatever_its_size(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(content)
    with path.open("rb") as source:
        assert received(source, tmp_path) == (sha256(content).hexdigest(), content)


def test_a_body_that_is_no_file_is_copied_and_hashed(content: bytes, tmp_path: Path) -> None:
    assert received(BytesIO(content), tmp_path) == (sha256(content).hexdigest(), content)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")  # noqa: S108
def test_a_file_of_another_file_system_is_copied_and_hashed(content: bytes, tmp_path: Path) -> None:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "source")
        path.write_bytes(content)
        with path.open("rb") as source:
            assert received(source, tmp_path) == (sha256(content).hexdigest(), content)


def test_a_copy_that_the_kernel_gives_up_halfway_is_finished_and_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content, by_kernel = tmp_path / "source", os.urandom(3 * BLOCK), os.copy_file_range

    def half(source: int, target: int, size: int, start: int, to: int) -> int:
        if start > BLOCK:
            raise OSError(errno.EXDEV, "elsewhere")
        return by_kernel(source, target, size, start, to)

    monkeypatch.setattr(os, "copy_file_range", half)
    path.write_bytes(content)
    with path.open("rb") as source:
        assert received(source, tmp_path) == (sha256(content).hexdigest(), content)


@contextmanager
def being_rewritten(path: Path) -> Iterator[None]:
    """A thread that writes other bytes into the file, here and there."""
    begun, enough, size = Event(), Event(), path.stat().st_size

    def rewrite() -> None:
        with path.open("r+b", buffering=0) as file:
            while not enough.is_set():
                os.pwrite(file.fileno(), os.urandom(1_024), randrange(size - 1_024))
                begun.set()

    thread = Thread(target=rewrite)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def test_of_a_file_that_changes_meanwhile_the_digest_is_that_of_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(bytes(8 * BLOCK))
    with being_rewritten(path), path.open("rb") as source:
        digest, stands = received(source, tmp_path)
    assert sha256(stands).hexdigest() == digest
    assert any(stands)
    assert path.read_bytes() != stands
