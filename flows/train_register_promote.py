"""Retrain a model and let the new version go live if the policy is convinced."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.promote import settle
from registry.datasets import Dataset
from registry.policy import PromotionDecision, PromotionPolicy
from registry.tasks import register_version, train_model


@flow(flow_run_name="retrain {model}")
def train_register_promote(
    model: str,
    trainer: str,
    training_data: str,
    holdout: str,
    target: str,
    policy: PromotionPolicy,
    params: dict[str, Any] | None = None,
) -> PromotionDecision:
    """Train, register, and promote the version if it is provably better on the holdout.

    Args:
        model: Name of the model; the first run makes it.
        trainer: The training function as `module:function`, importable where the flow runs. It is called with
            the training data as a `registry.Dataset` and with the parameters, and returns a fitted
            scikit-learn estimator.
        training_data: Parquet or CSV file, on disk or `s3://`.
        holdout: The same for the rows to judge by; no contender may have been trained on them.
        target: The column to predict.
        policy: What must hold before the version goes live.
        params: Passed on to the trainer, and remembered with the version.

    Returns:
        The decision, which is in the ledger.
    """
    trained_on, rows = Dataset.read(training_data, target), Dataset.read(holdout, target)
    estimator = train_model(trainer, trained_on, params or {})
    version = register_version(model, estimator, trained_on, params)
    return settle(version.reference, rows, policy)
