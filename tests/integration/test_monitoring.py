"""What is observed of the versions in force: recorded, scored, and decided, on real models."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from math import inf, nan, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Perceptron, Ridge
from sklearn.tree import DecisionTreeClassifier

from registry import Dataset, Registry, monitoring, statistics
from registry.evaluation import predictions_of
from registry.exceptions import (
    AliasConflict,
    AliasNotSet,
    ArtifactMissing,
    BaselineMissing,
    InvalidBaseline,
    InvalidMetric,
    InvalidName,
    InvalidObservation,
    InvalidReference,
    ModelNotFound,
    NeverInForce,
    NotFound,
    SchemaMismatch,
    TrainingDataAsEvidence,
    VersionNotFound,
)
from registry.monitoring import alarm_of, explained, moment_of
from registry.monitoring_policy import MonitoringPolicy, RollbackPolicy
from registry.rollback import Alert
from registry.scoring import Batch
from registry.store import Store
from registry.suspicion import Reading
from tests.examples import fit, make_dataset
from tests.three_versions import POLICY, holdout, three_versions, training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.backend import Backend
    from registry.ledger import Reign
    from registry.monitoring import Subject
    from registry.tables import Observation

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
QUICK = MonitoringPolicy(patience=3, first_batches=2, rollback=RollbackPolicy(served=0))
FALLEN = 0.3


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, which were put in force one after the other."""
    with three_versions(tmp_path_factory, tmp_path) as registry:
        for number in (1, 2, 3):
            registry.assign(f"churn@{number}", reason=f"version {number}")
        yield registry


def observe(registry: Registry, reference: str = "churn@champion", **others: Any) -> Observation:
    usual: dict[str, Any] = {
        "metric": "accuracy",
        "value": 0.85,
        "rows": 500,
        "batch": f"batch {datetime.now(UTC)}",
    }
    return registry.observe(reference, **usual | others)


def observe_many(registry: Registry, *readings: Reading, **others: Any) -> list[Observation]:
    return registry.observe_many("churn@champion", metric="accuracy", readings=readings, **others)


def reading(batch: str, value: float = 0.85, **others: Any) -> Reading:
    return Reading(**{"batch": batch, "value": value, "rows": 500, "at": NOON, **others})


def normal(row: Observation) -> tuple[float, float]:
    """The value and the rows of the evaluation that the version is held against."""
    return row.state["baseline"]["value"], row.state["baseline"]["rows"]


def accuracy(registry: Registry, reference: str, rows: Dataset) -> float:
    return registry.evaluate(reference, rows, metrics=["accuracy"]).metrics["accuracy"]


def suspect(registry: Registry, **others: Any) -> Observation:
    usual: dict[str, Any] = {"value": FALLEN, "batch": "the fall", "policy": QUICK, "at": NOON}
    row = observe(registry, **usual | others)
    assert row.status == "suspect"
    return row


def announce(registry: Registry, *decisions: Observation) -> None:
    for decision in decisions:
        registry.backend.observations.announce(decision, "an event")


def at(registry: Registry, moment: datetime) -> Registry:
    """The registry as somebody sees it who looks at *moment*."""
    rows = replace(registry.backend.rows, clock=lambda: moment)
    return Registry.of(replace(registry.backend, rows=rows))


# What is normal


def test_normal_is_the_evaluation_by_which_the_version_was_promoted(registry: Registry) -> None:
    registry.clear("churn", reason="begin anew")
    registry.promote(registry.decide("churn@3", holdout(2), POLICY))
    promoted, later = (accuracy(registry, "churn@3", holdout(seed)) for seed in (2, 3))
    assert promoted != later
    row = observe(registry)
    assert normal(row) == (promoted, 1_000)
    assert row.floor < promoted


def test_normal_is_the_newest_evaluation_of_a_version_that_was_assigned(registry: Registry) -> None:
    newest = accuracy(registry, "churn@3", holdout(2))
    assert accuracy(registry, "churn@3", holdout()) != newest
    assert normal(observe(registry)) == (newest, 1_000)


def test_normal_is_never_what_was_measured_on_the_training_data(registry: Registry) -> None:
    first = accuracy(registry, "churn@3", holdout())
    assert accuracy(registry, "churn@3", training()) != first
    assert normal(observe(registry)) == (first, 1_000)


