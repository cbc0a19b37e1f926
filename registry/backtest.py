"""What would each version have brought? Measure all of them on new rows, against the one in force.

Nothing is decided and the ledger is not touched; the evaluations are kept, as any are. A version that was
trained on the rows, does not load or does not predict is named with the reason, and the others go on.

The work has three parts, so that the middle one can be spread over threads, processes and machines: `prepare`
chooses the versions and measures the one in force, `measure` measures one version, `assemble` puts the values
in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sklearn.metrics import get_scorer_names

from registry.comparison import contest_on, refuse_training_data
from registry.contest import SMALLEST_SLICE, Contest
from registry.evidence import Measured
from registry.exceptions import (
    ArtifactCorrupted,
    ArtifactMissing,
    DataError,
    InvalidMetric,
    ModelError,
    NotVouchedFor,
)
from registry.policy import check_confidence
from registry.references import CHAMPION, Reference, check_alias
from registry.tables import WHOLE
from registry.words import number, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.backend import Backend
    from registry.datasets import Dataset
    from registry.tables import ModelVersion

Names = Annotated[tuple[str, ...], AfterValidator(lambda names: tuple(dict.fromkeys(names)))]

_REFUSALS = (ModelError, DataError, InvalidMetric, ArtifactMissing, ArtifactCorrupted, NotVouchedFor)
_SHARES = (
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "f1",
    "jaccard",
    "precision",
    "recall",
    "roc_auc",
    "top_k_accuracy",
)


class Question(BaseModel):
    """What is asked of every version.

    Attributes:
        metrics: scikit-learn scorer names; the first puts the versions in order.
        slices: Columns of the dataset; each of their values becomes a slice such as ``origin=JFK``.
        last: Only so many of the newest versions, and the one in force; all if None.
        alias: Under which the version to beat is in force.
        confidence: That all lower bounds hold together, and all upper bounds; on all rows, and on the slices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: Names = Field(min_length=1)
    slices: Names = ()
    last: int | None = Field(default=None, ge=1)
    alias: Annotated[str, AfterValidator(check_alias)] = CHAMPION
    confidence: Annotated[float, AfterValidator(check_confidence)] = 0.95


class Measurement(BaseModel):
    """What was measured of one version.

    Attributes:
        reference: The version.
        results: Each metric on all rows, in the order asked for, then on each slice that is large enough. A
            difference is what the version has over the one in force, so what keeping that one cost.
    """

    model_config = ConfigDict(frozen=True)

    reference: str
    results: tuple[Measured, ...]

    def whole(self, metric: str) -> Measured:
        """What the metric is on all rows."""
        return next(each for each in self.results if (each.metric, each.slice) == (metric, WHOLE))

    def found(self, metric: str, part: str) -> Measured | None:
        """What the metric is on a slice, or on all rows; None if it was not measured there."""
        return next((each for each in self.results if (each.metric, each.slice) == (metric, part)), None)

    def proof(self, metric: str, part: str = WHOLE) -> Literal["better", "worse"] | None:
        """Whether it is provably better or worse than the version in force there; None if neither.

        Fewer than 30 rows prove nothing, because bounds on so few are not what they say.
        """
        measured = self.found(metric, part)
        if measured is None or measured.difference is None or measured.rows < SMALLEST_SLICE:
            return None
        if measured.lower is not None and measured.lower > 0:
            return "better"
        return "worse" if measured.upper is not None and measured.upper < 0 else None


class LeftOut(BaseModel):
    """A version that says nothing on these rows, and why."""

    model_config = ConfigDict(frozen=True)

    reference: str
    reason: str


