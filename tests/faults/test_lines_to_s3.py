"""What passes between the registry and its bucket is cut, stalled, flipped and refused, once and for good."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.config import Config
from sklearn.neighbors import KNeighborsClassifier

from registry import Registry
from registry.artifacts.s3 import connect
from registry.exceptions import ArtifactError, ArtifactStoreUnavailable
from registry.settings import RegistrySettings, open_backend
from registry.tables import ModelVersion
from tests.examples import fit, make_dataset
from tests.faults.places import MODEL, Place, assert_answered, assert_tidy, count_of, register
from tests.servers.faulty_wire import cut, faulty_wire, flipped, http_answer
from tests.servers.seaweedfs import volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry import ModelVersion as Version
    from tests.servers.faulty_wire import FaultyWire
    from tests.servers.seaweedfs import SeaweedFSServer, Volume

    Order = Callable[[FaultyWire], None]

ROWS = make_dataset(rows=400)  # more than a packet's worth of neighbours
IMPATIENT = Config(read_timeout=1, connect_timeout=1, retries={"mode": "standard", "total_max_attempts": 4})
FOR_EVER = 60
SECONDS_TO_GIVE_UP = 40


@pytest.fixture
def wire(seaweedfs_server: SeaweedFSServer) -> Iterator[FaultyWire]:
    with faulty_wire(seaweedfs_server.port) as wire:
        yield wire


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    return make_bucket()


@pytest.fixture
def registry(
    wire: FaultyWire, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """A registry whose bucket is at the end of the wire, and that waits for an answer a second only."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{wire.port}")
    settings = RegistrySettings(database=f"sqlite:///{tmp_path}/registry.db", artifacts=f"s3://{bucket}")
    backend = open_backend(settings, s3=connect(parameters={"config": IMPATIENT}))
    rows = replace(backend.rows, lease_time=timedelta(0))
    with Registry.of(replace(backend, rows=rows)) as registry:
        yield registry


def register_neighbours(registry: Registry) -> Version:
    estimator = fit(ROWS, KNeighborsClassifier(algorithm="brute"))
    return registry.register(MODEL, estimator, trained_on=ROWS, key="neighbours")


def often(times: int, order: Callable[[], None]) -> None:
    for _ in range(times):
        order()


PASSING: dict[str, Order] = {
    "500 three times": lambda wire: often(3, lambda: wire.answers.put(http_answer("500 Oops"))),
    "503 three times": lambda wire: often(3, lambda: wire.answers.put(http_answer("503 Slow Down"))),
    "hung up twice": lambda wire: often(2, lambda: wire.hangups.put(None)),
    "the upload is cut once": lambda wire: wire.upward.put(cut),
    "the upload is flipped once": lambda wire: wire.upward.put(flipped),
    "stalled for longer than anybody waits": lambda wire: wire.stalls.put(1.5),
    "the answer to the upload is lost": lambda wire: wire.lost.append(b"PUT /"),
}


@pytest.mark.parametrize("fault", PASSING)
def test_an_upload_survives_what_passes(
    registry: Registry, wire: FaultyWire, seaweedfs_server: SeaweedFSServer, bucket: str, fault: str
) -> None:
    PASSING[fault](wire)
    version = register_neighbours(registry)
    assert all(orders.empty() for orders in (wire.answers, wire.hangups, wire.upward, wire.stalls))
    assert wire.lost == []
    assert count_of(registry, ModelVersion) == [1]
    assert objects(seaweedfs_server, bucket) == [f"sha256/{version.artifact}"]
    assert registry.load(version.reference).version == version
    assert_tidy(registry)


LASTING: dict[str, Order] = {
    "500 for ever": lambda wire: wire.answers.put(http_answer("500 Oops")),
    "hung up for ever": lambda wire: wire.hangups.put(None),
    "cut for ever": lambda wire: wire.upward.put(cut),
    "flipped for ever": lambda wire: wire.upward.put(flipped),
    "stalled for ever": lambda wire: wire.stalls.put(1.5),
}


@pytest.mark.parametrize("fault", LASTING)
def test_an_upload_that_can_not_succeed_is_given_up_and_leaves_nothing(
    registry: Registry, wire: FaultyWire, seaweedfs_server: SeaweedFSServer, bucket: str, fault: str
) -> None:
    for _ in range(FOR_EVER):
        LASTING[fault](wire)
    began = time.monotonic()
    with pytest.raises(ArtifactStoreUnavailable):
        register_neighbours(registry)
    assert time.monotonic() - began < SECONDS_TO_GIVE_UP
    assert count_of(registry, ModelVersion) == [0]
    assert objects(seaweedfs_server, bucket) == []
    wire.mend()
    assert register_neighbours(registry).number == 1
    assert_tidy(registry)


@pytest.mark.parametrize("fault", [cut, flipped])
def test_a_download_survives_a_bad_line_and_is_refused_over_one_that_stays_bad(
    registry: Registry, wire: FaultyWire, fault: Callable[[bytes], bytes]
) -> None:
    version = register_neighbours(registry)
    wire.downward.put(fault)
    assert registry.load(version.reference).version == version
    assert wire.downward.empty()
    for _ in range(FOR_EVER):
        wire.downward.put(fault)
    with pytest.raises(ArtifactError):
        registry.load(version.reference)
    assert [finding.subject for finding in registry.verify() if finding.problem]
    wire.mend()
    assert registry.load(version.reference).version == version
    assert_tidy(registry)


def objects(server: SeaweedFSServer, bucket: str) -> list[str]:
    """What is in the bucket, half-finished uploads too."""
    client = server.client()
    found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    begun = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [each["Key"] for each in [*found, *begun]]


# The server itself


@pytest.fixture
def own_volume(monkeypatch: pytest.MonkeyPatch) -> Iterator[Volume]:
    with volume() as own:
        for name, value in own.server.environment.items():
            monkeypatch.setenv(name, value)
        yield own


def register_stubbornly(place: Place, numbers: range) -> dict[int, int]:
    """Register each until it is answered, as Prefect's retries do."""
    answers: dict[int, int] = {}
    with place.open() as registry:
        for number in numbers:
            while number not in answers:
                try:
                    answers[number] = register(registry, number).number
                except ArtifactStoreUnavailable:
                    time.sleep(0.2)
    return answers


def test_no_object_is_lost_where_the_server_is_killed_under_its_writers(
    own_volume: Volume, tmp_path: Path
) -> None:
    writers, each, environment = 4, 12, tuple(own_volume.server.environment.items())
    with own_volume.running() as process, ThreadPoolExecutor(writers) as threads:
        own_volume.server.client().create_bucket(Bucket="models")
        place = Place(f"sqlite:///{tmp_path}/registry.db", "s3://models", environment)
        parts = [range(first, first + each) for first in range(0, writers * each, each)]
        done = [threads.submit(register_stubbornly, place, part) for part in parts]
        wait_for_versions(place, writers)
        process.kill()
        process.wait()
        with own_volume.running():
            answers = {number: answer for each in done for number, answer in each.result().items()}
            with place.open() as registry:
                assert_answered(registry, answers, set(range(writers * 12)))
                assert_tidy(registry)


def wait_for_versions(place: Place, least: int) -> None:
    with place.open() as registry:
        deadline = time.monotonic() + 60
        while count_of(registry, ModelVersion) < [least]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
