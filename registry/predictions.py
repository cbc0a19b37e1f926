"""What a model answered on each row of a dataset, kept so that later questions need not ask it again."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import infer_dtype
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils.metaestimators import available_if

from registry.exceptions import InvalidDataset, InvalidMetric, PredictionFailed

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

_PLAIN_KINDS = "biufU"
_PLAIN_OBJECTS = {
    "boolean": "bool",
    "integer": "int64",
    "floating": "float64",
    "mixed-integer-float": "float64",
    "string": "str",
}
_METADATA = b"predictions"


@dataclass(frozen=True, eq=False, slots=True)
class Predictions:
    """One model's answers on n rows, with the labels, all in the same row order.

    Attributes:
        labels: (n,) the truth.
        predicted: (n,) what ``predict`` answered, in the units of the labels.
        probabilities: (n, K) one column per class, or None if the model gives none.
        decision: (n,) or (n, columns) what ``decision_function`` answered, or None.
        classes: (K,) in the order of the probability columns; None for a regressor.
    """

    labels: NDArray[Any]
    predicted: NDArray[Any]
    probabilities: NDArray[Any] | None = None
    decision: NDArray[Any] | None = None
    classes: NDArray[Any] | None = None

    @classmethod
    def of(cls, estimator: Any, features: pd.DataFrame, labels: Any) -> Self:
        """Ask *estimator* all that it can say about each row.

        Raises:
            PredictionFailed: The estimator raised, answered with the wrong shape, or with NaN or infinity.
            InvalidDataset: The labels are not one plain, complete column with an entry per row.
        """
        interview = _Interview(estimator, features)
        return cls(
            labels=_checked_labels(labels, len(features)),
            predicted=interview.predicted(),
            probabilities=interview.probabilities(),
            decision=interview.decision(),
            classes=interview.classes,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> Predictions:
        """Return some rows: those a boolean mask holds, or those at the given positions, in that order."""
        return Predictions(
            labels=self.labels[rows],
            predicted=self.predicted[rows],
            probabilities=None if self.probabilities is None else self.probabilities[rows],
            decision=None if self.decision is None else self.decision[rows],
            classes=self.classes,
        )

    def score(self, metric: str) -> float:
        """Return what scikit-learn's scorer *metric* says of the model; higher is always better.

        Where scikit-learn settles an empty ratio by convention (a precision without a positive prediction
        is 0), that number stands.

        Raises:
            InvalidMetric: There is no such scorer, or it has no finite value on these rows.
        """
        if metric not in get_scorer_names():
            raise InvalidMetric(metric, _unknown(metric))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                value = float(get_scorer(metric)(self._replayed(), None, self.labels))
            except Exception as error:
                raise InvalidMetric(metric, _undefined(len(self), str(error))) from error
        if not np.isfinite(value):
            raise InvalidMetric(metric, _undefined(len(self), f"it is {value}"))
        return value

    def write(self, path: Path) -> None:
        """Write the rows to a Parquet file; `read` gives them back bit by bit."""
        columns: dict[str, Any] = {"label": self.labels, "predicted": self.predicted}
        columns |= _spread("probability", self.probabilities) | _spread("decision", self.decision)
        table = pa.table(columns).replace_schema_metadata({_METADATA: self._metadata()})
        pq.write_table(table, path, compression="zstd")

    @classmethod
    def read(cls, path: Path, rows: int) -> Self:
        """Read what `write` wrote of so many *rows*; a file of others is not unfolded.

        Raises:
            InvalidDataset: The file is not one that `write` wrote, or not of so many rows.
        """
        try:
            with pq.ParquetFile(path) as file:
                found = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                if sum(found) != rows:
                    raise ValueError(f"it has {sum(found)} rows, {rows} were answered")  # noqa: TRY301
                return cls._of(file.read())
        except Exception as error:  # a damaged file makes the parser fail in any way
            raise InvalidDataset(str(path), f"it does not hold predictions ({error})") from error

    @classmethod
    def _of(cls, table: pa.Table) -> Self:
        classes = json.loads(table.schema.metadata[_METADATA])["classes"]
        if classes is not None and np.dtype(classes["dtype"]).kind not in _PLAIN_KINDS:
            raise TypeError(f"classes of type {classes['dtype']}")
        return cls(
            labels=_plain(table["label"].to_numpy()),
            predicted=_plain(table["predicted"].to_numpy()),
            probabilities=_gathered(table, "probability"),
            decision=_gathered(table, "decision"),
            classes=None if classes is None else np.array(classes["values"], dtype=classes["dtype"]),
        )

    def _metadata(self) -> bytes:
        if self.classes is None:
            return json.dumps({"classes": None}).encode()
        kept = {"dtype": self.classes.dtype.str, "values": self.classes.tolist()}
        return json.dumps({"classes": kept}).encode()

    def _replayed(self) -> BaseEstimator:
        return _ReplayedRegressor(self) if self.classes is None else _ReplayedClassifier(self)


class _Replay(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """An estimator that gives the stored answers, whatever it is asked about."""

    def __init__(self, answers: Predictions) -> None:
        self.answers = answers

    def predict(self, _: None) -> NDArray[Any]:
        return self.answers.predicted

    @available_if(lambda self: self.answers.probabilities is not None)  # type: ignore[untyped-decorator]
    def predict_proba(self, _: None) -> NDArray[Any] | None:
        return self.answers.probabilities

    @available_if(lambda self: self.answers.decision is not None)  # type: ignore[untyped-decorator]
    def decision_function(self, _: None) -> NDArray[Any] | None:
        return self.answers.decision


class _ReplayedRegressor(RegressorMixin, _Replay):  # type: ignore[misc]  # scikit-learn ships no types
    pass


class _ReplayedClassifier(ClassifierMixin, _Replay):  # type: ignore[misc]  # scikit-learn ships no types
    @property
    def classes_(self) -> NDArray[Any] | None:
        return self.answers.classes


class _Interview:
    """Asks one estimator about the same rows in several ways, and checks each answer."""

    def __init__(self, estimator: Any, features: pd.DataFrame) -> None:
        self._estimator = estimator
        self._features = features
        self._subject = type(estimator).__name__
        known = getattr(estimator, "classes_", None)
        self.classes = None if known is None else self._require_plain(known, "classes_")

    def predicted(self) -> NDArray[Any]:
        answer = self._ask("predict")
        if answer.ndim > 1 and answer.size == len(self._features):
            answer = answer.reshape(-1)
        if answer.ndim > 1:
            raise PredictionFailed(self._subject, f"predict answered with shape {answer.shape}, not (rows,)")
        return self._require_plain(answer, "predict")

    def probabilities(self) -> NDArray[Any] | None:
        if not hasattr(self._estimator, "predict_proba"):
            return None
        answer = self._ask("predict_proba")
        if self.classes is None or answer.shape[1:] != self.classes.shape:
            raise PredictionFailed(
                self._subject,
                f"predict_proba answered with shape {answer.shape}, but classes_ is {self.classes}",
            )
        return answer

    def decision(self) -> NDArray[Any] | None:
        if not hasattr(self._estimator, "decision_function"):
            return None
        return self._ask("decision_function")

    def _ask(self, method: str) -> NDArray[Any]:
        try:
            answer = np.asarray(getattr(self._estimator, method)(self._features))
        except Exception as error:
            reason = f"{method} raised {type(error).__name__}: {error}"
            raise PredictionFailed(self._subject, reason) from error
        if answer.ndim not in (1, 2) or len(answer) != len(self._features):
            reason = f"{method} answered with shape {answer.shape} to {len(self._features)} rows"
            raise PredictionFailed(self._subject, reason)
        if answer.dtype.kind == "f" and not np.isfinite(answer).all():
            raise PredictionFailed(self._subject, f"{method} answered with NaN or infinity")
        return answer

    def _require_plain(self, values: Any, source: str) -> NDArray[Any]:
        try:
            return _plain(values)
        except TypeError as error:
            raise PredictionFailed(self._subject, f"{source} holds {error}") from error


def _plain(values: Any) -> NDArray[Any]:
    """Return booleans, numbers or strings as an array of that type; raise TypeError naming anything else."""
    array = np.asarray(values)
    if array.dtype.kind in _PLAIN_KINDS:
        return array
    found = infer_dtype(array, skipna=False)
    if found not in _PLAIN_OBJECTS:
        raise TypeError(f"{found} values, which are not all booleans, all numbers or all strings")
    return array.astype(_PLAIN_OBJECTS[found])


def _checked_labels(labels: Any, rows: int) -> NDArray[Any]:
    try:
        column = _plain(labels)
    except TypeError as error:
        raise InvalidDataset("labels", f"the column holds {error}") from error
    if column.shape != (rows,):
        raise InvalidDataset("labels", f"shape {column.shape} does not fit {rows} rows of features")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise InvalidDataset("labels", "some are missing or infinite: drop those rows")
    return column


def _unknown(metric: str) -> str:
    near = get_close_matches(metric, get_scorer_names(), n=3)
    if not near:
        return "scikit-learn has no such scorer; `sklearn.metrics.get_scorer_names()` lists them"
    return f"scikit-learn has no such scorer; did you mean {' or '.join(near)}?"


def _undefined(rows: int, cause: str) -> str:
    first_line = cause.strip().partition("\n")[0]
    return (
        f"not defined on these {rows} rows ({first_line}): use rows that hold every class, "
        "labels 0 and 1 for a binary metric, or a metric that fits what the model answers"
    )


def _spread(name: str, values: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    if values is None:
        return {}
    if values.ndim == 1:
        return {name: values}
    return {f"{name}_{k}": np.ascontiguousarray(column) for k, column in enumerate(values.T)}


def _gathered(table: pa.Table, name: str) -> NDArray[Any] | None:
    if name in table.column_names:
        return np.asarray(table[name].to_numpy())
    columns = [table[each].to_numpy() for each in table.column_names if each.startswith(f"{name}_")]
    return np.column_stack(columns) if columns else None
