"""Check that the ledger's chain is whole, and that every artifact is there and is what it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

from registry.exceptions import ArtifactError
from registry.ledger import GENESIS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.backend import Backend
    from registry.tables import LedgerEntry


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        subject: What was checked, such as ``churn@champion`` or ``churn@7``.
        problem: What is wrong with it; None if it is right.
    """

    subject: str
    problem: str | None = None


def verify(backend: Backend) -> Iterator[Finding]:
    """Check every alias's chain of entries, then every artifact's digest; one finding each, as it comes.

    Of a chain that breaks, the finding names the first entry that was changed, or that lacks the one before
    it. Entries cut off from the end, or a chain rewritten from some entry on, can't be told from the rows.
    """
    for model in backend.rows.models():
        yield from _chains(backend, model.name)
    for digest, subject in backend.rows.artifacts().items():
        yield Finding(subject, _damage(backend, digest))


def _chains(backend: Backend, model: str) -> Iterator[Finding]:
    try:
        entries = sorted(backend.rows.history(model), key=lambda entry: entry.sequence)  # times can be forged
    except (TypeError, ValueError) as error:  # what stands there is not what a registry writes
        yield Finding(model, f"an entry of its ledger can't be read, it was changed: {error}")
        return
    chains: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        chains.setdefault(entry.alias, []).append(entry)
    for alias, chain in chains.items():
        yield Finding(f"{model}@{alias}", _broken_link(chain))


def _broken_link(entries: Iterable[LedgerEntry]) -> str | None:
    before = GENESIS
    for entry in entries:
        if entry.previous_hash != before:
            return f"entry {entry.sequence} does not follow the entry before it"
        if not _is_as_written(entry):
            return f"entry {entry.sequence} was changed after it was written"
        before = entry.hash
    return None


def _is_as_written(entry: LedgerEntry) -> bool:
    with catch_warnings():
        simplefilter("ignore")  # pydantic's, at a value of another type, which is no news here
        try:
            return entry.digest() == entry.hash
        except (TypeError, ValueError):  # it has no JSON form either
            return False


def _damage(backend: Backend, digest: str) -> str | None:
    with TemporaryDirectory(prefix="registry-") as folder:
        try:
            backend.artifacts.fetch(digest, Path(folder, digest))
        except ArtifactError as error:
            return str(error)
    return None
