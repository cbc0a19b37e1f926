"""The model registry that lives inside Prefect.

The public names, in the order of a version's life. Each is imported when it is first used, so that
``import registry`` costs next to nothing and a program pays for the steps that it takes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.datasets import Dataset
    from registry.evidence import Comparison
    from registry.exceptions import RegistryError
    from registry.facade import Registry
    from registry.policy import Better, Floor, NotWorse, PromotionDecision, PromotionPolicy
    from registry.references import Reference
    from registry.serving import LoadedModel
    from registry.settings import RegistrySettings
    from registry.tables import Evaluation, LedgerEntry, ModelVersion, RegisteredModel

_HOMES = {
    "Registry": "facade",
    "RegistrySettings": "settings",
    "Reference": "references",
    "Dataset": "datasets",
    "RegisteredModel": "tables",
    "ModelVersion": "tables",
    "Evaluation": "tables",
    "Comparison": "evidence",
    "PromotionPolicy": "policy",
    "Better": "policy",
    "NotWorse": "policy",
    "Floor": "policy",
    "PromotionDecision": "policy",
    "LedgerEntry": "tables",
    "LoadedModel": "serving",
    "RegistryError": "exceptions",
}

__all__ = [
    "Better",
    "Comparison",
    "Dataset",
    "Evaluation",
    "Floor",
    "LedgerEntry",
    "LoadedModel",
    "ModelVersion",
    "NotWorse",
    "PromotionDecision",
    "PromotionPolicy",
    "Reference",
    "RegisteredModel",
    "Registry",
    "RegistryError",
    "RegistrySettings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
