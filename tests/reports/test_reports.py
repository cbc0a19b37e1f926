from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from functools import cache
from html import unescape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from registry.evidence import Comparison, Measured
from registry.ledger import Proposal, Reign, Stamp, following
from registry.policy import Better, CheckResult, Floor, NotWorse, PromotionDecision, PromotionPolicy
from registry.reports import (
    comparison_card,
    comparison_plot,
    decision_card,
    forest_plot,
    timeline,
)
from registry.reports.lines import of_decision
from registry.words import NOTHING, interval, number, short, signed

if TYPE_CHECKING:
    from markdown_it.token import Token
    from numpy.typing import NDArray

    from registry.policy import Outcome, Verdict
    from registry.tables import LedgerEntry

GREEN, VERMILLION, BLUE = (0x00, 0x9E, 0x73), (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)
PURPLE, GREY, INK = (0xCC, 0x79, 0xA7), (0x66, 0x70, 0x85), (0x1F, 0x24, 0x30)
PLOT = slice(544, 1045)  # the columns of pixels between the ends of the axes
ROW = slice(275, 330)  # the lines of pixels of the first row


def paired(
    metric: str, champion: float, bounds: tuple[float | None, float, float | None], **facts: Any
) -> Measured:
    """A difference between its bounds: *bounds* are lower, difference and upper."""
    lower, difference, upper = bounds
    given: dict[str, Any] = {"slice": "all", "rows": 21_345, "method": "DeLong", **facts}
    return Measured(
        metric=metric,
        challenger=champion + difference,
        champion=champion,
        difference=difference,
        lower=lower,
        upper=upper,
        **given,
    )


def alone(metric: str, lower: float | None, value: float, upper: float | None, **facts: Any) -> Measured:
    given: dict[str, Any] = {"slice": "all", "rows": 21_345, "method": "Wilson score interval", **facts}
    return Measured(metric=metric, challenger=value, lower=lower, upper=upper, **given)


def found(check: str, outcome: Outcome, threshold: float, measured: Measured | None) -> CheckResult:
    return CheckResult(
        check=check, outcome=outcome, reason=f"{check}: {outcome}", threshold=threshold, measured=measured
    )


POLICY = PromotionPolicy(
    checks=(
        Better("roc_auc"),
        NotWorse("accuracy", 0.005),
        NotWorse("roc_auc", 0.02, slices="origin"),
        Floor("roc_auc", 0.7),
    ),
    min_rows=500,
)


def decision(verdict: Verdict, checks: list[CheckResult], **facts: Any) -> PromotionDecision:
    given: dict[str, Any] = {
        "challenger": "flight-delay@7",
        "champion": "flight-delay@5",
        "against": Reign(version=5, since=9),
        "dataset": "3f9ac27b51d0" + "0" * 52,
        "dataset_name": "flights-2013-02",
        "rows": 21_345,
        "look": 2,
        "alpha": 0.0076,
        "policy": POLICY,
        "reasons": [check.reason for check in checks if check.outcome != "skipped"],
        "key": "0" * 64,
        **facts,
    }
    return PromotionDecision(verdict=verdict, checks=checks, **given)


def slices(names: list[str], outcome: Outcome = "passed", width: float = 0.02) -> list[CheckResult]:
    return [
        found(
            "roc_auc not worse by 0.02",
            outcome,
            -0.02,
            paired(
                "roc_auc",
                0.72,
                (0.004 * (n % 5) - 0.004 - width, 0.004 * (n % 5) - 0.004, 0.004 * (n % 5) - 0.004 + width),
                slice=name,
                rows=7_115 - 37 * n % 6_000,
            ),
        )
        for n, name in enumerate(names)
    ]


