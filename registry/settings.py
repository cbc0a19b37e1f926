"""Where a registry lives, and on whose behalf it acts: the one place that knows all concrete classes."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from registry.artifacts import ArtifactStore, FolderArtifactStore
from registry.backend import Backend
from registry.store import Origin, Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"uid {os.getuid()}"


class RegistrySettings(BaseSettings):
    """The settings of a registry, each from an environment variable ``MODEL_REGISTRY_…``.

    Attributes:
        database: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/database``.
        artifacts: A folder, or ``s3://bucket/prefix``; S3 is reached the way boto3 is configured.
        actor: Whom the ledger names for what this process does.
        alert_secret: What those who send alerts from outside have to know.
    """

    model_config = SettingsConfigDict(env_prefix="MODEL_REGISTRY_")

    database: str = Field(default="sqlite:///registry.db", repr=False)  # its password
    artifacts: str = "artifacts"
    actor: str = Field(default_factory=_user)
    alert_secret: SecretStr = SecretStr("")


def open_backend(
    settings: RegistrySettings, origin: Origin | None = None, *, s3: S3Client | None = None
) -> Backend:
    """Open the database and the artifact store that *settings* name, a bucket through *s3* if given.

    Raises:
        DatabaseError: The database can't be used as a registry's.
        ArtifactStoreUnavailable: boto3 can't be configured for the bucket.
    """
    artifacts = open_artifacts(settings.artifacts, s3)  # first, because it leaves nothing open
    return Backend(Store.open(settings.database, origin or Origin(actor=settings.actor)), artifacts)


def open_artifacts(location: str, s3: S3Client | None = None) -> ArtifactStore:
    """The artifact store at *location*: a folder, or ``s3://bucket/prefix``, through *s3* if given."""
    if location.startswith("s3://"):
        from registry.artifacts.s3 import S3ArtifactStore  # noqa: PLC0415, a folder needs no boto3

        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        return S3ArtifactStore(bucket, prefix.strip("/"), s3)
    return FolderArtifactStore(Path(location.removeprefix("file://")))
