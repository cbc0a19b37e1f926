"""What it costs to keep a large file, against its copy or its digest alone; brackets are ratios in a run."""

from __future__ import annotations

import os
from hashlib import file_digest
from typing import TYPE_CHECKING, Any

import pytest

from registry.artifacts import FolderArtifactStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MEGABYTES = 500


def copied(source: Path, folder: Path) -> None:
    with source.open("rb") as file, (folder / "copy").open("xb") as target:
        while os.copy_file_range(file.fileno(), target.fileno(), 2**30):
            pass
        os.fsync(target.fileno())


def hashed(source: Path, _folder: Path) -> None:
    with source.open("rb") as file:
        file_digest(file, "sha256")


def kept(source: Path, folder: Path) -> None:
    FolderArtifactStore(folder).write(source)


@pytest.mark.parametrize("way", [copied, hashed, kept])
def test_a_large_file_is_kept_in_little_more_than_the_time_of_its_copy(
    tmp_path: Path, way: Callable[[Path, Path], None], benchmark: Any
) -> None:
    benchmark.group = f"{MEGABYTES} MB"
    source = tmp_path / "source"
    with source.open("wb") as file:
        for _ in range(MEGABYTES if benchmark.enabled else 8):
            file.write(os.urandom(10**6))
        os.fsync(file.fileno())

    def elsewhere() -> tuple[tuple[Path, Path], dict[str, Any]]:
        for old in tmp_path.glob("folder-*/**/*"):
            if old.is_file():
                old.unlink()
        folder = tmp_path / f"folder-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return (source, folder), {}

    benchmark.pedantic(way, setup=elsewhere, rounds=9)
