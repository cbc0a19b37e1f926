"""Which registry a URI means, and what a version is called where MLflow wants a place to download from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import mlflow
from sqlalchemy import make_url

from registry.exceptions import ArtifactCorrupted, InvalidReference
from registry.references import Reference, check_model_name
from registry.settings import RegistrySettings, open_backend

if TYPE_CHECKING:
    from registry.backend import Backend
    from registry.tables import ModelVersion

SCHEME = "prefect-registry"
"""Of the registry that the settings name; with ``+sqlite`` or ``+postgresql``, of one that the URI names."""

PLACE = "prefect-registry-version"
"""The scheme under which MLflow asks for a version's bytes."""


@lru_cache(maxsize=100)
def backend_at(uri: str) -> Backend:
    """The registry that *uri* means, opened once for all threads of this process.

    ``prefect-registry+sqlite:///registry.db?artifacts=s3://bucket/prefix``: what the URI does not say, the
    settings do (``MODEL_REGISTRY_…``); ``prefect-registry:`` leaves everything to them.

    Raises:
        DatabaseError: The database can't be used as a registry's.
    """
    scheme, _, rest = uri.partition(":")
    engine = scheme.removeprefix(SCHEME).removeprefix("+")
    if not engine:
        return open_backend(RegistrySettings())
    url = make_url(f"{engine}:{rest}")
    given = {"database": url.difference_update_query(["artifacts"]).render_as_string(hide_password=False)}
    if "artifacts" in url.query:
        given["artifacts"] = str(url.query["artifacts"])
    return open_backend(RegistrySettings.model_validate(given))


def configured(uri: str | None) -> Backend:
    """The registry that *uri* means, or the one that MLflow has been set to, or else the settings'.

    A client of ``mlflow server`` knows only the server's address: its bytes come from where the settings say.
    """
    for candidate in (uri, mlflow.get_registry_uri()):
        if candidate is not None and candidate.partition(":")[0].partition("+")[0] == SCHEME:
            return backend_at(candidate)
    return backend_at(SCHEME)


@dataclass(frozen=True)
class Place:
    """Where MLflow downloads a version from: its name, and the digest of what it will find there."""

    model: str
    number: int
    digest: str

    @classmethod
    def of(cls, version: ModelVersion) -> Place:
        """The place of *version*."""
        return cls(version.model, version.number, version.artifact)

    @classmethod
    def parse(cls, uri: str) -> Place:
        """Read what ``str`` wrote.

        Raises:
            InvalidReference: The *uri* has no such form.
        """
        parts = urlsplit(uri)
        match [unquote(part) for part in parts.path.strip("/").split("/")]:
            case [model, number, digest] if parts.scheme == PLACE and number.isdecimal():
                return cls(check_model_name(model), int(number), digest)
        raise InvalidReference(uri)

    def __str__(self) -> str:
        return f"{PLACE}:/{quote(self.model, safe='')}/{self.number}/{self.digest}"

    def version_in(self, backend: Backend) -> ModelVersion:
        """The version that is here, in the registry for which it was written.

        Raises:
            NotFound: There is none.
            ArtifactCorrupted: It has other bytes: this is another registry, or somebody tampered.
        """
        version = backend.rows.resolve(Reference(self.model, self.number))
        if version.artifact != self.digest:
            raise ArtifactCorrupted(self.digest, version.artifact, backend.rows.name)
        return version
