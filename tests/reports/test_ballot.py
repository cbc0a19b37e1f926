"""What a person reads who is asked to agree with a decision."""

from __future__ import annotations

import pytest

from registry.reports import ballot
from tests.reports.test_reports import (
    FORBIDDEN,
    HOSTILE,
    cells,
    decision,
    first_version,
    one_check,
    promoted,
    read,
    slices,
)


def test_the_question_comes_first_and_each_check_is_a_row() -> None:
    text = ballot(promoted())
    assert text.startswith("### May flight-delay@7 become champion, in place of flight-delay@5?\n\n| Check |")
    assert cells(text)[1] == ["roc_auc better", "● passed", "+0.01432 (0.004100 … 0.02450)"]
    assert text.endswith("21,345 rows\n")


def test_the_worst_slice_stands_for_the_column() -> None:
    [row] = [row for row in cells(ballot(promoted())) if "slices" in row[0]]
    assert row[0] == "roc_auc not worse by 0.02, 3 slices, the worst origin=EWR"


def test_before_the_first_champion_a_floor_shows_the_value_itself() -> None:
    text = ballot(first_version(one_check()))
    assert "in place of nothing?" in text
    assert len(cells(text)) == 2


def test_many_checks_are_counted_where_they_are_not_listed() -> None:
    many = [one_check(f"metric{number}") for number in range(20)]
    text = ballot(decision("promote", many))
    assert len(cells(text)) == 1 + 12
    assert "And 8 checks more, which passed too." in text


@pytest.mark.parametrize("name", HOSTILE)
def test_foreign_text_stays_text(name: str) -> None:
    tokens = read(ballot(decision("promote", slices([f"{name}=1", f"{name}=2"]), dataset_name=name)))
    assert not FORBIDDEN & {token.type for token in tokens}
