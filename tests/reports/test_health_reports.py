from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from registry import health, ledger
from registry.detection import Baseline
from registry.ledger import Proposal, Stamp
from registry.monitoring_policy import MonitoringPolicy
from registry.reports import control_chart, health_card, timeline
from registry.reports.chart import _LATE, MOST_BATCHES, _Chart, _labels, _marked, _span, _spread
from registry.reports.health import _headline
from registry.reports.marks import MARKS
from registry.reports.stream import LOOKS, Stream
from registry.suspicion import Contrast, Reading
from registry.tables import MOVES, NOTES, STATUSES, Observation
from registry.words import NOTHING, markdown
from tests.reports.test_reports import FORBIDDEN, HOSTILE, cells, drawn_in, picture_in, pixels, read

if TYPE_CHECKING:
    from registry.tables import LedgerEntry

BLUE, GREEN, VERMILLION = (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73), (0xD5, 0x5E, 0x00)
PURPLE = (0xCC, 0x79, 0xA7)
SUSPECT, DEGRADED, CHANGED = (0xF8, 0xEC, 0xAC), (0xF6, 0xCD, 0xB0), (0xF0, 0xD6, 0xE6)
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = slice(347, 933)  # the lines of pixels within the upper panel


@dataclass
class Life:
    """A model under an alias, as it is watched from day to day."""

    policy: MonitoringPolicy = field(default_factory=MonitoringPolicy)
    metric: str = "accuracy"
    baseline: Baseline = field(default_factory=lambda: Baseline(0.85, 4000))
    random: Random = field(default_factory=lambda: Random(7))
    rows: list[Observation] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    day: int = 0

    def move(self, kind: str, version: int, reason: str = "for a reason") -> Life:
        newest = self.entries[-1] if self.entries else None
        proposal = Proposal(kind=kind, model="flight-delay", version=version, reason=reason)
        self.entries.append(ledger.following(newest, proposal, self._stamp()))
        return self

    def see(self, mean: float, batches: int = 1, **facts: Any) -> Life:
        """Observe *batches* of a mean; *answers* are the rows that only the one or the other got right."""
        for _ in range(batches):
            self._see(mean, **facts)
        return self

    def until(self, status: str, mean: float, **facts: Any) -> Life:
        while self.rows[-1].status != status:
            self._see(mean, **facts)
        return self

    def card(self) -> str:
        return health_card(self.rows, self.entries)

    def chart(self) -> bytes:
        return control_chart(self.rows, self.entries)

    def _stamp(self) -> Stamp:
        return Stamp(actor="ada", at=BEGINNING + timedelta(days=self.day))

    def _see(  # noqa: PLR0913, a batch has so many sides
        self,
        mean: float,
        rows: int = 400,
        *,
        key: str = "",
        age: int = 0,
        version: int = 0,
        answers: tuple[int, int] | None = None,
    ) -> None:
        number = version or self.entries[-1].in_force
        assert number is not None
        own = next((row for row in reversed(self.rows) if row.version == number), None)
        rise = next(entry for entry in reversed(self.entries) if entry.moved and entry.in_force == number)
        watch = health.Watch(
            model="flight-delay",
            alias="champion",
            metric=self.metric,
            version=number,
            since=rise.sequence,
            in_force=number == self.entries[-1].in_force,
            policy=self.policy,
            baseline=self.baseline,
            has_target=lambda: answers is not None,
        )
        at = BEGINNING + timedelta(days=self.day - age)
        suspected = own is not None and own.status == "suspect" and answers is not None
        contrast = (
            Contrast(target=1, champion_only=answers[0], target_only=answers[1])
            if suspected and answers
            else None
        )
        reading = Reading(
            batch=key or f"{at:%Y-%m-%d}{' again' * (age > 0)}",
            value=self._value(mean, rows),
            rows=rows,
            at=at,
            contrast=contrast,
        )
        newest = self.rows[-1] if self.rows else None
        self.rows.append(health.following(newest, own, watch, reading, self._stamp()))
        self.day += age == 0

    def _value(self, mean: float, rows: int) -> float:
        if not 0 < mean < 1:
            return mean
        return sum(self.random.random() < mean for _ in range(rows)) / rows


