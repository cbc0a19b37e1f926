"""The deployments work with Prefect's own commands, from the repository's root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client

from tests.servers.prefect import deploy

if TYPE_CHECKING:
    from pathlib import Path

FLOWS = {
    "retrain": "flows/train_register_promote.py:train_register_promote",
    "promote": "flows/promote.py:promote",
    "monitor": "flows/monitor.py:monitor",
    "rollback": "flows/rollback.py:rollback",
    "unanswered": "flows/unanswered.py:unanswered",
}


def test_deploying_twice_leaves_each_flow_and_each_trigger_once(prefect_api: str, tmp_path: Path) -> None:
    for _ in range(2):
        deploy(prefect_api, tmp_path)
    with get_client(sync_client=True) as client:
        deployments = client.read_deployments()
        automations = client.request("POST", "/automations/filter", json={}).json()
    assert sorted(deployment.name for deployment in deployments) == sorted(FLOWS)
    assert {deployment.name: deployment.entrypoint for deployment in deployments} == FLOWS
    assert sorted(automation["name"] for automation in automations) == [
        "roll back on an alert",
        "say that an alert went unanswered",
    ]
    form = next(each for each in deployments if each.name == "promote").parameter_openapi_schema
    assert form is not None
    assert set(form["properties"]) == {"version", "holdout", "policy", "alias"}
    assert "such as `churn@7`" in form["properties"]["version"]["description"]
    form = next(each for each in deployments if each.name == "monitor").parameter_openapi_schema
    assert form is not None
    for policy in ("MonitoringPolicy", "RollbackPolicy"):
        fields = form["definitions"][policy]["properties"]
        assert [name for name, field in fields.items() if not field.get("description")] == []
