"""Bringing images and masks that lie in folders, with a table of any kind, into a cohort folder.

Nothing is invented. A row without its files is left out, a patient-level value that differs between
a patient's rows is left empty, and both are listed in ``not_imported.csv`` (``case, stage, error,
action``) in the new cohort folder. Where everything came from, with the SHA-256 of the table, is
written to ``cohort.json``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal

from ..errors import Failure, MammoroiError
from ..files import sha256_file, write_csv, write_failures, write_json
from .cohort import records
from .expressions import evaluate
from .import_tables import (
    STAGE,
    copied,
    label_of,
    patients_of,
    read_table,
    renamed,
    truth_of,
    with_numbers,
)
from .schema import IMAGE_COLUMNS, PATIENT_COLUMNS, SAFE_ID, nearest

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def import_images(
    images: Path,
    masks: Path,
    table: Path,
    out: Path,
    *,
    name: str,
    description: str = "",
    image_id: str = "image_id",
    patient_id: str = "patient_id",
    view: str = "view",
    laterality: str = "laterality",
    image_columns: dict[str, str] | None = None,
    patient_columns: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    filter: str | None = None,  # noqa: A002 - the word that users know
    missing: tuple[str, ...] = (),
    image_pattern: str = "{image_id}.jpg",
    mask_pattern: str = "{image_id}.png",
    spacing_mm: float | None = None,
    spacing_expression: str | None = None,
    spacing_source: Literal["estimated", "measured"] = "estimated",
    copy: bool = False,
) -> Path:
    """Make a cohort folder from folders of images and masks and a table with a row per image.

    Formulas (``filter``, ``labels``, ``spacing_expression``) are those of
    :mod:`mammoroi.cohort.expressions`.

    Parameters
    ----------
    images : Path
        The folder of the mammograms.
    masks : Path
        The folder of the masks.
    table : Path
        CSV file with a row per image, as a spreadsheet program exports it.
    out : Path
        The cohort folder to write; one that holds a cohort already is refused.
    name : str
        What the cohort is called, for ``cohort.json``.
    description : str
        What it is and whom to cite, for ``cohort.json``.
    image_id : str
        The table's column with the image's unique name.
    patient_id : str
        The table's column with the patient.
    view : str
        The table's column with the view.
    laterality : str
        The table's column with the side.
    image_columns : dict
        Further columns to take into ``cohort.csv``, as new name: the table's name. Where a new name
        is a standard column, values that differ from an allowed one by upper and lower case only
        are written as the allowed one.
    patient_columns : dict
        The same for ``patients.csv``; a patient's rows must agree on them.
    labels : dict
        New patient columns with ``yes`` or ``no``, as new name: formula, for example ``birads5:
        birads == "5"``. ``yes``: true for at least one of the patient's imported images; empty: for
        none, but a column of the formula is missing in one; ``no``: otherwise.
    filter : str
        A formula; rows for which it is false are not imported.
    missing : tuple of str
        Texts that mean a missing value in the table, besides the empty cell.
    image_pattern : str
        File names in ``images``; ``{image_id}`` or any other column stands for its value.
    mask_pattern : str
        File names in ``masks``, in the same way.
    spacing_mm : float
        One pixel spacing for all images, in mm.
    spacing_expression : str
        A formula for the pixel spacing in mm; where a column of it is missing, so is the spacing.
    spacing_source : {"estimated", "measured"}
        How the spacing was found; written beside it.
    copy : bool
        Copy the files into ``out``; otherwise they stay where they are.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    MammoroiError
        When a folder or a column does not exist, a formula or pattern cannot be meant, ``out``
        holds a cohort, or nothing is left to import.
    """
    import pandas as pd

    out, images, masks, table = Path(out), Path(images), Path(masks), Path(table)
    if (out / "cohort.csv").exists():
        raise MammoroiError(f"{out} holds a cohort already", "choose another folder or delete it")
    for folder in (images, masks):
        if not folder.is_dir():
            raise MammoroiError(f"{folder} is no folder", "name the folder with the files")
    if spacing_mm is not None and spacing_expression is not None:
        raise MammoroiError("spacing_mm and spacing_expression are both given", "give one of them")
    image_names = {
        "image_id": image_id,
        "patient_id": patient_id,
        "view": view,
        "laterality": laterality,
        **(image_columns or {}),
    }
    patient_names, labels = patient_columns or {}, labels or {}
    source = read_table(table, [*image_names.values(), *patient_names.values()], missing)
    typed = with_numbers(source, (image_id, patient_id))
    if filter is not None:
        source = source[truth_of(filter, typed)]
    files, failures = _find(
        source, image_id, {"image": images / image_pattern, "mask": masks / mask_pattern}
    )
    source, typed = source.loc[files.index], typed.loc[files.index]
    if source.empty:
        raise MammoroiError(
            f"nothing to import: {len(failures)} rows of {table} pass the filter, none has files",
            "correct the filter, the folders or the patterns",
        )
    image_table = renamed(source, image_names, IMAGE_COLUMNS)
    if spacing_expression is not None:
        spacing = evaluate(spacing_expression, typed)
    else:
        spacing = pd.Series(spacing_mm, index=source.index, dtype=float)
    image_table["spacing_mm"] = [None if pd.isna(value) else f"{value:.6g}" for value in spacing]
    image_table["spacing_source"] = image_table["spacing_mm"].map(
        dict.fromkeys(image_table["spacing_mm"].dropna(), spacing_source)
    )
    patient_table, differing = patients_of(
        source[patient_id], renamed(source, patient_names, PATIENT_COLUMNS)
    )
    for label, formula in labels.items():
        patient_table[label] = label_of(formula, typed, source[patient_id])
    if copy:
        files = copied(files, source[image_id], out)
    write_csv(out / "patients.csv", patient_table.reset_index())
    write_failures(out / "not_imported.csv", [*failures, *differing])
    write_json(
        out / "cohort.json",
        {
            "name": name,
            "synthetic": False,
            "description": description,
            "source": str(table.resolve()),
            "import": {
                "table_sha256": sha256_file(table),
                "filter": filter,
                "labels": labels,
                "patient_columns": patient_names,
                "image_columns": image_names,
                "spacing_mm": spacing_mm,
                "spacing_expression": spacing_expression,
                "n_images": len(image_table),
                "n_images_without_files": len(failures),
                "n_patients": len(patient_table),
            },
        },
    )
    write_csv(out / "cohort.csv", image_table.join(files))
    log.info(
        "%d images of %d patients imported into %s, %d problems in not_imported.csv",
        *(len(image_table), len(patient_table), out, len(failures) + len(differing)),
    )
    return out


def _find(
    source: pd.DataFrame, image_id: str, patterns: dict[str, Path]
) -> tuple[pd.DataFrame, list[Failure]]:
    """Find the files of every row; a row that lacks one, or has an unusable name, is a failure."""
    import pandas as pd

    found: dict[Any, dict[str, str]] = {}
    failures = []
    for index, row in zip(source.index, records(source), strict=True):
        case = str(row[image_id])
        if not SAFE_ID.fullmatch(case):
            failures.append(
                Failure(case, STAGE, f"'{case}' cannot be a file name", "rename it in the table")
            )
            continue
        paths = {column: _fill(pattern, row).resolve() for column, pattern in patterns.items()}
        absent = [str(path) for path in paths.values() if not path.is_file()]
        if absent:
            failures.append(
                Failure(
                    case,
                    STAGE,
                    f"{' and '.join(absent)} does not exist",
                    "supply the file, or correct image_pattern or mask_pattern",
                )
            )
        else:
            found[index] = {column: str(path) for column, path in paths.items()}
    return pd.DataFrame.from_dict(found, orient="index", columns=list(patterns)), failures


def _fill(pattern: Path, row: dict[str, Any]) -> Path:
    """Put a row's values into the file name of a pattern."""
    for _, field, _, _ in Formatter().parse(pattern.name):
        if field is not None and field not in row:
            raise MammoroiError(
                f"the pattern '{pattern.name}' names '{field}', which the table does not have",
                nearest(field, list(row), "it has"),
            )
    return pattern.with_name(pattern.name.format_map(row))
