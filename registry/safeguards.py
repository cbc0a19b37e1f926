"""What no automatic step may do after a version fell: bring it back, replace it in haste, or fall further.

The version that fell is quarantined. For a cooldown nothing is promoted by itself, because what just made one
version fall may have trained the next. After two automatic rollbacks without a healthy period in between
nothing moves by itself any more: somebody has to look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.monitoring_policy import RollbackPolicy
from registry.observations import Reigning
from registry.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.backend import Backend
    from registry.tables import LedgerEntry, ModelVersion


def candidates(backend: Backend, reign: Reigning, served: int = 0) -> Iterator[tuple[int, str | None]]:
    """The trusted predecessors of the version in force, the nearest first; each with what speaks against it.

    That is that it *served* too few healthy batches, where the alias is watched; None if nothing is known.
    """
    for version in backend.rows.champions(reign.model, reign.alias):
        if version == reign.version:
            continue
        had = backend.observations.service(reign.model, reign.alias, version) if served else None
        few = had is not None and had < served
        yield version, f"{reign.model}@{version} served {count(had or 0, 'healthy batch')}" if few else None


def pause(backend: Backend, challenger: ModelVersion, alias: str) -> str | None:
    """Why *challenger* may not be promoted by itself now, in a sentence; None if it may."""
    quarantined = backend.rows.quarantined(challenger.model, alias)
    for number in backend.rows.fitted_alike(challenger):
        if number in quarantined:
            again = (
                "" if number == challenger.number else f"is {challenger.model}@{number} over again, which "
            )
            fell = f"{challenger.reference} {again}was rolled back in entry {quarantined[number]}"
            return f"{fell}; only an assignment by hand brings it back"
    reign = _reign(backend, challenger.model, alias)
    return (frozen(backend, reign) or _cooling(backend, reign)) if reign else None


def frozen(backend: Backend, reign: Reigning) -> str | None:
    """Why nothing moves by itself any more, in a sentence; None if it does."""
    falls, limit = 0, None
    entry = backend.rows.entry_at(reign.model, reign.alias, reign.since)
    while (policy := _automatic(entry)) is not None and not _recovered(backend, entry, policy):
        falls, limit = falls + 1, policy.freeze_after
        if falls >= limit:
            return (
                f"frozen: {count(falls, 'automatic rollback')} without a healthy period in between, the last"
                f" in entry {reign.since}; assign the version that you trust"
            )
        entry = backend.rows.entry_at(reign.model, reign.alias, int(entry.replaced_since or 0))
    return None


def _cooling(backend: Backend, reign: Reigning) -> str | None:
    entry = backend.rows.entry_at(reign.model, reign.alias, reign.since)
    policy = _automatic(entry)
    if policy is None or _recovered(backend, entry, policy):
        return None
    end = entry.recorded_at + policy.cooldown
    if backend.rows.clock() >= end:
        return None
    return (
        f"cooling down after the rollback in entry {entry.sequence}: nothing is promoted by itself before"
        f" {count(policy.cooldown_batches, 'healthy batch')} in a row, or {end:%Y-%m-%d %H:%M} UTC"
    )


def _recovered(backend: Backend, entry: LedgerEntry, policy: RollbackPolicy) -> bool:
    reign = Reigning(entry.model, entry.alias, entry.version, entry.sequence)
    return backend.observations.recovery(reign) >= policy.cooldown_batches


def _automatic(entry: LedgerEntry) -> RollbackPolicy | None:
    """The policy of the automatic rollback that began a reign; None if something else began it."""
    return RollbackPolicy.model_validate(entry.evidence["policy"]) if "alert" in entry.evidence else None


def _reign(backend: Backend, model: str, alias: str) -> Reigning | None:
    reign = backend.rows.reign(model, alias)
    if reign.version is None or reign.since is None:
        return None
    return Reigning(model, alias, reign.version, reign.since)
