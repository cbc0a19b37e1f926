"""A JSON value comes back from a column as the very value that went into it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from registry.tables import CanonicalJSON, canonical_json

COLUMN, DIALECT = CanonicalJSON(), sqlite.dialect()
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(TEXT, inside, max_size=4),
)
DEEP: Any = json.loads("[" * 400 + "0.1" + "]" * 400)


@given(JSON)
@example(DEEP)
@example({"large": 10**40, "small": -0.0, "nothing": "\0", "sum": 0.1 + 0.2})
def test_what_is_read_is_what_was_written(value: Any) -> None:
    text = COLUMN.process_bind_param(value, DIALECT)
    read = COLUMN.process_result_value(text, DIALECT)
    assert read == value
    assert canonical_json(read) == text  # in which 1 is not 1.0, nor True, and -0.0 not 0.0


@pytest.mark.parametrize("text", ["", "nul", "{'a': 1}", "[1, 2", "01"])
def test_what_is_no_json_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="line 1 column"):
        COLUMN.process_result_value(text, DIALECT)
