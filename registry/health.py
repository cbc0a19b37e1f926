"""What is held of the version in force, from one batch of live rows to the next. Pure: no SQL, no clock.

::

    healthy ── alarm ──► suspect ── the rollback target is better ──────────► degraded
       ▲                    │
       │                    ├────── the champion is better, or nothing decides:
       └── it recovered ────┤
                            └────── both fell ──► world-changed

An alarm says that the numbers fell. Whether the model broke or the world changed is asked of rows that came
after it: those that led to the alarm were selected by it, and prove nothing more.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Any

from registry.detection import Baseline, Consecutive, DegradationDetector, Detector, Threshold
from registry.tables import Observation

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.ledger import Stamp
    from registry.monitoring_policy import MonitoringPolicy

CONVINCING = 20
"""Evidence that ends a suspicion: by mere chance it is reached in one case of twenty at most."""

_BETS = (0.55, 0.6, 0.7, 0.8, 0.9)
_FAR = 2.576  # the normal law's two-sided p of .01
_LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What the rollback target answered to the same rows.

    Attributes:
        target: The target's number.
        champion_only: Rows on which only the version in force was right, or was closer.
        target_only: Rows on which only the target was.
    """

    target: int
    champion_only: int
    target_only: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The metric of the version in force on one batch of live rows.

    Attributes:
        batch: The batch's key; a batch that is delivered again counts once.
        value: The metric, higher is better.
        rows: How many rows it was measured on.
        at: The batch's own time.
        contrast: What the rollback target answered to these rows, if it was asked.
    """

    batch: str
    value: float
    rows: int
    at: datetime
    contrast: Contrast | None = None


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is watched, and by which rules.

    Attributes:
        version: Who made the predictions.
        since: The ledger's entry that put it in force.
        in_force: Whether it still is.
        baseline: What is normal, for a version that was not observed before.
        has_target: Whether there is a version to go back to; asked at an alarm only.
    """

    model: str
    alias: str
    metric: str
    version: int
    since: int
    in_force: bool
    policy: MonitoringPolicy
    baseline: Baseline | None
    has_target: Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """The first healthy batches, until there are enough of them to be pooled with the evaluation."""

    total: float = 0.0
    rows: float = 0.0
    batches: int = 0


@dataclass(frozen=True, kw_only=True)
class _Contest:
    """Champion against rollback target on the batches since the alarm.

    Attributes:
        wins: Rows that only the target got right, and
        losses: rows that only the champion did, counted as far as the rows of a batch are independent.
        batches: Those that the target answered, too.
        seen: All of them, with the champion's score on their rows in total.
    """

    target: int | None = None
    champion_only: int = 0
    target_only: int = 0
    wins: float = 0.0
    losses: float = 0.0
    batches: int = 0
    seen: int = 0
    total: float = 0.0
    rows: int = 0

    def with_(self, reading: Reading, correlation: float) -> _Contest:
        seen = replace(
            self,
            seen=self.seen + 1,
            total=self.total + reading.value * reading.rows,
            rows=self.rows + reading.rows,
        )
        contrast = reading.contrast
        if contrast is None:
            return seen
        if seen.target != contrast.target:
            seen = _Contest(target=contrast.target, seen=seen.seen, total=seen.total, rows=seen.rows)
        weight = 1 / (1 + (reading.rows - 1) * correlation)
        return replace(
            seen,
            champion_only=seen.champion_only + contrast.champion_only,
            target_only=seen.target_only + contrast.target_only,
            wins=seen.wins + weight * contrast.target_only,
            losses=seen.losses + weight * contrast.champion_only,
            batches=seen.batches + 1,
        )


