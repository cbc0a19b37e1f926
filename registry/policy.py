"""What must hold before a version goes live, as plain values: a policy, its checks, and what they decide.

The policy knows no database and draws no picture: it asks a ``Contest`` for bounds and answers with a verdict
and reasons. It is a flow parameter as it stands, so the descriptions here are those of the run form.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from datetime import timedelta
from math import ceil, isfinite
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from registry.evidence import Measured
from registry.exceptions import InvalidPolicy
from registry.ledger import Reign
from registry.references import CHAMPION, Reference
from registry.tables import WHOLE, canonical_json
from registry.words import count, interval, number, short, signed

if TYPE_CHECKING:
    from registry.contest import Contest

Outcome = Literal["passed", "failed", "inconclusive", "skipped"]
Verdict = Literal["promote", "reject", "inconclusive"]


class CheckResult(BaseModel):
    """What one check found.

    Attributes:
        check: The check in words, such as "roc_auc better".
        outcome: "failed" is proof that the check does not hold, "inconclusive" the lack of proof that it
            does, "skipped" that it had nothing to judge.
        reason: Why, with the numbers, in one sentence.
        threshold: What the lower bound has to stay above.
        measured: The numbers; None if nothing was measured.
    """

    model_config = ConfigDict(frozen=True)

    check: str
    outcome: Outcome
    reason: str
    threshold: float
    measured: Measured | None = None


_YEARS = timedelta(days=3_653)  # ten
_STRICT = ConfigDict(extra="forbid")  # a misspelled key would drop a demand in silence

# Prefect's run form needs the descriptions and extras below: it makes a text box of a constant and a list of
# a choice of one, and it tells by its keys what kind a check is.

Scorer = Annotated[str, Field(description="A scikit-learn scorer's name, such as roc_auc; higher is better.")]


@dataclass(frozen=True, config=_STRICT)
class Better:
    """The challenger is better: the lower bound of the paired difference is above 0."""

    metric: Scorer
    check: Annotated[Literal["better"], Field(json_schema_extra={"enum": ["better"]})] = field(
        default="better", kw_only=True
    )

    def judge(self, contest: Contest, alpha: float) -> list[CheckResult]:
        """Compare the two on all rows."""
        return [_judge_difference(f"{self.metric} better", contest, self.metric, 0.0, alpha)]


@dataclass(frozen=True, config=_STRICT)
class NotWorse:
    """The challenger is not worse by more than the margin; or, with slices, provably worse on no slice.

    On all rows the proof is the challenger's to give: the lower bound of the paired difference must be above
    -margin. On the slices of a column the check blocks on proven harm, by Holm's procedure across them.
    """

    metric: Scorer
    margin: Annotated[float, Field(description="In units of the metric, 0 or more.")] = 0.0
    slices: Annotated[str | None, Field(description="A column, each of whose values is a slice.")] = None
    check: Annotated[Literal["not worse"], Field(json_schema_extra={"enum": ["not worse"]})] = field(
        default="not worse", kw_only=True
    )

    def __post_init__(self) -> None:
        if not (isfinite(self.margin) and self.margin >= 0):
            raise InvalidPolicy(
                f"the margin of {self.metric!r} is {self.margin}; give 0 or a positive number"
            )

    def judge(self, contest: Contest, alpha: float) -> list[CheckResult]:
        """Compare the two on all rows, or on each slice."""
        words, threshold = f"{self.metric} not {_worse(self.margin)}", 0.0 - self.margin  # never -0.0
        if self.slices is None or contest.champion is None:
            return [_judge_difference(words, contest, self.metric, threshold, alpha)]
        harmed = contest.harmed(self.metric, self.slices, self.margin, alpha)
        results = [
            _judge_slice(words, part.measure(self.metric, alpha, name), threshold, name in harmed)
            for name, part in contest.by_slice(self.metric, self.slices).items()
        ]
        small = len(contest.slices[self.slices]) - len(results)
        reason = f"{count(small, 'slice')} of {self.slices} too small to compare {self.metric} on"
        outcome: Outcome = "skipped" if results else "inconclusive"
        left_out = CheckResult(check=words, outcome=outcome, reason=reason, threshold=threshold)
        return [*results, left_out] if small else results


@dataclass(frozen=True, config=_STRICT)
class Floor:
    """The challenger's own metric is above the value: the lower bound of it, not the estimate."""

    metric: Scorer
    value: Annotated[
        float,
        Field(description="What the lower bound has to stay above.", json_schema_extra={"default": None}),
    ]
    check: Annotated[Literal["floor"], Field(json_schema_extra={"enum": ["floor"]})] = field(
        default="floor", kw_only=True
    )

    def __post_init__(self) -> None:
        if not isfinite(self.value):
            raise InvalidPolicy(f"the floor of {self.metric!r} is {self.value}; give a number")

    def judge(self, contest: Contest, alpha: float) -> list[CheckResult]:
        """Judge the challenger by itself."""
        measured = contest.measure_alone(self.metric, alpha)
        outcome, floor = _outcome(measured, self.value), short(self.value)
        reason = (
            f"{self.metric} is {number(measured.challenger)} ({_bounds(measured)}), "
            f"{_relation(outcome)} the floor {floor}"
        )
        return [
            CheckResult(
                check=f"{self.metric} above {floor}",
                outcome=outcome,
                reason=reason,
                threshold=self.value,
                measured=measured,
            )
        ]


