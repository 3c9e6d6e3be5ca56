"""A small sound cohort on disk, and ways to spoil it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

N_PATIENTS = 12
SHAPE = (24, 20)
LESION = (slice(5, 12), slice(6, 13))


@dataclass
class Builder:
    """A cohort folder whose cells and files a test may change before it looks at it."""

    folder: Path
    images: pd.DataFrame
    patients: pd.DataFrame

    def save(self) -> Path:
        self.images.to_csv(self.folder / "cohort.csv", index=False)
        self.patients.to_csv(self.folder / "patients.csv", index=False)
        return self.folder

    def write_image(self, name: str, seed: int, shape: tuple[int, int] = SHAPE) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    def write_mask(
        self, name: str, *boxes: tuple[slice, slice], shape: tuple[int, int] = SHAPE
    ) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros(shape, np.uint8)
        for box in boxes:
            mask[box] = 255
        Image.fromarray(mask).save(path)

    def write_dicom(self, name: str, **attributes: Any) -> None:
        """Write a mammogram that says that it is the left CC view, unless told otherwise."""
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
        dataset.SOPInstanceUID = generate_uid()
        dataset.Modality = "MG"
        dataset.ImageLaterality = "L"
        dataset.ViewPosition = "CC"
        dataset.ImagerPixelSpacing = [0.1, 0.1]
        dataset.Rows, dataset.Columns = SHAPE
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit = 15
        dataset.PixelRepresentation = 0
        dataset.PixelData = np.arange(np.prod(SHAPE), dtype=np.uint16).tobytes()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(self.folder / name, enforce_file_format=True)


@pytest.fixture
def cohort(tmp_path: Path) -> Builder:
    """Twelve patients, CC and MLO each; on line 2 are I0-CC and P0, on line 3 I0-MLO and P1."""
    rows: list[dict[str, str | None]] = []
    tests = [("0", None), ("1+", None), ("2+", "negative"), ("2+", "positive"), ("3+", None)]
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{patient}" for patient in range(N_PATIENTS)],
            "age": [str(40 + patient) for patient in range(N_PATIENTS)],
            "sln": ["negative", "positive"] * (N_PATIENTS // 2),
            "her2_ihc": [tests[patient % 5][0] for patient in range(N_PATIENTS)],
            "her2_fish": [tests[patient % 5][1] for patient in range(N_PATIENTS)],
        }
    )
    builder = Builder(tmp_path / "cohort", pd.DataFrame(), patients)
    for patient in range(N_PATIENTS):
        for view in ("CC", "MLO"):
            name = f"I{patient}-{view}"
            builder.write_image(f"images/{name}.png", seed=len(rows))
            builder.write_mask(f"masks/{name}.png", LESION)
            rows.append(
                {
                    "image_id": name,
                    "patient_id": f"P{patient}",
                    "view": view,
                    "laterality": "L",
                    "image": f"images/{name}.png",
                    "mask": f"masks/{name}.png",
                    "mask_reader2": None,
                    "mask_label": None,
                    "spacing_mm": "0.1",
                    "spacing_source": "measured",
                }
            )
    builder.images = pd.DataFrame(rows)
    return builder
