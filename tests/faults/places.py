"""Where a registry is, what is written there again and again, and how one tells that nothing is amiss."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.dummy import DummyClassifier
from sqlmodel import Session, select

from registry import Registry
from registry.tables import Artifact, Registration
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import ForkServerContext

    from registry import Dataset, ModelVersion

MODEL = "churn"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """Where a registry is.

    Attributes:
        database: The database's URL.
        artifacts: A folder, or a bucket.
        environment: The variables that lead to the bucket.
    """

    database: str
    artifacts: str
    environment: tuple[tuple[str, str], ...] = ()

    @contextmanager
    def open(self) -> Iterator[Registry]:
        """A registry whose leases are over at once, so that a collection need not wait for a day."""
        os.environ.update(self.environment)
        with Registry(self.database, artifacts=self.artifacts, actor="ada") as registry:
            rows = replace(registry.backend.rows, lease_time=timedelta(0))
            yield Registry.of(replace(registry.backend, rows=rows))


@cache
def training() -> Dataset:
    """What every version is trained on."""
    return make_dataset()


def fitted(number: int) -> Any:
    """An estimator that is another than that of each other *number*."""
    return fit(training(), DummyClassifier(random_state=number))


def register(registry: Registry, number: int) -> ModelVersion:
    """The version that the request of this *number* is answered by."""
    return registry.register(MODEL, fitted(number), trained_on=training(), key=key_of(number))


def key_of(number: int) -> str:
    return f"request {number}"


def processes() -> ForkServerContext:
    """Processes that begin with all libraries loaded, and may be killed."""
    os.environ["PYTHONPATH"] = str(ROOT)  # the process that others are forked from has to find its modules
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.warm", "registry.artifacts.s3", "psycopg"])
    return context


def assert_whole(registry: Registry) -> None:
    """Nothing that ``verify`` looks at is amiss, and versions are numbered without a gap."""
    assert [finding for finding in registry.verify() if finding.problem] == []
    for model in registry.models():
        numbers = [version.number for version in registry.versions(model.name)]
        assert numbers == list(range(1, model.last_version + 1))


def assert_answered(registry: Registry, acknowledged: dict[int, int], requests: set[int]) -> None:
    """Each of the *requests* was answered exactly once, and those that got an answer by that very one."""
    with Session(registry.backend.rows.engine) as session:
        answers = {row.key: row.number for row in session.exec(select(Registration))}
    assert answers.keys() == {key_of(number) for number in requests}
    assert sorted(answers.values()) == list(range(1, len(requests) + 1))
    assert {key_of(number): answer for number, answer in acknowledged.items()}.items() <= answers.items()


def assert_tidy(registry: Registry) -> None:
    """After a collection there are the bytes that rows refer to, and no others."""
    registry.collect_garbage()
    stored = Counter(artifact.digest for artifact in registry.backend.artifacts.stored())
    with Session(registry.backend.rows.engine) as session:
        known = set(session.exec(select(Artifact.digest)).all())
    assert stored == Counter(dict.fromkeys(known, 1))
    assert known == set(registry.backend.rows.artifacts())
    assert_whole(registry)


def count_of(registry: Registry, *models: Any) -> list[int]:
    """How many rows each of the tables has."""
    with Session(registry.backend.rows.engine) as session:
        return [len(session.exec(select(model)).all()) for model in models]
