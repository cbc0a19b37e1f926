"""Did a metric fall for good, or was one batch unlucky? Detectors that answer after each batch.

A detector is fed one batch after the other: the metric's value on it, and the number of its rows. A batch
that never came changes nothing. All that a detector remembers is a few floats, from which another process
resumes.

False alarms in 1,000 healthy batches at a rate of 0.92, measured over references that were drawn from 2,000
rows and pooled with the first 30 batches:

======================  ========  =========  ==================
detector, as it comes   20 rows   500 rows   20 to 5,000 rows
======================  ========  =========  ==================
`DegradationDetector`   0.1       0.03       0.02
`Consecutive`           40        0.2        1.7
`Threshold`             360       55         130
======================  ========  =========  ==================
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from math import exp, expm1, inf, isfinite, log, log1p, nextafter, sqrt
from typing import TYPE_CHECKING, Protocol

from registry.exceptions import InvalidBaseline, InvalidObservation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BETS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
FRESH = (0.0,) * len(BETS)
TOLERATED = 0.05
ONE_SIDED_95 = 1.645
LARGEST_Z = 3.0
LARGEST_STAKED = (LARGEST_Z / BETS[0]) ** 2
LARGEST_EVERY = 1e9
TOLD_APART = 1e6
ALMOST_ONE = nextafter(1.0, 0.0)


class Detector(Protocol):
    """Says after each batch whether the metric fell."""

    @property
    def state(self) -> tuple[float, ...]:
        """What the next batch continues from; another detector that is made with it resumes there."""
        ...

    def update(self, value: float, rows: int) -> bool:
        """Take in the metric's *value* on a batch of *rows*, and return whether that raises the alarm.

        After an alarm the detector starts afresh.

        Raises:
            InvalidObservation: The metric can't take the value, or the rows can't be counted.
        """
        ...

    def evidence(self) -> float:
        """Which share of what raises an alarm the last batch reached: 1 or more exactly if it raised one."""
        ...


@dataclass(frozen=True)
class Baseline:
    """What a detector compares with: the metric as it was when the version was promoted.

    Attributes:
        value: The metric at the reference, in its own units.
        rows: How many independent rows it was measured on.
        higher_is_better: False for a metric that falls as a model improves.
        sd: The metric's standard error times the square root of its rows. None for a mean of one score in
            [0, 1] from each row, such as accuracy or a Brier score: its spread follows from its mean.
        tolerance: A fall that nobody minds, in the metric's units. None tolerates 5 % of the reference's
            distance from the best value.
        best: The best value that the metric can take. None follows from its kind: of a score in [0, 1] it is
            1, of a lower-is-better metric and of a negative value (scikit-learn's ``neg_`` losses) 0. A
            higher-is-better value above 1 knows no best, and its tolerance is 5 % of the value itself.
        correlation: Of two rows' scores within a batch, at least 0 and below 1. n such rows count as
            n / (1 + (n - 1) correlation) independent ones.

    Raises:
        InvalidBaseline: A fact is not finite, or out of its range.
    """

    value: float
    rows: float
    _: KW_ONLY
    higher_is_better: bool = True
    sd: float | None = None
    tolerance: float | None = None
    best: float | None = None
    correlation: float = 0.0

    def __post_init__(self) -> None:
        _demand(isfinite(self.value), f"its value is {self.value}; measure it on rows that define the metric")
        _demand(
            self.sd is not None or 0 <= self.value <= 1,
            f"its value {self.value} is no score in [0, 1]; give the metric's standard deviation as sd",
        )
        _demand(self.rows > 0 and isfinite(self.rows), f"it has {self.rows} rows; measure it on some")
        _demand(
            self.sd is None or (self.sd > 0 and isfinite(self.sd)), f"its sd is {self.sd}; give one above 0"
        )
        _demand(
            self.tolerance is None or (self.tolerance >= 0 and isfinite(self.tolerance)),
            f"its tolerance is {self.tolerance}; give a fall in the metric's units, 0 or more",
        )
        _demand(
            self.best is None or isfinite(self.best),
            f"its best value is {self.best}; give a finite one or none",
        )
        _demand(
            0 <= self.correlation < 1,
            f"its correlation is {self.correlation}; give one of at least 0 and below 1",
        )

    @property
    def floor(self) -> float:
        """What the metric must stay above in the long run (below, if lower is better), in its own units.

        It is worse than the reference by the tolerance, or by what sampling alone may have flattered the
        reference (one-sided 95 %), whichever is more.
        """
        return self.below(max(self.tolerated, ONE_SIDED_95 * self.deviation / sqrt(self.rows)))

    @property
    def tolerated(self) -> float:
        """The fall that nobody minds, in the metric's units: the given one, or the default of 5 %."""
        if self.tolerance is not None:
            return self.tolerance
        return TOLERATED * abs(self._best - self.value)

    @property
    def deviation(self) -> float:
        """The standard deviation of one row's score.

        A reference of N rows without any error proves no perfection: its rate is taken as 1 - 1 / (N + 2).
        """
        if self.sd is not None:
            return self.sd
        least = 1 / (self.rows + 2)
        rate = min(max(self.value, least), 1 - least)
        return sqrt(rate * (1 - rate))

    def below(self, drop: float) -> float:
        """The value that is worse than the reference by *drop*, in the metric's own units."""
        return self.rising(self.rising(self.value) - drop)

    def rising(self, value: float) -> float:
        """*value* in units where higher is better, scores in [0, 1] staying there; applied twice, itself."""
        if self.higher_is_better:
            return value
        return -value if self.sd is not None else 1 - value

    def counted(self, value: float, rows: int) -> float:
        """How many independent rows a batch of so many *rows* counts as, if it can be one.

        Raises:
            InvalidObservation: The metric can't take the *value*, or the rows can't be counted.
        """
        batch = f"the value {value} of {rows} rows"
        if not isfinite(value):
            raise InvalidObservation(
                batch, "it is not finite; leave out a batch that does not define the metric"
            )
        if self.sd is None and not 0 <= value <= 1:
            raise InvalidObservation(batch, "it is no score in [0, 1]; give the baseline an sd")
        if isinstance(rows, bool) or not 0 < rows < inf or rows != int(rows):
            raise InvalidObservation(batch, "rows are a whole number above 0; leave out a batch without any")
        return rows / (1 + (rows - 1) * self.correlation)

    def pooled_with(self, batches: Iterable[tuple[float, int]]) -> Baseline:
        """The reference with the first *batches*, each its value and its rows, weighed in.

        Once only: a reference that never stops learning follows a slow decay down.

        Raises:
            InvalidObservation: The metric can't take a value, or a batch's rows can't be counted.
        """
        weighed = [(self.value, self.rows), *((value, self.counted(value, rows)) for value, rows in batches)]
        total = sum(rows for _, rows in weighed)
        return replace(self, value=sum(value * rows for value, rows in weighed) / total, rows=total)

    @property
    def _best(self) -> float:
        if self.best is not None:
            return self.best
        if not self.higher_is_better or self.value < 0:
            return 0.0
        return 1.0 if self.value <= 1 else 0.0


class DegradationDetector:
    """Alarms when the metric's long-run mean is below the floor: a mixture Shiryaev-Roberts e-detector.

    On each batch six bets are made that the metric's mean m is no longer kept, each on a fall of another size
    s, and each multiplies its stake by a factor e whose mean is at most 1 while it is::

        score in [0, 1]:    log e = n (x ln(q / m) + (1 - x) ln((1 - q) / (1 - m))),  logit q = logit m - s
        any other metric:   log e = s sqrt(n) min(z, 3) - s^2 n / 2,                  z = (m - x) sqrt(n) / sd

    for the value x of n rows and the floor m; in the second, s sqrt(n) is at most that of 900 rows, since
    beyond it even z = 3 would lose. Each batch adds a stake of 1 to each bet, R := (1 + R) e; the alarm is
    raised once the mean of the six R reaches *every*, and they start from 0 again. Where lower is better the
    same is done with 1 - x, or with -x.

    The budget of false alarms is exact for scores in [0, 1]: while every row's mean, given all rows before
    it, is at the floor or better, at most M / *every* are expected in M batches, of any sizes that do not
    follow from their scores. For other metrics it holds as far as z is normal, and with a correlation as far
    as that describes the rows. A healthy metric lies above its floor, so that far fewer were measured: 0.06
    in 1,000 batches on average over 19 laws of streams, and 0.3 under the worst of them.

    A fall is found after 1.6 times the batches that any detector needs, on average over falls of 1 to 40
    points of an accuracy whose reference has rows enough to tell them. A fall that ends less than
    0.05 m (1 - m) below the floor (0.05 sd for other metrics) pays none of the bets, however long it lasts.

    Sources: Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change
    detection" (2022, 2024); for the delay that none can beat, Lorden (1971) and Lai (1998).
    """

    def __init__(self, baseline: Baseline, *, every: float = 1000, state: Sequence[float] = ()) -> None:
        """Watch for a fall below the floor of *baseline*.

        Args:
            baseline: The metric as it was at promotion.
            every: At most one false alarm is expected in so many healthy batches.
            state: What an earlier detector of the same baseline ended with; empty starts afresh.

        Raises:
            InvalidBaseline: The floor of a score in [0, 1] is not between the two; the budget is not above 1;
                or the state is not six numbers that such a detector could have ended with.
        """
        _demand(
            1 < every <= LARGEST_EVERY,
            f"every is {every} batches; allow a false alarm in more than 1, and in at most a billion",
        )
        self.baseline = baseline
        self.every = every
        self._floor = _watchable(baseline, baseline.floor)
        self._bets = _resumed(state, FRESH)
        self._evidence = self._share(self._bets)

    @classmethod
    def from_reference(  # noqa: PLR0913, what can be known of a reference
        cls,
        value: float,
        rows: float,
        *,
        first_batches: Iterable[tuple[float, int]] = (),
        higher_is_better: bool = True,
        sd: float | None = None,
        tolerance: float | None = None,
        best: float | None = None,
        correlation: float = 0.0,
        every: float = 1000,
    ) -> DegradationDetector:
        """Watch for a fall from the *value* that was measured on *rows* at promotion.

        The reference is pooled with all of *first_batches*, each its value and its rows; the rest is as
        `Baseline` says.

        Raises:
            InvalidBaseline: Nothing can be watched against such a reference.
            InvalidObservation: A first batch can't be one.
        """
        baseline = Baseline(
            value,
            rows,
            higher_is_better=higher_is_better,
            sd=sd,
            tolerance=tolerance,
            best=best,
            correlation=correlation,
        )
        return cls(baseline.pooled_with(first_batches), every=every)

    @property
    def state(self) -> tuple[float, ...]:
        """What each of the six bets has come to: the R of the formula."""
        return self._bets

    def update(self, value: float, rows: int) -> bool:
        """Take in the metric's *value* on a batch of *rows*, and return whether that raises the alarm.

        Raises:
            InvalidObservation: The metric can't take the value, or the rows can't be counted.
        """
        counted = self.baseline.counted(value, rows)
        growth = self._growth(self.baseline.rising(value), counted)
        most = log(TOLD_APART * self.every)
        bets = tuple(exp(min(log1p(R) + log_e, most)) for R, log_e in zip(self._bets, growth, strict=True))
        self._evidence = self._share(bets)
        alarmed = self._evidence >= 1
        self._bets = FRESH if alarmed else bets
        return alarmed

    def evidence(self) -> float:
        """Which share of *every* the mean bet reached with the last batch; more than a million is cut off."""
        return self._evidence

    def _share(self, bets: Sequence[float]) -> float:
        return sum(bets) / len(bets) / self.every

    def _growth(self, x: float, n: float) -> list[float]:
        if self.baseline.sd is None:
            # The docstring's log e, with q written out by m and s: exact where m is all but 1.
            return [n * (-s * x - log1p(self._floor * expm1(-s))) for s in BETS]
        z = min((self._floor - x) * sqrt(n) / self.baseline.sd, LARGEST_Z)
        stakes = (s * sqrt(min(n, LARGEST_STAKED)) for s in BETS)
        return [stake * z - stake**2 / 2 for stake in stakes]


class Threshold:
    """Alarms on each batch that is worse than the reference by more than *drop*: simple, and often wrong.

    False alarms in 1,000 healthy batches, measured at a rate of 0.92: 360 with 20 rows to a batch, 55 with
    500, 130 with 20 to 5,000. Nothing bounds them.
    """

    def __init__(self, baseline: Baseline, *, drop: float = 0.02, state: Sequence[float] = ()) -> None:
        """Watch for a batch that is worse than the *baseline* by more than *drop*, in the metric's units.

        Raises:
            InvalidBaseline: The drop is not above 0, or no score in [0, 1] could be that low; or there is
                a state, of which this detector has none.
        """
        _demand(drop > 0 and isfinite(drop), f"a drop of {drop}; give one above 0, in the metric's units")
        self.baseline = baseline
        self.drop = drop
        self._limit = _watchable(baseline, baseline.below(drop))
        self._state = _resumed(state, ())
        self._evidence = 0.0

    @property
    def state(self) -> tuple[float, ...]:
        """Nothing: each batch is judged by itself."""
        return self._state

    def update(self, value: float, rows: int) -> bool:
        """Take in the metric's *value* on a batch of *rows*, and return whether that raises the alarm.

        Raises:
            InvalidObservation: The metric can't take the value, or the rows can't be counted.
        """
        self.baseline.counted(value, rows)
        fallen = self.baseline.rising(self.baseline.value) - self.baseline.rising(value)
        breached = self.baseline.rising(value) < self._limit
        self._evidence = 1.0 if breached else min(max(fallen / self.drop, 0.0), ALMOST_ONE)
        return breached

    def evidence(self) -> float:
        """Which share of the drop the last batch fell by: 1 if it fell by more."""
        return self._evidence


class Consecutive:
    """Alarms when so many batches in a row are worse than the reference by more than *drop*.

    False alarms in 1,000 healthy batches, measured at a rate of 0.92 with three in a row: 40 with 20 rows to
    a batch, 0.2 with 500, 1.7 with 20 to 5,000. Nothing bounds them.
    """

    def __init__(
        self, baseline: Baseline, *, times: int = 3, drop: float = 0.02, state: Sequence[float] = ()
    ) -> None:
        """Watch for *times* batches in a row that are worse than the *baseline* by more than *drop*.

        Args:
            baseline: The metric as it was at promotion.
            times: How many batches in a row, at least 1.
            drop: The fall that each must exceed, in the metric's units.
            state: What an earlier detector of the same baseline ended with; empty starts afresh.

        Raises:
            InvalidBaseline: The drop is not above 0, or no score in [0, 1] could be that low; the times are
                not a whole number above 0; or the state is not one that such a detector could end with.
        """
        _demand(
            1 <= times < inf and times == int(times),
            f"an alarm after {times} batches in a row; give a whole number, 1 or more",
        )
        self.times = times
        self._threshold = Threshold(baseline, drop=drop)
        (self._breaches,) = _resumed(state, (0.0,))
        self._evidence = self._breaches / times

    @property
    def state(self) -> tuple[float, ...]:
        """How many of the last batches in a row were beyond the drop."""
        return (self._breaches,)

    def update(self, value: float, rows: int) -> bool:
        """Take in the metric's *value* on a batch of *rows*, and return whether that raises the alarm.

        Raises:
            InvalidObservation: The metric can't take the value, or the rows can't be counted.
        """
        breaches = self._breaches + 1 if self._threshold.update(value, rows) else 0.0
        self._evidence = breaches / self.times
        alarmed = breaches >= self.times
        self._breaches = 0.0 if alarmed else breaches
        return alarmed

    def evidence(self) -> float:
        """Which share of the batches in a row the last batch completed."""
        return self._evidence


def _demand(kept: bool, reason: str) -> None:  # noqa: FBT001, a demand is kept or not
    if not kept:
        raise InvalidBaseline(reason)


def _watchable(baseline: Baseline, limit: float) -> float:
    """*limit* in rising units, if a score in [0, 1] could pass it."""
    _demand(
        baseline.sd is not None or 0 < limit < 1,
        f"the metric would have to pass {limit:.4g}, which no score in [0, 1] can; "
        f"measure {baseline.value:.4g} on more than {baseline.rows:.0f} rows, or tolerate less",
    )
    return baseline.rising(limit)


def _resumed(state: Sequence[float], fresh: tuple[float, ...]) -> tuple[float, ...]:
    if len(state) == 0:
        return fresh
    _demand(
        len(state) == len(fresh) and all(isfinite(part) and part >= 0 for part in state),
        f"its state is {list(state)}, not {len(fresh)} finite numbers from 0 up; an empty one starts afresh",
    )
    return tuple(float(part) for part in state)
