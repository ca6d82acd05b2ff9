"""Logistic regressions of all labels at once: the same as scikit-learn's, one by one."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from action_heads.training.logistic_regression import fit_logistic_regressions

C_VALUES = [0.3, 3.0, 30.0]


def make_problem(rows=300, features=60, labels=4, seed=0):
    """Correlated features, some labels rare, weights that differ from row to row and from label to label."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 8)) @ rng.normal(size=(8, features)) + 0.3 * rng.normal(size=(rows, features))
    inputs = (inputs / inputs.std(axis=0) / np.sqrt(features)).astype(np.float32)
    scores = inputs @ rng.normal(size=(features, labels)) + 0.3 * rng.normal(size=(rows, labels))
    targets = scores > np.quantile(scores, np.linspace(0.5, 0.97, labels), axis=0).diagonal()
    weights = rng.choice([0.0, 0.1, 1.0], size=(rows, labels)).astype(np.float32)
    return inputs, targets, weights


@pytest.mark.parametrize("rows", [30, 300])
def test_solutions_are_those_of_scikit_learn(rows):
    inputs, targets, weights = make_problem(rows)
    solutions = fit_logistic_regressions(inputs, targets, weights, C_VALUES)
    assert solutions.shape == (3, 4, 61)
    for c, solution in zip(C_VALUES, solutions, strict=True):
        for label, found in enumerate(solution):
            used = weights[:, label] > 0
            if len(set(targets[used, label])) < 2:
                continue
            model = LogisticRegression(C=c, tol=1e-8, max_iter=10_000)
            model.fit(inputs[used].astype(np.float64), targets[used, label], weights[used, label])
            expected = model.decision_function(inputs.astype(np.float64))
            np.testing.assert_allclose(inputs @ found[:-1] + found[-1], expected, atol=0.02)


def test_labels_do_not_influence_each_other():
    inputs, targets, weights = make_problem()
    together = fit_logistic_regressions(inputs, targets, weights, C_VALUES)
    for label in range(targets.shape[1]):
        alone = fit_logistic_regressions(inputs, targets[:, [label]], weights[:, [label]], C_VALUES)
        np.testing.assert_allclose(alone[:, 0], together[:, label], atol=5e-3)


def test_labels_without_contrast_are_constant():
    inputs, targets, weights = make_problem(rows=20)
    targets[:, 0], targets[:, 1] = False, True
    weights[:, 2] = 0
    weights[:, :2] = 0.5
    (solution,) = fit_logistic_regressions(inputs, targets, weights, [3.0])
    assert not solution[:3, :-1].any()
    np.testing.assert_allclose(solution[:3, -1], [-np.log(11), np.log(11), -np.log(3)], rtol=1e-6)
    assert fit_logistic_regressions(inputs, targets[:, :2], weights[:, :2], [3.0]).shape == (1, 2, 61)


def test_separable_labels_end_too():
    inputs = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    (solution,) = fit_logistic_regressions(inputs, inputs > 0.1, np.ones((40, 1), np.float32), [1e4])
    logits = inputs @ solution[:, :-1].T + solution[:, -1]
    assert ((logits > 0) == (inputs > 0.1)).all()
    assert np.isfinite(logits).all()
