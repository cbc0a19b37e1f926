"""What `registry demo` promises: the year in the README, told, written down and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from flows.demo import METRIC, MODEL
from registry import Registry
from registry.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.tables import Observation

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Year:
    """The demo when it is over: what it said, its folder, and the registry that it leaves behind."""

    said: str
    folder: Path
    registry: Registry

    @property
    def watched(self) -> list[Observation]:
        return self.registry.observations(MODEL, metric=METRIC)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    """All of it, once."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{folder}/registry.db")
        patch.setenv("MODEL_REGISTRY_ARTIFACTS", str(folder / "artifacts"))
        for setting in ("PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK"):
            patch.setenv(setting, "")  # so that what the command sets does not outlast it
            patch.delenv(setting)
        told = CliRunner().invoke(app, ["demo"], catch_exceptions=False)
        yield Year(told.output, folder, Registry())


def test_the_ledger_tells_the_year(year: Year) -> None:
    told = [(entry.kind, entry.version, entry.in_force) for entry in year.registry.history(MODEL)]
    assert told == [
        ("promoted", 1, 1),
        ("promoted", 2, 2),
        ("held", 3, 2),
        ("rejected", 4, 2),
        ("held", 5, 2),
        ("rejected", 6, 2),
        ("rejected", 7, 2),
        ("assigned", 6, 6),
        ("rolled-back", 2, 2),
        ("rejected", 8, 2),
        ("promoted", 9, 9),
        ("rolled-back", 2, 2),
        ("held", 10, 2),
        ("promoted", 11, 11),
    ]


def test_each_day_is_watched_once_and_in_its_turn(year: Year) -> None:
    days = [row.batch for row in year.watched]
    assert len(days) == 31 + 30 + 31 + 30 + 31
    assert days == sorted(set(days))
    assert not any(row.late for row in year.watched)


def test_no_version_is_watched_or_judged_on_the_month_that_it_learned_from(year: Year) -> None:
    versions = year.registry.versions(MODEL)
    learned = {one.number: year.registry.dataset(str(one.trained_on)).name[:7] for one in versions}
    assert set(learned.values()) == {f"2013-{month:02}" for month in range(1, 12)}
    for row in year.watched:
        assert not {learned[number] for number in (row.version, row.target) if number} & {row.batch[:7]}
    for one in versions:
        judged = {
            year.registry.dataset(each.dataset).name[:7] for each in year.registry.evaluations(one.reference)
        }
        assert judged
        assert learned[one.number] not in judged


def test_the_joined_feed_brings_its_version_down_by_itself(year: Year) -> None:
    reign = [row for row in year.watched if row.version == 9]
    healthy, (last,) = [row.batch for row in reign if row.status == "healthy"], reign[-1:]
    assert healthy[:18] == [f"2013-11-{day:02}" for day in range(1, 19)]
    assert last.status == "degraded"
    assert last.batch < "2013-11-26", "within a week"
    entry = next(entry for entry in year.registry.history(MODEL) if entry.replaced == 9)
    assert entry.evidence["alert"] == f"accuracy #{last.sequence}"
    assert entry.reason.startswith(f"accuracy of flight-delay@9 is {last.value:.4f} on batch {last.batch}")


def test_prefect_heard_what_was_decided(year: Year) -> None:
    announced = [
        announcement.event.removeprefix("model-registry.champion.")
        for row in year.watched
        for announcement in year.registry.backend.observations.announcements(row)
    ]
    assert announced == ["suspect", "degraded", "suspect", "world-changed"]


def test_after_the_rollback_no_haste_replaces_the_version(year: Year) -> None:
    entry = next(entry for entry in year.registry.history(MODEL) if entry.version == 10)
    assert entry.reason.startswith("cooling down after the rollback in entry 12")


def test_december_is_blamed_on_the_world_and_the_next_version_is_well(year: Year) -> None:
    december = [row for row in year.watched if row.batch >= "2013-12"]
    assert list(dict.fromkeys((row.version, row.status) for row in december)) == [
        (2, "healthy"),
        (2, "suspect"),
        (2, "world-changed"),
        (11, "healthy"),
    ]


def test_the_year_is_told_as_it_happens(year: Year) -> None:
    assert [line for line in year.said.splitlines() if line.startswith(("18 Nov", "24 Nov", "25"))] == [
        "18 Nov: each estimate is joined to the row after its own, and nothing shows it",
        "24 Nov: @2 is right more often, so it is not the world: @9 is to blame",
        "24 Nov: so it is rolled back (by the demo itself: no automation runs here)",
        "25–30 Nov: 6 days watched",
    ]
    assert "    healthy: accuracy 0.756, floor 0.9" in year.said
    assert "    suspect: accuracy 0.675, floor 0.9" in year.said
    assert "registry show flight-delay@champion" in year.said


@pytest.mark.parametrize("picture", ["timeline", "health"])
def test_the_year_is_drawn(year: Year, picture: str) -> None:
    assert (year.folder / f"flight-delay-{picture}.png").read_bytes().startswith(b"\x89PNG")
