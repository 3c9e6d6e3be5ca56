"""The LASSO path against scikit-learn's coordinate descent, and its choice of penalty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LassoCV, lasso_path
from sklearn.model_selection import StratifiedKFold

from mammoroi.modeling.lasso import duality_gaps, fit_path, penalties
from mammoroi.modeling.recipes import PRESET_RECIPES
from mammoroi.modeling.selection import EmptySelection, LassoSelector, choose_penalty

ALPHAS = np.logspace(1, -4, 50)


def data(n=70, p=110, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 12)) @ rng.normal(size=(12, p)) + 0.5 * rng.normal(size=(n, p))
    y = (X[:, 0] + X[:, 1] + 3 * rng.normal(size=n) > 0).astype(float)
    return (X - X.mean(0)) / X.std(0), y


def selector(name="paper-clean", **options):
    return LassoSelector(replace(PRESET_RECIPES[name], **options), seed=15)


def test_path_is_coordinate_descents():
    X, y = data()
    alphas = ALPHAS
    fit = fit_path(X, y, alphas)
    large = alphas > 1e-2
    _, expected, _ = lasso_path(X, y - y.mean(), alphas=alphas[large], tol=1e-8, max_iter=100_000)
    assert np.abs(fit.coefficients[:, large] - expected).max() < 1e-3
    assert fit.n_not_converged == 0
    gaps = duality_gaps(X - X.mean(0), y - y.mean(), fit.coefficients, alphas)
    assert gaps.max() < 1e-7


def test_duplicate_columns_do_not_end_the_path():
    X, y = data()
    X = np.hstack([X, X[:, :40], X[:, 40:80] * (1 + 1e-9)])
    fit = fit_path(X, y, ALPHAS)
    gaps = duality_gaps(X - X.mean(0), y - y.mean(), fit.coefficients, ALPHAS)
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
    sparse, full = selector(lasso_rule="1se").fit(X, y), selector().fit(X, y)
    assert sparse.alpha_ > full.alpha_
    assert 0 < sparse.mask_.sum() < full.mask_.sum()


def test_one_standard_error_by_hand():
    """Means 5, 3.2, 3, 3.4; the smallest has the errors 2, 3, 4: SD 1, standard error 1/sqrt(3)."""
    mse = np.array([[5.0, 5, 5], [3.2, 3.2, 3.2], [2, 3, 4], [3.4, 3.4, 3.4]])
    assert choose_penalty(mse, "min") == 2
    assert choose_penalty(mse, "1se") == 1
    assert choose_penalty(np.array([[3.6, 3.6, 3.6], *mse[2:]]), "1se") == 1  # 3.6 > 3.577
    assert choose_penalty(np.array([[3.5, 3.5, 3.5], *mse[2:]]), "1se") == 0


def test_the_path_starts_where_nothing_is_selected():
    X, y = data()
    alphas = penalties(X, y, None, 0.05, 40)
    assert (len(alphas), alphas[-1] / alphas[0]) == (40, pytest.approx(0.05))
    kept = fit_path(X, y, np.array([alphas[0] * 1.001, alphas[0] * 0.999])).coefficients != 0
    assert kept.sum(axis=0).tolist() == [0, 1]
    assert penalties(X, y, 10.0, 1e-5, 50) == pytest.approx(ALPHAS)


def test_a_fold_selects_from_its_own_rows():
    X, y = data()
    found = selector("rigorous").fit(X, y)
    for number in (0, 7):
        rows, _ = found.folds_[number]
        expected = fit_path(X[rows], y[rows], np.array([found.alpha_])).coefficients[:, 0] != 0
        assert (found.fold_masks_[number] == expected).all()


def test_nothing_selected_is_an_outcome():
    rng = np.random.default_rng(8)
    y = np.arange(60) % 2
    with pytest.raises(EmptySelection, match="lasso"):
        selector().fit(rng.normal(size=(60, 3)) * 1e-12 + rng.permutation(60)[:, None] * 0, y)
