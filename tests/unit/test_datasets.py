from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import create_engine, inspect

from registry import Dataset
from registry.exceptions import InvalidDataset
from tests.examples import make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

ENDINGS = [".parquet", ".csv", ".csv.gz"]
ROOT = Path(__file__).parents[2]


def flights() -> pd.DataFrame:
    """All that a CSV can say: numbers of every size, gaps, texts and booleans."""
    rng = np.random.default_rng(7)
    numbers = rng.normal(size=60) * 10.0 ** rng.integers(-12, 12, 60)
    return pd.DataFrame(
        {
            "distance": np.where(np.arange(60) == 5, np.nan, numbers),
            "delay": rng.integers(-2_000, 2_000, 60),
            "carrier": rng.choice(np.array(["UA", "B6", "Größe, 'quoted'", None]), 60),
            "weekend": rng.choice([True, False], 60),
            "late": rng.integers(0, 2, 60),
        }
    )


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def fingerprint(frame: pd.DataFrame, target: str = "late") -> str:
    return Dataset.from_frame(frame, target).fingerprint


# Fingerprints


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_rows_have_the_same_fingerprint_from_a_file_and_from_a_frame(
    ending: str, tmp_path: Path
) -> None:
    path = write(flights(), tmp_path / f"flights{ending}")
    assert Dataset.read(path, "late").fingerprint == fingerprint(flights())


