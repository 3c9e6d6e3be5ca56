"""Penalised likelihood against published estimates, a closed form and a brute-force maximiser."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from mammoroi.modeling.firth import fit_firth, likelihood_ratio_p, profile_interval, separated

# Urinary tract infection (Foxman et al., Epidemiology 1997;8:555-561), the example `sex2` of the R
# package logistf: case, age, oc, vic, vicl, vis, dia, and how many women. `dia` separates.
SEX2 = """
1000010 1   1001000 14  1001010 3   1001100 10  1001110 12  1001111 1   1010000 44  1010001 3
1011000 15  1011001 1   1011010 2   1011100 7   1011110 3   1101000 2   1101010 1   1101011 1
1101100 1   1101111 1   1110000 5   1111000 3   0000010 1   0001000 2   0001010 1   0001100 8
0001110 18  0010000 42  0010010 1   0011000 1   0011100 5   0011110 6   0101100 2   0101110 4
0110000 14  0110010 1   0111000 1   0111110 2
"""
# Coefficient, standard error, profile interval, as logistf prints them.
PUBLISHED = {
    "age": (-1.10598, 0.42366, -1.97379, -0.307427),
    "oc": (-0.0688167, 0.443793, -0.941436, 0.789202),
    "vic": (2.26887, 0.548416, 1.27304, 3.43543),
    "vicl": (-2.11141, 0.543082, -3.26086, -1.11774),
    "vis": (-0.788317, 0.417368, -1.60809, 0.0151846),
    "dia": (3.09601, 1.67501, 0.774568, 8.03028),
}


def women() -> tuple[np.ndarray, np.ndarray]:
    words = SEX2.split()
    rows = np.array([[int(digit) for digit in word] for word in words[::2]])
    rows = np.repeat(rows, [int(word) for word in words[1::2]], axis=0)
    return rows[:, 1:].astype(float), rows[:, 0]


def test_the_published_example():
    exog, case = women()
    assert (len(case), case.sum()) == (239, 130)
    assert separated(exog, case).tolist() == [False] * 5 + [True]
    found = fit_firth(exog, case)
    assert found.log_likelihood == pytest.approx(-132.5394, abs=5e-5)
    assert -found.thresholds[0] == pytest.approx(0.120254, abs=5e-6)
    for column, (beta, se, *ends) in enumerate(PUBLISHED.values()):
        assert (found.beta[column], found.se[column]) == pytest.approx((beta, se), abs=1e-5)
        assert profile_interval(exog, case, found, column) == pytest.approx(tuple(ends), abs=1e-4)


def test_a_two_by_two_table_is_half_a_patient_more_in_each_cell():
    exog = np.repeat([1.0, 0.0], [8, 14])[:, None]
    codes = np.repeat([1, 1, 0], [8, 5, 9])
    found = fit_firth(exog, codes)
    assert found.beta[0] == pytest.approx(np.log((8.5 / 0.5) / (5.5 / 9.5)), abs=1e-8)
    assert likelihood_ratio_p(exog, codes, found, [0]) < 0.05
    lower, upper = profile_interval(exog, codes, found, 0)
    assert 0 < lower < found.beta[0] < upper < np.inf


def shares(params: np.ndarray, exog: np.ndarray, n_cuts: int) -> np.ndarray:
    below = expit(params[:n_cuts] - (exog @ params[n_cuts:])[:, None])
    return np.diff(np.hstack([np.zeros((len(exog), 1)), below, np.ones((len(exog), 1))]), axis=1)


def minus_penalised(params: np.ndarray, exog: np.ndarray, codes: np.ndarray) -> float:
    """As the papers write it, with the information from numerical derivatives of the shares."""
    n_cuts = int(codes.max())
    share = shares(params, exog, n_cuts)
    if share.min() <= 0:
        return np.inf
    step = 1e-5 * np.eye(len(params))
    slopes = np.array(
        [shares(params + h, exog, n_cuts) - shares(params - h, exog, n_cuts) for h in step]
    ) / (2e-5)
    information = np.einsum("pic,qic,ic->pq", slopes, slopes, 1 / share)
    own = share[np.arange(len(codes)), codes]
    return -float(np.log(own).sum() + np.linalg.slogdet(information)[1] / 2)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_brute_force_finds_the_same_maximum(n_classes):
    rng = np.random.default_rng(n_classes)
    exog = np.column_stack([rng.normal(50, 10, 70), rng.random(70) < 0.15])
    codes = rng.integers(0, n_classes, 70)
    codes[exog[:, 1] == 1] = n_classes - 1
    assert separated(exog, codes).tolist() == [False, True]
    found = fit_firth(exog, codes)
    start = np.concatenate([found.thresholds, found.beta]) * 0.9
    # In units of the standard error, or the search stops for the steepest direction alone.
    scale = np.concatenate([np.full(n_classes - 1, found.se[0] * 50), found.se])
    brute = minimize(
        lambda at: minus_penalised(at * scale, exog, codes),
        start / scale,
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 20000, "maxfev": 20000},
    )
    assert -brute.fun == pytest.approx(found.log_likelihood, abs=1e-6)
    assert (brute.x * scale)[n_classes - 1 :] == pytest.approx(found.beta, abs=2e-4)


def test_separation_is_seen_whatever_its_form():
    rng = np.random.default_rng(0)
    exog = rng.normal(size=(60, 3))
    codes = (exog[:, 0] + rng.normal(size=60) > 0).astype(int)
    assert not separated(exog, codes).any()
    assert separated(exog, (exog[:, 0] > 0.3).astype(int))[0]
    # Quasi-complete: a level whose patients are all in the highest of three classes.
    level = np.repeat([0.0, 1.0], [50, 10])
    classes = np.append(rng.integers(0, 3, 50), np.full(10, 2))
    assert separated(level[:, None], classes).all()
    classes[-10:] = 1  # all in the middle class: the estimate is finite
    assert not separated(level[:, None], classes).any()
