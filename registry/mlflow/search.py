"""MLflow's filters and orders as SQL. Its own parser reads them, so what it takes is taken here.

A page begins after the place of the last row of the page before, in the order that was asked for, so nothing
is counted or passed over, and what is added meanwhile shifts nothing.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.store.model_registry import (
    SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD,
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD,
)
from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils, SearchUtils
from sqlalchemy import Integer, and_, func, literal, or_, select
from sqlmodel.sql.sqltypes import UTCDateTime

from registry.database import reading
from registry.exceptions import InvalidValue
from registry.limits import LARGEST_NUMBER, brief, check_text, check_time
from registry.mlflow.entities import undeleted, updated_at
from registry.mlflow.errors import refused
from registry.tables import ModelVersion, RegisteredModel, Row, canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select, Table

    from registry.store import Store

_TABLES = Row.metadata.tables
_MODEL, _MODEL_PROFILE, _MODEL_TAG = (
    _TABLES[name] for name in ("registered_model", "model_profile", "model_tag")
)
_VERSION, _PROFILE, _TAG, _SOURCE, _DELETION = (
    _TABLES[name]
    for name in ("model_version", "version_profile", "version_tag", "version_source", "version_deletion")
)
_SEAL = 16  # characters
_ANY = ("=", "!=", "LIKE", "ILIKE")
_LISTS = ("IN", "NOT IN")
_NEWEST_FIRST = ("last_updated_timestamp DESC", "name ASC", "version_number DESC")

Clause = dict[str, Any]


@dataclass(frozen=True)
class _Order:
    """A column to order by, and how."""

    column: ColumnElement[Any]
    rises: bool

    @property
    def clause(self) -> ColumnElement[Any]:
        return self.column.asc() if self.rises else self.column.desc()

    def beyond(self, value: Any) -> ColumnElement[bool]:
        there = literal(value, self.column.type)
        return self.column > there if self.rises else self.column < there

    def takes(self, value: Any) -> bool:
        """Whether the column could have this *value*."""
        if isinstance(self.column.type, Integer):
            return type(value) is int and 0 < value <= LARGEST_NUMBER
        if isinstance(self.column.type, UTCDateTime):
            return isinstance(value, datetime)
        return isinstance(value, str)


@dataclass(frozen=True)
class _Asked:
    """A page that somebody asks for, and what shows that a token is one of the same search."""

    most: int
    orders: Sequence[_Order]
    seal: str
    token: str | None

    def page(self, store: Store, rows: Select[Any]) -> tuple[list[Any], str | None]:
        """The rows of the page, and the token of the next one."""
        rows = rows.add_columns(*(order.column for order in self.orders))
        if self.token:
            rows = rows.where(_after(self.orders, self._place(self.token)))
        rows = rows.order_by(*(order.clause for order in self.orders)).limit(self.most + 1)
        with reading(store.engine) as session:
            found = session.execute(rows).all()
        kept = found[: self.most]
        return [row for row, *_ in kept], self._next(kept[-1][1:]) if len(found) > self.most else None

    def _next(self, place: Sequence[Any]) -> str:
        told = json.dumps(
            [{"at": value.isoformat()} if isinstance(value, datetime) else value for value in place]
        )
        return urlsafe_b64encode(f"{self.seal}{told}".encode()).decode()

    def _place(self, token: str) -> list[Any]:
        try:
            text = urlsafe_b64decode(token).decode()
            place = [
                check_time(datetime.fromisoformat(each["at"])) if isinstance(each, dict) else each
                for each in json.loads(text[_SEAL:])
            ]
            fits = [order.takes(value) for order, value in zip(self.orders, place, strict=True)]
            if text[:_SEAL] == self.seal and all(fits):
                return place
        except (ValueError, TypeError, KeyError, RecursionError, InvalidValue):
            pass
        raise refused(f"Invalid page token {brief(token)!r}: pass the token of the page before, same search")


def models(
    store: Store, filter_string: str | None, most: int, order_by: Sequence[str] | None, token: str | None
) -> tuple[list[RegisteredModel], str | None]:
    """The models that a search finds, a page of them, and the token of the next page."""
    _check_most(most, SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD)
    clauses = _clauses(SearchModelUtils, filter_string)
    updated = updated_at(store.engine.dialect.name)
    columns = {
        "name": _MODEL.c.name,
        **dict.fromkeys(SearchUtils.VALID_TIMESTAMP_ORDER_BY_KEYS, updated),
    }
    parsed = [SearchUtils.parse_order_by_for_search_registered_models(clause) for clause in order_by or []]
    orders = _orders(parsed, columns, [("name", True)])
    dialect = store.engine.dialect.name
    rows = (
        select(RegisteredModel)
        .outerjoin(_MODEL_PROFILE, _MODEL_PROFILE.c.model == _MODEL.c.name)
        .where(
            undeleted(),
            *(_attribute(clause, {"name": _MODEL.c.name}, dialect) for clause in clauses if _of(clause)),
            *_tagged(clauses, _MODEL_TAG, _MODEL_TAG.c.model == _MODEL.c.name, dialect),
        )
    )
    return _Asked(most, orders, _seal("models", filter_string, parsed), token).page(store, rows)


def versions(
    store: Store, filter_string: str | None, most: int, order_by: Sequence[str] | None, token: str | None
) -> tuple[list[ModelVersion], str | None]:
    """The versions that a search finds, a page of them, and the token of the next page."""
    _check_most(most, SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD)
    clauses = _clauses(SearchModelVersionUtils, filter_string)
    columns: dict[str, ColumnElement[Any]] = {
        "name": _VERSION.c.model,
        "version_number": _VERSION.c.number,
        "creation_timestamp": _VERSION.c.registered_at,
        "last_updated_timestamp": func.coalesce(
            _PROFILE.c.changed_at, _VERSION.c.registered_at, type_=_VERSION.c.registered_at.type
        ),
    }
    parsed = [
        SearchModelVersionUtils.parse_order_by_for_search_model_versions(clause)[1:]
        for clause in order_by or _NEWEST_FIRST
    ]
    orders = _orders(parsed, columns, [("name", True), ("version_number", False)])
    attributes = columns | {"run_id": _SOURCE.c.run_id, "source_path": _SOURCE.c.uri}
    dialect = store.engine.dialect.name
    same = _VERSION.c.model, _VERSION.c.number
    rows = (
        select(ModelVersion)
        .outerjoin(_PROFILE, and_(_PROFILE.c.model == same[0], _PROFILE.c.number == same[1]))
        .outerjoin(_SOURCE, and_(_SOURCE.c.model == same[0], _SOURCE.c.number == same[1]))
        .where(
            ~select(_DELETION.c.number)
            .where(_DELETION.c.model == same[0], _DELETION.c.number == same[1])
            .exists(),
            *(_attribute(clause, attributes, dialect) for clause in clauses if _of(clause)),
            *_tagged(clauses, _TAG, and_(_TAG.c.model == same[0], _TAG.c.number == same[1]), dialect),
        )
    )
    return _Asked(most, orders, _seal("versions", filter_string, parsed), token).page(store, rows)


# Conditions


def _clauses(grammar: type[SearchUtils], filter_string: str | None) -> list[Clause]:
    """What the *filter_string* asks for.

    Raises:
        InvalidName: No database could look for this text.
        MlflowException: It is not of the *grammar*.
    """
    text = check_text("text", filter_string or "")
    try:
        clauses: list[Clause] = grammar.parse_search_filter(text)
    except ValueError as error:  # of MLflow's parser, which knows IS NULL where its grammar does not
        raise refused(
            f"Invalid filter {brief(text)!r}: compare by =, !=, LIKE, ILIKE, IN or NOT IN"
        ) from error
    return clauses


def _of(clause: Clause) -> bool:
    return bool(clause["type"] == "attribute")


def _attribute(clause: Clause, columns: dict[str, ColumnElement[Any]], dialect: str) -> ColumnElement[bool]:
    key, comparator, value = clause["key"], clause["comparator"], clause["value"]
    numeric = key in SearchModelVersionUtils.NUMERIC_ATTRIBUTES
    known = SearchModelVersionUtils.VALID_NUMERIC_ATTRIBUTE_COMPARATORS if numeric else (*_ANY, *_LISTS)
    listed = isinstance(value, list | tuple)
    if key not in columns or comparator not in known or listed != (comparator in _LISTS):
        raise refused(f"Invalid comparator {comparator!r} for attribute {key!r}")
    if numeric:
        try:
            value = None if isinstance(value, float) else int(value)
        except (TypeError, ValueError):
            value = None
        if value is None:
            raise refused(f"Invalid value for numeric attribute {key!r}: {clause['value']!r}")
        value = min(max(value, 0), LARGEST_NUMBER + 1)  # compares alike, and every database has room for it
    return _compared(columns[key], comparator, value, dialect)


def _tagged(
    clauses: Sequence[Clause], tags: Table, same: ColumnElement[bool], dialect: str
) -> list[ColumnElement[bool]]:
    """What the tags are to be. Prompts are models with a tag, and found only if they are asked for."""
    by_key: dict[str, list[Clause]] = {}
    for clause in clauses:
        if clause["type"] == "tag":
            if clause["comparator"] not in _ANY:
                raise refused(f"Invalid comparator for tag: {clause['comparator']}")
            by_key.setdefault(clause["key"], []).append(clause)
    prompts = [_asks_for_prompts(clause) for clause in by_key.pop(IS_PROMPT_TAG_KEY, [])]
    is_prompt = _exists(
        tags, same, tags.c.key == IS_PROMPT_TAG_KEY, func.lower(tags.c.value) == literal("true")
    )
    return [
        is_prompt if prompts and all(prompts) else ~is_prompt,
        *(
            _exists(
                tags,
                same,
                tags.c.key == key,
                *(_compared(tags.c.value, each["comparator"], each["value"], dialect) for each in asked),
            )
            for key, asked in by_key.items()
        ),
    ]


def _asks_for_prompts(clause: Clause) -> bool:
    return (clause["comparator"], clause["value"].lower()) in {("=", "true"), ("!=", "false")}


def _exists(tags: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(tags.c.key).where(*conditions).exists()


def _compared(column: Any, comparator: str, value: Any, dialect: str) -> ColumnElement[bool]:
    compare: Any = SearchUtils.get_sql_comparison_func(comparator, dialect)
    found: ColumnElement[bool] = compare(column, value)
    return found


# Orders and places


def _orders(
    parsed: Sequence[tuple[str, bool]],
    columns: dict[str, ColumnElement[Any]],
    ties: Sequence[tuple[str, bool]],
) -> list[_Order]:
    asked = [(columns.get(key), rises) for key, rises in parsed]
    if any(column is None for column, _ in asked):
        raise refused(f"Invalid order_by: order by one of {', '.join(sorted(columns))}")
    named = [column for column, _ in asked]
    if len({id(column) for column in named}) < len(named):
        raise refused(f"`order_by` contains duplicate fields: {[key for key, _ in parsed]}")
    rest = [(columns[key], rises) for key, rises in ties if all(columns[key] is not each for each in named)]
    return [_Order(column, rises) for column, rises in [*asked, *rest] if column is not None]


def _after(orders: Sequence[_Order], place: Sequence[Any]) -> ColumnElement[bool]:
    """What lies beyond the *place*, in whichever direction each column runs."""
    steps = []
    for position, (order, value) in enumerate(zip(orders, place, strict=True)):
        before = zip(orders[:position], place[:position], strict=True)
        equal = (each.column == literal(here, each.column.type) for each, here in before)
        steps.append(and_(*equal, order.beyond(value)))
    return or_(*steps)


def _seal(kind: str, filter_string: str | None, orders: Sequence[tuple[str, bool]]) -> str:
    asked = [kind, filter_string or "", [list(order) for order in orders]]
    return sha256(canonical_json(asked).encode()).hexdigest()[:_SEAL]


def _check_most(most: Any, threshold: int) -> None:
    if not isinstance(most, int) or isinstance(most, bool) or not 0 < most <= threshold:
        raise refused(f"Invalid value {most!r} for max_results: give a whole number from 1 to {threshold:,}")
