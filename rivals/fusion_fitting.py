"""Statistical classifiers of the labels, one against the rest each, fitted to prediction vectors by scikit-learn.

What is fitted ends as arrays, with which `rivals.fusion` computes the same in PyTorch. Where nothing else is said, the
settings are scikit-learn's own:

- `lda`, linear discriminant analysis: the covariance is shrunk as Ledoit and Wolf estimate (`shrinkage="auto"`).
- `naive_bayes`, Gaussian: `var_smoothing` is `SMOOTHING`.
- `qda`, quadratic discriminant analysis: `reg_param` is `SMOOTHING`. scikit-learn refuses classes with no more rows
  than the vectors have numbers, which most labels are; NumPy computes the same formula for any number of rows here.
- `svm`, with an RBF kernel of gamma 1 / length of the vectors. It has no probabilities: the logistic function of its
  decision takes their place, which is one half where the machine decides.
- `trees`: AdaBoost of trees of `TREE_DEPTH`.
- `logistic_regression`: as it is, with as many steps as it needs.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SMOOTHING = 0.1  # of a standardized number's variance, so that a handful of rows has no variance near zero
TREE_DEPTH = 3
MAX_STEPS = 1000
ALWAYS_LEFT = np.finfo(np.float32).max


@dataclass(frozen=True)
class FittedClassifiers:
    """Classifiers of all labels.

    Attributes:
        sizes: Numbers that the shapes depend on besides the vectors' length and the number of labels.
        arrays: By the names of the buffers of `rivals.fusion.Fusion`, float32.
    """

    sizes: dict[str, int]
    arrays: dict[str, Array]


def fit_classifiers(kind: str, vectors: Array, targets: NDArray[Any]) -> FittedClassifiers:
    """Fit one classifier per label, after standardizing the vectors.

    A label that all rows have, or none, gets a constant, its smoothed log-odds (Laplace): there is nothing to fit.

    Args:
        kind: One of `rivals.fusion.KINDS`.
        vectors: Prediction vectors, shape (rows, length), finite.
        targets: Shape (rows, labels), 0 or 1.

    Returns:
        What was fitted, finite.

    Raises:
        KeyError: If there is no such kind.
    """
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = vectors.std(axis=0, dtype=np.float64).astype(np.float32)
    scale[scale == 0] = 1
    rows = (vectors - mean) / scale
    found = [_fit(kind, rows, label) for label in targets.astype(bool).T]
    sizes, arrays = STACK[kind](found, rows)
    arrays = {"mean": mean, "scale": scale, **arrays}
    return FittedClassifiers(sizes, {name: np.asarray(array, np.float32) for name, array in arrays.items()})


def make_classifier(kind: str) -> Any:
    """Return scikit-learn's classifier of a kind, not fitted; there is none for `qda`, see above."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    if kind == "trees":
        boosting = AdaBoostClassifier(DecisionTreeClassifier(max_depth=TREE_DEPTH), random_state=0)
        if boosting.get_params().get("algorithm") == "SAMME.R":  # until scikit-learn 1.5; others have SAMME alone
            boosting.set_params(algorithm="SAMME")
        return boosting
    makers: dict[str, Callable[[], Any]] = {
        "lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        "naive_bayes": lambda: GaussianNB(var_smoothing=SMOOTHING),
        "svm": lambda: SVC(kernel="rbf", gamma="auto"),
        "logistic_regression": lambda: LogisticRegression(max_iter=MAX_STEPS),
    }
    return makers[kind]()


def _fit(kind: str, rows: Array, label: NDArray[np.bool_]) -> Any:
    """Return a fitted classifier, or a constant logit."""
    if label.all() or not label.any():
        return float(np.log(len(rows) + 1)) * (1 if label.all() else -1)
    if kind == "qda":
        return _fit_quadratic(rows, label)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Only one sample available")  # whose covariance is 0, then
        return make_classifier(kind).fit(rows, label.astype(int))


@dataclass(frozen=True)
class _Gaussians:
    """Normal distributions of a label's absence and presence.

    Attributes:
        means: Shape (2, length).
        whitening: What makes the deviations independent, of variance 1: divisors' inverses (2, length), or matrices
            (2, length, length).
        offsets: Log of each one's density at its mean times its share of the rows, shape (2,), up to a constant.
    """

    means: NDArray[np.float64]
    whitening: NDArray[np.float64]
    offsets: NDArray[np.float64]


def _fit_quadratic(rows: Array, label: NDArray[np.bool_]) -> _Gaussians:
    means, whitening, offsets = [], [], []
    for present in (False, True):
        of_class = rows[label == present].astype(np.float64)
        deviations = of_class - of_class.mean(axis=0)
        values, directions = np.linalg.eigh(deviations.T @ deviations / len(of_class))
        values = (1 - SMOOTHING) * values.clip(min=0) + SMOOTHING
        means.append(of_class.mean(axis=0))
        whitening.append(directions / np.sqrt(values))
        offsets.append(np.log(len(of_class) / len(rows)) - 0.5 * np.log(values).sum())
    return _Gaussians(np.stack(means), np.stack(whitening), np.array(offsets))


