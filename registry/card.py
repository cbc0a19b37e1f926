"""All that is known of a version on one page, which needs no server and nothing from elsewhere."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from registry import reports
from registry.dossier import MOST_OBSERVED, bounded, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.backend import Backend
    from registry.dossier import Dossier


def card(backend: Backend, dossier: Dossier) -> str:
    """The model card of a version as one HTML file, with its last decision, the timeline and its health.

    Raises:
        ArtifactStoreUnavailable: The stored predictions can't be read now.
    """
    written = backend.rows.clock().astimezone(UTC)
    title = f"Model card, as of {written:%Y-%m-%d %H:%M} UTC"
    return reports.page(dossier.version.reference, title, list(_cards(backend, dossier)))


def _cards(backend: Backend, dossier: Dossier) -> Iterator[str]:
    model, alias = dossier.version.model, dossier.alias
    yield reports.model_card(bounded(backend, dossier))
    if dossier.decision is not None:
        yield reports.decision_card(dossier.decision, dossier.judged)
    if entries := backend.rows.history(model, alias):
        yield reports.timeline_card(entries, watched(backend, model, alias))
    for row in dossier.health:
        stream = backend.observations.last(model, row.alias, row.metric, MOST_OBSERVED)
        yield reports.health_card(stream, backend.rows.history(model, row.alias))
