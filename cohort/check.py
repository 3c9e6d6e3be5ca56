"""Every problem of a cohort folder at once, each with its row and what to do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MammoroiError
from ..progress import with_bar
from ..resources import cores
from ..spreadsheet import padded_cells
from .cohort import (
    load_about,
    missing_columns,
    misspelt_columns,
    mistaken_columns,
    read_cells,
    records,
)
from .inspection import Finding, Inspection, Severity, inspect_image
from .labels import contradiction
from .persons import mixed_up
from .schema import IMAGE_COLUMNS, PATIENT_COLUMNS, SAFE_ID, Column, label_cell

IMAGES = "cohort.csv"
PATIENTS = "patients.csv"

Row = dict[str, Any]
"""The cells of a row as text; empty ones are None."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or looks wrong.

    Attributes
    ----------
    table : str
        The file: ``cohort.csv``, ``patients.csv`` or ``cohort.json``.
    row : int or None
        The line as a spreadsheet counts it, the heading being line 1; None: the whole file.
    case : str
        ``image_id`` or ``patient_id``; empty for the whole file.
    severity : {"error", "warning"}
        An error excludes the row, or stops the study where it is the whole file's; a warning does
        neither.
    found, action : str
        What was found; what to do.
    """

    table: str
    row: int | None
    case: str
    severity: Severity
    found: str
    action: str

    def __str__(self) -> str:
        place = self.table if self.row is None else f"{self.table} line {self.row} ({self.case})"
        return f"{self.severity}: {place}: {self.found} -> {self.action}"


def check(folder: Path) -> list[Problem]:
    """List everything that is wrong with a cohort folder; nothing is changed.

    Found are: files and columns that are missing, tables and images that cannot be read, cells
    that the schema does not allow, identifiers that occur twice, are unknown or differ in capitals
    only, masks that are empty, on another grid, in several regions, beside the breast, pictures,
    perhaps inverted, of several images, or the same of both readers, headings that are written in
    another way, blanks around identifiers, images that occur twice or show nothing, files that
    contradict their row or are one woman's under several names, labels that contradict their tests,
    and patients whose ``split`` is missing or double.

    Returns
    -------
    list of Problem
        By table and row; empty when nothing is wrong.

    Raises
    ------
    MammoroiError
        When ``folder`` is no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MammoroiError(f"{folder} is no folder", "give a folder with cohort.csv")
    problems: list[Problem] = []
    images = _open(folder / IMAGES, IMAGE_COLUMNS, problems)
    patients = _open(folder / PATIENTS, PATIENT_COLUMNS, problems)
    try:
        load_about(folder)
    except MammoroiError as error:
        problems.append(Problem("cohort.json", None, "", "error", error.found, error.action))
    problems += _problems(PATIENTS, patients, _check_patients(patients, images))
    problems += _problems(IMAGES, images, _check_images(folder, images, patients))
    order = {IMAGES: 0, PATIENTS: 1}
    return sorted(problems, key=lambda p: (order.get(p.table, 2), p.row or 0))


def problem_lines(problems: list[Problem]) -> list[str]:
    """Problems as lines of text; one that more than three lines of a table share is said once."""
    alike: dict[tuple[str, str, str, str], list[Problem]] = {}
    for problem in problems:
        key = (problem.table, problem.severity, problem.found, problem.action)
        alike.setdefault(key, []).append(problem)
    lines: list[str] = []
    for (table, severity, found, action), group in alike.items():
        rows = [str(problem.row) for problem in group]
        if len(group) <= 3:
            lines += map(str, group)
        else:
            shown = ", ".join(rows[:6]) + (", ..." if len(rows) > 6 else "")
            lines.append(f"{severity}: {table}, {len(rows)} lines ({shown}): {found} -> {action}")
    return lines


def _open(path: Path, columns: tuple[Column, ...], problems: list[Problem]) -> dict[int, Row]:
    """Read a table; what is wrong with the whole of it is added to ``problems``."""
    try:
        table = read_cells(path, columns)
    except MammoroiError as error:
        problems.append(Problem(path.name, None, "", "error", error.found, error.action))
        return {}
    for found, action in missing_columns(table, columns):
        problems.append(Problem(path.name, None, "", "error", f"{path.name} {found}", action))
    for found, action in misspelt_columns(table, columns):
        problems.append(Problem(path.name, None, "", "error", f"{path.name} {found}", action))
    for found, action in mistaken_columns(table, columns):
        problems.append(Problem(path.name, None, "", "warning", f"{path.name} {found}", action))
    lines = [int(number) + 2 for number in table.index]
    rows = dict(zip(lines, records(table), strict=True))
    problems += _problems(path.name, rows, _check_blanks(path, rows, columns))
    return rows


