"""An asymmetric phantom and a writer of DICOM mammograms with any header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"


@pytest.fixture
def phantom() -> np.ndarray:
    """An L with one bright corner, 12 bits, 48 rows x 40 columns: any flip or turn shows."""
    pixels = np.zeros((48, 40), dtype=np.uint16)
    pixels[6:42, 4:12] = 1500
    pixels[34:42, 4:30] = 2000
    pixels[2:5, 33:38] = 4095
    pixels += np.arange(48, dtype=np.uint16)[:, None] * (pixels == 1500)
    return pixels


class Writer:
    """Writes For Presentation mammograms; keyword arguments overrule attributes, None removes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def dataset(self, pixels: np.ndarray, **attributes: object) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = str(attributes.get("SOPClassUID", FOR_PRESENTATION))
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID = meta.MediaStorageSOPClassUID
        ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
        ds.PatientID = ds.PatientName = ds.PatientBirthDate = ds.PatientSex = ""
        ds.StudyID = ds.AccessionNumber = ds.ReferringPhysicianName = ds.Manufacturer = ""
        ds.StudyDate = ds.StudyTime = ""
        ds.SeriesNumber, ds.InstanceNumber = 1, 1
        ds.Modality, ds.ImageLaterality = "MG", "L"
        ds.PatientOrientation = ["A", "R"]
        ds.Rows, ds.Columns = pixels.shape[-2:]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
        ds.PixelRepresentation = int(pixels.dtype.kind == "i")
        ds.PixelData = pixels.tobytes()
        for keyword, value in attributes.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        return ds

    def __call__(
        self, pixels: np.ndarray, name: str = "mg.dcm", syntax: str | None = None, **attributes
    ) -> Path:
        ds = self.dataset(pixels, **attributes)
        if syntax is not None:
            ds.compress(syntax)
        path = self.folder / name
        ds.save_as(path, enforce_file_format=True)
        return path


@pytest.fixture
def write_mg(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def item(**attributes: object) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.fixture
def sequence_item():
    return item
