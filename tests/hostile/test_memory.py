"""A small file takes little memory, whatever it claims to hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hostile.corpus import TRICKS

if TYPE_CHECKING:
    from tests.hostile.conftest import Arsenal

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
ROOM = 2**26
LOAD = """
import resource, sys
from pathlib import Path
from registry.exceptions import ModelError
from registry.serialization import Terms, load
from registry.trust import TRUSTED
def used(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = used()
for path in sys.argv[1:]:
    try:
        load(Path(path), Terms(trusted=TRUSTED), subject="late@1")
    except ModelError as error:
        assert "MemoryError" not in str(error), error
print(used() - before)
"""


@pytest.mark.parametrize("harm", ["swells", "nothing", "hangs"])
def test_tricks_are_refused_before_they_unfold(arsenal: Arsenal, tmp_path: Path, harm: str) -> None:
    tricks = {payload.name for payload in TRICKS if payload.harm == harm}
    paths = [tmp_path / str(number) for number in range(len(tricks))]
    for path, file in zip(paths, (each for each in arsenal.files if each.name in tricks), strict=True):
        path.write_bytes(file.content)
    done = subprocess.run(  # noqa: S603, the code is this file's
        [sys.executable, "-c", LOAD, *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert int(done.stdout) < ROOM
