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
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import Birch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from registry import serialization
from registry.exceptions import (
    NotSerializable,
    PickleNotAllowed,
    PredictionFailed,
    RegistryError,
    Unreadable,
    UntrustedType,
)
from registry.serialization import Terms, dump, load
from registry.trust import PICKLES, TRUSTED, Consent
from tests.hostile.nodes import archive, array, calls, estimator, mapping, node, plain, several, skops_file

if TYPE_CHECKING:
    from tests.hostile.nodes import Node

ROWS = 80
OWN = __name__  # the module that hostile files name


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


def round_trip(fitted: Any, features: Any, path: Path, terms: Terms) -> None:
    dump(fitted, path, terms.serialization)
    serialization.round_trip(fitted, features, path, terms)


def fingerprint(fitted: Any) -> str:
    with TemporaryDirectory() as folder:
        dump(fitted, Path(folder, "m"))
        return serialization.fingerprint(Path(folder, "m"))


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
        round_trip(fitted, features, tmp_path / "m", Terms(trusted=TRUSTED))
        restored = load(tmp_path / "m", Terms(trusted=TRUSTED), subject="late@1")
        np.testing.assert_array_equal(restored.predict_proba(features), fitted.predict_proba(features))

    def test_although_the_last_digits_of_its_numbers_differ(self, tmp_path: Path) -> None:
        round_trip(Changeling(0.1 + 0.2, 0.3), NUMBERS, tmp_path / "m", Terms(trusted={f"{OWN}.Changeling"}))

    def test_whatever_its_file_is_called(self, tmp_path: Path) -> None:
        dump(LogisticRegression(C=0.5), tmp_path / "model.pkl")
        assert load(tmp_path / "model.pkl", Terms(trusted=()), subject="late@1").C == 0.5

    def test_without_having_been_changed_by_the_proof(self, tmp_path: Path) -> None:
        fitted = KNeighborsClassifier(algorithm="kd_tree").fit(NUMBERS, LATE)
        before = fingerprint(fitted)
        round_trip(fitted, NUMBERS, tmp_path / "m", Terms(trusted=TRUSTED))
        assert fingerprint(fitted) == before


class TestAnEstimatorIsRefused:
    def test_when_it_cannot_be_dumped(self, tmp_path: Path) -> None:
        pipeline = make_pipeline(Birch(n_clusters=2), LogisticRegression()).fit(NUMBERS.to_numpy(), LATE)
        with pytest.raises(NotSerializable, match=r"Pipeline does not survive .* Birch are not supported"):
            round_trip(pipeline, NUMBERS.to_numpy(), tmp_path / "m", Terms(trusted=TRUSTED))
        assert not (tmp_path / "m").exists()

    def test_for_a_lambda_that_no_trust_could_bring_back(self, tmp_path: Path) -> None:
        pipeline = make_pipeline(FunctionTransformer(lambda rows: rows), LogisticRegression())
        pipeline.fit(NUMBERS, LATE)
        with pytest.raises(NotSerializable, match="lambda"):
            round_trip(pipeline, NUMBERS, tmp_path / "m", Terms(trusted=TRUSTED))

    def test_for_a_function_that_is_not_where_its_name_says(self, tmp_path: Path) -> None:
        def local(rows: Any) -> Any:
            return rows

        pipeline = make_pipeline(FunctionTransformer(local), LogisticRegression()).fit(NUMBERS, LATE)
        with pytest.raises(NotSerializable, match="local"):
            round_trip(pipeline, NUMBERS, tmp_path / "m", Terms(trusted={*TRUSTED, f"{OWN}.local"}))

    def test_for_a_type_that_can_be_trusted_after_review(self, tmp_path: Path) -> None:
        name = f"{OWN}.Changeling"
        with pytest.raises(UntrustedType, match="registry trust") as refusal:
            round_trip(Changeling(1, 1), NUMBERS, tmp_path / "m", Terms(trusted=TRUSTED))
        assert refusal.value.types == (name,)
        round_trip(Changeling(1, 1), NUMBERS, tmp_path / "m", Terms(trusted={name}))

    def test_naming_all_untrusted_types_and_no_trusted_one(self, tmp_path: Path) -> None:
        forest = RandomForestClassifier(3, random_state=0).fit(NUMBERS, LATE)
        pair = make_pipeline(FunctionTransformer(no_answer), forest)
        with pytest.raises(UntrustedType) as refusal:
            round_trip(pair, NUMBERS, tmp_path / "m", Terms(trusted=()))
        assert refusal.value.types == ("sklearn.tree._tree.Tree", f"{OWN}.no_answer")
        with pytest.raises(UntrustedType) as refusal:
            round_trip(pair, NUMBERS, tmp_path / "m", Terms(trusted={"sklearn.tree._tree.Tree"}))
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
            round_trip(estimator, NUMBERS, tmp_path / "m", Terms(trusted={f"{OWN}.Changeling"}))

    @pytest.mark.parametrize("estimator", [LogisticRegression(), StandardScaler()], ids=["unfitted", "mute"])
    def test_when_it_does_not_predict_in_the_first_place(self, tmp_path: Path, estimator: Any) -> None:
        with pytest.raises(PredictionFailed, match="predict"):
            round_trip(estimator, NUMBERS, tmp_path / "m", Terms(trusted=TRUSTED))


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
        assert fingerprint(load(tmp_path / "m", Terms(trusted=TRUSTED), subject="m")) == fingerprint(fitted)

    @pytest.mark.parametrize("kept_as", PICKLES)
    def test_of_bytes_that_run_code_is_theirs_and_their_formats(self, tmp_path: Path, kept_as: str) -> None:
        path = tmp_path / "m"
        dump(LogisticRegression(), path, kept_as)
        digests = {serialization.fingerprint(path, each) for each in PICKLES}
        assert len(digests) == len(PICKLES)
        before = serialization.fingerprint(path, kept_as)
        path.write_bytes(path.read_bytes() + b"\0")
        assert serialization.fingerprint(path, kept_as) != before


