"""Whatever a policy says, what must be kept never goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from registry import RetentionPolicy
from registry.disposal import Holder, Standing
from registry.tables import Pin

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MODELS = ("churn", "delay")
LAST = 8

numbers = st.integers(1, LAST)
policies = st.builds(
    RetentionPolicy,
    keep_last=st.integers(0, LAST + 1),
    keep_younger_than=st.integers(0, 20).map(lambda days: days * DAY),
    rollback_window=st.integers(1, LAST),
)
holders = st.builds(
    Holder,
    digest=st.sampled_from("abcdef"),  # so that most are shared
    part=st.sampled_from(["model", "predictions", "file"]),
    model=st.sampled_from(MODELS),
    number=numbers,
    registered_at=st.integers(0, 40).map(lambda days: NOW - days * DAY),
)
aliases = st.sampled_from(["champion", "fallback"])


def a_pin(number: int) -> Pin:
    return Pin(model="churn", number=number, reason="the reference", pinned_by="ada", pinned_at=NOW)


standings = st.builds(
    Standing,
    last=st.just(LAST),
    in_force=st.dictionaries(aliases, numbers),
    predecessors=st.dictionaries(aliases, st.lists(numbers, unique=True, max_size=LAST)),
    pins=st.dictionaries(numbers, st.just(a_pin(1))),
    deleted=st.sets(numbers),
    now=st.just(NOW),
)


def must_stay(policy: RetentionPolicy, holder: Holder, standing: Standing) -> bool:
    """What a person would say, looking at one version."""
    nearest = [number for each in standing.predecessors.values() for number in each[: policy.rollback_window]]
    if holder.number in standing.deleted:
        return False
    return (
        holder.number in {*standing.in_force.values(), *standing.pins, *nearest}
        or holder.number in range(LAST + 1)[LAST + 1 - policy.keep_last :]
        or holder.registered_at + policy.keep_younger_than > NOW
    )


@given(policies, st.lists(holders, max_size=20), st.fixed_dictionaries(dict.fromkeys(MODELS, standings)))
def test_exactly_what_no_version_has_to_keep_goes(
    policy: RetentionPolicy, held: list[Holder], known: dict[str, Standing]
) -> None:
    stays = {each.digest for each in held if must_stay(policy, each, known[each.model])}
    assert policy.expendable(held, known) == {each.digest for each in held} - stays


@given(policies, st.lists(holders, max_size=20), standings)
def test_a_model_that_nobody_looked_at_keeps_everything(
    policy: RetentionPolicy, held: list[Holder], known: Standing
) -> None:
    going = policy.expendable(held, {"churn": known})
    assert going.isdisjoint(each.digest for each in held if each.model == "delay")


@given(policies, holders, standings)
def test_whatever_is_kept_is_kept_for_a_reason_that_is_told(
    policy: RetentionPolicy, holder: Holder, known: Standing
) -> None:
    assert bool(policy.reasons(holder, known)) == must_stay(policy, holder, known)
    assert all(reason.strip() for reason in policy.reasons(holder, known))


def test_a_reason_is_a_sentence_of_its_own() -> None:
    standing = Standing(
        last=9,
        in_force={"champion": 7},
        predecessors={"fallback": [7]},
        pins={7: a_pin(7)},
        deleted=(),
        now=NOW,
    )
    version = Holder("a", "model", "churn", 7, NOW - 3 * DAY)
    policy = RetentionPolicy(keep_last=3, keep_younger_than=4 * DAY)
    assert policy.reasons(version, standing) == (
        "in force as champion",
        "fallback could go back to it",
        "pinned by ada: the reference",
        "among the newest 3",
        "younger than 4 days",
    )


@pytest.mark.parametrize(
    "field",
    [
        {"keep_last": -1},
        {"keep_younger_than": timedelta(days=-1)},
        {"rollback_window": 0},
        {"keep_all": True},
        {"keep_last": 1.5},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RetentionPolicy(**field)


@pytest.mark.parametrize(
    ("age", "told"),
    [(30 * DAY, "30 days"), (DAY, "1 day"), (timedelta(hours=36), "1 day, 12:00:00")],
)
def test_what_was_purged_says_by_what_rule(age: timedelta, told: str) -> None:
    policy = RetentionPolicy(keep_last=5, keep_younger_than=age, rollback_window=2)
    assert policy.because == (
        "retention: neither in force nor pinned nor among the nearest 2 to go back to "
        f"nor among the newest 5 nor younger than {told}"
    )
