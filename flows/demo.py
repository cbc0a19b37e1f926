"""The demo: a year of monthly retraining on real flights, through the flows that a team would deploy.

Each month a version is trained on that month and judged on the next. Most are not provably better and are
held. One month's feed is broken; one version goes past the gate by hand, turns out bad, and comes down.
"""

from __future__ import annotations

from calendar import month_name
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.flights import BROKEN_MONTH, TARGET, write_months
from flows.rollback import rollback
from flows.train_register_promote import train_register_promote
from registry.datasets import Dataset
from registry.policy import Better, Floor, NotWorse, PromotionPolicy
from registry.tasks import open_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.tables import LedgerEntry

MODEL = "flight-delay"
POLICY = PromotionPolicy(
    checks=(
        Better("roc_auc"),
        NotWorse("accuracy", margin=0.005),
        NotWorse("roc_auc", margin=0.02, slices="origin"),
        Floor("roc_auc", 0.80),
    ),
    min_rows=500,
)
_HOTFIX_AFTER = 9


@dataclass(frozen=True)
class Act:
    """One thing that happened in the year, and the entry that it left in the ledger."""

    when: str
    what: str
    entry: LedgerEntry


def play(folder: Path) -> Iterator[Act]:
    """Replay 2013 with the months' files in *folder*; one act at a time, as it happens."""
    months = list(write_months(folder))
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):  # it adds a second to each flow run
        for number, (month, following) in enumerate(pairwise(months), start=1):
            yield _retrain(number, month, following)
            if number == _HOTFIX_AFTER:
                yield from _incident(number, following)


def _retrain(number: int, month: Path, following: Path) -> Act:
    train_register_promote(
        model=MODEL,
        trainer="flows.flights:train",
        training_data=str(month),
        holdout=str(following),
        target=TARGET,
        policy=POLICY,
        params={"max_iter": 100},
    )
    name, judge = month_name[number], month_name[number + 1]
    return Act(name, f"trained on {name}{_broken(number)}, judged on {judge}{_broken(number + 1)}", _newest())


def _incident(number: int, holdout: Path) -> Iterator[Act]:
    """Someone assigns the version of the broken month by hand; its numbers are bad; it is rolled back."""
    hotfix = f"{MODEL}@{BROKEN_MONTH}"
    with open_registry() as registry:
        entry = registry.assign(hotfix, reason="hotfix: it looked fine on the laptop")
        yield Act(month_name[number + 1], f"{hotfix} is assigned by hand, past the gate", entry)
        measured = registry.evaluate(hotfix, Dataset.read(holdout, TARGET), metrics=["roc_auc"])
    found = measured.metrics["roc_auc"]
    entry = rollback(
        MODEL, reason=f"ROC AUC is {found:.3f} on {month_name[number + 1]}, below the floor of 0.80"
    )
    yield Act(month_name[number + 1], f"its ROC AUC is {found:.3f}, so it is rolled back", entry)


def _newest() -> LedgerEntry:
    with open_registry() as registry:
        return registry.history(MODEL)[-1]


def _broken(number: int) -> str:
    return " (feed broken)" if number == BROKEN_MONTH else ""
