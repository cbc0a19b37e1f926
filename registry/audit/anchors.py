"""Checkpoints that are kept elsewhere: how long each chain was, and the hash at its end.

Whoever owns the database can cut the end off a chain, or write all of it anew with hashes that fit. Nothing
in the database tells; a file does that was written before and that they can't change. So an anchor is signed,
and it is never overwritten: keep anchors where the database's owner can't write.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import and_, func, select

from registry.artifacts.content import unfinished
from registry.audit.chains import ENTRIES, VERSIONS, missing, plural, snapshot, stream
from registry.exceptions import AnchorUnusable, EnvelopeRefused
from registry.signing import dsse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL, Connection

    from registry.audit.chains import Kind
    from registry.signing.keys import SigningKey, TrustedKey
    from registry.store import Store

PAYLOAD_TYPE = "application/vnd.prefect-model-registry.audit.anchors+json"
LONGEST = 2**28
"""An anchor of more characters is not read; a million chains need half of them."""

_PORT = 5432
_REMEDY = "restore the database from a backup"


class Head(BaseModel):
    """The end of a chain: how many rows it had, and the hash of the last."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    length: int = Field(ge=1)
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Anchor(BaseModel):
    """What the chains of a registry were at a time.

    Attributes:
        database: Which one it is, without a user or a password.
        at: When the anchor was taken.
        actor: On whose behalf.
        library: The version of this library.
        versions: The end of each model's versions, by model.
        entries: The end of each alias's entries, by model and alias, such as ``churn@champion``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    database: str
    at: AwareDatetime
    actor: str
    library: str
    versions: dict[str, Head]
    entries: dict[str, Head]


class Witness(NamedTuple):
    """An anchor that may be believed: where it was read, and whose key signed it, or None."""

    anchor: Anchor
    source: str
    signed_by: str | None


class Difference(NamedTuple):
    """A chain that is not what an anchor has of it."""

    chain: str
    problem: str


def take(store: Store) -> Anchor:
    """What the chains are now.

    Raises:
        DatabaseUnavailable: The database can't be reached or used.
    """
    with snapshot(store.engine) as connection:
        return Anchor(
            database=place(store.engine.url),
            at=store.clock(),
            actor=store.origin.actor,
            library=version("prefect-model-registry"),
            versions=_heads(connection, VERSIONS),
            entries=_heads(connection, ENTRIES),
        )


def unsigned(anchor: Anchor) -> str:
    """The anchor as JSON, for which nobody vouches."""
    return anchor.model_dump_json()


def signed(anchor: Anchor, key: SigningKey) -> str:
    """The anchor in an envelope that *key* vouches for.

    Raises:
        KeyUnusable: The key can't be read.
    """
    return dsse.sign(PAYLOAD_TYPE, unsigned(anchor).encode(), key.private)


def keep(text: str, destination: str) -> None:
    """Write an anchor to a file or ``s3://bucket/key`` that was not there; it appears whole or not at all.

    Raises:
        AnchorUnusable: There is something already, or the file can't be written.
        ArtifactStoreUnavailable: The bucket can't be used.
    """
    store = _keep_in_bucket if destination.startswith("s3://") else _keep_in_file
    if not store(text.encode(), destination):
        raise AnchorUnusable(destination, "it exists, and an anchor is never overwritten: name another file")


def read(source: str, trusted: Mapping[str, TrustedKey] | None) -> Witness:
    """Read an anchor from a file or ``s3://bucket/key`` that a *trusted* key signed, by key id.

    With None, only one that nobody signed is read.

    Raises:
        AnchorUnusable: It can't be read, or is none; or it has a signature where none can be checked, or none
            that counts where one is needed.
        ArtifactStoreUnavailable: The bucket can't be used.
    """
    text = _read(source)
    if trusted is not None:
        return _believed(source, text, trusted)
    try:
        return Witness(Anchor.model_validate_json(text), source, None)
    except ValidationError:
        signed = '"payloadType"' in text
        reason = "it is signed: name the keys that you trust by --trust" if signed else "it is no anchor"
        raise AnchorUnusable(source, reason) from None


def refuse_another(witness: Witness, database: str) -> None:
    """Raise AnchorUnusable if the anchor is not of the *database*, as ``place`` names it."""
    if witness.anchor.database != database:
        reason = (
            f"it is of {witness.anchor.database}, and this is {database}: if that moved here,"
            f" --anchored-as {witness.anchor.database}"
        )
        raise AnchorUnusable(witness.source, reason)


def differences(connection: Connection, witness: Witness) -> Iterator[Difference]:
    """The chains that are not those of the anchor any more; one that grew is."""
    for kind, heads in ((VERSIONS, witness.anchor.versions), (ENTRIES, witness.anchor.entries)):
        for name, head in heads.items():
            if problem := _difference(connection, kind, name, head):
                told = f"the anchor {witness.source} of {witness.anchor.at:%Y-%m-%d %H:%M %Z} has"
                yield Difference(name, problem.format(told=told))


def place(url: URL) -> str:
    """Which database the *url* names, whoever uses it: without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{Path(url.database or '').resolve()}"
    host = url.host or url.query.get("host") or "localhost"
    return f"{url.get_backend_name()}://{host}:{url.port or _PORT}/{url.database}"


