"""What is done with rows alone: an alias is read and moved, versions are registered, listed and searched."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, repeat
from multiprocessing import Manager, get_context
from time import perf_counter
from typing import TYPE_CHECKING, Any

from registry.search import Ranking, Search, find
from registry.submissions import Submission
from registry.tables import ModelVersion, VersionTag
from tests.benchmarks import crowd
from tests.benchmarks.filling import AT, HOLDOUT, METRIC
from tests.benchmarks.mlflow_comparison import theirs
from tests.benchmarks.mlflow_comparison.lab import mark_of, url_of
from tests.benchmarks.mlflow_comparison.lines import Line, timed, timed_each

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.mlflow_comparison.lab import Lab

PAGE = 50
NEWEST = (
    "SELECT * FROM model_version WHERE model = 'm' AND number = (SELECT in_force FROM ledger_entry"
    " WHERE model = 'm' AND alias = {mark} ORDER BY sequence DESC LIMIT 1)"
)


def read_an_alias(lab: Lab, place: str) -> Line:
    def ours(versions: int) -> Callable[[], float]:
        return timed(partial(lab.filled(place, versions).resolve, "m@champion"))

    return Line(
        name="read an alias",
        place=place,
        ways={
            "ours": partial(ours, lab.sizes.many),
            "MLflow": lambda: timed(partial(lab.mlflow(place).get_model_version_by_alias, "m", "champion")),
            "floor": partial(_queried, lab, place, NEWEST, "champion"),
            "few": partial(ours, lab.sizes.few),
        },
        targets={"MLflow": 10, "floor": 5} if place == "SQLite" else {"MLflow": 3, "floor": 1.5},
    )


def move_an_alias(lab: Lab, place: str) -> Line:
    def ours(model: str, versions: int) -> Callable[[], float]:
        registry, turns = lab.filled(place, versions), cycle([f"{model}@5", f"{model}@6"])
        return timed(lambda: registry.assign(next(turns), reason="its turn"))

    def mlflow() -> Callable[[], float]:
        client, turns = lab.mlflow(place), cycle(["5", "6"])
        return timed(lambda: client.set_registered_model_alias("m", "champion", next(turns)))

    def floor() -> Callable[[], float]:
        entry = json.dumps(lab.filled(place, lab.sizes.few).history("few")[0].model_dump(mode="json"))
        connection, statement = _plain(lab, place), crowd.INSERT.format(mark=mark_of(place))
        return timed(partial(connection.execute, statement, (entry,)))

    return Line(
        name="move an alias",
        place=place,
        ways={
            "ours": partial(ours, "m", lab.sizes.many),
            "MLflow": mlflow,
            "floor": floor,
            "few": partial(ours, "few", lab.sizes.few),
        },
        targets={"MLflow": 100, "few": 1.3},
    )


def move_an_alias_by_mlflow(lab: Lab, place: str) -> Line:
    """The same call of MLflow's client, before its own store and before ours."""

    def moved(client: Any) -> Callable[[], float]:
        turns = cycle(["5", "6"])
        return timed(lambda: client.set_registered_model_alias("m", "champion", next(turns)))

    return Line(
        name="move an alias by MLflow's client",
        place=place,
        ways={
            "ours": lambda: moved(theirs.opened(lab.new_database("SQLite"), _as_mlflow_has_it(lab, place))),
            "MLflow": lambda: moved(lab.mlflow(place)),
        },
        targets={"MLflow": 50},
    )


def _as_mlflow_has_it(lab: Lab, place: str) -> str:
    """The address of the largest registry for MLflow."""
    return f"prefect-registry+{url_of(lab.filled(place, lab.sizes.many)).replace('+psycopg', '')}"


def register_a_version(lab: Lab, place: str) -> Line:
    def ours(versions: int) -> Callable[[], float]:
        rows = lab.filled(place, versions).backend.rows

        def submissions(number: int) -> list[Submission]:
            made = [ModelVersion(**crowd.a_row() | {"model": "m"}) for _ in range(number)]
            rows.lease({version.artifact: version.artifact_bytes for version in made})
            request = crowd.digest("request")
            return [Submission(version=each, trained_on=crowd.rows(), request=request) for each in made]

        return timed_each(rows.append_version, submissions)

    def mlflow() -> Callable[[], float]:
        create = partial(lab.mlflow(place).create_model_version, "m", await_creation_for=0)
        return timed_each(create, lambda number: [f"file:///models/{n}" for n in range(number)])

    def floor() -> Callable[[], float]:
        connection, mark = _plain(lab, place), mark_of(place)
        return timed_each(partial(_number, connection, mark), crowd._facts)

    return Line(
        name="register a version's row",
        place=place,
        ways={
            "ours": partial(ours, lab.sizes.many),
            "MLflow": mlflow,
            "floor": floor,
            "few": partial(ours, lab.sizes.few),
        },
        targets={"MLflow": 3, "floor": 1.6},
    )


