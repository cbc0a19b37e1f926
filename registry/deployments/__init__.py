"""The flows on a Prefect server: what is to be there, how it gets there, and one process that runs it all."""

from __future__ import annotations

from registry.deployments.plan import Plan, Planned, read_plan
from registry.deployments.servers import configured_server, connected, differing_version
from registry.deployments.serving import page_of, run_forever, serving
from registry.deployments.shipped import flows_package, prefect_file
from registry.deployments.upsert import POOL, Change, idle_pools, put, put_for_serving

__all__ = [
    "POOL",
    "Change",
    "Plan",
    "Planned",
    "configured_server",
    "connected",
    "differing_version",
    "flows_package",
    "idle_pools",
    "page_of",
    "prefect_file",
    "put",
    "put_for_serving",
    "read_plan",
    "run_forever",
    "serving",
]
