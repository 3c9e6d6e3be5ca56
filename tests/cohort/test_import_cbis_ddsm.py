"""CBIS-DDSM in the layout of its download, with the faults that it has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mammoroi.cohort.accept import accept
from mammoroi.cohort.check import check
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.import_release import files_below
from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_json

from .releases import bring_in, mask_of, noise, tables, write_dicom

SHAPE = (40, 30)
HEADING = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,"
    "mass shape,mass margins,assessment,pathology,subtlety,image file path,"
    "cropped image file path,ROI mask file path\n"
)


class Download:
    """A folder as the archive's program leaves it: dates and series between case and file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, list[str]] = {"train": [], "test": []}

    def image(self, part: str, patient: str, side: str = "LEFT", view: str = "CC") -> str:
        case = f"Mass-{'Training' if part == 'train' else 'Test'}_{patient}_{side}_{view}"
        folder = self.folder / f"CBIS-DDSM/{case}/07-20-2016-DDSM-NA-30288"
        file = folder / "1.000000-full mammogram images-24515/1-1.dcm"
        pixels = noise(SHAPE, sum(map(ord, case)))
        # The header of digitised film has the view where directions belong.
        write_dicom(file, pixels, PatientOrientation=view, PatientID=case)
        return case

    def finding(
        self,
        part: str,
        case: str,
        number: int,
        mask: np.ndarray[Any, Any] | None,
        *,
        pathology: str = "BENIGN",
        swapped: bool = False,
        apart: bool = False,
        density: str = "3",
    ) -> None:
        """Add a row, and mask and crop: in one series, the names exchanged, or in two series."""
        _, _, rest = case.partition("_")
        patient, side, view = rest.rsplit("_", 2)
        name = f"{case}_{number}"
        # The tables name other folders and files than the download, with a line break at the end.
        row = f"{patient},{density},{side},{view},{number},mass,OVAL,SPICULATED,4,{pathology},3,"
        row += f'{case}/1.3.6/1.3.7/000000.dcm,"{name}/1.3.6/1.3.8/000001.dcm\n",'
        row += f'"{name}/1.3.6/1.3.8/000000.dcm\n"\n'
        self.rows[part].append(row)
        if mask is None:
            return
        folder = self.folder / f"CBIS-DDSM/{name}/07-21-2016-DDSM-NA-1"
        files = ["1-2.dcm", "1-1.dcm"] if swapped else ["1-1.dcm", "1-2.dcm"]
        series = ["1.000000-ROI mask images-1", "1.000000-ROI mask images-1"]
        if apart:
            files, series = (
                ["1-1.dcm", "1-1.dcm"],
                ["1.0-ROI mask images-1", "1.0-cropped images-2"],
            )
        write_dicom(folder / series[0] / files[0], mask.astype(np.uint8) * 255, PatientID=name)
        write_dicom(folder / series[1] / files[1], noise((9, 8), number), PatientID=name)

    def close(self) -> Path:
        for part, rows in self.rows.items():
            table = self.folder / f"mass_case_description_{part}_set.csv"
            table.write_text(HEADING + "".join(rows))
        return self.folder


def disc(row: int, column: int, radius: int, shape: tuple[int, int] = SHAPE) -> Any:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


SMALL, LARGE = disc(10, 10, 2), disc(28, 20, 6)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    download = Download(tmp_path / "release")
    plain = download.image("train", "P_00001")
    download.finding("train", plain, 1, SMALL, pathology="MALIGNANT")
    two = download.image("train", "P_00001", view="MLO")
    download.finding("train", two, 1, SMALL, swapped=True)
    download.finding("train", two, 2, LARGE, apart=True, pathology="MALIGNANT")
    size = download.image("train", "P_00002", side="RIGHT")
    download.finding("train", size, 1, disc(12, 12, 3, (46, 35)))
    test = download.image("test", "P_00003")
    download.finding("test", test, 1, LARGE, pathology="BENIGN_WITHOUT_CALLBACK")
    absent = download.image("test", "P_00004")
    download.finding("test", absent, 1, None)
    download.finding("test", "Mass-Test_P_00005_LEFT_CC", 1, SMALL)
    both = download.image("train", "P_00006")
    download.finding("train", both, 1, SMALL)
    both = download.image("test", "P_00006", view="MLO")
    download.finding("test", both, 1, SMALL)
    other = download.image("train", "P_00007", side="RIGHT")
    download.finding("train", other, 1, SMALL, density="0")
    folder = download.close()
    table = folder / "mass_case_description_test_set.csv"
    row = download.rows["test"][0].replace("P_00003,3,LEFT", "P_00003,3,RIGHT")
    contradicting = row.replace("Mass-Test_P_00003_LEFT_CC", "Mass-Test_P_00003_LEFT_MLO")
    table.write_text(table.read_text() + contradicting)
    return folder


