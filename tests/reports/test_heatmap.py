from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from registry.backtest import LeftOut
from registry.reports import backtest_card, heat_map
from registry.reports.heatmap import MOST_COLUMNS, MOST_LINES, MOST_VERSIONS
from registry.reports.sheet import Sheet
from registry.words import NOTHING
from tests.backtests import a_backtest
from tests.reports.test_reports import FORBIDDEN, HOSTILE, cells, drawn_in, picture_in, pixels, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.text import Text

    from registry.backtest import Backtest

    Drawn = Callable[[Backtest], list[Axes]]

BLUE, VERMILLION = (18, 123, 182), (216, 107, 20)  # the deepest of each
METRICS = ["roc_auc", "accuracy", "neg_log_loss"]
AIRPORTS = [f"origin={name}" for name in ("BOS", "EWR", "JFK", "LGA", "PHL", "SFO", "DCA")]
MANY = {
    number: {"roc_auc": 0.7 + number / 1000, "accuracy": 0.8 + number / 7000, "neg_log_loss": -1 / number}
    for number in range(1, 51)
}
LIKE = {1: {"roc_auc": 0.7}, 2: {"roc_auc": 0.8}, 3: {"roc_auc": 0.65}}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Draw the heat map of a backtest, and give its axes: the page, then each group of columns."""
    original, sheets = Sheet.png, []

    def kept(sheet: Sheet) -> bytes:
        sheets.append(sheet)
        return original(sheet)

    monkeypatch.setattr(Sheet, "png", kept)

    def draw(backtest: Backtest) -> list[Axes]:
        heat_map(backtest)
        return list(sheets[-1].figure.axes)

    return draw


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def is_bold(text: Text) -> bool:
    return text.get_fontweight() == "bold"


# The picture


def test_a_better_version_is_blue_above_and_a_worse_one_vermillion_below() -> None:
    png = heat_map(a_backtest(LIKE))
    better, worse = (np.flatnonzero(drawn_in(colour, png).any(axis=1)) for colour in (BLUE, VERMILLION))
    legend = len(pixels(png)) - 100
    assert 0 < better[better < legend].max() < legend
    assert not worse[worse < legend].size  # half as far from the champion, so half as deep
    half = tuple(round(255 * (0.965 + 0.46 * (part - 0.965))) for part in to_rgb("#D55E00"))
    paler = np.flatnonzero(drawn_in((half[0], half[1], half[2]), png).any(axis=1))
    assert better[better < legend].max() < paler[paler < legend].min()


def test_a_cell_holds_the_difference_and_the_champions_its_value(drawn: Drawn) -> None:
    _, grid = drawn(a_backtest(LIKE))
    assert words(grid) == ["+0.100", "0.700", "\N{MINUS SIGN}0.050"]


def test_what_is_provable_is_bold(drawn: Drawn) -> None:
    _, grid = drawn(a_backtest({1: {"f1": 0.7}, 2: {"f1": 0.75}, 3: {"f1": 0.709}, 4: {"f1": 0.6}}))
    assert [is_bold(text) for text in grid.texts] == [True, False, False, True]


def test_the_row_of_the_one_in_force_is_named_and_framed(drawn: Drawn) -> None:
    page, grid = drawn(a_backtest(LIKE))
    assert [text.get_text() for text in page.texts if is_bold(text)][1:] == ["@1"]
    assert "champion" in words(page)
    (frame,) = grid.lines
    assert set(np.asarray(frame.get_ydata()).tolist()) == {1, 2}


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 1, 1e3, 1e7])
def test_every_number_fits_its_cell(drawn: Drawn, scale: float) -> None:
    values = {
        number: {metric: scale * value for metric, value in by_metric.items()}
        for number, by_metric in MANY.items()
    }
    for grid in drawn(a_backtest(values, slices=AIRPORTS, champion=20))[1:]:
        left, right = grid.get_xlim()
        room = grid.get_window_extent().width / (right - left)
        assert max(text.get_window_extent().width for text in grid.texts) < room


def test_one_version_that_is_far_out_does_not_pale_the_others(drawn: Drawn) -> None:
    ordinary = {number: {"f1": 0.7 + number / 100} for number in range(1, 8)}
    _, grid = drawn(a_backtest({**ordinary, 8: {"f1": -50.0}}))
    (image,) = grid.images
    colours = np.asarray(image.get_array())[:, 0]
    assert np.ptp(colours[:6], axis=0).max() > 0.05
    assert words(grid)[-1] == "\N{MINUS SIGN}50.710"


def test_a_group_of_columns_stands_for_all_rows_and_one_for_the_slices_of_each_metric(drawn: Drawn) -> None:
    page, *groups = drawn(a_backtest({1: MANY[1], 2: MANY[2]}, slices=AIRPORTS[:2]))
    assert [len(words(group)) for group in groups] == [6, 4, 4, 4]
    assert {"all rows", "roc_auc by slice", "origin=BOS", "neg_log_loss"} <= set(words(page))


def test_a_slice_that_a_version_has_no_value_on_is_empty(drawn: Drawn) -> None:
    found = a_backtest(LIKE, slices=AIRPORTS[:1])
    best = found.measured[0].model_copy(update={"results": found.measured[0].results[:1]})
    _, _, slices = drawn(found.model_copy(update={"measured": (best, *found.measured[1:])}))
    assert words(slices)[0] == NOTHING


def test_of_too_many_versions_the_best_are_drawn_and_the_one_in_force(drawn: Drawn) -> None:
    values = {number: {"f1": number / 1000} for number in range(1, MOST_VERSIONS + 20)}
    page, grid = drawn(a_backtest(values, champion=3))
    assert len(words(grid)) == MOST_VERSIONS + 1
    assert words(page)[1].endswith("not shown: 18 more versions")
    assert "@3" in words(page)


def test_of_too_many_slices_the_first_metrics_are_drawn(drawn: Drawn) -> None:
    page, *groups = drawn(a_backtest({1: MANY[1], 2: MANY[2]}, slices=AIRPORTS))
    assert sum(len(words(group)) for group in groups) == 2 * MOST_COLUMNS
    assert words(page)[1].endswith(f"not shown: {3 + 3 * 7 - MOST_COLUMNS} more columns")


def test_without_a_champion_the_cells_hold_values_and_none_is_worse(drawn: Drawn) -> None:
    found = a_backtest(LIKE, champion=None)
    _, grid = drawn(found)
    assert words(grid) == ["0.800", "0.700", "0.650"]
    assert not drawn_in(VERMILLION, heat_map(found)).any()


def test_where_nothing_could_be_measured_the_picture_says_so(drawn: Drawn) -> None:
    (page,) = drawn(a_backtest({}, champion=3))
    assert words(page)[1] == "100,000 rows; 1 version left out"


# The card


def test_the_card_says_first_who_would_have_won_then_shows_all() -> None:
    card = backtest_card(a_backtest(LIKE, left_out=[LeftOut(reference="churn@4", reason="it is gone")]))
    assert card.startswith("## churn@2 would have won by 10 points of roc_auc\n")
    assert "1 of 2 versions provably better than churn@1, 1 provably worse" in card
    assert cells(card) == [
        ["Version", "roc_auc", "Difference"],
        ["churn@2", "0.8000", "+0.1000 (0.09000 … 0.1100) ● better"],
        ["<strong>churn@1</strong>, champion", "0.7000", NOTHING],
        ["churn@3", "0.6500", "−0.05000 (−0.06000 … −0.04000) ✖ worse"],
    ]
    assert picture_in(card) == heat_map(a_backtest(LIKE))
    assert "### 1 version left out\n\n- churn@4: it is gone\n" in card
    assert "err with a probability of at most 0.02500 each" in card


def test_a_card_without_a_champion_claims_no_difference() -> None:
    card = backtest_card(a_backtest(LIKE, champion=None))
    assert card.startswith("## Nothing is in force; churn@2 did best, roc_auc 0.8000\n")
    assert cells(card)[0] == ["Version", "roc_auc"]
    assert "ifference" not in card


def test_a_card_without_any_measurement_names_what_was_left_out() -> None:
    card = backtest_card(a_backtest({}, champion=3))
    assert card.startswith("## No version of churn could be measured on march\n")
    assert "- churn@3: its artifact is gone" in card
    assert "![" not in card


def test_a_long_table_shows_the_best_and_the_one_in_force_and_says_so() -> None:
    values = {number: {"f1": number / 1000} for number in range(1, 100)}
    card = backtest_card(a_backtest(values, champion=3))
    assert len(cells(card)) == 1 + MOST_LINES + 1
    assert cells(card)[-1][0].startswith("<strong>churn@3")
    assert "The best are shown; 68 more versions not." in card


def test_a_card_of_hundreds_of_versions_stays_far_below_a_megabyte() -> None:
    values = {number: MANY[1 + number % 50] for number in range(1, 151)}
    left_out = [LeftOut(reference=f"churn@{number}", reason="x" * 2_000) for number in range(151, 350)]
    card = backtest_card(
        a_backtest(values, slices=[f"tail={number}" for number in range(30)], left_out=left_out)
    )
    assert len(card) < 600_000
    assert "- and 179 more" in card


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text(name: str) -> None:
    found = a_backtest(LIKE, slices=[name], left_out=[LeftOut(reference="churn@4", reason=name)])
    card = backtest_card(found.model_copy(update={"dataset_name": name}))
    kinds = [token.type for token in read(card)]
    assert [kinds.count(kind) for kind in ("tr_open", "td_open", "image")] == [4, 9, 1]
    assert not FORBIDDEN - {"strong_open"} & set(kinds)
    assert kinds.count("strong_open") == 1
