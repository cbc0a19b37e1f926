"""A registry in which something of every kind happened, on each database; made once, and copied for a test.

Three versions of churn, each promoted on evidence; the last was rolled back, and the first is the fallback.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from shutil import copytree
from typing import TYPE_CHECKING
from uuid import uuid4

from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from registry import Registry
from tests.examples import fit
from tests.three_versions import POLICY, holdout, training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.postgres import PostgresServer

TEMPLATE = "audited"


@contextmanager
def audited_on_sqlite(session: Path, folder: Path) -> Iterator[Registry]:
    """A registry of its own for a test, in *folder*."""
    copytree(_made_on_sqlite(session), folder / "audited")
    with _open(f"sqlite:///{folder}/audited/registry.db", folder / "audited") as registry:
        yield registry


@contextmanager
def audited_on_postgresql(session: Path, folder: Path, server: PostgresServer) -> Iterator[Registry]:
    """A registry of its own for a test, its bytes in *folder*."""
    copytree(_made_on_postgresql(session, server), folder / "audited")
    name = f"test_{uuid4().hex}"
    server.create(name, TEMPLATE)
    try:
        with _open(server.url(name), folder / "audited") as registry:
            yield registry
    finally:
        server.drop(name)


@cache
def _made_on_sqlite(session: Path) -> Path:
    folder = session / "audited-sqlite"
    folder.mkdir()
    _make(f"sqlite:///{folder}/registry.db", folder)
    return folder


@cache
def _made_on_postgresql(session: Path, server: PostgresServer) -> Path:
    folder = session / "audited-postgresql"
    folder.mkdir()
    server.create(TEMPLATE)
    _make(server.url(TEMPLATE), folder)
    return folder


def _make(database: str, folder: Path) -> None:
    with _open(database, folder) as registry:
        for estimator in (DummyClassifier(), DecisionTreeClassifier(max_depth=1), None):
            version = registry.register("churn", fit(training(), estimator), trained_on=training())
            registry.promote(registry.decide(version.reference, holdout(), POLICY))
        registry.assign("churn@1", alias="fallback", reason="the first")
        registry.roll_back("churn", reason="broken")


def _open(database: str, folder: Path) -> Registry:
    return Registry(database, artifacts=f"{folder}/artifacts", actor="ada")
