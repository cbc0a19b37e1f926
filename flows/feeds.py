"""The demo's files, as the feeds delivered them: months to learn from and to judge by, days to watch.

Two feeds fail. In June departure delays come in seconds, and nobody repairs it. From 18 November on each
estimate stands in the row after its own: every value is plausible and a day's values are those that it should
have, so that no look at the inputs shows it. The whole month was delivered again after the repair.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from .flights import TARGET

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

BROKEN_MONTH = 6
"""In this month departure delays come in seconds instead of minutes."""

MISJOINED = date(2013, 11, 18)
"""From this day to the end of its month each estimate is delivered in the row after its own."""

ESTIMATED_SINCE = 9
"""From this month on there are estimates of the arrival."""

Columns = tuple[str, ...]

_ROUTE = ("carrier", "origin", "dest", "hour", "distance")
DELAYS = (*_ROUTE, "dep_delay", "day")
ESTIMATES = (*_ROUTE, "eta")
BOTH = (*_ROUTE, "dep_delay", "eta")
_ALL = (*_ROUTE, "dep_delay", "eta", "day")  # in which each of the above keeps its order


@dataclass(frozen=True)
class Feeds:
    """What is delivered of a year's *flights*, as Parquet files in a *folder*."""

    flights: pd.DataFrame
    folder: Path

    def month(self, number: int, until: int = 31) -> Path:
        """The rows of a month, or of its days *until* one, with every column that there is by then."""
        rows = self._of_month(number)
        days = "" if until >= rows["day"].max() else f"-until-{until}"
        return self._write(f"2013-{number:02}{days}", rows[rows["day"] <= until], _columns(number))

    def training(self, number: int, columns: Columns) -> Path:
        """The rows of a month with the *columns* that a version is to learn from."""
        return self._write(f"2013-{number:02}-training", self._of_month(number), columns)

    def day(self, day: date) -> Path:
        """The rows of a day, as they were delivered on it."""
        rows = self._of_month(day.month)
        rows = rows[rows["day"] == day.day]
        if day >= MISJOINED and day.month == MISJOINED.month:
            rows = rows.assign(eta=np.roll(rows["eta"], 1))
        return self._write(f"days/{day}", rows, _columns(day.month))

    def _of_month(self, number: int) -> pd.DataFrame:
        rows = self.flights[self.flights["month"] == number]
        return rows.assign(dep_delay=rows["dep_delay"] * 60) if number == BROKEN_MONTH else rows

    def _write(self, name: str, rows: pd.DataFrame, columns: Columns) -> Path:
        path = self.folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows[[*columns, TARGET]].to_parquet(path, index=False)
        return path


def _columns(month: int) -> Columns:
    return _ALL if month >= ESTIMATED_SINCE else DELAYS
