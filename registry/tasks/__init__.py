"""The steps of a version's life as Prefect tasks: call the library, then announce what was written.

An event is emitted after its row is committed and bears an id of its own making, so a task that is retried
after an unlucky crash announces the same event again, not another one. Each task is imported when it is first
used, so that a rollback does not wait for the libraries of a training.
"""

from typing import TYPE_CHECKING

from registry import lazy

if TYPE_CHECKING:
    from registry.tasks.approval import approve_promotion, decline_promotion, withhold_promotion
    from registry.tasks.backtest import measure_version, prepare_backtest, publish_backtest
    from registry.tasks.cards import publish_cards
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
    from registry.tasks.settling import Request, settle
    from registry.tasks.upkeep import collect_garbage, publish_upkeep, purge_versions, verify_registry

_HOMES = {
    "train_model": "promotion",
    "register_version": "promotion",
    "evaluate_version": "promotion",
    "compare_versions": "promotion",
    "decide_promotion": "promotion",
    "promote_version": "promotion",
    "approve_promotion": "approval",
    "decline_promotion": "approval",
    "withhold_promotion": "approval",
    "publish_cards": "cards",
    "settle": "settling",
    "Request": "settling",
    "prepare_backtest": "backtest",
    "measure_version": "backtest",
    "publish_backtest": "backtest",
    "record_observation": "monitoring",
    "score_champion": "monitoring",
    "check_champion": "monitoring",
    "publish_health": "monitoring",
    "roll_back_champion": "rollback",
    "answer_alert": "rollback",
    "verify_registry": "upkeep",
    "collect_garbage": "upkeep",
    "purge_versions": "upkeep",
    "publish_upkeep": "upkeep",
    "open_registry": "runs",
    "run_key": "runs",
}

__all__ = [
    "Request",
    "answer_alert",
    "approve_promotion",
    "check_champion",
    "collect_garbage",
    "compare_versions",
    "decide_promotion",
    "decline_promotion",
    "evaluate_version",
    "measure_version",
    "open_registry",
    "prepare_backtest",
    "promote_version",
    "publish_backtest",
    "publish_cards",
    "publish_health",
    "publish_upkeep",
    "purge_versions",
    "record_observation",
    "register_version",
    "roll_back_champion",
    "run_key",
    "score_champion",
    "settle",
    "train_model",
    "verify_registry",
    "withhold_promotion",
]


__getattr__, __dir__ = lazy.names(__name__, _HOMES)
