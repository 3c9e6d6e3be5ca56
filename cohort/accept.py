"""The cohort stage: check a cohort, keep what is sound, derive HER2, divide the patients.

Written into the study folder:

=================  ================================================================================
``cohort.csv``     the accepted images, columns as in the user's; paths absolute, or relative where
                   the file lies in the study folder
``patients.csv``   the accepted patients who have an accepted image; ``her2`` derived where empty
``cohort.json``    the user's, with ``n_images_in, n_images_used, n_patients_in, n_patients_used``
``files.csv``      ``image_id, image, mask, mask_reader2``: SHA-256 of each accepted image's files,
                   so that whatever rests on a file that was changed is made anew
``splits.json``    see :mod:`.split`
``excluded.csv``   ``case, stage, error, action``: one row per excluded line of ``cohort.csv``
                   (``stage`` is ``cohort/image``) and per excluded patient (``cohort/patient``)
=================  ================================================================================

For images and for patients: in = used + excluded; a patient on two lines of ``patients.csv`` is
one patient, who is excluded. Nothing is filled in, corrected or guessed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Failure, MammoroiError
from ..files import read_csv, sha256_files, write_csv, write_failures, write_json
from .check import IMAGES, PATIENTS, Problem, check
from .cohort import load_about, load_cohort, read_cells
from .config import CohortConfig
from .labels import derive_her2
from .places import in_full, refuse_shared_folder
from .schema import IMAGE_COLUMNS, PATIENT_COLUMNS
from .split import make_splits, write_splits

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FILES = "files.csv"
_FILES = tuple(column.name for column in IMAGE_COLUMNS if column.kind == "path")
_TOLD = 5


def accept(config: CohortConfig, study: Path) -> Path:
    """Take the sound part of a cohort into a study folder.

    An error of a line excludes the line; a patient who is excluded takes the images along, a
    patient without an accepted image is excluded. Warnings exclude nothing.

    Returns
    -------
    Path
        ``cohort.csv`` in the study folder.

    Raises
    ------
    MammoroiError
        When the study would write over its own cohort, when a table is missing, unreadable or
        lacks a column, when no image is left, or when the patients cannot be divided as configured.
    """
    folder, study = Path(config.folder), Path(study)
    refuse_shared_folder(folder, study)
    problems = check(folder)
    warnings = [p for p in problems if p.severity == "warning"]
    for problem in warnings[:_TOLD]:
        log.info("%s", problem)
    if warnings[_TOLD:]:
        log.warning("warnings on %s: %d; `mammoroi check` lists all", folder, len(warnings))
    images, patients, kept_images, kept_patients, excluded = _selected(folder, problems)
    write_failures(study / "excluded.csv", excluded)
    if kept_images.empty:
        raise MammoroiError(
            f"no image of {folder} can be used", f"see {study / 'excluded.csv'} for the reasons"
        )
    log.info("%d of %d images accepted", len(kept_images), len(images))
    kept_patients = derive_her2(kept_patients)
    write_splits(study, make_splits(config, kept_patients))
    write_csv(study / PATIENTS, kept_patients)
    counts = {
        "n_images_in": len(images),
        "n_images_used": len(kept_images),
        "n_patients_in": _n_patients(patients),
        "n_patients_used": len(kept_patients),
    }
    write_json(study / "cohort.json", {**load_about(folder), **counts})
    table = write_csv(study / IMAGES, _with_paths(kept_images, folder, study))
    write_csv(study / FILES, _digests(study))
    return table


def lost_and_changed(study: Path) -> tuple[list[str], list[str]]:
    """List the images of a study of which a file is missing or unreadable, or another one.

    Returns
    -------
    lost, changed : list of str
        ``image_id`` of those that lack a file, and of those of which one differs from the file
        that :func:`accept` read.
    """
    was = read_csv(study / FILES, dtype=str).set_index("image_id")
    now = _digests(study).set_index("image_id").reindex(was.index)
    gone = (was.notna() & now.isna()).any(axis=1)
    other = (now.notna() & (now != was)).any(axis=1)
    return list(was.index[gone]), list(was.index[other])


def _digests(study: Path) -> pd.DataFrame:
    """SHA-256 of the files of a study's images; missing where there is none or it is unreadable."""
    import pandas as pd

    cohort = load_cohort(study)
    rows = []
    for row in cohort.images[["image_id", *_FILES]].to_dict("records"):
        files = {name: cohort.path(row[name]) for name in _FILES if isinstance(row[name], str)}
        rows.append({"image_id": row["image_id"], **sha256_files(files)})
    return pd.DataFrame(rows, columns=["image_id", *_FILES])


