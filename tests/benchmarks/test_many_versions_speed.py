"""A model of a million versions is as quick to use as one of a thousand; brackets are ratios in one run."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, text

from registry.ledger import Proposal
from registry.references import Reference
from registry.store import Origin, Store, Submission
from registry.tables import GENESIS, Artifact, DatasetRecord, ModelVersion, RegisteredModel, canonical_json
from tests.benchmarks import crowd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FEW, MANY = 1_000, 1_000_000
BATCH = 10_000
ROUNDS = 300
AT = datetime(2026, 1, 1, tzinfo=UTC)
CHAMPION = Reference("churn", "champion")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[FEW, MANY])
def store(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A registry of one model, of which a version in the middle is in force."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('many')}/registry.db"
    else:
        server = request.getfixturevalue("postgres_server")
        server.create(f"many_{request.param}")
        url = server.url(f"many_{request.param}")
    with closing(Store.open(url, Origin(actor="the benchmark"))) as store:
        fill(store, request.param)
        yield store


def fill(store: Store, versions: int) -> None:
    with store.engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # an empty table's statistics make each check a full scan
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(insert(DatasetRecord), [crowd.rows().model_dump()])
        connection.execute(insert(RegisteredModel), [{"name": "churn", "last_version": versions}])
        rows, batch = chain_of(versions), min(BATCH, versions)
        for _ in range(versions // batch):
            some = list(islice(rows, batch))
            kept = [{"digest": row["artifact"], "bytes": 1, "leased_until": AT} for row in some]
            connection.execute(insert(Artifact), kept)
            connection.execute(insert(ModelVersion), some)
    with store.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    middle = store.version("churn", versions // 2)
    assert middle.digest() == middle.hash
    store.append_entry(Proposal(kind="assigned", model="churn", version=middle.number, reason="its turn"))


def chain_of(versions: int) -> Iterator[dict[str, Any]]:
    """The rows of so many versions, each sealed after the one before, and much quicker than one by one."""
    row = ModelVersion(**crowd.a_row() | {"registered_at": AT}, hash="").model_dump(exclude={"hash"})
    last = GENESIS
    for number in range(1, versions + 1):
        row |= {"number": number, "previous": number - 1 or None, "previous_hash": last}
        row |= {name: crowd.digest((name, number)) for name in ("training", "fitted", "artifact")}
        facts = canonical_json(row | {"registered_at": AT.isoformat(timespec="microseconds")})
        last = sha256(facts.encode()).hexdigest()
        yield row | {"hash": last}


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


@pytest.mark.parametrize("use", [champion, page, register])
def test_versions_do_not_slow_each_other_down(
    store: Store, use: Callable[[Store], Callable[[], Any]], benchmark: Any
) -> None:
    benchmark.group = f"{use.__name__}, {store.engine.dialect.name}"
    found = benchmark.pedantic(use(store), rounds=ROUNDS - 1, warmup_rounds=1)
    assert isinstance(found, ModelVersion) or len(found) == 50
