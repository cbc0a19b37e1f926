"""An S3 bucket: what the server checks, what the line does, and what a wrong setting leads to."""

from __future__ import annotations

import socket
import time
from base64 import b64encode
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from registry.artifacts.s3 import ATTEMPTS, PART, S3ArtifactStore, connect, read_object
from registry.exceptions import ArtifactCorrupted, ArtifactStoreUnavailable
from tests.servers.faulty_wire import FaultyWire, cut, faulty_wire, flipped
from tests.servers.process import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.seaweedfs import SeaweedFSServer

MODEL = b"a model" * 10_000
LARGE_MODEL = b"a model" * (PART // 5)


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / "source"
        path.write_bytes(content)
        return path

    return make


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    return make_bucket()


@pytest.fixture
def wire(
    seaweedfs_server: SeaweedFSServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyWire]:
    """The line between boto3 and the server, which is sound until a test says otherwise."""
    assert bucket
    with faulty_wire(seaweedfs_server.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{wire.port}")
        yield wire


def test_the_server_of_these_tests_refuses_bytes_that_do_not_match_their_checksum(bucket: str) -> None:
    other = b64encode(sha256(b"other bytes").digest()).decode()
    with pytest.raises(ClientError, match="BadDigest"):
        boto3.client("s3").put_object(Bucket=bucket, Key="x", Body=b"bytes", ChecksumSHA256=other)
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("content", [MODEL, LARGE_MODEL], ids=["one put", "several parts"])
def test_every_request_that_carries_bytes_carries_their_checksum(
    bucket: str, make_file: Callable[[bytes], Path], content: bytes
) -> None:
    client, sent = connect(), set()

    def note(params: dict[str, dict[str, str]], **_: object) -> None:
        sent.add(params["headers"].get("x-amz-checksum-sha256"))

    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register(f"before-call.s3.{operation}", note)
    S3ArtifactStore(bucket, client=client).write(make_file(content))
    parts = [content[start : start + PART] for start in range(0, len(content), PART)]
    assert sent == {b64encode(sha256(part).digest()).decode() for part in parts}


@pytest.mark.parametrize("content", [MODEL, LARGE_MODEL], ids=["one put", "several parts"])
@pytest.mark.parametrize("fault", [flipped, cut])
def test_an_upload_survives_a_bad_line(
    wire: FaultyWire,
    bucket: str,
    make_file: Callable[[bytes], Path],
    fault: Callable[[bytes], bytes],
    content: bytes,
) -> None:
    store = S3ArtifactStore(bucket)
    for _ in range(ATTEMPTS - 1):
        wire.upward.put(fault)
    digest = store.write(make_file(content))
    assert wire.upward.empty()
    assert boto3.client("s3").get_object(Bucket=bucket, Key=f"sha256/{digest}")["Body"].read() == content


@pytest.mark.parametrize("content", [MODEL, LARGE_MODEL], ids=["one put", "several parts"])
def test_an_upload_over_a_line_that_always_flips_bits_is_given_up_and_leaves_nothing(
    wire: FaultyWire, bucket: str, make_file: Callable[[bytes], Path], content: bytes
) -> None:
    for _ in range(1_000):
        wire.upward.put(flipped)
    store = S3ArtifactStore(bucket)
    with pytest.raises(ArtifactStoreUnavailable, match=r"BadDigest.*check the network"):
        store.write(make_file(content))
    assert list(store.stored()) == []
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("fault", [flipped, cut])
def test_a_download_survives_a_bad_line(
    wire: FaultyWire,
    bucket: str,
    make_file: Callable[[bytes], Path],
    tmp_path: Path,
    fault: Callable[[bytes], bytes],
) -> None:
    store = S3ArtifactStore(bucket)
    digest = store.write(make_file(LARGE_MODEL))
    for _ in range(ATTEMPTS - 1):
        wire.downward.put(fault)
    store.fetch(digest, tmp_path / "fetched")
    assert wire.downward.empty()
    assert (tmp_path / "fetched").read_bytes() == LARGE_MODEL


@pytest.mark.parametrize("fault", [flipped, cut])
def test_a_download_over_a_line_that_stays_bad_is_given_up_and_leaves_no_file(
    wire: FaultyWire, bucket: str, make_file: Callable[[bytes], Path], fault: Callable[[bytes], bytes]
) -> None:
    store, source = S3ArtifactStore(bucket), make_file(LARGE_MODEL)
    digest = store.write(source)
    for _ in range(ATTEMPTS):
        wire.downward.put(fault)
    with pytest.raises(ArtifactCorrupted if fault is flipped else ArtifactStoreUnavailable):
        store.fetch(digest, source.with_name("fetched"))
    assert list(source.parent.iterdir()) == [source]


def test_a_file_that_changes_while_it_is_uploaded_is_refused(
    bucket: str, make_file: Callable[[bytes], Path]
) -> None:
    source, client = make_file(LARGE_MODEL), connect()

    def change(**_: object) -> None:
        source.write_bytes(LARGE_MODEL[::-1])

    client.meta.events.register("before-call.s3.CreateMultipartUpload", change)
    store = S3ArtifactStore(bucket, client=client)
    with pytest.raises(ArtifactStoreUnavailable, match="nothing writes to the file"):
        store.write(source)
    assert list(store.stored()) == []


@pytest.mark.parametrize("content", [MODEL, LARGE_MODEL], ids=["one put", "several parts"])
def test_a_writer_that_is_overtaken_succeeds_and_does_not_overwrite(
    bucket: str, make_file: Callable[[bytes], Path], content: bytes
) -> None:
    client, key = connect(), f"sha256/{sha256(content).hexdigest()}"

    def overtake(**_: object) -> None:
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content, Metadata={"by": "the faster"})

    for last_step in ("PutObject", "CompleteMultipartUpload"):
        client.meta.events.register(f"before-call.s3.{last_step}", overtake)
    S3ArtifactStore(bucket, client=client).write(make_file(content))
    assert client.head_object(Bucket=bucket, Key=key)["Metadata"] == {"by": "the faster"}
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("content", [MODEL, LARGE_MODEL], ids=["one put", "several parts"])
def test_what_the_server_has_already_is_not_sent_again(
    bucket: str, make_file: Callable[[bytes], Path], content: bytes
) -> None:
    client, source, sent = connect(), make_file(content), []
    S3ArtifactStore(bucket).write(source)
    for operation in ("PutObject", "CreateMultipartUpload"):
        client.meta.events.register(f"before-call.s3.{operation}", lambda **_: sent.append(1))
    S3ArtifactStore(bucket, client=client).write(source)
    assert sent == []


def test_an_object_that_turns_out_another_after_the_upload_is_reported_not_trusted(
    bucket: str, make_file: Callable[[bytes], Path]
) -> None:
    client, key = connect(), f"sha256/{sha256(MODEL).hexdigest()}"

    def spoil(**_: object) -> None:
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=MODEL[:-1])

    client.meta.events.register("after-call.s3.PutObject", spoil)
    with pytest.raises(ArtifactCorrupted, match="of another size"):
        S3ArtifactStore(bucket, client=client).write(make_file(MODEL))


