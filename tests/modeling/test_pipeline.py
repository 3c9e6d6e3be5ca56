"""A recipe's fit: what each step may see, the planted signal, the empty selection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import Lasso
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from mammoroi.errors import MammoroiError
from mammoroi.modeling import pipeline, svm
from mammoroi.modeling.calibration import calibration_slope, fit_calibration
from mammoroi.modeling.config import PRESET_TASKS, ModelingConfig
from mammoroi.modeling.pipeline import fit_recipe
from mammoroi.modeling.recipes import PRESET_RECIPES
from mammoroi.modeling.repeats import Repeats, patients_of
from mammoroi.modeling.selection import CompleteFeatures, StableFeatures, TTestFilter
from mammoroi.modeling.table import combine_views, load_features
from mammoroi.modeling.targets import targets_of
from mammoroi.modeling.validate import Dataset, inner_scores, predict, run_final, run_fold

CLEAN = replace(PRESET_RECIPES["paper-clean"], lasso_folds=5, n_alphas=20, alpha_ratio=1e-4)
CONFIG = ModelingConfig(recipe=CLEAN, workers=1)
RIGOROUS = ModelingConfig(recipe=replace(PRESET_RECIPES["rigorous"], lasso_folds=5), workers=1)
BOTH = pytest.mark.parametrize("config", [CONFIG, RIGOROUS], ids=["paper-clean", "rigorous"])


def table(n=60, p=30, shift=1.5, seed=0):
    rng = np.random.default_rng(seed)
    y = pd.Series(np.arange(n) % 3 == 0, index=[f"P{i}" for i in range(n)]).astype(int)
    X = pd.DataFrame(rng.normal(size=(n, p)), index=y.index, columns=[f"f{i}" for i in range(p)])
    X.iloc[:, :3] += shift * y.to_numpy()[:, None]
    return X, y


def with_recipe(recipe, **changes):
    return ModelingConfig(recipe=replace(recipe, **changes), workers=1)


def test_finds_the_planted_features():
    X, y = table()
    fit = fit_recipe(X, y, CONFIG, None)
    assert {"f0", "f1", "f2"} <= set(fit.selected())
    funnel = fit.funnel()
    assert funnel["extracted"] == funnel["stable"] == funnel["complete"] == 30
    assert funnel["lasso"] == len(fit.selected()) <= funnel["t_test"] < 30
    assert (funnel["icc_applied"], funnel["smote_neighbours"]) == (False, 5)


def test_every_step_sees_training_rows_only(monkeypatch):
    """Held-out rows carry a value that would show in any mean, test, coefficient or neighbour."""
    X, y = table()
    seen: list[np.ndarray] = []

    def spy(cls, name):
        original = getattr(cls, name)

        def wrapped(self, X, *args, **kwargs):
            seen.append(np.asarray(X))
            return original(self, X, *args, **kwargs)

        monkeypatch.setattr(cls, name, wrapped)

    spy(pipeline.StableFeatures, "fit")
    spy(pipeline.CompleteFeatures, "fit")
    spy(pipeline.StandardScaler, "fit")
    spy(pipeline.TTestFilter, "fit")
    spy(pipeline.LassoSelector, "fit")
    spy(svm.SMOTE, "fit_resample")
    spy(svm.SVC, "fit")
    canary = X.copy()
    canary.iloc[40:] = 1e6
    held_out = canary.iloc[40:]
    twice = Repeats("reader2", (canary, canary + 1e-3))
    fit = fit_recipe(canary.iloc[:40], y.iloc[:40], CONFIG, twice)
    assert len(seen) >= 7
    assert max(np.abs(rows).max() for rows in seen) < 100
    assert fit.funnel()["icc_patients"] == 40
    assert fit.steps["scale"].n_samples_seen_ == 40
    assert len(seen[-1]) > 40  # the SVM's rows: SMOTE has added synthetic patients
    assert len(fit.scores(held_out)) == 20  # none of which is ever predicted


@BOTH
def test_the_final_model_is_made_and_calibrated_like_a_folds(config):
    """The same training patients give the same risks: no sigmoid of other models' scores."""
    X, y = table()
    folds = (tuple(y.index[:20]), tuple(y.index[20:]))
    target = targets_of(PRESET_TASKS["sln"])[0]
    data = Dataset(target, "manual", X, y, None, folds[1], folds[0], ())
    fold = run_fold(data, folds, 0, config).predicted
    final = run_final(data, config)
    held_out = predict(data, final.fit, final.calibration, data.test)
    assert held_out["risk"].to_numpy() == pytest.approx(fold["risk"].to_numpy())
    assert held_out["risk"].nunique() > 5


