"""Which kind of file this is, by its first bytes and not by its name."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from ..errors import MammoroiError

_HEADER_BYTES = 132
_DICOM_SUFFIXES = {"", ".dcm", ".dicom", ".ima"}


class Format(Enum):
    """A kind of image file."""

    DICOM = "DICOM"
    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    NIFTI = "NIfTI"
    NRRD = "NRRD"
    METAIMAGE = "MetaImage"


VOLUMES = (Format.NIFTI, Format.NRRD, Format.METAIMAGE)
"""Formats of volumes, one slice of which is a mammogram or a mask; headers state a spacing."""

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"\xff\xd8\xff", Format.JPEG),
    (b"II*\x00", Format.TIFF),
    (b"MM\x00*", Format.TIFF),
    (b"II+\x00", Format.TIFF),
    (b"MM\x00+", Format.TIFF),
    (b"NRRD0", Format.NRRD),
    (b"ObjectType", Format.METAIMAGE),
)


def identify(path: Path) -> Format:
    """Say what kind of image ``path`` holds.

    DICOM is recognised with and without its 128-byte preamble; NIfTI by its suffix (``.nii``,
    ``.nii.gz``), since its compressed form has no signature of its own.

    Raises
    ------
    MammoroiError
        When the file is missing, a folder, empty, or of no kind that is read here.
    """
    if path.is_dir():
        raise MammoroiError(f"{path} is a folder", "name one image file")
    if not path.is_file():
        raise MammoroiError(f"{path} does not exist", "correct the path or restore the file")
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER_BYTES)
    except OSError as error:
        raise MammoroiError(
            f"{path} cannot be read: {error.strerror}", "check its permissions and the disk"
        ) from None
    if not header:
        raise MammoroiError(f"{path} is empty (0 bytes)", "copy the file again from its source")
    if header[128:] == b"DICM":
        return Format.DICOM
    for signature, kind in _SIGNATURES:
        if header.startswith(signature):
            return kind
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return Format.NIFTI
    if header[:2] in (b"\x08\x00", b"\x02\x00") and path.suffix.lower() in _DICOM_SUFFIXES:
        return Format.DICOM
    raise MammoroiError(
        f"{path} is not an image of a known kind (it begins with {header[:8]!r})",
        "give DICOM, PNG, JPEG, TIFF, NIfTI, NRRD or MetaImage; if it should be one of them, the "
        "copy is damaged",
    )
