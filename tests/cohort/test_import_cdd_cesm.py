"""CDD-CESM in the layout of its release: JPEG, a workbook, regions of the VGG Image Annotator."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from mammoroi.cohort.check import check
from mammoroi.cohort.import_outlines import filled, outlines_nothing
from mammoroi.cohort.import_via import corners_of
from mammoroi.cohort.import_workbook import read_sheet
from mammoroi.errors import MammoroiError

from .releases import bring_in, mask_of, tables

SHAPE = (48, 32)
LOW = "PKG - CDD-CESM/CDD-CESM/Low energy images of CDD-CESM"
SUBTRACTED = "PKG - CDD-CESM/CDD-CESM/Subtracted images of CDD-CESM"
HEADING = [
    "Image_name",
    "Patient_ID",
    "Side",
    "Type",
    "Age",
    "Breast density (ACR)",
    "BIRADS",
    "Findings",
    "View",
    "Tags",
    "Machine",
    "Pathology Classification/ Follow up",
]
ROWS: list[list[Any]] = [
    # the mass of a patient, a blank behind two names, an image without row, one of another machine
    ["P1_L_DM_MLO", 1, "L", "DM", 44, "C", 5, "High density mass", "MLO", "mass", 1, "Malignant"],
    ["P1_L_DM_CC ", 1, "L", "DM", 44, "C", "5$2", "High density mass $Benign macrocalcification",
     "CC", "malignant mass, macrocalcification", 1, "Malignant"],
    ["P1_L_CM_MLO", 1, "L", "CESM", 44, "_", 5, "Heterogeneous mass enhancement", "MLO",
     "mass enhancement", 1, "Malignant"],
    ["P1_L_CM_CC", 1, "L", "CESM", 44, "_", 4, "Non mass enhancement", "CC",
     "non-mass enhancement", 1, "Malignant"],
    ["P1_R_DM_MLO", 1, "R", "DM", 44, "C", 1, "Normal", "MLO", "normal", 1, "Normal"],
    ["P2_R_DM_CC", 2, "R", "DM", 51, "B", 3, "Two equal density masses", "CC", "masses", 2,
     "Benign"],
    ["P3_L_DM_MLO", 3, "L", "DM", 60, "A", 4, "Diffuse edematous changes", "MLO", "edema", 1,
     "Benign"],
    # masses that cannot be drawn, in their order: nothing outlined; points and a line only; a
    # region outside; no JSON; a box; another side; a damaged file; a colour image; no file
    ["P4_L_DM_CC", 4, "L", "DM", 61, "D", 4, "Mass", "CC", "mass", 1, "Benign"],
    ["P4_L_DM_MLO", 4, "L", "DM", 61, "D", 4, "Mass", "MLO", "mass", 1, "Benign"],
    ["P5_L_DM_CC", 5, "L", "DM", 62, "D", 4, "Mass", "CC", "mass", 1, "Benign"],
    ["P5_L_DM_MLO", 5, "L", "DM", 62, "D", 4, "Mass", "MLO", "mass", 1, "Benign"],
    ["P5_R_DM_CC", 5, "R", "DM", 62, "D", 4, "Mass", "CC", "mass", 1, "Benign"],
    ["P6_L_DM_CC", 6, "R", "DM", 63, "D", 4, "Mass", "CC", "mass", 1, "Benign"],
    ["P6_L_DM_MLO", 6, "L", "DM", 63, "D", 4, "Mass", "MLO", "mass", 1, "Benign"],
    ["P6_R_DM_MLO", 6, "R", "DM", 63, "D", 4, "Mass", "MLO", "mass", 1, "Benign"],
    ["P7_R_DM_CC", 7, "R", "DM", 64, "D", 4, "Mass", "CC", "mass", 1, "Benign"],
]  # fmt: skip


def polygon(*points: tuple[float, float]) -> dict[str, Any]:
    """Describe a polygon by its corners, (column, row)."""
    x, y = zip(*points, strict=True)
    return {"name": "polygon", "all_points_x": x, "all_points_y": y}


SQUARE = polygon((4, 10), (12, 10), (12, 20), (4, 20))
CIRCLE = {"name": "circle", "cx": 20, "cy": 30, "r": 3}
ELLIPSE = {"name": "ellipse", "cx": 16, "cy": 24, "rx": 5, "ry": 9}
POINT = {"name": "point", "cx": 5, "cy": 6}
LINE = {"name": "polyline", "all_points_x": [1, 9, 17], "all_points_y": [1, 2, 1]}
LOOP = {"name": "polyline", "all_points_x": [4, 12, 12, 4, 4], "all_points_y": [10, 10, 20, 20, 11]}
REGIONS: dict[str, list[Any]] = {
    "P1_L_DM_MLO.jpg": [SQUARE, CIRCLE, POINT],
    "P1_L_DM_CC .jpg": [LOOP],
    "P1_L_CM_MLO.jpg": [ELLIPSE],
    "P1_L_CM_CC.jpg": [SQUARE],
    "P1_R_DM_MLO.jpg": [],
    "P2_R_DM_CC.jpg": [{"name": "circle", "cx": 0, "cy": 24, "r": 6}],  # half of it in the image
    "P3_L_DM_MLO.jpg": [ELLIPSE],
    "P4_L_DM_MLO.jpg": [POINT, LINE, {**CIRCLE, "r": 0}],
    "P5_L_DM_CC.jpg": [SQUARE, {"name": "circle", "cx": 36, "cy": 24, "r": 6}],
    "P5_L_DM_MLO.jpg": ["{'name': 'polygon'"],
    "P5_R_DM_CC.jpg": [{"name": "rect", "x": 1, "y": 1, "width": 5, "height": 5}],
    "P6_L_DM_CC.jpg": [SQUARE],
    "P6_L_DM_MLO.jpg": [SQUARE],
    "P6_R_DM_MLO.jpg": [SQUARE],
    "P9_L_DM_CC.jpg": [SQUARE],
}


def write_workbook(path: Path, rows: list[list[Any]], heading: list[str] = HEADING) -> None:
    book = openpyxl.Workbook()
    book.active.title = "all"
    for row in [heading, *rows, [None] * len(heading)]:
        book["all"].append(row)
    book.create_sheet("mass_description").append(["Image_name"])
    book.save(path)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """P7 has a row and no file; P8 a file and no row; P9 regions only; P6_L_DM_MLO is cut short."""
    folder = tmp_path / "CDD-CESM"
    (folder / LOW).mkdir(parents=True)
    (folder / SUBTRACTED).mkdir()
    (folder / LOW / "desktop.ini").write_text("[]")
    rng = np.random.default_rng(0)
    names = [str(row[0]) for row in ROWS if row[0] != "P7_R_DM_CC"]
    for name in [*names, "P8_R_DM_CC", "scan 1"]:
        place = SUBTRACTED if "_CM_" in name else LOW
        pixels = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        image = Image.fromarray(pixels)
        if name in ("P1_L_DM_MLO", "P6_R_DM_MLO"):  # three channels, as many JPEG files have
            image = Image.merge("RGB", [image] * 3)
        if name == "P6_R_DM_MLO":
            ImageDraw.Draw(image).rectangle((0, 0, 20, 20), fill=(255, 0, 0))
        image.save(folder / place / f"{name}.jpg", quality=95)
    damaged = folder / LOW / "P6_L_DM_MLO.jpg"
    damaged.write_bytes(damaged.read_bytes()[:600])
    write_workbook(folder / "Radiology-manual-annotations.xlsx", ROWS)
    with (folder / "Radiology_hand_drawn_segmentations_v2.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(
            [
                "#filename",
                "file_size",
                "file_attributes",
                "region_count",
                "region_id",
                "region_shape_attributes",
                "region_attributes",
            ]
        )
        for name, regions in REGIONS.items():
            size = (folder / LOW / name).stat().st_size if name == "P1_L_DM_MLO.jpg" else 123
            for number, region in enumerate(regions or [{}]):
                text = region if isinstance(region, str) else json.dumps(region)
                table.writerow([name, size, "{}", len(regions), number, text, "{}"])
    return folder


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
        "P4_L_DM_CC": "names a finding that is asked for, but nothing is outlined",
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


def test_normal_breasts_alone(release: Path, tmp_path: Path) -> None:
    out = bring_in("cdd-cesm", release, tmp_path / "cohort", images_without_mask="normal")
    images, _, excluded = tables(out)
    assert images.index.tolist() == ["P1_R_DM_MLO"]
    assert images["mask"].isna().all()
    assert "does not say that it is normal" in excluded["P4_L_DM_CC"]
    assert "does not say that it is normal" in excluded["P1_L_DM_CC"]


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
