"""The demo's flights and what its feeds deliver of them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from flows.feeds import BOTH, DELAYS, ESTIMATES, MISJOINED, Feeds
from flows.flights import TARGET, estimates, read_flights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOON = pd.Timestamp("2013-07-10T12:00", tz="UTC")


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return read_flights()


@pytest.fixture
def feeds(flights: pd.DataFrame, tmp_path: Path) -> Feeds:
    return Feeds(flights, tmp_path)


def test_the_estimate_knows_nothing_that_happened_after_the_flight_left(flights: pd.DataFrame) -> None:
    left = pd.to_datetime(flights["time_hour"]) + _minutes(flights["minute"] + flights["dep_delay"])
    in_the_air = left + _minutes(flights["air_time"]) > NOON
    elsewhere = flights.assign(arr_delay=flights["arr_delay"].where(~in_the_air, 1000.0))
    gone = left <= NOON
    assert gone.sum() > 100_000
    assert estimates(elsewhere)[gone].equals(flights["eta"][gone])
    assert not estimates(elsewhere)[~gone].equals(flights["eta"][~gone])


def test_the_estimate_is_the_own_delay_and_what_others_lost_on_the_way_lately() -> None:
    """Those that landed in the 24 hours before, two hours on the ground added; the first is too long ago."""
    flights = pd.DataFrame(
        {
            "dest": ["BOS", "BOS", "BOS", "BOS", "ORD"],
            "time_hour": [f"2013-01-{time}:00:00Z" for time in ("01T00", "01T06", "01T20", "02T04", "02T05")],
            "minute": 0,
            "dep_delay": [0.0, 0.0, 5.0, 10.0, 10.0],
            "air_time": 60.0,
            "arr_delay": [500.0, -30.0, 25.0, 99.0, 99.0],
        }
    )
    assert estimates(flights).fillna(-1).tolist() == [-1, 500, 5 + (500 - 30) / 2, 10 + (-30 + 20) / 2, -1]


def test_flights_keep_their_order(flights: pd.DataFrame) -> None:
    """Early stopping sets the last rows aside, so that another order trains another model."""
    assert flights.index.is_monotonic_increasing
    assert flights["month"].drop_duplicates().tolist() == [1, 10, 11, 12, *range(2, 10)]


def test_only_the_days_of_the_incident_are_joined_wrongly(feeds: Feeds) -> None:
    months = {month: pd.read_parquet(feeds.month(month)) for month in (10, 11, 12)}
    days = [MISJOINED + timedelta(days=n) for n in range(-19, 16)]
    wrong = []
    for day in days:
        rows, month = pd.read_parquet(feeds.day(day)), months[day.month]
        right = month[month["day"] == day.day].reset_index(drop=True)
        assert rows.drop(columns="eta").equals(right.drop(columns="eta"))
        assert sorted(rows["eta"].dropna()) == sorted(right["eta"].dropna()), "no look at the values shows it"
        wrong += [] if rows["eta"].equals(right["eta"]) else [day]
    assert {day.month for day in days} == {10, 11, 12}
    assert wrong == [date(2013, 11, day) for day in range(18, 31)]


def test_the_month_was_delivered_again_after_the_repair(feeds: Feeds, flights: pd.DataFrame) -> None:
    intact = flights.loc[flights["month"] == 11, "eta"].to_numpy()
    assert pd.read_parquet(feeds.month(11))["eta"].equals(pd.Series(intact, name="eta"))
    assert pd.read_parquet(feeds.training(11, BOTH))["eta"].equals(pd.Series(intact, name="eta"))


def test_the_delays_of_june_come_in_seconds(feeds: Feeds, flights: pd.DataFrame) -> None:
    minutes = flights.groupby("month")["dep_delay"].sum()
    delivered = {month: pd.read_parquet(feeds.month(month))["dep_delay"].sum() for month in (5, 6, 7)}
    assert {month: round(total / minutes[month]) for month, total in delivered.items()} == {5: 1, 6: 60, 7: 1}


@pytest.mark.parametrize(("month", "columns"), [(8, DELAYS), (9, ESTIMATES), (11, BOTH)])
def test_a_version_learns_from_its_own_columns(feeds: Feeds, month: int, columns: Sequence[str]) -> None:
    assert list(pd.read_parquet(feeds.training(month, tuple(columns)))) == [*columns, TARGET]
    offered = list(pd.read_parquet(feeds.month(month)))
    assert [name for name in offered if name in columns] == list(columns), "in the order that it wants"


def test_there_are_no_estimates_before_september(feeds: Feeds) -> None:
    assert "eta" not in pd.read_parquet(feeds.month(8))
    assert "eta" in pd.read_parquet(feeds.month(9))


def test_a_month_may_be_judged_before_it_is_over(feeds: Feeds) -> None:
    assert pd.read_parquet(feeds.month(12, until=22))["day"].max() == 22
    assert feeds.month(12, until=22) != feeds.month(12)


def _minutes(number: pd.Series[float]) -> pd.Series[pd.Timedelta]:
    return pd.to_timedelta(number, unit="min")
