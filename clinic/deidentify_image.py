"""One DICOM file to its de-identified copy: what is refused, what is rewritten.

Mammograms (any storage class with modality MG) and segmentations are taken. Pixel data and
transfer syntax stay as they are, to the byte.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import atomic
from ..imaging.dicom import open_dicom, open_mammogram, stored_range, stored_values
from .deidentify_rules import Person, clean, identifying, person_of, words_of
from .object_source import UNDATED

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_METHOD = ("Basic Application Level Confidentiality Profile", "mammoroi, allow-list of attributes")
_CODES = {
    "": ("113100", "Basic Application Confidentiality Profile"),
    "dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "patient": ("113108", "Retain Patient Characteristics Option"),
    "device": ("113109", "Retain Device Identity Option"),
}
# What may be empty or absent in a mammogram, but not in a segmentation (type 1).
_DUMMIES = {
    "ContentDate": UNDATED,
    "ContentTime": "000000",
    "Manufacturer": "REMOVED",
    "ManufacturerModelName": "REMOVED",
    "DeviceSerialNumber": "REMOVED",
    "SoftwareVersions": "REMOVED",
}
_STANDARD_UID = "1.2.840.10008."
_LONG_WORD = 5
_CODINGS = ("latin-1", "utf-8")
"""Of comments in compressed pixels."""


def read_exportable(path: Path, accept_unstated: bool) -> Dataset:
    """Read a file that may be exported.

    Parameters
    ----------
    path : Path
        The file.
    accept_unstated : bool
        Whether an image that does not say if text is burned in is taken: somebody looked at it.

    Raises
    ------
    MammoroiError
        When it is neither a mammogram nor a segmentation, has or may have text burned in, or
        holds more in its pixels than an image.
    """
    dataset = open_dicom(path)
    sop_class = str(dataset.get("SOPClassUID") or "").strip()
    if not sop_class.startswith(_STANDARD_UID) or not dataset.get("SOPInstanceUID"):
        raise MammoroiError(
            f"{path} is no image of a standard class (SOP Class UID, SOP Instance UID)",
            "give mammograms and segmentations in DICOM",
        )
    if sop_class == SEGMENTATION:
        if "PixelData" not in dataset:
            raise MammoroiError(f"{path} has no Pixel Data (7FE0,0010)", "export it again")
        _state_transfer_syntax(dataset)
        _cut_trailing_bytes(dataset)
        return dataset
    if dataset.get("Modality") != "MG":
        raise MammoroiError(
            f"{path} is of modality {_modality(dataset)}: only mammograms (MG) and segmentations "
            "(SEG) are exported",
            "leave it out: text and pictures of other objects are not cleaned here",
        )
    _refuse_burned_in(path, dataset, accept_unstated)
    _state_transfer_syntax(dataset)
    try:
        open_mammogram(path)
        # Old overlays lie in the bits above those stored; this also proves that pixels are whole.
        stored_values(path, dataset)
        _refuse_hidden_bits(path, dataset)
    except MammoroiError as error:
        if identifying(error.found.replace(str(path), ""), words_of(dataset)):
            raise MammoroiError(
                f"{path} is no grey single-frame mammogram that can be read",
                "its header holds something of the patient where it should not: see it at home",
            ) from None
        raise
    _cut_trailing_bytes(dataset)
    return dataset


def _modality(dataset: Dataset) -> str:
    stated = str(dataset.get("Modality") or "").strip()
    return stated if re.fullmatch(r"[A-Z]{2,8}", stated) else "unknown"


def _refuse_burned_in(path: Path, dataset: Dataset, accept_unstated: bool) -> None:
    stated = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if stated == "YES":
        raise MammoroiError(
            f"{path} has text burned into its pixels (Burned In Annotation (0028,0301) is YES)",
            "export the original image without annotation; this software does not paint over text",
        )
    if stated != "NO" and not accept_unstated:
        kind = " and is a Secondary Capture" if dataset.SOPClassUID == SECONDARY_CAPTURE else ""
        raise MammoroiError(
            f"{path} does not say whether text is burned in (0028,0301){kind}",
            "look at it; if nothing in the picture names the patient, give --unstated accept",
        )


def _refuse_hidden_bits(path: Path, dataset: Dataset) -> None:
    """Refuse signed pixels whose bits above those stored are neither all 0 nor the sign's.

    Of unsigned ones :func:`..imaging.dicom.stored_values` sees it; those of signed ones pydicom
    repairs, since some devices leave them 0.
    """
    if int(dataset.get("PixelRepresentation") or 0) == 0:
        return
    dataset.pixel_array_options(correct_unused_bits=False)
    pixels = dataset.pixel_array
    lowest, highest = stored_range(dataset)
    signed = lowest <= pixels.min() and pixels.max() <= highest
    if not signed and not (pixels.min() >= 0 and pixels.max() < 1 << int(dataset.BitsStored)):
        raise MammoroiError(
            f"{path} holds something above the {dataset.BitsStored} stored bits of its pixels",
            "an overlay may hide there: export it again from the source",
        )


def _cut_trailing_bytes(dataset: Dataset) -> None:
    """Leave nothing behind the last pixel of uncompressed data but the one byte of padding."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames = int(dataset.get("NumberOfFrames") or 1)
    bits = frames * dataset.Rows * dataset.Columns * dataset.BitsAllocated
    length = (bits + 7) // 8  # the frames of a mask of one bit may end within a byte
    if len(dataset.PixelData) > length:
        dataset.PixelData = dataset.PixelData[:length] + b"\0" * (length % 2)


