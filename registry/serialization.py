"""Estimator <-> bytes: the one place where a file becomes an object.

By default in the skops format: a file says what to build, this registry what may be built. By choice, and by
the consent of the operator and the caller, in a format that runs whatever code the file holds. Which format
it is says the version's row; nothing here looks at a file's name or its first bytes to tell, and nothing
falls back from one format to another.
"""

from __future__ import annotations

import copy
import json
import pickle
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import ZipFile

import joblib
import numpy as np
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from registry import archives
from registry.exceptions import (
    InvalidName,
    NotSerializable,
    PredictionFailed,
    RegistryError,
    Unreadable,
    UntrustedType,
)
from registry.trust import NOBODY, PICKLES, Consent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

FORMAT = "skops"
FORMATS = (FORMAT, *PICKLES)

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
    except (ImportError, AttributeError, TypeError, ValueError):  # a TypeError at a leading dot
        raise InvalidName("type", name, rule) from None
    if not callable(found):
        raise InvalidName("type", name, rule)
    return name


@dataclass(frozen=True, kw_only=True)
class Terms:
    """In which format bytes are, and what may come out of them.

    Attributes:
        serialization: The format: "skops", "pickle", "joblib" or "cloudpickle".
        trusted: Qualified names of the types in it, beyond those that skops trusts by itself.
        consent: Who allows a format that runs code.
    """

    serialization: str = FORMAT
    trusted: Collection[str] = ()
    consent: Consent = NOBODY


def check_format(serialization: str) -> str:
    """Return *serialization* if an estimator can be kept in it, else raise InvalidName."""
    if serialization not in FORMATS:
        raise InvalidName("serialization", serialization, f"write one of {', '.join(FORMATS)}")
    return serialization


def dump(estimator: Any, path: Path, serialization: str = FORMAT) -> None:
    """Write *estimator* to *path*.

    Raises:
        NotSerializable: The format can't express the estimator, or is not installed.
    """
    path.write_bytes(_dumped(estimator, serialization))


def load(path: Path, terms: Terms, *, subject: str) -> Any:
    """Build what the file at *path* holds, if the *terms* allow it; errors call it *subject*.

    Raises:
        PickleNotAllowed: The format runs code, which somebody does not allow; the file was not opened.
        UntrustedType: The file names other types; nothing was imported or built.
        Unreadable: There is no such format, the file is not whole or says what no dump says, its content
            does not fit its types, or it holds a lambda, which no trust could bring back.
    """
    _check_terms(terms, subject)
    with path.open("rb") as file:
        return read(file, terms, subject=subject)


def read(file: BinaryIO, terms: Terms, *, subject: str) -> Any:
    """Build what an open *file* holds, from its beginning; see ``load``, which opens one."""
    _check_terms(terms, subject)
    with _translated(Unreadable, subject):
        if terms.serialization == FORMAT:
            return _built(file, terms.trusted, subject)
        return _UNPICKLE[terms.serialization](file)


def _check_terms(terms: Terms, subject: str) -> None:
    if terms.serialization not in FORMATS:
        raise Unreadable(subject, f"this library knows no format {terms.serialization!r}")
    terms.consent.require(subject, terms.serialization)


def _built(file: BinaryIO, trusted: Collection[str], subject: str) -> Any:
    archives.check(file, subject)
    try:
        return skops.io.load(file, trusted=sorted(trusted))
    except UntrustedTypesFoundException:
        unknown = set(skops.io.get_untrusted_types(file=file)) - set(trusted)
        if any(name.endswith("<lambda>") for name in unknown):
            raise Unreadable(subject, "a lambda can't be found by name: use a function") from None
        raise UntrustedType(subject, tuple(sorted(unknown))) from None


def _cloudunpickled(file: BinaryIO) -> Any:
    import_module("cloudpickle")  # which its pickles name
    return pickle.load(file)  # noqa: S301, operator and caller allowed it by then


_UNPICKLE: dict[str, Callable[[BinaryIO], Any]] = {
    "pickle": pickle.load,
    "joblib": joblib.load,
    "cloudpickle": _cloudunpickled,
}


def round_trip(estimator: Any, features: Any, path: Path, terms: Terms) -> Any:
    """Prove on the rows of *features* that the dump of *estimator* at *path* loads as the same.

    Return what was loaded. Naming a format that runs code is the caller's consent: the bytes are of its own
    making.

    Labels must be equal, numbers to half of their type's digits: arrays are laid out anew by loading, so
    sums may round differently.

    Raises:
        NotSerializable: It does not load, or predicts differently.
        UntrustedType: It holds types that are not trusted.
        PickleNotAllowed: The operator does not allow the format.
        PredictionFailed: The estimator itself can't predict these rows.
    """
    subject, terms = type_name(estimator), replace(terms, consent=terms.consent.given())
    try:
        restored = load(path, terms, subject=subject)
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


def fingerprint(path: Path, serialization: str = FORMAT) -> str:
    """Digest of everything that the dump at *path* holds, 64 lower-case hexadecimal digits.

    Trainings that fit the same numbers under the same parameters and library versions share it, in any
    process and after any number of pickle round trips. Functions count by their names, as they do in the
    dump. What also counts, so that such an estimator is at worst taken for a new one: fit times (searches),
    the state of an unseeded random generator, queries answered so far (nearest neighbours), and, once
    loaded from skops, the unused bytes of trees.

    In a format that runs code it is the digest of the bytes themselves, which may come out different in
    another process.
    """
    if serialization != FORMAT:
        with path.open("rb") as file:
            return file_digest(file, lambda: sha256(f"{serialization}\n".encode())).hexdigest()
    with ZipFile(path) as archive:
        state = _by_value(json.loads(archive.read("schema.json")), archive)
    return sha256(json.dumps(state).encode()).hexdigest()


def _dumped(estimator: Any, serialization: str) -> bytes:
    with _translated(NotSerializable, type_name(estimator)):
        return _DUMP[serialization](estimator)


def _joblib_dumped(estimator: Any) -> bytes:
    joblib.dump(estimator, buffer := BytesIO())
    return buffer.getvalue()


_DUMP: dict[str, Callable[[Any], bytes]] = {
    FORMAT: lambda estimator: bytes(skops.io.dumps(estimator)),
    "pickle": pickle.dumps,
    "joblib": _joblib_dumped,
    "cloudpickle": lambda estimator: bytes(import_module("cloudpickle").dumps(estimator)),
}


@contextmanager
def _translated(meaning: type[NotSerializable | Unreadable], subject: str) -> Iterator[None]:
    try:
        yield
    except RegistryError:
        raise
    except ModuleNotFoundError as cause:
        raise meaning(subject, f"{cause.name} is not installed here: pip install {cause.name}") from cause
    except Exception as cause:  # a type's own code runs here, and may raise whatever it likes
        raise meaning(subject, f"{type(cause).__name__}: {cause}") from cause


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
