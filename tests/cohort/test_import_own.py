"""Import of a hospital's own DICOM files, masks and workbook, as docs/import.md writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import yaml
from PIL import Image

import mammoroi
from mammoroi.cli import main
from mammoroi.cohort.check import check
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.importers import import_images
from mammoroi.errors import Failure, MammoroiError
from mammoroi.files import read_csv, write_failures

from .conftest import LESION, SHAPE, Builder

PAGE = Path(mammoroi.__file__).parent / "docs" / "import.md"
HEADING = ("File", "Case No", "Side", "Projection", "Age at exam", "SLN", "IHC", "FISH")
ROWS = [
    ("Pat 001 L CC.dcm", "001", "left", "cc", 50, "neg", "1+", None),
    ("Pat 001 L MLO.dcm", "001", "left", "mlo", 50, "neg", "1+", None),
    ("Pat 002 R CC.dcm", "002", "Right", "cc", 41, "pos", "2+", "positive"),
]
WORDS = {"laterality": {"left": "L", "right": "R"}}


def write_list(path: Path, rows: list[tuple[Any, ...]], *sheets: str) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (HEADING, *rows):
        book.active.append(row)
    for sheet in sheets:
        book.create_sheet(sheet)
    book.save(path)


@pytest.fixture
def hospital(cohort: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the page, and the page's settings beside it."""
    folder = tmp_path / "hospital"
    (folder / "dicom").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number, (file, _, side, view, *_) in enumerate(ROWS):
        pixels = np.random.default_rng(number).integers(0, 4096, SHAPE, dtype=np.uint16)
        cohort.write_dicom(
            f"../hospital/dicom/{file}",
            ImageLaterality=side[0].upper(),
            ViewPosition=view.upper(),
            PixelData=pixels.tobytes(),
        )
        mask = np.zeros(SHAPE, np.uint8)
        mask[LESION] = 255
        Image.fromarray(mask).save(folder / "masks" / file.replace(".dcm", "_mask.png"))
    write_list(folder / "list.xlsx", ROWS)
    (text,) = re.findall(r"```yaml [^\n]*\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    (tmp_path / "my-import.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return folder


def bring_in(hospital: Path, **changes: Any) -> Path:
    settings = yaml.safe_load((hospital.parent / "my-import.yaml").read_text())
    return import_images(
        **{
            **settings,
            **{name: Path(settings[name]) for name in ("images", "masks", "table", "out")},
            **changes,
        }
    )


def test_the_page_is_right(hospital: Path) -> None:
    assert main(["import", "my-import.yaml"]) == 0
    assert check(Path("my-cohort")) == []
    cohort = load_cohort(Path("my-cohort"))
    assert cohort.images["image_id"].tolist() == ["001_left_cc", "001_left_mlo", "002_Right_cc"]
    assert cohort.images["laterality"].tolist() == ["L", "L", "R"]
    assert cohort.images["image"][0] == str(hospital / "dicom/Pat 001 L CC.dcm")
    assert cohort.images["mask"][2] == str(hospital / "masks/Pat 002 R CC_mask.png")
    assert cohort.patients["sln"].tolist() == ["negative", "positive"]
    assert cohort.patients["age"].tolist() == [50, 41]


def test_what_an_import_of_something_else_left_out_is_no_harm(hospital: Path) -> None:
    write_failures(Path("my-cohort") / "excluded.csv", [Failure("I1", "import", "cut short", "")])
    assert main(["import", "my-import.yaml"]) == 0


def test_rows_with_empty_cells_are_told_by_their_line(hospital: Path) -> None:
    empty = (None,) * len(ROWS[0])
    write_list(
        hospital / "list.xlsx", [ROWS[0], empty, ("x.dcm", *empty[1:]), (None, *ROWS[1][1:])]
    )
    told = read_csv(bring_in(hospital) / "not_imported.csv")
    assert told["case"].tolist() == ["line 4", "001_left_mlo"]
    assert told["error"][1].endswith("is made is empty: {File}, {File.stem}_mask.png")


def test_a_table_without_files_says_why(hospital: Path) -> None:
    """The first three rows with their causes, and what the folders hold."""
    rows = [*ROWS, ("Pat 003 L CC.dcm", "003", "left", "cc", 50, "neg", "1+", None)]
    write_list(hospital / "list.xlsx", rows)
    with pytest.raises(MammoroiError) as blanks:
        bring_in(hospital, image_id="File")
    assert blanks.value.found.startswith("nothing to import: 4 rows of hospital/list.xlsx pass")
    assert blanks.value.found.count("cannot be a file name") == 3
    assert blanks.value.found.endswith("; and 1 more")
    with pytest.raises(MammoroiError) as pattern:
        bring_in(hospital, image_pattern="{image_id}.jpg")
    assert f"001_left_cc: {hospital}/dicom/001_left_cc.jpg does not exist" in pattern.value.found
    assert (
        "hospital/dicom holds 'Pat 001 L CC.dcm', 'Pat 001 L MLO.dcm', ... (wanted for image: "
        "{image_id}.jpg)" in pattern.value.action
    )


def test_values_in_other_words_are_refused_with_the_line_that_mends_it(hospital: Path) -> None:
    with pytest.raises(MammoroiError) as error:
        bring_in(hospital, words=None)
    assert "laterality of the images is 'left', 'Right': none" in error.value.found
    assert "words: {laterality: {left: L, Right: R}}" in error.value.action
    assert not Path("my-cohort").exists()
    with pytest.raises(MammoroiError, match=r"words: \{sln: \{neg: negative, pos: positive\}\}"):
        bring_in(hospital, words={"laterality": {"left": "L", "right": "R"}})
    with pytest.raises(MammoroiError, match=r"words are given for 'SLN'.*mean 'sln'"):
        bring_in(hospital, words={"SLN": {"neg": "negative"}})


def test_what_is_not_known_is_not_written_as_a_finding(hospital: Path) -> None:
    rows = [
        (*row[:5], word, *row[6:])
        for row, word in zip(ROWS, ("unbekannt", "unbekannt", "Pos"), strict=True)
    ]
    write_list(hospital / "list.xlsx", rows)
    with pytest.raises(MammoroiError, match=r"words: \{sln: \{unbekannt: \?, Pos: positive\}\}"):
        bring_in(hospital, words={"laterality": {"left": "L", "right": "R"}})


def test_single_values_that_are_not_allowed_are_listed(hospital: Path) -> None:
    write_list(
        hospital / "list.xlsx", [*ROWS[:2], (*ROWS[2][:4], 410, "postive", "2+", "positive")]
    )
    assert main(["import", "my-import.yaml"]) == 3
    problems = read_csv(Path("my-cohort/not_imported.csv"), dtype=str)
    assert problems["case"].tolist() == ["002", "002"]
    assert problems["error"].tolist() == ["age is 410", "sln is 'postive'"]
    assert "did you mean 'positive'?" in problems["action"][1]
    assert {str(problem.row) for problem in check(Path("my-cohort"))} == {"3"}


def test_numbers_and_yes_can_be_words(hospital: Path) -> None:
    """YAML reads 0, 1, yes and no as something else than text."""
    rows = [(*row[:5], number, *row[6:]) for row, number in zip(ROWS, (0, 0, 1), strict=True)]
    write_list(hospital / "list.xlsx", rows)
    text = Path("my-import.yaml").read_text()
    Path("my-import.yaml").write_text(text.replace("neg: negative, pos:", "0: negative, 1:"))
    assert main(["import", "my-import.yaml"]) == 0
    assert load_cohort(Path("my-cohort")).patients["sln"].tolist() == ["negative", "positive"]
    rows = [(*row[:5], word, *row[6:]) for row, word in zip(ROWS, ("no", "no", "yes"), strict=True)]
    write_list(hospital / "list.xlsx", rows)
    Path("my-import.yaml").write_text(
        text.replace("neg: negative, pos:", "no: negative, yes:").replace("my-cohort", "second")
    )
    assert main(["import", "my-import.yaml"]) == 0


def test_yes_numbers_and_nothing_can_be_written(hospital: Path) -> None:
    """As the message about other words advises: `menopause: {nein: no, ja: yes}`."""
    rows = [
        (*row[:5], answer, ihc, None)
        for row, answer, ihc in zip(
            ROWS, ("nein", "nein", "ja"), ("neg", "neg", "stark"), strict=True
        )
    ]
    write_list(hospital / "list.xlsx", rows)
    settings = yaml.safe_load(Path("my-import.yaml").read_text())
    settings["patient_columns"] = {"menopause": "SLN", "her2_ihc": "IHC", "age": "Age at exam"}
    settings["words"] = {"laterality": settings["words"]["laterality"]}
    text = yaml.safe_dump(settings) + "  menopause: {nein: no, ja: yes}\n"
    text += "  her2_ihc: {neg: 0, stark: }\nmissing: [41]\n"
    Path("my-import.yaml").write_text(text)
    assert main(["import", "my-import.yaml"]) == 0
    patients = read_csv(Path("my-cohort/patients.csv"), dtype=str)
    assert patients["menopause"].tolist() == ["no", "yes"]
    assert patients["her2_ihc"].fillna("").tolist() == ["0", ""]
    assert patients["age"].fillna("").tolist() == ["50", ""]


def test_a_second_readers_masks_are_taken(hospital: Path) -> None:
    """Under the names of the first's, in a folder of their own; not every image has one."""
    second = hospital / "second"
    second.mkdir()
    with pytest.raises(MammoroiError, match=r"no image has a mask .*second holds no files"):
        bring_in(hospital, masks_reader2=second)
    name = "Pat 001 L CC_mask.png"
    (second / name).write_bytes((hospital / "masks" / name).read_bytes())
    images = read_csv(bring_in(hospital, masks_reader2=second) / "cohort.csv")
    assert images["mask_reader2"].fillna("").tolist() == [str(second / name), "", ""]
    (second / name).rename(second / "Pat 001 L CC.png")
    settings = {"masks_reader2": second, "mask_reader2_pattern": "{File.stem}.png", "copy": True}
    images = read_csv(bring_in(hospital, out=Path("copied"), **settings) / "cohort.csv")
    assert images["mask_reader2"].fillna("").tolist() == ["masks_reader2/001_left_cc.png", "", ""]
    assert Path("copied/masks_reader2/001_left_cc.png").is_file()


def test_a_column_of_spacings_is_kept(hospital: Path) -> None:
    rows = [(*row[:4], "0.07", *row[5:]) for row in ROWS]
    write_list(hospital / "list.xlsx", rows)
    settings: dict[str, Any] = {
        "patient_columns": {"sln": "SLN"},
        "words": {**WORDS, "sln": {"neg": "negative", "pos": "positive"}},
        "image_columns": {"spacing_mm": "Age at exam"},
    }
    images = read_csv(bring_in(hospital, **settings) / "cohort.csv")
    assert images["spacing_mm"].tolist() == [0.07] * 3
    assert images["spacing_source"].tolist() == ["estimated"] * 3
    with pytest.raises(MammoroiError, match="spacing_mm and image_columns: spacing_mm are both"):
        bring_in(hospital, out=Path("other"), spacing_mm=0.07, **settings)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image_columns": {"mask": "File"}}, "image_columns names mask, .*masks and mask_pattern"),
        ({"patient_columns": {"patient_id": "Case No"}}, "patient_columns names patient_id"),
    ],
)
def test_a_column_with_a_setting_of_its_own_is_no_further_one(
    hospital: Path, columns: dict[str, Any], said: str
) -> None:
    with pytest.raises(MammoroiError, match=said):
        bring_in(hospital, words=WORDS, **columns)


