"""The version in force, held ready by a service, and exchanged when another one comes into force.

A request reads one attribute. Whatever takes time (the ledger, the store, the parsing, the proof) is done
before, by a thread of its own, and ends in one assignment.
"""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from logging import getLogger
from random import SystemRandom
from threading import Event, Lock, Thread, current_thread
from time import monotonic
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from registry import proof, serving
from registry.exceptions import InvalidInterval, RegistryError
from registry.facade import Registry
from registry.references import CHAMPION, Reference, check_alias, check_model_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import numpy as np

    from registry.serving import LoadedModel, Rows
    from registry.signing import Verify
    from registry.tables import ModelVersion

LONGEST_INTERVAL = 366 * 24 * 3_600
_PATIENCE = 1.0  # seconds for a check that is under way when the process ends or forks
_SPREAD = 0.1  # services that started together do not ask together for ever
_CHANCE = SystemRandom()  # forked processes share no seed, and nobody else's sequence is disturbed
_log = getLogger(__name__)


@dataclass(frozen=True)
class _Held:
    """What is known at one moment; a check leaves another of these."""

    model: LoadedModel
    checked_at: datetime
    checked: float
    error: Exception | None = None


class Champion:
    """The version of *model* that is in force, ready to predict in all threads of a service.

    The first is loaded at once, so a service that can't have its model does not start. From then on a thread
    asks the ledger, and if another version is in force, fetches, checks and loads it, lets it predict its
    stored example, and puts it in the place of the old one. If that fails, or nothing is in force any more,
    the old one serves on, and ``error`` says why.

    After a fork each process has a thread and connections of its own, from the first time that it asks for
    anything here.

    Args:
        model: The model's name.
        alias: Which of its aliases.
        refresh: How many seconds lie between two looks at the ledger; up to a tenth more, by chance.
        registry: Where it is registered; ``Registry()`` by default. ``registry.allowing_pickle()`` is the
            consent to load what is kept as pickle.
        verify: Asks for signatures where the operator does not; see ``signing.vouch``.

    Raises:
        InvalidInterval: *refresh* is not positive, or longer than a year.
        NotFound: There is no such model, or nothing is in force.
        RegistryError: It can't be loaded, see ``serving.load``, or proven, see ``proof.ask``.
    """

    def __init__(
        self,
        model: str,
        *,
        alias: str = CHAMPION,
        refresh: float = 30.0,
        registry: Registry | None = None,
        verify: Verify | None = None,
    ) -> None:
        self._model, self._alias = check_model_name(model), check_alias(alias)
        self._interval, self._verify = _check_interval(refresh), verify
        with ExitStack() as opened:
            self._backend = (registry or opened.enter_context(Registry())).backend
            version = self._backend.rows.resolve(self._reference)
            self._held = _Held(self._load(version), self._backend.rows.clock(), monotonic())
            self._opened = opened.pop_all()
        self._refreshing, self._unwatched = Lock(), Lock()
        self._ended, self._thread = Event(), Thread()
        _OPEN.add(self)
        self._now()

    def close(self) -> None:
        """Stop looking at the ledger; what is held still predicts."""
        _OPEN.discard(self)
        self._unwatched.acquire(blocking=False)  # nobody starts the thread again
        self._rest()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # For requests

    @property
    def model(self) -> LoadedModel:
        """What is served at this moment: take it once for an answer that is to name its version.

        It stays as it is while the next one takes its place. Its estimator is the one of all threads.
        """
        return self._now().model

    def predict(self, rows: Rows) -> np.ndarray[Any, Any]:
        """One prediction for each of the *rows*; see ``LoadedModel.predict``.

        Raises:
            SchemaMismatch: A column is missing, out of order or of another kind than in training.
            PredictionFailed: The estimator raised.
        """
        return self.model.predict(rows)

    def predict_proba(self, rows: Rows) -> np.ndarray[Any, Any]:
        """The probability of each class for each of the *rows*; see ``LoadedModel.predict_proba``.

        Raises:
            SchemaMismatch: A column is missing, out of order or of another kind than in training.
            PredictionFailed: The estimator raised, or gives no probabilities.
        """
        return self.model.predict_proba(rows)

    # For health checks

    @property
    def version(self) -> ModelVersion:
        """The version that is served at this moment; the next answer may be another's, see ``model``."""
        return self.model.version

    @property
    def error(self) -> Exception | None:
        """Why the version in force could not be had at the last look; None if it is what is served."""
        return self._now().error

    @property
    def checked_at(self) -> datetime:
        """When the ledger was last read, in UTC."""
        return self._now().checked_at

    @property
    def age(self) -> float:
        """How many seconds ago that was; more than a few intervals tell that the database is away."""
        return monotonic() - self._now().checked

    # Looking at the ledger

    def refresh(self) -> LoadedModel:
        """Look at the ledger now, and return what is in force, loaded if it is another one.

        Raises:
            AliasNotSet: Nothing is in force.
            DatabaseUnavailable: The ledger can't be read.
            RegistryError: The version in force can't be loaded or proven. The old one serves on.
        """
        with self._refreshing:
            try:
                model = self._in_force()
            except Exception as error:
                self._keep(error)
                raise
            self._serve(model)
            return model

    def _in_force(self) -> LoadedModel:
        rows, served = self._backend.rows, self._held.model
        number = rows.reign(self._model, self._alias).version
        self._held = replace(self._held, checked_at=rows.clock(), checked=monotonic())
        return served if number == served.version.number else self._load(rows.resolve(self._reference))

    def _load(self, version: ModelVersion) -> LoadedModel:
        model = serving.load(self._backend, version, self._verify)
        proof.ask(model)
        return model

    def _serve(self, model: LoadedModel) -> None:
        before, self._held = self._held, replace(self._held, model=model, error=None)
        if model is not before.model or before.error is not None:
            _log.info("%s is served as %s", model.version.reference, self._reference)

    def _keep(self, error: Exception) -> None:
        before, self._held = self._held, replace(self._held, error=error)
        if str(error) != str(before.error):
            unexpected = None if isinstance(error, RegistryError) else error
            served = before.model.version.reference
            _log.warning("%s serves on as %s: %s", served, self._reference, error, exc_info=unexpected)

    @property
    def _reference(self) -> Reference:
        return Reference(self._model, self._alias)

    # The thread

    def _now(self) -> _Held:
        """What is held; whoever comes first, also after a fork, starts the thread, and nobody waits."""
        if self._unwatched.acquire(blocking=False):
            self._ended = Event()
            name = f"refresh {self._reference}"
            self._thread = Thread(target=self._watch, args=(self._ended,), name=name, daemon=True)
            self._thread.start()
        return self._held

    def _watch(self, ended: Event) -> None:
        while not ended.wait(self._interval * _CHANCE.uniform(1, 1 + _SPREAD)):
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001, which is noted, and the next look is another chance
                _let_go(error)

    def _rest(self) -> None:
        """End the thread, which otherwise might be cut off in the middle of something."""
        self._ended.set()
        if self._thread.is_alive() and self._thread is not current_thread():
            self._thread.join(_PATIENCE)

    def _prepare_fork(self) -> None:
        """Leave nothing open that two processes must not share: of SQLite not even idle connections."""
        self._rest()
        self._backend.disconnect()
        self._unwatched = Lock()

    def _begin_child(self) -> None:
        """Whatever another thread was using at the fork is the parent's."""
        self._refreshing = Lock()
        self._backend.rows.engine.dispose(close=False)


def _check_interval(seconds: float) -> float:
    if not 0 < seconds <= LONGEST_INTERVAL:
        raise InvalidInterval(str(seconds), LONGEST_INTERVAL)
    return seconds


def _let_go(error: BaseException | None) -> None:
    """Free what the calls held that ended in *error*: it is kept until the next look, a model must not be."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


_OPEN: WeakSet[Champion] = WeakSet()


def _for_each(step: Callable[[Champion], None]) -> Callable[[], None]:
    def steps() -> None:
        for champion in list(_OPEN):
            step(champion)

    return steps


os.register_at_fork(
    before=_for_each(Champion._prepare_fork),  # noqa: SLF001, of this very module
    after_in_child=_for_each(Champion._begin_child),  # noqa: SLF001
)
atexit.register(_for_each(Champion._rest))  # noqa: SLF001
