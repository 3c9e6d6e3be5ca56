"""Tables as spreadsheet programs export them: the same cohort, or refused in one sentence."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoroi.cohort.accept import accept
from mammoroi.cohort.check import check, problem_lines
from mammoroi.cohort.config import CohortConfig
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv
from mammoroi.spreadsheet import read_spreadsheet


def export(path: Path, separator: str, encoding: str, decimal_comma: bool) -> None:
    """Save a table anew as a spreadsheet program of another country would."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    numbers = [name for name in ("age", "spacing_mm", "own_number") if name in table]
    if decimal_comma:
        table[numbers] = table[numbers].map(lambda cell: cell.replace(".", ","))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\r\n")
    # Programs export the columns that were once used, too, and blanks that nobody sees.
    writer.writerow([*table.columns, "", ""])
    writer.writerows([*row[:-1], f"{row[-1]} ", "", ""] for row in table.to_numpy().tolist())
    path.write_bytes(text.getvalue().encode(encoding))


@pytest.mark.parametrize(
    ("separator", "encoding", "decimal_comma"),
    [
        (";", "utf-8-sig", True),
        (";", "utf-8", False),
        ("\t", "utf-16", True),
        (",", "utf-8-sig", False),
    ],
)
def test_exports_give_the_same_study(
    cohort: Any, tmp_path: Path, separator: str, encoding: str, decimal_comma: bool
) -> None:
    cohort.patients["age"] = [f"{40 + i}.5" for i in range(len(cohort.patients))]
    cohort.patients["own_number"] = [f"{i}.25" for i in range(len(cohort.patients))]
    cohort.patients["own_text"] = "seen, twice; Zürich"
    folder = cohort.save()
    accept(CohortConfig(folder, n_folds=2), tmp_path / "plain")
    for name in ("cohort.csv", "patients.csv"):
        export(folder / name, separator, encoding, decimal_comma)
    assert check(folder) == []
    accept(CohortConfig(folder, n_folds=2), tmp_path / "exported")
    for name in ("cohort.csv", "patients.csv", "splits.json"):
        plain, exported = (tmp_path / study / name for study in ("plain", "exported"))
        assert exported.read_bytes() == plain.read_bytes()


def test_a_decimal_comma_is_no_thousands_separator_where_commas_part_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n"1,234",2\n')
    assert read_spreadsheet(path, numbers=["a"])["a"].tolist() == ["1,234"]


def test_identifiers_and_mixed_columns_keep_their_commas(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id;note;value\n1,5;2,5;3,5\n2,5;see;4\n")
    table = read_spreadsheet(path, texts=["id"])
    assert table.to_dict("list") == {
        "id": ["1,5", "2,5"],
        "note": ["2,5", "see"],
        "value": ["3.5", "4"],
    }


@pytest.mark.parametrize(
    ("content", "found", "action"),
    [
        (b"PK\x03\x04\x14\x00", "it is a workbook", "CSV UTF-8"),
        ("a,b\n1,2\n1,Müller\n".encode("cp1252"), "line 3 has a character", "CSV UTF-8"),
        ("a,b\n1,王\n".encode("gb18030"), "line 2 has a character", "CSV UTF-8"),
        (b"a,b\n1,2\n1,2,3\n", "more cells on line 3 than headings (2)", "double quotes"),
        (b"a,b,a\n1,2,3\n", "two columns 'a'", "rename"),
        (b"\n1,2\n", "first line is empty", "headings"),
    ],
    ids=["workbook", "Windows-1252", "GB 18030", "ragged", "twice", "no heading"],
)
def test_what_cannot_be_told_is_refused(
    tmp_path: Path, content: bytes, found: str, action: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(MammoroiError) as error:
        read_spreadsheet(path)
    assert found in error.value.found
    assert action in error.value.action


def test_a_mistyped_optional_column_is_pointed_at(cohort: Any) -> None:
    cohort.images = cohort.images.rename(columns={"mask_reader2": "Mask of Reader 2"})
    cohort.images["remark"] = "mine"
    (problem,) = check(cohort.save())
    assert (problem.severity, problem.row) == ("warning", None)
    assert "column 'Mask of Reader 2', which is not used" in problem.found
    assert "mask_reader2" in problem.action


@pytest.mark.parametrize("heading", ["SLN", "s_l_n", "Sln "])
def test_a_label_in_capitals_does_not_vanish(cohort: Any, tmp_path: Path, heading: str) -> None:
    cohort.patients = cohort.patients.rename(columns={"sln": heading})
    (problem,) = check(cohort.save())
    assert (problem.severity, problem.row) == ("error", None)
    assert problem.action.startswith("rename it 'sln'")
    with pytest.raises(MammoroiError, match="rename it 'sln'"):
        accept(CohortConfig(folder=cohort.folder, n_folds=2), tmp_path / "study")


def test_blanks_around_identifiers_are_told(cohort: Any, tmp_path: Path) -> None:
    cohort.patients.loc[2, "patient_id"] = "P2 "
    cohort.patients.loc[3, "sln"] = " positive"
    (problem,) = check(cohort.save())
    assert (problem.severity, problem.row, problem.case) == ("warning", 4, "P2")
    assert "patient_id has blanks before or after it" in problem.found
    accept(CohortConfig(folder=cohort.folder, n_folds=2), tmp_path / "study")
    assert len(read_csv(tmp_path / "study" / "patients.csv")) == 12


def test_one_mistake_on_every_line_is_said_once(cohort: Any) -> None:
    cohort.patients["sln"] = cohort.patients["sln"].str.capitalize()
    lines = problem_lines(check(cohort.save()))
    assert len(lines) == 2
    assert lines[0].startswith(
        "error: patients.csv, 6 lines (2, 4, 6, 8, 10, 12): sln is 'Negative'"
    )


def test_paths_with_a_backslash_or_another_case(cohort: Any) -> None:
    cohort.images.loc[0, "image"] = "images\\I0-CC.png"
    cohort.images.loc[1, "image"] = "images/i0-mlo.PNG"
    backslash, case = check(cohort.save())
    assert "/ instead of" in backslash.action
    assert "'I0-MLO.png'" in case.action
