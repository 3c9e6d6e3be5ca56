"""Images of another cohort in the pre-training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.fallen_out import count_cases, fallen_out_lines
from mammoroi.files import read_csv, read_json
from mammoroi.segmentation import store
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.fold_jobs import FoldJob, fold_job, make_plan
from mammoroi.segmentation.others import other_images, prepare_others, sources_of
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.pretraining import restored_images
from mammoroi.segmentation.train import train, train_prepared
from mammoroi.segmentation.weights import load_model

from .conftest import breast_with_disc

TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    epochs=1,
    pretraining_epochs=1,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    workers=1,
)


@pytest.fixture
def other(tmp_path: Path, study: Path) -> Path:
    """A cohort without masks: one patient for each role in fold 0, and two who are new."""
    folder = tmp_path / "other"
    folder.mkdir()
    sets, splits = fold_0(study), load_splits(study)
    patients = {
        "TRAIN": sets.training[0],
        "TUNE": sets.tuning[0],
        "VALIDATE": sets.validation[0],
        "TEST": splits.test[0],
        "NEW": "N1",
        "LARGE": "N2",
    }
    for number, name in enumerate(patients):
        pixels, _ = breast_with_disc(1000 + number, right=False)
        if name == "LARGE":
            pixels = np.kron(pixels, np.ones((2, 2), np.uint8))
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{name}.png")
    table = pd.DataFrame({"image_id": list(patients), "patient_id": list(patients.values())})
    table["image"] = table["image_id"] + ".png"
    table["spacing_mm"] = "1.0"
    table.to_csv(folder / "cohort.csv", index=False)
    return folder


def fold_0(study: Path) -> object:
    return job_of(TINY, study).sets


def job_of(config: SegmentationConfig, study: Path) -> FoldJob:
    folder = prepare(config, study).parent
    prepare_others(config, study)
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    splits = load_splits(study)
    index = index[index["patient_id"].isin(splits.train)]
    return fold_job(config, splits, 0, index, folder)


def names(job: FoldJob) -> set[str]:
    return {name for name, _ in job.unmasked}


def test_nobody_who_tunes_validates_or_tests_takes_part(
    study: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, pretraining_cohort=str(other))
    job = job_of(config, study)
    allowed = {"others/TRAIN", "others/NEW", "others/LARGE"}
    assert names(job) == allowed
    assert job.training == job_of(TINY, study).training
    # Each fold bars its own patients; every patient of the study but the test set's has a turn.
    folder = study / "segmentation"
    splits = load_splits(study)
    for fold in splits.folds:
        barred = {*fold.validation, *splits.test}
        told = {name for name, _ in other_images(config, folder, barred)}
        assert ("others/VALIDATE" in told) == (job.sets.validation[0] not in fold.validation)
        assert "others/TEST" not in told

    read: list[str] = []
    load = store.load_array

    def note(path: Path, mapped: bool = False) -> np.ndarray:
        read.append(path.relative_to(folder / "prepared").as_posix())
        return load(path, mapped)

    monkeypatch.setattr(store, "load_array", note)
    images = restored_images(config, folder, job, {"canvas": [64, 32]})
    expected = {*allowed, *(image_id for image_id, _ in job.training)}
    assert set(read) == {f"{name}.npy" for name in expected}
    assert len(images) == len(expected)
    sizes = read_csv(folder / "prepared" / "others" / "index.csv").set_index("image_id")
    rows, columns = images[(0, 0)]["image"].shape[1:]
    assert rows >= sizes.loc["LARGE", "working_rows"] > 64
    assert columns >= sizes.loc["LARGE", "working_columns"] > 32
    assert rows % 16 == columns % 16 == 0


def test_it_trains_with_them_and_again_when_one_changes(study: Path, other: Path) -> None:
    config = replace(TINY, pretraining_cohort=str(other), outline_spacing_mm=1.0)
    config = replace(config, outline_patch=(32, 32))
    train(config, study)
    cards = {}
    for place in ("segmentation", "segmentation/outline"):
        card = cards[place] = load_model(study / place / "fold-0").card
        assert card["pretraining"]["images_without_mask"] == 3
        assert card["pretraining"]["images"] == 3 + card["n_training_images"]
        assert "pretraining_cohort" not in card["settings"]
    # The plan, and with it the networks' input, is that of the study alone.
    index = read_csv(study / "segmentation" / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["patient_id"].isin(load_splits(study).train)]
    assert read_json(study / "segmentation" / "plan.json") == make_plan(config, index)
    kept = (study / "segmentation" / "fold-0" / "model.safetensors").stat().st_mtime_ns
    train(config, study)
    assert (study / "segmentation" / "fold-0" / "model.safetensors").stat().st_mtime_ns == kept

    pixels, _ = breast_with_disc(77, right=False)
    Image.fromarray(np.ascontiguousarray(pixels)).save(other / "NEW.png")
    train(config, study)
    for place, card in cards.items():
        assert load_model(study / place / "fold-0").card["key"] != card["key"]


def test_images_of_the_study_are_not_taken_twice(study: Path, tmp_path: Path) -> None:
    config = replace(TINY, pretraining_cohort=str(study))
    assert names(job_of(config, study)) == set()
    own = pd.read_csv(study / "cohort.csv", dtype=str)
    twice, failures = sources_of(study, set())
    assert len(twice) == len(own)
    assert not failures


def test_what_cannot_be_prepared_is_told_and_the_rest_is_used(study: Path, other: Path) -> None:
    table = pd.read_csv(other / "cohort.csv", dtype=str)
    bad = [
        {"image_id": "GONE", "patient_id": "N3", "image": "gone.png", "spacing_mm": "1"},
        {"image_id": "NEW", "patient_id": "N4", "image": "NEW.png", "spacing_mm": "1"},
        {"image_id": "a/b", "patient_id": "N5", "image": "NEW.png", "spacing_mm": "1"},
        {"image_id": "NOBODY", "patient_id": None, "image": "NEW.png", "spacing_mm": "1"},
        {"image_id": "FLAT", "patient_id": "N6", "image": "NEW.png", "spacing_mm": None},
        {"image_id": "WORD", "patient_id": "N7", "image": "NEW.png", "spacing_mm": "wide"},
        {"image_id": "MICRO", "patient_id": "N8", "image": "NEW.png", "spacing_mm": "70"},
    ]
    pd.concat([table, pd.DataFrame(bad)]).to_csv(other / "cohort.csv", index=False)
    config = replace(TINY, pretraining_cohort=str(other))
    assert names(job_of(config, study)) == {"others/TRAIN", "others/NEW", "others/LARGE"}
    file = study / "segmentation" / "prepared" / "others" / "failures.csv"
    told = read_csv(file, dtype=str).set_index("case")["error"]
    assert sorted(told.index) == ["FLAT", "GONE", "MICRO", "NEW", "NOBODY", "WORD", "a/b"]
    assert "twice" in told["NEW"]
    assert "gone.png does not exist" in told["GONE"]
    assert "cannot become the name of a file" in told["a/b"]
    assert "patient_id is empty" in told["NOBODY"]
    assert "wide" in told["WORD"]
    assert told["MICRO"] == "spacing_mm is 70"
    assert count_cases("train", study)["failed"] == 7  # so that the command ends with code 3
    assert any("others" in line and "7 lines" in line for line in fallen_out_lines(study))
    prepare_others(TINY, study)  # no longer asked for
    assert count_cases("train", study)["failed"] == 0


def test_without_its_table_columns_or_images_it_is_refused(study: Path, other: Path) -> None:
    config = replace(TINY, pretraining_cohort=str(other))
    prepare(config, study)
    with pytest.raises(MammoroiError, match=r"others/index\.csv is missing"):
        train_prepared(config, study)
    table = pd.read_csv(other / "cohort.csv", dtype=str)
    table.drop(columns="patient_id").to_csv(other / "cohort.csv", index=False)
    with pytest.raises(MammoroiError, match="has no column patient_id"):
        prepare_others(config, study)
    table.assign(image="gone.png").to_csv(other / "cohort.csv", index=False)
    with pytest.raises(MammoroiError, match=r"no image of .* can be prepared"):
        prepare_others(config, study)
    (other / "cohort.csv").unlink()
    wanted = r"cohort\.csv does not exist -> make it, with the columns image_id, patient_id, image$"
    with pytest.raises(MammoroiError, match=wanted):
        prepare_others(config, study)
    with pytest.raises(MammoroiError, match="pretraining_cohort"):
        SegmentationConfig(pretraining_cohort="somewhere")
