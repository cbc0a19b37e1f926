"""MLflow code as it stands in notebooks and pipelines, before a registry of ours; and MLflow's web pages."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from playwright.sync_api import expect
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from registry import Dataset, Registry
from registry.mlflow.importing import Source, bring
from registry.mlflow.locations import backend_at
from tests.servers.browser import Person, person_at
from tests.servers.mlflow import MlflowServer, mlflow_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own are many
]

FRAME = load_iris(as_frame=True).frame
FEATURES = FRAME.drop(columns="target")


def fitted(strength: float = 1.0) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=500).fit(FEATURES, FRAME["target"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(params=["in process", "through a server"])
def way(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Registry]]:
    """MLflow is set to a registry of ours, which is given with the way there."""
    with ExitStack() as stack:
        for reset in (mlflow.set_tracking_uri, mlflow.set_registry_uri):
            stack.callback(reset, "")
        if request.param == "in process":
            database, artifacts = f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts")
            mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
            uri = f"prefect-registry+{database}?artifacts={artifacts}"
            mlflow.set_registry_uri(uri)
            monkeypatch.chdir(tmp_path)  # where MLflow keeps the files of runs
            stack.callback(close, uri)
        else:
            server: MlflowServer = request.getfixturevalue("server")
            database, artifacts = server.database, server.artifacts
            mlflow.set_tracking_uri(server.url)
            monkeypatch.setenv("MODEL_REGISTRY_DATABASE", database)
            monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", artifacts)
            stack.callback(close, "prefect-registry")
        backend_at.cache_clear()
        with Registry(database, artifacts=artifacts) as registry:
            yield request.param, registry


def close(uri: str) -> None:
    """Close what MLflow opened at the *uri*."""
    backend_at(uri).rows.close()


def name_of(what: str) -> str:
    """The name of a model of the test's own: the server is the same for all."""
    return f"{what} {os.environ['PYTEST_CURRENT_TEST'].partition('::')[2].partition('[')[0][:60]}"


def log(name: str | None, strength: float = 1.0) -> Any:
    with mlflow.start_run():
        mlflow.log_param("C", strength)
        mlflow.log_metric("accuracy", 0.9)
        return mlflow.sklearn.log_model(
            fitted(strength),
            name="model",
            registered_model_name=name,
            pip_requirements=["scikit-learn"],  # else MLflow looks for seconds what the model needs
        )


def test_a_run_is_logged_and_one_call_makes_it_version_1(way: tuple[str, Registry]) -> None:
    _, registry = way
    name = name_of("seed")
    with mlflow.start_run() as run:
        mlflow.log_param("C", 1.0)
        mlflow.log_metric("accuracy", 0.9)
        mlflow.sklearn.log_model(fitted(), "model")
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
    assert int(version.version) == 1
    ours = registry.resolve(f"{name}@1")
    assert (ours.serialization, ours.estimator) == ("folder", "mlflow.sklearn")
    assert MlflowClient().get_model_version(name, "1").run_id == run.info.run_id
    assert [finding for finding in registry.verify() if finding.problem] == []


@pytest.mark.usefixtures("way")
def test_models_are_logged_registered_and_loaded_by_every_name() -> None:
    name, client = name_of("loaded"), MlflowClient()
    expected = list(fitted().predict(FEATURES))
    assert int(log(name).registered_model_version) == 1
    assert int(log(name, 0.1).registered_model_version) == 2
    client.set_registered_model_alias(name, "Champion", "1")
    for selector in ("@Champion", "/1"):
        assert list(mlflow.pyfunc.load_model(f"models:/{name}{selector}").predict(FEATURES)) == expected
    assert mlflow.sklearn.load_model(f"models:/{name}/latest").C == 0.1
    assert client.get_model_version_by_alias(name, "Champion").aliases == ["Champion"]
    client.delete_registered_model_alias(name, "Champion")
    with pytest.raises(MlflowException) as missing:
        mlflow.pyfunc.load_model(f"models:/{name}@Champion")
    assert missing.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.usefixtures("way")
