"""Logistic regressions of several labels on the same features: Newton's method for all labels at once.

The result is that of scikit-learn's `LogisticRegression` with its L2 penalty, fitted label by label. With thousands of
rows and features, that takes a minute for each head, and ten times as long while C is chosen; here, what each label
needs is computed by the same matrix products, in a tenth of the time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from action_heads.label_decision import to_probabilities

TOLERANCE = 1e-3  # of the largest component of the gradient
MAX_NEWTON_STEPS, MAX_CG_STEPS, MAX_HALVINGS = 50, 300, 30
SUFFICIENT_DECREASE = 1e-4
MIN_CURVATURE = 1e-8  # of the intercept, which is not regularized

Array = NDArray[np.float32]


def fit_logistic_regressions(
    inputs: Array, targets: NDArray[np.bool_], weights: Array, c_values: Sequence[float]
) -> Array:
    """Fit one regression per label and value of C.

    Args:
        inputs: Shape (rows, D).
        targets: Shape (rows, labels).
        weights: Of each row for each label, at least 0; a row of weight 0 is not used. Shape (rows, labels).
        c_values: Inverse strengths of the regularization, scikit-learn's C; in ascending order they take less time.

    Returns:
        The coefficients, then the intercept: shape (values of C, labels, D + 1). A label without any contrast has no
        coefficients, and its smoothed log-odds (Laplace) as intercept.
    """
    labels = targets.shape[1]
    solutions = np.zeros((len(c_values), labels, inputs.shape[1] + 1), np.float32)
    positive, total = np.where(targets, weights, 0).sum(axis=0), weights.sum(axis=0)
    has_contrast = (positive > 0) & (np.where(targets, 0, weights).sum(axis=0) > 0)
    # At least two samples are assumed, so that a label without positives stays below the label threshold.
    solutions[..., -1] = np.log(np.maximum(total, 2.0) + 1) * np.where(positive > 0, 1, -1)
    if not has_contrast.any():
        return solutions
    problem = _Problem(inputs, targets[:, has_contrast], weights[:, has_contrast])
    solution = np.zeros((inputs.shape[1] + 1, int(has_contrast.sum())), np.float32)
    for index, c in enumerate(c_values):
        solution = problem.solve(c, solution)
        solutions[index, has_contrast] = solution.T
    return solutions


class _Problem:
    """The regressions of all labels that have contrast; solutions have the shape (D + 1, labels)."""

    def __init__(self, inputs: Array, targets: NDArray[np.bool_], weights: Array) -> None:
        self.rows = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1, dtype=np.float32)
        self.signs = np.where(targets, 1, -1).astype(np.float32)
        self.weights = weights.astype(np.float32)
        self.ridge = np.ones((self.rows.shape[1], 1), np.float32)
        self.ridge[-1] = MIN_CURVATURE

    def solve(self, c: float, start: Array) -> Array:
        """Minimize each label's objective by truncated Newton steps, from a start."""
        weights = np.float32(c) * self.weights
        solution, (objective, margins) = start, self._evaluate(weights, start)
        for _ in range(MAX_NEWTON_STEPS):
            wrong = to_probabilities(-margins)
            gradient = self.rows.T @ (-weights * self.signs * wrong) + self.ridge * solution
            open_labels = np.abs(gradient).max(axis=0) > TOLERANCE
            if not open_labels.any():
                break
            curvature = weights * wrong * (1 - wrong)
            step = self._newton_step(gradient, curvature, open_labels)
            slope = (gradient * step).sum(axis=0)
            for _ in range(MAX_HALVINGS):
                candidate = solution + step
                reached, margins = self._evaluate(weights, candidate)
                # The last term allows for rounding in single precision.
                is_worse = reached > objective + SUFFICIENT_DECREASE * slope + 1e-6 * np.abs(objective)
                if not is_worse.any():
                    break
                step, slope = np.where(is_worse, step / 2, step), np.where(is_worse, slope / 2, slope)
            solution, objective = candidate, reached
        return solution

    def _evaluate(self, weights: Array, solution: Array) -> tuple[NDArray[np.float64], Array]:
        """Return each label's objective, shape (labels,), and the margins, shape (rows, labels)."""
        margins = self.signs * (self.rows @ solution)
        loss = (weights * np.logaddexp(0, -margins)).sum(axis=0, dtype=np.float64)
        return loss + 0.5 * (self.ridge * solution**2).sum(axis=0, dtype=np.float64), margins

    def _newton_step(self, gradient: Array, curvature: Array, open_labels: NDArray[np.bool_]) -> Array:
        """Solve for each open label's Newton step by conjugate gradients, roughly while it is far from its minimum."""
        step = np.zeros_like(gradient)
        residual = np.where(open_labels, -gradient, 0)
        direction, squared = residual, (residual**2).sum(axis=0)
        size = np.sqrt(squared)
        enough = np.minimum(0.1, np.sqrt(size)) * size
        for _ in range(MAX_CG_STEPS):
            product = self.rows.T @ (curvature * (self.rows @ direction)) + self.ridge * direction
            along = (direction * product).sum(axis=0)
            length = np.divide(squared, along, out=np.zeros_like(squared), where=along > 0)
            step = step + length * direction
            residual = residual - length * product
            previous, squared = squared, (residual**2).sum(axis=0)
            is_open = np.sqrt(squared) > enough
            if not is_open.any():
                break
            ratio = np.divide(squared, previous, out=np.zeros_like(squared), where=previous > 0)
            direction = np.where(is_open, residual + ratio * direction, 0)
        return step
