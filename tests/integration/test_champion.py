"""The handle that a service holds: it follows the ledger, and whatever goes wrong, it answers."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from logging import INFO, WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sqlalchemy import event

from registry import Champion, Registry
from registry.champion import LONGEST_INTERVAL
from registry.exceptions import (
    AliasNotSet,
    ArtifactCorrupted,
    InvalidInterval,
    InvalidName,
    KeyUnusable,
    ModelNotFound,
    PickleNotAllowed,
    PredictionFailed,
    Unreadable,
    UntrustedType,
)
from tests.champions import MODEL, enthrone, register, rows, until
from tests.examples import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from registry import ModelVersion

    MakeRegistry = Callable[..., Registry]
    MakeChampion = Callable[..., Champion]

SELDOM = 3_600.0
OFTEN = 0.02


@pytest.fixture
def make_champion() -> Iterator[MakeChampion]:
    """Each call holds the champion of a registry, which looks at its ledger when it is told to."""
    with ExitStack() as champions:

        def make(registry: Registry, **given: Any) -> Champion:
            usual: dict[str, Any] = {"registry": registry, "refresh": SELDOM}
            return champions.enter_context(Champion(MODEL, **usual | given))

        yield make


@pytest.fixture
def registry(make_registry: MakeRegistry) -> Registry:
    """A registry in which version 1 is in force."""
    registry = make_registry()
    enthrone(registry, 1)
    return registry


def answer(champion: Champion) -> float:
    """What it says of every row, which is the number of the version that says so."""
    (found,) = set(champion.predict(rows().features))
    return float(found)


def bytes_of(registry: Registry, version: ModelVersion) -> Path:
    path = Path(registry.backend.artifacts.location, "sha256", version.artifact)
    path.chmod(0o644)
    return path


def await_look(champion: Champion) -> None:
    before = champion.checked_at
    until(lambda: champion.checked_at > before)


def watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("refresh ")]


# Following the ledger


def test_the_version_in_force_answers_and_says_which_it_is(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion = make_champion(registry)
    assert (answer(champion), champion.version.reference, champion.error) == (1, "delay@1", None)


def test_a_promotion_and_a_rollback_are_followed_by_themselves(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion = make_champion(registry, refresh=OFTEN)
    enthrone(registry, 2)
    until(lambda: answer(champion) == 2)
    registry.roll_back(MODEL, reason="it was a mistake")
    until(lambda: answer(champion) == 1)
    assert champion.error is None


def test_another_alias_is_followed_alone(registry: Registry, make_champion: MakeChampion) -> None:
    register(registry, 2)
    registry.assign("delay@2", alias="staging", reason="to be tried")
    champion = make_champion(registry, alias="staging")
    enthrone(registry, 3)
    assert champion.refresh().version.number == 2


def test_a_refresh_that_finds_the_same_is_one_read_and_loads_nothing(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion, statements = make_champion(registry), []
    before = champion.model
    event.listen(
        registry.backend.rows.engine, "before_cursor_execute", lambda *said: statements.append(said[2])
    )
    assert champion.refresh() is before
    assert [statement[:6] for statement in statements] == ["SELECT"]


def test_a_model_that_was_taken_stays_what_it_was_while_it_is_replaced(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion = make_champion(registry)
    taken = champion.model
    enthrone(registry, 2)
    champion.refresh()
    assert taken.version.number == 1
    assert set(taken.predict(rows().features)) == {1.0}
    assert champion.model is not taken


def test_all_requests_share_one_estimator_and_whoever_loads_has_an_own(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion = make_champion(registry)
    assert champion.model.estimator is champion.model.estimator
    loaded = {id(each.estimator) for each in [champion.model, *(registry.load("delay@1") for _ in range(2))]}
    assert len(loaded) == 3


# Where nothing can be served, nothing starts


def test_a_service_that_has_no_champion_does_not_start(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    with pytest.raises(ModelNotFound):
        Champion(MODEL, registry=registry)
    register(registry, 1)
    with pytest.raises(AliasNotSet):
        Champion(MODEL, registry=registry)
    for name in ("delay@1", "delay@champion"):
        with pytest.raises(InvalidName, match="not a valid model name"):
            Champion(name, registry=registry)
    assert watchers() == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), LONGEST_INTERVAL + 1])
def test_nobody_looks_so_often_or_so_seldom(registry: Registry, seconds: float) -> None:
    with pytest.raises(InvalidInterval, match="give more than 0"):
        Champion(MODEL, registry=registry, refresh=seconds)


def test_a_service_whose_champion_is_damaged_does_not_start_and_leaves_no_connection(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_of(registry, registry.resolve("delay@1")).write_bytes(b"damaged")
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", registry.backend.rows.name)
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", registry.backend.artifacts.location)
    registry.close()
    with pytest.raises(ArtifactCorrupted):
        Champion(MODEL)
    assert watchers() == []
    assert connections(registry) == 0


def test_a_folder_is_no_champion_that_predicts(make_registry: MakeRegistry, tmp_path: Path) -> None:
    registry, folder = make_registry(), tmp_path / "network"
    folder.mkdir()
    (folder / "weights").write_bytes(b"0")
    registry.register_folder(MODEL, folder, trained_on=rows())
    registry.assign("delay@1", reason="the first")
    with pytest.raises(Unreadable, match="folder of files"):
        Champion(MODEL, registry=registry)


def test_a_signature_can_be_asked_for(registry: Registry) -> None:
    with pytest.raises(KeyUnusable, match="names no file of trusted keys"):
        Champion(MODEL, registry=registry, verify="required")


def test_pickle_needs_the_consent_of_the_service(
    make_registry: MakeRegistry, monkeypatch: pytest.MonkeyPatch, make_champion: MakeChampion
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_ALLOW_PICKLE", "true")
    registry = make_registry()
    registry.register(MODEL, fit(rows()), trained_on=rows(), serialization="pickle")
    registry.allowing_pickle().assign("delay@1", reason="the first")
    with pytest.raises(PickleNotAllowed):
        make_champion(registry)
    assert make_champion(registry.allowing_pickle()).version.serialization == "pickle"


# Where the next one fails, the old one serves on


class Moody(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Answers as it did at first, or not, as its class is in the mood to."""

    answers: ClassVar[float] = 2.0
    built: ClassVar[WeakSet[Moody]] = WeakSet()

    def __init__(self, weight: int = 0) -> None:
        self.weight = weight

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.built.add(self)

    def predict(self, asked: pd.DataFrame) -> Any:
        return np.full(len(asked), self.answers)


