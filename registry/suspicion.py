"""Is it the model, or the world? What is held against a version after an alarm. Pure: no SQL, no clock.

The version in force and the one to go back to answer the same live rows: whoever is right more often wins.
Only batches after the alarm count: those that led to it were selected by it, and prove nothing more.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from math import exp, log
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

CONVINCING = 20
"""Evidence that ends a suspicion: by mere chance it is reached in one case of twenty at most."""

_BETS = (0.55, 0.6, 0.7, 0.8, 0.9)
_LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What the rollback target answered to the same rows.

    Attributes:
        target: The target's number.
        champion_only: Rows on which only the version in force was right, or was closer.
        target_only: Rows on which only the target was.
        value: The target's own metric on these rows, if it is known.
    """

    target: int
    champion_only: int
    target_only: int
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The metric of the version in force on one batch of live rows.

    Attributes:
        batch: The batch's key; a batch that is delivered again counts once.
        value: The metric, higher is better.
        rows: How many rows it was measured on.
        at: The batch's own time.
        contrast: What the rollback target answered to these rows, if it was asked.
        unanswered: Whether there was somebody to ask, and nobody could answer these rows.
    """

    batch: str
    value: float
    rows: int
    at: datetime
    contrast: Contrast | None = None
    unanswered: bool = False


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Some batches: how many, of how many rows, and the sum of the metric over these."""

    batches: int = 0
    rows: int = 0
    total: float = 0.0

    def with_(self, reading: Reading) -> Tally:
        """These batches and one more."""
        return Tally(
            batches=self.batches + 1,
            rows=self.rows + reading.rows,
            total=self.total + reading.value * reading.rows,
        )

    @property
    def value(self) -> float:
        """The metric over all rows; there must be some."""
        return self.total / self.rows


@dataclass(frozen=True, kw_only=True)
class _Contest:
    """Champion against one rollback target on batches since the alarm.

    Attributes:
        wins: Rows that only the target got right, and
        losses: rows that only the champion did, counted as far as the rows of a batch are independent.
        ahead: By how much the target's own metric was above the champion's, summed over rows.
    """

    target: int
    champion_only: int = 0
    target_only: int = 0
    wins: float = 0.0
    losses: float = 0.0
    batches: int = 0
    ahead: float = 0.0

    def with_(self, reading: Reading, contrast: Contrast, correlation: float) -> _Contest:
        weight = 1 / (1 + (reading.rows - 1) * correlation)
        ahead = 0.0 if contrast.value is None else (contrast.value - reading.value) * reading.rows
        return replace(
            self,
            champion_only=self.champion_only + contrast.champion_only,
            target_only=self.target_only + contrast.target_only,
            wins=self.wins + weight * contrast.target_only,
            losses=self.losses + weight * contrast.champion_only,
            batches=self.batches + 1,
            ahead=self.ahead + ahead,
        )

    def blames(self, enough: float) -> bool:
        return self.ahead >= 0 and better(self.wins, self.losses) >= enough

    def absolves(self, enough: float) -> bool:
        return self.ahead <= 0 and better(self.losses, self.wins) >= enough


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What came after an alarm.

    Attributes:
        since: The time of the alarm's batch, in ISO 8601; older ones tell nothing of what came after it.
        count: How many suspicions there have been in this reign. Each asks for more evidence than the one
            before, so that all of them together err in one case of twelve at most.
        seen: The batches since.
        contests: By target; the last is the one that answered last.
    """

    since: str
    count: int = 1
    seen: Tally = field(default_factory=Tally)
    contests: tuple[_Contest, ...] = ()

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Suspicion:
        """What ``kept`` wrote down."""
        contests = tuple(_Contest(**contest) for contest in kept["contests"])
        return cls(**{**kept, "seen": Tally(**kept["seen"]), "contests": contests})

    def with_(self, reading: Reading, correlation: float) -> Suspicion:
        """This suspicion after one more batch, whose rows correlate so much."""
        seen, contrast = replace(self, seen=self.seen.with_(reading)), reading.contrast
        if contrast is None:
            return seen
        others = [contest for contest in self.contests if contest.target != contrast.target]
        known = [contest for contest in self.contests if contest.target == contrast.target]
        newest = (known or [_Contest(target=contrast.target)])[0].with_(reading, contrast, correlation)
        return replace(seen, contests=(*others, newest))

    def kept(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {**asdict(self), "contests": [asdict(contest) for contest in self.contests]}

    @property
    def answered(self) -> int:
        """How many batches a target answered, too."""
        return sum(contest.batches for contest in self.contests)

    @property
    def newest(self) -> dict[str, Any] | None:
        """The contest that answered last, for those who tell of it."""
        return asdict(self.contests[-1]) if self.contests else None

    def blames_the_model(self) -> bool:
        """Whether the target that answered last is better: on more rows, and not worse by the metric."""
        return self.contests[-1].blames(self._enough)

    def absolves_the_model(self) -> bool:
        """Whether the version in force is."""
        return self.contests[-1].absolves(self._enough)

    @property
    def _enough(self) -> float:
        return CONVINCING * self.count**2


def better(wins: float, losses: float) -> float:
    """Evidence that the one with the *wins* is right on more rows than the other: an e-value.

    A mixture of likelihood ratios of "wins with probability q" against "as likely as not", over the rows on
    which the two differ. Under the null its mean is at most 1, so it passes 20 in one case of twenty at most,
    however often one looks (Ville's inequality).
    """
    bets = (wins * log(2 * q) + losses * log(2 - 2 * q) for q in _BETS)
    return sum(exp(min(bet, _LARGEST_EXPONENT)) for bet in bets) / len(_BETS)
