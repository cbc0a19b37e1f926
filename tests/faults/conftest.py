"""Places for registries that something happens to, and processes to which it happens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.seaweedfs import SeaweedFSServer

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("long"):
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def sqlite_and_folder(tmp_path: Path) -> Place:
    """What a laptop has."""
    return Place(f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))


@pytest.fixture
def postgresql_and_folder(tmp_path: Path, make_postgres_registry: Callable[[], str]) -> Place:
    """What a machine with many users has."""
    return Place(make_postgres_registry(), str(tmp_path / "artifacts"))


@pytest.fixture
def postgresql_and_s3(
    make_postgres_registry: Callable[[], str],
    make_bucket: Callable[[], str],
    seaweedfs_server: SeaweedFSServer,
) -> Place:
    """What a team has."""
    bucket = make_bucket()
    return Place(make_postgres_registry(), f"s3://{bucket}", tuple(seaweedfs_server.environment.items()))


@pytest.fixture(params=["sqlite_and_folder", "postgresql_and_s3"])
def place(request: pytest.FixtureRequest) -> Place:
    """An empty place, of each of two kinds in turn."""
    found: Place = request.getfixturevalue(request.param)
    return found
