from __future__ import annotations

from dataclasses import replace

import pytest

from mammoroi.cohort.split import Fold, Splits
from mammoroi.errors import MammoroiError
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.fold_jobs import fold_job
from mammoroi.segmentation.folds import drawing_folds, fold_sets

PATIENTS = tuple(f"p{number:03d}" for number in range(60))
TEST = tuple(f"t{number:03d}" for number in range(20))


def splits(folds: int = 4) -> Splits:
    parts = [PATIENTS[fold::folds] for fold in range(folds)]
    made = tuple(Fold(tuple(p for p in PATIENTS if p not in part), part) for part in parts)
    return Splits(1, 0.25, folds, (), PATIENTS, TEST, made)


@pytest.mark.parametrize("seed", range(5))
def test_no_validated_and_no_test_patient_trains_or_tunes(seed: int) -> None:
    for fold in range(4):
        sets = fold_sets(splits(), fold, 0.15, seed)
        assert not set(sets.training) & set(sets.tuning)
        seen = set(sets.training) | set(sets.tuning)
        assert not seen & set(sets.validation)
        assert not seen & set(TEST)
        assert seen | set(sets.validation) == set(PATIENTS)
        assert len(sets.tuning) == round(0.15 * 45)


def test_images_of_a_fold_follow_its_patients() -> None:
    import pandas as pd

    rows = [(f"{p}-{view}", p, "key", True) for p in PATIENTS + TEST for view in ("CC", "MLO")]
    index = pd.DataFrame(rows, columns=["image_id", "patient_id", "key", "has_mask"])
    for fold in range(4):
        job = fold_job(SegmentationConfig(), splits(), fold, index)
        for images, patients in ((job.training, job.sets.training), (job.tuning, job.sets.tuning)):
            assert {image_id.split("-")[0] for image_id, _ in images} == set(patients)
            assert len(images) == 2 * len(patients)


def test_a_patient_whose_images_are_lost_does_not_tune() -> None:
    import pandas as pd

    rows = [(p, p, "key", True) for p in PATIENTS]
    index = pd.DataFrame(rows, columns=["image_id", "patient_id", "key", "has_mask"])
    config = SegmentationConfig(tuning_fraction=0.02)
    (lost,) = fold_job(config, splits(), 0, index).sets.tuning
    job = fold_job(config, splits(), 0, index[index["patient_id"] != lost])
    assert len(job.tuning) == 1
    assert job.tuning[0][0] != lost
    assert len(job.training) == 43
    index["has_mask"] = index["patient_id"] != lost
    again = fold_job(config, splits(), 0, index)
    assert (again.training, again.tuning) == (job.training, job.tuning)


def test_nobody_draws_a_patient_whom_it_saw() -> None:
    everybody = splits()
    for patient in PATIENTS:
        (fold,) = drawing_folds(everybody, patient)
        sets = fold_sets(everybody, fold, 0.15, 3)
        assert patient in sets.validation
    assert drawing_folds(everybody, TEST[0]) == (0, 1, 2, 3)
    with pytest.raises(MammoroiError, match=r"nobody.*splits\.json"):
        drawing_folds(everybody, "nobody")


def test_the_tuning_patients_depend_on_seed_and_fold_only() -> None:
    assert fold_sets(splits(), 1, 0.15, 7) == fold_sets(splits(), 1, 0.15, 7)
    assert fold_sets(splits(), 1, 0.15, 7).tuning != fold_sets(splits(), 1, 0.15, 8).tuning
    turned = tuple(Fold(fold.train[::-1], fold.validation) for fold in splits().folds)
    other_order = replace(splits(), folds=turned)  # as in a file that was written by hand
    assert fold_sets(other_order, 1, 0.15, 7) == fold_sets(splits(), 1, 0.15, 7)


def test_a_fold_without_images_says_so() -> None:
    import pandas as pd

    empty = pd.DataFrame(columns=["image_id", "patient_id", "key", "has_mask"])
    with pytest.raises(MammoroiError, match=r"fold 0 has 0 training.*failures\.csv"):
        fold_job(SegmentationConfig(), splits(), 0, empty)
