"""How a process dies while it registers, and what it leaves half-written."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from registry.artifacts import filesystem, s3
from registry.store import Store
from tests.faults.places import Place, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.submissions import Submission
    from registry.tables import ModelVersion


def die(*_: object) -> None:
    """What the out-of-memory killer does."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(seconds: float) -> None:
    """Die so long from now, whatever is being done then."""
    signal.signal(signal.SIGALRM, die)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def after(owner: Any, name: str) -> None:
    """Let whoever calls *name* die as soon as it is done."""
    inner = getattr(owner, name)

    def deadly(*given: Any, **named: Any) -> None:
        inner(*given, **named)
        die()

    setattr(owner, name, deadly)


def before(owner: Any, name: str) -> None:
    """Let whoever calls *name* die instead."""
    setattr(owner, name, die)


def halfway_through_the_bytes() -> None:
    def copy(source: Any, target: Any) -> None:
        target.write(source.read(100))
        target.flush()
        die()

    assert callable(vars(filesystem)["copied"])
    vars(filesystem)["copied"] = copy
    before(s3.StagedUpload, "publish")  # there is nothing halfway in one PUT


def after_the_bytes_appeared() -> None:
    after(filesystem.FolderArtifactStore, "adopt")
    before(s3.S3ArtifactStore, "_check")


def inside_the_transaction() -> None:
    inner = Store.append_version

    def deadly(store: Store, submission: Submission) -> ModelVersion:
        event.listen(store.engine, "commit", die)
        return inner(store, submission)

    setattr(Store, "append_version", deadly)  # noqa: B010, mypy knows that a method is none to assign to


STEPS: dict[str, Callable[[], None]] = {
    "halfway through the bytes": halfway_through_the_bytes,
    "before the lease": lambda: before(Store, "lease"),
    "after the lease": lambda: after(Store, "lease"),
    "after the bytes appeared": after_the_bytes_appeared,
    "before the row": lambda: before(Store, "append_version"),
    "inside the transaction": inside_the_transaction,
    "after the commit, before the answer": lambda: after(Store, "append_version"),
}


def register_deadly(place: Place, step: str, number: int) -> None:
    """Register, and die at the *step*."""
    with place.open() as registry:
        STEPS[step]()
        register(registry, number)


def half_written(place: Place) -> list[Path]:
    return list(Path(place.artifacts).rglob("*.part"))


def age_what_was_half_written(place: Place) -> None:
    """A collection spares what is younger than a day, because somebody may be writing it."""
    long_ago = time.time() - 2 * 24 * 3600
    for path in half_written(place):
        os.utime(path, (long_ago, long_ago))