def test_an_empty_cell_makes_no_file_name(hospital: Path) -> None:
    write_list(hospital / "list.xlsx", [*ROWS[:2], ("Pat 002 R CC.dcm", "002", *[None] * 6)])
    out = bring_in(hospital)
    problems = read_csv(out / "not_imported.csv")
    assert problems["error"].tolist() == ["image_id is empty"]


def test_several_sheets_must_be_told_apart(hospital: Path) -> None:
    write_list(hospital / "list.xlsx", ROWS, "notes")
    with pytest.raises(MammoroiError, match=r"several sheets: Sheet, notes -> .*--sheet NAME"):
        bring_in(hospital)
    assert len(load_cohort(bring_in(hospital, sheet="sheet")).images) == 3


def test_the_table_is_not_written_over(hospital: Path) -> None:
    table = hospital / "patients.csv"
    table.write_text("File\nx\n")
    with pytest.raises(MammoroiError, match=r"patients\.csv would be written over"):
        bring_in(hospital, table=table, out=hospital)


@pytest.mark.parametrize("copy", [False, True])
def test_a_row_for_each_lesion_is_no_image_twice(hospital: Path, copy: bool) -> None:
    """Copied, the mask of the last row would have been the mask of the image."""
    write_list(hospital / "list.xlsx", [*ROWS, ROWS[0]])
    assert main(["import", "my-import.yaml", "--copy", str(copy)]) == 3
    assert load_cohort(Path("my-cohort")).images["image_id"].tolist() == [
        "001_left_mlo",
        "002_Right_cc",
    ]
    problems = read_csv(Path("my-cohort/not_imported.csv"), dtype=str)
    assert problems["case"].tolist() == ["001_left_cc", "001_left_cc"]
    assert "of line 2 is also on line 5" in problems["error"][0]
    assert "of line 5 is also on line 2" in problems["error"][1]
    assert "unite the masks" in problems["action"][0]
    assert not list(Path("my-cohort").rglob("*/001_left_cc.*"))


def test_names_that_differ_in_capitals_only(hospital: Path) -> None:
    """Copied, one would take the place of the other on Windows and macOS."""
    write_list(
        hospital / "list.xlsx",
        [*ROWS, ("Pat 001 L MLO.dcm", "001", "Left", "cc", 50, "neg", "1+", None)],
    )
    out = bring_in(hospital)
    assert read_csv(out / "not_imported.csv", dtype=str)["case"].tolist() == [
        "001_left_cc",
        "001_Left_cc",
    ]


def test_an_empty_patient_is_told(hospital: Path) -> None:
    write_list(hospital / "list.xlsx", [ROWS[0], ROWS[1], (ROWS[2][0], None, *ROWS[2][2:])])
    out = bring_in(hospital, image_id="{Side}_{Projection}")
    assert load_cohort(out).images["image_id"].tolist() == ["left_cc", "left_mlo"]
    problems = read_csv(out / "not_imported.csv", dtype=str)
    assert problems["case"].tolist() == ["Right_cc"]
    assert problems["error"].tolist() == ["Case No is empty"]
