"""Pages of versions, each found along an index, so that it costs the same however many versions there are.

A page begins after the place of the last row of the page before, in the order of that index, so no row is
counted or passed over. What a search asks for decides along which index it goes, the first of these:

- a ranking: the values of its metric on its rows, the highest first;
- an alias: the models that ever had it, by name, each with one look for what is in force;
- tags: the versions that have the first of them, the newest first;
- else the versions of the model, or of all, the newest first, from one time to another.

Whatever else is asked for is looked up of each version that comes by, so a page that few of them match reads
more of the index than it returns. Versions registered at the same time follow one another in the reverse
order of their models' names and their numbers, as values that are the same do.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import AwareDatetime, TypeAdapter
from sqlalchemy import Integer, case, func, literal, literal_column, select, tuple_

from registry.database import reading
from registry.exceptions import InvalidName, InvalidValue
from registry.limits import MOST_TAGS, brief, check_count, check_time
from registry.references import check_alias
from registry.tables import WHOLE, ModelVersion, Row, VersionTag, canonical_json
from registry.tags import check_tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, FromClause, ScalarSelect, Select, Subquery

    from registry.store import Store

_SEAL = 16  # characters

_TABLES = Row.metadata.tables
_VERSION = _TABLES["model_version"].c
_TAGS, _ENTRIES, _DELETIONS = (_TABLES[name] for name in ("version_tag", "ledger_entry", "version_deletion"))


@dataclass(frozen=True)
class Ranking:
    """The best first, by a metric that was measured on the same rows.

    Attributes:
        metric: A scorer's name; higher is better.
        dataset: The fingerprint of the dataset on which it was measured.
        slice: Such as ``origin=JFK``, or all of the dataset.
        above: Only values that are greater.
    """

    metric: str
    dataset: str
    slice: str = WHOLE
    above: float | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """What versions have to be to be found: all that is asked for.

    Attributes:
        model: Of this model.
        tags: With each of these, values by key.
        since: Registered then or later.
        until: Registered before then.
        alias: In force under this alias.
        ranking: Measured so.

    Raises:
        InvalidName: The alias, a tag's key or its value can't be one.
        InvalidValue: A time has no zone, or there are more tags than a version can have.
    """

    model: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    alias: str | None = None
    ranking: Ranking | None = None

    def __post_init__(self) -> None:
        if self.alias is not None:
            check_alias(self.alias)
        if len(self.tags) > MOST_TAGS:
            raise InvalidValue("tags", str(len(self.tags)), f"search for at most {MOST_TAGS}")
        for key, value in self.tags.items():
            check_tag(key, value)
        for name in ("since", "until"):
            if (at := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_time(at))

    def seal(self, place: str) -> str:
        """What shows that a token with this *place* in it is one of this search's."""
        asked = asdict(self) | {"since": str(self.since), "until": str(self.until), "place": place}
        return sha256(canonical_json(asked).encode()).hexdigest()[:_SEAL]


@dataclass(frozen=True)
class Page:
    """Some of the versions that a search found.

    Attributes:
        versions: In the order of the search.
        values: Of the ranking's metric, one for each version; empty without a ranking.
        next: Leads to the page after this one; None if there is none. It can be part of a URL.
    """

    versions: list[ModelVersion]
    values: list[float]
    next: str | None


class _Way(NamedTuple):
    """An index along which a search goes.

    Attributes:
        wanted: Of the rows by whose index it goes, as far as that can tell.
        place: The columns of the index by which the rows are in order, and which name the place of each.
        kind: Of the values in a place.
        model: Of the version to which a row leads.
        number: Of that version.
        at: When it was registered.
        tags: Those that are to be looked up of it.
        rises: Whether the lowest place comes first.
    """

    wanted: tuple[ColumnElement[bool], ...]
    place: tuple[ColumnElement[Any], ...]
    kind: TypeAdapter[tuple[Any, ...]]
    model: ColumnElement[str]
    number: ColumnElement[int]
    at: ColumnElement[datetime]
    tags: tuple[tuple[str, str], ...]
    rises: bool = False


