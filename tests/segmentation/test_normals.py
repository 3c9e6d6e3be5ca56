"""Mammograms without a lesion: who learns from them, and who draws them."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.fallen_out import count_cases, fallen_out_lines
from mammoroi.files import read_csv
from mammoroi.segmentation.agreement import agree
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.data import Augmentation, EpochSampler
from mammoroi.segmentation.device_augmentation import Windows
from mammoroi.segmentation.fold_jobs import make_plan
from mammoroi.segmentation.normals import taken_per_epoch
from mammoroi.segmentation.others import prepare_others
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.prepare import NORMALS, prepare
from mammoroi.segmentation.store import ArrayStore
from mammoroi.segmentation.train import train, train_prepared
from mammoroi.segmentation.weights import load_model
from mammoroi.stages import StudyConfig
from mammoroi.study import run_study

from .healthy import TINY, breast_with_bar, divided_by, job_of


def test_a_patient_learns_or_is_drawn_never_both(study: Path, normals: Path) -> None:
    config = replace(TINY, normal_cohort=str(normals))
    splits = load_splits(study)
    jobs = [job_of(config, study, fold) for fold in range(2)]
    divided = divided_by(config, study)
    learns: list[set[str]] = []
    for job in jobs:
        assert all(name == f"normals/N-{patient}" for name, _, patient in job.normals)
        learns.append({patient for _, _, patient in job.normals})
        assert not learns[-1] & {*job.sets.validation, *job.sets.tuning, *splits.test}
        assert not learns[-1] & divided.drawn_by(job.fold)
        assert set(job.sets.training) < learns[-1]
    drawn = [set(divided.drawn_by(fold)) for fold in range(2)]
    assert drawn[0] & drawn[1] == {"P00", "P01"}  # all networks draw those who test
    for fold, part in enumerate(splits.folds):
        assert set(part.validation) < drawn[fold]
    others = {f"X{number}" for number in range(5)}
    assert drawn[0] | drawn[1] == {*splits.train, *splits.test, *others}
    for one in others:
        (fold,) = divided.folds[one]
        assert one in drawn[fold]
        assert one in learns[1 - fold]
        assert one not in learns[fold]
    # A patient's fold does not depend on who else is there; the folds are of about one size.
    table = normals / "cohort.csv"
    rows = pd.read_csv(table, dtype=str)
    more = pd.DataFrame({"image_id": [f"M{n}" for n in range(60)], "image": "X0.png"})
    more = more.assign(patient_id=[f"more {n}" for n in range(60)], spacing_mm="1.0")
    pd.concat([more, rows]).to_csv(table, index=False)
    prepare_others(config, study)
    larger = divided_by(config, study)
    assert {one: larger.folds[one] for one in others} == {one: divided.folds[one] for one in others}
    sizes = Counter(larger.folds[f"more {n}"] for n in range(60))
    assert min(sizes[0,], sizes[1,]) > 18
    reseeded = divided_by(replace(config, seed=16), study).folds
    moved = sum(reseeded[f"more {n}"] != larger.folds[f"more {n}"] for n in range(60))
    assert 18 < moved < 42
    # Without such a cohort everything is as it was.
    without = job_of(TINY, study, 0)
    assert "normals" not in without.inputs()
    assert without.training == jobs[0].training
    assert "normals_per_image" not in TINY.training()


def test_those_whom_their_cohort_keeps_for_testing_teach_nothing(
    study: Path, normals: Path
) -> None:
    table = pd.DataFrame({"patient_id": ["X0", "X1", "P05"], "split": ["test", "train", "test"]})
    table.to_csv(normals / "patients.csv", index=False)
    config = replace(TINY, normal_cohort=str(normals))
    learns = [{one for _, _, one in job_of(config, study, fold).normals} for fold in range(2)]
    assert not any("X0" in patients for patients in learns)
    assert any("X1" in patients for patients in learns)
    assert any("P05" in patients for patients in learns)  # the study says otherwise
    for fold in range(2):
        assert "X0" in divided_by(config, study).drawn_by(fold)
    table.assign(split="Test").to_csv(normals / "patients.csv", index=False)
    with pytest.raises(MammoroiError, match="has the split 'Test' -> give train or test"):
        prepare_others(config, study)


def test_what_restores_is_never_of_patients_who_are_drawn(study: Path, normals: Path) -> None:
    config = replace(TINY, normal_cohort=str(normals), pretraining_epochs=1)
    config = replace(config, pretraining_cohort=str(normals))
    for fold in range(2):
        job = job_of(config, study, fold)
        restores = {name.removeprefix("others/N-") for name, _ in job.unmasked}
        drawn = divided_by(config, study).drawn_by(fold)
        assert {"X0", "X1", "X2", "X3", "X4"} & drawn
        assert restores
        assert not restores & drawn


def test_every_epoch_shows_all_lesions_and_normal_ones_in_turn() -> None:
    sampler = EpochSampler(10 + 7, seed=3, sometimes=(7, 3))
    assert len(sampler) == 13
    turns: Counter[int] = Counter()
    before: list[int] = []
    for epoch in range(14):
        sampler.set_epoch(epoch)
        pairs = list(sampler)
        assert {at for at, _ in pairs} == {epoch}
        numbers = [number for _, number in pairs]
        assert sorted(numbers)[:10] == list(range(10))
        taken = [number for number in numbers if number >= 10]
        assert len(set(taken) - set(before)) == 3  # others than in the last epoch
        before = taken
        turns.update(taken)
    assert turns == dict.fromkeys(range(10, 17), 6)  # 14 x 3 are 6 x 7
    parts = [EpochSampler(17, 3, rank, 2, sometimes=(7, 3)) for rank in range(2)]
    for part in parts:
        part.set_epoch(13)
    shared = [list(part) for part in parts]
    assert [len(part) for part in parts] == [7, 7]
    assert {one for part in shared for one in part} == set(pairs)
    alone = EpochSampler(10, seed=3)
    alone.set_epoch(5)
    order = np.random.default_rng([3, 5]).permutation(10)
    assert list(alone) == [(5, int(number)) for number in order]  # as trainings always had it


@pytest.mark.parametrize(("normals", "taken"), [(100, 20), (7, 7), (0, 0)])
def test_an_epoch_takes_so_many_per_image_with_a_lesion(normals: int, taken: int) -> None:
    config = replace(TINY, normals_per_image=0.5)
    assert taken_per_epoch(config, normals, with_lesion=40) == taken
    assert taken_per_epoch(replace(config, normals_per_image=0.01), normals, 40) == min(normals, 1)


@pytest.mark.parametrize("crops", ["halves", "lesions"])
def test_a_crop_without_a_lesion_shows_the_breast(study: Path, normals: Path, crops: str) -> None:
    config = replace(TINY, working_spacing_mm=0.5, normal_cohort=str(normals))
    job = job_of(config, study, 0)
    names = [image[0] for image in (*job.training, *job.normals)]
    prepared = study / "segmentation" / "prepared"
    arrays = ArrayStore(prepared, names, (224, 224))
    assert arrays.with_lesion == len(job.training)
    windows = Windows(arrays, 3, "flips", (32, 32), crops=crops)
    augment = Augmentation(3, "flips", (32, 32), crops, arrays.with_lesion)
    for number in range(arrays.with_lesion, len(arrays)):
        image, mask = (part.float() for part in arrays[number])
        assert not mask.any()
        for epoch in range(5):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                case = augment({"image": image, "mask": mask}, epoch, number)
            for shown in (case, windows[(epoch, number)]):
                assert shown["image"].shape == shown["mask"].shape == torch.Size((1, 32, 32))
                assert not shown["mask"].any()
                assert (shown["image"] > 0).any()


def test_the_plan_holds_them_and_a_bare_machine_needs_no_mammogram(
    study: Path, normals: Path
) -> None:
    large = np.kron(breast_with_bar(5), np.ones((2, 2), np.uint8))
    Image.fromarray(np.ascontiguousarray(large)).save(normals / "X0.png")
    config = replace(TINY, normal_cohort=str(normals))
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv")
    with pytest.raises(MammoroiError, match=r"normal_cohort is set, but .* is missing"):
        train_prepared(config, study)
    prepare_others(config, study)
    told = (None, divided_by(config, study))
    smaller, whole = (make_plan(config, index, normal)["canvas"] for normal in told)
    assert whole[0] > smaller[0]
    shutil.rmtree(normals)
    train_prepared(config, study)
    assert load_model(folder / "fold-0").card["plan"]["canvas"] == whole


def test_they_train_anew_and_are_forgotten_when_no_longer_asked_for(
    study: Path, normals: Path
) -> None:
    train(TINY, study)
    plain = load_model(study / "segmentation" / "fold-0").card["key"]
    config = replace(TINY, normal_cohort=str(normals))
    train(config, study)
    with_normals = load_model(study / "segmentation" / "fold-0").card["key"]
    assert with_normals != plain
    train(replace(config, normals_per_image=0.25), study)
    assert load_model(study / "segmentation" / "fold-0").card["key"] not in (plain, with_normals)
    train(config, study)
    segment(TINY, study)
    agree(TINY, study)
    with pytest.raises(MammoroiError, match="run mammoroi segment"):
        agree(config, study)
    segment(config, study)
    agree(config, study)
    assert (study / "normals.csv").exists()
    train(TINY, study)
    assert load_model(study / "segmentation" / "fold-0").card["key"] == plain
    segment(TINY, study)
    agree(TINY, study)
    assert not (study / "normals.csv").exists()
    assert not (study / "masks" / NORMALS).exists()
    assert "normals" not in set(read_csv(study / "froc_summary.csv")["group"])


def rename(normals: Path, patients: dict[str, str]) -> None:
    table = pd.read_csv(normals / "cohort.csv", dtype=str)
    table["patient_id"] = table["patient_id"].replace(patients)
    table.to_csv(normals / "cohort.csv", index=False)


def test_who_is_named_anew_is_divided_anew(study: Path, normals: Path) -> None:
    """The image stays; whose it is, and so who may draw it, does not."""
    config = replace(TINY, normal_cohort=str(normals))
    train(config, study)
    segment(config, study)
    splits = load_splits(study)
    one = min({f"X{n}" for n in range(5)} & divided_by(config, study).drawn_by(1))  # taught fold 0
    rename(normals, {one: splits.folds[0].validation[0]})
    with pytest.raises(MammoroiError, match="has learned from 1 of the mammograms without a les"):
        segment(config, study)
    train(config, study)
    segment(config, study)
    predictions = read_csv(study / "masks" / NORMALS / "predictions.csv", dtype=str)
    row = predictions.set_index("image_id").loc[f"N-{one}"]
    assert (row["patient_id"], row["fold"]) == (splits.folds[0].validation[0], "0")
    learned = read_csv(study / "segmentation" / "fold-1" / "learned_from.csv", dtype=str)
    assert one not in set(learned["patient_id"])


def test_masks_follow_who_is_kept_for_testing(study: Path, normals: Path) -> None:
    config = replace(TINY, normal_cohort=str(normals))
    train(TINY, study)
    segment(config, study)
    pd.DataFrame({"patient_id": ["X0"], "split": ["test"]}).to_csv(
        normals / "patients.csv", index=False
    )
    segment(config, study)
    predictions = read_csv(study / "masks" / NORMALS / "predictions.csv", dtype=str)
    assert predictions.set_index("image_id").loc["N-X0", "fold"] == "test"


def test_a_fold_that_learns_from_none_is_told(
    study: Path, normals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.read_csv(normals / "cohort.csv", dtype=str)
    table[table["patient_id"] == "P00"].to_csv(normals / "cohort.csv", index=False)
    train(replace(TINY, normal_cohort=str(normals)), study)
    assert "fold 0, 1 learns from no mammogram without a lesion" in caplog.text
    assert "n_normal_images" not in load_model(study / "segmentation" / "fold-0").card


def test_an_image_with_a_lesion_is_no_normal_one(study: Path, normals: Path) -> None:
    own = pd.read_csv(study / "cohort.csv", dtype=str)
    table = pd.read_csv(normals / "cohort.csv", dtype=str)
    shutil.copy(study / own["image"][0], normals / "own.png")
    bad = [
        {"image_id": "MASKED", "patient_id": "X9", "image": "X0.png", "mask": "m.png"},
        {"image_id": own["image_id"][0], "patient_id": own["patient_id"][0], "image": "own.png"},
        {"image_id": "GONE", "patient_id": "X8", "image": "gone.png"},
    ]
    pd.concat([table, pd.DataFrame(bad).assign(spacing_mm="1.0")]).to_csv(
        normals / "cohort.csv", index=False
    )
    config = replace(TINY, normal_cohort=str(normals))
    train(config, study)
    told = read_csv(
        study / "segmentation" / "prepared" / NORMALS / "failures.csv", dtype=str
    ).set_index("case")["error"]
    assert told["MASKED"] == "it has a mask"
    assert "the study has the same image" in told[own["image_id"][0]]
    assert "gone.png does not exist" in told["GONE"]
    assert count_cases("train", study)["failed"] == 3
    segment(config, study)
    assert count_cases("segment", study)["failed"] == 3
    assert any("normals" in line and "3 lines" in line for line in fallen_out_lines(study))
    segment(TINY, study)
    assert count_cases("segment", study)["failed"] == 0


def test_a_study_is_not_written_over_them(study: Path, normals: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    inside = out / "masks" / NORMALS
    shutil.copytree(normals, inside)
    for place in (out, inside):
        shutil.copy(normals / "cohort.csv", place)
        config = StudyConfig(
            out=out,
            cohort=CohortConfig(study),
            segmentation=replace(TINY, normal_cohort=str(place)),
        )
        for only in (None, "segment"):
            with pytest.raises(MammoroiError, match="the study would be written into"):
                run_study(config, only)
    assert (inside / "cohort.csv").exists()


def test_settings_that_cannot_be_meant() -> None:
    with pytest.raises(MammoroiError, match="normals_per_image"):
        SegmentationConfig(normals_per_image=0.0)


@pytest.mark.slow
def test_two_processes_share_them(study: Path, normals: Path) -> None:
    config = replace(TINY, normal_cohort=str(normals), devices=2, batch_size=2, ema_decay=0.9)
    train(config, study)
    segment(config, study)
    card = load_model(study / "segmentation" / "fold-0").card
    assert card["n_normal_images"] == len(job_of(config, study, 0).normals)
    assert len(read_csv(study / "masks" / NORMALS / "predictions.csv")) == 15