def test_two_prefixes_of_a_bucket_are_two_stores(bucket: str, make_file: Callable[[bytes], Path]) -> None:
    digest = S3ArtifactStore(bucket, "/team/a/").write(make_file(MODEL))
    assert S3ArtifactStore(bucket, "team/a").exists(digest)
    for other in ("", "team", "team/b"):
        assert not S3ArtifactStore(bucket, other).exists(digest)
        assert list(S3ArtifactStore(bucket, other).stored()) == []


def test_sweeping_spares_the_uploads_of_others(bucket: str) -> None:
    client = boto3.client("s3")
    for key in ("team/b/sha256/x", "team/a/x", "sha256/x", "team/a/sha256/x"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    S3ArtifactStore(bucket, "team/a").sweep(datetime.now(UTC) + timedelta(hours=1))
    left = {upload["Key"] for upload in client.list_multipart_uploads(Bucket=bucket)["Uploads"]}
    assert left == {"team/b/sha256/x", "team/a/x", "sha256/x"}


@pytest.mark.parametrize(
    ("bucket", "prefix", "location"),
    [("b1x", "", "s3://b1x"), ("b1x", "/", "s3://b1x"), ("b1x", "/team/a/", "s3://b1x/team/a")],
)
def test_errors_name_the_bucket_and_the_prefix(bucket: str, prefix: str, location: str) -> None:
    assert S3ArtifactStore(bucket, prefix).location == location


def test_a_listing_of_more_than_a_page_is_complete(bucket: str, make_file: Callable[[bytes], Path]) -> None:
    store, client = S3ArtifactStore(bucket), connect()
    client.meta.events.register("before-parameter-build.s3.ListObjectsV2", one_key_a_page)
    digests = {store.write(make_file(bytes(size))) for size in range(3)}
    assert {artifact.digest for artifact in S3ArtifactStore(bucket, client=client).stored()} == digests


def one_key_a_page(params: dict[str, object], **_: object) -> None:
    params["MaxKeys"] = 1


def test_a_bucket_that_does_not_exist_is_named_in_every_refusal(
    bucket: str, make_file: Callable[[bytes], Path], tmp_path: Path
) -> None:
    assert bucket
    for wrong in ("no-such-bucket", "Not A Bucket"):
        refused(S3ArtifactStore(wrong, "models"), make_file(MODEL), tmp_path, because="create the bucket")


def test_a_wrong_secret_is_refused_with_the_variables_to_check(
    bucket: str, make_file: Callable[[bytes], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused(S3ArtifactStore(bucket), make_file(MODEL), tmp_path, because=r"check .*AWS_SECRET_ACCESS_KEY")


def test_without_credentials_the_refusal_says_how_to_give_them(
    bucket: str, make_file: Callable[[bytes], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    refused(S3ArtifactStore(bucket), make_file(MODEL), tmp_path, because="set AWS_ACCESS_KEY_ID")


def test_an_unknown_profile_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this")
    with pytest.raises(ArtifactStoreUnavailable, match=r"nobody-has-this.*AWS_PROFILE"):
        S3ArtifactStore("bucket")


def test_an_endpoint_that_refuses_connections_is_given_up_in_bounded_time(
    bucket: str, make_file: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    [port] = free_ports(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    store, began = S3ArtifactStore(bucket), time.monotonic()
    with pytest.raises(ArtifactStoreUnavailable, match="check AWS_ENDPOINT_URL"):
        store.write(make_file(MODEL))
    assert time.monotonic() - began < 60


def test_an_endpoint_that_never_answers_is_given_up(
    bucket: str, make_file: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        client = boto3.client("s3", config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}))
        with pytest.raises(ArtifactStoreUnavailable, match="check AWS_ENDPOINT_URL"):
            S3ArtifactStore(bucket, client=client).write(make_file(MODEL))


@contextmanager
def silent_server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_client_gives_up_in_bounded_time_and_addresses_other_servers_by_path(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bucket
    config = vars(connect().meta.config)
    assert (config["connect_timeout"], config["read_timeout"]) == (5, 30)
    assert config["retries"]["total_max_attempts"] == 5
    assert config["s3"] == {"addressing_style": "path"}
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert vars(connect().meta.config)["s3"] is None


def test_any_object_can_be_read_by_its_address(bucket: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key="data/2013.csv", Body=b"a,b")
    assert read_object(f"s3://{bucket}/data/2013.csv") == b"a,b"
    with pytest.raises(FileNotFoundError):
        read_object(f"s3://{bucket}/data/2014.csv")
    with pytest.raises(ArtifactStoreUnavailable, match="create the bucket"):
        read_object("s3://no-such-bucket/data/2013.csv")


def refused(store: S3ArtifactStore, source: Path, folder: Path, *, because: str) -> None:
    """Every method of *store* says so, and names the place."""
    digest = sha256(source.read_bytes()).hexdigest()
    for use in (
        lambda: store.write(source),
        lambda: store.fetch(digest, folder / "fetched"),
        lambda: store.exists(digest),
        lambda: store.remove(digest),
        lambda: list(store.stored()),
    ):
        with pytest.raises(ArtifactStoreUnavailable, match=because) as refusal:
            use()
        assert refusal.value.location == store.location
        assert store.location in str(refusal.value)
    assert list(folder.iterdir()) == [source]
