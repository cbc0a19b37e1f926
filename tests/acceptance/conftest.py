"""Flows on a Prefect server that the tests start, with a registry of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from registry import Registry
from tests.servers.browser import Person, person_at
from tests.servers.prefect import make_database, prefect_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator


@pytest.fixture(scope="session")
def empty_prefect_home(make_once: Callable[..., Path]) -> Path:
    """What a Prefect server's home is before its first start, with the tables made; for copying."""
    return make_once("prefect-home", make_database)


@pytest.fixture(scope="session", autouse=True)
def prefect_api(tmp_path_factory: pytest.TempPathFactory, empty_prefect_home: Path) -> Iterator[str]:
    """The URL of a Prefect server, which the flows of the whole session use."""
    with prefect_server(like=empty_prefect_home) as url:
        settings = {
            PREFECT_API_URL: url,
            PREFECT_HOME: tmp_path_factory.mktemp("prefect"),
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # it adds a second to each flow run
            PREFECT_LOGGING_TO_API_ENABLED: False,
        }
        with temporary_settings(settings):
            yield url


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry that the flows find in the settings."""
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("MODEL_REGISTRY_ACTOR", "the tests")
    return Registry()


@pytest.fixture(scope="module")  # a page that nobody looks at is drawn all the same
def person(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """Somebody before the Prefect UI, whose pictures are kept where ``SCREENSHOTS`` says."""
    kept = os.environ.get("SCREENSHOTS")
    pictures = Path(kept).resolve() if kept else tmp_path_factory.mktemp("screenshots")
    with person_at(prefect_api.removesuffix("/api"), pictures) as somebody:
        yield somebody


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed before the UI says what was on the screen."""
    report = yield
    somebody = getattr(item, "funcargs", {}).get("person")
    if call.when == "call" and report.failed and isinstance(somebody, Person):
        report.sections.append(("what was on the screen", somebody.testifies(f"failed-{item.name}")))
    return report
