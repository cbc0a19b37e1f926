from __future__ import annotations

from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.exceptions import InvalidName, InvalidReference
from registry.references import (
    LATEST,
    LONGEST_ALIAS,
    LONGEST_NAME,
    Reference,
    check_alias,
    check_model_name,
)

NOT_MODEL_NAMES = [
    "",
    " ",
    ".",
    "..",
    "-churn",
    "churn-",
    "churn..eu",
    "churn eu ",
    " churn",
    "churn.",
    ".churn",
    "churn:eu",
    "churn/eu",
    "churn\\eu",
    "../churn",
    "churn@eu",
    "churn\n",
    "churn\0",
    "chürn",
    "\N{FULLWIDTH LATIN SMALL LETTER C}hurn",
    "churn\N{ARABIC-INDIC DIGIT THREE}",
    "a" * (LONGEST_NAME + 1),
]
NOT_ALIASES = [
    "",
    " ",
    "7",
    "007",
    "latest",
    "Latest",
    "-canary",
    "can ary",
    "can.ary",
    "champion\n",
    "chämpion",
    "a@b",
    "a" * (LONGEST_ALIAS + 1),
]
NOT_SELECTORS = [
    *(alias for alias in NOT_ALIASES if alias not in {"7", LATEST}),
    "0",
    "07",
    "-1",
    "+1",
    "1.0",
    " 1",
    "\N{ARABIC-INDIC DIGIT SEVEN}",
    "1000000000",
]

words = st.text(f"{ascii_letters}{digits}_", min_size=1, max_size=20)
model_names = st.builds(
    lambda first, rest: first + "".join(separator + word for separator, word in rest),
    words,
    st.lists(st.tuples(st.sampled_from(".- "), words), max_size=4),
)
aliases = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", fullmatch=True).filter(
    lambda alias: alias.lower() != LATEST
)
numbers = st.integers(1, 999_999_999)


@given(model_names, numbers | aliases | st.just(LATEST))
def test_what_a_reference_says_of_itself_is_read_as_the_same_reference(
    model: str, selector: int | str
) -> None:
    reference = Reference(model, selector)
    assert Reference.parse(str(reference)) == reference


@given(numbers)
def test_digits_are_a_version_and_never_an_alias(number: int) -> None:
    assert Reference.parse(f"churn@{number}").selector == number
    with pytest.raises(InvalidName):
        check_alias(str(number))


@given(aliases)
def test_a_word_is_an_alias_and_never_a_version(alias: str) -> None:
    assert Reference.parse(f"churn@{alias}").selector == check_alias(alias) == alias


@given(st.text())
def test_any_text_is_read_whole_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return
    assert str(reference) == text


@pytest.mark.parametrize(
    "name", ["a", "7", "churn", "flight-delay", "eu.churn_2", "Iris Model", "_a__b-.c_", "a" * LONGEST_NAME]
)
def test_a_model_may_be_called(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize("alias", ["champion", "Champion", "7th", "2024-best", "_a", "a" * LONGEST_ALIAS])
def test_an_alias_may_be_called(alias: str) -> None:
    assert check_alias(alias) == Reference.parse(f"churn@{alias}").selector == alias


@pytest.mark.parametrize("name", NOT_MODEL_NAMES, ids=repr)
def test_a_model_may_not_be_called(name: str) -> None:
    with pytest.raises(InvalidName, match="model name"):
        check_model_name(name)
    with pytest.raises(InvalidReference):
        Reference.parse(f"{name}@7")


@pytest.mark.parametrize("alias", NOT_ALIASES, ids=repr)
def test_an_alias_may_not_be_called(alias: str) -> None:
    with pytest.raises(InvalidName, match="alias"):
        check_alias(alias)


@pytest.mark.parametrize("selector", NOT_SELECTORS, ids=repr)
def test_nothing_can_be_selected_by(selector: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(f"churn@{selector}")


@pytest.mark.parametrize("text", ["", "@", "churn", "churn@", "@7", "7", "churn 7", "churn:7"])
def test_a_reference_has_a_model_and_a_selector(text: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)


def test_latest_can_be_asked_for_but_not_set() -> None:
    assert Reference.parse("churn@latest").selector == LATEST
    with pytest.raises(InvalidName, match="'latest' is taken"):
        check_alias(LATEST)


def test_the_error_names_the_text_and_the_form_to_write() -> None:
    with pytest.raises(InvalidReference, match=r"'churn' does not refer to a version: write name@7"):
        Reference.parse("churn")
