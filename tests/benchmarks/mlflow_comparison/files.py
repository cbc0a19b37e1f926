"""What is done with a large file: it is stored and fetched, in a folder and in S3, and checked each time."""

from __future__ import annotations

import os
from functools import partial
from hashlib import file_digest
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

import boto3

from registry.settings import open_artifacts
from tests.benchmarks.mlflow_comparison import theirs
from tests.benchmarks.mlflow_comparison.lines import Line, timed_each
from tests.benchmarks.mlflow_comparison.peaks import cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.mlflow_comparison.lab import Lab

LITTLE = 1  # MB
_OURS = """
import sys
from pathlib import Path
from registry.settings import open_artifacts
store, file, destination = open_artifacts(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
digest = store.write(file)
"""
_BOTO3 = """
import sys, boto3
bucket, key = sys.argv[1].removeprefix("s3://").split("/")
client, file, destination = boto3.client("s3"), sys.argv[2], sys.argv[3]
client.upload_file(file, bucket, key)
"""
_COPY = "import sys, shutil; shutil.copyfile(*sys.argv[2:])"
STORE = {"ours": _OURS, "S3": _BOTO3, "folder": _COPY}
FETCH = {
    "ours": f"{_OURS}store.fetch(digest, destination)",
    "S3": f"{_BOTO3}client.download_file(bucket, key, destination)",
    "folder": _COPY,
}


def store(lab: Lab, place: str) -> Line:
    def ours() -> Callable[[], float]:
        kept = open_artifacts(lab.new_location(place))
        digest = kept.write(lab.file)
        return _after(partial(kept.remove, digest), partial(kept.write, lab.file))

    def mlflow() -> Callable[[], float]:
        kept = theirs.artifacts(_uri(lab.new_location(place)))
        return _after(partial(kept.delete_artifacts, lab.file.name), partial(kept.log_artifact, lab.file))

    def floor() -> Callable[[], float]:
        if place == "S3":
            bucket, key = _parts(lab.new_location(place))
            return _after(_nothing, partial(boto3.client("s3").upload_file, str(lab.file), bucket, key))
        return _copied_and_hashed(lab)

    return Line(
        name=f"store a file of {lab.sizes.megabytes} MB",
        place=place,
        ways={"ours": ours, "MLflow": mlflow, "floor": floor},
        targets={"floor": 1.1 if place == "S3" else 1.2},
    )


def fetch(lab: Lab, place: str) -> Line:
    destination = lab.folder / "fetched"

    def ours() -> Callable[[], float]:
        kept = open_artifacts(lab.new_location(place))
        return _after(_gone(destination), partial(kept.fetch, kept.write(lab.file), destination))

    def mlflow() -> Callable[[], float]:
        kept = theirs.artifacts(_uri(lab.new_location(place)))
        kept.log_artifact(lab.file)
        folder = lab.new_folder()
        return _after(
            _gone(folder / lab.file.name), partial(kept.download_artifacts, lab.file.name, str(folder))
        )

    def floor() -> Callable[[], float]:
        if place == "S3":
            client, (bucket, key) = boto3.client("s3"), _parts(lab.new_location(place))
            client.upload_file(str(lab.file), bucket, key)
            return _after(_gone(destination), partial(client.download_file, bucket, key, str(destination)))
        return _copied_and_hashed(lab)

    return Line(
        name=f"fetch and check a file of {lab.sizes.megabytes} MB",
        place=place,
        ways={"ours": ours, "MLflow": mlflow, "floor": floor},
        targets={"floor": 1.1 if place == "S3" else 1.2},
    )


def memory_to_store(lab: Lab, place: str) -> Line:
    return _memory(lab, place, "its memory, storing it", STORE)


def memory_to_fetch(lab: Lab, place: str) -> Line:
    return _memory(lab, place, "its memory, fetching it", FETCH)


def _memory(lab: Lab, place: str, name: str, code: dict[str, str]) -> Line:
    def turns(way: str, file: Path) -> Callable[[], float]:
        return lambda: cost(code[way], lab.new_location(place), str(file), str(lab.folder / "fetched"))[1]

    return Line(
        name=name,
        place=place,
        ways={
            "ours": lambda: turns("ours", lab.file),
            "floor": lambda: turns(place, lab.file),
            "few": lambda: turns("ours", lab.new_file(LITTLE)),
        },
        targets={"few": 2},
        unit="MB",
    )


def _after(clean: Callable[[], object], work: Callable[[], object]) -> Callable[[], float]:
    """Turns that do the *work* once, after what takes no time: what the turn before left is cleaned away."""

    def supply(_calls: int) -> list[None]:
        clean()
        return [None]

    return timed_each(lambda _: work(), supply, 1)


def _copied_and_hashed(lab: Lab) -> Callable[[], float]:
    """The slower of what nobody can do without: a copy that is on the disk, and a pass of SHA-256."""
    copy = lab.folder / "copied"
    copied, hashed = (
        _after(_gone(copy), lambda: _copied(lab.file, copy)),
        _after(_nothing, lambda: _hashed(lab.file)),
    )
    return lambda: max(copied(), hashed())


def _copied(file: Path, copy: Path) -> None:
    copyfile(file, copy)
    descriptor = os.open(copy, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _hashed(path: Path) -> None:
    with path.open("rb") as file:
        file_digest(file, "sha256")


def _gone(path: Path) -> Callable[[], None]:
    return partial(path.unlink, missing_ok=True)


def _nothing() -> None:
    pass


def _uri(location: str) -> str:
    return location if location.startswith("s3://") else Path(location).as_uri()


def _parts(location: str) -> Any:
    return location.removeprefix("s3://").split("/")
