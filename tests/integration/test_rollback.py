from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression

from registry import Dataset, Registry, proof
from registry.exceptions import (
    AliasConflict,
    AliasNotSet,
    ArtifactCorrupted,
    ArtifactStoreUnavailable,
    InvalidName,
    KeyConflict,
    ModelNotFound,
    NothingToRollBackTo,
    PredictionFailed,
    ReasonMissing,
)
from registry.store import Store
from tests.examples import fit
from tests.reigns import bytes_of, corrupt, falls, in_force, lose, three_reigns
from tests.three_versions import POLICY, holdout, training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    import pandas as pd

    from registry.ledger import Reign
    from registry.tables import LedgerEntry


class Moody(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Answers what it feels like."""

    mood: ClassVar[Any] = 1

    def fit(self, _rows: pd.DataFrame, _labels: Any) -> Moody:
        return self

    def predict(self, rows: pd.DataFrame) -> Any:
        return [self.mood / 1] * len(rows)


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, which were put in force one after the other."""
    with three_reigns(tmp_path_factory, tmp_path) as registry:
        yield registry


def put_a_moody_version_below_the_champion(registry: Registry) -> None:
    """Version 4 takes the place of version 2 as the predecessor of version 3."""
    registry.trust(f"{__name__}.Moody", reason="this test's own")
    registry.register("churn", Moody(), trained_on=training())
    registry.clear("churn", reason="begin anew")
    for number in (4, 3):
        registry.assign(f"churn@{number}", reason=f"version {number}")


# Where it goes


def test_rollbacks_in_a_row_go_from_3_to_2_to_1_and_no_further(registry: Registry) -> None:
    assert registry.roll_back("churn", reason="broken").in_force == 2
    assert registry.roll_back("churn", reason="broken too").in_force == 1
    with pytest.raises(NothingToRollBackTo, match=r"version 1 has no trusted predecessor; assign a version"):
        registry.roll_back("churn", reason="and this")
    assert falls(registry) == [(3, 2), (2, 1)]
    assert in_force(registry) == 1


def test_a_rollback_says_what_fell_why_and_on_what_proof(registry: Registry) -> None:
    entry = registry.roll_back("churn", reason="accuracy fell to 0.6")
    assert (entry.kind, entry.reference, entry.replaced) == ("rolled-back", "churn@2", 3)
    assert (entry.reason, entry.actor) == ("accuracy fell to 0.6", "ada")
    assert entry.evidence == {"fell": "churn@3", "passed_over": {}, "proof": "predicts its example"}


def test_a_version_that_fell_is_no_longer_trusted(registry: Registry) -> None:
    registry.roll_back("churn", reason="broken")
    assert registry.decide("churn@3", holdout(), POLICY).verdict == "inconclusive"
    registry.assign("churn@1", reason="older")
    registry.roll_back("churn", reason="too old")
    assert in_force(registry) == 2


def test_an_assignment_forgives(registry: Registry) -> None:
    registry.roll_back("churn", reason="broken")
    registry.assign("churn@3", reason="it was the feed")
    registry.assign("churn@1", reason="compare")
    registry.roll_back("churn", reason="older is worse")
    assert in_force(registry) == 3


def test_after_clearing_there_is_nothing_to_take_down(registry: Registry) -> None:
    registry.clear("churn", reason="gone")
    with pytest.raises(AliasNotSet):
        registry.roll_back("churn", reason="broken")


def test_each_alias_has_a_past_of_its_own(registry: Registry) -> None:
    registry.assign("churn@1", alias="shadow", reason="start")
    registry.assign("churn@3", alias="shadow", reason="next")
    assert registry.roll_back("churn", alias="shadow", reason="broken").in_force == 1
    assert registry.aliases("churn") == {"champion": 3, "shadow": 1}


def test_no_gate_is_asked(registry: Registry) -> None:
    """The predecessor may be worse by far than what falls: it is what was trusted before."""
    for reason in ("broken", "broken too"):
        registry.roll_back("churn", reason=reason)
    assert registry.decide("churn@2", holdout(), POLICY).champion == "churn@1"


# Targets that do not work


@pytest.mark.parametrize(
    ("harm", "why"),
    [(lose, r"has no artifact [0-9a-f]{64}"), (corrupt, r"now has digest [0-9a-f]{64} and was not opened")],
)
def test_a_target_whose_bytes_are_not_what_they_were_is_passed_over(
    registry: Registry, harm: Callable[[Registry], None], why: str
) -> None:
    harm(registry)
    entry = registry.roll_back("churn", reason="broken")
    assert entry.in_force == 1
    assert list(entry.evidence["passed_over"]) == ["churn@2"]
    assert re.search(why, entry.evidence["passed_over"]["churn@2"])


def test_a_target_of_a_type_that_is_trusted_no_more_is_passed_over(registry: Registry) -> None:
    put_a_moody_version_below_the_champion(registry)
    registry.backend.rows.distrust(f"{__name__}.Moody")
    entry = registry.roll_back("churn", reason="broken")
    assert entry.in_force == 2
    assert re.search(r"does not trust: .*Moody", entry.evidence["passed_over"]["churn@4"])


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        (0, r"answers \[0.0, .* to its example, not \[1.0, "),
        (float("nan"), r"answers \[nan, "),
        ("late", "does not predict: TypeError"),
    ],
)
def test_a_target_that_answers_something_else_than_it_did_is_passed_over(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, mood: Any, why: str
) -> None:
    put_a_moody_version_below_the_champion(registry)
    monkeypatch.setattr(Moody, "mood", mood)
    entry = registry.roll_back("churn", reason="broken")
    assert entry.in_force == 2
    assert re.search(why, entry.evidence["passed_over"]["churn@4"])


