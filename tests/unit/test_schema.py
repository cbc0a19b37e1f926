from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from registry import schema
from registry.exceptions import SchemaMismatch
from registry.tables import canonical_json


def frame(**changed: Any) -> pd.DataFrame:
    columns = {"wind": [0.5, 1.5], "hour": [6, 23], "origin": ["JFK", "EWR"], "weekend": [True, False]}
    return pd.DataFrame({**columns, **changed})


def select(rows: Any, trained_on: pd.DataFrame | None = None) -> pd.DataFrame:
    return schema.select(rows, schema.describe(frame() if trained_on is None else trained_on), "churn@7")


def objects(*values: object) -> pd.Series[Any]:
    return pd.Series(values, dtype=object)


CLOCK = pd.Series(pd.to_datetime(["2020-01-01 10:00:00.123456", "2020-07-01 10:00"], format="ISO8601"))
NO_TIME = pd.Series([CLOCK[0], pd.NaT])

COLUMNS: dict[str, tuple[pd.Series[Any], str]] = {
    "int8": (pd.Series([1, -2], dtype="int8"), "integer"),
    "int64": (pd.Series([2**62 + 1, -2]), "integer"),
    "uint64": (pd.Series([1, 2**64 - 1], dtype="uint64"), "integer"),
    "Int64": (pd.Series([1, None], dtype="Int64"), "integer"),
    "object whole numbers": (objects(1, None), "integer"),
    "float32": (pd.Series([0.1, np.nan], dtype="float32"), "number"),
    "float64": (pd.Series([1 / 3, np.inf]), "number"),
    "Float64": (pd.Series([0.1, None], dtype="Float64"), "number"),
    "object numbers": (objects(0.5, None), "number"),
    "bool": (pd.Series([True, False]), "boolean"),
    "boolean": (pd.Series([True, None], dtype="boolean"), "boolean"),
    "object booleans": (objects(*[True, None]), "boolean"),
    "str": (pd.Series(["a", None], dtype="str"), "text"),
    "string": (pd.Series(["a", None], dtype="string"), "text"),
    "object texts": (objects("a", "b"), "text"),
    "object texts and None": (objects("a", None), "text"),
    "object texts and NaN": (objects("a", np.nan), "text"),
    "times in us": (CLOCK.dt.as_unit("us"), "time"),
    "times in ns": (CLOCK.dt.as_unit("ns") + pd.Timedelta(7, "ns"), "time"),
    "times in s": (CLOCK.dt.as_unit("s"), "time"),
    "times and a gap": (NO_TIME, "time"),
    "times in Berlin": (CLOCK.dt.tz_localize("Europe/Berlin"), "time"),
    "times in UTC": (NO_TIME.dt.tz_localize("UTC"), "time"),
    "times at an offset": (CLOCK.dt.tz_localize("+05:30"), "time"),
    "categories": (pd.Series(["a", None], dtype=pd.CategoricalDtype(["b", "a", "c"])), "category"),
    "ordered": (pd.Series(["a", "b"], dtype=pd.CategoricalDtype(["b", "a"], ordered=True)), "category"),
    "whole categories": (pd.Series([3, 1], dtype="category"), "category"),
    "number categories": (pd.Series([0.5, 1.0], dtype="category"), "category"),
    "boolean categories": (pd.Series([True, False], dtype="category"), "category"),
    "durations": (pd.Series(pd.to_timedelta([1, None], unit="s")), "other"),
    "texts and numbers": (objects("a", 1), "other"),
    "nothing at all": (objects(None, None), "other"),
}


# Describing and showing by example


