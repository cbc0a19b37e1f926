from __future__ import annotations

import sys
from typing import Any

import dask
import pytest
from prefect.settings import PREFECT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS, temporary_settings
from pydantic import ValidationError

from registry.backtest import LeftOut, Plan, Question
from registry.exceptions import ExtraMissing, InvalidName, InvalidPolicy
from registry.tasks.runners import runner
from tests.backtests import a_backtest


def order(backtest: Any) -> list[str]:
    return [version.reference for version in backtest.measured]


# The order, and the words


def test_versions_stand_in_the_order_of_the_first_metric_with_the_one_in_force_among_them() -> None:
    found = a_backtest({1: {"roc_auc": 0.7}, 2: {"roc_auc": 0.6}, 3: {"roc_auc": 0.8}})
    assert order(found) == ["churn@3", "churn@1", "churn@2"]
    assert found.champion is not None
    assert found.champion.reference == "churn@1"


def test_of_equal_versions_the_one_in_force_comes_first_then_the_older() -> None:
    found = a_backtest({number: {"roc_auc": 0.7} for number in (1, 2, 3)}, champion=2)
    assert order(found) == ["churn@2", "churn@1", "churn@3"]


def test_the_headline_says_what_the_best_proven_version_would_have_won() -> None:
    found = a_backtest({1: {"roc_auc": 0.7}, 2: {"roc_auc": 0.724}, 3: {"roc_auc": 0.7125}})
    assert found.headline == "churn@2 would have won by 2.4 points of roc_auc"


def test_a_difference_of_losses_is_told_in_their_own_unit() -> None:
    found = a_backtest({1: {"neg_log_loss": -0.5}, 2: {"neg_log_loss": -0.38}})
    assert found.headline == "churn@2 would have won by 0.12 of neg_log_loss"


def test_a_version_that_is_better_within_its_bounds_has_not_won() -> None:
    found = a_backtest({1: {"roc_auc": 0.7}, 2: {"roc_auc": 0.709}})
    assert found.winners("roc_auc") == []
    assert found.headline == "no version is provably better than churn@1, the champion, by roc_auc"


def test_a_few_rows_prove_nothing() -> None:
    best = a_backtest({1: {"roc_auc": 0.7}, 2: {"roc_auc": 0.9}}).measured[0]
    fewer = [each.model_copy(update={"rows": 29}) for each in best.results]
    assert best.proof("roc_auc") == "better"
    assert best.model_copy(update={"results": fewer}).proof("roc_auc") is None


def test_winners_are_counted_by_each_metric() -> None:
    found = a_backtest(
        {
            1: {"roc_auc": 0.7, "accuracy": 0.8},
            2: {"roc_auc": 0.75, "accuracy": 0.7},
            3: {"roc_auc": 0.6, "accuracy": 0.9},
        }
    )
    assert [version.reference for version in found.winners("roc_auc")] == ["churn@2"]
    assert [version.reference for version in found.winners("accuracy")] == ["churn@3"]
    assert [version.proof("accuracy") for version in found.measured] == ["worse", None, "better"]


def test_without_anything_in_force_the_best_is_named_and_nobody_has_won() -> None:
    found = a_backtest({1: {"roc_auc": 0.7}, 2: {"roc_auc": 0.8}}, champion=None)
    assert found.headline == "nothing is in force; churn@2 did best, roc_auc 0.8000"
    assert [version.proof("roc_auc") for version in found.measured] == [None, None]


def test_a_champion_that_could_not_be_measured_is_named_with_the_others_that_could_not() -> None:
    found = a_backtest({1: {"roc_auc": 0.7}, 2: {"roc_auc": 0.8}}, champion=3)
    assert found.headline == "churn@3 could not be measured; churn@2 did best, roc_auc 0.8000"
    assert found.left_out == (LeftOut(reference="churn@3", reason="its artifact is gone"),)


def test_a_champion_alone_has_nothing_to_be_compared_with() -> None:
    found = a_backtest({1: {"roc_auc": 0.7}})
    assert found.headline == "there is nothing to compare churn@1 with, which is the champion"


def test_where_nothing_could_be_measured_that_is_the_headline() -> None:
    found = a_backtest({}, champion=3)
    assert found.headline == "no version of churn could be measured on march"


# What is asked


def test_the_error_probability_is_shared_by_all_versions_and_metrics() -> None:
    question = Question(metrics=["roc_auc", "accuracy"], confidence=0.9)
    plan = Plan(
        model="churn", question=question, dataset="", dataset_name="", rows=1, versions=(1, 2, 3, 4, 5)
    )
    assert plan.alpha == pytest.approx(0.01)


def test_a_metric_or_a_column_that_is_named_twice_is_asked_about_once() -> None:
    question = Question(metrics=["roc_auc", "accuracy", "roc_auc"], slices=["origin", "origin"])
    assert (question.metrics, question.slices) == (("roc_auc", "accuracy"), ("origin",))


@pytest.mark.parametrize(
    ("asked", "named"), [({"metrics": []}, "metrics"), ({"metrics": ["f1"], "last": 0}, "last")]
)
def test_a_question_about_nothing_is_refused_by_name(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Question(**asked)


def test_an_alias_and_a_confidence_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidName, match="'7'"):
        Question(metrics=["f1"], alias="7")
    with pytest.raises(InvalidPolicy, match="confidence"):
        Question(metrics=["f1"], confidence=1)


# Where it runs


def test_threads_are_as_many_as_prefect_is_told() -> None:
    with temporary_settings({PREFECT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS: 7}):
        assert vars(runner("threads"))["_max_workers"] == 7


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_workers_are_otherwise_as_many_as_processors(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.tasks.runners.cpu_count", lambda: 3)
    assert vars(runner(name))["_max_workers"] == 3


def test_dask_is_the_cluster_that_dask_is_configured_for() -> None:
    with dask.config.set({"scheduler-address": "tcp://scheduler:8786"}):
        assert vars(runner("dask"))["address"] == "tcp://scheduler:8786"
    assert vars(runner("dask"))["address"] is None


@pytest.mark.parametrize(("name", "module"), [("dask", "prefect_dask"), ("ray", "prefect_ray")])
def test_a_runner_whose_library_is_missing_says_what_to_install(
    name: Any, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing, match=rf"pip install 'prefect-model-registry\[{name}\]'"):
        runner(name)
