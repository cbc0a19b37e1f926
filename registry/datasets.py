"""Rows to train on or to judge by: read from Parquet, CSV or a DataFrame, and known by a fingerprint."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from pandas.api import types
from pandas.util import hash_pandas_object

from registry.exceptions import DatabaseUnavailable, EmptyDataset, InvalidDataset
from registry.limits import check_text
from registry.schema import describe, kind
from registry.tables import DatasetRecord, canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import URL, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry


# low_memory would let each part of a long file decide on the types of its own rows
_READERS: dict[str, Callable[[io.BytesIO], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    ".csv": lambda file: pd.read_csv(file, low_memory=False),
    ".csv.gz": lambda file: pd.read_csv(file, low_memory=False, compression="gzip"),
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows with a target column.

    Attributes:
        frame: The rows, features and target together.
        target: The column to predict.
        name: What people call it; the fingerprint identifies it.
        source: The path or URL it was read from, if any.
    """

    frame: pd.DataFrame
    target: str
    name: str
    source: str | None = None

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str, name: str = "frame") -> Self:
        """Take a copy of *frame*.

        Raises:
            InvalidDataset: It has no rows, no such target, labels that are missing or infinite, or columns
                that are not named by texts or whole numbers, each once.
        """
        return cls(frame.reset_index(drop=True), target, name)

    @classmethod
    def read(cls, source: str | Path, target: str, name: str | None = None) -> Self:
        """Read a Parquet (``.parquet``) or CSV (``.csv``, ``.csv.gz``) file from disk or ``s3://``.

        Raises:
            InvalidDataset: It can't be read, or what it holds can't be used.
            ArtifactStoreUnavailable: The bucket can't be used.
        """
        location = check_text("source", str(source))
        _refuse_url(location)
        ending = _ending(location)
        frame = _parse(_READERS[ending], _bytes_at(location), location)
        return cls(frame, target, name or Path(location).name.removesuffix(ending), location)

    @classmethod
    def query(
        cls,
        database: str,
        statement: str,
        target: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Self:
        """Take the rows that an SQL *statement* gives, its ``:name`` placeholders filled from *parameters*.

        Args:
            database: SQLAlchemy's URL, such as ``postgresql+psycopg://user:password@host/database``.
            statement: A query. SQLite and PostgreSQL, which is spoken to through psycopg in UTC, refuse to
                write anything for it; what it writes elsewhere is rolled back as far as that database can.
            target: The column to predict.
            parameters: Values for the placeholders.
            name: What people call it; the database, without its password and options, and the parameters if
                not given.

        Raises:
            EmptyDataset: The query has no rows.
            InvalidDataset: It can't be answered, or its rows can't be used.
        """
        given = dict(parameters or {})
        shown, frame = _queried(database, statement, given)
        called = name or " ".join([shown, *(f"{key}={value}" for key, value in given.items())])
        return cls(frame, target, called, shown)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.frame)

    @property
    def features(self) -> pd.DataFrame:
        """The rows without the target."""
        return self.frame.drop(columns=self.target)

    @property
    def labels(self) -> np.ndarray[Any, Any]:
        """The target as a NumPy array; text as Python strings."""
        return self.frame[self.target].to_numpy()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the target's name, the columns and every value in order.

        The same rows have the same fingerprint whether they come from Parquet, CSV or a DataFrame, and on
        every machine; the name, the index, the source and the width of a number do not count. What CSV can't
        say it can't keep: times and categories come back from it as text.

        Raises:
            InvalidDataset: A text is no Unicode, or a whole number has more than 64 bits.
        """
        columns = [[str(column["name"]), column["kind"]] for column in describe(self.frame)]
        digest = hashlib.sha256()
        try:
            digest.update(canonical_json([self.target, columns, self.rows]).encode())
            for name in self.frame:
                values = _canonical(self.frame[name])
                digest.update(hash_pandas_object(values, index=False).to_numpy().tobytes())
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidDataset(self.name, f"it holds what no file could: {error}") from error
        return digest.hexdigest()

    def slices(self, column: str) -> dict[str, np.ndarray[Any, Any]]:
        """A mask over the rows for each value of *column*, named such as ``origin=JFK``.

        Rows in which the value is missing are in no slice.

        Raises:
            InvalidDataset: There is no such column.
            InvalidName: A value is no text to name a slice by.
        """
        if column not in self.frame:
            raise InvalidDataset(self.name, f"it has no column {column!r} to slice by")
        values = self.frame[column]
        slices: dict[str, np.ndarray[Any, Any]] = {}
        for value in values.dropna().unique():
            name = check_text("slice", f"{column}={value}")
            mask = (values == value).to_numpy(dtype=bool, na_value=False)
            slices[name] = mask | slices.get(name, False)  # 1 and "1" have the same name
        return slices

    def record(self) -> DatasetRecord:
        """What the registry remembers of it."""
        return DatasetRecord(
            fingerprint=self.fingerprint,
            name=self.name,
            target=str(self.target),
            rows=self.rows,
            columns=describe(self.frame),
            source=self.source,
        )


def _ending(location: str) -> str:
    for ending in _READERS:
        if location.endswith(ending):
            return ending
    raise InvalidDataset(location, f"its name must end in {', '.join(_READERS)}")


def _bytes_at(location: str) -> bytes:
    try:
        if not location.startswith("s3://"):
            return Path(location).read_bytes()
        from registry.artifacts.s3 import read_object  # noqa: PLC0415, local files need no boto3

        return read_object(location)
    except OSError as error:
        raise InvalidDataset(location, f"it can't be read: {error}") from error


def _parse(reader: Callable[[io.BytesIO], pd.DataFrame], content: bytes, location: str) -> pd.DataFrame:
    try:
        return reader(io.BytesIO(content))
    except Exception as error:  # damaged files make the parsers fail in any way
        raise InvalidDataset(location, f"it can't be read: {error}") from error


def is_url(location: str) -> bool:
    """Whether *location* is a URL, which may hold a password, and not that of an object in a bucket."""
    return re.match(r"(?!s3://)[\w+.-]{2,}:/", location) is not None


def _refuse_url(location: str) -> None:
    if is_url(location):
        from registry.database import cut  # noqa: PLC0415, files need no database

        reason = "it is no file: write a path or s3://, and give a database's URL together with a query"
        raise InvalidDataset(cut(location), reason)


def _queried(database: str, statement: str, parameters: dict[str, Any]) -> tuple[str, pd.DataFrame]:
    """The database's URL as people may see it, and what it answers."""
    from sqlalchemy import text  # noqa: PLC0415, files need no database

    from registry.database import parse, shown_url  # noqa: PLC0415

    try:
        url = parse(database)
    except DatabaseUnavailable as error:
        raise InvalidDataset(error.database, error.reason) from None
    try:
        engine = _reading_engine(url)
        if engine.dialect.name == "sqlite":
            parameters = {name: _text_of(value) for name, value in parameters.items()}
        with engine.connect() as connection:
            return shown_url(url), pd.read_sql_query(text(statement), connection, params=parameters)
    except Exception as error:  # SQLAlchemy, pandas and each driver have their own
        raise InvalidDataset(shown_url(url), f"the query was not answered: {_cause(error)}") from error


