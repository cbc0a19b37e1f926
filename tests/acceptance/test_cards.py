from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import httpx
import pytest
from prefect import flow
from prefect.settings import PREFECT_UI_URL, temporary_settings

from registry import Better, Floor, PromotionPolicy
from registry.reports import decision_card
from registry.tasks.cards import key_of, publish, publish_cards
from registry.tasks.monitoring import publish_health
from tests.three_versions import holdout
from tests.watched import promoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry import Registry

MANUAL = PromotionPolicy(checks=(Better("accuracy"), Floor("accuracy", 0.4)), approval="manual")


@pytest.fixture
def churn(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """``churn@3`` in force after 1 and 2, in the registry of the settings."""
    with promoted(tmp_path_factory, tmp_path, monkeypatch) as registry:
        yield registry


def card(api: str, kind: str) -> str:
    """The newest card of churn of this kind."""
    artifact = httpx.get(f"{api}/artifacts/{key_of('churn', kind)}/latest").raise_for_status().json()
    return str(artifact["data"])


def links(card: str) -> dict[str, str]:
    """What a card leads to from its last line, by name."""
    return dict(re.findall(r"\[([^\]]+)\]\((http[^)]+)\)", card.splitlines()[-1]))


def is_known(api: str, url: str) -> bool:
    """Whether the server has what the page at this address shows."""
    *_, kind, what = urlparse(url).path.split("/")
    if kind == "flow-run":
        return httpx.get(f"{api}/flow_runs/{what}").is_success
    return httpx.get(f"{api}/artifacts/{what}/latest").is_success


def test_the_cards_of_a_version_are_linked_to_one_another_and_to_the_flow_run(
    churn: Registry, prefect_api: str
) -> None:
    churn.observe("churn@champion", metric="accuracy", value=0.75, rows=100, batch="first")

    @flow
    def show() -> None:
        publish_health("churn", "accuracy")
        publish_cards("churn@3")
        publish_cards("churn@3")

    show()
    of_the_model, of_the_alias = (links(card(prefect_api, kind)) for kind in ("3", "timeline"))
    assert {"timeline of churn", "health-accuracy of churn", "all cards of churn", "the flow run"} <= {
        *of_the_model
    }
    assert {"model card of churn@3", "all cards of churn", "the flow run"} <= {*of_the_alias}
    assert "model card of churn@2" not in of_the_alias
    found = [*of_the_model.values(), *of_the_alias.values()]
    assert all(url.startswith(prefect_api.removesuffix("/api") + "/v2/") for url in found)
    assert all(is_known(prefect_api, url) for url in found if "?" not in url)
    assert card(prefect_api, "2").startswith("## churn@2: no longer champion since ")


def test_without_a_ui_the_cards_have_no_links(prefect_api: str) -> None:
    @flow
    def show() -> None:
        with temporary_settings({PREFECT_UI_URL: ""}):
            publish("churn", "comparison", "## A card\n")

    show()
    assert card(prefect_api, "comparison") == "## A card\n"


def test_an_approved_decision_is_published_again_with_who_approved_it(
    churn: Registry, prefect_api: str
) -> None:
    churn.assign("churn@1", reason="start again")
    decision = churn.decide("churn@2", holdout(seed=2), MANUAL)

    @flow
    def show() -> None:
        publish("churn", "decision", decision_card(decision))
        churn.approve(decision, by="grace", comment="fine")
        churn.promote(decision)
        publish_cards("churn@2")

    show()
    told = card(prefect_api, "decision")
    assert told.startswith("## Promoted: churn@2 takes champion from churn@1\n\nApproved by grace on ")
    assert {"model card of churn@2", "model card of churn@1", "timeline of churn"} <= {*links(told)}


def test_cards_that_can_not_be_published_fail_no_rollback(
    churn: Registry, prefect_api: str, caplog: pytest.LogCaptureFixture
) -> None:
    @flow
    def roll_back() -> int | None:
        entry = churn.roll_back("churn", reason="it broke")
        publish_cards("nobody@1")
        publish_cards(entry.reference)
        return entry.in_force

    assert roll_back() == 2
    assert "not all cards of nobody@1 are published: there is no model 'nobody'" in caplog.text
    told = card(prefect_api, "timeline")
    assert told.startswith("## churn@champion: version 2 is in force since ")


@pytest.mark.parametrize(
    ("model", "kind", "key"),
    [
        ("churn", "7", "model-churn-7"),
        ("churn", "timeline", "model-churn-timeline"),
        ("churn", "health-roc_auc", "model-churn-health-roc-auc-"),
        ("a.b", "decision", "model-a-b-decision-"),
    ],
)
def test_each_card_has_a_key_of_its_own(model: str, kind: str, key: str) -> None:
    assert key_of(model, kind).startswith(key)
    assert re.fullmatch("[a-z0-9-]+", key_of(model, kind))
    assert key_of("a.b", kind) != key_of("a-b", kind)
