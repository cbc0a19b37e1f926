"""What is found, and along which index."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, insert

from registry.exceptions import InvalidName, ModelNotFound
from registry.search import Page, Ranking, Search, find, fingerprint_of
from registry.store import Origin, Store
from registry.tables import Evaluation, Metric, VersionDeletion
from registry.tags import Tags
from tests.benchmarks import filling
from tests.benchmarks.filling import METRIC
from tests.integration.conftest import a_dataset, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.tables import LedgerEntry, ModelVersion

    MakeVersion = Callable[..., ModelVersion]
    MakeEntry = Callable[..., LedgerEntry]

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
MODELS = "churn", "fraud", "spam.eu", "spam-us"
HOLDOUT = a_dataset("february")


@dataclass
class Known:
    """What a test wrote of a version, to look it up without SQL."""

    version: ModelVersion
    tags: dict[str, str]
    values: dict[str, float]


def measure(store: Store, version: ModelVersion, **values: float) -> None:
    told: dict[str, Any] = {
        "model": version.model,
        "number": version.number,
        "dataset": HOLDOUT.fingerprint,
        "rows": HOLDOUT.rows,
    }
    store.lease({digest("predictions"): 1})
    evaluation = Evaluation(**told, predictions=digest("predictions"), evaluated_by="ada")
    metrics = [
        Metric(**told, slice=part, name=name, value=worth)
        for part, value in values.items()
        for name, worth in (("accuracy", value), ("r2", -value))
    ]
    store.append_evaluation(evaluation, metrics, HOLDOUT)


def furnish(store: Store, a_version: MakeVersion, an_entry: MakeEntry) -> list[Known]:
    """Versions of several models: many at the same moment, with the same tags, of the same worth."""
    chance, known = Random(7), []
    for step in range(48):
        model = chance.choice(MODELS)
        version = a_version(store, model=model, registered_at=NOON + timedelta(minutes=step // 5))
        tags = {key: chance.choice("ab") for key in ("team", "stage") if chance.random() < 0.7}
        values = {part: round(chance.random(), 1) for part in ("all", "age=old") if chance.random() < 0.7}
        Tags(store).put(version, tags)
        measure(store, version, **values)
        known.append(Known(version, tags, values))
    for alias, times in (("champion", 3), ("canary", 1)):
        for model in MODELS[:3]:
            for number in range(1, 1 + times):
                an_entry(store, number, model=model, alias=alias)
    an_entry(store, 3, model="fraud", kind="cleared")
    return known


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()


def pages(store: Store, search: Search, most: int) -> Iterator[Page]:
    after = None
    while True:
        page = find(store, search, most=most, after=after)
        yield page
        if page.next is None:
            return
        after = page.next


def everything(store: Store, search: Search, most: int) -> list[str]:
    return [version.reference for page in pages(store, search, most) for version in page.versions]


ALIASES = {
    "champion": ["churn@3", "spam.eu@3"],
    "canary": ["churn@1", "fraud@1", "spam.eu@1"],
    "nobody-has-it": [],
}
SEARCHES = [
    Search(model=model, tags=tags, since=since, until=until, alias=alias, ranking=ranking)
    for model, tags, (since, until), alias, ranking in product(
        (None, "churn"),
        ({}, {"team": "a"}, {"stage": "b", "team": "a"}, {"team": "c"}),
        (
            (None, None),
            (NOON + timedelta(minutes=1), None),
            (NOON + timedelta(minutes=1), NOON + timedelta(minutes=6)),
        ),
        (None, "champion", "canary", "nobody-has-it"),
        (
            None,
            Ranking("accuracy", HOLDOUT.fingerprint),
            Ranking("accuracy", HOLDOUT.fingerprint, slice="age=old", above=0.4),
        ),
    )
]


def looked_up(known: list[Known], search: Search) -> list[str]:
    """What is to be found, in order."""
    found = [each for each in known if fits(each, search)]
    found.sort(key=lambda each: place(each, search), reverse=search.ranking is not None or not search.alias)
    return [each.version.reference for each in found]


def fits(known: Known, search: Search) -> bool:
    version, ranking = known.version, search.ranking
    value = None if ranking is None else known.values.get(ranking.slice)
    return (
        search.model in {None, version.model}
        and search.tags.items() <= known.tags.items()
        and (search.since is None or version.registered_at >= search.since)
        and (search.until is None or version.registered_at < search.until)
        and (search.alias is None or version.reference in ALIASES[search.alias])
        and (ranking is None or (value is not None and (ranking.above is None or value > ranking.above)))
    )


def place(known: Known, search: Search) -> tuple[Any, ...]:
    version = known.version
    if search.ranking is not None:
        return known.values[search.ranking.slice], version.model, version.number
    return (version.model,) if search.alias else (version.registered_at, version.model, version.number)


@pytest.mark.long
def test_whatever_is_asked_for_together_is_found_in_order_on_pages_of_any_size(
    store: Store, a_version: MakeVersion, an_entry: MakeEntry
) -> None:
    known = furnish(store, a_version, an_entry)
    assert sum(bool(looked_up(known, search)) for search in SEARCHES) > 60
    for number, search in enumerate(SEARCHES):
        most = (2, 5, 100)[number % 3]
        assert everything(store, search, most) == looked_up(known, search), search


def test_one_on_a_page_is_enough(store: Store, a_version: MakeVersion, an_entry: MakeEntry) -> None:
    known = furnish(store, a_version, an_entry)
    for search in (Search(), Search(model="churn"), Search(tags={"team": "a"}), Search(alias="champion")):
        assert everything(store, search, 1) == looked_up(known, search)


def test_a_page_is_followed_by_another_only_if_there_is_more(store: Store, a_version: MakeVersion) -> None:
    for _ in range(4):
        a_version(store)
    assert [len(page.versions) for page in pages(store, Search(), 2)] == [2, 2]
    assert [len(page.versions) for page in pages(store, Search(), 3)] == [3, 1]
    assert find(store, Search(tags={"team": "a"}), most=3) == Page([], [], None)


def test_a_ranking_tells_the_values(store: Store, a_version: MakeVersion) -> None:
    for value in (0.25, 1 / 3, -0.5):
        measure(store, a_version(store), all=value)
    first, second = pages(store, Search(ranking=Ranking("accuracy", HOLDOUT.fingerprint)), 2)
    assert [version.number for version in [*first.versions, *second.versions]] == [2, 1, 3]
    assert (first.values, second.values) == ([1 / 3, 0.25], [-0.5])


def test_values_that_differ_in_their_last_digit_are_told_apart_across_pages(
    store: Store, a_version: MakeVersion
) -> None:
    for value in (0.1 + 0.2, 0.3, 5e-324, 1.7976931348623157e308):
        measure(store, a_version(store), all=value)
    ranking = Ranking("accuracy", HOLDOUT.fingerprint)
    assert everything(store, Search(ranking=ranking), 1) == ["churn@4", "churn@1", "churn@2", "churn@3"]


def test_a_version_that_is_registered_meanwhile_does_not_shift_the_pages(
    store: Store, a_version: MakeVersion
) -> None:
    for _ in range(4):
        a_version(store)
    first = find(store, Search(), most=2)
    a_version(store)
    second = find(store, Search(), most=2, after=first.next)
    assert [each.number for each in (*first.versions, *second.versions)] == [4, 3, 2, 1]


def test_a_version_whose_tag_changed_is_found_by_the_new_one(store: Store, a_version: MakeVersion) -> None:
    version = a_version(store)
    Tags(store).put(version, {"stage": "shadow"})
    Tags(store).put(version, {"stage": "live"})
    assert everything(store, Search(tags={"stage": "shadow"}), 9) == []
    assert everything(store, Search(tags={"stage": "live"}), 9) == ["churn@1"]
    Tags(store).remove(version, ["stage"])
    assert everything(store, Search(tags={"stage": "live"}), 9) == []


def test_a_tag_is_its_key_and_its_value_and_where_one_ends(store: Store, a_version: MakeVersion) -> None:
    Tags(store).put(a_version(store), {"ab": "c", '"': ","})
    for tags in ({"a": "bc"}, {"ab": "C"}, {"AB": "c"}, {"ab": ""}, {'","': ""}):
        assert everything(store, Search(tags=tags), 9) == []


def test_what_came_back_into_force_is_found(
    store: Store, a_version: MakeVersion, an_entry: MakeEntry
) -> None:
    for _ in range(2):
        a_version(store)
    for number in (1, 2):
        an_entry(store, number)
    an_entry(store, 1, kind="rolled-back")
    an_entry(store, 2, kind="held")
    assert everything(store, Search(alias="champion"), 9) == ["churn@1"]


# Refused


def test_a_model_that_does_not_exist_is_named(store: Store, a_version: MakeVersion) -> None:
    a_version(store)
    with pytest.raises(ModelNotFound, match="'chrun'"):
        find(store, Search(model="chrun"), most=9)


def a_token(store: Store, a_version: MakeVersion) -> str:
    for _ in range(3):
        a_version(store)
    token = find(store, Search(), most=1).next
    assert token is not None
    return token


def test_a_token_can_be_part_of_a_url(store: Store, a_version: MakeVersion) -> None:
    token = a_token(store, a_version)
    assert token.replace("-", "a").replace("_", "a").isalnum()
    assert token.isascii()


@pytest.mark.parametrize(
    "other",
    [
        Search(model="churn"),
        Search(tags={"team": "a"}),
        Search(since=NOON),
        Search(until=NOON),
        Search(alias="champion"),
        Search(ranking=Ranking("accuracy", HOLDOUT.fingerprint)),
    ],
)
def test_a_token_leads_nowhere_in_another_search(store: Store, a_version: MakeVersion, other: Search) -> None:
    token = a_token(store, a_version)
    with pytest.raises(InvalidName, match="is not a valid page: pass the next of the page before"):
        find(store, other, most=1, after=token)


def test_a_token_with_one_other_character_is_refused(store: Store, a_version: MakeVersion) -> None:
    token = a_token(store, a_version)
    for at in range(len(token) - 1):  # the last one has spare bits
        forged = token[:at] + ("a" if token[at] != "a" else "b") + token[at + 1 :]
        with pytest.raises(InvalidName, match="is not a valid page"):
            find(store, Search(), most=1, after=forged)


@pytest.mark.parametrize("forged", ["", "a", "====", "\0", "\ud800", "é", "next", "x" * 100_000, "!!!!"])
def test_a_token_that_is_none_is_refused(store: Store, forged: str) -> None:
    with pytest.raises(InvalidName, match="is not a valid page"):
        find(store, Search(), most=1, after=forged)


def test_a_dataset_is_told_by_its_first_digits(store: Store, a_version: MakeVersion) -> None:
    measure(store, a_version(store), all=0.5)
    january, february = a_dataset("january").fingerprint, HOLDOUT.fingerprint
    assert january[0] != february[0]
    for whole in (january, february):
        assert fingerprint_of(store, whole[:1]) == fingerprint_of(store, whole) == whole
    for digits, why in (("", "several"), ("g", "no dataset's"), (f"{february}0", "no dataset's")):
        with pytest.raises(InvalidName, match=why):
            fingerprint_of(store, digits)


# Along an index

THE_BEST = Ranking(METRIC, filling.HOLDOUT.fingerprint)
AFTER, BEFORE = filling.AT + timedelta(minutes=9), filling.AT + timedelta(days=9)
BY_TIME, OF_A_MODEL = (
    "ix_model_version_registered_at_model_number",
    "ix_model_version_model_registered_at_number",
)
BY_TAG = "ix_version_tag_digest_registered_at_model_number"
BY_VALUE = "ix_metric_dataset_name_slice_value_model_number"
FORMS = {
    "all": (Search(), BY_TIME),
    "of a time": (Search(since=AFTER, until=BEFORE), BY_TIME),
    "of a model": (Search(model="churn"), OF_A_MODEL),
    "of a model and a time": (Search(model="churn", since=AFTER, until=BEFORE), OF_A_MODEL),
    "with a tag": (Search(tags={"team": "team-1"}), BY_TAG),
    "with a tag, of a time": (Search(tags={"team": "team-1"}, since=AFTER, until=BEFORE), BY_TAG),
    "with a tag, of a model": (
        Search(tags={"team": "team-1"}, model="churn"),
        "ix_version_tag_model_digest_registered_at_number",
    ),
    "in force": (Search(alias="champion"), "ix_ledger_entry_firsts"),
    "in force, with a tag": (Search(alias="champion", tags={"team": "team-1"}), "ix_ledger_entry_firsts"),
    "the best": (Search(ranking=THE_BEST), BY_VALUE),
    "the best of a model": (Search(ranking=THE_BEST, model="churn"), BY_VALUE),
    "the best in force": (Search(ranking=THE_BEST, alias="champion"), BY_VALUE),
    "the good": (Search(ranking=replace(THE_BEST, above=0.2)), BY_VALUE),
}

LATER = {"the best of a model", "the best in force"}
"""What PostgreSQL does so from some ten thousand rows on."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A registry of so many rows that to read all of them costs more than to look for some."""
    url = f"sqlite:///{tmp_path_factory.mktemp('crowded')}/registry.db"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        server.create("crowded")
        url = server.url("crowded")
    with closing(Store.open(url, Origin(actor="ada"))) as store:
        filling.fill(store, {"churn": 2_000} | {f"model-{number}": 3 for number in range(600)})
        delete_some(store)
        yield store


