"""Retrain a model and let the new version go live if the policy is convinced."""

from __future__ import annotations

from typing import Any

from prefect import flow

from registry.datasets import Dataset
from registry.policy import PromotionDecision, PromotionPolicy
from registry.references import CHAMPION
from registry.tasks import Request, register_version, settle, train_model
from registry.tasks.forms import AliasText, ModelText


@flow(flow_run_name="retrain {model}")
def train_register_promote(
    model: ModelText,
    trainer: str,
    training_data: str,
    holdout: str,
    target: str,
    policy: PromotionPolicy,
    params: dict[str, Any] | None = None,
    alias: AliasText = CHAMPION,
    registry: str | None = None,
) -> PromotionDecision:
    """Train, register, and promote the version if it is provably better on the holdout.

    Args:
        model: Name of the model; the first run makes it.
        trainer: The training function as module:function, importable where the flow runs. It is called with
            the training data as a registry.Dataset and with the parameters, and returns a fitted
            scikit-learn estimator.
        training_data: Parquet or CSV file, on disk or s3://.
        holdout: The same for the rows to judge by; no contender may have been trained on them.
        target: The column to predict.
        policy: What must hold before the version goes live, and whether a person has to agree.
        params: Passed on to the trainer, and remembered with the version.
        alias: What the version is to become.
        registry: Name of a saved Model Registry block; the settings of the process if not given.

    Returns:
        The decision, which is in the ledger; with the verdict of the person who was asked, if one was.
    """
    request = Request(holdout=Dataset.read(holdout, target), policy=policy, alias=alias, registry=registry)
    trained_on = Dataset.read(training_data, target)
    estimator = train_model(trainer, trained_on, params or {})
    version = register_version(model, estimator, trained_on, params, registry=registry)
    return settle(version.reference, request)