@BOTH
def test_what_is_held_out_changes_nothing(config):
    """A fold's scores and risks stay when labels and features of those held out are changed."""
    X, y = table()
    folds = (tuple(y.index[:20]), tuple(y.index[20:50]))
    target = targets_of(PRESET_TASKS["sln"])[0]
    data = Dataset(target, "manual", X, y, None, folds[0] + folds[1], tuple(y.index[50:]), (folds,))
    turned, spoilt = y.copy(), X.copy()
    turned[[*folds[0], *data.test]] = 1 - y[[*folds[0], *data.test]]
    spoilt.loc[[*folds[0][1:], *data.test]] = 1e6
    first, second = (
        run_fold(changed, folds, 0, config).predicted
        for changed in (data, replace(data, y=turned, X=spoilt))
    )
    assert first["score"][0] == second["score"][0]
    assert first["risk"][0] == second["risk"][0]
    assert (first["label"] != second["label"]).all()
    assert first["patient_id"].tolist() == list(folds[0])


def test_inner_scores_are_of_rows_left_out(monkeypatch):
    X, y = table()
    fitted: list[set[str]] = []
    original = pipeline.fit_recipe

    def spy(X, *given):
        fitted.append(set(X.index))
        return original(X, *given)

    monkeypatch.setattr("mammoroi.modeling.validate.fit_recipe", spy)
    scores = inner_scores(X, y, CONFIG, None)
    assert len(scores) == 60
    assert np.isfinite(scores).all()
    assert set.intersection(*fitted) == set()
    assert all(len(rows) == 48 for rows in fitted)


def test_synthetic_balance_does_not_move_the_risks():
    """Risks are calibrated on real patients: their mean is the real prevalence, not one half."""
    X, y = table(n=120)
    scores = inner_scores(X, y, CONFIG, None)
    risks = fit_calibration(scores, y).risk(scores)
    assert y.mean() == pytest.approx(1 / 3)
    assert risks.mean() == pytest.approx(1 / 3, abs=0.02)


def test_risks_of_the_final_model_are_right_whatever_cost_was_chosen():
    """With a small C decision values hardly scatter, and their intercept moves between folds."""
    slopes, costs = [], []
    for seed in range(8):
        X, y = table(n=2500, p=40, shift=0.5, seed=seed)
        new = list(y.index[500:])
        target = targets_of(PRESET_TASKS["sln"])[0]
        data = Dataset(target, "manual", X, y, None, tuple(y.index[:500]), tuple(new), ())
        trained = run_final(data, RIGOROUS)
        risks = trained.calibration.risk(trained.fit.scores(X.loc[new]))
        slopes.append(calibration_slope(y[new], risks)[0])
        costs.append(trained.fit.scorer.svm.C)
    assert min(costs) == 0.001
    assert np.mean(slopes) == pytest.approx(1, abs=0.15)
    assert min(slopes) > 0.7
    assert max(slopes) < 1.5


def test_empty_selection_is_the_prevalence_for_everybody():
    X, y = table(shift=0.0)
    fit = fit_recipe(X, y, with_recipe(CLEAN, t_test_alpha=1e-9), None)
    assert fit.empty_at == "t_test"
    assert fit.selected() == []
    assert (fit.scores(X) == 0).all()
    assert fit.radscores(X) == pytest.approx(y.mean())
    funnel = fit.funnel()
    assert (funnel["complete"], funnel["t_test"], funnel["lasso"]) == (30, 0, None)
    assert "t_test" in funnel["outcome"]


def test_unstable_features_go(study):
    first, second = (load_features(study.folder, roi).images for roi in ("manual", "reader2"))
    readers = Repeats("reader2", patients_of([first, second], "mean"))
    X = combine_views(first, "mean")
    stable = StableFeatures(readers, 0.75).fit(X)
    assert stable.applied_
    assert stable.n_patients_ == 60
    unstable = np.arange(1, 120, 10)
    assert not stable.mask_[unstable].any()
    assert stable.mask_.sum() > 90
    few = StableFeatures(readers, 0.75).fit(X.tail(20))
    assert (few.applied_, few.n_patients_) == (False, 0)
    assert few.mask_.all()


