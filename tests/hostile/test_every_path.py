"""The whole corpus through every path on which the registry touches bytes: nothing is ever executed.

The bytes are there with the right digest, and the rows that name them are as valid as the registry's own,
because somebody who writes to the database and to the bucket has put them there.
"""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from registry import Alert, Better, Dataset, Floor, PromotionPolicy, Registry, RollbackPolicy, cli
from registry.exceptions import (
    ArtifactCorrupted,
    InvalidDataset,
    InvalidFolder,
    ModelError,
    NothingToRollBackTo,
    PickleNotAllowed,
    Unreadable,
    UntrustedType,
)
from registry.scoring import Batch
from registry.trust import PICKLES, Consent
from tests.hostile.conftest import HOLDOUT, TRAINING

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.tables import ModelVersion
    from tests.hostile.conftest import Arsenal, Invaded

POLICY = PromotionPolicy(checks=(Better("accuracy"), Floor("accuracy", 0.4)), min_rows=50)

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # CSV files of nonsense have much to warn of
]


def test_load_with_bytes_replaced_after_registration(invaded: Invaded, arsenal: Arsenal) -> None:
    registry = invaded.registry
    path = Path(registry.backend.artifacts.location, "sha256", invaded.good.artifact)
    path.chmod(0o644)
    for file in arsenal.files:
        path.write_bytes(file.content)
        for step in (
            lambda: registry.load("late@champion"),
            lambda: registry.evaluate("late@1", HOLDOUT, metrics=["accuracy"]),
        ):
            assert isinstance(invaded.refused(step), ArtifactCorrupted)


@pytest.mark.parametrize("form", ["skops", "pickle"])
def test_load(invaded: Invaded, arsenal: Arsenal, form: str) -> None:
    registry = invaded.registry
    for file in arsenal.files:
        reference = invaded.plant(file.content, form).reference
        error = invaded.refused(lambda: registry.load(reference))  # noqa: B023, called at once
        assert isinstance(error, PickleNotAllowed if form == "pickle" else Unreadable | UntrustedType)


def test_load_in_another_format(invaded: Invaded, arsenal: Arsenal) -> None:
    registry = invaded.registry
    for file, form in zip(
        arsenal.files, cycle(["joblib", "cloudpickle", "folder", "onnx", ""]), strict=False
    ):
        reference = invaded.plant(file.content, form).reference
        error = invaded.refused(lambda: registry.load(reference, allow_pickle=True))  # noqa: B023
        assert isinstance(error, PickleNotAllowed if form in PICKLES else Unreadable)


@pytest.mark.parametrize(
    "consent", [Consent(operator=True), Consent(caller=True)], ids=["operator", "caller"]
)
def test_load_with_the_consent_of_one_alone(invaded: Invaded, arsenal: Arsenal, consent: Consent) -> None:
    registry = invaded.under(consent)
    for file, pickled in zip(arsenal.files, cycle(PICKLES), strict=False):
        for form in ("skops", pickled):
            reference = invaded.plant(file.content, form).reference
            invaded.refused(lambda: registry.load(reference))  # noqa: B023, called at once


def test_load_of_a_skops_version_with_the_consent_of_both(invaded: Invaded, arsenal: Arsenal) -> None:
    registry = invaded.under(Consent(operator=True, caller=True))
    for file in arsenal.files:
        reference = invaded.plant(file.content).reference
        error = invaded.refused(lambda: registry.load(reference, allow_pickle=True))  # noqa: B023
        assert isinstance(error, Unreadable | UntrustedType)


STEPS: list[Callable[[Registry, ModelVersion], Any]] = [
    lambda registry, version: registry.evaluate(version.reference, HOLDOUT, metrics=["accuracy"]),
    lambda registry, version: registry.compare(version.reference, "late@1", HOLDOUT, metrics=["accuracy"]),
    lambda registry, version: registry.compare("late@1", version.reference, HOLDOUT, metrics=["accuracy"]),
    lambda registry, version: registry.decide(version.reference, HOLDOUT, POLICY),
]


@pytest.mark.parametrize("form", ["skops", "pickle", "folder"])
def test_evaluate_compare_and_decide(invaded: Invaded, arsenal: Arsenal, form: str) -> None:
    for file in arsenal.files:
        version = invaded.plant(file.content, form)
        for step in STEPS:
            invaded.refused(lambda: step(invaded.registry, version))  # noqa: B023, called at once


@pytest.mark.parametrize("form", ["skops", "joblib"])
def test_score_and_decide_against_what_is_in_force(invaded: Invaded, arsenal: Arsenal, form: str) -> None:
    registry = invaded.registry
    now = registry.backend.rows.clock()
    batch = Batch(rows=HOLDOUT, key="2026-03-01", at=now, metric="accuracy")
    for file in arsenal.files:
        invaded.put_in_force(invaded.plant(file.content, form))
        assert isinstance(invaded.refused(lambda: registry.score("late@champion", batch)), ModelError)
        assert isinstance(invaded.refused(lambda: registry.decide("late@1", HOLDOUT, POLICY)), ModelError)


@pytest.mark.parametrize("form", ["skops", "cloudpickle"])
def test_backtest(invaded: Invaded, arsenal: Arsenal, form: str) -> None:
    planted = [invaded.plant(file.content, form).reference for file in arsenal.files]
    found = invaded.registry.backtest("late", HOLDOUT, metrics=["accuracy"])
    assert sorted(each.reference for each in found.left_out) == sorted(planted)
    invaded.ends["left out"] += len(planted)


