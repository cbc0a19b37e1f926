"""Measure versions by a plain loop and by the flow, each on a registry of its own, and print the seconds.

Run as ``python -m tests.benchmarks.race REGISTRY ROWS RUNNER CORES``: a registry's folder, a Parquet file, a
task runner's name, and how many cores all of it may use.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

METRICS = ["roc_auc", "accuracy"]


def race(registry: Path, rows: str, runner: Any) -> dict[str, float]:
    """The seconds of each; what they find must be the same."""
    from flows.backtest import backtest  # noqa: PLC0415, after the cores are chosen
    from registry import Dataset, Registry  # noqa: PLC0415

    def loop() -> Any:
        with Registry() as opened:
            return opened.backtest("churn", Dataset.read(rows, "late"), metrics=METRICS)

    def flow() -> Any:
        return backtest("churn", rows, METRICS, task_runner=runner)

    (plain, first), (mapped, second) = timed(registry, loop), timed(registry, flow)
    assert first == second
    return {"loop": plain, "flow": mapped}


def timed(registry: Path, work: Callable[[], Any]) -> tuple[float, Any]:
    """Let *work* find a fresh copy of the *registry* in the settings."""
    with TemporaryDirectory() as folder:
        copy = copytree(registry, Path(folder, "registry"))
        os.environ["MODEL_REGISTRY_DATABASE"] = f"sqlite:///{copy}/registry.db"
        os.environ["MODEL_REGISTRY_ARTIFACTS"] = f"{copy}/artifacts"
        start = perf_counter()
        found = work()
        return perf_counter() - start, found


if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[4])])
    sys.stdout.write(json.dumps(race(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
