"""The run forms of a plan, each offering the newest versions of the registry that its deployment works on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from registry.exceptions import RegistryError
from registry.tasks import open_registry
from registry.tasks.forms import MOST, with_choices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registry.deployments.plan import Planned

Newest = list[str] | RegistryError
"""The newest versions, or why they can't be known from here."""


def newest_versions() -> Callable[[Planned], Newest]:
    """Look up what the form of a deployment offers; each registry is asked once."""

    @cache
    def newest(block: str | None) -> Newest:
        try:
            with open_registry(block) as registry:
                return registry.backend.rows.newest_versions(MOST)
        except RegistryError as error:
            return error

    return lambda planned: newest(planned.spec.parameters.get("registry"))


def form_of(planned: Planned, newest: Newest, there: Mapping[str, Any] | None) -> dict[str, Any]:
    """The run form of *planned* with the *newest* versions, or with those that the one *there* offers."""
    return with_choices(planned.form, _offered(there or {}) if isinstance(newest, RegistryError) else newest)


def _offered(form: Mapping[str, Any]) -> list[str]:
    ways = (way for about in form.get("properties", {}).values() for way in about.get("anyOf", []))
    return next((way["enum"] for way in ways if way.get("type") == "string" and "enum" in way), [])