def test_a_version_that_was_evaluated_on_its_training_data_alone_has_no_baseline(registry: Registry) -> None:
    version = registry.register(
        "churn", fit(training(), DecisionTreeClassifier(max_depth=2)), trained_on=training()
    )
    registry.assign(version.reference, reason="next")
    registry.evaluate(version.reference, training(), metrics=["accuracy"])
    with pytest.raises(BaselineMissing, match=r"churn@4 was never measured by 'accuracy' on a holdout"):
        observe(registry)
    assert registry.health("churn") == []


def test_a_metric_by_which_the_version_was_never_measured_has_no_baseline(registry: Registry) -> None:
    for metric in ("f1", "acuracy"):
        with pytest.raises(
            BaselineMissing, match=f"registry evaluate churn@3 --data HOLDOUT --metric {metric}"
        ):
            observe(registry, metric=metric)


def test_normal_stays_what_it_was_when_the_version_was_first_observed(registry: Registry) -> None:
    before = normal(observe(registry, batch="1", policy=QUICK))
    accuracy(registry, "churn@3", holdout(2))
    assert normal(observe(registry, batch="2", value=FALLEN)) == before


def test_a_reference_of_ten_rows_watches_widely(registry: Registry) -> None:
    frame = holdout().frame.head(10)
    value = accuracy(registry, "churn@3", Dataset.from_frame(frame, "late"))
    row = observe(registry)
    assert normal(row) == (value, 10)
    assert row.floor < value - 0.1
    assert registry.health("churn")[0].status == "healthy"
    assert observe(registry, value=0.05).status == "degraded"


# Metrics of every kind


@pytest.mark.parametrize("metric", ["roc_auc", "neg_log_loss", "neg_brier_score", "f1", "balanced_accuracy"])
def test_a_classifier_is_watched_by_any_metric(registry: Registry, metric: str) -> None:
    evaluation = registry.evaluate("churn@3", holdout(), metrics=[metric])
    assert_watched(registry, "churn", metric, evaluation.metrics[metric])


@pytest.mark.parametrize("metric", ["r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"])
def test_a_regressor_is_watched_by_any_metric(make_registry: Callable[..., Registry], metric: str) -> None:
    registry = make_registry()
    rows, others = (Dataset.from_frame(each.frame, "wind") for each in (training(), holdout()))
    for estimator in (Ridge(100.0), LinearRegression()):
        version = registry.register("wind", fit(rows, estimator), trained_on=rows)
        registry.assign(version.reference, reason="next")
    value = registry.evaluate("wind@2", others, metrics=[metric]).metrics[metric]
    assert_watched(registry, "wind", metric, value)


def assert_watched(registry: Registry, model: str, metric: str, value: float) -> None:
    """It is held against its evaluation, one standard error of which is known."""
    [evaluation] = [each for each in registry.evaluations(f"{model}@champion") if metric in each.metrics]
    rows = predictions_of(registry.backend, evaluation)
    row = observe(registry, f"{model}@champion", metric=metric, value=value, batch="1", policy=QUICK)
    baseline = row.state["baseline"]
    assert (row.status, baseline["value"]) == ("healthy", value)
    error = baseline["sd"] / sqrt(1_000)
    bounds = statistics.standing(metric, rows)
    assert (bounds.upper(0.05) - bounds.lower(0.05)) / 2 == pytest.approx(1.645 * error, rel=0.1)
    best = 0 if metric.startswith("neg_") else 1
    lost = max(0.05 * (best - value), 1.645 * error)
    assert row.floor == pytest.approx(value - lost)
    fall(registry, model, metric, row.floor - 10 * baseline["sd"])


def fall(registry: Registry, model: str, metric: str, value: float) -> None:
    """Let a metric fall until it is noticed: how far, the detector of such a one does not believe at once."""
    reference, rows = f"{model}@champion", 0
    usual: dict[str, Any] = {"metric": metric, "value": value, "policy": QUICK, "at": NOON}
    while observe(registry, reference, **usual).status == "healthy":
        rows += 1
        assert rows < 10
    assert registry.health(model)[-1].status == "suspect"