Check = Annotated[
    Better | NotWorse | Floor,
    Field(discriminator="check", json_schema_extra={"required": ["check", "metric"]}),
]


class PromotionPolicy(BaseModel):
    """What must hold before a challenger takes the alias from the champion.

    Every check has to hold. They are judged one by one at the stated confidence; since all must hold, none
    needs a correction for the others. Before there is a champion only floors are judged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checks: Annotated[Sequence[Check], AfterValidator(tuple)] = Field(
        description="All must hold; the first is the one that matters most."
    )
    confidence: float = Field(default=0.95, description="Of each one-sided bound, between 0.5 and 1.")
    min_rows: int = Field(default=100, description="A holdout with fewer rows decides nothing.")
    approval: Literal["automatic", "manual"] = Field(
        default="automatic",
        description="Whether a challenger that passed goes live by itself, or a person has to agree.",
    )
    four_eyes: bool = Field(
        default=False, description="Whoever approves must not be the one who registered the version."
    )
    answer_within: timedelta = Field(
        default=timedelta(days=1),
        description="How long a person has to answer; after that the challenger is held.",
    )

    @model_validator(mode="after")
    def _is_able_to_decide(self) -> Self:
        if not self.checks:
            raise InvalidPolicy("it has no check; give at least one, such as Better('roc_auc')")
        if all(isinstance(check, NotWorse) and check.slices for check in self.checks):
            raise InvalidPolicy(
                "it has checks on slices alone, which can prove harm but no worth; "
                "add one on all rows, such as NotWorse('roc_auc')"
            )
        check_confidence(self.confidence)
        if self.min_rows < 1:
            raise InvalidPolicy(f"min_rows is {self.min_rows}; give 1 or more, no rows decide nothing")
        if self.four_eyes and self.approval == "automatic":
            raise InvalidPolicy("four eyes need a person to approve; say approval 'manual', too")
        if not timedelta(0) < self.answer_within <= _YEARS:
            raise InvalidPolicy(
                f"nobody can answer within {self.answer_within}; give some time, such as a day"
            )
        return self

    @property
    def metrics(self) -> list[str]:
        """The scorer names that the checks need, each once."""
        return list(dict.fromkeys(check.metric for check in self.checks))

    @property
    def slice_columns(self) -> list[str]:
        """The columns that the checks slice by, each once."""
        columns = (check.slices for check in self.checks if isinstance(check, NotWorse))
        return list(dict.fromkeys(column for column in columns if column is not None))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the policy demands of the evidence; who has to agree besides is left out."""
        demands = self.model_dump(mode="json", include={"checks", "confidence", "min_rows"})
        return hashlib.sha256(canonical_json(demands).encode()).hexdigest()

    def asked_again(self, policy: PromotionPolicy) -> PromotionPolicy:
        """This policy, demanded again by another *policy* now: whoever either asks for has to agree."""
        manual = "manual" in {self.approval, policy.approval}
        agreement = {
            "approval": "manual" if manual else "automatic",
            "four_eyes": self.four_eyes or policy.four_eyes,
            "answer_within": policy.answer_within,
        }
        return self.model_copy(update=agreement)

    def foregone(self, rows: int) -> Judgement | None:
        """The verdict that needs no measurement, because the *rows* are too few; None if they are enough."""
        if rows >= self.min_rows:
            return None
        reason = f"{count(rows, 'row')} cannot decide, the policy wants {self.min_rows:,} or more"
        return Judgement("inconclusive", [], [reason])

    def judge(self, contest: Contest, alpha: float) -> Judgement:
        """The verdict on the challenger of *contest*, with one-sided bounds at *alpha*.

        Raises:
            InvalidMetric: A metric is unknown, or undefined on these rows.
        """
        if foregone := self.foregone(contest.rows):
            return foregone
        results = [result for check in self.checks for result in check.judge(contest, alpha)]
        outcomes = {result.outcome for result in results}
        if "failed" in outcomes:
            return Judgement("reject", results, _reasons(results, "failed"))
        if "inconclusive" in outcomes:
            return Judgement("inconclusive", results, _reasons(results, "inconclusive"))
        return Judgement("promote", results, _approval(results))


