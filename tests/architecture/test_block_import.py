"""Every Prefect server and worker imports the block when it starts."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    "alembic",
    "boto3",
    "botocore",
    "matplotlib",
    "numpy",
    "pandas",
    "prefect_aws",
    "pyarrow",
    "scipy",
    "sklearn",
    "skops",
}


def test_the_block_is_imported_without_a_heavy_library_and_without_a_warning(tmp_path: Path) -> None:
    code = "import sys, registry.blocks; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(  # noqa: S603, the code is this file's
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "registry" in done.stdout.split()
    assert HEAVY.isdisjoint(done.stdout.split())
