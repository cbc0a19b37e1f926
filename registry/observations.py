"""Every SQL statement about observations: streams in which each row is read and written at its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlmodel import col, func, select

from registry.database import reading, retried, writing
from registry.exceptions import AliasConflict
from registry.health import following
from registry.ledger import Stamp
from registry.tables import Announcement, LedgerEntry, Observation
from registry.transactions import lock_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlmodel import Session
    from sqlmodel.sql.expression import SelectOfScalar

    from registry.health import Watch
    from registry.store import Store
    from registry.suspicion import Reading

_MOST_KEYS = 500  # a statement has room for so many, on every database

Stream = tuple[str, str, str]
"""Model, alias and metric: what one series of observations is about."""


@dataclass(frozen=True)
class Reigning:
    """A version in force under an alias, since an entry of the ledger."""

    model: str
    alias: str
    version: int
    since: int


@dataclass(frozen=True)
class Observations:
    """What was observed of the versions in force.

    Attributes:
        store: The database, and on whose behalf rows are written.
    """

    store: Store

    # Reading

    def newest(self, model: str, alias: str, metric: str, version: int | None = None) -> Observation | None:
        """The newest observation of a stream, or of one *version* in it."""
        with reading(self.store.engine) as session:
            return _newest(session, (model, alias, metric), version)

    def of_batch(self, model: str, alias: str, metric: str, batch: str) -> Observation | None:
        """The observation of a batch, if it was recorded."""
        with reading(self.store.engine) as session:
            return session.exec(_stream((model, alias, metric)).where(Observation.batch == batch)).first()

    def at(self, row: Observation, sequence: int) -> Observation:
        """Another observation of the stream of *row*."""
        with reading(self.store.engine) as session:
            return session.get_one(Observation, (row.model, row.alias, row.metric, sequence))

    def newest_of_each(self, model: str, alias: str) -> list[Observation]:
        """The newest observation of each metric by which the alias is watched, by metric."""
        with reading(self.store.engine) as session:
            newest = (_newest(session, (model, alias, metric)) for metric in _metrics(session, model, alias))
            return [row for row in newest if row is not None]

    def last(self, model: str, alias: str, metric: str, most: int) -> list[Observation]:
        """The newest observations of a stream, at *most* so many, oldest first."""
        stream = _stream((model, alias, metric)).order_by(col(Observation.sequence).desc()).limit(most)
        with reading(self.store.engine) as session:
            return list(session.exec(stream).all())[::-1]

    def service(self, model: str, alias: str, version: int) -> int | None:
        """How many healthy batches *version* has served under the alias; None if nobody watches the alias.

        Where several metrics are watched, by the one that counted most.
        """
        with reading(self.store.engine) as session:
            metrics = _metrics(session, model, alias)
            newest = (_newest(session, (model, alias, metric), version) for metric in metrics)
            served = [0 if row is None else row.served for row in newest]
        return max(served, default=None)

    def recovery(self, reign: Reigning) -> int:
        """How many healthy batches in a row were seen in the reign, where they were most.

        Where several metrics are watched, by the one that counted least.
        """
        with reading(self.store.engine) as session:
            metrics = _metrics(session, reign.model, reign.alias)
            newest = [_newest_of_reign(session, reign, metric) for metric in metrics]
        return min((row.state["longest"] for row in newest if row is not None), default=0)

    def last_target(self, reign: Reigning, after: datetime) -> int | None:
        """The version that last answered a batch beside the one in force, in this reign and since then."""
        answered = (
            select(Observation.target)
            .where(
                Observation.model == reign.model,
                Observation.alias == reign.alias,
                Observation.version == reign.version,
                Observation.since == reign.since,
                col(Observation.target).is_not(None),
                Observation.recorded_at >= after,
            )
            .order_by(col(Observation.recorded_at).desc(), col(Observation.sequence).desc())
        )
        with reading(self.store.engine) as session:
            return session.exec(answered.limit(1)).first()

    def announcements(self, decided: Observation) -> list[Announcement]:
        """The events of this observation's decision that the Prefect server accepted, oldest first."""
        with reading(self.store.engine) as session:
            return list(session.exec(_announced(decided)).all())

    # Appending

    def append(self, watch: Watch, readings: Sequence[Reading]) -> list[Observation]:
        """Write each of the *readings* after the newest of the stream, in one transaction.

        A batch that is in the stream already, in whoever's reign, is not written again: its row is returned.

        Raises:
            AliasConflict: The version that made the predictions came or went meanwhile.
            InvalidObservation: A value can't be one of the metric.
        """
        answer: list[bool] = []
        known = replace(watch, has_target=lambda: _known(answer))
        try:
            return self._append(known, readings)
        except _TargetUnknownError:  # to be looked up while nobody waits for this transaction
            answer.append(watch.has_target())
            return self._append(known, readings)

    @retried
    def _append(self, watch: Watch, readings: Sequence[Reading]) -> list[Observation]:
        stream = watch.model, watch.alias, watch.metric
        stamp = Stamp(
            actor=self.store.origin.actor, at=self.store.clock(), flow_run_id=self.store.origin.flow_run_id
        )
        with writing(self.store.engine) as session:
            lock_model(session, watch.model)
            _require_reign(session, watch)
            newest, own = _newest(session, stream), _newest(session, stream, watch.version)
            known = _known_batches(session, stream, [seen.batch for seen in readings])
            for seen in readings:
                if seen.batch not in known:
                    newest = own = known[seen.batch] = following(newest, own, watch, seen, stamp)
                    session.add(newest)
        return [known[seen.batch] for seen in readings]

    @retried
    def announce(self, decided: Observation, event: str) -> Announcement:
        """Note that the server accepted the *event* of what this observation decided."""
        with writing(self.store.engine) as session:
            lock_model(session, decided.model)
            row = Announcement(
                model=decided.model,
                alias=decided.alias,
                metric=decided.metric,
                sequence=decided.sequence,
                attempt=len(session.exec(_announced(decided)).all()) + 1,
                event=event,
                flow_run_id=self.store.origin.flow_run_id,
                announced_by=self.store.origin.actor,
                announced_at=self.store.clock(),
            )
            session.add(row)
            return row