def deidentified(path: Path, dataset: Dataset, key: bytes, options: frozenset[str]) -> Person:
    """De-identify a data set in place and tell whose it is now.

    Raises
    ------
    MammoroiError
        When it has neither Patient ID nor Study Instance UID, or a name or identifier stands in
        its compressed pixel data.
    """
    from pydicom.dataset import FileMetaDataset

    person = person_of(dataset, key, options)
    if person is None:
        raise MammoroiError(
            f"{path} has neither Patient ID (0010,0020) nor Study Instance UID (0020,000D)",
            "nobody can tell whose it is: export it again from its source",
        )
    _refuse_words_in_stream(path, dataset, person)
    syntax = dataset.file_meta.TransferSyntaxUID
    clean(dataset, person)
    _declare(dataset, options)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    return person


def _refuse_words_in_stream(path: Path, dataset: Dataset, person: Person) -> None:
    """JPEG and its kin may carry comments, which are part of the pixel data."""
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    words = [word for word in person.words if len(word) >= _LONG_WORD]
    streams = (dataset.PixelData.decode(coding, "ignore").upper() for coding in _CODINGS)
    if words and any(word in stream for stream in streams for word in words):
        raise MammoroiError(
            f"a name or identifier of the patient stands in the compressed pixel data of {path}",
            "export the image uncompressed: the comment in the compressed stream is lost then",
        )


def _state_transfer_syntax(dataset: Dataset) -> None:
    """Say how a bare data set, which has no file meta information, was read."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") is not None:
        return
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _declare(dataset: Dataset, options: frozenset[str]) -> None:
    """Say in the file what was done to it."""
    from pydicom.dataset import Dataset

    if dataset.SOPClassUID == SEGMENTATION:
        for keyword, dummy in _DUMMIES.items():
            if not dataset.get(keyword):
                setattr(dataset, keyword, dummy)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = list(_METHOD)
    items = []
    for option in ("", *sorted(options)):
        item = Dataset()
        item.CodeValue, item.CodeMeaning = _CODES[option]
        item.CodingSchemeDesignator = "DCM"
        items.append(item)
    dataset.DeidentificationMethodCodeSequence = items
    dataset.LongitudinalTemporalInformationModified = (
        "MODIFIED" if "dates" in options else "REMOVED"
    )


def exported_path(dataset: Dataset, person: Person) -> Path:
    """``<pseudonym>/<hash of the UID>.dcm``, below the output folder."""
    return Path(person.name) / f"{str(dataset.SOPInstanceUID).rpartition('.')[2][:20]}.dcm"


def write_deidentified(dataset: Dataset, path: Path) -> Path:
    """Write a data set that :func:`deidentified` returned from, and return ``path``."""
    with atomic(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return path


def image_of_mask(dataset: Dataset, person: Person) -> str:
    """Where the copy of a segmentation's mammogram is or would be; empty where none is named.

    Segmentations name it as their source, in the functional groups of one frame or of all, or
    only as the one image of the series that they refer to.
    """
    named = list(dataset.get("SourceImageSequence") or ())
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in dataset.get(groups) or ():
            for derivation in group.get("DerivationImageSequence") or ():
                named += derivation.get("SourceImageSequence") or ()
    if not named:
        series = dataset.get("ReferencedSeriesSequence") or ()
        referred = [one for item in series for one in item.get("ReferencedInstanceSequence") or ()]
        named = referred if len(referred) == 1 else []
    if not named:
        return ""
    tail = str(named[0].get("ReferencedSOPInstanceUID") or "").rpartition(".")[2][:20]
    return (Path(person.name) / f"{tail}.dcm").as_posix() if tail else ""
