"""What an artifact store does, whatever keeps the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact as the store lists it: its size in bytes, and when it was last written, in UTC."""

    digest: str
    size: int
    modified: datetime


class Staged(Protocol):
    """A file on its way into a store: it is known by its digest, and nobody sees it yet."""

    @property
    def digest(self) -> str:
        """The SHA-256 of its bytes."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def publish(self) -> None:
        """Let the bytes stand under their digest; after that, they are there to stay.

        Until then nothing stands there, also when the writer is killed.
        """


class ArtifactStore(Protocol):
    """Keeps files under the SHA-256 of their bytes, written as 64 lower-case hex digits.

    A digest of another form never becomes a path or a key: whatever is asked about it, the answer is
    ArtifactMissing. Every method raises ArtifactStoreUnavailable if the folder or bucket can't be used.
    """

    @property
    def location(self) -> str:
        """Where the bytes are, as errors name it: a folder's path or ``s3://bucket/prefix``."""

    def stage(self, source: Path) -> AbstractContextManager[Staged]:
        """Get the bytes of *source* ready for the block to publish; what it does not publish is gone.

        Between the two, whoever writes can say that the digest will be needed.
        """

    def write(self, source: Path) -> str:
        """Stage *source*, publish it, and return its digest."""
        with self.stage(source) as staged:
            staged.publish()
            return staged.digest

    def fetch(self, digest: str, destination: Path) -> None:
        """Copy the bytes to *destination*, which appears only once they have proven to be the right ones.

        The store is where they are durable: of *destination* a power cut may leave less.

        Raises:
            ArtifactMissing: Nothing is kept under the digest.
            ArtifactCorrupted: What is kept is something else; *destination* is as it was.
        """

    def check(self, digest: str) -> int:
        """Read the bytes once, and keep them nowhere; return how many they are.

        Raises:
            ArtifactMissing: Nothing is kept under the digest.
            ArtifactCorrupted: What is kept is something else.
        """

    def exists(self, digest: str) -> bool:
        """Tell whether something is kept under the digest, without reading it."""

    def remove(self, digest: str) -> None:
        """Forget the bytes; if there are none, nothing happens."""

    def stored(self) -> Iterator[StoredArtifact]:
        """Go through everything that is kept, in no particular order."""

    def sweep(self, before: datetime) -> None:
        """Clear away what killed writers have left half-written since they began, earlier than *before*."""

    def disconnect(self) -> None:
        """Give up connections that lie idle, as before a fork; whatever is asked next makes others."""
