"""Tables that are imported: read, typed, renamed, brought from images to patients; files copied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Failure, MammoroiError
from ..files import atomic
from ..spreadsheet import SAVE_AS, read_spreadsheet
from .expressions import columns_of, evaluate
from .import_values import Words, mapped
from .import_workbook import read_sheet
from .schema import Column, nearest

if TYPE_CHECKING:
    import pandas as pd

STAGE = "import"


def read_table(
    path: Path, names: list[str], missing: tuple[str, ...] = (), sheet: str | None = None
) -> pd.DataFrame:
    """Read a CSV file or a sheet of an ``.xlsx`` workbook as text; see that it has the columns."""
    workbooks = [path.with_suffix(suffix) for suffix in (".xlsx", ".xls")]
    if not path.is_file() and any(workbook.is_file() for workbook in workbooks):
        raise MammoroiError(f"{path} is there as a workbook only", f"{SAVE_AS}, as {path.name}")
    if path.suffix.lower() == ".xlsx" and path.is_file():
        table = read_sheet(path, sheet)
    elif sheet is not None:
        raise MammoroiError(f"{path} is no workbook, but a sheet is named", "leave out sheet")
    else:
        table = read_spreadsheet(path)
    for name in names:
        if name not in table:
            present = [str(column) for column in table.columns]
            raise MammoroiError(f"{path} has no column '{name}'", nearest(name, present, "it has"))
    return table.mask(table.isin(list(missing)))


def with_numbers(table: pd.DataFrame, text: tuple[str, ...]) -> pd.DataFrame:
    """Make numbers of the columns that hold nothing else, for formulas; identifiers stay text."""
    import pandas as pd

    numbers = table.apply(pd.to_numeric, errors="coerce")
    return table.assign(
        **{
            str(name): numbers[name]
            for name in table.columns
            if name not in text and (numbers[name].notna() == table[name].notna()).all()
        }
    )


def truth_of(formula: str, table: pd.DataFrame) -> pd.Series:
    """Evaluate a formula that must be true or false."""
    result = evaluate(formula, table)
    if result.dtype != bool:
        raise MammoroiError(f"'{formula}' is neither true nor false", "compare something in it")
    return result


def renamed(
    source: pd.DataFrame,
    names: dict[str, str],
    columns: tuple[Column, ...],
    words: Words,
) -> pd.DataFrame:
    """Take columns under new names, their cells in the words of the schema."""
    import pandas as pd

    table = pd.DataFrame({new: source[old] for new, old in names.items()}, index=source.index)
    return mapped(table, words, columns)


def patients_of(
    patient_ids: pd.Series, values: pd.DataFrame, stage: str = STAGE
) -> tuple[pd.DataFrame, list[Failure]]:
    """Bring the rows of a patient together; values on which they differ are left empty."""
    groups = values.groupby(patient_ids.rename("patient_id"))
    counts = groups.nunique()
    failures = [
        Failure(
            str(patient),
            stage,
            f"{column} differs between the patient's images: "
            f"{', '.join(sorted(groups.get_group(patient)[column].dropna().unique()))}",
            "correct the table; it was left empty",
        )
        for column in values
        for patient in counts.index[counts[column] > 1]
    ]
    return groups.first().where(counts <= 1), failures


def label_of(formula: str, typed: pd.DataFrame, patient_ids: pd.Series) -> pd.Series:
    """Turn a formula on images into yes, no or empty on patients.

    See ``labels`` of :func:`mammoroi.cohort.import_folders.import_images`.
    """
    truth = truth_of(formula, typed).groupby(patient_ids).any()
    unknown = typed[columns_of(formula)].isna().any(axis=1).groupby(patient_ids).any()
    return truth.map({True: "yes", False: "no"}).mask(unknown & ~truth)


def copied(files: pd.DataFrame, image_ids: pd.Series, out: Path) -> pd.DataFrame:
    """Copy the files into ``out`` and give their relative paths; an empty cell stays empty."""

    def copy(folder: str, image_id: str, name: object) -> str | None:
        if not isinstance(name, str):
            return None
        path = Path(name)
        suffix = ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix
        relative = Path(folder) / f"{image_id}{suffix}"
        with atomic(out / relative) as temporary:
            shutil.copyfile(path, temporary)
        return relative.as_posix()

    folders = {"image": "images", "mask": "masks", "mask_reader2": "masks_reader2"}
    files = files.copy()
    for column in files:
        folder = folders[str(column)]
        pairs = zip(image_ids, files[column], strict=True)
        files[column] = [copy(folder, image_id, name) for image_id, name in pairs]
    return files
