"""What is installed without a checkout: the wheel has the flows, the file of deployments, and finds both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[..., Any]

ROOT = Path(__file__).parents[2]
MODULES = {
    "retrain": "registry.flows.train_register_promote.train_register_promote",
    "promote": "registry.flows.promote.promote",
    "monitor": "registry.flows.monitor.monitor",
    "backtest": "registry.flows.backtest.backtest",
    "rollback": "registry.flows.rollback.rollback",
    "maintain": "registry.flows.maintain.maintain",
    "unanswered": "registry.flows.unanswered.unanswered",
}
PLAN = """
from registry.deployments import read_plan
plan = read_plan()
answer = {
    "file": str(plan.file),
    "entrypoints": {each.spec.name: each.entrypoint for each in plan.deployments},
    "modules": {each.spec.name: each.flow.fn.__module__ for each in plan.deployments},
    "trainers": [each.spec.parameters.get("trainer") for each in plan.deployments[:1]],
}
"""
DEMO = """
from importlib import import_module
from registry.deployments import flows_package
year = import_module(f"{flows_package()}.demo")
answer = {
    "from": [year.__name__, year.monitor.fn.__module__, year.Feeds.__module__, year.train.__module__],
    "trainer": f"{year.train.__module__}:{year.train.__name__}",
}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(  # noqa: S603, the command is the tests' own
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def ask(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Run code where the wheel is installed, in a folder that has a ``flows`` package of its own."""
    installed, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("foreign")
    with ZipFile(wheel) as archive:
        archive.extractall(installed)
    (folder / "flows").mkdir()
    for name in ("__init__", "promote", "demo"):
        (folder / "flows" / f"{name}.py").write_text("raise RuntimeError('this is not the library')\n")

    def run(code: str) -> Any:
        done = subprocess.run(  # noqa: S603, the code is this file's
            [sys.executable, "-c", f"{code}\nimport json; print(json.dumps(answer))"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(installed), "PREFECT_HOME": str(folder / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1].replace(str(installed), "SITE"))

    return run


def test_the_wheel_has_no_package_of_a_name_that_others_use(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"registry"}
    assert "registry/deployments/prefect.yaml" in names
    assert {f"registry/flows/{Path(file).name}" for file in (ROOT / "flows").glob("*.py")} <= set(names)


@pytest.mark.long
def test_every_deployment_loads_where_only_the_wheel_is(ask: Ask) -> None:
    plan = ask(PLAN)
    assert plan["file"] == "SITE/registry/deployments/prefect.yaml"
    assert plan["entrypoints"] == MODULES
    assert plan["modules"] == {name: module.rpartition(".")[0] for name, module in MODULES.items()}
    assert plan["trainers"] == ["registry.flows.flights:train"]


@pytest.mark.long
def test_the_demo_plays_with_the_flows_of_the_wheel(ask: Ask) -> None:
    demo = ask(DEMO)
    assert demo["from"] == [f"registry.flows.{name}" for name in ("demo", "monitor", "feeds", "flights")]
    assert demo["trainer"] == "registry.flows.flights:train"
