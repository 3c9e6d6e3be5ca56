"""File names that a table's cells make: patterns, and the files that they lead to."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from string import Formatter
from typing import TYPE_CHECKING, Any

from ..errors import Failure, MammoroiError
from .cohort import records
from .import_tables import STAGE
from .places import in_full
from .schema import SAFE_ID, nearest

if TYPE_CHECKING:
    import pandas as pd


def fill(pattern: str, row: dict[str, Any]) -> str | None:
    """Put a row's cells into a pattern; None where a cell of it is empty.

    Parameters
    ----------
    pattern : str
        ``{column}`` stands for the cell, ``{column.stem}`` for the cell without folders and
        without the extension of a file's name.
    row : dict
        The cells as text, empty ones None.

    Raises
    ------
    MammoroiError
        When the pattern is none, or names a column that the table does not have.
    """
    try:
        parts = list(Formatter().parse(pattern))
        cells = [None if name is None else _cell(pattern, name, row) for _, name, _, _ in parts]
        if any(cell is None for cell, (_, name, _, _) in zip(cells, parts, strict=True) if name):
            return None
        return "".join(
            text + format(cell or "", form or "")
            for (text, _, form, _), cell in zip(parts, cells, strict=True)
        )
    except ValueError as error:
        raise MammoroiError(
            f"'{pattern}' is no pattern: {error}", "write it like: {column}.png"
        ) from None


def _cell(pattern: str, name: str, row: dict[str, Any]) -> str | None:
    column = name if name in row else name.removesuffix(".stem")
    if column not in row:
        raise MammoroiError(
            f"the pattern '{pattern}' names '{name}', which the table does not have",
            nearest(name, list(row), "it has"),
        )
    cell: str | None = row[column]
    if cell is None or column == name:
        return cell
    return PurePosixPath(cell.removesuffix(".gz")).stem


def find_files(
    source: pd.DataFrame,
    image_id: str,
    patient_id: str,
    patterns: dict[str, tuple[Path, str]],
    optional: dict[str, tuple[Path, str]] | None = None,
) -> tuple[pd.DataFrame, list[Failure]]:
    """Find the files of every row.

    A row that lacks one, has no patient, or a name that is unusable or another row's too, is a
    failure. Names that differ in capitals only are one name, as they are to many file systems.

    Parameters
    ----------
    source : DataFrame
        The table as text.
    image_id : str
        Its column with the image's name.
    patient_id : str
        Its column with the patient.
    patterns : dict
        New column to folder and pattern.
    optional : dict
        The same for files that a row may lack: the column is then empty.

    Returns
    -------
    files : DataFrame
        The paths, for the rows that have all of them but optional ones.
    failures : list of Failure
        The other rows.

    Raises
    ------
    MammoroiError
        When a pattern names a column that the table does not have.
    """
    import pandas as pd

    optional = optional or {}
    found: dict[Any, dict[str, str | None]] = {}
    failures = []
    lines = _lines_by_name(source[image_id])
    for index, row in zip(source.index, records(source), strict=True):
        case = str(row[image_id] or f"line {index + 2}")
        fault = _unusable(row, image_id, patient_id, index + 2, lines)
        if fault is not None:
            failures.append(Failure(case, STAGE, *fault))
            continue
        names = {name: fill(pattern, row) for name, (_, pattern) in patterns.items()}
        unfilled = [patterns[name][1] for name, file in names.items() if file is None]
        if unfilled:
            what = f"a cell of which the name of its file is made is empty: {', '.join(unfilled)}"
            failures.append(Failure(case, STAGE, what, "fill it in the table"))
            continue
        filled = {name: in_full(patterns[name][0] / str(file)) for name, file in names.items()}
        absent = [str(path) for path in filled.values() if not path.is_file()]
        if absent:
            failures.append(
                Failure(
                    case,
                    STAGE,
                    f"{' and '.join(absent)} {'does' if len(absent) == 1 else 'do'} not exist",
                    "supply the file, or correct image_pattern or mask_pattern",
                )
            )
        else:
            found[index] = {name: str(path) for name, path in filled.items()}
            for name, (folder, pattern) in optional.items():
                file = fill(pattern, row)
                path = in_full(folder / str(file))
                found[index][name] = str(path) if file and path.is_file() else None
    columns = [*patterns, *optional]
    return pd.DataFrame.from_dict(found, orient="index", columns=columns), failures


def _lines_by_name(names: pd.Series) -> dict[str, list[int]]:
    """Give the lines of every name, without regard to capitals."""
    lines: dict[str, list[int]] = {}
    for index, name in names.dropna().items():
        lines.setdefault(str(name).casefold(), []).append(int(str(index)) + 2)
    return lines


def _unusable(
    row: dict[str, Any], image_id: str, patient_id: str, line: int, lines: dict[str, list[int]]
) -> tuple[str, str] | None:
    """Say why a row cannot be imported whatever files there are, and what to do about it."""
    name = row[image_id]
    if name is None:
        return f"{image_id} is empty", "fill it in the table"
    if not SAFE_ID.fullmatch(name):
        return (
            f"the image_id '{name}' cannot be a file name (letters, digits, '.', '_' and '-' only)",
            "rename it in the table, name another column, or make it of several: "
            "image_id: '{column}_{column}'",
        )
    others = ", ".join(str(other) for other in lines[name.casefold()] if other != line)
    if others:
        return (
            f"the image_id '{name}' of line {line} is also on line {others}, capitals apart",
            "give each image one row and a name of its own: unite the masks of several lesions",
        )
    if row[patient_id] is None:
        return f"{patient_id} is empty", "fill it in the table"
    return None


def nothing_found(
    table: Path, failures: list[Failure], patterns: dict[str, tuple[Path, str]], most: int = 3
) -> MammoroiError:
    """The error for a table of which no row can be imported, with the first rows and their causes.

    Parameters
    ----------
    table : Path
        The table.
    failures : list of Failure
        Its rows; empty where the filter let none pass.
    patterns : dict
        New column to folder and pattern.
    most : int
        How many rows are told.
    """
    if not failures:
        return MammoroiError(
            f"nothing to import: no row of {table} passes the filter", "correct the filter"
        )
    told = failures[:most]
    rows = "; ".join(f"{failure.case}: {failure.error}" for failure in told)
    more = f"; and {len(failures) - most} more" if len(failures) > most else ""
    holds = what_folders_hold(patterns)
    return MammoroiError(
        f"nothing to import: {len(failures)} rows of {table} pass the filter, none can be used: "
        f"{rows}{more}",
        f"{'; '.join(dict.fromkeys(failure.action for failure in told))}; {holds}",
    )


def what_folders_hold(patterns: dict[str, tuple[Path, str]]) -> str:
    """Name some files of each folder, beside the pattern of the names that were wanted."""
    return "; ".join(
        f"{folder} holds {_some_names(folder)} (wanted for {column}: {pattern})"
        for column, (folder, pattern) in patterns.items()
    )


def _some_names(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    shown = ", ".join(f"'{name}'" for name in names[:2])
    return f"{shown}{', ...' if len(names) > 2 else ''}" if names else "no files"
