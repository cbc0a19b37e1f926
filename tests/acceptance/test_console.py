"""The Prefect UI is the console: a person before a browser starts a run, looks, decides and signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sklearn.tree import DecisionTreeClassifier

from flows.promote import promote
from registry import Better, NotWorse, PromotionPolicy
from registry.tasks import register_version
from registry.tasks.forms import refresh_choices
from tests import pages
from tests.examples import fit
from tests.servers.prefect import deploy, prefect_worker
from tests.three_versions import holdout, three_versions, training

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry import Registry
    from tests.servers.browser import Person


POLICY = PromotionPolicy(checks=(Better("accuracy"), NotWorse("accuracy", margin=0.05, slices="origin")))


@pytest.fixture(scope="module")
def registry(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Three versions, the deployments, and a worker that runs them."""
    folder = tmp_path_factory.mktemp("console")
    with pytest.MonkeyPatch.context() as patch, three_versions(tmp_path_factory, folder) as registry:
        patch.setenv("MODEL_REGISTRY_DATABASE", f"sqlite:///{folder}/registry/registry.db")
        patch.setenv("MODEL_REGISTRY_ARTIFACTS", f"{folder}/registry/artifacts")
        patch.setenv("MODEL_REGISTRY_ACTOR", "ada")
        deploy(prefect_api)
        refresh_choices(registry)
        with prefect_worker(prefect_api, folder):
            yield registry


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The holdout as a file."""
    path = tmp_path_factory.mktemp("rows") / "february.parquet"
    holdout().frame.to_parquet(path)
    return str(path)


def test_the_run_form_offers_the_version_just_registered(person: Person, registry: Registry) -> None:
    tree = fit(training(), DecisionTreeClassifier(max_depth=2))
    version = register_version("churn", tree, training())
    person.does(pages.list_deployments)
    person.keeps_picture("deployments")
    person.does(pages.open_run_form, "promote")
    offered = person.does(pages.offered, "Newest versions")
    person.keeps_picture("run-form")
    assert offered[0] == version.reference
    assert offered == [each.reference for each in reversed(registry.versions("churn"))]


def test_a_run_started_by_clicking_ends_in_the_ledger(person: Person, registry: Registry, rows: str) -> None:
    person.does(pages.open_run_form, "promote")
    person.does(pages.choose, "Newest versions", "churn@3")
    person.does(pages.write, "holdout", rows)
    person.does(pages.add_item)
    person.does(pages.choose_kind, "Floor")
    person.does(pages.write, "Metric", "accuracy")
    person.does(pages.write, "Value", "0.7")
    person.does(pages.choose, "Approval", "automatic")
    person.does(pages.write, "reason", "somebody has to be the first")
    person.does(pages.write, "alias", "staging")
    run = person.does(pages.submit)
    person.does(pages.open_run, run, "Completed")
    person.keeps_picture("run")
    [entry] = registry.history("churn", alias="staging")
    assert (entry.kind, entry.reference, entry.flow_run_id) == ("promoted", "churn@3", run)
    assert "somebody has to be the first" in entry.reason
    assert "accuracy above 0.7" in [check["check"] for check in entry.evidence["checks"]]


def test_what_the_policy_approved_is_approved_in_the_resume_dialog(
    person: Person, registry: Registry, rows: str
) -> None:
    before = registry.assign("churn@1", reason="something has to answer")
    person.does(pages.open_run_form, "promote")
    person.does(pages.choose, "Newest versions", "churn@3")
    person.does(pages.write, "holdout", rows)
    person.does(pages.write, "reason", "it learned from the new year")
    run = person.does(pages.submit)
    person.does(pages.open_run, run, "Paused")
    person.keeps_picture("paused")

    question = person.does(pages.open_resume_dialog)
    person.keeps_picture("resume-dialog")
    assert "May churn@3 become champion, in place of churn@1?" in question
    assert "roc_auc better" in question

    person.does(pages.resume, "'decision' is a required property")
    assert registry.history("churn", alias="champion")[-1] == before

    person.does(pages.choose, "Decision", "approve churn@3")
    person.does(pages.write, "Name", "grace")
    person.does(pages.write, "Comment", "the slices are fine, too")
    person.keeps_picture("resume-answered")
    person.does(pages.resume, "Flow run resumed")
    person.does(pages.open_run, run, "Completed")
    approved, promoted = registry.history("churn", alias="champion")[-2:]
    assert (approved.kind, promoted.kind, promoted.in_force) == ("approved", "promoted", 3)
    assert approved.evidence["approval"] == {"by": "grace", "comment": "the slices are fine, too"}
    assert "it learned from the new year" in promoted.reason


def test_the_cards_show_their_pictures(person: Person, registry: Registry, rows: str) -> None:
    registry.assign("churn@2", reason="something has to answer")
    assert promote("churn@3", rows, "it is better", POLICY).approved
    for kind, says in {"decision": "churn@3", "3": "churn@3", "timeline": "churn@champion"}.items():
        person.does(pages.open_card, f"model-churn-{kind}", says)
        widths = person.does(pages.widths_of_pictures)
        person.keeps_whole_picture(f"card-{kind}")
        assert min(widths.values()) > 0, f"a picture is broken on the card {kind}: {widths}"
