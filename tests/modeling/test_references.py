"""Our statistics against published numbers, the reference programs, and exact enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit

from mammoroi.errors import MammoroiError
from mammoroi.modeling.bootstrap import bootstrap_interval, percentile_interval, resample_counts
from mammoroi.modeling.calibration import observed_expected, spiegelhalter
from mammoroi.modeling.discrimination import auc_difference, auc_interval, delong
from mammoroi.modeling.metrics import at_threshold
from mammoroi.modeling.multiplicity import adjusted
from mammoroi.modeling.netbenefit import decision_curve, net_benefit_difference
from mammoroi.modeling.risk_errors import brier_scores, calibration_curve, calibration_errors
from mammoroi.modeling.sample_size import (
    events_per_parameter,
    expected_shrinkage,
    needed_patients,
    r2_from_auc,
)
from mammoroi.modeling.score_interval import score_interval
from mammoroi.modeling.stability_of_selection import nogueira

# DeLong et al., Biometrics 1988;44:837-845, as printed there and in the manual of SAS PROC
# LOGISTIC: albumin, total protein and Krebs-Goplerud score of 43 patients; 1: no benefit.
DELONG = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""


def graded(negative, positive):
    """Labels and grades from how many patients of each class have each grade."""
    labels = np.repeat([0, 1], [sum(negative), sum(positive)])
    grades = np.arange(len(negative))
    return labels, np.concatenate([np.repeat(grades, negative), np.repeat(grades, positive)])


@pytest.fixture(scope="module")
def delongs_patients():
    albumin, protein, score, label = np.array(DELONG.split(), dtype=float).reshape(-1, 4).T
    return label, np.array([albumin, -score, protein])


@pytest.fixture(scope="module")
def predicted():
    rng = np.random.default_rng(8)
    risks = expit(rng.normal(size=150))
    return (rng.random(150) < risks).astype(int), risks


def test_delong_is_that_of_delong_and_of_sas(delongs_patients):
    labels, scores = delongs_patients
    aucs, covariance = delong(labels, scores)
    assert aucs == pytest.approx([0.7366, 0.7258, 0.6478], abs=5e-5)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0927, 0.1028, 0.1000], abs=5e-5)
    printed = [(0.5549, 0.9182), (0.5243, 0.9273), (0.4518, 0.8439)]
    for score, bounds in zip(scores, printed, strict=True):
        assert auc_interval(labels, score, scale="plain")[1:] == pytest.approx(bounds, abs=5e-5)
    contrast = np.array([[1, -1, 0], [0, -1, 1]])
    difference = contrast @ aucs
    chi_square = difference @ np.linalg.solve(contrast @ covariance @ contrast.T, difference)
    assert chi_square == pytest.approx(2.5340, abs=5e-5)
    pair = auc_difference(labels, scores[0], scores[1])
    assert pair.difference == pytest.approx(aucs[0] - aucs[1])
    assert (pair.lower, pair.upper) == pytest.approx((-0.1761, 0.1976), abs=5e-5)


def test_interval_of_graded_tests_is_that_of_proc_and_of_hanley_and_mcneil():
    # WFNS grade after subarachnoid haemorrhage by outcome; Robin et al., BMC Bioinform 2011;12:77.
    haemorrhage = graded([37, 20, 3, 8, 4], [2, 12, 1, 8, 18])
    assert auc_interval(*haemorrhage, scale="plain") == pytest.approx(
        (0.8237, 0.7485, 0.8988), abs=5e-5
    )
    # Ratings of 109 CT scans; Hanley & McNeil, Radiology 1982;143:29-36: 0.893, SE about 0.03.
    scans = graded([33, 6, 6, 11, 2], [3, 2, 2, 11, 33])
    auc, lower, upper = auc_interval(*scans)
    assert auc == pytest.approx(0.893, abs=5e-4)
    error = np.sqrt(delong(*scans)[1][0, 0])
    assert error == pytest.approx(0.03, abs=0.002)
    reach = 1.959964 * error / (auc * (1 - auc))
    assert (logit(lower), logit(upper)) == pytest.approx(
        (logit(auc) - reach, logit(auc) + reach), abs=1e-6
    )


def test_interval_of_a_high_auc_holds_the_truth_on_the_logit_scale():
    """95 % of 1000 cohorts lie between 93.6 and 96.4 %; the plain interval falls short of that."""
    rng = np.random.default_rng(1)
    distance = np.sqrt(2) * stats.norm.ppf(0.95)
    held = {"logit": 0, "plain": 0}
    for _ in range(1000):
        labels = np.repeat([0, 1], 30)
        scores = rng.normal(size=60) + distance * labels
        for scale in held:
            _, lower, upper = auc_interval(labels, scores, scale=scale)
            held[scale] += lower <= 0.95 <= upper
    assert 930 < held["logit"] < 970
    assert held["plain"] < 910


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_is_scipys(predicted, method):
    """A mean, and a variance, which leans; the samples are the same ones, drawn by the seed."""
    labels, risks = predicted
    error = (labels - risks) ** 2

    def mean(counts):
        return counts @ error / counts.sum(axis=1)

    def variance(counts):
        return counts @ error**2 / counts.sum(axis=1) - mean(counts) ** 2

    counts = resample_counts(len(error), 2000, seed=1)
    for statistic, theirs in ((mean, np.mean), (variance, np.var)):
        found = bootstrap_interval(statistic, counts, method=method)
        bounds = stats.bootstrap(
            (error,), theirs, n_resamples=2000, method=method, rng=np.random.default_rng(1)
        ).confidence_interval
        assert found == pytest.approx((theirs(error), bounds.low, bounds.high), rel=1e-6)
    if method == "bca":
        expected = bootstrap_interval(mean, counts, method=method)
        assert brier_scores(labels, risks, 2000, 1)["brier"] == pytest.approx(expected)


def test_stratified_samples_keep_the_classes():
    labels = np.repeat([0, 1], [30, 7])
    counts = resample_counts(37, 50, seed=1, strata=labels)
    assert (counts[:, labels == 1].sum(axis=1) == 7).all()
    assert (counts.sum(axis=1) == 37).all()
    assert np.isnan(percentile_interval([np.nan])).all()


def test_calls_at_a_threshold_are_scikit_learns(predicted):
    from sklearn.metrics import f1_score, precision_score, recall_score
    from statsmodels.stats.proportion import proportion_confint

    labels, risks = predicted
    called = risks >= 0.6
    found = at_threshold(labels, risks, 0.6, n_bootstrap=2000, seed=1)
    assert found["ppv"][0] == pytest.approx(precision_score(labels, called))
    assert found["npv"][0] == pytest.approx(precision_score(1 - labels, ~called))
    assert found["sensitivity"][0] == pytest.approx(recall_score(labels, called))
    right = int((labels[called] == 1).sum())
    assert found["ppv"][1:] == pytest.approx(
        proportion_confint(right, int(called.sum()), method="wilson")
    )
    assert found["f1"][0] == pytest.approx(f1_score(labels, called))
    rows = np.random.default_rng(7).integers(0, 150, size=(2000, 150))
    drawn = [f1_score(labels[row], called[row]) for row in rows[:400]]
    assert found["f1"][1:] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.025)


def test_spiegelhalter_is_the_exact_mean_and_variance_of_the_brier_score():
    risks = np.array([0.1, 0.25, 0.3, 0.45, 0.6, 0.7, 0.85, 0.9])
    outcomes = np.array(list(itertools.product([0, 1], repeat=8)))
    chance = np.prod(np.where(outcomes == 1, risks, 1 - risks), axis=1)
    score = np.mean((outcomes - risks) ** 2, axis=1)
    mean = chance @ score
    spread = np.sqrt(chance @ (score - mean) ** 2)
    for row in (3, 100, 200):
        z, p_value = spiegelhalter(outcomes[row], risks)
        assert z == pytest.approx((score[row] - mean) / spread)
        assert p_value == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert np.isnan(spiegelhalter([0, 1], [0.5, 0.5])).all()


def test_observed_to_expected_by_hand_and_by_bootstrap(predicted):
    labels = np.repeat([1, 0], [40, 160])
    ratio, lower, upper = observed_expected(labels, np.full(200, 0.25))
    assert ratio == pytest.approx(0.8)
    # Risks that tell nothing: the variance of a proportion, 1 / 40 - 1 / 200 (n - 1 for n).
    reach = 1.959964 * np.sqrt((1 / 40 - 1 / 200) * 200 / 199)
    assert (lower, upper) == pytest.approx((0.8 * np.exp(-reach), 0.8 * np.exp(reach)), rel=1e-6)
    labels, risks = predicted
    drawn = bootstrap_interval(
        lambda counts: np.log(counts @ labels / (counts @ risks)),
        resample_counts(len(labels), 4000, seed=2),
    )
    assert np.log(observed_expected(labels, risks)) == pytest.approx(drawn, abs=0.02)


def test_calibration_index_finds_the_true_distance():
    # Risks that are too extreme by a known factor: the distance is known for every patient.
    rng = np.random.default_rng(6)
    true = rng.normal(scale=0.8, size=4000)
    risks, labels = expit(1.8 * true), (rng.random(4000) < expit(true)).astype(int)
    distance = np.abs(expit(true) - risks)
    found = calibration_errors(labels, risks, seed=1, samples=30)
    assert found["ici"][0] == pytest.approx(distance.mean(), abs=0.015)
    assert found["e50"][0] == pytest.approx(np.median(distance), abs=0.02)
    assert found["e90"][0] == pytest.approx(np.percentile(distance, 90), abs=0.02)
    assert found["ici"][1] < distance.mean() < found["ici"][2]
    scaled = brier_scores(labels, np.full(4000, labels.mean()), 200, 1)["scaled_brier"]
    assert scaled[0] == pytest.approx(0, abs=1e-12)
    assert np.isnan(calibration_curve([0, 1, 0, 1], [0.5] * 4)).all()
    many_alike = np.append(np.full(80, 0.3), np.linspace(0.1, 0.9, 20))
    assert np.isnan(calibration_curve(labels[:100], many_alike)).all()
    fewer_alike = np.append(np.full(60, 0.3), np.linspace(0.1, 0.9, 40))
    assert calibration_curve(np.zeros(100), fewer_alike) == pytest.approx(0, abs=1e-9)
    assert calibration_curve(np.ones(100), fewer_alike) == pytest.approx(1)


def test_difference_of_net_benefits_is_dcurves(predicted):
    import dcurves

    labels, risks = predicted
    other = np.clip(risks + 0.1, 0, 1)
    thresholds = np.array([0.2, 0.35, 0.5])
    table = dcurves.dca(
        data=pd.DataFrame({"y": labels, "one": risks, "two": other}),
        outcome="y",
        modelnames=["one", "two"],
        thresholds=thresholds,
    ).pivot_table(index="threshold", columns="model", values="net_benefit")
    found = net_benefit_difference(labels, risks, other, thresholds)
    expected = (table["one"] - table["two"])[thresholds]
    assert found["difference"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-9)
    everybody = net_benefit_difference(labels, risks, np.ones(150), thresholds)
    assert everybody["second"].to_numpy() == pytest.approx(table["all"][thresholds], abs=1e-9)
    assert everybody["difference"].to_numpy() == pytest.approx(
        (table["one"] - table["all"])[thresholds].to_numpy(), abs=1e-9
    )
    # Where many patients count, the bootstrap's interval is the same.
    counts = resample_counts(150, 4000, seed=1) / 150
    for model, against in ((risks, other), (risks, np.zeros(150))):
        gains = [
            np.where(labels == 1, 1, -1) * ((model >= 0.5) * 1.0 - (against >= 0.5))
        ] @ counts.T
        row = net_benefit_difference(labels, model, against, np.array([0.5])).iloc[0]
        assert percentile_interval(gains[0]) == pytest.approx((row.lower, row.upper), abs=0.01)
    curve = decision_curve(labels, risks).set_index("threshold").loc[thresholds]
    assert curve["over_all_lower"].to_numpy() == pytest.approx(everybody["lower"].to_numpy())
    same = net_benefit_difference(labels, risks, risks)
    assert (same[["difference", "lower", "upper"]] == 0).all(axis=None)


def test_score_interval_is_wilsons_and_tangos():
    from statsmodels.stats.proportion import proportion_confint

    for seen, n in ((0, 10), (3, 17), (50, 50)):
        found = score_interval([[0.0, 1.0]], [[n - seen, seen]])
        assert (found[1][0], found[2][0]) == pytest.approx(
            proportion_confint(seen, n, method="wilson"), abs=1e-9
        )
    # PropCIs::scoreci.mp(25, 28, 618, 0.90) of R.
    _, lower, upper = score_interval([[-1, 0, 1]], [[25, 565, 28]], level=0.90)
    assert (lower[0], upper[0]) == pytest.approx((-0.0148, 0.0247), abs=5e-5)
    # Airways before and after a transplantation; Fagerland et al., Stat Med 2014;33:2850-2875.
    _, lower, upper = score_interval([[-1, 0, 1]], [[7, 13, 1]])
    assert (lower[0], upper[0]) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_score_interval_holds_what_a_search_over_all_shares_holds():
    """Values of a net benefit; the likeliest shares of a mean by scipy, not by the formula."""
    from scipy.optimize import minimize

    values, counts = np.array([-1.0, -0.25, 0.0, 0.25, 1.0]), np.array([0, 3, 30, 9, 2])

    def excess(mean):
        shares = minimize(
            lambda p: -counts @ np.log(np.maximum(p, 1e-300)),
            (counts + 1) / (counts.sum() + 5),
            bounds=[(1e-12, 1)] * 5,
            constraints=[
                {"type": "eq", "fun": lambda p: p.sum() - 1},
                {"type": "eq", "fun": lambda p: p @ values - mean},
            ],
            options={"ftol": 1e-13, "maxiter": 500},
        ).x
        variance = shares @ values**2 - mean**2
        return abs(counts @ values / 44 - mean) / np.sqrt(variance / 44)

    _, lower, upper = score_interval([values], [counts])
    assert (excess(lower[0]), excess(upper[0])) == pytest.approx((1.959964, 1.959964), abs=1e-3)


def test_against_treating_everybody_the_interval_holds_the_truth_where_few_are_below():
    """13 of 125 patients below 10 %; 95 % of 1000 cohorts lie between 93.6 and 96.4 %."""
    distance, odds = np.sqrt(2) * stats.norm.ppf(0.84), 1 / 9
    cut = (logit(0.1) + distance**2 / 2) / distance
    missed, spared = 0.5 * stats.norm.cdf(cut - distance), 0.5 * stats.norm.cdf(cut)
    rng = np.random.default_rng(3)
    counts = rng.multinomial(125, [missed, 1 - missed - spared, spared], size=1000)
    _, lower, upper = score_interval(np.tile([-1, 0, odds], (1000, 1)), counts)
    truth = odds * spared - missed
    assert 930 < np.sum((lower <= truth) & (truth <= upper)) < 980
    drawn = [rng.multinomial(125, row / 125, size=400) @ [-1, 0, odds] / 125 for row in counts]
    held = [low <= truth <= high for low, high in map(percentile_interval, drawn)]
    assert np.sum(held) < 850


def test_adjusted_p_values_by_hand_and_with_a_missing_one():
    p_values = [0.01, np.nan, 0.04, 0.03, 0.005]
    assert adjusted(p_values, "holm") == pytest.approx(
        [0.03, np.nan, 0.06, 0.06, 0.02], nan_ok=True
    )
    assert adjusted(p_values, "fdr_bh") == pytest.approx(
        [0.02, np.nan, 0.04, 0.04, 0.02], nan_ok=True
    )
    assert np.isnan(adjusted([np.nan], "holm")).all()


def test_nogueiras_index_is_that_of_the_authors_program():
    selected = np.zeros((5, 8), dtype=bool)
    for row, chosen in enumerate([(0, 1, 2), (0, 1, 3), (0, 2, 4), (0, 1, 2, 3), (0, 7)]):
        selected[row, list(chosen)] = True
    found = nogueira(selected)
    assert found.value == pytest.approx(0.306666667, abs=1e-9)
    assert found.variance == pytest.approx(0.011667026, abs=1e-9)
    assert found.upper - found.value == pytest.approx(1.959964 * np.sqrt(found.variance), abs=1e-6)


def test_nogueiras_index_in_its_closed_cases():
    same = np.tile(np.arange(50) < 5, (20, 1))
    assert (nogueira(same).value, nogueira(same).variance) == pytest.approx((1, 0))
    # Two sets of 3 and none in common: every feature has frequency 1/2, the least value, -1.
    opposite = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    assert nogueira(opposite).value == pytest.approx(-1)
    rng = np.random.default_rng(1)
    at_random = np.array([rng.permutation(np.arange(200) < 20) for _ in range(100)])
    found = nogueira(at_random)
    assert abs(found.value) < 0.01
    assert found.lower < 0 < found.upper
    assert np.isnan(nogueira(np.zeros((4, 5))).value)
    with pytest.raises(MammoroiError, match="at least 2"):
        nogueira(np.ones((1, 5)))


def test_nogueiras_interval_covers_the_population():
    # Features are drawn independently, 10 of 100 with chance 0.9 and the others with 0.02.
    chance = np.repeat([0.9, 0.02], [10, 90])
    mean = chance.mean()
    truth = 1 - np.mean(chance * (1 - chance)) / (mean * (1 - mean))
    rng = np.random.default_rng(2)
    found = [nogueira(rng.random((60, 100)) < chance) for _ in range(200)]
    covered = np.mean([one.lower <= truth <= one.upper for one in found])
    assert 0.9 < covered < 0.99


def test_sample_size_is_that_of_riley_and_of_pmsampsize():
    # The example of pmsampsize: 24 parameters, prevalence 0.174, R2 0.288.
    found = needed_patients(24, 0.174, r2_cox_snell=0.288)
    assert (found.for_shrinkage, found.for_optimism, found.for_prevalence) == (623, 662, 221)
    assert found.events_per_parameter == pytest.approx(4.8, abs=0.005)
    # BMJ 2020;368:m441, pre-eclampsia: 30 parameters, prevalence 0.05, R2 0.05.
    assert needed_patients(30, 0.05, r2_cox_snell=0.05).for_shrinkage == 5249


@pytest.mark.parametrize(
    ("auc", "prevalence", "parameters", "simulated", "shrinkage"),
    [
        (0.84, 0.493, 20, 440, None),
        (0.84, 0.493, 54, 1188, 0.82),
        (0.84, 0.493, 1302, 28640, None),
        (0.85, 0.279, 54, 1340, 0.80),
        (0.82, 0.362, 54, 1475, 0.79),
        (0.87, 0.359, 54, 1045, 0.84),
    ],
)
def test_sample_size_from_an_auc(auc, prevalence, parameters, simulated, shrinkage):
    """Beside the numbers that come of simulating R2, as pmsampsize does, to their scatter."""
    found = needed_patients(parameters, prevalence, auc=auc)
    assert found.for_shrinkage == pytest.approx(simulated, rel=0.006)
    at_hand = expected_shrinkage(588, parameters, found.r2_cox_snell)
    if shrinkage is not None:
        assert at_hand == pytest.approx(shrinkage, abs=0.005)
        assert expected_shrinkage(found.for_shrinkage, parameters, found.r2_cox_snell) == (
            pytest.approx(0.9, abs=0.001)
        )
    assert found.r2_cox_snell <= at_hand < 1


def test_r2_of_an_auc_is_that_of_a_fitted_model():
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    labels = (np.arange(200_000) < 60_000).astype(int)
    predictor = rng.normal(size=200_000) + np.sqrt(2) * stats.norm.ppf(0.78) * labels
    fitted = sm.Logit(labels, sm.add_constant(predictor)).fit(disp=0)
    simulated = 1 - np.exp(2 * (fitted.llnull - fitted.llf) / 200_000)
    assert r2_from_auc(0.78, 0.3) == pytest.approx(simulated, abs=0.004)
    assert events_per_parameter(588, 0.279, 54) == pytest.approx(3.04, abs=0.01)
    for wrong in ({"auc": 0.5}, {"auc": 1.0}, {"r2_cox_snell": 0.9}, {}):
        with pytest.raises(MammoroiError):
            needed_patients(10, 0.3, **wrong)