def check_confidence(confidence: float) -> float:
    """Return *confidence* if one-sided bounds can have it, else raise InvalidPolicy."""
    if not 0.5 < confidence < 1:  # noqa: PLR2004, below one half the bound is above the estimate
        raise InvalidPolicy(f"the confidence is {confidence}; give a number between 0.5 and 1")
    return confidence


@plain_dataclass(frozen=True)
class Judgement:
    """What a policy makes of a contest: the verdict, every check's result, and the reasons in words."""

    verdict: Verdict
    checks: list[CheckResult]
    reasons: list[str]


class PromotionDecision(BaseModel):
    """What a policy decided about a challenger, against which reign, and on what evidence.

    Attributes:
        challenger: Reference of the version that was judged.
        champion: Reference of the version in force then; None before the first.
        alias: The alias that both want.
        against: The reign that was found; a promotion refuses to end another one.
        dataset: Fingerprint of the holdout.
        dataset_name: What people call it.
        rows: How many rows it has.
        look: How many decisions this holdout has been asked for so far, with this one.
        alpha: The error probability of each bound, after what earlier looks spent.
        policy: What was demanded.
        verdict: "promote", "reject" (proof against), or "inconclusive" (no proof for).
        checks: What each check found.
        reasons: Why, in sentences.
        key: Stands for the question. The same question finds the answer that it got before.
    """

    model_config = ConfigDict(frozen=True)

    challenger: str
    champion: str | None
    alias: str = CHAMPION
    against: Reign
    dataset: str
    dataset_name: str
    rows: int
    look: int
    alpha: float
    policy: PromotionPolicy
    verdict: Verdict
    checks: list[CheckResult]
    reasons: list[str]
    key: str

    @property
    def approved(self) -> bool:
        """Whether the challenger may take the alias."""
        return self.verdict == "promote"

    @property
    def reference(self) -> Reference:
        """The challenger's reference, parsed."""
        return Reference.parse(self.challenger)


def _judge_difference(
    words: str, contest: Contest, metric: str, threshold: float, alpha: float
) -> CheckResult:
    if contest.champion is None:
        reason = f"there is no champion yet to compare the {metric} with"
        return CheckResult(check=words, outcome="skipped", reason=reason, threshold=threshold)
    measured = contest.measure(metric, alpha)
    outcome = _outcome(measured, threshold)
    reason = f"{_found(measured)}, {_relation(outcome)} {short(threshold)}"
    if outcome == "inconclusive":
        reason += _remedy(contest.difference(metric).rows_needed(-threshold, alpha))
    return CheckResult(check=words, outcome=outcome, reason=reason, threshold=threshold, measured=measured)


def _judge_slice(words: str, measured: Measured, threshold: float, harmed: bool) -> CheckResult:  # noqa: FBT001, a finding
    proof = "provably" if harmed else "not provably"
    return CheckResult(
        check=words,
        outcome="failed" if harmed else "passed",
        reason=f"{_found(measured)}, {proof} below {short(threshold)}",
        threshold=threshold,
        measured=measured,
    )


def _outcome(measured: Measured, threshold: float) -> Outcome:
    if measured.lower is not None and measured.lower > threshold:
        return "passed"
    if measured.upper is not None and measured.upper < threshold:
        return "failed"
    return "inconclusive"


def _relation(outcome: Outcome) -> str:
    return {"passed": "provably above", "failed": "provably below"}.get(outcome, "not provably above")


def _found(measured: Measured) -> str:
    where = "" if measured.slice == WHOLE else f" on {measured.slice}"
    return f"{measured.metric}{where} differs by {signed(measured.difference or 0)} ({_bounds(measured)})"


def _bounds(measured: Measured) -> str:
    return interval(measured.lower, measured.upper)


def _worse(margin: float) -> str:
    return f"worse by more than {short(margin)}" if margin else "worse"


def _remedy(rows_needed: int | None) -> str:
    if rows_needed is None:
        return ": more rows are unlikely to help"
    unit = 10 ** max(0, len(str(rows_needed)) - 2)  # two digits are as much as such a number is worth
    return f": about {ceil(rows_needed / unit) * unit:,} rows would decide"


def _approval(results: list[CheckResult]) -> list[str]:
    passed = [result for result in results if result.outcome == "passed"]
    whole = [result.reason for result in passed if result.measured and result.measured.slice == WHOLE]
    sliced = Counter(
        (result.measured.slice.partition("=")[0], result.measured.metric, -result.threshold)
        for result in passed
        if result.measured and result.measured.slice != WHOLE
    )
    reasons = [*whole, *(_harmless(*family, slices) for family, slices in sliced.items())]
    return reasons or ["there is no champion yet, and no floor to stay above"]


def _harmless(column: str, metric: str, margin: float, slices: int) -> str:
    return f"{metric} is provably {_worse(margin)} on none of {count(slices, 'slice')} of {column}"


def _reasons(results: list[CheckResult], outcome: Outcome) -> list[str]:
    return [result.reason for result in results if result.outcome == outcome]
