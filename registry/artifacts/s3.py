"""Artifacts in an S3 bucket: ``<prefix>/sha256/<digest>``, written once and never overwritten."""

from __future__ import annotations

from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from registry.artifacts.content import is_digest, proven, receive, require_digest
from registry.artifacts.protocol import ArtifactStore, StoredArtifact
from registry.artifacts.s3_errors import (
    BROKEN_STREAM,
    MISSING,
    WORTH_ANOTHER_UPLOAD,
    passing_over,
    translated,
)
from registry.exceptions import ArtifactCorrupted, ArtifactMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

T = TypeVar("T")

PART = 16 * 2**20
PARTS_AT_ONCE = 4
ATTEMPTS = 3

PATIENCE = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 5},
    request_checksum_calculation="when_required",  # ours go with each upload,
    response_checksum_validation="when_required",  # and each download is hashed
)
PATH_STYLE = Config(s3={"addressing_style": "path"})


class S3ArtifactStore(ArtifactStore):
    """Keeps artifacts in a bucket, which must exist.

    Without a *client*, boto3 finds credentials, region and endpoint where it always does: in ``AWS_...``
    variables, in a profile, in the machine's role. A file may have up to 10,000 parts of 16 MiB.
    """

    def __init__(self, bucket: str, prefix: str = "", client: S3Client | None = None) -> None:
        self._bucket = bucket
        self._location = f"s3://{bucket}/{prefix.strip('/')}".rstrip("/")
        self._folder = f"{prefix.strip('/')}/sha256/".lstrip("/")
        with translated(self.location):
            self._client = client or connect()

    @property
    def location(self) -> str:
        """The bucket and the prefix."""
        return self._location

    @contextmanager
    def stage(self, source: Path) -> Iterator[StagedUpload]:
        """Hash first, so that the server can check what arrives; nothing is sent yet."""
        yield StagedUpload(self, Content.of(source))

    def upload(self, content: Content) -> None:
        """Send *content*, unless the server has it already, and check what it then has."""
        with translated(self.location):
            self._store_persistently(content)
            self._check(content)

    def fetch(self, digest: str, destination: Path) -> None:
        """Stream the object beside *destination* and check it there; ask again if the stream was bad."""
        self._read_persistently(partial(self._download, digest, destination))

    def check(self, digest: str) -> int:
        """Stream the object; ask again if the stream was bad."""
        return self._read_persistently(partial(self._prove, digest))

    def exists(self, digest: str) -> bool:
        """Ask for the object's head."""
        with translated(self.location):
            return self._head(digest) is not None

    def remove(self, digest: str) -> None:
        """Delete the object."""
        with translated(self.location):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(digest))

    def stored(self) -> Iterator[StoredArtifact]:
        """List the objects below the prefix."""
        with translated(self.location):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._folder):
                for found in page.get("Contents", []):
                    digest = found["Key"].removeprefix(self._folder)
                    if is_digest(digest):
                        yield StoredArtifact(digest, found["Size"], found["LastModified"].astimezone(UTC))

    def sweep(self, before: datetime) -> None:
        """Abort the multipart uploads that began earlier than *before*."""
        with translated(self.location):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._folder):
                for upload in page.get("Uploads", []):
                    if upload["Initiated"] < before:
                        self._abort(upload["Key"], upload["UploadId"])

    def disconnect(self) -> None:
        """Close the client's idle connections."""
        self._client.close()

    def _store_persistently(self, content: Content) -> None:
        for _ in range(ATTEMPTS - 1):
            with passing_over(WORTH_ANOTHER_UPLOAD):
                return self._store(content)
        return self._store(content)

    def _store(self, content: Content) -> None:
        kept = self._kept(content)
        if kept:
            return
        if kept is not None:
            self.remove(content.digest)  # what stands there was never right, or is no more
        with passing_over({"PreconditionFailed"}):  # another writer of the same bytes was faster
            if content.size > PART:
                self._upload_parts(content)
            else:
                self._upload_whole(content)

    def _kept(self, content: Content) -> bool | None:
        """Whether what stands under the digest has its size and its checksum; None if nothing does."""
        head = self._head(content.digest)
        if head is None:
            return None
        checksum = head.get("ChecksumSHA256", content.checksum)  # not every server remembers it
        return head["ContentLength"] == content.size and checksum == content.checksum

    def _upload_whole(self, content: Content) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=self._key(content.digest),
            Body=content.part(0),
            ChecksumSHA256=_base64(bytes.fromhex(content.digest)),
            IfNoneMatch="*",
        )

    def _upload_parts(self, content: Content) -> None:
        key = self._key(content.digest)
        with self._begun_upload(key) as upload, ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
            sent = pool.map(partial(self._upload_part, content, upload), range(len(content.checksums)))
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": list(sent)},
                IfNoneMatch="*",
            )

    @contextmanager
    def _begun_upload(self, key: str) -> Iterator[str]:
        """Begin a multipart upload, which is aborted if the block fails."""
        begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, ChecksumAlgorithm="SHA256")
        try:
            yield begun["UploadId"]
        except BaseException:
            with suppress(BotoCoreError, ClientError):  # if this fails too, a later sweep does it
                self._abort(key, begun["UploadId"])
            raise

    def _upload_part(self, content: Content, upload: str, index: int) -> CompletedPartTypeDef:
        checksum, number = content.checksums[index], index + 1
        answer = self._client.upload_part(
            Bucket=self._bucket,
            Key=self._key(content.digest),
            UploadId=upload,
            PartNumber=number,
            Body=content.part(index),
            ChecksumSHA256=checksum,
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def _abort(self, key: str, upload: str) -> None:
        with passing_over({"NoSuchUpload"}):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)

    def _check(self, content: Content) -> None:
        if (kept := self._kept(content)) is None:
            raise ArtifactMissing(content.digest, self.location)
        if not kept:
            found = "unknown, of another size or checksum"
            raise ArtifactCorrupted(content.digest, found, self.location)

    def _head(self, digest: str) -> HeadObjectOutputTypeDef | None:
        key = self._key(digest)
        with passing_over(MISSING):
            return self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        self._client.head_bucket(Bucket=self._bucket)  # the object may be missing, the bucket may not
        return None

    def _read_persistently(self, read: Callable[[], T]) -> T:
        with translated(self.location):
            for _ in range(ATTEMPTS - 1):
                with suppress(ArtifactCorrupted, *BROKEN_STREAM):
                    return read()
            return read()

    def _prove(self, digest: str) -> int:
        with closing(self._open(digest)) as body:
            return proven(body, digest=digest, location=self.location)

    def _download(self, digest: str, destination: Path) -> None:
        with closing(self._open(digest)) as body:
            receive(body, destination, digest=digest, location=self.location)

    def _open(self, digest: str) -> StreamingBody:
        key = self._key(digest)
        with passing_over(MISSING):
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
        raise ArtifactMissing(digest, self.location)

    def _key(self, digest: str) -> str:
        return self._folder + require_digest(digest, self.location)