@dataclass(frozen=True, kw_only=True)
class _State:
    """What an observation's row hands on to the next one."""

    baseline: Baseline
    pool: _Pool | None
    wealth: tuple[float, ...] = ()
    contest: _Contest | None = None
    status: str = "healthy"
    alarm: int | None = None
    decided: int | None = None
    healthy: int = 0
    served: int = 0
    evidence: float = 0.0
    disagreement: float | None = None

    @classmethod
    def first(cls, baseline: Baseline, reading: Reading) -> _State:
        """The state before the first batch; the evaluation's rows are taken to be as alike as the batch's."""
        independent = baseline.counted(reading.value, reading.rows) / reading.rows
        return cls(baseline=replace(baseline, rows=baseline.rows * independent), pool=_Pool())

    @classmethod
    def after(cls, row: Observation) -> _State:
        kept = row.state
        return cls(
            baseline=Baseline(**kept["baseline"]),
            pool=kept["pool"] and _Pool(**kept["pool"]),
            wealth=tuple(kept["wealth"]),
            contest=kept["contest"] and _Contest(**kept["contest"]),
            status=row.status,
            alarm=row.alarm,
            decided=row.decided,
            healthy=row.healthy,
            served=row.served,
            evidence=row.evidence,
        )

    def anew(self, policy: MonitoringPolicy) -> _State:
        """The state at the beginning of a reign: what is normal stays, the suspicion and its wealth go."""
        baseline = replace(self.baseline, tolerance=policy.tolerance, correlation=policy.correlation)
        return _State(baseline=baseline, pool=self.pool and _Pool(), served=self.served)

    def kept(self) -> dict[str, Any]:
        return {
            "baseline": asdict(self.baseline),
            "pool": self.pool and asdict(self.pool),
            "wealth": list(self.wealth),
            "contest": self.contest and asdict(self.contest),
            "disagreement": self.disagreement,
        }


def following(
    newest: Observation | None, own: Observation | None, watch: Watch, reading: Reading, stamp: Stamp
) -> Observation:
    """The row that writes *reading* after the *newest* of its stream.

    Args:
        newest: The newest observation of the stream.
        own: The newest of the version that made the predictions.
        watch: What is watched.
        reading: What was seen.
        stamp: Who writes it, in which run, and when.

    Raises:
        InvalidObservation: The value or the rows can't be.
        InvalidBaseline: No fall could be told from the reference.
    """
    before = _continued(own, watch, reading)
    before.baseline.counted(reading.value, reading.rows)  # raises also if nothing is made of it
    latest = _latest(newest)
    late = not watch.in_force or (latest is not None and reading.at < latest)
    sequence = 1 if newest is None else newest.sequence + 1
    after = _Step(watch, reading, sequence, late=late).from_(before) if watch.in_force else before
    contrast = reading.contrast
    return Observation(
        model=watch.model,
        alias=watch.alias,
        metric=watch.metric,
        sequence=sequence,
        previous=None if newest is None else newest.sequence,
        version=watch.version,
        since=watch.since,
        batch=reading.batch,
        at=reading.at,
        value=reading.value,
        rows=reading.rows,
        late=late,
        floor=before.baseline.floor,
        evidence=after.evidence,
        status=after.status,
        alarm=after.alarm,
        decided=after.decided,
        healthy=after.healthy,
        served=after.served,
        target=contrast.target if contrast else None,
        champion_only=contrast.champion_only if contrast else 0,
        target_only=contrast.target_only if contrast else 0,
        state={**after.kept(), "latest": _written(latest if late else reading.at)},
        policy=watch.policy.model_dump(mode="json"),
        actor=stamp.actor,
        flow_run_id=stamp.flow_run_id,
        recorded_at=stamp.at,
    )


def better(wins: float, losses: float) -> float:
    """Evidence that the one with the *wins* is right on more rows than the other: an e-value.

    A mixture of likelihood ratios of "wins with probability q" against "as likely as not", over the rows on
    which the two differ. Under the null its mean is at most 1, so it passes 20 in one case of twenty at most,
    however often one looks (Ville's inequality).
    """
    bets = (wins * log(2 * q) + losses * log(2 - 2 * q) for q in _BETS)
    return sum(exp(min(bet, _LARGEST_EXPONENT)) for bet in bets) / len(_BETS)


def _latest(newest: Observation | None) -> datetime | None:
    """The time that a batch must not be older than, or it is late; a late one does not change it."""
    written = newest and newest.state["latest"]
    return datetime.fromisoformat(written) if written else None


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _continued(own: Observation | None, watch: Watch, reading: Reading) -> _State:
    if own is None:
        if watch.baseline is None:
            raise AssertionError(watch)  # whoever opens a watch looks the baseline up
        return _State.first(watch.baseline, reading)
    state = _State.after(own)
    same = own.since == watch.since and own.policy == watch.policy.model_dump(mode="json")
    return state if same or not watch.in_force else state.anew(watch.policy)


