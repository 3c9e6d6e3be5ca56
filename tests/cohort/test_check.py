"""Bad cohorts: what is said about each, and that nothing else is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from mammoroi.cohort.check import Problem, check
from mammoroi.cohort.schema import nearest, nearest_word
from mammoroi.errors import MammoroiError

Spoil = Callable[[Any], None]


def cell(table: str, row: int, column: str, value: str | None) -> Spoil:
    """Change one cell; row 0 is line 2."""

    def spoil(cohort: Any) -> None:
        frame = getattr(cohort, table)
        if column not in frame:
            frame[column] = None
        frame.loc[row, column] = value

    return spoil


def both(*spoils: Spoil) -> Spoil:
    def spoil(cohort: Any) -> None:
        for one in spoils:
            one(cohort)

    return spoil


def copy_image(source: str, target: str) -> Spoil:
    def spoil(cohort: Any) -> None:
        shutil.copy(cohort.folder / f"images/{source}.png", cohort.folder / f"images/{target}.png")

    return spoil


def repeat(table: str, row: int) -> Spoil:
    def spoil(cohort: Any) -> None:
        frame = getattr(cohort, table)
        setattr(cohort, table, pd.concat([frame, frame.iloc[[row]]], ignore_index=True))

    return spoil


def dicom(**attributes: Any) -> Spoil:
    """Make I0-CC a DICOM file."""

    def spoil(cohort: Any) -> None:
        cohort.write_dicom("images/I0-CC.dcm", **attributes)
        cohort.images.loc[0, "image"] = "images/I0-CC.dcm"

    return spoil


def persons(*identifiers: str) -> Spoil:
    """Make the first images DICOM files with these Patient IDs; two images are one patient's."""

    def spoil(cohort: Any) -> None:
        for row, identifier in enumerate(identifiers):
            name = f"images/{row}.dcm"
            view = cohort.images.loc[row, "view"]
            pixels = np.random.default_rng(row).integers(0, 4096, (24, 20), dtype=np.uint16)
            cohort.write_dicom(
                name, PatientID=identifier, ViewPosition=view, PixelData=pixels.tobytes()
            )
            cohort.images.loc[row, "image"] = name

    return spoil


def double_split(cohort: Any) -> None:
    cohort.patients["split"] = ["train", "test"] * 6
    repeat("patients", 0)(cohort)
    cohort.patients.loc[12, "split"] = "test"


def mask(*boxes: tuple[slice, slice], **options: Any) -> Spoil:
    return lambda cohort: cohort.write_mask("masks/I0-CC.png", *boxes, **options)


def in_air(cohort: Any, first: int = 40) -> None:
    """Draw the lesion beside the breast, which is on the left."""
    breast = np.where(np.arange(60) < 30, 200, 0) + np.random.default_rng(0).integers(
        0, 9, (60, 60)
    )
    Image.fromarray(breast.astype(np.uint8)).save(cohort.folder / "images/I0-CC.png")
    cohort.write_mask("masks/I0-CC.png", (slice(20, 40), slice(first, first + 15)), shape=(60, 60))


def blurred(cohort: Any) -> None:
    path = cohort.folder / "masks/I0-CC.png"
    Image.open(path).filter(ImageFilter.GaussianBlur(1)).save(path)


def two_lesions(cohort: Any) -> None:
    path = cohort.folder / "masks/I0-CC.png"
    pixels = np.array(Image.open(path))
    rows = np.nonzero(pixels)[0]
    pixels[pixels > 0] = 1
    pixels[rows.max()] *= 2
    Image.fromarray(pixels).save(path)


def same_reader(cohort: Any) -> None:
    shutil.copy(cohort.folder / "masks/I0-CC.png", cohort.folder / "masks/second.png")
    cohort.images.loc[0, "mask_reader2"] = "masks/second.png"


def plain_image(cohort: Any) -> None:
    Image.new("L", (20, 24), 7).save(cohort.folder / "images/I0-CC.png")


def bytes_of(name: str, content: bytes) -> Spoil:
    return lambda cohort: (cohort.folder / name).write_bytes(content)


@dataclass(frozen=True)
class Bad:
    name: str
    spoil: Spoil
    found: str
    """Words of what is found."""
    action: str
    lines: tuple[int, ...] = (2,)
    table: str = "cohort.csv"
    severity: str = "error"


SMALL = (slice(2, 5), slice(2, 5))
OTHER = (slice(10, 14), slice(10, 14))
ALL = (slice(None), slice(None))
MOST = (slice(0, 14), slice(None))

