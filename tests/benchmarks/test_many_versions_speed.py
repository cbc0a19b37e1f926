"""A million versions are as quick to use as a thousand; the numbers in brackets are ratios in one run."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from registry.references import Reference
from registry.search import Ranking, Search, find
from registry.store import Origin, Store
from registry.submissions import Submission
from registry.tables import ModelVersion
from tests.benchmarks import crowd
from tests.benchmarks.filling import AT, HOLDOUT, METRIC, fill, team_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FEW, MANY = 1_000, 1_000_000
ROUNDS = 300
CHAMPION = Reference("churn", "champion")
BEST = Ranking(METRIC, HOLDOUT.fingerprint)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[FEW, MANY])
def store(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A registry in which most versions are of one model; of each a version in the middle is in force."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('many')}/registry.db"
    else:
        server = request.getfixturevalue("postgres_server")
        server.create(f"many_{request.param}")
        url = server.url(f"many_{request.param}")
    with closing(Store.open(url, Origin(actor="the benchmark"))) as store:
        fill(store, models_of(request.param))
        middle = store.resolve(CHAMPION)
        assert middle.digest() == middle.hash
        yield store


def models_of(versions: int) -> dict[str, int]:
    """So many versions in all: four fifths of one model, and as many of each of the others."""
    others = min(versions // 10, 2_000)
    rest = dict.fromkeys((f"model-{number}" for number in range(others)), versions // 5 // others)
    return {"churn": versions - versions // 5} | rest


def champion(store: Store) -> Callable[[], ModelVersion]:
    return partial(store.resolve, CHAMPION)


def page(store: Store) -> Callable[[], list[ModelVersion]]:
    below = store.require_model("churn").last_version // 2
    return partial(store.page_of_versions, "churn", most=50, below=below)


def register(store: Store) -> Callable[[], ModelVersion]:
    """Versions whose bytes are leased already, as an upload comes between."""
    prepared = []
    for _ in range(ROUNDS):
        version = ModelVersion(**crowd.a_row())
        prepared.append(Submission(version=version, trained_on=crowd.rows(), request=crowd.digest("request")))
    store.lease({each.version.artifact: 1 for each in prepared})
    return lambda: store.append_version(prepared.pop())


# the thousandth page where there are so many, and else one with as many before it as behind it
SEARCHES: dict[str, tuple[Search, Callable[[int], int]]] = {
    "all": (Search(), lambda versions: versions // 20),
    "of a model": (Search(model="churn"), lambda versions: versions // 20),
    "with a tag": (Search(tags={"team": team_of(1)}), lambda versions: versions // 20),
    "with a tag, of a model": (
        Search(model="churn", tags={"team": team_of(1)}),
        lambda versions: versions // 40,
    ),
    "of a time": (
        Search(since=AT + timedelta(hours=1), until=AT + timedelta(hours=20)),
        lambda versions: versions // 20,
    ),
    "in force": (Search(alias="champion"), lambda versions: min(versions // 10, 2_000) // 2),
    "the best": (Search(ranking=BEST), lambda versions: versions // 20),
    "the good": (Search(ranking=replace(BEST, above=0.5)), lambda versions: versions // 20),
    "the best of a model": (Search(model="churn", ranking=BEST), lambda versions: versions // 20),
}


@pytest.mark.parametrize("page", ["first", "deep"])
@pytest.mark.parametrize("search", SEARCHES)
def test_a_page_of_a_search_costs_the_same(store: Store, search: str, page: str, benchmark: Any) -> None:
    asked, depth = SEARCHES[search]
    versions = sum(model.last_version for model in store.models())
    before = None if page == "first" else find(store, asked, most=depth(versions - versions % FEW)).next
    benchmark.group = f"search {search}, {page} page, {store.engine.dialect.name}"
    looked = partial(find, store, asked, most=40, after=before)
    assert len(benchmark.pedantic(looked, rounds=ROUNDS // 3, warmup_rounds=5).versions) == 40


@pytest.mark.parametrize("use", [champion, page, register])
def test_versions_do_not_slow_each_other_down(
    store: Store, use: Callable[[Store], Callable[[], Any]], benchmark: Any
) -> None:
    benchmark.group = f"{use.__name__}, {store.engine.dialect.name}"
    found = benchmark.pedantic(use(store), rounds=ROUNDS - 1, warmup_rounds=1)
    assert isinstance(found, ModelVersion) or len(found) == 50
