"""A registry that was saved in Prefect is opened by its name, and its secret stays one."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentCreate
from prefect.runtime import task_run as running
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_ENABLED, temporary_settings

from registry.blocks import ModelRegistry
from registry.exceptions import (
    BlockNotFound,
    BlockUnavailable,
    DatabaseUnavailable,
    InvalidBlock,
    InvalidName,
)
from registry.tables import LedgerEntry
from registry.tasks import open_registry
from registry.tasks.runs import PATIENT
from tests.servers.prefect import prefect, prefect_server
from tests.servers.process import free_ports
from tests.three_versions import three_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry import Registry

SECRET = "correct-horse"  # noqa: S105, it guards nothing
AT_ONCE = PATIENT | {"retry_delay_seconds": 0}


@pytest.fixture
def team(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """A registry with a model, which was saved as the block "team"; the settings lead nowhere."""
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", "nowhere")
    with three_versions(tmp_path_factory, tmp_path) as registry:
        ModelRegistry(
            database=registry.backend.rows.name,
            artifacts=registry.backend.artifacts.location,
            actor="the team",
        ).save("team", overwrite=True)
        yield registry


@pytest.fixture
def save() -> Callable[[str, dict[str, Any]], None]:
    """Save whatever values as a block, which the server does not check."""

    def saved(name: str, values: dict[str, Any]) -> None:
        ModelRegistry.register_type_and_schema()
        document = BlockDocumentCreate(
            name=name,
            data=values,
            block_type_id=ModelRegistry._block_type_id,
            block_schema_id=ModelRegistry._block_schema_id,
        )
        with get_client(sync_client=True) as client:
            client.create_block_document(document)

    return saved


@task(**AT_ONCE)
def assign(registry: str, reference: str) -> tuple[LedgerEntry, str, str]:
    with open_registry(registry) as opened:
        entry = opened.assign(reference, reason="the team wants it")
        return entry, opened.backend.rows.origin.task_run_id or "none", running.id


@flow
def put_in_force(registry: str, reference: str) -> tuple[LedgerEntry, str, str]:
    return assign(registry, reference)


def test_a_server_offers_the_block_when_it_starts_and_again_when_it_is_told_to(
    tmp_path: Path, empty_prefect_home: Path
) -> None:
    with prefect_server(like=empty_prefect_home) as api:
        offered = f"{api}/block_types/slug/model-registry"
        kind = httpx.get(offered).raise_for_status().json()
        assert kind["name"] == "Model Registry"
        httpx.delete(f"{api}/block_types/{kind['id']}").raise_for_status()
        prefect(api, "block", "register", "--module", "registry.blocks", PREFECT_HOME=str(tmp_path))
        assert httpx.get(offered).is_success


def test_what_is_written_through_a_block_names_its_actor_and_the_run(team: Registry) -> None:
    state = put_in_force("team", "churn@2", return_state=True)
    entry, task_run_named, task_run = state.result()
    assert team.history("churn") == [entry]
    assert (entry.actor, entry.flow_run_id) == ("the team", str(state.state_details.flow_run_id))
    assert task_run_named == task_run


def test_without_a_name_the_settings_are_opened(registry: Registry) -> None:
    for nothing in (None, ""):
        with open_registry(nothing) as opened:
            assert opened.backend.rows.name == registry.backend.rows.name


def test_a_block_is_opened_where_an_event_loop_runs(team: Registry) -> None:
    async def look() -> list[str]:
        with open_registry("team") as opened:
            return [model.name for model in opened.models()]

    assert asyncio.run(look()) == [model.name for model in team.models()]


def test_a_password_stays_where_it_was_put(
    prefect_api: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    [port] = free_ports(1)
    ModelRegistry(
        database=f"postgresql://ada:{SECRET}@127.0.0.1:{port}/registry",
        artifacts=str(tmp_path),
    ).save("secretive", overwrite=True)
    state = put_in_force("secretive", "churn@1", return_state=True)
    with pytest.raises(DatabaseUnavailable, match=rf"ada:\*\*\*@127.0.0.1:{port}"):
        state.result()
    said = caplog.text + "".join(capfd.readouterr())
    assert "DatabaseUnavailable" in said
    assert SECRET not in said
    for path, wanted in {
        "block_documents/filter": {"block_types": {"slug": {"any_": ["model-registry"]}}},
        "flow_runs/filter": {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}},
        "task_runs/filter": {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}},
    }.items():
        answer = httpx.post(f"{prefect_api}/{path}", json=wanted).raise_for_status()
        assert answer.json()
        assert SECRET not in answer.text
    named = f"{prefect_api}/block_types/slug/model-registry/block_documents/name/secretive"
    assert httpx.get(named).raise_for_status().json()["data"]["database"] == "********"


def test_a_block_that_nobody_saved_is_named_with_what_to_do() -> None:
    with pytest.raises(BlockNotFound, match=r"'model-registry/nobodys': `prefect block ls`"):
        open_registry("nobodys")


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("name", ["Team", "../team", "team?x=1", "team#1", "model-registry/team", "team\n"])
def test_a_name_that_no_block_can_have_opens_none(name: str) -> None:
    with pytest.raises(InvalidName, match="lowercase letters, digits and dashes"):
        open_registry(name)


def test_a_block_that_holds_something_else_is_refused_without_its_values(
    save: Callable[[str, dict[str, Any]], None],
) -> None:
    name = f"b{uuid4().hex}"
    save(name, {"database": "battery", "credentials": "staple"})
    with pytest.raises(InvalidBlock) as refused:
        open_registry(name)
    assert str(refused.value).startswith(f"block 'model-registry/{name}' can't be used: artifacts: ")
    assert "; credentials: " in str(refused.value)
    assert "battery" not in str(refused.value)
    assert "staple" not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("database", ["nonsense", "mysql://ada@host/registry", "sqlite://"])
def test_a_wrong_database_is_refused_as_that_of_the_settings_is(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ModelRegistry(database=database, artifacts=str(tmp_path)).save("wrong", overwrite=True)
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", database)
    with pytest.raises(DatabaseUnavailable) as by_settings:
        open_registry()
    with pytest.raises(DatabaseUnavailable) as by_block:
        open_registry("wrong")
    assert str(by_block.value) == str(by_settings.value)


def test_a_server_that_is_away_is_asked_again(team: Registry) -> None:
    [port] = free_ports(1)
    away = f"http://127.0.0.1:{port}/api"
    with temporary_settings({PREFECT_API_URL: away}), pytest.raises(BlockUnavailable) as refusal:
        open_registry("team")
    assert (refusal.value.block, refusal.value.server) == ("model-registry/team", away)
    refusals = [refusal.value]

    @task(**AT_ONCE)
    def look() -> list[str]:
        if refusals:
            raise refusals.pop()
        with open_registry("team") as opened:
            return [model.name for model in opened.models()]

    assert look() == [model.name for model in team.models()]


class Locked(BaseHTTPRequestHandler):
    """A server that lets nobody in."""

    def do_GET(self) -> None:
        self.send_error(HTTPStatus.UNAUTHORIZED)

    def log_message(self, *_said: object) -> None:
        pass


def test_a_server_that_refuses_is_quoted() -> None:
    with HTTPServer(("127.0.0.1", 0), Locked) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.handle_request)
        here = f"http://127.0.0.1:{server.server_port}/api"
        with temporary_settings({PREFECT_API_URL: here}), pytest.raises(BlockUnavailable) as refusal:
            open_registry("team")
    assert str(refusal.value) == f"{here} did not give block 'model-registry/team': 401 Unauthorized"


def test_without_any_server_the_refusal_says_so() -> None:
    with (
        temporary_settings({PREFECT_API_URL: None, PREFECT_SERVER_EPHEMERAL_ENABLED: False}),
        pytest.raises(BlockUnavailable, match=r"the embedded Prefect server did not give .*PREFECT_API_URL"),
    ):
        open_registry("team")