def _of_naive_bayes(classifier: Any) -> _Gaussians:
    offsets = np.log(classifier.class_prior_) - 0.5 * np.log(classifier.var_).sum(axis=1)
    return _Gaussians(classifier.theta_, classifier.var_**-0.5, offsets)


Stacked = tuple[dict[str, int], dict[str, NDArray[Any]]]


def _stack_linear(found: list[Any], rows: Array) -> Stacked:
    weight, bias = np.zeros((len(found), rows.shape[1])), np.zeros(len(found))
    for number, classifier in enumerate(found):
        if isinstance(classifier, float):
            bias[number] = classifier
        else:
            weight[number], bias[number] = classifier.coef_[0], classifier.intercept_[0]
    return {}, {"weight": weight, "bias": bias}


def _stack_gaussians(found: list[Any], shape: tuple[int, ...]) -> Stacked:
    """Stack distributions with whitening of a shape label by label, the absence before the presence."""
    blank = np.zeros(shape[:2]), np.zeros(shape)
    all_of_them = [_Gaussians(*blank, np.array([0, one])) if isinstance(one, float) else one for one in found]
    means = np.concatenate([one.means for one in all_of_them])
    whitening = np.concatenate([one.whitening for one in all_of_them])
    return {}, {"means": means, "whitening": whitening, "offsets": np.concatenate([one.offsets for one in all_of_them])}


def _stack_naive_bayes(found: list[Any], rows: Array) -> Stacked:
    gaussians = [one if isinstance(one, float) else _of_naive_bayes(one) for one in found]
    return _stack_gaussians(gaussians, (2, rows.shape[1]))


def _stack_quadratic(found: list[Any], rows: Array) -> Stacked:
    return _stack_gaussians(found, (2, rows.shape[1], rows.shape[1]))


def _stack_machines(found: list[Any], rows: Array) -> Stacked:
    """Stack the weights of all rows that support any label's decision, and those rows."""
    dual, bias = np.zeros((len(found), len(rows))), np.zeros(len(found))
    for number, machine in enumerate(found):
        if isinstance(machine, float):
            bias[number] = machine
        else:
            dual[number, machine.support_], bias[number] = machine.dual_coef_[0], machine.intercept_[0]
    used = np.flatnonzero(dual.any(axis=0))
    used = used if len(used) else np.array([0])
    return {"support": len(used)}, {"support": rows[used], "dual": dual[:, used], "bias": bias}


def _stack_trees(found: list[Any], rows: Array) -> Stacked:
    """Stack the trees as complete ones of one depth; what lacks is filled with splits that always go left."""
    boosted = [(number, one) for number, one in enumerate(found) if not isinstance(one, float)]
    trees = max((len(one.estimators_) for _, one in boosted), default=1)
    depth = max((tree.get_depth() for _, one in boosted for tree in one.estimators_), default=1)
    shape, splits = (len(found), trees), 2**depth - 1
    feature, threshold = np.zeros((*shape, splits)), np.full((*shape, splits), ALWAYS_LEFT)
    leaves, bias = np.zeros((*shape, splits + 1)), np.zeros(len(found))
    for number, one in enumerate(found):
        if isinstance(one, float):
            bias[number] = one
            continue
        weights = one.estimator_weights_[: len(one.estimators_)]
        for place, (tree, weight) in enumerate(zip(one.estimators_, weights / weights.sum(), strict=True)):
            feature[number, place], threshold[number, place], votes = _complete(tree.tree_, depth)
            leaves[number, place] = 2 * weight * votes  # scikit-learn adds the votes for and against
    sizes = {"trees": trees, "depth": depth}
    return sizes, {"feature": feature, "threshold": threshold, "leaves": leaves, "bias": bias}


def _complete(tree: Any, depth: int) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float64]]:
    """Return a tree's splits, level by level: features and thresholds, and the votes of its leaves, -1 or 1."""
    features: list[int] = []
    thresholds: list[np.float32] = []
    level = [0]
    for _ in range(depth):
        below = []
        for node in level:
            left, right = int(tree.children_left[node]), int(tree.children_right[node])
            is_leaf = left == right
            features.append(0 if is_leaf else int(tree.feature[node]))
            thresholds.append(ALWAYS_LEFT if is_leaf else _round_down(tree.threshold[node]))
            below += [node, node] if is_leaf else [left, right]
        level = below
    votes = np.where(tree.value[level, 0].argmax(axis=1) == 1, 1.0, -1.0)
    return np.array(features), np.array(thresholds), votes


def _round_down(threshold: float) -> np.float32:
    """Return the largest number in single precision that is not above a threshold, which separates the same numbers."""
    rounded = np.float32(threshold)
    return np.nextafter(rounded, np.float32(-np.inf)) if rounded > threshold else rounded


STACK: dict[str, Callable[[list[Any], Array], Stacked]] = {
    "lda": _stack_linear,
    "logistic_regression": _stack_linear,
    "naive_bayes": _stack_naive_bayes,
    "qda": _stack_quadratic,
    "svm": _stack_machines,
    "trees": _stack_trees,
}
