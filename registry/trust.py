"""The types that a new registry trusts; its database holds the list in force."""

TRUSTED: frozenset[str] = frozenset(
    {
        # linear models, calibration, meta-estimators
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.utils._bunch.Bunch",
        # trees
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
        # histogram gradient boosting over categorical columns keeps partial(check_array, ...)
        "functools.partial",
        "sklearn.utils.validation.check_array",
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
        "numpy.dtype",
        "numpy.number",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.sparse._csr.csr_matrix",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        # searches that score by the estimator's own score
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.GroupKFold",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.model_selection._split.TimeSeriesSplit",
    }
)
"""What scikit-learn's estimators need beyond the types that skops itself trusts: exact names, never prefixes.

A file may call each of these with arguments of its choice, so none reads, writes, starts or evaluates
anything. Left out for that reason:

- scorers (`_Scorer`, `_CurveScorer`): they call a method that the file names; bound by `functools.partial`
  they would call it while the file is loaded. A search with `scoring=...` is registered as its
  `best_estimator_`, a tuned threshold as a `FixedThresholdClassifier`.
- `scipy.stats` distributions: they execute source text out of their state.
- `mutual_info_classif` and `mutual_info_regression`: they start as many processes as they are told to.

Trust covers what is built, not the numbers in it: scikit-learn's compiled trees, neighbours and support
vectors do not check their indices, so a hostile file of trusted types can still crash a process that
predicts with it.
"""
