"""What a skops file is made of, written by hand, as somebody hostile would."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

Node = dict[str, Any]


def node(loader: str, name: str, **content: Any) -> Node:
    module, _, attribute = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": attribute, **content}


def plain(value: Any) -> Node:
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def several(*parts: Node, loader: str = "ListNode") -> Node:
    return node(loader, "builtins.tuple" if loader == "TupleNode" else "builtins.list", content=list(parts))


def nested(value: Any) -> Node:
    """Lists within lists, as a dump has them."""
    return several(*map(nested, value)) if isinstance(value, list) else plain(value)


def mapping(content: dict[str, Node], key_type: Node | None = None) -> Node:
    key_types = several(*[key_type or node("TypeNode", "builtins.str")] * len(content))
    return node("DictNode", "builtins.dict", content=content, key_types=key_types)


def instance(name: str, **attributes: Node) -> Node:
    return node("ObjectNode", name, content=mapping(attributes))


def estimator(name: str, **attributes: Node) -> Node:
    import sklearn  # noqa: PLC0415, most files need no version

    return instance(f"sklearn.{name}", _sklearn_version=plain(sklearn.__version__), **attributes)


def calls(name: str, *arguments: Any) -> Node:
    parts = [argument if isinstance(argument, dict) else plain(argument) for argument in arguments]
    return node("ConstructorFromReduceNode", name, content=several(*parts, loader="TupleNode"))


def bound(function: Node, *arguments: Node) -> Node:
    content = {
        "func": function,
        "args": several(*arguments, loader="TupleNode"),
        "kwds": mapping({}),
        "namespace": plain(None),
    }
    return node("PartialNode", "functools.partial", content=content)


def schema(root: Any) -> bytes:
    return json.dumps({"protocol": 2, **root}).encode()


def array(values: Any) -> bytes:
    """The bytes of an ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, np.asarray(values), allow_pickle=True)
    return file.getvalue()


def archive(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return file.getvalue()


def skops_file(root: Any, **parts: bytes) -> bytes:
    """A skops file of the *root* node; further parts are arrays, by number: ``_7=...`` is ``7.npy``."""
    arrays = {f"{name.removeprefix('_')}.npy": content for name, content in parts.items()}
    return archive({"schema.json": schema(root), **arrays})
