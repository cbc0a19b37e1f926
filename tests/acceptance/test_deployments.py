"""The deployments work with Prefect's own commands, from the repository's root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import get_client

ROOT = Path(__file__).parents[2]


def _prefect(api: str, home: Path, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603, the command is the tests' own
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": api, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_deploying_twice_leaves_each_flow_deployed_once(prefect_api: str, tmp_path: Path) -> None:
    _prefect(prefect_api, tmp_path, "work-pool", "create", "registry", "--type", "process", "--overwrite")
    for _ in range(2):
        _prefect(prefect_api, tmp_path, "deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
    with get_client(sync_client=True) as client:
        deployments = client.read_deployments()
    assert sorted(deployment.name for deployment in deployments) == ["promote", "retrain", "rollback"]
    entrypoints = {deployment.entrypoint for deployment in deployments}
    assert entrypoints == {
        "flows/train_register_promote.py:train_register_promote",
        "flows/promote.py:promote",
        "flows/rollback.py:rollback",
    }
    form = next(each for each in deployments if each.name == "promote").parameter_openapi_schema
    assert form is not None
    assert set(form["properties"]) == {"version", "holdout", "policy", "alias"}
    assert "such as `churn@7`" in form["properties"]["version"]["description"]
