"""A folder of any framework's files as a version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from registry.contents import Folder
from registry.exceptions import (
    AlreadyInForce,
    ArtifactCorrupted,
    ArtifactMissing,
    InvalidFolder,
    ModelError,
    NothingToRollBackTo,
)
from tests.examples import fit
from tests.three_versions import training

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry import Registry
    from registry.folders import Manifest

FILES = {"MLmodel": b"flavors: {}\n", "data/model.bin": bytes(100_000), "data/vocabulary/words": b"a b"}


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "model", **changed: bytes) -> Path:
        for path, content in (FILES | changed).items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return tmp_path / name

    return make


@pytest.fixture
def registry(make_registry: Callable[..., Registry]) -> Registry:
    return make_registry()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def stored(registry: Registry) -> int:
    return len(list(registry.backend.artifacts.stored()))


def test_a_folder_comes_back_as_it_was_registered(
    registry: Registry, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    version = registry.register_folder("churn", make_folder(), trained_on=training())
    assert (version.reference, version.serialization) == ("churn@1", "folder")
    assert version.artifact_bytes == sum(map(len, FILES.values()))
    assert contents(registry.fetch("churn@1", tmp_path / "fetched")) == FILES
    assert all(finding.problem is None for finding in registry.verify())


def test_a_folder_is_known_by_its_files_alone(registry: Registry, make_folder: Callable[..., Path]) -> None:
    first = registry.register_folder("churn", make_folder(), trained_on=training())
    again = registry.register_folder("churn", make_folder("elsewhere"), trained_on=training())
    assert again.reference == first.reference
    assert first.artifact == Folder(make_folder()).fingerprint(Path())


def test_versions_share_the_files_that_did_not_change(
    registry: Registry, make_folder: Callable[..., Path]
) -> None:
    registry.register_folder("churn", make_folder(), trained_on=training())
    before = stored(registry)
    registry.register_folder(
        "churn", make_folder("second", MLmodel=b"flavors: {a: 1}\n"), trained_on=training()
    )
    assert stored(registry) - before == 2  # the file and the manifest


def test_a_folder_can_be_put_in_force_and_rolled_back_to(
    registry: Registry, make_folder: Callable[..., Path]
) -> None:
    for name in ("first", "second"):
        version = registry.register_folder(
            "churn", make_folder(name, weights=name.encode()), trained_on=training()
        )
        registry.assign(version.reference, reason=name)
    assert registry.roll_back("churn", reason="worse").in_force == 1
    with pytest.raises(AlreadyInForce):
        registry.assign("churn@1", reason="again")


def test_a_folder_with_a_damaged_file_is_not_rolled_back_to(
    registry: Registry, make_folder: Callable[..., Path]
) -> None:
    for name in ("first", "second"):
        version = registry.register_folder(
            "churn", make_folder(name, weights=name.encode()), trained_on=training()
        )
        registry.assign(version.reference, reason=name)
    damage(registry, Folder(make_folder("first", weights=b"first")).manifest, "weights")
    with pytest.raises(NothingToRollBackTo, match="was not opened"):
        registry.roll_back("churn", reason="worse")


def damage(registry: Registry, manifest: Manifest, path: str) -> Path:
    [file] = [file for file in manifest.files if file.path == path]
    kept = Path(registry.backend.artifacts.location, "sha256", file.digest)
    kept.chmod(0o644)
    kept.write_bytes(b"damaged")
    return kept


def test_nothing_of_a_folder_appears_unless_all_of_it_is_right(
    registry: Registry, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_folder()
    registry.register_folder("churn", folder, trained_on=training())
    kept = damage(registry, Folder(folder).manifest, "data/model.bin")
    before = set(tmp_path.iterdir())
    with pytest.raises(ArtifactCorrupted):
        registry.fetch("churn@1", tmp_path / "fetched")
    kept.unlink()
    with pytest.raises(ArtifactMissing):
        registry.fetch("churn@1", tmp_path / "fetched")
    assert set(tmp_path.iterdir()) == before


def test_what_is_there_already_is_never_overwritten(
    registry: Registry, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    registry.register_folder("churn", make_folder(), trained_on=training())
    (tmp_path / "taken").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    for taken in ("taken", "dangling"):
        with pytest.raises(FileExistsError):
            registry.fetch("churn@1", tmp_path / taken)


def test_an_estimator_is_fetched_as_the_file_that_was_stored(registry: Registry, tmp_path: Path) -> None:
    version = registry.register("churn", fit(training()), trained_on=training())
    fetched = registry.fetch("churn@1", tmp_path / "model.skops")
    assert fetched.stat().st_size == version.artifact_bytes


def test_a_folder_is_never_opened_as_an_estimator(
    registry: Registry, make_folder: Callable[..., Path]
) -> None:
    registry.register_folder("churn", make_folder(), trained_on=training())
    with pytest.raises(ModelError, match="registry fetch"):
        registry.load("churn@1")
    with pytest.raises(ModelError, match="registry fetch"):
        registry.evaluate("churn@1", training(), metrics=["accuracy"])


def test_a_file_that_changes_while_the_folder_is_registered_is_noticed(
    registry: Registry, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder()
    lease = type(registry.backend.rows).lease

    def lease_and_change(self: object, artifacts: dict[str, int]) -> None:
        (folder / "data" / "model.bin").write_bytes(b"changed")
        lease(self, artifacts)  # type: ignore[arg-type]  # the method is called as it is

    monkeypatch.setattr(type(registry.backend.rows), "lease", lease_and_change)
    with pytest.raises(InvalidFolder, match="changed while it was registered"):
        registry.register_folder("churn", folder, trained_on=training())
    assert registry.models() == []


@pytest.mark.parametrize("spoil", ["link", "empty", "file"])
def test_a_folder_that_can_not_be_a_version_leaves_nothing(
    registry: Registry, make_folder: Callable[..., Path], tmp_path: Path, spoil: str
) -> None:
    folder = make_folder()
    if spoil == "link":
        (folder / "passwords").symlink_to("/etc/passwd")
    elif spoil == "empty":
        folder = tmp_path / "empty"
        folder.mkdir()
    else:
        folder = folder / "MLmodel"
    with pytest.raises(InvalidFolder):
        registry.register_folder("churn", folder, trained_on=training())
    assert (registry.models(), stored(registry)) == ([], 0)


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "a/../../outside"])  # noqa: S108, hostile
def test_a_manifest_that_leads_out_of_the_folder_is_refused_before_a_file_is_written(
    registry: Registry, make_folder: Callable[..., Path], tmp_path: Path, path: str
) -> None:
    """Its bytes have the right digest, because whoever owns the database wrote both."""
    registry.register_folder("churn", make_folder(), trained_on=training())
    store = registry.backend.rows
    hostile = Folder(make_folder()).manifest.to_bytes().replace(b"MLmodel", path.encode())
    source = tmp_path / "hostile"
    source.write_bytes(hostile)
    digest = registry.backend.artifacts.write(source)
    store.lease({digest: len(hostile)})
    with store.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER model_version_no_update"))
        connection.execute(text("UPDATE model_version SET artifact = :digest"), {"digest": digest})
    before = set(tmp_path.iterdir())
    with pytest.raises(InvalidFolder):
        registry.fetch("churn@1", tmp_path / "fetched")
    assert set(tmp_path.iterdir()) == before
    assert not os.path.lexists(tmp_path.parent / "outside")