def usable_lines(folder: Path, problems: list[Problem]) -> list[str]:
    """Say what :func:`accept` would keep of a cohort with these problems, as lines of text."""
    try:
        images, patients, kept_images, kept_patients, _ = _selected(folder, problems)
    except MammoroiError:  # among the problems already
        return ["Nothing can be used before the tables are mended."]
    lines = [
        f"A study would use {len(kept_images)} of {len(images)} images, and {len(kept_patients)} "
        f"of {len(patients)} lines of {PATIENTS}."
    ]
    if "mask_reader2" in kept_images:
        lines.append(f"Outlined by a second reader: {kept_images['mask_reader2'].count()} images.")
    kept_patients = derive_her2(kept_patients)
    for label in (column for column in PATIENT_COLUMNS if column.name in ("sln", "her2")):
        if label.name in kept_patients:
            cells = kept_patients[label.name]
            counted = [f"{(cells == value).sum()} {value}" for value in label.values]  # noqa: PD011
            counted.append(f"{cells.isna().sum()} not known")
            lines.append(f"{label.name}: {', '.join(counted)}.")
    known = {column.name for column in PATIENT_COLUMNS}
    if own := [str(name) for name in patients.columns if name not in known]:
        lines.append(
            f"Columns of {PATIENTS} that are no standard ones, and count only where the settings "
            f"name them: {', '.join(own)}."
        )
    return lines


def _selected(
    folder: Path, problems: list[Problem]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, list[Failure]]:
    """All images and patients, those that can be used, and what is excluded, with the reasons."""
    whole = [p for p in problems if p.severity == "error" and p.row is None]
    if whole:
        raise MammoroiError(
            "; ".join(p.found for p in whole), "; ".join(dict.fromkeys(p.action for p in whole))
        )
    images = read_cells(folder / IMAGES, IMAGE_COLUMNS)
    patients = read_cells(folder / PATIENTS, PATIENT_COLUMNS)
    bad_images, bad_patients = _errors(problems, IMAGES), _errors(problems, PATIENTS)
    sound = set(patients["patient_id"][~_lines(patients).isin(bad_patients)])
    for line, patient in zip(_lines(images), images["patient_id"], strict=True):
        if patient not in sound and line not in bad_images:
            bad_images[line] = [(f"its patient '{patient}' is excluded", "see the patient")]
    kept_images = images[~_lines(images).isin(bad_images)]
    imaged = set(kept_images["patient_id"])
    for line, patient in zip(_lines(patients), patients["patient_id"], strict=True):
        if patient not in imaged and line not in bad_patients:
            bad_patients[line] = [("the patient has no accepted image", "see the images")]
    kept_patients = patients[~_lines(patients).isin(bad_patients)]
    excluded = [
        *_failures(images["image_id"], bad_images, "cohort/image"),
        *_failures(patients["patient_id"], bad_patients, "cohort/patient"),
    ]
    return images, patients, kept_images, kept_patients, excluded


def _n_patients(patients: pd.DataFrame) -> int:
    """How many patients the lines tell of; a line without a name counts as one."""
    names = patients["patient_id"]
    return int(names.nunique() + names.isna().sum())


def _lines(table: pd.DataFrame) -> pd.Series:
    """Give the line numbers of a table, as :class:`.check.Problem` counts them."""
    return table.index.to_series() + 2


def _errors(problems: list[Problem], table: str) -> dict[int, list[tuple[str, str]]]:
    """Collect what excludes the lines of one table."""
    errors: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for problem in problems:
        if problem.table == table and problem.severity == "error" and problem.row is not None:
            errors[problem.row].append((problem.found, problem.action))
    return errors


def _failures(cases: pd.Series, bad: dict[int, list[tuple[str, str]]], stage: str) -> list[Failure]:
    """Turn the excluded lines into rows of ``excluded.csv``, all reasons of a case in one.

    An image is a line, whatever its name; the lines of one patient are one patient.
    """
    by_case: dict[tuple[str, int], list[tuple[str, str]]] = defaultdict(list)
    for line, reasons in sorted(bad.items()):
        case = cases[line - 2]
        name = case if isinstance(case, str) else f"line {line}"
        by_case[name, 0 if stage == "cohort/patient" else line] += reasons
    return [
        Failure(
            name,
            stage,
            "; ".join(dict.fromkeys(found for found, _ in reasons)),
            "; ".join(dict.fromkeys(action for _, action in reasons)),
        )
        for (name, _), reasons in by_case.items()
    ]


def _with_paths(images: pd.DataFrame, folder: Path, study: Path) -> pd.DataFrame:
    """Rewrite the paths so that they open from the study folder."""
    root = study.resolve()

    def rewrite(value: object) -> object:
        if not isinstance(value, str):
            return value
        path = in_full(folder / value)
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    columns = [column.name for column in IMAGE_COLUMNS if column.kind == "path"]
    return images.assign(**{name: images[name].map(rewrite) for name in columns if name in images})