def _problems(
    table: str, rows: dict[int, Row], findings: Iterator[tuple[int, Finding]]
) -> list[Problem]:
    """Add table and case to findings."""
    key = "image_id" if table == IMAGES else "patient_id"
    return [
        Problem(
            table, row, rows[row].get(key) or "", finding.severity, finding.found, finding.action
        )
        for row, finding in findings
    ]


def _check_patients(
    patients: dict[int, Row], images: dict[int, Row]
) -> Iterator[tuple[int, Finding]]:
    yield from _check_cells(patients, PATIENT_COLUMNS)
    yield from _check_unique(patients, "patient_id")
    yield from _check_spelling(patients, "patient_id")
    yield from _check_spelling(patients, "centre")
    yield from _check_densities(patients)
    with_images = {row.get("patient_id") for row in images.values()}
    split_given = any(row.get("split") for row in patients.values())
    for line, row in patients.items():
        if images and row.get("patient_id") not in with_images:
            yield line, Finding("warning", "the patient has no image", "add images or leave it out")
        if split_given and not row.get("split"):
            yield (
                line,
                Finding(
                    "error", "split is empty, but other patients have one", "write train or test"
                ),
            )
        tests = contradiction(row.get("her2"), row.get("her2_ihc"), row.get("her2_fish"))
        if tests:
            yield line, Finding(*tests)


def _check_images(
    folder: Path, images: dict[int, Row], patients: dict[int, Row]
) -> Iterator[tuple[int, Finding]]:
    yield from _check_cells(images, IMAGE_COLUMNS)
    yield from _check_unique(images, "image_id")
    yield from _check_capitals(images)
    known = {str(row["patient_id"]) for row in patients.values() if row.get("patient_id")}
    alike: dict[str, list[str]] = {}
    for one in sorted(known):
        alike.setdefault(_bare(one), []).append(one)
    for line, row in images.items():
        image_id, patient_id = row.get("image_id"), row.get("patient_id")
        if image_id and not SAFE_ID.fullmatch(image_id):
            yield (
                line,
                Finding(
                    "error",
                    f"image_id '{image_id}' cannot be a file name",
                    "use letters, digits, '.', '_' and '-' only, not '.' or '-' first",
                ),
            )
        if patients and patient_id and patient_id not in known:
            yield (
                line,
                Finding(
                    "error",
                    f"patient_id '{patient_id}' is not in patients.csv",
                    f"did you mean '{same[0]}'?"
                    if len(same := alike.get(_bare(patient_id), [])) == 1
                    else "add the patient or correct it",
                ),
            )
    inspections = _inspect(folder, images)
    for line, inspection in inspections.items():
        for finding in inspection.findings:
            yield line, finding
    yield from _check_copies(images, inspections)
    yield from _check_shared_masks(folder, images, inspections)
    yield from mixed_up(images, inspections)


def _bare(patient_id: str) -> str:
    """An ID without case, signs and leading zeros; one that differs in more is another's."""
    return re.sub(r"[\W_]", "", patient_id).casefold().lstrip("0")


def _check_cells(
    rows: dict[int, Row], columns: tuple[Column, ...]
) -> Iterator[tuple[int, Finding]]:
    """Hold every cell against the schema."""
    for line, row in rows.items():
        for column in columns:
            cell = row.get(column.name)
            if cell is None:
                if column.required and column.name in row:
                    yield line, Finding("error", f"{column.name} is empty", "fill it")
            elif fault := column.fault(cell):
                yield line, Finding("error", *fault)


def _check_blanks(
    path: Path, rows: dict[int, Row], columns: tuple[Column, ...]
) -> Iterator[tuple[int, Finding]]:
    """Find identifiers with blanks around them: other files may have them with the blanks."""
    identifiers = [column.name for column in columns if column.kind == "id"]
    for name, numbers in padded_cells(path, identifiers).items():
        for line in [number + 2 for number in numbers if number + 2 in rows]:
            yield (
                line,
                Finding(
                    "warning",
                    f"{name} has blanks before or after it, which are not taken for a part of it",
                    "take them away here and wherever the name is used",
                ),
            )


def _check_unique(rows: dict[int, Row], key: str) -> Iterator[tuple[int, Finding]]:
    """Find identifiers that occur on several lines; which line is right cannot be known."""
    for value, lines in _lines_by(rows, lambda _, row: row.get(key)).items():
        splits = sorted({str(rows[line]["split"]) for line in lines if rows[line].get("split")})
        for line in lines:
            others = ", ".join(str(other) for other in lines if other != line)
            found = f"{key} '{value}' is also on line {others}"
            if len(splits) > 1:
                found = f"patient '{value}' is both train and test (also on line {others})"
            yield line, Finding("error", found, "keep one line")


