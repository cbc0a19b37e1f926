"""What a row is hashed over is put together from the driver's values; it has to be what the row says."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, create_engine, delete, insert

from registry.audit.chains import ENTRIES, VERSIONS, missing
from registry.tables import LedgerEntry, ModelVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from registry.audit.chains import Kind

TABLES: dict[type[LedgerEntry | ModelVersion], Kind] = {LedgerEntry: ENTRIES, ModelVersion: VERSIONS}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBER = st.integers(-(2**31), 2**31 - 1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXT, inside, max_size=3),
    max_leaves=8,
)


ANY: dict[str, st.SearchStrategy[Any]] = {
    "AutoString": TEXT,
    "BigInteger": NUMBER,
    "Boolean": st.booleans(),
    "CanonicalJSON": st.dictionaries(TEXT, JSON, max_size=3),
    "Integer": NUMBER,
    "NumberOrNone": st.none() | NUMBER.filter(bool),
    "UTCDateTime": st.datetimes(timezones=st.just(UTC)),
}
"""What a column of each type can hold, whether or not a registry would write it."""


OTHER_JSON: dict[str, st.SearchStrategy[Any]] = {
    "environment": st.dictionaries(TEXT, TEXT, max_size=3),
    "input_schema": st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2),
}


def values(column: Column[Any]) -> st.SearchStrategy[Any]:
    """Whatever the *column* can hold."""
    strategy = OTHER_JSON.get(column.name, ANY[type(column.type).__name__])
    return st.none() | strategy if column.nullable else strategy


def rows(table: type[LedgerEntry | ModelVersion]) -> st.SearchStrategy[LedgerEntry | ModelVersion]:
    """Rows with anything in any column."""
    return st.builds(table, **{column.name: values(column) for column in TABLES[table].table.c})


@pytest.fixture
def connection(empty_database_url: str) -> Iterator[Connection]:
    """A database of the two tables without their constraints."""
    engine, metadata = create_engine(empty_database_url), MetaData()
    for kind in TABLES.values():
        Table(kind.table.name, metadata, *(Column(column.name, column.type) for column in kind.table.c))
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


@pytest.mark.parametrize("table", TABLES)
def test_the_text_of_a_raw_row_is_that_which_the_row_is_sealed_by(
    connection: Connection, table: type[LedgerEntry | ModelVersion]
) -> None:
    kind = TABLES[table]
    write = kind.writer()

    @given(rows(table))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def holds(row: LedgerEntry | ModelVersion) -> None:
        connection.execute(delete(kind.table))
        connection.execute(insert(table), [row.model_dump()])
        raw = connection.execute(kind.raw(connection.dialect)).one()
        assert hashlib.sha256(write(raw).encode()).hexdigest() == row.digest()

    holds()


def test_what_is_missing_is_named_in_words() -> None:
    assert missing("entry", 3, 3) == "entry 3 is missing"
    assert missing("entry", 3, 9) == "entries 3 to 9 are missing"
    assert missing("version", 1, 2) == "versions 1 to 2 are missing"
