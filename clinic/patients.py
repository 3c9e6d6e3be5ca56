"""Which files are one patient's, before any pixel is read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..cohort.given_spacing import GivenSpacing, spacing_of
from ..errors import MammoroiError
from ..files import INPUTS
from ..imaging.spacing import GIVEN

_NO_ID = (
    *("anon", "anonym", "anonymized", "anonymised", "anonymous", "deidentified"),
    *("na", "none", "null", "removed", "unknown"),
)
"""What exports put in place of the Patient ID of everybody."""

NO_IMAGES = ("dicomdir", "desktop.ini", "thumbs.db")
"""A disc's table of contents, and what Windows leaves in folders."""
_OF_THE_SYSTEM = ("lost+found", "system volume information")
"""Folders of a whole disk that nobody may look into."""


@dataclass(frozen=True)
class NewImage:
    """A mammogram to be processed.

    Attributes
    ----------
    image_id : str
        Its name in all results.
    file : Path
        Where it is.
    spacing_mm : float or None
        Millimetres per pixel, for files that do not tell.
    spacing_source : str
        ``measured`` or ``estimated``, how a table's number came about; or
        :data:`mammoroi.imaging.spacing.GIVEN`.
    view, laterality : str or None
        For files that do not tell.
    sop_uid : str
        SOP Instance UID, by which an image that is given twice is known; empty where there is none.
    """

    image_id: str
    file: Path
    spacing_mm: float | None = None
    spacing_source: str = "measured"
    view: str | None = None
    laterality: str | None = None
    sop_uid: str = ""


@dataclass(frozen=True)
class NewPatient:
    """One patient's mammograms.

    Attributes
    ----------
    images : tuple of NewImage
        In the order of the files.
    patient_id : str or None
        A name that says nothing about the patient; None: she is numbered as she comes.
    n_studies : int
        From how many examinations (Study Instance UID) the images are; 0 where they do not say.
    """

    images: tuple[NewImage, ...]
    patient_id: str | None = None
    n_studies: int = 0


@dataclass
class _Found:
    images: list[NewImage] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)


def expand(images: Sequence[Path], out: Path | None = None) -> list[Path]:
    """List the files; a folder stands for everything in it and below (:func:`files_below`).

    Parameters
    ----------
    images : sequence of Path
        Files and folders.
    out : Path, optional
        Where results are to go. What an earlier run has written there is no input.

    Raises
    ------
    MammoroiError
        When something does not exist, its name is not text, a folder cannot be read, or nothing is
        left.
    """
    files: list[Path] = []
    results = out.resolve() if out is not None and (out / INPUTS).is_file() else None
    for path in images:
        if path.is_dir():
            below = files_below(path)
            if results is not None and path.resolve() in results.parents:
                below = [file for file in below if not file.resolve().is_relative_to(results)]
            files += below
        elif path.is_file():
            files.append(path)
        else:
            raise MammoroiError(f"{path} does not exist", "name mammograms or folders of them")
    if not files:
        raise MammoroiError("there is no image", "name mammograms or folders that hold some")
    for file in files:
        check_name(file)
    return files


def files_below(folder: Path) -> list[Path]:
    """Files in a folder and below, without hidden ones and :data:`NO_IMAGES`.

    Raises
    ------
    MammoroiError
        When a folder cannot be looked into: what is in it would be left out without a word.
    """
    found = sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, onerror=_refuse_closed)
        for name in names
        if name[0] != "." and name.casefold() not in NO_IMAGES
    )
    return [file for file in found if file.is_file()]


def _refuse_closed(error: OSError) -> None:
    if Path(error.filename).name.casefold() in _OF_THE_SYSTEM:
        return
    raise MammoroiError(
        f"the folder {error.filename} cannot be read: {error.strerror}",
        "see to its permissions, or name what can be read",
    ) from None


def check_name(file: Path) -> None:
    """Refuse a file whose name tables cannot hold, as old archives and disks have them.

    Raises
    ------
    MammoroiError
        When the bytes of its name are no UTF-8.
    """
    try:
        str(file).encode()
    except UnicodeEncodeError:
        raise MammoroiError(
            f"the name of {str(file)!a} is not text in UTF-8",
            "rename it, or copy it to a name of plain letters: results name their files",
        ) from None


def group(files: Sequence[Path], spacing_mm: GivenSpacing | None = None) -> list[NewPatient]:
    """Put files of one patient together: DICOM files with one Patient ID of one issuer.

    Without a Patient ID, or with a word such as ``ANONYMOUS`` in its place, files of one
    examination are one patient's. A file that does not even name its examination, one that cannot
    be read, and every file that is not DICOM is a patient of its own. The IDs themselves are
    forgotten.

    Raises
    ------
    MammoroiError
        When two files get the same name: results are named by them, see
        :func:`mammoroi.segmentation.new_mammograms.image_names`.
    """
    from ..segmentation.new_mammograms import image_names

    found: dict[tuple[str, ...], _Found] = {}
    for name, file in zip(image_names(files), files, strict=True):
        patient, study, sop_uid = _identity(file)
        one = found.setdefault(patient or (file.as_posix(),), _Found())
        one.images.append(
            NewImage(name, file, spacing_of(file, spacing_mm), GIVEN, sop_uid=sop_uid)
        )
        one.studies |= {study} - {""}
    return [NewPatient(tuple(one.images), None, len(one.studies)) for one in found.values()]


def _identity(file: Path) -> tuple[tuple[str, str] | None, str, str]:
    """Who the patient is, the examination, and the image; nothing where a file does not say."""
    import pydicom

    from ..imaging.formats import Format, identify

    tags = ["PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SOPInstanceUID"]
    try:
        if identify(file) is not Format.DICOM:
            return None, "", ""
        with warnings.catch_warnings():  # pydicom's quote header values
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags, force=True)
            patient, issuer, study, image = (str(dataset.get(tag) or "").strip() for tag in tags)
    except Exception:  # noqa: BLE001  whatever is wrong with it, reading the image will say so
        return None, "", ""
    if patient and patient.casefold() not in _NO_ID:
        return (patient, issuer), study, image
    return (("", study) if study else None), study, image
