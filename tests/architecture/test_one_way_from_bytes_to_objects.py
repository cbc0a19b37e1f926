"""Only registry/serialization.py turns bytes into objects; what else could run code of a file is named."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GATE = ROOT / "registry" / "serialization.py"
LIBRARIES = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "copyreg"),
    *("skops", "torch", "keras", "tensorflow", "xgboost", "lightgbm", "catboost", "onnxruntime", "mlflow"),
    *("runpy", "code", "codeop", "jsonpickle", "numexpr"),
}
ARGUED = {("registry/tasks/runners.py", "joblib.cpu_count")}  # counts, and loads nothing
LOADERS_OF_MLFLOW = ("mlflow.pyfunc", "mlflow.sklearn", "mlflow.models")
BUILT_IN = {"eval", "exec", "compile", "__import__"}
CALLS = BUILT_IN | {"read_pickle", "read_hdf", "unsafe_load", "full_load", "load_model"}
NAMED = {"allow_pickle", "Loader"}


def _files() -> list[Path]:
    return [*ROOT.glob("registry/**/*.py"), *ROOT.glob("flows/**/*.py")]


def _offences(tree: ast.AST) -> Iterator[str]:
    """The imports and calls by which bytes could become objects."""
    for each in ast.walk(tree):
        if isinstance(each, ast.Import):
            yield from (name.name for name in each.names if _library(name.name))
        elif isinstance(each, ast.ImportFrom) and _library(each.module or ""):
            yield from (f"{each.module}.{name.name}" for name in each.names)
        elif isinstance(each, ast.Call):
            yield from _in_call(each)


def _library(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES


def _in_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    if name in BUILT_IN or last in CALLS - BUILT_IN:
        yield name
    if name in {"np.load", "numpy.load", "yaml.load", "yaml.load_all", "np.fromregex"}:
        yield name
    if last == "import_module" and any(_library(str(ast.literal_eval(each))) for each in _constants(call)):
        yield f"{name} of {call.args[0]!r}"
    if name.startswith(("np.", "numpy.", "yaml.")):
        yield from (f"{name}({word.arg}=)" for word in call.keywords if word.arg in NAMED)


def _constants(call: ast.Call) -> list[ast.Constant]:
    return [each for each in call.args if isinstance(each, ast.Constant)]


def test_nothing_else_loads_what_could_run_code() -> None:
    found = {
        (str(path.relative_to(ROOT)), offence)
        for path in _files()
        if path != GATE
        for offence in _offences(ast.parse(path.read_text()))
        if not _speaks_mlflow(path, offence)
    }
    assert found == ARGUED


def _speaks_mlflow(path: Path, offence: str) -> bool:
    """Whether it is an import by which MLflow is served, and no model of its is loaded."""
    if not path.is_relative_to(ROOT / "registry" / "mlflow") or offence.partition(".")[0] != "mlflow":
        return False
    return not offence.startswith(LOADERS_OF_MLFLOW)


def test_the_gate_itself_is_seen() -> None:
    assert {"pickle", "joblib", "skops.io"} <= set(_offences(ast.parse(GATE.read_text())))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import joblib as jl",
        "from torch import load",
        "from mlflow.pyfunc import load_model",
        "mlflow.sklearn.load_model(uri)",
        "def late():\n    import cloudpickle",
        "from importlib import import_module\nimport_module('dill')",
        "eval('1')",
        "exec(text)",
        "pd.read_pickle(path)",
        "np.load(path)",
        "np.fromfile(path, allow_pickle=True)",
        "yaml.load(text)",
        "yaml.safe_dump(1, Loader=x)",
        "__import__('os')",
    ],
)
def test_a_line_that_would_load_code_is_found(line: str) -> None:
    assert [*_offences(ast.parse(line))]


@pytest.mark.parametrize(
    "line", ["session.exec(statement)", "re.compile('x')", "yaml.safe_load(text)", "frame.query"]
)
def test_a_line_that_would_not_is_not(line: str) -> None:
    assert not [*_offences(ast.parse(line))]