# -- files that nobody dumped; those that would run code are in tests/hostile --------------------------------


def archive_of(path: Path, root: Node, **parts: bytes) -> Path:
    path.write_bytes(skops_file(root, **parts))
    return path


def write(path: Path, parts: dict[str, bytes]) -> Path:
    path.write_bytes(archive(parts))
    return path


def array_in(part: str) -> Node:
    return node("NdArrayNode", "numpy.ndarray", type="numpy", file=part)


def claiming(*shape: int, version: tuple[int, int] = (1, 0)) -> bytes:
    """An array of two numbers whose header claims this *shape*."""
    header, claim = io.BytesIO(), {"descr": "<f8", "fortran_order": False, "shape": shape}
    if version == (2, 0):
        np.lib.format.write_array_header_2_0(header, claim)
    else:
        np.lib.format.write_array_header_1_0(header, claim)
    begun = np.lib.format.magic(*version) + header.getvalue()[np.lib.format.MAGIC_LEN :]
    return begun + np.zeros(2).tobytes()


class TestAHostileFile:
    def test_imports_nothing_that_it_names(self, tmp_path: Path) -> None:
        sys.modules.pop("this", None)
        path = archive_of(tmp_path / "m.skops", calls("this.Zen"))
        with pytest.raises(UntrustedType, match=r"this\.Zen"):
            load(path, Terms(trusted=TRUSTED), subject="late@1")
        assert "this" not in sys.modules

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
            load(path, Terms(trusted=TRUSTED), subject="late@1")

    @pytest.mark.parametrize(
        "root", [node("TreeNode", "sklearn.tree._tree.Tree"), calls("numpy.dtype", "?!")]
    )
    def test_that_misuses_a_trusted_type_is_refused(self, tmp_path: Path, root: Node) -> None:
        with pytest.raises(Unreadable):
            load(archive_of(tmp_path / "m.skops", root), Terms(trusted=TRUSTED), subject="late@1")

    @pytest.mark.parametrize("name", ["../marker", "/etc/marker", "..\\marker", "marker", "7.pkl", "7.npy/"])
    def test_with_a_part_that_no_dump_has_is_refused(self, tmp_path: Path, name: str) -> None:
        schema = json.dumps({"protocol": 2, **node("BytesNode", "builtins.bytes", file=name)}).encode()
        path = write(tmp_path / "m.skops", {"schema.json": schema, name: b"x"})
        with pytest.raises(Unreadable, match="no dump has a part"):
            load(path, Terms(), subject="late@1")

    def test_that_was_cut_off_anywhere_is_refused(self, tmp_path: Path) -> None:
        dump(LogisticRegression().fit(NUMBERS, LATE), tmp_path / "whole")
        whole = (tmp_path / "whole").read_bytes()
        for length in range(0, len(whole), len(whole) // 20):
            (tmp_path / "cut").write_bytes(whole[:length])
            with pytest.raises(Unreadable):
                load(tmp_path / "cut", Terms(trusted=TRUSTED), subject="late@1")

    def test_with_a_flipped_byte_never_comes_through_as_another_error(self, tmp_path: Path) -> None:
        dump(LogisticRegression().fit(NUMBERS, LATE), tmp_path / "whole")
        whole = (tmp_path / "whole").read_bytes()
        for place in range(0, len(whole), 17):
            flipped = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
            (tmp_path / "flipped").write_bytes(flipped)
            with suppress(RegistryError):  # what is not checked can be flipped unnoticed
                load(tmp_path / "flipped", Terms(trusted=TRUSTED), subject="late@1")

    def test_that_unfolds_to_more_than_its_own_size_is_not_unfolded(self, tmp_path: Path) -> None:
        root = node("BytesNode", "builtins.bytes", file="bomb")
        with zipfile.ZipFile(tmp_path / "m.skops", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("schema.json", json.dumps({"protocol": 2, **root}))
            archive.writestr("bomb", bytes(10_000_000))
        with pytest.raises(Unreadable, match="compressed or encrypted"):
            load(tmp_path / "m.skops", Terms(trusted=TRUSTED), subject="late@1")

    @pytest.mark.parametrize("version", [(1, 0), (2, 0)])
    @pytest.mark.parametrize("shape", [(10**5,), (10**15,), (10**30,), (-1,)])
    def test_whose_array_claims_more_numbers_than_it_holds_is_refused(
        self, tmp_path: Path, shape: tuple[int, ...], version: tuple[int, int]
    ) -> None:
        path = archive_of(tmp_path / "m.skops", array_in("7.npy"), _7=claiming(*shape, version=version))
        with pytest.raises(Unreadable, match=r"array 7\.npy claims"):
            load(path, Terms(trusted=TRUSTED), subject="late@1")

    def test_whose_second_array_holds_less_than_the_same_beginning_of_the_first_is_refused(
        self, tmp_path: Path
    ) -> None:
        whole = array(np.zeros(20))
        header, both = whole[:-160], several(array_in("7.npy"), array_in("8.npy"))
        arrays = load(archive_of(tmp_path / "m", both, _7=whole, _8=whole), Terms(), subject="m")
        np.testing.assert_array_equal(arrays, np.zeros((2, 20)))
        with pytest.raises(Unreadable, match=r"array 8\.npy claims"):
            load(archive_of(tmp_path / "m", both, _7=whole, _8=header), Terms(), subject="m")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is not what its name says"),
            (pickle.dumps([0.0, 0.0]), "is not what its name says"),
            (b"\x93NUMPY\x03\x00" + claiming(2)[8:], "no dump writes an array as 7.npy is"),
            (claiming(2)[:9], "ValueError"),
            (claiming(2)[:60], "ValueError"),
        ],
        ids=["nothing", "a pickle", "another version", "no header", "half a header"],
    )
    def test_whose_array_is_none_is_refused(self, tmp_path: Path, content: bytes, reason: str) -> None:
        path = archive_of(tmp_path / "m.skops", array_in("7.npy"), _7=content)
        with pytest.raises(Unreadable, match=reason):
            load(path, Terms(trusted=TRUSTED), subject="late@1")

    def test_whose_sparse_matrix_is_none_is_refused(self, tmp_path: Path) -> None:
        schema = json.dumps({"protocol": 2, **plain(1)}).encode()
        path = write(tmp_path / "m.skops", {"schema.json": schema, "7.npz": claiming(2)})
        with pytest.raises(Unreadable, match="is not what its name says"):
            load(path, Terms(trusted=TRUSTED), subject="late@1")


