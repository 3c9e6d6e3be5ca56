"""INbreast in the layout of its release, outlines in OsiriX' property lists."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoroi.cohort.check import check
from mammoroi.errors import MammoroiError

from .releases import bring_in, mask_of, noise, tables, write_dicom

SHAPE = (48, 32)
FILES = {
    "20586908": "6c613a14b80a8591_MG_R_CC",
    "20586934": "6c613a14b80a8591_MG_L_ML",
    "22580192": "5530d5782fc89dd7_MG_R_ML",
    "22580218": "5530d5782fc89dd7_MG_R_CC",
    "22580244": "5530d5782fc89dd7_MG_L_CC",
    "22613650": "0b7396cdccacca82_MG_L_CC",
    "22613676": "0b7396cdccacca82_MG_L_ML",
}
TABLE = """\
Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads
removed;removed;R;CC;201001;20586908;4;4a
removed;removed;L;MLO;201001;20586934;4;1
removed;removed;R;MLO;201001;22580192;1;2
removed;removed;L;CC;201001;22580218;1;6
removed;removed;L;CC;201001;22580244;1;6
removed;removed;L;CC;201001;22613650;2;5
removed;removed;L;MLO;201001;22613676;3;5
removed;removed;L;CC;201001;99999999;3;5
;;;;;;;
"""


def region(name: str, *points: tuple[float, float]) -> dict[str, Any]:
    """Describe a region by its corners, (column, row)."""
    texts = [f"({x:f}, {y:f})" for x, y in points]
    return {"Name": name, "NumberOfPoints": len(points), "Point_px": texts, "Type": 15}


SQUARE = ((4.0, 10.0), (12.0, 10.0), (12.0, 20.0), (4.0, 20.0))
TINY = ((20.3, 30.3), (20.4, 30.3), (20.4, 30.4))
REGIONS: dict[str, list[dict[str, Any]]] = {
    "20586908": [
        region("Mass", *SQUARE),
        region("MASS", *TINY),
        region("Mass", (1.0, 1.0)),
        region("Calcification", (25.0, 40.0)),
    ],
    "22580192": [region("Calcification", (5.0, 6.0)), region("Espiculated Region", *SQUARE)],
    "22580218": [region("Mass", *SQUARE)],
    "22580244": [region("Mass", (5.0, 6.0))],
    "22613650": [region("Mass", (4.0, 10.0), (40.0, 10.0), (12.0, 20.0))],
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """20586934 has no XML; 22613676 one that is damaged; 99999999 no image."""
    folder = tmp_path / "INbreast Release 1.0"
    (folder / "AllXML").mkdir(parents=True)
    for number, rest in FILES.items():
        name = folder / f"AllDICOMs/{number}_{rest}_ANON.dcm"
        write_dicom(name, noise(SHAPE, int(number)))
    for number, regions in REGIONS.items():
        images = [{"ImageIndex": 0, "NumberOfROIs": len(regions), "ROIs": regions}]
        (folder / f"AllXML/{number}.xml").write_bytes(plistlib.dumps({"Images": images}))
    (folder / "AllXML/22613676.xml").write_text("<plist><dict>")
    (folder / "INbreast.csv").write_text(TABLE)
    return folder


def test_outlines_are_drawn_pixel_by_pixel(release: Path, tmp_path: Path) -> None:
    out = bring_in("inbreast", release, tmp_path / "cohort")
    images, patients, _ = tables(out)
    assert images.index.tolist() == ["20586908"]
    expected = np.zeros(SHAPE, bool)
    expected[10:21, 4:13] = True  # corners on pixel centres belong to the region
    expected[30, 20] = True  # smaller than a pixel, not lost
    assert (mask_of(out, images, "20586908", SHAPE) == expected).all()
    row = images.loc["20586908"]
    assert row[["view", "laterality", "birads"]].tolist() == ["CC", "R", "4a"]
    assert row[["findings", "n_findings", "n_points"]].tolist() == ["mass", "2", "1"]
    assert patients["breast_density"].to_dict() == {"6c613a14b80a8591": "d"}
    assert {problem.severity for problem in check(out)} == {"warning"}  # no spacing, two regions


def test_every_image_is_used_or_named_with_its_fault(release: Path, tmp_path: Path) -> None:
    out = bring_in("inbreast", release, tmp_path / "cohort")
    images, _, excluded = tables(out)
    assert "no finding is outlined" in excluded["20586934"]
    assert "no finding is outlined" in excluded["22580192"]
    assert "L CC in the table, but R CC in the name" in excluded["22580218"]
    assert "by points only" in excluded["22580244"]
    assert "leaves the image of 48 rows x 32 columns" in excluded["22613650"]
    assert "no list of OsiriX regions" in excluded["22613676"]
    assert "no DICOM file" in excluded["99999999"]
    assert len(images) + len(excluded) == 8


def test_other_findings_and_healthy_breasts(release: Path, tmp_path: Path) -> None:
    out = bring_in(
        "inbreast",
        release,
        tmp_path / "cohort",
        findings=("Spiculated region",),
        images_without_mask="keep",
    )
    images, _, _ = tables(out)
    assert images["mask"].dropna().index.tolist() == ["22580192"]
    assert images.loc["20586934", "view"] == "MLO"
    assert {"20586934", "20586908"} < set(images.index)


def test_normal_images_alone(release: Path, tmp_path: Path) -> None:
    # 20586934 has no region and BI-RADS 1; without its region 22613650 would still be BI-RADS 5.
    (release / "AllXML/22613650.xml").unlink()
    out = bring_in("inbreast", release, tmp_path / "cohort", images_without_mask="normal")
    images, _, excluded = tables(out)
    assert images.index.tolist() == ["20586934"]
    assert images["mask"].isna().all()
    assert "does not say that it is normal" in excluded["22613650"]
    assert "does not say that it is normal" in excluded["20586908"]


def test_a_workbook_is_to_be_saved_as_csv(release: Path, tmp_path: Path) -> None:
    (release / "INbreast.csv").rename(release / "INbreast.xls")
    with pytest.raises(MammoroiError, match="workbook only -> save it"):
        bring_in("inbreast", release, tmp_path / "cohort")


def test_a_table_that_a_program_took_for_decimal_numbers(release: Path, tmp_path: Path) -> None:
    # The workbook ends in two rows that are no images, so that pandas makes 20586908.0 of numbers.
    first = bring_in("inbreast", release, tmp_path / "first")
    table = release / "INbreast.csv"
    rows = pd.read_csv(table, sep=";", dtype=str)
    rows["File Name"] = pd.to_numeric(rows["File Name"])
    rows["ACR"] = pd.to_numeric(rows["ACR"])
    rows.loc[len(rows), "Patient age"] = "N=115"
    rows.to_csv(table, index=False)
    assert "20586908.0" in table.read_text()
    second = bring_in("inbreast", release, tmp_path / "second")
    rows.to_excel(table.with_suffix(".xlsx"), index=False)
    table.unlink()
    third = bring_in("inbreast", release, tmp_path / "third")
    for name in ("cohort.csv", "patients.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert (first / name).read_bytes() == (third / name).read_bytes()


def test_rows_of_an_image_that_contradict_each_other(release: Path, tmp_path: Path) -> None:
    row = "removed;removed;R;CC;201001;20586908;4;4a\n"
    table = release / "INbreast.csv"
    table.write_text(TABLE.replace(row, row + row))
    first = bring_in("inbreast", release, tmp_path / "first")
    assert tables(first)[0].loc["20586908", "birads"] == "4a"
    table.write_text(TABLE.replace(row, row + row.replace("4a", "5")))
    second = bring_in(
        "inbreast", release, tmp_path / "second", findings=("Spiculated region", "Mass")
    )
    images, _, excluded = tables(second)
    assert images.index.tolist() == ["22580192"]
    assert "2 rows for it, on which Bi-Rads differs: 4a, 5" in excluded["20586908"]


def test_two_files_of_a_number(release: Path, tmp_path: Path) -> None:
    file = release / f"AllDICOMs/20586908_{FILES['20586908']}_ANON.dcm"
    write_dicom(file.with_name("20586908_ffffffffffffffff_MG_R_CC_ANON.dcm"), noise(SHAPE, 1))
    out = bring_in("inbreast", release, tmp_path / "cohort", findings=("Spiculated region",))
    images, _, excluded = tables(out)
    assert "20586908" not in images.index
    assert "there are 2 files of it: 20586908_6c" in excluded["20586908"]
    rows = pd.read_csv(out / "excluded.csv", dtype=str)
    assert (rows["case"] == "20586908").sum() == 2
    assert len(images) + len(rows) == len(FILES) + 2  # the second file, and the row without one


def test_names_in_capitals_and_files_of_macos(release: Path, tmp_path: Path) -> None:
    first = bring_in("inbreast", release, tmp_path / "first")
    file = release / f"AllDICOMs/20586908_{FILES['20586908']}_ANON.dcm"
    file.rename(file.with_suffix(".DCM"))
    file.with_name("._20586934.dcm").write_bytes(b"\0\5\x16\7")
    second = bring_in("inbreast", release, tmp_path / "second")
    assert (first / "excluded.csv").read_bytes() == (second / "excluded.csv").read_bytes()
    assert tables(second)[0].index.tolist() == ["20586908"]
