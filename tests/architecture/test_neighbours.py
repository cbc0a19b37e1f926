"""What shares a place with others' must not bear their names."""

from __future__ import annotations

from prefect.server.database.orm_models import Base

from registry.tables import Row


def test_the_tables_can_stand_beside_prefects_own() -> None:
    assert not set(Row.metadata.tables) & set(Base.metadata.tables)