def calm(batches: int = 40) -> Life:
    return Life().move("promoted", 1).see(0.85, batches)


def suspected() -> Life:
    return calm(20).move("promoted", 2).see(0.85, 20).until("suspect", 0.75, answers=(10, 10))


def fallen() -> Life:
    return suspected().until("degraded", 0.75, answers=(5, 25))


def changed() -> Life:
    life = Life(policy=MonitoringPolicy(patience=4)).move("promoted", 1).move("promoted", 2).see(0.85, 20)
    return life.until("world-changed", 0.75, answers=(20, 20))


def rolled_back() -> Life:
    return fallen().move("rolled-back", 1, "accuracy fell").see(0.85, 10)


def plain_rows(number: int, **facts: Any) -> list[Observation]:
    """Rows as a database could hold them, whatever led to them."""
    state = {"baseline": {"value": 0.85, "rows": 4000.0}, "pool": None, "contest": None}
    given: dict[str, Any] = {
        "version": 1,
        "since": 1,
        "value": 0.85,
        "rows": 400,
        "floor": 0.84,
        "evidence": 0.001,
        "status": "healthy",
        "state": state,
        "policy": MonitoringPolicy().model_dump(mode="json"),
        **facts,
    }
    return [
        Observation(
            model="flight-delay",
            alias="champion",
            metric="accuracy",
            sequence=n + 1,
            batch=given.get("batch") or f"batch {n}",
            at=BEGINNING + timedelta(hours=n),
            actor="ada",
            **{name: fact for name, fact in given.items() if name != "batch"},
        )
        for n in range(number)
    ]


def headline(life: Life) -> str:
    return _headline(Stream.of(life.rows, life.entries))


def table(card: str) -> list[list[str]]:
    return cells(card[card.index("| Batch") :])


def columns(colour: tuple[int, int, int], png: bytes) -> list[int]:
    """In which columns of pixels the upper panel has this colour."""
    return [int(column) for column in np.flatnonzero(drawn_in(colour, png)[VALUES].any(axis=0))]


def test_a_chart_is_a_png_that_fits_a_page_and_is_the_same_every_time() -> None:
    life = rolled_back()
    png = life.chart()

    assert pixels(png).shape[1] == 1600
    assert 1300 < pixels(png).shape[0] < 1700
    assert len(png) < 100_000
    assert life.chart() == png


def test_a_healthy_run_has_neither_background_nor_alarm() -> None:
    png = calm().chart()

    assert columns(BLUE, png)
    assert not any(columns(colour, png) for colour in (SUSPECT, DEGRADED, CHANGED, VERMILLION))


def test_each_status_has_a_background_of_its_own() -> None:
    for life, colour in ((suspected(), SUSPECT), (fallen(), DEGRADED), (changed(), CHANGED)):
        found = columns(colour, life.chart())

        assert found
        assert max(found) > 1500  # it lasts until the newest batch


def test_the_names_of_the_statuses_stand_over_the_panels_without_overlap() -> None:
    for life in (suspected(), fallen(), changed(), rolled_back(), calm(150).move("promoted", 2).see(0.1)):
        chart = _Chart(Stream.of(life.rows, life.entries))
        flags = chart.flags

        assert [flag.text for flag in reversed(flags)] == [
            LOOKS[status].word for status, _, _ in chart.stream.stretches
        ]
        assert not any(one.meets(other) for one in flags for other in flags if one is not other)
        assert all(flag.left > 0 and flag.right < 10 for flag in flags)


def test_a_rollback_is_marked_where_the_version_changed() -> None:
    before, after = fallen(), rolled_back()

    assert [rise.kind for rise in Stream.of(before.rows, before.entries).rises] == ["promoted", "promoted"]
    assert [tuple(rise) for rise in Stream.of(after.rows, after.entries).rises][-1] == (
        len(before.rows),
        1,
        "rolled-back",
    )
    assert drawn_in(VERMILLION, after.chart())[290:350].any()


