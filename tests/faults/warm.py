"""Imported by the process that others are forked from, so that these need not wait for their libraries."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import tests.faults.deaths
import tests.faults.test_killed_writers
import tests.faults.test_soak  # noqa: F401, the processes run functions of these
from tests.faults.places import Place, register

with TemporaryDirectory() as _folder, Place(f"sqlite:///{_folder}/registry.db", _folder).open() as _registry:
    register(_registry, 0)  # the first takes seconds, as it looks for all that is installed
