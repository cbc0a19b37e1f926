"""Where the tasks of a flow run, by a name that fits into a run form."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from joblib import cpu_count
from prefect.settings import get_current_settings
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from registry.exceptions import ExtraMissing

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from prefect.task_runners import TaskRunner

Runner = Literal["threads", "processes", "dask", "ray"]


def runner(name: Runner) -> TaskRunner[Any]:
    """A task runner that was not started yet.

    There are as many ``threads`` or ``processes`` as processors that this process may use, unless Prefect's
    settings say otherwise. ``dask`` is the cluster of Dask's own configuration (``DASK_SCHEDULER_ADDRESS``),
    else one on this machine; ``ray`` likewise (``RAY_ADDRESS``).

    Raises:
        ExtraMissing: The library behind it is not installed.
    """
    return _RUNNERS[name]()


def _threads() -> TaskRunner[Any]:
    chosen = get_current_settings().tasks.runner.thread_pool_max_workers
    return ThreadPoolTaskRunner(max_workers=chosen or cpu_count())  # Prefect's default is without limit


def _processes() -> TaskRunner[Any]:
    chosen = get_current_settings().tasks.runner.process_pool_max_workers
    return ProcessPoolTaskRunner(
        max_workers=chosen or cpu_count()
    )  # Prefect's counts what a container can't use


def _dask() -> TaskRunner[Any]:
    dask_runner: Callable[..., TaskRunner[Any]] = _module("dask", "prefect_dask").DaskTaskRunner
    if address := import_module("dask.config").get("scheduler-address", None):
        return dask_runner(address=address)
    return dask_runner(cluster_class=_local_cluster)


def _local_cluster() -> Any:
    """A cluster for one flow run: its dashboard takes any port, and its workers keep the memory they freed.

    That Dask has them give it back at once slows predictions by a fifth.
    """
    distributed, config = import_module("distributed"), import_module("dask.config")
    environment = "distributed.nanny.pre-spawn-environ"
    kept = {name: value for name, value in config.get(environment).items() if not name.startswith("MALLOC_")}
    with config.set({environment: kept}):
        return distributed.LocalCluster(dashboard_address="127.0.0.1:0")


def _ray() -> TaskRunner[Any]:
    ray_runner: Callable[..., TaskRunner[Any]] = _module("ray", "prefect_ray").RayTaskRunner
    return ray_runner()


def _module(extra: str, name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ExtraMissing(f"the task runner {extra!r}", extra, str(error)) from error


_RUNNERS: dict[Runner, Callable[[], TaskRunner[Any]]] = {
    "threads": _threads,
    "processes": _processes,
    "dask": _dask,
    "ray": _ray,
}
