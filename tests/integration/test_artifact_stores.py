"""What every artifact store does, held by one suite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import boto3
import pytest

import registry
from registry.artifacts import ArtifactStore, FolderArtifactStore
from registry.artifacts.s3 import PART, S3ArtifactStore
from registry.exceptions import ArtifactCorrupted, ArtifactMissing
from tests.servers.faulty_wire import flipped

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = sha256(b"").hexdigest()
CONTENTS = {
    "nothing": b"",
    "one byte": b"\0",
    "a model": b"coefficients\n" * 4_000,
    "exactly one part": bytes(PART),
    "several parts": b"forest" * (PART // 5) + b"!",
}
NOT_DIGESTS = [
    "",
    "../x",
    "../../etc/passwd",
    NOTHING.upper(),
    NOTHING[:-1],
    NOTHING + "0",
    NOTHING + "\n",
    "/",
]


class Backend(Protocol):
    """A kind of store, and the access to it that its owner has behind the registry's back."""

    def open(self) -> ArtifactStore: ...
    def tamper(self, digest: str, content: bytes) -> None: ...
    def unfinished(self) -> int: ...
    def die_before_the_end(self) -> str: ...


@dataclass(frozen=True)
class Folder:
    root: Path

    def open(self) -> ArtifactStore:
        return FolderArtifactStore(self.root)

    def tamper(self, digest: str, content: bytes) -> None:
        path = self.root / "sha256" / digest
        path.chmod(0o644)
        path.write_bytes(content)

    def unfinished(self) -> int:
        return len(list(self.root.rglob("*.part")))

    def die_before_the_end(self) -> str:
        return f"""
            from registry.artifacts import FolderArtifactStore
            sys.addaudithook(lambda event, args: event == "os.rename" and die())
            store = FolderArtifactStore(Path({str(self.root)!r}))
        """