BAD = [
    Bad(
        "capitals",
        cell("images", 1, "image_id", "i0-cc"),
        "in capitals only",
        "rename one: on Windows and macOS",
        lines=(2, 3),
        severity="warning",
    ),
    Bad(
        "image missing",
        cell("images", 0, "image", "no.png"),
        "image 'no.png' does not exist",
        "path",
    ),
    Bad(
        "mask missing", cell("images", 0, "mask", "no.png"), "mask 'no.png' does not exist", "path"
    ),
    Bad(
        "reader 2 missing",
        cell("images", 0, "mask_reader2", "no.png"),
        "mask_reader2 'no.png'",
        "path",
    ),
    Bad("image empty cell", cell("images", 0, "image", None), "image is empty", "fill"),
    Bad("mask empty cell", cell("images", 0, "mask", None), "mask is empty", "fill"),
    Bad("image damaged", bytes_of("images/I0-CC.png", b"\x89PNG\r\n\x1a\n123"), "I0-CC.png", ""),
    Bad("image is text", bytes_of("images/I0-CC.png", b"hello"), "I0-CC.png", ""),
    Bad("image of no bytes", bytes_of("images/I0-CC.png", b""), "I0-CC.png", ""),
    Bad("grid", mask(SMALL, shape=(20, 20)), "20 rows x 20 columns, its mammogram 24 x 20", ""),
    Bad("mask turned", mask(SMALL, shape=(20, 24)), "20 rows x 24 columns", "transpose"),
    Bad("mask empty", mask(), "is empty: every pixel is 0", "draw the lesion"),
    Bad("mask label", cell("images", 0, "mask_label", "7"), "has no label 7", "mask_label"),
    Bad("label 1.5", cell("images", 0, "mask_label", "1.5"), "no whole number", "whole number"),
    Bad(
        "mask of another image",
        cell("images", 3, "mask", "masks/../masks/I0-CC.png"),
        "is also that of another image: I",
        "name each image's own mask",
        lines=(2, 5),
    ),
    Bad(
        "mask of another image, by the second reader",
        both(
            cell("images", 3, "mask_reader2", "masks/I0-CC.png"),
            lambda cohort: cohort.write_mask("masks/I1-MLO.png", SMALL),
        ),
        "'masks/I0-CC.png' is also that of another image: I",
        "name each image's own mask",
        lines=(2, 5),
    ),
    Bad("second reader a copy", same_reader, "same as mask", "copy", severity="warning"),
    Bad("beside the breast", in_air, "outside the breast, 100%", "mirrored", severity="warning"),
    Bad(
        "mostly beside the breast",
        lambda cohort: in_air(cohort, 26),
        "outside the breast, 60%",
        "mirrored",
        severity="warning",
    ),
    Bad("blurred mask", blurred, "different values", "threshold it", severity="warning"),
    Bad(
        "several labels",
        two_lesions,
        "has the values 1, 2, all of which count",
        "mask_label",
        severity="warning",
    ),
    Bad("nothing to see", plain_image, "have the same value", "look at the file"),
    Bad("image is a folder", cell("images", 0, "image", "images"), "is a folder", "one image file"),
    Bad("regions", mask(SMALL, OTHER), "2 separate regions", "belong", severity="warning"),
    Bad("inverted", mask(ALL), "covers 100% of the image", "inverted", severity="warning"),
    Bad("large", mask(MOST), "covers 58% of the image", "inverted", severity="warning"),
    Bad(
        "same pixels, other patient",
        copy_image("I0-CC", "I1-CC"),
        "same pixels as I",
        "right file",
        lines=(2, 4),
    ),
    Bad(
        "same pixels, same patient, other view",
        copy_image("I0-CC", "I0-MLO"),
        "same pixels as I0",
        "right file",
        lines=(2, 3),
    ),
    Bad(
        "same pixels, same view",
        both(copy_image("I0-CC", "I0-MLO"), cell("images", 1, "view", "CC")),
        "same pixels as I0-CC (line 2)",
        "remove the copy",
        lines=(3,),
    ),
    Bad(
        "image_id twice",
        cell("images", 2, "image_id", "I0-CC"),
        "image_id 'I0-CC' is also on line",
        "keep one line",
        lines=(2, 4),
    ),
    Bad(
        "unsafe id",
        cell("images", 0, "image_id", "../I0"),
        "cannot be a file name",
        "letters, digits",
    ),
    Bad("id empty", cell("images", 0, "image_id", None), "image_id is empty", "fill"),
    Bad("view", cell("images", 0, "view", "MLOO"), "view is 'MLOO'", "did you mean 'MLO'?"),
    Bad("view lower case", cell("images", 0, "view", "cc"), "view is 'cc'", "did you mean 'CC'?"),
    Bad("laterality", cell("images", 0, "laterality", "left"), "laterality is 'left'", "L, R"),
    Bad("spacing in um", cell("images", 0, "spacing_mm", "94"), "spacing_mm is 94", "0.01 to 2 mm"),
    Bad("spacing comma", cell("images", 0, "spacing_mm", "0,094"), "no number", "with a point"),
    Bad("spacing 0_1", cell("images", 0, "spacing_mm", "0_1"), "no number", "with a point"),
    Bad("spacing in wide digits", cell("images", 0, "spacing_mm", "０.1"), "no number", "point"),
    Bad("spacing nan", cell("images", 0, "spacing_mm", "nan"), "spacing_mm is nan", "0.01 to 2"),
    Bad(
        "no spacing",
        cell("images", 0, "spacing_mm", None),
        "gives a pixel spacing",
        "fill the column spacing_mm",
        severity="warning",
    ),
    Bad("side of file", dicom(ImageLaterality="R"), "laterality is 'L', but the file", "correct"),
    Bad("view of file", dicom(ViewPosition="MLO"), "view is 'CC', but the file", "correct view"),
    Bad("implant", dicom(BreastImplantPresent="YES"), "implant", "belong", severity="warning"),
    Bad("spacing of file", dicom(ImagerPixelSpacing=[0.07, 0.07]), "0.07", "spacing_mm"),
    Bad(
        "one person, two patients",
        persons("A", "A", "A", "A", "B"),
        "the file has the Patient ID (0010,0020) of a file of P",
        "one patient_id",
        lines=(2, 4),
        severity="warning",
    ),
    Bad(
        "one person, four patients",
        persons(*"AAAAAAAA", "B"),
        "the file has the Patient ID (0010,0020) of a file of P",
        "one patient_id",
        lines=(2, 4, 6, 8),
        severity="warning",
    ),
    Bad(
        "another person's file",
        persons("A", "A", "B", "B", "C", "D"),
        "another Patient ID (0010,0020) than the patient's on line 6",
        "see whether the file is hers",
        lines=(7,),
        severity="warning",
    ),
    Bad("no mammogram", dicom(Modality="CT"), "modality CT", "mammogram"),
    Bad(
        "age",
        cell("patients", 0, "age", "430"),
        "age is 430",
        "15 to 110 years",
        table="patients.csv",
    ),
    Bad(
        "percent",
        cell("patients", 0, "ki67_percent", "-5"),
        "is -5",
        "0 to 100 %",
        table="patients.csv",
    ),
    Bad(
        "unknown value",
        cell("patients", 0, "sln", "positve"),
        "sln is 'positve'",
        "did you mean 'positive'?",
        table="patients.csv",
    ),
    Bad(
        "label against tests",
        cell("patients", 0, "her2", "positive"),
        "her2 is 'positive', but IHC 0, FISH not done means zero",
        "her2_ihc",
        table="patients.csv",
    ),
    Bad(
        "2+ without FISH",
        cell("patients", 2, "her2_fish", None),
        "HER2 cannot be determined: IHC 2+, FISH not done",
        "fill her2_fish",
        lines=(4,),
        table="patients.csv",
        severity="warning",
    ),
    Bad(
        "patient twice",
        repeat("patients", 0),
        "patient_id 'P0' is also on line",
        "keep one line",
        lines=(2, 14),
        table="patients.csv",
    ),
    Bad(
        "train and test",
        double_split,
        "patient 'P0' is both train and test",
        "keep one line",
        lines=(2, 14),
        table="patients.csv",
    ),
    Bad(
        "split not filled",
        both(
            lambda cohort: cohort.patients.insert(1, "split", "train"),
            cell("patients", 0, "split", None),
        ),
        "split is empty",
        "train or test",
        table="patients.csv",
    ),
    Bad(
        "centre spelt in two ways",
        both(
            lambda cohort: cohort.patients.insert(1, "centre", "City Hospital"),
            cell("patients", 0, "centre", "city  hospital"),
        ),
        "centre is 'city  hospital' here and 'City Hospital' on line 3",
        "write one name",
        table="patients.csv",
        severity="warning",
    ),
    Bad(
        "densities in words and letters",
        both(
            lambda cohort: cohort.patients.insert(1, "breast_density", "scattered"),
            cell("patients", 0, "breast_density", "b"),
        ),
        "breast_density is 'b' here and 'scattered' on line 3",
        "b scattered, c heterogeneous",
        table="patients.csv",
        severity="warning",
    ),
    Bad(
        "patient in capitals",
        both(
            cell("patients", 1, "patient_id", "p0"),
            cell("images", 2, "patient_id", "p0"),
            cell("images", 3, "patient_id", "p0"),
        ),
        "patient_id is 'p0' here and 'P0' on line 2",
        "write one name",
        lines=(3,),
        table="patients.csv",
        severity="warning",
    ),
    Bad(
        "no image",
        lambda cohort: cohort.images.drop(index=[0, 1], inplace=True),
        "the patient has no image",
        "add images",
        table="patients.csv",
        severity="warning",
    ),
]


