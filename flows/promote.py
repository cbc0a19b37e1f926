"""Judge a version on a holdout and promote it if the policy is convinced."""

from __future__ import annotations

from prefect import flow
from prefect.logging import get_run_logger

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
    with open_registry() as registry:
        challenger = registry.resolve(version)
        target = registry.target_of(challenger.reference)
    return settle(challenger.reference, Dataset.read(holdout, target), policy, alias)


def settle(
    challenger: str, holdout: Dataset, policy: PromotionPolicy, alias: str = CHAMPION
) -> PromotionDecision:
    """The steps of the flow above, for any flow that has a version to promote."""
    model = challenger.partition("@")[0]
    with open_registry() as registry:
        in_force = registry.aliases(model).get(alias)
    champion = None if in_force is None else f"{model}@{in_force}"
    if holdout.rows >= policy.min_rows:
        evaluate_version(challenger, holdout, policy.metrics, policy.slice_columns)
        if champion not in {None, challenger}:
            evaluate_version(champion, holdout, policy.metrics, policy.slice_columns)
            compare_versions(challenger, champion, holdout, policy.metrics)
    decision = decide_promotion(challenger, holdout, policy, alias)
    entry = promote_version(decision)
    get_run_logger().info("%s %s: %s", challenger, entry.kind, entry.reason)
    return decision
