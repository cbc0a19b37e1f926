"""A registry that was filled by COPY, or by many rows at a time, is the one that the API would have made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from registry.ledger import Proposal
from registry.references import Reference
from registry.search import Ranking, Search, find
from registry.submissions import Submission
from registry.tables import WHOLE, Evaluation, Metric, ModelVersion, Row
from registry.tags import Tags
from tests.benchmarks import crowd
from tests.benchmarks.filling import ACTOR, AT, HOLDOUT, METRIC, fill, team_of, trained_on, value_of, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Table

    from registry.store import Store

MODELS = {"churn": 5, "fraud": 3}
SEARCHES = [
    Search(model="churn"),
    Search(tags={"team": team_of(2)}),
    Search(since=AT),
    Search(alias="champion"),
    Search(ranking=Ranking(METRIC, HOLDOUT.fingerprint)),
]


@pytest.fixture
def stores(make_database: Callable[[], str], open_store: Callable[..., Store]) -> tuple[Store, Store]:
    """One filled at once, the other one by one."""
    at_once, one_by_one = (open_store(make_database(), actor=ACTOR, clock=lambda: AT) for _ in range(2))
    fill(at_once, MODELS)
    for row in versions(MODELS):
        register(one_by_one, ModelVersion(**row))
    for model, last in MODELS.items():
        one_by_one.append_entry(Proposal(kind="assigned", model=model, version=last // 2, reason="its turn"))
    return at_once, one_by_one


def register(store: Store, version: ModelVersion) -> None:
    predictions = crowd.digest("predictions")
    store.lease({version.artifact: version.artifact_bytes, predictions: 10_000})
    submission = Submission(version=version, trained_on=trained_on(), request=crowd.digest("request"))
    made = store.append_version(submission)
    Tags(store).put(made, {"team": team_of(made.number)})
    named: dict[str, Any] = {
        "model": made.model,
        "number": made.number,
        "dataset": HOLDOUT.fingerprint,
        "rows": HOLDOUT.rows,
    }
    evaluation = Evaluation(**named, predictions=predictions, evaluated_by=ACTOR, evaluated_at=AT)
    metric = Metric(**named, slice=WHOLE, name=METRIC, value=value_of(made.number))
    store.append_evaluation(evaluation, [metric], HOLDOUT)


def test_every_row_is_the_same_but_for_the_leases(stores: tuple[Store, Store]) -> None:
    for table in Row.metadata.sorted_tables:
        at_once, one_by_one = (rows_of(store, table) for store in stores)
        assert at_once == one_by_one, table.name


def rows_of(store: Store, table: Table) -> list[str]:
    told = select(*(column for column in table.columns if column.name != "leased_until"))
    with store.engine.connect() as connection:
        return sorted(map(repr, connection.execute(told)))


@pytest.mark.parametrize("search", SEARCHES)
def test_searches_find_the_same(stores: tuple[Store, Store], search: Search) -> None:
    at_once, one_by_one = (find(store, search, most=2) for store in stores)
    assert at_once.versions
    assert at_once == one_by_one


def test_an_alias_and_a_page_lead_to_the_same(stores: tuple[Store, Store]) -> None:
    champion = Reference("churn", "champion")
    at_once, one_by_one = (
        [store.resolve(champion), *store.page_of_versions("churn", most=3)] for store in stores
    )
    assert len(at_once) == 4
    assert at_once == one_by_one
