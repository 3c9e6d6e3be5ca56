"""CMMD in the layout of its download: images without masks, sides and views from the headers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from mammoroi.cohort.check import check
from mammoroi.cohort.labels import derive_her2
from mammoroi.errors import MammoroiError

from .releases import bring_in, noise, tables, write_dicom

TABLE = """\
ID1,LeftRight,Age,number,abnormality,classification,subtype
D1-0001,R,44,2,calcification,Benign,
D2-0002,L,51,2,mass,Malignant,HER2-enriched
D2-0002,R,51,2,both,Benign,
D2-0003,L,60,2,mass,Malignant,Luminal B
"""
VIEWS = {"CC": "399162004", "MLO": "399368009"}
FIRST = "D1-0001/07-18-2010-NA-NA-79377/1.000000-NA-70244"
IMAGES = {  # file: side, view by the header
    f"{FIRST}/1-1.dcm": ("R", "CC"),
    f"{FIRST}/1-2.dcm": ("R", "MLO"),
    "D2-0002/07-18-2010-NA-NA-1/1.000000-NA-1/1-1.dcm": ("L", "CC"),
    "D2-0002/07-18-2010-NA-NA-1/1.000000-NA-1/1-2.dcm": ("L", "MLO"),
    "D2-0002/07-18-2010-NA-NA-1/1.000000-NA-1/1-3.dcm": ("R", "CC"),
    "D2-0002/07-18-2010-NA-NA-1/1.000000-NA-1/1-4.dcm": ("R", "MLO"),
    "D2-0003/07-18-2010-NA-NA-2/1.000000-NA-2/1-1.dcm": ("R", "CC"),
    "D2-0003/07-18-2010-NA-NA-2/1.000000-NA-2/1-2.dcm": ("", "MLO"),
    "D2-0004/07-18-2010-NA-NA-3/1.000000-NA-3/1-1.dcm": ("L", "CC"),
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """D2-0003 shows the other breast than the table says; D2-0004 is not in the table."""
    folder = tmp_path / "manifest-1"
    for number, (name, (side, view)) in enumerate(IMAGES.items()):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator = VIEWS[view], "SCT"
        code.CodeMeaning = view
        write_dicom(
            folder / "CMMD" / name,
            noise((30, 20), number),
            PatientID=name.partition("/")[0],
            ImageLaterality=side,
            ViewCodeSequence=[code],
            ImagerPixelSpacing=["0.094", "0.094"],
        )
    (folder / "CMMD_clinicaldata_revision.csv").write_text(TABLE)
    return folder


def imported(release: Path, out: Path, **options: Any) -> tuple[pd.DataFrame, Any, dict[str, str]]:
    return tables(bring_in("cmmd", release, out, images_without_mask="keep", **options))


def notes(out: Path) -> dict[str, str]:
    """What is said of patients."""
    rows = pd.read_csv(out / "excluded.csv", dtype=str)
    rows = rows[rows["stage"] == "import/patient"]
    return rows.groupby("case")["error"].agg("; ".join).to_dict()


def test_images_patients_and_faults(release: Path, tmp_path: Path) -> None:
    images, patients, excluded = imported(release, tmp_path / "cohort")
    shown = images[["view", "laterality"]].agg(" ".join, axis=1).to_dict()
    assert shown == {
        "D1-0001_R_CC": "CC R",
        "D1-0001_R_MLO": "MLO R",
        "D2-0002_L_CC": "CC L",
        "D2-0002_L_MLO": "MLO L",
        "D2-0002_R_CC": "CC R",
        "D2-0002_R_MLO": "MLO R",
        "D2-0003_R_CC": "CC R",
    }
    assert images["mask"].isna().all()
    assert images["mask_kind"].isna().all()
    assert images["classification"].fillna("").tolist() == [
        *("Benign", "Benign", "Malignant", "Malignant", "Benign", "Benign"),
        "",  # the table speaks of the other breast
    ]
    assert patients["malignant"].to_dict() == {"D1-0001": "no", "D2-0002": "yes", "D2-0003": "yes"}
    assert patients["age"].astype(float).tolist() == [44, 51, 60]
    assert "says the laterality" in excluded["D2-0003_1-2"]
    assert "no row for D2-0004" in excluded["D2-0004_L_CC"]
    (told,) = notes(tmp_path / "cohort").items()
    assert told[0] == "D2-0003"
    assert "describes the breast L" in told[1]
    assert len(images) + len(excluded) == len(IMAGES)


def test_a_missing_image_is_noticed_and_moves_no_name(release: Path, tmp_path: Path) -> None:
    (release / "CMMD" / FIRST / "1-1.dcm").unlink()
    images, _, _ = imported(release, tmp_path / "cohort")
    assert images.loc["D1-0001_R_MLO", "view"] == "MLO"
    assert "D1-0001_R_CC" not in images.index
    told = notes(tmp_path / "cohort")["D1-0001"]
    assert told == "the table tells of 2 images of the breast R, 1 of them imported"


def test_a_file_that_was_cut_short_is_left_out(release: Path, tmp_path: Path) -> None:
    file = release / "CMMD" / FIRST / "1-2.dcm"
    file.write_bytes(file.read_bytes()[:-100])
    images, _, excluded = imported(release, tmp_path / "cohort")
    assert "D1-0001_R_MLO" not in images.index
    assert "bytes of pixels" in excluded["D1-0001_R_MLO"]


def test_a_second_download_is_no_second_image(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release / "CMMD/D1-0001", release / "an earlier download/D1-0001")
    short = release / "CMMD" / FIRST / "1-2.dcm"
    short.write_bytes(short.read_bytes()[:-100])
    images, _, excluded = imported(release, tmp_path / "cohort")
    assert [name for name in images.index if name.startswith("D1")] == [
        "D1-0001_R_CC",
        "D1-0001_R_MLO",
    ]
    assert "is the same image as D1-0001_R_CC" in excluded["D1-0001_R_CC_2"]
    assert "earlier download" in images.loc["D1-0001_R_MLO", "image"]  # the whole one of the two


def test_a_second_image_of_a_view_has_a_number(release: Path, tmp_path: Path) -> None:
    file = release / "CMMD" / FIRST / "1-2.dcm"
    header = dcmread(file)
    header.SOPInstanceUID = generate_uid()
    header.PixelData = noise((30, 20), 30).tobytes()
    header.save_as(file.with_name("1-3.dcm"))
    images, _, _ = imported(release, tmp_path / "cohort")
    assert {"D1-0001_R_MLO", "D1-0001_R_MLO_2"} < set(images.index)


def test_a_file_in_the_folder_of_another_patient(release: Path, tmp_path: Path) -> None:
    (release / "CMMD" / FIRST / "1-1.dcm").rename(release / "CMMD/D2-0004/1-9.dcm")
    _, _, excluded = imported(release, tmp_path / "cohort")
    assert "in a folder of D2-0004, but is of D1-0001" in excluded["D2-0004_1-9"]


def test_folders_that_are_called_by_uid_and_the_published_workbook(
    release: Path, tmp_path: Path
) -> None:
    images, patients, _ = imported(release, tmp_path / "named")
    for number, file in enumerate(sorted(release.rglob("*.dcm"))):
        place = release / f"1.3.6.1.4.1.14519.{number // 2}/1-{number}.dcm"
        place.parent.mkdir(exist_ok=True)
        file.rename(place)
    shutil.rmtree(release / "CMMD")
    (release / "1.3.6.1.4.1.14519.0/._1-1.dcm").write_bytes(b"\0\5\x16\7" * 30)
    write_dicom(release / "phantom.dcm", noise((30, 20), 40), PatientID="QC")
    table = release / "CMMD_clinicaldata_revision.csv"
    pd.read_csv(table).to_excel(table.with_suffix(".xlsx"), index=False)
    table.unlink()
    again, same, excluded = imported(release, tmp_path / "by-uid")
    assert again.drop(columns="image").equals(images.drop(columns="image"))
    assert same.equals(patients)
    assert "neither a folder above it nor Patient ID" in excluded["phantom.dcm"]


def test_rows_of_a_breast_that_contradict_each_other(release: Path, tmp_path: Path) -> None:
    row = "D2-0002,L,51,2,mass,Malignant,HER2-enriched\n"
    other = "D2-0002,L,51,2,calcification,Benign,\n"
    (release / "CMMD_clinicaldata_revision.csv").write_text(TABLE.replace(row, row + row + other))
    images, patients, _ = imported(release, tmp_path / "cohort")
    cells = images.loc["D2-0002_L_CC", ["abnormality", "classification", "subtype"]]
    assert cells.isna().all()
    assert images.loc["D2-0002_R_CC", "classification"] == "Benign"
    assert patients["malignant"].isna()["D2-0002"]
    told = notes(tmp_path / "cohort")["D2-0002"]
    assert "3 rows of the breast L that differ (abnormality: calcification, mass;" in told


def test_sides_in_other_words(release: Path, tmp_path: Path) -> None:
    text = TABLE.replace("D2-0002,L", "D2-0002, left ").replace("D2-0002,R", "D2-0002,both")
    (release / "CMMD_clinicaldata_revision.csv").write_text(text)
    images, patients, _ = imported(release, tmp_path / "cohort")
    assert images.loc["D2-0002_L_CC", "subtype"] == "HER2-enriched"
    assert pd.isna(images.loc["D2-0002_R_CC", "classification"])
    assert patients.loc["D2-0002", "malignant"] == "yes"
    assert "LeftRight is 'both' on line 4" in notes(tmp_path / "cohort")["D2-0002"]


def test_a_given_spacing_is_for_files_without_one(release: Path, tmp_path: Path) -> None:
    images, _, _ = imported(release, tmp_path / "cohort", spacing_mm=0.05)
    assert images["spacing_mm"].isna().all()


def test_gathered_images_have_names_of_their_own(release: Path, tmp_path: Path) -> None:
    out = bring_in("cmmd", release, tmp_path / "cohort", images_without_mask="keep", gather=True)
    images, _, _ = tables(out)
    assert sorted(path.stem for path in (out / "images").iterdir()) == images.index.tolist()
    shutil.rmtree(release)
    moved = out.rename(tmp_path / "moved")
    assert {problem.found for problem in check(moved)} == {"mask is empty"}


def test_the_subtype_is_no_her2_status(release: Path, tmp_path: Path) -> None:
    out = bring_in("cmmd", release, tmp_path / "cohort", images_without_mask="keep")
    images, patients, _ = tables(out)
    assert images["subtype"].dropna().to_dict() == {
        **dict.fromkeys(("D2-0002_L_CC", "D2-0002_L_MLO"), "HER2-enriched")
    }
    assert derive_her2(patients.reset_index()).get("her2") is None


def test_without_masks_it_must_be_asked_for(release: Path, tmp_path: Path) -> None:
    with pytest.raises(MammoroiError, match="without masks -> set images_without_mask"):
        bring_in("cmmd", release, tmp_path / "cohort")
