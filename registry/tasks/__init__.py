"""The steps of a version's life as Prefect tasks: call the library, then announce what was written.

An event is emitted after its row is committed and bears an id of its own making, so a task that is retried
after an unlucky crash announces the same event again, not another one. Each task is imported when it is first
used, so that a rollback does not wait for the libraries of a training.
"""

from typing import TYPE_CHECKING

from registry import lazy

if TYPE_CHECKING:
    from registry.tasks.monitoring import (
        check_champion,
        publish_health,
        record_observation,
        score_champion,
    )
    from registry.tasks.promotion import (
        compare_versions,
        decide_promotion,
        evaluate_version,
        promote_version,
        register_version,
        train_model,
    )
    from registry.tasks.rollback import answer_alert, roll_back_champion
    from registry.tasks.runs import open_registry, run_key

_HOMES = {
    "train_model": "promotion",
    "register_version": "promotion",
    "evaluate_version": "promotion",
    "compare_versions": "promotion",
    "decide_promotion": "promotion",
    "promote_version": "promotion",
    "record_observation": "monitoring",
    "score_champion": "monitoring",
    "check_champion": "monitoring",
    "publish_health": "monitoring",
    "roll_back_champion": "rollback",
    "answer_alert": "rollback",
    "open_registry": "runs",
    "run_key": "runs",
}

__all__ = [
    "answer_alert",
    "check_champion",
    "compare_versions",
    "decide_promotion",
    "evaluate_version",
    "open_registry",
    "promote_version",
    "publish_health",
    "record_observation",
    "register_version",
    "roll_back_champion",
    "run_key",
    "score_champion",
    "train_model",
]


__getattr__, __dir__ = lazy.names(__name__, _HOMES)
