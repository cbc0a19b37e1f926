"""The bytes that rows refer to: whether each is there, and is what it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from registry.database import reading
from registry.disposal import needed
from registry.exceptions import ArtifactError, InvalidFolder
from registry.folders import FORMAT, Manifest
from registry.tables import Row
from registry.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine
    from sqlalchemy import Row as Found

    from registry.artifacts import ArtifactStore
    from registry.backend import Backend

_AT_ONCE = 200  # artifacts that are asked for by one statement; none is held open while bytes are read

_ARTIFACT, _FILE = Row.metadata.tables["model_artifact"].c, Row.metadata.tables["model_artifact_file"].c
_VERSION, _EVALUATION = Row.metadata.tables["model_version"].c, Row.metadata.tables["evaluation"].c


@dataclass(frozen=True)
class Holding:
    """Bytes that a row refers to.

    Attributes:
        digest: Their SHA-256.
        name: What they are, such as ``churn@7``.
        size: How many the database says they are; 0 where nobody wrote it down.
        purged: By whom, when and why they were given up; None if they are to be there.
    """

    digest: str
    name: str
    size: int
    purged: str | None


def weight(engine: Engine) -> int:
    """The size in bytes of all that is to be there."""
    everything = select(func.coalesce(func.sum(_ARTIFACT.bytes), 0)).where(_ARTIFACT.purged_at.is_(None))
    with reading(engine) as session:
        return int(session.connection().scalar(everything.where(needed())) or 0)


def held(engine: Engine) -> Iterator[Holding]:
    """All that rows refer to, by digest.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    last = ""
    while portion := _read(engine, _ARTIFACT.digest > last):
        yield from portion
        last = portion[-1].digest


def damage(backend: Backend, holding: Holding) -> str | None:
    """What is wrong with the bytes; None if nothing is, or if nobody needs them any more by now."""
    try:
        found = backend.artifacts.check(holding.digest)
        if found != holding.size and holding.size:
            return f"has {count(found, 'byte')}, and its row says {holding.size:,}"
        return _misquoted(backend, holding)
    except ArtifactError as error:
        now = _read(backend.rows.engine, _ARTIFACT.digest == holding.digest)
        return str(error) if now and now[0].purged is None else None


def _read(engine: Engine, which: ColumnElement[bool]) -> list[Holding]:
    artifacts = select(*_ARTIFACT).where(which, needed()).order_by(_ARTIFACT.digest).limit(_AT_ONCE)
    with reading(engine) as session:
        connection = session.connection()
        rows = connection.execute(artifacts).all()
        names = _names(connection, [row.digest for row in rows])
    return [Holding(row.digest, names[row.digest], row.bytes, _purge(row)) for row in rows]


def _names(connection: Connection, digests: Sequence[str]) -> dict[str, str]:
    """What people call each of these; a version before a file, a file before predictions."""
    predictions = select(_EVALUATION.predictions, _EVALUATION.model, _EVALUATION.number)
    files = select(_FILE.digest, _VERSION.model, _VERSION.number, _FILE.path).join(
        _FILE.manifest.table, _VERSION.artifact == _FILE.manifest
    )
    versions = select(_VERSION.artifact, _VERSION.model, _VERSION.number)
    names: dict[str, str] = {}
    for pattern, rows in (
        ("the predictions of {}@{}", predictions.where(_EVALUATION.predictions.in_(digests))),
        ("{2} of {0}@{1}", files.where(_FILE.digest.in_(digests))),
        ("{}@{}", versions.where(_VERSION.artifact.in_(digests))),
    ):
        names |= {digest: pattern.format(*facts) for digest, *facts in connection.execute(rows)}
    return names


def _purge(row: Found[Any]) -> str | None:
    if row.purged_at is None:
        return None
    return f"purged by {row.purged_by} on {row.purged_at:%Y-%m-%d}: {row.purged_because}"


def _misquoted(backend: Backend, holding: Holding) -> str | None:
    """How the rows about a folder's files differ from its manifest, if the *holding* is one."""
    folders = select(_VERSION.number).where(
        _VERSION.artifact == holding.digest, _VERSION.serialization == FORMAT
    )
    rows = select(_FILE.path, _FILE.digest).where(_FILE.manifest == holding.digest)
    with reading(backend.rows.engine) as session:
        if session.connection().execute(folders.limit(1)).first() is None:
            return None
        quoted = {path: digest for path, digest in session.connection().execute(rows)}  # noqa: C416, for mypy
    try:
        files = {file.path: file.digest for file in _manifest(backend.artifacts, holding.digest).files}
    except InvalidFolder as error:
        return f"is no manifest: {error}"
    different = sorted(path for path, _ in files.items() ^ quoted.items())
    return f"names other files than its rows do, {different[0]!r} among them" if different else None


def _manifest(artifacts: ArtifactStore, digest: str) -> Manifest:
    with TemporaryDirectory(prefix="registry-") as folder:
        artifacts.fetch(digest, Path(folder, digest))
        return Manifest.from_bytes(Path(folder, digest).read_bytes())