def promoted() -> PromotionDecision:
    return decision(
        "promote",
        [
            found("roc_auc better", "passed", 0, paired("roc_auc", 0.7213, (0.0041, 0.01432, 0.0245))),
            found(
                "accuracy not worse by 0.005",
                "passed",
                -0.005,
                paired("accuracy", 0.8123, (-0.0021, 0.0011, 0.0044), method="Tango score interval"),
            ),
            *slices(["origin=EWR", "origin=JFK", "origin=LGA"]),
            found("roc_auc above 0.7", "passed", 0.7, alone("roc_auc", 0.7271, 0.7356, 0.7441)),
        ],
    )


@cache
def promoted_card() -> str:
    return decision_card(promoted())


def ledger(*moves: tuple[str, int], model: str = "flight-delay") -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for n, (kind, version) in enumerate(moves):
        proposal = Proposal(kind=kind, model=model, version=version, reason=f"{kind} for a reason")
        stamp = Stamp(actor="ada", at=datetime(2013, 2, 1, tzinfo=UTC) + timedelta(days=n))
        entries.append(following(entries[-1] if entries else None, proposal, stamp))
    return entries


def first_version(*checks: CheckResult) -> PromotionDecision:
    return decision("promote", list(checks), champion=None, against=Reign(), challenger="flight-delay@1")


def undecided(reason: str, verdict: Verdict = "inconclusive") -> PromotionDecision:
    return decision(verdict, [], reasons=[reason])


def one_check(metric: str = "roc_auc", **facts: Any) -> CheckResult:
    given: dict[str, Any] = {
        "bounds": (-0.0021, 0.0032, 0.0085),
        "threshold": -0.005,
        "outcome": "passed",
        **facts,
    }
    measured = paired(metric, 0.7, given["bounds"])
    return found(f"{metric} not worse by 0.005", given["outcome"], given["threshold"], measured)


def comparison(*results: Measured) -> Comparison:
    return Comparison(
        challenger="flight-delay@7",
        champion="flight-delay@5",
        dataset="3f9ac27b51d0" + "0" * 52,
        dataset_name="flights-2013-02",
        confidence=0.95,
        results=list(results),
    )


def pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


def drawn_in(colour: tuple[int, int, int], png: bytes) -> NDArray[np.bool_]:
    """Where the picture has this colour."""
    (red, green, blue), lines = colour, pixels(png)
    near: NDArray[np.bool_] = abs(lines[..., 0].astype(np.int16) - red) <= 4
    for channel, level in ((1, green), (2, blue)):
        near[near] = abs(lines[near, channel].astype(np.int16) - level) <= 4
    return near


def bands(where: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The first and last column of each run of lines of pixels that hold some."""
    lines = np.flatnonzero(where.any(axis=1))
    runs = np.split(lines, np.flatnonzero(np.diff(lines) > 4) + 1)
    columns = [np.flatnonzero(where[run].any(axis=0)) for run in runs]
    return [(int(found[0]), int(found[-1])) for found in columns]


def read(card: str) -> list[Token]:
    """The card as a Markdown parser that lets HTML through sees it, without nesting."""
    blocks = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(card)
    return [token for block in blocks for token in [block, *(block.children or [])]]


def cells(card: str) -> list[list[str]]:
    """The rows of the card's table as text, its head first."""
    text = re.sub(r"base64,[^)]*", "", card)
    html = MarkdownIt("commonmark").enable("table").render(text)
    body = html.partition("<table>")[2].replace("<tbody>", "").partition("</table>")[0]
    rows = body.split("<tr>")[1:]
    return [
        [unescape(cell.partition(">")[2].partition("</t")[0]) for cell in row.split("<t")[1:]] for row in rows
    ]


def picture_in(card: str) -> bytes:
    return b64decode(card.partition("base64,")[2].partition(")")[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.81234, "0.8123"),
        (0.81, "0.8100"),
        (1, "1.000"),
        (-0.00213, "\N{MINUS SIGN}0.002130"),
        (0.00008838, "0.00008838"),
        (-38.414, "\N{MINUS SIGN}38.41"),
        (999.96, "1,000"),
        (12345.6, "12,346"),
        (1234567.0, "1,234,567"),
        (0, "0"),
        (-0.0, "0"),
        (1.5e-9, "1.5e\N{MINUS SIGN}09"),
        (2e20, "2e+20"),
    ],
)
def test_a_number_has_four_significant_digits_and_separated_thousands(value: float, text: str) -> None:
    assert number(value) == text


