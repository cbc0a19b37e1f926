from __future__ import annotations

import copy
import io
import json
import pickle
import re
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.cluster import Birch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from registry.exceptions import (
    NotSerializable,
    PredictionFailed,
    RegistryError,
    Unreadable,
    UntrustedType,
)
from registry.serialization import dump, fingerprint, load, round_trip
from registry.trust import TRUSTED

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 80
OWN = __name__  # the module that hostile files name

Node = dict[str, Any]


def make_features() -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "distance": random.normal(size=ROWS),
            "delay": random.normal(size=ROWS),
            "carrier": pd.Series(random.choice(["AA", "UA", "DL"], ROWS), dtype="str"),
            "origin": pd.Series(random.choice(["JFK", "LGA"], ROWS)).astype("category"),
        }
    )


FEATURES = make_features()
NUMBERS = FEATURES[["distance", "delay"]]
LATE = (FEATURES["distance"] + FEATURES["delay"] > 0).to_numpy()


def columns() -> Any:
    return make_column_transformer(
        (StandardScaler(), ["distance", "delay"]), (OneHotEncoder(), ["carrier", "origin"])
    )


class Changeling:
    """Predicts *before*, and once it was dumped and loaded, *after*."""

    def __init__(self, before: Any, after: Any) -> None:
        self.before = before
        self.after = after
        self.loaded = False

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"loaded": True}

    def __deepcopy__(self, memo: dict[int, Any]) -> Changeling:
        return Changeling(self.before, self.after)

    def predict(self, features: Any) -> Any:
        answer = self.after if self.loaded else self.before
        if answer is None:
            raise ValueError("nothing was learned")
        return np.full(len(features), answer)


def no_answer(_: Any) -> Any:
    raise ValueError("these rows again")


class TestAnEstimatorComesBack:
    @pytest.mark.parametrize(
        ("estimator", "features"),
        [
            (LogisticRegression(), NUMBERS),
            (RandomForestClassifier(5, random_state=0), NUMBERS),
            (KNeighborsClassifier(), NUMBERS),
            (make_pipeline(columns(), LogisticRegression()), FEATURES),
            (HistGradientBoostingClassifier(max_iter=3), FEATURES.astype({"carrier": "category"})),
        ],
        ids=["linear", "forest", "neighbours", "pipeline", "categories"],
    )
    def test_with_the_same_predictions(self, tmp_path: Path, estimator: Any, features: Any) -> None:
        fitted = estimator.fit(features, LATE)
        round_trip(fitted, features, tmp_path / "m", trusted=TRUSTED)
        restored = load(tmp_path / "m", trusted=TRUSTED, subject="late@1")
        np.testing.assert_array_equal(restored.predict_proba(features), fitted.predict_proba(features))

    def test_although_the_last_digits_of_its_numbers_differ(self, tmp_path: Path) -> None:
        round_trip(Changeling(0.1 + 0.2, 0.3), NUMBERS, tmp_path / "m", trusted={f"{OWN}.Changeling"})

    def test_whatever_its_file_is_called(self, tmp_path: Path) -> None:
        dump(LogisticRegression(C=0.5), tmp_path / "model.pkl")
        assert load(tmp_path / "model.pkl", trusted=(), subject="late@1").C == 0.5

    def test_without_having_been_changed_by_the_proof(self, tmp_path: Path) -> None:
        fitted = KNeighborsClassifier(algorithm="kd_tree").fit(NUMBERS, LATE)
        before = fingerprint(fitted)
        round_trip(fitted, NUMBERS, tmp_path / "m", trusted=TRUSTED)
        assert fingerprint(fitted) == before


