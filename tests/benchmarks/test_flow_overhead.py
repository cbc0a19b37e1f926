"""What Prefect adds to a retraining, beside a flow of as many tasks that do nothing.

From the wall time of the flow the time of the trainer and of the registry's own steps is taken away, wherever
they are called; what is left is engine, events and artifacts.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import wraps
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from flows.train_register_promote import train_register_promote
from registry import Dataset, Registry, dossier, reports
from registry.settings import open_backend
from registry.tasks import runs
from tests.examples import fit, make_dataset
from tests.servers.prefect import prefect_server
from tests.three_versions import POLICY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

ROUNDS = 9
SETTLING = 2  # seconds in which the server writes down what it heard; meanwhile SQLite lets nobody else write
STEPS = ("register", "evaluate", "decide", "promote", "aliases", "target_of", "dossier", "history")
CARDS = [name for name in reports.__all__ if name.islower()]


class Stopwatch:
    """Adds up the time in functions of the library, once where one of them calls another."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.running():
                return function(*args, **kwargs)

        return measured

    @contextmanager
    def running(self) -> Iterator[None]:
        self._depth += 1
        started = time.perf_counter()
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - started


STOPWATCH = Stopwatch()


def train(trained_on: Dataset, *, strength: float) -> Any:
    with STOPWATCH.running():
        model = fit(trained_on)
        return model.set_params(C=strength).fit(trained_on.features, trained_on.labels)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """A Prefect server and a registry, whose steps are timed."""
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("it takes a minute")
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", str(tmp_path / "artifacts"))
    for step in STEPS:
        monkeypatch.setattr(Registry, step, STOPWATCH.timed(getattr(Registry, step)))
    for card in CARDS:
        monkeypatch.setattr(reports, card, STOPWATCH.timed(getattr(reports, card)))
    for reading in (dossier.bounded, dossier.watched):
        monkeypatch.setattr(dossier, reading.__name__, STOPWATCH.timed(reading))
    monkeypatch.setattr(runs, "open_backend", STOPWATCH.timed(open_backend))
    monkeypatch.setattr(Dataset, "read", STOPWATCH.timed(Dataset.read))
    with prefect_server() as api:
        settings = {
            PREFECT_API_URL: api,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # its second would hide the difference
            PREFECT_LOGGING_TO_API_ENABLED: False,
        }
        with temporary_settings(settings):
            yield


def test_a_retraining_costs_little_more_of_prefect_than_tasks_that_do_nothing(
    server: None,  # noqa: ARG001, it is up and timed
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [tmp_path / "january.parquet", tmp_path / "february.parquet"]
    for file, rows, seed in zip(files, (400, 1_000), (0, 1), strict=True):
        make_dataset(rows=rows, seed=seed).frame.to_parquet(file, index=False)
    _retrain(files, 0.001)  # which nobody is compared with
    tasks = _retrain(files, 0.002)[1]
    ours, empty = [], []
    for round_ in range(ROUNDS):
        seconds, _ = _retrain(files, 0.01 * (round_ + 1))
        ours.append(seconds)
        empty.append(_do_nothing(tasks))
    ratio = median(ours) / median(empty)
    with capsys.disabled():
        told = f"{tasks} tasks: engine {median(ours) * 1000:.0f} ms beside {median(empty) * 1000:.0f} ms"
        print(f"\n{told} of tasks that do nothing, ratio {ratio:.2f}", end="")  # noqa: T201, the figures are what one runs it for


def _retrain(files: list[Path], strength: float) -> tuple[float, int]:
    """The engine's seconds, and how many tasks ran."""
    STOPWATCH.seconds = 0.0
    started = time.perf_counter()
    state = train_register_promote(
        model="churn",
        trainer=f"{__name__}:train",
        training_data=str(files[0]),
        holdout=str(files[1]),
        target="late",
        policy=POLICY,
        params={"strength": strength},
        return_state=True,
    )
    seconds = time.perf_counter() - started - STOPWATCH.seconds
    assert state.is_completed()
    assert state.state_details.flow_run_id is not None
    return seconds, _tasks_of(state.state_details.flow_run_id)


def _tasks_of(run: UUID) -> int:
    time.sleep(SETTLING)
    with get_client(sync_client=True) as client:
        return len(client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run]))))


@task(cache_policy=NO_CACHE)
def nothing() -> None:
    """Do nothing."""


@flow
def do_nothing(tasks: int) -> None:
    for _ in range(tasks):
        nothing()


def _do_nothing(tasks: int) -> float:
    started = time.perf_counter()
    do_nothing(tasks)
    seconds = time.perf_counter() - started
    time.sleep(SETTLING)
    return seconds