def test_a_difference_shows_its_sign_and_an_infinite_bound_says_so() -> None:
    assert [signed(0.0143), signed(-0.5), signed(0)] == ["+0.01430", "\N{MINUS SIGN}0.5000", "0"]
    assert interval(None, None) == "\N{MINUS SIGN}∞ … ∞"
    assert interval(0.1, 0.25) == "0.1000 … 0.2500"


def test_a_demand_is_shown_as_it_was_written() -> None:
    shown = [short(value) for value in (0, -0.005, 0.81234, 1500, 20.0, -45)]

    assert shown == ["0", "\N{MINUS SIGN}0.005", "0.81234", "1,500", "20", "\N{MINUS SIGN}45"]


def test_a_picture_is_a_png_that_fits_a_page_and_is_the_same_every_time() -> None:
    png = forest_plot(promoted())

    assert pixels(png).shape[1] == 1600
    assert 1000 < pixels(png).shape[0] < 1400
    assert len(png) < 100_000
    assert forest_plot(promoted()) == png


def test_each_outcome_has_its_colour() -> None:
    colours: dict[Outcome, tuple[int, int, int]] = {
        "passed": GREEN,
        "failed": VERMILLION,
        "inconclusive": GREY,
    }
    for outcome, colour in colours.items():
        png = forest_plot(decision("reject", [one_check(outcome=outcome)]))
        first, last = bands(drawn_in(colour, png)[ROW, PLOT])[0]

        assert last - first > 300
        assert not any(drawn_in(other, png).any() for other in {GREEN, VERMILLION} - {colour})


def test_metrics_of_different_scales_have_room_for_their_intervals_each() -> None:
    error = "neg_root_mean_squared_error"
    png = forest_plot(
        decision(
            "promote",
            [
                one_check("roc_auc"),
                found(f"{error} better", "passed", 0, paired(error, -38.41, (0.2, 0.93, 1.7))),
                found("r2 above 0.1", "passed", 0.1, alone("r2", 0.2, 0.23, 0.26)),
            ],
        )
    )
    *rows, _ = bands(drawn_in(GREEN, png))  # the last is the legend

    assert len(rows) == 3
    assert all(last - first > 100 for first, last in rows)


def test_the_threshold_is_drawn() -> None:
    tight, loose = (forest_plot(decision("promote", [one_check(threshold=t)])) for t in (-0.001, -0.002))
    places = [np.flatnonzero(drawn_in(INK, png)[200:-120, PLOT].any(axis=0)) for png in (tight, loose)]

    assert [len(place) > 0 for place in places] == [True, True]
    assert places[0].max() > places[1].max()


def test_an_infinite_bound_leaves_the_axes_as_an_arrow() -> None:
    finite = forest_plot(decision("promote", [one_check()]))
    infinite = forest_plot(decision("promote", [one_check(bounds=(None, 0.0032, None))]))
    (first, last), (lower, upper) = (bands(drawn_in(GREEN, png))[0] for png in (finite, infinite))

    assert lower < PLOT.start < first
    assert last < PLOT.stop < upper


def test_one_interval_far_longer_than_the_rest_does_not_squeeze_them() -> None:
    usual = [one_check() for _ in range(6)]
    alone, beside = (
        forest_plot(decision("promote", checks))
        for checks in (usual, [*usual, one_check(bounds=(-9, 0.0, 9))])
    )
    (first, last), (lower, upper) = (bands(drawn_in(GREEN, png))[0] for png in (alone, beside))

    assert upper - lower > 0.8 * (last - first)


def test_forty_slices_are_all_drawn() -> None:
    png = forest_plot(decision("promote", slices([f"dest={n}" for n in range(40)])))

    assert len(bands(drawn_in(GREEN, png))) == 40 + 1  # the last is the legend
    assert len(png) < 300_000


