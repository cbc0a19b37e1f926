"""Go back to the newest champion that is still trusted, after it proved that it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from registry import schema, serving
from registry.exceptions import (
    AliasConflict,
    AliasNotSet,
    ArtifactCorrupted,
    ArtifactMissing,
    DataError,
    KeyConflict,
    ModelError,
    NothingToRollBackTo,
    PredictionFailed,
)
from registry.ledger import Proposal, Reign, fold
from registry.references import check_alias

if TYPE_CHECKING:
    from registry.backend import Backend
    from registry.references import Reference
    from registry.store import Store
    from registry.tables import LedgerEntry, ModelVersion


def roll_back(
    backend: Backend,
    alias: Reference,
    *,
    reason: str,
    bad: int | None = None,
    key: str | None = None,
) -> LedgerEntry:
    """Take the version in force down and put its trusted predecessor in force; the fallen is quarantined.

    Predecessors are tried from the nearest back: one that does not load, or does not predict what it
    predicted when it was registered, is passed over, and the evidence says why. No gate is asked.

    Args:
        backend: Where rows and bytes are kept.
        alias: What to roll back, such as ``churn@champion``.
        reason: Why; it goes into the ledger.
        bad: The number of the version that is to come down, if the caller knows; None for the one in force.
        key: A retry with the same key finds the entry that the first attempt wrote.

    Raises:
        InvalidName: The alias can't be called so.
        ModelNotFound: There is no such model.
        AliasNotSet: Nothing is in force.
        AliasConflict: Not *bad* but another version is in force, or one came into force meanwhile.
        KeyConflict: The key stands for another entry.
        NothingToRollBackTo: No trusted predecessor works; nothing changed.
        ArtifactStoreUnavailable: Whether a predecessor works can't be told now; nothing changed.
    """
    rows, model, name = backend.rows, alias.model, check_alias(str(alias.selector))
    reign = rows.reign(model, name)  # first, so that a move since then is seen by its key
    if key is not None and (written := rows.entry(model, name, key)) is not None:
        return _same_request(written, bad)
    fallen = _fallen(rows, alias, reign, bad)
    target, passed_over = _working_predecessor(backend, alias, fallen)
    return rows.append_entry(
        Proposal(
            kind="rolled-back",
            model=model,
            version=target.number,
            alias=name,
            reason=reason,
            evidence={
                "fell": f"{model}@{fallen}",
                "passed_over": passed_over,
                "proof": "predicts its example",
            },
            against=reign,
            key=key,
        )
    )


def _same_request(written: LedgerEntry, bad: int | None) -> LedgerEntry:
    """Return what was *written* under a key, if that was to take *bad* down."""
    if written.kind == "rolled-back" and bad in {None, written.replaced}:
        return written
    first = f"entry {written.sequence} of {written.model}@{written.alias} ({written.kind})"
    raise KeyConflict(str(written.key), first, "what is to come down")


def prove(backend: Backend, version: ModelVersion) -> None:
    """Load *version* and let it predict its stored example.

    Raises:
        ArtifactMissing: Its bytes are gone.
        ArtifactCorrupted: They are not the ones that were registered.
        ModelError: It does not load, or does not predict what it did when it was registered.
    """
    example = schema.restore_example(version.input_example["rows"], version.input_schema)
    answer = np.asarray(serving.load(backend, version).predict(example))
    promised = version.input_example["predictions"]
    if not _same(answer, promised):
        reason = f"it answers {answer.tolist()} to its example, not {promised}"
        raise PredictionFailed(version.reference, reason)


def _fallen(rows: Store, alias: Reference, reign: Reign, bad: int | None) -> int:
    if reign.version is None:
        rows.versions(alias.model)  # raises if it is the model that is missing
        raise AliasNotSet(alias.model, str(alias.selector))
    if bad is not None and bad != reign.version:
        raise AliasConflict(
            alias.model,
            str(alias.selector),
            f"version {bad}",
            f"version {reign.version} since entry {reign.since}",
        )
    return reign.version


def _working_predecessor(
    backend: Backend, alias: Reference, fallen: int
) -> tuple[ModelVersion, dict[str, str]]:
    passed_over: dict[str, str] = {}
    for number in fold(backend.rows.moves(alias.model, str(alias.selector))).below(fallen):
        version = backend.rows.version(alias.model, number)
        try:
            prove(backend, version)
        except (ArtifactMissing, ArtifactCorrupted, ModelError, DataError) as error:
            passed_over[version.reference] = str(error)
        else:
            return version, passed_over
    reasons = "; ".join(passed_over.values()) or f"version {fallen} has no trusted predecessor"
    raise NothingToRollBackTo(alias.model, str(alias.selector), reasons)


def _same(answer: np.ndarray[Any, Any], promised: list[Any]) -> bool:
    """Whether labels are equal, and numbers with a fraction nearly so: another machine rounds otherwise."""
    expected = np.asarray(promised)
    if answer.dtype.kind == "f" and expected.dtype.kind in "iuf":
        return answer.shape == expected.shape and np.allclose(answer, expected)
    return bool(answer.tolist() == promised)
