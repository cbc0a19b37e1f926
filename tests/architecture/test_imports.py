"""Imports point one way, and nobody pays for libraries that a step does not need."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import registry
from registry import Registry
from registry.monitoring_policy import MonitoringPolicy, RollbackPolicy
from registry.suspicion import Contrast, Reading
from tests.three_versions import three_versions

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
HEAVY = {"prefect", "sklearn", "pandas", "boto3", "numpy", "scipy", "matplotlib", "alembic", "skops", "rich"}
OF_ESTIMATORS = {"sklearn", "pandas", "numpy", "scipy", "matplotlib", "skops", "pyarrow", "boto3", "alembic"}
ANSWER = """
from registry.monitoring_policy import RollbackPolicy
from registry.rollback import Alert
alert = Alert(model="churn", reason="it fell", key="17", version=3)
entry = registry.answer(alert, RollbackPolicy(served=0))
assert entry.evidence["proof"] == "answered beside the champion"
"""


def _run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603, the code is this file's
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_contracts_are_kept() -> None:
    done = _run(LINT, ROOT)
    assert done.returncode == 0, done.stdout


def test_a_wrong_import_breaks_its_contract(tmp_path: Path) -> None:
    wrong = {
        "registry/tables.py": "import registry.store",
        "registry/promotion.py": "from prefect import task",
        "registry/facade.py": "import flows.promote",
    }
    for package in ("registry", "flows"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, line in wrong.items():
        with (tmp_path / module).open("a") as file:
            file.write(f"\n{line}\n")
    done = _run(LINT, tmp_path)
    assert done.returncode == 1
    assert "Contracts: 0 kept, 3 broken." in done.stdout
    for importer, imported in (
        ("registry.tables", "registry.store"),
        ("registry.promotion", "prefect"),
        ("registry.facade", "flows.promote"),
    ):
        assert f"{importer} -> {imported}" in done.stdout


def test_a_module_without_a_place_breaks_the_contract(tmp_path: Path) -> None:
    for package in ("registry", "flows"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "registry" / "helpers.py").write_text('"""Without a place."""\n')
    done = _run(LINT, tmp_path)
    assert done.returncode == 1
    assert "helpers" in done.stdout


def test_the_door_loads_no_heavy_library(tmp_path: Path) -> None:
    names = "Registry, PromotionPolicy, Better, Floor, NotWorse, RegistryError"
    assert HEAVY.isdisjoint(_loaded_by(f"from registry import {names}", tmp_path))


def test_what_only_reads_loads_no_heavy_library(tmp_path: Path) -> None:
    models = "from registry import Registry; Registry('sqlite:///used.db').models()"
    _loaded_by(models, tmp_path)  # makes the database, for which it needs Alembic
    assert HEAVY.isdisjoint(_loaded_by(models, tmp_path))


def test_a_service_that_holds_a_champion_does_not_load_prefect(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    with three_versions(tmp_path_factory, tmp_path) as registry:
        registry.assign("churn@1", reason="the first")
        held = "from registry import Champion; Champion('churn', registry=registry).refresh()"
        assert "prefect" not in _loaded_by(f"{_opened(registry)}\n{held}", tmp_path)


def test_loading_a_version_loads_little_beyond_its_own_library_and_the_databases(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    with three_versions(tmp_path_factory, tmp_path) as registry:
        loads = _loaded_by(f"{_opened(registry)}\nregistry.load('churn@3')", tmp_path)
    own = _loaded_by("import skops.io, sklearn.linear_model, sqlmodel, sqlite3, pydantic_settings", tmp_path)
    assert {"sklearn", "skops", "sqlmodel"} <= set(loads)
    assert set(loads) - set(own) - sys.stdlib_module_names <= {"registry"}


def test_the_flow_that_rolls_back_loads_no_library_of_an_estimator(tmp_path: Path) -> None:
    assert OF_ESTIMATORS.isdisjoint(_loaded_by("import flows.rollback", tmp_path))


def test_an_alert_waits_for_no_library_where_the_target_answered_lately(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    with three_versions(tmp_path_factory, tmp_path) as registry:
        for number in (1, 2, 3):
            registry.assign(f"churn@{number}", reason=f"version {number}")
        now = registry.backend.rows.clock()
        readings = [
            Reading(batch="the fall", value=0.1, rows=500, at=now),
            Reading(
                batch="after it",
                value=0.1,
                rows=500,
                at=now,
                contrast=Contrast(target=2, champion_only=0, target_only=90),
            ),
        ]
        policy = MonitoringPolicy(rollback=RollbackPolicy(served=0))
        registry.observe_many("churn@champion", metric="accuracy", readings=readings, policy=policy)
        assert HEAVY.isdisjoint(_loaded_by(f"{_opened(registry)}\n{ANSWER}", tmp_path))
        assert registry.aliases("churn") == {"champion": 2}


def test_recording_an_accuracy_loads_no_heavy_library(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    with three_versions(tmp_path_factory, tmp_path) as registry:
        registry.assign("churn@3", reason="start")
        for batch in ("first", "second"):
            observe = (
                f"registry.observe('churn@champion', metric='accuracy', value=0.8, rows=9, batch='{batch}')"
            )
            assert HEAVY.isdisjoint(_loaded_by(f"{_opened(registry)}\n{observe}", tmp_path))
        assert len(registry.observations("churn", metric="accuracy")) == 2


def _opened(registry: Registry) -> str:
    database, artifacts = registry.backend.rows.name, registry.backend.artifacts.location
    return f"from registry import Registry; registry = Registry({database!r}, artifacts={artifacts!r})"


def _loaded_by(code: str, folder: Path) -> list[str]:
    """The top-level packages that are loaded after running *code*."""
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    done = _run(f"{path}\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_public_names_are_those_that_the_package_lists() -> None:
    assert sorted(registry._HOMES) == registry.__all__
    for name in registry.__all__:
        assert getattr(registry, name).__name__ == name
