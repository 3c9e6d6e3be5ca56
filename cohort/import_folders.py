"""Bringing images and masks that lie in folders, with a table of any kind, into a cohort folder.

Nothing is invented. A row without its files or its patient is left out, as are rows with the name
of another, a patient-level value that differs between a patient's rows is left empty, and a value
that :mod:`.schema` does not allow is written as it is; all of them are listed in
``not_imported.csv`` (``case, stage, error, action``; ``stage`` is ``import`` or ``import/value``)
in the new cohort folder. Where everything came from, with the SHA-256 of the table, is written to
``cohort.json``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import MammoroiError
from ..files import sha256_file, write_csv, write_failures, write_json
from .cohort import records
from .expressions import numbers_of
from .import_files import fill, find_files, nothing_found, what_folders_hold
from .import_tables import (
    copied,
    label_of,
    patients_of,
    read_table,
    renamed,
    truth_of,
    with_numbers,
)
from .import_values import Words, faults
from .schema import IMAGE_COLUMNS, PATIENT_COLUMNS, nearest

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_SETTINGS = {
    "image_id": "image_id",
    "patient_id": "patient_id",
    "image": "images and image_pattern",
    "mask": "masks and mask_pattern",
}
"""Columns that are no further ones: they have settings of their own."""

WRITTEN = ("patients.csv", "not_imported.csv", "cohort.json")
"""What is written beside ``cohort.csv``."""


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
    words: Words | None = None,
    labels: dict[str, str] | None = None,
    sheet: str | None = None,
    filter: str | None = None,  # noqa: A002 - the word that users know
    missing: tuple[str | int | float, ...] = (),
    image_pattern: str = "{image_id}.jpg",
    mask_pattern: str = "{image_id}.png",
    masks_reader2: Path | None = None,
    mask_reader2_pattern: str | None = None,
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
        CSV file, as a spreadsheet program exports it, or ``.xlsx`` workbook, with a row per image.
    out : Path
        The cohort folder to write; one that holds a cohort already is refused.
    name : str
        What the cohort is called, for ``cohort.json``.
    description : str
        What it is and whom to cite, for ``cohort.json``.
    image_id : str
        The table's column with the image's unique name, or a pattern of several columns, like
        ``{patient}_{view}`` or, for a column of file names, ``{file.stem}``.
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
    words : dict
        Other words for a column's values, as new name: {the table's word: the word to write}, for
        example ``laterality: {left: L, right: R}``. Words with nothing to write are missing.
    labels : dict
        New patient columns with ``yes`` or ``no``, as new name: formula, for example ``birads5:
        birads == "5"``. ``yes``: true for at least one of the patient's imported images; empty: for
        none, but a column of the formula is missing in one; ``no``: otherwise.
    sheet : str
        Which sheet of a workbook; not needed where it has only one.
    filter : str
        A formula; rows for which it is false are not imported.
    missing : tuple of str
        Texts that mean a missing value in the table, besides the empty cell.
    image_pattern : str
        File names in ``images``; ``{image_id}`` or any other column stands for its value,
        ``{column.stem}`` for its value without the extension of a file name.
    mask_pattern : str
        File names in ``masks``, in the same way.
    masks_reader2 : Path
        The folder of a second reader's masks; an image without one was not read twice.
    mask_reader2_pattern : str
        File names in ``masks_reader2``, in the same way; those of ``mask_pattern`` where it is not
        given.
    spacing_mm : float
        One pixel spacing for all images, in mm. A column of the table with it is taken by
        ``image_columns``: ``spacing_mm: the table's name``.
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
        When a folder or a column does not exist, a formula or pattern cannot be meant, a spacing is
        no number or given twice, a column is taken that has a setting of its own, no mask of a
        second reader is there, ``out`` holds a cohort or the table under a name that is written
        there, a column has no value that is allowed, or nothing is left to import.
    """
    out, images, masks, table = Path(out), Path(images), Path(masks), Path(table)
    folders = {"images": images, "masks": masks}
    if masks_reader2 is not None:
        folders["masks_reader2"] = masks_reader2 = Path(masks_reader2)
    _refuse_places(folders, table, out)
    _refuse_double(
        image_columns or {},
        patient_columns or {},
        {
            "spacing_mm": {"spacing_mm": spacing_mm, "spacing_expression": spacing_expression},
            "mask_reader2": {"masks_reader2": masks_reader2},
        },
    )
    made_id = image_id if "{" in image_id else None
    image_id = "image_id" if made_id else image_id
    image_names = {
        "image_id": image_id,
        "patient_id": patient_id,
        "view": view,
        "laterality": laterality,
        **(image_columns or {}),
    }
    patient_names, labels, words = patient_columns or {}, labels or {}, words or {}
    _refuse_unknown_words(words, [*image_names, *patient_names])
    wanted = [*image_names.values(), *patient_names.values()]
    texts = tuple(map(str, missing))
    source = read_table(table, wanted[1:] if made_id else wanted, texts, sheet)
    if made_id:
        source[image_id] = [fill(made_id, row) for row in records(source)]
    typed = with_numbers(source, (image_id, patient_id))
    if filter is not None:
        source = source[truth_of(filter, typed)]
    patterns = {"image": (images, image_pattern), "mask": (masks, mask_pattern)}
    twice = {}
    if masks_reader2 is not None:
        twice["mask_reader2"] = (masks_reader2, mask_reader2_pattern or mask_pattern)
    files, failures = find_files(source, image_id, patient_id, patterns, twice)
    source, typed = source.loc[files.index], typed.loc[files.index]
    if source.empty:
        raise nothing_found(table, failures, patterns)
    if twice and files["mask_reader2"].isna().all():
        raise MammoroiError(
            "no image has a mask of the second reader",
            f"correct mask_reader2_pattern, or leave out masks_reader2; {what_folders_hold(twice)}",
        )
    image_table = renamed(source, image_names, IMAGE_COLUMNS, words)
    if "spacing_mm" not in image_table:
        image_table["spacing_mm"] = _spacings(spacing_mm, spacing_expression, typed)
    if "spacing_source" not in image_table:
        image_table["spacing_source"] = image_table["spacing_mm"].map(
            dict.fromkeys(image_table["spacing_mm"].dropna(), spacing_source)
        )
    patient_table, differing = patients_of(
        source[patient_id], renamed(source, patient_names, PATIENT_COLUMNS, words)
    )
    strange = [
        *faults(image_table, source[image_id], IMAGE_COLUMNS, "images"),
        *faults(patient_table, patient_table.index.to_series(), PATIENT_COLUMNS, "patients"),
    ]
    for label, formula in labels.items():
        patient_table[label] = label_of(formula, typed, source[patient_id])
    if copy:
        files = copied(files, source[image_id], out)
    write_csv(out / "patients.csv", patient_table.reset_index())
    write_failures(out / "not_imported.csv", [*failures, *differing, *strange])
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
                "words": words,
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
        "%d images of %d patients imported into %s, %d of them read twice, "
        "%d problems in not_imported.csv",
        *(len(image_table), len(patient_table), out),
        int(files["mask_reader2"].notna().sum()) if twice else 0,
        len(failures) + len(differing) + len(strange),
    )
    return out


