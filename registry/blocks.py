"""A registry that Prefect knows by name: where it is and how to get in, saved once, opened by every flow.

The module is imported by each Prefect server and worker at its start, so it loads no library that only an
estimator or a bucket needs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

import httpx
from prefect.blocks.core import Block
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from pydantic import ConfigDict, Field, HttpUrl, SecretStr, ValidationError

from registry.exceptions import BlockNotFound, BlockUnavailable, InvalidBlock, InvalidName, RegistryError
from registry.facade import Registry
from registry.settings import RegistrySettings, open_backend
from registry.store import Origin

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from prefect_aws.credentials import AwsCredentials, MinIOCredentials

B = TypeVar("B", bound=Block)

_NAME = re.compile(r"[a-z0-9-]+", re.ASCII)  # what else a name may not hold could lead to another block


class ModelRegistry(Block):
    """A model registry: its database, its artifacts, and whom its ledger names.

    Example:
        ```python
        from registry.blocks import ModelRegistry

        block = ModelRegistry.load("BLOCK_NAME")
        with block.open() as registry:
            champion = registry.load("churn@champion")
        ```
    """

    _block_type_name = "Model Registry"
    _block_type_slug = "model-registry"
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")
    _description = (
        "Where a model registry keeps its versions and decisions, and how to get in. Flows of the registry "
        "take the block's name."
    )

    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True, str_strip_whitespace=True)

    database: SecretStr = Field(
        description="URL of the database, such as postgresql+psycopg://user:password@host/database.",
    )
    artifacts: str = Field(
        description="Where the models' bytes are: s3://bucket/prefix, or a folder that all machines share.",
    )
    actor: str = Field(
        default="",
        description="Whom the ledger names; empty means the user whose process writes.",
    )
    credentials: str = Field(  # a name, for a nested block would need prefect-aws wherever this is imported
        default="",
        pattern="^((aws|minio)-credentials/[a-z0-9-]+)?$",
        title="S3 credentials",
        description=(
            "Saved block with the keys of that bucket: aws-credentials/NAME or minio-credentials/NAME. "
            "Empty means whatever boto3 finds where the flow runs."
        ),
    )

    def open(self) -> Registry:
        """Open the registry; what it writes names the running flow and task, if any.

        Raises:
            DatabaseError: The database can't be used as a registry's.
            ArtifactStoreUnavailable: The bucket can't be reached with these credentials.
            BlockNotFound: There are no credentials of that name.
            BlockUnavailable: The Prefect server did not give the credentials.
            InvalidBlock: The credentials can't be used, or need an extra that is not installed.
        """
        saved = {"database": self.database.get_secret_value(), "artifacts": self.artifacts}
        settings = RegistrySettings.model_validate(saved | ({"actor": self.actor} if self.actor else {}))
        return Registry.of(open_backend(settings, origin_of(settings.actor), s3=self._s3()))

    def _s3(self) -> S3Client | None:
        """A client with the credentials, if they are named and there is a bucket to use them on."""
        if not (self.credentials and self.artifacts.startswith("s3://")):
            return None
        return _client(_credentials(self.credentials), self.credentials, self.artifacts)


def origin_of(actor: str) -> Origin:
    """On whose behalf is written here and now: the *actor*, in the running flow and task, if any."""
    flow_run, task_run = FlowRunContext.get(), TaskRunContext.get()
    return Origin(
        actor=actor,
        flow_run_id=str(flow_run.flow_run.id) if flow_run and flow_run.flow_run else None,
        task_run_id=str(task_run.task_run.id) if task_run else None,
    )


def load(kind: type[B], name: str) -> B:
    """The saved block of this *kind* and *name*, also where an event loop runs.

    Raises:
        InvalidName: No block can have this name.
        BlockNotFound: None was saved under it.
        BlockUnavailable: The Prefect server can't be reached, or refused.
        InvalidBlock: What was saved is not, or no longer, what such a block holds.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName("block name", name, "use lowercase letters, digits and dashes")
    block = f"{kind.get_block_type_slug()}/{name}"
    try:
        return cast("B", kind.load(name, _sync=True))  # type: ignore[call-arg]
    except httpx.HTTPStatusError as error:
        answer = error.response
        raise BlockUnavailable(block, _server(), f"{answer.status_code} {answer.reason_phrase}") from error
    except httpx.HTTPError as error:
        raise BlockUnavailable(block, _server(), str(error) or type(error).__name__) from error
    except (ValueError, RuntimeError) as error:
        raise _explained(block, error) from None  # its causes may show what was saved


def _explained(block: str, error: Exception) -> RegistryError:
    cause = error if isinstance(error, ValidationError) else error.__cause__
    if isinstance(cause, ObjectNotFound):
        return BlockNotFound(block)
    if isinstance(cause, ValidationError):
        return InvalidBlock(block, _complaints(cause))
    return BlockUnavailable(block, _server(), str(error))  # the embedded server is off, or does not start


def _complaints(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


def _server() -> str:
    return PREFECT_API_URL.value() or "the embedded Prefect server"


def _credentials(block: str) -> AwsCredentials | MinIOCredentials:
    try:
        from prefect_aws.credentials import AwsCredentials, MinIOCredentials  # noqa: PLC0415, an extra
    except ModuleNotFoundError:
        reason = "prefect-aws is not installed; pip install 'prefect-model-registry[aws]'"
        raise InvalidBlock(block, reason) from None
    slug, _, name = block.partition("/")
    return load(AwsCredentials, name) if slug == "aws-credentials" else load(MinIOCredentials, name)


def _client(credentials: AwsCredentials | MinIOCredentials, block: str, artifacts: str) -> S3Client:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415, servers and workers need no boto3

    from registry.artifacts.s3 import connect  # noqa: PLC0415
    from registry.artifacts.s3_errors import translated  # noqa: PLC0415

    try:
        with translated(artifacts):
            parameters = credentials.aws_client_parameters.get_params_override()
            return connect(credentials.get_boto3_session(), parameters)
    except (BotoCoreError, TypeError, ValueError) as error:
        raise InvalidBlock(block, str(error)) from error