def test_a_version_that_is_not_observed_yet_is_named_at_the_end() -> None:
    life = fallen().move("rolled-back", 1)

    assert Stream.of(life.rows, life.entries).rises[-1] == (len(life.rows), 1, "rolled-back")
    assert headline(life).startswith(
        "flight-delay@1 is in force and not observed yet; before that flight-delay@2"
    )
    assert "comes down" not in life.card()
    assert "is to come down" not in life.card()


def test_an_alias_that_was_cleared_says_that_nothing_is_in_force() -> None:
    life = calm(3).move("cleared", 1)

    assert headline(life) == (
        "Nothing is in force; before that flight-delay@1: healthy since batch 2026-01-01"
    )
    assert pixels(life.chart()).shape[1] == 1600


def test_without_the_ledger_versions_are_told_but_not_how_they_came() -> None:
    life = rolled_back()
    alone = control_chart(life.rows)

    assert alone != life.chart()
    assert [rise.kind for rise in Stream.of(life.rows, ()).rises] == [None] * 3
    assert not drawn_in(GREEN, alone)[200:250].any()
    assert "rollback" not in health_card(life.rows).partition("![")[0]


def test_a_batch_of_a_fallen_version_says_nothing_of_the_present_one() -> None:
    life = rolled_back()
    straggler = life.see(0.2, version=2, age=20, key="straggler").rows[-1]

    assert straggler.status == "degraded"
    assert headline(life).startswith("Healthy since batch")
    stream = Stream.of(life.rows, life.entries)
    assert stream.stretches[-1][2] < len(life.rows) - 11
    assert [rise.version for rise in stream.rises] == [1, 2, 1]
    assert table(life.card())[1][5:] == [NOTHING, NOTHING, "late, out of force"]


def test_a_late_batch_is_listed_as_such_and_hollow() -> None:
    life = calm(10)
    life.see(0.85, age=5)

    assert table(life.card())[1][6:] == ["● healthy", "late"]
    assert _marked(Stream.of(life.rows, life.entries))[_LATE] == [10]
    assert _LATE.fill == "white"


def test_the_batches_that_raised_the_alarm_and_decided_are_marked() -> None:
    life = fallen()
    stream = Stream.of(life.rows, life.entries)
    (alarm,), (decision,) = stream.turned("suspect"), stream.turned("degraded")

    assert (life.rows[alarm - 1].status, life.rows[alarm].status) == ("healthy", "suspect")
    assert decision == len(life.rows) - 1
    assert stream.turned("world-changed") == []
    assert max(columns(VERMILLION, life.chart())) > 1500


def test_an_alarm_that_decides_by_itself_is_one_mark_on_the_values() -> None:
    life = Life(policy=MonitoringPolicy(confirm="never")).move("promoted", 1).see(0.85, 20)
    life.until("degraded", 0.7)
    stream = Stream.of(life.rows, life.entries)

    assert stream.turned("suspect") == stream.turned("degraded") == [len(life.rows) - 1]
    assert LOOKS["suspect"].mark not in _marked(stream)
    assert headline(life).startswith(f"Degraded since batch {life.rows[-1].batch}: ")
    assert "the alarm stands without a comparison" in life.card()


@pytest.mark.parametrize(
    ("life", "sentence"),
    [
        (calm(3), "Healthy since batch 2026-01-01: accuracy of flight-delay@1 was "),
        (suspected(), "Suspect since batch "),
        (fallen(), "Degraded since batch "),
        (changed(), "The world changed by batch "),
    ],
)
def test_the_card_says_first_what_holds_now_and_since_when(life: Life, sentence: str) -> None:
    newest = life.rows[-1]
    first = next(row for row in life.rows if (row.since, row.status) == (newest.since, newest.status))

    assert headline(life).startswith(sentence)
    assert first.batch in headline(life)
    assert life.card().startswith(f"## {headline(life)}\n\n")
    assert (
        f"was {newest.value:.4f} on batch {newest.batch}, against a floor of {newest.floor:.4f}"
        in headline(life)
    )