def test_masks_are_told_from_crops_and_united(release: Path, tmp_path: Path) -> None:
    out = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))
    images, patients, _ = tables(out)
    one, two, test = "_P_00001_LEFT_CC", "_P_00001_LEFT_MLO", "Mass-Test_P_00003_LEFT_CC"
    other = "Mass-Training_P_00007_RIGHT_CC"
    assert images.index.tolist() == [test, f"Mass-Training{one}", f"Mass-Training{two}", other]
    assert (mask_of(out, images, f"Mass-Training{one}", SHAPE) == SMALL).all()
    assert (mask_of(out, images, f"Mass-Training{two}", SHAPE) == (SMALL | LARGE)).all()
    assert images.loc[f"Mass-Training{two}", ["n_findings", "pathology"]].tolist() == [
        "2",
        "BENIGN; MALIGNANT",
    ]
    assert images["spacing_mm"].isna().all()
    assert images["mask_kind"].unique().tolist() == ["outline"]
    assert patients["malignant"].to_dict() == {
        "P_00001": "yes",
        "P_00003": "no",
        "P_00007": "no",
    }
    assert patients["breast_density"].fillna("").tolist() == ["c", "c", ""]


def test_every_image_is_used_or_named_with_its_fault(release: Path, tmp_path: Path) -> None:
    out = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))
    images, _, excluded = tables(out)
    assert (
        "has 46 rows x 35 columns, its image 40 x 30" in excluded["Mass-Training_P_00002_RIGHT_CC"]
    )
    assert "no DICOM file of Mass-Test_P_00004_LEFT_CC_1" in excluded["Mass-Test_P_00004_LEFT_CC"]
    assert "no DICOM file of Mass-Test_P_00005" in excluded["Mass-Test_P_00005_LEFT_CC"]
    for name in ("Mass-Training_P_00006_LEFT_CC", "Mass-Test_P_00006_LEFT_MLO"):
        assert "published split" in excluded[name]
    assert "RIGHT, CC in the table" in excluded["Mass-Test_P_00003_LEFT_MLO"]
    counts = read_json(out / "cohort.json")["import"]
    assert counts["n_images_in"] == len(images) + len(excluded) == 10


@pytest.mark.parametrize(("several", "left"), [("largest", LARGE), ("exclude", None)])
def test_several_findings_in_one_image(
    release: Path, tmp_path: Path, several: str, left: Any
) -> None:
    out = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",), several=several)
    images, _, excluded = tables(out)
    name = "Mass-Training_P_00001_LEFT_MLO"
    if left is None:
        assert "2 findings are outlined" in excluded[name]
    else:
        assert (mask_of(out, images, name, SHAPE) == left).all()


def test_a_study_takes_the_published_split_and_a_given_spacing(
    release: Path, tmp_path: Path
) -> None:
    out = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",), spacing_mm=0.045)
    assert {problem.severity for problem in check(out)} == {"warning"}  # the mask of two regions
    images, _, _ = tables(out)
    assert images["spacing_source"].unique().tolist() == ["estimated"]
    accept(CohortConfig(folder=out, n_folds=2), tmp_path / "study")
    splits = load_splits(tmp_path / "study")
    assert (set(splits.train), set(splits.test)) == ({"P_00001", "P_00007"}, {"P_00003"})


def test_masses_and_calcifications_are_kept_apart(release: Path, tmp_path: Path) -> None:
    with pytest.raises(MammoroiError, match="choose one"):
        bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass", "calcification"))
    with pytest.raises(MammoroiError, match="calc_case_description_train_set"):
        bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("calcification",))


def changed(folder: Path, old: str, new: str, part: str = "train") -> None:
    """Write other text into a table."""
    table = folder / f"mass_case_description_{part}_set.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))


