"""What no automatic step may do after a version fell: bring it back, replace it in haste, or fall further.

The version that fell is quarantined. For a cooldown nothing is promoted by itself, because what just made one
version fall may have trained the next. After two automatic rollbacks without a healthy period in between
nothing moves by itself until somebody looked and moved the alias, or the healthy period came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.monitoring_policy import RollbackPolicy
from registry.observations import Reigning
from registry.words import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.backend import Backend
    from registry.tables import LedgerEntry, ModelVersion


def candidates(
    backend: Backend, reign: Reigning, served: int = 0, first: int | None = None
) -> Iterator[tuple[int, str | None]]:
    """The trusted predecessors of the version in force, the nearest first; each with what speaks against it.

    That is that it *served* too few healthy batches, where the alias is watched; None if nothing is known.
    If *first* is one of them, it comes before the nearest.
    """
    champions: Iterable[int] = backend.rows.champions(reign.model, reign.alias)
    if first is not None:  # else they are read as far as they are asked about, which may be a long way
        champions = sorted(champions, key=lambda version: version != first)
    for version in champions:
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
    return standstill(backend, challenger.model, alias)


def standstill(backend: Backend, model: str, alias: str) -> str | None:
    """Why no version at all is promoted by itself now: a freeze or a cooldown; None if one may be."""
    reign = _reign(backend, model, alias)
    return (frozen(backend, reign) or _cooling(backend, reign)) if reign else None


def frozen(backend: Backend, reign: Reigning) -> str | None:
    """Why nothing moves by itself any more, in a sentence; None if it does."""
    falls, period = 0, 0
    entry = backend.rows.entry_at(reign.model, reign.alias, reign.since)
    while (policy := _automatic(entry)) is not None and not _recovered(backend, entry, _period(policy)):
        falls, period = falls + 1, period or _period(policy)
        if falls >= policy.freeze_after:
            return (
                f"frozen: {count(falls, 'automatic rollback')} without a healthy period in between, the last"
                f" in entry {reign.since}; move the alias by hand, or wait for"
                f" {count(period, 'healthy batch')} in a row"
            )
        entry = backend.rows.entry_at(reign.model, reign.alias, int(entry.replaced_since or 0))
    return None


def _cooling(backend: Backend, reign: Reigning) -> str | None:
    entry = backend.rows.entry_at(reign.model, reign.alias, reign.since)
    policy = _automatic(entry)
    if policy is None or _recovered(backend, entry, policy.cooldown_batches):
        return None
    end = entry.recorded_at + policy.cooldown
    if backend.rows.clock() >= end:
        return None
    return (
        f"cooling down after the rollback in entry {entry.sequence}: nothing is promoted by itself before"
        f" {count(policy.cooldown_batches, 'healthy batch')} in a row, or {end:%Y-%m-%d %H:%M} UTC"
    )


def _period(policy: RollbackPolicy) -> int:
    """So many healthy batches in a row are a healthy period: without any there was none."""
    return max(1, policy.cooldown_batches)


def _recovered(backend: Backend, entry: LedgerEntry, batches: int) -> bool:
    reign = Reigning(entry.model, entry.alias, entry.version, entry.sequence)
    return backend.observations.recovery(reign) >= batches


def _automatic(entry: LedgerEntry) -> RollbackPolicy | None:
    """The policy of the automatic rollback that began a reign; None if something else began it."""
    return RollbackPolicy.model_validate(entry.evidence["policy"]) if "alert" in entry.evidence else None


def _reign(backend: Backend, model: str, alias: str) -> Reigning | None:
    reign = backend.rows.reign(model, alias)
    if reign.version is None or reign.since is None:
        return None
    return Reigning(model, alias, reign.version, reign.since)
