from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from registry import Registry, RetentionPolicy, cli
from registry.exceptions import (
    AliasNotSet,
    InvalidDataset,
    InvalidName,
    ModelNotFound,
    ReasonMissing,
    RegistryError,
    StillNeeded,
    Unreadable,
    VersionDeleted,
    VersionNotFound,
)
from registry.models import create
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRAINING = make_dataset(name="january")
EAGER = RetentionPolicy(keep_last=0, keep_younger_than=timedelta(0))


@pytest.fixture
def registry(make_database: Callable[[], str], tmp_path: Path) -> Iterator[Registry]:
    with Registry(make_database(), artifacts=tmp_path / "artifacts", actor="ada") as registry:
        yield registry


@pytest.fixture
def add(registry: Registry, tmp_path: Path) -> Callable[..., str]:
    """Each call registers a folder of its own, unless its *text* is that of another."""

    def register(model: str = "churn", text: str | None = None, **others: Any) -> str:
        folder = tmp_path / f"folder-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "weights").write_text(text or folder.name)
        return registry.register_folder(model, folder, **others).reference

    return register


def sound(registry: Registry) -> bool:
    return [finding for finding in registry.verify() if finding.problem] == []


# A version


def test_a_deleted_version_is_found_nowhere(registry: Registry, add: Callable[..., str]) -> None:
    for _ in range(3):
        add()
    registry.delete("churn@3", reason="a mistake")
    assert [version.number for version in registry.versions("churn")] == [1, 2]
    assert [version.number for version in registry.last_versions("churn", 2)] == [1, 2]
    assert [version.number for version in registry.search(model="churn").versions] == [2, 1]
    assert registry.resolve("churn@latest").number == 2
    assert registry.backend.rows.newest_versions(5) == ["churn@2", "churn@1"]
    with pytest.raises(VersionDeleted, match="churn@3 was deleted by ada: a mistake"):
        registry.resolve("churn@3")
    assert issubclass(VersionDeleted, VersionNotFound)
    assert sound(registry)


def test_its_number_is_not_given_again(registry: Registry, add: Callable[..., str]) -> None:
    add()
    registry.delete(add(), reason="a mistake")
    assert add() == "churn@3"
    assert sound(registry)


def test_all_of_a_model_may_go(registry: Registry, add: Callable[..., str]) -> None:
    registry.delete(add(), reason="a mistake")
    assert registry.versions("churn") == []
    with pytest.raises(AliasNotSet):
        registry.resolve("churn@latest")


def test_what_is_in_force_stays_until_the_alias_moves(registry: Registry, add: Callable[..., str]) -> None:
    add()
    add()
    registry.assign("churn@2", alias="champion", reason="first")
    registry.assign("churn@2", alias="fallback", reason="first")
    with pytest.raises(StillNeeded, match=r"in force as champion, fallback: clear the alias, or move it"):
        registry.delete("churn@2", reason="a mistake")
    assert registry.resolve("churn@2").number == 2
    registry.assign("churn@1", alias="champion", reason="second")
    registry.clear("churn", alias="fallback", reason="nobody falls back")
    registry.delete("churn@2", reason="a mistake")
    assert [entry.version for entry in registry.history("churn", alias="champion")] == [2, 1]


def test_what_is_pinned_stays_until_it_is_unpinned(registry: Registry, add: Callable[..., str]) -> None:
    registry.pin(add(), reason="an audit")
    with pytest.raises(StillNeeded, match=r"pinned by ada .*an audit.*unpin it first"):
        registry.delete("churn@1", reason="a mistake")
    registry.unpin("churn@1")
    registry.delete("churn@1", reason="a mistake")


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_it_is_said_why(registry: Registry, add: Callable[..., str], reason: str) -> None:
    add()
    for subject in ("churn@1", "churn"):
        with pytest.raises(ReasonMissing, match="'deleted'"):
            registry.delete(subject, reason=reason)
    with pytest.raises(InvalidName):
        registry.delete("churn@1", reason="a\0b")
    assert registry.resolve("churn@1").number == 1


def test_what_is_deleted_is_deleted_once(registry: Registry, add: Callable[..., str]) -> None:
    add()
    version = registry.resolve("churn@1")
    registry.delete("churn@1", reason="a mistake")
    with pytest.raises(VersionDeleted):
        registry.delete("churn@1", reason="again")
    with pytest.raises(VersionNotFound):
        registry.delete("churn@2", reason="never was")
    for step in (
        lambda: registry.assign("churn@1", reason="back"),
        lambda: registry.pin("churn@1", reason="kept"),
        lambda: registry.tag("churn@1", {"a": "b"}),
        lambda: registry.describe("churn@1", "gone"),
    ):
        with pytest.raises(VersionDeleted):
            step()
    assert registry.backend.rows.trained_alike("churn", version.training) is None


