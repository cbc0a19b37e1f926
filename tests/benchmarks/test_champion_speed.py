"""What a service pays for holding the champion; the table's brackets are ratios within one run."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.linear_model import LogisticRegression

from registry import Champion, Registry
from registry.cache import Cache
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SELDOM = 3_600.0


@pytest.fixture(params=["sqlite", "postgresql"])
def champion(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Champion]:
    """The champion of a registry on each kind of database; PostgreSQL here does not wait for the disk."""
    database = f"sqlite:///{tmp_path}/registry.db"
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("make_postgres_registry")
        database = make()
    rows = make_dataset()
    with Registry(database, artifacts=tmp_path / "artifacts", actor="ada") as registry:
        registry.register("churn", fit(rows, LogisticRegression()), trained_on=rows)
        registry.assign("churn@1", reason="the first")
        with Champion("churn", registry=registry, refresh=SELDOM) as held:
            yield held


@pytest.mark.parametrize("way", ["select", "refresh", "load"])
def test_a_look_at_the_ledger_that_finds_the_same_loads_nothing(
    champion: Champion, way: str, benchmark: Any
) -> None:
    registry = Registry.of(champion._backend)
    engine = registry.backend.rows.engine
    benchmark.group = f"the champion, warm, {engine.dialect.name}"
    if way == "select":
        connection = engine.raw_connection()
        cursor = connection.cursor()
        newest = "SELECT in_force FROM ledger_entry WHERE model = 'churn' AND alias = 'champion'"

        def read() -> int:
            cursor.execute(f"{newest} ORDER BY sequence DESC LIMIT 1")
            found = cursor.fetchone()
            return 0 if found is None else int(found[0])

        assert benchmark(read) == 1
        connection.close()
        return
    ask = champion.refresh if way == "refresh" else lambda: registry.load("churn@champion")
    assert benchmark(ask).version.number == 1


@pytest.mark.parametrize("way", ["estimator", "loaded", "champion"])
def test_a_request_pays_for_the_check_of_its_columns_and_not_for_the_handle(
    champion: Champion, way: str, benchmark: Any
) -> None:
    rows, held = make_dataset(rows=5).features, champion.model
    benchmark.group = "predict five rows"
    ask = {"estimator": held.estimator.predict, "loaded": held.predict, "champion": champion.predict}[way]
    assert len(benchmark(ask, rows)) == 5


MEGABYTE = 2**20


@pytest.mark.parametrize("megabytes", [1, 100])
@pytest.mark.parametrize("way", ["sha256", "cache"])
def test_a_cached_file_costs_its_hash(tmp_path: Path, way: str, megabytes: int, benchmark: Any) -> None:
    content = bytes(megabytes * MEGABYTE)
    digest, cache = sha256(content).hexdigest(), Cache(tmp_path, 2 * len(content))
    benchmark.group = f"open {megabytes} MB from the cache"

    def open_again() -> None:
        file = cache.open(digest, lambda path: path.write_bytes(content))
        assert file is not None
        file.close()

    benchmark((lambda: sha256(content).hexdigest()) if way == "sha256" else open_again)
