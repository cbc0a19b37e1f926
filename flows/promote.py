"""Judge a version on a holdout and promote it if the policy is convinced."""

from __future__ import annotations

from prefect import flow

from registry.datasets import Dataset
from registry.policy import PromotionDecision, PromotionPolicy
from registry.references import CHAMPION
from registry.tasks import (
    compare_versions,
    decide_promotion,
    evaluate_version,
    open_registry,
    promote_version,
)


@flow(flow_run_name="promote {version}")
def promote(version: str, holdout: str, policy: PromotionPolicy, alias: str = CHAMPION) -> PromotionDecision:
    """Measure the version and the one in force on the same rows, decide, and write it into the ledger.

    Args:
        version: The challenger, such as `churn@7` or `churn@latest`.
        holdout: Parquet or CSV file, on disk or `s3://`; no contender may have been trained on it.
        policy: What must hold before the version goes live.
        alias: What the version is to become.

    Returns:
        The decision, which is in the ledger.
    """
    return settle(version, holdout, policy, alias)


def settle(version: str, holdout: str, policy: PromotionPolicy, alias: str = CHAMPION) -> PromotionDecision:
    """The steps of the flow above, for any flow that has a version to promote."""
    with open_registry() as registry:
        challenger = registry.resolve(version)
        target = registry.target_of(challenger.reference)
        in_force = registry.aliases(challenger.model).get(alias)
    rows = Dataset.read(holdout, target)
    evaluate_version(challenger.reference, rows, policy.metrics, policy.slice_columns)
    if in_force not in {None, challenger.number}:
        champion = f"{challenger.model}@{in_force}"
        evaluate_version(champion, rows, policy.metrics, policy.slice_columns)
        compare_versions(challenger.reference, champion, rows, policy.metrics)
    decision = decide_promotion(challenger.reference, rows, policy, alias)
    promote_version(decision)
    return decision