def test_whoever_found_it_before_puts_it_in_force_no_more(
    registry: Registry, add: Callable[..., str]
) -> None:
    from registry.promotion import assign  # noqa: PLC0415, below the door

    add()
    version = registry.resolve("churn@1")
    registry.delete("churn@1", reason="a mistake")
    with pytest.raises(VersionDeleted):
        assign(registry.backend, version, "champion", "too late")
    assert registry.history("churn") == []


def test_of_a_deletion_and_an_assignment_at_once_one_wins(
    registry: Registry, add: Callable[..., str]
) -> None:
    references = [add() for _ in range(10)]

    def outcome(step: Callable[[], object]) -> bool:
        try:
            step()
        except RegistryError:
            return False
        return True

    with ThreadPoolExecutor(2) as both:
        for number, reference in enumerate(references):
            alias = f"a{number}"
            deleted = both.submit(outcome, partial(registry.delete, reference, reason="a mistake"))
            assigned = both.submit(outcome, partial(registry.assign, reference, alias=alias, reason="now"))
            assert deleted.result() != assigned.result()
    assert sound(registry)


def test_the_same_training_after_a_deletion_is_a_new_version(
    registry: Registry, add: Callable[..., str]
) -> None:
    assert add(text="same") == "churn@1"
    assert add(text="same") == "churn@1"
    registry.delete("churn@1", reason="a mistake")
    assert add(text="same") == "churn@2"
    assert registry.resolve("churn@2").renewal == 1
    assert sound(registry)


def test_a_key_does_not_lead_to_a_deleted_version(registry: Registry, add: Callable[..., str]) -> None:
    add(text="one", key="monday")
    registry.delete("churn@1", reason="a mistake")
    with pytest.raises(VersionDeleted):
        add(text="two", key="monday")


def test_the_past_says_that_the_version_then_in_force_was_deleted(
    registry: Registry, add: Callable[..., str]
) -> None:
    add()
    add()
    first = registry.assign("churn@1", reason="first")
    second = registry.assign("churn@2", reason="second")
    registry.delete("churn@1", reason="a mistake")
    assert registry.resolve("churn@champion", at=second.recorded_at).number == 2
    if first.recorded_at < second.recorded_at:
        with pytest.raises(VersionDeleted):
            registry.resolve("churn@champion", at=first.recorded_at)


def test_its_bytes_go_whatever_the_policy(registry: Registry, add: Callable[..., str]) -> None:
    add()
    add()
    registry.assign("churn@2", reason="first")
    registry.delete("churn@1", reason="a mistake")
    generous = RetentionPolicy(keep_last=10)
    late = Registry.of(registry.backend)
    _expire_leases(late)
    assert late.plan_purge(generous).given_up == ["churn@1"]
    assert len(late.purge(generous)) == 2  # the manifest, and its file
    assert sound(registry)
    assert [*registry.purged("churn")] == [1]


def test_a_rollback_passes_a_deleted_predecessor_over(registry: Registry, add: Callable[..., str]) -> None:
    for number in (1, 2, 3):
        add()
        registry.assign(f"churn@{number}", reason="its turn")
    registry.delete("churn@2", reason="a mistake")
    entry = registry.roll_back("churn", reason="it fell")
    assert entry.in_force == 1
    assert "churn@2 was deleted" in entry.evidence["passed_over"]["churn@2"]


def _expire_leases(registry: Registry) -> None:
    from sqlalchemy import text  # noqa: PLC0415, past every door

    with registry.backend.rows.engine.begin() as connection:
        connection.execute(text("UPDATE model_artifact SET leased_until = '2020-01-01 00:00:00.000000'"))


# A model


def test_a_deleted_model_is_found_nowhere(registry: Registry, add: Callable[..., str]) -> None:
    add()
    add()
    add("fraud")
    registry.delete("churn", reason="the project ended")
    assert [model.name for model in registry.models()] == ["fraud"]
    for ask in (
        lambda: registry.versions("churn"),
        lambda: registry.resolve("churn@1"),
        lambda: registry.resolve("churn@latest"),
        lambda: registry.history("churn"),
        lambda: registry.tags("churn"),
        lambda: registry.delete("churn", reason="again"),
    ):
        with pytest.raises(ModelNotFound):
            ask()
    assert [version.reference for version in registry.search().versions] == ["fraud@1"]
    assert sound(registry)


