"""Files that would do harm if the wrong loader read them; the harm is that a file appears in a folder.

Each is built for a folder and a marker within it. ``falls`` names the loader that it is made for (see
``strike``), and ``harm`` what happens under that: it "touches" the marker, "crashes" or "hangs" the process,
"swells" beyond its memory, or does "nothing" because it is only nonsense.
"""

from __future__ import annotations

import io
import json
import lzma
import pickle
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]  # ships no types
import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression

from tests.hostile.nodes import (
    Node,
    archive,
    array,
    bound,
    calls,
    estimator,
    instance,
    mapping,
    nested,
    node,
    plain,
    schema,
    several,
    skops_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = __name__
BOMB = 2**27


@dataclass(frozen=True)
class Payload:
    """One file, what it is made for, and what it does there."""

    name: str
    build: Callable[[Path], bytes]
    falls: str
    harm: str = "touches"


def touch(path: Any, *_: Any) -> None:
    Path(path).touch()


def source(marker: Path) -> str:
    """Python that touches the *marker*."""
    return f"open({str(marker)!r}, 'w').close()"


# -- pickles ------------------------------------------------------------------------------------------------


@dataclass
class Call:
    """Comes out of a pickle as what a function returns."""

    function: Any
    arguments: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def touched(marker: Path) -> Call:
    return Call(touch, (str(marker),))


def called(name: str, *arguments: Any, protocol: int = 4) -> bytes:
    """A pickle that calls the function of this *name*, which nothing here has to import."""
    module, _, function = name.rpartition(".")
    packed = pickle.dumps(arguments, protocol)[2:-1] if protocol < 4 else pickle.dumps(arguments, 3)[2:-1]
    if protocol == 4:
        found = b"\x8c" + bytes([len(module)]) + module.encode()
        found += b"\x8c" + bytes([len(function)]) + function.encode() + b"\x93"
    else:
        found = f"c{module}\n{function}\n".encode()
    return b"\x80" + bytes([protocol]) + found + packed + b"R."


def text(value: Any) -> bytes:
    return b"S" + repr(str(value)).encode() + b"\n"


def shell(marker: Path) -> str:
    return f"touch {marker}"


def second_state(marker: Path) -> bytes:
    """The first state gives the object a ``__setstate__``, which is called with the second."""
    first = b"}" + text("__setstate__") + b"cos\nsystem\nsb"
    return b"ctypes\nSimpleNamespace\n)R" + first + text(shell(marker)) + b"b."


def extension(marker: Path) -> bytes:
    """Registers ``os.system`` under a number, and calls it by that."""
    registered = b"ccopyreg\nadd_extension\n(" + text("os") + text("system") + b"I240\ntR0"
    return registered + b"\x82\xf0(" + text(shell(marker)) + b"tR."


def disguised(marker: Path) -> bytes:
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    fitted.coef_ = touched(marker)
    return pickle.dumps(fitted)


def joblib_file(value: Any, **options: Any) -> bytes:
    joblib.dump(value, file := io.BytesIO(), **options)
    return file.getvalue()


def by_value(marker: Path) -> bytes:
    """A class without a module, whose code is in the file."""

    def run(path: str) -> None:
        open(path, "w").close()  # noqa: PTH123, what it needs must be in it

    run.__module__ = "__main__"
    return bytes(cloudpickle.dumps(Call(run, (str(marker),))))


def npz(**arrays: Any) -> bytes:
    np.savez(file := io.BytesIO(), **arrays)
    return file.getvalue()


def objects(marker: Path) -> np.ndarray[Any, Any]:
    return np.array([touched(marker)], dtype=object)


def harmless() -> bytes:
    return skops_file(plain(1))


PICKLES = [
    Payload("pickle: os.system", lambda m: called("os.system", shell(m)), "pickle"),
    Payload(
        "pickle: posix.system, as text", lambda m: b"cposix\nsystem\n(" + text(shell(m)) + b"tR.", "pickle"
    ),
    Payload("pickle: subprocess", lambda m: called("subprocess.check_call", ["touch", str(m)]), "pickle"),
    Payload("pickle: exec", lambda m: called("builtins.exec", source(m)), "pickle"),
    Payload("pickle: eval, protocol 2", lambda m: called("builtins.eval", source(m), protocol=2), "pickle"),
    Payload("pickle: INST", lambda m: b"(" + text(shell(m)) + b"ios\nsystem\n.", "pickle"),
    Payload("pickle: OBJ", lambda m: b"(cos\nsystem\n" + text(shell(m)) + b"o.", "pickle"),
    Payload(
        "pickle: NEWOBJ",
        lambda m: b"\x80\x02cnumpy\nmemmap\n(" + text(m) + text("uint8") + text("w+") + b"I0\n(I8\ntt\x81.",
        "pickle",
    ),
    Payload(
        "pickle: NEWOBJ_EX",
        lambda m: (
            b"\x80\x04cnumpy\nmemmap\n("
            + text(m)
            + b"t}("
            + text("mode")
            + text("w+")
            + text("shape")
            + b"(I8\ntu\x92."
        ),
        "pickle",
    ),
    Payload("pickle: BUILD twice", second_state, "pickle"),
    Payload("pickle: EXT1", extension, "pickle"),
    Payload("pickle: runpy", lambda m: called("runpy._run_code", source(m), {}), "pickle"),
    Payload("pickle: timeit", lambda m: called("timeit.timeit", source(m)), "pickle"),
    Payload("pickle: cProfile", lambda m: called("cProfile.run", source(m)), "pickle"),
    Payload(
        "pickle: numpy.testing",
        lambda m: called("numpy.testing._private.utils.runstring", source(m), {}),
        "pickle of numpy's",
    ),
    Payload(
        "pickle: numpy.f2py",
        lambda m: called("numpy.f2py.crackfortran.myeval", source(m)),
        "pickle of numpy's",
    ),
    Payload(
        "pickle: a module's attribute",
        lambda m: pickle.dumps(Call(list, (Call(map, (touch, [str(m)])),))),
        "pickle",
    ),
    Payload("pickle: within an estimator", disguised, "pickle"),
    Payload(
        "pickle: behind a harmless one", lambda m: pickle.dumps({}) + called("os.system", shell(m)), "pickles"
    ),
    Payload("pickle: also a skops file", lambda m: called("os.system", shell(m)) + harmless(), "pickle"),
    Payload("cloudpickle: code by value", by_value, "pickle"),
    Payload("joblib: plain", lambda m: joblib_file(touched(m)), "joblib"),
    Payload("joblib: zlib", lambda m: joblib_file(touched(m), compress=("zlib", 9)), "joblib"),
    Payload("joblib: gzip", lambda m: joblib_file(touched(m), compress=("gzip", 9)), "joblib"),
    Payload("joblib: bz2", lambda m: joblib_file(touched(m), compress=("bz2", 9)), "joblib"),
    Payload("joblib: xz", lambda m: joblib_file(touched(m), compress=("xz", 9)), "joblib"),
    Payload("joblib: lzma", lambda m: lzma.compress(pickle.dumps(touched(m)), lzma.FORMAT_ALONE), "joblib"),
    Payload("joblib: array of objects", lambda m: joblib_file(objects(m)), "joblib"),
    Payload("numpy: .npy of objects", lambda m: array(objects(m)), "numpy"),
    Payload("numpy: .npz of objects", lambda m: npz(x=objects(m)), "numpy"),
]

# -- skops files of types that nobody trusts ----------------------------------------------------------------


def made_key(function: Node, marker: Path) -> Node:
    """A dictionary whose loader makes its key by calling *function* with the marker."""
    return mapping({str(marker): plain(0)}, key_type=function)


def old_function(marker: Path) -> bytes:
    function = node("FunctionNode", f"{OWN}.touch", content={"module_path": OWN, "function": "touch"})
    return skops_file({**made_key(function, marker), "protocol": 0})


def own_list(marker: Path) -> bytes:
    listed = json.dumps([f"{OWN}.touch"]).encode()
    return archive({"schema.json": schema(calls(f"{OWN}.touch", str(marker))), "trusted.json": listed})


def runstring(marker: Path) -> bytes:
    return skops_file(calls("numpy.testing._private.utils.runstring", source(marker), mapping({})))


def fitting(marker: Path) -> Node:
    """Both of its untrusted types are harmless alone."""
    scorer = instance(
        "sklearn.metrics._scorer._Scorer",
        _score_func=node("FunctionNode", "sklearn.metrics._classification.accuracy_score"),
        _sign=plain(1),
        _kwargs=mapping({}),
        _response_method=plain("fit"),
    )
    return mapping({"x": plain(0)}, bound(scorer, caching(marker), nested([[1], [2]]), nested([1, 2])))


TOFILE = {"func": "tofile", "obj": node("NdArrayNode", "numpy.ndarray", type="numpy", file="7.npy")}
UNTRUSTED = [
    Payload("skops: a call of any function", lambda m: skops_file(calls(f"{OWN}.touch", str(m))), "own list"),
    Payload("skops: a call of the system", lambda m: skops_file(calls("os.mkdir", str(m))), "own list"),
    Payload("skops: a call of eval", lambda m: skops_file(calls("builtins.eval", source(m))), "own list"),
    Payload("skops: numpy.testing, by its prefix", runstring, "prefixes"),
    Payload(
        "skops: numpy.f2py, by its prefix",
        lambda m: skops_file(calls("numpy.f2py.crackfortran.myeval", source(m))),
        "prefixes",
    ),
    Payload(
        "skops: source text of scipy.stats",
        lambda m: skops_file(
            instance("scipy.stats._continuous_distns.reciprocal_gen", _parse_arg_template=plain(source(m)))
        ),
        "own list",
    ),
    Payload(
        "skops: a function as the type of a key",
        lambda m: skops_file(made_key(node("FunctionNode", f"{OWN}.touch"), m)),
        "own list",
    ),
    Payload(
        "skops: a type as the type of a key",
        lambda m: skops_file(made_key(node("TypeNode", "os.mkdir"), m)),
        "own list",
    ),
    Payload(
        "skops: a bound function",
        lambda m: skops_file(
            mapping({"x": plain(0)}, bound(node("FunctionNode", f"{OWN}.touch"), plain(str(m))))
        ),
        "own list",
    ),
    Payload("skops: an old protocol's function", old_function, "own list"),
    Payload(
        "skops: a method",
        lambda m: skops_file(
            made_key(node("MethodNode", "numpy.ndarray", content=TOFILE), m), _7=array([1.0])
        ),
        "own list",
    ),
    Payload(
        "skops: an operator",
        lambda m: skops_file(
            node(
                "OperatorFuncNode",
                "operator.call",
                attrs=several(node("TypeNode", "os.mkdir"), plain(str(m)), loader="TupleNode"),
            )
        ),
        "own list",
    ),
    Payload(
        "skops: a loss that is a function",
        lambda m: skops_file(
            node(
                "LossNode",
                f"{OWN}.touch",
                __reduce__={"args": several(plain(str(m)), loader="TupleNode")},
                content=mapping({}),
            )
        ),
        "own list",
    ),
    Payload(
        "skops: an array that is eval",
        lambda m: skops_file(
            node("NdArrayNode", "builtins.eval", type="numpy", file="7.npy"),
            _7=array(np.frombuffer(source(m).encode(), np.uint8)),
        ),
        "own list",
    ),
    Payload(
        "skops: a call within a trusted estimator",
        lambda m: skops_file(
            estimator("linear_model._logistic.LogisticRegression", coef_=calls(f"{OWN}.touch", str(m)))
        ),
        "own list",
    ),
    Payload("skops: a scorer that fits", lambda m: skops_file(fitting(m)), "own list"),
    Payload("skops: brings its own list", own_list, "list in the file"),
    Payload(
        "skops: a foreign loader",
        lambda m: skops_file(node("PickleNode", f"{OWN}.touch", content=str(m))),
        "own list",
        "nothing",
    ),
    Payload(
        "skops: a bit generator that is a function",
        lambda _: skops_file(
            node(
                "RandomGeneratorNode",
                "numpy.random._generator.Generator",
                content={
                    "bit_generator": mapping({"bit_generator": plain("seed")}),
                    "seed_seq": mapping({}),
                },
            )
        ),
        "own list",
        "nothing",
    ),
    Payload(
        "skops: an array of pickles",
        lambda m: skops_file(
            node("NdArrayNode", "numpy.ndarray", type="numpy", file="7.npy"), _7=array(objects(m))
        ),
        "own list",
        "nothing",
    ),
    Payload(
        "skops: an array that is a pickle",
        lambda m: skops_file(
            node("NdArrayNode", "numpy.ndarray", type="numpy", file="7.npy"), _7=pickle.dumps(touched(m))
        ),
        "own list",
        "nothing",
    ),
]

# -- skops files of trusted types alone ---------------------------------------------------------------------


def stacking(member: Node, method: str) -> Node:
    """Asks its *member* by the *method* that the file names, whatever that is."""
    return estimator(
        "ensemble._stacking.StackingClassifier",
        estimators_=several(member),
        stack_method_=several(plain(method)),
        final_estimator_=estimator("linear_model._logistic.LogisticRegression"),
        passthrough=plain(value=False),
        _label_encoder=plain(None),
    )


def writing() -> Node:
    return stacking(node("NdArrayNode", "numpy.ndarray", type="numpy", file="7.npy"), "tofile")


def scoring(scored: Node, *arguments: Node) -> Node:
    """A function that lets *scored* predict, and so do whatever that does."""
    scorer = instance("sklearn.metrics._scorer._PassthroughScorer", _estimator=plain(None))
    return bound(scorer, scored, *arguments)


def step(name: str, work: Node) -> Node:
    return several(plain(name), work, loader="TupleNode")


def pipeline(*steps: Node, memory: Any = None) -> Node:
    named = [step(f"step{number}", each) for number, each in enumerate(steps)]
    return estimator(
        "pipeline.Pipeline",
        steps=several(*named),
        memory=plain(memory),
        verbose=plain(value=False),
        transform_input=plain(None),
    )


def transformer(function: Node) -> Node:
    options = dict.fromkeys(["inverse_func", "feature_names_out", "kw_args", "inv_kw_args"], plain(None))
    switches = dict.fromkeys(["validate", "check_inverse"], plain(value=False))
    return estimator(
        "preprocessing._function_transformer.FunctionTransformer",
        func=function,
        accept_sparse=plain(value=True),
        **options,
        **switches,
    )


def scaler() -> Node:
    switches = dict.fromkeys(["with_mean", "with_std", "copy"], plain(value=True))
    return estimator("preprocessing._data.StandardScaler", **switches)


def caching(marker: Path) -> Node:
    """Fitting it makes the folder that it names."""
    return pipeline(scaler(), estimator("linear_model._base.LinearRegression"), memory=str(marker))


def address(marker: Path) -> bytes:  # noqa: ARG001, it crashes instead
    """An estimator that tells NumPy to look for numbers at an address of its choice."""
    interface = mapping(
        {
            "data": several(plain(8), plain(value=False), loader="TupleNode"),
            "shape": several(plain(4), loader="TupleNode"),
            "typestr": plain("<f8"),
            "version": plain(3),
        }
    )
    pointing = estimator("linear_model._base.LinearRegression", __array_interface__=interface)
    shape = several(plain(1), plain(4), loader="TupleNode")
    content = [pointing]
    return skops_file(node("NdArrayNode", "numpy.ndarray", type="json", shape=shape, content=content))


BYTES = array([b"whatever the file says"])
TRUSTED = [
    Payload(
        "trusted: a key made by a scorer of a stacking",
        lambda m: skops_file(mapping({"x": plain(0)}, scoring(writing(), plain(str(m)))), _7=BYTES),
        "trusted",
    ),
    Payload(
        "trusted: a ball tree that measures by a scorer",
        lambda m: skops_file(
            calls(
                "sklearn.neighbors._ball_tree.BallTree",
                nested([[1.0, 2.0], [3.0, 4.0]]),
                40,
                scoring(writing(), plain(str(m))),
            ),
            _7=BYTES,
        ),
        "trusted",
    ),
    Payload(
        "trusted: a key made by fitting a pipeline that caches",
        lambda m: skops_file(
            mapping(
                {"x": plain(0)}, scoring(stacking(caching(m), "fit"), nested([[1.0], [2.0]]), nested([0, 1]))
            )
        ),
        "trusted",
    ),
    Payload(
        "skops's own trust: a stacking that writes as it predicts",
        lambda _: skops_file(pipeline(transformer(node("TypeNode", "builtins.str")), writing()), _7=BYTES),
        "predicting",
    ),
    Payload(
        "skops's own trust: a stacking that fits as it predicts",
        lambda m: skops_file(stacking(caching(m), "fit")),
        "predicting",
    ),
    Payload("skops's own trust: an address in memory", address, "trusted", "crashes"),
    Payload(
        "trusted: an address in a bunch",
        lambda _: skops_file(
            {
                **mapping({"__array_interface__": plain(1)}),
                "__module__": "sklearn.utils._bunch",
                "__class__": "Bunch",
            }
        ),
        "trusted",
        "nothing",
    ),
    Payload(
        "trusted: a method overridden",
        lambda _: skops_file(
            estimator("linear_model._logistic.LogisticRegression", predict=node("TypeNode", "builtins.str"))
        ),
        "trusted",
        "nothing",
    ),
    Payload(
        "trusted: a state that is plain JSON",
        lambda _: skops_file(
            node("ObjectNode", "sklearn.linear_model._base.LinearRegression", content=plain({"__array__": 1}))
        ),
        "trusted",
        "nothing",
    ),
    Payload(
        "trusted: asks by a method of its choice",
        lambda _: skops_file(
            estimator(
                "model_selection._classification_threshold.FixedThresholdClassifier",
                response_method=plain("fit"),
            )
        ),
        "trusted",
        "nothing",
    ),
]

# -- ZIP and JSON -------------------------------------------------------------------------------------------


def renamed(name: str) -> Callable[[Path], bytes]:
    def build(_: Path) -> bytes:
        return archive({"schema.json": schema(node("BytesNode", "builtins.bytes", file=name)), name: b"x"})

    return build


def same_name(name: str) -> bytes:
    """Two parts of one name: which of them is read depends on who reads."""
    other = name[:-1] + "_"
    content = archive({"schema.json": schema(plain(1)), name: b"one", other: b"two"})
    return content.replace(other.encode(), name.encode())


def two_schemas(marker: Path) -> bytes:
    content = archive(
        {"schema.json": schema(plain(1)), "schema.jsox": schema(calls("os.mkdir", str(marker)))}
    )
    return content.replace(b"schema.jsox", b"schema.json")


def link(marker: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("schema.json", schema(node("BytesNode", "builtins.bytes", file="7.npy")))
        info = zipfile.ZipInfo("7.npy")
        info.external_attr = 0o120777 << 16
        packed.writestr(info, str(marker))
    return file.getvalue()


def encrypted(_: Path) -> bytes:
    content = bytearray(harmless())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def overlapping(_: Path) -> bytes:
    """Many entries that claim the same bytes."""
    names = [f"{number}.bin" for number in range(10, 60)]
    content = archive({"schema.json": schema(plain(1)), **dict.fromkeys(names, b"x" * 2**16)})
    first = content.index(b"PK\x03\x04", 4)
    start = content.index(b"PK\x01\x02")
    head, directory = content[:start], content[start:]
    length = 30 + len(names[0]) + 2**16
    kept = head[: first + length]
    moved, position = bytearray(directory), 0
    while (position := directory.find(b"PK\x01\x02", position)) >= 0:
        if directory[position + 46 : position + 56] != b"schema.jso":
            moved[position + 42 : position + 46] = struct.pack("<I", first)
        position += 4
    end = moved.rindex(b"PK\x05\x06")
    moved[end + 16 : end + 20] = struct.pack("<I", len(kept))
    return bytes(kept + moved)


def bomb(_: Path) -> bytes:
    root = schema(node("BytesNode", "builtins.bytes", file="7.bin"))
    return archive({"schema.json": root, "7.bin": bytes(BOMB)}, zipfile.ZIP_DEFLATED)


def bomb_within(_: Path) -> bytes:
    """A sparse matrix is a compressed archive within the archive."""
    numbers = array(np.zeros(BOMB // 8))
    inner = archive(
        {
            "format.npy": array(b"csr"),
            "shape.npy": array([1, 1]),
            "data.npy": numbers,
            "indices.npy": array([0]),
            "indptr.npy": array([0, 1]),
        },
        zipfile.ZIP_DEFLATED,
    )
    root = node("SparseMatrixNode", "scipy.sparse._csr.csr_matrix", type="scipy", file="7.npz")
    return archive({"schema.json": schema(root), "7.npz": inner})


def claim(*shape: int) -> bytes:
    """An array of two numbers whose header claims more."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return header.getvalue() + bytes(16)


def deep_nodes(_: Path) -> bytes:
    open_, close = (
        '{"__loader__": "ListNode", "__module__": "builtins", "__class__": "list", "content": [',
        "]}",
    )
    text_ = open_ * 5_000 + close * 5_000
    return archive({"schema.json": b'{"protocol": 2, ' + text_[1:].encode()})


def circle(_: Path) -> bytes:
    inner = {**several(), "__id__": 7}
    return skops_file({**several(inner), "__id__": 7})


def doubling(_: Path) -> bytes:
    """Each list holds the one before it twice, so whoever walks through it takes for ever."""
    grown = {**several(plain(1)), "__id__": 1}
    for number in range(2, 60):
        again = {**several(), "__id__": number - 1}
        grown = {**several(grown, again), "__id__": number}
    return skops_file(grown)


def cut(_: Path) -> bytes:
    return harmless()[:-30]


TRICKS = [
    Payload("zip: a part above the folder", renamed("../marker"), "own list", "nothing"),
    Payload("zip: an absolute part", renamed("/etc/marker"), "own list", "nothing"),
    Payload("zip: a part of Windows", renamed("..\\marker"), "own list", "nothing"),
    Payload("zip: two parts of one name", lambda _: same_name("7.npy"), "own list", "nothing"),
    Payload("zip: two schemas", two_schemas, "own list"),
    Payload("zip: a symbolic link", link, "own list", "nothing"),
    Payload("zip: encrypted", encrypted, "own list", "nothing"),
    Payload("zip: cut off", cut, "own list", "nothing"),
    Payload("zip: something before it", lambda _: b"#!/bin/sh\n" + harmless(), "own list", "nothing"),
    Payload("zip: parts that overlap", overlapping, "own list", "nothing"),
    Payload("zip: a bomb", bomb, "own list", "swells"),
    Payload("zip: a bomb within a matrix", bomb_within, "trusted", "swells"),
    Payload("zip: no schema", lambda _: archive({"7.npy": array([1])}), "own list", "nothing"),
    Payload(
        "array: claims a petabyte",
        lambda _: skops_file(
            node("NdArrayNode", "numpy.ndarray", type="numpy", file="7.npy"), _7=claim(2**47)
        ),
        "own list",
        "swells",
    ),
    Payload(
        "array: claims less than nothing",
        lambda _: skops_file(node("NdArrayNode", "numpy.ndarray", type="numpy", file="7.npy"), _7=claim(-1)),
        "own list",
        "nothing",
    ),
    Payload(
        "array: is an archive",
        lambda m: skops_file(
            node("NdArrayNode", "numpy.ndarray", type="numpy", file="7.npy"), _7=npz(x=objects(m))
        ),
        "own list",
        "nothing",
    ),
    Payload("json: deep", lambda _: archive({"schema.json": b"[" * 100_000}), "own list", "nothing"),
    Payload("json: deep nodes", deep_nodes, "own list", "nothing"),
    Payload("json: a list in itself", circle, "own list", "nothing"),
    Payload("json: doubling lists", doubling, "own list", "hangs"),
    Payload(
        "json: no UTF-8",
        lambda _: archive({"schema.json": b'{"protocol": 2, "x": "\xff\xfe"}'}),
        "own list",
        "nothing",
    ),
    Payload(
        "json: nonsense", lambda _: archive({"schema.json": b'{"protocol": true}'}), "own list", "nothing"
    ),
    Payload("nothing at all", lambda _: b"", "own list", "nothing"),
]


def unfolding(_: Path) -> bytes:
    """A small Parquet file of very many rows."""
    file = io.BytesIO()
    rows = pa.table({"label": np.zeros(2**20), "predicted": np.zeros(2**20)})
    with pq.ParquetWriter(file, rows.schema) as writer:
        for _again in range(2**3):
            writer.write_table(rows, row_group_size=2**20)
    return file.getvalue()


def pandas_metadata(marker: Path) -> bytes:
    """A Parquet file whose metadata name types by pickle, as some versions of Arrow would have read them."""
    kind = pickle.dumps(touched(marker))
    field = pa.field(
        "late",
        pa.binary(),
        metadata={b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": kind},
    )
    table = pa.table([pa.array([kind])], schema=pa.schema([field]))
    told = {
        "columns": [{"name": "late", "numpy_type": "object", "pandas_type": "pickle"}],
        "index_columns": [],
    }
    pq.write_table(
        table.replace_schema_metadata({b"pandas": json.dumps(told).encode()}), file := io.BytesIO()
    )
    return file.getvalue()


ROWS = [
    Payload("parquet: very many rows", unfolding, "parquet", "swells"),
    Payload("parquet: types as pickles", pandas_metadata, "parquet", "nothing"),
]

CORPUS = [*PICKLES, *UNTRUSTED, *TRUSTED, *TRICKS, *ROWS]
