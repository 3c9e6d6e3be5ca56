"""Non-inferiority: identical masks, the boundary, the size of what can be detected."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from mammoroi.errors import MammoroiError
from mammoroi.modeling.compare_config import CompareConfig
from mammoroi.modeling.discrimination import auc_difference, bootstrap_auc_difference, delong
from mammoroi.modeling.noninferiority import (
    minimal_detectable_difference,
    non_inferiority,
    verdict_of,
)


def binormal(
    rng: np.random.Generator, n: int, aucs: tuple[float, float], correlation: float, draws: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,), half of them 1, and scores (2, draws, n) with the given AUCs."""
    labels = np.arange(n) % 2
    shared = rng.normal(size=(draws, n))
    own = rng.normal(size=(2, draws, n))
    noise = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    step = np.sqrt(2) * norm.ppf(aucs)
    return labels, noise + step[:, None, None] * labels


def test_identical_rois_differ_by_nothing_whatever_the_margin() -> None:
    labels, scores = binormal(np.random.default_rng(0), 60, (0.8, 0.8), 0.5)
    risks = scores[0, 0]
    for margin in (1e-6, 0.05):
        found = non_inferiority(labels, risks, risks, margin, 200, 0)
        assert (found.difference, found.standard_error, found.lower) == (0, 0, 0)
        assert (found.verdict, found.bootstrap_verdict) == ("non-inferior", "non-inferior")
        assert found.p_value == 0
        assert np.isnan(found.patients_needed)


def test_the_same_risk_for_everybody_is_not_shown_to_be_as_good() -> None:
    """No feature selected from either masks: two classifiers that know nothing."""
    labels = np.arange(40) % 2
    found = non_inferiority(labels, np.full(40, 0.5), np.full(40, 0.4), 0.05, 200, 0)
    assert found.difference == 0
    assert np.isnan([found.lower, found.upper, found.p_value, found.bootstrap_lower]).all()
    assert (found.verdict, found.bootstrap_verdict) == ("not shown", "not shown")
    one_knows = non_inferiority(labels, np.full(40, 0.5), np.arange(40.0), 0.05, 200, 0)
    assert np.isfinite(one_knows.lower)


def test_no_variance_for_another_reason_shows_nothing() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    perfect, other = np.array([1, 2, 3, 4, 5, 6.0]), np.array([3, 2, 1, 6, 5, 4.0])
    found = non_inferiority(labels, perfect, other, 0.05, 200, 0)
    assert found.difference == 0
    assert np.isnan(found.lower)
    assert (found.verdict, found.bootstrap_verdict) == ("not shown", "not shown")
    single = non_inferiority(labels[:4], perfect[:4], other[:4], 0.05, 200, 0)
    assert single.verdict == "not shown"
    same = auc_difference(labels, perfect, other)
    assert same.difference == 0
    assert np.isnan([same.lower, same.upper, same.p_value]).all()


@pytest.mark.parametrize("swapped", [False, True])
def test_beside_an_auc_of_1_nothing_is_shown(swapped: bool) -> None:
    """Only the other AUC has a variance, which alone says nothing about the difference."""
    labels = np.repeat([0, 1], 20)
    separate = np.linspace(0.1, 0.9, 40)
    nearly = separate.copy()
    nearly[[19, 20]] = separate[[20, 19]]
    for first, second in ((nearly, separate), (nearly, -separate), (separate, -separate)):
        pair = (second, first) if swapped else (first, second)
        found = non_inferiority(labels, *pair, 0.05, 200, 0)
        numbers = (
            *(found.standard_error, found.lower, found.upper, found.p_value),
            *(found.bootstrap_lower, found.patients_needed, found.minimal_detectable_difference),
        )
        assert np.isnan(numbers).all()
        assert (found.verdict, found.bootstrap_verdict) == ("not shown", "not shown")
        difference = auc_difference(labels, *pair)
        assert difference.difference == found.difference != 0
        assert np.isnan([difference.lower, difference.upper, difference.p_value]).all()
        assert np.isnan(bootstrap_auc_difference(labels, *pair, n=200, seed=0)).all()
    alike = non_inferiority(labels, 2 * separate, separate, 0.05, 200, 0)
    assert (alike.lower, alike.verdict, alike.bootstrap_verdict) == (0, *("non-inferior",) * 2)


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (-0.04, 0.03, "non-inferior"),
        (-0.04, -0.01, "non-inferior"),
        (-0.06, 0.04, "not shown"),
        (-0.05, 0.04, "not shown"),
        (-0.20, -0.06, "inferior"),
        (np.nan, np.nan, "not shown"),
    ],
)
def test_words(lower: float, upper: float, verdict: str) -> None:
    assert verdict_of(lower, upper, 0.05) == verdict


