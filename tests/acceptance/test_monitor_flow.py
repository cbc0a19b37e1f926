"""The monitor scores what there is to score, and an alarm is heard once, whatever crashes in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.events.worker import EventsWorker
from prefect.flow_engine import run_flow_sync
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sqlalchemy import DateTime, create_engine

from flows.monitor import monitor
from flows.rollback import rollback
from registry import Batch, Dataset, MonitoringPolicy, Registry
from registry.exceptions import EventsUnavailable, InvalidDataset, InvalidObservation, ModelNotFound
from registry.suspicion import Reading
from registry.tables import Observation
from registry.tasks import check_champion, events, record_observation
from tests.examples import fit, make_dataset
from tests.servers.process import free_ports
from tests.watched import STRICT, fallen, heard, now, promoted, sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from registry.tables import LedgerEntry

ROOT = Path(__file__).parents[2]
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
OF_THE_WINDOW = "SELECT wind, distance, origin, late FROM labels WHERE at >= :start AND at < :end"

WITHOUT_A_ZONE = "SELECT at, late FROM labels WHERE at >= :start AND at < :end ORDER BY at"


@pytest.fixture
def registry(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    with promoted(tmp_path_factory, tmp_path, monkeypatch) as registry:
        yield registry


@pytest.fixture
def began() -> datetime:
    """When the test began; what it asks the server for is younger."""
    return now()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """What the command line reads the policy from."""
    file = tmp_path / "policy.json"
    file.write_text(STRICT.model_dump_json())
    return file


def scheduled_for(moment: datetime, *given: Any, **parameters: Any) -> Observation | None:
    """Run the monitor as a run that was scheduled for this *moment*."""
    arguments = dict(zip(("model", "source"), given, strict=False)) | parameters
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(monitor, parameters=arguments, state=Scheduled(scheduled_time=moment))
    observed = run_flow_sync(monitor, flow_run=run, parameters=arguments)
    assert observed is None or isinstance(observed, Observation)
    return observed


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_file_of_labelled_rows_is_one_observation_however_often_it_is_scored(
    registry: Registry, tmp_path: Path, ending: str
) -> None:
    file = f"{tmp_path}/labels.{ending}"
    sound().to_parquet(file) if ending == "parquet" else sound().to_csv(file, index=False)
    first, again = (monitor("churn", file, batch="2026-03-01") for _ in range(2))
    assert first is not None
    assert (first.version, first.batch, first.rows, first.status) == (3, "2026-03-01", 300, "healthy")
    assert first.at == datetime(2026, 3, 1, tzinfo=UTC)
    assert first.flow_run_id is not None
    assert again == first
    assert registry.observations("churn", metric="accuracy") == [first]


@pytest.mark.parametrize(
    ("moment", "delay"),
    [("2026-03-02T03:00", 0), ("2026-03-02T00:00", 0), ("2026-03-09T23:59", 7)],
)
def test_a_run_scores_the_last_whole_window_before_its_scheduled_start(
    registry: Registry, tmp_path: Path, moment: str, delay: int
) -> None:
    sound().to_parquet(tmp_path / "2026-03-01-to-03-02.parquet")
    seen = scheduled_for(
        datetime.fromisoformat(f"{moment}+00:00"),
        "churn",
        f"{tmp_path}/{{start:%Y-%m-%d}}-to-{{end:%m-%d}}.parquet",
        delay=timedelta(days=delay),
    )
    assert seen is not None
    assert (seen.batch, seen.at) == ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC))
    assert registry.observations("churn", metric="accuracy") == [seen]


def test_windows_that_begin_in_the_same_minute_are_two_batches(registry: Registry, tmp_path: Path) -> None:
    sound().to_parquet(tmp_path / "labels.parquet")
    for second in (30, 60):
        moment = MIDNIGHT + timedelta(hours=5, seconds=second)
        scheduled_for(moment, "churn", f"{tmp_path}/labels.parquet", window=timedelta(seconds=30))
    first, second_ = registry.observations("churn", metric="accuracy")
    assert second_.at - first.at == timedelta(seconds=30)
    assert not second_.late


def test_labels_may_lie_in_a_bucket(
    registry: Registry, make_bucket: Callable[[], str], tmp_path: Path
) -> None:
    bucket = make_bucket()
    sound().to_parquet(tmp_path / "labels.parquet")
    boto3.client("s3").upload_file(str(tmp_path / "labels.parquet"), bucket, "labels/2026-03-01.parquet")
    seen = scheduled_for(MIDNIGHT, "churn", f"s3://{bucket}/labels/{{start:%Y-%m-%d}}.parquet")
    assert seen is not None
    assert (seen.batch, seen.rows) == ("2026-03-01", 300)
    assert registry.health("churn") == [seen]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_labels_may_be_what_a_database_has_for_the_window(
    registry: Registry, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """The rows of five half-days: the first belongs to the day before, the last to the day after."""
    database = f"sqlite:///{tmp_path}/live.db"
    if kind == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("make_postgres_database")
        database = make()
    halves = pd.to_datetime([MIDNIGHT - timedelta(hours=12) * back for back in (3, 2, 1, 0)]).repeat(75)
    engine = create_engine(database)
    sound().assign(at=halves).to_sql("labels", engine, dtype={"at": DateTime(timezone=True)})
    seen = scheduled_for(MIDNIGHT, "churn", database, query=OF_THE_WINDOW)
    nothing = scheduled_for(MIDNIGHT - timedelta(days=7), "churn", database, query=OF_THE_WINDOW)
    engine.dispose()
    assert seen is not None
    assert (seen.batch, seen.rows) == ("2026-03-01", 150)
    assert nothing is None
    assert registry.observations("churn", metric="accuracy") == [seen]


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00"]
)
def test_midnight_belongs_to_the_day_that_it_begins_however_sqlite_has_it_written(
    tmp_path: Path, form: str
) -> None:
    """In SQLite a time is text, and 2026-03-01 comes before 2026-03-01 00:00:00."""
    days = [MIDNIGHT - timedelta(days=back) for back in (2, 1, 0)]
    engine = create_engine(f"sqlite:///{tmp_path}/live.db")
    written = [day.strftime(form) for day in days]
    pd.DataFrame({"at": written, "late": [0, 1, 2]}).to_sql("labels", engine, index=False)
    engine.dispose()
    window = {"start": days[1], "end": days[2]}
    statement = "SELECT * FROM labels WHERE at >= :start AND at < :end"
    assert Dataset.query(str(engine.url), statement, "late", parameters=window).labels.tolist() == [1]


def test_a_window_of_a_clock_without_a_zone_is_one_of_utc_whatever_zone_the_server_keeps(
    make_postgres_database: Callable[[], str],
) -> None:
    database = make_postgres_database()
    days = pd.to_datetime([MIDNIGHT - timedelta(hours=hours) for hours in (25, 23, 1, 0)]).tz_localize(None)
    with _closed(database) as engine:
        pd.DataFrame({"at": days, "late": [0, 1, 2, 3]}).to_sql("labels", engine, index=False)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET timezone = 'Asia/Tokyo'")
    window = {"start": MIDNIGHT - timedelta(days=1), "end": MIDNIGHT}
    for options in ("", "?options=-ctimezone%3DAsia/Tokyo"):
        dataset = Dataset.query(database + options, WITHOUT_A_ZONE, "late", parameters=window)
        assert dataset.labels.tolist() == [1, 2]
        assert dataset.source == database


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("DROP TABLE labels", "cannot execute DROP TABLE in a read-only transaction"),
        ("DELETE FROM labels RETURNING *", "cannot execute DELETE in a read-only transaction"),
        ("COMMIT; DROP TABLE labels", "cannot execute DROP TABLE in a read-only transaction"),
        ("SELECT * FROM missing", 'relation "missing" does not exist'),
    ],
)
def test_a_query_writes_nothing(
    make_postgres_database: Callable[[], str], statement: str, cause: str
) -> None:
    database = make_postgres_database()
    with _closed(database) as engine:
        sound().to_sql("labels", engine, index=False)
    with pytest.raises(InvalidDataset) as refused:
        Dataset.query(database, statement, "late")
    assert refused.value.reason == f"the query was not answered: {cause}"
    assert Dataset.query(database, "SELECT * FROM labels", "late").rows == 300


def test_a_query_waits_for_an_answer_no_longer_than_the_url_says(
    make_postgres_database: Callable[[], str],
) -> None:
    url = f"{make_postgres_database()}?options=-cstatement_timeout%3D50"
    with pytest.raises(InvalidDataset, match="canceling statement due to statement timeout"):
        Dataset.query(url, "SELECT 1 AS late, pg_sleep(20)::text AS nothing", "late")


@pytest.mark.parametrize("source", ["postgresql://u:S3{CRET}@host/db", "postgresql://u:S3CRET@host/db"])
def test_a_url_without_a_query_fails_the_run_without_telling_the_password(
    registry: Registry, source: str
) -> None:
    with pytest.raises(InvalidDataset, match="together with a query") as refused:
        monitor("churn", source)
    assert "CRET" not in str(refused.value)
    assert registry.health("churn") == []


@contextmanager
def _closed(database: str) -> Iterator[Engine]:
    """An engine that leaves no connection open."""
    engine = create_engine(database)
    try:
        yield engine
    finally:
        engine.dispose()


def test_a_file_without_rows_is_no_observation_and_no_failure(registry: Registry, tmp_path: Path) -> None:
    sound().head(0).to_csv(tmp_path / "labels.csv", index=False)
    assert monitor("churn", f"{tmp_path}/labels.csv") is None
    assert registry.observations("churn", metric="accuracy") == []


def test_a_missing_file_fails_the_run_and_an_older_alarm_is_heard_all_the_same(
    registry: Registry, prefect_api: str, began: datetime, tmp_path: Path
) -> None:
    _alarm(registry)
    with pytest.raises(InvalidDataset, match="No such file"):
        monitor("churn", f"{tmp_path}/{{start:%Y-%m-%d}}.csv")
    assert len(heard(prefect_api, began, events.DEGRADED)) == 1


def test_a_model_that_is_not_there_is_named(registry: Registry, tmp_path: Path) -> None:
    assert registry.models()
    with pytest.raises(ModelNotFound, match="'spam'"):
        monitor("spam", f"{tmp_path}/labels.csv")


@pytest.mark.parametrize("source", ["csv", "sql"])
def test_categories_that_come_back_as_text_are_those_of_the_training(
    registry: Registry, tmp_path: Path, source: str
) -> None:
    carriers = pd.Categorical(["UA", "AA", "B6", "DL"] * 100)
    january = make_dataset(rows=400, carrier=carriers)
    encoded = make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough")
    pipeline = fit(january, make_pipeline(encoded, LogisticRegression()))
    version = registry.register("delay", pipeline, trained_on=january)
    february = make_dataset(rows=400, seed=1, carrier=carriers)
    registry.evaluate(version.reference, february, metrics=["accuracy"])
    registry.assign(version.reference, reason="the first")
    march = make_dataset(rows=400, seed=2, carrier=carriers.astype(str)).frame
    if source == "csv":
        march.to_csv(tmp_path / "march.csv", index=False)
        seen = monitor("delay", f"{tmp_path}/march.csv")
    else:
        engine = create_engine(f"sqlite:///{tmp_path}/live.db")
        march.to_sql("labels", engine, index=False)
        engine.dispose()
        seen = monitor("delay", str(engine.url), query="SELECT * FROM labels")
    assert seen is not None
    assert seen.value == pytest.approx(
        registry.evaluate(version.reference, february, metrics=["accuracy"]).metrics["accuracy"], abs=0.1
    )


def test_the_health_card_has_a_picture_and_fits_into_an_artifact_however_long_the_stream(
    registry: Registry, tmp_path: Path
) -> None:
    days = [MIDNIGHT - timedelta(days=day) for day in range(1_200, 1, -1)]
    readings = [Reading(batch=f"{day:%Y-%m-%d}", value=0.75, rows=200, at=day) for day in days]
    registry.observe_many("churn@champion", metric="accuracy", readings=readings)
    sound().to_parquet(tmp_path / "labels.parquet")
    monitor("churn", f"{tmp_path}/labels.parquet", batch="2026-03-01")
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["model-churn-health-accuracy"]))
        newest = client.read_artifacts(artifact_filter=key, sort=ArtifactSort.CREATED_DESC)[0]
    card = str(newest.data)
    assert newest.type == "markdown"
    assert "churn@3" in card
    assert "data:image/png;base64," in card
    assert len(card) < 1_000_000


def test_first_batches_that_contradict_the_evaluation_are_announced_once(
    registry: Registry, prefect_api: str, began: datetime
) -> None:
    policy = MonitoringPolicy(first_batches=2)
    *_, seen, again = (
        record_observation("churn@champion", "accuracy", 0.97, 2_000, batch, policy=policy) for batch in "abb"
    )
    assert seen == again
    EventsWorker.drain_all()  # it sends in the background
    [told] = heard(prefect_api, began, "model-registry.reference.disagrees", least=1)
    assert told["payload"]["metric"] == "accuracy"
    assert told["payload"]["standard_errors"] > 2.576
    assert registry.health("churn") == [seen]


# What was decided is heard once, whatever crashes


def test_a_decision_is_heard_with_what_the_rollback_needs(
    registry: Registry, prefect_api: str, began: datetime, tmp_path: Path
) -> None:
    fallen().to_parquet(tmp_path / "labels.parquet")
    seen = monitor("churn", f"{tmp_path}/labels.parquet", batch="2026-03-01", policy=STRICT)
    assert seen is not None
    assert seen.status == "degraded"
    [event] = heard(prefect_api, began, events.DEGRADED)
    assert event["payload"] == {
        "model": "churn",
        "version": 3,
        "alias": "champion",
        "alarm": "accuracy #1",
        "metric": "accuracy",
        "value": seen.value,
        "floor": seen.floor,
        "rows": 300,
        "batch": "2026-03-01",
        "reason": event["payload"]["reason"],
        "target": None,
        "policy": STRICT.rollback.model_dump(mode="json"),
    }
    assert "on batch 2026-03-01 (300 rows)" in event["payload"]["reason"]
    assert registry.health("churn") == [seen]


@pytest.mark.parametrize("way", ["score", "observe"])
def test_while_the_server_is_away_the_decision_is_kept_and_the_next_run_tells_it_once(
    registry: Registry, prefect_api: str, began: datetime, way: str
) -> None:
    with away():
        seen = _alarm(registry) if way == "observe" else _score(registry)
        with pytest.raises(EventsUnavailable):
            check_champion.fn("churn")
    assert registry.health("churn") == [seen]
    assert check_champion("churn") == [seen]
    assert check_champion("churn") == []
    assert len(heard(prefect_api, began, events.DEGRADED)) == 1


def test_the_command_line_keeps_what_it_can_not_tell_and_tells_it_the_next_time(
    registry: Registry, prefect_api: str, began: datetime, policy: Path
) -> None:
    [port] = free_ports(1)
    first = _observe(f"http://127.0.0.1:{port}/api", "2026-03-01", policy)
    assert first.returncode == 0, first.stderr
    assert "the next observation or monitor run tells it" in " ".join(first.stderr.split())
    assert [row.status for row in registry.health("churn")] == ["degraded"]
    second = _observe(prefect_api, "2026-03-02", policy)
    assert "Prefect was told: churn@3 is degraded" in second.stdout + second.stderr
    assert [each["payload"]["alarm"] for each in heard(prefect_api, began, events.DEGRADED)] == [
        "accuracy #1"
    ]


COMMAND = "from registry.cli import main; main()"
BEFORE_THE_EVENT = "from registry.tasks import events; events.send = die"
BEFORE_THE_NOTE = "from registry.observations import Observations; Observations.announce = die"


@pytest.mark.parametrize("moment", [BEFORE_THE_EVENT, BEFORE_THE_NOTE], ids=["event", "note"])
def test_who_is_killed_before_the_event_or_the_note_of_it_is_made_up_for_by_the_next_run(
    registry: Registry, prefect_api: str, began: datetime, policy: Path, moment: str
) -> None:
    code = f"import os; die = lambda *_: os.kill(os.getpid(), 9); {moment}; {COMMAND}"
    killed = _observe(prefect_api, "2026-03-01", policy, code)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    [seen] = registry.health("churn")
    assert seen.status == "degraded"
    assert registry.backend.observations.announcements(seen) == []
    assert len(heard(prefect_api, began, events.DEGRADED)) == (moment == BEFORE_THE_NOTE)

    assert check_champion("churn") == [seen]
    assert len(registry.backend.observations.announcements(seen)) == 1
    assert len(heard(prefect_api, began, events.DEGRADED)) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_an_alarm_that_nobody_answered_is_told_anew_and_answered_once(
    registry: Registry, prefect_api: str, began: datetime, first: int
) -> None:
    seen = _alarm(registry)
    assert check_champion("churn") == [seen]
    assert check_champion("churn", again=timedelta(0)) == [seen]
    told = heard(prefect_api, began, events.DEGRADED)
    assert len({each["id"] for each in told}) == 2

    entry = _answer(told[first])
    assert (entry.kind, entry.replaced, entry.in_force) == ("rolled-back", 3, 2)
    assert _answer(told[1 - first]) == entry
    assert [each.kind for each in registry.history("churn")[3:]] == ["rolled-back"]
    assert check_champion("churn", again=timedelta(0)) == []


def test_an_alarm_that_moved_nothing_is_answered_too(
    registry: Registry, prefect_api: str, began: datetime
) -> None:
    registry.assign("churn@1", alias="pilot", reason="the first")
    seen = _alarm(registry, alias="pilot")
    check_champion("churn", "pilot")
    [event] = heard(prefect_api, began, events.DEGRADED)
    entry = _answer(event)
    assert (entry.kind, entry.evidence["why"]) == ("alerted", "no predecessor")
    assert registry.health("churn", alias="pilot") == [seen]
    assert check_champion("churn", "pilot", again=timedelta(0)) == []


def test_the_same_alarm_in_a_registry_that_was_made_anew_is_another_event(
    registry: Registry,
    prefect_api: str,
    began: datetime,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _alarm(registry)
    check_champion("churn")
    with promoted(tmp_path_factory, tmp_path_factory.mktemp("anew"), monkeypatch) as anew:
        _alarm(anew)
        check_champion("churn")
    assert len(heard(prefect_api, began, events.DEGRADED)) == 2


def _alarm(registry: Registry, alias: str = "champion") -> Observation:
    """Let the version in force fall, which the library records and nobody announces."""
    return registry.observe(
        f"churn@{alias}", metric="accuracy", value=0.1, rows=500, batch="2026-03-01", policy=STRICT
    )


def _score(registry: Registry) -> Observation:
    rows = Dataset.from_frame(fallen(), "late")
    batch = Batch(rows=rows, key="2026-03-01", at=MIDNIGHT, metric="accuracy")
    return registry.score("churn@champion", batch, policy=STRICT)


def _answer(event: dict[str, Any]) -> LedgerEntry:
    """Do what the trigger does about an *event*."""
    told = event["payload"]
    return rollback(
        told["model"],
        told["reason"],
        version=told["version"],
        alias=told["alias"],
        alert=told["alarm"],
        occurred=datetime.fromisoformat(event["occurred"]),
        policy=told["policy"],
    )


def away() -> Any:
    """Nothing listens where the Prefect server was."""
    [port] = free_ports(1)
    return temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"})


def _observe(api: str, batch: str, policy: Path, code: str = COMMAND) -> subprocess.CompletedProcess[str]:
    """Observe a fall by the command line, in a process of its own."""
    observe = ("observe", "churn@champion", "--metric", "accuracy", "--value", "0.1", "--rows", "500")
    return subprocess.run(  # noqa: S603, the code is the tests' own
        [sys.executable, "-c", code, *observe, "--batch", batch, "--policy", str(policy)],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": api, "DO_NOT_TRACK": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["{date}.parquet", "{start:%Y.parquet", "{}.parquet"])
def test_a_placeholder_that_nothing_fills_is_named(registry: Registry, name: str) -> None:
    with pytest.raises(InvalidDataset, match="can't be filled in"):
        monitor("churn", name)
    assert registry.health("churn") == []


def test_a_window_of_no_length_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidObservation, match="give one of some length"):
        monitor("churn", "labels.parquet", window=timedelta(0))
    assert registry.health("churn") == []
