"""Imported by the process that others are forked from, so that these need not wait for their libraries."""

from __future__ import annotations

from importlib import import_module
from tempfile import TemporaryDirectory

from registry import Registry
from tests.examples import fit, make_dataset

for _module in ("alembic.command", "psycopg", "registry.artifacts.s3", "tests.shelves"):
    import_module(_module)
for _step in ("garbage", "promotion", "retention", "rollback"):
    import_module(f"registry.{_step}")
with (
    TemporaryDirectory() as _folder,
    Registry(f"sqlite:///{_folder}/registry.db", artifacts=_folder, actor="ada") as _registry,
):
    _rows = make_dataset()
    _registry.register("churn", fit(_rows), trained_on=_rows)  # the first takes as long as many others