def test_notes_searches_and_stages_are_mlflows_own() -> None:
    name, client = name_of("noted"), MlflowClient()
    log(name)
    log(name)
    client.set_registered_model_tag(name, "team", "growth")
    client.set_model_version_tag(name, "1", "month", "march")
    client.update_registered_model(name, "tells flowers apart")
    client.update_model_version(name, "2", "the better one")
    assert [model.name for model in client.search_registered_models(f"name = '{name}'")] == [name]
    found = client.search_model_versions(f"name = '{name}' AND tags.month = 'march'")
    assert [int(version.version) for version in found] == [1]
    page = client.search_model_versions(f"name = '{name}'", max_results=1)
    (rest,) = client.search_model_versions(f"name = '{name}'", max_results=1, page_token=page.token)
    assert {int(page[0].version), int(rest.version)} == {1, 2}
    client.transition_model_version_stage(name, "1", "Staging")
    client.transition_model_version_stage(name, "2", "Production")
    stages = {version.current_stage: int(version.version) for version in client.get_latest_versions(name)}
    assert stages == {"Staging": 1, "Production": 2}
    model = client.get_registered_model(name)
    assert (model.description, model.tags) == ("tells flowers apart", {"team": "growth"})
    client.delete_registered_model_tag(name, "team")
    client.delete_model_version_tag(name, "1", "month")
    assert client.get_model_version(name, "1").tags == {}


@pytest.mark.usefixtures("way")
def test_versions_are_downloaded_evaluated_copied_and_deleted(tmp_path: Path) -> None:
    name, client = name_of("kept"), MlflowClient()
    log(name)
    folder = mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(tmp_path))
    assert Path(folder, "MLmodel").is_file()
    result = mlflow.models.evaluate(
        f"models:/{name}/1",
        FRAME,
        targets="target",
        model_type="classifier",
        evaluator_config={"log_explainer": False},
    )
    assert result.metrics["accuracy_score"] > 0.9
    copied = client.copy_model_version(f"models:/{name}/1", f"{name} copy")
    client.set_registered_model_alias(name, "champion", "1")
    with pytest.raises(MlflowException, match="in force as champion"):
        client.delete_model_version(name, "1")
    client.delete_registered_model_alias(name, "champion")
    client.delete_model_version(name, "1")
    with pytest.raises(MlflowException, match="was deleted by"):
        client.get_model_version(name, "1")
    assert int(log(name).registered_model_version) == 2
    loaded = mlflow.pyfunc.load_model(f"models:/{copied.name}/{copied.version}")
    assert len(loaded.predict(FEATURES)) == len(FEATURES)
    with pytest.raises(MlflowException, match="copy_model_version"):
        client.rename_registered_model(name, "another")


def test_a_local_folder_is_a_source_unless_mlflows_server_forbids_it(
    way: tuple[str, Registry], tmp_path: Path
) -> None:
    kind, registry = way
    name, client = name_of("local"), MlflowClient()
    mlflow.sklearn.save_model(fitted(), str(tmp_path / "saved"))
    client.create_registered_model(name)
    if kind == "in process":
        assert int(client.create_model_version(name, str(tmp_path / "saved")).version) == 1
    else:
        with pytest.raises(MlflowException, match="To use a local path as a model version source"):
            client.create_model_version(name, str(tmp_path / "saved"))
        assert registry.versions(name) == []


def test_prompts_are_kept_too(way: tuple[str, Registry]) -> None:
    name = f"prompt_{'server' if 'server' in way[0] else 'process'}"
    mlflow.genai.register_prompt(name=name, template="Hello {{name}}!")
    mlflow.genai.register_prompt(name=name, template="Good day, {{name}}!")
    mlflow.genai.set_prompt_alias(name, alias="polite", version=2)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@polite").format(name="Ada") == "Good day, Ada!"
    assert mlflow.genai.load_prompt(f"prompts:/{name}/1").format(name="Ada") == "Hello Ada!"
    assert name not in {model.name for model in MlflowClient().search_registered_models(max_results=1000)}


def test_what_either_side_decides_the_other_sees_at_once(way: tuple[str, Registry]) -> None:
    kind, registry = way
    name, client = name_of("both"), MlflowClient()
    log(name)
    log(name)
    client.set_registered_model_alias(name, "champion", "1")
    (entry,) = registry.history(name)
    assert (entry.in_force, entry.evidence) == (1, {"source": "mlflow"})
    assert entry.actor == ("the server" if "server" in kind else registry.backend.rows.origin.actor)
    registry.assign(f"{name}@2", alias="champion", reason="by hand")
    assert int(client.get_model_version_by_alias(name, "champion").version) == 2
    registry.roll_back(name, reason="it fell")
    assert int(client.get_registered_model(name).aliases["champion"]) == 1


