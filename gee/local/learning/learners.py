"""Classifiers that learn: Earth Engine's methods by scikit-learn's implementations.

Earth Engine trains with Smile and libsvm, whose random numbers and details cannot be had here. A classifier
trained here is the same method with the documented parameters and defaults, deterministic by its seed;
its numbers are scikit-learn's and are not Google's. Minimum distance and spectral region are documented
whole and computed directly. scikit-learn is imported where something is trained: it takes a second that
no other request should wait for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.learning.classifiers import Fitted, Output, Training, class_type, of_forest, of_probabilities
from gee.local.learning.trees import Arrays, Forest, Rows, planted
from gee.local.values import DOUBLE, PixelType

MAX_TREES = 10_000
MAX_TREE_ROWS = 10**8  # a minute or two of learning
_SEEDS = 2**32  # scikit-learn takes seeds below it


def _failed(reason: object) -> EngineError:
    return EngineError(f"Classifier training failed: '{reason}'.")


def _fit(estimator: Any, rows: Rows, target: NDArray[Any]) -> Any:
    try:
        return estimator.fit(rows, target)
    except ValueError as error:
        raise _failed(error) from error


def _classes(training: Training) -> NDArray[np.float64]:
    classes = np.unique(training.target)
    if classes.size < 2:
        raise _failed("Only one class.")
    return classes


def _only(regression: bool, name: str, wanted: bool = False) -> None:
    if regression is not wanted:
        mode = "needs output mode REGRESSION" if wanted else "does not do regression"
        raise EngineError(f"{name} {mode}.")


def _grown(estimators: Sequence[Any], training: Training, classes: NDArray[Any] | None) -> Forest:
    """The trees of scikit-learn's estimators; leaves give a number, or the likeliest of the classes."""
    trees = []
    for estimator in estimators:
        tree = estimator.tree_
        value = tree.value[:, 0, 0] if classes is None else classes[tree.value[:, 0].argmax(axis=1)]
        trees.append(
            Arrays(
                tree.feature, tree.threshold, tree.children_left, tree.children_right, value, tree.max_depth
            )
        )
    return planted(trees, training.names)


def tree_text(estimator: Any, names: Sequence[str], classes: NDArray[Any] | None) -> str:
    """A scikit-learn tree as the text that ``Classifier.decisionTree`` reads, numbers in full precision."""
    tree = estimator.tree_
    lines = [
        f"n= {tree.n_node_samples[0]}",
        "node), split, n, loss, yval, (yprob)",
        "* denotes terminal node",
    ]
    stack = [(0, 1, "root")]
    while stack:
        node, number, split = stack.pop()
        shares = tree.value[node, 0]
        value = float(shares[0] if classes is None else classes[shares.argmax()])
        loss = tree.n_node_samples[node] * (tree.impurity[node] if classes is None else 1 - shares.max())
        chances = "" if classes is None else f" ({' '.join(f'{share:g}' for share in shares)})"
        leaf = tree.children_left[node] < 0
        written = f"{value:.0f}" if value.is_integer() else repr(value)
        indent = " " * (number.bit_length() - 1)
        samples = tree.n_node_samples[node]
        lines.append(f"{indent}{number}) {split} {samples} {loss:g} {written}{chances}{' *' if leaf else ''}")
        if not leaf:
            name, threshold = names[tree.feature[node]], repr(float(tree.threshold[node]))
            stack.append((tree.children_right[node], 2 * number + 1, f"{name}>{threshold}"))
            stack.append((tree.children_left[node], 2 * number, f"{name}<={threshold}"))
    return "\n".join(lines) + "\n"


def _importance(estimator: Any, training: Training) -> dict[str, float]:
    return dict(zip(training.names, estimator.feature_importances_.tolist(), strict=True))


def _classes_told(classes: NDArray[Any] | None) -> dict[str, Any]:
    return {} if classes is None else {"classes": [int(c) if c.is_integer() else c for c in classes.tolist()]}


def _check_trees(count: int, training: Training) -> None:
    """Refuse a forest that would take for ever; learning it cannot be stopped."""
    if count > MAX_TREES or count * len(training.rows) > MAX_TREE_ROWS:
        raise EngineError(
            f"A forest of {count} trees of {len(training.rows)} rows is too large: at most {MAX_TREES} "
            f"trees, and {MAX_TREE_ROWS} rows of all trees together."
        )


