"""Many writers at once, against rows that are inserted by hand; the table's brackets are ratios in one run.

``insert`` is a row for itself, and ``number`` one that is numbered without a gap, as versions are: there each
commit has to wait for the one before. All wait for the disk.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import Manager, get_context
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks import crowd
from tests.servers.postgres import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITERS, WRITES = 16, 25
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@pytest.fixture(scope="module")
def durable_postgres() -> Iterator[str]:
    """A database on a server that waits for the disk."""
    with cluster() as made, made.running(**DURABLE):
        made.server.create("registry")
        yield made.server.url("registry")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("writers")
    url = f"sqlite:///{folder}/registry.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("durable_postgres")
    crowd.prepare(url)
    return url


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.benchmarks.crowd"])
    with ProcessPoolExecutor(WRITERS, mp_context=context) as pool:
        yield pool


@pytest.mark.parametrize("way", list(crowd.WAYS))
def test_many_that_register_wait_little_longer_than_for_plain_rows(
    database: str, processes: ProcessPoolExecutor, way: str, benchmark: Any
) -> None:
    writers, writes = (WRITERS, WRITES) if benchmark.enabled else (2, 2)
    benchmark.group = f"{writers} writers, {database.partition(':')[0]}"
    took: list[float] = []
    with Manager() as manager:
        barrier = manager.Barrier(writers)

        def write() -> None:
            made = [processes.submit(crowd.WAYS[way], database, writes, barrier) for _ in range(writers)]
            took.extend(chain.from_iterable(each.result() for each in made))

        benchmark.pedantic(write, rounds=3, warmup_rounds=1)
    percentiles = quantiles(took[writers * writes :] or took, n=100)
    benchmark.extra_info |= {"writes": writers * writes, "p50": percentiles[49], "p99": percentiles[98]}
    assert percentiles[98] < 60