def test_what_was_passed_over_is_not_gone_back_to_later(registry: Registry) -> None:
    lose(registry)
    registry.roll_back("churn", reason="broken")
    with pytest.raises(NothingToRollBackTo, match="version 1 has no trusted predecessor"):
        registry.roll_back("churn", reason="broken too")


def test_without_a_working_target_nothing_changes(registry: Registry) -> None:
    lose(registry)
    bytes_of(registry, 1).unlink()
    before = registry.history("churn")
    with pytest.raises(NothingToRollBackTo, match=r"has no artifact .*; .* has no artifact .*; assign"):
        registry.roll_back("churn", reason="broken")
    assert registry.history("churn") == before
    assert in_force(registry) == 3


def test_a_store_out_of_reach_condemns_no_version(registry: Registry, tmp_path: Path) -> None:
    """It may be back in a second, so the caller may try again; a version passed over would be lost."""
    folder = bytes_of(registry, 2).parents[1]
    folder.rename(tmp_path / "elsewhere")
    folder.touch()
    with pytest.raises(ArtifactStoreUnavailable):
        registry.roll_back("churn", reason="broken")
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    assert registry.roll_back("churn", reason="broken").in_force == 2


# Proving


def test_a_version_proves_itself_by_its_example(registry: Registry) -> None:
    proof.prove(registry.backend, registry.resolve("churn@2"))
    corrupt(registry)
    with pytest.raises(ArtifactCorrupted):
        proof.prove(registry.backend, registry.resolve("churn@2"))


def test_a_regressor_may_round_otherwise_but_not_answer_otherwise(
    make_registry: Callable[..., Registry],
) -> None:
    registry = make_registry()
    rows = Dataset.from_frame(holdout().frame, "wind")
    version = registry.register("wind", fit(rows, LinearRegression()), trained_on=rows)
    promised = version.input_example["predictions"]
    for shift, passes in ((1e-9, True), (1e-3, False)):
        version.input_example = {**version.input_example, "predictions": [each + shift for each in promised]}
        if passes:
            proof.prove(registry.backend, version)
        else:
            with pytest.raises(PredictionFailed, match="to its example, not"):
                proof.prove(registry.backend, version)


