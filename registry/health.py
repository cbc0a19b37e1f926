"""What is held of the version in force, from one batch of live rows to the next. Pure: no SQL, no clock.

::

    healthy ── alarm ──► suspect ── the rollback target is better ──────────► degraded
       ▲                    │
       │                    ├────── the champion is better, or nothing decides:
       └── it recovered ────┤
                            └────── both fell ──► world-changed

An alarm says that the numbers fell; ``registry.suspicion`` asks whether the model broke or the world changed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from math import sqrt
from typing import TYPE_CHECKING, Any

from registry.detection import Baseline, Consecutive, DegradationDetector, Detector, Threshold
from registry.suspicion import Suspicion, Tally
from registry.tables import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registry.ledger import Stamp
    from registry.monitoring_policy import MonitoringPolicy
    from registry.suspicion import Reading

_FAR = 2.576  # the normal law's two-sided p of .01
TWO_POINTS = 0.02


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
class _State:
    """What an observation's row hands on to the next one.

    Attributes:
        baseline: What is normal, its rows as they were counted; ``reference`` discounts them.
        pool: The first healthy batches, until they are let into the baseline.
        typical: How many rows a batch had on average, until then.
        calm: The batches since the last alarm, where the version is not healthy.
        longest: The most healthy batches in a row that this reign has seen.
    """

    baseline: Baseline
    pool: Tally | None
    typical: float = 0.0
    wealth: tuple[float, ...] = ()
    suspicion: Suspicion | None = None
    calm: Tally = field(default_factory=Tally)
    status: str = "healthy"
    alarm: int | None = None
    decided: int | None = None
    healthy: int = 0
    longest: int = 0
    served: int = 0
    evidence: float = 0.0
    disagreement: float | None = None

    @classmethod
    def after(cls, row: Observation) -> _State:
        kept = row.state
        return cls(
            baseline=Baseline(**kept["baseline"]),
            pool=kept["pool"] and Tally(**kept["pool"]),
            typical=kept["typical"],
            wealth=tuple(kept["wealth"]),
            suspicion=kept["suspicion"] and Suspicion.of(kept["suspicion"]),
            calm=Tally(**kept["calm"]),
            status=row.status,
            alarm=row.alarm,
            decided=row.decided,
            healthy=row.healthy,
            longest=kept["longest"],
            served=row.served,
            evidence=row.evidence,
        )

    def anew(self) -> _State:
        """The state at the beginning of a reign: what is normal stays, the suspicion and its wealth go."""
        pool = self.pool and Tally()
        return _State(baseline=self.baseline, pool=pool, typical=self.typical, served=self.served)

    def by(self, policy: MonitoringPolicy, before: Mapping[str, Any]) -> _State:
        """The state under a *policy* that may be another than the one *before*; nothing decided is lost."""
        baseline = replace(self.baseline, tolerance=policy.tolerance, correlation=policy.correlation)
        wealth = self.wealth if policy.detector == before["detector"] else ()
        return replace(self, baseline=baseline, wealth=wealth)

    def seeing(self, reading: Reading) -> _State:
        """The state with this batch among those that say how large a batch typically is."""
        if self.pool is None:
            return self
        batches = self.pool.batches
        return replace(self, typical=(self.pool.rows + reading.rows) / (batches + 1))

    @property
    def reference(self) -> Baseline:
        """The baseline with its rows counted as if they came in batches, too, whose rows are alike."""
        alike = (min(self.typical, self.baseline.rows) - 1) * self.baseline.correlation
        return replace(self.baseline, rows=self.baseline.rows / (1 + max(0.0, alike)))

    def kept(self) -> dict[str, Any]:
        return {
            "baseline": asdict(self.baseline),
            "pool": self.pool and asdict(self.pool),
            "typical": self.typical,
            "wealth": list(self.wealth),
            "suspicion": self.suspicion and self.suspicion.kept(),
            "contest": self.suspicion.newest if self.suspicion and self.status != "healthy" else None,
            "calm": asdict(self.calm),
            "longest": max(self.longest, self.healthy),
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
    before = _continued(own, watch).seeing(reading)
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
        floor=_limit(watch.policy, before.reference),
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


def _latest(newest: Observation | None) -> datetime | None:
    """The time that a batch must not be older than, or it is late; a late one does not change it."""
    written = newest and newest.state["latest"]
    return datetime.fromisoformat(written) if written else None


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _continued(own: Observation | None, watch: Watch) -> _State:
    if own is None:
        if watch.baseline is None:
            raise AssertionError(watch)  # whoever opens a watch looks the baseline up
        return _State(baseline=watch.baseline, pool=Tally() if watch.policy.first_batches else None)
    state = _State.after(own)
    if not watch.in_force:
        return state
    return (state if own.since == watch.since else state.anew()).by(watch.policy, own.policy)


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
        after = replace(before, wealth=detector.state, evidence=detector.evidence(), disagreement=None)
        if before.status == "suspect":
            return self._looked_into(after)
        if alarmed:
            return self._alarmed(after)
        return self._calm(after)

    def _alarmed(self, state: _State) -> _State:
        fresh = replace(state, pool=state.pool and Tally(), healthy=0, calm=Tally())
        if state.status == "degraded":
            return fresh
        count = state.suspicion.count + 1 if state.suspicion else 1
        suspicion = Suspicion(since=self.reading.at.isoformat(), count=count)
        suspect = replace(fresh, status="suspect", alarm=self.sequence, suspicion=suspicion)
        if self.watch.policy.confirm == "never" or not self.watch.has_target():
            return self._decided(suspect, "degraded")
        return suspect

    def _looked_into(self, state: _State) -> _State:
        """A batch after the alarm; one that is older than the alarm's tells nothing of what came after."""
        policy, suspicion = self.watch.policy, state.suspicion
        if suspicion is None or self.reading.at < datetime.fromisoformat(suspicion.since):
            return state
        suspicion = suspicion.with_(self.reading, policy.correlation)
        state = replace(state, suspicion=suspicion)
        if verdict := self._verdict(suspicion, recovered=suspicion.seen.value >= state.reference.floor):
            return self._decided(state, verdict)
        return state

    def _verdict(self, suspicion: Suspicion, *, recovered: bool) -> str | None:
        policy = self.watch.policy
        if self.reading.contrast is None and (policy.confirm == "if_possible" or not self.watch.has_target()):
            return "degraded"
        absolved = False
        if self.reading.contrast is not None:
            if suspicion.blames_the_model():
                return "degraded"
            absolved = suspicion.absolves_the_model()
        if absolved or suspicion.answered >= policy.patience:
            return "healthy" if recovered else "world-changed"
        if suspicion.seen.batches < policy.patience:
            return None
        if recovered:
            return "healthy"
        return "degraded" if self.reading.unanswered and not suspicion.answered else None

    def _decided(self, state: _State, status: str) -> _State:
        """A world that changed before is not announced again: the decision stays the first one."""
        again = status == "world-changed" and state.decided is not None
        decided = None if status == "healthy" else state.decided if again else self.sequence
        alarm = None if status == "healthy" else state.alarm
        return replace(state, status=status, wealth=(), decided=decided, alarm=alarm, calm=Tally())

    def _calm(self, state: _State) -> _State:
        if state.status == "healthy":
            return self._pooled(replace(state, healthy=state.healthy + 1, served=state.served + 1))
        state = replace(state, calm=state.calm.with_(self.reading))
        if state.calm.batches < self.watch.policy.patience:
            return state
        if state.calm.value < state.reference.floor:
            return replace(state, calm=Tally())
        healthy = state.calm.batches
        return replace(state, status="healthy", alarm=None, decided=None, healthy=healthy, calm=Tally())

    def _pooled(self, state: _State) -> _State:
        """Let the batch into the reference, while that is still open; it closes once and stays closed."""
        if state.pool is None:
            return state
        pool, first = state.pool.with_(self.reading), state.baseline
        if pool.batches < self.watch.policy.first_batches:
            return replace(state, pool=pool)
        counted = replace(first, correlation=0.0).pooled_with([(pool.value, pool.rows)])
        pooled = replace(counted, correlation=first.correlation)
        closed = replace(state, pool=None, typical=pool.rows / pool.batches, baseline=pooled)
        return replace(closed, disagreement=_disagreement(closed, first, pool))


