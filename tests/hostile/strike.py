"""Run each payload under the loader that it is made for, each in a process of its own, and tell what it did.

The loaders are those that people write: they read whatever is there, trust what the file says of itself, or
trust by prefix, or trust the types alone.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import signal
import sys
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import skops.io

from registry.trust import TRUSTED
from tests.hostile.corpus import CORPUS, Payload

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 4  # seconds of work
ROOM = 2**26  # bytes that a small file may take
SWELLED = 3
PREFIXES = ("numpy.", "scipy.", "sklearn.")


class _OfNumpy(pickle.Unpickler):
    """Trusts modules by their prefix."""

    def find_class(self, module: str, name: str) -> Any:
        if not f"{module}.".startswith(PREFIXES):
            raise pickle.UnpicklingError(module)
        return super().find_class(module, name)


def _stream(content: bytes) -> None:
    file = io.BytesIO(content)
    while file.tell() < len(content):
        pickle.load(file)  # noqa: S301, it is here to fall for it


def _numpy(content: bytes) -> None:
    found = np.load(io.BytesIO(content), allow_pickle=True)
    if isinstance(found, np.lib.npyio.NpzFile):
        dict(found)


def _prefixes(content: bytes) -> None:
    names = skops.io.get_untrusted_types(data=content)
    skops.io.loads(content, trusted=[name for name in names if name.startswith(PREFIXES)])


def _list_in_the_file(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        skops.io.loads(content, trusted=json.loads(archive.read("trusted.json")))


LOADERS: dict[str, Callable[[bytes], Any]] = {
    "pickle": pickle.loads,
    "pickles": _stream,
    "pickle of numpy's": lambda content: _OfNumpy(io.BytesIO(content)).load(),
    "joblib": lambda content: joblib.load(io.BytesIO(content)),
    "numpy": _numpy,
    "own list": lambda content: skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content)),
    "prefixes": _prefixes,
    "list in the file": _list_in_the_file,
    "trusted": lambda content: skops.io.loads(content, trusted=sorted(TRUSTED)),
    "predicting": lambda content: skops.io.loads(content).predict(pd.DataFrame({"wind": [1.0, 2.0]})),
    "parquet": lambda content: pd.read_parquet(io.BytesIO(content), use_threads=False),
}


def strike(payload: Payload, folder: Path) -> str:
    """What the payload does: "touches", "crashes", "hangs", "swells" or "nothing"."""
    folder.mkdir()
    content = payload.build(folder / "marker")
    child = os.fork()
    if not child:
        _suffer(payload, content, folder)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if any(folder.iterdir()):
        return "touches"
    ends = {-signal.SIGXCPU: "hangs", SWELLED: "swells", 0: "nothing"}
    return ends.get(status, "crashes")


def _suffer(payload: Payload, content: bytes, folder: Path) -> None:
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    before = _most_used()
    try:
        LOADERS[payload.falls](content)
    except MemoryError:
        os._exit(SWELLED)
    except BaseException:  # noqa: BLE001, S110, whatever it says, it has struck by now
        pass
    os._exit(SWELLED if _most_used() - before > ROOM else 0)


def _most_used() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    root = Path(sys.argv[1])
    print(json.dumps({each.name: strike(each, root / str(n)) for n, each in enumerate(CORPUS)}))  # noqa: T201