def test_the_card_says_what_the_status_asks_for() -> None:
    comparison = "since the alarm only flight-delay@1 was right on"

    assert "The evidence of a fall is " in calm().card()
    assert "rows after the alarm: nothing was compared yet." in suspected().card()
    assert f"{comparison} 10 rows, only flight-delay@2 on 10." in (
        suspected().see(0.75, answers=(10, 10)).card()
    )
    assert re.search(rf"It is to come down: in \d+ batch(es)? {comparison}", fallen().card())
    assert re.search(rf"retraining is called for: in 4 batches {comparison} 80 rows", changed().card())


def test_the_card_says_why_the_version_came_into_force() -> None:
    card = rolled_back().card()

    assert re.search(r"\n\nRolled back on 2026-\d\d-\d\d 00:00 UTC by ada: accuracy fell\n", card)


def test_a_history_that_was_cut_off_does_not_pretend_to_know_when_it_began() -> None:
    life = calm(40)

    assert "since batch 2026-01-31 or earlier: " in health_card(life.rows[30:], life.entries)
    assert [rise.kind for rise in Stream.of(life.rows[30:], life.entries).rises] == [None]
    assert "or earlier" not in life.card()


def test_the_table_lists_the_newest_ten_batches_newest_first() -> None:
    life = fallen()
    listed = table(life.card())

    assert listed[0] == ["Batch", "Version", "Rows", "Value", "Floor", "Evidence", "Status", "Late"]
    assert [row[0] for row in listed[1:]] == [row.batch for row in life.rows[:-11:-1]]
    assert listed[1][1:3] == ["@2", "400"]
    assert listed[1][6] == "✖ degraded"
    assert f"The newest 10 of {len(life.rows)} batches" in life.card()


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {},
            [
                "about one false alarm in 1,000 healthy batches",
                "the version to go back to has to be better on rows after it",
                "Reference of @1: 0.8500 on 4,000 rows, still open: 5 of the first 30 healthy batches seen",
            ],
        ),
        (
            {"detector": "threshold", "confirm": "never"},
            ["an alarm on each batch that falls too far, with no bound", "after an alarm, it is enough"],
        ),
        (
            {"detector": "consecutive", "confirm": "if_possible"},
            ["an alarm on several batches in a row", "if it is asked, has to be better"],
        ),
        ({"patience": 7, "first_batches": 5}, ["ends after 7 batches", "on 6,000 rows, frozen"]),
    ],
)
def test_the_small_print_says_the_policy_in_words(facts: dict[str, Any], words: list[str]) -> None:
    life = Life(policy=MonitoringPolicy(**facts)).move("promoted", 1).see(0.85, 5)
    print_ = life.card().rpartition("---\n\n")[2]

    assert [word for word in words if word not in print_] == []


def test_the_picture_is_in_the_card_with_a_text_for_those_who_do_not_see_it() -> None:
    life = calm(5)
    (picture,) = [token for token in read(life.card()) if token.type == "image"]

    assert picture.content == "accuracy of flight-delay@champion"
    assert picture_in(life.card()) == life.chart()


def test_of_ten_thousand_batches_the_newest_are_drawn() -> None:
    rows = plain_rows(10_000)
    card = health_card(rows)

    assert len(card.encode()) < 1_000_000
    assert len(picture_in(card)) < 300_000
    assert len(Stream.of(rows, ()).last(MOST_BATCHES).rows) == MOST_BATCHES
    assert picture_in(card) != control_chart(rows[-MOST_BATCHES + 1 :])