def random_forest(
    count: int,
    per_split: int | None,
    min_leaf: int,
    bag: float,
    max_leaves: int | None,
    seed: int,
    training: Training,
    regression: bool,
) -> Fitted:
    """A random forest; the rows of each tree are drawn with replacement."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    if not 0 < bag <= 1:
        raise EngineError(f"bagFraction must be greater than 0 and at most 1, got {bag}.")
    _check_trees(count, training)
    inputs = len(training.names)
    estimator = (RandomForestRegressor if regression else RandomForestClassifier)(
        n_estimators=count,
        max_features=max(1, math.isqrt(inputs)) if per_split is None else per_split,
        min_samples_leaf=min_leaf,
        max_samples=bag,
        max_leaf_nodes=max_leaves,
        random_state=seed % _SEEDS,
    )
    classes = None if regression else _classes(training)
    _fit(estimator, training.rows, training.target)
    forest = _grown(estimator.estimators_, training, classes)

    def explained() -> Mapping[str, Any]:
        return {
            **_classes_told(classes),
            "importance": _importance(estimator, training),
            "numberOfTrees": count,
            "outOfBagErrorEstimate": _out_of_bag(estimator, forest, training, classes),
            "trees": [tree_text(tree, training.names, classes) for tree in estimator.estimators_],
        }

    return of_forest(forest, explained)


def _out_of_bag(
    estimator: Any, forest: Forest, training: Training, classes: NDArray[np.float64] | None
) -> float | None:
    """Share of rows misclassified, or root mean square error, by the trees that did not see each row."""
    given = forest.values(training.rows)
    for tree, seen in enumerate(estimator.estimators_samples_):
        given[seen, tree] = np.nan
    rows = ~np.isnan(given).all(axis=1)
    if not rows.any():
        return None
    given, target = given[rows], training.target[rows]
    if classes is None:
        return float(np.sqrt(np.mean((np.nanmean(given, axis=1) - target) ** 2)))
    votes = np.stack([(given == one).sum(axis=1) for one in classes], axis=1)
    return float(np.mean(classes[votes.argmax(axis=1)] != target))


def cart(max_leaves: int | None, min_leaf: int, training: Training, regression: bool) -> Fitted:
    """One classification or regression tree."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    estimator = (DecisionTreeRegressor if regression else DecisionTreeClassifier)(
        max_leaf_nodes=max_leaves, min_samples_leaf=min_leaf, random_state=0
    )
    classes = None if regression else _classes(training)
    _fit(estimator, training.rows, training.target)

    def explained() -> Mapping[str, Any]:
        return {
            **_classes_told(classes),
            "importance": _importance(estimator, training),
            "tree": tree_text(estimator, training.names, classes),
        }

    return of_forest(_grown([estimator], training, classes), explained)


_LOSSES = {"LeastSquares": "squared_error", "LeastAbsoluteDeviation": "absolute_error", "Huber": "huber"}


