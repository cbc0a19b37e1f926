"""What is held of a version after each batch: every arrow between the states, and every guard."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from math import comb, inf, nan
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.detection import Baseline, DegradationDetector
from registry.exceptions import InvalidBaseline, InvalidObservation
from registry.health import Watch, following
from registry.ledger import Stamp
from registry.monitoring_policy import MonitoringPolicy, RollbackPolicy
from registry.suspicion import CONVINCING, Contrast, Reading, better
from registry.tables import STATUSES, Observation, canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
USUAL = Baseline(0.92, 10_000)
FALLEN = 0.7  # one batch of a thousand rows at this value raises the alarm
TARGET_IS_BETTER, CHAMPION_IS_BETTER, ALIKE = (0, 300), (300, 0), (40, 40)


def is_there() -> bool:
    return True


def is_not_there() -> bool:
    return False


def is_not_asked() -> bool:
    raise AssertionError("nobody needs to know")


@dataclass
class Stream:
    """The accuracy of version 3 of churn, which entry 3 put in force; a batch every hour."""

    patience: int = 3
    first_batches: int = 2
    rules: dict[str, Any] = field(default_factory=dict)
    has_target: Callable[[], bool] = is_there
    baseline: Baseline = USUAL
    version: int = 3
    since: int = 3
    in_force: bool = True
    rows: list[Observation] = field(default_factory=list)

    @property
    def policy(self) -> MonitoringPolicy:
        return MonitoringPolicy(patience=self.patience, first_batches=self.first_batches, **self.rules)

    @property
    def newest(self) -> Observation:
        return self.rows[-1]

    def see(
        self, value: float = 0.92, contest: tuple[int, int] | Contrast | None = None, **others: Any
    ) -> Observation:
        number = len(self.rows) + 1
        usual: dict[str, Any] = {
            "batch": f"batch {number}",
            "rows": 1_000,
            "at": NOON + timedelta(hours=number),
        }
        target = others.pop("target", 2)
        if isinstance(contest, tuple):
            contest = Contrast(target=target, champion_only=contest[0], target_only=contest[1])
        return self.write(Reading(value=value, contrast=contest, **usual | others))

    def write(self, reading: Reading) -> Observation:
        mine = [row for row in self.rows if row.version == self.version]
        watch = Watch(
            model="churn",
            alias="champion",
            metric="accuracy",
            version=self.version,
            since=self.since,
            in_force=self.in_force,
            policy=self.policy,
            baseline=None if mine else self.baseline,
            has_target=self.has_target,
        )
        stamp = Stamp(actor="ada", at=NOON, flow_run_id="run")
        self.rows.append(
            following(self.rows[-1] if self.rows else None, mine[-1] if mine else None, watch, reading, stamp)
        )
        return self.newest

    def suspected(self) -> Stream:
        """The stream after a calm batch and an alarm."""
        self.see()
        assert self.see(FALLEN).status == "suspect"
        return self

    def judged(self, status: str) -> Stream:
        """The stream after the suspicion ended as *status*."""
        self.suspected()
        ends = {"degraded": (FALLEN, TARGET_IS_BETTER), "world-changed": (FALLEN, CHAMPION_IS_BETTER)}
        assert self.see(*ends[status]).status == status
        return self


def held(row: Observation) -> tuple[str, int | None, int | None]:
    return row.status, row.alarm, row.decided


def counts(row: Observation) -> tuple[int, int]:
    return row.healthy, row.served


def reference(row: Observation) -> Baseline:
    return Baseline(**row.state["baseline"])


def contested(row: Observation) -> tuple[Any, ...]:
    """Target, rows of the champion and of the target, their batches, and all batches since the alarm."""
    suspicion = row.state["suspicion"]
    seen = suspicion["seen"]["batches"]
    if not suspicion["contests"]:
        return None, 0, 0, 0, seen
    newest = suspicion["contests"][-1]
    return (*(newest[name] for name in ("target", "champion_only", "target_only", "batches")), seen)


# Healthy


def test_the_first_batch_begins_the_stream() -> None:
    row = Stream(has_target=is_not_asked).see(0.93, rows=500)
    assert (row.sequence, row.previous, row.late) == (1, None, False)
    assert (row.reference, row.since, row.metric, row.batch) == ("churn@3", 3, "accuracy", "batch 1")
    assert (row.value, row.rows, row.floor) == (0.93, 500, USUAL.floor)
    assert (row.target, row.champion_only, row.target_only) == (None, 0, 0)
    assert (row.actor, row.flow_run_id, row.recorded_at) == ("ada", "run", NOON)
    assert held(row) == ("healthy", None, None)
    assert 0 <= row.evidence < 1


def test_calm_batches_are_counted_and_ask_for_no_target() -> None:
    stream = Stream(has_target=is_not_asked)
    assert [counts(stream.see()) for _ in range(4)] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert [row.previous for row in stream.rows] == [None, 1, 2, 3]


def test_a_target_that_answered_without_need_decides_nothing() -> None:
    row = Stream().see(0.92, TARGET_IS_BETTER)
    assert held(row) == ("healthy", None, None)
    assert (row.target, row.champion_only, row.target_only) == (2, 0, 300)
    assert row.state["contest"] is None


# The alarm


def test_an_alarm_makes_the_version_suspect() -> None:
    row = Stream().suspected().newest
    assert held(row) == ("suspect", 2, None)
    assert counts(row) == (0, 1)
    assert row.evidence >= 1


def test_the_rows_that_raised_the_alarm_prove_nothing_more() -> None:
    stream = Stream()
    row = stream.see(FALLEN, TARGET_IS_BETTER)
    assert held(row) == ("suspect", 1, None)
    assert contested(row) == (None, 0, 0, 0, 0)
    assert stream.see(FALLEN, (1, 1)).status == "suspect"


def test_evidence_adds_up_to_an_alarm_over_many_small_falls() -> None:
    stream = Stream()
    while stream.see(0.905).status == "healthy":
        assert stream.newest.evidence < 1
        assert len(stream.rows) < 30
    assert len(stream.rows) > 3
    assert stream.newest.evidence >= 1


@pytest.mark.parametrize("confirm", ["required", "if_possible", "never"])
def test_without_a_target_an_alarm_stands(confirm: str) -> None:
    stream = Stream(rules={"confirm": confirm}, has_target=is_not_there)
    assert held(stream.see(FALLEN)) == ("degraded", 1, 1)


def test_an_alarm_that_needs_no_confirmation_stands_and_asks_for_no_target() -> None:
    stream = Stream(rules={"confirm": "never"}, has_target=is_not_asked)
    stream.see()
    assert held(stream.see(FALLEN)) == ("degraded", 2, 2)


def test_a_threshold_raises_the_alarm_by_one_batch() -> None:
    stream = Stream(rules={"detector": "threshold"})
    assert [stream.see(value).status for value in (0.901, 0.899)] == ["healthy", "suspect"]


def test_a_consecutive_detector_remembers_its_batches_from_row_to_row() -> None:
    stream = Stream(rules={"detector": "consecutive"})
    values = (0.89, 0.89, 0.92, 0.89, 0.89, 0.89)
    assert [stream.see(value).status for value in values] == ["healthy"] * 5 + ["suspect"]
    assert [row.evidence for row in stream.rows] == pytest.approx([1 / 3, 2 / 3, 0, 1 / 3, 2 / 3, 1])


def test_the_budget_of_false_alarms_is_the_policys() -> None:
    frugal, generous = (Stream(rules={"every": every}) for every in (1_000_000, 2))
    assert [stream.see(0.87, rows=300).status for stream in (frugal, generous)] == ["healthy", "suspect"]
    detector = DegradationDetector(USUAL, every=1_000_000)
    detector.update(0.87, 300)
    detector.update(0.91, 300)
    assert frugal.see(0.91, rows=300).evidence == detector.evidence() > 0


# Suspect


def test_a_target_that_is_better_degrades_the_champion() -> None:
    row = Stream().suspected().see(FALLEN, TARGET_IS_BETTER)
    assert held(row) == ("degraded", 2, 3)
    assert (row.target, row.champion_only, row.target_only) == (2, 0, 300)
    assert contested(row) == (2, 0, 300, 1, 1)
    assert row.state["wealth"] == []


def test_evidence_for_the_target_adds_up_over_batches() -> None:
    stream = Stream(patience=30).suspected()
    assert [stream.see(FALLEN, (10, 15)).status for _ in range(2)] == ["suspect"] * 2
    assert better(30, 20) < CONVINCING
    while stream.see(FALLEN, (10, 15)).status == "suspect":
        assert len(stream.rows) < 30
        assert better(*contested(stream.newest)[2:0:-1]) < CONVINCING
    assert stream.newest.status == "degraded"
    assert better(*contested(stream.newest)[2:0:-1]) >= CONVINCING


def test_a_champion_that_is_better_though_it_fell_lives_in_another_world() -> None:
    row = Stream().suspected().see(FALLEN, CHAMPION_IS_BETTER)
    assert held(row) == ("world-changed", 2, 3)
    assert row.state["wealth"] == []


def test_a_champion_that_is_better_and_recovered_is_healthy() -> None:
    row = Stream().suspected().see(0.93, CHAMPION_IS_BETTER)
    assert held(row) == ("healthy", None, None)
    assert (row.state["wealth"], row.state["contest"]) == ([], None)


@pytest.mark.parametrize(("value", "status"), [(FALLEN, "world-changed"), (0.92, "healthy")])
def test_what_decides_nothing_ends_with_the_patience(value: float, status: str) -> None:
    stream = Stream().suspected()
    assert [stream.see(value, ALIKE).status for _ in range(3)] == ["suspect", "suspect", status]


@pytest.mark.parametrize(("value", "status"), [(USUAL.floor - 1e-9, "world-changed"), (0.9156, "healthy")])
def test_recovered_is_who_is_at_the_floor_or_above_on_the_rows_since_the_alarm(
    value: float, status: str
) -> None:
    assert USUAL.floor < 0.9156
    assert Stream(patience=1).suspected().see(value, ALIKE).status == status


@pytest.mark.parametrize(("rows", "status"), [((10, 100_000), "healthy"), ((100_000, 10), "world-changed")])
def test_the_rows_since_the_alarm_are_weighed_by_their_number(rows: tuple[int, int], status: str) -> None:
    stream = Stream(patience=2).suspected()
    stream.see(FALLEN, ALIKE, rows=rows[0])
    assert stream.see(0.93, ALIKE, rows=rows[1]).status == status


def test_a_target_that_must_be_better_and_is_not_asked_keeps_the_suspicion() -> None:
    stream = Stream().suspected()
    assert {stream.see(FALLEN).status for _ in range(10)} == {"suspect"}
    assert held(stream.newest) == ("suspect", 2, None)


def test_a_suspicion_nobody_can_confirm_ends_with_recovery_after_the_patience() -> None:
    stream = Stream().suspected()
    assert [stream.see(0.93).status for _ in range(3)] == ["suspect", "suspect", "healthy"]
    assert held(stream.newest) == ("healthy", None, None)


def test_where_it_is_enough_if_possible_a_batch_without_the_targets_answers_lets_the_alarm_stand() -> None:
    stream = Stream(rules={"confirm": "if_possible"}).suspected()
    assert stream.see(FALLEN, ALIKE).status == "suspect"
    assert held(stream.see(FALLEN)) == ("degraded", 2, 4)


def test_where_it_is_possible_a_confirmation_is_waited_for() -> None:
    stream = Stream(rules={"confirm": "if_possible"}).suspected()
    assert held(stream.see(FALLEN, CHAMPION_IS_BETTER)) == ("world-changed", 2, 3)


def test_a_target_that_went_meanwhile_lets_the_alarm_stand() -> None:
    stream = Stream().suspected()
    stream.see(FALLEN, ALIKE)
    stream.has_target = is_not_there
    assert held(stream.see(FALLEN)) == ("degraded", 2, 4)


def test_each_target_has_a_contest_of_its_own_and_all_share_the_patience() -> None:
    stream = Stream(patience=4).suspected()
    stream.see(FALLEN, (20, 26), target=2)
    assert contested(stream.newest) == (2, 20, 26, 1, 1)
    stream.see(FALLEN, (5, 9), target=1)
    assert contested(stream.newest) == (1, 5, 9, 1, 2)
    stream.see(FALLEN, (3, 2), target=2)
    assert (contested(stream.newest), stream.newest.status) == ((2, 23, 28, 2, 3), "suspect")
    assert stream.see(FALLEN, (9, 5), target=1).status == "world-changed"


def test_targets_that_take_turns_lose_no_evidence() -> None:
    stream = Stream(patience=30).suspected()
    while stream.see(FALLEN, (0, 4), target=1 + len(stream.rows) % 2).status == "suspect":
        assert len(stream.rows) < 10
    assert stream.newest.status == "degraded"


def test_who_is_right_more_often_but_worse_by_the_metric_is_not_believed() -> None:
    stream = Stream(patience=2).suspected()
    worse = Contrast(target=2, champion_only=0, target_only=300, value=0.6)
    assert stream.see(FALLEN, worse).status == "suspect"
    better_by_metric = Contrast(target=2, champion_only=300, target_only=0, value=0.9)
    stream = Stream(patience=30).suspected()
    assert stream.see(FALLEN, better_by_metric).status == "suspect"


def test_each_further_suspicion_of_a_reign_asks_for_more() -> None:
    stream = Stream(patience=1).suspected()
    assert stream.see(FALLEN, (1, 1)).status == "world-changed"
    assert stream.see(FALLEN).status == "suspect"
    assert stream.newest.state["suspicion"]["count"] == 2
    assert CONVINCING < better(9, 0) < 4 * CONVINCING <= better(12, 0)
    assert stream.see(FALLEN, (0, 9)).status == "world-changed"
    stream.see(FALLEN)
    assert stream.see(FALLEN, (0, 300)).status == "degraded"


def test_where_no_target_can_answer_the_alarm_stands_after_the_patience() -> None:
    stream = Stream().suspected()
    statuses = [stream.see(FALLEN, unanswered=True).status for _ in range(3)]
    assert statuses == ["suspect", "suspect", "degraded"]


def test_rows_that_are_alike_convince_less() -> None:
    rules, baseline = {"correlation": 0.1}, replace(USUAL, correlation=0.1)
    stream = Stream(patience=30, rules=rules, baseline=baseline)
    while stream.see(0.5).status == "healthy":
        assert len(stream.rows) < 30
    assert stream.see(FALLEN, (0, 300)).status == "suspect"
    contest = stream.newest.state["contest"]
    assert contest["wins"] == pytest.approx(300 / (1 + 999 * 0.1))
    while stream.see(FALLEN, (0, 300)).status == "suspect":
        assert len(stream.rows) < 60
    contest = stream.newest.state["contest"]
    assert stream.newest.status == "degraded"
    assert 2 * 300 < contest["target_only"] == 300 * contest["batches"]
    assert better(contest["wins"] - 3, 0) < CONVINCING <= better(contest["wins"], 0)


def test_a_suspect_is_not_alarmed_again() -> None:
    stream = Stream(patience=30).suspected()
    for _ in range(3):
        assert held(stream.see(FALLEN, ALIKE)) == ("suspect", 2, None)
        assert stream.newest.evidence >= 1
    assert counts(stream.newest) == (0, 1)


# Degraded, and world-changed


@pytest.mark.parametrize("status", ["degraded", "world-changed"])
def test_who_recovers_for_as_long_as_the_patience_is_healthy_again(status: str) -> None:
    stream = Stream().judged(status)
    held_then = [held(stream.see(0.93)) for _ in range(3)]
    assert held_then == [(status, 2, 3), (status, 2, 3), ("healthy", None, None)]
    assert [counts(row) for row in stream.rows[3:]] == [(0, 1), (0, 1), (3, 1)]
    assert stream.newest.state["contest"] is None
    assert counts(stream.see(0.93)) == (4, 2)


def test_who_is_still_below_the_floor_is_not_well_however_calm() -> None:
    stream = Stream(first_batches=0).judged("degraded")
    assert [stream.see(0.9, rows=1).status for _ in range(9)] == ["degraded"] * 9
    assert [stream.see(0.95, rows=1).status for _ in range(3)] == ["degraded", "degraded", "healthy"]


def test_who_falls_again_while_it_is_to_come_down_is_still_to_come_down() -> None:
    stream = Stream().judged("degraded")
    stream.see(0.93)
    assert held(stream.see(FALLEN)) == ("degraded", 2, 3)
    assert counts(stream.newest) == (0, 1)
    assert [stream.see(0.93).status for _ in range(3)] == ["degraded", "degraded", "healthy"]


def test_a_second_alarm_in_a_changed_world_looks_again_and_announces_nothing_new() -> None:
    stream = Stream().judged("world-changed")
    assert held(stream.see(FALLEN)) == ("suspect", 4, 3)
    assert contested(stream.newest) == (None, 0, 0, 0, 0)
    assert held(stream.see(FALLEN, CHAMPION_IS_BETTER)) == ("world-changed", 4, 3)


def test_a_second_look_in_a_changed_world_may_find_that_the_model_broke() -> None:
    stream = Stream().judged("world-changed")
    stream.see(FALLEN)
    assert held(stream.see(FALLEN, TARGET_IS_BETTER)) == ("degraded", 4, 5)


def test_a_second_look_in_a_changed_world_may_find_that_all_is_well() -> None:
    stream = Stream().judged("world-changed")
    stream.see(FALLEN)
    assert held(stream.see(0.93, CHAMPION_IS_BETTER)) == ("healthy", None, None)
    stream.see(FALLEN)
    assert held(stream.see(FALLEN, CHAMPION_IS_BETTER)) == ("world-changed", 6, 7)


# Late


def test_a_batch_older_than_one_before_it_is_late_and_one_of_the_same_time_is_not() -> None:
    stream = Stream()
    hours = [10, 5, 7, 10, 9, 11]
    late = [stream.see(at=NOON + timedelta(hours=hour)).late for hour in hours]
    assert late == [False, True, True, False, True, False]


def test_a_late_batch_counts_for_the_alarm() -> None:
    stream = Stream()
    stream.see()
    row = stream.see(FALLEN, at=NOON)
    assert (row.late, *held(row)) == (True, "suspect", 2, None)


def test_a_late_calm_batch_is_a_batch_served() -> None:
    stream = Stream()
    stream.see()
    assert counts(stream.see(at=NOON)) == (2, 2)


def test_a_late_batch_tells_nothing_of_what_came_after_the_alarm() -> None:
    stream = Stream(patience=1).suspected()
    row = stream.see(0.89, TARGET_IS_BETTER, at=NOON)
    assert (row.late, *held(row)) == (True, "suspect", 2, None)
    assert contested(row) == (None, 0, 0, 0, 0)
    assert row.state["wealth"] != stream.rows[1].state["wealth"]
    row = stream.see(FALLEN, TARGET_IS_BETTER, at=NOON + timedelta(minutes=90))
    assert (row.late, *held(row)) == (True, "suspect", 2, None)


def test_a_late_batch_that_came_after_the_alarm_tells_of_it() -> None:
    stream = Stream(patience=30).suspected()
    stream.see(FALLEN, (1, 1), at=NOON + timedelta(days=30))
    row = stream.see(FALLEN, TARGET_IS_BETTER)
    assert (row.late, row.status) == (True, "degraded")


def test_a_late_batch_of_a_suspect_without_a_target_decides_nothing() -> None:
    stream = Stream().suspected()
    stream.has_target = is_not_asked
    assert stream.see(FALLEN, at=NOON).status == "suspect"


def test_a_version_that_is_no_longer_in_force_changes_nothing() -> None:
    stream = Stream().suspected()
    before = stream.newest
    stream.in_force, stream.has_target = False, is_not_asked
    row = stream.see(FALLEN, TARGET_IS_BETTER)
    assert (row.sequence, row.late, row.value, row.target) == (3, True, FALLEN, 2)
    same = ("floor", "evidence", "status", "alarm", "decided", "healthy", "served", "state", "policy")
    assert row.model_dump(include=set(same)) == before.model_dump(include=set(same))


def test_labels_of_a_version_that_fell_make_no_batch_of_its_successor_late() -> None:
    stream = Stream()
    stream.see()
    stream.in_force = False
    stream.see(at=NOON + timedelta(days=9))
    stream.in_force, stream.version, stream.since = True, 4, 4
    assert not stream.see().late


def test_a_first_batch_may_be_of_a_version_that_is_no_longer_in_force() -> None:
    stream = Stream(in_force=False)
    row = stream.see(FALLEN)
    assert (row.late, *held(row), *counts(row)) == (True, "healthy", None, None, 0, 0)
    stream.in_force = True
    assert (stream.see(at=NOON).late, counts(stream.newest)) == (False, (1, 1))


@pytest.mark.parametrize("in_force", [True, False])
@pytest.mark.parametrize(("value", "rows"), [(1.01, 10), (-0.1, 10), (nan, 10), (inf, 10), (0.9, 0)])
def test_what_no_metric_could_be_is_refused_of_any_version(value: float, rows: int, in_force: bool) -> None:  # noqa: FBT001, an example
    fresh, begun = Stream(in_force=in_force), Stream()
    begun.see()
    begun.in_force = in_force
    for stream in (fresh, begun):
        before = list(stream.rows)
        with pytest.raises(InvalidObservation):
            stream.see(value, rows=rows)
        assert stream.rows == before


# The first batches


def test_the_first_batches_are_pooled_with_the_evaluation_once() -> None:
    stream = Stream(first_batches=3)
    seen = [(0.93, 500), (0.91, 2_000), (0.95, 100)]
    for value, rows in seen:
        assert reference(stream.newest) == USUAL if stream.rows else True
        stream.see(value, rows=rows)
    pooled = reference(stream.newest)
    expected = DegradationDetector.from_reference(0.92, 10_000, first_batches=seen)
    assert asdict(pooled) == pytest.approx(asdict(expected.baseline))
    assert pooled.rows == 12_600
    assert stream.newest.state["pool"] is None
    assert stream.newest.floor == USUAL.floor  # that is what the batch was held against
    assert stream.see(0.99).floor == pooled.floor
    assert reference(stream.newest) == pooled


def test_rows_that_are_alike_weigh_less_in_the_evaluation_and_in_the_pool() -> None:
    stream = Stream(rules={"correlation": 0.1}, baseline=replace(USUAL, correlation=0.1))
    seen = [(0.93, 500), (0.91, 2_000)]
    for value, rows in seen:
        stream.see(value, rows=rows)
    assert stream.rows[0].floor == pytest.approx(Baseline(0.92, 10_000 / (1 + 499 * 0.1)).floor)
    assert stream.rows[1].floor == pytest.approx(Baseline(0.92, 10_000 / (1 + 1_249 * 0.1)).floor)
    pooled = (0.92 * 10_000 + 0.93 * 500 + 0.91 * 2_000) / 12_500
    row = stream.see()
    assert row.floor == pytest.approx(Baseline(pooled, 12_500 / (1 + 1_249 * 0.1)).floor)
    stream.rules = {"correlation": 0.0}
    assert stream.see().floor == pytest.approx(Baseline(pooled, 12_500).floor)


def test_a_first_batch_larger_than_the_evaluation_makes_it_one_batch() -> None:
    baseline = Baseline(0.92, 2_000, correlation=0.02)
    row = Stream(rules={"correlation": 0.02}, baseline=baseline).see(rows=100_000)
    assert row.floor == pytest.approx(Baseline(0.92, 2_000 / (1 + 1_999 * 0.02)).floor)


def test_an_alarm_empties_the_pool() -> None:
    stream = Stream(first_batches=2).suspected()
    assert stream.newest.state["pool"] == {"total": 0.0, "rows": 0.0, "batches": 0}
    stream.see(0.93, CHAMPION_IS_BETTER)
    seen = [(0.925, 500), (0.935, 500)]
    for value, rows in seen:
        assert reference(stream.newest) == USUAL
        stream.see(value, rows=rows)
    expected = DegradationDetector.from_reference(0.92, 10_000, first_batches=seen)
    assert asdict(reference(stream.newest)) == pytest.approx(asdict(expected.baseline))


def test_batches_in_a_changed_world_are_not_pooled() -> None:
    stream = Stream(first_batches=2, patience=30).judged("world-changed")
    for _ in range(4):
        stream.see(0.93)
    assert reference(stream.newest) == USUAL


def test_where_no_first_batches_are_wanted_none_is_pooled() -> None:
    stream = Stream(first_batches=0)
    for _ in range(3):
        stream.see(0.95)
    assert reference(stream.newest) == USUAL
    assert counts(stream.newest) == (3, 3)


def test_first_batches_that_contradict_the_evaluation_are_told_of_once() -> None:
    stream = Stream(first_batches=2)
    told = [stream.see(value).state["disagreement"] for value in (0.95, 0.96, 0.96)]
    assert (told[0], told[2]) == (None, None)
    error = USUAL.deviation * (1 / 10_000 + 1 / 2_000) ** 0.5
    assert told[1] == pytest.approx((0.955 - 0.92) / error)


@pytest.mark.parametrize(("errors", "told"), [(2.57, False), (2.58, True), (-2.57, False), (-2.58, True)])
def test_what_chance_does_once_in_a_hundred_times_is_a_contradiction(errors: float, told: bool) -> None:  # noqa: FBT001, expected
    value = 0.92 + errors * USUAL.deviation * (1 / 10_000 + 1 / 1_000) ** 0.5
    row = Stream(first_batches=1).see(value)
    assert (row.state["disagreement"] is not None) is told


# Another reign, another policy, another version


def test_a_version_that_comes_back_keeps_what_is_normal_and_begins_with_nothing_held_against_it() -> None:
    stream = Stream(first_batches=1)
    stream.see(0.94)
    frozen = reference(stream.newest)
    stream.see(0.918)
    stream.see(FALLEN)
    stream.since = 5
    row = stream.see(0.94)
    assert (row.since, *held(row), *counts(row)) == (5, "healthy", None, None, 1, 3)
    assert (reference(row), row.state["pool"]) == (frozen, None)
    fresh = DegradationDetector(frozen)
    fresh.update(0.94, 1_000)
    assert tuple(row.state["wealth"]) == fresh.state


def test_a_version_that_comes_back_before_its_pool_closed_fills_another() -> None:
    stream = Stream(first_batches=2)
    stream.see(0.94)
    stream.since = 5
    stream.see(0.93)
    assert reference(stream.newest) == USUAL
    assert stream.newest.state["pool"]["batches"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"tolerance": 0.03},
        {"detector": "threshold"},
        {"every": 500},
        {"rollback": RollbackPolicy(served=3)},
    ],
)
def test_another_policy_forgets_no_suspicion(change: dict[str, Any]) -> None:
    stream = Stream().suspected()
    stream.rules = change
    row = stream.see(0.91)
    assert held(row) == ("suspect", 2, None)
    assert row.policy == stream.policy.model_dump(mode="json")


def test_two_policies_that_take_turns_hide_no_fall() -> None:
    stream = Stream(first_batches=0)
    while stream.see(0.905, rows=500).status == "healthy":
        stream.rules = {"every": 500} if len(stream.rows) % 2 else {}
        assert len(stream.rows) < 40


def test_another_policy_is_heard_by_the_detector() -> None:
    stream = Stream()
    stream.see()
    stream.rules = {"tolerance": 0.1, "correlation": 0.2}
    row = stream.see()
    assert row.floor == pytest.approx(0.82)
    assert reference(row).correlation == 0.2


def test_a_policy_of_a_version_that_is_out_of_force_begins_nothing() -> None:
    stream = Stream().suspected()
    stream.in_force, stream.rules = False, {"every": 500}
    assert held(stream.see()) == ("suspect", 2, None)


def test_a_tolerance_that_no_fall_could_pass_is_refused() -> None:
    stream = Stream()
    stream.see()
    stream.rules = {"tolerance": 0.95}
    with pytest.raises(InvalidBaseline):
        stream.see()


def test_each_version_of_the_stream_has_a_state_of_its_own() -> None:
    stream = Stream().suspected()
    stream.version, stream.since, stream.baseline = 4, 4, Baseline(0.8, 500)
    row = stream.see(0.8)
    assert (row.sequence, row.previous, row.floor) == (3, 2, Baseline(0.8, 500).floor)
    assert (*held(row), *counts(row)) == ("healthy", None, None, 1, 1)


# A process that takes over


def through_json(row: Observation) -> Observation:
    return Observation.model_validate(json.loads(canonical_json(row.model_dump(mode="json"))))


READINGS = st.fixed_dictionaries(
    {
        "value": st.sampled_from([0.92, 0.93, 0.9, 0.7]) | st.floats(0.85, 1),
        "contest": st.none() | st.sampled_from([TARGET_IS_BETTER, CHAMPION_IS_BETTER, ALIKE, (3, 9)]),
        "rows": st.integers(1, 5_000),
        "at": st.integers(0, 20).map(lambda hour: NOON + timedelta(hours=hour)),
        "target": st.integers(1, 2),
    }
)
TURNS = st.sampled_from([{}] * 6 + [{"in_force": False}, {"since": 7}, {"version": 4}])
RULES = st.fixed_dictionaries(
    {
        "detector": st.sampled_from(["degradation", "threshold", "consecutive"]),
        "confirm": st.sampled_from(["required", "if_possible", "never"]),
        "correlation": st.sampled_from([0.0, 0.05]),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(READINGS, TURNS), min_size=1, max_size=40), RULES, st.booleans())
def test_whoever_takes_over_from_the_rows_goes_on_as_if_nothing_had_happened(
    steps: list[tuple[dict[str, Any], dict[str, Any]]],
    rules: dict[str, Any],
    has_target: bool,  # noqa: FBT001, an example
) -> None:
    baseline = replace(USUAL, correlation=rules["correlation"])
    there = is_there if has_target else is_not_there
    one, other = (Stream(rules=rules, has_target=there, baseline=baseline) for _ in range(2))
    for reading, turn in steps:
        for stream in (one, other):
            for name, usual in (("in_force", True), ("since", 3), ("version", 3)):
                setattr(stream, name, turn.get(name, usual))
            stream.see(**reading)
        other.rows[-1] = through_json(other.rows[-1])
        assert other.newest.model_dump(mode="json") == one.newest.model_dump(mode="json")
        assert_sound(one.newest)


def assert_sound(row: Observation) -> None:
    assert row.status in STATUSES
    assert row.evidence >= 0
    assert row.served >= 0
    assert (row.alarm is None) == (row.status == "healthy")
    assert row.status == "healthy" or row.state["suspicion"] is not None
    if row.status in {"degraded", "world-changed"}:
        assert row.decided is not None
    if row.status == "healthy":
        assert row.decided is None


# Evidence that one of two is better


@pytest.mark.parametrize("rows", [1, 2, 5, 20, 100])
def test_between_two_that_are_alike_the_evidence_is_1_on_average(rows: int) -> None:
    mean = sum(comb(rows, wins) / 2**rows * better(wins, rows - wins) for wins in range(rows + 1))
    assert mean == pytest.approx(1)


def test_however_often_one_looks_one_in_twenty_that_are_alike_convinces_at_most() -> None:
    """Exact over all 2^14 courses, each looked at after every row."""
    convinced = 0
    for course in product((0, 1), repeat=14):
        wins = 0
        for seen, won in enumerate(course, start=1):
            wins += won
            if better(wins, seen - wins) >= CONVINCING:
                convinced += 1
                break
    assert 0 < convinced / 2**14 <= 1 / CONVINCING


def test_a_worse_target_convinces_less() -> None:
    assert better(0, 0) == pytest.approx(1)
    assert better(30, 50) < better(40, 40) < 1 < better(50, 30)


def test_seven_rows_in_a_row_convince_and_so_do_43_of_63() -> None:
    assert better(6, 0) < CONVINCING <= better(7, 0)
    assert better(42, 20) < CONVINCING <= better(43, 20)


def test_any_number_of_rows_has_a_finite_evidence() -> None:
    assert CONVINCING < better(10**9, 0) < inf
    assert better(0, 10**9) == pytest.approx(0)
    assert better(10**9, 10**9) == pytest.approx(0)
