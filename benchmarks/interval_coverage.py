"""How often the 95 % intervals contain the truth, in cohorts whose truth is known.

    python benchmarks/interval_coverage.py [--cohorts 500] [--seed 1] [--out FILE.csv]

A score is normal in either class with unit variance, the classes a distance apart that gives the
AUC wanted; half of the patients are positive, by chance. The true risk follows from the score. Two
models are judged: one whose risks are the true ones (slope 1, intercept 0), and one whose risks are
too extreme (their logit is the true one divided by 0.7: slope 0.7). True net benefits follow from
the normal distribution, and the true intercept and the ratio of observed to expected from numerical
integration. Prints, for each size of cohort and AUC, the share of the cohorts whose interval holds
the truth; an interval that cannot be given does not hold it. The share itself scatters: 95 % of 500
cohorts lie between 93.1 and 96.9 %.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from mammoroi.modeling.calibration import (
    calibration_intercept,
    calibration_slope,
    observed_expected,
)
from mammoroi.modeling.discrimination import auc_interval
from mammoroi.modeling.netbenefit import net_benefit_difference, net_benefit_interval

SIZES, AUCS, THRESHOLDS = (125, 250, 838), (0.70, 0.84, 0.95), np.array([0.2, 0.5])
PREVALENCE, SLOPES, SAMPLES = 0.5, (1.0, 0.7), 500


class Truth:
    """Cohorts of one AUC, and what is true of them."""

    def __init__(self, auc: float) -> None:
        self.auc = auc
        self.distance = np.sqrt(2) * norm.ppf(auc)
        self.intercept = logit(PREVALENCE) - self.distance**2 / 2

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Labels and true logits of a cohort."""
        labels = (rng.random(n) < PREVALENCE).astype(int)
        score = rng.normal(size=n) + self.distance * labels
        return labels, self.intercept + self.distance * score

    def mean(self, function) -> float:
        """Expectation of a function of the true logit over all patients."""
        total = 0.0
        for share, centre in ((PREVALENCE, self.distance), (1 - PREVALENCE, 0.0)):
            total += (
                share
                * quad(
                    lambda z, c=centre: (
                        norm.pdf(z) * function(self.intercept + self.distance * (c + z))
                    ),
                    -10,
                    10,
                )[0]
            )
        return total

    def calibration_intercept(self, slope: float) -> float:
        """Shift of the model's logits that makes the mean risk the prevalence."""
        return brentq(lambda a: self.mean(lambda x: expit(a + x / slope)) - PREVALENCE, -5, 5)

    def observed_expected(self, slope: float) -> float:
        """Prevalence over the mean risk of the model."""
        return PREVALENCE / self.mean(lambda x: expit(x / slope))

    def net_benefit(self, slope: float) -> np.ndarray:
        """Of the model at each threshold."""
        cut = (slope * logit(THRESHOLDS) - self.intercept) / self.distance
        positive, negative = norm.sf(cut - self.distance), norm.sf(cut)
        odds = THRESHOLDS / (1 - THRESHOLDS)
        return PREVALENCE * positive - (1 - PREVALENCE) * odds * negative


def inside(found: tuple[float, float, float], truth: float) -> bool:
    """Whether an interval holds the truth; not when it is NaN."""
    return bool(found[1] <= truth <= found[2])


def judge(truth: Truth, n: int, cohorts: int, rng: np.random.Generator) -> dict[str, float]:
    """Share of the cohorts whose interval holds the truth, for each statistic."""
    hits: dict[str, list[bool]] = defaultdict(list)
    known = {
        slope: (
            truth.calibration_intercept(slope),
            truth.observed_expected(slope),
            truth.net_benefit(slope),
        )
        for slope in SLOPES
    }
    # The difference to treating everybody.
    all_treated = PREVALENCE - (1 - PREVALENCE) * THRESHOLDS / (1 - THRESHOLDS)
    for _ in range(cohorts):
        labels, logits = truth.draw(n, rng)
        for scale in ("logit", "plain"):
            hits[f"AUC, {scale}"].append(
                inside(auc_interval(labels, logits, scale=scale), truth.auc)
            )
        for slope, (intercept, ratio, benefit) in known.items():
            risks = expit(logits / slope)
            name = f"(slope {slope:g})"
            found = calibration_slope(labels, risks)
            hits[f"calibration slope {name}"].append(inside(found, slope))
            found = calibration_intercept(labels, risks)
            hits[f"calibration intercept {name}"].append(inside(found, intercept))
            found = observed_expected(labels, risks)
            hits[f"observed/expected {name}"].append(inside(found, ratio))
            if slope != 1:
                continue  # net benefit sees such risks as the true ones at another threshold
            value, lower, upper = net_benefit_interval(labels, risks, THRESHOLDS)
            seed = int(rng.integers(2**31))
            zero = np.zeros(n)
            drawn = net_benefit_difference(labels, risks, zero, SAMPLES, seed, THRESHOLDS)
            over = net_benefit_difference(labels, risks, zero + 1, SAMPLES, seed, THRESHOLDS)
            for i, threshold in enumerate(THRESHOLDS):
                at = f"at {threshold:g}"
                bounds = (value[i], lower[i], upper[i])
                hits[f"net benefit {at}, normal"].append(inside(bounds, benefit[i]))
                bounds = (0.0, drawn["lower"][i], drawn["upper"][i])
                hits[f"net benefit {at}, bootstrap"].append(inside(bounds, benefit[i]))
                bounds = (0.0, over["lower"][i], over["upper"][i])
                hits[f"net benefit over all {at}"].append(
                    inside(bounds, benefit[i] - all_treated[i])
                )
    return {name: 100 * float(np.mean(values)) for name, values in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the table as CSV too")
    arguments = parser.parse_args()

    start, columns = time.perf_counter(), {}
    for n in SIZES:
        for auc in AUCS:
            rng = np.random.default_rng([arguments.seed, n, round(100 * auc)])
            columns[n, auc] = judge(Truth(auc), n, arguments.cohorts, rng)
    table = pd.DataFrame(columns).rename_axis(columns=["patients", "AUC"])
    with pd.option_context("display.width", 140, "display.max_rows", None):
        print(table.round(1).to_string())
    shares = table.to_numpy()
    print(
        f"{arguments.cohorts} cohorts of each kind: {np.mean((shares >= 93) & (shares <= 97)):.0%} "
        f"of {shares.size} shares within 93 to 97 %; {time.perf_counter() - start:.0f} s"
    )
    if arguments.out:
        table.to_csv(arguments.out)


if __name__ == "__main__":
    main()
