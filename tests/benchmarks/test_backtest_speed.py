"""A flow over many versions against a plain loop over them: threads on one core, others on two.

Both read the file, predict and measure; starting the workers counts too. Without timing a few versions show
that it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from registry import Registry
from tests.examples import make_dataset
from tests.servers.prefect import ROOT, prefect_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

VERSIONS, ROWS = 50, 100_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with prefect_server() as url:
        yield url


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A registry with versions of three kinds in turn, the first in force."""
    folder = tmp_path_factory.mktemp("filled")
    with Registry(f"sqlite:///{folder}/registry.db", artifacts=f"{folder}/artifacts") as registry:
        for seed in range(VERSIONS if request.config.getoption("benchmark_enable") else 4):
            train = make_dataset(rows=2_000, seed=seed, name=f"week {seed}")
            estimator = estimators(seed)[seed % 3].fit(train.features, train.labels)
            registry.register("churn", estimator, trained_on=train)
        registry.assign("churn@1", reason="a start")
    return folder


def estimators(seed: int) -> tuple[Any, ...]:
    return (
        LogisticRegression(),
        HistGradientBoostingClassifier(random_state=seed),
        RandomForestClassifier(n_estimators=30, max_depth=8, random_state=seed),
    )


@pytest.fixture
def race(filled: Path, server: str, tmp_path: Path) -> Callable[..., dict[str, float]]:
    """Each call runs both in an interpreter of their own, and gives the seconds of each."""
    environment = {"PREFECT_API_URL": server, "PREFECT_HOME": str(tmp_path), "PREFECT_LOGGING_LEVEL": "ERROR"}

    def run(rows: int, runner: str, cores: int) -> dict[str, float]:
        file = tmp_path / "new.parquet"
        make_dataset(rows=rows, seed=99).frame.to_parquet(file)
        done = subprocess.run(  # noqa: S603, the command is the test's own
            [sys.executable, "-m", "tests.benchmarks.race", str(filled), str(file), runner, str(cores)],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return seconds

    return run


@pytest.mark.parametrize(
    ("rows", "runner", "most"),
    [(500, "threads", 1.3), (ROWS, "threads", 1.3), (ROWS, "processes", 1), (ROWS, "dask", 1)],
)
def test_a_flow_keeps_up_with_a_loop_on_one_core_and_beats_it_on_two(
    rows: int, runner: str, most: float, race: Callable[..., dict[str, float]], benchmark: Any
) -> None:
    benchmark.group = "measure many versions"
    cores = 1 if runner == "threads" else 2
    seconds = benchmark.pedantic(race, (rows, runner, cores), rounds=1)
    benchmark.extra_info |= seconds
    if rows == ROWS:
        assert seconds["flow"] < most * seconds["loop"]