def register_together(lab: Lab, place: str) -> Line:
    """Many processes of ours, and as many threads of MLflow, each as quick as it can, on one model."""
    writers, writes = lab.sizes.writers, lab.sizes.writes

    def processes(way: str) -> Callable[[], float]:
        url = lab.new_database(place)
        crowd.prepare(url)
        pool, manager = _processes(writers), lab.closing.enter_context(Manager())
        lab.closing.enter_context(pool)
        if way == "register":
            lab.closing.callback(_check_numbers, lab, url)

        def work() -> None:
            barrier = manager.Barrier(writers)
            begun = [pool.submit(crowd.WAYS[way], url, writes, barrier) for _ in range(writers)]
            for each in begun:
                each.result()

        return _shared(work, writers * writes)

    def mlflow() -> Callable[[], float]:
        client = lab.new_mlflow(place)
        client.create_registered_model("churn")
        pool = lab.closing.enter_context(ThreadPoolExecutor(writers))
        create = partial(client.create_model_version, "churn", await_creation_for=0)

        def work() -> None:
            list(pool.map(create, repeat("file:///models/it", writers * writes)))

        return _shared(work, writers * writes)

    return Line(
        name=f"register a version's row, {writers} at once",
        place=place,
        ways={
            "ours": partial(processes, "register"),
            "MLflow": mlflow,
            "floor": partial(processes, "number"),
        },
        targets={"MLflow": 2},
    )


@dataclass(frozen=True)
class Question:
    """What is searched for.

    Attributes:
        name: What decides.
        ours: How we are asked.
        raw: How the database is asked, for the place of the same index.
        mlflow: How MLflow is asked: for all, if it can't be asked for that.
    """

    name: str
    ours: Search
    raw: str
    mlflow: dict[str, Any] = field(default_factory=dict)


_JOINED = "SELECT v.* FROM {table} t JOIN model_version v ON (v.model, v.number) = (t.model, {number}) WHERE "
_BY_TIME = " ORDER BY registered_at DESC, model DESC, number DESC"
QUESTIONS = (
    Question(
        "list a model's versions",
        Search(model="m"),
        f"SELECT * FROM model_version WHERE model = 'm'{_BY_TIME}",  # noqa: S608, ours
        {"filter_string": "name = 'm'"},
    ),
    Question(
        "search by tag",
        Search(tags={"team": "team-3"}),
        _JOINED.format(table="version_tag", number="t.number")
        + f"t.digest = '{VersionTag.digest_of('team', 'team-3')}'"
        " ORDER BY t.registered_at DESC, t.model DESC, t.number DESC",
        {"filter_string": "tags.team = 'team-3'"},
    ),
    Question(
        "search by creation time",
        Search(since=AT),
        f"SELECT * FROM model_version WHERE registered_at >= '2026-01-01'{_BY_TIME}",  # noqa: S608, ours
        {"order_by": ["creation_timestamp DESC"]},
    ),
    Question(
        "search by alias",
        Search(alias="champion"),
        _JOINED.format(  # noqa: S608, ours
            table="ledger_entry",
            number="(SELECT in_force FROM ledger_entry e WHERE (e.model, e.alias) = (t.model, 'champion')"
            " ORDER BY e.sequence DESC LIMIT 1)",
        )
        + "t.alias = 'champion' AND t.sequence = 1 ORDER BY t.model",
    ),
    Question(
        "search by metric",
        Search(ranking=Ranking(METRIC, HOLDOUT.fingerprint)),
        _JOINED.format(table="metric", number="t.number")
        + f"(t.dataset, t.name, t.slice) = ('{HOLDOUT.fingerprint}', '{METRIC}', 'all')"
        " ORDER BY t.value DESC, t.model DESC, t.number DESC",
    ),
)


def search(question: Question, lab: Lab, place: str) -> Line:
    def ours(versions: int) -> Callable[[], float]:
        return timed(partial(find, lab.filled(place, versions).backend.rows, question.ours, most=PAGE))

    def mlflow() -> Callable[[], float]:
        return timed(partial(lab.mlflow(place).search_model_versions, max_results=PAGE, **question.mlflow))

    return Line(
        name=question.name,
        place=place,
        ways={
            "ours": partial(ours, lab.sizes.many),
            "MLflow": mlflow,
            "floor": partial(_queried, lab, place, f"{question.raw} LIMIT {PAGE + 1}"),
            "few": partial(ours, lab.sizes.few),
        },
        targets={"MLflow": 5, "few": 1.3},
    )


# By hand


def _queried(lab: Lab, place: str, query: str, *values: str) -> Callable[[], float]:
    """Turns that read what the driver gives for a *query* in the largest registry."""
    connection = lab.connection(url_of(lab.filled(place, lab.sizes.many)))
    statement = query.format(mark=mark_of(place))
    return timed(lambda: connection.execute(statement, values).fetchall())


def _plain(lab: Lab, place: str) -> Any:
    """A connection to a database with tables for rows that are no registry's."""
    url = lab.new_database(place)
    crowd.prepare(url)
    return lab.connection(url)


def _number(connection: Any, mark: str, facts: str) -> None:
    """One transaction: the next number, and a row that has it."""
    connection.execute("BEGIN IMMEDIATE" if mark == "?" else "BEGIN")
    number = connection.execute(crowd.NUMBER).fetchone()[0]
    connection.execute(crowd.NUMBERED.format(mark=mark), (number, facts))
    connection.execute("COMMIT")


# Together


def _processes(writers: int) -> ProcessPoolExecutor:
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.benchmarks.crowd"])
    return ProcessPoolExecutor(writers, mp_context=context)


def _shared(work: Callable[[], None], things: int) -> Callable[[], float]:
    """Turns that do so many *things* together, after they did so for the first time."""
    work()

    def turn() -> float:
        start = perf_counter()
        work()
        return (perf_counter() - start) / things

    return turn


def _check_numbers(lab: Lab, url: str) -> None:
    """Nothing was numbered twice, and no number is missing."""
    rows = lab.connection(url).execute("SELECT number FROM model_version WHERE model = 'churn' ORDER BY 1")
    numbers = [number for (number,) in rows.fetchall()]
    assert numbers == list(range(1, len(numbers) + 1))