class TestAnEstimatorIsRefused:
    def test_when_it_cannot_be_dumped(self, tmp_path: Path) -> None:
        pipeline = make_pipeline(Birch(n_clusters=2), LogisticRegression()).fit(NUMBERS.to_numpy(), LATE)
        with pytest.raises(NotSerializable, match=r"Pipeline does not survive .* Birch are not supported"):
            round_trip(pipeline, NUMBERS.to_numpy(), tmp_path / "m", trusted=TRUSTED)
        assert not (tmp_path / "m").exists()

    def test_for_a_lambda_that_no_trust_could_bring_back(self, tmp_path: Path) -> None:
        pipeline = make_pipeline(FunctionTransformer(lambda rows: rows), LogisticRegression())
        pipeline.fit(NUMBERS, LATE)
        with pytest.raises(NotSerializable, match="lambda"):
            round_trip(pipeline, NUMBERS, tmp_path / "m", trusted=TRUSTED)

    def test_for_a_function_that_is_not_where_its_name_says(self, tmp_path: Path) -> None:
        def local(rows: Any) -> Any:
            return rows

        pipeline = make_pipeline(FunctionTransformer(local), LogisticRegression()).fit(NUMBERS, LATE)
        with pytest.raises(NotSerializable, match="local"):
            round_trip(pipeline, NUMBERS, tmp_path / "m", trusted={*TRUSTED, f"{OWN}.local"})

    def test_for_a_type_that_can_be_trusted_after_review(self, tmp_path: Path) -> None:
        name = f"{OWN}.Changeling"
        with pytest.raises(UntrustedType, match="registry trust") as refusal:
            round_trip(Changeling(1, 1), NUMBERS, tmp_path / "m", trusted=TRUSTED)
        assert refusal.value.types == (name,)
        round_trip(Changeling(1, 1), NUMBERS, tmp_path / "m", trusted={name})

    def test_naming_all_untrusted_types_and_no_trusted_one(self, tmp_path: Path) -> None:
        forest = RandomForestClassifier(3, random_state=0).fit(NUMBERS, LATE)
        pair = make_pipeline(FunctionTransformer(no_answer), forest)
        with pytest.raises(UntrustedType) as refusal:
            round_trip(pair, NUMBERS, tmp_path / "m", trusted=())
        assert refusal.value.types == ("sklearn.tree._tree.Tree", f"{OWN}.no_answer")
        with pytest.raises(UntrustedType) as refusal:
            round_trip(pair, NUMBERS, tmp_path / "m", trusted={"sklearn.tree._tree.Tree"})
        assert refusal.value.types == (f"{OWN}.no_answer",)

    @pytest.mark.parametrize(
        ("estimator", "reason"),
        [
            (Changeling("late", "on time"), "once loaded, predict answers differently"),
            (Changeling(1, 1.0), "once loaded, predict answers differently"),
            (Changeling(1.0, 1.000001), "once loaded, predict answers differently"),
            (Changeling([1, 0] * (ROWS // 2), 1), "once loaded, predict answers differently"),
            (Changeling(1, None), "once loaded, predict: nothing was learned"),
        ],
        ids=["other label", "other type", "other number", "some other labels", "no labels"],
    )
    def test_when_it_predicts_differently_once_loaded(
        self, tmp_path: Path, estimator: Any, reason: str
    ) -> None:
        with pytest.raises(NotSerializable, match=reason):
            round_trip(estimator, NUMBERS, tmp_path / "m", trusted={f"{OWN}.Changeling"})

    @pytest.mark.parametrize("estimator", [LogisticRegression(), StandardScaler()], ids=["unfitted", "mute"])
    def test_when_it_does_not_predict_in_the_first_place(self, tmp_path: Path, estimator: Any) -> None:
        with pytest.raises(PredictionFailed, match="predict"):
            round_trip(estimator, NUMBERS, tmp_path / "m", trusted=TRUSTED)


class TestAFingerprint:
    def test_is_64_hexadecimal_digits(self) -> None:
        assert re.fullmatch("[0-9a-f]{64}", fingerprint(LogisticRegression()))

    def test_is_that_of_every_identical_training(self) -> None:
        twins = [RandomForestClassifier(5, random_state=0).fit(NUMBERS, LATE) for _ in range(2)]
        assert fingerprint(twins[0]) == fingerprint(twins[1])

    def test_ignores_the_order_in_which_a_set_lists_its_words(self) -> None:
        one, other = {0, 8}, {8, 0}  # whichever collides comes second
        assert list(one) != list(other)
        assert fingerprint(Changeling(one, 0)) == fingerprint(Changeling(other, 0))

    @pytest.mark.parametrize(
        "other",
        [
            LogisticRegression(C=2.0).fit(NUMBERS, LATE),
            LogisticRegression(tol=1e-5).fit(NUMBERS, LATE),
            LogisticRegression().fit(NUMBERS[::-1], LATE),
            LogisticRegression().fit(NUMBERS.rename(columns={"delay": "late"}), LATE),
            LogisticRegression().fit(NUMBERS, LATE.astype(int)),
            RandomForestClassifier(5, random_state=0).fit(NUMBERS, LATE),
            LogisticRegression(),
        ],
        ids=["parameter", "idle parameter", "data", "columns", "label type", "estimator", "unfitted"],
    )
    def test_differs_for_anything_else(self, other: Any) -> None:
        assert fingerprint(LogisticRegression().fit(NUMBERS, LATE)) != fingerprint(other)

    def test_differs_when_the_last_bit_of_one_number_does(self) -> None:
        fitted = LogisticRegression().fit(NUMBERS, LATE)
        nudged = copy.deepcopy(fitted)
        nudged.coef_[0, 1] = np.nextafter(nudged.coef_[0, 1], np.inf)
        assert fingerprint(fitted) != fingerprint(nudged)

    def test_survives_skops(self, tmp_path: Path) -> None:
        fitted = make_pipeline(columns(), LogisticRegression()).fit(FEATURES, LATE)
        dump(fitted, tmp_path / "m")
        assert fingerprint(load(tmp_path / "m", trusted=TRUSTED, subject="m")) == fingerprint(fitted)

    def test_is_refused_where_a_dump_is(self) -> None:
        with pytest.raises(NotSerializable, match="Birch"):
            fingerprint(Birch())


# -- hostile files: each would touch a marker ---------------------------------------------------------------


def touch(path: Any, *_: Any) -> None:
    Path(path).touch()


class Toucher:
    """Touches its marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return touch, (str(self.marker),)


def node(loader: str, name: str, **content: Any) -> Node:
    module, _, attribute = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": attribute, **content}


def plain(value: Any) -> Node:
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def several(*parts: Node, loader: str = "ListNode") -> Node:
    return node(loader, "builtins.tuple" if loader == "TupleNode" else "builtins.list", content=list(parts))


def mapping(content: dict[str, Node], key_type: Node | None = None) -> Node:
    key_types = several(*[key_type or node("TypeNode", "builtins.str")] * len(content))
    return node("DictNode", "builtins.dict", content=content, key_types=key_types)


def instance(name: str, **attributes: Node) -> Node:
    return node("ObjectNode", name, content=mapping(attributes))


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


def calls_with_key(function: Node, marker: Path) -> Node:
    """A dictionary whose loader makes its key by calling *function*."""
    return mapping({str(marker): plain(0)}, key_type=function)


def old_function(marker: Path) -> Node:
    function = node("FunctionNode", f"{OWN}.touch", content={"module_path": OWN, "function": "touch"})
    return {**calls_with_key(function, marker), "protocol": 0}


def method(marker: Path) -> Node:
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="numbers.npy")
    return calls_with_key(
        node("MethodNode", "numpy.ndarray", content={"func": "tofile", "obj": array}), marker
    )


def scorer(marker: Path) -> Node:
    """Trusting both of its untrusted types, each harmless alone, fits a pipeline that caches on disk."""
    measure = instance(
        "sklearn.metrics._scorer._Scorer",
        _score_func=node("FunctionNode", "sklearn.metrics._classification.accuracy_score"),
        _sign=plain(1),
        _kwargs=mapping({}),
        _response_method=plain("fit"),
    )
    version = plain(sklearn.__version__)
    scaler = instance(
        "sklearn.preprocessing._data.StandardScaler",
        with_mean=plain(value=True),
        with_std=plain(value=True),
        copy=plain(value=True),
        _sklearn_version=version,
    )
    final = instance("sklearn.linear_model._base.LinearRegression", _sklearn_version=version)
    steps = [
        several(plain("a"), scaler, loader="TupleNode"),
        several(plain("b"), final, loader="TupleNode"),
    ]
    pipeline = instance(
        "sklearn.pipeline.Pipeline",
        steps=several(*steps),
        memory=plain(str(marker)),
        verbose=plain(value=False),
        transform_input=plain(None),
        _sklearn_version=version,
    )
    return mapping({"x": plain(0)}, key_type=bound(measure, pipeline, plain([[1], [2]]), plain([1, 2])))


STRIKES: dict[str, Callable[[Path], Node]] = {
    "a call of any function": lambda marker: calls(f"{OWN}.touch", str(marker)),
    "a call of the operating system": lambda marker: calls("os.mkdir", str(marker)),
    "a call of eval": lambda marker: calls("builtins.eval", f"open({str(marker)!r}, 'w').close()"),
    "source run by numpy.testing": lambda marker: calls(
        "numpy.testing._private.utils.runstring", f"open({str(marker)!r}, 'w').close()", mapping({})
    ),
    "source run by numpy.f2py": lambda marker: calls(
        "numpy.f2py.crackfortran.myeval", f"open({str(marker)!r}, 'w').close()"
    ),
    "source run by scipy.stats": lambda marker: instance(
        "scipy.stats._continuous_distns.reciprocal_gen",
        _parse_arg_template=plain(f"open({str(marker)!r}, 'w').close()"),
    ),
    "a function as the type of a key": lambda marker: calls_with_key(
        node("FunctionNode", f"{OWN}.touch"), marker
    ),
    "a type as the type of a key": lambda marker: calls_with_key(node("TypeNode", "os.mkdir"), marker),
    "a bound function": lambda marker: mapping(
        {"x": plain(0)}, key_type=bound(node("FunctionNode", f"{OWN}.touch"), plain(str(marker)))
    ),
    "an old protocol's function": old_function,
    "a method": method,
    "a scorer that fits": scorer,
    "a loss": lambda marker: node(
        "LossNode",
        f"{OWN}.touch",
        __reduce__={"args": several(plain(str(marker)), loader="TupleNode")},
        content=mapping({}),
    ),
    "a call within a trusted estimator": lambda marker: instance(
        "sklearn.linear_model._logistic.LogisticRegression", coef_=calls(f"{OWN}.touch", str(marker))
    ),
}


def write(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def numbers(shape: tuple[int, ...] = (2,)) -> bytes:
    """The bytes of an array, whose header claims the *shape*."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return header.getvalue() + np.zeros(2).tobytes()


def archive_of(path: Path, root: Node) -> Path:
    schema = json.dumps({"protocol": 2, **root}).encode()
    return write(path, {"schema.json": schema, "numbers.npy": numbers()})


class TestAHostileFile:
    @pytest.mark.parametrize("strike", STRIKES.values(), ids=STRIKES)
    def test_is_refused_before_it_does_anything(self, tmp_path: Path, strike: Callable[[Path], Node]) -> None:
        marker = tmp_path / "marker"
        path = archive_of(tmp_path / "m.skops", strike(marker))
        with pytest.raises(UntrustedType, match=r"^late@1 holds types"):
            load(path, trusted=TRUSTED, subject="late@1")
        assert not marker.exists()

    @pytest.mark.filterwarnings("ignore:Pass sample_weight=:FutureWarning")
    @pytest.mark.parametrize("strike", STRIKES.values(), ids=STRIKES)
    def test_would_have_struck_had_its_own_list_been_trusted(
        self, tmp_path: Path, strike: Callable[[Path], Node]
    ) -> None:
        marker = tmp_path / "marker"
        path = archive_of(tmp_path / "m.skops", strike(marker))
        own_list = [*TRUSTED, *skops.io.get_untrusted_types(file=path)]
        with suppress(Unreadable):  # some stumble after the strike
            load(path, trusted=own_list, subject="late@1")
        assert marker.exists()

    def test_imports_nothing_that_it_names(self, tmp_path: Path) -> None:
        sys.modules.pop("this", None)
        path = archive_of(tmp_path / "m.skops", calls("this.Zen"))
        with pytest.raises(UntrustedType, match=r"this\.Zen"):
            load(path, trusted=TRUSTED, subject="late@1")
        assert "this" not in sys.modules

    @pytest.mark.parametrize("name", ["m.skops", "m.pkl", "m.joblib"])
    @pytest.mark.parametrize("write_pickle", [pickle.dump, joblib.dump], ids=["pickle", "joblib"])
    def test_that_is_a_pickle_is_not_opened_as_one(
        self, tmp_path: Path, name: str, write_pickle: Callable[..., Any]
    ) -> None:
        marker = tmp_path / "marker"
        with (tmp_path / name).open("wb") as file:
            write_pickle(Toucher(marker), file)
        with pytest.raises(Unreadable, match="not a zip file"):
            load(tmp_path / name, trusted=TRUSTED, subject="late@1")
        assert not marker.exists()
        joblib.load(tmp_path / name)
        assert marker.exists()

    @pytest.mark.parametrize(
        "schema",
        [
            b"",
            b"[]",
            b"{}",
            b'{"protocol": 99}',
            b'{"protocol": true}',
            b"[" * 100_000,
            json.dumps({"protocol": 2, **node("PickleNode", f"{OWN}.touch")}).encode(),
            json.dumps({"protocol": 2, **node("CachedNode", f"{OWN}.touch", __id__=7)}).encode(),
            json.dumps({"protocol": 2, **node("BytesNode", "builtins.bytes", file="../../marker")}).encode(),
            json.dumps({"protocol": 2, **several(plain("x")), "content": 5}).encode(),
        ],
        ids=[
            "empty",
            "list",
            "no loader",
            "future protocol",
            "odd protocol",
            "deep",
            "foreign loader",
            "unknown object",
            "outside",
            "wrong shape",
        ],
    )
    def test_with_a_senseless_schema_is_refused(self, tmp_path: Path, schema: bytes) -> None:
        path = write(tmp_path / "m.skops", {"schema.json": schema})
        with pytest.raises(Unreadable, match=r"^late@1 can't be read"):
            load(path, trusted=TRUSTED, subject="late@1")

    @pytest.mark.parametrize(
        "root", [node("TreeNode", "sklearn.tree._tree.Tree"), calls("numpy.dtype", "?!")]
    )
    def test_that_misuses_a_trusted_type_is_refused(self, tmp_path: Path, root: Node) -> None:
        with pytest.raises(Unreadable):
            load(archive_of(tmp_path / "m.skops", root), trusted=TRUSTED, subject="late@1")

    def test_unpacks_nothing_to_the_paths_of_its_parts(self, tmp_path: Path) -> None:
        folder = tmp_path / "store"
        folder.mkdir()
        escapes = {"../marker": b"x", str(tmp_path / "marker"): b"x", "..\\marker": b"x"}
        schema = json.dumps({"protocol": 2, **node("BytesNode", "builtins.bytes", file="../marker")}).encode()
        path = write(folder / "m.skops", {"schema.json": schema, **escapes})
        assert load(path, trusted=TRUSTED, subject="late@1") == b"x"
        assert [*tmp_path.iterdir()] == [folder]
        assert [*folder.iterdir()] == [path]

    def test_that_was_cut_off_anywhere_is_refused(self, tmp_path: Path) -> None:
        dump(LogisticRegression().fit(NUMBERS, LATE), tmp_path / "whole")
        whole = (tmp_path / "whole").read_bytes()
        for length in range(0, len(whole), len(whole) // 20):
            (tmp_path / "cut").write_bytes(whole[:length])
            with pytest.raises(Unreadable):
                load(tmp_path / "cut", trusted=TRUSTED, subject="late@1")

    def test_with_a_flipped_byte_never_comes_through_as_another_error(self, tmp_path: Path) -> None:
        dump(LogisticRegression().fit(NUMBERS, LATE), tmp_path / "whole")
        whole = (tmp_path / "whole").read_bytes()
        for place in range(0, len(whole), 17):
            flipped = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
            (tmp_path / "flipped").write_bytes(flipped)
            with suppress(RegistryError):  # what is not checked can be flipped unnoticed
                load(tmp_path / "flipped", trusted=TRUSTED, subject="late@1")

    def test_that_unfolds_to_more_than_its_own_size_is_not_unfolded(self, tmp_path: Path) -> None:
        root = node("BytesNode", "builtins.bytes", file="bomb")
        with zipfile.ZipFile(tmp_path / "m.skops", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("schema.json", json.dumps({"protocol": 2, **root}))
            archive.writestr("bomb", bytes(10_000_000))
        with pytest.raises(Unreadable, match="more than the whole file"):
            load(tmp_path / "m.skops", trusted=TRUSTED, subject="late@1")

    @pytest.mark.parametrize("shape", [(10**5,), (10**15,), (10**30,), (-1,)])
    def test_whose_array_claims_more_numbers_than_it_holds_is_refused(
        self, tmp_path: Path, shape: tuple[int, ...]
    ) -> None:
        root = node("NdArrayNode", "numpy.ndarray", type="numpy", file="numbers.npy")
        schema = json.dumps({"protocol": 2, **root}).encode()
        path = write(tmp_path / "m.skops", {"schema.json": schema, "numbers.npy": numbers(shape)})
        with pytest.raises(Unreadable):
            load(path, trusted=TRUSTED, subject="late@1")


def test_a_missing_file_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere", trusted=TRUSTED, subject="late@1")