def test_a_card_says_the_verdict_first_then_the_reasons_and_the_numbers() -> None:
    card = promoted_card()

    assert card.startswith(
        "## Promoted: flight-delay@7 takes champion from flight-delay@5\n\n- roc_auc better"
    )
    assert cells(card)[1] == [
        "roc_auc better",
        "● passed",
        "0.7356",
        "0.7213",
        "+0.01432",
        "0.004100 … 0.02450",
        "lower bound above 0",
    ]
    assert [row[0] for row in cells(card)[1:]] == [
        "roc_auc better",
        "accuracy not worse by 0.005",
        "roc_auc not worse by 0.02, origin=EWR (7,115 rows)",
        "roc_auc not worse by 0.02, origin=JFK (7,078 rows)",
        "roc_auc not worse by 0.02, origin=LGA (7,041 rows)",
        "roc_auc above 0.7",
    ]


def test_a_card_ends_with_the_small_print() -> None:
    print_ = promoted_card().rpartition("---\n\n")[2]

    assert "flights-2013-02 (3f9ac27b51d0), 21,345 rows" in print_
    assert "Look 2 at this holdout" in print_
    assert "at most 0.007600, so its confidence is 99.24 %" in print_
    assert POLICY.fingerprint[:12] in print_
    assert "DeLong, Tango score interval, Wilson score interval" in print_


@pytest.mark.parametrize(
    ("judged", "headline"),
    [
        (
            decision("reject", []),
            "Rejected: flight-delay@5 stays champion, the evidence is against flight-delay@7",
        ),
        (
            decision("inconclusive", []),
            "Held: flight-delay@5 stays champion, the evidence for flight-delay@7 does not suffice",
        ),
        (first_version(), "Promoted: flight-delay@1 becomes champion, which nobody was"),
        (
            decision("inconclusive", [], champion=None, alias="canary"),
            "Held: canary stays vacant, the evidence for flight-delay@7 does not suffice",
        ),
    ],
)
def test_the_headline_says_who_holds_the_alias_now(judged: PromotionDecision, headline: str) -> None:
    assert decision_card(judged).startswith(f"## {headline}\n")


def test_the_picture_is_in_the_card_with_a_text_for_those_who_do_not_see_it() -> None:
    pictures = [token for token in read(promoted_card()) if token.type == "image"]

    assert [picture.content for picture in pictures] == ["What the checks of flight-delay@7 measured"]
    assert str(pictures[0].attrs["src"]).startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(
    "reason", ["12 rows decide nothing, 500 are needed", "flight-delay@7 was rolled back"]
)
def test_a_decision_without_measurements_has_a_card_without_a_picture(reason: str) -> None:
    card = decision_card(undecided(reason))

    assert f"- {reason}\n" in card
    assert "data:image" not in card
    assert cells(card) == []
    assert pixels(forest_plot(undecided(reason))).shape[1] == 1600


def test_the_first_version_is_drawn_by_its_floors_and_its_skipped_checks_are_listed() -> None:
    floor = found("roc_auc above 0.7", "passed", 0.7, alone("roc_auc", 0.7271, 0.7356, None))
    card = decision_card(first_version(found("roc_auc better", "skipped", 0, None), floor))

    assert [row[:6] for row in cells(card)[1:]] == [
        ["roc_auc better", f"{NOTHING} skipped", *[NOTHING] * 4],
        ["roc_auc above 0.7", "● passed", "0.7356", NOTHING, NOTHING, "0.7271 … ∞"],
    ]
    assert "data:image" in card


def test_of_five_hundred_slices_the_card_shows_what_failed_and_the_worst() -> None:
    many = slices([f"dest={n}" for n in range(500)])
    harmed = slices(["dest=harmed"], "failed", width=0.001)
    card = decision_card(decision("reject", [*many, *harmed]))

    assert len(cells(card)) == 1 + 20
    assert len(bands(drawn_in(GREEN, picture_in(card)))) == 19 + 1
    assert any("dest=harmed" in row[0] for row in cells(card))
    assert "The worst are shown; 481 more slices are not." in card
    assert "- and 481 more" in card


