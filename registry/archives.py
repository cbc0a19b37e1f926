"""A skops file is looked at as the ZIP and the JSON that it is, before anything in it is built.

skops asks which types a file names. A file of trusted types alone can still do harm by what it does with
them: call one with arguments of its choice, override a method, hand NumPy an address in memory, or have a
stacking classifier call a method of its choice. No dump does any of that, so what no dump says is refused.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from io import BytesIO
from math import prod
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from registry.exceptions import RegistryError, Unreadable
from registry.trust import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from zipfile import ZipInfo

Node = dict[str, Any]


class _Header(NamedTuple):
    """How an array begins in a version of NumPy's format."""

    bytes_of_size: int
    read: Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]


_SCHEMA = "schema.json"
_PART = re.compile(r"schema\.json|[0-9a-f-]{1,64}\.(npy|npz|bin)", re.ASCII)
_ZIP = b"PK\x03\x04"
_ROOMY = 2**26  # bytes to which a compressed sparse matrix may unfold, however small it is
_UNFOLDING = 32  # and times its size, beyond that
_HEADERS = {
    np.lib.format.magic(1, 0): _Header(2, np.lib.format.read_array_header_1_0),
    np.lib.format.magic(2, 0): _Header(4, np.lib.format.read_array_header_2_0),
}

_QUESTIONS = {"auto", "predict", "predict_proba", "predict_log_proba", "decision_function"}
_ASKING = {"stack_method", "stack_method_", "response_method", "chain_method", "chain_method_"}
"""Attributes by which an estimator of scikit-learn names the method that it calls of another."""


def check(file: BinaryIO, subject: str) -> None:
    """Refuse a *file* that no dump has written; *subject* is what the error calls it.

    Raises:
        Unreadable: It is no ZIP archive of plain parts, is larger inside than outside, or its nodes say what
            no dump says.
    """
    try:
        with ZipFile(file) as archive:
            _check_parts(archive, file)
            json.loads(archive.read(_SCHEMA), object_hook=_Inspection())
    except RegistryError:
        raise
    except _Refused as refused:
        raise Unreadable(subject, str(refused)) from None
    except BadZipFile as cause:
        raise Unreadable(subject, "it is not a zip file, or is damaged") from cause
    except Exception as cause:  # zipfile and json raise many kinds at nonsense, also RecursionError
        raise Unreadable(subject, f"{type(cause).__name__}: {cause}") from cause


class _Refused(Exception):
    """Why a file is not one that a dump has written."""


def _check_parts(archive: ZipFile, file: BinaryIO) -> None:
    parts = archive.infolist()
    if len({part.filename for part in parts}) < len(parts):
        raise _Refused("two of its parts have the same name")
    for part in parts:
        if not _PART.fullmatch(part.filename) or part.orig_filename != part.filename:
            raise _Refused(f"no dump has a part {part.filename[:80]!r}")
        if part.compress_type != ZIP_STORED or part.flag_bits & 1:
            raise _Refused(f"part {part.filename} is compressed or encrypted, which no dump is")
    declared = sum(part.file_size for part in parts)
    size = file.seek(0, 2)
    if declared > size:
        raise _Refused(f"its parts claim {declared} bytes, more than the whole file")
    file.seek(0)
    if file.read(len(_ZIP)) != _ZIP:
        raise _Refused("something stands before the archive")
    for part in parts:
        _check_part(archive, part)


def _check_part(archive: ZipFile, part: ZipInfo) -> None:
    look = _CONTENTS.get(part.filename.rpartition(".")[2])
    if look is not None:
        with archive.open(part) as content:
            look(content, part)


def _check_npy(content: IO[bytes], part: ZipInfo) -> None:
    """Refuse an array of more numbers than there are bytes: NumPy makes room for what the header says."""
    version = content.read(np.lib.format.MAGIC_LEN)
    if not version.startswith(np.lib.format.MAGIC_PREFIX):
        raise _Refused(f"part {part.filename} is not what its name says")
    if version not in _HEADERS:
        raise _Refused(f"no dump writes an array as {part.filename} is")
    size = content.read(_HEADERS[version].bytes_of_size)
    shape, claimed = _claim(version, size + content.read(int.from_bytes(size, "little")))
    if claimed > part.file_size or min(shape, default=0) < 0:
        raise _Refused(f"array {part.filename} claims {shape} numbers, more than it has bytes for")


