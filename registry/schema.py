"""The columns that a version was trained on: described, checked against new rows, and shown by example."""

from __future__ import annotations

from collections import Counter
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from registry.exceptions import SchemaMismatch

EXAMPLE_ROWS = 5

Schema = list[dict[str, Any]]
"""One ``{"name", "dtype", "kind"}`` per column in order; a category column also has its "categories" and
whether they are "ordered". A name is a text, or the number that the column was known by."""

_KINDS_OF_OBJECTS = {
    "string": "text",
    "boolean": "boolean",
    "integer": "integer",
    "floating": "number",
    "mixed-integer-float": "number",
}


def describe(frame: pd.DataFrame) -> Schema:
    """The schema of *frame*."""
    return [_describe(name, column) for name, column in frame.items()]


def _describe(name: Any, column: pd.Series[Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": int(name) if isinstance(name, Integral) else str(name),
        "dtype": str(column.dtype),
        "kind": kind(column),
    }
    if isinstance(column.dtype, pd.CategoricalDtype):
        described["categories"] = [_to_json(category) for category in column.cat.categories]
        described["ordered"] = bool(column.cat.ordered)
    return described


def kind(column: pd.Series[Any]) -> str:
    """What the values of *column* are: boolean, integer, number, text, time, category or other."""
    if types.is_object_dtype(column):
        return _KINDS_OF_OBJECTS.get(types.infer_dtype(column, skipna=True), "other")
    kinds = {
        "category": isinstance(column.dtype, pd.CategoricalDtype),
        "boolean": types.is_bool_dtype(column),
        "integer": types.is_integer_dtype(column),
        "number": types.is_float_dtype(column),
        "time": types.is_datetime64_any_dtype(column),
        "text": types.is_string_dtype(column),
    }
    return next((name for name, holds in kinds.items() if holds), "other")


def select(rows: pd.DataFrame | np.ndarray[Any, Any], schema: Schema, subject: str) -> pd.DataFrame:
    """The columns of *rows* that *schema* names; further columns are left out.

    An array is taken to have exactly the schema's columns. Whole numbers may stand where numbers are
    expected, which is what a file without a fraction in it gives. Text may stand where categories of text are
    expected, which is what CSV and SQL give; one that the training did not know becomes a missing value. A
    column in which every value is missing may stand anywhere, and any column may stand where those of the
    training were of no one kind.

    Raises:
        SchemaMismatch: A column is missing, stands in another order, or is of another kind.
    """
    names = [column["name"] for column in schema]
    if not isinstance(rows, pd.DataFrame):
        array = np.asarray(rows)
        if array.ndim != 2 or array.shape[1] != len(names):  # noqa: PLR2004, rows and columns
            raise SchemaMismatch(
                subject, f"an array of {len(names)} columns is needed, this is {array.shape}"
            )
        return pd.DataFrame(array, columns=names)
    if _as_trained(rows, schema):
        return rows
    found = [str(name) for name in rows.columns]
    _check_names(found, [str(name) for name in names], subject)
    position = {name: index for index, name in enumerate(found)}
    selected = rows.iloc[:, [position[str(name)] for name in names]].set_axis(names, axis="columns")
    for column, (_, values) in zip(schema, selected.items(), strict=True):
        _check_kind(column, values, subject)
    return selected.astype(
        {
            column["name"]: _dtype(column)
            for column, (_, values) in zip(schema, selected.items(), strict=True)
            if column["kind"] == "category" and kind(values) == "text"
        }
    )


def _as_trained(rows: pd.DataFrame, schema: Schema) -> bool:
    """Whether the columns are the training's to the letter, and their dtypes alone tell their kinds."""
    return (
        [*rows.columns] == [column["name"] for column in schema]
        and [str(dtype) for dtype in rows.dtypes] == [column["dtype"] for column in schema]
        and all(column["dtype"] not in {"object", "category"} for column in schema)
    )


def _check_names(found: list[str], expected: list[str], subject: str) -> None:
    wanted, times = set(expected), Counter(found)
    if missing := [name for name in expected if not times[name]]:
        raise SchemaMismatch(subject, f"missing {', '.join(missing)}; it expects {', '.join(expected)}")
    if repeated := [name for name in expected if times[name] > 1]:
        raise SchemaMismatch(subject, f"there is more than one {', '.join(repeated)}: leave one")
    order = [name for name in found if name in wanted]
    if order != expected:
        raise SchemaMismatch(
            subject, f"the order is {', '.join(order)}; it expects {', '.join(expected)}: select them so"
        )


def _check_kind(column: dict[str, Any], values: pd.Series[Any], subject: str) -> None:
    found, expected = kind(values), column["kind"]
    if expected in {found, "other"} or (found, expected) == ("integer", "number") or values.isna().all():
        return
    if (found, expected) == ("text", "category") and all(
        isinstance(each, str) for each in column["categories"]
    ):
        return
    raise SchemaMismatch(
        subject, f"column {column['name']!r} is {found}, {expected} was expected ({column['dtype']})"
    )


def example_of(frame: pd.DataFrame) -> list[list[Any]]:
    """The first rows of *frame* as JSON values, row by row."""
    rows = frame.head(EXAMPLE_ROWS)
    return [[_to_json(value) for value in row] for row in rows.itertuples(index=False, name=None)]


def restore_example(rows: list[list[Any]], schema: Schema) -> pd.DataFrame:
    """The frame that ``example_of`` described."""
    values = [[_from_json(value) for value in row] for row in rows]
    frame = pd.DataFrame(values, columns=[column["name"] for column in schema], dtype=object)
    return frame.astype({column["name"]: _dtype(column) for column in schema})


def _dtype(column: dict[str, Any]) -> Any:
    if "categories" in column:
        return pd.CategoricalDtype(column["categories"], column["ordered"])
    return column["dtype"]


def _to_json(value: Any) -> Any:
    if isinstance(value, pd.Timestamp | np.datetime64):
        return pd.Timestamp(value).isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}  # not None, which some columns tell from NaN
    return value if isinstance(value, bool | int | float | str) else str(value)


def _from_json(value: Any) -> Any:
    return float(value["float"]) if isinstance(value, dict) else value
