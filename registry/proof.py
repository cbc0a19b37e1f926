"""Does a version work? It is loaded and asked what it was asked when it was registered."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from registry import contents, schema, serving
from registry.exceptions import PredictionFailed
from registry.folders import FORMAT as FOLDER

if TYPE_CHECKING:
    from registry.backend import Backend
    from registry.serving import LoadedModel
    from registry.tables import ModelVersion


def prove(backend: Backend, version: ModelVersion) -> None:
    """Load *version* from the store itself and ask it; of a folder, fetch every file.

    Raises:
        ArtifactMissing: Its bytes are gone.
        ArtifactCorrupted: They are not the ones that were registered.
        ModelError: It does not load, or does not predict what it did when it was registered.
    """
    if version.serialization == FOLDER:
        with TemporaryDirectory(prefix="registry-") as folder:
            contents.fetch(backend, version, Path(folder, "fetched"))
        return
    ask(serving.load(backend.from_afar(), version))


def ask(model: LoadedModel) -> None:
    """Let *model* predict the example that is stored with its version.

    Raises:
        PredictionFailed: It does not predict, or not what it did when it was registered.
    """
    version = model.version
    example = schema.restore_example(version.input_example["rows"], version.input_schema)
    answer, promised = np.asarray(model.predict(example)), version.input_example["predictions"]
    if not _same(answer, promised):
        reason = f"it answers {answer.tolist()} to its example, not {promised}"
        raise PredictionFailed(version.reference, reason)


def _same(answer: np.ndarray[Any, Any], promised: list[Any]) -> bool:
    """Whether labels are equal, and numbers with a fraction nearly so: another machine rounds otherwise."""
    expected = np.asarray(promised)
    if answer.dtype.kind == "f" and expected.dtype.kind in "iuf":
        return answer.shape == expected.shape and np.allclose(answer, expected)
    return bool(answer.tolist() == promised)
