from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from registry import Registry, cli
from registry.exceptions import InvalidValue, VersionDeleted
from registry.mlflow.importing import Problem, Report, Source, bring
from registry.mlflow.locations import backend_at
from registry.tables import VersionSource
from tests.mlflow_registries import MlflowRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.long,  # MLflow takes seconds to make its tables
    pytest.mark.filterwarnings("ignore"),  # MLflow's own are many, and leave its connections to the collector
]


@pytest.fixture(scope="session")
def mlflow_tables(make_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    def make(folder: Path) -> None:
        _ = MlflowRegistry(f"sqlite:///{folder}/mlflow.db", folder).client.search_registered_models()

    return make_once("mlflow-tables", make) / "mlflow.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> MlflowRegistry:
    if request.param == "postgresql":
        url = request.getfixturevalue("make_postgres_database")()
        return MlflowRegistry(url, tmp_path / "theirs")
    return request.getfixturevalue("theirs_on_sqlite")  # type: ignore[no-any-return]


@pytest.fixture
def theirs_on_sqlite(tmp_path: Path, mlflow_tables: Path) -> MlflowRegistry:
    return MlflowRegistry(
        f"sqlite:///{shutil.copy(mlflow_tables, tmp_path / 'mlflow.db')}", tmp_path / "theirs"
    )


@pytest.fixture
def ours(make_registry: Callable[..., Registry]) -> Iterator[Registry]:
    yield make_registry()
    backend_at.cache_clear()


def imported(theirs: MlflowRegistry, ours: Registry, *names: str) -> Report:
    source = Source(theirs.uri)
    told: list[int] = []
    found = source.models(names)
    report = bring(ours.backend, source, found, told.append)
    refused = any("name" in problem.reason for problem in report.problems)
    assert refused or sum(told) == report.versions + report.known
    return report


def wrong(registry: Registry) -> list[Any]:
    return [finding for finding in registry.verify() if finding.problem]


def source_of(registry: Registry, reference: str) -> VersionSource:
    from sqlmodel import Session  # noqa: PLC0415, the one place that looks below the door

    version = registry.resolve(reference)
    with Session(registry.backend.rows.engine) as session:
        return session.get_one(VersionSource, (version.model, version.number))


def a_registry_of_everything(theirs: MlflowRegistry) -> None:
    client = theirs.client
    client.create_registered_model("Iris Model", {"team": "growth"}, "tells flowers apart")
    run_id = theirs.run({"accuracy": 0.9, "loss": float("nan")})
    for _ in range(5):
        theirs.add("Iris Model", run_id=run_id)
    client.delete_model_version("Iris Model", "2")
    client.set_model_version_tag("Iris Model", "1", "month", "march")
    client.update_model_version("Iris Model", "3", "the third")
    client.set_registered_model_alias("Iris Model", "Champion", "3")
    client.transition_model_version_stage("Iris Model", "1", "Archived")
    client.transition_model_version_stage("Iris Model", "3", "Production")
    client.transition_model_version_stage("Iris Model", "4", "Production")
    client.create_registered_model("empty")


def test_everything_comes_with_its_numbers_and_times(theirs: MlflowRegistry, ours: Registry) -> None:
    a_registry_of_everything(theirs)
    report = imported(theirs, ours)
    assert (report.models, report.versions, report.known) == (2, 4, 0)
    assert [model.name for model in ours.models()] == ["Iris Model", "empty"]
    assert [version.number for version in ours.versions("Iris Model")] == [1, 3, 4, 5]
    with pytest.raises(VersionDeleted, match="has no such version any more"):
        ours.resolve("Iris Model@2")
    for version in theirs.client.search_model_versions("name = 'Iris Model'"):
        ours_too = ours.resolve(f"Iris Model@{version.version}")
        assert ours_too.registered_at == datetime.fromtimestamp(version.creation_timestamp / 1_000, UTC)
        assert source_of(ours, ours_too.reference).uri == version.source
    created = theirs.client.get_registered_model("Iris Model").creation_timestamp
    assert ours.models()[0].created_at == datetime.fromtimestamp(created / 1_000, UTC)
    assert wrong(ours) == []


def test_notes_aliases_and_stages_come_with_the_versions(theirs: MlflowRegistry, ours: Registry) -> None:
    a_registry_of_everything(theirs)
    report = imported(theirs, ours)
    assert ours.description("Iris Model") == "tells flowers apart"
    assert ours.tags("Iris Model") == {"team": "growth"}
    assert ours.tags("Iris Model@1") == {"month": "march"}
    assert ours.description("Iris Model@3") == "the third"
    assert ours.backend.rows.aliases("Iris Model") == {"Champion": 3, "production": 4}
    assert [entry.evidence for entry in ours.history("Iris Model")] == [{"source": "mlflow import"}] * 2
    assert report.aliases == 2
    assert Problem(
        "Iris Model@production", "1 older versions were in stage Production, too, which has one here"
    ) in (report.problems)


def test_the_metrics_of_the_run_come_with_its_versions(theirs: MlflowRegistry, ours: Registry) -> None:
    a_registry_of_everything(theirs)
    report = imported(theirs, ours)
    assert source_of(ours, "Iris Model@5").metrics == {"accuracy": 0.9}
    assert "metrics that are not finite can't be kept: loss" in {
        problem.reason for problem in report.problems
    }


def test_the_bytes_of_each_version_are_here_under_their_digest(
    theirs: MlflowRegistry, ours: Registry, tmp_path: Path
) -> None:
    theirs.client.create_registered_model("churn")
    theirs.add("churn", text="the first")
    theirs.add("churn", text="the second")
    imported(theirs, ours)
    shutil.rmtree(theirs.folder)
    for number, text in enumerate(("the first", "the second"), 1):
        folder = ours.fetch(f"churn@{number}", tmp_path / f"fetched-{number}")
        assert (folder / "weights").read_text() == text
        assert ours.backend.artifacts.exists(sha256(text.encode()).hexdigest())
    assert ours.resolve("churn@1").estimator == "mlflow.sklearn"


def test_a_second_import_changes_nothing(theirs: MlflowRegistry, ours: Registry) -> None:
    a_registry_of_everything(theirs)
    first = imported(theirs, ours)
    history = ours.history("Iris Model")
    second = imported(theirs, ours)
    assert (second.models, second.versions, second.known, second.aliases) == (0, 0, first.versions, 0)
    assert ours.history("Iris Model") == history
    assert [version.number for version in ours.versions("Iris Model")] == [1, 3, 4, 5]


def test_a_later_import_brings_what_is_new(theirs_on_sqlite: MlflowRegistry, ours: Registry) -> None:
    theirs = theirs_on_sqlite
    theirs.client.create_registered_model("churn")
    theirs.add("churn")
    imported(theirs, ours)
    theirs.add("churn")
    theirs.client.set_registered_model_alias("churn", "champion", "2")
    report = imported(theirs, ours)
    assert (report.versions, report.known, report.aliases) == (1, 1, 1)
    assert ours.resolve("churn@champion").number == 2


def test_what_was_decided_here_since_stays(theirs_on_sqlite: MlflowRegistry, ours: Registry) -> None:
    theirs = theirs_on_sqlite
    theirs.client.create_registered_model("churn")
    theirs.add("churn")
    theirs.add("churn")
    theirs.client.set_registered_model_alias("churn", "champion", "1")
    imported(theirs, ours)
    ours.assign("churn@2", alias="champion", reason="it is better")
    ours.describe("churn@1", "ours")
    ours.delete("churn@1", reason="nobody wants it")
    report = imported(theirs, ours)
    assert (report.versions, report.known, report.aliases) == (0, 2, 0)
    assert ours.resolve("churn@champion").number == 2


def test_bytes_that_cannot_be_read_are_told_at_each_import(
    theirs_on_sqlite: MlflowRegistry, ours: Registry, tmp_path: Path
) -> None:
    theirs = theirs_on_sqlite
    theirs.client.create_registered_model("churn")
    theirs.client.create_model_version("churn", str(tmp_path / "nowhere"))
    theirs.add("churn")
    (first,) = imported(theirs, ours).problems
    assert first.subject == "churn@1"
    assert "its bytes could not be brought" in first.reason
    (again,) = imported(theirs, ours).problems
    assert again == Problem("churn@1", "it is here without its bytes since an earlier import")
    assert ours.resolve("churn@1").serialization == "reference"
    assert ours.resolve("churn@2").serialization == "folder"
    assert wrong(ours) == []


def test_what_has_no_place_here_is_told_and_the_rest_comes(
    theirs_on_sqlite: MlflowRegistry, ours: Registry
) -> None:
    theirs = theirs_on_sqlite
    theirs.client.create_registered_model("Blümchen")
    theirs.client.create_registered_model("churn")
    theirs.add("churn")
    theirs.client.set_model_version_tag("churn", "1", "odd", "a\0b")
    theirs.client.set_model_version_tag("churn", "1", "kept", "y")
    theirs.client.set_registered_model_alias("churn", "2024", "1")
    theirs.client.set_registered_model_alias("churn", "champion", "1")
    report = imported(theirs, ours)
    assert [problem.subject for problem in report.problems] == ["Blümchen", "churn@1", "churn@2024"]
    assert ours.tags("churn@1") == {"kept": "y"}
    assert ours.resolve("churn@champion").number == 1


def test_a_model_that_grew_here_by_itself_is_left_alone(
    theirs_on_sqlite: MlflowRegistry, ours: Registry, tmp_path: Path
) -> None:
    theirs = theirs_on_sqlite
    theirs.client.create_registered_model("churn")
    theirs.add("churn")
    theirs.add("churn")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("ours")
    own = ours.register_folder("churn", tmp_path / "folder")
    (problem,) = imported(theirs, ours).problems
    assert problem.subject == "churn@1"
    assert "another version has this number here" in problem.reason
    assert [version.hash for version in ours.versions("churn")] == [own.hash]


def test_prompts_come_without_bytes(theirs_on_sqlite: MlflowRegistry, ours: Registry) -> None:
    theirs = theirs_on_sqlite
    theirs.client.register_prompt("greet", "Hello {{name}}")
    report = imported(theirs, ours)
    assert report.problems == []
    assert ours.resolve("greet@1").serialization == "reference"
    assert "Hello {{name}}" in ours.tags("greet@1").values()


def test_only_the_models_that_are_named_come(theirs_on_sqlite: MlflowRegistry, ours: Registry) -> None:
    for name in ("churn", "fraud", "late"):
        theirs_on_sqlite.client.create_registered_model(name)
    imported(theirs_on_sqlite, ours, "fraud", "late")
    assert [model.name for model in ours.models()] == ["fraud", "late"]


def test_where_bytes_are_only_referred_to_none_come(
    theirs_on_sqlite: MlflowRegistry, ours: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_MLFLOW_SOURCES", "refer")
    theirs_on_sqlite.client.create_registered_model("churn")
    theirs_on_sqlite.add("churn")
    assert imported(theirs_on_sqlite, ours).problems == []
    assert ours.resolve("churn@1").serialization == "reference"


@pytest.mark.parametrize(
    "uri", ["prefect-registry:", "prefect-registry+sqlite:///registry.db", "nonsense://x"]
)
def test_what_is_no_registry_of_mlflows_is_refused(uri: str) -> None:
    with pytest.raises(InvalidValue, match="source"):
        Source(uri).models()


def test_a_password_in_the_address_is_not_told() -> None:
    with pytest.raises(InvalidValue) as refusal:
        Source("nonsense://ada:hunter2@host/x").models()
    assert "hunter2" not in str(refusal.value).split("MLflow can't", maxsplit=1)[0]


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["registry", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_the_command_tells_what_came_and_what_did_not(
    theirs_on_sqlite: MlflowRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = theirs_on_sqlite
    theirs.client.create_registered_model("churn")
    theirs.add("churn")
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", str(tmp_path / "artifacts"))
    assert command(monkeypatch, "import", "mlflow", "--from", theirs.uri) == 0
    text = capsys.readouterr().out
    assert "1 version of 1 new model and 0 aliases came, 0 versions were here before" in text
    assert "nothing is missing" in text
    theirs.client.create_registered_model("Blümchen")
    assert command(monkeypatch, "import", "mlflow", "--from", theirs.uri, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["known"] == 1
    assert [problem["subject"] for problem in told["problems"]] == ["Blümchen"]
