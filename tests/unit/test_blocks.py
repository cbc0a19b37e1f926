from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from prefect.plugins import load_prefect_collections
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from pydantic import ValidationError

import registry.blocks
from registry.blocks import ModelRegistry
from registry.settings import RegistrySettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prefect.blocks.core import Block

SECRET = "correct-horse"  # noqa: S105, it guards nothing
DATABASE = f"postgresql+psycopg://ada:{SECRET}@nowhere.invalid/registry"


def a_block(**fields: Any) -> ModelRegistry:
    return ModelRegistry.model_validate({"database": DATABASE, "artifacts": "artifacts"} | fields)


class TestTheBlockMeetsPrefectsStandards(BlockStandardTestSuite):
    @pytest.fixture
    def block(self) -> type[ModelRegistry]:
        return ModelRegistry

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        assert block._logo_url is None  # Prefect takes a logo from the web alone, where the project has none


def test_prefect_finds_the_block_by_itself() -> None:
    assert load_prefect_collections(reload=True)["prefect_model_registry"] is registry.blocks


@pytest.mark.parametrize("show", [repr, str, ModelRegistry.model_dump, ModelRegistry.model_dump_json])
def test_the_password_is_not_shown(show: Callable[[ModelRegistry], object]) -> None:
    assert "postgresql" not in str(show(a_block()))


def test_the_settings_do_not_show_the_password() -> None:
    assert SECRET not in repr(RegistrySettings(database=DATABASE))


@pytest.mark.parametrize("wrong", [{"artifacts": None}, {"credentials": "s3-bucket/team"}])
def test_a_wrong_value_is_refused_without_a_look_at_the_others(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))) as refused:
        a_block(**wrong)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("credentials", ["", "aws-credentials/team", "minio-credentials/team-2"])
def test_credentials_are_empty_or_name_a_block(credentials: str) -> None:
    assert a_block(credentials=credentials).credentials == credentials


def test_blanks_around_what_was_pasted_are_dropped(tmp_path: Path) -> None:
    block = a_block(database=f" sqlite:///{tmp_path}/registry.db\n", artifacts=f"{tmp_path} ", actor=" ada ")
    with block.open() as opened:
        assert opened.backend.rows.name == f"sqlite:///{tmp_path}/registry.db"
        assert opened.backend.artifacts.location == str(tmp_path)
        assert opened.backend.rows.origin.actor == "ada"


@pytest.mark.parametrize("actor", ["", " "])
def test_without_an_actor_the_ledger_names_that_of_the_settings(
    actor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_ACTOR", "grace")
    block = a_block(database=f"sqlite:///{tmp_path}/registry.db", artifacts=str(tmp_path), actor=actor)
    with block.open() as opened:
        assert opened.backend.rows.origin.actor == "grace"


def test_what_else_the_settings_say_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_DATABASE", "nonsense")
    monkeypatch.setenv("MODEL_REGISTRY_ARTIFACTS", "s3://nonsense")
    with a_block(database=f"sqlite:///{tmp_path}/registry.db", artifacts=str(tmp_path)).open() as opened:
        assert opened.models() == []
        assert opened.backend.artifacts.location == str(tmp_path)
