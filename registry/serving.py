"""Load a version: fetch its bytes, check them, and only then parse them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from registry import schema, serialization
from registry.exceptions import PredictionFailed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from registry.backend import Backend
    from registry.tables import ModelVersion

    Rows = pd.DataFrame | np.ndarray[Any, Any]


@dataclass(frozen=True)
class LoadedModel:
    """An estimator that knows which version it is.

    Attributes:
        version: The registered version.
        estimator: The estimator as it was fitted.
    """

    version: ModelVersion
    estimator: Any

    def predict(self, rows: Rows) -> np.ndarray[Any, Any]:
        """One prediction for each of the *rows*, whose columns are checked first.

        Raises:
            SchemaMismatch: A column is missing, out of order or of another kind than in training.
            PredictionFailed: The estimator raised.
        """
        return self._ask("predict", rows)

    def predict_proba(self, rows: Rows) -> np.ndarray[Any, Any]:
        """The probability of each class (columns, in the order of ``estimator.classes_``) for each row.

        Raises:
            SchemaMismatch: A column is missing, out of order or of another kind than in training.
            PredictionFailed: The estimator raised, or gives no probabilities.
        """
        return self._ask("predict_proba", rows)

    def _ask(self, method: str, rows: Rows) -> np.ndarray[Any, Any]:
        features = schema.select(rows, self.version.input_schema, self.version.reference)
        try:
            answer: np.ndarray[Any, Any] = getattr(self.estimator, method)(features)
        except Exception as error:
            raise PredictionFailed(self.version.reference, f"{type(error).__name__}: {error}") from error
        return answer


def load(backend: Backend, version: ModelVersion) -> LoadedModel:
    """Fetch the bytes of *version*, compare their digest with the ledger's, and restore the estimator.

    Raises:
        ArtifactMissing: The bytes are gone.
        ArtifactCorrupted: They are not the ones that were registered; they were not parsed.
        UntrustedType: They hold a type that the registry does not trust (any more).
    """
    trusted = [trusted.name for trusted in backend.rows.trusted_types()]
    with TemporaryDirectory(prefix="registry-") as folder:
        path = Path(folder, version.artifact)
        backend.artifacts.fetch(version.artifact, path)
        return LoadedModel(version, serialization.load(path, trusted=trusted, subject=version.reference))