class _TargetUnknownError(Exception):
    """Whether there is a version to go back to is asked, and was not looked up."""


def _known(answer: list[bool]) -> bool:
    if not answer:
        raise _TargetUnknownError
    return answer[0]


def _stream(stream: Stream) -> SelectOfScalar[Observation]:
    model, alias, metric = stream
    return select(Observation).where(
        Observation.model == model, Observation.alias == alias, Observation.metric == metric
    )


def _announced(decided: Observation) -> SelectOfScalar[Announcement]:
    return (
        select(Announcement)
        .where(
            Announcement.model == decided.model,
            Announcement.alias == decided.alias,
            Announcement.metric == decided.metric,
            Announcement.sequence == decided.sequence,
        )
        .order_by(col(Announcement.attempt))
    )


def _newest(session: Session, stream: Stream, version: int | None = None) -> Observation | None:
    rows = _stream(stream)
    if version is not None:
        rows = rows.where(Observation.version == version)
    return session.exec(rows.order_by(col(Observation.sequence).desc()).limit(1)).first()


def _newest_of_reign(session: Session, reign: Reigning, metric: str) -> Observation | None:
    rows = _stream((reign.model, reign.alias, metric)).where(
        Observation.version == reign.version, Observation.since == reign.since
    )
    return session.exec(rows.order_by(col(Observation.sequence).desc()).limit(1)).first()


def _metrics(session: Session, model: str, alias: str) -> list[str]:
    """The metrics by which the alias is watched; a hop through the key for each, however long the streams."""
    found: list[str] = []
    while True:
        following = select(func.min(Observation.metric)).where(
            Observation.model == model, Observation.alias == alias
        )
        if found:
            following = following.where(Observation.metric > found[-1])
        metric = session.exec(following).one()
        if metric is None:
            return found
        found.append(metric)


def _known_batches(session: Session, stream: Stream, batches: Sequence[str]) -> dict[str, Observation]:
    known: dict[str, Observation] = {}
    for first in range(0, len(batches), _MOST_KEYS):
        some = batches[first : first + _MOST_KEYS]
        rows = session.exec(_stream(stream).where(col(Observation.batch).in_(some)))
        known |= {row.batch: row for row in rows}
    return known


def _require_reign(session: Session, watch: Watch) -> None:
    """Raise AliasConflict unless the watched version is in force, or is not, as it was thought to be."""
    newest = session.exec(
        select(LedgerEntry.in_force, LedgerEntry.in_force_since)
        .where(LedgerEntry.model == watch.model, LedgerEntry.alias == watch.alias)
        .order_by(col(LedgerEntry.sequence).desc())
        .limit(1)
    ).first()
    version, since = newest or (None, None)
    if (version == watch.version) != watch.in_force or (watch.in_force and since != watch.since):
        seen = f"version {watch.version} {'in' if watch.in_force else 'out of'} force"
        raise AliasConflict(watch.model, watch.alias, seen, f"version {version}")
