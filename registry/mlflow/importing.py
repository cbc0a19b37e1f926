"""What is in an MLflow registry, brought here: numbers, times, tags, descriptions, aliases, metrics, bytes.

It can be interrupted and begun again: a version is here with all that belongs to it or not at all, and what
is here is passed over. What is changed here afterwards stays as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.tracking import MlflowClient
from sqlmodel import col, select

from registry import models, promotion
from registry.database import reading
from registry.exceptions import (
    AlreadyInForce,
    ArtifactStoreUnavailable,
    DatabaseUnavailable,
    InvalidName,
    InvalidValue,
    NumberTaken,
    RegistryError,
    SignatureError,
)
from registry.limits import MOST_TAGS, brief, check_text
from registry.mlflow import sources
from registry.mlflow.entities import IN_FORCE
from registry.mlflow.locations import SCHEME
from registry.references import check_alias, check_model_name
from registry.tables import ModelVersion
from registry.tags import check_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlflow.entities.model_registry import ModelVersion as Theirs
    from mlflow.entities.model_registry import RegisteredModel

    from registry.backend import Backend

_REASON = "it was in force so in the MLflow registry that was imported"
_GAP = "the MLflow registry that was imported has no such version any more"
_EVIDENCE = {"source": "mlflow import"}
_PAGE = 500
_PROMPTS = f"tags.`{IS_PROMPT_TAG_KEY}` = 'true'"
_STAGES = {stage: alias for alias, stage in IN_FORCE.items()}
_FATAL = (DatabaseUnavailable, ArtifactStoreUnavailable, SignatureError, NumberTaken)
"""What would be wrong with every other version, too."""


@dataclass(frozen=True)
class Problem:
    """Something that was not brought, or not whole, and why."""

    subject: str
    reason: str


@dataclass
class Report:
    """What an import did.

    Attributes:
        models: How many models are new here.
        versions: How many versions are.
        known: How many were here before.
        aliases: How many aliases were set.
        problems: What could not be brought.
    """

    models: int = 0
    versions: int = 0
    known: int = 0
    aliases: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Inventory:
    """A model of an MLflow registry, with its versions from the oldest on."""

    model: RegisteredModel
    versions: Sequence[Theirs]


class Source:
    """An MLflow registry to read from.

    Args:
        uri: A database, such as ``sqlite:///mlflow.db``, or the address of a tracking server.

    Raises:
        InvalidValue: It can't be read, or is a registry of ours.
    """

    def __init__(self, uri: str) -> None:
        if uri.startswith(SCHEME):
            raise InvalidValue("source", brief(uri), "it is a registry of this library's, not MLflow's")
        self._uri = uri
        try:
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        except Exception as error:  # whatever MLflow, SQLAlchemy or a driver raises
            raise InvalidValue("source", _scheme(uri), f"MLflow can't open it: {error}") from error
        self.metrics_of = lru_cache(maxsize=1_000)(self._metrics_of)

    def models(self, names: Sequence[str] = ()) -> list[Inventory]:
        """The models, those with one of these *names* if there are any, prompts among them.

        Raises:
            InvalidValue: They can't be read.
        """
        try:
            found = [*self._models(None), *self._models(_PROMPTS)]
            wanted = [model for model in found if not names or model.name in names]
            return [Inventory(model, self._versions(model.name)) for model in wanted]
        except MlflowException as error:
            raise InvalidValue("source", _scheme(self._uri), f"MLflow can't read it: {error}") from error

    def fetch(self, version: Theirs, folder: Path) -> Path:
        """Where the bytes of *version* are, in *folder* if they were not on this machine before."""
        uri = self._client.get_model_version_download_uri(version.name, version.version)
        found = mlflow.artifacts.download_artifacts(
            artifact_uri=uri, dst_path=str(folder), tracking_uri=self._uri
        )
        return Path(found)

    def _metrics_of(self, run_id: str) -> Mapping[str, float]:
        return dict(self._client.get_run(run_id).data.metrics)

    def _models(self, filter_string: str | None) -> Iterator[RegisteredModel]:
        token = None
        while True:
            page = self._client.search_registered_models(filter_string, max_results=_PAGE, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _versions(self, name: str) -> list[Theirs]:
        found: list[Theirs] = []
        for prompts in ("", f" AND {_PROMPTS}"):
            token = None
            while True:
                page = self._client.search_model_versions(
                    f"name = '{name}'{prompts}", max_results=_PAGE, page_token=token
                )
                found += page
                if not (token := page.token):
                    break
        return sorted(found, key=lambda version: int(version.version))


def bring(
    backend: Backend, source: Source, inventories: Sequence[Inventory], tell: Callable[[int], None]
) -> Report:
    """Bring what is in the *inventories* of *source* here; *tell* is told of each version.

    Raises:
        DatabaseUnavailable: The database can't be reached or used; what was brought before is here.
        ArtifactStoreUnavailable: Bytes can't be kept now; what was brought before is here.
    """
    report = Report()
    for inventory in inventories:
        _Import(backend, source, report, inventory, tell).run()
    return report


@dataclass(frozen=True)
class _Import:
    """The import of one model."""

    backend: Backend
    source: Source
    report: Report
    inventory: Inventory
    tell: Callable[[int], None]

    @property
    def name(self) -> str:
        return str(self.inventory.model.name)

    def run(self) -> None:
        model = self.inventory.model
        try:
            check_model_name(self.name)
        except InvalidName as error:
            self._complain(self.name, error)
            return
        self.report.models += models.create(
            self.backend.rows,
            self.name,
            description=self._text(self.name, model.description),
            tags=self._tags(self.name, model._tags),  # noqa: SLF001, the public ones leave out a prompt's
            created_at=_moment(model.creation_timestamp),
        )
        if self._bring_versions():
            self._set_aliases()

    def _bring_versions(self) -> bool:
        """Bring the versions in the order of their numbers; False if one of them is another one here."""
        here = self._here()
        last = max(here, default=0)
        for version in self.inventory.versions:
            number = int(version.version)
            told = self._told(version)
            if number in here:
                training, serialization = here[number]
                if training != sources.training_of(told):
                    reason = "another version has this number here, so nothing more of the model is brought"
                    self.report.problems.append(Problem(f"{self.name}@{number}", reason))
                    return False
                if serialization == sources.REFERENCE and sources.takes_bytes(told):
                    self._complain(
                        f"{self.name}@{number}", "it is here without its bytes since an earlier import"
                    )
                self.report.known += 1
            else:
                for gap in range(last + 1, number):
                    sources.refer(self.backend, self._gap(told, gap))
                self._bring(version, told)
                self.report.versions += 1
            last = max(last, number)
            self.tell(1)
        return True

    def _bring(self, version: Theirs, told: sources.Told) -> None:
        subject = f"{self.name}@{told.number}"
        told = replace(
            told,
            description=self._text(subject, told.description),
            tags=self._tags(subject, told.tags),
            metrics=self._metrics(subject, told.run_id),
        )
        if not sources.takes_bytes(told):
            sources.refer(self.backend, told)
            return
        with TemporaryDirectory(prefix="registry-") as scratch:
            try:
                found = self.source.fetch(version, Path(scratch))
                sources.keep(self.backend, replace(told, local=found))
            except (RegistryError, MlflowException, OSError) as error:
                if isinstance(error, _FATAL):
                    raise
                self._complain(subject, f"its bytes could not be brought, only where they were: {error}")
                sources.refer(self.backend, told)

    def _told(self, version: Theirs) -> sources.Told:
        number, at = int(version.version), _moment(version.creation_timestamp)
        return sources.Told(
            model=self.name,
            source=version.source or "",
            run_id=version.run_id or None,
            run_link=version.run_link or None,
            model_id=version.model_id or None,
            description=version.description,
            tags=version.tags,
            stage="Archived" if version.current_stage == "Archived" else "None",
            training=f"import {self.name} {number} {version.creation_timestamp} {version.source}",
            number=number,
            registered_at=at,
        )

    def _gap(self, told: sources.Told, number: int) -> sources.Told:
        return sources.Told(
            model=self.name,
            source="",
            training=f"import {self.name} {number}",
            number=number,
            registered_at=told.registered_at,
            deleted=_GAP,
        )

    def _here(self) -> dict[int, tuple[str, str]]:
        """The training and the format of all versions that are here, deleted ones among them, by number."""
        told = ModelVersion.number, ModelVersion.training, ModelVersion.serialization
        known = select(*told).where(col(ModelVersion.model) == self.name)
        with reading(self.backend.rows.engine) as session:
            return {number: (training, kept_as) for number, training, kept_as in session.exec(known)}

    # What changes later

    def _set_aliases(self) -> None:
        wanted = {alias: int(number) for alias, number in self.inventory.model.aliases.items()}
        for alias, number in (self._of_stages() | wanted).items():
            subject = f"{self.name}@{alias}"
            try:
                if self.backend.rows.history(self.name, check_alias(alias)):
                    continue  # what was decided here since, or brought before
                version = self.backend.rows.version(self.name, number)
                promotion.assign(self.backend, version, alias, _REASON, _EVIDENCE)
            except AlreadyInForce:
                continue
            except RegistryError as error:
                if isinstance(error, _FATAL):
                    raise
                self._complain(subject, error)
            else:
                self.report.aliases += 1

    def _of_stages(self) -> dict[str, int]:
        """The newest version of each stage that is an alias here; of the others it is told."""
        found: dict[str, int] = {}
        held = Counter(version.current_stage for version in self.inventory.versions)
        for version in self.inventory.versions:
            if (alias := _STAGES.get(str(version.current_stage))) is not None:
                found[alias] = int(version.version)
        for stage, alias in _STAGES.items():
            if held[stage] > 1:
                others = f"{held[stage] - 1} older versions were in stage {stage}, too, which has one here"
                self._complain(f"{self.name}@{alias}", others)
        return found

    # What can't be kept

    def _complain(self, subject: str, reason: object) -> None:
        self.report.problems.append(Problem(subject, str(reason)))

    def _text(self, subject: str, text: str | None) -> str:
        try:
            return check_text("description", text or "")
        except InvalidName as error:
            self._complain(subject, error)
            return ""

    def _tags(self, subject: str, tags: Mapping[str, Any]) -> dict[str, str]:
        kept: dict[str, str] = {}
        for key, value in tags.items():
            try:
                check_tag(key, str(value))
            except InvalidName as error:
                self._complain(subject, error)
            else:
                kept[key] = str(value)
        if more := [*kept][MOST_TAGS:]:
            self._complain(subject, f"it can have {MOST_TAGS} tags, so it lacks {', '.join(more)}")
        return {key: kept[key] for key in [*kept][:MOST_TAGS]}

    def _metrics(self, subject: str, run_id: str | None) -> dict[str, float]:
        if run_id is None:
            return {}
        try:
            found = self.source.metrics_of(run_id)
        except MlflowException as error:
            self._complain(subject, f"the metrics of run {run_id} can't be read: {error}")
            return {}
        odd = [name for name, value in found.items() if not isfinite(value)]
        if odd:
            self._complain(subject, f"metrics that are not finite can't be kept: {', '.join(odd)}")
        return {name: value for name, value in found.items() if name not in odd}


def _moment(millis: int | None) -> datetime:
    return datetime.fromtimestamp((millis or 0) / 1_000, UTC)


def _scheme(uri: str) -> str:
    """What of a URI is surely no password."""
    return f"{uri.partition(':')[0]}:…"
