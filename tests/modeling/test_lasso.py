"""The LASSO path against scikit-learn's coordinate descent, and its choice of penalty."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LassoCV, lasso_path
from sklearn.model_selection import StratifiedKFold

from mammoroi.modeling.lasso import duality_gaps, fit_path
from mammoroi.modeling.selection import EmptySelection, LassoSelector, alphas_of

ALPHAS = alphas_of(1e-4, 1e1, 50)


def data(n=70, p=110, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 12)) @ rng.normal(size=(12, p)) + 0.5 * rng.normal(size=(n, p))
    y = (X[:, 0] + X[:, 1] + 3 * rng.normal(size=n) > 0).astype(float)
    return (X - X.mean(0)) / X.std(0), y


def selector(**options):
    defaults = {"folds": 10, "rule": "min", "max_iter": 100_000, "tol": 1e-4, "seed": 15}
    return LassoSelector(ALPHAS, **(defaults | options))


def test_path_is_coordinate_descents():
    X, y = data()
    alphas = ALPHAS[::-1]
    fit = fit_path(X, y, alphas, 100_000, 1e-4)
    large = alphas > 1e-2
    _, expected, _ = lasso_path(X, y - y.mean(), alphas=alphas[large], tol=1e-8, max_iter=100_000)
    assert np.abs(fit.coefficients[:, large] - expected).max() < 1e-3
    assert fit.n_not_converged == 0
    gaps = duality_gaps(X - X.mean(0), y - y.mean(), fit.coefficients, alphas)
    assert gaps.max() < 1e-7


def test_duplicate_columns_do_not_end_the_path():
    X, y = data()
    X = np.hstack([X, X[:, :40], X[:, 40:80] * (1 + 1e-9)])
    fit = fit_path(X, y, ALPHAS[::-1], 100_000, 1e-4)
    gaps = duality_gaps(X - X.mean(0), y - y.mean(), fit.coefficients, ALPHAS[::-1])
    assert fit.n_not_converged == 0
    assert gaps.max() <= 1e-4 * (1 + 1e-6)


def test_chooses_the_penalty_that_lassocv_chooses():
    X, y = data(n=90, p=40, seed=3)
    folds = list(StratifiedKFold(10, shuffle=True, random_state=15).split(X, y))
    expected = LassoCV(alphas=ALPHAS, cv=folds, max_iter=100_000, tol=1e-6).fit(X, y)
    found = selector().fit(X, y)
    assert found.alpha_ == pytest.approx(expected.alpha_)
    assert found.coef_ == pytest.approx(expected.coef_, abs=1e-3)
    assert found.radscore(X) == pytest.approx(expected.predict(X), abs=1e-2)


def test_one_standard_error_rule_selects_fewer():
    X, y = data(n=90, p=40, seed=3)
    sparse, full = selector(rule="1se").fit(X, y), selector().fit(X, y)
    assert sparse.alpha_ > full.alpha_
    assert 0 < sparse.mask_.sum() < full.mask_.sum()


def test_nothing_selected_is_an_outcome():
    rng = np.random.default_rng(8)
    y = np.arange(60) % 2
    with pytest.raises(EmptySelection, match="lasso"):
        selector().fit(rng.normal(size=(60, 3)) * 1e-12 + rng.permutation(60)[:, None] * 0, y)
