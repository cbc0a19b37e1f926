"""What an error of this library is called in MLflow, whose clients and server know nothing else."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_CONFLICT,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)

from registry.exceptions import (
    AliasNotSet,
    ArtifactStoreUnavailable,
    Conflict,
    DatabaseUnavailable,
    InvalidFolder,
    InvalidName,
    InvalidReference,
    InvalidValue,
    NotFound,
    PermissionMissing,
    PickleNotAllowed,
    RegistryError,
    SignatureError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

_CODES: tuple[tuple[type[RegistryError], int], ...] = (
    (AliasNotSet, INVALID_PARAMETER_VALUE),  # as MLflow's own stores have it
    (NotFound, RESOURCE_DOES_NOT_EXIST),
    (Conflict, RESOURCE_CONFLICT),  # which no client tries again
    (PermissionMissing, PERMISSION_DENIED),
    (PickleNotAllowed, PERMISSION_DENIED),
    (SignatureError, PERMISSION_DENIED),
    (DatabaseUnavailable, TEMPORARILY_UNAVAILABLE),
    (ArtifactStoreUnavailable, TEMPORARILY_UNAVAILABLE),
    (InvalidFolder, INVALID_PARAMETER_VALUE),
    (InvalidName, INVALID_PARAMETER_VALUE),
    (InvalidReference, INVALID_PARAMETER_VALUE),
    (InvalidValue, INVALID_PARAMETER_VALUE),
)


@contextmanager
def told() -> Iterator[None]:
    """Raise what goes wrong in the block as an MlflowException with the code that MLflow has for it."""
    try:
        yield
    except RegistryError as error:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), INTERNAL_ERROR)
        raise MlflowException(str(error), code) from error


def tells(method: Callable[P, R]) -> Callable[P, R]:
    """Let *method* raise MLflow's errors; see ``told``."""

    @wraps(method)
    def telling(*args: P.args, **kwargs: P.kwargs) -> R:
        with told():
            return method(*args, **kwargs)

    return telling


def refused(reason: str, code: Any = INVALID_PARAMETER_VALUE) -> MlflowException:
    """The error that says why something can't be done."""
    return MlflowException(reason, code)
