"""What no database could keep is refused at every door, by the same words on both, and nothing is written."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sqlalchemy import func, literal, select, union_all

from registry import Alert, Dataset, Floor, MonitoringPolicy, PromotionPolicy, Ranking, Registry
from registry.exceptions import (
    AliasConflict,
    InvalidObservation,
    InvalidPolicy,
    InvalidValue,
    RegistryError,
)
from registry.limits import LARGEST_PARAMETERS, LONGEST
from registry.suspicion import Contrast, Reading
from registry.tables import Row
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry.policy import PromotionDecision
    from tests.servers.postgres import PostgresServer

    Door = Callable[[Registry, Any], Any]
    Twins = tuple[Registry, Registry]

POLICY = PromotionPolicy(checks=[Floor("accuracy", 0.0)], min_rows=1, approval="manual")
TRAINING = make_dataset(rows=60, name="january")
HOLDOUT = make_dataset(rows=60, seed=2, name="february")
LONG_AGO = datetime(2026, 3, 3, 12, tzinfo=UTC)
NFC, NFD = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"
TURNS = "\N{RIGHT-TO-LEFT MARK}"


@contextmanager
def twins_in(folder: Path, server: PostgresServer) -> Iterator[Twins]:
    """Two registries that know the same, one on each database."""
    name = f"hygiene_{uuid4().hex}"
    server.create(name)
    with ExitStack() as stack:
        stack.callback(server.drop, name)
        urls = f"sqlite:///{folder}/registry.db", server.url(name)
        twins = [Registry(url, artifacts=f"{folder}/{n}", actor="ada") for n, url in enumerate(urls)]
        for registry in twins:
            stack.callback(registry.close)
            _furnish(registry)
        yield twins[0], twins[1]


def _furnish(registry: Registry) -> None:
    for estimator in (DummyClassifier(), None):
        version = registry.register("churn", fit(TRAINING, estimator), trained_on=TRAINING)
        registry.evaluate(version.reference, HOLDOUT, metrics=["accuracy"])
        registry.assign(version.reference, reason="a start")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Twins]:
    with twins_in(tmp_path_factory.mktemp("twins"), postgres_server) as registries:
        yield registries


def contents(registry: Registry) -> dict[str, int]:
    """How many rows each table has."""
    tables = Row.metadata.sorted_tables
    counts = (select(literal(table.name), func.count()).select_from(table) for table in tables)
    with registry.backend.rows.engine.connect() as connection:
        return {name: rows for name, rows in connection.execute(union_all(*counts))}  # noqa: C416, tells mypy


def refusals(twins: Twins, door: Door, poison: Any) -> set[str]:
    """How each of the two refuses; nothing may have been written before."""
    said = set()
    for registry in twins:
        before = contents(registry)
        with pytest.raises(RegistryError) as refusal:
            door(registry, poison)
        assert contents(registry) == before
        assert len(str(refusal.value)) < 1_000
        said.add(f"{type(refusal.value).__name__}: {refusal.value}")
    return said


@cache
def decision(registry: Registry) -> PromotionDecision:
    return registry.decide("churn@1", HOLDOUT, POLICY)


def register(registry: Registry, **fields: Any) -> Any:
    data = fields.pop("trained_on", TRAINING)
    model = fields.pop("model", "churn")
    return registry.register(model, fit(data, DummyClassifier(strategy="prior")), trained_on=data, **fields)


def observe(registry: Registry, **fields: Any) -> Any:
    usual: dict[str, Any] = {"metric": "accuracy", "value": 0.8, "rows": 50, "batch": "1", "at": LONG_AGO}
    return registry.observe("churn@champion", **usual | fields)


def contrasted(registry: Registry, contrast: Contrast) -> Any:
    seen = Reading(batch="1", value=0.8, rows=50, at=LONG_AGO, contrast=contrast)
    return registry.observe_many("churn@champion", metric="accuracy", readings=[seen])


def answer(registry: Registry, **fields: Any) -> Any:
    return registry.answer(Alert(**{"model": "churn", "reason": "slow", "key": "1"} | fields))


def sliced_by(registry: Registry, value: str) -> Any:
    rows = HOLDOUT.frame.assign(group=pd.Series([value, "b"] * 30, dtype=object))
    data = Dataset.from_frame(rows, HOLDOUT.target)
    return registry.evaluate("churn@1", data, metrics=["accuracy"], slices=["group"])


def frame_with(**renamed: str) -> pd.DataFrame:
    names = [renamed.get(str(name), str(name)) for name in TRAINING.frame]
    plain: Any = object  # pandas' own texts hold no lone surrogates
    return TRAINING.frame.set_axis(pd.Index(names, dtype=plain), axis="columns")


# Texts

REASONS: dict[str, Door] = {
    "assign": lambda registry, text: registry.assign("churn@1", reason=text),
    "clear": lambda registry, text: registry.clear("churn", reason=text),
    "roll back": lambda registry, text: registry.roll_back("churn", reason=text),
    "promote": lambda registry, text: registry.promote(decision(registry), because=text),
    "withhold": lambda registry, text: registry.withhold(decision(registry), reason=text),
    "approve": lambda registry, text: registry.approve(decision(registry), by="bob", comment=text),
    "approve by": lambda registry, text: registry.approve(decision(registry), by=text, comment="fine"),
    "decline": lambda registry, text: registry.decline(decision(registry), by="bob", comment=text),
    "decline by": lambda registry, text: registry.decline(decision(registry), by=text, comment="fine"),
    "alert": lambda registry, text: answer(registry, reason=text),
    "trust": lambda registry, text: registry.trust("builtins.complex", reason=text),
    "actor": lambda registry, text: Registry(
        f"sqlite:///{registry.backend.artifacts.location}.db", actor=text
    ).assign("churn@1", reason="a reason"),
}
NO_TEXTS = {"NUL": "a\0b", "surrogate": "a\ud800", "long": "x" * 10_001, "blank": " \n"}


@pytest.mark.parametrize("poison", NO_TEXTS)
@pytest.mark.parametrize("door", REASONS)
def test_a_text_that_some_database_could_not_keep_is_refused(twins: Twins, door: str, poison: str) -> None:
    if (door, poison) == ("promote", "blank"):
        pytest.skip("a promotion needs no reason besides the policy's")
    [said] = refusals(twins, REASONS[door], NO_TEXTS[poison])
    assert said.startswith(("InvalidName", "ReasonMissing"))


LINES: dict[str, Door] = {
    "key of a registration": lambda registry, line: register(registry, key=line),
    "key of a rollback": lambda registry, line: registry.roll_back("churn", reason="bad", key=line),
    "key of an alert": lambda registry, line: answer(registry, key=line),
    "batch": lambda registry, line: observe(registry, batch=line),
}
NO_LINES = {
    "empty": "",
    "NUL": "a\0b",
    "surrogate": "a\ud800",
    "newline": "a\nb",
    "a mark that turns the writing": f"a{TURNS}b",
    "long": "x" * 300,
}


@pytest.mark.parametrize("poison", NO_LINES)
@pytest.mark.parametrize("door", LINES)
def test_a_key_is_one_line_that_people_can_read(twins: Twins, door: str, poison: str) -> None:
    [said] = refusals(twins, LINES[door], NO_LINES[poison])
    assert "use 1 to 256 printable characters" in said or "with 1 to 256 printable characters" in said


NO_NAMES = [
    *("", " ", ".", "..", "a/b", "a\\b", "%2e%2e", "x" * 300, NFC, NFD, f"a{TURNS}", "-x"),
    *("\N{PILE OF POO}", "a\n", "a\0", "\ud800", "../a", "churn@1@2"),
]
NAMES: dict[str, Door] = {
    "model": lambda registry, name: register(registry, model=name),
    "alias": lambda registry, name: registry.assign("churn@1", alias=name, reason="a reason"),
    "alias of a decision": lambda registry, name: registry.decide("churn@1", HOLDOUT, POLICY, alias=name),
    "alias of a written decision": lambda registry, name: registry.decline(
        decision(registry).model_copy(update={"alias": name}), by="bob", comment="no"
    ),
    "alias of an alert": lambda registry, name: answer(registry, alias=name),
    "alias of a rollback": lambda registry, name: registry.roll_back("churn", alias=name, reason="bad"),
    "alias to clear": lambda registry, name: registry.clear("churn", alias=name, reason="a reason"),
    "alias that is watched": lambda registry, name: registry.observe(
        "churn@1", metric="accuracy", value=0.8, rows=50, batch="1", alias=name
    ),
    "reference": lambda registry, name: registry.resolve(f"{name}@champion"),
    "alias in a reference": lambda registry, name: registry.load(f"churn@{name}"),
    "history": lambda registry, name: registry.history("churn", alias=name),
    "alias that is searched for": lambda registry, name: registry.search(alias=name),
    "versions": lambda registry, name: registry.versions(name),
    "health": lambda registry, name: registry.health(name),
    "type": lambda registry, name: registry.trust(name, reason="a reason"),
    "metric that is watched": lambda registry, name: observe(registry, metric=name),
    "metric": lambda registry, name: registry.evaluate("churn@1", HOLDOUT, metrics=[name]),
    "slice": lambda registry, name: registry.evaluate("churn@1", HOLDOUT, metrics=[], slices=[name]),
}


@pytest.mark.parametrize("door", NAMES)
def test_names_follow_one_pattern(twins: Twins, door: str) -> None:
    for name in NO_NAMES:
        assert len(refusals(twins, NAMES[door], name)) == 1, name


NO_KEYS = {**NO_LINES, "blank": "  ", "long": "x" * 251}
TAGS: dict[str, Door] = {
    "key of a version's": lambda registry, key: registry.tag("churn@1", {"team": "risk", key: "v"}),
    "key of a model's": lambda registry, key: registry.tag("churn", {"team": "risk", key: "v"}),
    "key that is searched for": lambda registry, key: registry.search(tags={key: "v"}),
}


@pytest.mark.parametrize("poison", NO_KEYS)
@pytest.mark.parametrize("door", TAGS)
def test_a_tag_has_a_key_that_people_can_read(twins: Twins, door: str, poison: str) -> None:
    [said] = refusals(twins, TAGS[door], NO_KEYS[poison])
    assert "is not a valid tag: use 1 to 250 printable characters" in said


VALUES: dict[str, Door] = {
    "of a version": lambda registry, value: registry.tag("churn@1", {"team": "risk", "k": value}),
    "of a model": lambda registry, value: registry.tag("churn", {"team": "risk", "k": value}),
    "that is searched for": lambda registry, value: registry.search(tags={"k": value}),
}


@pytest.mark.parametrize("poison", ["a\0b", "a\ud800", "x" * 100_001], ids=["NUL", "surrogate", "long"])
@pytest.mark.parametrize("door", VALUES)
def test_a_tag_has_a_value_that_every_database_keeps(twins: Twins, door: str, poison: str) -> None:
    [said] = refusals(twins, VALUES[door], poison)
    assert "is not a valid tag value: " in said


def test_nobody_searches_for_more_tags_than_there_can_be(twins: Twins) -> None:
    too_many = {str(number): "" for number in range(100_000)}
    [said] = refusals(twins, lambda registry, tags: registry.search(tags=tags), too_many)
    assert said == "InvalidValue: tags 100000 can't be written down: search for at most 100"


UNREADABLE: dict[str, Door] = {
    "aliases": lambda registry, name: registry.aliases(name),
    "dataset": lambda registry, name: registry.dataset(name),
    "distrust": lambda registry, name: registry.distrust(name),
    "observations": lambda registry, name: registry.observations("churn", metric=name),
    "search by model": lambda registry, name: registry.search(model=name),
    "search by metric": lambda registry, name: registry.search(ranking=Ranking(name, "0" * 64)),
    "search by slice": lambda registry, name: registry.search(ranking=Ranking("r2", "0" * 64, slice=name)),
    "search by dataset": lambda registry, name: registry.search(ranking=Ranking("r2", name)),
    "tags": lambda registry, name: registry.tags(name),
    "untag": lambda registry, name: registry.untag("churn@1", name),
    "health": lambda registry, name: registry.health("churn", alias=name),
}


@pytest.mark.parametrize("poison", ["a\0b", "a\ud800"])
@pytest.mark.parametrize("door", UNREADABLE)
def test_what_no_database_can_look_for_is_refused(twins: Twins, door: str, poison: str) -> None:
    [said] = refusals(twins, UNREADABLE[door], poison)
    assert (
        said == f"InvalidName: {poison!r} is not a valid text: leave out NUL characters and lone surrogates"
    )


DATA: dict[str, tuple[Door, str]] = {
    "name": (lambda _, text: Dataset.from_frame(frame_with(), TRAINING.target, text), "dataset name"),
    "source": (lambda _, text: Dataset.read(f"{text}.csv", "y"), "source"),
    "column": (lambda _, text: Dataset.from_frame(frame_with(distance=text), TRAINING.target), "column"),
    "target": (lambda _, text: Dataset.from_frame(frame_with(late=text), text), "target"),
    "slice": (sliced_by, "slice"),
}


@pytest.mark.parametrize("poison", ["a\0b", "a\ud800", "x" * 4_001], ids=["NUL", "surrogate", "long"])
@pytest.mark.parametrize("door", DATA)
def test_rows_are_called_by_texts_that_can_be_kept(twins: Twins, door: str, poison: str) -> None:
    enter, kind = DATA[door]
    [said] = refusals(twins, enter, poison)
    assert f"is not a valid {kind}: " in said or "it holds what no file could" in said


# Parameters


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


NO_PARAMETERS: dict[str, tuple[dict[Any, Any], str]] = {
    "NaN": ({"C": float("nan")}, "not JSON compliant"),
    "infinity": ({"C": -np.inf}, "not JSON compliant"),
    "NUL": ({"C": "a\0b"}, "leave out NUL"),
    "NUL in a key": ({"a\0b": 1}, "leave out NUL"),
    "surrogate": ({"C": ["\ud800"]}, "leave out NUL characters and lone surrogates"),
    "50 MB of text": ({"C": "x" * 50_000_000}, "more than 65,536 bytes of JSON"),
    "50 MB of numbers": ({"C": [0.125] * 9_000_000}, "more than 65,536 bytes of JSON"),
    "100,000 keys": ({str(key): 1 for key in range(100_000)}, "more than 65,536 bytes of JSON"),
    "10,000 levels": ({"C": nested(10_000)}, "more than 32 levels deep"),
    "33 levels": ({"C": nested(33)}, "more than 32 levels deep"),
    "65 bits": ({"C": 2**63}, "9223372036854775808 can't be written down: it has more than 64 bits"),
    "5,000 digits": ({"C": 10**5_000}, "4300 digits"),
    "a key twice": ({1: "a", "1": "b"}, "two keys of a dict are the same"),
    "bytes": ({"C": b"1" * 1_000_000}, "pass plain numbers, text, lists and dicts"),
}


@pytest.mark.parametrize("poison", NO_PARAMETERS)
def test_parameters_are_plain_and_few(twins: Twins, poison: str) -> None:
    params, why = NO_PARAMETERS[poison]
    [said] = refusals(twins, lambda registry, params: register(registry, params=params), params)
    assert said.startswith("InvalidParameters: the parameters can't be written down: ")
    assert why in said


# Numbers and times

NUMBERS: dict[str, tuple[Door, Any, type[RegistryError]]] = {
    **{
        f"value {value}": (lambda registry, value: observe(registry, value=value), value, InvalidObservation)
        for value in (float("nan"), float("inf"), -np.inf, 1.7e308)
    },
    "value of 5,000 digits": (
        lambda registry, value: observe(registry, value=value),
        10**5_000,
        InvalidObservation,
    ),
    **{
        f"{rows} rows": (lambda registry, rows: observe(registry, rows=rows), rows, InvalidObservation)
        for rows in (0, -1, 1.5, float("nan"), float("inf"), 2**70)
    },
    **{
        f"contrast {contrast}": (contrasted, contrast, InvalidObservation)
        for contrast in (
            Contrast(target=2**40, champion_only=1, target_only=1),
            Contrast(target=1, champion_only=2**70, target_only=1),
            Contrast(target=1, champion_only=-1, target_only=1),
            Contrast(target=1, champion_only=30, target_only=30),
            Contrast(target=1, champion_only=1, target_only=1, value=float("nan")),
        )
    },
    **{
        f"version {number}": (
            lambda registry, number: answer(registry, version=number),
            number,
            RegistryError,
        )
        for number in (0, -1, 2**31, 2**70)
    },
    "version that is to come down": (
        lambda registry, number: registry.roll_back("churn", reason="bad", bad=number),
        2**70,
        AliasConflict,
    ),
    **{
        f"the last {most}": (
            lambda registry, most: registry.observations("churn", metric="accuracy", most=most),
            most,
            InvalidValue,
        )
        for most in (-1, 0, 2**70)
    },
    **{
        f"{most} on a page": (lambda registry, most: registry.search(most=most), most, InvalidValue)
        for most in (-1, 0, 2**70)
    },
    **{
        f"above {value:.0e}": (
            lambda registry, value: registry.search(ranking=Ranking("r2", "0" * 64, above=value)),
            value,
            InvalidValue,
        )
        for value in (float("nan"), float("inf"), -np.inf, 2**70)
    },
    "confidence": (
        lambda registry, confidence: registry.compare(
            "churn@1", "churn@2", HOLDOUT, metrics=["accuracy"], confidence=confidence
        ),
        float("nan"),
        InvalidPolicy,
    ),
    "evidence": (
        lambda registry, alpha: registry.decline(
            decision(registry).model_copy(update={"alpha": alpha}), by="bob", comment="no"
        ),
        float("nan"),
        InvalidValue,
    ),
}


@pytest.mark.parametrize("door", NUMBERS)
def test_numbers_are_finite_and_fit(twins: Twins, door: str) -> None:
    enter, poison, error = NUMBERS[door]
    assert len(refusals(twins, enter, poison)) == 1
    with pytest.raises(error):
        enter(twins[0], poison)


TIMES: dict[str, Door] = {
    "resolve": lambda registry, at: registry.resolve("churn@champion", at=at),
    "observe": lambda registry, at: observe(registry, at=at),
    "alert": lambda registry, at: answer(registry, at=at),
    "search since": lambda registry, at: registry.search(since=at),
    "search until": lambda registry, at: registry.search(until=at),
}
NO_TIMES = {
    "without a zone": datetime(2026, 3, 3, 12),  # noqa: DTZ001, that is what is tested
    "the year 10,000": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
    "before the year 1": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))),
}


@pytest.mark.parametrize("poison", NO_TIMES)
@pytest.mark.parametrize("door", TIMES)
def test_a_time_has_a_zone_and_a_year(twins: Twins, door: str, poison: str) -> None:
    [said] = refusals(twins, TIMES[door], NO_TIMES[poison])
    assert said.startswith(("InvalidValue: time ", "InvalidObservation: batch '1' can't be recorded: "))


# What passes

KEPT_TEXTS = [
    *(NFC, NFD, f"a{TURNS}b", "CON", "%2e%2e", "a\r\n\tb", "\N{PILE OF POO}\N{ZERO WIDTH JOINER}", "'; --"),
    *(" a ", "\x1b[1m", "\N{BELL}", "\uffff", "\U0010ffff", "x" * 5_000, "\N{PILE OF POO}" * 5_000),
]
KEPT_LINES = [NFC, NFD, "CON", "%2e%2e", "../a", "\N{PILE OF POO}" * 256, "'; --", "50%", "a b"]
KEPT_PARAMETERS = {
    "numbers": [1.7976931348623157e308, 5e-324, -0.0, 0.1 + 0.2, 2**63 - 1, -(2**63), True, None],
    NFC: NFD,
    NFD: {"": [], " ": {}, 'a\r\nb\t"\\': "\N{PILE OF POO}"},
    "deep": nested(29),
    "long": "x" * 60_000,
}


@pytest.fixture
def fresh_twins(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Twins]:
    with twins_in(tmp_path, postgres_server) as registries:
        yield registries


def test_what_passes_is_read_back_equal_on_both(fresh_twins: Twins) -> None:
    kept = [_kept(registry) for registry in fresh_twins]
    assert kept[0] == kept[1] == (KEPT_TEXTS, KEPT_TEXTS, KEPT_LINES, KEPT_PARAMETERS)
    assert repr(kept[0][3]["numbers"]) == repr(kept[1][3]["numbers"]) == repr(KEPT_PARAMETERS["numbers"])
    for registry in fresh_twins:
        assert not [finding for finding in registry.verify() if finding.problem]


def _kept(registry: Registry) -> tuple[list[str], list[str], list[str], dict[str, Any]]:
    for number, text in enumerate(KEPT_TEXTS):
        registry.assign(f"churn@{1 + number % 2}", alias="kept", reason=text)
    names = [text for text in KEPT_TEXTS if len(text) <= LONGEST["dataset name"]]
    data = [Dataset.from_frame(frame_with(), TRAINING.target, text) for text in names]
    assert [each.record().name for each in data] == names
    for line in KEPT_LINES:
        observe(registry, batch=line, policy=MonitoringPolicy())
        assert register(registry, key=line).number == 1
    seen = registry.observations("churn", metric="accuracy")
    version = registry.register(
        "kept", fit(TRAINING, DummyClassifier()), trained_on=TRAINING, params=KEPT_PARAMETERS
    )
    reasons = [entry.reason for entry in registry.history("churn", alias="kept")]
    again = [each.reason for each in Registry.of(registry.backend).history("churn", alias="kept")]
    return reasons, again, [row.batch for row in seen], registry.resolve(version.reference).params


def test_the_parameters_have_room_for_what_is_promised(twins: Twins) -> None:
    fits = {"a": "x" * (LARGEST_PARAMETERS - len('{"a":""}'))}
    longest = {"a": "x" * LONGEST["value"]}
    assert len(refusals(twins, lambda registry, params: register(registry, params=params), longest)) == 1
    for registry in twins:
        model = registry.register("roomy", fit(TRAINING, DummyClassifier()), trained_on=TRAINING, params=fits)
        assert registry.resolve(model.reference).params == fits


# Clocks


def at(registry: Registry, moment: datetime) -> Registry:
    """The same registry under another clock."""
    rows = replace(registry.backend.rows, clock=lambda: moment)
    return Registry.of(replace(registry.backend, rows=rows))


def test_a_clock_that_is_set_back_or_forward_changes_no_order(fresh_twins: Twins) -> None:
    start = datetime.now(UTC)
    for registry in fresh_twins:
        clocks = [start + timedelta(hours=hours) for hours in (1, 0, 24 * 365, -1, 2)]
        for number, moment in enumerate(clocks):
            moved = at(registry, moment)
            data = make_dataset(rows=60, seed=10 + number, name=f"{number}")
            version = register(moved, model="clocks", trained_on=data)
            moved.evaluate("clocks@1", make_dataset(rows=60, seed=900 + number), metrics=["accuracy"])
            moved.assign(version.reference, reason=f"{number}")
            assert moved.resolve("clocks@champion") == version
        _require_order(registry, len(clocks))
        assert registry.resolve("clocks@champion", at=start + timedelta(days=800)).number == len(clocks)
        assert not [finding for finding in registry.verify() if finding.problem]


def _require_order(registry: Registry, count: int) -> None:
    history, versions = registry.history("clocks"), registry.versions("clocks")
    evaluated = registry.evaluations("clocks@1")
    assert [entry.reason for entry in history] == [str(number) for number in range(count)]
    assert [version.number for version in versions] == list(range(1, count + 1))
    for times in (
        [entry.recorded_at for entry in history],
        [version.registered_at for version in versions],
        [evaluation.evaluated_at for evaluation in evaluated],
    ):
        assert times == sorted(times)
    names = [registry.dataset(each.dataset).fingerprint for each in evaluated]
    last = [make_dataset(rows=60, seed=900 + number).fingerprint for number in range(count)]
    assert [name for name in names if name in last] == last
    in_force = [registry.resolve("clocks@champion", at=entry.recorded_at).number for entry in history]
    assert in_force == sorted(in_force)