def _reading_engine(url: URL) -> Engine:
    """One whose connections write nothing, where the kind of database has a way to say so."""
    from sqlalchemy import NullPool, create_engine, event  # noqa: PLC0415, files need no database

    from registry.database import postgresql_options  # noqa: PLC0415

    if url.get_backend_name() == "postgresql":
        options = postgresql_options(url, "timezone=UTC", "default_transaction_read_only=on")
        return create_engine(
            url.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args=options
        )
    engine = create_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _refuse_writing)
    return engine


def _refuse_writing(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _cause(error: BaseException) -> str:
    """What the database or its driver said, in a line."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415, files need no database

    if isinstance(error, pd.errors.DatabaseError) and error.__cause__ is not None:
        error = error.__cause__
    error = getattr(error, "orig", None) or error
    said = error.args[0] if isinstance(error, SQLAlchemyError) else error  # the rest is a link
    return next(iter(str(said).strip().splitlines()), type(error).__name__)


def _text_of(value: Any) -> Any:
    """A time as SQLite compares it, as text: what all ways to write it in UTC with a blank begin with."""
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ").removesuffix(" 00:00:00")


def _canonical(column: pd.Series[Any]) -> pd.Series[Any] | pd.DataFrame:
    """The values of *column* free of the width, unit or storage that they happen to come in."""
    found = kind(column)
    if found == "category":
        return column
    if found == "other":
        return column.map(repr)
    if found == "time":  # nanoseconds do not reach the year 9999, which people write for "never"
        instants = {"at": column.dt.as_unit("us"), "nanosecond": column.dt.nanosecond}
        return pd.DataFrame(instants).assign(zone=str(column.dt.tz))
    integer = "UInt64" if types.is_unsigned_integer_dtype(column) else "Int64"
    widest: dict[str, Any] = {"boolean": "boolean", "integer": integer, "number": "float64", "text": object}
    return pd.Series(column.astype(widest[found]))


def _check(dataset: Dataset) -> None:
    frame, target, name = dataset.frame, dataset.target, dataset.name
    check_text("dataset name", name)
    check_text("target", str(target))
    check_text("source", dataset.source or "")
    if not all(isinstance(column, str | Integral) for column in frame):
        raise InvalidDataset(
            name, "its columns must be named by texts or whole numbers: flatten or rename them"
        )
    for column in frame:
        check_text("column", str(column))
    if len({str(column) for column in frame}) < frame.shape[1]:
        raise InvalidDataset(name, "two columns have the same name; rename one")
    if target not in frame:
        raise InvalidDataset(name, f"it has no target column {target!r}; it has {', '.join(map(str, frame))}")
    if frame.empty:
        raise EmptyDataset(name, "it has no rows")
    if frame.shape[1] == 1:
        raise InvalidDataset(name, "it has no column besides the target")
    labels = frame[target]
    if labels.isna().any():
        raise InvalidDataset(name, f"{int(labels.isna().sum())} rows have no {target!r}; drop or fill them")
    if pd.api.types.is_float_dtype(labels) and not np.isfinite(labels).all():
        raise InvalidDataset(name, f"the target {target!r} is infinite in some rows")
