"""CDD-CESM in the layout of its release: JPEG, a workbook, regions of the VGG Image Annotator."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
from PIL import Image, ImageDraw

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
SAME_SIZE = "P1_L_DM_MLO.jpg"
"""The image on which the regions were drawn by its size in bytes."""

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


def build(
    folder: Path, rows: list[list[Any]] = ROWS, regions: dict[str, list[Any]] = REGIONS
) -> Path:
    """Write a release.

    P7 has a row and no file; P8 a file and no row; P9 regions only; P6_L_DM_MLO is cut short.
    """
    (folder / LOW).mkdir(parents=True)
    (folder / SUBTRACTED).mkdir()
    (folder / LOW / "desktop.ini").write_text("[]")
    rng = np.random.default_rng(0)
    names = [str(row[0]) for row in rows if row[0] != "P7_R_DM_CC"]
    for name in [*names, "P8_R_DM_CC", "scan 1"]:
        place = SUBTRACTED if "_CM_" in name else LOW
        pixels = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        image = Image.fromarray(pixels)
        if name in ("P1_L_DM_MLO", "P6_R_DM_MLO"):  # three channels, as many JPEG files have
            image = Image.merge("RGB", [image] * 3)
        if name == "P6_R_DM_MLO":
            ImageDraw.Draw(image).rectangle((0, 0, 20, 20), fill=(255, 0, 0))
        image.save(folder / place / f"{name}.jpg", quality=95)
        if name == "P6_L_DM_MLO":
            file = folder / place / f"{name}.jpg"
            file.write_bytes(file.read_bytes()[:600])
    write_workbook(folder / "Radiology-manual-annotations.xlsx", rows)
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
        for name, drawn in regions.items():
            size = (folder / LOW / name).stat().st_size if name == SAME_SIZE else 123
            for number, region in enumerate(drawn or [{}]):
                text = region if isinstance(region, str) else json.dumps(region)
                table.writerow([name, size, "{}", len(drawn), number, text, "{}"])
    return folder
