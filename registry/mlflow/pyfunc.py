"""Versions that were registered here as estimators, for ``mlflow.pyfunc.load_model``.

MLflow gets a small folder that names the version. Its bytes stay in the registry, and this module restores
them the one way that there is: checked, and only from types that the registry trusts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from registry import serving
from registry.mlflow.errors import told
from registry.mlflow.locations import Place, configured

if TYPE_CHECKING:
    import pandas as pd

    from registry.serving import LoadedModel
    from registry.tables import ModelVersion

_VERSION = "version.json"


class Predictor:
    """A loaded version, as MLflow asks one for predictions.

    Attributes:
        model: The version with its estimator.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    def predict(self, rows: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002, MLflow's own
        """One prediction for each of the *rows*, whose columns are checked first."""
        with told():
            return self.model.predict(rows)


def described(version: ModelVersion) -> dict[str, str]:
    """The folder that stands for *version* in MLflow: its files' texts, by path."""
    flavor = {"loader_module": __name__, "data": _VERSION, "python_version": _python(version)}
    model = {
        "flavors": {"python_function": flavor},
        "utc_time_created": f"{version.registered_at:%Y-%m-%d %H:%M:%S.%f}",
        "model_uuid": version.hash[:32],
    }
    named = {"reference": version.reference, "place": str(Place.of(version))}
    return {"MLmodel": yaml.safe_dump(model, sort_keys=False), _VERSION: json.dumps(named, indent=1)}


def _python(version: ModelVersion) -> str:
    return version.environment.get("python", "")


def _load_pyfunc(path: str) -> Predictor:
    """Restore the version that the file at *path* names, which MLflow calls by this name."""
    file = Path(path)
    with told():
        named = json.loads((file / _VERSION if file.is_dir() else file).read_text(encoding="utf-8"))
        backend = configured(None)
        return Predictor(serving.load(backend, Place.parse(named["place"]).version_in(backend)))
