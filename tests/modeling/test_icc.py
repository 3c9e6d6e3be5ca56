"""ICC against published values and pingouin."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammoroi.modeling.icc import icc

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    dtype=float,
)


@pytest.mark.parametrize(
    ("kind", "value", "lower", "upper"),
    [("1,1", 0.166, -0.133, 0.723), ("2,1", 0.290, 0.019, 0.761), ("3,1", 0.715, 0.342, 0.946)],
)
def test_shrout_and_fleiss_1979(kind, value, lower, upper):
    """Table 4 of the paper; intervals as R's psych::ICC prints them."""
    found = icc(SHROUT_FLEISS[:, :, None], kind)
    assert found.value[0] == pytest.approx(value, abs=5e-4)
    assert found.lower[0] == pytest.approx(lower, abs=5e-4)
    assert found.upper[0] == pytest.approx(upper, abs=5e-4)


@pytest.mark.parametrize(("kind", "row"), [("1,1", 0), ("2,1", 1), ("3,1", 2)])
def test_agrees_with_pingouin(kind, row):
    import pingouin

    rng = np.random.default_rng(3)
    truth = rng.normal(size=(25, 1, 4))
    ratings = truth + rng.normal(size=(25, 2, 4)) * [0.1, 0.5, 1, 3] + np.array([0, 0.3])[:, None]
    found = icc(ratings, kind)
    for feature in range(4):
        long = pd.DataFrame(
            {
                "subject": np.repeat(np.arange(25), 2),
                "rater": np.tile([0, 1], 25),
                "value": ratings[:, :, feature].ravel(),
            }
        )
        table = pingouin.intraclass_corr(long, "subject", "rater", "value")
        expected = table.iloc[row]
        interval = next(expected[name] for name in table.columns if name.startswith("CI95"))
        assert found.value[feature] == pytest.approx(expected["ICC"], abs=1e-6)
        bounds = [found.lower[feature], found.upper[feature]]
        assert bounds == pytest.approx(list(interval), abs=0.0051)


def test_what_cannot_be_told_is_nan_never_one():
    rng = np.random.default_rng(0)
    ratings = np.repeat(rng.normal(size=(10, 1, 5)), 2, axis=1)
    ratings[:, :, 1] = 7.1  # constant
    ratings[:, :, 2] = np.nan  # never measured
    ratings[2:, 1, 3] = np.nan  # two complete subjects
    ratings[0, 0, 4] = np.inf  # one subject left out
    found = icc(ratings)
    assert found.value[0] == found.lower[0] == found.upper[0] == 1
    assert np.isnan(found.value[1:4]).all()
    assert found.value[4] == 1
    assert found.n.tolist() == [10, 10, 0, 2, 9]
