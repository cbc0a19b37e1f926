"""What the README shows is what happens."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from registry import PromotionPolicy
from registry.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_readme_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    for number, block in enumerate(_blocks("python")):
        exec(compile(block, f"README block {number}", "exec", dont_inherit=True), names)  # noqa: S102, it is ours
    said = capsys.readouterr().out
    assert "iris@1 {'model_type': 'LogisticRegression'} {'accuracy': 0.9" in said
    assert "promote ['accuracy is 0.9" in said
    assert "2 assigned iris@2" in said
    assert "3 rolled-back iris@1" in said
    assert names["registry"].resolve("iris@champion").number == 1
    _run_the_flow(names)


def _run_the_flow(names: dict[str, Any]) -> None:
    """It trains the same again, so it finds version 1, which is the champion."""
    assert names["iris_flow"]() == "iris@1"
    last = names["registry"].history("iris")[-1]
    assert (last.kind, last.reason) == ("held", "iris@1 is the champion already")  # since the rollback


def test_the_policy_file_in_the_readme_is_one() -> None:
    (policy,) = _blocks("toml")
    assert len(PromotionPolicy.model_validate(tomllib.loads(policy)).checks) == 3


def test_the_service_in_the_readme_is_the_one_that_is_tested() -> None:
    assert (ROOT / "tests" / "service.py").read_text() in _blocks("python")


def test_ci_runs_the_readmes_test_command() -> None:
    command = next(block for block in _blocks("console") if "pytest" in block)
    assert command.strip() in (ROOT / ".ci" / "run").read_text()


def test_every_command_in_the_readme_exists() -> None:
    usage = next(block for block in _blocks("console") if "registry models |" in block)
    named = set(re.findall(r"(?:registry|\|) ([a-z]+)", usage))
    assert named == set(get_command(app).commands)  # type: ignore[attr-defined]  # it is a group


@pytest.mark.parametrize("command", ["models", "history", "promote", "rollback"])
def test_a_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output
