"""What it costs to keep a large file and to get it back; brackets are ratios in a run.

A folder's floors are the file's copy and its digest, each alone; a bucket's is what boto3 itself offers.
"""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import dataclass, field
from hashlib import file_digest
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from registry.artifacts import ArtifactStore, FolderArtifactStore
from registry.artifacts.s3 import PART, PARTS_AT_ONCE, S3ArtifactStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

MEGABYTES = 500


@dataclass(frozen=True)
class Lab:
    """A large file, and room beside it."""

    folder: Path
    rounds: count[int] = field(default_factory=count)

    @property
    def source(self) -> Path:
        return self.folder / "source"

    def fresh(self) -> Path:
        """A path in an empty folder; what earlier rounds left is gone, so that each has the same room."""
        for old in self.folder.glob("round-*/**/*"):
            if old.is_file():
                old.unlink()
        folder = self.folder / f"round-{next(self.rounds)}"
        folder.mkdir()
        return folder / "file"


@pytest.fixture
def lab(tmp_path: Path, benchmark: Any) -> Lab:
    lab = Lab(tmp_path)
    with lab.source.open("wb") as file:
        for _ in range(MEGABYTES if benchmark.enabled else 40):
            file.write(os.urandom(10**6))
        os.fsync(file.fileno())
    return lab


def measure(benchmark: Any, lab: Lab, way: Callable[[Path], object], group: str) -> None:
    benchmark.group = f"{MEGABYTES} MB, {group}"
    benchmark.pedantic(way, setup=lambda: ((lab.fresh(),), {}), rounds=9 if benchmark.enabled else 1)


def copied(lab: Lab) -> Callable[[Path], object]:
    def copy(path: Path) -> None:
        with lab.source.open("rb") as file, path.open("xb") as target:
            while os.copy_file_range(file.fileno(), target.fileno(), 2**30):
                pass
            os.fsync(target.fileno())

    return copy


def hashed(lab: Lab) -> Callable[[Path], object]:
    def digest(_path: Path) -> None:
        with lab.source.open("rb") as file:
            file_digest(file, "sha256")

    return digest


def kept(lab: Lab) -> Callable[[Path], object]:
    return lambda path: FolderArtifactStore(path).write(lab.source)


def fetched(lab: Lab) -> Callable[[Path], object]:
    store = FolderArtifactStore(lab.source.with_name("store"))
    digest = store.write(lab.source)
    return lambda path: store.fetch(digest, path)


@pytest.mark.parametrize("way", [copied, hashed, kept, fetched])
def test_a_large_file_is_kept_and_fetched_in_little_more_than_the_time_of_its_copy(
    lab: Lab, way: Callable[[Lab], Callable[[Path], object]], benchmark: Any
) -> None:
    measure(benchmark, lab, way(lab), "a folder")


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    return make_bucket()


@pytest.fixture
def client(bucket: str) -> S3Client:
    assert bucket
    return boto3.client("s3")


@pytest.mark.parametrize("way", ["boto3", "registry"])
def test_a_large_file_is_uploaded_in_little_more_than_boto3s_time(
    lab: Lab, bucket: str, client: S3Client, way: str, benchmark: Any
) -> None:
    store = S3ArtifactStore(bucket)

    def send(path: Path) -> None:
        if way == "boto3":
            client.upload_file(str(lab.source), bucket, path.parent.name)
        else:
            store.remove(store.write(lab.source))

    measure(benchmark, lab, send, "upload")


@pytest.mark.parametrize("way", ["boto3", "registry"])
def test_a_large_file_is_downloaded_in_little_more_than_boto3s_time(
    lab: Lab, bucket: str, client: S3Client, way: str, benchmark: Any
) -> None:
    store = S3ArtifactStore(bucket)
    digest = store.write(lab.source)

    def get(path: Path) -> None:
        if way == "boto3":
            client.download_file(bucket, f"sha256/{digest}", str(path))
        else:
            store.fetch(digest, path)

    measure(benchmark, lab, get, "download")


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_memory_is_bounded_by_a_few_parts_whatever_the_size_of_the_file(
    lab: Lab, bucket: str, kind: str, benchmark: Any
) -> None:
    path = lab.fresh()
    store: ArtifactStore = S3ArtifactStore(bucket) if kind == "bucket" else FolderArtifactStore(path.parent)
    with lab.source.open("r+b") as file:
        file.truncate(20 * PART)  # what comes after the random part are zeros
    benchmark.group = f"memory, {kind}"

    def there_and_back() -> None:
        store.fetch(store.write(lab.source), path)

    tracemalloc.start()
    benchmark.pedantic(there_and_back, rounds=1)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    benchmark.extra_info["MB"] = most // 10**6
    assert most < (PARTS_AT_ONCE + 2) * PART