def test_sound_cohort_has_no_problems(cohort: Any) -> None:
    assert check(cohort.save()) == []


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_each_problem_is_found_and_alone(cohort: Any, bad: Bad) -> None:
    bad.spoil(cohort)
    problems = check(cohort.save())
    assert [problem.row for problem in problems] == list(bad.lines), [*map(str, problems)]
    for problem in problems:
        assert bad.found in problem.found
        assert bad.action in problem.action
        assert (problem.table, problem.severity) == (bad.table, bad.severity)
        assert problem.found
        assert problem.action


@pytest.mark.parametrize(
    ("written", "action"),
    [("p-1", "did you mean 'P1'?"), ("P99", "add the patient or correct it")],
)
def test_unknown_patient_is_not_taken_for_another(cohort: Any, written: str, action: str) -> None:
    row = cohort.images.index[cohort.images["patient_id"] == "P1"][0]
    cohort.images.loc[row, "patient_id"] = written
    (problem,) = check(cohort.save())
    assert problem.found == f"patient_id '{written}' is not in patients.csv"
    assert problem.action == action


def test_unknown_patient_of_a_large_cohort_is_not_told_all_of_it() -> None:
    assert len(nearest("P00", [f"P{number}" for number in range(5000)], "it has")) < 300


@pytest.mark.parametrize("identifiers", ["AAAAAAAA", "AAAAAAAAAAB", "ABCDEFGH", ["", " "] * 4])
def test_patient_ids_of_pseudonymisers_tell_nothing(cohort: Any, identifiers: list[str]) -> None:
    persons(*identifiers)(cohort)
    assert check(cohort.save()) == []