def test_a_model_of_which_something_is_in_force_stays(registry: Registry, add: Callable[..., str]) -> None:
    add()
    add()
    registry.assign("churn@1", reason="first")
    with pytest.raises(StillNeeded, match="churn was not deleted, because it is in force as champion"):
        registry.delete("churn", reason="the project ended")
    registry.clear("churn", reason="nothing is")
    registry.pin("churn@2", reason="an audit")
    with pytest.raises(StillNeeded, match="pinned"):
        registry.delete("churn", reason="the project ended")
    assert len(registry.versions("churn")) == 2


def test_its_name_comes_back_with_the_next_version(registry: Registry, add: Callable[..., str]) -> None:
    add()
    registry.describe("churn", "who leaves")
    registry.delete("churn", reason="the project ended")
    assert add() == "churn@2"
    assert [version.number for version in registry.versions("churn")] == [2]
    assert registry.description("churn") == ""
    assert sound(registry)


def test_it_can_be_made_again_without_a_version(registry: Registry, add: Callable[..., str]) -> None:
    add()
    registry.tag("churn", {"team": "growth"})
    rows = registry.backend.rows
    assert not create(rows, "churn")
    registry.delete("churn", reason="the project ended")
    assert create(rows, "churn", description="again", tags={"team": "risk"})
    assert not create(rows, "churn")
    assert registry.versions("churn") == []
    assert registry.description("churn") == "again"
    assert registry.tags("churn") == {"team": "risk"}
    assert add() == "churn@2"


def test_of_many_who_make_a_model_one_does(registry: Registry) -> None:
    with ThreadPoolExecutor(8) as crowd:
        made = list(crowd.map(lambda _: create(registry.backend.rows, "churn"), range(8)))
    assert sorted(made) == [False] * 7 + [True]


# What is said of both


def test_a_description_may_change(registry: Registry, add: Callable[..., str]) -> None:
    add()
    for subject in ("churn", "churn@1"):
        assert registry.description(subject) == ""
        registry.describe(subject, "who leaves, und wer bleibt")
        registry.describe(subject, "who leaves")
        assert registry.description(subject) == "who leaves"
        registry.describe(subject, "")
        assert registry.description(subject) == ""
        for poison in ("a\0b", "a\ud800", "x" * 100_001):
            with pytest.raises(InvalidName, match="description"):
                registry.describe(subject, poison)
    assert sound(registry)


def test_a_folder_may_come_without_its_data(registry: Registry, add: Callable[..., str]) -> None:
    add()
    version = registry.resolve("churn@1")
    assert (version.trained_on, version.input_schema) == (None, [])
    assert registry.dossier("churn@1").training_data is None
    with pytest.raises(InvalidDataset, match="nobody said"):
        registry.target_of("churn@1")
    with pytest.raises(Unreadable):
        registry.evaluate("churn@1", TRAINING, metrics=["accuracy"])


def test_an_estimator_comes_with_its_data(registry: Registry) -> None:
    nothing: Any = None
    with pytest.raises(InvalidDataset, match="is registered with the rows"):
        registry.register("churn", fit(TRAINING), trained_on=nothing)


# On the command line


@pytest.fixture
def run(
    make_registry: Callable[..., Registry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Each call runs a command on one registry; it returns the exit status and what was printed."""
    backend = make_registry().backend
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", f"{backend.rows.engine.url}")
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", backend.artifacts.location)
    monkeypatch.setenv("MODEL_REGISTRY_ACTOR", "ada")

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        told = capsys.readouterr()
        return status, told.out + told.err

    return command


def test_the_command_line_registers_describes_shows_and_deletes(
    run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1")
    assert run("register", "Iris Model", str(tmp_path / "model")) == (
        0,
        f"{tmp_path / 'model'} is Iris Model@1\n",
    )
    assert run("describe", "Iris Model@1", "tells flowers apart")[0] == 0
    status, shown = run("show", "Iris Model@1", "--json")
    assert status == 0
    told = json.loads(shown)
    assert (told["description"], told["training_data"]) == ("tells flowers apart", None)
    status, shown = run("show", "Iris Model@1")
    assert "trained on" in shown
    assert "tells flowers apart" in shown
    assert run("delete", "Iris Model@1", "--reason", "a test") == (0, "Iris Model@1 is deleted: a test\n")
    status, said = run("show", "Iris Model@1")
    assert (status, "Iris Model@1 was deleted by ada: a test" in said) == (1, True)
    assert run("delete", "Iris Model", "--reason", "a test")[0] == 0
    assert run("models")[1] == "no models yet\n"


def test_rows_and_target_are_told_together(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for lonely in (("--data", "rows.csv"), ("--target", "late")):
        status, said = run("register", "churn", str(tmp_path / "model"), *lonely)
        assert (status, "--data and --target go together" in said) == (2, True)