def test_an_estimator_of_our_own_predicts_in_mlflow(way: tuple[str, Registry]) -> None:
    _, registry = way
    name = name_of("native")
    data = Dataset.from_frame(FRAME, target="target", name="iris")
    registry.register(name, fitted(), trained_on=data)
    registry.assign(f"{name}@1", reason="the first")
    loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    assert list(loaded.predict(FEATURES)) == list(fitted().predict(FEATURES))
    assert isinstance(loaded.predict(pd.DataFrame(FEATURES[:1])), object)


def test_a_byte_that_changed_is_not_loaded(way: tuple[str, Registry]) -> None:
    _, registry = way
    name = name_of("flipped")
    log(name, 0.7)
    manifest = registry.resolve(f"{name}@1").artifact
    path = Path(registry.backend.artifacts.location, "sha256", manifest)
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:-1] + b" ")
    with pytest.raises(MlflowException, match="was not opened"):
        mlflow.pyfunc.load_model(f"models:/{name}/1")
    path.write_bytes(whole)
    assert mlflow.pyfunc.load_model(f"models:/{name}/1")


def test_a_registry_of_mlflows_is_imported_from_its_server(tmp_path: Path) -> None:
    (folder := tmp_path / "theirs").mkdir()
    with mlflow_server(folder, ours=False) as theirs, ExitStack() as stack:
        stack.callback(mlflow.set_tracking_uri, "")
        mlflow.set_tracking_uri(theirs.url)
        log("flight times")
        log("flight times", 0.5)
        MlflowClient().set_registered_model_alias("flight times", "champion", "2")
        ours = stack.enter_context(Registry(f"sqlite:///{tmp_path}/ours.db", artifacts=tmp_path / "ours"))
        source = Source(theirs.url)
        report = bring(ours.backend, source, source.models(), lambda _: None)
        assert (report.versions, report.aliases, report.problems) == (2, 1, [])
        assert (ours.fetch("flight times@champion", tmp_path / "fetched") / "MLmodel").is_file()
        again = bring(ours.backend, source, source.models(), lambda _: None)
        assert (again.versions, again.known, again.problems) == (0, 2, [])
        assert [finding for finding in ours.verify() if finding.problem] == []


# MLflow's web pages


@pytest.fixture(scope="module")
def visitor(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    kept = os.environ.get("SCREENSHOTS")
    pictures = Path(kept).resolve() if kept else tmp_path_factory.mktemp("screenshots")
    with person_at(server.url, pictures) as somebody:
        yield somebody


def test_mlflows_pages_show_our_versions_and_aliases(server: MlflowServer, visitor: Person) -> None:
    data = Dataset.from_frame(FRAME, target="target", name="iris")
    with Registry(server.database, artifacts=server.artifacts, actor="ada") as registry:
        for strength in (0.01, 0.1, 1.0):
            registry.register("flight-delay", fitted(strength), trained_on=data, params={"C": strength})
        registry.assign("flight-delay@2", alias="champion", reason="better on February")
        registry.assign("flight-delay@3", alias="challenger", reason="to be judged on March")
        registry.describe("flight-delay", "Will a flight be more than 15 minutes late?")
        registry.describe("flight-delay@2", "Learned from January.")
        registry.tag("flight-delay", {"team": "growth"})
        registry.tag("flight-delay@2", {"features": "weather"})
    visitor.does(lambda page: show(page, "flight-delay"))
    picture = visitor.keeps_picture("mlflow-pages")
    assert picture.stat().st_size > 10_000


def show(page: Page, name: str) -> None:
    page.set_viewport_size({"width": 1500, "height": 860})
    page.goto(f"/#/models/{name}")
    for text in ("Version 1", "Version 2", "Version 3"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    for alias in ("champion", "challenger"):
        expect(page.get_by_text(alias).first).to_be_visible()
    expect(page.get_by_text("Will a flight be more than 15 minutes late?").first).to_be_visible()