def test_a_feature_at_the_threshold_and_one_without_icc_are_not_stable():
    X, _ = table(p=4)
    other = X + np.random.default_rng(1).normal(scale=[0.1, 0.3, 0.5, 0.7], size=X.shape)
    other["f3"] = X["f3"] = 1.0  # no variation: its ICC cannot be told
    readers = Repeats("reader2", (X, other))
    values = StableFeatures(readers, 0.0).fit(X).icc_
    assert np.isnan(values[3])
    assert values[0] > values[1] > values[2] > 0
    stable = StableFeatures(readers, values[1]).fit(X)
    assert stable.mask_.tolist() == [True, False, False, False]


def test_scores_are_scaled_by_real_patients_only():
    X, y = table(shift=3.0)
    rows, recipe = X.to_numpy(), replace(CLEAN, smote=True)
    assert svm.smote_neighbours(y.to_numpy(), recipe)
    scorer = svm.fit_svm(rows, y.to_numpy(), recipe, "linear", 0.1, 15)
    scores = scorer.scores(rows)
    assert (scores.mean(), scores.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))


def test_incomplete_and_constant_features_go_and_gaps_are_filled():
    X = np.arange(12.0).reshape(4, 3)
    X[1, 0], X[:, 1] = np.nan, 5.0
    complete = CompleteFeatures().fit(X)
    assert complete.mask_.tolist() == [False, False, True]
    assert complete.transform(np.full((1, 3), np.inf)).tolist() == [[6.5]]


def test_t_test_is_welchs():
    from scipy.stats import ttest_ind

    X, y = table()
    values = X.to_numpy()
    found = TTestFilter(0.05).fit(values, y)
    for column in (0, 7):
        groups = values[y == 1, column], values[y == 0, column]
        expected = ttest_ind(*groups, equal_var=False).pvalue
        assert found.p_values_[column] == pytest.approx(expected)
    assert (found.q_values_ >= found.p_values_).all()


def test_small_classes_adapt_or_are_refused():
    X, _ = table(n=60)
    few = pd.Series(0, index=X.index)
    few.iloc[:3] = 1
    funnel = fit_recipe(X, few, CONFIG, None).funnel()
    assert (funnel["smote_neighbours"], funnel["lasso_folds"]) == (2, 3)
    few.iloc[1:] = 0
    with pytest.raises(MammoroiError, match="one class has 1 of 60 patients"):
        fit_recipe(X, few, CONFIG, None)
    with pytest.raises(MammoroiError, match="one class has 0 of 60 patients"):
        fit_recipe(X, few * 0, CONFIG, None)


@BOTH
def test_a_seed_repeats_everything(config):
    X, y = table()
    once, again = (fit_recipe(X, y, config, None) for _ in range(2))
    assert once.scores(X).tolist() == again.scores(X).tolist()
    assert once.funnel() == again.funnel()


def test_tuning_is_a_grid_search_over_selection_and_svm():
    """GridSearchCV over LASSO at the chosen penalty and SVM, on the same folds."""
    X, y = table(n=90, shift=0.7)
    fit = fit_recipe(X, y, RIGOROUS, None)
    lasso = fit.steps["lasso"]
    search = GridSearchCV(
        Pipeline(
            [
                ("select", SelectFromModel(Lasso(lasso.alpha_, tol=1e-8), threshold=1e-9)),
                ("svm", SVC(gamma="scale")),
            ]
        ),
        {"svm__kernel": ["linear", "rbf"], "svm__C": [0.001, 0.01, 0.1, 1.0]},
        scoring="roc_auc",
        cv=lasso.folds_,
    )
    values = fit.steps["scale"].transform(X.to_numpy())
    search.fit(values, y)
    chosen = {"svm__kernel": fit.tuning.kernel, "svm__C": fit.tuning.cost}
    assert fit.tuning.auc == pytest.approx(search.best_score_)
    index = search.cv_results_["params"].index(chosen)
    assert search.cv_results_["mean_test_score"][index] == pytest.approx(search.best_score_)
    expected = np.empty(len(y))
    for train, held_out in lasso.folds_:
        part = search.estimator.set_params(**chosen).fit(values[train], y.iloc[train])
        own, others = (part.decision_function(values[rows]) for rows in (train, held_out))
        expected[held_out] = (others - own.mean()) / own.std()
    assert fit.inner_scores == pytest.approx(expected, abs=1e-3)


def test_a_t_test_before_the_lasso_has_seen_the_folds_labels():
    """So that its scores of rows held out from the LASSO's folds do not serve the calibration."""
    X, y = table()
    fit = fit_recipe(X, y, with_recipe(CLEAN, kernels=("linear", "rbf")), None)
    assert fit.tuning is not None
    assert fit.inner_scores is None
