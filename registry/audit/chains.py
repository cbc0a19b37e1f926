"""The chains of hashes that each model's versions and each alias's entries form, followed link by link.

A row is sealed: its ``hash`` is SHA-256 over the canonical JSON of its other fields, and among those is the
hash of the row before. Here that JSON is put together from what the driver gives, without an object for each
row, so that a ledger of any length is followed in little time and in the same memory.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import groupby
from json.encoder import encode_basestring
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json
from sqlalchemy import func, select, type_coerce
from sqlalchemy.types import NullType
from sqlmodel.sql.sqltypes import UTCDateTime

from registry.database import reading
from registry.tables import GENESIS, MOVES, CanonicalJSON, NumberOrNone, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Dialect, Engine, Select, Table

    Breach = Callable[["Raw", "Raw | None"], str | None]
    Watch = Callable[[Sequence["Raw"]], None]

Raw = Any
"""A row as the driver gives it: the values of its sealed columns by their names' order, then its hash."""

MOST_NAMED = 20
"""So many wrong rows of a chain are named; of the others it is said how many they are."""

_AT_ONCE = 2_000  # rows that the database hands over at a time
_MOMENT = "YYYY-MM-DD HH24:MI:SS.US"  # as SQLite keeps it
_MOMENT_LENGTH = 26
_BOOLEANS = {None: "null", 0: "false", 1: "true"}

_text_of = partial(str, encoding="utf-8", errors="surrogateescape")


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection whose statements all see the rows of one moment, also those whose text is none.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    with reading(engine) as session:
        if session.get_bind().dialect.name == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            yield session.connection(execution_options=options)
            return
        connection = session.connection()
        driver: Any = connection.connection.driver_connection
        driver.text_factory = _text_of  # what is no UTF-8 was put there by somebody, and gets a finding
        try:
            yield connection
        finally:
            driver.text_factory = str


