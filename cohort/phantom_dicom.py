"""Writing a phantom as a DICOM Digital Mammography X-Ray Image - For Presentation.

Everything that names a person says PHANTOM; all UIDs follow from the image's name and the cohort's
seed, so that equal settings give equal files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from ..files import atomic
from .phantom import BITS_STORED

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DEVICE = "mammoroi phantom"

_DATE, _TIME = "20240102", "120000"
_VIEWS = {
    "CC": Code("399162004", "SCT", "cranio-caudal"),
    "MLO": Code("399368009", "SCT", "medio-lateral oblique"),
}
_BREAST = Code("76752008", "SCT", "Breast")
# Along a row, then down a column; the chest wall is on the left in a left breast.
_ORIENTATION = {
    ("CC", "L"): ["A", "R"],
    ("CC", "R"): ["P", "L"],
    ("MLO", "L"): ["A", "FR"],
    ("MLO", "R"): ["P", "FL"],
}


@dataclass(frozen=True)
class ImageName:
    """What tells one phantom image from the others.

    Attributes
    ----------
    image_id, patient_id : str
        As in ``cohort.csv``.
    view, laterality : str
        ``CC`` or ``MLO``; ``L`` or ``R``.
    number : int
        Instance number in the patient's study, from 1.
    age : int
        Years.
    """

    image_id: str
    patient_id: str
    view: str
    laterality: str
    number: int
    age: int


def write_phantom_dicom(
    path: Path, pixels: NDArray[np.uint16], name: ImageName, spacing_mm: float, seed: int
) -> Path:
    """Write (rows, columns) grey levels of 12 bits, uncompressed, and return ``path``."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = _uid(seed, "image", name.image_id)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    _describe_patient(image, name, seed)
    _describe_image(image, name, spacing_mm)
    image.SOPClassUID = meta.MediaStorageSOPClassUID
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.Rows, image.Columns = pixels.shape
    image.SmallestImagePixelValue = 0
    image.LargestImagePixelValue = int(pixels.max())
    shown = pixels[pixels > 0]
    low, high = np.percentile(shown[:: max(1, shown.size // 20_000)], [1, 99.9])
    image.WindowCenter = f"{(low + high) / 2:.0f}"
    image.WindowWidth = f"{high - low:.0f}"
    image.PixelData = pixels.astype("<u2").tobytes()
    with atomic(path) as temporary:
        image.save_as(temporary, enforce_file_format=True)
    return path


def _uid(seed: int, *names: str) -> UID:
    """Make a UID that is always the same for the same names."""
    return generate_uid(entropy_srcs=["mammoroi phantom", str(seed), *names])


def _coded(code: Code) -> list[Dataset]:
    """One item that holds a code."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return [item]


def _describe_patient(image: Dataset, name: ImageName, seed: int) -> None:
    """Fill patient, study, series and equipment."""
    image.PatientName = f"PHANTOM^{name.patient_id}"
    image.PatientID = name.patient_id
    image.PatientBirthDate = ""
    image.PatientSex = "F"
    image.PatientAge = f"{name.age:03d}Y"
    image.PatientComments = "Synthetic phantom, no person"
    image.StudyInstanceUID = _uid(seed, "study", name.patient_id)
    image.SeriesInstanceUID = _uid(seed, "series", name.patient_id)
    image.StudyID = "1"
    image.AccessionNumber = ""
    image.ReferringPhysicianName = ""
    image.StudyDescription = "Synthetic mammogram (phantom)"
    image.SeriesDescription = "Synthetic mammogram (phantom)"
    image.SeriesNumber = 1
    image.InstanceNumber = name.number
    for kind in ("Study", "Series", "Acquisition", "Content"):
        setattr(image, f"{kind}Date", _DATE)
        setattr(image, f"{kind}Time", _TIME)
    image.Modality = "MG"
    image.PresentationIntentType = "FOR PRESENTATION"
    image.Manufacturer = "mammoroi"
    image.ManufacturerModelName = DEVICE
    image.DeviceSerialNumber = "0"
    image.SoftwareVersions = "1"


def _describe_image(image: Dataset, name: ImageName, spacing_mm: float) -> None:
    """Fill anatomy, view, detector and pixel encoding."""
    image.ImageType = ["DERIVED", "PRIMARY", ""]
    image.ImageComments = "Synthetic phantom, no person"
    image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"
    image.ImageLaterality = name.laterality
    image.PatientOrientation = _ORIENTATION[name.view, name.laterality]
    image.AnatomicRegionSequence = _coded(_BREAST)
    image.ViewCodeSequence = _coded(_VIEWS[name.view])
    image.ViewCodeSequence[0].ViewModifierCodeSequence = []
    image.ViewPosition = name.view
    image.OrganExposed = "BREAST"
    image.PositionerType = "MAMMOGRAPHIC"
    image.BreastImplantPresent = "NO"
    image.PartialView = "NO"
    image.DetectorType = "DIRECT"
    image.ImagerPixelSpacing = [f"{spacing_mm:g}"] * 2
    image.EstimatedRadiographicMagnificationFactor = "1"
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.PresentationLUTShape = "IDENTITY"
    image.BitsAllocated = 16
    image.BitsStored = BITS_STORED
    image.HighBit = BITS_STORED - 1
    image.PixelRepresentation = 0
    image.PixelIntensityRelationship = "LOG"
    image.PixelIntensityRelationshipSign = -1
    image.RescaleIntercept = "0"
    image.RescaleSlope = "1"
    image.RescaleType = "US"
    image.AcquisitionContextSequence = []
