"""Where a registry lives, and on whose behalf it acts: the one place that knows all concrete classes."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, ByteSize, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from registry.artifacts import ArtifactStore, FolderArtifactStore
from registry.backend import Backend
from registry.cache import Cache
from registry.store import Origin, Store
from registry.trust import Consent

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from registry.signing import Trust
    from registry.signing.keys import SigningKey


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"uid {os.getuid()}"


_File = Annotated[Path | None, BeforeValidator(lambda path: path or None)]
"""A file; an empty environment variable names none."""


class RegistrySettings(BaseSettings):
    """The settings of a registry, each from an environment variable ``MODEL_REGISTRY_…``.

    Attributes:
        database: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/database``.
        artifacts: A folder, or ``s3://bucket/prefix``; S3 is reached the way boto3 is configured.
        actor: Whom the ledger names for what this process does.
        alert_secret: What those who send alerts from outside have to know.
        signing_key: The file with the private key that signs what is registered here.
        signing_passphrase: What that file is encrypted by.
        trusted_keys: The file with the keys whose signatures are believed here; see ``keys``.
        verify: Whether versions need a signature to be loaded: "off", "if_signed" or "required". Where
            keys are trusted, "if_signed", for naming them is asking for it, and versions that are older
            than the first key still load; "off" where none are.
        allow_pickle: Whether versions may be kept as pickle, joblib or cloudpickle, which run whatever code
            their bytes hold when they are loaded. Whoever loads one has to allow it as well.
        cache: A folder of this user's own that keeps near what was fetched to be loaded, or "off". Without
            it, what comes from S3 is kept where this system has its caches, and what comes from a folder
            is not.
        cache_size: How much that folder may hold, such as "10GB".
        mlflow_sources: Whether to "copy" the bytes of what comes through MLflow, or only to "refer" to them.
    """

    model_config = SettingsConfigDict(env_prefix="MODEL_REGISTRY_")

    database: str = Field(default="sqlite:///registry.db", repr=False)  # its password
    artifacts: str = "artifacts"
    actor: str = Field(default_factory=_user)
    alert_secret: SecretStr = SecretStr("")
    signing_key: _File = None
    signing_passphrase: SecretStr = SecretStr("")
    trusted_keys: _File = None
    verify: str = ""
    allow_pickle: bool = False
    cache: str = ""
    cache_size: ByteSize = ByteSize(10 * 10**9)
    mlflow_sources: str = "copy"


def open_backend(
    settings: RegistrySettings, origin: Origin | None = None, *, s3: S3Client | None = None
) -> Backend:
    """Open the database and the artifact store that *settings* name, a bucket through *s3* if given.

    Raises:
        DatabaseError: The database can't be used as a registry's.
        ArtifactStoreUnavailable: boto3 can't be configured for the bucket.
        InvalidName: There is no such way to verify signatures.
        KeyUnusable: Signatures are to be verified, and no trusted keys are named.
    """
    artifacts = open_artifacts(settings.artifacts, s3)  # first, because it leaves nothing open
    signing_key, trust = _signing_key(settings), _trust(settings)
    rows = Store.open(settings.database, origin or Origin(actor=settings.actor))
    consent = Consent(operator=settings.allow_pickle)
    return Backend(rows, artifacts, signing_key, trust, consent, _cache(settings))


def open_artifacts(location: str, s3: S3Client | None = None) -> ArtifactStore:
    """The artifact store at *location*: a folder, or ``s3://bucket/prefix``, through *s3* if given."""
    if location.startswith("s3://"):
        from registry.artifacts.s3 import S3ArtifactStore  # noqa: PLC0415, a folder needs no boto3

        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        return S3ArtifactStore(bucket, prefix.strip("/"), s3)
    return FolderArtifactStore(Path(location.removeprefix("file://")))


def _cache(settings: RegistrySettings) -> Cache | None:
    folder = settings.cache
    if not folder and settings.artifacts.startswith("s3://"):
        from platformdirs import user_cache_dir  # noqa: PLC0415, a folder needs none

        folder = user_cache_dir("prefect-model-registry")
    if folder in {"", "off"}:
        return None
    return Cache(Path(folder).expanduser().absolute(), settings.cache_size)


def _signing_key(settings: RegistrySettings) -> SigningKey | None:
    if settings.signing_key is None:
        return None
    from registry.signing.keys import SigningKey  # noqa: PLC0415, a registry without keys needs no cryptography

    return SigningKey(settings.signing_key, settings.signing_passphrase.get_secret_value())


def _trust(settings: RegistrySettings) -> Trust | None:
    if settings.trusted_keys is None and settings.verify in {"", "off"}:
        return None
    from registry.signing import Trust, keys_missing, stricter  # noqa: PLC0415, as above

    verify = stricter(settings.verify or "if_signed")
    if settings.trusted_keys is None:
        raise keys_missing(verify)
    return Trust(settings.trusted_keys, verify)
