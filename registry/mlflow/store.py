"""MLflow's registry store on our tables: what its client, its server and its web pages ask for.

What MLflow changes is written like all else here: a version's bytes are taken with their digest, an alias
moves by an entry of the ledger, and what is deleted stays in the books. One instance serves all threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from mlflow.entities.model_registry.model_version_stages import (
    DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS,
    STAGE_ARCHIVED,
    get_canonical_stage,
)
from mlflow.prompt.registry_utils import handle_resource_already_exist_error, has_prompt_tag
from mlflow.protos.databricks_pb2 import NOT_IMPLEMENTED
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry import (
    SEARCH_MODEL_VERSION_MAX_RESULTS_DEFAULT,
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_DEFAULT,
)
from mlflow.store.model_registry.abstract_store import AbstractStore
from mlflow.utils.validation import (
    _validate_model_alias_name,
    _validate_model_alias_name_reserved,
    _validate_model_name,
    _validate_model_version,
    _validate_model_version_tag,
    _validate_registered_model_tag,
    _validate_tag_name,
)

from registry import models, promotion
from registry.deletions import Deletions
from registry.exceptions import AliasNotSet, AlreadyInForce
from registry.mlflow import search, sources
from registry.mlflow.entities import IN_FORCE, model_of, models_of, newest_of_each_stage, versions_of
from registry.mlflow.errors import refused, tells
from registry.mlflow.locations import Place, backend_at
from registry.profiles import Profiles
from registry.references import Reference
from registry.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.entities.model_registry import (
        ModelVersion,
        ModelVersionTag,
        RegisteredModel,
        RegisteredModelTag,
    )
    from mlflow.entities.webhook import Webhook, WebhookEvent, WebhookTestResult

    from registry import tables
    from registry.backend import Backend

_WEBHOOKS = (
    "Webhooks are not kept here: what happens to a version is announced to Prefect, so let an automation call"
    " the address, on the events model-registry.version.* and model-registry.champion.*"
)
_RENAME = (
    "Registered model {name!r} can't be renamed: ledger, hashes and signatures speak of it by its name. Copy"
    " the versions that you need to {new!r} by copy_model_version, which copies no bytes, and delete {name!r}"
)
_STAGES = {stage: alias for alias, stage in IN_FORCE.items()}


class RegistryStore(AbstractStore):
    """The registry at a URI, as MLflow asks for it.

    Args:
        store_uri: Such as ``prefect-registry+sqlite:///registry.db``; see ``locations.backend_at``.
        tracking_uri: Where MLflow keeps runs; MLflow itself finds it when a source is read.

    Raises:
        MlflowException: The registry can't be opened.
    """

    def __init__(self, store_uri: str | None = None, tracking_uri: str | None = None) -> None:
        super().__init__(store_uri, tracking_uri)  # type: ignore[no-untyped-call]  # a method is no "mlflow"
        self._uri = store_uri or "prefect-registry:"
        _ = self._backend  # so that a wrong URI is told at once

    @property
    @tells
    def _backend(self) -> Backend:
        return backend_at(self._uri)

    # Registered models

    @tells
    def create_registered_model(
        self,
        name: str,
        tags: Sequence[RegisteredModelTag] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,  # noqa: ARG002, a service of Databricks'
    ) -> RegisteredModel:
        """Make a model without versions; one that was deleted comes back, and its numbers go on."""
        _validate_model_name(name)
        for tag in tags or ():
            _validate_registered_model_tag(tag.key, tag.value)
        rows = self._backend.rows
        noted = {tag.key: str(tag.value) for tag in tags or ()}
        if not models.create(rows, name, description=description or "", tags=noted):
            there = {tag.key: tag.value for tag in Tags(rows).of(self._require(name))}
            handle_resource_already_exist_error(name, has_prompt_tag(there), has_prompt_tag(noted))
        return self._model(name)

    @tells
    def update_registered_model(
        self,
        name: str,
        description: str | None,
        deployment_job_id: str | None = None,  # noqa: ARG002, as above
    ) -> RegisteredModel:
        """Say what a model is for."""
        Profiles(self._backend.rows).describe(self._require(name), description or "")
        return self._model(name)

    def rename_registered_model(self, name: str, new_name: str) -> NoReturn:
        """Refuse: a model's name is its key in all that is kept of it."""
        _validate_model_name(new_name)
        raise refused(_RENAME.format(name=name, new=new_name), NOT_IMPLEMENTED)

    @tells
    def delete_registered_model(self, name: str) -> None:
        """Delete a model with all of its versions, unless one of them is in force under an alias."""
        model = self._require(name)
        Deletions(self._backend.rows).delete_model(model, "deleted through MLflow's registry")

    @tells
    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int = SEARCH_REGISTERED_MODEL_MAX_RESULTS_DEFAULT,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[RegisteredModel]:
        """A page of the models to which the filter applies, by MLflow's grammar."""
        rows = self._backend.rows
        found, token = search.models(rows, filter_string, max_results, order_by, page_token)
        return PagedList(models_of(rows, [row.name for row in found]), token)

    @tells
    def get_registered_model(self, name: str) -> RegisteredModel:
        """One model, with the newest version of each stage."""
        return self._model(name)

    @tells
    def get_latest_versions(self, name: str, stages: Sequence[str] | None = None) -> list[ModelVersion]:
        """The newest version of each of the *stages*, or of all."""
        wanted = {get_canonical_stage(stage) for stage in stages or ()}
        self._require(name)
        rows = self._backend.rows
        newest = versions_of(rows, newest_of_each_stage(rows, name))
        return [version for version in newest if not wanted or version.current_stage in wanted]

    @tells
    def set_registered_model_tag(self, name: str, tag: RegisteredModelTag) -> None:
        """Note a tag on a model."""
        _validate_model_name(name)
        _validate_registered_model_tag(tag.key, tag.value)
        Tags(self._backend.rows).put(self._require(name), {tag.key: str(tag.value)})

    @tells
    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Take a tag from a model, if it has it."""
        _validate_tag_name(key)
        Tags(self._backend.rows).remove(self._require(name), [key])

    # Versions

    @tells
    def create_model_version(  # noqa: PLR0913, PLR0917, MLflow's own signature
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Sequence[ModelVersionTag] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        """Register the bytes of a source as the next version of a model; see ``sources.take``."""
        self._require(name)
        for tag in tags or ():
            _validate_model_version_tag(tag.key, tag.value)
        told = sources.told(
            model=name,
            source=source,
            run_id=run_id,
            run_link=run_link or None,
            model_id=model_id,
            description=description,
            local=local_model_path,
            tags={tag.key: str(tag.value) for tag in tags or ()},
        )
        return self._entity(sources.take(self._backend, told))

    @tells
    def update_model_version(
        self, name: str, version: str | int, description: str | None = None
    ) -> ModelVersion:
        """Say what a version is for."""
        row = self._version(name, version)
        Profiles(self._backend.rows).describe(row, description or "")
        return self._entity(row)

    @tells
    def transition_model_version_stage(
        self,
        name: str,
        version: str | int,
        stage: str,
        archive_existing_versions: bool,  # noqa: FBT001, MLflow's own signature
    ) -> ModelVersion:
        """Move a version to a stage: Staging and Production are aliases, each of which has one version."""
        stage, row = get_canonical_stage(stage), self._version(name, version)
        alias = _STAGES.get(stage)
        if archive_existing_versions and alias is None:
            active = ", ".join(DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS)
            raise refused(f"Nothing is archived by a transition to {stage}: only {active} can replace")
        profiles, aliases = Profiles(self._backend.rows), self._backend.rows.aliases(name)
        for other in _STAGES.values():
            if other != alias and aliases.get(other) == row.number:
                self._clear(name, other, f"MLflow moved {row.reference} to stage {stage}")
        if alias is not None:
            self._assign(row, alias, f"MLflow moved {row.reference} to stage {stage}")
            before = aliases.get(alias)
            if archive_existing_versions and before not in {None, row.number}:
                profiles.set_aside(self._version(name, str(before)), archived=True)
        profiles.set_aside(row, archived=stage == STAGE_ARCHIVED)
        return self._entity(row)

    @tells
    def delete_model_version(self, name: str, version: str | int) -> None:
        """Delete a version, unless it is in force under an alias; its number is not given again."""
        row = self._version(name, version)
        Deletions(self._backend.rows).delete(row, "deleted through MLflow's registry")

    @tells
    def get_model_version(self, name: str, version: str | int) -> ModelVersion:
        """One version of a model."""
        return self._entity(self._version(name, version))

    @tells
    def get_model_version_download_uri(self, name: str, version: str | int) -> str:
        """Where the bytes of a version are: here, or, if they were not taken, wherever its source says."""
        row = self._version(name, version)
        if row.serialization == sources.REFERENCE:
            return str(self._entity(row).source)
        return str(Place.of(row))

    @tells
    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = SEARCH_MODEL_VERSION_MAX_RESULTS_DEFAULT,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[ModelVersion]:
        """A page of the versions to which the filter applies, by MLflow's grammar."""
        rows = self._backend.rows
        found, token = search.versions(rows, filter_string, max_results, order_by, page_token)
        return PagedList(versions_of(rows, found), token)

    @tells
    def set_model_version_tag(self, name: str, version: str | int, tag: ModelVersionTag) -> None:
        """Note a tag on a version."""
        _validate_model_version_tag(tag.key, tag.value)
        Tags(self._backend.rows).put(self._version(name, version), {tag.key: str(tag.value)})

    @tells
    def delete_model_version_tag(self, name: str, version: str | int, key: str) -> None:
        """Take a tag from a version, if it has it."""
        _validate_tag_name(key)
        Tags(self._backend.rows).remove(self._version(name, version), [key])

    # Aliases

    @tells
    def set_registered_model_alias(self, name: str, alias: str, version: str | int) -> None:
        """Put a version in force under an alias, by an entry of the ledger."""
        _validate_model_alias_name(alias)
        _validate_model_alias_name_reserved(alias)
        self._assign(self._version(name, version), alias, f"MLflow set the alias {alias!r}")

    @tells
    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Leave nothing in force under an alias, if something is."""
        _validate_model_alias_name(alias)
        self._require(name)
        self._clear(name, alias, f"MLflow deleted the alias {alias!r}")

    @tells
    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version that is in force under an alias."""
        _validate_model_name(name)
        _validate_model_alias_name(alias)
        return self._entity(self._backend.rows.resolve(Reference(name, alias)))

    # Webhooks, which MLflow's server asks for whenever something happens

    def list_webhooks_by_event(
        self,
        event: WebhookEvent,  # noqa: ARG002, there are none for any
        max_results: int | None = None,  # noqa: ARG002
        page_token: str | None = None,  # noqa: ARG002
    ) -> PagedList[Webhook]:
        """None: there are automations instead."""
        return PagedList([], None)

    def list_webhooks(
        self,
        max_results: int | None = None,  # noqa: ARG002, there are none
        page_token: str | None = None,  # noqa: ARG002
    ) -> PagedList[Webhook]:
        """None: there are automations instead."""
        return PagedList([], None)

    def create_webhook(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: there are automations instead."""
        raise NotImplementedError(_WEBHOOKS)

    def get_webhook(self, webhook_id: str) -> NoReturn:
        """Refuse: there are automations instead."""
        raise NotImplementedError(_WEBHOOKS)

    def update_webhook(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: there are automations instead."""
        raise NotImplementedError(_WEBHOOKS)

    def delete_webhook(self, webhook_id: str) -> NoReturn:
        """Refuse: there are automations instead."""
        raise NotImplementedError(_WEBHOOKS)

    def test_webhook(self, webhook_id: str, event: WebhookEvent | None = None) -> WebhookTestResult:
        """Refuse: there are automations instead."""
        raise NotImplementedError(_WEBHOOKS)

    # What several of them need

    def _require(self, name: str) -> tables.RegisteredModel:
        _validate_model_name(name)
        return self._backend.rows.require_model(name)

    def _model(self, name: str) -> RegisteredModel:
        _validate_model_name(name)
        return model_of(self._backend.rows, name)

    def _version(self, name: str, version: str | int) -> tables.ModelVersion:
        _validate_model_name(name)
        return self._backend.rows.version(name, _validate_model_version(version))

    def _entity(self, row: tables.ModelVersion) -> ModelVersion:
        (version,) = versions_of(self._backend.rows, [row])
        return version

    def _assign(self, row: tables.ModelVersion, alias: str, reason: str) -> None:
        try:
            promotion.assign(self._backend, row, alias, reason, evidence={"source": "mlflow"})
        except AlreadyInForce:
            return

    def _clear(self, name: str, alias: str, reason: str) -> None:
        try:
            promotion.clear(self._backend.rows, name, alias, reason)
        except AliasNotSet:
            return
