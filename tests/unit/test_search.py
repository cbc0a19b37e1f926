"""What can be searched for, before any database is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from registry.exceptions import InvalidName, InvalidValue
from registry.search import Ranking, Search

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)


def test_the_same_moment_in_another_zone_is_the_same_search() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert Search(since=elsewhere).seal("[]") == Search(since=NOON).seal("[]")


def test_the_order_in_which_tags_are_given_is_no_part_of_the_search() -> None:
    assert Search(tags={"a": "b", "c": "d"}).seal("[]") == Search(tags={"c": "d", "a": "b"}).seal("[]")


def test_whatever_differs_between_two_searches_differs_in_their_seals() -> None:
    ranking = Ranking("accuracy", "0" * 64)
    searches = [
        Search(),
        Search(model="churn"),
        Search(alias="churn"),
        Search(tags={"a": "b"}),
        Search(tags={"a": "c"}),
        Search(since=NOON),
        Search(until=NOON),
        Search(since=NOON + timedelta(microseconds=1)),
        Search(ranking=ranking),
        Search(ranking=Ranking("accuracy", "0" * 64, above=0.5)),
        Search(ranking=Ranking("accuracy", "0" * 64, slice="age=old")),
        Search(ranking=Ranking("accuracy", "1" * 64)),
    ]
    assert len({search.seal(place) for search in searches for place in ("[]", "[1]")}) == 2 * len(searches)


@pytest.mark.parametrize("alias", ["", "latest", "the champion", "7"])
def test_only_what_can_be_an_alias_is_searched_for(alias: str) -> None:
    with pytest.raises(InvalidName, match="is not a valid alias"):
        Search(alias=alias)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidValue, match="give it a zone"):
        Search(until=NOON.replace(tzinfo=None))
