"""Cards as Prefect artifacts, linked to one another and to the flow runs.

The pictures' libraries are imported when a card is drawn, so that a rollback does not wait for them.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_CLOUD_UI_URL, PREFECT_UI_URL

from registry.references import CHAMPION
from registry.tasks.runs import open_registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prefect.client.orchestration import SyncPrefectClient

    from registry.dossier import Dossier
    from registry.facade import Registry

_KINDS = ("decision", "timeline")
_ODD = re.compile(r"[^a-z0-9]+")

_seen: set[str] = set()  # where cards are; a card is replaced by its next version, and not taken away


def publish(model: str, kind: str, markdown: str, beside: Iterable[str] = ()) -> None:
    """Publish a card under a key of its own, with links to the other cards of the model.

    Args:
        model: Whose card.
        kind: What it is: "decision", "comparison", "timeline", "health-METRIC", "backtest", or a version's
            number.
        markdown: The card.
        beside: Further kinds to link to, if they are published.
    """
    from registry.reports import footer  # noqa: PLC0415, see the module

    links = _links(model, [other for other in dict.fromkeys([*beside, *_KINDS]) if other != kind])
    create_markdown_artifact(
        key=key_of(model, kind), markdown=markdown + footer(links), description=_title(model, kind)
    )


@task(task_run_name="publish the cards of {reference}", cache_policy=NO_CACHE)
def publish_cards(reference: str, alias: str = CHAMPION, registry: str | None = None) -> None:
    """Publish the model card of a version and of the one that it replaced, and the timeline of the alias.

    A decision that a person had to agree with is published again, with the answer. If something fails, the
    log says so and the run goes on, for what the cards tell of is written.
    """
    try:
        with open_registry(registry) as opened:
            _publish_all(opened, reference, alias)
    except Exception as error:  # noqa: BLE001, a picture is no reason for a promotion or a rollback to fail
        get_run_logger().warning("not all cards of %s are published: %s", reference, error)


def key_of(model: str, kind: str) -> str:
    """The key of a card.

    Prefect's keys know small letters, digits and single dashes only; names that differ in anything else
    differ at the end.
    """
    name = f"model-{model}-{kind}"
    key = _ODD.sub("-", name.lower())
    return key if key == name else f"{key}-{sha256(name.encode()).hexdigest()[:6]}"


def _publish_all(opened: Registry, reference: str, alias: str) -> None:
    dossier = opened.dossier(reference)
    _publish_timeline(opened, dossier.version.model, alias)
    _publish_model(opened, dossier)
    newest = dossier.entries[-1] if dossier.entries else None
    if newest and newest.moved and newest.replaced and newest.version == dossier.version.number:
        _publish_model(opened, opened.dossier(f"{newest.model}@{newest.replaced}"))
    _publish_answer(dossier)


def _publish_timeline(opened: Registry, model: str, alias: str) -> None:
    from registry.dossier import watched  # noqa: PLC0415, see the module
    from registry.reports import timeline_card  # noqa: PLC0415

    entries, observations = opened.history(model, alias=alias), watched(opened.backend, model, alias)
    runs = _runs(entry.flow_run_id for entry in entries)
    kinds = [str(number) for number in [opened.aliases(model).get(alias)] if number]
    kind = "timeline" if alias == CHAMPION else f"timeline-{alias}"
    publish(model, kind, timeline_card(entries, observations, runs), kinds)


def _publish_model(opened: Registry, dossier: Dossier) -> None:
    from registry.dossier import bounded  # noqa: PLC0415, see the module
    from registry.reports import model_card  # noqa: PLC0415

    version = dossier.version
    runs = _runs([version.flow_run_id, *(entry.flow_run_id for entry in dossier.entries)])
    card = model_card(bounded(opened.backend, dossier), runs)
    kinds = [f"health-{row.metric}" for row in dossier.health if row.alias == CHAMPION]
    publish(version.model, str(version.number), card, kinds)


def _publish_answer(dossier: Dossier) -> None:
    from registry.reports import decision_card  # noqa: PLC0415, see the module

    decision, entry = dossier.decision, dossier.judged
    if (
        decision
        and entry
        and decision.approved
        and (entry.kind != "promoted" or "approval" in entry.evidence)
    ):
        contenders = [decision.challenger, *([decision.champion] if decision.champion else [])]
        kinds = [contender.rpartition("@")[2] for contender in contenders]
        publish(dossier.version.model, "decision", decision_card(decision, entry), kinds)


def _title(model: str, kind: str) -> str:
    return f"model card of {model}@{kind}" if kind.isdigit() else f"{kind} of {model}"


def _links(model: str, kinds: Iterable[str]) -> dict[str, str]:
    """Where the model's other cards are, and the running flow, as far as a UI is known."""
    address = _ui()
    if address is None:
        return {}
    cards = {_title(model, kind): _card(address, key_of(model, kind)) for kind in kinds}
    unseen = [card.rpartition("/")[2] for card in cards.values() if card not in _seen]
    _seen.update(_card(address, key) for key in _published(unseen))
    links = {title: card for title, card in cards.items() if card in _seen}
    links[f"all cards of {model}"] = f"{address}/artifacts?name={quote(key_of(model, ''))}"
    around = FlowRunContext.get()
    if around and around.flow_run:
        links["the flow run"] = _run(address, str(around.flow_run.id))
    return links


def _card(address: str, key: str) -> str:
    return f"{address}/artifacts/key/{key}"


def _runs(ids: Iterable[str | None]) -> dict[str, str]:
    address = _ui()
    return {} if address is None else {run: _run(address, run) for run in ids if run is not None}


def _run(address: str, run: str) -> str:
    return f"{address}/runs/flow-run/{quote(run, safe='')}"


def _published(keys: Sequence[str]) -> Sequence[str]:
    """Those of the *keys* that there is a card for, because the UI breaks on a key that it does not know."""
    if not keys:
        return keys
    with get_client(sync_client=True) as client:
        if _count(client, keys) == len(keys):
            return keys
        return [key for key in keys if _count(client, [key])]


def _count(client: SyncPrefectClient, keys: Sequence[str]) -> int:
    """How many of the *keys* have a card; the cards themselves may be large."""
    which = {"artifacts": {"key": {"any_": list(keys)}}}
    counted: int = client.request("POST", "/artifacts/latest/count", json=which).raise_for_status().json()
    return counted


def _ui() -> str | None:
    """The address of the UI, if there is one. Prefect's own server serves the present one below ``/v2``."""
    url, cloud = PREFECT_UI_URL.value(), PREFECT_CLOUD_UI_URL.value()
    if not url:
        return None
    served_here = not (cloud and url.startswith(cloud)) and not url.endswith("/v2")
    return f"{url.rstrip('/')}/v2" if served_here else url
