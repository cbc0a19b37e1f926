"""Measure this registry and MLflow side by side: ``python -m tests.benchmarks.mlflow_comparison --help``.

``tests.benchmarks.compare_mlflow`` runs this where both are installed. Without MLflow its columns stay empty.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.benchmarks.mlflow_comparison import estimators, files, imports, rows, theirs
from tests.benchmarks.mlflow_comparison.lab import PLACES, Lab, Sizes
from tests.benchmarks.mlflow_comparison.lines import Line, Measured, race
from tests.benchmarks.mlflow_comparison.picture import draw
from tests.benchmarks.mlflow_comparison.table import markdown, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.mlflow_comparison.lines import Way

HERE = ("a new process",)
STORES = ("folder", "S3")
SUBJECTS: dict[str, tuple[Sequence[str], Sequence[Callable[[Lab, str], Line]]]] = {
    "alias": (PLACES, [rows.read_an_alias, rows.move_an_alias]),
    "client": (PLACES, [rows.move_an_alias_by_mlflow]),
    "register": (PLACES, [rows.register_a_version, rows.register_together]),
    "search": (PLACES, [partial(rows.search, question) for question in rows.QUESTIONS]),
    "estimator": (PLACES, [estimators.register, estimators.look_again, estimators.load_again]),
    "cold": (PLACES[:1], [estimators.load_cold]),
    "import": (HERE, [imports.seconds, imports.memory]),
    "file": (STORES, [files.store, files.fetch]),
    "memory": (STORES, [files.memory_to_store, files.memory_to_fetch]),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for; print each line as it is there, and write the table and the picture."""
    asked = _parser().parse_args(arguments)
    sizes, measured = _sizes(asked), []
    with (
        warnings.catch_warnings(action="ignore"),  # MLflow's, of what it depends on
        TemporaryDirectory(prefix="comparison-", dir=asked.folder) as folder,
        Lab(Path(folder), sizes) as lab,
    ):
        for each in measure(lab, asked.only or list(SUBJECTS)):
            measured.append(each)
            sys.stdout.write(f"{told(each)}\n")
            sys.stdout.flush()  # somebody waits for it
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "comparison.md").write_text(markdown(measured, sizes))
    draw(measured, asked.output / "comparison.png")


def measure(lab: Lab, subjects: Sequence[str]) -> Iterator[Measured]:
    """The lines of these *subjects*, one after the other."""
    without: set[Way] = set() if theirs.PRESENT else {"MLflow"}
    for subject in subjects:
        if subject == "client" and not theirs.PRESENT:
            continue  # both sides of it are MLflow's
        places, makers = SUBJECTS[subject]
        for make in makers:
            for place in places:
                yield race(make(lab, place), lab.sizes.patience, without=without)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="compare_mlflow", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="small sizes: that it runs, not how fast it is")
    add("--only", nargs="+", choices=SUBJECTS, metavar="NAME", help=f"some of {', '.join(SUBJECTS)}")
    add("--versions", nargs=2, type=int, metavar=("FEW", "MANY"), help="versions of ours, in all")
    add("--seconds", type=float, help="how long to measure a line, at least")
    add("--output", type=Path, default=Path("comparison"), help="the folder for the table and the picture")
    add("--folder", type=Path, help="where databases and files may go meanwhile: some 10 GB")
    return parser


def _sizes(asked: argparse.Namespace) -> Sizes:
    sizes = Sizes.quick() if asked.quick else Sizes()
    if asked.versions:
        few, many = asked.versions
        sizes = replace(sizes, few=few, many=many)
    if asked.seconds:
        sizes = replace(sizes, patience=replace(sizes.patience, seconds=asked.seconds))
    return sizes


if __name__ == "__main__":
    main()
