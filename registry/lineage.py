"""Where a version comes from: the code's commit, and the libraries it was made with."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_ALWAYS = ("prefect-model-registry", "scikit-learn", "skops", "numpy", "scipy", "pandas", "joblib")
_PATIENCE = 5  # seconds for git, which waits for ever on a dead network drive


@dataclass(frozen=True)
class Code:
    """The commit that was checked out, and whether tracked files differed from it; None outside of git."""

    commit: str | None = None
    dirty: bool | None = None


def code_in(folder: Path) -> Code:
    """The state of the git checkout around *folder*."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return Code()
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Code(commit, None if changes is None else bool(changes))


def environment(estimator: Any) -> dict[str, str]:
    """Versions of Python and of every distribution that the estimator's steps come from."""
    steps = [estimator, *getattr(estimator, "get_params", dict)().values()]
    modules = {type(step).__module__.partition(".")[0] for step in steps}
    owners = {owner for module in modules for owner in _distributions().get(module, ())}
    found = {name: _version(name) for name in sorted(owners.union(_ALWAYS))}
    return {"python": platform.python_version()} | {name: text for name, text in found.items() if text}


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


@cache
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a checkout that was never installed
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603, the arguments are this module's own
            [git, "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