@pytest.mark.parametrize("form", ["skops", "pickle", "folder"])
def test_roll_back_and_answer(invaded: Invaded, arsenal: Arsenal, form: str) -> None:
    registry = invaded.registry
    for number, file in enumerate(arsenal.files):
        model = f"late-{number}"
        invaded.put_in_force(invaded.plant(file.content, form, model))
        good = Path(registry.backend.artifacts.location, "sha256", invaded.good.artifact).read_bytes()
        invaded.put_in_force(invaded.plant(good, model=model))
        error = invaded.refused(lambda: registry.roll_back(model, reason="bad"))  # noqa: B023
        assert isinstance(error, NothingToRollBackTo)
        noted = registry.answer(Alert(model=model, reason="bad", key="17"), RollbackPolicy(served=0))
        assert noted.kind == "alerted"
        assert registry.aliases(model) == {"champion": 2}


def test_predictions(invaded: Invaded, arsenal: Arsenal) -> None:
    registry = invaded.registry
    for number, file in enumerate(arsenal.files):
        reference = invaded.plant_predictions(file.content, f"late-{number}").reference
        for step in (
            lambda: registry.evaluate(reference, HOLDOUT, metrics=["roc_auc"]),  # noqa: B023
            lambda: registry.compare(reference, reference, HOLDOUT, metrics=["accuracy"]),  # noqa: B023
            lambda: registry.decide(reference, HOLDOUT, POLICY),  # noqa: B023
        ):
            assert isinstance(invaded.refused(step), InvalidDataset)
        assert reference in registry.card(reference)  # without the bounds, which nobody can know


def test_card_and_verify(invaded: Invaded, arsenal: Arsenal) -> None:
    no_folders = set()
    for file, form in zip(arsenal.files, cycle(["skops", *PICKLES, "folder"]), strict=False):
        reference = invaded.plant(file.content, form).reference
        assert reference in invaded.registry.card(reference)
        invaded.ends["drawn"] += 1
        no_folders |= {reference} if form == "folder" else set()
    assert {finding.subject for finding in invaded.registry.verify() if finding.problem} == no_folders


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz", ".pkl", ".npy"])
def test_dataset(invaded: Invaded, arsenal: Arsenal, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{ending}"
    for file in arsenal.files:
        path.write_bytes(file.content)
        error = invaded.refused(lambda: Dataset.read(path, "late"))
        assert isinstance(error, InvalidDataset)


def test_folder(invaded: Invaded, arsenal: Arsenal, tmp_path: Path) -> None:
    registry, destination = invaded.registry, tmp_path / "fetched"
    for file in arsenal.files:
        reference = invaded.plant(file.content, "folder").reference
        error = invaded.refused(lambda: registry.fetch(reference, destination))  # noqa: B023
        assert isinstance(error, InvalidFolder)
        assert not destination.exists()


@pytest.mark.parametrize("form", ["skops", "pickle"])
def test_fetch_copies_and_opens_nothing(
    invaded: Invaded, arsenal: Arsenal, form: str, tmp_path: Path
) -> None:
    for number, file in enumerate(arsenal.files):
        reference = invaded.plant(file.content, form).reference
        fetched = invaded.registry.fetch(reference, tmp_path / str(number))
        assert fetched.read_bytes() == file.content
        invaded.ends["copied"] += 1


def test_a_folder_of_payloads_is_registered_and_fetched_unopened(
    invaded: Invaded, arsenal: Arsenal, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, file in enumerate(arsenal.files):
        (folder / f"{number}.pkl").write_bytes(file.content)
    version = invaded.registry.register_folder("folder", folder, trained_on=TRAINING)
    fetched = invaded.registry.fetch(version.reference, tmp_path / "fetched")
    for number, file in enumerate(arsenal.files):
        assert (fetched / f"{number}.pkl").read_bytes() == file.content
        invaded.ends["copied"] += 1


@pytest.fixture
def run(
    invaded: Invaded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Runs `registry` on the invaded registry; each refusal is one line and no traceback."""
    backend = invaded.registry.backend
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{backend.rows.engine.url.database}")
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", backend.artifacts.location)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr().err
        assert "Traceback" not in said
        status = int(end.value.code or 0)
        assert status == 0 or len(said.splitlines()) == 1
        invaded.ends[f"exit status {status}"] += 1
        return status

    return run


def test_the_command_line(
    invaded: Invaded, arsenal: Arsenal, run: Callable[..., int], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    HOLDOUT.frame.to_parquet(rows)
    data = ["--data", str(rows)]
    for number, (file, pickled) in enumerate(zip(arsenal.files, cycle(PICKLES), strict=False)):
        model = f"late-{number}"
        planted = [invaded.plant(file.content, form, model) for form in ("skops", pickled)]
        for version in planted:
            assert run("--allow-pickle", "evaluate", version.reference, *data, "--metric", "accuracy") == 1
        assert run("promote", planted[0].reference, *data, "--better", "accuracy") == 1
        for version in planted:
            invaded.put_in_force(version)
        assert run("rollback", model, "--reason", "bad") == 1
    assert run("verify") == 0


def test_the_command_line_shows_and_draws(
    invaded: Invaded, arsenal: Arsenal, run: Callable[..., int], tmp_path: Path
) -> None:
    for number, file in enumerate(arsenal.files[::8]):
        reference = invaded.plant_predictions(file.content, f"late-{number}").reference
        assert run("show", reference) == 0
        assert run("card", reference, "--output", str(tmp_path / "card.html")) == 0