def test_all_problems_at_once_in_order(cohort: Any) -> None:
    spoils = [bad for bad in BAD if bad.name in ("image missing", "age", "regions")]
    cohort.write_mask("masks/I0-MLO.png", SMALL, OTHER)
    for bad in spoils:
        if bad.name != "regions":
            bad.spoil(cohort)
    problems = check(cohort.save())
    assert [(problem.table, problem.row) for problem in problems] == [
        ("cohort.csv", 2),
        ("cohort.csv", 3),
        ("patients.csv", 2),
    ]
    assert str(problems[0]) == (
        "error: cohort.csv line 2 (I0-CC): image 'no.png' does not exist -> correct the path; "
        "nothing in its folder has a name like it"
    )


def test_lines_count_empty_rows(cohort: Any) -> None:
    cohort.images.loc[3, "view"] = "XX"
    folder = cohort.save()
    lines = (folder / "cohort.csv").read_text().splitlines()
    (folder / "cohort.csv").write_text("\n".join([*lines[:2], "", *lines[2:], "", ""]))
    (problem,) = check(folder)
    assert problem.row == 6


def whole_file(folder: Path, name: str) -> Problem:
    (problem,) = [problem for problem in check(folder) if problem.row is None]
    assert (problem.table, problem.severity) == (name, "error")
    return problem


@pytest.mark.parametrize("name", ["cohort.csv", "patients.csv"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "does not exist"),
        (b"", "is not a table"),
        (b"\n\n", "is not a table"),
        (b'patient_id,age\nP0,50\n"P1,51\nP2,52\n', "is not a table from line 3 on"),
        ("patient_id,age\nJosé,50\n".encode("latin-1"), "is not a table"),
        (b"patient_id,image_id,patient_id\n1,2,3\n", "two columns 'patient_id'"),
        (b"PK\x03\x04\xff\xfe", "is not a table"),
    ],
    ids=[
        "missing",
        "no bytes",
        "empty lines",
        "one quote",
        "Latin-1",
        "heading twice",
        "spreadsheet",
    ],
)
def test_unusable_tables(cohort: Any, name: str, content: bytes | None, found: str) -> None:
    folder = cohort.save()
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    problem = whole_file(folder, name)
    assert found in problem.found
    assert name in problem.found


