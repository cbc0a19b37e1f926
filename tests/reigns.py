"""Three versions of churn that were put in force one after the other, and what befalls them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.three_versions import three_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from registry import Registry

CLOSED = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
}
"""Settings of boto3 that lead to a port where nobody listens."""


@contextmanager
def three_reigns(factory: pytest.TempPathFactory, folder: Path) -> Iterator[Registry]:
    """A registry of its own for a test, in which version 3 is in force after 2 and 1."""
    with three_versions(factory, folder) as registry:
        for number in (1, 2, 3):
            registry.assign(f"churn@{number}", reason=f"version {number}")
        yield registry


def in_force(registry: Registry) -> int | None:
    return registry.aliases("churn").get("champion")


def falls(registry: Registry) -> list[tuple[int | None, int | None]]:
    """From which version to which, each time."""
    entries = registry.history("churn")
    return [(entry.replaced, entry.in_force) for entry in entries if entry.kind == "rolled-back"]


def bytes_of(registry: Registry, number: int) -> Path:
    return Path(registry.backend.artifacts.location, "sha256", registry.resolve(f"churn@{number}").artifact)


def lose(registry: Registry) -> None:
    """Version 2 has no bytes any more."""
    bytes_of(registry, 2).unlink()


def corrupt(registry: Registry) -> None:
    """The last byte of version 2 is another one."""
    path = bytes_of(registry, 2)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
