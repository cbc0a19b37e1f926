"""All that is known of one version, gathered in one place for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from registry.disposal import Disposal
from registry.exceptions import ArtifactCorrupted, ArtifactMissing, DataError, InvalidMetric
from registry.policy import PromotionDecision
from registry.profiles import Profiles
from registry.references import CHAMPION
from registry.signing import vouchers
from registry.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from registry.backend import Backend
    from registry.evidence import Measured
    from registry.signing import Voucher
    from registry.tables import (
        Artifact,
        DatasetRecord,
        Evaluation,
        LedgerEntry,
        ModelVersion,
        Observation,
        Pin,
    )
    from registry.tags import Tag

MOST_MEASURED = 12
"""The bounds of no more evaluations than these, the newest, are computed."""

MOST_OBSERVED = 1000
"""A card is told no more observations than these, the newest."""


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """All that a registry knows of one version.

    Attributes:
        version: The version.
        aliases: What is in force of the model, by alias.
        quarantined: The aliases under which the version fell and was not put in force since.
        datasets: The datasets that the version and its evaluations name, by fingerprint.
        evaluations: How it was measured, oldest first.
        entries: What was decided about it, under all aliases, oldest first.
        tags: What is noted on it, by key.
        description: What somebody said that it is for.
        pin: Why no retention policy gives its bytes up; None if one may.
        purged: When and why its bytes were given up; None if they were not.
        vouchers: Its signatures, oldest first, each with what can be said of it here.
        health: What was last observed of it, by alias and metric, where it is in force.
        bounds: Metrics over whole datasets with one-sided bounds, by fingerprint and scorer name, as far as
            they were asked for.
        confidence: Of each bound.
    """

    version: ModelVersion
    aliases: Mapping[str, int]
    quarantined: Sequence[str]
    datasets: Mapping[str, DatasetRecord]
    evaluations: Sequence[Evaluation]
    entries: Sequence[LedgerEntry]
    health: Sequence[Observation]
    tags: Sequence[Tag] = ()
    description: str = ""
    pin: Pin | None = None
    purged: Artifact | None = None
    vouchers: Sequence[Voucher] = ()
    bounds: Mapping[tuple[str, str], Measured] = field(default_factory=dict)
    confidence: float = 0.95

    @property
    def training_data(self) -> DatasetRecord | None:
        """What the version was trained on; None if nobody said."""
        return None if self.version.trained_on is None else self.datasets[self.version.trained_on]

    @property
    def in_force_as(self) -> list[str]:
        """The aliases that the version holds."""
        return [alias for alias, number in self.aliases.items() if number == self.version.number]

    @property
    def alias(self) -> str:
        """The alias under which its life is told: one it holds, or the last that something was decided of."""
        named = [*(entry.alias for entry in reversed(self.entries)), CHAMPION]
        return next((alias for alias in named if alias in self.in_force_as), named[0])

    @property
    def judged(self) -> LedgerEntry | None:
        """The newest entry that holds a policy's decision about the version; None if none judged it."""
        number, entries = self.version.number, reversed(self.entries)
        return next((each for each in entries if each.version == number and "verdict" in each.evidence), None)

    @property
    def decision(self) -> PromotionDecision | None:
        """What a policy decided last about the version; None if none judged it."""
        return None if self.judged is None else PromotionDecision.model_validate(self.judged.evidence)


def gather(backend: Backend, version: ModelVersion) -> Dossier:
    """Read all that is known of *version* but the bounds of its metrics."""
    rows, model = backend.rows, version.model
    aliases, history = rows.aliases(model), rows.history(model)
    evaluations = rows.evaluations(version)
    trained_on = [] if version.trained_on is None else [version.trained_on]
    known = dict.fromkeys([*trained_on, *(evaluation.dataset for evaluation in evaluations)])
    named = dict.fromkeys(entry.alias for entry in history)
    in_force = [alias for alias, number in aliases.items() if number == version.number]
    return Dossier(
        version=version,
        aliases=aliases,
        quarantined=[alias for alias in named if version.number in rows.quarantined(model, alias)],
        datasets={fingerprint: rows.dataset(fingerprint) for fingerprint in known},
        evaluations=evaluations,
        entries=[entry for entry in history if _concerns(entry, version.number)],
        health=[row for alias in in_force for row in observed(backend, model, alias)],
        tags=Tags(rows).of(version),
        description=Profiles(rows).description(version),
        pin=Disposal(rows).pins(model).get(version.number),
        purged=Disposal(rows).purged(model).get(version.number),
        vouchers=vouchers(backend, version),
    )


def observed(backend: Backend, model: str, alias: str) -> list[Observation]:
    """The newest observation of each metric in the present reign of an alias, by metric."""
    observations, reign = backend.observations, backend.rows.reign(model, alias)
    newest = [
        observations.newest(model, alias, row.metric, reign.version)
        for row in observations.newest_of_each(model, alias)
    ]
    return [row for row in newest if row is not None and row.since == reign.since]


def watched(backend: Backend, model: str, alias: str) -> list[Observation]:
    """The newest observations of the metric by which an alias was watched last, oldest first."""
    newest = backend.observations.newest_of_each(model, alias)
    last = max(newest, key=lambda row: row.recorded_at, default=None)
    return [] if last is None else backend.observations.last(model, alias, last.metric, MOST_OBSERVED)


def bounded(backend: Backend, dossier: Dossier) -> Dossier:
    """The *dossier* with the bounds of the metrics of its newest evaluations, from the stored predictions.

    A metric has none if the predictions are gone, if these rows don't say, or if nothing but resampling
    could: that takes seconds for each.

    Raises:
        ArtifactStoreUnavailable: The stored predictions can't be read now.
    """
    newest = dossier.evaluations[-MOST_MEASURED:]
    alpha = 1 - dossier.confidence
    found = {(one.dataset, each.metric): each for one in newest for each in _bounds(backend, one, alpha)}
    return replace(dossier, bounds=found)


def _bounds(backend: Backend, evaluation: Evaluation, alpha: float) -> Iterator[Measured]:
    from registry import statistics  # noqa: PLC0415, whoever shows only rows needs no statistics
    from registry.contest import Contest  # noqa: PLC0415
    from registry.evaluation import predictions_of  # noqa: PLC0415

    try:
        contest = Contest(predictions_of(backend, evaluation))
    except (ArtifactMissing, ArtifactCorrupted, DataError):
        return
    for metric in evaluation.metrics:
        if statistics.is_resampled(metric):
            continue
        try:
            yield contest.measure_alone(metric, alpha)
        except InvalidMetric:
            continue


def _concerns(entry: LedgerEntry, number: int) -> bool:
    return entry.version == number or (entry.moved and entry.replaced == number)
