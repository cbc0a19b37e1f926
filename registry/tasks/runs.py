"""The run in which a task works: a registry that names it, a key that its retries share, when to retry."""

from __future__ import annotations

from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any

from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext, TaskRunContext

from registry.blocks import ModelRegistry, load, origin_of
from registry.exceptions import (
    ArtifactStoreUnavailable,
    BlockUnavailable,
    DatabaseUnavailable,
    EventsUnavailable,
)
from registry.facade import Registry
from registry.settings import RegistrySettings, open_backend

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

_counting = Lock()


def open_registry(block: str | None = None) -> Registry:
    """The registry of a saved *block*, or of the settings; what it writes names the running flow and task.

    Args:
        block: The name of a ``ModelRegistry`` block; None, or no text, means the settings.

    Raises:
        BlockNotFound: No such block was saved.
        BlockUnavailable: The Prefect server did not give it.
        InvalidBlock: It can't be used.
        DatabaseError: The database can't be used as a registry's.
        ArtifactStoreUnavailable: The bucket can't be used.
    """
    if block:
        return load(ModelRegistry, block).open()
    settings = RegistrySettings()
    return Registry.of(open_backend(settings, origin_of(settings.actor)))


def run_key(*request: str) -> str | None:
    """A key for the *request* of this task run, which its retries share, and the reruns of its flow run.

    Prefect gives the task runs of a rerun new ids, so the key counts: it is the first, second, … time that
    this attempt of the flow run asks for the same. Inside another task or a subflow that is retried, and on
    another machine than the flow's, that can't be told, and only the task run's own retries share a key:
    there the caller had better give one.
    """
    context, around = TaskRunContext.get(), FlowRunContext.get()
    if context is None:
        return None
    asked = sha256("\n".join(request).encode()).hexdigest()
    this = f"{context.task_run.id}/{asked}"
    if around is None or around.flow_run is None or around.detached:
        return this
    counted = around.task_run_dynamic_keys  # lives as long as this attempt of the flow run
    with _counting:
        if this not in counted:
            counted[asked] = int(counted.get(asked, 0)) + 1
            counted[this] = f"{around.flow_run.id}/{asked}/{counted[asked]}"
        return str(counted[this])


def _is_passing(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again may help: the database, the artifact store or the server was out of reach."""
    try:
        state.result()
    except (DatabaseUnavailable, ArtifactStoreUnavailable, EventsUnavailable, BlockUnavailable):
        return True
    except Exception:  # noqa: BLE001, whatever else failed will fail again
        return False
    return False


PATIENT: Any = {
    "retries": 3,
    "retry_delay_seconds": [1, 5, 25],
    "retry_condition_fn": _is_passing,
    "cache_policy": NO_CACHE,
}
"""For tasks that may run twice, because what they write they write once."""