def delete_some(store: Store) -> None:
    """Delete so many that to look for one is worth its while."""
    with store.engine.begin() as connection:
        gone = [
            VersionDeletion(model="churn", number=number, reason="a test", deleted_by="ada")
            for number in range(1, 900)
        ]
        connection.execute(insert(VersionDeletion), [row.model_dump() for row in gone])
    filling.tidy(store.engine)


def plan(store: Store, search: Search, after: str | None) -> str:
    """How the database goes about the search."""
    asked: list[tuple[str, Any]] = []
    with store.engine.connect() as connection:

        def listen(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
            asked.append((statement, parameters))

        event.listen(store.engine, "before_cursor_execute", listen)
        find(store, search, most=20, after=after)
        event.remove(store.engine, "before_cursor_execute", listen)
        statement, parameters = asked[-1]
        verb = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        lines = connection.exec_driver_sql(f"{verb} {statement}", parameters)
        return "\n".join(str(line[-1]) for line in lines)


@pytest.mark.parametrize("form", FORMS)
def test_a_page_is_read_along_its_index_and_nothing_is_sorted(crowded: Store, form: str) -> None:
    search, index = FORMS[form]
    if crowded.engine.dialect.name == "postgresql" and form in LATER:
        pytest.skip("PostgreSQL rather reads so few rows all")
    first = find(crowded, search, most=20)
    assert first.next is not None
    for after in (None, first.next):
        found = plan(crowded, search, after)
        assert index in before_the_limit(found)
        assert "Sort" not in before_the_limit(found)
        assert "Seq Scan" not in found
        assert "TEMP B-TREE" not in before_the_limit(found)
        scans = [line for line in found.splitlines() if line.startswith("SCAN model_version")]
        assert scans in ([], [f"SCAN model_version_1 USING COVERING INDEX {BY_TIME}"])


def before_the_limit(found: str) -> str:
    """What is done to every row that comes by, and not to those of the page alone."""
    return found.partition("SCAN anon")[0] if "SCAN anon" in found else found.partition("->  Limit")[2]


def test_a_later_page_begins_at_its_place_and_not_at_the_end_of_the_time(crowded: Store) -> None:
    search = Search(since=AFTER, until=BEFORE)
    after = find(crowded, search, most=20).next
    found = plan(crowded, search, after).lower().replace(" ", "")
    assert ",number)<" in found
    assert "registered_at<" not in found
