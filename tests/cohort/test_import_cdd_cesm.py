"""CDD-CESM, read from a small replica of its release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoroi.cohort.check import check
from mammoroi.cohort.import_outlines import filled, outlines_nothing
from mammoroi.cohort.import_via import corners_of
from mammoroi.cohort.import_workbook import read_sheet
from mammoroi.errors import MammoroiError

from .cesm_replica import (
    HEADING,
    LINE,
    LOOP,
    LOW,
    POINT,
    ROWS,
    SHAPE,
    build,
    polygon,
    write_workbook,
)
from .releases import bring_in, mask_of, tables


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return build(tmp_path / "CDD-CESM")


def test_images_that_name_a_mass(release: Path, tmp_path: Path) -> None:
    out = bring_in("cdd-cesm", release, tmp_path / "cohort")
    images, patients, _ = tables(out)
    assert images.index.tolist() == ["P1_L_DM_CC", "P1_L_DM_MLO", "P2_R_DM_CC"]
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    square = (rows >= 10) & (rows <= 20) & (columns >= 4) & (columns <= 12)
    circle = (rows - 30) ** 2 + (columns - 20) ** 2 < 9
    drawn = mask_of(out, images, "P1_L_DM_MLO", SHAPE)
    unsure = (rows - 30) ** 2 + (columns - 20) ** 2 == 9  # centres on the very edge of the circle
    assert (drawn == square | circle)[~unsure].all()
    assert (mask_of(out, images, "P1_L_DM_CC", SHAPE) == square).all()
    row = images.loc["P1_L_DM_MLO"]
    assert row[["view", "laterality", "birads", "findings"]].tolist() == [
        "MLO",
        "L",
        "5",
        "High density mass",
    ]
    assert row[["n_findings", "n_not_drawn", "mask_kind"]].tolist() == ["2", "1", "outline"]
    assert row[["image_type", "device", "outlined_file"]].tolist() == [
        "low energy",
        "machine 1",
        "same",
    ]
    row = images.loc["P1_L_DM_CC"]
    assert row[["birads", "findings"]].tolist() == [
        "5; 2",
        "High density mass; Benign macrocalcification",
    ]
    assert row["outlined_file"] == "other"
    assert patients.loc["1"].to_dict() == {"age": "44", "breast_density": "c", "malignant": "yes"}
    assert patients.loc["2", "malignant"] == "no"


def test_no_spacing_is_invented(release: Path, tmp_path: Path) -> None:
    out = bring_in("cdd-cesm", release, tmp_path / "cohort")
    images, _, _ = tables(out)
    assert images[["spacing_mm", "spacing_source"]].isna().all(axis=None)
    problems = check(out)
    assert {problem.severity for problem in problems} == {"warning"}
    assert any("spacing_mm" in problem.action for problem in problems)
    given, _, _ = tables(bring_in("cdd-cesm", release, tmp_path / "given", spacing_mm=0.094))
    assert given["spacing_mm"].to_dict() == {
        "P1_L_DM_CC": "0.094",
        "P1_L_DM_MLO": "0.094",
        "P2_R_DM_CC": pytest.approx(np.nan, nan_ok=True),  # another machine, another detector
    }
    assert set(given["spacing_source"].dropna()) == {"estimated"}


def test_every_image_is_used_or_named_with_its_fault(release: Path, tmp_path: Path) -> None:
    out = bring_in("cdd-cesm", release, tmp_path / "cohort")
    images, _, excluded = tables(out)
    for name, found in {
        "P1_R_DM_MLO": "no finding is outlined",
        "P3_L_DM_MLO": "no finding is outlined in it that is asked for (Mass)",
        "P4_L_DM_CC": "nothing is outlined in it, but its report",
        "P4_L_DM_MLO": "its 3 regions are points or open lines",
        "P5_L_DM_CC": "outside of the image of 48 rows x 32 columns by",
        "P5_L_DM_MLO": "no JSON of the VGG Image Annotator",
        "P5_R_DM_CC": "has the shape 'rect'",
        "P6_L_DM_CC": "side is 'R' in the workbook, but L in the name",
        "P6_L_DM_MLO": "cannot be decoded",
        "P6_R_DM_MLO": "colour image",
        "P7_R_DM_CC": "no image of it, but a row in Radiology-manual-annotations.xlsx",
        "P8_R_DM_CC": "the workbook has no row for it",
        "P9_L_DM_CC": "but a row in Radiology_hand_drawn_segmentations_v2.csv",
        "scan 1": "not named like an image of CDD-CESM",
    }.items():
        assert found in excluded.pop(name), name
    assert excluded == {}
    n_low = sum("_DM_" in str(row[0]) for row in ROWS)
    assert len(images) + 14 == n_low + 3  # and P8, P9 and the scan


def test_a_region_at_the_border_is_cut_off(release: Path, tmp_path: Path) -> None:
    out = bring_in("cdd-cesm", release, tmp_path / "cohort")
    images, _, _ = tables(out)
    mask = mask_of(out, images, "P2_R_DM_CC", SHAPE)
    assert mask[24, :6].all()
    assert mask.sum() == pytest.approx(np.pi * 36 / 2 + 6, abs=4)


def test_all_findings_and_healthy_breasts(release: Path, tmp_path: Path) -> None:
    out = bring_in(
        "cdd-cesm",
        release,
        tmp_path / "cohort",
        findings=("all",),
        images_without_mask="keep",
    )
    images, _, excluded = tables(out)
    assert images.index.tolist() == [
        "P1_L_DM_CC",
        "P1_L_DM_MLO",
        "P1_R_DM_MLO",
        "P2_R_DM_CC",
        "P3_L_DM_MLO",
    ]
    assert images.index[images["mask"].isna()].tolist() == ["P1_R_DM_MLO"]
    assert "nothing is outlined" in excluded["P4_L_DM_CC"]  # not healthy: no empty mask


def test_subtracted_images_by_choice(release: Path, tmp_path: Path) -> None:
    out = bring_in("cdd-cesm", release, tmp_path / "cohort", subtracted=True)
    images, _, excluded = tables(out)
    assert images.loc["P1_L_CM_MLO", "image_type"] == "subtracted"
    assert "P1_L_CM_CC" in excluded  # non-mass enhancement is no mass
    with pytest.raises(MammoroiError, match="cmmd has no subtracted images"):
        bring_in("cmmd", release, tmp_path / "other", subtracted=True)


def test_a_name_that_is_there_twice(release: Path, tmp_path: Path) -> None:
    name = release / LOW / "P1_L_DM_CC.jpg"
    name.write_bytes((release / LOW / "P1_L_DM_CC .jpg").read_bytes())
    _, _, excluded = tables(bring_in("cdd-cesm", release, tmp_path / "cohort"))
    assert "occurs twice" in excluded["P1_L_DM_CC"]


def test_gathered_files_lose_the_blank(release: Path, tmp_path: Path) -> None:
    out = bring_in("cdd-cesm", release, tmp_path / "cohort", gather=True)
    assert (out / "images/P1_L_DM_CC.jpg").is_file()


def test_the_older_name_and_a_sheet_saved_as_csv(release: Path, tmp_path: Path) -> None:
    first = bring_in("cdd-cesm", release, tmp_path / "first")
    book = release / "Radiology-manual-annotations.xlsx"
    sheet = pd.DataFrame(ROWS, columns=HEADING)
    book.rename(release / "Radiology manual annotations.xlsx")
    second = bring_in("cdd-cesm", release, tmp_path / "second")
    (release / "Radiology manual annotations.xlsx").unlink()
    sheet.to_csv(release / "Radiology-manual-annotations.csv", index=False)
    third = bring_in("cdd-cesm", release, tmp_path / "third")
    assert (first / "cohort.csv").read_bytes() == (second / "cohort.csv").read_bytes()
    assert (first / "cohort.csv").read_bytes() == (third / "cohort.csv").read_bytes()


def test_what_is_missing_is_named(release: Path, tmp_path: Path) -> None:
    with pytest.raises(MammoroiError, match="names 'oedema' in Findings or Tags"):
        bring_in("cdd-cesm", release, tmp_path / "cohort", findings=("oedema",))
    with pytest.raises(MammoroiError, match="did you mean 'edema'"):
        bring_in("cdd-cesm", release, tmp_path / "cohort", findings=("oedema",))
    book = release / "Radiology-manual-annotations.xlsx"
    write_workbook(book, [row[:-1] for row in ROWS], HEADING[:-1])
    with pytest.raises(MammoroiError, match="no column 'pathology classification/ follow up'"):
        bring_in("cdd-cesm", release, tmp_path / "cohort")
    book.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(MammoroiError, match="cannot be read as a workbook"):
        bring_in("cdd-cesm", release, tmp_path / "cohort")
    book.unlink()
    with pytest.raises(MammoroiError, match="holds no Radiology-manual-annotations"):
        bring_in("cdd-cesm", release, tmp_path / "cohort")
    write_workbook(book, ROWS)
    (release / LOW).rename(release / "pictures")
    with pytest.raises(MammoroiError, match="no folder 'Low energy images of CDD-CESM'"):
        bring_in("cdd-cesm", release, tmp_path / "cohort")


def test_sheets_are_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    write_workbook(path, [["a ", 44.0, 0.5, None]], ["Name", "Age", "Size", "Note"])
    sheet = read_sheet(path, "ALL")
    assert sheet.to_dict("records") == [{"Name": "a", "Age": "44", "Size": "0.5", "Note": None}]
    with pytest.raises(MammoroiError, match="no sheet 'none' \\(it has all, mass_description\\)"):
        read_sheet(path, "none")
    write_workbook(path, [], ["Name", "Name"])
    with pytest.raises(MammoroiError, match="two columns 'Name'"):
        read_sheet(path, "all")


@pytest.mark.parametrize("theta", [0.0, 0.6, -1.2])
def test_a_turned_ellipse(theta: float) -> None:
    """Clockwise as seen, rows running downwards: as the canvas of a browser turns it."""
    shape = {"name": "ellipse", "cx": 60, "cy": 50, "rx": 40, "ry": 15, "theta": theta}
    mask, within = filled(corners_of(json.dumps(shape)), (100, 120))
    rows, columns = np.mgrid[:100, :120]
    along = (columns - 60) * np.cos(theta) + (rows - 50) * np.sin(theta)
    across = -(columns - 60) * np.sin(theta) + (rows - 50) * np.cos(theta)
    distance = (along / 40) ** 2 + (across / 15) ** 2
    clear = abs(distance - 1) > 0.01
    assert (mask == (distance < 1))[clear].all()
    assert within == 1.0


@pytest.mark.parametrize(
    ("shape", "nothing"),
    [
        (POINT, True),
        (LINE, True),
        (LOOP, False),
        (polygon((1, 1), (5, 5), (9, 9), (3, 3)), True),  # on one line
        (polygon((1, 1), (1, 1), (1, 1)), True),
        (polygon((1, 1), (1.2, 1), (1.2, 1.3)), False),  # smaller than a pixel, not lost
        (polygon((1, 1), (2, 2)), True),
    ],
)
def test_what_outlines_nothing(shape: dict[str, Any], nothing: bool) -> None:
    corners = corners_of(json.dumps(shape))
    assert outlines_nothing(corners) == nothing
    if not nothing:
        assert filled(corners, SHAPE)[0].any()


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "circle", "cx": 5, "cy": None, "r": 2},
        {"name": "ellipse", "cx": 5, "cy": 5, "rx": 2},
        {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]},
        {"name": "circle", "cx": float("nan"), "cy": 5, "r": 2},
        ["polygon"],
        {"cx": 5},
    ],
)
def test_shapes_that_lack_a_number(shape: Any) -> None:
    with pytest.raises(MammoroiError, match="lacks a number"):
        corners_of(json.dumps(shape))


def test_an_absurd_region_is_not_drawn() -> None:
    corners = corners_of(json.dumps({"name": "circle", "cx": 10, "cy": 10, "r": 1e12}))
    mask, within = filled(corners, SHAPE)
    assert within == 0.0
    assert not mask.any()
