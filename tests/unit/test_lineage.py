from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry import lineage
from registry.lineage import Code, code_in, environment

if TYPE_CHECKING:
    from pathlib import Path

AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit of one file."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "train.py")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    command = [shutil.which("git") or "git", "-C", str(folder), *AUTHOR, *arguments]
    return subprocess.run(  # noqa: S603, this test's own commands
        command, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, name: str) -> str:
    (folder / name).write_text("fit()\n")
    git(folder, "add", name)
    git(folder, "commit", "--quiet", "-m", name)
    return git(folder, "rev-parse", "HEAD")


def test_a_clean_checkout_is_known_by_its_commit(checkout: Path) -> None:
    assert code_in(checkout) == Code(git(checkout, "rev-parse", "HEAD"), dirty=False)


def test_a_folder_inside_of_a_checkout_belongs_to_it(checkout: Path) -> None:
    (checkout / "flows").mkdir()
    assert code_in(checkout / "flows") == code_in(checkout)


def test_a_changed_file_makes_a_checkout_dirty(checkout: Path) -> None:
    (checkout / "train.py").write_text("fit(harder=True)\n")
    assert code_in(checkout).dirty is True


def test_a_staged_file_makes_a_checkout_dirty(checkout: Path) -> None:
    (checkout / "new.py").write_text("")
    git(checkout, "add", "new.py")
    assert code_in(checkout).dirty is True


def test_a_file_that_git_does_not_track_is_no_change(checkout: Path) -> None:
    (checkout / "registry.db").write_text("")
    assert code_in(checkout).dirty is False


def test_a_detached_head_is_a_commit_like_any_other(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    commit(checkout, "evaluate.py")
    git(checkout, "checkout", "--quiet", "--detach", first)
    assert code_in(checkout) == Code(first, dirty=False)


def test_a_repository_without_a_commit_has_no_code(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert code_in(tmp_path) == Code()


def test_a_folder_outside_of_git_has_no_code(tmp_path: Path) -> None:
    assert code_in(tmp_path) == Code()
    assert code_in(tmp_path / "missing") == Code()


def test_a_machine_without_git_has_no_code(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert code_in(checkout) == Code()


def test_a_git_that_does_not_answer_is_not_waited_for(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = checkout / "git"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(checkout))
    monkeypatch.setattr(lineage, "_PATIENCE", 0.1)
    assert code_in(checkout) == Code()


def test_looking_leaves_the_index_alone(checkout: Path) -> None:
    before = (checkout / ".git/index").read_bytes()
    os.utime(checkout / "train.py", (1, 1))
    code_in(checkout)
    assert (checkout / ".git/index").read_bytes() == before


def test_the_environment_names_python_and_what_every_model_is_made_with() -> None:
    found = environment(LogisticRegression())
    assert found["python"] == platform.python_version()
    assert {name: found[name] for name in ("scikit-learn", "skops", "numpy")} == {
        name: version(name) for name in ("scikit-learn", "skops", "numpy")
    }


def test_the_environment_names_the_distributions_that_steps_come_from() -> None:
    step = type("Step", (BaseEstimator,), {"__module__": "yaml.steps", "fit": None, "transform": None})
    found = environment(make_pipeline(StandardScaler(), step(), LogisticRegression()))
    assert found["PyYAML"] == version("PyYAML")
    assert "PyYAML" not in environment(LogisticRegression())


def test_an_object_without_parameters_has_an_environment_too() -> None:
    assert environment(object())["python"] == platform.python_version()
