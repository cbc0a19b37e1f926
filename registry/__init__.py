"""The model registry that lives inside Prefect.

The public names, in the order of a version's life. Each is imported when it is first used, so that
``import registry`` costs next to nothing and a program pays for the steps that it takes.
"""

from typing import TYPE_CHECKING

from registry import lazy

if TYPE_CHECKING:
    from registry.backtest import Backtest
    from registry.champion import Champion
    from registry.datasets import Dataset
    from registry.detection import Consecutive, DegradationDetector, Threshold
    from registry.evidence import Comparison
    from registry.exceptions import RegistryError
    from registry.facade import Registry
    from registry.monitoring_policy import MonitoringPolicy, RollbackPolicy
    from registry.policy import Better, Floor, NotWorse, PromotionDecision, PromotionPolicy
    from registry.references import Reference
    from registry.retention import RetentionPolicy
    from registry.rollback import Alert
    from registry.scoring import Batch
    from registry.search import Page, Ranking
    from registry.serving import LoadedModel
    from registry.settings import RegistrySettings
    from registry.suspicion import Reading
    from registry.tables import Evaluation, LedgerEntry, ModelVersion, Observation, RegisteredModel

_HOMES = {
    "Registry": "facade",
    "RegistrySettings": "settings",
    "Reference": "references",
    "Dataset": "datasets",
    "RegisteredModel": "tables",
    "ModelVersion": "tables",
    "Evaluation": "tables",
    "Comparison": "evidence",
    "Backtest": "backtest",
    "PromotionPolicy": "policy",
    "Better": "policy",
    "NotWorse": "policy",
    "Floor": "policy",
    "PromotionDecision": "policy",
    "LedgerEntry": "tables",
    "LoadedModel": "serving",
    "Page": "search",
    "Ranking": "search",
    "Champion": "champion",
    "Observation": "tables",
    "Reading": "suspicion",
    "Batch": "scoring",
    "MonitoringPolicy": "monitoring_policy",
    "DegradationDetector": "detection",
    "Threshold": "detection",
    "Consecutive": "detection",
    "Alert": "rollback",
    "RollbackPolicy": "monitoring_policy",
    "RetentionPolicy": "retention",
    "RegistryError": "exceptions",
}

__all__ = [
    "Alert",
    "Backtest",
    "Batch",
    "Better",
    "Champion",
    "Comparison",
    "Consecutive",
    "Dataset",
    "DegradationDetector",
    "Evaluation",
    "Floor",
    "LedgerEntry",
    "LoadedModel",
    "ModelVersion",
    "MonitoringPolicy",
    "NotWorse",
    "Observation",
    "Page",
    "PromotionDecision",
    "PromotionPolicy",
    "Ranking",
    "Reading",
    "Reference",
    "RegisteredModel",
    "Registry",
    "RegistryError",
    "RegistrySettings",
    "RetentionPolicy",
    "RollbackPolicy",
    "Threshold",
]


__getattr__, __dir__ = lazy.names(__name__, _HOMES)