def _disagreement(state: _State, first: Baseline, pool: Tally) -> float | None:
    """By how many standard errors the first batches differ from the evaluation; None if it may be chance."""
    alike = replace(state, baseline=first).reference, replace(state, baseline=replace(first, rows=pool.rows))
    error = first.deviation * sqrt(1 / alike[0].rows + 1 / alike[1].reference.rows)
    distance = (pool.value - first.value) / error
    return distance if abs(distance) > _FAR else None


def _detector(policy: MonitoringPolicy, state: _State) -> Detector:
    reference = state.reference
    if policy.detector == "threshold":
        return Threshold(reference, drop=_drop(policy, reference))
    if policy.detector == "consecutive":
        return Consecutive(reference, drop=_drop(policy, reference), state=state.wealth)
    return DegradationDetector(reference, every=policy.every, state=state.wealth)


def _limit(policy: MonitoringPolicy, reference: Baseline) -> float:
    """What the value is held against: the floor of the long run, or the threshold of each batch."""
    return reference.floor if policy.detector == "degradation" else reference.below(_drop(policy, reference))


def _drop(policy: MonitoringPolicy, reference: Baseline) -> float:
    """The fall that a threshold allows: two points of a share, or what the detector would tolerate."""
    share = reference.sd is None and policy.tolerance is None
    return TWO_POINTS if share else reference.tolerated