def test_missing_columns_are_all_named(cohort: Any) -> None:
    cohort.images = cohort.images.rename(columns={"laterality": "lateralty"}).drop(columns="mask")
    problems = check(cohort.save())
    assert [problem.found for problem in problems] == [
        "cohort.csv has no column 'laterality'",
        "cohort.csv has no column 'mask'",
    ]
    assert "did you mean 'lateralty'?" in problems[0].action


def test_table_without_rows(cohort: Any) -> None:
    cohort.patients = cohort.patients.iloc[:0]
    assert "has no rows" in whole_file(cohort.save(), "patients.csv").found


def test_about_that_is_no_json(cohort: Any) -> None:
    folder = cohort.save()
    (folder / "cohort.json").write_text("name: x")
    assert "is not JSON" in whole_file(folder, "cohort.json").found


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MammoroiError, match="is no folder"):
        check(tmp_path / "nowhere")


def test_a_file_of_masks_may_be_shared_where_each_image_has_its_own_label(cohort: Any) -> None:
    """As a reader writes it who outlines all of a patient's images in one program."""
    path = cohort.folder / "masks/I0-CC.png"
    both = np.array(Image.open(path)) // 255
    both[-3:, -3:] = 2
    Image.fromarray(both).save(path)
    for row, label in ((0, "1"), (1, "2")):
        cohort.images.loc[row, ["mask", "mask_label"]] = ["masks/I0-CC.png", label]
        cohort.images.loc[row, "mask_reader2"] = None
    assert [str(problem) for problem in check(cohort.save())] == []


def test_two_readers_in_one_file_have_labels_of_their_own(cohort: Any) -> None:
    """As where the second draws a segment of his own beside the first's."""
    path = cohort.folder / "masks/I0-CC.png"
    both = np.array(Image.open(path)) // 255
    second = np.argwhere(both)[: both.sum() // 2]
    both[second[:, 0], second[:, 1]] = 2
    Image.fromarray(both).save(path)
    columns = ["mask", "mask_label", "mask_reader2", "mask_label_reader2"]
    cohort.images.loc[0, columns] = ["masks/I0-CC.png", "1", "masks/I0-CC.png", "2"]
    assert [str(problem) for problem in check(cohort.save())] == []
    cohort.images.loc[0, "mask_label_reader2"] = None
    (problem,) = check(cohort.save())
    assert "is the same as mask, to the pixel" in problem.found
    cohort.images.loc[0, "mask_label_reader2"] = "3"
    (problem,) = check(cohort.save())
    assert "has no label 3" in problem.found


def test_a_mask_of_which_a_little_lies_beside_the_breast_is_sound(cohort: Any) -> None:
    in_air(cohort, 24)
    assert check(cohort.save()) == []


def test_byte_order_mark_is_accepted(cohort: Any) -> None:
    folder = cohort.save()
    for name in ("cohort.csv", "patients.csv"):
        text = (folder / name).read_text()
        (folder / name).write_text(text, encoding="utf-8-sig")
    assert check(folder) == []


def test_dicom_that_agrees_is_sound(cohort: Any) -> None:
    dicom()(cohort)
    cohort.images.loc[0, "spacing_mm"] = None
    assert check(cohort.save()) == []


@pytest.mark.parametrize(
    ("cell", "allowed", "word"),
    [
        ("postive", ("negative", "positive"), "positive"),
        ("neg", ("negative", "positive"), "negative"),
        ("1", ("0", "1+", "2+", "3+"), "1+"),
        ("ii", ("I", "II", "III"), "II"),
        ("unbekannt", ("negative", "positive"), None),
        ("indeterminate", ("negative", "positive"), None),
        ("unknown", ("no", "yes"), None),
        ("not done", ("no", "yes"), None),
        ("n/a", ("no", "yes"), None),
    ],
)
def test_no_finding_is_put_into_the_mouth_of_who_does_not_know(
    cell: str, allowed: tuple[str, ...], word: str | None
) -> None:
    advice = nearest_word(cell, allowed)
    assert advice.startswith("allowed: " if word is None else f"did you mean '{word}'? (allowed: ")