def test_another_process_finds_the_same_fingerprint(tmp_path: Path) -> None:
    path = write(flights(), tmp_path / "flights.parquet")
    program = f"from registry import Dataset; print(Dataset.read({str(path)!r}, 'late').fingerprint)"
    answer = subprocess.run(  # noqa: S603, this test's own program
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == fingerprint(flights())


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "two rows change places": lambda rows: rows.iloc[[1, 0, *range(2, len(rows))]],
    "a row is gone": lambda rows: rows.iloc[1:],
    "the last digit of a number": lambda rows: rows.assign(
        distance=rows["distance"].where(rows.index > 0, np.nextafter(rows["distance"][0], np.inf))
    ),
    "a whole number": lambda rows: rows.assign(delay=rows["delay"] + (rows.index == 9)),
    "a text": lambda rows: rows.assign(carrier=rows["carrier"].where(rows.index != 3, "AA")),
    "a gap": lambda rows: rows.assign(carrier=rows["carrier"].where(rows["carrier"] != "UA")),
    "a boolean": lambda rows: rows.assign(weekend=rows["weekend"] ^ (rows.index == 0)),
    "a label": lambda rows: rows.assign(late=1 - rows["late"]),
    "the name of a column": lambda rows: rows.rename(columns={"delay": "lag"}),
    "the order of the columns": lambda rows: rows[["delay", "distance", *rows.columns[2:]]],
    "two columns swap their values": lambda rows: rows.assign(delay=rows["late"], late=rows["delay"]),
    "numbers as text": lambda rows: rows.assign(delay=rows["delay"].astype(str)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_of_the_rows_changes_the_fingerprint(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    assert fingerprint(change(flights())) != fingerprint(flights())


def test_the_targets_name_counts_and_its_choice_too() -> None:
    renamed = flights().rename(columns={"late": "delayed"})
    answers = {fingerprint(flights()), fingerprint(renamed, "delayed"), fingerprint(flights(), "weekend")}
    assert len(answers) == 3


def test_the_name_and_the_index_do_not_count() -> None:
    indexed = flights().set_index(pd.Index(range(100, 160), name="row"))
    assert Dataset.from_frame(indexed, "late", "january").fingerprint == fingerprint(flights())


TIMES = pd.Series(pd.to_datetime(["2013-01-01 10:00", "9999-12-31 00:00", "NaT"]))
STORAGES: dict[str, list[Any]] = {
    "whole numbers": [
        pd.Series([-1, 2, 3], dtype=kind)
        for kind in ("int8", "int32", "int64", "Int64", "int64[pyarrow]", object)
    ],
    "unsigned numbers": [pd.Series([1, 2, 3], dtype=kind) for kind in ("uint8", "uint64", "int64", "UInt16")],
    "great numbers": [pd.Series([1, 2**64 - 1, 3], dtype=kind) for kind in ("uint64", "UInt64")],
    "numbers": [pd.Series([0.5, None, 2], dtype=kind) for kind in ("float32", "float64", "Float64", object)],
    "booleans": [pd.Series([True, None, False], dtype=kind) for kind in ("boolean", object)],
    "texts": [pd.Series(["a", None, "b"], dtype=kind) for kind in ("str", "string", object)],
    "gaps in text": [pd.Series(["a", gap, "b"], dtype=object) for gap in (None, np.nan)],
    "times": [TIMES.dt.as_unit("s"), TIMES.dt.as_unit("ms"), TIMES.dt.as_unit("us")],
    "zeros": [pd.Series([0.0, 1, 2]), pd.Series([-0.0, 1, 2])],
    "lists": [pd.Series([[1], [2], []]), pd.Series([[1], [2], []])],
}


@pytest.mark.parametrize("columns", STORAGES.values(), ids=STORAGES)
def test_how_values_are_stored_does_not_count(columns: list[pd.Series[Any]]) -> None:
    assert len({fingerprint(pd.DataFrame({"x": column, "late": [0, 1, 0]})) for column in columns}) == 1


def test_equal_clocks_in_other_zones_and_equal_moments_on_other_clocks_are_other_rows() -> None:
    clock = pd.Series(pd.to_datetime(["2013-01-01 10:00", "2013-01-02 10:00"]))
    berlin = clock.dt.tz_localize("Europe/Berlin")
    columns = [clock, clock.dt.tz_localize("UTC"), berlin, berlin.dt.tz_convert("UTC")]
    columns.append(clock.dt.as_unit("ns") + pd.Timedelta(1, "ns"))
    assert len({fingerprint(pd.DataFrame({"at": column, "late": [0, 1]})) for column in columns}) == 5


def test_times_and_categories_come_back_from_parquet(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "at": pd.to_datetime(["2013-01-01 10:00", "NaT"]).tz_localize("Europe/Berlin"),
            "origin": pd.Categorical(["JFK", "EWR"], ["EWR", "JFK", "LGA"]),
            "late": [0, 1],
        }
    )
    path = write(rows, tmp_path / "flights.parquet")
    assert Dataset.read(path, "late").fingerprint == fingerprint(rows)


@pytest.mark.parametrize("value", ["\ud800", 2**70])
def test_what_no_file_could_hold_has_no_fingerprint(value: object) -> None:
    dataset = make_dataset(rows=2, odd=pd.Series([value, value], dtype=object))
    with pytest.raises(InvalidDataset, match="no file could"):
        _ = dataset.fingerprint


# What a dataset must be

BAD_FRAMES: dict[str, tuple[pd.DataFrame, str]] = {
    "it has no rows": (flights().iloc[:0], "late"),
    "no target column 'lat'; it has distance, delay": (flights(), "lat"),
    "no column besides the target": (flights()[["late"]], "late"),
    "1 rows have no 'distance'": (flights(), "distance"),
    "rows have no 'carrier'": (flights(), "carrier"),
    "'ratio' is infinite": (flights().assign(ratio=[np.inf, *[0.0] * 59]), "ratio"),
    "two columns have the same name": (flights().set_axis(["a", "a", "b", "c", "late"], axis=1), "late"),
    "two columns have the same": (flights().set_axis([1, "1", "b", "c", "late"], axis=1), "late"),
    "named by texts or whole numbers": (pd.concat({"x": flights()}, axis=1), "late"),
    "by texts or whole numbers": (flights().set_axis([0.5, 1, 2, 3, "late"], axis=1), "late"),
}


@pytest.mark.parametrize(("message", "frame", "target"), [(key, *value) for key, value in BAD_FRAMES.items()])
def test_rows_that_can_not_be_used_are_refused_with_the_reason(
    message: str, frame: pd.DataFrame, target: str
) -> None:
    with pytest.raises(InvalidDataset, match=message):
        Dataset.from_frame(frame, target)


def test_later_changes_of_the_frame_do_not_reach_the_dataset() -> None:
    frame = flights()
    dataset = Dataset.from_frame(frame, "late")
    frame.loc[0, "delay"] = 9_999
    assert dataset.fingerprint == fingerprint(flights())


def test_features_are_the_rows_without_the_target() -> None:
    assert list(Dataset.from_frame(flights(), "late").features) == ["distance", "delay", "carrier", "weekend"]


LABELS: dict[str, tuple[Any, str]] = {
    "str": (pd.Series(["a", "b"]), "O"),
    "object": (pd.Series(["a", "b"], dtype=object), "O"),
    "category": (pd.Series(["a", "b"], dtype="category"), "O"),
    "bool": (pd.Series([True, False]), "b"),
    "boolean": (pd.Series([True, False], dtype="boolean"), "b"),
    "Int64": (pd.Series([1, 2], dtype="Int64"), "i"),
    "float32": (pd.Series([1.5, 2], dtype="float32"), "f"),
}


@pytest.mark.parametrize(("column", "kind"), LABELS.values(), ids=LABELS)
def test_labels_are_plain_numpy_values(column: pd.Series[Any], kind: str) -> None:
    labels = Dataset.from_frame(pd.DataFrame({"x": [0, 1], "y": column}), "y").labels
    assert isinstance(labels, np.ndarray)
    assert labels.dtype.kind == kind
    assert labels.tolist() == column.tolist()


def test_the_record_says_what_the_rows_were() -> None:
    record = Dataset.from_frame(flights(), "late", "january").record()
    assert (record.name, record.target, record.rows, record.source) == ("january", "late", 60, None)
    assert [column["kind"] for column in record.columns] == [
        "number",
        "integer",
        "text",
        "boolean",
        "integer",
    ]


# Reading


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_is_called_by_its_name_without_the_ending(ending: str, tmp_path: Path) -> None:
    path = write(flights(), tmp_path / f"2013.02{ending}")
    dataset = Dataset.read(path, "late")
    assert (dataset.name, dataset.source) == ("2013.02", str(path))
    assert Dataset.read(str(path), "late", name="holdout").name == "holdout"


def test_a_column_of_a_long_csv_has_one_type(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text("code,late\n" + "1,0\n" * 600_000 + "x,1\n")
    assert set(Dataset.read(path, "late").frame["code"]) == {"1", "x"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_file_or_a_folder_is_refused(ending: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="No such file"):
        Dataset.read(tmp_path / f"missing{ending}", "late")
    (tmp_path / f"folder{ending}").mkdir()
    with pytest.raises(InvalidDataset, match="Is a directory"):
        Dataset.read(tmp_path / f"folder{ending}", "late")


@pytest.mark.parametrize("name", ["flights", "flights.xlsx", "flights.parquet.bak", "flights.CSV"])
def test_an_unknown_ending_is_refused_with_those_that_are_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"must end in \.parquet, \.csv, \.csv\.gz"):
        Dataset.read(write(flights(), tmp_path / "flights.csv").rename(tmp_path / name), "late")


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_empty_file_is_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"empty{ending}"
    path.touch()
    with pytest.raises(InvalidDataset, match="can't be read"):
        Dataset.read(path, "late")


@pytest.mark.parametrize("ending", [".parquet", ".csv.gz"])
def test_a_truncated_file_is_refused(ending: str, tmp_path: Path) -> None:
    path = write(flights(), tmp_path / f"flights{ending}")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InvalidDataset, match="can't be read"):
        Dataset.read(path, "late")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_file_gives_rows_or_a_refusal_and_nothing_else(ending: str, tmp_path: Path) -> None:
    path, rng = write(flights(), tmp_path / f"flights{ending}"), np.random.default_rng(3)
    whole, refused = path.read_bytes(), 0
    for _ in range(120):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            Dataset.read(path, "late")
        except InvalidDataset:
            refused += 1
    assert refused > 10


# Slices


def test_each_value_of_a_column_is_a_slice() -> None:
    slices = make_dataset(rows=4, origin=["JFK", "EWR", "JFK", None]).slices("origin")
    assert {name: mask.tolist() for name, mask in slices.items()} == {
        "origin=JFK": [True, False, True, False],
        "origin=EWR": [False, True, False, False],
    }


COLUMNS: dict[str, tuple[Any, set[str]]] = {
    "booleans": ([True, False, True], {"x=True", "x=False"}),
    "nullable numbers": (pd.array([1, None, 2], dtype="Int64"), {"x=1", "x=2"}),
    "nullable booleans": (pd.array([True, None, True], dtype="boolean"), {"x=True"}),
    "categories": (pd.Categorical(["a", None, "b"], ["b", "a", "never"]), {"x=a", "x=b"}),
    "ordered categories": (pd.Categorical(["a", "b", "a"], ["b", "a"], ordered=True), {"x=a", "x=b"}),
    "texts and numbers": (pd.Series([1, "a", None], dtype=object), {"x=1", "x=a"}),
    "times": (
        pd.to_datetime(["2013-01-01", "2013-01-02", "NaT"]),
        {"x=2013-01-01 00:00:00", "x=2013-01-02 00:00:00"},
    ),
}


@pytest.mark.parametrize(("column", "names"), COLUMNS.values(), ids=COLUMNS)
def test_slices_of_any_column_are_masks_over_its_rows(column: Any, names: set[str]) -> None:
    slices = make_dataset(rows=3, x=column).slices("x")
    assert set(slices) == names
    assert all(mask.dtype == bool for mask in slices.values())
    assert sum(mask.sum() for mask in slices.values()) == pd.Series(column).notna().sum()


def test_slicing_by_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidDataset, match="no column 'origin' to slice by"):
        make_dataset().slices("origin")


def test_values_that_are_written_alike_are_one_slice() -> None:
    mixed = make_dataset(rows=4, gate=np.array([1, "1", 1, "2"], dtype=object))
    assert {name: int(mask.sum()) for name, mask in mixed.slices("gate").items()} == {
        "gate=1": 3,
        "gate=2": 1,
    }


# Queries


@pytest.fixture
def live(tmp_path: Path) -> str:
    """The URL of a database that has the flights in its table ``labels``."""
    engine = create_engine(f"sqlite:///{tmp_path}/live.db")
    flights().to_sql("labels", engine, index=False)
    engine.dispose()
    return str(engine.url)


def test_rows_are_what_a_database_answers(live: str) -> None:
    dataset = Dataset.query(live, "SELECT * FROM labels WHERE late = :late", "late", parameters={"late": 1})
    assert dataset.rows == flights()["late"].sum()
    assert (dataset.name, dataset.source) == (f"{live} late=1", live)
    assert Dataset.query(live, "SELECT * FROM labels", "late", name="all").name == "all"


UNANSWERED = {
    "SELEC 1": 'near "SELEC": syntax error',
    "SELECT * FROM missing": "no such table: missing",
    "SELECT * FROM labels WHERE late = :late": "A value is required for bind parameter 'late'",
    "SELECT 1; SELECT 2": "You can only execute one statement at a time.",
    "SAVEPOINT here": "This result object does not return rows. It has been closed automatically.",
    "DROP TABLE labels": "attempt to write a readonly database",
    "DELETE FROM labels RETURNING late, delay": "attempt to write a readonly database",
    "CREATE TABLE other (late INTEGER)": "attempt to write a readonly database",
}


@pytest.mark.parametrize(("statement", "cause"), UNANSWERED.items(), ids=list(UNANSWERED))
def test_a_query_that_is_not_answered_is_refused_with_the_cause_in_a_line(
    live: str, statement: str, cause: str
) -> None:
    with pytest.raises(InvalidDataset) as refused:
        Dataset.query(live, statement, "late")
    assert (refused.value.dataset, refused.value.reason) == (live, f"the query was not answered: {cause}")
    engine = create_engine(live)
    assert inspect(engine).get_table_names() == ["labels"]
    engine.dispose()
    assert Dataset.query(live, "SELECT * FROM labels", "late").rows == 60


WITH_A_SECRET = [
    "postgresql://u:S3CRET@127.0.0.1:1/db",
    "postgresql://127.0.0.1:1/db?user=u&password=S3CRET",
    "postgresql://u@127.0.0.1:1/db?sslpassword=S3CRET",
    "postgresql://u:x@S3CRET@127.0.0.1:1/db",
    "postgresql://u:S3/CRET@127.0.0.1:1/db",
    "postgresql://u:S3CRET@127.0.0.1:port/db",
    "postgresql:/u:S3CRET@127.0.0.1:1/db",
    "u:S3CRET@127.0.0.1:1/db",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DSQL%3BUID%3Du%3BPWD%3DS3CRET",
    "nonsense+driver://u:S3CRET@127.0.0.1/db?token=S3CRET",
    "DRIVER=SQL;UID=u;PWD=S3CRET",
    "host=127.0.0.1 user=u password=S3CRET",
    "sqlite:////nowhere/live.db?password=S3CRET",
]


@pytest.mark.parametrize("url", WITH_A_SECRET)
def test_no_error_of_a_query_shows_the_password(url: str) -> None:
    with pytest.raises(InvalidDataset) as refused:
        Dataset.query(url, "SELECT 1", "late")
    assert_silent(refused.value)


@pytest.mark.parametrize("url", ["u:S3CRET@127.0.0.1:port/db", "u@127.0.0.1/live.csv?password=S3CRET"])
@pytest.mark.parametrize("scheme", ["postgresql://", "postgresql+psycopg:/", "https://"])
def test_a_url_that_is_read_as_a_file_is_refused_without_its_password(scheme: str, url: str) -> None:
    with pytest.raises(InvalidDataset, match="give a database's URL together with a query") as refused:
        Dataset.read(scheme + url, "late")
    assert_silent(refused.value)


def assert_silent(error: InvalidDataset) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert [secret for secret in ("S3", "CRET") if secret in shown] == []
    assert "\n" not in str(error)


def test_the_name_of_a_queried_dataset_has_no_secrets(live: str) -> None:
    dataset = Dataset.query(f"{live}?check_same_thread=false", "SELECT * FROM labels", "late")
    assert (dataset.name, dataset.source) == (live, live)