def test_against_a_metric_that_never_varied_nothing_is_watched(
    make_registry: Callable[..., Registry],
) -> None:
    registry = make_registry()
    same = [Dataset.from_frame(make_dataset(rows=rows, fee=3.5).frame, "fee") for rows in (40, 50)]
    registry.register("fee", fit(same[0], DummyRegressor()), trained_on=same[0])
    registry.assign("fee@1", reason="start")
    registry.evaluate("fee@1", same[1], metrics=["neg_mean_absolute_error"])
    with pytest.raises(InvalidBaseline, match=r"its sd is 0\.0"):
        observe(registry, "fee@champion", metric="neg_mean_absolute_error", value=-0.1)


def test_each_metric_is_a_stream_of_its_own(registry: Registry) -> None:
    registry.evaluate("churn@3", holdout(), metrics=["f1"])
    suspect(registry)
    row = observe(registry, metric="f1", batch="the fall")
    assert (row.sequence, row.status) == (1, "healthy")
    assert [(held.metric, held.status) for held in registry.health("churn")] == [
        ("accuracy", "suspect"),
        ("f1", "healthy"),
    ]


# Batches


def test_a_batch_is_recorded_as_it_was_measured(registry: Registry) -> None:
    row = observe(registry, batch="2026-03-01", value=0.84, rows=321)
    assert (row.reference, row.alias, row.metric, row.since) == ("churn@3", "champion", "accuracy", 3)
    assert (row.batch, row.value, row.rows, row.at) == (
        "2026-03-01",
        0.84,
        321,
        datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert (row.actor, row.sequence, row.status) == ("ada", 1, "healthy")
    assert registry.observations("churn", metric="accuracy") == [row]
    assert registry.health("churn") == [row]


def test_a_batch_that_is_delivered_again_counts_once(registry: Registry) -> None:
    first = observe(registry, batch="1", value=0.84)
    assert observe(registry, batch="1", value=FALLEN, rows=9) == first
    assert observe(registry, "churn@2", batch="1") == first
    twice = observe_many(registry, reading("2"), reading("1"), reading("2", 0.1))
    assert [(row.sequence, row.value) for row in twice] == [(2, 0.85), (1, 0.84), (2, 0.85)]


def test_many_batches_are_recorded_as_if_one_by_one(registry: Registry) -> None:
    values = [0.85, 0.83, FALLEN, 0.84, 0.86]
    hours = [NOON + timedelta(hours=hour) for hour in (0, 2, 3, 1, 4)]
    readings = [
        reading(f"{number}", value, at=hour)
        for number, (value, hour) in enumerate(zip(values, hours, strict=True))
    ]
    together = observe_many(registry, *readings, policy=QUICK)
    registry.assign("churn@1", alias="shadow", reason="start")
    registry.assign("churn@3", alias="shadow", reason="again")
    apart = [
        registry.observe_many("churn@3", metric="accuracy", readings=[each], alias="shadow", policy=QUICK)[0]
        for each in readings
    ]
    own = {"alias", "since", "recorded_at"}
    assert [row.model_dump(exclude=own) for row in together] == [row.model_dump(exclude=own) for row in apart]
    assert [row.late for row in together] == [False, False, False, True, False]


def test_none_of_many_batches_is_recorded_if_one_can_not_be(registry: Registry) -> None:
    with pytest.raises(InvalidObservation):
        observe_many(registry, reading("1"), reading("2", nan))
    with pytest.raises(InvalidObservation):
        observe_many(registry, reading("1"), reading("2", 1.5))
    assert registry.observations("churn", metric="accuracy") == []
    assert observe_many(registry) == []


@pytest.mark.parametrize(
    ("batch", "why"),
    [
        ({"value": nan}, "its value is nan; leave it out"),
        ({"value": inf}, "its value is inf"),
        ({"value": 1.5}, "no score in"),
        ({"rows": 0}, "it has 0 rows"),
        ({"rows": -5}, "it has -5 rows"),
        ({"rows": 10.5}, "whole number"),
        ({"batch": ""}, "1 to 256 printable characters"),
        ({"batch": "x" * 257}, "1 to 256 printable characters"),
        ({"batch": "two\nlines"}, "1 to 256 printable characters"),
        ({"batch": "2999-01-01"}, "has not come; check the clock"),
        ({"at": datetime(2999, 1, 1, tzinfo=UTC)}, "has not come; check the clock"),
    ],
)
def test_what_can_not_have_been_observed_is_refused(
    registry: Registry, batch: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidObservation, match=why):
        observe(registry, **batch)
    assert registry.observations("churn", metric="accuracy") == []


def test_a_time_without_a_zone_is_refused_of_many_and_local_of_one(registry: Registry) -> None:
    naive = datetime(2026, 3, 3, 12)  # noqa: DTZ001, that is what is tested
    with pytest.raises(InvalidObservation, match="2026-03-03 12:00 has no zone"):
        observe_many(registry, reading("1", at=naive))
    with pytest.raises(InvalidObservation, match="2026-03-03 12:00 has no zone"):
        observe(registry, batch="1", at=naive)


@pytest.mark.parametrize("batch", ["x" * 256, "März 2026 / 🛫", "'; DROP TABLE observation; --"])
def test_a_batch_may_be_called_almost_anything(registry: Registry, batch: str) -> None:
    assert observe(registry, batch=batch).batch == batch
    assert observe(registry, batch=batch).sequence == 1


def test_numbers_of_numpy_are_numbers(registry: Registry) -> None:
    observe(registry, batch="1", value=np.float64(0.84), rows=np.int64(300))
    [row] = registry.observations("churn", metric="accuracy")
    assert (row.value, row.rows) == (0.84, 300)


@pytest.mark.parametrize(
    ("batch", "moment"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T06:30", datetime(2026, 3, 1, 6, 30, tzinfo=UTC)),
        ("2026-03-01 06:30:15", datetime(2026, 3, 1, 6, 30, 15, tzinfo=UTC)),
        ("2026-03-01T06:30+02:00", datetime(2026, 3, 1, 6, 30, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-02-30", NOON),
        ("2026-03-01 second half", NOON),
        ("20260301", NOON),
        ("batch 7", NOON),
    ],
)
def test_a_batch_bears_the_time_in_its_name(batch: str, moment: datetime) -> None:
    assert moment_of(batch, NOON) == moment


def test_a_time_that_is_given_goes_before_that_in_the_name(registry: Registry) -> None:
    assert observe(registry, batch="2026-03-01", at=NOON).at == NOON


def test_a_batch_of_no_time_is_one_of_now(registry: Registry) -> None:
    assert observe(at(registry, NOON), batch="1").at == NOON


# Who is watched


def test_what_is_not_there_can_not_be_watched(registry: Registry) -> None:
    for reference, failure in {
        "chrun@champion": ModelNotFound,
        "churn@9": VersionNotFound,
        "churn@shadow": AliasNotSet,
        "churn": InvalidReference,
    }.items():
        with pytest.raises(failure):
            observe(registry, reference)
    with pytest.raises(NeverInForce, match="churn@3 was never in force as shadow"):
        observe(registry, "churn@3", alias="shadow")
    with pytest.raises(InvalidName):
        observe(registry, "churn@3", alias="latest")
    registry.clear("churn", reason="gone")
    with pytest.raises(AliasNotSet):
        observe(registry)


def test_a_version_is_watched_by_its_number_or_as_the_latest(registry: Registry) -> None:
    for number, reference in enumerate(("churn@3", "churn@latest", "churn@champion"), start=1):
        row = observe(registry, reference)
        assert (row.version, row.alias, row.sequence, row.late) == (3, "champion", number, False)


def test_labels_of_a_version_that_is_no_longer_in_force_change_nothing(registry: Registry) -> None:
    row = observe(registry, batch="1")
    late = observe(registry, "churn@2", batch="2", value=FALLEN)
    assert (late.version, late.since, late.late, late.status) == (2, 2, True, "healthy")
    assert registry.health("churn") == [row]
    assert observe(registry, batch="3").healthy == 2


def test_nothing_is_held_of_a_version_that_came_into_force_since(registry: Registry) -> None:
    suspect(registry)
    registry.assign("churn@2", reason="hotfix")
    assert registry.health("churn") == registry.alarms("churn") == []
    registry.assign("churn@3", reason="back")
    assert registry.health("churn") == registry.alarms("churn") == []
    row = observe(registry)
    assert (row.status, row.since, registry.health("churn")) == ("healthy", 5, [row])


class Overtaken(Store):
    """The alias moves each time after somebody has read who is in force, so many times."""

    times = 0

    def reign(self, model: str, alias: str, at: datetime | None = None) -> Reign:
        found = super().reign(model, alias, at)
        if Overtaken.times:
            Overtaken.times -= 1
            other = Registry.of(self.backend)  # type: ignore[attr-defined]
            other.assign(f"churn@{3 if found.version == 2 else 2}", reason="meanwhile")
        return found


@pytest.mark.parametrize("times", [1, 4])
def test_a_batch_of_whom_others_replace_meanwhile_is_recorded_nevertheless(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(Overtaken, "times", times)
    row = observe(overtaken(registry), "churn@3")
    assert row.late == (times % 2 == 1)
    assert row.since == (3 if times == 1 else 7)


def test_an_alias_that_never_stands_still_is_not_watched(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Overtaken, "times", 99)
    with pytest.raises(AliasConflict):
        observe(overtaken(registry), "churn@3")


def overtaken(registry: Registry) -> Registry:
    rows = Overtaken(registry.backend.rows.engine, registry.backend.rows.origin)
    object.__setattr__(rows, "backend", registry.backend)
    return Registry.of(replace(registry.backend, rows=rows))


# By which rules


def test_a_policy_stays_in_use_until_another_is_given(registry: Registry) -> None:
    usual = MonitoringPolicy().model_dump(mode="json")
    assert observe(registry).policy == usual
    row = observe(registry, policy=QUICK)
    assert row.policy == QUICK.model_dump(mode="json")
    row = observe(registry)
    assert (row.policy, row.healthy) == (QUICK.model_dump(mode="json"), 3)
    assert observe(registry, policy=MonitoringPolicy()).policy == usual


def test_a_tolerance_is_in_the_metrics_units(registry: Registry) -> None:
    value = accuracy(registry, "churn@3", holdout())
    assert observe(registry, policy=MonitoringPolicy(tolerance=0.1)).floor == pytest.approx(value - 0.1)


def test_a_target_must_have_served_where_the_policy_says_so(registry: Registry) -> None:
    """Version 2 was never observed, so nobody knows that it would do better."""
    observe(registry)
    assert observe(registry, value=FALLEN).status == "degraded"


def test_where_nobody_watched_before_no_service_is_asked_of_a_target(registry: Registry) -> None:
    assert observe(registry, value=FALLEN).status == "suspect"


def test_a_target_that_served_long_enough_is_one(registry: Registry) -> None:
    policy = MonitoringPolicy(rollback=RollbackPolicy(served=2))
    registry.assign("churn@2", reason="a while ago")
    observe_many(registry, reading("1", 0.9), reading("2", 0.9), policy=policy)
    registry.assign("churn@3", reason="next")
    assert observe(registry, value=FALLEN, policy=policy).status == "suspect"


# Scoring


def live(number: int, harm: str = "none", **others: Any) -> Batch:
    """The rows of one day; *harm* says what became of them."""
    frame = holdout(seed=100 + number).frame.head(400)
    if harm == "feed":  # what only version 3 looks at
        frame = frame.assign(origin=frame["origin"] + 1_000_000)
    if harm == "world":
        frame = frame.assign(late=np.random.default_rng(number).permutation(frame["late"]))
    usual: dict[str, Any] = {
        "rows": Dataset.from_frame(frame, "late"),
        "key": f"day {number}",
        "metric": "accuracy",
    }
    return Batch(**usual | {"at": NOON + timedelta(days=number)} | others)


def score(registry: Registry, number: int, harm: str = "none", **others: Any) -> Observation:
    return registry.score("churn@champion", live(number, harm, **others), policy=QUICK)


def bytes_of(registry: Registry, number: int) -> Path:
    return Path(registry.backend.artifacts.location, "sha256", registry.resolve(f"churn@{number}").artifact)


def test_a_batch_is_scored_by_the_version_in_force(registry: Registry) -> None:
    row = score(registry, 1)
    assert row.value == accuracy(registry, "churn@3", live(1).rows)
    assert (row.reference, row.rows, row.batch, row.at) == ("churn@3", 400, "day 1", NOON + timedelta(days=1))
    assert (row.target, row.status) == (None, "healthy")
    assert registry.score("churn@champion", live(2)).policy == QUICK.model_dump(mode="json")


def test_a_version_that_broke_is_told_from_its_predecessor(registry: Registry) -> None:
    rows = [score(registry, 1), *(score(registry, number, "feed") for number in (2, 3, 4))]
    assert [row.status for row in rows] == ["healthy", "suspect", "degraded", "degraded"]
    assert [row.target for row in rows] == [None, None, 2, None]
    assert rows[2].target_only > rows[2].champion_only
    [decision] = registry.alarms("churn")
    assert decision == rows[2]
    assert alarm_of(decision) == "accuracy #3"
    text = explained(decision)
    assert "accuracy of churn@3 is 0.5" in text
    assert f"only churn@2 was right on {rows[2].target_only} rows, only churn@3 on" in text


def test_a_world_that_changed_is_told_from_a_version_that_broke(registry: Registry) -> None:
    rows = [score(registry, 1), *(score(registry, number, "world") for number in range(2, 6))]
    assert [row.status for row in rows] == ["healthy", "suspect", "suspect", "suspect", "world-changed"]
    assert [row.target for row in rows] == [None, None, 2, 2, 2]
    assert registry.alarms("churn") == [rows[-1]]


def test_a_target_is_the_one_that_a_rollback_takes(registry: Registry) -> None:
    """Version 2 is passed over by both."""
    suspect(registry)
    bytes_of(registry, 2).unlink()
    row = score(registry, 1)
    assert row.target == 1
    fall = registry.answer(Alert(model="churn", reason="it fell", key="1"), QUICK.rollback)
    assert (fall.in_force, fall.evidence["proof"]) == (1, "answered beside the champion")


def test_a_target_that_has_not_served_is_not_asked(registry: Registry) -> None:
    policy = QUICK.model_copy(update={"rollback": RollbackPolicy(served=2)})
    registry.assign("churn@1", reason="a while ago")
    observe_many(registry, reading("1", 0.5), reading("2", 0.5), policy=policy)
    registry.assign("churn@2", reason="last week")
    registry.assign("churn@3", reason="next")
    observe(registry, value=FALLEN, policy=policy)
    assert registry.score("churn@champion", live(1)).target == 1


def test_no_target_that_works_leaves_the_suspicion_open(registry: Registry) -> None:
    suspect(registry)
    for number in (1, 2):
        bytes_of(registry, number).unlink()
    row = score(registry, 1, "feed")
    assert (row.target, row.status) == (None, "suspect")


@pytest.mark.parametrize("works", [True, False])
def test_what_is_handed_on_says_what_the_target_scored_or_that_nobody_answered(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    works: bool,  # noqa: FBT001, pytest gives it
) -> None:
    seen: list[Reading] = []

    def listening(backend: Backend, subject: Subject, readings: list[Reading]) -> list[Observation]:
        seen.extend(readings)
        return monitoring.observe(backend, subject, readings)

    monkeypatch.setattr("registry.scoring.observe", listening)
    score(registry, 1)
    suspect(registry)
    if not works:
        for number in (1, 2):
            bytes_of(registry, number).unlink()
    score(registry, 2)
    before, after = seen
    assert (before.contrast, before.unanswered) == (None, False)
    assert after.unanswered == (not works)
    value = after.contrast and after.contrast.value
    assert value == (accuracy(registry, "churn@2", live(2).rows) if works else None)


def test_a_suspicion_of_an_earlier_reign_asks_nobody(registry: Registry) -> None:
    suspect(registry)
    registry.assign("churn@1", reason="hotfix")
    registry.assign("churn@3", reason="back")
    row = score(registry, 1)
    assert (row.target, row.status, row.since) == (None, "healthy", 5)


def test_a_target_without_probabilities_is_no_obstacle(make_registry: Callable[..., Registry]) -> None:
    registry = make_registry()
    for estimator in (Perceptron(), None):
        version = registry.register("churn", fit(training(), estimator), trained_on=training())
        registry.assign(version.reference, reason="next")
    registry.evaluate("churn@2", holdout(), metrics=["neg_log_loss"])
    fall(registry, "churn", "neg_log_loss", -9.0)
    row = score(registry, 1, metric="neg_log_loss")
    assert (row.target, row.status) == (1, "suspect")
    assert 0 < row.target_only < row.champion_only < 400


def test_rows_of_the_training_are_no_observation(registry: Registry) -> None:
    with pytest.raises(TrainingDataAsEvidence, match="churn@3 was trained on dataset 'january'"):
        score(registry, 1, rows=training())
    assert registry.observations("churn", metric="accuracy") == []


def test_a_batch_that_was_recorded_is_not_scored_again(registry: Registry) -> None:
    """Not even the estimator is needed."""
    first = score(registry, 1)
    bytes_of(registry, 3).unlink()
    assert score(registry, 1) == first
    assert score(registry, 1, rows=training()) == first
    with pytest.raises(ArtifactMissing):
        score(registry, 2)


@pytest.mark.parametrize(
    ("batch", "failure"),
    [
        ({"metric": "roc_auc", "rows": Dataset.from_frame(holdout().frame[::2], "late")}, InvalidMetric),
        ({"metric": "acuracy"}, InvalidMetric),
        ({"metric": "f1"}, BaselineMissing),
        ({"key": ""}, InvalidObservation),
        ({"at": datetime(2999, 1, 1, tzinfo=UTC)}, InvalidObservation),
        ({"rows": Dataset.from_frame(holdout().frame.drop(columns="wind"), "late")}, SchemaMismatch),
        ({"rows": Dataset.from_frame(holdout().frame, "wind")}, SchemaMismatch),
    ],
)
def test_what_can_not_be_scored_is_not_recorded(
    registry: Registry, batch: dict[str, Any], failure: type[Exception]
) -> None:
    with pytest.raises(failure):
        score(registry, 1, **batch)
    assert registry.health("churn") == []


def test_what_is_not_there_can_not_be_scored(registry: Registry) -> None:
    for reference in ("chrun@champion", "churn@shadow"):
        with pytest.raises(NotFound):
            registry.score(reference, live(1))
    for reference in ("churn@3", "churn@latest"):
        with pytest.raises(InvalidName):
            registry.score(reference, live(1))


# What Prefect has to hear of


def test_a_suspicion_and_a_changed_world_are_told_once(registry: Registry) -> None:
    alarm = suspect(registry)
    assert registry.alarms("churn") == [alarm]
    announce(registry, alarm)
    later = at(registry, datetime.now(UTC) + timedelta(days=9))
    assert registry.alarms("churn") == later.alarms("churn") == []
    changed = [score(registry, number, "world") for number in (1, 2, 3)][-1]
    assert changed.status == "world-changed"
    assert registry.alarms("churn") == [changed]
    announce(registry, changed)
    assert later.alarms("churn") == []


def test_a_decision_is_told_also_after_the_batches_that_followed(registry: Registry) -> None:
    alarm = suspect(registry)
    observe(registry, value=FALLEN)
    assert registry.alarms("churn") == [alarm]


def test_a_version_that_is_to_come_down_is_told_of_until_somebody_answers(registry: Registry) -> None:
    policy = QUICK.model_copy(update={"confirm": "never"})
    fall = observe(registry, value=FALLEN, policy=policy)
    assert registry.alarms("churn") == [fall]
    announce(registry, fall)
    assert registry.alarms("churn") == []
    sent = registry.backend.observations.announcements(fall)[0].announced_at
    assert at(registry, sent + timedelta(minutes=9)).alarms("churn") == []
    assert at(registry, sent + timedelta(minutes=10)).alarms("churn") == [fall]
    assert registry.alarms("churn", again=timedelta(0)) == [fall]
    note(registry, fall)
    assert at(registry, sent + timedelta(days=9)).alarms("churn") == []


def note(registry: Registry, fall: Observation) -> None:
    """Nothing can be gone back to, and the ledger says so."""
    for number in (1, 2):
        bytes_of(registry, number).unlink()
    entry = registry.answer(Alert(model="churn", reason=explained(fall), key=alarm_of(fall), version=3))
    assert (entry.kind, entry.evidence["why"]) == ("alerted", "no predecessor")


def test_who_recovered_is_not_told_of(registry: Registry) -> None:
    suspect(registry)
    assert [observe(registry).status for _ in range(3)] == ["suspect", "suspect", "healthy"]
    assert registry.alarms("churn") == []


def test_of_a_model_that_nobody_watches_there_is_nothing_to_tell(registry: Registry) -> None:
    assert registry.alarms("churn") == registry.health("churn") == []
    registry.clear("churn", reason="gone")
    assert registry.alarms("churn") == registry.health("churn") == []
