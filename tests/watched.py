"""A champion that is watched: what it is shown, by which policy, and what the Prefect server hears of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from registry import MonitoringPolicy, RollbackPolicy
from registry.tasks import events
from tests.examples import make_dataset
from tests.three_versions import POLICY, holdout, three_versions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd
    import pytest

    from registry import Registry

STRICT = MonitoringPolicy(detector="threshold", confirm="never", rollback=RollbackPolicy(served=0))
"""The first bad batch is enough, and so is a predecessor that never served."""


@contextmanager
def promoted(
    factory: pytest.TempPathFactory, folder: Path, setting: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """A registry in which ``churn@3`` is in force after 1 and 2; it is the one of the settings meanwhile."""
    with three_versions(factory, folder) as registry:
        for number in (1, 2, 3):
            assert registry.promote(registry.decide(f"churn@{number}", holdout(), POLICY)).moved
        setting.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{folder}/registry/registry.db")
        setting.setenv("MODEL_REGISTRY_ARTIFACTS", f"{folder}/registry/artifacts")
        setting.setenv("MODEL_REGISTRY_ACTOR", "the tests")
        yield registry


@cache
def sound() -> pd.DataFrame:
    """Live rows that are as the holdout was."""
    return make_dataset(rows=300, seed=7, origin=[row // 2 % 3 for row in range(300)]).frame


@cache
def fallen() -> pd.DataFrame:
    """Live rows of which every label is the other one."""
    return sound().assign(late=1 - sound()["late"])


def now() -> datetime:
    return datetime.now(UTC)


def heard(
    api: str, since: datetime, name: str, *, model: str = "churn", least: int = 0
) -> list[dict[str, Any]]:
    """The events of this *name* about a model since then that the server accepted, oldest first.

    An event that is sent by this function is the last: when it has come, all others that were sent have. Of
    those that a process emits in the background the *least* number is waited for.
    """
    last = events.event("tests.asked", model, None, identity=[uuid4().hex], payload={})
    events.send(last)
    about = {"resource": {"id": [f"model-registry.model.{model}"]}, "occurred": {"since": since.isoformat()}}
    deadline = time.monotonic() + 20
    while True:
        answer = httpx.post(f"{api}/events/filter", json={"filter": {**about, "order": "ASC"}, "limit": 50})
        found = answer.raise_for_status().json()["events"]
        named = [each for each in found if each["event"] == name]
        if str(last.id) in {each["id"] for each in found} and len(named) >= least:
            return named
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
