"""A flow that registers two versions; between them it waits for a file, so that a test can act meanwhile."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from prefect import flow
from sklearn.dummy import DummyClassifier

from registry.tasks import register_version
from tests.examples import fit
from tests.faults.places import MODEL, training

SECONDS = 60


@flow
def train_two(folder: Path) -> None:
    for number in (1, 2):
        register_version(MODEL, fit(training(), DummyClassifier(random_state=number)), training())
        (folder / f"registered {number}").touch()
        deadline = time.monotonic() + SECONDS
        while not (folder / "go on").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


if __name__ == "__main__":
    train_two(Path(sys.argv[1]))
