"""What a file may hold, and who may let it run code: the types trusted at first, the formats to consent to.

The database of a registry holds the list of trusted types that is in force.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from registry.exceptions import PickleNotAllowed

PICKLES = ("pickle", "joblib", "cloudpickle")
"""Formats whose files run whatever code they hold; each is read only by `Consent`."""


@dataclass(frozen=True)
class Consent:
    """Who allows that code out of a file runs: it does where both do.

    Attributes:
        operator: The setting of this process.
        caller: The argument of whoever takes the step.
    """

    operator: bool = False
    caller: bool = False

    def given(self) -> Consent:
        """This consent with the caller's."""
        return replace(self, caller=True)

    def require(self, subject: str, serialization: str) -> None:
        """Refuse to go on unless *serialization* runs no code, or both allow it.

        Raises:
            PickleNotAllowed: One of them does not allow it.
        """
        if serialization not in PICKLES:
            return
        if not self.operator:
            raise PickleNotAllowed(subject, serialization, "set MODEL_REGISTRY_ALLOW_PICKLE=true")
        if not self.caller:
            raise PickleNotAllowed(
                subject, serialization, "go by registry.allowing_pickle(), or `registry --allow-pickle`"
            )


NOBODY = Consent()
"""Neither the operator nor the caller allows anything."""


def disclosed(serialization: str) -> dict[str, str]:
    """What the ledger's evidence says of the format of a version in force: nothing if it runs no code."""
    return {"serialization": serialization} if serialization in PICKLES else {}


_OBJECTS = (
    # linear models, calibration, meta-estimators
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    # trees
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # nearest neighbours
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.HaversineDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    # Gaussian processes
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.ExpSineSquared",
    "sklearn.gaussian_process.kernels.Exponentiation",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    # preprocessing and selection
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.compose._column_transformer.make_column_selector",
    # searches that score by the estimator's own score
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.TimeSeriesSplit",
)
_FUNCTIONS = (
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.utils.validation.check_array",  # histogram gradient boosting over categorical columns
)

ROLES: dict[str, str] = {
    **dict.fromkeys(_OBJECTS, "ObjectNode"),
    **dict.fromkeys(_FUNCTIONS, "FunctionNode"),
    "functools.partial": "PartialNode",  # histogram gradient boosting keeps partial(check_array, ...)
    "numpy.dtype": "DTypeNode",
    "numpy.number": "TypeNode",
    "scipy.sparse._csr.csr_matrix": "SparseMatrixNode",
    "sklearn.tree._tree.Tree": "TreeNode",
    "sklearn.utils._bunch.Bunch": "DictNode",
}
"""What scikit-learn's estimators need beyond the types that skops itself trusts, each with the one kind of
node by which a dump writes it: exact names in exact roles, never prefixes.

The role matters, because other nodes would call the name with arguments of the file's choice. Names that
would do harm in their own role are left out:

- scorers (`_Scorer`, `_CurveScorer`): they call a method that the file names. A search with `scoring=...` is
  registered as its `best_estimator_`, a tuned threshold as a `FixedThresholdClassifier`.
- `scipy.stats` distributions: they execute source text out of their state.
- `mutual_info_classif` and `mutual_info_regression`: they start as many processes as they are told to.

Trust covers what is built, not the numbers in it: scikit-learn's compiled trees, neighbours and support
vectors do not check their indices, so a hostile file of trusted types can still crash a process that
predicts with it.
"""

TRUSTED: frozenset[str] = frozenset(ROLES)
"""The types that a new registry trusts."""
