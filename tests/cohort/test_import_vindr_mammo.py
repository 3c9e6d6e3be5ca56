"""VinDr-Mammo in the layout of its download: boxes become masks that say that they are boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from mammoroi.cohort.check import check
from mammoroi.errors import MammoroiError
from mammoroi.files import read_json

from .releases import bring_in, mask_of, noise, tables, write_dicom

SHAPE = (50, 36)
BREASTS = """\
study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split
s1,x,a1,L,CC,50,36,BI-RADS 4,DENSITY C,training
s1,x,a2,L,MLO,50,36,BI-RADS 4,DENSITY C,training
s1,x,a3,R,CC,50,36,BI-RADS 1,DENSITY D,training
s2,x,b1,R,CC,50,36,BI-RADS 5,DENSITY B,test
s2,x,b2,R,MLO,60,36,BI-RADS 5,DENSITY B,test
s2,x,b3,L,CC,50,36,BI-RADS 5,DENSITY B,test
s2,x,b4,L,MLO,50,36,BI-RADS 5,DENSITY B,test
s2,x,b5,R,MLO,50,36,BI-RADS 5,DENSITY B,test
"""
FINDINGS = """\
image_id,finding_categories,finding_birads,xmin,ymin,xmax,ymax
a1,"['Mass', 'Skin Thickening']",BI-RADS 4,3.4,5.0,9.0,12.6
a1,['Suspicious Calcification'],BI-RADS 4,20,20,25,25
a1,['Mass'],BI-RADS 3,20,30,40.2,35
a2,['Suspicious Calcification'],BI-RADS 4,4,4,9,9
a3,['No Finding'],,,,,
b1,['Mass'],BI-RADS 5,10,10,20,20
b2,['Mass'],BI-RADS 5,10,10,20,20
b3,['Mass'],BI-RADS 5,10,10,20,20
b4,['Mass'],BI-RADS 5,40,10,50,20
b5,['Mass'],BI-RADS 5,10,10,20,20
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Files for all rows but b5; b3 is a right breast by its header, b4's box beside the image."""
    folder = tmp_path / "release"
    for number, line in enumerate(BREASTS.splitlines()[1:]):
        study, _, image, side, view, *_ = line.split(",")
        if image != "b5":
            write_dicom(
                folder / f"images/{study}/{image}.dicom",
                noise(SHAPE, number),
                ImageLaterality="R" if image == "b3" else side,
                ViewPosition=view,
                ImagerPixelSpacing=["0.1", "0.1"],
            )
    (folder / "breast-level_annotations.csv").write_text(BREASTS)
    (folder / "finding_annotations.csv").write_text(FINDINGS)
    return folder


def test_boxes_become_masks_that_say_so(release: Path, tmp_path: Path) -> None:
    out = bring_in("vindr-mammo", release, tmp_path / "cohort")
    images, patients, _ = tables(out)
    assert images["mask_kind"].to_dict() == {"a1": "box", "b1": "box"}
    expected = np.zeros(SHAPE, bool)
    expected[5:13, 3:9] = True  # the pixels that 3.4..9.0 x 5.0..12.6 touches
    expected[30:35, 20:36] = True  # cut off at the edge of the image
    assert (mask_of(out, images, "a1", SHAPE) == expected).all()
    assert images.loc["a1", "finding_categories"] == "Mass; Skin Thickening; Mass"
    assert images.loc["a1", "finding_birads"] == "BI-RADS 4; BI-RADS 3"
    assert patients["split"].to_dict() == {"s1": "train", "s2": "test"}
    assert patients["breast_density"].fillna("").to_dict() == {"s1": "", "s2": "b"}  # s1: c and d
    assert check(out)[0].severity == "warning"  # the mask of a1 has two regions


def test_every_image_is_used_or_named_with_its_fault(release: Path, tmp_path: Path) -> None:
    out = bring_in("vindr-mammo", release, tmp_path / "cohort")
    images, _, excluded = tables(out)
    assert "no finding is outlined" in excluded["a2"]
    assert "no finding is outlined" in excluded["a3"]
    assert "50 rows x 36 columns, but the table says 60 x 36" in excluded["b2"]
    assert "laterality is 'L' by the release, but 'R'" in excluded["b3"]
    assert "holds no pixel" in excluded["b4"]
    assert "b5.dicom does not exist" in excluded["b5"]
    assert len(images) + len(excluded) == 8
    assert read_json(out / "cohort.json")["import"]["n_images_excluded"] == 6


def test_images_without_findings_can_be_kept(release: Path, tmp_path: Path) -> None:
    out = bring_in("vindr-mammo", release, tmp_path / "cohort", images_without_mask="keep")
    images, _, _ = tables(out)
    assert images["mask"].notna().to_dict() == {"a1": True, "a2": False, "a3": False, "b1": True}
    assert images["mask_kind"].isna()["a2"]
    # They have no mask, not an empty one: a study leaves them out.
    left_out = [one.case for one in check(out) if one.found == "mask is empty"]
    assert left_out == ["a2", "a3"]


