"""Expressions of other libraries, evaluated with NumPy's arrays and with Tensors: ``python -m tests.np.foreign``.

SciPy looks at SCIPY_ARRAY_API once, when it is imported. So what concerns it is a program of its own, which prints what
went wrong by expression.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import trueno
import trueno.np as tnp

#: Relative error, in units of the largest element: iterations stop by thresholds.
TOLERANCE = 1e-8

METRICS_OF_NUMBERS = (
    "d2_absolute_error_score", "d2_tweedie_score", "explained_variance_score", "max_error", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_gamma_deviance", "mean_pinball_loss", "mean_poisson_deviance",
    "mean_squared_error", "mean_squared_log_error", "mean_tweedie_deviance", "median_absolute_error", "r2_score",
    "root_mean_squared_error",
)  # fmt: skip
METRICS_OF_CLASSES = (
    "accuracy_score", "balanced_accuracy_score", "cohen_kappa_score", "confusion_matrix", "f1_score", "hamming_loss",
    "jaccard_score", "matthews_corrcoef", "multilabel_confusion_matrix", "precision_score", "recall_score",
    "zero_one_loss",
)  # fmt: skip
METRICS_OF_SCORES = ("average_precision_score", "brier_score_loss", "log_loss", "roc_auc_score")
KERNELS = (
    "additive_chi2_kernel", "chi2_kernel", "cosine_distances", "cosine_similarity", "laplacian_kernel", "linear_kernel",
    "manhattan_distances", "paired_cosine_distances", "paired_euclidean_distances", "polynomial_kernel", "rbf_kernel",
    "sigmoid_kernel",
)  # fmt: skip

#: scikit-learn, with array_api_dispatch=True.
SKLEARN = (
    *(f"pca('{solver}', {whiten}).fit_transform(X)" for solver in ("full", "covariance_eigh", "randomized")
      for whiten in (False, True)),
    "(lambda p: p.inverse_transform(p.transform(X)))(pca('full', False).fit(X))",
    "pca('full', False).fit(X).explained_variance_ratio_",
    "linear_model.Ridge(solver='svd').fit(X, r).predict(X)",
    "linear_model.RidgeCV().fit(X, r).predict(X)",
    "linear_model.RidgeClassifier(solver='svd').fit(X, k).predict(X)",
    "discriminant_analysis.LinearDiscriminantAnalysis().fit(X, k).predict_proba(X)",
    "discriminant_analysis.LinearDiscriminantAnalysis().fit(X, k).transform(X)",
    "naive_bayes.GaussianNB().fit(X, k).predict_proba(X)",
    "mixture.GaussianMixture(2, random_state=0, init_params='random').fit(X).means_",
    *(f"preprocessing.{name}().fit_transform(X)" for name in
      ("Binarizer", "MaxAbsScaler", "MinMaxScaler", "Normalizer", "PolynomialFeatures", "StandardScaler")),
    "preprocessing.LabelEncoder().fit_transform(k)",
    "model_selection.train_test_split(X, k, random_state=0)",
    *(f"metrics.{name}(abs(r) + 0.1, abs(s) + 0.1)" for name in METRICS_OF_NUMBERS),
    *(f"metrics.{name}(k, l)" for name in METRICS_OF_CLASSES),
    *(f"metrics.{name}(k, p)" for name in METRICS_OF_SCORES),
    "metrics.precision_recall_curve(k, p)", "metrics.roc_curve(k, p)[:2]", "metrics.auc(xp.sort(r), s)",
    *(f"metrics.pairwise.{name}(abs(X), abs(X[::-1]))" for name in KERNELS),
)  # fmt: skip

#: einops, opt_einsum, array-api-extra and array-api-compat.
SMALL = (
    "einops.rearrange(a, 'b (h w) c -> b c h w', h=2)", "einops.reduce(a, 'b (h w) c -> b c', 'max', h=2)",
    "einops.reduce(a, 'b h c -> c', 'mean')", "einops.repeat(a, 'b h c -> b (h 2) c')",
    "einops.pack([a, a[:, 0]], 'b * c')[0]", "einops.unpack(a, [(2,), (4,)], 'b * c')",
    "opt_einsum.contract('bhc,bkc,bk->bh', a, a, a[:, :, 0])", "opt_einsum.contract('iij->j', a[:, :4])",
    "opt_einsum.contract('ij,jk,kl->il', a[0], a[0].T, a[0])",
    "opt_einsum.contract_expression('ij,jk->ik', (6, 3), (3, 6))(a[0], a[0].T)",
    "opt_einsum.contract_expression('ij,jk->ik', a[0], (3, 6), constants=[0])(a[0].T)",
    "extra.angle(v)", "extra.apply_where(v > 0, (v,), lambda x: 1 / x, fill_value=0.0)",
    "extra.apply_where(v > 0, (v,), lambda x: 1 / x, lambda x: x)", "extra.argpartition(v, 3)",
    "extra.at(v, slice(2, 5)).set(3.0, copy=True)", "extra.at(v, v > 0).add(3.0, copy=True)",
    "extra.at(v)[2:5].min(0.0, copy=True)", "extra.atleast_nd(v, ndim=3)", "extra.cov(a[0])",
    "extra.create_diagonal(v)",
    "extra.deg2rad(v)", "extra.expand_dims(v, axis=(0, 2))", "extra.isclose(v, v + 1e-9)", "extra.isin(n, n[:2])",
    "extra.kron(a[0], a[1])", "extra.lazy_apply(numpy.cumsum, v, as_numpy=True)", "extra.nan_to_num(v / (v > 0))",
    "extra.nunique(n)", "extra.one_hot(n, 9)", "extra.pad(v, 2)", "extra.partition(v, 3)",
    "extra.searchsorted(xp.sort(v), v)", "extra.setdiff1d(n, n[:2])", "extra.sinc(v)", "extra.tril_indices(3, xp=xp)",
    "extra.union1d(n, n + 1)", "extra.unravel_index(n, (3, 3))",
    "compat.to_device(v, compat.device(v))", "compat.array_namespace(v).linalg.inv(a[0, :3])",
)  # fmt: skip


def operands(convert: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """Return the arrays that expressions name."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 5))
    classes = (x[:, 0] + 0.3 * generator.normal(size=60) > 0).astype(int)
    found = {
        "X": x, "k": classes, "l": classes * (generator.random(60) > 0.3), "p": generator.random(60),
        "r": x @ np.arange(5.0) + generator.normal(size=60), "s": x @ np.arange(5.0),
        "a": generator.normal(size=(4, 6, 3)), "v": generator.normal(size=12), "n": np.array([1, 5, 2, 2, 8]),
        "u": generator.random(40) * 0.9 + 0.05, "w": generator.random(40) * 0.9 + 0.05, "m": generator.random((16, 16)),
        "g": generator.random((3, 40)), "long": generator.normal(size=400),
        "counts": np.array([16.0, 18, 16, 14, 12, 12]),
        "b": np.array([0.0048, 0.0193, 0.0289, 0.0193, 0.0048]), "d": np.array([1.0, -2.37, 2.314, -1.055, 0.187]),
    }  # fmt: skip
    return {name: convert(value) for name, value in found.items()}


