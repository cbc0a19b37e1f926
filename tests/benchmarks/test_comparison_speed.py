"""A million rows are compared in seconds and below 1 GB."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from registry.predictions import Predictions
from registry.statistics import difference

if TYPE_CHECKING:
    from pathlib import Path

MANY = 1_000_000
MODERATE = 20_000
METRICS = (
    "accuracy",
    "roc_auc",
    "neg_log_loss",
    "f1",
    "matthews_corrcoef",
    "neg_root_mean_squared_error",
)


def pair(rows: int) -> tuple[Predictions, Predictions]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, rows)
    signal = labels + rng.normal(size=rows)

    def model() -> Predictions:
        positive = 1 / (1 + np.exp(0.5 - signal - rng.normal(size=rows) * 0.5))
        both = np.column_stack([1 - positive, positive])
        return Predictions(labels, (positive > 0.5).astype(int), both, classes=np.array([0, 1]))

    return model(), model()


@pytest.mark.parametrize("metric", METRICS)
def test_a_comparison_takes_seconds_for_a_million_rows(metric: str, benchmark: Any) -> None:
    challenger, champion = pair(MANY if benchmark.enabled else MODERATE)
    benchmark.group = "compare two versions"
    benchmark.pedantic(difference, (metric, challenger, champion), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("metric", METRICS)
def test_a_comparison_takes_less_than_a_kilobyte_per_row(metric: str) -> None:
    challenger, champion = pair(10 * MODERATE)
    tracemalloc.start()
    difference(metric, challenger, champion)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 800 * 10 * MODERATE


def test_predictions_are_written_and_read_in_their_time(benchmark: Any, tmp_path: Path) -> None:
    predictions, path = pair(MANY if benchmark.enabled else MODERATE)[0], tmp_path / "rows.parquet"

    def there_and_back() -> Predictions:
        predictions.write(path)
        return Predictions.read(path, len(predictions))

    assert len(benchmark.pedantic(there_and_back, rounds=3)) == len(predictions)
    if benchmark.enabled:
        assert benchmark.stats.stats.median < 5
