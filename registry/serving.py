"""Load a version: fetch its bytes, check them, and only then parse them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry import schema, serialization, signing, storage
from registry.exceptions import PredictionFailed, Unreadable
from registry.folders import FORMAT as FOLDER

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from registry.backend import Backend
    from registry.signing import Verify
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


def load(backend: Backend, version: ModelVersion, verify: Verify | None = None) -> LoadedModel:
    """Fetch the bytes of *version*, compare their digest with the ledger's, and restore the estimator.

    Who vouches for the version is asked first: see ``signing.vouch`` for what *verify* adds to the
    operator's setting, and what it can't take away.

    Raises:
        SignatureError: The version lacks the signature that it needs; its bytes were not fetched.
        PickleNotAllowed: Its format runs code, and the operator or the caller does not allow it.
        ArtifactMissing: The bytes are gone.
        ArtifactCorrupted: They are not the ones that were registered; they were not parsed.
        Unreadable: The version is a folder, or its bytes are no estimator of its format.
        UntrustedType: They hold a type that the registry does not trust (any more).
    """
    signing.vouch(backend, version, verify)
    if version.serialization == FOLDER:
        raise Unreadable(version.reference, "it is a folder of files; `registry fetch` copies it")
    backend.consent.require(version.reference, version.serialization)
    terms = serialization.Terms(
        serialization=version.serialization,
        trusted=[trusted.name for trusted in backend.rows.trusted_types()],
        consent=backend.consent,
    )
    with storage.opened(backend, version.artifact) as file:
        return LoadedModel(version, serialization.read(file, terms, subject=version.reference))
