"""The whole corpus on the paths by which MLflow touches bytes of the registry."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from registry import models
from registry.mlflow import sources
from registry.mlflow.artifacts import VersionArtifacts
from registry.mlflow.importing import Source, bring
from registry.mlflow.locations import Place, backend_at
from tests.mlflow_registries import MlflowRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hostile.conftest import Arsenal, Invaded

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own are many
]


@pytest.fixture
def uri(invaded: Invaded, tmp_path: Path) -> Iterator[str]:
    """What MLflow is set to, so that it finds the invaded registry."""
    backend = invaded.registry.backend
    uri = f"prefect-registry+{backend.rows.engine.url}?artifacts={backend.artifacts.location}"
    with ExitStack() as stack:
        stack.callback(mlflow.set_tracking_uri, "")
        stack.callback(mlflow.set_registry_uri, "")
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
        mlflow.set_registry_uri(uri)
        stack.callback(backend_at.cache_clear)
        stack.callback(backend_at(uri).rows.close)
        yield uri


@pytest.mark.parametrize("form", ["skops", "pickle", "folder", "reference"])
def test_a_planted_version_loaded_by_mlflow(
    invaded: Invaded, arsenal: Arsenal, form: str, uri: str, tmp_path: Path
) -> None:
    assert mlflow.get_registry_uri() == uri
    for number, file in enumerate(arsenal.files):
        version = invaded.plant(file.content, form)
        (folder := tmp_path / f"{number}").mkdir()
        with pytest.raises(MlflowException):
            mlflow.pyfunc.load_model(f"models:/{version.model}/{version.number}", dst_path=str(folder))
        invaded.ends["MlflowException"] += 1


def test_a_source_that_is_registered_and_downloaded(
    invaded: Invaded, arsenal: Arsenal, uri: str, tmp_path: Path
) -> None:
    backend = invaded.registry.backend
    models.create(backend.rows, "theirs")
    for number, file in enumerate(arsenal.files):
        (folder := tmp_path / f"{number}").mkdir()
        (folder / "MLmodel").write_bytes(file.content)
        version = sources.take(backend, sources.Told(model="theirs", source=str(folder)))
        artifacts = VersionArtifacts(str(Place.of(version)), registry_uri=uri)
        (fetched := tmp_path / f"fetched-{number}").mkdir()
        artifacts.download_artifacts("MLmodel", str(fetched))  # type: ignore[no-untyped-call]
        assert (fetched / "MLmodel").read_bytes() == file.content
        invaded.ends["kept as bytes"] += 1


def test_an_mlflow_registry_that_is_imported(invaded: Invaded, arsenal: Arsenal, tmp_path: Path) -> None:
    theirs = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "theirs")
    theirs.client.create_registered_model("theirs")
    for number, file in enumerate(arsenal.files):
        (folder := tmp_path / "theirs" / f"{number}").mkdir(parents=True)
        (folder / "MLmodel").write_bytes(file.content)
        theirs.client.create_model_version("theirs", str(folder))
    source = Source(theirs.uri)
    report = bring(invaded.registry.backend, source, source.models(), lambda _: None)
    assert (report.versions, report.problems) == (len(arsenal.files), [])
    invaded.ends["kept as bytes"] += report.versions
