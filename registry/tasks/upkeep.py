"""Keep the registry sound and small: check it, remove what nobody needs, and tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from uuid import NAMESPACE_URL, uuid5

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.runtime import task_run

from registry.audit.verification import verify, verify_rows
from registry.reports.upkeep import Upkeep, upkeep_card
from registry.retention import RetentionPolicy
from registry.tasks import events
from registry.tasks.runs import PATIENT, open_registry

if TYPE_CHECKING:
    from registry.facade import Registry

Scope = Literal["rows", "rows and bytes"]

CARD = "registry-upkeep"
"""The key of the card."""

_MOST = 20  # an event is no report


@task(task_run_name="verify {scope}", **PATIENT)
def verify_registry(scope: Scope = "rows and bytes", registry: str | None = None) -> Upkeep:
    """Check the chains and what rows refer to, and perhaps all bytes; nothing is changed."""
    with open_registry(registry) as opened:
        check = verify_rows if scope == "rows" else verify
        found = [
            f"{finding.subject}: {finding.problem}" if finding.problem else ""
            for finding in check(opened.backend)
        ]
    return Upkeep(checked=len(found), problems=[problem for problem in found if problem])


@task(task_run_name="collect garbage", **PATIENT)
def collect_garbage(upkeep: Upkeep, registry: str | None = None) -> Upkeep:
    """Remove what nothing refers to; what is unknown to the registry is only told."""
    with open_registry(registry) as opened:
        garbage = opened.collect_garbage()
    return replace(upkeep, garbage=[*garbage.orphans, *garbage.leftovers], strays=garbage.strays)


@task(task_run_name="purge versions", **PATIENT)
def purge_versions(upkeep: Upkeep, policy: RetentionPolicy, registry: str | None = None) -> Upkeep:
    """Give up the bytes of the versions that the policy does not keep."""
    with open_registry(registry) as opened:
        return replace(upkeep, purged=opened.purge(policy))


@task(task_run_name="publish the upkeep", **PATIENT)
def publish_upkeep(upkeep: Upkeep, registry: str | None = None) -> None:
    """Publish the card of this round, and announce how it went."""
    create_markdown_artifact(key=CARD, markdown=upkeep_card(upkeep), description="upkeep of the registry")
    with open_registry(registry) as opened:
        _announce(opened, upkeep)


def _announce(opened: Registry, upkeep: Upkeep) -> None:
    name = events.UNSOUND if upkeep.problems else events.MAINTAINED
    emit_event(
        name,
        resource={
            "prefect.resource.id": "model-registry.registry",
            "prefect.resource.name": opened.backend.rows.name,
        },
        payload={
            "checked": upkeep.checked,
            "wrong": len(upkeep.problems),
            "problems": list(upkeep.problems[:_MOST]),
            "removed": len(upkeep.garbage),
            "purged": len(upkeep.purged),
            "freed": upkeep.freed,
            "strays": len(upkeep.strays),
        },
        id=uuid5(NAMESPACE_URL, f"{name}/{task_run.id}"),
    )
