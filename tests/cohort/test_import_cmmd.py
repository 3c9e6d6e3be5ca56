"""CMMD in the layout of its download: images without masks, sides and views from the headers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from pydicom.dataset import Dataset

from mammoroi.cohort.check import check
from mammoroi.cohort.labels import derive_her2
from mammoroi.errors import MammoroiError

from .releases import bring_in, noise, tables, write_dicom

TABLE = """\
ID1,LeftRight,Age,number,abnormality,classification,subtype
D1-0001,R,44,2,calcification,Benign,
D2-0002,L,51,4,mass,Malignant,HER2-enriched
D2-0002,R,51,4,both,Benign,
D2-0003,L,60,2,mass,Malignant,Luminal B
"""
VIEWS = {"CC": "399162004", "MLO": "399368009"}
IMAGES = {  # file: side, view by the header
    "D1-0001/07-18-2010-NA-NA-79377/1.000000-NA-70244/1-1.dcm": ("R", "CC"),
    "D1-0001/07-18-2010-NA-NA-79377/1.000000-NA-70244/1-2.dcm": ("R", "MLO"),
    "D2-0002/07-18-2010-NA-NA-1/1.000000-NA-1/1-1.dcm": ("L", "CC"),
    "D2-0002/07-18-2010-NA-NA-1/1.000000-NA-1/1-2.dcm": ("R", "CC"),
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
            ImageLaterality=side,
            ViewCodeSequence=[code],
            ImagerPixelSpacing=["0.094", "0.094"],
        )
    (folder / "CMMD_clinicaldata_revision.csv").write_text(TABLE)
    return folder


def test_images_patients_and_faults(release: Path, tmp_path: Path) -> None:
    out = bring_in("cmmd", release, tmp_path / "cohort", images_without_mask="keep")
    images, patients, excluded = tables(out)
    shown = images[["view", "laterality"]].agg(" ".join, axis=1).to_dict()
    assert shown == {
        "D1-0001_1": "CC R",
        "D1-0001_2": "MLO R",
        "D2-0002_1": "CC L",
        "D2-0002_2": "CC R",
        "D2-0003_1": "CC R",
    }
    assert images["mask"].isna().all()
    assert images["mask_kind"].isna().all()
    assert images["classification"].fillna("").tolist() == [
        *("Benign", "Benign", "Malignant", "Benign"),
        "",  # the table speaks of the other breast
    ]
    assert patients["malignant"].to_dict() == {"D1-0001": "no", "D2-0002": "yes", "D2-0003": "yes"}
    assert patients["age"].astype(float).tolist() == [44, 51, 60]
    assert "header says the laterality" in excluded["D2-0003_2"]
    assert "no row for D2-0004" in excluded["D2-0004_1"]
    problems = pd.read_csv(out / "excluded.csv").set_index("case")
    assert "describes the breast L" in problems.loc["D2-0003", "error"]
    assert len(images) + len(excluded) == len(IMAGES)


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
    assert images["subtype"].dropna().to_dict() == {"D2-0002_1": "HER2-enriched"}
    assert derive_her2(patients.reset_index()).get("her2") is None


def test_without_masks_it_must_be_asked_for(release: Path, tmp_path: Path) -> None:
    with pytest.raises(MammoroiError, match="without masks -> set images_without_mask"):
        bring_in("cmmd", release, tmp_path / "cohort")