@pytest.mark.parametrize(
    ("answer", "promised", "same"),
    [
        ([1, 0], [1, 0], True),
        ([1_000_000], [1_000_001], False),
        ([True], [True], True),
        (["a", "b"], ["a", "b"], True),
        (["a"], ["b"], False),
        ([1.0, 2.0], [1.0, 2.000001], True),
        ([1.0], [1.001], False),
        ([1.0], [1.0, 1.0], False),
        ([[1.0, 2.0]], [[1.0, 2.0000001]], True),
        ([1.0], ["a"], False),
        ([np.nan], [1.0], False),
    ],
)
def test_labels_have_to_be_equal_and_fractions_nearly_so(answer: Any, promised: Any, same: bool) -> None:  # noqa: FBT001, expected
    assert proof._same(np.array(answer), promised) is same


# Asked twice


def test_a_retry_with_its_key_finds_the_entry_and_takes_down_nothing_more(registry: Registry) -> None:
    first = registry.roll_back("churn", reason="broken", key="alert-17")
    assert registry.roll_back("churn", reason="broken", key="alert-17") == first
    assert registry.roll_back("churn", reason="broken", bad=3, key="alert-17") == first
    assert falls(registry) == [(3, 2)]


def test_a_retry_also_finds_its_entry_after_the_champion_changed(registry: Registry) -> None:
    first = registry.roll_back("churn", reason="broken", key="alert-17")
    registry.assign("churn@1", reason="older")
    assert registry.roll_back("churn", reason="broken", key="alert-17") == first
    registry.clear("churn", reason="gone")
    assert registry.roll_back("churn", reason="broken", key="alert-17") == first


def test_an_attempt_that_its_retry_overtakes_finds_the_entry_of_the_retry(registry: Registry) -> None:
    """The retry writes just before this one reads who is in force."""
    rows = registry.backend.rows
    written: list[LedgerEntry] = []

    class Overtaken(Store):
        def reign(self, model: str, alias: str, at: datetime | None = None) -> Reign:
            if not written:
                written.append(registry.roll_back("churn", reason="broken", bad=3, key="alert-17"))
            return super().reign(model, alias, at)

    overtaken = Registry.of(replace(registry.backend, rows=Overtaken(rows.engine, rows.origin)))
    assert overtaken.roll_back("churn", reason="broken", bad=3, key="alert-17") == written[0]
    assert falls(registry) == [(3, 2)]


def test_without_a_key_asking_twice_is_two_rollbacks(registry: Registry) -> None:
    for reason in ("broken", "broken"):
        registry.roll_back("churn", reason=reason)
    assert falls(registry) == [(3, 2), (2, 1)]


def test_a_key_does_not_serve_another_request(registry: Registry) -> None:
    registry.roll_back("churn", reason="broken", key="alert-17")
    with pytest.raises(KeyConflict, match=r"'alert-17' already stands for entry 4 .* \(rolled-back\)"):
        registry.roll_back("churn", reason="broken", bad=2, key="alert-17")
    note = registry.promote(registry.decide("churn@1", holdout(), POLICY))
    with pytest.raises(KeyConflict, match=r"entry 5 of churn@champion \(rejected\)"):
        registry.roll_back("churn", reason="broken", key=note.key)
    assert falls(registry) == [(3, 2)]


def test_only_the_version_that_is_meant_comes_down(registry: Registry) -> None:
    with pytest.raises(AliasConflict, match="version 2; now version 3 since entry 3"):
        registry.roll_back("churn", reason="broken", bad=2)
    assert registry.roll_back("churn", reason="broken", bad=3).in_force == 2
    with pytest.raises(AliasConflict, match="version 3; now version 2 since entry 4"):
        registry.roll_back("churn", reason="broken", bad=3)
    assert falls(registry) == [(3, 2)]


# Misuse


def test_what_cannot_be_rolled_back_is_named(registry: Registry) -> None:
    with pytest.raises(ModelNotFound, match="`registry models` lists"):
        registry.roll_back("chrun", reason="typo")
    with pytest.raises(AliasNotSet, match="nothing is in force as churn@shadow"):
        registry.roll_back("churn", alias="shadow", reason="typo")
    for alias in ("latest", "7", "the champion"):
        with pytest.raises(InvalidName):
            registry.roll_back("churn", alias=alias, reason="typo")


def test_a_rollback_says_why(registry: Registry) -> None:
    with pytest.raises(ReasonMissing, match="'rolled-back' needs a reason"):
        registry.roll_back("churn", reason=" ")
    assert in_force(registry) == 3