@dataclass(frozen=True)
class Bucket:
    name: str

    def open(self) -> ArtifactStore:
        return S3ArtifactStore(self.name, "team/models")

    def tamper(self, digest: str, content: bytes) -> None:
        boto3.client("s3").put_object(
            Bucket=self.name,
            Key=f"team/models/sha256/{digest}",
            Body=content,
            ChecksumAlgorithm="SHA256",
        )

    def unfinished(self) -> int:
        return len(boto3.client("s3").list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def die_before_the_end(self) -> str:
        return f"""
            from registry.artifacts.s3 import S3ArtifactStore, connect
            client = connect()
            client.meta.events.register("before-call.s3.CompleteMultipartUpload", die)
            store = S3ArtifactStore({self.name!r}, "team/models", client)
        """


@pytest.fixture(params=["folder", "s3"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "folder":
        return Folder(tmp_path / "deep" / "store")
    make_bucket: Callable[[], str] = request.getfixturevalue("make_bucket")
    return Bucket(make_bucket())


@pytest.fixture
def store(backend: Backend) -> ArtifactStore:
    return backend.open()


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / f"source-{sha256(content).hexdigest()[:8]}"
        path.write_bytes(content)
        return path

    return make


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """A path in a folder that holds nothing else."""
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched" / "model"


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_bytes_come_back_as_they_were_written(
    store: ArtifactStore, make_file: Callable[[bytes], Path], destination: Path, content: bytes
) -> None:
    digest = store.write(make_file(content))
    store.fetch(digest, destination)
    assert destination.read_bytes() == content
    assert digest == sha256(content).hexdigest()
    assert list(destination.parent.iterdir()) == [destination]


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_checked_bytes_are_counted(
    store: ArtifactStore, make_file: Callable[[bytes], Path], content: bytes
) -> None:
    assert store.check(store.write(make_file(content))) == len(content)


def test_an_artifact_is_listed_with_its_size_and_the_time_of_writing(
    store: ArtifactStore, make_file: Callable[[bytes], Path]
) -> None:
    digests = {store.write(make_file(content)): len(content) for content in (b"", b"abc", bytes(PART + 1))}
    listed = list(store.stored())
    assert {artifact.digest: artifact.size for artifact in listed} == digests
    for artifact in listed:
        assert artifact.modified.tzinfo is UTC
        assert abs(artifact.modified - datetime.now(UTC)) < timedelta(seconds=30)


def test_a_new_store_holds_nothing(store: ArtifactStore) -> None:
    assert list(store.stored()) == []
    assert not store.exists(NOTHING)
    store.sweep(datetime.now(UTC))


def test_another_store_at_the_same_place_has_the_same_artifacts(
    backend: Backend, store: ArtifactStore, make_file: Callable[[bytes], Path]
) -> None:
    digest = store.write(make_file(b"shared"))
    assert backend.open().exists(digest)
    assert backend.open().location == store.location


@pytest.mark.parametrize("content", [b"twice", bytes(PART + 1)], ids=["small", "several parts"])
def test_bytes_that_are_written_twice_are_kept_once(
    store: ArtifactStore, make_file: Callable[[bytes], Path], content: bytes
) -> None:
    first = store.write(make_file(content))
    assert store.write(make_file(content)) == first
    [kept] = store.stored()
    assert (kept.digest, kept.size) == (first, len(content))


def test_what_is_staged_is_known_by_its_digest_and_seen_by_nobody_until_it_is_published(
    store: ArtifactStore, make_file: Callable[[bytes], Path]
) -> None:
    content = b"staged"
    with store.stage(make_file(content)) as staged:
        assert (staged.digest, staged.size) == (sha256(content).hexdigest(), len(content))
        assert not store.exists(staged.digest)
        staged.publish()
        assert store.exists(staged.digest)
    assert store.exists(staged.digest)


def test_what_is_staged_and_not_published_leaves_nothing(
    backend: Backend, store: ArtifactStore, make_file: Callable[[bytes], Path]
) -> None:
    with store.stage(make_file(b"not published")):
        pass
    assert list(store.stored()) == []
    assert backend.unfinished() == 0


@pytest.mark.parametrize("damaged", [b"", b"damage", b"a damaged file, longer than what was written"])
def test_writing_again_heals_what_was_damaged(
    backend: Backend,
    store: ArtifactStore,
    make_file: Callable[[bytes], Path],
    destination: Path,
    damaged: bytes,
) -> None:
    digest = store.write(make_file(b"intact"))
    backend.tamper(digest, damaged)
    store.fetch(store.write(make_file(b"intact")), destination)
    assert destination.read_bytes() == b"intact"


def test_writing_again_leaves_the_bytes_as_they_were(
    store: ArtifactStore, make_file: Callable[[bytes], Path], destination: Path
) -> None:
    content = b"again" * (PART // 4)
    source = make_file(content)
    store.fetch(store.write(source) and store.write(source), destination)
    assert destination.read_bytes() == content


@pytest.mark.parametrize("content", [b"race", bytes(PART + 1)], ids=["small", "several parts"])
def test_concurrent_writers_of_the_same_bytes_all_succeed_and_leave_one_artifact(
    backend: Backend, make_file: Callable[[bytes], Path], destination: Path, content: bytes
) -> None:
    source, stores = make_file(content), [backend.open() for _ in range(6)]
    with ThreadPoolExecutor(len(stores)) as pool:
        digests = set(pool.map(lambda store: store.write(source), stores))
    [digest] = digests
    assert [artifact.digest for artifact in stores[0].stored()] == [digest]
    stores[0].fetch(digest, destination)
    assert destination.read_bytes() == content


def test_a_removed_artifact_is_gone_and_can_be_removed_and_written_again(
    store: ArtifactStore, make_file: Callable[[bytes], Path]
) -> None:
    digest = store.write(make_file(b"short-lived"))
    store.remove(digest)
    store.remove(digest)
    assert not store.exists(digest)
    assert list(store.stored()) == []
    assert store.exists(store.write(make_file(b"short-lived")))


def test_what_was_never_written_is_missing(store: ArtifactStore, destination: Path) -> None:
    with pytest.raises(ArtifactMissing) as refusal:
        store.fetch(NOTHING, destination)
    assert (refusal.value.digest, refusal.value.location) == (NOTHING, store.location)
    assert list(destination.parent.iterdir()) == []
    with pytest.raises(ArtifactMissing):
        store.check(NOTHING)


@pytest.mark.parametrize("digest", NOT_DIGESTS)
def test_what_is_not_a_digest_never_becomes_a_path_or_a_key(
    store: ArtifactStore, destination: Path, digest: str
) -> None:
    for ask in (store.exists, store.check, store.remove, lambda text: store.fetch(text, destination)):
        with pytest.raises(ArtifactMissing):
            ask(digest)


DAMAGES = pytest.mark.parametrize(
    "damage", [flipped, lambda content: content[:-1], lambda _: b""], ids=["flip", "cut", "empty"]
)


@DAMAGES
def test_damaged_bytes_do_not_pass_a_check(
    backend: Backend, make_file: Callable[[bytes], Path], damage: Callable[[bytes], bytes]
) -> None:
    store, content = backend.open(), b"a model" * 100_000
    digest = store.write(make_file(content))
    backend.tamper(digest, damage(content))
    with pytest.raises(ArtifactCorrupted) as refusal:
        store.check(digest)
    assert refusal.value.found == sha256(damage(content)).hexdigest()


@DAMAGES
def test_damaged_bytes_never_reach_their_destination(
    backend: Backend, make_file: Callable[[bytes], Path], destination: Path, damage: Callable[[bytes], bytes]
) -> None:
    store, content = backend.open(), b"a model" * 100_000
    digest = store.write(make_file(content))
    backend.tamper(digest, damage(content))
    destination.write_bytes(b"an older model")
    with pytest.raises(ArtifactCorrupted) as refusal:
        store.fetch(digest, destination)
    assert (refusal.value.digest, refusal.value.location) == (digest, store.location)
    assert refusal.value.found == sha256(damage(content)).hexdigest()
    assert destination.read_bytes() == b"an older model"
    assert list(destination.parent.iterdir()) == [destination]


def test_a_fetched_file_replaces_an_older_one(
    store: ArtifactStore, make_file: Callable[[bytes], Path], destination: Path
) -> None:
    destination.write_bytes(b"an older model")
    store.fetch(store.write(make_file(b"a model")), destination)
    assert destination.read_bytes() == b"a model"


def test_a_source_that_does_not_exist_is_the_callers_mistake_not_the_stores(
    store: ArtifactStore, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        store.write(tmp_path / "nowhere")
    assert list(store.stored()) == []


def test_a_writer_killed_at_the_last_moment_leaves_no_artifact_and_nothing_that_sweeping_misses(
    backend: Backend, make_file: Callable[[bytes], Path]
) -> None:
    store, source = backend.open(), make_file(b"large" * (PART // 4))
    assert write_and_die(backend, source) == -signal.SIGKILL
    assert list(store.stored()) == []
    assert backend.unfinished() == 1
    store.sweep(datetime.now(UTC) - timedelta(hours=1))
    assert backend.unfinished() == 1
    store.sweep(datetime.now(UTC) + timedelta(hours=1))
    assert backend.unfinished() == 0
    assert store.exists(store.write(source))


def test_sweeping_spares_what_is_stored(store: ArtifactStore, make_file: Callable[[bytes], Path]) -> None:
    digest = store.write(make_file(b"kept"))
    store.sweep(datetime.now(UTC) + timedelta(hours=1))
    assert store.exists(digest)


def write_and_die(backend: Backend, source: Path) -> int:
    """Write in another process, which kills itself when only the last step is left; return its status."""
    program = f"""
        import os, signal, sys
        from pathlib import Path
        def die(**_): os.kill(os.getpid(), signal.SIGKILL)
        {backend.die_before_the_end().strip()}
        store.write(Path({str(source)!r}))
    """
    lines = "\n".join(line.strip() for line in program.splitlines())
    [package] = registry.__path__
    environment = {**os.environ, "PYTHONPATH": str(Path(package).parent)}
    return subprocess.run([sys.executable, "-c", lines], env=environment, check=False).returncode  # noqa: S603  ours