def test_keys_under_the_chart_do_not_overlap_and_the_newest_is_among_them() -> None:
    for batches in (1, 2, 13, 180):
        for key in ("2026-01-01", "W" * 250, "x"):
            texts = _labels([f"{key}{n}" for n in range(batches)])
            spans = [_span(0.95 + 8.7 * (n + 0.5) / batches, text) for n, text in enumerate(texts)]
            places = list(_spread(spans))

            assert places[0] == batches - 1
            assert all(spans[place][0] > 0 and spans[place][1] < 10 for place in places)
            assert all(spans[low][1] < spans[high][0] for high, low in pairwise(places))


def test_long_keys_are_told_apart_by_where_they_end() -> None:
    keys = [f"s3://bucket/labels/of/the/production/system/day-{n}.parquet" for n in range(3)]

    assert _labels(keys) == ["…0.parquet", "…1.parquet", "…2.parquet"]
    assert _labels(["2026-01-01", "2026-01-02"]) == ["2026-01-01", "2026-01-02"]


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_a_look_and_a_card(status: str) -> None:
    (row,) = plain_rows(1, status=status, alarm=None if status == "healthy" else 1, decided=1)

    assert status in LOOKS
    assert LOOKS[status].word in table(health_card([row]))[1][6]


def test_every_kind_of_entry_has_a_mark_of_its_own() -> None:
    assert {*MARKS} == {*MOVES, *NOTES, "cleared"}
    assert len({(mark.shape, mark.fill) for mark in MARKS.values()}) == len(MARKS)


def test_an_alert_that_moved_nothing_is_drawn_on_the_timeline() -> None:
    entries = calm(1).move("alerted", 1).entries

    assert pixels(timeline(entries)).shape[1] == 1600


@pytest.mark.parametrize("value", [0.0, 1.0, 0.85])
def test_a_constant_value_on_one_row_is_drawn(value: float) -> None:
    rows = plain_rows(3, value=value, floor=value, rows=1)

    assert columns(BLUE, control_chart(rows))


@pytest.mark.parametrize("values", [[-38.4, -1e12], [-38.4, 1.7e308, -1.7e308]])
def test_a_value_beyond_all_measure_does_not_flatten_the_others(values: list[float]) -> None:
    life = Life(metric="neg_root_mean_squared_error", baseline=Baseline(-38.4, 4000, sd=40))
    life.move("promoted", 1)
    for day in range(30):
        life.see(-38.4 - day % 5)
    ordinary = life.chart()
    for value in values:
        life.see(value)
    heights = [
        np.ptp(np.flatnonzero(drawn_in(BLUE, png)[VALUES, 200:1300].any(axis=1)))
        for png in (ordinary, life.chart())
    ]

    assert heights[1] > 0.9 * heights[0] > 200


def test_the_largest_number_there_is_can_be_drawn_alone() -> None:
    life = Life(metric="neg_log_loss", baseline=Baseline(-0.4, 4000, sd=1)).move("promoted", 1)

    assert pixels(life.see(-1.7e308).chart()).shape[1] == 1600


def test_nothing_observed_is_a_card_and_a_picture_that_say_so() -> None:
    assert health_card([]) == "## Nothing was observed yet\n"
    assert pixels(control_chart([])).shape[1] == 1600


@pytest.mark.parametrize("names", [HOSTILE[:9], HOSTILE[9:]])
def test_a_hostile_batch_or_reason_stays_text(names: list[str]) -> None:
    rows = [row for name in names for row in plain_rows(1, batch=name)]
    entries = Life().move("promoted", 1, " ".join(names).replace("\0", "")).entries
    card = health_card(rows, entries)
    kinds = [token.type for token in read(card)]

    assert [kinds.count(kind) for kind in ("tr_open", "td_open", "image")] == [1 + 9, 9 * 8, 1]
    assert [kinds.count(kind) for kind in ("heading_open", "hr", "list_item_open")] == [1, 1, 4]
    assert not FORBIDDEN & {*kinds}
    assert all(markdown(name) in card for name in names)


def test_the_largest_card_stays_below_a_megabyte() -> None:
    rows = plain_rows(400, batch="|<&" * 85)
    entries = Life().move("promoted", 1, "`" * 10_000).entries

    assert len(health_card(rows, entries).encode()) < 1_000_000
