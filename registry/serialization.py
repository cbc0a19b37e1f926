"""Estimator <-> bytes, in the skops format alone: a file says what to build, this registry what may be built.

Nothing here looks at a file's name, and nothing falls back to a format that could run code.
"""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import ZipFile

import numpy as np
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from registry.exceptions import (
    InvalidName,
    NotSerializable,
    PredictionFailed,
    RegistryError,
    Unreadable,
    UntrustedType,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

FORMAT = "skops"

_OPTIONAL = ("predict_proba", "decision_function")
_ADDRESSES = frozenset({"__id__", "_stop_words_id"})  # noted by skops, and by scikit-learn's text vectorizers


def type_name(estimator: Any) -> str:
    """Where the estimator's class is defined: its module and qualified name."""
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"


def check_type_name(name: str) -> str:
    """Return *name* if it is a class or function that can be imported here, else raise InvalidName."""
    module, _, attribute = name.rpartition(".")
    rule = "write module.Name of a class or function that can be imported here"
    if not module:
        raise InvalidName("type", name, rule)
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        raise InvalidName("type", name, rule) from None
    if not callable(found):
        raise InvalidName("type", name, rule)
    return name


def dump(estimator: Any, path: Path) -> None:
    """Write *estimator* to *path* in the skops format.

    Raises:
        NotSerializable: skops cannot express the estimator.
    """
    path.write_bytes(_dumped(estimator))


def load(path: Path, *, trusted: Collection[str], subject: str) -> Any:
    """Build what the skops file at *path* holds, provided that every type in it is trusted.

    *trusted* are qualified names beyond those that skops trusts by itself; *subject* is what the errors
    call the artifact.

    Raises:
        UntrustedType: The file names other types; nothing was imported or built.
        Unreadable: The file is not a whole skops archive, its content does not fit its types, or it holds
            a lambda, which no trust could bring back.
    """
    with path.open("rb") as file, _translated(Unreadable, subject):
        _check_declared_sizes(file)
        try:
            return skops.io.load(file, trusted=sorted(trusted))
        except UntrustedTypesFoundException:
            unknown = set(skops.io.get_untrusted_types(file=file)) - set(trusted)
            if any(name.endswith("<lambda>") for name in unknown):
                raise Unreadable(subject, "a lambda can't be found by name: use a function") from None
            raise UntrustedType(subject, tuple(sorted(unknown))) from None


def round_trip(estimator: Any, features: Any, path: Path, *, trusted: Collection[str]) -> Any:
    """Dump *estimator* to *path*, and prove on the rows of *features* that what loads from there is the same.

    Return what was loaded.

    Labels must be equal, numbers to half of their type's digits: arrays are laid out anew by loading, so
    sums may round differently.

    Raises:
        NotSerializable: It can't be dumped, does not load, or predicts differently.
        UntrustedType: It holds types outside *trusted*.
        PredictionFailed: The estimator can't predict these rows even before it is dumped.
    """
    subject = type_name(estimator)
    dump(estimator, path)
    try:
        restored = load(path, trusted=trusted, subject=subject)
    except Unreadable as failure:
        raise NotSerializable(subject, failure.reason) from failure
    with _translated(NotSerializable, subject):
        original = copy.deepcopy(estimator)  # asking changes nearest neighbours, they count their queries
    for question in ("predict", *(method for method in _OPTIONAL if hasattr(estimator, method))):
        expected = _answer(original, question, features)
        try:
            found = _answer(restored, question, features)
        except PredictionFailed as failure:
            raise NotSerializable(subject, f"once loaded, {failure.reason}") from failure
        if len(expected) != len(found) or not all(map(_same, expected, found)):
            raise NotSerializable(subject, f"once loaded, {question} answers differently")
    return restored


def fingerprint(estimator: Any) -> str:
    """Digest of everything that a dump of *estimator* holds, 64 lower-case hexadecimal digits.

    Trainings that fit the same numbers under the same parameters and library versions share it, in any
    process and after any number of pickle round trips. Functions count by their names, as they do in the
    dump. What also counts, so that such an estimator is at worst taken for a new one: fit times (searches),
    the state of an unseeded random generator, queries answered so far (nearest neighbours), and, once
    loaded from skops, the unused bytes of trees.

    Raises:
        NotSerializable: skops cannot express the estimator.
    """
    with ZipFile(BytesIO(_dumped(estimator))) as archive:
        state = _by_value(json.loads(archive.read("schema.json")), archive)
    return sha256(json.dumps(state).encode()).hexdigest()


def _dumped(estimator: Any) -> bytes:
    with _translated(NotSerializable, type_name(estimator)):
        return bytes(skops.io.dumps(estimator))


@contextmanager
def _translated(meaning: type[NotSerializable | Unreadable], subject: str) -> Iterator[None]:
    try:
        yield
    except RegistryError:
        raise
    except Exception as cause:  # a type's own code runs here, and may raise whatever it likes
        raise meaning(subject, f"{type(cause).__name__}: {cause}") from cause


def _check_declared_sizes(file: BinaryIO) -> None:
    # dumps are not compressed: parts that unfold to more than the file are a bomb, and skops would unfold it
    with ZipFile(file) as archive:
        declared = sum(part.file_size for part in archive.infolist())
    if declared > file.seek(0, 2):
        raise ValueError(f"its parts claim {declared} bytes, more than the whole file")


def _answer(estimator: Any, question: str, features: Any) -> list[np.ndarray]:
    try:
        answer = getattr(estimator, question)(features)
    except Exception as cause:  # predicting runs anybody's code
        raise PredictionFailed(type_name(estimator), f"{question}: {cause}") from cause
    return [np.asarray(part) for part in (answer if isinstance(answer, list) else [answer])]


def _same(expected: np.ndarray, found: np.ndarray) -> bool:
    if expected.dtype != found.dtype or expected.shape != found.shape:
        return False
    if expected.dtype.kind != "f":
        return np.array_equal(expected, found)
    tolerance = np.sqrt(np.finfo(expected.dtype).eps)
    return np.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def _by_value(state: Any, archive: ZipFile) -> Any:
    if isinstance(state, list):
        return [_by_value(part, archive) for part in state]
    if not isinstance(state, dict):
        return state
    valued = {key: _by_value(part, archive) for key, part in state.items() if key not in _ADDRESSES}
    if isinstance(member := state.get("file"), str):
        valued["file"] = sha256(archive.read(member)).hexdigest()
    if state.get("__loader__") == "SetNode":
        valued["content"].sort(key=json.dumps)
    return valued
