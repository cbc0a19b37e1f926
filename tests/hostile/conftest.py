"""The corpus as bytes, and a registry into which somebody hostile has written it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.event import listen

from registry import Registry, storage
from registry.exceptions import RegistryError
from registry.ledger import Proposal
from registry.submissions import Submission
from registry.tables import Evaluation, Metric, ModelVersion
from tests.examples import fit, make_dataset
from tests.hostile.corpus import CORPUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.trust import Consent

TRAINING = make_dataset(name="january")
HOLDOUT = make_dataset(rows=200, seed=1, name="february")


@dataclass(frozen=True)
class File:
    """A payload that was built for a marker of its own."""

    name: str
    content: bytes


@dataclass
class Arsenal:
    """All payloads; the folder in which nothing may appear."""

    folder: Path
    files: list[File]

    def touched(self) -> list[str]:
        """What has appeared there."""
        return [str(path) for path in self.folder.rglob("*") if path.is_file() or path.name == "marker"]


@pytest.fixture(scope="session")
def arsenal(tmp_path_factory: pytest.TempPathFactory) -> Arsenal:
    folder = tmp_path_factory.mktemp("hostile")
    files = []
    for number, payload in enumerate(CORPUS):
        (folder / str(number)).mkdir()
        files.append(File(payload.name, payload.build(folder / str(number) / "marker")))
    return Arsenal(folder, files)


@dataclass
class Invaded:
    """A registry with a good version in force, whose database and artifacts somebody hostile can write."""

    registry: Registry
    good: ModelVersion
    ends: Counter[str] = field(default_factory=Counter)

    def plant(self, content: bytes, serialization: str = "skops", model: str = "late") -> ModelVersion:
        """A version of these bytes, as valid as a row can be."""
        backend = self.registry.backend
        copied = self.good.model_dump(exclude={"number", "previous", "renewal", "previous_hash", "hash"})
        unique = hashlib.sha256(content + serialization.encode() + model.encode()).hexdigest()
        row = ModelVersion(
            **copied
            | {
                "model": model,
                "number": 0,
                "artifact": self.put(content),
                "artifact_bytes": len(content),
                "serialization": serialization,
                "training": unique,
                "fitted": unique,
            }
        )
        return backend.rows.append_version(
            Submission(version=row, trained_on=TRAINING.record(), request=unique)
        )

    def plant_predictions(self, content: bytes, model: str) -> ModelVersion:
        """A good version whose stored predictions are these bytes."""
        backend = self.registry.backend
        good = Path(backend.artifacts.location, "sha256", self.good.artifact).read_bytes()
        version = self.plant(good, model=model)
        identity: dict[str, Any] = {"model": model, "number": version.number, "dataset": HOLDOUT.fingerprint}
        evaluation = Evaluation(
            **identity,
            rows=HOLDOUT.rows,
            predictions=self.put(content),
            evaluated_by="mallory",
        )
        metric = Metric(**identity, slice="all", name="accuracy", value=0.9, rows=HOLDOUT.rows)
        backend.rows.append_evaluation(evaluation, [metric], HOLDOUT.record())
        return version

    def put(self, content: bytes) -> str:
        with TemporaryDirectory() as folder:
            path = Path(folder, "payload")
            path.write_bytes(content)
            return storage.put(self.registry.backend, path)

    def put_in_force(self, version: ModelVersion) -> None:
        """Move the alias by a row, past every gate."""
        proposal = Proposal(kind="assigned", model=version.model, version=version.number, reason="mallory")
        self.registry.backend.rows.append_entry(proposal)

    def under(self, consent: Consent) -> Registry:
        """The registry where these allow pickle."""
        return Registry.of(replace(self.registry.backend, consent=consent))

    def refused(self, step: Callable[[], Any]) -> RegistryError:
        """Take the *step*, which has to end in an error of the registry's own."""
        try:
            step()
        except RegistryError as error:
            self.ends[type(error).__name__] += 1
            return error
        pytest.fail("it was not refused")


@pytest.fixture
def invaded(
    make_registry: Callable[..., Registry],
    arsenal: Arsenal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Invaded]:
    """Nothing may have been executed when the test is over; `pytest -s` prints how the payloads ended."""
    registry = make_registry()
    listen(registry.backend.rows.engine, "connect", _in_haste)
    registry.close()
    good = registry.register("late", fit(TRAINING), trained_on=TRAINING)
    registry.assign(good.reference, reason="the first")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    invaded = Invaded(registry, good)
    yield invaded
    assert arsenal.touched() == []
    assert [*here.iterdir()] == []
    count = ", ".join(f"{name} {number}" for name, number in invaded.ends.most_common())
    print(f"\n{request.node.name}: {invaded.ends.total()} attempts, executed 0: {count}")  # noqa: T201


def _in_haste(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")  # thousands of rows that need not survive a power cut