def _refuse_places(folders: Mapping[str, Path], table: Path, out: Path) -> None:
    """Refuse folders that are none, and an ``out`` whose files would be written over."""
    if (out / "cohort.csv").exists():
        raise MammoroiError(f"{out} holds a cohort already", "choose another folder or delete it")
    if table.resolve().parent == out.resolve() and table.name in (*WRITTEN, "cohort.csv"):
        raise MammoroiError(f"{table} would be written over", "choose another folder for out")
    for setting, folder in folders.items():
        if not folder.is_dir():
            raise MammoroiError(
                f"{setting} is {folder}, which is no folder", f"name one, as by --{setting} FOLDER"
            )


def _spacings(
    spacing_mm: float | None, expression: str | None, typed: pd.DataFrame
) -> list[str | None]:
    """Give each image's pixel spacing in mm as text; None where it is not known."""
    import pandas as pd

    if expression is not None:
        spacing = numbers_of(expression, typed)
    else:
        spacing = pd.Series(spacing_mm, index=typed.index, dtype=float)
    return [None if pd.isna(value) else f"{value:.6g}" for value in spacing]


def _refuse_double(
    image_columns: dict[str, str],
    patient_columns: dict[str, str],
    settings: dict[str, dict[str, object]],
) -> None:
    """Refuse what is said twice.

    Parameters
    ----------
    image_columns, patient_columns : dict
        The further columns, as :func:`import_images` takes them.
    settings : dict
        Columns that may be among the further ones, to the settings that fill them else.
    """
    for setting, names, own in (
        ("image_columns", image_columns, tuple(_SETTINGS)),
        ("patient_columns", patient_columns, ("patient_id",)),
    ):
        for name in own:
            if name in names:
                raise MammoroiError(
                    f"{setting} names {name}, which has a setting of its own",
                    f"remove it there, and say it by {_SETTINGS[name]}",
                )
    for column, values in settings.items():
        given = [setting for setting, value in values.items() if value is not None]
        if column in image_columns:
            given.append(f"image_columns: {column}")
        if len(given) > 1:
            raise MammoroiError(f"{' and '.join(given)} are both given", "give one of them")


def _refuse_unknown_words(words: Words, names: list[str]) -> None:
    """Refuse other words for a column that is not taken."""
    for name in words:
        if name not in names:
            raise MammoroiError(
                f"words are given for '{name}', a column that is not taken",
                nearest(name, names, "taken"),
            )
