"""Brant's test against a published example, and by its error rates."""

import numpy as np
import pytest
from scipy.stats import kstest

from mammoroi.modeling.ordinal import brant


def test_the_published_example():
    """Postoperative nausea: Fagerland, Lydersen & Laake, Statistical Analysis of Contingency
    Tables, 2017, chapter 6; the figures are those of its R package contingencytables."""
    counts = np.array([[14, 10, 3, 2], [11, 7, 8, 4]])
    exog = np.repeat([0.0, 1.0], counts.sum(axis=1))[:, None]
    codes = np.concatenate([np.repeat(np.arange(4), row) for row in counts])
    found = brant(exog, codes, {"treatment": [0]})["treatment"]
    assert (found.statistic, found.df) == (pytest.approx(1.668, abs=5e-4), 2)
    assert found.p == pytest.approx(0.43422, abs=5e-6)


def test_p_is_uniform_where_odds_are_proportional_and_small_where_not():
    rng = np.random.default_rng(4)
    groups = {"all": [0, 1], "number": [0], "level": [1]}
    p = {name: [] for name in groups}
    for _ in range(100):
        exog = np.column_stack([rng.normal(size=400), rng.random(400) < 0.5]).astype(float)
        latent = exog @ [0.7, 0.5] + rng.logistic(size=400)
        found = brant(exog, np.digitize(latent, [-0.8, 1.0]), groups)
        for name in groups:
            p[name].append(found[name].p)
    for name, values in p.items():
        assert kstest(values, "uniform").pvalue > 0.01, name
    broken = []
    for _ in range(25):
        exog = np.column_stack([rng.normal(size=400), rng.random(400) < 0.5]).astype(float)
        uniform = rng.random(400)
        first, second = (
            1 / (1 + np.exp(-(exog @ [0.7, slope] + constant)))
            for slope, constant in ((-0.8, 1.2), (0.8, -1.6))
        )
        found = brant(exog, (uniform < first).astype(int) + (uniform < second), groups)
        broken.append((found["level"].p, found["number"].p, found["all"].df))
    levels, numbers, dfs = np.array(broken).T
    assert (levels < 0.05).mean() > 0.9
    assert (numbers < 0.05).mean() < 0.2
    assert set(dfs) == {2}


def test_a_separated_cut_is_not_tested():
    exog = np.repeat([0.0, 1.0], [40, 10])[:, None]
    codes = np.append(np.arange(40) % 3, np.full(10, 2))
    found = brant(exog, codes, {"level": [0]})["level"]
    assert np.isnan(found.p)
    assert found.df == 1
