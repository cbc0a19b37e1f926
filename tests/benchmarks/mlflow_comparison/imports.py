"""What it costs to import each library, in processes of their own whose bytecode was compiled before."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.mlflow_comparison.lines import Line
from tests.benchmarks.mlflow_comparison.peaks import cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.mlflow_comparison.lab import Lab
    from tests.benchmarks.mlflow_comparison.lines import Way

STATEMENTS: dict[Way, str] = {
    "ours": "import registry; registry.Registry",
    "MLflow": "import mlflow",
    "floor": "import sqlmodel",
}


def seconds(_lab: Lab, place: str) -> Line:
    ways = {way: partial(_turns, statement, 0) for way, statement in STATEMENTS.items()}
    return Line(name="import the library", place=place, ways=ways, targets={"MLflow": 1 / 0.3})


def memory(_lab: Lab, place: str) -> Line:
    ways = {way: partial(_turns, statement, 1) for way, statement in STATEMENTS.items()}
    return Line(name="its memory, imported", place=place, ways=ways, targets={"MLflow": 1 / 0.4}, unit="MB")


def _turns(statement: str, which: int) -> Callable[[], float]:
    cost(statement)
    return lambda: cost(statement)[which]
