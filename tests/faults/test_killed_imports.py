"""An import of 1,000 versions is killed half-way, twice, and begins again each time."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from registry.tables import ModelVersion, VersionSource
from tests.faults.places import Place, assert_whole, count_of, processes
from tests.mlflow_registries import MlflowRegistry

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS, KILLS = 1_000, 2

pytestmark = [
    pytest.mark.long,  # a minute and a half, too long for the faults' step
    pytest.mark.filterwarnings("ignore"),  # MLflow's own are many
]


@pytest.fixture
def theirs(tmp_path: Path) -> MlflowRegistry:
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "theirs")
    client = registry.client
    client.create_registered_model("churn")
    for number in range(1, VERSIONS + 1):
        folder = registry.folder / f"{number}"
        folder.mkdir(parents=True)
        (folder / "weights").write_text(f"the weights of {number}")
        client.create_model_version("churn", str(folder))
    client.set_registered_model_alias("churn", "champion", str(VERSIONS // 2))
    return registry


def bring_all(place: Place, uri: str) -> None:
    from registry.mlflow.importing import Source, bring  # noqa: PLC0415, in the process that will be killed

    with place.open() as registry:
        source = Source(uri)
        report = bring(registry.backend, source, source.models(), lambda _: None)
        assert report.problems == []


def test_an_import_that_is_killed_half_way_ends_complete_and_without_doubles(
    theirs: MlflowRegistry, tmp_path: Path
) -> None:
    place = Place(f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))
    with place.open() as registry:
        for kill in range(1, KILLS + 1):
            process = processes().Process(target=bring_all, args=(place, theirs.uri))
            process.start()
            while count_of(registry, ModelVersion)[0] < VERSIONS * kill // (KILLS + 1):
                assert process.is_alive()
                time.sleep(0.1)
            process.kill()
            process.join()
            assert 0 < count_of(registry, ModelVersion)[0] < VERSIONS
        last = processes().Process(target=bring_all, args=(place, theirs.uri))
        last.start()
        last.join(300)
        assert last.exitcode == 0
        versions = registry.versions("churn")
        assert [version.number for version in versions] == list(range(1, VERSIONS + 1))
        assert Counter(version.artifact for version in versions).most_common(1)[0][1] == 1
        assert count_of(registry, ModelVersion, VersionSource) == [VERSIONS] * 2
        assert registry.resolve("churn@champion").number == VERSIONS // 2
        weights = registry.fetch("churn@777", tmp_path / "fetched") / "weights"
        assert weights.read_text() == "the weights of 777"
        registry.collect_garbage()
        kept = [artifact.digest for artifact in registry.backend.artifacts.stored()]
        assert len(kept) == len(set(kept)) == 2 * VERSIONS  # of each its file, and its manifest
        assert_whole(registry)
