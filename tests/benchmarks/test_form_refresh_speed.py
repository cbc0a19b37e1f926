"""What a registration waits for until the run form offers its version; the brackets are ratios in one run.

Refreshing a form that has nothing new to offer is one call of the Prefect server, and one more writes it.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import SyncClientContext
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema
from sqlalchemy import insert, text

from registry.store import Origin, Store
from registry.tables import Artifact, DatasetRecord, ModelVersion, RegisteredModel
from registry.tasks.forms import MOST, TAG, VersionChoice, refresh_choices
from tests.integration.conftest import a_dataset, a_version_row, an_artifact, append_row, chained
from tests.servers.prefect import prefect_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry import Registry

FEW, MANY = 50, 10_000
MODELS = 5
ROUNDS = 30
AT = datetime(2026, 1, 1, tzinfo=UTC)


@flow
def ask(version: VersionChoice, registry: str | None = None) -> None:
    """A flow whose run form asks for a version."""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[None]:
    """The client of a run, on a server with a form among other deployments."""
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("the server takes longer to start than all else here")
    with ExitStack() as around:
        around.enter_context(temporary_settings({PREFECT_API_URL: around.enter_context(prefect_server())}))
        with get_client(sync_client=True) as client:
            schema = parameter_schema(ask).model_dump()
            for parameters in ({}, *[{"registry": f"other-{other}"} for other in range(MODELS)]):
                client.create_deployment(
                    client.create_flow(ask),
                    name=uuid4().hex,
                    tags=[TAG],
                    parameters=parameters,
                    parameter_openapi_schema=schema,
                    enforce_parameter_schema=True,
                )
        around.enter_context(SyncClientContext.get_or_create())
        yield


@pytest.fixture
def registry(make_registry: Callable[..., Registry]) -> Registry:
    """A registry with more versions than a form offers."""
    registry = make_registry()
    fill(registry.backend.rows, MOST)
    return registry


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("way", ["one call of the server", "nothing new", "a new version"])
def test_a_form_is_refreshed_by_a_call_or_two(registry: Registry, way: str, benchmark: Any) -> None:
    benchmark.group = "refresh the run form"
    refresh_choices(registry)
    if way == "one call of the server":
        benchmark.pedantic(call, rounds=ROUNDS)
    elif way == "nothing new":
        benchmark.pedantic(refresh_choices, args=(registry,), rounds=ROUNDS)
    else:
        numbers = count(MOST // MODELS + 1)
        benchmark.pedantic(
            refresh_choices, args=(registry,), setup=lambda: register(registry, next(numbers)), rounds=ROUNDS
        )


def call() -> None:
    with get_client(sync_client=True) as client:
        client.request("POST", "/deployments/filter", json={"deployments": {"tags": {"all_": [TAG]}}})


def register(registry: Registry, number: int) -> None:
    row = a_version_row(model="model-0") | {"registered_at": AT + timedelta(days=number)}
    version = ModelVersion.model_validate(row)
    assert append_row(registry.backend.rows, version).number == number


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty database of each kind; PostgreSQL here does not wait for the disk."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/registry.db"
    else:
        url = request.getfixturevalue("make_postgres_database")()
    opened = Store.open(url, Origin(actor="the benchmark"))
    yield opened
    opened.close()


@pytest.mark.parametrize("versions", [FEW, MANY])
def test_the_newest_versions_are_found_among_many(store: Store, versions: int, benchmark: Any) -> None:
    benchmark.group = f"the newest versions, {store.engine.dialect.name}"
    fill(store, versions)
    newest = benchmark(store.newest_versions, FEW)
    latest = versions // MODELS
    assert newest[: MODELS + 1] == [
        *(f"model-{m}@{latest}" for m in reversed(range(MODELS))),
        f"model-4@{latest - 1}",
    ]
    assert len(newest) == FEW


def fill(store: Store, versions: int) -> None:
    """So many versions of some models, which took turns."""
    latest = versions // MODELS
    models = [{"name": f"model-{model}", "last_version": latest, "created_at": AT} for model in range(MODELS)]
    rows = [
        a_version_row(model=f"model-{model}")
        | {"number": number, "registered_at": AT + timedelta(hours=number, minutes=model)}
        for number in range(1, latest + 1)
        for model in range(MODELS)
    ]
    with store.engine.begin() as connection:
        connection.execute(insert(DatasetRecord), [a_dataset().model_dump()])
        connection.execute(insert(RegisteredModel), models)
        connection.execute(insert(Artifact), [an_artifact()])
        connection.execute(insert(ModelVersion), list(chained(rows)))
    with store.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
