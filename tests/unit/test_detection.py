"""What the detectors of a fall do on single batches; how often they err is simulated elsewhere."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import asdict
from itertools import product
from math import comb, exp, inf, isfinite, log, nan, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.detection import BETS, FRESH, Baseline, Consecutive, DegradationDetector, Threshold
from registry.exceptions import InvalidBaseline, InvalidObservation

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.detection import Detector

    Batches = list[tuple[float, int]]

DETECTORS: dict[str, Callable[..., Detector]] = {
    "degradation": DegradationDetector,
    "threshold": Threshold,
    "consecutive": Consecutive,
}
UNLIMITED = 1e9

every_detector = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)


def falling(start: float = 0.92, to: float = 0.89, rows: int = 500) -> Batches:
    return [(start + (to - start) * step / 20, rows) for step in range(21)] + [(to, rows)] * 20


def factors(baseline: Baseline, value: float, rows: int) -> tuple[float, ...]:
    """What one batch multiplies a stake of 1 in each of the six bets by."""
    detector = DegradationDetector(baseline, every=UNLIMITED)
    assert not detector.update(value, rows)
    return detector.state


def expected(baseline: Baseline, law: dict[float, float], rows: int) -> list[float]:
    """The mean factor of each bet on the mean of *rows* independent scores of *law*, by enumeration."""
    means = [0.0] * len(BETS)
    for scores in product(law, repeat=rows):
        chance = 1.0
        for score in scores:
            chance *= law[score]
        found = factors(baseline, sum(scores) / rows, rows)
        means = [mean + chance * factor for mean, factor in zip(means, found, strict=True)]
    return means


# --- the floor


def test_the_floor_is_below_the_reference_by_the_tolerance_if_the_reference_is_well_known() -> None:
    assert Baseline(0.92, 10**9).floor == pytest.approx(0.92 - 0.05 * 0.08, abs=1e-6)


def test_the_floor_is_below_the_reference_by_its_own_error_if_that_is_wider() -> None:
    assert Baseline(0.92, 2000).floor == pytest.approx(0.92 - 1.645 * sqrt(0.92 * 0.08 / 2000))


@pytest.mark.parametrize(
    ("value", "facts", "tolerated"),
    [
        (0.92, {}, 0.05 * 0.08),
        (0.08, {"higher_is_better": False}, 0.05 * 0.08),
        (0.92, {"sd": 0.4}, 0.05 * 0.08),
        (0.0, {"sd": 0.4}, 0.05),
        (1.0, {"sd": 0.4}, 0.0),
        (-12.0, {"sd": 4.0}, 0.6),
        (12.0, {"sd": 4.0, "higher_is_better": False}, 0.6),
        (0.3, {"sd": 4.0, "higher_is_better": False}, 0.015),
        (12.0, {"sd": 4.0}, 0.6),
        (12.0, {"sd": 4.0, "best": 20.0}, 0.4),
        (0.6, {"best": 0.8}, 0.01),
        (0.92, {"tolerance": 0.03}, 0.03),
        (0.92, {"tolerance": 0.0, "best": 0.95}, 0.0),
    ],
)
def test_five_percent_of_the_distance_from_the_best_value_is_tolerated_unless_told(
    value: float, facts: dict[str, Any], tolerated: float
) -> None:
    assert Baseline(value, 10**12, **facts).tolerated == pytest.approx(tolerated)


@pytest.mark.parametrize(
    ("facts", "floor"),
    [({}, 9.0), ({"higher_is_better": False}, 11.0), ({"tolerance": 3}, 7.0)],
)
def test_the_floor_is_in_the_metrics_own_units(facts: dict[str, Any], floor: float) -> None:
    told = {"tolerance": 1, **facts}
    assert Baseline(10, 10**12, sd=1, **told).floor == pytest.approx(floor)


def test_a_given_sd_makes_the_error_of_the_reference() -> None:
    assert Baseline(10, 100, sd=4, tolerance=0).floor == pytest.approx(10 - 1.645 * 0.4)


def test_all_first_batches_are_pooled_with_the_reference_by_their_rows() -> None:
    pooled = Baseline(0.92, 2000, tolerance=0.01).pooled_with([(0.93, 200)] * 30 + [(0.90, 2000)])
    assert pooled.value == pytest.approx((0.92 * 2000 + 0.93 * 6000 + 0.90 * 2000) / 10_000)
    assert pooled == Baseline(pooled.value, 10_000, tolerance=0.01)


def test_more_than_thirty_first_batches_are_all_pooled() -> None:
    detector = DegradationDetector.from_reference(0.92, 2000, first_batches=((0.93, 200) for _ in range(40)))
    assert detector.baseline.rows == 10_000


def test_pooling_nothing_changes_nothing() -> None:
    assert Baseline(0.92, 2000).pooled_with([]) == Baseline(0.92, 2000)


def test_dependent_rows_of_first_batches_are_pooled_as_the_few_that_they_count_as() -> None:
    pooled = Baseline(0.92, 2000, correlation=0.1).pooled_with([(0.90, 91)])
    assert pooled.rows == pytest.approx(2009.1)
    assert pooled.value == pytest.approx((0.92 * 2000 + 0.90 * 9.1) / 2009.1)


def test_the_default_tolerance_follows_the_pooled_reference() -> None:
    assert Baseline(0.92, 1000).pooled_with([(0.88, 1000)]).tolerated == pytest.approx(0.05 * 0.1)


# --- the bets


@pytest.mark.parametrize(
    ("value", "rows"), [(0.3, 1), (0.3, 40), (0.5, 20), (0.92, 1), (0.92, 5), (0.995, 1), (0.995, 5)]
)
def test_each_bet_is_fair_for_a_binomial_at_the_floor(value: float, rows: int) -> None:
    baseline = Baseline(value, 3000)
    floor = baseline.floor
    means = [0.0] * len(BETS)
    for right in range(rows + 1):
        chance = comb(rows, right) * floor**right * (1 - floor) ** (rows - right)
        found = factors(baseline, right / rows, rows)
        means = [mean + chance * factor for mean, factor in zip(means, found, strict=True)]

    assert means == pytest.approx([1.0] * len(BETS), abs=1e-12)


@given(
    scores=st.lists(st.floats(0, 1), min_size=2, max_size=3, unique=True),
    weights=st.lists(st.integers(1, 20), min_size=3, max_size=3),
    rows=st.integers(1, 3),
    value=st.floats(0.3, 1),
    higher=st.booleans(),
)
def test_no_bet_gains_on_average_while_the_mean_score_is_at_the_floor_or_better(
    scores: list[float], weights: list[int], rows: int, *, value: float, higher: bool
) -> None:
    total = sum(weights[: len(scores)])
    law = {score: weight / total for score, weight in zip(scores, weights, strict=False)}
    baseline = Baseline(value if higher else 1 - value, 500, higher_is_better=higher)
    short = baseline.rising(baseline.floor) - sum(baseline.rising(score) * p for score, p in law.items())
    if short > 0:  # mix in the best score, until the mean is at the floor
        share = short / (short + 1 - baseline.rising(baseline.floor))
        law = {score: p * (1 - share) for score, p in law.items()}
        best = 1.0 if higher else 0.0
        law[best] = law.get(best, 0.0) + share

    assert max(expected(baseline, law, rows)) <= 1 + 1e-9


def test_the_bets_are_those_of_the_published_formula() -> None:
    baseline, x, n = Baseline(0.92, 2000), 0.9, 50
    m = baseline.floor
    tilted = [1 / (1 + exp(-(log(m / (1 - m)) - s))) for s in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)]
    logs = [n * (x * log(q / m) + (1 - x) * log((1 - q) / (1 - m))) for q in tilted]

    assert factors(baseline, x, n) == pytest.approx([exp(each) for each in logs], rel=1e-9)


@pytest.mark.parametrize("value", [9.9, 9.5, 5.0])
def test_the_bets_on_another_metric_are_on_a_z_of_at_most_3(value: float) -> None:
    baseline, n = Baseline(10, 400, sd=2, tolerance=0.1), 25
    z = min((baseline.floor - value) * 5 / 2, 3)
    logs = [s * 5 * z - s**2 * n / 2 for s in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)]

    assert factors(baseline, value, n) == pytest.approx([exp(each) for each in logs])


def test_no_single_batch_of_another_metric_raises_the_alarm_however_bad() -> None:
    detector = DegradationDetector(Baseline(10, 10**6, sd=2))
    assert [detector.update(-1e300, 500) for _ in range(4)] == [False, False, True, False]


def test_each_batch_adds_a_stake_to_what_the_bets_have_come_to() -> None:
    baseline = Baseline(0.92, 2000)
    detector = DegradationDetector(baseline, every=UNLIMITED)
    detector.update(0.91, 200)
    detector.update(0.90, 100)
    once, twice = factors(baseline, 0.91, 200), factors(baseline, 0.90, 100)

    assert detector.state == pytest.approx([(1 + a) * b for a, b in zip(once, twice, strict=True)])


def test_dependent_rows_count_as_fewer_independent_ones() -> None:
    dependent = Baseline(0.92, 2000, correlation=0.1)
    assert factors(dependent, 0.9, 91) == pytest.approx(
        [factor**9.1 for factor in factors(Baseline(0.92, 2000), 0.9, 1)]
    )


# --- alarms


def test_a_detector_is_made_from_a_reference_and_told_of_batches_by_keyword_or_position() -> None:
    detector = DegradationDetector.from_reference(
        value=0.92,
        rows=2000,
        first_batches=[(0.93, 200), (0.92, 200)],
        higher_is_better=True,
        sd=None,
        every=1000,
    )
    same = DegradationDetector(Baseline(0.92, 2000).pooled_with([(0.93, 200), (0.92, 200)]))
    assert detector.baseline == same.baseline
    assert detector.update(value=0.91, rows=200) is same.update(0.91, 200) is False
    assert detector.state == same.state
    assert len(detector.state) == 6


def test_all_facts_of_a_reference_reach_its_baseline() -> None:
    facts: dict[str, Any] = {
        "higher_is_better": False,
        "sd": 2.0,
        "tolerance": 0.5,
        "best": 1.0,
        "correlation": 0.1,
    }
    detector = DegradationDetector.from_reference(12, 2000, **facts, every=77)
    assert detector.baseline == Baseline(12, 2000, **facts)
    assert detector.every == 77


def test_a_fall_is_found_and_the_bets_start_from_nothing_again() -> None:
    detector = DegradationDetector(Baseline(0.92, 20_000))
    alarms = [detector.update(*batch) for batch in [(0.92, 500)] * 20 + [(0.80, 500)]]
    assert alarms == [False] * 20 + [True]
    assert detector.state == FRESH == (0.0,) * 6


def test_the_alarm_is_raised_where_the_mean_of_the_bets_reaches_the_budget() -> None:
    baseline = Baseline(0.92, 2000)
    reached = sum(factors(baseline, 0.85, 100)) / 6
    assert DegradationDetector(baseline, every=reached * (1 - 1e-9)).update(0.85, 100)
    assert not DegradationDetector(baseline, every=reached * (1 + 1e-9)).update(0.85, 100)


@every_detector
def test_the_evidence_is_whole_exactly_after_an_alarm(make: Callable[..., Detector]) -> None:
    detector = make(Baseline(0.92, 20_000))
    assert detector.evidence() == 0
    found = [(detector.update(*batch), detector.evidence()) for batch in falling() * 2]

    assert all(alarm == (evidence >= 1) for alarm, evidence in found)
    assert {alarm for alarm, _ in found} == {True, False}
    assert all(0 <= evidence < inf for _, evidence in found)


def test_the_evidence_is_the_share_of_the_budget_that_the_bets_have_come_to() -> None:
    detector = DegradationDetector(Baseline(0.92, 2000), every=400)
    detector.update(0.90, 200)
    assert detector.evidence() == pytest.approx(sum(detector.state) / 6 / 400)
    resumed = DegradationDetector(detector.baseline, every=400, state=detector.state)
    assert resumed.evidence() == detector.evidence()


@every_detector
def test_a_detector_resumes_from_its_state_at_every_batch(make: Callable[..., Detector]) -> None:
    baseline = Baseline(0.92, 20_000)
    straight, resumed = make(baseline), make(baseline)
    for batch in falling() * 2:
        resumed = make(baseline, state=json.loads(json.dumps(resumed.state)))
        assert straight.update(*batch) is resumed.update(*batch)
        assert straight.state == resumed.state
        assert straight.evidence() == resumed.evidence()


@every_detector
def test_a_detector_is_pickled_whole(make: Callable[..., Detector]) -> None:
    detector = make(Baseline(0.92, 20_000))
    for batch in falling()[:15]:
        detector.update(*batch)
    copied = pickle.loads(pickle.dumps(detector))  # noqa: S301, the test's own bytes
    assert copied.state == detector.state
    assert [copied.update(*batch) for batch in falling()] == [detector.update(*batch) for batch in falling()]


@every_detector
@pytest.mark.parametrize("facts", [{}, {"sd": 0.3, "tolerance": 0.004}])
def test_where_lower_is_better_everything_is_mirrored(
    make: Callable[..., Detector], facts: dict[str, Any]
) -> None:
    up, down = Baseline(0.92, 2000, **facts), Baseline(0.08, 2000, higher_is_better=False, **facts)
    high, low = make(up.pooled_with([(0.93, 500)])), make(down.pooled_with([(0.07, 500)]))
    for value, rows in falling(0.93, 0.88) * 2:
        assert high.update(value, rows) is low.update(1 - value, rows)
        assert low.state == pytest.approx(high.state, rel=1e-9)


@every_detector
def test_an_empty_state_starts_afresh(make: Callable[..., Detector]) -> None:
    assert make(Baseline(0.92, 2000), state=[]).state == make(Baseline(0.92, 2000)).state


@pytest.mark.parametrize(
    "facts", [{}, {"sd": 2.0, "tolerance": 0.1, "correlation": 0.1, "higher_is_better": False}]
)
def test_a_baseline_comes_back_from_json_as_it_was(facts: dict[str, Any]) -> None:
    baseline = Baseline(0.92, 2000, **facts).pooled_with([(0.9, 300)])
    assert Baseline(**json.loads(json.dumps(asdict(baseline)))) == baseline


def test_a_perfect_metric_never_alarms() -> None:
    detector = DegradationDetector(Baseline(0.92, 2000))
    assert not any(detector.update(1.0, 10_000) for _ in range(100))


@pytest.mark.parametrize("facts", [{}, {"sd": 0.3}])
def test_huge_batches_neither_overflow_nor_hide_a_fall(facts: dict[str, Any]) -> None:
    detector = DegradationDetector(Baseline(0.92, 10**9, **facts))
    assert not any(detector.update(0.92, 10**9) for _ in range(5))
    assert all(isfinite(part) for part in detector.state)
    assert any(detector.update(0.90, 10**9) for _ in range(3))
    assert isfinite(detector.evidence())
    assert json.dumps([*detector.state, detector.evidence()], allow_nan=False)


def test_more_rows_of_another_metric_never_weaken_what_a_fall_proves() -> None:
    baseline = Baseline(10, 10**9, sd=2)
    proofs = [max(factors(baseline, 5.0, rows)) for rows in (25, 100, 900, 901, 3600, 10**6)]
    assert proofs == sorted(proofs)


def test_the_largest_budget_overflows_neither() -> None:
    detector = DegradationDetector(Baseline(0.92, 10**9), every=UNLIMITED)
    assert detector.update(0.0, 10**15)
    assert isfinite(detector.evidence())


# --- references of few rows


def test_a_perfect_reference_of_ten_rows_forgives_the_first_error() -> None:
    baseline = Baseline(1.0, 10)
    assert 0.8 < baseline.floor < 0.9
    assert not DegradationDetector(baseline).update(0.9, 10)
    assert not DegradationDetector(baseline).update(0.99, 100)


@pytest.mark.parametrize("rows", [1, 10, 1000, 10**6])
@pytest.mark.parametrize("higher", [True, False])
def test_a_perfect_reference_is_never_lost_by_one_error_in_as_many_rows(rows: int, *, higher: bool) -> None:
    baseline = Baseline(1.0 if higher else 0.0, rows, higher_is_better=higher)
    first_error = 1 - 1 / rows if higher else 1 / rows
    assert not DegradationDetector(baseline).update(first_error, rows)


def test_a_perfect_reference_is_lost_when_errors_go_on() -> None:
    detector = DegradationDetector(Baseline(1.0, 10))
    assert any(detector.update(0.5, 10) for _ in range(5))


@pytest.mark.parametrize(
    ("value", "rows", "facts"),
    [
        (0.05, 10, {}),
        (0.0, 1000, {}),
        (0.95, 10, {"higher_is_better": False}),
        (1.0, 1000, {"higher_is_better": False}),
        (0.92, 1000, {"tolerance": 0.92}),
    ],
)
def test_a_floor_that_no_score_can_fall_below_is_refused(
    value: float, rows: int, facts: dict[str, Any]
) -> None:
    baseline = Baseline(value, rows, **facts)
    with pytest.raises(InvalidBaseline, match="more than"):
        DegradationDetector(baseline)


def test_a_reference_of_few_rows_can_be_watched_once_batches_are_pooled_with_it() -> None:
    detector = DegradationDetector.from_reference(0.05, 10, first_batches=[(0.1, 1000)])
    assert 0.05 < detector.baseline.floor < 0.1


# --- the simple detectors


def test_the_threshold_alarms_below_the_drop_and_not_at_it() -> None:
    threshold = Threshold(Baseline(0.92, 2000))
    found = [(threshold.update(value, 500), threshold.evidence()) for value in (0.95, 0.91, 0.90, 0.899, 0.5)]
    assert [alarm for alarm, _ in found] == [False, False, False, True, True]
    assert [share for _, share in found] == pytest.approx([0, 0.5, 1, 1, 1])
    assert threshold.state == ()


@pytest.mark.parametrize(("facts", "breach"), [({}, 9.4), ({"higher_is_better": False}, 10.6)])
def test_a_drop_is_in_the_metrics_own_units(facts: dict[str, Any], breach: float) -> None:
    threshold = Threshold(Baseline(10, 2000, sd=1, **facts), drop=0.5)
    assert threshold.update(breach, 10)
    assert not threshold.update((breach + 10) / 2, 10)


@every_detector
def test_a_metric_of_tiny_units_is_watched_as_any_other(make: Callable[..., Detector]) -> None:
    baseline = Baseline(1e-20, 10**6, sd=1e-21, higher_is_better=False)
    detector = make(baseline, **({} if make is DegradationDetector else {"drop": 1e-21}))
    assert baseline.floor == pytest.approx(1.05e-20)
    assert not any(detector.update(1e-20, 500) for _ in range(5))
    assert any(detector.update(2e-20, 500) for _ in range(5))


def test_breaches_count_only_in_a_row_and_start_from_none_after_an_alarm() -> None:
    consecutive = Consecutive(Baseline(0.92, 2000), times=2)
    found = [
        (consecutive.update(value, 500), consecutive.evidence(), consecutive.state)
        for value in (0.8, 0.92, 0.8, 0.8, 0.8, 0.8)
    ]
    assert found == [
        (False, 0.5, (1,)),
        (False, 0.0, (0,)),
        (False, 0.5, (1,)),
        (True, 1.0, (0,)),
        (False, 0.5, (1,)),
        (True, 1.0, (0,)),
    ]


def test_three_breaches_in_a_row_of_two_points_are_the_default() -> None:
    consecutive = Consecutive(Baseline(0.92, 2000))
    assert [consecutive.update(0.899, 500) for _ in range(3)] == [False, False, True]
    assert not any(consecutive.update(0.901, 500) for _ in range(10))


# --- what is refused


@every_detector
@pytest.mark.parametrize(
    ("value", "rows", "reason"),
    [
        (nan, 100, "not finite"),
        (inf, 100, "not finite"),
        (-inf, 100, "not finite"),
        (1.2, 100, r"no score in \[0, 1\]"),
        (-0.1, 100, r"no score in \[0, 1\]"),
        (0.9, 0, "whole number above 0"),
        (0.9, -5, "whole number above 0"),
        (0.9, 10.5, "whole number above 0"),
        (0.9, nan, "whole number above 0"),
        (0.9, inf, "whole number above 0"),
        (0.9, True, "whole number above 0"),
    ],
)
def test_what_is_no_batch_is_refused_and_changes_nothing(
    make: Callable[..., Detector], value: float, rows: int, reason: str
) -> None:
    detector = make(Baseline(0.92, 2000))
    detector.update(0.89, 100)
    before = detector.state, detector.evidence()
    with pytest.raises(InvalidObservation, match=reason):
        detector.update(value, rows)
    assert (detector.state, detector.evidence()) == before
    with pytest.raises(InvalidObservation, match=reason):
        Baseline(0.92, 2000).pooled_with([(value, rows)])


def test_a_metric_with_an_sd_may_take_any_finite_value() -> None:
    detector = DegradationDetector(Baseline(10, 2000, sd=2))
    assert not detector.update(1e6, 100)
    with pytest.raises(InvalidObservation, match="not finite"):
        detector.update(nan, 100)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"value": nan}, "its value is nan"),
        ({"value": inf}, "its value is inf"),
        ({"value": 1.5}, "sd"),
        ({"value": -0.5}, "sd"),
        ({"rows": 0}, "it has 0 rows"),
        ({"rows": -3}, "it has -3 rows"),
        ({"rows": nan}, "it has nan rows"),
        ({"rows": inf}, "it has inf rows"),
        ({"sd": 0}, "its sd is 0"),
        ({"sd": -1}, "its sd is -1"),
        ({"sd": nan}, "its sd is nan"),
        ({"sd": inf}, "its sd is inf"),
        ({"tolerance": -0.1}, "its tolerance is -0.1"),
        ({"tolerance": nan}, "its tolerance is nan"),
        ({"tolerance": inf}, "its tolerance is inf"),
        ({"best": nan}, "its best value is nan"),
        ({"best": inf}, "its best value is inf"),
        ({"correlation": 1}, "its correlation is 1"),
        ({"correlation": -0.1}, "its correlation is -0.1"),
        ({"correlation": nan}, "its correlation is nan"),
        ({"every": 1}, "every is 1 "),
        ({"every": 0}, "every is 0 "),
        ({"every": nan}, "every is nan "),
        ({"every": inf}, "every is inf "),
    ],
)
def test_a_reference_with_an_impossible_fact_is_refused_by_name(facts: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidBaseline, match=reason):
        DegradationDetector.from_reference(**{"value": 0.92, "rows": 2000, **facts})


@pytest.mark.parametrize("state", [(1.0,) * 5, (1.0,) * 7, (nan,) * 6, (inf,) * 6, (-1.0,) * 6])
def test_a_state_that_no_detector_ends_with_is_refused(state: tuple[float, ...]) -> None:
    with pytest.raises(InvalidBaseline, match="its state is"):
        DegradationDetector(Baseline(0.92, 2000), state=state)


@pytest.mark.parametrize("make", [Threshold, Consecutive])
@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"drop": 0}, "a drop of 0"),
        ({"drop": -0.1}, "a drop of -0.1"),
        ({"drop": nan}, "a drop of nan"),
        ({"drop": inf}, "a drop of inf"),
        ({"drop": 0.92}, "no score"),
        ({"state": (1.0, 2.0)}, "its state is"),
    ],
)
def test_a_simple_detector_that_could_not_alarm_is_refused(
    make: Callable[..., Detector], told: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidBaseline, match=reason):
        make(Baseline(0.92, 2000), **told)


@pytest.mark.parametrize("times", [0, -1, 2.5, nan, inf])
def test_a_row_of_breaches_has_a_whole_number_of_them(times: int) -> None:
    with pytest.raises(InvalidBaseline, match="in a row"):
        Consecutive(Baseline(0.92, 2000), times=times)


def test_detecting_loads_no_heavy_library() -> None:
    code = "import sys, registry.detection; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(  # noqa: S603, the code is this file's
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"numpy", "scipy", "pydantic", "sqlalchemy", "prefect"}.isdisjoint(done.stdout.split())