def test_a_selection_of_failures_says_how_many_it_leaves_out() -> None:
    failures = decision("reject", slices([f"dest={n}" for n in range(50)], "failed"))

    assert of_decision(failures).note == "The worst are shown; 30 more slices are not, of which 30 failed."


def test_the_largest_card_stays_below_a_megabyte() -> None:
    name = "|<&" * 1000
    many = [check for n in range(4) for check in slices([f"{n}{name}={i}{name}" for i in range(125)])]
    card = decision_card(decision("reject", many, dataset_name=name, reasons=[name] * 500))

    assert len(cells(card)) == 1 + 60
    assert len(card.encode()) < 1_000_000


HOSTILE = [
    "a | b || c",
    "`x` ``y",
    "<img src=x onerror=alert(1)>",
    "</td><script>x</script>",
    "line\n\n# heading\n\n---\n\n| a | b |",
    "](javascript:alert(1))",
    "[x](http://example.com) ![y](http://example.com/p.png)",
    "<http://example.com>",
    "\\| \\` \\",
    "&lt;b&gt; &#124;",
    "**bold** _em_ ~~gone~~",
    "- item",
    "1. item",
    "1) item",
    "    code",
    "$\\frac{$ $x$",
    "\u202egnp.exe\x00\u200b",
    "東京 \N{HOT BEVERAGE}",
]