@lru_cache(maxsize=512)  # the trees of a forest have few shapes, and each header is parsed as Python
def _claim(version: bytes, header: bytes) -> tuple[tuple[int, ...], int]:
    """The shape that an array's *header* gives, and how many bytes that takes."""
    shape, _, dtype = _HEADERS[version].read(BytesIO(header))
    return shape, prod(shape) * max(dtype.itemsize, 1)


def _check_npz(content: IO[bytes], part: ZipInfo) -> None:
    if content.read(len(_ZIP)) != _ZIP:
        raise _Refused(f"part {part.filename} is not what its name says")
    with ZipFile(content) as arrays:
        unfolded = sum(array.file_size for array in arrays.infolist())
    if unfolded > max(_ROOMY, _UNFOLDING * part.file_size):
        raise _Refused(f"part {part.filename} unfolds to {unfolded} bytes")


_CONTENTS = {"npy": _check_npy, "npz": _check_npz}


class _Inspection:
    """Looks at each object of the JSON as soon as it is whole, so those within it before itself."""

    def __init__(self) -> None:
        self._weights: dict[Any, int] = {}

    def __call__(self, node: Node) -> Node:
        weight = 1 + _weight(node.values())
        if "__loader__" in node:
            _check_node(node)
            if (identity := node.get("__id__")) is not None and self._weights.setdefault(
                identity, weight
            ) != weight:
                raise _Refused("one object of it is described in two ways")  # whose audit may take for ever
        node[_WEIGHT] = weight
        return node


_WEIGHT = "\0weight"  # under a name that this pass alone knows: what it marks is thrown away


def _weight(values: Iterable[Any]) -> int:
    weight = 0
    for value in values:  # hundreds of thousands, of which most have none
        if isinstance(value, dict):
            weight += value[_WEIGHT]
        elif isinstance(value, list):
            weight += _weight(value)
    return weight


def _check_node(node: Node) -> None:
    loader, name = node["__loader__"], f"{node.get('__module__')}.{node.get('__class__')}"
    role = ROLES.get(name)
    if role is not None and role != loader:
        raise _Refused(f"it uses {name} as {loader}, a dump does so as {role}")
    if (look := _LOOKS.get(loader)) is not None:
        look(node)


def _check_mapping(node: Node) -> None:
    # the loader calls the type of each key with the key
    if any(key_type.get("__loader__") != "TypeNode" for key_type in node["key_types"]["content"]):
        raise _Refused("a key of it would be made by a call")
    for key, value in node["content"].items():
        if key.startswith("__"):  # by which NumPy and others are told what an object is, such as an address
            raise _Refused(f"it sets {key[:80]!r}")
        if key in _ASKING and not all(map(_is_question, _texts(value))):
            raise _Refused(f"{key} names what is not asked for a prediction")


def _check_object(node: Node) -> None:
    content = node.get("content") or {}
    if content.get("__loader__") != "DictNode":
        return
    # skops has imported all of scikit-learn; what is not imported now must not be before it is trusted
    found = getattr(sys.modules.get(str(node["__module__"])), str(node["__class__"]), None)
    for name in content["content"]:
        if callable(getattr(found, name, None)):
            raise _Refused(f"it overrides {node['__class__']}.{name}")


def _check_plain(node: Node) -> None:
    if str(node["content"]).lstrip()[:1] in {"[", "{"}:
        raise _Refused("a plain value of it is none")


def _check_array(node: Node) -> None:
    if "file" in node and not str(node["file"]).endswith(".npy"):
        raise _Refused("an array of it is kept in what is none")


def _check_cached(_: Node) -> None:
    raise _Refused("it refers to an object elsewhere, which no dump does")


_LOOKS = {
    "DictNode": _check_mapping,
    "ObjectNode": _check_object,
    "JsonNode": _check_plain,
    "NdArrayNode": _check_array,
    "CachedNode": _check_cached,
}


def _texts(node: Any) -> Iterable[Any]:
    """The texts in a node that holds one or a list of them; what is something else, as it is."""
    if not isinstance(node, dict):
        return [node]
    content = node.get("content")
    if isinstance(content, list):
        return [text for each in content for text in _texts(each)]
    return [json.loads(str(content)) if node.get("__loader__") == "JsonNode" else node]


def _is_question(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in _QUESTIONS)
