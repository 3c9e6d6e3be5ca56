"""Results of one made-up patient, on phantom mammograms whose masks have a marker in one corner."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mammoroi.clinic.results import Discrimination, Flag, ImageResult, PatientResult, Risk
from mammoroi.cohort.phantom_dicom import ImageName, write_phantom_dicom

SPACING_MM = 0.5
SHAPE = (96, 70)
VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
FEATURES = {
    "original_shape2D_Elongation": 0.71,
    "original_shape2D_PixelSurface": 12.25,
    "original_firstorder_Mean": 1234.5678901234567,
    "original_firstorder_Kurtosis": 3.1,
    "original_firstorder_TotalEnergy": 1.5e9,
    "original_firstorder_Skewness": float("nan"),
    "original_glcm_Contrast": 4.0,
    "wavelet-LH_firstorder_Mean": 0.25,
}


def run_tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of dcmtk or dicom3tools, or skip the test where it is not installed."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (Debian packages dcmtk, dicom3tools)")
    words = [name, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)


def errors_of(path: Path) -> list[str]:
    """What dciodvfy calls an error in a DICOM object."""
    done = run_tool("dciodvfy", path)
    lines = (done.stderr + done.stdout).splitlines()
    found = [line for line in lines if line.startswith("Error")]
    assert bool(found) == bool(done.returncode), lines
    return found


def make_mask(number: int) -> np.ndarray:
    """A lesion, and a marker in a corner that any flip or turn moves; none in the last image."""
    mask = np.zeros(SHAPE, dtype=bool)
    if number < 3:
        mask[30:52, 20 : 41 + number] = True
        mask[0, :5] = True
    return mask


def make_image(folder: Path, number: int, name: str = "image") -> ImageResult:
    """One mammogram and its result."""
    laterality, view = VIEWS[number]
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 4096, SHAPE).astype(np.uint16)
    about = ImageName(f"{name}-{number}", "P001", view, laterality, number + 1, 50)
    file = write_phantom_dicom(folder / f"{name}-{number}.dcm", pixels, about, SPACING_MM, 0)
    mask = make_mask(number)
    found = bool(mask.any())
    none_found = Flag("no-lesion", "No lesion was found.")
    return ImageResult(
        image_id=f"{name}-{number}",
        patient_id="patient-1",
        file=file,
        view=view,
        laterality=laterality,
        spacing_mm=(SPACING_MM, SPACING_MM),
        spacing_source="Imager Pixel Spacing",
        mask=mask,
        area_mm2=float(mask.sum()) * SPACING_MM**2,
        mean_probability=0.875 if found else None,
        expected_dice=0.75 if found else None,
        features=dict(FEATURES) if found else None,
        flags=() if found else (none_found,),
    )


def make_patient(*images: ImageResult) -> PatientResult:
    """The patient of these images, with one risk that was given and one that was not."""
    outside = Flag("outside-training-size", "The lesion is larger than 95 % (≥ 60 mm) of training.")
    risks = (
        Risk(
            "sln",
            "SLN status",
            "metastasis",
            0.31,
            0.2,
            0.45,
            0.4,
            False,
            3,
            n_train=168,
            tested=Discrimination(72, 0.72, 0.59, 0.82),
        ),
        Risk(
            "her2-positive-status", "HER2", "positive", None, None, None, 0.3, None, 0, (outside,)
        ),
    )
    return PatientResult(
        patient_id="patient-1",
        images=images,
        risks=risks,
        flags=(Flag("views-missing", "One view is missing."),),
        model_name="Démonstration",
        model_sha256="ab" * 32,
        notices=("Trained on phantoms alone.",),
    )


def change(file: Path, **attributes: object) -> Path:
    """Set attributes of a DICOM file; None removes one."""
    dataset = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(file)
    return file