@pytest.mark.parametrize(("column", "kind"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_is_of_the_kind_of_its_values(column: pd.Series[Any], kind: str) -> None:
    assert schema.kind(column) == kind


@pytest.mark.parametrize("column", [column for column, _ in COLUMNS.values()], ids=COLUMNS)
def test_an_example_comes_back_from_json_with_its_very_types_and_gaps(column: pd.Series[Any]) -> None:
    rows = pd.DataFrame({"x": column, "y": [1, 2]})
    described = json.loads(canonical_json(schema.describe(rows)))
    example = json.loads(canonical_json(schema.example_of(rows)))
    restored = schema.restore_example(example, described)
    pd.testing.assert_frame_equal(restored, rows, check_exact=True)
    assert [type(value) for value in restored["x"]] == [type(value) for value in rows["x"]]
    pd.testing.assert_frame_equal(schema.select(restored, described, "churn@7"), rows)


def test_a_gap_is_null_in_the_example() -> None:
    gaps = {"at": [pd.NaT], "hour": pd.array([None], dtype="Int64"), "origin": objects(None)}
    assert schema.example_of(pd.DataFrame(gaps)) == [[None, None, None]]


@pytest.mark.parametrize("rows", [1, 4, 5, 6])
def test_an_example_has_five_rows_or_all_there_are(rows: int) -> None:
    assert len(schema.example_of(pd.DataFrame({"x": range(rows)}))) == min(rows, 5)


def test_columns_are_described_in_their_order_with_their_names() -> None:
    described = schema.describe(frame())
    assert [column["name"] for column in described] == ["wind", "hour", "origin", "weekend"]


def test_a_column_that_is_known_by_a_number_keeps_it() -> None:
    rows = pd.DataFrame(np.eye(2))
    restored = schema.restore_example(schema.example_of(rows), schema.describe(rows))
    assert list(restored) == list(select(rows, rows)) == [0, 1]


# Selecting


def test_the_columns_of_the_training_pass_as_they_are() -> None:
    pd.testing.assert_frame_equal(select(frame()), frame())


def test_further_columns_are_left_out_wherever_they_stand() -> None:
    rows = frame(seat=["1A", "2B"])[["seat", "wind", "hour", "origin", "weekend"]]
    assert list(select(rows)) == list(frame())


def test_further_columns_may_share_a_name() -> None:
    rows = pd.concat([frame(), frame(seat=1)[["seat"]], frame(seat=2)[["seat"]]], axis=1)
    assert list(select(rows)) == list(frame())


def test_missing_columns_are_named() -> None:
    with pytest.raises(SchemaMismatch, match=r"churn@7: missing hour, weekend; it expects wind, hour"):
        select(frame()[["wind", "origin"]])


def test_columns_in_another_order_are_named_in_both() -> None:
    with pytest.raises(SchemaMismatch, match=r"order is hour, wind, origin, weekend; it expects wind, hour"):
        select(frame()[["hour", "wind", "origin", "weekend"]])


def test_columns_that_are_there_twice_are_named() -> None:
    with pytest.raises(SchemaMismatch, match="more than one hour"):
        select(pd.concat([frame(), frame()[["hour"]]], axis=1))


def test_nested_column_names_are_no_names() -> None:
    with pytest.raises(SchemaMismatch, match="missing wind, hour"):
        select(pd.concat({"a": frame()}, axis=1))


RETYPED: dict[str, dict[str, Any]] = {
    "'wind' is text, number was expected": {"wind": ["0.5", "1.5"]},
    "'wind' is boolean, number was expected": {"wind": [True, False]},
    "'hour' is number, integer was expected": {"hour": [0.5, 1.5]},
    "'hour' is text, integer was expected": {"hour": objects("6", "23")},
    "'origin' is integer, text was expected": {"origin": [1, 2]},
    "'origin' is category, text was expected": {"origin": pd.Categorical(["JFK", "EWR"])},
    "'weekend' is integer, boolean was expected": {"weekend": [1, 0]},
    "'hour' is time, integer was expected": {"hour": CLOCK},
    "'hour' is other, integer was expected": {"hour": objects(1, "a")},
}


@pytest.mark.parametrize(("message", "changed"), RETYPED.items(), ids=RETYPED)
def test_a_column_of_another_kind_is_named_with_both(message: str, changed: dict[str, Any]) -> None:
    with pytest.raises(SchemaMismatch, match=message):
        select(frame(**changed))


KIN: dict[str, dict[str, Any]] = {
    "whole numbers where numbers were": {"wind": [1, 2]},
    "nullable whole numbers": {"hour": pd.array([6, None], dtype="Int64")},
    "a narrower number": {"wind": np.array([0.5, 1.5], dtype="float32")},
    "numbers as objects": {"wind": objects(0.5, None)},
    "texts as objects": {"origin": objects("JFK", "EWR")},
    "texts with a gap": {"origin": objects("JFK", None)},
    "nothing but gaps": {"origin": np.array([np.nan, np.nan]), "wind": objects(None, None)},
}


@pytest.mark.parametrize("changed", KIN.values(), ids=KIN)
def test_a_column_of_the_same_kind_passes_however_it_is_stored(changed: dict[str, Any]) -> None:
    pd.testing.assert_frame_equal(select(frame(**changed)), frame(**changed))


def test_a_category_that_the_training_never_saw_passes_the_check() -> None:
    trained_on = frame(origin=pd.Categorical(["JFK", "EWR"]))
    rows = frame(origin=pd.Categorical(["LGA", "EWR"]))
    assert select(rows, trained_on)["origin"].tolist() == ["LGA", "EWR"]


def test_any_column_may_stand_where_the_training_had_no_one_kind() -> None:
    assert select(frame(hour=["6", "23"]), frame(hour=objects("six", 23)))["hour"].tolist() == ["6", "23"]


def test_columns_known_by_numbers_are_found_under_the_texts_that_a_file_makes_of_them() -> None:
    trained_on = pd.DataFrame(np.eye(3))
    selected = select(trained_on.rename(columns=str)[["0", "1", "2"]], trained_on)
    pd.testing.assert_frame_equal(selected, trained_on)


def test_an_array_gets_the_names_of_the_training() -> None:
    trained_on = frame()[["wind", "hour"]]
    assert list(select(np.array([[0.5, 6.0], [1.5, 23.0]]), trained_on)) == ["wind", "hour"]


@pytest.mark.parametrize("shape", [(2, 3), (2, 5), (4,), (), (1, 2, 4)])
def test_an_array_of_another_width_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SchemaMismatch, match=r"an array of 4 columns is needed, this is \("):
        select(np.zeros(shape))


def test_many_columns_are_checked_in_no_time() -> None:
    wide = pd.DataFrame(np.zeros((1, 4_000)))
    assert select(wide, wide).shape == (1, 4_000)
