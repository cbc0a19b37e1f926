"""Processes that register are killed, at random and at each step, and begin again with the same request."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from registry.tables import Artifact, DatasetRecord, ModelVersion, Registration
from tests.faults.deaths import STEPS, age_what_was_half_written, half_written, register_deadly
from tests.faults.places import (
    MODEL,
    Place,
    assert_answered,
    assert_tidy,
    assert_whole,
    count_of,
    processes,
    register,
)

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

WRITERS, REQUESTS, KILLS = 6, 10, 20


# At random


def write(place: Place, numbers: list[int], log: Path) -> None:
    """Register, and note each answer as soon as it is there."""
    with place.open() as registry, log.open("a") as notes:
        for number in numbers:
            notes.write(f"{number} {register(registry, number).number}\n")
            notes.flush()


class Writer:
    """Whoever has some requests, and is started again until all of them are answered."""

    def __init__(self, place: Place, log: Path, numbers: range) -> None:
        self.place, self.log, self.numbers = place, log, numbers
        self.process: BaseProcess = self._start()

    @property
    def answers(self) -> dict[int, int]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return {int(number): int(answer) for number, answer in map(str.split, lines)}

    @property
    def is_done(self) -> bool:
        return len(self.answers) == len(self.numbers) and not self.process.is_alive()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.process = self._start()

    def _start(self) -> BaseProcess:
        left = [number for number in self.numbers if number not in self.answers]
        process = processes().Process(target=write, args=(self.place, left, self.log))
        process.start()
        return process


def test_writers_that_are_killed_and_come_back_have_each_request_once(place: Place, tmp_path: Path) -> None:
    with place.open() as registry:
        register(registry, 0)
        writers = [
            Writer(place, tmp_path / f"{first}.log", range(first, first + REQUESTS))
            for first in range(1, WRITERS * REQUESTS, REQUESTS)
        ]
        killed = 0
        while killed < KILLS and (busy := [writer for writer in writers if not writer.is_done]):
            time.sleep(random.uniform(0.02, 0.25))
            random.choice(busy).kill()
            killed += 1
        for writer in writers:
            writer.process.join(60)
            assert writer.process.exitcode == 0
        acknowledged = {0: 1} | {
            number: answer for writer in writers for number, answer in writer.answers.items()
        }
        assert len(acknowledged) == WRITERS * REQUESTS + 1
        assert_answered(registry, acknowledged, set(range(WRITERS * REQUESTS + 1)))
        assert_whole(registry)
        assert_tidy(registry)


# At each step


@pytest.mark.parametrize("step", STEPS)
def test_a_registration_that_dies_at_any_step_is_made_once_by_its_retry(place: Place, step: str) -> None:
    with place.open() as registry:
        process = processes().Process(target=register_deadly, args=(place, step, 1))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        came_through = step == "after the commit, before the answer"
        assert count_of(registry, ModelVersion, Registration, DatasetRecord) == [int(came_through)] * 3
        assert_whole(registry)
        assert register(registry, 1).number == 1
        assert count_of(registry, ModelVersion, Registration, DatasetRecord) == [1, 1, 1]
        assert registry.load(f"{MODEL}@1").version.number == 1
        assert_answered(registry, {1: 1}, {1})
        age_what_was_half_written(place)
        assert_tidy(registry)
        assert half_written(place) == []


@pytest.mark.parametrize("step", [step for step in STEPS if not step.startswith("after the commit")])
def test_what_a_dead_registration_left_is_collected_without_a_retry(place: Place, step: str) -> None:
    with place.open() as registry:
        process = processes().Process(target=register_deadly, args=(place, step, 1))
        process.start()
        process.join(60)
        age_what_was_half_written(place)
        registry.collect_garbage()
        assert count_of(registry, ModelVersion, Artifact) == [0, 0]
        assert list(registry.backend.artifacts.stored()) == []
        assert half_written(place) == []
