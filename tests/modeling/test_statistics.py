"""DeLong, bootstrap, Wilson, calibration and net benefit against independent implementations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mammoroi.modeling.bootstrap import bootstrap_interval, resample_counts
from mammoroi.modeling.calibration import (
    SMALLEST_SLOPE,
    calibration_intercept,
    calibration_slope,
    fit_calibration,
    observed_expected,
)
from mammoroi.modeling.compare import uncalibrated
from mammoroi.modeling.discrimination import (
    auc_difference,
    auc_interval,
    bootstrap_auc_difference,
    delong,
    youden_threshold,
)
from mammoroi.modeling.metrics import calibration_table, measure, roc_table, wilson
from mammoroi.modeling.netbenefit import THRESHOLDS, decision_curve, net_benefit


@pytest.fixture(scope="module")
def scored():
    """Two correlated scores with ties on 90 patients."""
    rng = np.random.default_rng(1)
    labels = (rng.random(90) < 0.4).astype(int)
    first = np.round(labels + rng.normal(size=90), 1)
    second = np.round(0.6 * labels + 0.7 * (first - labels) + rng.normal(size=90), 1)
    return labels, first, second


def structural_components(labels, scores):
    """DeLong 1988, equations as printed, with loops."""
    positive, negative = scores[labels == 1], scores[labels == 0]

    def psi(x, y):
        return 1.0 if y < x else 0.5 if y == x else 0.0

    v10 = [np.mean([psi(x, y) for y in negative]) for x in positive]
    v01 = [np.mean([psi(x, y) for x in positive]) for y in negative]
    return np.array(v10), np.array(v01)


def test_delong_is_the_structural_components(scored):
    labels, first, second = scored
    aucs, covariance = delong(labels, [first, second])
    parts = [structural_components(labels, score) for score in (first, second)]
    v10, v01 = (np.array([part[i] for part in parts]) for i in (0, 1))
    expected = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    assert covariance == pytest.approx(expected, abs=1e-12)
    assert aucs == pytest.approx([roc_auc_score(labels, first), roc_auc_score(labels, second)])


def test_delong_and_bootstrap_agree(scored):
    labels, first, second = scored
    exact = auc_difference(labels, first, second)
    lower, upper = bootstrap_auc_difference(labels, first, second, n=4000, seed=1)
    assert lower == pytest.approx(exact.lower, abs=0.02)
    assert upper == pytest.approx(exact.upper, abs=0.02)
    assert (exact.p_value < 0.05) == (exact.lower > 0 or exact.upper < 0)


def test_bootstrap_is_that_of_resampled_patients(scored):
    labels, first, second = scored
    rng = np.random.default_rng(9)
    expected = []
    for _ in range(100):
        rows = rng.integers(90, size=90)
        expected.append(
            roc_auc_score(labels[rows], first[rows]) - roc_auc_score(labels[rows], second[rows])
        )
    found = bootstrap_auc_difference(labels, first, second, n=100, seed=9)
    assert found == pytest.approx(np.percentile(expected, [2.5, 97.5]))


def test_auc_of_degenerate_sets():
    assert np.isnan(auc_interval([1, 1, 1], [0.1, 0.2, 0.3])).all()
    single = auc_interval([0, 0, 1], [1, 2, 3])
    assert single[0] == 1
    assert np.isnan(single[1:]).all()
    same = auc_difference([0, 1, 0, 1], [1, 2, 3, 4], [1, 2, 3, 4])
    assert (same.difference, same.p_value) == (0, 1)
    assert np.isnan(auc_difference([1, 1], [1, 2], [2, 1]).p_value)


def test_separated_classes_have_the_interval_of_the_smaller_ones_pairs():
    """Clopper & Pearson 1934: of n in n the lower bound is the n-th root of 0.025."""
    labels = np.repeat([0, 1], [40, 20])
    auc, lower, upper = auc_interval(labels, np.arange(60))
    assert (auc, upper) == (1, 1)
    assert lower == pytest.approx(0.025 ** (1 / 20))
    assert auc_interval(labels, -np.arange(60)) == pytest.approx((0, 0, 1 - lower))
    assert auc_interval(labels, np.arange(60), scale="plain") == (1, lower, 1)


def test_the_bound_of_separated_classes_holds():
    """With the true AUC at the bound, classes separate in no more than 2.5 % of cohorts."""
    rng, n, draws = np.random.default_rng(4), 6, 20_000
    bound = auc_interval(np.repeat([0, 1], n), np.arange(2 * n))[1]
    positive = rng.normal(np.sqrt(2) * norm.ppf(bound), size=(draws, n))
    negative = rng.normal(size=(draws, n))
    assert (positive.min(axis=1) > negative.max(axis=1)).mean() <= 0.025


def test_wilson_is_newcombes_and_statsmodels():
    from statsmodels.stats.proportion import proportion_confint

    # Newcombe, Stat Med 1998;17:857-872, Table I, the score interval without correction.
    for successes, n, *printed in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(successes, n)[1:] == pytest.approx(tuple(printed), abs=5e-5)
    for successes, n in ((0, 10), (3, 17), (50, 50)):
        assert wilson(successes, n)[1:] == pytest.approx(
            proportion_confint(successes, n, method="wilson"), abs=1e-9
        )
    assert np.isnan(wilson(0, 0)).all()


def test_calibration_slope_and_intercept_are_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    logits = rng.normal(size=300)
    labels = (rng.random(300) < 1 / (1 + np.exp(-0.5 - 0.6 * logits))).astype(int)
    risks = 1 / (1 + np.exp(-logits))
    fitted = sm.Logit(labels, sm.add_constant(logits)).fit(disp=0)
    offset = sm.GLM(labels, np.ones(300), family=sm.families.Binomial(), offset=logits).fit(
        cov_type="HC0"
    )
    assert calibration_slope(labels, risks) == pytest.approx(
        (fitted.params[1], *fitted.conf_int()[1]), abs=1e-6
    )
    assert calibration_intercept(labels, risks) == pytest.approx(
        (offset.params[0], *offset.conf_int()[0]), abs=1e-6
    )
    # The sandwich by hand: the scores' variance between the model's information.
    expected = 1 / (1 + np.exp(-calibration_intercept(labels, risks)[0] - logits))
    error = np.sqrt(((labels - expected) ** 2).sum()) / (expected * (1 - expected)).sum()
    lower, upper = calibration_intercept(labels, risks)[1:]
    assert (upper - lower) / 2 == pytest.approx(1.959964 * error, rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_one_risk_next_to_zero_does_not_upset_the_intercept():
    """The test set of a small study: statsmodels' least squares diverge, the maximum is there."""
    labels = np.array([1, 1, 0, 1, 1, 0, 0])
    risks = np.array([0.798, 0.573, 0.882, 0.886, 5e-20, 0.773, 0.938])
    value, lower, upper = calibration_intercept(labels, risks)
    logits = np.log(np.clip(risks, 1e-9, None) / (1 - risks))
    assert (1 / (1 + np.exp(-value - logits))).sum() == pytest.approx(4)
    assert -5 < lower < value < upper < 3
    slope = calibration_slope(labels, risks)
    assert np.isnan(slope).all() or np.isfinite(slope).all()


