"""One made-up patient with four phantom mammograms, for the tests of the page."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from mammoroi.clinic.results import Discrimination, Flag, ImageResult, PatientResult, Risk
from mammoroi.cohort.phantom import Findings, Phantom, draw_anatomy, draw_view
from mammoroi.cohort.phantom_dicom import ImageName, write_phantom_dicom
from mammoroi.cohort.texture import LesionTexture

SPACING = 0.5
SHA = "3f9a" * 16
NOTICE = "This model was trained on phantoms alone."
UNCERTAIN = Flag("uncertain-mask", "The networks expect a Dice of 0.61 for this mask.")
NONE_FOUND = Flag("no-lesion", "No region reached the networks' threshold.")
TOLD = Discrimination(72, 0.72, 0.59, 0.82)
ABOVE = Risk(
    "sln", "Sentinel lymph node", "positive", 0.34, 0.22, 0.48, 0.30, True, 2, n_train=168,
    tested=TOLD,
)  # fmt: skip
BELOW = Risk(
    "her2", "HER2 status", "HER2-positive", 0.12, 0.06, 0.21, 0.25, False, 1, (UNCERTAIN,),
    n_train=168, tested=TOLD,
)  # fmt: skip
NO_ANSWER = Risk(
    "low", "HER2-low", "HER2-low", None, None, None, 0.41, None, 0, (NONE_FOUND,)
)  # fmt: skip
FINDINGS = Findings("scattered", 22.0, True, False, True, False, False, False)


@cache
def phantom(view: str, side: str) -> Phantom:
    anatomy = draw_anatomy(FINDINGS, np.random.default_rng(3))
    seed = np.random.SeedSequence(3)
    return draw_view(view, side, anatomy, FINDINGS, LesionTexture(0.5, 0, 0.2), SPACING, seed)


def made_image(folder: Path, number: int, view: str, side: str, *, found: bool = True):
    made = phantom(view, side)
    name = ImageName(f"image-{number}", "P1", view, side, number, 50)
    file = write_phantom_dicom(folder / f"{number}.dcm", made.pixels, name, SPACING, 3)
    mask = made.lesion if found else np.zeros_like(made.lesion)
    return ImageResult(
        image_id=f"image-{number}",
        patient_id="patient-1",
        file=file,
        view=view,
        laterality=side,
        spacing_mm=(SPACING, SPACING),
        spacing_source="Imager Pixel Spacing",
        mask=mask,
        area_mm2=float(mask.sum()) * SPACING**2,
        mean_probability=0.87 if found else None,
        expected_dice=0.84 if found else None,
        features=None,
        flags=() if found else (NONE_FOUND,),
    )


def made_patient(folder: Path, **changes: object) -> PatientResult:
    """Left CC with a lesion, left MLO with an uncertain one, nothing found on the right."""
    images = (
        made_image(folder, 1, "MLO", "L"),
        made_image(folder, 2, "CC", "L"),
        made_image(folder, 3, "CC", "R", found=False),
        made_image(folder, 4, "MLO", "R", found=False),
    )
    images = (replace(images[0], flags=(UNCERTAIN,)), *images[1:])
    patient = PatientResult(
        patient_id="patient-1",
        images=images,
        risks=(ABOVE, BELOW, NO_ANSWER),
        flags=(Flag("several-studies", "The images are from 2 examinations."),),
        model_name="demonstration",
        model_sha256=SHA,
        notices=(NOTICE,),
    )
    return replace(patient, **changes)