class _Trial(BaseModel):
    """Which versions are asked what, on which rows.

    Attributes:
        model: Whose versions.
        question: What is asked of them.
        dataset: Fingerprint of the rows.
        dataset_name: What people call them.
        rows: How many they are.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    question: Question
    dataset: str
    dataset_name: str
    rows: int


class Plan(_Trial):
    """What is to be measured, and against whom; small, so that it can be handed to every worker.

    Attributes:
        in_force: What was found of the version in force; None if there is none.
        versions: The numbers of all others to measure, oldest first.
    """

    in_force: Measurement | LeftOut | None = None
    versions: tuple[int, ...]

    @property
    def rival(self) -> str | None:
        """Reference of the version that the others are compared with; None if none can be."""
        return self.in_force.reference if isinstance(self.in_force, Measurement) else None

    @property
    def alpha(self) -> float:
        """The part of the error probability for each bound on all rows (Bonferroni's inequality)."""
        return (1 - self.question.confidence) / (len(self.question.metrics) * max(1, len(self.versions)))


class Backtest(_Trial):
    """What every version would have brought on the same rows.

    Attributes:
        in_force: Reference of the version in force, even if it could not be measured; None if there is none.
        alpha: The error probability of each bound on all rows, so that all of them hold together.
        measured: The versions, best first by the first metric; that in force is one of them.
        left_out: The versions that say nothing on these rows, and why.
    """

    in_force: str | None
    alpha: float
    measured: tuple[Measurement, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def champion(self) -> Measurement | None:
        """What was measured of the version in force; None if nothing was, and so nothing is compared."""
        return next((each for each in self.measured if each.reference == self.in_force), None)

    @property
    def challengers(self) -> list[Measurement]:
        """What was measured of the others, best first."""
        return [each for each in self.measured if each.reference != self.in_force]

    def winners(self, metric: str) -> list[Measurement]:
        """The versions that are provably better than the one in force, by the largest difference first."""
        better = [each for each in self.challengers if each.proof(metric) == "better"]
        return sorted(better, key=lambda each: each.whole(metric).challenger, reverse=True)

    @property
    def headline(self) -> str:
        """What came out by the first metric, in a sentence without its full stop."""
        metric, alias = self.question.metrics[0], self.question.alias
        if not self.measured:
            return f"no version of {self.model} could be measured on {self.dataset_name}"
        if self.champion is None:
            missing = f"{self.in_force} could not be measured" if self.in_force else "nothing is in force"
            best = self.measured[0].whole(metric)
            return f"{missing}; {self.measured[0].reference} did best, {metric} {number(best.challenger)}"
        if not self.challengers:
            return f"there is nothing to compare {self.in_force} with, which is the {alias}"
        if winners := self.winners(metric):
            return f"{winners[0].reference} would have won by {_gain(winners[0].whole(metric))}"
        return f"no version is provably better than {self.in_force}, the {alias}, by {metric}"


def backtest(backend: Backend, model: str, dataset: Dataset, question: Question) -> Backtest:
    """Measure the versions of *model* on *dataset*, and say what each has over the one in force.

    The bounds are corrected for the number of versions and metrics, and for the number of slices, so that
    the best of many is not taken for better by luck.

    Raises:
        ModelNotFound: There is no such model.
        InvalidDataset: The dataset has no column to slice by.
        InvalidMetric: scikit-learn has no such scorer.
    """
    plan = prepare(backend, model, dataset, question)
    versions = (backend.rows.version(model, version) for version in plan.versions)
    return assemble(plan, [measure(backend, version, dataset, plan) for version in versions])


def prepare(backend: Backend, model: str, dataset: Dataset, question: Question) -> Plan:
    """Choose the versions to measure, and measure the one in force, which all others are compared with.

    Raises:
        ModelNotFound: There is no such model.
        InvalidDataset: The dataset has no column to slice by.
        InvalidMetric: scikit-learn has no such scorer.
    """
    versions = [version.number for version in backend.rows.versions(model)]
    in_force = backend.rows.reign(model, question.alias).version
    for column in question.slices:
        dataset.slices(column)  # raises before anything else is done
    plan = Plan(
        model=model,
        question=question,
        dataset=dataset.fingerprint,
        dataset_name=dataset.name,
        rows=dataset.rows,
        versions=tuple(number for number in versions[-(question.last or 0) :] if number != in_force),
    )
    if in_force is None:
        return plan
    found = measure(backend, backend.rows.version(model, in_force), dataset, plan)
    return plan.model_copy(update={"in_force": found})


def measure(backend: Backend, version: ModelVersion, dataset: Dataset, plan: Plan) -> Measurement | LeftOut:
    """Measure one version as the *plan* asks, or say why it can't be.

    Raises:
        InvalidMetric: scikit-learn has no such scorer.
    """
    question = plan.question
    rival = None if plan.rival is None else backend.rows.resolve(Reference.parse(plan.rival))
    try:
        refuse_training_data((version,), dataset)
        contest = contest_on(
            backend, (version, rival), dataset, metrics=question.metrics, slices=question.slices
        )
        return Measurement(reference=version.reference, results=tuple(_results(contest, plan)))
    except _REFUSALS as refusal:
        if isinstance(refusal, InvalidMetric) and refusal.metric not in get_scorer_names():
            raise
        return LeftOut(reference=version.reference, reason=str(refusal))


def assemble(plan: Plan, found: Iterable[Measurement | LeftOut]) -> Backtest:
    """Put what was *found* of the versions in order, the best first; equal ones by their number."""
    everything = [each for each in (plan.in_force, *found) if each is not None]
    metric = plan.question.metrics[0]
    measured = [each for each in everything if isinstance(each, Measurement)]
    return Backtest(
        model=plan.model,
        question=plan.question,
        dataset=plan.dataset,
        dataset_name=plan.dataset_name,
        rows=plan.rows,
        in_force=plan.in_force and plan.in_force.reference,
        alpha=plan.alpha,
        measured=tuple(sorted(measured, key=lambda each: each.whole(metric).challenger, reverse=True)),
        left_out=tuple(each for each in everything if isinstance(each, LeftOut)),
    )


def _results(contest: Contest, plan: Plan) -> Iterator[Measured]:
    metrics, parts = plan.question.metrics, dict(_large_slices(contest))
    yield from (contest.measure(metric, plan.alpha) for metric in metrics)
    for name, part in parts.items():
        on_slice = (_measured(part, metric, plan.alpha / len(parts), name) for metric in metrics)
        yield from (measured for measured in on_slice if measured is not None)


def _large_slices(contest: Contest) -> Iterator[tuple[str, Contest]]:
    """Those on which the bounds' approximations hold, which the labels alone decide: the same of all."""
    for masks in contest.slices.values():
        for name, mask in masks.items():
            part = Contest(
                contest.challenger.select(mask), contest.champion and contest.champion.select(mask)
            )
            if part.is_large:
                yield name, part


def _measured(part: Contest, metric: str, alpha: float, name: str) -> Measured | None:
    try:
        return part.measure(metric, alpha, name)
    except InvalidMetric:  # a slice may be too uniform for the metric
        return None


def _gain(winner: Measured) -> str:
    """The difference in words, of two digits; that of shares in points of a hundred."""
    gain = winner.difference or 0
    if winner.metric.startswith(_SHARES):
        return f"{short(float(f'{100 * gain:.2g}'))} points of {winner.metric}"
    return f"{short(float(f'{gain:.2g}'))} of {winner.metric}"
