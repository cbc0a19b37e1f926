"""The flows and the file of deployments that come with the library, wherever it was installed from.

A wheel has the flows at ``registry.flows``, because a top-level package of that name would hide everybody's
own or be hidden by it. In a checkout they are a folder beside the library's.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_INSTALLED = "registry.flows"
_LIBRARY = Path(__file__).parents[1]


def flows_package() -> str:
    """The package that the library's flows are modules of."""
    return _INSTALLED if find_spec(_INSTALLED) else "flows"


def prefect_file() -> Path:
    """The library's own file of deployments."""
    root = _LIBRARY if find_spec(_INSTALLED) else _LIBRARY.parent
    return root / "deployments" / "prefect.yaml"


def entrypoint_of(flow: str) -> str:
    """Where one of the library's flows is found from the working folder.

    In a wheel that is its module. In a checkout it is its file, because ``flows`` may be another's module
    wherever the run works.

    Args:
        flow: Such as ``flows/promote.py:promote``.
    """
    path, _, name = flow.partition(":")
    if find_spec(_INSTALLED):
        return f"{_INSTALLED}.{Path(path).stem}.{name}"
    file = _LIBRARY.parent / path
    here = Path.cwd()
    return f"{file.relative_to(here) if file.is_relative_to(here) else file}:{name}"
