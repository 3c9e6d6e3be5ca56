"""Make a pixel's probability mean what it says.

A network that has seen few patients is too sure of itself: of the pixels that it calls 97 % lesion,
fewer are. Logistic calibration (Platt 1999) stretches and shifts the logit by two numbers that are
fitted on masks of patients whom the network never saw (:mod:`.learnt`). It keeps the order of
pixels, so that it changes no mask at a threshold that is learnt with it, but thresholds that look
at the probability itself (``expected-dice``), the uncertainty of a mask, and the map.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Map = NDArray[np.float32]

STEPS = 255
NOTHING = 0.5 / STEPS
"""Below this a probability is 0 in a map of 8 bits: surely no lesion, and left so."""


@dataclass(frozen=True)
class Calibration:
    """The logit of the lesion is ``slope`` times the network's plus ``intercept``.

    A slope below 1 says that the network is too sure.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, probability: Map) -> Map:
        """Calibrate probabilities, float32 of any shape; zeros stay."""
        from scipy.special import expit, logit

        logits = logit(np.clip(probability, 1e-6, 1 - 1e-6).astype(np.float64))
        calibrated = expit(self.slope * logits + self.intercept)
        return np.where(probability < NOTHING, 0.0, calibrated).astype(np.float32)


def count_pixels(probability: Map, lesion: NDArray[np.bool_]) -> Values:
    """Count an image's pixels, and those that are lesion, by probability in 255 steps.

    Returns
    -------
    float (2, 256)
        The first step, of pixels that are surely no lesion, takes no part in the fit.
    """
    step = np.round(probability * STEPS).astype(np.intp).ravel()
    weights = (None, lesion.ravel().astype(np.float64))
    return np.stack([np.bincount(step, weight, STEPS + 1).astype(np.float64) for weight in weights])


def fit_calibration(counts: Values) -> Calibration:
    """Fit the two numbers by maximum likelihood to counts (2, 256) of all pixels together.

    Where the pixels cannot tell, since all or none of them are lesion or all have one probability,
    nothing is changed. The slope is never negative: a network is not turned into its opposite.
    """
    from scipy.special import logit
    from sklearn.linear_model import LogisticRegression

    pixels, lesion = counts[:, 1:]
    known = pixels > 0
    values = np.arange(1, STEPS + 1)[known] / STEPS
    lesion, rest = lesion[known], (pixels - lesion)[known]
    if known.sum() < 2 or not lesion.sum() or not rest.sum():
        return Calibration()
    logits = logit(np.clip(values, NOTHING, 1 - NOTHING))
    model = LogisticRegression(C=np.inf, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a separable toy has no finite slope: taken as it comes
        model.fit(
            np.tile(logits, 2)[:, None],
            np.repeat([1, 0], logits.size),
            np.concatenate([lesion, rest]),
        )
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Calibration(slope, intercept) if slope > 0 else Calibration()