def survivors() -> int:
    gc.collect()
    return len(Moody.built)


MOODY = f"{__name__}.Moody"


def register_moody(registry: Registry) -> ModelVersion:
    registry.trust(MOODY, reason="this test's own")
    return registry.register(MODEL, Moody(), trained_on=rows())


def damaged(registry: Registry) -> Callable[[], object]:
    path = bytes_of(registry, register(registry, 2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    healed = path.with_name("healed")
    healed.write_bytes(whole)
    return lambda: healed.replace(path)


def untrusted(registry: Registry) -> Callable[[], object]:
    register_moody(registry)
    registry.backend.rows.distrust(MOODY)
    return lambda: registry.trust(MOODY, reason="its code was read again")


def lying(registry: Registry) -> Callable[[], object]:
    register_moody(registry)
    Moody.answers = 3.0
    return lambda: setattr(Moody, "answers", 2.0)


FAILURES = [(damaged, ArtifactCorrupted), (untrusted, UntrustedType), (lying, PredictionFailed)]


@pytest.mark.parametrize(("fail", "kind"), FAILURES)
def test_the_old_one_serves_on_until_the_new_one_works(
    registry: Registry,
    make_champion: MakeChampion,
    caplog: pytest.LogCaptureFixture,
    fail: Callable[[Registry], Callable[[], object]],
    kind: type[Exception],
) -> None:
    caplog.set_level(INFO, "registry.champion")
    heal = fail(registry)
    try:
        champion = make_champion(registry, refresh=OFTEN)
        registry.assign("delay@2", reason="its turn")
        until(lambda: champion.error)
        for _ in range(2):
            await_look(champion)
        assert type(champion.error) is kind
        assert answer(champion) == champion.version.number == 1
    finally:
        heal()
    until(lambda: champion.version.number == 2)
    assert answer(champion) == 2
    until(lambda: champion.error is None)
    until(lambda: caplog.messages[-1] == "delay@2 is served as delay@champion")
    (failed,) = [record for record in caplog.records if record.levelno == WARNING]
    assert failed.name == "registry.champion"
    assert failed.getMessage().startswith("delay@1 serves on as delay@champion: ")
    assert len(caplog.records) == 2


def test_where_nothing_is_in_force_any_more_the_old_one_serves_on_and_says_so(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion = make_champion(registry)
    registry.clear(MODEL, reason="nobody should decide this")
    before = champion.checked_at
    with pytest.raises(AliasNotSet):
        champion.refresh()
    assert type(champion.error) is AliasNotSet
    assert champion.checked_at > before
    assert answer(champion) == 1
    registry.assign("delay@1", reason="yet it should")
    assert champion.refresh() is champion.model
    assert champion.error is None


def test_a_refresh_by_hand_raises_what_keeps_the_new_one_out(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion, heal = make_champion(registry), damaged(registry)
    registry.assign("delay@2", reason="its turn")
    with pytest.raises(ArtifactCorrupted) as raised:
        champion.refresh()
    assert champion.error is raised.value
    assert answer(champion) == 1
    heal()
    assert champion.refresh().version.number == answer(champion) == 2


def test_a_model_that_failed_its_proof_is_not_kept_in_memory(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion, heal = make_champion(registry, refresh=0.3), lying(registry)
    try:
        registry.assign("delay@2", reason="its turn")
        Moody.built.clear()
        until(lambda: type(champion.error) is PredictionFailed)
        until(lambda: survivors() == 0, seconds=5)
        assert type(champion.error) is PredictionFailed
    finally:
        heal()


def test_no_request_and_no_end_waits_for_a_store_that_hangs(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion = make_champion(registry, refresh=OFTEN)
    path = bytes_of(registry, register(registry, 2))
    path.unlink()
    os.mkfifo(path)  # whoever opens it waits until somebody writes
    registry.assign("delay@2", reason="its turn")
    until(champion._refreshing.locked)
    until(lambda: champion.age > 0.2)
    began = time.monotonic()
    for _ in range(20):
        assert answer(champion) == 1
    champion.close()
    assert time.monotonic() - began < 5
    path.write_bytes(b"at last")
    until(lambda: not watchers())


# Health


def test_the_age_tells_how_long_the_ledger_was_not_read(
    registry: Registry, make_champion: MakeChampion
) -> None:
    champion = make_champion(registry)
    time.sleep(0.05)
    assert 0.05 < champion.age < 5
    before = champion.checked_at
    champion.refresh()
    assert champion.age < 0.05
    assert champion.checked_at > before


# What it opens it closes


def connections(registry: Registry) -> int:
    """How many connections to the file of a registry on SQLite this process has."""
    file = os.path.realpath(registry.backend.rows.engine.url.database or "")
    return sum(os.path.realpath(link) == file for link in Path("/proc/self/fd").iterdir())


def test_it_closes_the_registry_that_it_opened_and_no_other(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Champion(MODEL, registry=registry) as given:
        given.refresh()
    assert connections(registry) == 1
    registry.close()
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", registry.backend.rows.name)
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", registry.backend.artifacts.location)
    with Champion(MODEL) as own:
        assert connections(registry) == 1
    assert connections(registry) == 0
    assert answer(own) == 1
    assert watchers() == []


def test_a_process_that_closes_nothing_ends_at_once(registry: Registry) -> None:
    code = (
        "import time; from registry import Champion; champion = Champion('delay', refresh=3600);"
        "print(champion.version.reference, time.monotonic())"
    )
    database, artifacts = registry.backend.rows.name, registry.backend.artifacts.location
    place = {"MODEL_REGISTRY_DATABASE": database, "MODEL_REGISTRY_ARTIFACTS": artifacts}
    command = [sys.executable, "-c", code]
    done = subprocess.run(  # noqa: S603, the code is this test's
        command, env=os.environ | place, capture_output=True, text=True, check=True, timeout=60
    )
    reference, loaded = done.stdout.split()
    assert (reference, done.stderr) == ("delay@1", "")
    assert time.monotonic() - float(loaded) < 20  # of which a busy machine needs some to clear up