def test_bounds_are_those_of_delong_and_of_the_two_sided_interval() -> None:
    labels, scores = binormal(np.random.default_rng(1), 300, (0.75, 0.8), 0.8)
    found = non_inferiority(labels, scores[0, 0], scores[1, 0], 0.05, 1000, 0)
    same = auc_difference(labels, scores[0, 0], scores[1, 0])
    assert (found.lower, found.upper) == pytest.approx((same.lower, same.upper))
    assert found.bootstrap_lower == pytest.approx(found.lower, abs=0.01)
    assert (found.p_value < 0.025) == (found.verdict == "non-inferior")
    # With as many patients as needed, the smallest detectable difference is the margin.
    shrunk = found.standard_error * np.sqrt(300 / found.patients_needed)
    assert minimal_detectable_difference(shrunk) == pytest.approx(0.05, rel=0.01)


def test_wrongly_called_non_inferior_at_the_margin_in_at_most_a_fortieth() -> None:
    """At the boundary, difference -0.05 and margin 0.05; 1,000 studies of 250 patients."""
    draws, margin = 1000, 0.05
    labels, scores = binormal(np.random.default_rng(2), 250, (0.75, 0.80), 0.7, draws)
    found = [
        non_inferiority(labels, new, standard, margin, 1, 0)
        for new, standard in zip(*scores, strict=True)
    ]
    assert np.mean([one.difference for one in found]) == pytest.approx(-margin, abs=0.003)
    scatter = 2 * np.sqrt(0.025 * 0.975 / draws)
    for verdict in ("non-inferior", "inferior"):
        wrong = np.mean([one.verdict == verdict for one in found])
        assert wrong == pytest.approx(0.025, abs=scatter)
    assert {one.p_value < 0.025 for one in found if one.verdict == "non-inferior"} == {True}


@pytest.mark.parametrize(
    ("of_scores", "of_aucs", "published"), [(0.736, 0.7, 0.061), (0.92, 0.9, 0.035)]
)
def test_what_250_patients_can_detect(of_scores: float, of_aucs: float, published: float) -> None:
    """At AUCs of 0.80 that are correlated as given; orders of magnitude known beforehand."""
    n = 200_000
    labels, scores = binormal(np.random.default_rng(3), n, (0.8, 0.8), of_scores)
    _, covariance = delong(labels, scores[:, 0])
    between = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert between == pytest.approx(of_aucs, abs=0.01)
    variance = (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) * n / 250
    assert minimal_detectable_difference(np.sqrt(variance)) == pytest.approx(published, abs=0.002)


@pytest.mark.parametrize(
    "options",
    [{"margin_auc": 0.0}, {"dice_cuts": (0.7, 0.5)}, {"risk_thresholds": (0.0, 0.2)}],
)
def test_declarations_that_cannot_be_meant(options: dict[str, object]) -> None:
    with pytest.raises(MammoroiError, match=f"{next(iter(options))} is"):
        CompareConfig(**options)  # type: ignore[arg-type]