TWO = "Mass-Training_P_00001_LEFT_MLO"


def test_the_mask_of_another_image_is_refused(release: Path, tmp_path: Path) -> None:
    # All images have one size, so that the other mask would fit.
    changed(release, f'"{TWO}_2/1.3.6/1.3.8/000000', '"Mass-Training_P_00001_LEFT_CC_1/1/000000')
    out = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))
    images, _, excluded = tables(out)
    assert TWO not in images.index
    assert "leads to Mass-Training_P_00001_LEFT_CC_1" in excluded[TWO]
    assert f"those of {TWO}_2" in excluded[TWO]


def test_an_abnormality_that_is_listed_twice(release: Path, tmp_path: Path) -> None:
    changed(release, "LEFT,MLO,2,", "LEFT,MLO,1,")
    changed(release, f'"{TWO}_2/', f'"{TWO}_1/')
    out = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))
    assert f"{TWO}_1 is in the table twice" in tables(out)[2][TWO]


def test_numbers_with_decimals_are_those_of_the_folders(release: Path, tmp_path: Path) -> None:
    changed(release, "LEFT,MLO,2,", "LEFT,MLO,2.0,")
    out = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))
    assert TWO in tables(out)[0].index


def test_empty_cells_cost_their_image_only(release: Path, tmp_path: Path) -> None:
    changed(release, f'"{TWO}_2/1.3.6/1.3.8/000000.dcm\n"', "")
    table = release / "mass_case_description_test_set.csv"
    rest = ",1,mass,OVAL,SPICULATED,4,BENIGN,3,"
    table.write_text(
        f"{table.read_text()}P_00009,3,LEFT,CC{rest},,\n,3,LEFT,CC{rest}Mass-Test_P_1_LEFT_CC/1,,\n"
        f",3,,CC{rest},,\n"
    )
    out = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))
    images, _, excluded = tables(out)
    assert len(images) == 3
    assert "train_set.csv, line 4: 'ROI mask file path' is empty" in excluded[TWO]
    assert "'image file path' is empty" in excluded["Mass-Test_P_00009_LEFT_CC"]
    assert "'patient_id' is empty" in excluded["Mass-Test_P_1_LEFT_CC"]
    line = "mass_case_description_test_set.csv, line 9"
    assert f"{line}: 'patient_id' is empty" in excluded[line]


def test_files_that_macos_leaves_are_no_images(release: Path, tmp_path: Path) -> None:
    for file in sorted(release.rglob("*.dcm")):
        file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\7" * 30)
    whole = bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))
    assert len(tables(whole)[0]) == 4


def test_folders_that_are_called_by_uid(release: Path, tmp_path: Path) -> None:
    named = bring_in("cbis-ddsm", release, tmp_path / "named", findings=("mass",))
    for number, file in enumerate(sorted(release.rglob("*.dcm"))):
        place = release / f"tciaDownload/1.3.6.1.4.{number // 3}/{number}.DCM"
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
    shutil.rmtree(release / "CBIS-DDSM")
    by_uid = bring_in("cbis-ddsm", release, tmp_path / "by-uid", findings=("mass",))
    (one, patients, excluded), (other, *others) = tables(named), tables(by_uid)
    assert one.drop(columns="image").equals(other.drop(columns="image"))
    assert patients.equals(others[0])
    assert excluded == others[1]


def test_a_copy_in_jpeg_is_told(release: Path, tmp_path: Path) -> None:
    shutil.rmtree(release / "CBIS-DDSM")
    with pytest.raises(MammoroiError, match="no DICOM files of images"):
        bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))
    (release / "jpeg").mkdir()
    with pytest.raises(MammoroiError, match="copy of CBIS-DDSM in JPEG"):
        bring_in("cbis-ddsm", release, tmp_path / "cohort", findings=("mass",))


def test_linked_folders_are_looked_into_once(release: Path) -> None:
    before = files_below(release, ".dcm")
    (release / "CBIS-DDSM/again").symlink_to(release)
    (release / "__MACOSX").mkdir()
    (release / "__MACOSX/1-1.dcm").touch()
    assert files_below(release, ".dcm") == before
    elsewhere = release.parent / "links"
    elsewhere.mkdir()
    (elsewhere / "CBIS").symlink_to(release)
    assert len(files_below(elsewhere, ".dcm")) == len(before)
