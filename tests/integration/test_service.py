"""The service that the README shows, under a real server."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from tests.examples import fit, make_dataset
from tests.servers.service import service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry import Registry


def test_the_service_names_the_version_that_answers_and_tells_how_it_is(
    make_registry: Callable[..., Registry], tmp_path: Path
) -> None:
    registry, dataset = make_registry(), make_dataset()
    estimator = fit(dataset)
    registry.register("iris", estimator, trained_on=dataset)
    registry.assign("iris@1", reason="the first")
    place = {
        "MODEL_REGISTRY_DATABASE": registry.backend.rows.name,
        "MODEL_REGISTRY_ARTIFACTS": registry.backend.artifacts.location,
    }
    with service(tmp_path, **place) as running:
        asked = dataset.features.head(3)
        answered = running.predict(json.loads(asked.to_json(orient="records")))
        assert answered.json() == {"prediction": estimator.predict(asked).tolist(), "version": "iris@1"}
        refused = running.predict([{"wind": 1.0}])
        assert refused.status_code == 422
        assert "missing distance" in refused.text
        health = running.health()
        assert health.keys() == {"version", "checked_at", "error"}
        assert (health["version"], health["error"]) == ("iris@1", None)
        assert datetime.fromisoformat(health["checked_at"]).tzinfo is not None
    assert "Finished server process" in (tmp_path / "service.log").read_text()