def test_normal_images_are_those_without_any_finding(release: Path, tmp_path: Path) -> None:
    # a2 has no mass, but a calcification; a further breast has a benign finding, or none listed.
    table = release / "breast-level_annotations.csv"
    table.write_text(BREASTS + "s1,x,a4,R,MLO,50,36,BI-RADS 2,DENSITY C,training\n")
    write_dicom(
        release / "images/s1/a4.dicom",
        noise(SHAPE, 20),
        ImageLaterality="R",
        ViewPosition="MLO",
        ImagerPixelSpacing=["0.1", "0.1"],
    )
    out = bring_in("vindr-mammo", release, tmp_path / "cohort", images_without_mask="normal")
    images, _, excluded = tables(out)
    assert images.index.tolist() == ["a3"]
    assert images["mask"].isna().all()
    assert len(excluded) == 8
    assert "does not say that it is normal" in excluded["a4"]
    assert "does not say that it is normal" in excluded["b5"]  # its file is not needed


@pytest.mark.parametrize("dataset", ["cbis-ddsm", "cmmd"])
def test_normal_images_of_a_data_set_without_any(
    dataset: str, release: Path, tmp_path: Path
) -> None:
    with pytest.raises(MammoroiError, match=f"{dataset} tells of no image that it is normal"):
        bring_in(dataset, release, tmp_path / "cohort", images_without_mask="normal")


def test_an_unknown_finding_is_refused_with_the_nearest(release: Path, tmp_path: Path) -> None:
    with pytest.raises(MammoroiError, match="did you mean 'Mass'"):
        bring_in("vindr-mammo", release, tmp_path / "cohort", findings=("Masses",))


def test_a_given_spacing_is_for_the_files_without_one(release: Path, tmp_path: Path) -> None:
    write_dicom(
        release / "images/s1/a1.dicom", noise(SHAPE, 0), ImageLaterality="L", ViewPosition="CC"
    )
    out = bring_in("vindr-mammo", release, tmp_path / "cohort", spacing_mm=0.085)
    images, _, _ = tables(out)
    assert images["spacing_mm"].fillna("").to_dict() == {"a1": "0.085", "b1": ""}
    assert images["spacing_source"].fillna("").to_dict() == {"a1": "estimated", "b1": ""}
    assert {problem.severity for problem in check(out)} == {"warning"}  # the mask of two regions


def test_a_file_that_was_cut_short(release: Path, tmp_path: Path) -> None:
    file = release / "images/s1/a1.dicom"
    file.write_bytes(file.read_bytes()[:-400])
    images, _, excluded = tables(bring_in("vindr-mammo", release, tmp_path / "cohort"))
    assert images.index.tolist() == ["b1"]
    assert "holds 3200 bytes of pixels of the 3600" in excluded["a1"]


def test_a_compressed_file_is_taken_and_seen_when_it_was_cut_short(
    release: Path, tmp_path: Path
) -> None:
    for name, lost in (("s1/a1", 0), ("s2/b1", 400)):
        file = release / f"images/{name}.dicom"
        image = dcmread(file)
        image.compress(RLELossless)
        image.save_as(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size - lost])
    images, _, excluded = tables(bring_in("vindr-mammo", release, tmp_path / "cohort"))
    assert images.index.tolist() == ["a1"]
    assert "ends before its attributes do" in excluded["b1"]


def test_a_bad_cell_costs_its_image_only(release: Path, tmp_path: Path) -> None:
    table = release / "breast-level_annotations.csv"
    rest = "L,CC,50,36,BI-RADS 4,DENSITY C,training"
    bad = BREASTS.replace("s2,x,b1,R,CC,50,", "s2,x,b1,R,CC,,")
    table.write_text(f"{bad},x,c1,{rest}\ns3,x,,{rest}\n")
    images, _, excluded = tables(bring_in("vindr-mammo", release, tmp_path / "cohort"))
    assert images.index.tolist() == ["a1"]
    assert "height and width are '' and '36'" in excluded["b1"]
    assert excluded["c1"] == "breast-level_annotations.csv, line 10: study_id is empty"
    line = "breast-level_annotations.csv, line 11"
    assert excluded[line] == f"{line}: image_id is empty"


def test_findings_of_images_that_no_breast_has(release: Path, tmp_path: Path) -> None:
    rows = "c1,['Mass'],BI-RADS 4,1,1,5,5\n"
    (release / "finding_annotations.csv").write_text(f"{FINDINGS}{rows}{rows}{rows[2:]}")
    _, _, excluded = tables(bring_in("vindr-mammo", release, tmp_path / "cohort"))
    assert excluded["c1"] == (
        "a row in finding_annotations.csv (line 12), but none in breast-level_annotations.csv"
    )
    line = "finding_annotations.csv, line 14"
    assert excluded[line] == f"{line}: image_id is empty"


def test_names_that_differ_in_capitals_only(release: Path, tmp_path: Path) -> None:
    table = release / "breast-level_annotations.csv"
    table.write_text(f"{BREASTS}s2,x,A1,L,CC,50,36,BI-RADS 1,DENSITY C,test\n")
    out = bring_in("vindr-mammo", release, tmp_path / "cohort", images_without_mask="keep")
    images, _, excluded = tables(out)
    assert "a1" in images.index
    assert "occurs twice" in excluded["A1"]