def gradient_tree_boost(
    count: int,
    shrinkage: float,
    sampling: float,
    max_leaves: int | None,
    loss: str,
    seed: int,
    training: Training,
    regression: bool,
) -> Fitted:
    """Gradient boosted trees; the loss is of regressions, classes are learned by log loss."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    if loss not in _LOSSES:
        raise EngineError(f"Unknown loss '{loss}'; must be one of {', '.join(_LOSSES)}.")
    _check_trees(count, training)
    parameters: dict[str, Any] = {
        "n_estimators": count,
        "learning_rate": shrinkage,
        "subsample": sampling,
        "max_leaf_nodes": max_leaves,
        "max_depth": None,
        "random_state": seed % _SEEDS,
    }
    classes = np.empty(0) if regression else _classes(training)
    estimator: Any
    if regression:
        estimator = GradientBoostingRegressor(loss=_LOSSES[loss], **parameters)
    else:
        estimator = GradientBoostingClassifier(**parameters)
    _fit(estimator, training.rows, training.target)

    def explained() -> Mapping[str, Any]:
        told = {} if regression else _classes_told(classes)
        return {**told, "importance": _importance(estimator, training), "numberOfTrees": count}

    outputs = (
        {"REGRESSION": Output(_of_some(estimator.predict), DOUBLE)}
        if regression
        else of_probabilities(classes, _of_some(estimator.predict_proba, classes.size))
    )
    nodes = sum(tree.tree_.node_count for tree in estimator.estimators_.ravel())
    return Fitted(outputs, explained, 64 * nodes)


def _of_some(predict: Callable[[Rows], NDArray[Any]], *width: int) -> Callable[[Rows], NDArray[Any]]:
    """A prediction of rows, also of none, which scikit-learn refuses."""
    return lambda rows: predict(rows) if len(rows) else np.empty((0, *width))


def nearest_neighbours(k: int, search: str, metric: str, training: Training, regression: bool) -> Fitted:
    """The k nearest rows vote; a KD_TREE (AUTO below 10 inputs) has no metric but EUCLIDEAN."""
    from sklearn.neighbors import KNeighborsClassifier

    _only(regression, "Classifier.smileKNN")
    metrics = {"EUCLIDEAN": "euclidean", "MANHATTAN": "manhattan", "BRAYCURTIS": "braycurtis"}
    if metric not in (*metrics, "MAHALANOBIS"):
        raise EngineError(f"Unknown metric '{metric}'.")
    if search not in ("AUTO", "LINEAR_SEARCH", "KD_TREE", "COVER_TREE"):
        raise EngineError(f"Unknown search method '{search}'.")
    if search == "KD_TREE" or (search == "AUTO" and len(training.names) < 10):
        metric = "EUCLIDEAN"
    chosen: dict[str, Any] = {"metric": metrics.get(metric, "mahalanobis")}
    if metric == "MAHALANOBIS":
        chosen["metric_params"] = {"VI": _inverse_covariance(training.rows)}
    algorithm = "auto" if metric == "EUCLIDEAN" else "brute"
    estimator = KNeighborsClassifier(min(k, len(training.rows)), algorithm=algorithm, **chosen)
    classes = _classes(training)
    _fit(estimator, training.rows, training.target)
    outputs = of_probabilities(classes, _of_some(estimator.predict_proba, classes.size))
    return Fitted(outputs, lambda: {**_classes_told(classes), "k": k}, 2 * training.rows.nbytes)


def _inverse_covariance(rows: Rows) -> NDArray[np.float64]:
    if len(rows) < 2:
        raise _failed("a covariance needs at least 2 rows")
    try:
        inverse = np.linalg.inv(np.atleast_2d(np.cov(rows, rowvar=False)))
    except np.linalg.LinAlgError as error:
        raise _failed("the covariance is singular") from error
    return inverse


def naive_bayes(smoothing: float, training: Training, regression: bool) -> Fitted:
    """Multinomial naive Bayes of counts; a negative input is discarded, that is, counts nothing."""
    from sklearn.naive_bayes import MultinomialNB

    _only(regression, "Classifier.smileNaiveBayes")
    classes = _classes(training)
    estimator = _fit(MultinomialNB(alpha=smoothing), np.maximum(training.rows, 0), training.target)
    probabilities = _of_some(estimator.predict_proba, classes.size)
    outputs = of_probabilities(classes, lambda rows: probabilities(np.maximum(rows, 0)))
    return Fitted(outputs, lambda: _classes_told(classes), 0)


_KERNELS = {"LINEAR": "linear", "POLY": "poly", "RBF": "rbf", "SIGMOID": "sigmoid"}


def support_vectors(
    decision: str,
    kind: str,
    kernel: str,
    shrinking: bool,
    degree: int | None,
    gamma: float | None,
    coef0: float | None,
    cost: float | None,
    nu: float | None,
    tolerance: float | None,
    epsilon: float | None,
    one_class: int | None,
    training: Training,
    regression: bool,
) -> Fitted:
    """A support vector machine: libsvm's own code, as scikit-learn carries it, without probabilities."""
    from sklearn import svm

    if decision not in ("Voting", "Margin"):
        raise EngineError(f"Unknown decision procedure '{decision}'; must be 'Voting' or 'Margin'.")
    if kernel not in _KERNELS:
        raise EngineError(f"Unknown kernel type '{kernel}'; must be one of {', '.join(_KERNELS)}.")
    soft = {"C": 1.0 if cost is None else cost}
    share = {"nu": 0.5 if nu is None else nu}
    loss = {"epsilon": 0.1 if epsilon is None else epsilon}
    makers: dict[str, tuple[Any, dict[str, Any]]] = {
        "C_SVC": (svm.SVC, soft),
        "NU_SVC": (svm.NuSVC, share),
        "ONE_CLASS": (svm.OneClassSVM, share),
        "EPSILON_SVR": (svm.SVR, soft | loss),
        "NU_SVR": (svm.NuSVR, soft | share),
    }
    if kind not in makers:
        raise EngineError(f"Unknown SVM type '{kind}'; must be one of {', '.join(makers)}.")
    _only(regression, f"A classifier of svmType {kind}", kind.endswith("SVR"))
    maker, own = makers[kind]
    estimator = maker(
        kernel=_KERNELS[kernel],
        shrinking=shrinking,
        degree=3 if degree is None else degree,
        gamma="auto" if gamma is None else gamma,
        coef0=0.0 if coef0 is None else coef0,
        tol=0.001 if tolerance is None else tolerance,
        **own,
    )
    rows, target = training.rows, training.target
    if kind == "ONE_CLASS":
        inside = 0 if one_class is None else one_class
        if inside not in (0, 1):
            raise EngineError(f"oneClass must be 0 or 1, got {inside}.")
        rows = rows[target == inside]
        if not len(rows):
            raise _failed(f"no row is of class {inside}")
        predict = _of_some(_fit(estimator, rows, np.zeros(len(rows))).predict)
        found = Output(
            lambda rows: np.where(predict(rows) > 0, inside, 1 - inside), class_type(np.arange(2.0))
        )
    else:
        classes = np.empty(0) if regression else _classes(training)
        if decision == "Margin" and classes.size > 2:
            raise EngineError("decisionProcedure 'Margin' is supported for two classes only.")
        predict = _of_some(_fit(estimator, rows, target).predict)
        found = Output(predict, DOUBLE if regression else class_type(classes))
    told = {"svmType": kind, "kernelType": kernel, "numberOfSupportVectors": len(estimator.support_)}
    mode = "REGRESSION" if regression else "CLASSIFICATION"
    return Fitted({mode: found}, lambda: told, estimator.support_vectors_.nbytes)


