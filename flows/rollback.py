"""Take the version in force down and put its trusted predecessor in force."""

from __future__ import annotations

from prefect import flow

from registry.references import CHAMPION
from registry.tables import LedgerEntry
from registry.tasks import roll_back_champion


@flow(flow_run_name="roll back {model}")
def rollback(model: str, reason: str, version: int | None = None, alias: str = CHAMPION) -> LedgerEntry:
    """Go back to the newest champion that is still trusted and works.

    Args:
        model: Name of the model.
        reason: Why; it goes into the ledger.
        version: The number of the version that is to come down; whichever is in force if not given.
        alias: What to roll back.

    Returns:
        The ledger's new entry.
    """
    return roll_back_champion(model, reason, bad=version, alias=alias)
