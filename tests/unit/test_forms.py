from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from registry.exceptions import InvalidName, InvalidReference
from registry.references import LONGEST_ALIAS, LONGEST_NAME, Reference, check_alias, check_model_name
from registry.tasks.forms import AliasText, ModelText, ReasonText, VersionChoice, with_choices


def ask(
    version: VersionChoice,
    model: ModelText = "churn",
    reason: ReasonText = "it is better",
    alias: AliasText = "champion",
    holdout: str = "holdout.parquet",
) -> None:
    """A flow whose parameters a form asks for.

    Args:
        version: The challenger.
        model: What it is of.
        reason: Why.
        alias: What it is to become.
        holdout: Rows to judge by.
    """


DECLARED: dict[str, Any] = parameter_schema(ask).model_dump()
EMPTY = with_choices(DECLARED, [])
OFFERED = with_choices(DECLARED, ["churn@2", "churn@1"])
EVERY_FORM = pytest.mark.parametrize("form", [DECLARED, EMPTY, OFFERED], ids=["declared", "empty", "offered"])


def submit(form: dict[str, Any], **values: Any) -> None:
    """Let the Prefect server's own code look at the values."""
    validate({"version": "churn@1", **values}, form, raise_on_error=True)


def ways(form: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = form["properties"]["version"]["anyOf"]
    return found


@EVERY_FORM
@pytest.mark.parametrize("model", ["a", "7", "churn", "churn.eu_west-1", "0.1.2", "a" * LONGEST_NAME])
@pytest.mark.parametrize(
    "selector", ["1", "10", "999999999", "latest", "champion", "a", "a-", "challenger-2", "a" * LONGEST_ALIAS]
)
def test_every_reference_passes_offered_or_not(form: dict[str, Any], model: str, selector: str) -> None:
    reference = str(Reference.parse(f"{model}@{selector}"))
    submit(form, version=reference, model=model)


@EVERY_FORM
@pytest.mark.parametrize(
    "text",
    ["", "churn", "churn@", "@7", "churn.@7", "churn @7", "churn@7 ", "churn@07", "churn@0", "churn@-a"],
)
def test_text_that_refers_to_no_version_is_refused_by_what_it_should_look_like(
    form: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)
    with pytest.raises(ValidationError, match=r"field 'version'.*does not match '\^"):
        submit(form, version=text)


@EVERY_FORM
@pytest.mark.parametrize("value", [7, None, ["churn@1"]])
def test_a_version_is_text(form: dict[str, Any], value: Any) -> None:
    with pytest.raises(ValidationError, match=r"field 'version'.*is not of type 'string'"):
        submit(form, version=value)


@pytest.mark.parametrize(
    "alias", ["", "7", "07", "the champion", "churn@champion", "-a", "a" * (LONGEST_ALIAS + 1)]
)
def test_an_alias_typed_by_hand_has_to_be_one(alias: str) -> None:
    with pytest.raises(InvalidName):
        check_alias(alias)
    with pytest.raises(ValidationError, match="field 'alias'"):
        submit(OFFERED, alias=alias)


@pytest.mark.parametrize(
    "alias", ["a", "champion", "challenger-2", "Champion", "2024-best", "7th", "_a", "a" * LONGEST_ALIAS]
)
def test_an_alias_can_be_typed_by_hand(alias: str) -> None:
    submit(OFFERED, alias=check_alias(alias))


@pytest.mark.parametrize("model", ["", "churn/eu", "churn@7", " churn", "churn-", "a" * (LONGEST_NAME + 1)])
def test_a_model_is_named_as_models_are(model: str) -> None:
    with pytest.raises(InvalidName):
        check_model_name(model)
    with pytest.raises(ValidationError, match="field 'model'"):
        submit(OFFERED, model=model)


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_a_reason_is_more_than_blanks(reason: str) -> None:
    with pytest.raises(ValidationError, match="field 'reason'"):
        submit(OFFERED, reason=reason)


def test_the_newest_versions_come_first_as_a_dropdown_beside_a_text_box() -> None:
    newest, other = ways(OFFERED)
    assert newest["enum"] == ["churn@2", "churn@1"]
    assert "enum" not in other
    assert newest["title"] != other["title"]  # by which the form tells them apart


def test_a_single_version_is_a_dropdown_too() -> None:
    newest, _ = ways(with_choices(DECLARED, ["churn@1"]))
    assert newest["enum"] == ["churn@1"]
    assert "const" not in newest


def test_without_a_version_the_form_says_so() -> None:
    (typed,) = ways(EMPTY)
    assert typed["description"].startswith("No version is registered yet")


def test_what_was_offered_before_makes_way() -> None:
    assert with_choices(OFFERED, []) == EMPTY
    assert with_choices(EMPTY, ["churn@2", "churn@1"]) == OFFERED


def test_everything_else_in_the_form_stays_as_it_was() -> None:
    declared = deepcopy(DECLARED)
    offered = with_choices(declared, ["churn@1"])
    assert declared == DECLARED
    del offered["properties"]["version"]["anyOf"]
    assert offered == DECLARED
    assert DECLARED["properties"]["version"]["description"] == "The challenger."


@pytest.mark.parametrize("schema", [{}, {"properties": {}}, {"properties": {"model": {"type": "string"}}}])
def test_a_form_that_asks_for_no_version_offers_none(schema: dict[str, Any]) -> None:
    assert with_choices(schema, ["churn@1"]).get("properties", {}) == schema.get("properties", {})
