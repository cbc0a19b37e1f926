"""Check the registry, remove what nobody needs, and let Prefect know if something is wrong."""

from __future__ import annotations

from prefect import flow

from registry.exceptions import RegistryUnsound
from registry.reports import Upkeep
from registry.retention import RetentionPolicy
from registry.tasks.upkeep import Scope, collect_garbage, publish_upkeep, purge_versions, verify_registry


@flow(flow_run_name="maintain the registry")
def maintain(
    retention: RetentionPolicy | None = None,
    scope: Scope = "rows and bytes",
    registry: str | None = None,
) -> Upkeep:
    """Verify, then collect garbage, then give up bytes by a policy; a card says what was found and removed.

    If something is wrong, nothing is removed: what looks like garbage may be what is missing elsewhere.

    Args:
        retention: Which versions keep their bytes; all of them if not given.
        scope: What is verified: the rows alone, or all bytes as well, which may take hours to read.
        registry: Name of a saved Model Registry block; the settings of the process if not given.

    Returns:
        What was checked, and what went.

    Raises:
        RegistryUnsound: Something is wrong.
    """
    upkeep = verify_registry(scope, registry)
    if not upkeep.problems:
        upkeep = collect_garbage(upkeep, registry)
        if retention is not None:
            upkeep = purge_versions(upkeep, retention, registry)
    publish_upkeep(upkeep, registry)
    if upkeep.problems:
        raise RegistryUnsound(len(upkeep.problems), upkeep.problems[0])
    return upkeep
