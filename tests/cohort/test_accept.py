"""The cohort stage: in = used + excluded, and nothing filled in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import SimpleITK as sitk

from mammoroi.cohort.accept import accept
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv
from mammoroi.imaging.mask import read_mask

from .conftest import SHAPE


def run(cohort: Any, study: Path) -> Path:
    return accept(CohortConfig(folder=cohort.save(), n_folds=2), study)


def test_a_sound_cohort_is_taken_whole(cohort: Any, tmp_path: Path) -> None:
    study = tmp_path / "study"
    assert run(cohort, study) == study / "cohort.csv"
    accepted = load_cohort(study)
    assert len(accepted.images) == 24
    assert accepted.images["spacing_mm"].tolist() == [0.1] * 24
    assert accepted.images["mask_label"].isna().all()
    for column in ("image", "mask"):
        assert all(accepted.path(value).is_file() for value in accepted.images[column])
    assert accepted.patients["her2"].tolist()[:5] == ["zero", "low", "low", "positive", "positive"]
    assert (accepted.name, accepted.synthetic) == ("cohort", False)
    splits = load_splits(study)
    assert sorted(splits.train + splits.test) == sorted(accepted.patients["patient_id"])
    assert len(splits.test) == 4
    assert read_csv(study / "excluded.csv").empty


def test_errors_exclude_and_everything_is_accounted_for(cohort: Any, tmp_path: Path) -> None:
    cohort.images.loc[0, "view"] = "XX"
    cohort.images.loc[0, "mask"] = "no.png"
    cohort.images.loc[[2, 3], "laterality"] = None
    cohort.patients.loc[2, "age"] = "430"
    cohort.patients.loc[3, "her2_fish"] = None
    study = tmp_path / "study"
    run(cohort, study)
    excluded = read_csv(study / "excluded.csv").set_index(["stage", "case"])
    assert excluded.index.tolist() == [
        ("cohort/image", "I0-CC"),
        ("cohort/image", "I1-CC"),
        ("cohort/image", "I1-MLO"),
        ("cohort/image", "I2-CC"),
        ("cohort/image", "I2-MLO"),
        ("cohort/patient", "P1"),
        ("cohort/patient", "P2"),
    ]
    both = excluded.loc[("cohort/image", "I0-CC"), "error"]
    assert both == "view is 'XX'; mask 'no.png' does not exist"
    assert "age is 430" in excluded.loc[("cohort/patient", "P2"), "error"]
    assert "'P2' is excluded" in excluded.loc[("cohort/image", "I2-CC"), "error"]
    assert "no accepted image" in excluded.loc[("cohort/patient", "P1"), "error"]
    about = json.loads((study / "cohort.json").read_text())
    assert about["n_images_in"] == about["n_images_used"] + 5 == 24
    assert about["n_patients_in"] == about["n_patients_used"] + 2 == 12
    patients = load_cohort(study).patients.set_index("patient_id")
    assert "P3" in patients.index
    assert pd.isna(patients.loc["P3", "her2"])


def test_a_patient_on_two_lines_is_one_patient(cohort: Any, tmp_path: Path) -> None:
    cohort.patients = pd.concat([cohort.patients, cohort.patients.iloc[[4]]], ignore_index=True)
    run(cohort, tmp_path)
    excluded = read_csv(tmp_path / "excluded.csv")
    assert (excluded["stage"] == "cohort/patient").sum() == 1
    about = json.loads((tmp_path / "cohort.json").read_text())
    assert about["n_patients_in"] == about["n_patients_used"] + 1 == 12


def test_cells_are_copied_as_they_are(cohort: Any, tmp_path: Path) -> None:
    cohort.images["note"] = "NA"
    cohort.images["reading"] = "007"
    cohort.patients["birads5"] = ["1", None] * 6
    run(cohort, tmp_path / "study")
    accepted = load_cohort(tmp_path / "study")
    assert set(accepted.images["note"]) == {"NA"}
    assert set(accepted.images["reading"]) == {"007"}
    assert accepted.patients["birads5"].dropna().tolist() == ["1"] * 6


def test_paths_inside_the_study_stay_relative(cohort: Any) -> None:
    run(cohort, cohort.folder.parent)
    images = load_cohort(cohort.folder.parent).images
    assert images.loc[0, "image"] == "cohort/images/I0-CC.png"


def test_a_linked_file_keeps_the_suffix_that_tells_its_kind(cohort: Any, tmp_path: Path) -> None:
    """Stores of large files have links with the names, and files that are called by a hash."""
    mask = sitk.ReadImage(cohort.folder / "masks/I0-CC.png")
    sitk.WriteImage(mask, cohort.folder / "mask.nii.gz")
    (cohort.folder / "mask.nii.gz").rename(cohort.folder / "0f3a")
    (cohort.folder / "I0.nii.gz").symlink_to("0f3a")
    cohort.images.loc[0, "mask"] = "I0.nii.gz"
    run(cohort, tmp_path / "study")
    accepted = load_cohort(tmp_path / "study")
    assert read_mask(accepted.path(accepted.images["mask"][0]), SHAPE).any()


def test_the_same_input_gives_the_same_bytes(cohort: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(cohort, tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_structural_errors_stop(cohort: Any, tmp_path: Path) -> None:
    cohort.images = cohort.images.drop(columns=["view", "mask"])
    with pytest.raises(MammoroiError, match=r"no column 'view'.*no column 'mask'"):
        run(cohort, tmp_path)


def test_nothing_left_stops(cohort: Any, tmp_path: Path) -> None:
    cohort.images["laterality"] = "X"
    with pytest.raises(MammoroiError, match=r"no image of .* can be used"):
        run(cohort, tmp_path)
    assert len(read_csv(tmp_path / "excluded.csv")) == 36


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", [".", "images", "masks", "images/../../cohort"])
def test_a_study_does_not_write_over_its_cohort(cohort: Any, place: str) -> None:
    """Nor into a folder that holds the images or the masks themselves."""
    before = contents(cohort.save())
    with pytest.raises(MammoroiError, match="the study would be written into"):
        run(cohort, cohort.folder / place)
    assert contents(cohort.folder) == before


def test_masks_do_not_lie_among_results(cohort: Any, tmp_path: Path) -> None:
    (cohort.folder / "masks").rename(tmp_path / "masks")
    cohort.images["mask"] = "../" + cohort.images["mask"]
    with pytest.raises(MammoroiError, match=r"where its cohort's .*/masks/I0-CC\.png lies"):
        run(cohort, tmp_path)
    assert not (tmp_path / "cohort.csv").exists()


def test_the_imported_table_is_not_written_over(cohort: Any, tmp_path: Path) -> None:
    source = tmp_path / "patients.csv"
    source.write_text("of the hospital")
    (cohort.folder / "cohort.json").write_text(json.dumps({"source": str(source)}))
    with pytest.raises(MammoroiError, match=r"written over .*/patients\.csv"):
        run(cohort, tmp_path)
    assert source.read_text() == "of the hospital"


@pytest.mark.parametrize("place", ["cohort/study", "beside", ".", "cohort/images/study"])
def test_a_study_may_lie_beside_above_or_inside(cohort: Any, tmp_path: Path, place: str) -> None:
    assert len(load_cohort(run(cohort, tmp_path / place).parent).images) == 24


def test_of_many_warnings_the_first_are_told(
    cohort: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for mask in cohort.images["mask"][:7]:
        cohort.write_mask(mask, (slice(2, 6), slice(3, 8)), (slice(12, 18), slice(6, 13)))
    with caplog.at_level("INFO", logger="mammoroi"):
        run(cohort, tmp_path / "study")
    assert caplog.text.count("has 2 separate regions") == 5
    assert "warnings on" in caplog.text
    assert ": 7; `mammoroi check` lists all" in caplog.text