_TIMES: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[AwareDatetime, str, int])
_TIMES_OF_A_MODEL: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[AwareDatetime, int])
_NAMES: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[str])
_VALUES: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[float, str, int])


def find(store: Store, search: Search, *, most: int, after: str | None = None) -> Page:
    """The first *most* versions that *search* asks for, or those *after* the page whose ``next`` it is.

    What is registered, tagged or moved between two pages is seen where the later page comes by its place.

    Raises:
        ModelNotFound: There is no such model.
        InvalidName: *after* is no page's ``next``, or that of another search.
        InvalidValue: *most* is no such number, or a ranking's is not finite.
    """
    check_count("most", most)
    way = _way(search)
    begin = _begin(search, way, None if after is None else _place(search, way, after))
    with reading(store.engine) as session:
        found = session.execute(_versions(way, _some(search, way, begin, most + 1))).all()
    if not found and search.model is not None:
        store.require_model(search.model)
    kept = found[:most]
    return Page(
        versions=[version for version, *_ in kept],
        values=[value for _, value, *_ in kept] if search.ranking else [],
        next=_token(search, way, kept[-1][1:]) if len(found) > most else None,
    )


def fingerprint_of(store: Store, digits: str) -> str:
    """The fingerprint of the one dataset whose fingerprint begins with these *digits*.

    Raises:
        InvalidName: There is none, or there are several.
    """
    column = _TABLES["dataset"].c.fingerprint
    alike = select(column).where(column >= digits, column < digits + "g").limit(2)
    with reading(store.engine) as session:
        found = session.execute(alike).scalars().all()
    if len(found) == 1:
        return str(found[0])
    rule = "there are several that begin so; give more digits" if found else "no dataset's begins so"
    raise InvalidName("fingerprint", brief(digits), rule)


def _some(search: Search, way: _Way, begin: Sequence[ColumnElement[bool]], most: int) -> Subquery:
    """The places of so many versions, of which all is looked up without a join.

    With no table to begin at but one, the limit before their eyes, and what is looked up in subqueries that
    are no conditions of a join, planners go along the index, and don't gather and sort what it leads to.
    """
    columns = (column.label(f"place_{number}") for number, column in enumerate(way.place))
    rows = select(way.model.label("of_model"), way.number.label("of_number"), *columns)
    order = (column.asc() if way.rises else column.desc() for column in way.place)
    # the limit is written into the statement: PostgreSQL may plan before it is told any value
    limit = literal(most, Integer(), literal_execute=True)
    narrow = *way.wanted, *begin, *_narrowed(search, way)
    return rows.where(*narrow).order_by(*order).limit(limit).subquery()


def _versions(way: _Way, some: Subquery) -> Select[Any]:
    """The versions at these places, in order, each with its place."""
    _, _, *place = some.c
    same = _VERSION.model == some.c.of_model, _VERSION.number == some.c.of_number
    order = (column.asc() if way.rises else column.desc() for column in place)
    return select(ModelVersion, *place).where(*same).order_by(*order)


# Ways


def _way(search: Search) -> _Way:
    if search.ranking is not None:
        return _by_value(search, search.ranking)
    if search.alias is not None:
        return _by_name(search, search.alias)
    if search.tags:
        return _by_tag(search)
    return _by_time(search, _TABLES["model_version"].alias())


def _by_time(search: Search, table: FromClause) -> _Way:
    """The newest first; of one model by another index, in whose order the model has no part."""
    at, model, number = table.c.registered_at, table.c.model, table.c.number
    rest = model, number, at, tuple(search.tags.items())
    if search.model is None:
        return _Way((), (at, model, number), _TIMES, *rest)
    return _Way((model == search.model,), (at, number), _TIMES_OF_A_MODEL, *rest)


def _by_tag(search: Search) -> _Way:
    way = _by_time(search, _TAGS)
    (key, value), *others = way.tags
    tagged = _TAGS.c.digest == VersionTag.digest_of(key, value)
    return way._replace(wanted=(*way.wanted, tagged), tags=tuple(others))


