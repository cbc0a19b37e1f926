"""Random operations and random deaths, held against a ledger of lists and dicts.

Half a minute of it by default; ``SOAK_MINUTES=120`` makes it two hours.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlmodel import Session, col, select

from registry.exceptions import (
    AliasNotSet,
    AlreadyInForce,
    ArtifactPurged,
    NothingToRollBackTo,
    RegistryError,
    VersionNotFound,
)
from registry.retention import RetentionPolicy
from registry.tables import Artifact
from tests.examples import make_dataset
from tests.faults.deaths import (
    STEPS,
    age_what_was_half_written,
    die,
    die_after,
    half_written,
    register_deadly,
)
from tests.faults.places import (
    MODEL,
    Place,
    assert_whole,
    count_of,
    fitted,
    processes,
    register,
    training,
)

if TYPE_CHECKING:
    from registry import ModelVersion, Registry

SECONDS = 60 * float(os.environ.get("SOAK_MINUTES", "0.5"))
ALIASES = ("champion", "canary")
HOLDOUT = make_dataset(seed=1, name="february")

requests = st.integers(1, 6)
numbers = st.integers(1, 8)
aliases = st.sampled_from(ALIASES)


@dataclass
class Ledger:
    """What the registry should say.

    Attributes:
        versions: What each version was trained for, in the order of their numbers.
        answers: The number that each keyed request got.
        digests: What each version is made of.
        present: The digests whose bytes were not given up.
        in_force: By alias.
        champions: By alias those that are trusted, the newest last.
        fallen: By alias those that were rolled back and not put in force since.
        pinned: By number.
    """

    versions: list[int] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    present: set[str] = field(default_factory=set)
    in_force: dict[str, int] = field(default_factory=dict)
    champions: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    fallen: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    pinned: set[int] = field(default_factory=set)

    def registered(self, request: int, version: ModelVersion) -> int:
        """The number of the *version* that answers a keyed request."""
        if request in self.answers and not self.alive(request):
            return self.answers[request]
        number = self.trained(request, version)
        self.answers.setdefault(request, number)
        return number

    def trained(self, request: int, version: ModelVersion) -> int:
        """The number of the *version* of a training: a new one unless one with its bytes is there."""
        if not self.alive(request):
            self.versions.append(request)
            self.digests.append(version.artifact)
            self.present.add(version.artifact)
        return self.alive(request)[-1]

    def alive(self, request: int) -> list[int]:
        """The versions of a training that have their bytes."""
        numbered = enumerate(self.versions, 1)
        return [number for number, of in numbered if of == request and self.has_bytes(number)]

    def has_bytes(self, number: int) -> bool:
        return self.digests[number - 1] in self.present

    def refuses(self, alias: str, number: int) -> type[RegistryError] | None:
        """Why a version can't be put in force."""
        if number > len(self.versions):
            return VersionNotFound
        if not self.has_bytes(number):
            return ArtifactPurged
        return AlreadyInForce if self.in_force.get(alias) == number else None

    def risen(self, alias: str, number: int) -> None:
        self.fallen[alias].discard(number)
        self.champions[alias] = [each for each in self.champions[alias] if each != number] + [number]
        self.in_force[alias] = number

    def predecessors(self, alias: str) -> list[int]:
        """Where a rollback would go, the nearest first."""
        others = [each for each in self.champions[alias] if each != self.in_force.get(alias)]
        return [number for number in reversed(others) if self.has_bytes(number)]

    def rolled_back(self, alias: str) -> int | type[RegistryError]:
        if alias not in self.in_force:
            return AliasNotSet
        if not (targets := self.predecessors(alias)):
            return NothingToRollBackTo
        self.fallen[alias].add(self.in_force[alias])
        trusted = self.champions[alias]
        self.champions[alias] = trusted[: trusted.index(targets[0])]
        self.risen(alias, targets[0])
        return targets[0]

    def purged(self, policy: RetentionPolicy) -> None:
        kept = {*self.in_force.values(), *self.pinned}
        kept |= {number for alias in ALIASES for number in self.predecessors(alias)[: policy.rollback_window]}
        kept |= set(range(len(self.versions) - policy.keep_last + 1, len(self.versions) + 1))
        self.present &= {self.digests[number - 1] for number in kept if number > 0}


def roll_back(place: Place, alias: str, key: str, seconds: float) -> None:
    with place.open() as registry:
        die_after(seconds)
        with suppress(AliasNotSet, NothingToRollBackTo):
            registry.roll_back(MODEL, alias=alias, reason="it fell", key=key)