@pytest.mark.filterwarnings("error")
def test_an_intercept_of_certain_risks_is_nan():
    """Any shift of risks next to 0 and 1 fits as well as any other."""
    assert np.isnan(calibration_intercept([0, 0, 1, 1], [1e-12, 0, 1, 1 - 1e-12])).all()


def test_calibration_that_cannot_be_told_is_said_by_target():
    table = pd.DataFrame(
        {
            "target": ["sln", "sln", "sln", "her2"],
            "set": ["train", "test", "test", "test"],
            "rule": ["complete", "complete", "intention_to_diagnose", "complete"],
            "roi": ["manual", "automatic", "automatic", "manual"],
            "n": [14, 7, 7, 7],
            "calibration_intercept": [0.1, 0.2, 0.2, 0.0],
            "calibration_slope": [1.0, np.nan, np.nan, 1.0],
        }
    )
    (line,) = uncalibrated(table)
    assert line.startswith("sln: intercept or slope of calibration cannot be estimated")
    assert "(test automatic; 7 patients at fewest)" in line


def test_calibration_that_cannot_be_told_is_nan():
    assert np.isnan(calibration_slope([1, 1], [0.2, 0.3])).all()
    assert np.isnan(calibration_slope([0, 1, 0, 1], [0.4, 0.4, 0.4, 0.4])).all()
    assert np.isnan(calibration_slope([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])).all()


def test_slope_of_risks_that_differ_little_is_told_from_a_spread_of_0_05_on():
    labels = np.arange(400) % 2
    rng = np.random.default_rng(3)
    scores = rng.permutation(norm.ppf((np.arange(400) + 0.5) / 400))
    scores /= scores.std()
    for spread, told in ((0.06, True), (0.04, False)):
        risks = 1 / (1 + np.exp(-spread * scores))
        assert np.isfinite(calibration_slope(labels, risks)).all() == told


@pytest.mark.parametrize(("n", "groups"), [(5, 1), (64, 6), (100, 10), (250, 10)])
def test_calibration_curve_has_up_to_ten_groups_of_ten_patients_or_more(n, groups):
    risks = np.random.default_rng(7).random(n)
    table = calibration_table(risks > 0.5, risks)
    assert len(table) == groups
    assert table["n"].sum() == n
    assert table["predicted"].is_monotonic_increasing


