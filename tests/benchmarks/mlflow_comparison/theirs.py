"""MLflow in its quickest forms: in this process, no look at what a model needs, no progress bars."""

from __future__ import annotations

import logging
import os
from contextlib import redirect_stderr
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import insert

from tests.benchmarks.filling import AT, BATCH, team_of, tidy

os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_CONFIGURE_LOGGING": "false",
}

try:
    import mlflow
except ModuleNotFoundError:
    mlflow = None  # type: ignore[assignment, unused-ignore]  # whose types are known where it is installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PRESENT = mlflow is not None


def opened(url: str, registry_url: str | None = None) -> Any:
    """A client of the registry at *url*, or at another one; MLflow's tables are made if need be."""
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    client = mlflow.MlflowClient(tracking_uri=url, registry_uri=registry_url or url)
    client.search_registered_models()  # opens the database
    return client


def fill(client: Any, models: Mapping[str, int]) -> None:
    """Insert so many versions of each model, each with a tag; the middle ones are the champions."""
    from mlflow.store.model_registry.dbmodels import models as tables  # noqa: PLC0415, it may be missing

    engine = client._get_registry_client().store.engine
    times = {"creation_time": _milliseconds(0), "last_updated_time": _milliseconds(0)}
    with engine.begin() as connection:
        named = [{"name": model, **times} for model in models]
        connection.execute(insert(tables.SqlRegisteredModel), named)
        rows = _versions(models)
        while batch := list(islice(rows, BATCH)):
            connection.execute(insert(tables.SqlModelVersion), batch)
            tags = [
                {
                    "name": row["name"],
                    "version": row["version"],
                    "key": "team",
                    "value": team_of(row["version"]),
                }
                for row in batch
            ]
            connection.execute(insert(tables.SqlModelVersionTag), tags)
        middles = [
            {"name": model, "alias": "champion", "version": last // 2} for model, last in models.items()
        ]
        connection.execute(insert(tables.SqlRegisteredModelAlias), middles)
    tidy(engine)


def _versions(models: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for index, (model, last) in enumerate(models.items()):
        for number in range(1, last + 1):
            at = _milliseconds(number * len(models) + index)
            source = f"file:///models/{uuid4().hex}"
            yield {
                "name": model,
                "version": number,
                "creation_time": at,
                "last_updated_time": at,
                "source": source,
                "storage_location": source,
                "run_id": uuid4().hex,
            }


def _milliseconds(seconds: int) -> int:
    return 1_000 * (int(AT.timestamp()) + seconds)


def log_and_register(estimator: Any) -> None:
    """Log an estimator as the next version of "iris"; what it needs is given, which spares a long look."""
    with redirect_stderr(StringIO()):  # it says what it did
        mlflow.sklearn.log_model(
            estimator, name="model", registered_model_name="iris", pip_requirements=["scikit-learn"]
        )


def begin(client: Any, folder: Path) -> None:
    """Let what is logged go to the client's database and the *folder*."""
    mlflow.set_tracking_uri(client.tracking_uri)
    mlflow.set_registry_uri(client.tracking_uri)
    experiment = client.get_experiment_by_name("comparison")
    if experiment is None:
        client.create_experiment("comparison", artifact_location=folder.as_uri())
    mlflow.set_experiment("comparison")


def load() -> Any:
    """Load the champion of "iris" as scikit-learn's, which is quicker than as a Python function."""
    return mlflow.sklearn.load_model("models:/iris@champion")


def artifacts(uri: str) -> Any:
    """MLflow's way to the files below *uri*."""
    from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415, it may be missing
        get_artifact_repository,
    )

    return get_artifact_repository(uri)
