"""The estimators beside the recipe: what they give patients of whom nothing was measured."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import roc_auc_score

from mammoroi.modeling import comparators
from mammoroi.modeling.config import PRESET_TASKS, ModelingConfig
from mammoroi.modeling.fit import jobs_of
from mammoroi.modeling.targets import targets_of
from mammoroi.modeling.validate import Dataset, divide

N, MISSED = 60, 18
IDS = [f"P{i:02d}" for i in range(N)]


@pytest.fixture
def data() -> Dataset:
    """Noise; of 18 training patients and one test patient nothing was measured."""
    rng = np.random.default_rng(1)
    y = pd.Series(np.arange(N) % 2, IDS)
    train, test = IDS[:50], IDS[50:]
    lost = [*rng.choice(train, MISSED, replace=False), test[0]]
    X = pd.DataFrame(rng.normal(size=(N, 5)), IDS, list("abcde")).drop(index=lost)
    divisions = tuple(divide(train, y, 4, seed) for seed in range(3))
    target = targets_of(PRESET_TASKS["sln"])[0]
    return Dataset(target, "automatic", X, y, None, tuple(train), tuple(test), divisions)


def predictions(data: Dataset, part: str) -> pd.DataFrame:
    config = ModelingConfig(comparators=("random-forest",), leave_one_centre_out=False)
    jobs: list[partial[pd.DataFrame]] = [
        work for kind, work in jobs_of(data, config) if kind == f"random-forest/{part}"
    ]
    return pd.concat([work() for work in jobs])


def test_missed_patients_are_not_ranked_by_the_fold_that_holds_them_out(data, monkeypatch):
    monkeypatch.setattr(comparators, "estimator_of", lambda *_: DummyClassifier(strategy="prior"))
    table = predictions(data, "train")
    missed = table[~table["patient_id"].isin(data.X.index)]
    assert missed["patient_id"].nunique() == MISSED
    assert missed["risk"].to_numpy() == pytest.approx(data.y[list(data.train)].mean())
    means = missed.groupby("patient_id")[["label", "risk"]].mean()
    assert roc_auc_score(means["label"], means["risk"].round(12)) == 0.5


def test_missed_test_patients_get_the_prevalence_of_the_fitted(data):
    table = predictions(data, "test").set_index("patient_id")
    fitted = data.y[data.with_features(data.train)]
    assert table.loc[data.test[0], "risk"] == pytest.approx(fitted.mean())
