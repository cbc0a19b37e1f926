"""Judge a version on a holdout and promote it if the policy is convinced."""

from __future__ import annotations

from prefect import flow

from registry.datasets import Dataset
from registry.policy import PromotionDecision, PromotionPolicy
from registry.references import CHAMPION
from registry.tasks import Request, open_registry, settle
from registry.tasks.forms import AliasText, ReasonText, VersionChoice


@flow(flow_run_name="promote {version}")
def promote(
    version: VersionChoice,
    holdout: str,
    reason: ReasonText,
    policy: PromotionPolicy,
    alias: AliasText = CHAMPION,
    registry: str | None = None,
) -> PromotionDecision:
    """Measure the version and the one in force on the same rows, decide, and write it into the ledger.

    Args:
        version: The challenger, such as churn@7 or churn@latest.
        holdout: Parquet or CSV file, on disk or s3://; no contender may have been trained on it.
        reason: Why it is to be promoted; it goes into the ledger.
        policy: What must hold before the version goes live, and whether a person has to agree.
        alias: What the version is to become.
        registry: Name of a saved Model Registry block; the settings of the process if not given.

    Returns:
        The decision, which is in the ledger; with the verdict of the person who was asked, if one was.
    """
    with open_registry(registry) as opened:
        challenger = opened.resolve(version).reference
        target = opened.target_of(challenger)
    request = Request(
        holdout=Dataset.read(holdout, target), policy=policy, alias=alias, because=reason, registry=registry
    )
    return settle(challenger, request)
