"""Run forms that know what exists: the versions in a dropdown, and text that only a reference can be.

Prefect makes a deployment's run form out of a JSON schema, in which a parameter of the types below is marked.
After each registration the newest versions are written into it. The form offers those, and the Prefect server
takes any other reference too: an older version, or an alias.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any

import httpx
from prefect.client.orchestration import get_client
from prefect.context import SettingsContext, get_settings_context
from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger
from prefect.settings import PREFECT_API_URL
from pydantic import Field

from registry.references import LONGEST_ALIAS, LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prefect.client.orchestration import SyncPrefectClient

    from registry.facade import Registry

TAG = "model-registry"
"""What the deployments are tagged with whose forms are kept up to date."""

MOST = 200
"""How many versions a form offers. The browser draws them all at once: 5,000 take it two seconds."""

PATIENCE = 3.0
"""Seconds until a server that accepts connections but does not answer counts as away."""

_NONE_YET = "No version is registered yet; the first will be offered here."
_TYPED = "An older version, or an alias, such as churn@champion."

_OFFERS = "x-offers"
_VERSIONS = "versions"
_PAGE = 200  # the most that the server gives at once

_MODEL = "[A-Za-z0-9_]([A-Za-z0-9_. -]*[A-Za-z0-9_])?"
_ALIAS = "(?!-)[0-9]*[A-Za-z_-][A-Za-z0-9_-]*"

# The patterns are in the schema alone: the form shows them to whoever broke them, so they are short, and the
# flow's own steps refuse what is left in better words.
VersionChoice = Annotated[
    str,
    Field(json_schema_extra={"pattern": f"^{_MODEL}@([1-9][0-9]*|{_ALIAS})$", _OFFERS: _VERSIONS}),
]
"""A reference, such as ``churn@7`` or ``churn@latest``; the run form offers the newest versions."""

AliasText = Annotated[str, Field(json_schema_extra={"pattern": f"^{_ALIAS}$", "maxLength": LONGEST_ALIAS})]
"""An alias, such as ``champion``."""

ModelText = Annotated[str, Field(json_schema_extra={"pattern": f"^{_MODEL}$", "maxLength": LONGEST_NAME})]
"""A model's name, such as ``churn``."""

ReasonText = Annotated[str, Field(json_schema_extra={"pattern": r"\S"})]
"""Why somebody does it; a form that leaves it empty is refused."""


def with_choices(schema: Mapping[str, Any], references: Sequence[str]) -> dict[str, Any]:
    """The schema of a run form that offers *references*, in place of what it offered before.

    Args:
        schema: The JSON schema of a flow's parameters.
        references: The newest versions, newest first.
    """
    properties = {
        name: {**about, "anyOf": _ways(references)} if _is_marked(about) else about
        for name, about in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties}


def refresh_choices(registry: Registry, block: str | None = None) -> None:
    """Let the run forms offer the newest versions of *registry*.

    These are the forms of the deployments tagged ``model-registry`` that have a ``VersionChoice`` among their
    parameters and work on the same registry. Nothing is raised: a form that was not reached says so in the
    log, and is right again after the next registration. Without a configured server there are no forms.

    Args:
        registry: Where the versions are.
        block: The name under which deployments know it, in their parameter ``registry``; None if they take
            it from the settings.
    """
    if not PREFECT_API_URL.value():
        return
    try:
        with _impatience(), get_client(sync_client=True) as client:
            _refresh(client, registry, block)
    except Exception as error:  # noqa: BLE001, whatever it was, the version is registered
        _warn(error)


@contextmanager
def _impatience() -> Iterator[None]:
    """Let Prefect try a call once more at most, because a busy server refuses one now and then.

    ``temporary_settings`` would check all settings anew, which takes longer than the calls.
    """
    around = get_settings_context()
    client = around.settings.client.model_copy(update={"max_retries": 1})
    api = around.settings.api.model_copy(update={"request_timeout": PATIENCE})
    settings = around.settings.model_copy(update={"client": client, "api": api})
    with SettingsContext(profile=around.profile, settings=settings):
        yield


def _refresh(client: SyncPrefectClient, registry: Registry, block: str | None) -> None:
    """Write the newest versions until they still are when it is done, so that of two runs none is lost."""
    forms = {form["id"]: form["parameter_openapi_schema"] for form in _forms(client, block)}
    offered: list[str] | None = None
    while forms and (newest := registry.backend.rows.newest_versions(MOST)) != offered:
        for deployment, schema in forms.items():
            forms[deployment] = with_choices(schema, newest)
            if forms[deployment] != schema:
                _write(client, deployment, forms[deployment])
        offered = newest


def _forms(client: SyncPrefectClient, block: str | None) -> Iterator[dict[str, Any]]:
    """The deployments with a form to refresh, as the server has them."""
    for deployment in _deployments(client):
        properties = (deployment["parameter_openapi_schema"] or {}).get("properties", {})
        default = properties.get("registry", {}).get("default")
        works_on = deployment["parameters"].get("registry", default)
        if (works_on or None) == (block or None) and any(map(_is_marked, properties.values())):
            yield deployment


def _deployments(client: SyncPrefectClient) -> Iterator[dict[str, Any]]:
    tagged = {"deployments": {"tags": {"all_": [TAG]}}, "limit": _PAGE}
    for offset in count(0, _PAGE):
        page = {**tagged, "offset": offset}
        found = client.request("POST", "/deployments/filter", json=page, timeout=PATIENCE).json()
        yield from found
        if len(found) < _PAGE:
            return


def _write(client: SyncPrefectClient, deployment: str, schema: Mapping[str, Any]) -> None:
    """Give the deployment the form; that one refuses it, or is gone by now, is no harm to the others."""
    change = {"parameter_openapi_schema": schema}
    path = {"id": deployment}
    try:
        client.request("PATCH", "/deployments/{id}", path_params=path, json=change, timeout=PATIENCE)
    except httpx.HTTPStatusError as refusal:
        _warn(refusal)


def _is_marked(about: Mapping[str, Any]) -> bool:
    return about.get(_OFFERS) == _VERSIONS


def _ways(references: Sequence[str]) -> list[dict[str, Any]]:
    """How to name a version, each a tab of the form; the second takes all text that the pattern leaves."""
    if not references:
        return [{"title": "Type it", "type": "string", "description": _NONE_YET}]
    return [
        {"title": "Newest versions", "type": "string", "enum": list(references)},
        {"title": "Any other", "type": "string", "description": _TYPED},
    ]


def _warn(error: Exception) -> None:
    try:
        log = get_run_logger()
    except MissingContextError:
        log = get_logger(__name__)
    reason = str(error).partition("\n")[0] or type(error).__name__
    log.warning("a run form does not offer the newest versions until the next comes: %s", reason)
