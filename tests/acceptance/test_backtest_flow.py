"""Backtests in flows: in threads here, in processes and on a Dask cluster in an interpreter of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.exceptions import ParameterTypeError
from sklearn.linear_model import LogisticRegression

from flows.backtest import backtest
from registry import Dataset, Registry
from registry.backtest import Backtest
from registry.exceptions import InvalidMetric
from tests.examples import fit, make_dataset
from tests.servers.prefect import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METRICS = ["neg_log_loss", "roc_auc"]
SLICES = ["origin"]
REMOTE = """
import sys
from flows.backtest import backtest

if __name__ == "__main__":
    for runner, dataset in zip(["dask", "processes"], sys.argv[1:], strict=True):
        found = backtest("churn", dataset, ["neg_log_loss", "roc_auc"], slices=["origin"], task_runner=runner)
        print(found.model_dump_json())
"""


def fill(registry: Registry) -> None:
    """Four versions, of which the first is in force and the third is asked for a column that is gone."""
    for strength in (1e-4, 1e-2, 0.5, 1):
        gone: dict[str, Any] = {"rain": [0.0, 1.0] * 20} if strength == 0.5 else {}
        train = make_dataset(name="january", **gone)
        estimator = LogisticRegression(C=strength)
        registry.register("churn", fit(train, estimator), trained_on=train)
    registry.assign("churn@1", reason="a start")


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[..., str]:
    """Each call writes other rows into a file of this name."""

    def make(name: str, seed: int) -> str:
        rows = make_dataset(rows=600, seed=seed, origin=["JFK", "EWR", "LGA"] * 200)
        path = tmp_path / f"{name}.parquet"
        rows.frame.to_parquet(path)
        return str(path)

    return make


def looped(registry: Registry, file: str) -> Backtest:
    """The same without any flow."""
    return registry.backtest("churn", Dataset.read(file, "late"), metrics=METRICS, slices=SLICES)


def test_a_flow_measures_every_version_and_publishes_the_card(
    registry: Registry, make_registry: Callable[..., Registry], make_file: Callable[..., str]
) -> None:
    plain = make_registry()
    fill(registry)
    fill(plain)
    file = make_file("march", 1)
    found = backtest("churn", file, METRICS, slices=SLICES)
    assert found == looped(plain, file)
    assert found.headline.startswith("churn@4 would have won by")
    assert [left_out.reference for left_out in found.left_out] == ["churn@3"]
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["model-churn-backtest"]))
        card = str(client.read_artifacts(artifact_filter=key, sort=ArtifactSort.CREATED_DESC)[0].data)
    assert card.startswith("## churn@4 would have won by")
    assert "data:image/png;base64," in card
    assert len(registry.history("churn")) == 1


def test_what_no_run_could_do_is_refused_before_any_version_is_measured(
    registry: Registry, make_file: Callable[..., str]
) -> None:
    fill(registry)
    file = make_file("march", 1)
    anything: Any = "abacus"
    with pytest.raises(ParameterTypeError, match="task_runner"):
        backtest("churn", file, METRICS, task_runner=anything)
    with pytest.raises(InvalidMetric, match="did you mean accuracy"):
        backtest("churn", file, ["acuracy"])
    assert registry.evaluations("churn@2") == []


@pytest.fixture
def shared(make_postgres_database: Callable[[], str], make_bucket: Callable[[], str]) -> dict[str, str]:
    """The environment of all who share a registry on PostgreSQL and S3."""
    database, artifacts = make_postgres_database(), f"s3://{make_bucket()}/models"
    with Registry(database, artifacts=artifacts) as registry:
        fill(registry)
    return {"MODEL_REGISTRY_DATABASE": database, "MODEL_REGISTRY_ARTIFACTS": artifacts}


@pytest.mark.long
def test_a_dask_cluster_and_processes_find_on_postgresql_and_s3_what_a_loop_finds_here(
    prefect_api: str,
    shared: dict[str, str],
    make_registry: Callable[..., Registry],
    make_file: Callable[..., str],
    tmp_path: Path,
) -> None:
    files = [make_file("march", 1), make_file("april", 2)]
    settings = {
        "PREFECT_API_URL": prefect_api,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "DO_NOT_TRACK": "1",
    }
    done = subprocess.run(  # noqa: S603, the command is the test's own
        [sys.executable, "-c", REMOTE, *files],
        cwd=ROOT,
        env=os.environ | shared | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [Backtest.model_validate_json(line) for line in done.stdout.splitlines()]
    plain = make_registry()
    fill(plain)
    assert found == [looped(plain, file) for file in files]
    assert [left_out.reference for each in found for left_out in each.left_out] == ["churn@3"] * 2
