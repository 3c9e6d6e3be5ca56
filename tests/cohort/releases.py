"""Small DICOM files, as the releases of public data sets hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from mammoroi.cohort.importers import import_dataset
from mammoroi.imaging.mask import read_mask


def write_dicom(path: Path, pixels: NDArray[Any], **header: Any) -> Path:
    """Write one grey frame of modality MG, 8 or 16 bits by the array's type."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID = meta.MediaStorageSOPClassUID
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.Modality = "MG"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.PixelRepresentation = 0
    image.BitsAllocated = image.BitsStored = 8 * pixels.itemsize
    image.HighBit = image.BitsStored - 1
    for keyword, value in header.items():
        setattr(image, keyword, value)
    image.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def noise(shape: tuple[int, int], seed: int) -> NDArray[np.uint16]:
    """Make pixels that no other image has."""
    return np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)


def bring_in(dataset: Any, folder: Path, out: Path, **options: Any) -> Path:
    return import_dataset(dataset, folder, out, **options)


def tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Images, patients, and the reason for every image that was left out."""
    images = pd.read_csv(out / "cohort.csv", dtype=str).set_index("image_id")
    patients = pd.read_csv(out / "patients.csv", dtype=str).set_index("patient_id")
    excluded = pd.read_csv(out / "excluded.csv", dtype=str)
    left_out = excluded[excluded["stage"] == "import/image"]
    return images, patients, dict(zip(left_out["case"], left_out["error"], strict=True))


def mask_of(out: Path, images: pd.DataFrame, image_id: str, shape: tuple[int, int]) -> Any:
    return read_mask(out / images.loc[image_id, "mask"], shape)
