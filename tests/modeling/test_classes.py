"""A task of three classes as one model: folds, coupling and measures against constructed truth."""

from __future__ import annotations

import pandas as pd

from mammoroi.files import read_csv
from mammoroi.modeling.config import PRESET_TASKS, ModelingConfig
from mammoroi.modeling.fit import prepare
from mammoroi.modeling.targets import targets_of


def test_all_targets_of_a_task_have_the_same_folds_divided_by_class(study):
    config = ModelingConfig(tasks=("her2",), repeats=3, predictors=False)
    datasets, _ = prepare(study.folder, targets_of(PRESET_TASKS["her2"]), config)
    assert len(datasets) == 6
    assert len({data.divisions for data in datasets}) == 1
    assert len({data.divisions_all for data in datasets}) == 1
    classes = read_csv(study.folder / "patients.csv", dtype=str).set_index("patient_id")["her2"]
    for division in (*datasets[0].divisions[1:], *datasets[0].divisions_all):
        counts = pd.DataFrame([classes[list(fold)].value_counts() for fold in division])
        assert ((counts.max() - counts.min()) <= 1).all()