def _difference(connection: Connection, kind: Kind, name: str, head: Head) -> str | None:
    columns = kind.table.c
    chain = and_(*(columns[key] == part for key, part in zip(kind.key, name.rsplit("@", 1), strict=True)))
    newest = connection.scalar(select(func.max(columns[kind.number])).where(chain))
    if newest is None:
        return f"is gone, and {{told}} {head.length:,} of its {plural(kind.noun)}: {_REMEDY}"
    if newest < head.length:
        return f"{missing(kind.noun, newest + 1, head.length)}, and {{told}} {head.length:,}: {_REMEDY}"
    found = connection.scalar(select(columns.hash).where(chain, columns[kind.number] == head.length))
    if found != head.hash:
        return f"was written anew: {kind.noun} {head.length} is not the one that {{told}}: {_REMEDY}"
    return None


def _heads(connection: Connection, kind: Kind) -> dict[str, Head]:
    columns = kind.table.c
    key = [columns[name] for name in kind.key]
    newest = select(*key, func.max(columns[kind.number]).label("newest")).group_by(*key).subquery()
    ends = select(*key, columns[kind.number], columns.hash).join(
        newest,
        and_(columns[kind.number] == newest.c.newest, *(column == newest.c[column.name] for column in key)),
    )
    portions = stream(connection, ends.order_by(*key))
    return {"@".join(row[:-2]): Head(length=row[-2], hash=row[-1]) for rows in portions for row in rows}


def _believed(source: str, text: str, trusted: Mapping[str, TrustedKey]) -> Witness:
    keys = {name: key.public_key for name, key in trusted.items()}
    try:
        opened = dsse.open_envelope(text, keys, PAYLOAD_TYPE, longest=LONGEST)
        anchor = Anchor.model_validate_json(opened.payload)
    except EnvelopeRefused as error:
        reason = error.reason if '"payloadType"' in text else "nobody signed it, and trusted keys are named"
        raise AnchorUnusable(source, reason) from None
    except ValidationError:
        raise AnchorUnusable(source, "what is signed is no anchor of this library") from None
    signers = [trusted[name] for name in sorted(opened.key_ids)]
    objections = [_objection(key, anchor) for key in signers]
    if None not in objections:
        raise AnchorUnusable(source, str(objections[0]))
    return Witness(anchor, source, signers[objections.index(None)].name)


def _objection(key: TrustedKey, anchor: Anchor) -> str | None:
    """Why the *key* may not sign the anchor: it is out of date, or not for one of the models."""
    objections = (key.objection(model, datetime.now(UTC)) for model in anchor.versions)
    return next((objection for objection in objections if objection), None)


def _read(source: str) -> str:
    try:
        if source.startswith("s3://"):
            from registry.artifacts.s3 import read_object  # noqa: PLC0415, a file needs no boto3

            return read_object(source).decode()
        return Path(source).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AnchorUnusable(source, "there is no such file") from None
    except OSError as error:
        raise AnchorUnusable(source, f"it can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AnchorUnusable(source, "it is no text") from None


def _keep_in_file(content: bytes, destination: str) -> bool:
    """Write a new file, unless there is one."""
    path = Path(destination).absolute()
    try:
        with unfinished(path.parent) as (written, file):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.link(written, path)
    except FileExistsError:
        return False
    except OSError as error:
        raise AnchorUnusable(destination, f"it can't be written: {error.strerror}") from None
    return True


def _keep_in_bucket(content: bytes, destination: str) -> bool:
    """Put a new object, unless there is another one."""
    from registry.artifacts.s3 import connect, read_object  # noqa: PLC0415, a file needs no boto3
    from registry.artifacts.s3_errors import passing_over, translated  # noqa: PLC0415, as above

    bucket, _, key = destination.removeprefix("s3://").partition("/")
    with translated(destination), passing_over({"PreconditionFailed"}):
        connect().put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
        return True
    return read_object(destination) == content  # an answer was lost, and the request made again