@dataclass(frozen=True)
class StagedUpload:
    """A file that is hashed and not sent yet.

    Attributes:
        store: Where it is to be sent.
        content: The file, and its checksums.
    """

    store: S3ArtifactStore
    content: Content

    @property
    def digest(self) -> str:
        """The SHA-256 of its bytes."""
        return self.content.digest

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.content.size

    def publish(self) -> None:
        """Send it; what the server has already is not sent again."""
        self.store.upload(self.content)


@dataclass(frozen=True)
class Content:
    """A file as it was when it was hashed; if it changes later, the server refuses what no longer fits."""

    path: Path
    digest: str
    size: int
    checksums: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> Content:
        """Hash the file, and each of its parts beside it, in one pass."""
        whole, checksums = sha256(), []
        with path.open("rb") as file, ThreadPoolExecutor(1) as beside:
            while part := file.read(PART):
                own = beside.submit(sha256, part)
                whole.update(part)
                checksums.append(_base64(own.result().digest()))
            return cls(path, whole.hexdigest(), file.tell(), tuple(checksums))

    @property
    def checksum(self) -> str:
        """What S3 calls its SHA-256: of several parts, that of the parts' own, and how many there are.

        See "Checking object integrity" in Amazon's user guide, on composite checksums.
        """
        if self.size <= PART:
            return _base64(bytes.fromhex(self.digest))
        parts = b"".join(b64decode(checksum) for checksum in self.checksums)
        return f"{_base64(sha256(parts).digest())}-{len(self.checksums)}"

    def part(self, index: int) -> bytes:
        """Read a part, counted from 0."""
        with self.path.open("rb") as file:
            file.seek(index * PART)
            return file.read(PART)


def connect(session: boto3.Session | None = None, parameters: Mapping[str, Any] | None = None) -> S3Client:
    """Make a client as boto3's users expect it, that gives up in bounded time.

    Args:
        session: With credentials and a region; where it has none, boto3 looks where it always does.
        parameters: What ``session.client`` is called with besides; what its ``config`` says goes before.
    """
    session, given = session or boto3.Session(), dict(parameters or {})
    asked: Config = given.pop("config", Config())
    config = PATIENCE.merge(asked)
    client = session.client("s3", config=config, **given)
    if ".amazonaws.com" in client.meta.endpoint_url:
        return client
    config = config.merge(PATH_STYLE)  # others rarely have a host per bucket
    return session.client("s3", config=config.merge(asked), **given)


def read_object(location: str) -> bytes:
    """Read an object that is no artifact, such as a dataset, from ``s3://bucket/key``.

    Raises:
        FileNotFoundError: There is no such object.
        ArtifactStoreUnavailable: The bucket can't be used.
    """
    bucket, _, key = location.removeprefix("s3://").partition("/")
    with translated(location), passing_over(MISSING):
        return connect().get_object(Bucket=bucket, Key=key)["Body"].read()
    raise FileNotFoundError(location)


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode()
