"""Measure every version of a model on new rows: what would each have brought?"""

from __future__ import annotations

from prefect import flow
from prefect.logging import get_run_logger

from registry.backtest import Backtest, Question, assemble
from registry.references import CHAMPION
from registry.tasks import measure_version, prepare_backtest, publish_backtest
from registry.tasks.forms import AliasText, ModelText
from registry.tasks.runners import Runner, runner


@flow(flow_run_name="backtest {model}")
def backtest(
    model: ModelText,
    dataset: str,
    metrics: list[str],
    last: int | None = None,
    slices: list[str] = [],  # noqa: B006, read only
    task_runner: Runner = "threads",
    alias: AliasText = CHAMPION,
    registry: str | None = None,
) -> Backtest:
    """Measure all versions, or the newest, on the same rows against the one in force; nothing is decided.

    Args:
        model: Name of the model.
        dataset: Parquet or CSV file, on disk or s3://, that every worker can read. A version that was
            trained on it is left out.
        metrics: What to measure, by scikit-learn scorers' names; the first puts the versions in order.
        last: Only so many of the newest versions; all if not given.
        slices: Columns of the dataset, such as origin; each of their values is measured by itself too.
        task_runner: Where the versions are measured. Threads and processes are on this machine; dask and
            ray are clusters, and come with the extras of these names.
        alias: The version to compare with is in force under it.
        registry: Name of a saved Model Registry block; the settings of the process if not given.

    Returns:
        What was measured, the best version first; it is also published as an artifact.
    """
    pool = runner(task_runner)
    question = Question(metrics=metrics, slices=slices, last=last, alias=alias)
    plan, rows = prepare_backtest(model, dataset, question, registry)
    with pool:
        measuring = [
            pool.submit(
                measure_version,
                {"reference": f"{model}@{version}", "rows": rows, "plan": plan, "registry": registry},
            )
            for version in plan.versions
        ]
        result = assemble(plan, [future.result() for future in measuring])
    publish_backtest(result)
    get_run_logger().info("%s: %s", model, result.headline)
    return result