def _by_name(search: Search, alias: str) -> _Way:
    first = _ENTRIES.alias().c
    number = _in_force(first.model, alias)
    # so that of each model there is one, and none of which nothing is in force
    wanted = [first.alias == alias, first.sequence == literal_column("1"), number > literal_column("0")]
    if search.model is not None:
        wanted.append(first.model == search.model)
    at, tags = _registered_at(first.model, number), tuple(search.tags.items())
    return _Way(tuple(wanted), (first.model,), _NAMES, first.model, number, at, tags, rises=True)


def _by_value(search: Search, ranking: Ranking) -> _Way:
    of = _TABLES["metric"].c
    wanted = [of.dataset == ranking.dataset, of.name == ranking.metric, of.slice == ranking.slice]
    if ranking.above is not None:
        wanted.append(of.value > ranking.above)
    if search.model is not None:  # an expression, as by the model itself its rows are found and then sorted
        wanted.append(of.model + "" == search.model)
    if search.alias is not None:
        wanted.append(of.number == _in_force(of.model, search.alias))
    place, at = (of.value, of.model, of.number), _registered_at(of.model, of.number)
    return _Way(tuple(wanted), place, _VALUES, of.model, of.number, at, tuple(search.tags.items()))


# What is looked up


def _in_force(model: ColumnElement[str], alias: str) -> ScalarSelect[Any]:
    """What is in force of *model*: 0 if nothing is."""
    entries = _ENTRIES.alias()
    newest = select(entries.c.in_force).where(entries.c.model == model, entries.c.alias == alias)
    newest = newest.order_by(entries.c.sequence.desc()).limit(literal_column("1"))
    return newest.scalar_subquery().correlate_except(entries)


def _registered_at(model: ColumnElement[str], number: ColumnElement[int]) -> ScalarSelect[Any]:
    versions = _TABLES["model_version"].alias()
    one = select(versions.c.registered_at).where(versions.c.model == model, versions.c.number == number)
    return one.scalar_subquery().correlate_except(versions)


def _has_tag(way: _Way, key: str, value: str) -> ColumnElement[bool]:
    tags = _TAGS.alias()
    same = tags.c.model == way.model, tags.c.number == way.number, tags.c.key == key
    found = select(tags.c.number).where(*same, tags.c.digest == VersionTag.digest_of(key, value))
    return found.scalar_subquery().correlate_except(tags).is_not(None)


def _is_listed(way: _Way) -> ColumnElement[bool]:
    """Nobody deleted the version; said so that PostgreSQL, too, expects it of nearly all of them."""
    deleted = _DELETIONS.alias()
    same = deleted.c.model == way.model, deleted.c.number == way.number
    none = case((func.count(deleted.c.number) == literal_column("0"), literal_column("1")))
    return select(none).where(*same).scalar_subquery().correlate_except(deleted).is_not(None)


def _narrowed(search: Search, way: _Way) -> list[ColumnElement[bool]]:
    """What the way does not see to by itself."""
    tagged = [_has_tag(way, key, value) for key, value in way.tags]
    if search.alias is None:  # what is in force can't be deleted
        tagged.append(_is_listed(way))
    return tagged if search.since is None else [*tagged, way.at >= search.since]


# Places


def _begin(search: Search, way: _Way, place: tuple[Any, ...] | None) -> list[ColumnElement[bool]]:
    """What lies beyond the *place*, and before the time until which is searched."""
    ends = [] if search.until is None else [way.at < search.until]
    if place is None:
        return ends
    here = tuple_(*way.place)
    there = tuple_(*(literal(value, column.type) for value, column in zip(place, way.place, strict=True)))
    # of two ends SQLite takes one to look for, and passes over all that is between them
    return [here > there if way.rises else here < there, *(ends if way.place[0] is not way.at else [])]


def _token(search: Search, way: _Way, place: Any) -> str:
    told = way.kind.dump_json(tuple(place)).decode()
    return urlsafe_b64encode(f"{search.seal(told)}{told}".encode()).decode().rstrip("=")


def _place(search: Search, way: _Way, token: str) -> tuple[Any, ...]:
    try:
        text = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        if text[:_SEAL] == search.seal(text[_SEAL:]):
            return way.kind.validate_json(text[_SEAL:])
    except ValueError:
        pass
    raise InvalidName("page", brief(token), "pass the next of the page before, and the same search")
