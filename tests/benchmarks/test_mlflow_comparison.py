"""The comparison runs on small sizes and says what it measured; where MLflow is not there, our side does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.mlflow_comparison.__main__ import main
from tests.benchmarks.mlflow_comparison.lines import Line, Measured, Patience, race
from tests.benchmarks.mlflow_comparison.table import cells

if TYPE_CHECKING:
    from pathlib import Path


QUICK = ["alias", "register", "search", "estimator", "file"]  # the others start many processes


def test_each_line_is_measured_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--only", *QUICK, f"--folder={tmp_path}", f"--output={tmp_path}/out"])
    table = (tmp_path / "out/comparison.md").read_text().splitlines()
    lines = [line for line in table if line.startswith("| ")][2:]
    assert len(lines) == len(capsys.readouterr().out.splitlines()) == 28
    assert all("| – | – |" not in line.rpartition("÷")[0] for line in lines)
    assert (tmp_path / "out/comparison.png").stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_ways_take_turns() -> None:
    taken: list[str] = []

    def way(name: str, cost: float) -> float:
        taken.append(name)
        return cost

    line = Line(
        name="it",
        place="here",
        ways={"ours": lambda: lambda: way("ours", 2), "MLflow": lambda: lambda: way("MLflow", 8)},
        targets={"MLflow": 3},
    )
    measured = race(line, Patience(seconds=0, least=2, most=5))
    assert taken == ["ours", "MLflow", "ours", "MLflow"]
    assert measured.ratio("MLflow") == 4


@pytest.mark.parametrize(
    ("cost", "cell"), [(20.0, "20 (≥ 10 ✓)"), (10.0, "10 (≥ 10 ✓)"), (9.0, "9 (≥ 10 ✗)")]
)
def test_a_target_is_met_or_not(cost: float, cell: str) -> None:
    line = Line(name="it", place="here", ways={}, targets={"MLflow": 10})
    assert cells(Measured(line, {"ours": 1.0, "MLflow": cost}, 1))[5] == cell


def test_a_way_that_was_not_taken_leaves_its_cells_empty() -> None:
    line = Line(name="it", place="here", ways={}, targets={"MLflow": 10})
    assert cells(Measured(line, {"ours": 1.0}, 1))[3:] == ("–", "–", "–", "–", "–")
