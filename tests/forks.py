"""Processes that have everything imported from the start, for tests that kill some or let many compete."""

from __future__ import annotations

from functools import cache
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

ROOT = Path(__file__).parents[1]


@cache
def forks() -> ForkServerContext:
    """What makes them; all come from one server, so that it has to be the same for all tests."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.warm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # the server has to find its modules
        forkserver.ensure_running()
    return context