def minimum_distance(metric: str, nearest: int, training: Training, regression: bool) -> Fitted:
    """The class whose mean is nearest; the Mahalanobis distance is by the covariance of each class."""
    classes = np.unique(training.target)
    members = [training.rows[training.target == one] for one in classes]
    means = np.stack([rows.mean(axis=0) for rows in members])
    measures: dict[str, Callable[[Rows], NDArray[np.float64]]] = {
        "euclidean": lambda rows: np.stack([np.sqrt(((rows - m) ** 2).sum(axis=1)) for m in means], axis=1),
        "manhattan": lambda rows: np.stack([np.abs(rows - m).sum(axis=1) for m in means], axis=1),
        "cosine": lambda rows: _angles(rows, means),
    }
    if metric == "mahalanobis":
        inverses = [_inverse_covariance(rows) for rows in members]
        measures[metric] = lambda rows: _mahalanobis(rows, means, inverses)
    if metric not in measures:
        raise EngineError(f"Unknown metric '{metric}'.")
    if nearest < 1:
        raise EngineError(f"kNearest must be at least 1, got {nearest}.")
    distances = measures[metric]
    k = min(nearest, classes.size)

    def nearest_classes(rows: Rows) -> NDArray[Any]:
        chosen: NDArray[Any] = classes[np.argsort(distances(rows), axis=1, kind="stable")[:, :k]]
        return chosen if nearest > 1 else chosen[:, 0]

    def nearest_distances(rows: Rows) -> NDArray[Any]:
        chosen = np.sort(distances(rows), axis=1)[:, :k]
        return chosen if nearest > 1 else chosen[:, 0]

    def shaped(kind: PixelType, several: bool) -> PixelType:
        return replace(kind, dimensions=1) if several else kind

    outputs = {
        "CLASSIFICATION": Output(nearest_classes, shaped(class_type(classes), nearest > 1)),
        "REGRESSION": Output(nearest_distances, shaped(DOUBLE, nearest > 1)),
        "RAW": Output(distances, shaped(DOUBLE, True)),
    }
    return Fitted(outputs, lambda: {**_classes_told(classes), "means": means}, means.nbytes)


def _angles(rows: Rows, means: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(means, axis=1)
    with np.errstate(all="ignore"):
        cosines = np.where(lengths > 0, rows @ means.T / lengths, 0.0)
    angles: NDArray[np.float64] = np.arccos(np.clip(cosines, -1, 1))
    return angles


def _mahalanobis(
    rows: Rows, means: NDArray[np.float64], inverses: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    found = []
    for mean, inverse in zip(means, inverses, strict=True):
        apart = rows - mean
        found.append(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", apart, inverse, apart), 0)))
    return np.stack(found, axis=1)


def spectral_region(rings: Sequence[NDArray[np.float64]]) -> Fitted:
    """1 within a polygon: where an odd number of its edges is crossed on the way out."""

    def within(rows: Rows) -> NDArray[Any]:
        u, v = rows.T
        odd = np.zeros(len(rows), np.bool_)
        with np.errstate(all="ignore"):
            for ring in rings:
                for (u1, v1), (u2, v2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                    across = (v1 > v) != (v2 > v)
                    odd ^= across & (u < u1 + (v - v1) * (u2 - u1) / (v2 - v1))
        return odd.astype(np.uint8)

    outputs = {"CLASSIFICATION": Output(within, PixelType("int", 0, 1))}
    return Fitted(outputs, lambda: {"numberOfRings": len(rings)}, 0)


LEARNERS: dict[str, Callable[..., Fitted]] = {
    "smileRandomForest": random_forest,
    "smileCart": cart,
    "smileGradientTreeBoost": gradient_tree_boost,
    "smileKNN": nearest_neighbours,
    "smileNaiveBayes": naive_bayes,
    "libsvm": support_vectors,
    "svm": support_vectors,
    "minimumDistance": minimum_distance,
}
"""By name: from the documented parameters in order, rows, and whether numbers are learned."""
