"""The LASSO along a grid of penalties: exact by least angle regression, checked by duality gap.

Radiomics features are nearly collinear and outnumber the patients, where coordinate descent needs
up to 100,000 sweeps for each small penalty. Least angle regression (Efron et al., Ann Stat
2004;32:407-499) follows the same problem's solution exactly and takes a hundredth of the time. Its
weakness are near-duplicate columns, which end the path early; a ridge of 1e-10 of a column's
variance prevents that. Whether the result solves the LASSO is not taken on trust: every solution's
duality gap is compared with the tolerance. Where it is too large, larger ridges are tried, and
coordinate descent takes over in the end.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path_gram, lasso_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RIDGES = (1e-10, 1e-8, 1e-6)
MAX_SWEEPS = 100_000
"""Sweeps of coordinate descent, where it is needed."""
TOLERANCE = 1e-4
"""Largest duality gap of a solution, relative to the sum of squares of the label."""


@dataclass(frozen=True)
class LassoFit:
    """LASSO solutions of one data set along a grid of penalties.

    Attributes
    ----------
    coefficients : ndarray, shape (features, alphas)
        Solutions of min 1/(2n) |y - Xw|² + alpha |w|₁, X and y centred.
    intercepts : ndarray, shape (alphas,)
        Constant terms.
    n_not_converged : int
        Solutions whose duality gap exceeds the tolerance, coordinate descent's included.
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    n_not_converged: int


@dataclass(frozen=True)
class LassoCurve:
    """Squared error by penalty, over folds.

    Attributes
    ----------
    mse : ndarray, shape (alphas, folds)
        Mean squared error in each fold's validation rows.
    kept : ndarray of bool, shape (features, alphas, folds)
        Features with a coefficient, from each fold's training rows.
    n_not_converged : int
        As in :class:`LassoFit`, summed over the folds.
    """

    mse: NDArray[np.float64]
    kept: NDArray[np.bool_]
    n_not_converged: int


def fit_path(
    X: NDArray[np.float64],
    y: NDArray[np.float64],
    alphas: NDArray[np.float64],
    max_sweeps: int = MAX_SWEEPS,
    tolerance: float = TOLERANCE,
) -> LassoFit:
    """Solve the LASSO for each penalty.

    Parameters
    ----------
    X : ndarray, shape (rows, features)
        Features, on a common scale.
    y : ndarray, shape (rows,)
        Label, 0 or 1.
    alphas : ndarray
        Penalties, descending.
    max_sweeps, tolerance : int, float
        Sweeps of coordinate descent, and largest duality gap relative to the sum of squares of y.
    """
    mean = X.mean(axis=0)
    centred, target = X - mean, y - y.mean()
    for ridge in RIDGES:
        coefficients = _least_angle(centred, target, alphas, ridge)
        gaps = duality_gaps(centred, target, coefficients, alphas)
        if (gaps <= tolerance).all():
            break
    todo = gaps > tolerance
    if todo.any():
        first = int(np.argmax(todo))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, solved, _ = lasso_path(
                centred,
                target,
                alphas=alphas[first:],
                precompute=True,
                coef_init=coefficients[:, max(first - 1, 0)].copy(),  # it is written to
                max_iter=max_sweeps,
                tol=tolerance,
            )
        coefficients[:, first:] = solved
        gaps = duality_gaps(centred, target, coefficients, alphas)
    return LassoFit(
        coefficients=coefficients,
        intercepts=y.mean() - mean @ coefficients,
        n_not_converged=int((gaps > tolerance * (1 + 1e-6)).sum()),
    )


def penalties(
    X: NDArray[np.float64], y: NDArray[np.float64], largest: float | None, ratio: float, n: int
) -> NDArray[np.float64]:
    """Space penalties evenly on the logarithmic scale, descending.

    Parameters
    ----------
    X, y : ndarray
        As for :func:`fit_path`.
    largest : float or None
        None: the smallest penalty that leaves no feature.
    ratio : float
        The smallest penalty, as a share of the largest.
    n : int
        How many.
    """
    if largest is None:
        reach = np.abs((y - y.mean()) @ X).max() / len(y)
        largest = max(float(reach), np.finfo(float).tiny / ratio)
    return np.geomspace(largest, largest * ratio, n)


def cross_validate(
    X: NDArray[np.float64],
    y: NDArray[np.float64],
    alphas: NDArray[np.float64],
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> LassoCurve:
    """Measure the squared error of each penalty over folds.

    Parameters
    ----------
    X, y, alphas : ndarray
        As for :func:`fit_path`.
    folds : sequence of pairs of ndarray
        Positions of the rows to fit, and of those held out.
    """
    errors, kept, failed = [], [], 0
    for train, validation in folds:
        fit = fit_path(X[train], y[train], alphas)
        residuals = y[validation, None] - X[validation] @ fit.coefficients - fit.intercepts
        errors.append((residuals**2).mean(axis=0))
        kept.append(fit.coefficients != 0)
        failed += fit.n_not_converged
    return LassoCurve(np.stack(errors, axis=1), np.stack(kept, axis=2), failed)


def duality_gaps(
    X: NDArray[np.float64],
    y: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    alphas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Measure how far each solution can be from the optimum, relative to the sum of squares of y.

    X and y are centred. The dual point is the residual, shrunk until it is feasible (as
    coordinate descent in scikit-learn has it).
    """
    penalties = alphas * len(y)
    residuals = y[:, None] - X @ coefficients
    reach = np.abs(X.T @ residuals).max(axis=0)
    shrink = np.minimum(1.0, np.divide(penalties, reach, out=np.ones_like(reach), where=reach > 0))
    primal = 0.5 * (residuals**2).sum(axis=0) + penalties * np.abs(coefficients).sum(axis=0)
    dual = 0.5 * (y @ y) - 0.5 * ((shrink * residuals - y[:, None]) ** 2).sum(axis=0)
    return np.asarray((primal - dual) / (y @ y))


def _least_angle(
    X: NDArray[np.float64], y: NDArray[np.float64], alphas: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Follow the LASSO path and read it, linear between its knots, at the penalties."""
    rows, features = X.shape
    gram = X.T @ X
    gram.flat[:: features + 1] *= 1 + ridge
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # judged by the duality gap
        knots, _, path = lars_path_gram(
            X.T @ y,
            gram,
            n_samples=rows,
            copy_Gram=False,
            alpha_min=float(alphas.min()),
            max_iter=8 * min(rows, features) + 100,
            method="lasso",
        )
    position = np.interp(-alphas, -knots, np.arange(len(knots)))
    left = np.floor(position).astype(int)
    right = np.minimum(left + 1, len(knots) - 1)
    share = position - left
    return np.asarray(path[:, left] * (1 - share) + path[:, right] * share)