class TestAFileOfTrustedTypesAlone:
    """Each says something that no dump says; the same types in their own roles are loaded."""

    @pytest.mark.parametrize(
        ("root", "reason"),
        [
            (calls("sklearn.neighbors._kd_tree.KDTree", 1), "a dump does so as ObjectNode"),
            (calls("functools.partial", 1), "a dump does so as PartialNode"),
            (node("TypeNode", "sklearn.utils._bunch.Bunch"), "a dump does so as DictNode"),
            (node("CachedNode", "builtins.list", __id__=7), "refers to an object elsewhere"),
            (node("NdArrayNode", "numpy.ndarray", type="numpy", file="7.npz"), "kept in what is none"),
            (mapping({"__array__": plain(1)}), "it sets '__array__'"),
            (mapping({"1": plain(0)}, node("FunctionNode", "numpy.sqrt")), "made by a call"),
            (mapping({"stack_method_": several(plain("fit"))}), "not asked for a prediction"),
            (mapping({"chain_method": node("TypeNode", "builtins.str")}), "not asked for a prediction"),
            (
                estimator("linear_model._base.LinearRegression", score=plain(1)),
                "overrides LinearRegression.score",
            ),
            (plain([1]), "a plain value of it is none"),
            (
                several({**several(), "__id__": 7}, {**several(plain(1)), "__id__": 7}),
                "described in two ways",
            ),
        ],
    )
    def test_is_refused_for_what_it_says(self, tmp_path: Path, root: Node, reason: str) -> None:
        path = archive_of(tmp_path / "m.skops", root, _7=claiming(2))
        with pytest.raises(Unreadable, match=re.escape(reason)):
            load(path, Terms(trusted=TRUSTED), subject="late@1")


@pytest.mark.parametrize("serialization", ["folder", "onnx", "", "PICKLE", "skops "])
def test_a_format_that_is_not_known_is_not_guessed(tmp_path: Path, serialization: str) -> None:
    dump(LogisticRegression(), tmp_path / "m.skops")
    with pytest.raises(Unreadable, match="knows no format"):
        load(tmp_path / "m.skops", Terms(serialization=serialization), subject="late@1")


@pytest.mark.parametrize("serialization", PICKLES)
def test_a_format_that_runs_code_needs_two_to_allow_it(tmp_path: Path, serialization: str) -> None:
    dump(LogisticRegression(C=0.5), tmp_path / "m", serialization)
    for consent in (Consent(), Consent(operator=True), Consent(caller=True)):
        with pytest.raises(PickleNotAllowed):
            load(tmp_path / "m", Terms(serialization=serialization, consent=consent), subject="late@1")
    both = Terms(serialization=serialization, consent=Consent(operator=True, caller=True))
    assert load(tmp_path / "m", both, subject="late@1").C == 0.5


def test_a_missing_file_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere", Terms(trusted=TRUSTED), subject="late@1")