def stream(connection: Connection, statement: Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows of a *statement* in portions, of which the next is fetched when it is asked for."""
    with connection.execute(statement, execution_options={"yield_per": _AT_ONCE}) as result:
        yield from result.partitions()


@dataclass(frozen=True)
class Kind:
    """A kind of chain.

    Attributes:
        table: Where its rows are.
        key: The columns that name a chain.
        number: The column that counts the rows of a chain from 1.
        at: The column that says when a row was written.
        noun: What people call a row.
        repeats: Columns in which a row repeats what another column of the row before says.
        beginning: What the first row has in them.
    """

    table: Table
    key: tuple[str, ...]
    number: str
    at: str
    noun: str
    repeats: dict[str, str]
    beginning: tuple[Any, ...]

    @property
    def sealed(self) -> list[str]:
        """The columns that the hash is taken over, as their JSON has them."""
        return sorted(column.name for column in self.table.c if column.name != "hash")

    def picker(self, *columns: str) -> Callable[[Raw], Any]:
        """What picks the values of these *columns* out of a raw row."""
        places = [*self.sealed, "hash"]
        return itemgetter(*map(places.index, columns))

    def raw(self, dialect: Dialect) -> Select[Any]:
        """All raw rows."""
        return select(*(_raw(self.table.c[name], dialect) for name in [*self.sealed, "hash"]))

    def writer(self) -> Callable[[Raw], str]:
        """What writes the canonical JSON of a raw row, over which its hash is taken.

        It raises TypeError, ValueError or KeyError at a value that no registry writes.
        """
        columns = [self.table.c[name] for name in self.sealed]
        alone = sum(isinstance(column.type, CanonicalJSON) for column in columns) == 1
        parts = [_part(column, alone=alone) for column in columns]
        template = "{" + ",".join(f'"{name}":%s' for name in self.sealed) + "}"
        return lambda row: template % tuple([part(value) for part, value in zip(parts, row, strict=False)])


VERSIONS = Kind(
    table=Row.metadata.tables["model_version"],
    key=("model",),
    number="number",
    at="registered_at",
    noun="version",
    repeats={"previous": "number", "previous_hash": "hash"},
    beginning=(None, GENESIS),
)
ENTRIES = Kind(
    table=Row.metadata.tables["ledger_entry"],
    key=("model", "alias"),
    number="sequence",
    at="recorded_at",
    noun="entry",
    repeats={
        "previous": "sequence",
        "previous_hash": "hash",
        "replaced": "in_force",
        "replaced_since": "in_force_since",
    },
    beginning=(None, GENESIS, None, None),
)


@dataclass
class Chain:
    """A chain that was followed to its end.

    Attributes:
        name: Such as ``churn``, whose versions it links, or ``churn@champion``.
        problems: What is wrong with it, row by row.
        others: How many problems are left out.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    others: int = 0

    def blame(self, problem: str) -> None:
        """Note that something is wrong."""
        if len(self.problems) < MOST_NAMED:
            self.problems.append(problem)
        else:
            self.others += 1


def follow(connection: Connection, kind: Kind, watch: Watch) -> Iterator[Chain]:
    """Follow every chain of a *kind* from its first row on; *watch* is shown the rows as they are read."""
    rows = kind.raw(connection.dialect).order_by(*(kind.table.c[name] for name in (*kind.key, kind.number)))
    breach = _breach(kind)
    for key, links in groupby(_shown(stream(connection, rows), watch), kind.picker(*kind.key)):
        chain = Chain("@".join(map(str, key if isinstance(key, tuple) else (key,))))
        for problem in _problems(kind, links, breach):
            chain.blame(problem)
        yield chain


def _shown(portions: Iterable[Sequence[Raw]], watch: Watch) -> Iterator[Raw]:
    for portion in portions:
        yield from portion
        watch(portion)


def _problems(kind: Kind, links: Iterable[Raw], breach: Breach) -> Iterator[str]:
    number, state = kind.picker(kind.number), kind.picker(*kind.repeats.values())
    before: Raw = kind.beginning
    due = 1
    for row in links:
        found = number(row)
        if found != due and isinstance(found, int):
            yield f"{missing(kind.noun, due, found - 1)}: restore the database from a backup"
            before, due = None, found
        problem = breach(row, before)
        if problem:
            yield f"{kind.noun} {found} {problem}"
        before, due = None if problem else state(row), due + 1


def missing(noun: str, first: int, last: int) -> str:
    """Such as ``entry 3 is missing`` or ``versions 3 to 9 are missing``."""
    if first == last:
        return f"{noun} {first} is missing"
    return f"{plural(noun)} {first} to {last} are missing"


def plural(noun: str) -> str:
    """``entries``, ``versions``."""
    return "entries" if noun == ENTRIES.noun else f"{noun}s"


def _breach(kind: Kind) -> Breach:
    """What tells how a row breaks its chain, given the state in which the row before it left that.

    Where that row is missing or was itself changed, there is no state to go on from.
    """
    write, sealed_as, repeated = kind.writer(), kind.picker("hash"), kind.picker(*kind.repeats)
    contradicts = _contradicts_itself(kind) if kind is ENTRIES else None

    def breach(row: Raw, before: Raw | None) -> str | None:
        try:
            intact = sha256(write(row).encode()).hexdigest() == sealed_as(row)
        except (TypeError, ValueError, KeyError):  # a value that no registry writes
            intact = False
        if not intact:
            return "was changed after it was written"
        if before is not None and repeated(row) != before:
            return f"does not follow the {kind.noun} before it"
        if contradicts and contradicts(row):
            return "says of itself what its kind does not do"
        return None

    return breach


def _contradicts_itself(kind: Kind) -> Callable[[Raw], bool]:
    columns = ("kind", "sequence", "version", "replaced", "replaced_since", "in_force", "in_force_since")
    pick = kind.picker(*columns)

    def contradicts(row: Raw) -> bool:
        what, sequence, version, replaced, replaced_since, in_force, since = pick(row)
        if what in MOVES:
            return bool((in_force, since) != (version, sequence) or version == replaced)
        if what == "cleared":
            return bool((in_force, since) != (None, sequence) or version != replaced)
        return bool((in_force, since) != (replaced, replaced_since))

    return contradicts


# How the driver's values are read and written


def moment(column: ColumnElement[Any], dialect: Dialect) -> ColumnElement[Any]:
    """A time as text, in UTC, with all six digits of its second."""
    if dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), _MOMENT)
    return type_coerce(column, NullType)


def _raw(column: Column[Any], dialect: Dialect) -> ColumnElement[Any]:
    """The *column* without a look at what it holds."""
    if isinstance(column.type, UTCDateTime):
        return moment(column, dialect)
    plain = type_coerce(column, NullType)
    return func.nullif(plain, 0) if isinstance(column.type, NumberOrNone) else plain


def _part(column: Column[Any], *, alone: bool) -> Callable[[Any], str]:
    """What writes a value of the *column* as JSON.

    JSON is kept as the canonical text that was hashed. Where it stands *alone* in its row, no other part can
    begin or end elsewhere in the same whole; of several next to each other, each has to be JSON by itself.
    """
    if isinstance(column.type, CanonicalJSON):
        return str if alone else _checked_json
    if isinstance(column.type, UTCDateTime):
        return _moment
    if isinstance(column.type, NumberOrNone):
        return _or_null(int.__repr__)
    if column.type.python_type is bool:
        return _BOOLEANS.__getitem__
    write = int.__repr__ if column.type.python_type is int else encode_basestring
    return _or_null(write) if column.nullable else write


def _or_null(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "null" if value is None else write(value)


def _checked_json(value: Any) -> str:
    from_json(value)
    return str(value)


def _moment(value: Any) -> str:
    if len(value) != _MOMENT_LENGTH or value[10] != " ":
        raise ValueError(value)
    return f'"{value[:10]}T{value[11:]}+00:00"'
