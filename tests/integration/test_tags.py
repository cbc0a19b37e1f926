"""Notes on models and versions, which people may change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from registry import Registry
from registry.database import writing
from registry.exceptions import InvalidName, ModelNotFound, VersionNotFound
from registry.limits import MOST_TAGS
from registry.tags import Tags
from registry.transactions import lock_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry.store import Store
    from registry.tables import ModelVersion

SUBJECTS = ["churn", "churn@1"]
EVERY = {f"key {number}": "" for number in range(MOST_TAGS)}


@pytest.fixture
def registry(database_url: str, tmp_path: Path, a_version: Callable[..., ModelVersion]) -> Iterator[Registry]:
    """Two versions of churn, on each of the two kinds of database in turn."""
    with closing(Registry(database_url, artifacts=tmp_path / "artifacts", actor="ada")) as registry:
        for _ in range(2):
            a_version(registry.backend.rows)
        yield registry


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_tag_is_set_changed_and_taken_off(registry: Registry, subject: str) -> None:
    registry.tag(subject, {"team": "risk", "mlflow.source/type - a_b": "NOTEBOOK\n "})
    registry.tag(subject, {"team": "growth"})
    assert registry.tags(subject) == {"mlflow.source/type - a_b": "NOTEBOOK\n ", "team": "growth"}
    registry.untag(subject, "team", "nobody set this")
    assert registry.tags(subject) == {"mlflow.source/type - a_b": "NOTEBOOK\n "}


def test_each_version_and_the_model_have_tags_of_their_own(registry: Registry) -> None:
    for subject in ("churn", "churn@1", "churn@2"):
        registry.tag(subject, {"on": subject, "too": "much"})
        registry.untag(subject, "too")
    assert [registry.tags(subject) for subject in ("churn", "churn@1", "churn@2")] == [
        {"on": "churn"},
        {"on": "churn@1"},
        {"on": "churn@2"},
    ]


def test_a_tag_tells_who_set_it_last_and_when(
    make_store: Callable[..., Store], a_version: Callable[..., ModelVersion]
) -> None:
    noon, evening = (datetime(2026, 3, 3, hour, tzinfo=UTC) for hour in (12, 18))
    store, later = make_store(clock=lambda: noon), make_store(actor="bob", clock=lambda: evening)
    version = a_version(store)
    for subject in (version, store.require_model("churn")):
        Tags(store).put(subject, {"stage": "shadow", "team": "risk"})
        Tags(later).put(subject, {"stage": "shadow"})
        told = [(tag.key, tag.set_by, tag.set_at) for tag in Tags(store).of(subject)]
        assert told == [("stage", "bob", evening), ("team", "ada", noon)]


def test_an_alias_names_the_version_that_is_tagged(registry: Registry) -> None:
    registry.assign("churn@2", reason="a start")
    registry.tag("churn@champion", {"team": "risk"})
    assert (registry.tags("churn@2"), registry.tags("churn@1")) == ({"team": "risk"}, {})


@pytest.mark.parametrize("subject", SUBJECTS)
def test_there_are_so_many_tags_and_no_more(registry: Registry, subject: str) -> None:
    registry.tag(subject, EVERY)
    registry.tag(subject, dict.fromkeys(EVERY, "another value"))
    with pytest.raises(InvalidName, match=rf"'one more' .*: {subject} would have 101 tags; it can have 100"):
        registry.tag(subject, {"one more": ""})
    assert registry.tags(subject) == dict.fromkeys(EVERY, "another value")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_writers_at_the_same_time_do_not_exceed_it_together(registry: Registry, subject: str) -> None:
    registry.tag(subject, dict.fromkeys(list(EVERY)[5:], ""))

    def write(number: int) -> str:
        try:
            registry.tag(subject, {f"of writer {number}": ""})
        except InvalidName:
            return "refused"
        return "written"

    with ThreadPoolExecutor(8) as writers:
        assert sorted(writers.map(write, range(8))) == ["refused"] * 3 + ["written"] * 5
    assert len(registry.tags(subject)) == MOST_TAGS


@pytest.mark.parametrize("subject", SUBJECTS)
def test_whoever_tags_waits_for_those_who_write_about_the_model(registry: Registry, subject: str) -> None:
    with ThreadPoolExecutor(1) as writers:
        with writing(registry.backend.rows.engine) as session:
            lock_model(session, "churn")
            waiting = writers.submit(registry.tag, subject, {"team": "risk"})
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
        waiting.result()
    assert registry.tags(subject) == {"team": "risk"}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_of_several_tags_all_are_set_or_none(registry: Registry, subject: str) -> None:
    with pytest.raises(InvalidName, match="tag value"):
        registry.tag(subject, {"team": "risk", "note": "x" * 100_001})
    assert registry.tags(subject) == {}


def test_what_is_the_longest_is_kept_and_found(registry: Registry) -> None:
    longest = {"\N{PILE OF POO}" * 250: "\N{PILE OF POO}" * 100_000}
    for subject in SUBJECTS:
        registry.tag(subject, longest)
        assert registry.tags(subject) == longest
    assert [version.reference for version in registry.search(tags=longest).versions] == ["churn@1"]


def test_nothing_is_tagged_that_is_not_there(registry: Registry) -> None:
    for take in (registry.tags, lambda subject: registry.tag(subject, {}), registry.untag):
        with pytest.raises(ModelNotFound):
            take("fraud")
        with pytest.raises(VersionNotFound):
            take("churn@3")


def test_tags_are_no_evidence(registry: Registry) -> None:
    before = [version.hash for version in registry.versions("churn")]
    registry.tag("churn@1", {"team": "risk"})
    assert [version.hash for version in registry.versions("churn")] == before
    assert all("risk" not in line for line in registry.audit())


def test_a_dossier_tells_the_tags_of_its_version_alone(registry: Registry) -> None:
    registry.tag("churn", {"team": "growth"})
    registry.tag("churn@1", {"team": "risk"})
    assert [(tag.key, tag.value) for tag in registry.dossier("churn@1").tags] == [("team", "risk")]
    assert registry.dossier("churn@2").tags == []