def _check_capitals(images: dict[int, Row]) -> Iterator[tuple[int, Finding]]:
    """Find names of images that differ in capitals only: their results may have one file name."""
    names = _lines_by(images, lambda _, row: (row.get("image_id") or "").casefold() or None)
    for lines in names.values():
        for line in lines:
            name = images[line]["image_id"]
            other = next((one for one in lines if images[one]["image_id"] != name), None)
            if other is not None:
                same = images[other]["image_id"]
                found = f"image_id '{name}' differs from '{same}' on line {other} in capitals only"
                action = "rename one: on Windows and macOS their results have one file name"
                yield line, Finding("warning", found, action)


def _check_spelling(rows: dict[int, Row], key: str) -> Iterator[tuple[int, Finding]]:
    """Find names that differ only in case or spaces: most likely one, which would count as two.

    A patient who counts as two can be in the training and in the test set.
    """
    folded = _lines_by(rows, lambda _, row: _folded(row.get(key)))
    for lines in folded.values():
        names = Counter(str(rows[line][key]) for line in lines)
        usual = names.most_common(1)[0][0]
        for line in lines:
            name = str(rows[line][key])
            if name != usual:
                found = f"{key} is '{name}' here and '{usual}' on line "
                found += str(next(other for other in lines if rows[other][key] == usual))
                yield line, Finding("warning", found, "write one name alike in all rows")


def _check_densities(patients: dict[int, Row]) -> Iterator[tuple[int, Finding]]:
    """Find densities of which some are words and some letters: one density would be two levels."""
    given = {
        line: row["breast_density"] for line, row in patients.items() if row.get("breast_density")
    }
    letters = [line for line, density in given.items() if len(str(density)) == 1]
    words = [line for line in given if line not in letters]
    if letters and words:
        fewer, more = sorted((letters, words), key=len)
        found = (
            f"breast_density is '{given[fewer[0]]}' here and '{given[more[0]]}' on line {more[0]}"
        )
        action = (
            "write all in words or all in letters, else each counts as another level: a is fatty, "
            "b scattered, c heterogeneous, d extremely_dense"
        )
        yield fewer[0], Finding("warning", found, action)


def _folded(name: str | None) -> str | None:
    return None if name is None else "".join(name.split()).casefold()


def _check_copies(
    images: dict[int, Row], inspections: dict[int, Inspection]
) -> Iterator[tuple[int, Finding]]:
    """Find images with equal pixels.

    Copies under one patient, view and side are harmless but for counting twice: the first line
    stays. Otherwise all lines are at fault, since whose or which image it is cannot be known.
    """
    by_digest = _lines_by(images, lambda line, _: inspections[line].digest)
    for lines in by_digest.values():
        keys = ("patient_id", "view", "laterality")
        described = {tuple(images[line].get(key) for key in keys) for line in lines}
        for line in lines[1:] if len(described) == 1 else lines:
            others = ", ".join(
                f"{images[other].get('image_id')} (line {other})"
                for other in lines
                if other != line
            )
            whose = "" if len({key[0] for key in described}) == 1 else ", of another patient"
            yield (
                line,
                Finding(
                    "error",
                    f"the image has the same pixels as {others}{whose}",
                    "name the right file, or remove the copy",
                ),
            )


def _check_shared_masks(
    folder: Path, images: dict[int, Row], inspections: dict[int, Inspection]
) -> Iterator[tuple[int, Finding]]:
    """Find mask files of several images: whose mask it is cannot be known.

    Images with equal pixels are reported as copies.
    """
    owners: dict[tuple[Path, str | None], list[tuple[int, str]]] = {}
    for line, row in images.items():
        for column in ("mask", "mask_reader2"):
            if row.get(column) and inspections[line].digest:
                key = ((folder / row[column]).resolve(), label_cell(row, column))
                owners.setdefault(key, []).append((line, column))
    for owned in owners.values():
        for line, column in owned:
            others = dict.fromkeys(
                f"{images[other].get('image_id')} (line {other})"
                for other, _ in owned
                if inspections[other].digest != inspections[line].digest
            )
            if others:
                found = f"{column} '{images[line][column]}' is also that of another image: "
                yield (
                    line,
                    Finding("error", found + ", ".join(others), "name each image's own mask"),
                )


def _lines_by(rows: dict[int, Row], key: Any) -> dict[Any, list[int]]:
    """Group the lines that share a value with others; lines without a value are left out."""
    groups: dict[Any, list[int]] = {}
    for line, row in rows.items():
        value = key(line, row)
        if value is not None:
            groups.setdefault(value, []).append(line)
    return {value: lines for value, lines in groups.items() if len(lines) > 1}


def _inspect(folder: Path, images: dict[int, Row]) -> dict[int, Inspection]:
    """Look into all files, several at a time: decoding and hashing leave Python's lock."""
    from joblib import Parallel, delayed

    jobs = Parallel(n_jobs=cores(), prefer="threads", return_as="generator")(
        delayed(inspect_image)(folder, row) for row in images.values()
    )
    found = with_bar(jobs, "Looking into the images", len(images))
    return dict(zip(images, found, strict=True))