class Life(RuleBasedStateMachine):
    """A registry that is used, cleaned and killed, and its ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.stack, self.ledger, self.keys = ExitStack(), Ledger(), 0
        folder = self.stack.enter_context(TemporaryDirectory())
        self.place = Place(f"sqlite:///{folder}/registry.db", f"{folder}/artifacts")
        self.files = open_files()
        self.registry: Registry = self._opened()

    def _opened(self) -> Registry:
        self.open_registry = self.place.open()
        return self.open_registry.__enter__()

    @initialize()
    def begin(self) -> None:
        self.register(1)
        self.register(2)

    @rule(request=requests)
    def register(self, request: int) -> None:
        version = register(self.registry, request)
        assert version.number == self.ledger.registered(request, version)

    @rule(request=requests)
    def train_again(self, request: int) -> None:
        version = self.registry.register(MODEL, fitted(request), trained_on=training())
        assert version.number == self.ledger.trained(request, version)

    @rule(request=requests, step=st.sampled_from(sorted(STEPS)))
    def register_and_die(self, request: int, step: str) -> None:
        process = processes().Process(target=register_deadly, args=(self.place, step, request))
        process.start()
        process.join(60)
        self.register(request)

    @rule(number=numbers)
    def evaluate(self, number: int) -> None:
        if number <= len(self.ledger.versions) and self.ledger.has_bytes(number):
            self.registry.evaluate(f"{MODEL}@{number}", HOLDOUT, metrics=["accuracy"])

    @rule(alias=aliases, number=numbers)
    def assign(self, alias: str, number: int) -> None:
        refusal = self.ledger.refuses(alias, number)
        expected(refusal, lambda: self.registry.assign(f"{MODEL}@{number}", alias=alias, reason="a reason"))
        if refusal is None:
            self.ledger.risen(alias, number)

    @rule(alias=aliases)
    def clear(self, alias: str) -> None:
        refusal = None if alias in self.ledger.in_force else AliasNotSet
        expected(refusal, lambda: self.registry.clear(MODEL, alias=alias, reason="a reason"))
        self.ledger.in_force.pop(alias, None)

    @rule(alias=aliases)
    def roll_back(self, alias: str) -> None:
        self._rolled_back(alias, None)

    @rule(alias=aliases, seconds=st.floats(0.001, 0.2))
    def roll_back_and_die(self, alias: str, seconds: float) -> None:
        self.keys += 1
        key = f"rollback {self.keys}"
        process = processes().Process(target=roll_back, args=(self.place, alias, key, seconds))
        process.start()
        process.join(60)
        self._rolled_back(alias, key)

    def _rolled_back(self, alias: str, key: str | None) -> None:
        outcome = self.ledger.rolled_back(alias)
        refusal = None if isinstance(outcome, int) else outcome
        entry = expected(
            refusal, lambda: self.registry.roll_back(MODEL, alias=alias, reason="it fell", key=key)
        )
        assert refusal or entry.version == outcome

    @rule(number=numbers)
    def pin(self, number: int) -> None:
        if number <= len(self.ledger.versions):
            refusal = None if self.ledger.has_bytes(number) else ArtifactPurged
            expected(refusal, lambda: self.registry.pin(f"{MODEL}@{number}", reason="dear to me"))
            self.ledger.pinned |= set() if refusal else {number}

    @rule(number=numbers)
    def unpin(self, number: int) -> None:
        if number <= len(self.ledger.versions):
            self.registry.unpin(f"{MODEL}@{number}")
            self.ledger.pinned.discard(number)

    @rule()
    def collect(self) -> None:
        self.registry.collect_garbage()

    @rule(keep=st.integers(0, 4), window=st.integers(1, 3))
    def purge(self, keep: int, window: int) -> None:
        policy = RetentionPolicy(keep_last=keep, keep_younger_than=timedelta(0), rollback_window=window)
        self.registry.purge(policy)
        self.ledger.purged(policy)

    @rule()
    def reopen(self) -> None:
        self.open_registry.__exit__(None, None, None)
        self.registry = self._opened()

    @invariant()
    def says_what_the_ledger_says(self) -> None:
        ledger, registry = self.ledger, self.registry
        if not ledger.versions:
            return
        rows = registry.backend.rows
        assert [version.number for version in registry.versions(MODEL)] == [
            number for number, _ in enumerate(ledger.versions, 1)
        ]
        assert registry.aliases(MODEL) == ledger.in_force
        fallen = {alias: sorted(versions) for alias, versions in ledger.fallen.items() if versions}
        assert registry.quarantined(MODEL) == fallen
        for alias in ALIASES:
            assert list(rows.champions(MODEL, alias)) == ledger.champions[alias][::-1]
        assert set(registry.pins(MODEL)) == ledger.pinned
        gone = {number for number, _ in enumerate(ledger.versions, 1) if not ledger.has_bytes(number)}
        assert set(registry.purged(MODEL)) == gone
        assert {key: rows.registered_as(MODEL, f"request {key}").number for key in ledger.answers} == (  # type: ignore[union-attr]  # it would be wrong
            ledger.answers
        )

    def teardown(self) -> None:
        with self.stack:
            age_what_was_half_written(self.place)
            self.registry.collect_garbage()
            assert_whole(self.registry)
            assert half_written(self.place) == []
            assert stored(self.registry) == referred(self.registry)
            assert count_of(self.registry, Artifact) >= [len(self.ledger.present)]
            self.open_registry.__exit__(None, None, None)
            assert open_files() <= self.files


def expected(refusal: type[RegistryError] | None, act: Any) -> Any:
    """What *act* returns, or None if it raises the *refusal* that is expected."""
    if refusal is None:
        return act()
    with pytest.raises(refusal):
        act()
    return None


def stored(registry: Registry) -> set[str]:
    return {artifact.digest for artifact in registry.backend.artifacts.stored()}


def referred(registry: Registry) -> set[str]:
    """The digests of the rows whose bytes were not given up."""
    with Session(registry.backend.rows.engine) as session:
        return set(session.exec(select(Artifact.digest).where(col(Artifact.purged_at).is_(None))).all())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_registry_that_is_used_and_killed_says_what_a_plain_ledger_says() -> None:
    processes().Process(target=die).start()  # the first of them opens what stays open
    portion = settings(
        max_examples=3,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        run_state_machine_as_test(Life, settings=portion)