def test_sigmoid_recovers_the_true_one_and_never_turns_round():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(1 - 2 * scores))
    found = fit_calibration(scores, labels)
    assert (found.intercept, found.slope) == pytest.approx((-1, 2), abs=0.15)
    reverse = fit_calibration(-scores, labels)
    assert reverse.slope == SMALLEST_SLOPE == 0.01
    assert reverse.risk(scores).mean() == pytest.approx(labels.mean(), abs=0.01)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_sigmoid_is_scikit_learns(scale):
    """Platt's smoothed targets, on so few patients that they matter; flat and steep sigmoids."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(6)
    labels = np.arange(30) % 3 // 2
    scores = (labels + rng.normal(size=30)) / scale
    frozen = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    frozen.coef_, frozen.intercept_ = np.array([[1.0]]), np.array([0.0])  # its score is its input
    rows = scores[:, None]
    theirs = CalibratedClassifierCV(FrozenEstimator(frozen), method="sigmoid").fit(rows, labels)
    risks = fit_calibration(scores, labels).risk(scores)
    assert risks == pytest.approx(theirs.predict_proba(rows)[:, 1], abs=1e-3)


def test_a_risk_at_the_threshold_is_treated():
    labels, risks = np.array([1, 0, 1, 0]), np.array([0.25, 0.25, 0.5, 0.1])
    found = net_benefit(labels, risks, np.array([0.25, 0.5]))
    assert found == pytest.approx([(2 - 1 / 3) / 4, 1 / 4])
    curve = decision_curve(labels, risks).set_index("threshold")
    at = np.isclose(curve.index.to_numpy()[:, None], [0.25, 0.5]).any(axis=1)
    assert curve["n_treated"][at].to_list() == [3, 1]
    assert curve["net_benefit"][at].to_list() == pytest.approx(found)


def test_net_benefit_is_dcurves():
    import dcurves

    rng = np.random.default_rng(4)
    risks = rng.random(200)
    labels = (rng.random(200) < risks).astype(int)
    table = dcurves.dca(
        data=pd.DataFrame({"y": labels, "risk": risks}),
        outcome="y",
        modelnames=["risk"],
        thresholds=THRESHOLDS,
    )
    expected = table[table["model"] == "risk"].set_index("threshold")["net_benefit"]
    assert net_benefit(labels, risks) == pytest.approx(expected[THRESHOLDS].to_numpy(), abs=1e-9)
    everybody = table[table["model"] == "all"].set_index("threshold")["net_benefit"]
    curve = decision_curve(labels, risks)
    assert curve["treat_all"].to_numpy() == pytest.approx(everybody[THRESHOLDS].to_numpy())
    inside = curve["net_benefit"].between(curve["net_benefit_lower"], curve["net_benefit_upper"])
    assert inside.all()


def test_threshold_and_figures_by_hand():
    labels, risks = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert youden_threshold(labels, risks) == 0.5
    assert youden_threshold([0, 1], [0.5, 0.5]) == 0.5
    found = measure(labels, risks, 0.5, [False] * 6)
    assert (found["sensitivity"], found["specificity"]) == pytest.approx((2 / 3, 1))
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert found["auc"] == pytest.approx(8 / 9)
    assert len(roc_table([1, 1], [0.2, 0.3])) == 0
    assert calibration_table(labels, risks)["n"].sum() == 6


@pytest.mark.parametrize("name", ["intercept", "slope", "observed_expected", "auc", "bootstrap"])
def test_another_coverage_is_another_width(name, scored):
    """Intervals are as wide as the quantiles say, on the scale on which they are normal."""
    labels, scores, _ = scored
    risks = 1 / (1 + np.exp(0.4 - 0.9 * scores))
    counts = resample_counts(len(labels), 4000, 1)

    def interval(level):
        given = {
            "intercept": lambda: calibration_intercept(labels, risks, level),
            "slope": lambda: calibration_slope(labels, risks, level),
            "observed_expected": lambda: np.log(observed_expected(labels, risks, level)),
            "auc": lambda: auc_interval(labels, scores, level, "plain"),
            "bootstrap": lambda: bootstrap_interval(
                lambda c: c @ scores / c.sum(axis=1), counts, level, "bca"
            ),
        }
        return given[name]()

    narrow, wide = interval(0.8), interval(0.95)
    assert narrow[0] == wide[0]
    ratio = (narrow[2] - narrow[1]) / (wide[2] - wide[1])
    assert ratio == pytest.approx(norm.ppf(0.9) / norm.ppf(0.975), rel=0.05)
