"""Research export: mammograms and masks without who they are of.

By the Basic Application Level Confidentiality Profile of DICOM PS3.15, Annex E, done as an
allow-list (:mod:`.deidentify_rules`). Written to the output folder:

===========================  ===================================================================
``<patient>/<image>.dcm``    the copies; both names are keyed hashes
``images.csv``               ``file, patient_id, kind (image|mask), view, laterality, of``; the
                             last is the file of a mask's mammogram; copies of earlier exports that
                             are in the folder are listed, too
``failures.csv``             ``case, stage, error, action``: what was not exported; the case is a
                             keyed hash of the file's path
===========================  ===================================================================

Who is who stays at home: a crosswalk, where it is asked for, is written outside the output folder
(``file, case, patient_id, pseudonym, exported``); one of an earlier export is continued.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Failure, MammoroiError, is_disk_full, of_the_disk
from ..files import read_csv, write_csv, write_failures
from ..imaging.formats import Format, identify
from ..imaging.view import laterality_of, view_of
from ..progress import with_bar
from .deidentify_image import (
    SEGMENTATION,
    deidentified,
    exported_path,
    image_of_mask,
    read_exportable,
    write_deidentified,
)
from .deidentify_rules import OPTIONS
from .patients import check_name, files_below
from .privacy import pseudonym, read_key, values_hidden

STAGE = "deidentify"
IMAGE_COLUMNS = ("file", "patient_id", "kind", "view", "laterality", "of")
CROSSWALK_COLUMNS = ("file", "case", "patient_id", "pseudonym", "exported")


@dataclass(frozen=True)
class Export:
    """How an export is made.

    Attributes
    ----------
    key : Path
        File of the key, which stays at home; the same key gives the same pseudonyms.
    keep : frozenset of str
        Options of the profile that are on: ``dates`` (moved by a number of days of the patient's
        own, times kept), ``patient`` (sex, age up to 89, size, weight), ``device`` (serial
        number, station, detector).
    accept_unstated : bool
        Whether images that do not say if text is burned in are taken.
    crosswalk : Path or None
        Where to write who is who.
    """

    key: Path
    keep: frozenset[str] = frozenset()
    accept_unstated: bool = False
    crosswalk: Path | None = None


def deidentify(inputs: Sequence[Path], out: Path, export: Export) -> list[Failure]:
    """Write de-identified copies of DICOM mammograms and segmentations.

    Parameters
    ----------
    inputs : sequence of Path
        DICOM files, or folders of which every file is taken.
    out : Path
        Folder for the copies; must hold neither inputs, nor the key, nor the crosswalk.
    export : Export
        Key and options.

    Returns
    -------
    list of Failure
        Files that were not exported, and why.

    Raises
    ------
    MammoroiError
        When an input or the key is missing, a folder cannot be read, a file's name is not text, an
        option is unknown, or what must stay apart does not.
    OSError
        When the disk is full.
    """
    import pandas as pd

    unknown = sorted(export.keep - set(OPTIONS))
    if unknown:
        raise MammoroiError(f"there is no option {unknown[0]}", f"known: {', '.join(OPTIONS)}")
    key = read_key(export.key)
    _keep_apart(inputs, out, export)
    before = _earlier(out / "images.csv", IMAGE_COLUMNS)
    known = _earlier(export.crosswalk, CROSSWALK_COLUMNS)
    files = list(_files(inputs))
    for path in files:
        check_name(path)
    failures: list[Failure] = []
    images: list[dict[str, Any]] = []
    crosswalk: list[dict[str, Any]] = []
    written: set[Path] = set()
    for path in with_bar(files, "De-identifying", len(files)):
        case = f"file-{pseudonym(f'path:{path.as_posix()}', key)}"
        row = dict.fromkeys(CROSSWALK_COLUMNS, "") | {"file": path.as_posix(), "case": case}
        crosswalk.append(row)
        try:
            with values_hidden():
                image = _export(path, out, key, export, row, written)
        except Exception as error:
            if is_disk_full(error):
                raise
            failures.append(_failure(case, path, error))
        else:
            images.append(image)
            row["exported"] = image["file"]
    still = [row for row in _others(before, images) if (out / row["file"]).is_file()]
    write_csv(out / "images.csv", pd.DataFrame([*still, *images], columns=list(IMAGE_COLUMNS)))
    write_failures(out / "failures.csv", failures)
    if export.crosswalk is not None:
        both = [*_others(known, crosswalk), *crosswalk]
        table = pd.DataFrame(both, columns=list(CROSSWALK_COLUMNS))
        write_csv(export.crosswalk, table)
        export.crosswalk.chmod(0o600)
    return failures


def _earlier(path: Path | None, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows that an earlier export into the same folder left: its copies are still there.

    Raises
    ------
    MammoroiError
        When something else lies there.
    """
    if path is None or not path.exists():
        return []
    table = read_csv(path, dtype=str).fillna("")
    if list(table.columns) != list(columns):
        raise MammoroiError(f"{path} is no table of an earlier export", "name another place")
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _others(earlier: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Earlier rows of other files than those of this export."""
    files = {row["file"] for row in now}
    return [row for row in earlier if row["file"] not in files]


def _export(
    path: Path, out: Path, key: bytes, export: Export, row: dict[str, Any], written: set[Path]
) -> dict[str, Any]:
    """Copy one file; gives its row of ``images.csv`` and fills in that of the crosswalk."""
    with path.open("rb"):
        pass  # one that cannot be read says so itself, and not that it is no DICOM
    try:
        is_dicom = identify(path) is Format.DICOM
    except MammoroiError:  # it quotes how the file begins
        is_dicom = False
    if not is_dicom:
        raise MammoroiError(
            f"{path} is not DICOM, or damaged", "leave it out, or copy it again from its source"
        )
    dataset = read_exportable(path, export.accept_unstated)
    row["patient_id"] = str(dataset.get("PatientID") or "")
    view, laterality = view_of(dataset), laterality_of(dataset)
    person = deidentified(path, dataset, key, export.keep)
    row["pseudonym"] = person.name
    relative = exported_path(dataset, person)
    if relative in written:
        raise MammoroiError(
            f"{path} has the SOP Instance UID of another file that was exported",
            "remove the one that is not wanted; a copy may be left out",
        )
    written.add(relative)
    write_deidentified(dataset, out / relative)
    is_mask = dataset.SOPClassUID == SEGMENTATION
    return {
        "file": relative.as_posix(),
        "patient_id": person.name,
        "kind": "mask" if is_mask else "image",
        "view": view or "",
        "laterality": laterality or "",
        "of": image_of_mask(dataset, person) if is_mask else "",
    }


def _failure(case: str, path: Path, error: Exception) -> Failure:
    """Say what went wrong without the file's name, and without a text that may quote a header."""
    if isinstance(error, OSError):
        error = of_the_disk(error) or error
    if isinstance(error, MammoroiError):
        return Failure(case, STAGE, error.found.replace(str(path), case), error.action)
    return Failure(
        case,
        STAGE,
        f"{case} cannot be de-identified ({type(error).__name__})",
        "compare its header with the standard (`dciodvfy`); --crosswalk tells which file it is",
    )


def _files(inputs: Sequence[Path]) -> Iterator[Path]:
    """Every file; a folder stands for all in it and below (:func:`.patients.files_below`)."""
    for path in inputs:
        if path.is_dir():
            yield from files_below(path)
        elif path.is_file():
            yield path
        else:
            raise MammoroiError(f"{path} does not exist", "name DICOM files, or folders of them")


def _keep_apart(inputs: Sequence[Path], out: Path, export: Export) -> None:
    """Refuse an output folder that would take along what must stay, or be its own input."""
    folder = out.resolve()
    for secret, what in ((export.key, "the key"), (export.crosswalk, "the crosswalk")):
        if secret is not None and secret.resolve().is_relative_to(folder):
            raise MammoroiError(
                f"{what} {secret} is inside the output folder {out}",
                "keep it elsewhere: with it anybody can tell who is who",
            )
    for path in inputs:
        given = path.resolve()
        if given.is_relative_to(folder) or folder.is_relative_to(given):
            raise MammoroiError(
                f"the output folder {out} and the input {path} lie within each other",
                "give another output folder",
            )
