"""A corpus proves something only if its files do harm where nobody looks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.corpus import CORPUS

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.faults


def test_each_payload_does_under_the_loader_that_it_is_made_for_what_it_says(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603, the program is this folder's
        [sys.executable, "-W", "ignore", "-m", "tests.hostile.strike", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {payload.name: payload.harm for payload in CORPUS}


def test_the_corpus_is_large_and_each_of_its_payloads_has_a_name_of_its_own() -> None:
    assert Counter(payload.harm for payload in CORPUS)["touches"] >= 50
    assert len({payload.name for payload in CORPUS}) == len(CORPUS)
