"""A version's life on PostgreSQL and S3, also where a process dies in the middle of it."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.linear_model import LogisticRegression

from registry import Dataset, Registry, proof, serialization
from registry.artifacts.s3 import S3ArtifactStore
from registry.exceptions import (
    ArtifactCorrupted,
    ArtifactMissing,
    ArtifactStoreUnavailable,
    InvalidDataset,
    PredictionFailed,
)
from registry.store import Store
from tests.examples import fit, make_dataset
from tests.forks import forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

    from mypy_boto3_s3 import S3Client

    from tests.servers.seaweedfs import SeaweedFSServer

TRAIN = make_dataset(name="january")
HOLDOUT = make_dataset(rows=30, seed=1, name="february", origin=["JFK", "EWR", "LGA"] * 10)


class Place:
    """A database and a bucket that registries in several processes share."""

    def __init__(self, database: str, bucket: str, environment: dict[str, str]) -> None:
        self.database, self.bucket, self.environment = database, bucket, environment

    def open(self, opened: ExitStack) -> Registry:
        os.environ.update(self.environment)
        registry = Registry(self.database, artifacts=f"s3://{self.bucket}/models", actor="ada")
        opened.callback(registry.backend.rows.engine.dispose)
        return registry


@pytest.fixture
def place(
    make_postgres_database: Callable[[], str],
    make_bucket: Callable[[], str],
    seaweedfs_server: SeaweedFSServer,
) -> Place:
    return Place(make_postgres_database(), make_bucket(), dict(seaweedfs_server.environment))


@pytest.fixture
def registry(place: Place) -> Iterator[Registry]:
    with ExitStack() as opened:
        yield place.open(opened)


@pytest.fixture
def s3(seaweedfs_server: SeaweedFSServer) -> S3Client:
    return seaweedfs_server.client()


def register(registry: Registry, key: str | None = None, **parameters: Any) -> Any:
    return registry.register("churn", fit(TRAIN, LogisticRegression(**parameters)), trained_on=TRAIN, key=key)


# The steps


def test_a_version_is_registered_measured_put_in_force_and_loaded(registry: Registry) -> None:
    version = register(registry, C=0.5)
    found = registry.evaluate("churn@1", HOLDOUT, metrics=["roc_auc", "accuracy"], slices=["origin"])
    registry.assign("churn@1", reason="a start")
    loaded = registry.load("churn@champion")
    assert loaded.version.model_dump() == version.model_dump()
    assert (loaded.predict(HOLDOUT.frame) == HOLDOUT.labels).mean() == found.metrics["accuracy"]
    assert found.slices == ["origin=EWR", "origin=JFK", "origin=LGA"]
    assert [finding.problem for finding in registry.verify()] == [None] * 4  # two chains, two artifacts


def test_a_second_evaluation_is_read_and_a_further_metric_needs_no_estimator(registry: Registry) -> None:
    version = register(registry)
    first = registry.evaluate("churn@1", HOLDOUT, metrics=["accuracy"])
    registry.backend.artifacts.remove(version.artifact)
    assert registry.evaluate("churn@1", HOLDOUT, metrics=["accuracy"]).metrics == first.metrics
    assert set(registry.evaluate("churn@1", HOLDOUT, metrics=["roc_auc"]).metrics) == {"accuracy", "roc_auc"}
    registry.backend.artifacts.remove(first.predictions)
    assert set(registry.evaluate("churn@1", HOLDOUT, metrics=["accuracy", "roc_auc"]).metrics) == {
        "accuracy",
        "roc_auc",
    }


def test_a_flipped_byte_in_the_bucket_is_noticed(registry: Registry, place: Place, s3: S3Client) -> None:
    version = register(registry)
    key = f"models/sha256/{version.artifact}"
    content = bytearray(s3.get_object(Bucket=place.bucket, Key=key)["Body"].read())
    content[len(content) // 2] ^= 1
    s3.put_object(Bucket=place.bucket, Key=key, Body=bytes(content))
    with pytest.raises(ArtifactCorrupted, match="was not opened"):
        registry.load("churn@1")
    s3.delete_object(Bucket=place.bucket, Key=key)
    with pytest.raises(ArtifactMissing):
        registry.load("churn@1")


def test_what_is_refused_leaves_no_row_and_no_object(registry: Registry) -> None:
    with pytest.raises(PredictionFailed):
        registry.register("churn", LogisticRegression(), trained_on=TRAIN)
    assert registry.models() == []
    assert list(registry.backend.artifacts.stored()) == []


# Datasets in a bucket


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_are_read_from_a_bucket(place: Place, s3: S3Client, ending: str) -> None:
    location = f"s3://{place.bucket}/2013/february.{ending}"
    content = (
        HOLDOUT.frame.to_parquet() if ending == "parquet" else HOLDOUT.frame.to_csv(index=False).encode()
    )
    s3.put_object(Bucket=place.bucket, Key=f"2013/february.{ending}", Body=content)
    dataset = Dataset.read(location, "late")
    assert dataset.fingerprint == HOLDOUT.fingerprint
    assert (dataset.name, dataset.source) == ("february", location)


def test_an_object_that_is_missing_or_no_parquet_is_refused(place: Place, s3: S3Client) -> None:
    with pytest.raises(InvalidDataset, match="can't be read"):
        Dataset.read(f"s3://{place.bucket}/missing.parquet", "late")
    s3.put_object(Bucket=place.bucket, Key="torn.parquet", Body=HOLDOUT.frame.to_parquet()[:-9])
    with pytest.raises(InvalidDataset, match="can't be read"):
        Dataset.read(f"s3://{place.bucket}/torn.parquet", "late")


@pytest.mark.parametrize("bucket", ["no-such-bucket", "UPPER_case", ""])
@pytest.mark.usefixtures("place")
def test_a_bucket_that_is_not_there_is_the_stores_trouble(bucket: str) -> None:
    with pytest.raises(ArtifactStoreUnavailable, match="create the bucket, or correct its name"):
        Dataset.read(f"s3://{bucket}/february.parquet", "late")


# Crashes


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_instead_of(owner: Any, name: str) -> None:
    setattr(owner, name, die)


def die_after(owner: Any, name: str) -> None:
    step = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **options: die(step(*arguments, **options)))


def die_before_commit(owner: Any, name: str) -> None:
    die_at_commit(owner, name, die_instead_of)


def die_after_commit(owner: Any, name: str) -> None:
    die_at_commit(owner, name, die_after)


def die_at_commit(owner: Any, name: str, at: Callable[[Any, str], None]) -> None:
    """Of the transaction in which the version is appended; the lease had one before."""
    append = getattr(owner, name)

    def deadly(store: Store, *arguments: Any) -> Any:
        at(store.engine.dialect, "do_commit")
        return append(store, *arguments)

    setattr(owner, name, deadly)


STAGES: dict[str, tuple[Callable[[Any, str], None], Any, str, int, int]] = {
    "before the bytes": (die_after, serialization, "round_trip", 0, 0),
    "while the bytes are checked": (die_instead_of, S3ArtifactStore, "_check", 1, 0),
    "after the bytes": (die_after, S3ArtifactStore, "upload", 1, 0),
    "before the row": (die_instead_of, Store, "append_version", 1, 0),
    "before the commit": (die_before_commit, Store, "append_version", 1, 0),
    "after the commit": (die_after_commit, Store, "append_version", 1, 1),
    "before the answer": (die_after, Store, "append_version", 1, 1),
}


def register_elsewhere(place: Place, stage: str | None, key: str | None, parameters: dict[str, Any]) -> None:
    if stage is not None:
        kill, owner, name, *_ = STAGES[stage]
        kill(owner, name)
    with ExitStack() as opened:
        register(place.open(opened), key, **parameters)


def start(place: Place, stage: str | None = None, key: str | None = None, **parameters: Any) -> BaseProcess:
    process = forks().Process(target=register_elsewhere, args=(place, stage, key, parameters))
    process.start()
    return process


def end(process: BaseProcess) -> int | None:
    process.join(30)
    return process.exitcode


@pytest.mark.parametrize("stage", STAGES)
def test_a_process_that_dies_leaves_no_row_without_bytes_and_its_retry_makes_one_version(
    registry: Registry, place: Place, stage: str
) -> None:
    *_, objects, rows = STAGES[stage]
    assert end(start(place, stage, key="run-1")) == -signal.SIGKILL
    stored = {artifact.digest for artifact in registry.backend.artifacts.stored()}
    assert (len(stored), len(registry.backend.rows.artifacts())) == (objects, rows)
    assert set(registry.backend.rows.artifacts()) <= stored
    assert register(registry, key="run-1", C=0.5).number == 1
    assert len(registry.versions("churn")) == 1
    proof.prove(registry.backend, registry.resolve("churn@1"))


def test_another_process_recognises_an_identical_training(registry: Registry, place: Place) -> None:
    assert end(start(place)) == 0
    version = register(registry)
    assert version.number == 1
    assert registry.versions("churn") == [version]


def test_processes_that_register_the_same_training_at_once_make_one_version(
    registry: Registry, place: Place
) -> None:
    assert [end(process) for process in [start(place) for _ in range(4)]] == [0] * 4
    assert [version.number for version in registry.versions("churn")] == [1]


def test_processes_that_share_a_key_at_once_make_one_version(registry: Registry, place: Place) -> None:
    processes = [start(place, key="run-1", C=1 / number) for number in range(1, 5)]
    assert [end(process) for process in processes] == [0] * 4
    assert [version.number for version in registry.versions("churn")] == [1]