@dataclass(frozen=True)
class _Step:
    """One batch, from the state before it to the state after."""

    watch: Watch
    reading: Reading
    sequence: int
    late: bool = field(kw_only=True)

    def from_(self, before: _State) -> _State:
        detector = _detector(self.watch.policy, before)
        alarmed = detector.update(self.reading.value, self.reading.rows)
        after = replace(before, wealth=detector.state, evidence=detector.evidence())
        if before.status == "suspect":
            return self._looked_into(after)
        if alarmed:
            return self._alarmed(after)
        return self._calm(after)

    def _alarmed(self, state: _State) -> _State:
        fresh = replace(state, pool=state.pool and _Pool(), healthy=0)
        if state.status == "degraded":
            return fresh
        suspect = replace(fresh, status="suspect", alarm=self.sequence, contest=_Contest())
        if self.watch.policy.confirm == "never" or not self.watch.has_target():
            return self._decided(suspect, "degraded")
        return suspect

    def _looked_into(self, state: _State) -> _State:
        """A batch after the alarm; one that is older than the alarm tells nothing of what came after."""
        if self.late:
            return state
        policy = self.watch.policy
        contest = (state.contest or _Contest()).with_(self.reading, policy.correlation)
        state = replace(state, contest=contest)
        if better(contest.wins, contest.losses) >= CONVINCING:
            return self._decided(state, "degraded")
        if self.reading.contrast is None and (policy.confirm == "if_possible" or not self.watch.has_target()):
            return self._decided(state, "degraded")
        recovered = contest.total / contest.rows >= state.baseline.floor
        dismissed = better(contest.losses, contest.wins) >= CONVINCING
        if dismissed or contest.batches >= policy.patience:
            return self._decided(state, "healthy" if recovered else "world-changed")
        return self._decided(state, "healthy") if recovered and contest.seen >= policy.patience else state

    def _decided(self, state: _State, status: str) -> _State:
        """A world that changed before is not announced again: the decision stays the first one."""
        again = status == "world-changed" and state.decided is not None
        decided = None if status == "healthy" else state.decided if again else self.sequence
        decision = replace(state, status=status, wealth=(), decided=decided)
        return replace(decision, alarm=None, contest=None) if status == "healthy" else decision

    def _calm(self, state: _State) -> _State:
        state = replace(state, healthy=state.healthy + 1)
        if state.status != "healthy":
            recovered = state.healthy >= self.watch.policy.patience
            well = replace(state, status="healthy", alarm=None, decided=None, contest=None)
            return well if recovered else state
        return self._pooled(replace(state, served=state.served + 1))

    def _pooled(self, state: _State) -> _State:
        """Let the batch into the reference, while that is still open; it closes once and stays closed."""
        if state.pool is None or not self.watch.policy.first_batches:
            return state
        baseline, value = state.baseline, self.reading.value
        counted = baseline.counted(value, self.reading.rows)
        pool = _Pool(
            total=state.pool.total + value * counted,
            rows=state.pool.rows + counted,
            batches=state.pool.batches + 1,
        )
        if pool.batches < self.watch.policy.first_batches:
            return replace(state, pool=pool)
        rows = baseline.rows + pool.rows
        pooled = replace(baseline, value=(baseline.value * baseline.rows + pool.total) / rows, rows=rows)
        return replace(state, pool=None, baseline=pooled, disagreement=_disagreement(baseline, pool))


def _disagreement(baseline: Baseline, pool: _Pool) -> float | None:
    """By how many standard errors the first batches differ from the evaluation; None if it may be chance."""
    error = baseline.deviation * sqrt(1 / baseline.rows + 1 / pool.rows)
    distance = (pool.total / pool.rows - baseline.value) / error
    return distance if abs(distance) > _FAR else None


def _detector(policy: MonitoringPolicy, state: _State) -> Detector:
    if policy.detector == "threshold":
        return Threshold(state.baseline)
    if policy.detector == "consecutive":
        return Consecutive(state.baseline, state=state.wealth)
    if not state.wealth:
        return DegradationDetector(state.baseline, every=policy.every)
    return DegradationDetector(state.baseline, every=policy.every, state=state.wealth)