FORBIDDEN = {
    *("html_inline", "html_block", "link_open", "code_inline", "code_block", "fence"),
    *("em_open", "strong_open", "s_open", "ordered_list_open", "blockquote_open"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text(name: str) -> None:
    judged = decision(
        "promote",
        [found(name, "skipped", 0, None)],
        **dict.fromkeys(["challenger", "champion", "alias", "dataset_name", "dataset"], name),
        reasons=[name],
    )
    kinds = [token.type for token in read(decision_card(judged))]

    assert [kinds.count(kind) for kind in ("tr_open", "td_open", "table_open", "image")] == [2, 7, 1, 0]
    assert [kinds.count(kind) for kind in ("heading_open", "hr", "list_item_open")] == [1, 1, 1 + 3]
    assert not FORBIDDEN & {*kinds}


def test_hostile_values_of_a_column_stay_text_in_table_and_picture() -> None:
    metric, bounds = "<b>$\\frac{$|", (0.01, 0.02, 0.03)
    results = [paired(metric, 0.7, bounds, slice=f"{name}={name}", method=name) for name in HOSTILE]
    checks = [found(name, "passed", 0, result) for name, result in zip(HOSTILE, results, strict=True)]
    judged = decision("promote", checks, challenger="](http://example.com)")
    for card in (decision_card(judged), comparison_card(comparison(*results[:3]))):
        tokens = read(card)
        kinds = [token.type for token in tokens]
        (source,) = (str(token.attrs["src"]) for token in tokens if token.type == "image")

        assert kinds.count("td_open") in {7 * len(HOSTILE), 5 * 3}
        assert source.startswith("data:image/png;base64,")
        assert not FORBIDDEN & {*kinds}
        assert not {"<", ">"} & {*card}


def test_a_hostile_name_is_shown_as_it_is() -> None:
    name = "*a* | <b> `c` [d](e) & f_g -h- \\i &amp; j"
    card = decision_card(decision("promote", [found(name, "skipped", 0, None)]))

    assert cells(card)[1][0] == name


def test_marks_that_turn_the_direction_of_writing_are_shown_as_replaced() -> None:
    card = decision_card(decision("promote", [found("a\u202eb\x07c", "skipped", 0, None)]))

    assert cells(card)[1][0] == "a\ufffdb\ufffdc"


def test_a_comparison_has_numbers_and_a_picture_but_no_verdict() -> None:
    whole = paired("roc_auc", 0.7213, (0.0041, 0.01432, None))
    part = paired("roc_auc", 0.7, (-0.01, 0.0, 0.01), slice="origin=JFK", rows=7_115)
    card = comparison_card(comparison(whole, part))

    assert card.startswith("## flight-delay@7 compared with flight-delay@5\n")
    assert cells(card) == [
        ["Metric", "Challenger", "Champion", "Difference", "Interval"],
        ["roc_auc", "0.7356", "0.7213", "+0.01432", "0.004100 … ∞"],
        ["roc_auc, origin=JFK (7,115 rows)", "0.7000", "0.7000", "0", "\N{MINUS SIGN}0.01000 … 0.01000"],
    ]
    assert "flights-2013-02 (3f9ac27b51d0), 21,345 rows" in card
    assert "confidence of 95 %" in card
    assert not any(word in card for word in ("passed", "failed", "Promoted"))


def test_a_comparison_is_drawn_in_neither_the_colour_of_success_nor_of_failure() -> None:
    png = comparison_plot(comparison(paired("roc_auc", 0.7213, (0.0041, 0.01432, 0.0245))))

    assert drawn_in(BLUE, png).any()
    assert not drawn_in(GREEN, png).any()
    assert not drawn_in(VERMILLION, png).any()


def test_a_comparison_of_nothing_is_a_card_without_a_table() -> None:
    assert cells(comparison_card(comparison())) == []
    assert pixels(comparison_plot(comparison())).shape[1] == 1600


STORY = (
    ("promoted", 1),
    ("held", 2),
    ("promoted", 3),
    ("rolled-back", 1),
    ("rejected", 4),
    ("approved", 5),
    ("assigned", 5),
    ("cleared", 5),
)


def test_a_timeline_is_the_same_every_time_and_has_a_row_for_each_version() -> None:
    entries = ledger(*STORY)
    png = timeline(entries)

    assert timeline(entries) == png
    taller = pixels(timeline(ledger(*STORY, ("held", 6)))).shape[0] - pixels(png).shape[0]
    assert 50 < taller < 70
    assert len(png) < 100_000


def test_a_timeline_marks_what_fell_and_what_was_put_in_force_by_hand() -> None:
    calm, by_hand, fallen = (
        timeline(ledger(("promoted", 1), (kind, 2), *rest))
        for kind, rest in (("promoted", []), ("assigned", []), ("promoted", [("rolled-back", 1)]))
    )

    assert drawn_in(PURPLE, by_hand).any()
    assert drawn_in(VERMILLION, fallen).any()
    assert not drawn_in(PURPLE, calm).any()
    assert not drawn_in(VERMILLION, calm).any()


def test_the_present_reign_is_drawn_until_the_end_and_a_cleared_one_is_not() -> None:
    present, cleared = (
        timeline(ledger(("promoted", 1), *rest)) for rest in ([("held", 2), ("held", 3)], [("cleared", 1)])
    )

    assert max(last for _, last in bands(drawn_in(BLUE, present))) > 1500
    assert not drawn_in(BLUE, cleared)[:, 800:].any()


def test_a_version_that_came_back_is_not_called_quarantined() -> None:
    fallen = [("promoted", 1), ("promoted", 2), ("rolled-back", 1)]
    down, back = (timeline(ledger(*fallen, *rest)) for rest in ([], [("assigned", 2)]))

    assert drawn_in(VERMILLION, down)[150:-100, :300].any()
    assert not drawn_in(VERMILLION, back)[150:-100, :300].any()


def test_of_many_decisions_the_newest_are_drawn() -> None:
    png = timeline(ledger(*(("held", n) for n in range(1, 200))))

    assert pixels(png).shape[0] < 3200
    assert len(png) < 300_000


def test_before_the_first_decision_there_is_a_picture_that_says_so() -> None:
    assert pixels(timeline([])).shape[1] == 1600
