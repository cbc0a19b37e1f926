"""A backtest in tasks: one that prepares, one for each version, wherever they run, and one that tells.

A task is handed where the rows are, not the rows; a process reads them when a task first asks for them.
"""

from __future__ import annotations

from threading import Lock
from typing import Self

from prefect import task
from pydantic import BaseModel, ConfigDict

from registry.backtest import Backtest, LeftOut, Measurement, Plan, Question, measure, prepare
from registry.datasets import Dataset
from registry.exceptions import InvalidDataset
from registry.tasks.cards import publish
from registry.tasks.runs import PATIENT, open_registry

_reading = Lock()


class Rows(BaseModel):
    """Where rows are, and which they were when the work began.

    Attributes:
        source: Parquet or CSV file, on disk or ``s3://``, that every worker can read.
        target: The column to predict.
        fingerprint: Of the rows.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    fingerprint: str

    @classmethod
    def at(cls, source: str, target: str) -> Self:
        """The rows that are there now.

        Raises:
            InvalidDataset: They can't be read or used.
            ArtifactStoreUnavailable: The bucket can't be used.
        """
        dataset = Dataset.read(source, target)
        rows = cls(source=source, target=target, fingerprint=dataset.fingerprint)
        with _reading:
            _keep(rows, dataset)
        return rows

    def read(self) -> Dataset:
        """The rows; a process keeps those that it read last.

        Raises:
            InvalidDataset: They can't be read, or are no more those with which the work began.
            ArtifactStoreUnavailable: The bucket can't be used.
        """
        with _reading:  # many threads want the same rows, which one of them reads
            if self not in _kept:
                _keep(self, self._checked(Dataset.read(self.source, self.target)))
            return _kept[self]

    def _checked(self, dataset: Dataset) -> Dataset:
        if dataset.fingerprint != self.fingerprint:
            raise InvalidDataset(dataset.name, "its rows changed while versions were measured: run it again")
        return dataset


_kept: dict[Rows, Dataset] = {}


def _keep(rows: Rows, dataset: Dataset) -> None:
    _kept.clear()  # one is as much as a worker should hold
    _kept[rows] = dataset


@task(task_run_name="prepare the backtest of {model}", **PATIENT)
def prepare_backtest(
    model: str, dataset: str, question: Question, registry: str | None = None
) -> tuple[Plan, Rows]:
    """Choose the versions, and measure the one in force on the rows of a file."""
    with open_registry(registry) as opened:
        rows = Rows.at(dataset, opened.target_of(f"{model}@latest"))
        return prepare(opened.backend, model, rows.read(), question), rows


@task(task_run_name="measure {reference}", **PATIENT)
def measure_version(
    reference: str, rows: Rows, plan: Plan, registry: str | None = None
) -> Measurement | LeftOut:
    """Measure one version, or say why it can't be."""
    with open_registry(registry) as opened:
        return measure(opened.backend, opened.resolve(reference), rows.read(), plan)


@task(task_run_name="publish the backtest of {result.model}", **PATIENT)
def publish_backtest(result: Backtest) -> None:
    """Publish what every version would have brought as an artifact."""
    from registry.reports import backtest_card  # noqa: PLC0415, those who measure draw nothing

    told = dict.fromkeys([*(each.reference for each in result.measured[:1]), result.in_force])
    cards = [reference.rpartition("@")[2] for reference in told if reference]
    publish(result.model, "backtest", backtest_card(result), cards)
