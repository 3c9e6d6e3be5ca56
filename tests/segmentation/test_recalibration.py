"""Calibration of the map, against a network whose overconfidence is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from mammoroi.segmentation.recalibration import (
    Calibration,
    count_pixels,
    fit_calibration,
)


def overconfident(slope: float, intercept: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities said, and lesions drawn from the true ones: true = slope * said + intercept."""
    random = np.random.default_rng(3)
    said = random.normal(-1.0, 2.0, (700, 900))
    lesion = random.random(said.shape) < expit(slope * said + intercept)
    return expit(said).astype(np.float32), lesion


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, -0.7), (1.0, 0.0), (1.3, 0.4)])
def test_the_planted_overconfidence_is_found(slope: float, intercept: float) -> None:
    probability, lesion = overconfident(slope, intercept)
    found = fit_calibration(count_pixels(probability, lesion))
    assert found.slope == pytest.approx(slope, abs=0.02)
    assert found.intercept == pytest.approx(intercept, abs=0.03)
    calibrated = found(probability)
    high = (calibrated > 0.6) & (calibrated < 0.7)
    assert lesion[high].mean() == pytest.approx(calibrated[high].mean(), abs=0.02)


@pytest.mark.parametrize("few", [np.s_[:60], np.s_[:1, :90]], ids=["many", "few"])
def test_the_fit_is_that_of_statsmodels_on_single_pixels(few: tuple[slice, ...]) -> None:
    import statsmodels.api as sm

    probability, lesion = overconfident(0.6, -0.3)
    probability = np.round(probability[few] * 255).clip(1, 254).astype(np.float32) / 255
    lesion = lesion[few]
    found = fit_calibration(count_pixels(probability, lesion))
    logits = logit(probability.astype(np.float64).ravel())
    expected = sm.Logit(lesion.ravel().astype(float), sm.add_constant(logits)).fit(disp=0)
    assert (found.intercept, found.slope) == pytest.approx(expected.params, abs=1e-3)


def test_calibration_keeps_order_zeros_and_shape() -> None:
    given = np.array([[0.0, 0.001, 0.01], [0.5, 0.97, 1.0]], np.float32)
    calibrated = Calibration(0.5, -0.7)(given)
    assert (calibrated.shape, calibrated.dtype) == (given.shape, np.float32)
    assert calibrated[0, 0] == calibrated[0, 1] == 0  # surely nothing stays nothing
    rest = calibrated.ravel()[2:]
    assert (np.diff(rest) > 0).all()
    assert rest[-1] < 1
    assert calibrated[1, 1] == pytest.approx(expit(0.5 * logit(0.97) - 0.7), abs=1e-6)
    assert np.allclose(Calibration()(given)[given > 0.002], given[given > 0.002], atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_both_kinds_of_pixels_nothing_changes(share: float) -> None:
    probability = np.linspace(0.1, 0.9, 50, dtype=np.float32).reshape(5, 10)
    lesion = np.full((5, 10), bool(share))
    assert fit_calibration(count_pixels(probability, lesion)) == Calibration()


def test_a_network_that_is_wrong_everywhere_is_not_turned_round() -> None:
    probability = np.linspace(0.1, 0.9, 200, dtype=np.float32).reshape(10, 20)
    assert fit_calibration(count_pixels(probability, probability < 0.5)) == Calibration()
    assert fit_calibration(count_pixels(*overconfident(-0.3, 0.2))) == Calibration()
