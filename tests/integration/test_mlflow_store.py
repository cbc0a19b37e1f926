from __future__ import annotations

import json
import os
import pickle
import shutil
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import mlflow
import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.store.model_registry.abstract_store import AbstractStore
from sklearn.dummy import DummyClassifier

from registry import Registry, RetentionPolicy
from registry.mlflow.locations import backend_at
from registry.mlflow.store import RegistryStore
from registry.signing import keys
from tests.examples import fit, make_dataset
from tests.integration.conftest import KINDS
from tests.mlflow_registries import MLMODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Store = Any  # a RegistryStore; MLflow's types have numbers as text
TRAINING = make_dataset(name="january")
ignoring = pytest.mark.filterwarnings("ignore")  # MLflow's own are many
METHODS = sorted(
    name for name, each in vars(AbstractStore).items() if getattr(each, "__isabstractmethod__", False)
)


@pytest.fixture(scope="module", params=KINDS)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Models a, B and c_d with 1, 2 and 3 versions, tagged by number, which no test changes.

    The models were described in the order c_d, a, B, and the first version of c_d was described last.
    """
    place = tmp_path_factory.mktemp("library")
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{shutil.copy(request.getfixturevalue('empty_database'), place)}"
        else:
            server, name = request.getfixturevalue("postgres_server"), f"library_{uuid4().hex}"
            server.create(name, request.getfixturevalue("postgres_template"))
            stack.callback(server.drop, name)
            url = server.url(name)
        uri = f"prefect-registry+{url.replace('+psycopg', '')}?artifacts={place}/artifacts"
        store = RegistryStore(uri)
        stack.callback(backend_at(uri).rows.close)
        fill(store, place)
        yield store


def fill(store: Store, place: Path) -> None:
    for versions, name in enumerate(["a", "B", "c_d"], 1):
        store.create_registered_model(name)
        for number in range(1, versions + 1):
            (folder := place / f"{name}-{number}").mkdir()
            (folder / "weights").write_text(folder.name)
            even = ModelVersionTag("even", str(number % 2 == 0).lower())
            tags = [even, ModelVersionTag("name", name)]
            store.create_model_version(name, str(folder), f"run{name}{number}", tags)
        store.set_registered_model_tag(name, tag("versions", str(versions)))
        if versions > 1:
            store.set_registered_model_tag(name, tag("many", "Yes"))
    for name in ("c_d", "a", "B"):
        store.update_registered_model(name, "changed")
    store.update_model_version("c_d", 1, "changed")


@pytest.fixture
def uri(database_url: str, tmp_path: Path) -> Iterator[str]:
    uri = f"prefect-registry+{database_url.replace('+psycopg', '')}?artifacts={tmp_path}/artifacts"
    yield uri
    backend_at(uri).rows.close()


@pytest.fixture
def store(uri: str) -> Store:
    return RegistryStore(uri)


@pytest.fixture
def registry(store: Store, uri: str) -> Registry:
    assert isinstance(store, RegistryStore)  # what it opened is what MLflow uses
    return Registry.of(backend_at(uri))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., str]:
    """Each call makes a folder as MLflow saves a model, with a file of this *text*."""
    numbers = count(1)

    def make(text: str | None = None) -> str:
        path = tmp_path / f"model-{next(numbers)}"
        path.mkdir()
        (path / "MLmodel").write_text(MLMODEL.format(name="a"))
        (path / "weights").write_text(path.name if text is None else text)
        return str(path)

    return make


@pytest.fixture
def add(store: Store, folder: Callable[..., str]) -> Callable[..., Any]:
    """Each call registers another version, of a model that is made if need be."""
    made: set[str] = set()

    def register(name: str = "churn", **others: Any) -> Any:
        if name not in made:
            store.create_registered_model(name)
            made.add(name)
        return store.create_model_version(name, **{"source": folder()} | others)

    return register


@pytest.fixture
def native(registry: Registry) -> Callable[..., Any]:
    """Each call registers an estimator as this library does."""

    def register(name: str = "native", seed: int = 0) -> Any:
        return registry.register(name, fit(TRAINING, DummyClassifier(random_state=seed)), trained_on=TRAINING)

    return register


def refusal(code: str, step: Callable[[], object]) -> str:
    with pytest.raises(MlflowException) as refused:
        step()
    assert refused.value.error_code == code, refused.value
    return str(refused.value)


def tag(key: str, value: str) -> RegisteredModelTag:
    return RegisteredModelTag(key, value)


def numbers(versions: Sequence[Any]) -> list[int]:
    return [version.version for version in versions]


def move(store: Store, version: int, stage: str, *, name: str = "churn", archive: bool = False) -> Any:
    return store.transition_model_version_stage(name, version, stage, archive)


def sound(registry: Registry) -> bool:
    return [finding for finding in registry.verify() if finding.problem] == []


@pytest.mark.parametrize("method", METHODS)
def test_every_abstract_method_is_there(method: str) -> None:
    assert vars(RegistryStore)[method] is not vars(AbstractStore)[method]


def test_mlflow_has_as_many_methods_as_are_known() -> None:
    assert len(METHODS) == 21


# Models


def test_a_model_is_made_with_its_tags_and_description(store: Store) -> None:
    made = store.create_registered_model(
        "Iris Model", [tag("team", "growth"), tag("team", "risk")], "flowers"
    )
    assert (made.name, made.description, made.tags) == ("Iris Model", "flowers", {"team": "risk"})
    assert made.creation_timestamp == made.last_updated_timestamp
    assert (made.latest_versions, made.aliases) == ([], {})
    assert dict(store.get_registered_model("Iris Model")) == dict(made)


def test_a_model_is_made_once(store: Store) -> None:
    store.create_registered_model("churn")
    told = refusal("RESOURCE_ALREADY_EXISTS", lambda: store.create_registered_model("churn"))
    assert "Registered Model (name=churn) already exists" in told
    prompt = [tag(IS_PROMPT_TAG_KEY, "true")]
    told = refusal("RESOURCE_ALREADY_EXISTS", lambda: store.create_registered_model("churn", prompt))
    assert "already taken by a registered model" in told
    store.create_registered_model("greet", prompt)
    told = refusal("RESOURCE_ALREADY_EXISTS", lambda: store.create_registered_model("greet"))
    assert "already taken by a prompt" in told


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", "..", "chürn", "a@b", "x" * 257, "a\0", None])
def test_a_model_can_not_be_called_anything(library: Store, name: Any) -> None:
    refusal("INVALID_PARAMETER_VALUE", lambda: library.create_registered_model(name))


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.get_registered_model("spam"),
        lambda store: store.update_registered_model("spam", "x"),
        lambda store: store.delete_registered_model("spam"),
        lambda store: store.get_latest_versions("spam"),
        lambda store: store.set_registered_model_tag("spam", tag("a", "b")),
        lambda store: store.delete_registered_model_tag("spam", "a"),
        lambda store: store.create_model_version("spam", "s3://nowhere"),
        lambda store: store.get_model_version("spam", "1"),
        lambda store: store.update_model_version("spam", "1", "x"),
        lambda store: move(store, 1, "Production", name="spam"),
        lambda store: store.delete_model_version("spam", "1"),
        lambda store: store.get_model_version_download_uri("spam", "1"),
        lambda store: store.set_model_version_tag("spam", "1", tag("a", "b")),
        lambda store: store.delete_model_version_tag("spam", "1", "a"),
        lambda store: store.set_registered_model_alias("spam", "champion", "1"),
        lambda store: store.delete_registered_model_alias("spam", "champion"),
        lambda store: store.get_model_version_by_alias("spam", "champion"),
    ],
)
def test_a_model_that_is_missing_does_not_exist(library: Store, ask: Callable[[Any], Any]) -> None:
    refusal("RESOURCE_DOES_NOT_EXIST", lambda: ask(library))


def test_a_description_changes_and_the_time_tells(store: Store) -> None:
    made = store.create_registered_model("churn")
    changed = store.update_registered_model("churn", "who leaves")
    assert changed.description == "who leaves"
    assert changed.last_updated_timestamp >= made.last_updated_timestamp
    assert changed.creation_timestamp == made.creation_timestamp
    assert store.update_registered_model("churn", None).description is None


def test_a_model_is_not_renamed_and_told_what_to_do_instead(store: Store) -> None:
    store.create_registered_model("churn")
    told = refusal("NOT_IMPLEMENTED", lambda: store.rename_registered_model("churn", "leave"))
    assert "copy_model_version" in told
    refusal("INVALID_PARAMETER_VALUE", lambda: store.rename_registered_model("churn", "a/b"))


def test_a_deleted_model_comes_back_empty_and_its_numbers_go_on(
    store: Store, add: Callable[..., Any], registry: Registry
) -> None:
    add()
    store.set_registered_model_tag("churn", tag("team", "growth"))
    store.update_registered_model("churn", "who leaves")
    store.delete_registered_model("churn")
    refusal("RESOURCE_DOES_NOT_EXIST", lambda: store.get_registered_model("churn"))
    assert list(store.search_registered_models()) == list(store.search_model_versions()) == []
    again = store.create_registered_model("churn")
    assert (again.tags, again.description, again.latest_versions) == ({}, None, [])
    assert add().version == 2
    assert sound(registry)


def test_a_model_with_a_version_in_force_is_not_deleted(store: Store, add: Callable[..., Any]) -> None:
    add()
    store.set_registered_model_alias("churn", "champion", 1)
    told = refusal("RESOURCE_CONFLICT", lambda: store.delete_registered_model("churn"))
    assert "in force as champion" in told
    store.delete_registered_model_alias("churn", "champion")
    store.delete_registered_model("churn")


def test_tags_of_a_model_come_change_and_go(store: Store) -> None:
    store.create_registered_model("churn")
    store.set_registered_model_tag("churn", tag("team", "growth"))
    store.set_registered_model_tag("churn", tag("team", "risk"))
    store.set_registered_model_tag("churn", tag("empty", ""))
    assert store.get_registered_model("churn").tags == {"team": "risk", "empty": ""}
    store.delete_registered_model_tag("churn", "empty")
    store.delete_registered_model_tag("churn", "never was")
    assert store.get_registered_model("churn").tags == {"team": "risk"}


# Versions


def test_a_version_is_what_was_said_of_it(store: Store, add: Callable[..., Any]) -> None:
    told = {"run_id": "a1", "run_link": "http://runs/a1", "description": "the first"}
    version = add(tags=[ModelVersionTag("month", "march")], **told)
    assert (version.name, version.version, version.status) == ("churn", 1, "READY")
    assert {name: getattr(version, name) for name in told} == told
    assert (version.tags, version.current_stage, version.aliases) == ({"month": "march"}, "None", [])
    assert version.creation_timestamp == version.last_updated_timestamp
    assert (
        dict(store.get_model_version("churn", 1))
        == dict(store.get_model_version("churn", "1"))
        == dict(version)
    )
    assert numbers([add(), add()]) == [2, 3]


def test_its_bytes_are_here_under_their_digest(
    store: Store, add: Callable[..., Any], registry: Registry, tmp_path: Path
) -> None:
    source = Path(add().source)
    shutil.rmtree(source)
    fetched = registry.fetch("churn@1", tmp_path / "fetched")
    assert (fetched / "weights").read_text() == source.name
    assert registry.resolve("churn@1").estimator == "mlflow.sklearn"
    assert store.get_model_version_download_uri("churn", 1).startswith("prefect-registry-version:/churn/1/")
    assert sound(registry)


def test_the_same_folder_twice_is_two_versions(store: Store, add: Callable[..., Any]) -> None:
    source = add().source
    assert add(source=source).version == 2
    assert add(source=f"file://{source}").version == 3
    assert add(source="unused", local_model_path=source).version == 4
    assert len(store.search_model_versions("name = 'churn'")) == 4


def test_a_file_is_a_folder_of_that_file(add: Callable[..., Any], registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_text("42")
    add(source=str(tmp_path / "weights.bin"))
    assert [path.name for path in registry.fetch("churn@1", tmp_path / "fetched").iterdir()] == [
        "weights.bin"
    ]


@ignoring
@pytest.mark.usefixtures("through_mlflow")
@pytest.mark.parametrize(
    "source", ["/nowhere/at/all", "file:///nowhere", "nonsense://x/y", "models:/churn/7", "", "models:/x"]
)
def test_a_source_that_can_not_be_read_leaves_nothing(
    store: Store, add: Callable[..., Any], registry: Registry, source: str
) -> None:
    store.create_registered_model("theirs")
    with pytest.raises(MlflowException):
        store.create_model_version("theirs", source)
    assert registry.versions("theirs") == []
    assert add().version == 1


def test_a_folder_with_a_link_is_refused(store: Store, folder: Callable[..., str]) -> None:
    store.create_registered_model("churn")
    source = folder()
    Path(source, "link").symlink_to("/etc/passwd")
    told = refusal("INVALID_PARAMETER_VALUE", lambda: store.create_model_version("churn", source))
    assert "is a link" in told


def test_an_mlmodel_that_would_run_code_is_a_file_like_any_other(
    add: Callable[..., Any], registry: Registry, folder: Callable[..., str], tmp_path: Path
) -> None:
    source = folder()
    Path(source, "MLmodel").write_text(f"!!python/object/apply:os.mkdir ['{tmp_path}/marker']")
    add(source=source)
    assert not (tmp_path / "marker").exists()
    assert registry.resolve("churn@1").estimator == "folder"


def test_where_sources_are_referred_to_their_bytes_stay_where_they_are(
    store: Store, add: Callable[..., Any], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_MLFLOW_SOURCES", "refer")
    assert add(source="s3://elsewhere/1").source == "s3://elsewhere/1"
    assert store.get_model_version_download_uri("churn", 1) == "s3://elsewhere/1"
    assert registry.resolve("churn@1").serialization == "reference"
    monkeypatch.setenv("MODEL_REGISTRY_MLFLOW_SOURCES", "perhaps")
    assert "write copy or refer" in refusal("INVALID_PARAMETER_VALUE", add)
    assert sound(registry)


def test_prompts_have_no_bytes_and_are_found_if_they_are_asked_for(
    store: Store, add: Callable[..., Any]
) -> None:
    add()
    is_prompt = {IS_PROMPT_TAG_KEY: "true"}
    store.create_registered_model("greet", [tag(*pair) for pair in is_prompt.items()])
    store.create_model_version("greet", "dummy", tags=[ModelVersionTag(*pair) for pair in is_prompt.items()])
    asked = f"tags.`{IS_PROMPT_TAG_KEY}` = 'true'"
    assert [model.name for model in store.search_registered_models()] == ["churn"]
    assert [model.name for model in store.search_registered_models(asked)] == ["greet"]
    assert [version.name for version in store.search_model_versions()] == ["churn"]
    assert [version.name for version in store.search_model_versions(asked)] == ["greet"]
    unasked = f"tags.`{IS_PROMPT_TAG_KEY}` != 'true'"
    assert [model.name for model in store.search_registered_models(unasked)] == ["churn"]


def test_a_version_is_described_and_the_time_tells(store: Store, add: Callable[..., Any]) -> None:
    made = add()
    changed = store.update_model_version("churn", 1, "the best")
    assert changed.description == store.get_model_version("churn", 1).description == "the best"
    assert changed.last_updated_timestamp >= made.creation_timestamp == changed.creation_timestamp


def test_a_version_that_is_missing_does_not_exist(store: Store, add: Callable[..., Any]) -> None:
    add()
    for version in (2, "2", 0, -1, 10**12):
        refusal("RESOURCE_DOES_NOT_EXIST", lambda: store.get_model_version("churn", version))  # noqa: B023
    refusal("INVALID_PARAMETER_VALUE", lambda: store.get_model_version("churn", "first"))


def test_a_version_is_deleted_unless_it_is_in_force(
    store: Store, add: Callable[..., Any], registry: Registry
) -> None:
    add()
    add()
    store.set_registered_model_alias("churn", "champion", 2)
    told = refusal("RESOURCE_CONFLICT", lambda: store.delete_model_version("churn", 2))
    assert "in force as champion: clear the alias, or move it" in told
    assert store.get_model_version("churn", 2).aliases == ["champion"]
    store.set_registered_model_alias("churn", "champion", 1)
    store.delete_model_version("churn", "2")
    refusal("RESOURCE_DOES_NOT_EXIST", lambda: store.get_model_version("churn", 2))
    refusal("RESOURCE_DOES_NOT_EXIST", lambda: store.delete_model_version("churn", 2))
    refusal("RESOURCE_DOES_NOT_EXIST", lambda: store.set_registered_model_alias("churn", "a", 2))
    assert numbers(store.search_model_versions("name = 'churn'")) == [1]
    assert numbers(store.get_latest_versions("churn")) == [1]
    assert add().version == 3
    assert sound(registry)


def test_a_pinned_version_is_not_deleted(store: Store, add: Callable[..., Any], registry: Registry) -> None:
    add()
    registry.pin("churn@1", reason="an audit")
    assert "pinned" in refusal("RESOURCE_CONFLICT", lambda: store.delete_model_version("churn", 1))


def test_tags_of_a_version_come_change_and_go(store: Store, add: Callable[..., Any]) -> None:
    add()
    for value in ("march", "april"):
        store.set_model_version_tag("churn", "1", ModelVersionTag("month", value))
    assert store.get_model_version("churn", 1).tags == {"month": "april"}
    store.delete_model_version_tag("churn", "1", "month")
    store.delete_model_version_tag("churn", "1", "never was")
    assert store.get_model_version("churn", 1).tags == {}


POISONS = {"NUL": "a\0b", "surrogate": "a\ud800", "long": "x" * 100_001}


@pytest.mark.parametrize("poison", POISONS)
def test_text_that_some_database_could_not_keep_is_refused_on_each(
    store: Store, add: Callable[..., Any], poison: str
) -> None:
    text = POISONS[poison]
    add()
    for step in (
        lambda: store.update_registered_model("churn", text),
        lambda: store.update_model_version("churn", 1, text),
        lambda: store.set_registered_model_tag("churn", tag("k", text)),
        lambda: store.set_model_version_tag("churn", 1, ModelVersionTag("k", text)),
        lambda: add(description=text),
        lambda: add(tags=[ModelVersionTag("k", text)]),
        lambda: store.create_registered_model("other", description=text),
    ):
        refusal("INVALID_PARAMETER_VALUE", step)
    assert len(store.search_model_versions()) == len(store.search_registered_models()) == 1


@pytest.mark.parametrize("part", ["source", "run_id", "run_link", "model_id"])
@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_what_is_said_of_a_source_is_text_that_each_database_keeps(
    store: Store, add: Callable[..., Any], part: str, text: str
) -> None:
    refusal("INVALID_PARAMETER_VALUE", lambda: add(**{"run_id": "a1", part: text}))
    assert list(store.search_model_versions()) == []


def test_the_longest_description_and_tag_are_kept(store: Store, add: Callable[..., Any]) -> None:
    longest = "ü" * 100_000
    add(description=longest, tags=[ModelVersionTag("k" * 250, longest)])
    version = store.get_model_version("churn", 1)
    assert version.description == version.tags["k" * 250] == longest


# Aliases


def test_each_move_of_an_alias_is_an_entry_of_the_ledger(
    store: Store, add: Callable[..., Any], registry: Registry
) -> None:
    add()
    add()
    for version in (1, "2", 2, 1):
        store.set_registered_model_alias("churn", "Champion", version)
    store.delete_registered_model_alias("churn", "Champion")
    store.delete_registered_model_alias("churn", "Champion")
    history = registry.history("churn")
    moves = [(entry.kind, entry.replaced, entry.in_force) for entry in history]
    assert moves == [
        ("assigned", None, 1),
        ("assigned", 1, 2),
        ("assigned", 2, 1),
        ("cleared", 1, None),
    ]
    assert {entry.actor for entry in history} == {registry.backend.rows.origin.actor}
    assert [entry.evidence for entry in history[:3]] == [{"source": "mlflow"}] * 3
    assert "MLflow" in history[0].reason
    assert "MLflow" in history[3].reason
    assert sound(registry)


def test_aliases_show_on_the_model_and_its_versions(store: Store, add: Callable[..., Any]) -> None:
    add()
    add()
    store.set_registered_model_alias("churn", "champion", 1)
    store.set_registered_model_alias("churn", "fallback", 1)
    store.set_registered_model_alias("churn", "challenger", 2)
    assert store.get_registered_model("churn").aliases == {"challenger": 2, "champion": 1, "fallback": 1}
    assert store.get_model_version("churn", 1).aliases == ["champion", "fallback"]
    assert store.get_model_version_by_alias("churn", "challenger").version == 2
    assert store.search_model_versions("version_number = 1")[0].aliases == ["champion", "fallback"]
    assert store.search_registered_models()[0].aliases == {"challenger": 2, "champion": 1, "fallback": 1}


def test_an_alias_that_is_missing_is_an_invalid_parameter(store: Store, add: Callable[..., Any]) -> None:
    add()
    refusal("INVALID_PARAMETER_VALUE", lambda: store.get_model_version_by_alias("churn", "champion"))
    store.delete_registered_model_alias("churn", "champion")


@pytest.mark.parametrize("alias", ["", "latest", "LATEST", "v1", "V2", "a b", "a@b", "7", "x" * 257, "-a"])
def test_an_alias_can_not_be_called_anything(library: Store, alias: str) -> None:
    refusal("INVALID_PARAMETER_VALUE", lambda: library.set_registered_model_alias("a", alias, 1))


def test_what_is_decided_natively_shows_at_once(
    store: Store, add: Callable[..., Any], registry: Registry
) -> None:
    add()
    add()
    registry.assign("churn@1", alias="champion", reason="by hand")
    assert store.get_model_version_by_alias("churn", "champion").version == 1
    store.set_registered_model_alias("churn", "champion", 2)
    assert registry.resolve("churn@champion").number == 2
    registry.roll_back("churn", reason="it fell")
    assert store.get_model_version_by_alias("churn", "champion").version == 1


# Stages


def test_staging_and_production_are_aliases(
    store: Store, add: Callable[..., Any], registry: Registry
) -> None:
    add()
    moved = move(store, 1, "staging")
    assert (moved.current_stage, moved.aliases) == ("Staging", ["staging"])
    moved = move(store, 1, "Production")
    assert (moved.current_stage, moved.aliases) == ("Production", ["production"])
    assert [entry.kind for entry in registry.history("churn", alias="staging")] == ["assigned", "cleared"]
    moved = move(store, 1, "Archived")
    assert (moved.current_stage, moved.aliases) == ("Archived", [])
    moved = move(store, 1, "None")
    assert moved.current_stage == "None"


@pytest.mark.parametrize("archive", [True, False])
def test_whoever_is_replaced_is_archived_if_that_is_asked_for(
    store: Store, add: Callable[..., Any], *, archive: bool
) -> None:
    add()
    add()
    move(store, 1, "Production")
    move(store, 2, "Production", archive=archive)
    assert store.get_model_version("churn", 1).current_stage == ("Archived" if archive else "None")
    assert store.get_model_version("churn", 2).current_stage == "Production"


def test_what_is_no_stage_is_refused(store: Store, add: Callable[..., Any]) -> None:
    add()
    for stage, archive in (("Retired", False), ("None", True), ("Archived", True)):
        with pytest.raises(MlflowException):
            move(store, 1, stage, archive=archive)
    refusal("INVALID_PARAMETER_VALUE", lambda: store.get_latest_versions("churn", ["Retired"]))


def test_the_newest_of_each_stage_is_found(store: Store, add: Callable[..., Any]) -> None:
    for _ in range(7):
        add()
    for version, stage in {1: "Archived", 2: "Archived", 3: "Production", 4: "Staging"}.items():
        move(store, version, stage)
    found = {version.current_stage: version.version for version in store.get_latest_versions("churn")}
    assert found == {"None": 7, "Archived": 2, "Production": 3, "Staging": 4}
    assert numbers(store.get_latest_versions("churn", ["production", "Staging"])) == [3, 4]
    assert numbers(store.get_latest_versions("churn", ["None"])) == [7]
    newest = store.search_registered_models()[0].latest_versions
    assert {version.current_stage: version.version for version in newest} == found
    assert numbers(store.get_registered_model("churn").latest_versions) == numbers(newest)


# Search


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, ["B", "a", "c_d"]),
        ("", ["B", "a", "c_d"]),
        ("name = 'a'", ["a"]),
        ("name != 'a'", ["B", "c_d"]),
        ("name = 'A'", []),
        ("name ILIKE 'b'", ["B"]),
        ("name LIKE 'c%'", ["c_d"]),
        ("name ILIKE '%'", ["B", "a", "c_d"]),
        ("name IN ('a', 'B', 'z')", ["B", "a"]),
        ("name NOT IN ('a', 'B')", ["c_d"]),
        ("tags.versions = '2'", ["B"]),
        ("tags.versions != '2'", ["a", "c_d"]),
        ("tags.many = 'Yes' AND tags.versions = '3'", ["c_d"]),
        ("tags.many ILIKE 'y%'", ["B", "c_d"]),
        ("tag.many LIKE 'Y%' AND name = 'B'", ["B"]),
        ("tags.missing = 'x'", []),
        ("tags.missing != 'x'", []),
        ("tags.versions != '1' AND tags.versions != '2'", ["c_d"]),
    ],
)
def test_models_are_found_by(library: Store, asked: str | None, found: list[str]) -> None:
    assert sorted(model.name for model in library.search_registered_models(asked)) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, ["B1", "B2", "a1", "c_d1", "c_d2", "c_d3"]),
        ("name = 'B'", ["B1", "B2"]),
        ("name LIKE '%_d'", ["c_d1", "c_d2", "c_d3"]),
        ("name IN ('a')", ["a1"]),
        ("version_number = 2", ["B2", "c_d2"]),
        ("version_number > 2", ["c_d3"]),
        ("version_number >= 2 AND version_number < 3", ["B2", "c_d2"]),
        ("version_number != 1", ["B2", "c_d2", "c_d3"]),
        ("run_id = 'runB2'", ["B2"]),
        ("run_id IN ('runB2', 'runa1')", ["B2", "a1"]),
        ("run_id NOT IN ('runB2', 'runa1')", ["B1", "c_d1", "c_d2", "c_d3"]),
        ("run_id LIKE 'runc%' AND tags.even = 'true'", ["c_d2"]),
        ("source_path = 'nowhere'", []),
        ("source_path LIKE '%a-1'", ["a1"]),
        ("tags.even = 'true'", ["B2", "c_d2"]),
        ("tags.even = 'true' AND tags.name = 'B'", ["B2"]),
        ("tags.name ILIKE 'b'", ["B1", "B2"]),
        ("tags.even != 'true' AND name = 'c_d'", ["c_d1", "c_d3"]),
    ],
)
def test_versions_are_found_by(library: Store, asked: str | None, found: list[str]) -> None:
    versions = library.search_model_versions(asked)
    assert sorted(f"{version.name}{version.version}" for version in versions) == found


@pytest.mark.parametrize(
    "asked",
    [
        "name",
        "name = a",
        "name > 'a'",
        "name = 'a' OR name = 'b'",
        "colour = 'red'",
        "params.x = '1'",
        "tags.a > 'b'",
        "tags.a = b",
        "tags.a IN ('b')",
        "name LIKE ('a')",
        "name = 'a'; DROP TABLE model_version",
        "name IS NULL",
        "tags.a IS NOT NULL",
        "creation_timestamp > 1",
        "name = 'a\0'",
        "tags.a LIKE '\ud800'",
    ],
)
def test_a_filter_outside_of_the_grammar_is_refused(library: Store, asked: str) -> None:
    for search in (library.search_registered_models, library.search_model_versions):
        refusal("INVALID_PARAMETER_VALUE", lambda: search(asked))  # noqa: B023, called at once


@pytest.mark.parametrize(
    "asked", ["version_number = 1.5", "version_number LIKE '1'", "version_number = 'one'", "run_id > 'a'"]
)
def test_a_comparison_that_means_nothing_is_refused(library: Store, asked: str) -> None:
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_model_versions(asked))


@pytest.mark.parametrize("number", [10**9, 2**31, 2**63, 10**30])
def test_a_number_that_no_version_has_compares_like_any_other(library: Store, number: int) -> None:
    found = {
        comparator: len(library.search_model_versions(f"version_number {comparator} {number}"))
        for comparator in ("=", "!=", "<", "<=", ">", ">=")
    }
    assert found == {"=": 0, "!=": 6, "<": 6, "<=": 6, ">": 0, ">=": 0}
    assert len(library.search_model_versions(f"version_number > -{number}")) == 6


def test_text_in_a_filter_is_text(library: Store) -> None:
    assert list(library.search_registered_models("name = \"a' OR 'a' = 'a\"")) == []
    assert list(library.search_model_versions("tags.name = '%'")) == []


MODEL_ORDERS: list[tuple[list[str], list[str]]] = [
    (["name"], ["B", "a", "c_d"]),
    (["name DESC"], ["c_d", "a", "B"]),
    (["timestamp ASC"], ["c_d", "a", "B"]),
    (["timestamp DESC", "name DESC"], ["B", "a", "c_d"]),
    (["last_updated_timestamp"], ["c_d", "a", "B"]),
]


@pytest.mark.parametrize(("order", "found"), MODEL_ORDERS)
def test_models_come_in_the_order_that_is_asked_for(
    library: Store, order: list[str], found: list[str]
) -> None:
    assert [model.name for model in library.search_registered_models(order_by=order)] == found


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (["version_number ASC", "name DESC"], [1, 1, 1, 2, 2, 3]),
        (["version_number DESC"], [3, 2, 2, 1, 1, 1]),
        (["creation_timestamp ASC"], [1, 1, 2, 1, 2, 3]),
        (["creation_timestamp DESC"], [3, 2, 1, 2, 1, 1]),
        (["last_updated_timestamp ASC"], [1, 1, 2, 2, 3, 1]),
        (None, [1, 3, 2, 2, 1, 1]),
    ],
)
def test_versions_come_in_the_order_that_is_asked_for(
    library: Store, order: list[str] | None, found: list[int]
) -> None:
    assert numbers(library.search_model_versions(order_by=order)) == found


@pytest.mark.parametrize(
    "order", [["colour"], ["name", "name"], ["name UP"], ["timestamp", "last_updated_timestamp"]]
)
def test_an_order_that_there_is_not_is_refused(library: Store, order: list[str]) -> None:
    with pytest.raises(MlflowException):
        library.search_registered_models(order_by=order)
    with pytest.raises(MlflowException):
        library.search_model_versions(order_by=order)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 6, 7])
@pytest.mark.parametrize(
    "order", [None, ["version_number ASC"], ["name DESC", "version_number ASC"], ["creation_timestamp DESC"]]
)
def test_pages_lead_to_every_version_once(library: Store, most: int, order: list[str] | None) -> None:
    whole = [(version.name, version.version) for version in library.search_model_versions(order_by=order)]
    found, token = [], None
    while True:
        page = library.search_model_versions(max_results=most, order_by=order, page_token=token)
        assert len(page) <= most
        found += [(version.name, version.version) for version in page]
        token = page.token
        if not token:
            break
    assert found == whole
    assert len(found) == 6


@pytest.mark.parametrize("order", [None, ["name DESC"], ["timestamp DESC"], ["timestamp ASC", "name DESC"]])
def test_pages_lead_to_every_model_once(library: Store, order: list[str] | None) -> None:
    whole = [model.name for model in library.search_registered_models(order_by=order)]
    found, token = [], None
    for _ in range(3):
        page = library.search_registered_models(max_results=1, order_by=order, page_token=token)
        found += [model.name for model in page]
        token = page.token
    assert found == whole
    assert not token


def test_what_comes_meanwhile_shifts_no_page(store: Store, add: Callable[..., Any]) -> None:
    for _ in range(4):
        add()
    newest_first = ["creation_timestamp DESC"]
    first = store.search_model_versions(max_results=2, order_by=newest_first)
    add()
    rest = store.search_model_versions(max_results=9, order_by=newest_first, page_token=first.token)
    assert numbers([*first, *rest]) == [4, 3, 2, 1]


@pytest.mark.parametrize("token", ["garbage", "e30=", "AAAA", "ü"])
def test_a_token_that_is_none_is_refused(library: Store, token: str) -> None:
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_model_versions(page_token=token))
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_registered_models(page_token=token))


def test_a_token_of_another_search_is_refused(library: Store) -> None:
    token = library.search_model_versions(max_results=1).token
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_model_versions("name = 'B'", page_token=token))
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_registered_models(page_token=token))


MOMENT = {"at": "2026-01-01T00:00:00+00:00"}
PLACES: dict[str, list[Any]] = {
    "text": ["x", "y", "z"],
    "moments": [MOMENT, MOMENT, MOMENT],
    "nothing": [None, None, None],
    "lists": [[1], [2], [3]],
    "no zone": [{"at": "2026-01-01"}, "a", 1],
    "no year": [{"at": "9999-12-31T23:59:59-23:59"}, "a", 1],
    "a number as the moment": [{"at": 5}, "a", 1],
    "no moment": [{}, "a", 1],
    "NUL": [MOMENT, "a\0", 1],
    "surrogate": [MOMENT, "a\ud800", 1],
    "truth": [MOMENT, "a", True],
    "a large number": [MOMENT, "a", 2**31],
    "too few": [MOMENT, "a"],
}


@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_a_token_that_somebody_changed_is_refused(library: Store, place: list[Any]) -> None:
    seal = urlsafe_b64decode(library.search_model_versions(max_results=1).token)[:16]
    token = urlsafe_b64encode(seal + json.dumps(place).encode()).decode()
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_model_versions(page_token=token))


def test_a_token_that_is_too_deep_is_refused(library: Store) -> None:
    token = urlsafe_b64encode(b"0" * 16 + b"[" * 200_000).decode()
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_model_versions(page_token=token))


@pytest.mark.parametrize("most", [0, -1, 200_001, "5", True, None])
def test_a_page_has_a_size(library: Store, most: Any) -> None:
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_model_versions(max_results=most))
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_registered_models(max_results=most))


def test_a_page_has_at_most_as_much_as_mlflow_allows(library: Store) -> None:
    assert len(library.search_model_versions(max_results=200_000)) == 6
    assert len(library.search_registered_models(max_results=1_000)) == 3
    refusal("INVALID_PARAMETER_VALUE", lambda: library.search_registered_models(max_results=1_001))


# Copies


def test_a_copy_is_the_same_bytes_and_outlives_its_source(
    store: Store, add: Callable[..., Any], registry: Registry, tmp_path: Path
) -> None:
    version = add(tags=[ModelVersionTag("month", "march")], description="the first", run_id="a1")
    stored = len(list(registry.backend.artifacts.stored()))
    copied = store.copy_model_version(version, "production")
    assert (copied.name, copied.version, copied.source) == ("production", 1, "models:/churn/1")
    assert (copied.tags, copied.description, copied.run_id) == ({"month": "march"}, "the first", "a1")
    assert len(list(registry.backend.artifacts.stored())) == stored
    store.delete_registered_model("churn")
    expire_leases(registry)
    registry.purge(RetentionPolicy(keep_last=1, keep_younger_than=timedelta(0)))
    registry.collect_garbage()
    fetched = registry.fetch("production@1", tmp_path / "fetched")
    assert (fetched / "weights").read_text() == Path(version.source).name
    assert sound(registry)


def test_a_native_version_is_copied_with_what_proves_it(
    store: Store, native: Callable[..., Any], registry: Registry
) -> None:
    native()
    store.copy_model_version(store.get_model_version("native", 1), "production")
    registry.assign("production@1", alias="champion", reason="first")
    assert registry.load("production@champion").predict(TRAINING.features).shape == (TRAINING.rows,)
    assert store.create_model_version("production", "models:/production@champion").version == 2


def expire_leases(registry: Registry) -> None:
    from sqlalchemy import text  # noqa: PLC0415, past every door

    with registry.backend.rows.engine.begin() as connection:
        connection.execute(text("UPDATE model_artifact SET leased_until = '2020-01-01 00:00:00.000000'"))


# The way back


@pytest.fixture
def through_mlflow(uri: str, tmp_path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        stack.callback(mlflow.set_tracking_uri, "")
        stack.callback(mlflow.set_registry_uri, "")
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
        mlflow.set_registry_uri(uri)
        yield


@ignoring
@pytest.mark.usefixtures("through_mlflow")
def test_a_version_is_downloaded_by_number_alias_and_part(
    store: Store, add: Callable[..., Any], tmp_path: Path
) -> None:
    source = Path(add().source)
    store.set_registered_model_alias("churn", "champion", 1)
    shutil.rmtree(source)
    for number, name in enumerate(("models:/churn/1", "models:/churn@champion", "models:/churn/latest")):
        (place := tmp_path / f"{number}").mkdir()
        found = Path(mlflow.artifacts.download_artifacts(artifact_uri=name, dst_path=str(place)))
        assert (found / "weights").read_text() == source.name
    part = mlflow.artifacts.download_artifacts(artifact_uri="models:/churn/1/weights", dst_path=str(tmp_path))
    assert Path(part).read_text() == source.name
    listed = mlflow.artifacts.list_artifacts("models:/churn/1")
    assert [file.path for file in listed] == ["MLmodel", "weights"]


@ignoring
@pytest.mark.usefixtures("through_mlflow")
def test_a_native_version_predicts_in_mlflow(native: Callable[..., Any], registry: Registry) -> None:
    native()
    loaded = mlflow.pyfunc.load_model("models:/native/1")
    expected = registry.load("native@1").predict(TRAINING.features)
    assert list(loaded.predict(TRAINING.features)) == list(expected)
    with pytest.raises(MlflowException, match="columns do not fit"):
        loaded.predict(TRAINING.features.iloc[:, :1])


@ignoring
@pytest.mark.usefixtures("through_mlflow")
def test_a_folder_of_mlflows_predicts_in_mlflow(store: Store, registry: Registry, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    classifier = fit(TRAINING, DummyClassifier())
    needs = ["scikit-learn"]  # else MLflow looks for them, which takes seconds
    mlflow.sklearn.save_model(
        classifier, str(saved), serialization_format="cloudpickle", pip_requirements=needs
    )
    store.create_registered_model("churn")
    store.create_model_version("churn", str(saved))
    shutil.rmtree(saved)
    predicted = mlflow.pyfunc.load_model("models:/churn/1").predict(TRAINING.features)
    assert list(predicted) == list(classifier.predict(TRAINING.features))
    assert registry.resolve("churn@1").estimator == "mlflow.sklearn"


@ignoring
@pytest.mark.usefixtures("through_mlflow")
def test_a_version_that_nobody_signed_is_not_given_out_where_a_signature_is_required(
    add: Callable[..., Any],
    native: Callable[..., Any],
    uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add()
    native()
    keys.generate(tmp_path / "pipeline")
    public = keys.SigningKey(tmp_path / "pipeline").private.public_key()
    trusted = keys.TrustedKey.model_construct(name="pipeline", public_key=public)
    (tmp_path / "trusted.toml").write_text(keys.trust_entry(trusted))
    monkeypatch.setenv("MODEL_REGISTRY_TRUSTED_KEYS", str(tmp_path / "trusted.toml"))
    monkeypatch.setenv("MODEL_REGISTRY_VERIFY", "required")
    monkeypatch.setenv("MODEL_REGISTRY_SIGNING_KEY", str(tmp_path / "pipeline"))
    reopen(uri)
    for step in (mlflow.artifacts.download_artifacts, mlflow.pyfunc.load_model):
        for name in ("models:/churn/1", "models:/native/1"):
            told = refusal("PERMISSION_DENIED", lambda: step(name))  # noqa: B023, called at once
            assert "bears no signature" in told
    source = Path(add().source)
    found = mlflow.artifacts.download_artifacts("models:/churn/2", dst_path=str(tmp_path / "found"))
    assert Path(found, "weights").read_text() == source.name


def reopen(uri: str) -> None:
    """Let the registry at *uri* be opened anew, with the settings of now."""
    backend_at(uri).rows.close()
    backend_at.cache_clear()


@ignoring
@pytest.mark.usefixtures("through_mlflow")
def test_bytes_that_changed_are_not_given_out(
    store: Store, add: Callable[..., Any], native: Callable[..., Any], registry: Registry
) -> None:
    add()
    native()
    for path in Path(registry.backend.artifacts.location, "sha256").iterdir():
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    for name in ("models:/churn/1", "models:/native/1"):
        with pytest.raises(MlflowException, match=r"has digest|was not opened"):
            mlflow.pyfunc.load_model(name)
    assert store.get_model_version("churn", 1).status == "READY"


@ignoring
@pytest.mark.usefixtures("through_mlflow")
def test_a_place_in_another_registry_is_not_taken_for_this_one(store: Store, add: Callable[..., Any]) -> None:
    add()
    place = store.get_model_version_download_uri("churn", 1)
    for odd in (f"{place[:-64]}{'0' * 64}", f"{place}/more", "prefect-registry-version:/churn/x/y"):
        with pytest.raises(MlflowException):
            mlflow.artifacts.download_artifacts(artifact_uri=odd)


# Around it


def test_webhooks_are_none_and_the_remedy_is_told(store: Store) -> None:
    event = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
    assert list(store.list_webhooks()) == list(store.list_webhooks_by_event(event)) == []
    steps: list[Callable[[], object]] = [
        lambda: store.create_webhook("w", "https://example.com", [event]),
        lambda: store.get_webhook("w"),
        lambda: store.update_webhook("w"),
        lambda: store.delete_webhook("w"),
        lambda: store.test_webhook("w"),
    ]
    for step in steps:
        with pytest.raises(NotImplementedError, match="automation"):
            step()


def test_one_store_serves_many_threads(store: Store, folder: Callable[..., str], registry: Registry) -> None:
    store.create_registered_model("churn")
    sources = [folder() for _ in range(24)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda source: store.create_model_version("churn", source), sources))
        list(
            threads.map(
                lambda each: store.set_registered_model_alias("churn", "champion", each.version), made
            )
        )
    assert sorted(numbers(made)) == list(range(1, 25))
    assert len(registry.history("churn")) <= 24
    assert store.get_model_version_by_alias("churn", "champion").version in range(1, 25)
    assert sound(registry)


def test_a_store_can_be_sent_to_another_process(store: Store, add: Callable[..., Any]) -> None:
    add()
    again = pickle.loads(pickle.dumps(store))  # noqa: S301, its own bytes
    assert again.get_model_version("churn", 1).version == 1


def test_two_stores_of_one_uri_share_what_they_opened(
    store: Store, add: Callable[..., Any], uri: str
) -> None:
    add()
    other: Store = RegistryStore(uri)
    opened = backend_at.cache_info().currsize
    other.set_registered_model_alias("churn", "champion", 1)
    assert store.get_model_version_by_alias("churn", "champion").version == 1
    assert backend_at.cache_info().currsize == opened


def test_the_settings_name_the_registry_of_the_bare_scheme(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add: Callable[..., Any]
) -> None:
    add()
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", database_url)
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", str(tmp_path / "artifacts"))
    for uri in ("prefect-registry:", "prefect-registry://"):
        named: Store = RegistryStore(uri)
        assert named.get_model_version("churn", 1).version == 1
        backend_at(uri).rows.close()


@pytest.mark.parametrize(
    "uri", ["prefect-registry+mysql://x/y", "prefect-registry+sqlite:////no/such/folder/x.db"]
)
def test_a_registry_that_can_not_be_opened_is_told_at_once(uri: str) -> None:
    refusal("TEMPORARILY_UNAVAILABLE", lambda: RegistryStore(uri))
    assert not os.path.exists("/no/such/folder")  # noqa: PTH110, nothing was made


def test_a_database_that_went_away_is_told(store: Store, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.exceptions import DatabaseUnavailable  # noqa: PLC0415, one test raises it

    def gone(*_: object, **__: object) -> None:
        raise DatabaseUnavailable(uri, "it is gone")

    monkeypatch.setattr("registry.store.Store.require_model", gone)
    refusal("TEMPORARILY_UNAVAILABLE", lambda: store.delete_registered_model("churn"))
