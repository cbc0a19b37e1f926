"""The card of a round of maintenance: what was checked, what is wrong, what went, and what room that made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.reports.parts import table
from registry.words import count, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.artifacts import StoredArtifact
    from registry.tables import Artifact

_MOST = 100
_LONGEST = 400
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_STEP = 1000


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """What came of a round of maintenance.

    Attributes:
        checked: How many things were checked.
        problems: What is wrong; if anything is, nothing was removed.
        garbage: What was removed because nothing refers to it.
        purged: What a retention policy gave up.
        strays: What is in the store, unknown to the registry, and was left alone.
    """

    checked: int
    problems: Sequence[str]
    garbage: Sequence[Artifact] = ()
    purged: Sequence[Artifact] = ()
    strays: Sequence[StoredArtifact] = ()

    @property
    def freed(self) -> int:
        """How many bytes were removed, as far as they were written down."""
        return sum(artifact.bytes for artifact in (*self.garbage, *self.purged))


def upkeep_card(upkeep: Upkeep) -> str:
    """What came of a round of maintenance, as Markdown."""
    checked = f"{count(upkeep.checked, 'thing')} checked"
    if upkeep.problems:
        head = f"{count(len(upkeep.problems), 'problem')}, nothing was removed"
        return "\n\n".join([f"## {head}", *_problems(upkeep.problems), f"{checked}."]) + "\n"
    freed = f"{_size(upkeep.freed)} freed"
    rows = [
        ["Nothing refers to them", *_cells([artifact.bytes for artifact in upkeep.garbage])],
        ["Given up by the retention policy", *_cells([artifact.bytes for artifact in upkeep.purged])],
        ["Left alone, no row knows of them", *_cells([stray.size for stray in upkeep.strays])],
    ]
    reasons = {artifact.purged_because for artifact in upkeep.purged if artifact.purged_because}
    parts = [f"## The registry is sound; {freed}", f"{checked}, nothing is wrong."]
    parts += [table(("Artifacts :--", "How many --:", "Size --:"), rows), *map(markdown, sorted(reasons))]
    return "\n\n".join(parts) + "\n"


def _problems(problems: Sequence[str]) -> list[str]:
    shown = "\n".join(f"- {markdown(problem, _LONGEST)}" for problem in problems[:_MOST])
    more = len(problems) - _MOST
    return [shown, *([f"and {count(more, 'more problem')}"] if more > 0 else [])]


def _cells(sizes: Sequence[int]) -> list[str]:
    return [f"{len(sizes):,}", _size(sum(sizes))]


def _size(size: float) -> str:
    """Such as ``12.3 MB``."""
    units = iter(_UNITS)
    unit = next(units)
    while size >= _STEP and (larger := next(units, None)):
        size, unit = size / _STEP, larger
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
