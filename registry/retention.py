"""Give up the bytes of versions that nobody will go back to; their rows stay, and tell when and why.

What a policy keeps is judged twice: in a plan that changes nothing, and again while the rows of the models
are locked, so that no promotion, rollback or pin comes between the judgement and what follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from registry.disposal import Disposal, Holder, Standing
from registry.words import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registry.backend import Backend
    from registry.tables import Artifact

_DAY = timedelta(days=1)

_AT_ONCE = 100
"""So many rows are written while their models are locked, so that nobody waits for long."""


class RetentionPolicy(BaseModel):
    """Which versions keep their bytes beside those that are in force or pinned, or share them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    keep_last: int = Field(default=10, ge=0)
    """So many of the newest versions of each model."""

    keep_younger_than: timedelta = Field(default=30 * _DAY, ge=timedelta(0))
    """What was registered no longer ago than this."""

    rollback_window: int = Field(default=3, ge=1)
    """Of each alias so many versions that a rollback would go to, the nearest ones: trusted, and with their
    bytes. One at least, so that an alias always has something to go back to if it has now."""

    @property
    def because(self) -> str:
        """What the row of a purged artifact says."""
        missing = ["in force", "pinned", f"among the nearest {self.rollback_window} to go back to"]
        missing += [f"among the newest {self.keep_last}"] if self.keep_last else []
        missing += [f"younger than {self._age}"] if self.keep_younger_than else []
        return f"retention: neither {' nor '.join(missing)}"

    def reasons(self, version: Holder, standing: Standing) -> tuple[str, ...]:
        """Why *version* keeps its bytes; nothing if it does not, as when it was deleted."""
        number, reasons = version.number, []
        if number in standing.deleted:
            return ()
        reasons += [f"in force as {alias}" for alias, it in standing.in_force.items() if it == number]
        reasons += [
            f"{alias} could go back to it"
            for alias, nearest in standing.predecessors.items()
            if number in nearest[: self.rollback_window]
        ]
        if (pin := standing.pins.get(number)) is not None:
            reasons.append(f"pinned by {pin.pinned_by}: {pin.reason}")
        if number > standing.last - self.keep_last:
            reasons.append(f"among the newest {self.keep_last}")
        if standing.now - version.registered_at < self.keep_younger_than:
            reasons.append(f"younger than {self._age}")
        return tuple(reasons)

    def expendable(self, holders: Iterable[Holder], standings: Mapping[str, Standing]) -> set[str]:
        """The digests that none of the *holders* keeps; a model without a standing keeps all of its own."""
        holders = list(holders)
        kept = {
            holder.digest
            for holder in holders
            if holder.model not in standings or self.reasons(holder, standings[holder.model])
        }
        return {holder.digest for holder in holders} - kept

    @property
    def _age(self) -> str:
        days, rest = divmod(self.keep_younger_than, _DAY)
        return f"{self.keep_younger_than}" if rest else count(days, "day")


@dataclass(frozen=True)
class Plan:
    """What a purge by a policy would do.

    Attributes:
        artifacts: What would go.
        given_up: The versions whose own bytes would go.
        kept: Why each of the others that have their bytes keeps them, by reference.
    """

    artifacts: Sequence[Artifact]
    given_up: Sequence[str]
    kept: Mapping[str, Sequence[str]]


def plan(backend: Backend, policy: RetentionPolicy) -> Plan:
    """What ``purge`` would give up by *policy* now, and why it keeps the rest; nothing is changed."""
    disposal = Disposal(backend.rows)
    models = [model.name for model in backend.rows.models()]
    standings = {model: disposal.standing(model, policy.rollback_window) for model in models}
    holders = [holder for model in models for holder in disposal.held_by(model)]
    present, rows = disposal.now(), disposal.known(policy.expendable(holders, standings))
    going = {digest: row for digest, row in rows.items() if row.leased_until <= present}
    versions = [holder for holder in holders if holder.part == "model"]
    reasons = {holder: policy.reasons(holder, standings[holder.model]) for holder in holders}
    needed = {holder.digest: holder.reference for holder in holders if reasons[holder]}
    return Plan(
        artifacts=list(going.values()),
        given_up=[version.reference for version in versions if version.digest in going],
        kept={
            version.reference: reasons[version] or (_shared(needed.get(version.digest)),)
            for version in versions
            if version.digest not in going
        },
    )


def _shared(needed_by: str | None) -> str:
    if needed_by is None:
        return "leased: somebody is registering the same bytes, or did so lately"
    return f"{needed_by} has the same bytes"


def purge(backend: Backend, policy: RetentionPolicy) -> list[Artifact]:
    """Give up the bytes that *policy* does not keep, and return their rows, which stay.

    First the row says so, then the bytes go: whoever is killed in between leaves bytes, which the next
    collection of garbage takes, and never a version that seems to have its bytes.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
        ArtifactStoreUnavailable: The bytes can't be removed now; the next collection does it.
    """
    disposal = Disposal(backend.rows)
    going = [artifact.digest for artifact in plan(backend, policy).artifacts]
    purged: list[Artifact] = []
    for first in range(0, len(going), _AT_ONCE):
        given_up = disposal.give_up(going[first : first + _AT_ONCE], policy)
        for artifact in given_up:
            disposal.remove(artifact.digest, backend.artifacts.remove)
        purged += given_up
    return purged
