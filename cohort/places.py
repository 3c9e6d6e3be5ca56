"""Which folders a study must not write into: those that hold what it reads.

A cohort folder and a study folder have files of one name (``cohort.csv``, ``patients.csv``), and a
study removes results of earlier settings. So neither a cohort's tables nor its images and masks may
lie where a study writes. A study folder beside, above or inside the cohort folder is no harm.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import MammoroiError
from ..spreadsheet import read_spreadsheet
from .cohort import load_about
from .schema import IMAGE_COLUMNS

COHORT_FILES = (
    *("cohort.csv", "patients.csv", "cohort.json"),
    *("files.csv", "splits.json", "excluded.csv"),
)
"""What the stage ``accept`` writes."""

RESULT_FOLDERS = (
    *("segmentation", "masks", "overlays", "features", "stability", "models", "comparison"),
    *("tables", "figures", "standards", "cards", "leakage"),
)
"""Folders below a study folder that its stages write into."""


def refuse_shared_folder(folder: Path, study: Path) -> None:
    """Refuse a study folder into which a study would write over what it reads.

    Parameters
    ----------
    folder : Path
        The cohort folder; one that cannot be read is left to :func:`.check.check`.
    study : Path
        The study folder; need not exist.

    Raises
    ------
    MammoroiError
        When the two are one folder; when an image, a mask or one of the cohort's tables lies
        directly in the study folder or in one of the folders for its results; when the table from
        which the cohort was imported would be written over.
    """
    folder, study = Path(folder).resolve(), Path(study).resolve()
    elsewhere = "choose a folder of its own for the study: --out FOLDER"
    if folder == study:
        raise MammoroiError(
            f"the study would be written into its cohort folder {folder}, over {COHORT_FILES[0]}",
            elsewhere,
        )
    for path in (file.resolve() for file in cohort_files(folder)):
        if _is_written_to(path, study):
            raise MammoroiError(
                f"the study would be written into {study}, where its cohort's {path} lies",
                elsewhere,
            )
    try:
        source = Path(str(load_about(folder).get("source", ""))).resolve()
    except MammoroiError:
        return
    if source.parent == study and source.name in COHORT_FILES:
        raise MammoroiError(f"the study would be written over {source}", elsewhere)


def in_full(path: Path) -> Path:
    """Give the path that opens a file from anywhere.

    Folders are followed where they are links, a linked file is not: the one that it leads to may be
    called by a hash, and the suffix ``.nii.gz``, which says what it is, be lost.
    """
    return path.parent.resolve() / path.name


def cohort_files(folder: Path) -> list[Path]:
    """List a cohort's tables, and the files that its table of images names; some may be missing.

    Paths are relative where ``folder`` is. What a table that cannot be read would name is left to
    the stage that reads it.
    """
    tables = [folder / name for name in COHORT_FILES[:3]]
    try:
        images = read_spreadsheet(tables[0])
    except MammoroiError:
        return tables
    columns = [column.name for column in IMAGE_COLUMNS if column.kind == "path"]
    cells = [cell for name in columns if name in images for cell in images[name].dropna()]
    return [*tables, *(folder / cell for cell in dict.fromkeys(cells))]


def _is_written_to(path: Path, study: Path) -> bool:
    """Whether a study writes into the folder of a file."""
    return path.is_relative_to(study) and (
        path.parent == study or path.relative_to(study).parts[0] in RESULT_FOLDERS
    )
