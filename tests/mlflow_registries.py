"""MLflow's own registries, to import from: made by MLflow's client, on a database of MLflow's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}

from mlflow.tracking import MlflowClient  # once it is told to keep quiet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MLMODEL = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\nmodel_uuid: {name}\n"


@dataclass(frozen=True)
class MlflowRegistry:
    """A registry of MLflow's, with a folder for the bytes of its models.

    Attributes:
        uri: Its database.
        folder: Where the bytes are.
    """

    uri: str
    folder: Path

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def add(self, model: str, *, text: str | None = None, run_id: str | None = None) -> int:
        """Register a folder with an MLmodel and a file of this *text*; return the version's number."""
        folder = self.folder / model / f"{len(list(self.folder.rglob('MLmodel')))}"
        folder.mkdir(parents=True)
        (folder / "MLmodel").write_text(MLMODEL.format(name=folder.name))
        (folder / "weights").write_text(text or f"the weights of {folder}")
        created = self.client.create_model_version(model, str(folder), run_id)
        return int(created.version)

    def run(self, metrics: Mapping[str, float]) -> str:
        """A finished run that measured these *metrics*; return its id."""
        run = self.client.create_run("0")
        for name, value in metrics.items():
            self.client.log_metric(run.info.run_id, name, value)
        self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)
