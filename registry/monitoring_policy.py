"""When live numbers count as fallen, and what happens then, as plain values.

They are flow parameters as they stand: the text below each field is its description in the run form.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_CENTURY = timedelta(days=36_525)
_STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RollbackPolicy(BaseModel):
    """What an automatic rollback asks of its target, and what it holds back afterwards."""

    model_config = _STRICT

    served: int = Field(default=30, ge=0)
    """So many healthy batches a target must have served, where the alias is watched."""

    proved_within: timedelta = Field(default=timedelta(hours=1), ge=timedelta(0), le=_CENTURY)
    """A target that answered a batch beside the champion this recently has shown that it loads and
    predicts; another one is loaded and asked before it takes over."""

    cooldown_batches: int = Field(default=30, ge=0)
    """After a rollback nothing is promoted by itself until so many batches in a row were healthy, or until
    the cooldown is over."""

    cooldown: timedelta = Field(default=timedelta(days=30), ge=timedelta(0), le=_CENTURY)
    """After a rollback nothing is promoted by itself for so long, or until so many batches were healthy."""

    freeze_after: int = Field(default=2, gt=0)
    """After so many automatic rollbacks without a healthy period in between, nothing moves by itself until
    somebody moves the alias, or the batches of the cooldown, at least one, were healthy."""


class MonitoringPolicy(BaseModel):
    """When live numbers count as fallen, and what it takes to blame the model for it."""

    model_config = _STRICT

    detector: Literal["degradation", "threshold", "consecutive"] = "degradation"
    """The rule: "degradation" keeps the budget of false alarms; "threshold" and "consecutive" are simpler
    and alarm far more often in good health, see `registry.detection`."""

    every: int = Field(default=1000, gt=1)
    """The budget: about one false alarm in so many healthy batches."""

    tolerance: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """By how much the metric may fall for good before it matters, in its own units; 5 % of what the
    reference lacks of the best value if not given."""

    correlation: float = Field(default=0.0, ge=0, lt=1)
    """How alike the rows of one batch are, between 0 (independent) and 1. Rows that share a storm, a
    customer or a sensor are; leaving it out makes false alarms of bad days."""

    confirm: Literal["required", "if_possible", "never"] = "required"
    """Whether the rollback target has to be better on rows after the alarm before the champion is to come
    down: "required", and where nobody scores labelled rows the version stays suspect until it recovers
    or somebody acts; "if_possible", where an observation without the target's answers lets the alarm
    stand; "never"."""

    patience: int = Field(default=30, gt=0)
    """After so many batches that decide nothing the world is taken to have changed; and so many calm
    batches at the floor or above make a version healthy again."""

    first_batches: int = Field(default=30, ge=0)
    """So many healthy batches are pooled once with the promotion's evaluation, because the holdout of a
    version that was chosen on it flatters it."""

    rollback: RollbackPolicy = RollbackPolicy()
    """What a rollback asks of its target; so the target is the one that the champion is measured against
    after an alarm."""
