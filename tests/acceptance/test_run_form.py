"""The run form of a deployment offers the versions that exist, and the Prefect server holds runs to it."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.utilities.callables import parameter_schema

from flows.promote import promote
from registry.store import Store
from registry.tasks import forms, register_version
from registry.tasks.forms import TAG, refresh_choices
from tests.examples import fit, make_dataset
from tests.servers.process import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from registry import Registry
    from registry.tables import ModelVersion

    Deployed = Callable[..., UUID]

SEEDS = count()
NOT_OFFERED = "a run form does not offer the newest versions"


@flow
def learn(model: str) -> str:
    rows = make_dataset(seed=next(SEEDS))
    return register_version(model, fit(rows), rows).reference


@pytest.fixture
def deployed(prefect_api: str) -> Iterator[Deployed]:
    """Each call deploys the flow promote under a name that nobody foresaw, until the end of the test."""
    assert prefect_api
    with get_client(sync_client=True) as client:
        made: list[UUID] = []

        def make(tags: tuple[str, ...] = (TAG,), **parameters: Any) -> UUID:
            deployment = client.create_deployment(
                client.create_flow(promote),
                name=f"{len(made)} {uuid4().hex}",  # in which order the server lists them
                tags=[*tags],
                parameters=parameters,
                parameter_openapi_schema=parameter_schema(promote).model_dump(),
                enforce_parameter_schema=True,
            )
            made.append(deployment)
            return deployment

        yield make
        for deployment in made:
            with suppress(ObjectNotFound):
                client.delete_deployment(deployment)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the Prefect server is asked for during the test, as ``POST /path``."""
    asked: list[str] = []
    request = SyncPrefectClient.request

    def listen(client: SyncPrefectClient, method: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(f"{method} {path}")
        return request(client, method, path, *args, **kwargs)

    monkeypatch.setattr(SyncPrefectClient, "request", listen)
    return asked


def register(registry: Registry, model: str = "churn") -> ModelVersion:
    rows = make_dataset(seed=next(SEEDS))
    return registry.register(model, fit(rows), trained_on=rows)


def form_of(deployment: UUID) -> dict[str, Any]:
    with get_client(sync_client=True) as client:
        form = client.read_deployment(deployment).parameter_openapi_schema
    assert form is not None
    return form


def offered(deployment: UUID) -> list[str] | None:
    ways = form_of(deployment)["properties"]["version"].get("anyOf", [{}])
    found: list[str] | None = ways[0].get("enum")
    return found


def ask_for(deployment: UUID, version: str, **parameters: Any) -> dict[str, Any]:
    """What a run that somebody asks the server for is started with."""
    policy = {"checks": [{"check": "better", "metric": "roc_auc"}]}
    given = {"version": version, "holdout": "rows.parquet", "reason": "it is time", "policy": policy}
    with get_client(sync_client=True) as client:
        started: dict[str, Any] = client.create_flow_run_from_deployment(
            deployment, parameters=given | parameters
        ).parameters
    return started


def test_a_deployment_of_any_name_offers_what_was_registered_newest_first(
    registry: Registry, deployed: Deployed
) -> None:
    deployment = deployed()
    declared = form_of(deployment)
    refresh_choices(registry)
    (typed,) = form_of(deployment)["properties"]["version"]["anyOf"]
    assert typed["description"].startswith("No version is registered yet")
    for model in ("churn", "late", "churn"):
        newest = learn(model)
        assert (offered(deployment) or [""])[0] == newest
    assert offered(deployment) == ["churn@2", "late@1", "churn@1"]
    form = form_of(deployment)
    del form["properties"]["version"]["anyOf"]
    assert form == declared


def test_the_server_takes_any_reference_and_refuses_what_is_none(
    registry: Registry, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MOST", 1)
    for _ in range(2):
        register(registry)
    deployment = deployed()
    refresh_choices(registry)
    assert offered(deployment) == ["churn@2"]
    for version in ("churn@2", "churn@1", "churn@champion", "churn@latest"):
        assert ask_for(deployment, version)["version"] == version
    for wrong, complaint in {
        "churn 1": "field 'version'. Failure reason: 'churn 1' does not match",
        "churn": "field 'version'. Failure reason: 'churn' does not match",
    }.items():
        with pytest.raises(PrefectHTTPStatusError) as refused:
            ask_for(deployment, wrong)
        assert refused.value.response.status_code == 409
        assert complaint in refused.value.response.json()["detail"]
    with pytest.raises(PrefectHTTPStatusError, match="field 'alias'"):
        ask_for(deployment, "churn@2", alias="The Champion")
    with pytest.raises(PrefectHTTPStatusError, match="field 'reason'"):
        ask_for(deployment, "churn@2", reason=" ")


def test_a_form_offers_the_versions_of_the_registry_that_its_runs_open(
    registry: Registry, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "_PAGE", 1)
    register(registry)
    ours, theirs, unnamed = deployed(), deployed(registry="theirs"), deployed(registry="")
    untagged = deployed(tags=())
    refresh_choices(registry)
    assert [offered(each) for each in (ours, theirs, unnamed, untagged)] == [
        ["churn@1"],
        None,
        ["churn@1"],
        None,
    ]
    refresh_choices(registry, "theirs")
    assert offered(theirs) == ["churn@1"]


def test_a_refresh_asks_the_server_once_and_writes_what_changed(
    registry: Registry, deployed: Deployed, calls: list[str]
) -> None:
    block = uuid4().hex  # other tests leave deployments behind that work on the settings' registry
    deployed(registry=block)
    register(registry)
    calls.clear()
    refresh_choices(registry, block)
    assert calls == ["POST /deployments/filter", "PATCH /deployments/{id}"]
    calls.clear()
    refresh_choices(registry, block)
    assert calls == ["POST /deployments/filter"]


def test_of_two_registrations_at_once_neither_is_missing_from_the_form(
    registry: Registry, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deployed()
    register(registry)
    read = Store.newest_versions
    quicker: list[str] = []

    def overtaken(store: Store, most: int) -> list[str]:
        found = read(store, most)
        if not quicker:
            quicker.append("churn@2")
            assert register(registry).reference == "churn@2"
            refresh_choices(registry)
            assert offered(deployment) == ["churn@2", "churn@1"]
        return found

    monkeypatch.setattr(Store, "newest_versions", overtaken)
    refresh_choices(registry)
    assert offered(deployment) == ["churn@2", "churn@1"]


@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_is_away_or_does_not_answer_costs_a_warning_and_the_next_time_mends_it(
    registry: Registry,
    deployed: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    answers: bool,
) -> None:
    monkeypatch.setattr(forms, "PATIENCE", 0.2)
    deployment = deployed()
    (port,) = free_ports(1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", port))
        if answers:
            silent.listen()  # connections are accepted, and nothing is said
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
            register(registry)
            started = time.monotonic()
            refresh_choices(registry)
    assert time.monotonic() - started < 20  # a run's own calls would wait for minutes
    assert [record.getMessage().partition(" until")[0] for record in caplog.records] == [NOT_OFFERED]
    assert registry.resolve("churn@latest").number == 1
    assert offered(deployment) is None
    refresh_choices(registry)
    assert offered(deployment) == ["churn@1"]


def test_a_deployment_that_is_deleted_meanwhile_is_no_harm_to_another(
    registry: Registry,
    deployed: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone, staying, staying_too = deployed(), deployed(), deployed()
    register(registry)
    read = Store.newest_versions

    def late(store: Store, most: int) -> list[str]:
        with get_client(sync_client=True) as client:
            client.request("DELETE", "/deployments/{id}", path_params={"id": gone})
        monkeypatch.setattr(Store, "newest_versions", read)
        return read(store, most)

    monkeypatch.setattr(Store, "newest_versions", late)
    refresh_choices(registry)
    assert [offered(each) for each in (staying, staying_too)] == [["churn@1"]] * 2
    (warning,) = caplog.records
    assert warning.getMessage().startswith(NOT_OFFERED)
    assert "404" in warning.getMessage()


def test_without_a_configured_server_none_is_started(registry: Registry, tmp_path: Path) -> None:
    register(registry)
    with temporary_settings({PREFECT_HOME: tmp_path / "prefect"}, restore_defaults={PREFECT_API_URL}):
        refresh_choices(registry)
    assert not (tmp_path / "prefect").exists()