def leaves(value: Any) -> list[Any]:
    """Return the arrays and numbers in a result: a sequence, SciPy's result objects, or one of them."""
    if hasattr(value, "statistic") and hasattr(value, "pvalue"):
        return [value.statistic, value.pvalue]
    if isinstance(value, (tuple, list)):
        return [leaf for one in value for leaf in leaves(one)]
    return [value]


def difference(expression: str, names: dict[str, Any]) -> str:
    """Return in which way an expression's results with Tensors differ from those with NumPy's arrays, or nothing."""
    try:
        want = leaves(eval(expression, {**names, "xp": np, **operands(np.asarray)}))
        got = leaves(eval(expression, {**names, "xp": tnp, **operands(tnp.asarray)}))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if len(got) != len(want):
        return f"{len(got)} results, with NumPy {len(want)}"
    for ours, theirs in zip(got, want, strict=True):
        # Measures that are one number may be Python's.
        if not isinstance(ours, trueno.Tensor) and isinstance(theirs, np.ndarray) and theirs.ndim:
            return f"a result is {type(ours).__name__}, not a Tensor"
        a, b = np.asarray(ours), np.asarray(theirs)
        if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
            return f"{a.dtype} {a.shape}, with NumPy {b.dtype} {b.shape}"
        scale = float(np.max(np.abs(b), initial=1e-30)) if b.dtype != bool else 1.0
        if not np.allclose(a, b, rtol=0, atol=TOLERANCE * scale, equal_nan=True):
            return f"values differ: {a.reshape(-1)[:3]}, with NumPy {b.reshape(-1)[:3]}"
    return ""


def small_libraries() -> dict[str, Any]:
    """Return what `SMALL` names."""
    modules = {"einops": "einops.array_api", "extra": "array_api_extra", "compat": "array_api_compat"}
    names = {name: importlib.import_module(module) for name, module in modules.items()}
    return names | {"opt_einsum": importlib.import_module("opt_einsum"), "numpy": np}


def main() -> None:
    """Print the differences of scikit-learn's and SciPy's expressions as JSON."""
    import scipy
    import sklearn
    from sklearn.decomposition import PCA

    from tests.np.foreign_scipy import SCIPY

    def pca(solver: str, whiten: bool) -> PCA:
        normaliser = "QR" if solver == "randomized" else "auto"
        return PCA(3, svd_solver=solver, whiten=whiten, random_state=0, power_iteration_normalizer=normaliser)

    parts = ("linear_model", "discriminant_analysis", "naive_bayes", "mixture", "preprocessing", "metrics.pairwise",
             "model_selection")  # fmt: skip
    for part in parts:
        importlib.import_module(f"sklearn.{part}")
    with sklearn.config_context(array_api_dispatch=True):
        found = {one: difference(one, {**vars(sklearn), "pca": pca}) for one in SKLEARN}
    parts = ("special", "stats", "signal", "ndimage", "fft", "integrate", "cluster.vq", "differentiate",
             "optimize.elementwise")  # fmt: skip
    spaces = {part.rpartition(".")[2]: importlib.import_module(f"scipy.{part}") for part in parts}
    found |= {one: difference(one, {**vars(scipy), **spaces}) for one in SCIPY}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
