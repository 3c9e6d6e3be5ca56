"""DICOM mammograms: a file to a checked data set, and its stored pixel values."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
"""How older devices store a tomosynthesis volume: slice by slice, with modality MG."""

_INTENTS = {
    FOR_PRESENTATION: "presentation",
    FOR_PROCESSING: "processing",
    "FOR PRESENTATION": "presentation",
    "FOR PROCESSING": "processing",
}


def open_dicom(path: Path, *, pixels: bool = True) -> Dataset:
    """Read a data set of any kind, pixels still encoded; with ``pixels=False`` all but them.

    Raises
    ------
    MammoroiError
        When the file is damaged or holds no DICOM attributes.
    """
    import pydicom

    try:
        # pydicom's warnings quote header values, which may identify a patient.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, force=True, stop_before_pixels=not pixels)
    except (EOFError, KeyError, NotImplementedError, OSError, TypeError, ValueError) as error:
        raise MammoroiError(
            f"{path} is a damaged DICOM file ({type(error).__name__})",
            "copy or export it again; it may have been cut short",
        ) from None
    if len(dataset) == 0:
        raise MammoroiError(
            f"{path} is DICOM but ends before its attributes do",
            "copy or export it again; it was cut short",
        )
    return dataset


def patient_of(path: Path) -> str:
    """Read Patient ID (0010,0020) of a DICOM file; empty where it has none.

    Raises
    ------
    MammoroiError
        When the file is damaged.
    """
    return str(open_dicom(path, pixels=False).get("PatientID") or "").strip()


def open_mammogram(path: Path) -> Dataset:
    """Read a data set and make sure that it is one grey mammographic projection.

    Any other storage class with modality MG is accepted, so also Secondary Capture (digitised
    film).

    Raises
    ------
    MammoroiError
        For tomosynthesis, another modality, several frames, colour, or no pixels.
    """
    dataset = open_dicom(path)
    modality = str(dataset.get("Modality") or "").strip()
    frames = int(dataset.get("NumberOfFrames") or 1)
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    slice_of_one = dataset.get("SOPClassUID") == CT_IMAGE and modality == "MG"
    if dataset.get("SOPClassUID") == TOMOSYNTHESIS or slice_of_one:
        what = "slice of a breast tomosynthesis" if slice_of_one else "breast tomosynthesis volume"
        raise MammoroiError(
            f"{path} is a {what} of {frames} frame(s)",
            "give the 2-D mammogram or the synthesised 2-D view of the same breast",
        )
    if modality != "MG":
        found = f"modality {modality}" if modality else "no modality (0008,0060)"
        raise MammoroiError(
            f"{path} has {found}, not MG",
            "give a mammogram (modality MG), or correct the path in the manifest",
        )
    if "PixelData" not in dataset:
        raise MammoroiError(
            f"{path} has no Pixel Data (7FE0,0010)",
            "give the image itself: this is another kind of object, or a copy without its image",
        )
    if frames != 1:
        raise MammoroiError(
            f"{path} holds {frames} frames", "export the one projection as a single-frame image"
        )
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or not photometric.startswith("MONOCHROME"):
        raise MammoroiError(
            f"{path} is not a grey image ({photometric or 'no Photometric Interpretation'})",
            "give the original grey mammogram, not a screenshot or an annotated copy",
        )
    return dataset


def check_length(path: Path, dataset: Dataset) -> None:
    """See that as many bytes of pixels are there as the header says, without decoding them.

    Pixels that are compressed are not looked at: their length says nothing.

    Raises
    ------
    MammoroiError
        When there are fewer: the file was cut short.
    """
    syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if syntax is not None and syntax.is_compressed:
        return
    sides = [int(dataset.get(keyword) or 0) for keyword in ("Rows", "Columns", "BitsAllocated")]
    expected, there = sides[0] * sides[1] * sides[2] // 8, len(dataset.PixelData)
    if there < expected:
        raise MammoroiError(
            f"{path} holds {there} bytes of pixels of the {expected} that its header tells of",
            "copy or export it again; it was cut short",
        )


def intent_of(dataset: Dataset) -> str | None:
    """``"presentation"`` or ``"processing"``, by SOP class, else by Presentation Intent Type."""
    for keyword in ("SOPClassUID", "PresentationIntentType"):
        intent = _INTENTS.get(str(dataset.get(keyword) or "").strip())
        if intent is not None:
            return intent
    return None


def decoded_pixels(path: Path, dataset: Dataset) -> NDArray[Any]:
    """The pixel array as pydicom decodes it.

    Raises
    ------
    MammoroiError
        When the pixels are incomplete, damaged, or in a coding that cannot be read.
    """
    meta = getattr(dataset, "file_meta", {})
    coding = getattr(meta.get("TransferSyntaxUID"), "name", "no transfer syntax")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Bits above Bits Stored would be cut off silently; stored_values looks at them.
            if int(dataset.get("PixelRepresentation") or 0) == 0:
                dataset.pixel_array_options(correct_unused_bits=False)
            return np.asarray(dataset.pixel_array)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise MammoroiError(
            f"the pixels of {path} cannot be decoded ({coding}): {' '.join(str(error).split())}",
            "copy or export it again; if it is whole, export it uncompressed",
        ) from None


def stored_range(dataset: Dataset) -> tuple[int, int]:
    """The smallest and the largest value that Bits Stored and Pixel Representation can hold."""
    bits = int(dataset.BitsStored)
    if int(dataset.get("PixelRepresentation") or 0) == 1:
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def stored_values(path: Path, dataset: Dataset) -> NDArray[np.int32]:
    """The stored values of one grey frame, (rows, columns), inside :func:`stored_range`.

    Raises
    ------
    MammoroiError
        When they cannot be decoded or exceed Bits Stored.
    """
    stored = decoded_pixels(path, dataset)
    lowest, highest = stored_range(dataset)
    if stored.min() < lowest or stored.max() > highest:
        raise MammoroiError(
            f"{path} holds pixel values {stored.min()} to {stored.max()}, outside the {lowest} to "
            f"{highest} of its {dataset.BitsStored} stored bits",
            "its header contradicts its pixels: export it again from the source",
        )
    return stored.astype(np.int32)
