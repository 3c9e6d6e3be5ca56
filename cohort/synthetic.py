"""The synthetic cohort: any number of patients with phantom mammograms and a known signal.

Written into the folder, besides ``cohort.csv`` and ``patients.csv`` (see ``schema``):

========================================  ==========================================================
``cohort.json``                           description, settings, planted signal, ``synthetic: true``
``images/<image_id>.dcm``                 DICOM mammogram, CC and MLO of one breast per patient
``masks/reader1``, ``masks/reader2``      the readers' masks; ``cohort.csv`` points to them
``truth/masks/<image_id>.png``            the true mask; no stage reads it
``truth/patients.csv``                    latent scores and the true risks that follow from them
``truth/images.csv``                      each image's scores, texture, and drawn diameter in mm
========================================  ==========================================================

A cell of ``mask_reader2`` is empty where the second reader did not outline the patient.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MammoroiError
from ..files import plain, read_json, write_csv, write_json
from ..imaging.mask import write_mask
from .clinical import draw_patient, read_template, template_rows
from .phantom import VIEWS, Findings, draw_anatomy, draw_view
from .phantom_dicom import DEVICE, ImageName, write_phantom_dicom
from .planted import HER2_CLASSES, Scores, ceilings, draw_scores, her2_risks, sln_risk, view_scores
from .readers import CLEAR, ILL_DEFINED, read_lesion
from .synthetic_config import SyntheticConfig
from .texture import LesionTexture

_TRUTH = {
    "truth/masks": "the lesion as drawn; Dice 1 would need this outline",
    "truth/patients.csv": (
        "the patient's latent scores (unit variance within a class) and the true risks: sln_risk "
        "given sln_score, her2_*_risk given her2_direction and her2_grain"
    ),
    "truth/images.csv": "each image's scores, the texture that they set, the drawn diameter",
    "signal.ceiling_auc": (
        "AUC of the best possible reader of the patient's scores, and (_two_views) of the mean of "
        "the scores of both views; what an image allows is lower, since a lesion is finite"
    ),
}


@dataclasses.dataclass(frozen=True)
class _Patient:
    """The rows that one patient adds to the tables."""

    clinical: dict[str, Any]
    scores: Scores
    images: list[dict[str, Any]]
    image_truths: list[dict[str, Any]]


def synthesize(config: SyntheticConfig, out: Path) -> Path:
    """Write a synthetic cohort.

    Parameters
    ----------
    config : SyntheticConfig
        What to draw.
    out : Path
        The cohort folder. A folder that holds the same cohort is left as it is; an unfinished
        one is drawn again.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    MammoroiError
        When ``out`` holds another cohort.
    """
    import pandas as pd

    out = Path(out)
    if _is_there(config, out):
        return out
    template = read_template()
    rows = template.to_dict("records")
    chosen = [rows[i] for i in template_rows(template, config.n_patients, config.seed)]
    patients = list(_progress(_draw_all(config, chosen, out), config.n_patients))

    images = pd.DataFrame([image for patient in patients for image in patient.images])
    truths = pd.DataFrame([truth for patient in patients for truth in patient.image_truths])
    write_csv(out / "patients.csv", pd.DataFrame([patient.clinical for patient in patients]))
    write_csv(out / "truth" / "patients.csv", _true_risks(config, patients, template))
    write_csv(out / "truth" / "images.csv", truths)
    write_csv(out / "cohort.csv", images)
    write_json(out / "cohort.json", _about(config, images, template))
    return out


def _settings(config: SyntheticConfig) -> dict[str, Any]:
    """What decides the content of the files."""
    settings: dict[str, Any] = plain(config)
    del settings["workers"]
    return settings


def _is_there(config: SyntheticConfig, out: Path) -> bool:
    """Whether ``out`` already holds this cohort; another one is never overwritten."""
    if not (out / "cohort.json").exists():
        if (out / "cohort.csv").exists() and not (out / "truth").exists():
            raise MammoroiError(f"{out} holds a cohort that is not synthetic", "choose another out")
        return False
    if read_json(out / "cohort.json").get("settings") == _settings(config):
        return True
    raise MammoroiError(
        f"{out} holds a cohort that was made with other settings",
        "choose another folder, or delete this one",
    )


def _draw_all(config: SyntheticConfig, rows: list[dict[str, str]], out: Path) -> Iterable[_Patient]:
    """Draw the patients in order, side by side."""
    from joblib import Parallel, delayed

    workers = min(config.workers or os.cpu_count() or 1, len(rows))
    parallel = Parallel(n_jobs=workers, return_as="generator")
    drawn: Iterable[_Patient] = parallel(
        delayed(_draw_patient)(config, number, row, out) for number, row in enumerate(rows)
    )
    return drawn


def _progress(patients: Iterable[_Patient], total: int) -> Iterator[_Patient]:
    """Show how far the drawing has come."""
    from rich.progress import track

    return iter(
        track(
            patients,
            description="Drawing phantoms",
            total=total,
            disable=not sys.stderr.isatty(),
        )
    )


def _draw_patient(config: SyntheticConfig, number: int, row: dict[str, str], out: Path) -> _Patient:
    """Draw patient ``number`` (from 0) and write her files; depends on nothing but the seed."""
    patient_id = f"SYN{number + 1:05d}"
    seeds = np.random.SeedSequence(config.seed, spawn_key=(1, number)).spawn(2 + 2 * len(VIEWS))
    rng = np.random.default_rng(seeds[0])
    clinical = draw_patient(patient_id, row, rng)
    laterality = "L" if rng.random() < 0.5 else "R"
    scores = draw_scores(clinical["sln"], clinical["her2"], config, rng)
    findings = _findings(clinical)
    anatomy = draw_anatomy(findings, np.random.default_rng(seeds[1]))
    twice_read = _reads_twice(number, config.reader2_fraction)

    images, truths = [], []
    for k, view in enumerate(VIEWS):
        view_seed, reader_seed = seeds[2 + 2 * k : 4 + 2 * k]
        rngs = [np.random.default_rng(seed) for seed in reader_seed.spawn(3)]
        image_scores = view_scores(scores, config.view_noise, rngs[2])
        texture = LesionTexture.of(image_scores)
        phantom = draw_view(
            view, laterality, anatomy, findings, texture, config.spacing_mm, view_seed
        )
        name = ImageName(
            f"{patient_id}-{laterality}-{view}",
            patient_id,
            view,
            laterality,
            k + 1,
            clinical["age"],
        )
        habits = ILL_DEFINED if findings.spiculated else CLEAR
        files: dict[str, str | None] = {
            "image": f"images/{name.image_id}.dcm",
            "mask": f"masks/reader1/{name.image_id}.png",
            "mask_reader2": f"masks/reader2/{name.image_id}.png" if twice_read else None,
        }
        write_phantom_dicom(
            out / files["image"], phantom.pixels, name, config.spacing_mm, config.seed
        )
        write_mask(out / "truth" / "masks" / f"{name.image_id}.png", phantom.lesion)
        for column, reader in zip(("mask", "mask_reader2"), rngs, strict=False):
            if files[column]:
                write_mask(out / files[column], read_lesion(phantom.lesion, habits, reader))
        images.append(
            {
                "image_id": name.image_id,
                "patient_id": patient_id,
                "view": view,
                "laterality": laterality,
                **files,
                "spacing_mm": config.spacing_mm,
                "device": DEVICE,
            }
        )
        truths.append(
            {
                "image_id": name.image_id,
                "patient_id": patient_id,
                **dataclasses.asdict(image_scores),
                **dataclasses.asdict(texture),
                "diameter_mm": phantom.diameter_mm,
            }
        )
    return _Patient(clinical, scores, images, truths)


def _reads_twice(number: int, fraction: float) -> bool:
    """Spread the second reader's patients evenly over the (randomly ordered) cohort."""
    return int((number + 1) * fraction) > int(number * fraction)


def _findings(clinical: dict[str, Any]) -> Findings:
    """Translate clinical columns into what the image shows."""
    return Findings(
        breast_density=clinical["breast_density"],
        size_mm=10 * clinical["size_cm"],
        irregular=clinical["lesion_shape"] == "irregular",
        spiculated=clinical["lesion_margin"] == "spiculated",
        high_density=clinical["mass_density"] == "high",
        distortion=clinical["architectural_distortion"] == "yes",
        calcification=clinical["calcification"] == "yes",
        skin_change=clinical["skin_change"] == "yes",
    )


def _her2_shares(template: Any) -> Any:
    """Shares of zero, low, positive in the template."""
    return template["her2"].value_counts(normalize=True).loc[list(HER2_CLASSES)].to_numpy()


def _true_risks(config: SyntheticConfig, patients: list[_Patient], template: Any) -> Any:
    """Make the table ``truth/patients.csv``; prevalences are the template's."""
    import pandas as pd

    prevalence = float((template["sln"] == "positive").mean())
    planes = np.array([[p.scores.her2_direction, p.scores.her2_grain] for p in patients])
    risks = her2_risks(planes, config.her2_separation, _her2_shares(template))
    rows = []
    for patient, her2 in zip(patients, risks, strict=True):
        row = {
            "patient_id": patient.clinical["patient_id"],
            "sln_score": patient.scores.sln,
            "her2_direction": patient.scores.her2_direction,
            "her2_grain": patient.scores.her2_grain,
            "sln_risk": sln_risk(patient.scores.sln, config, prevalence),
        }
        row |= {f"her2_{k}_risk": value for k, value in zip(HER2_CLASSES, her2, strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)


def _about(config: SyntheticConfig, images: Any, template: Any) -> dict[str, Any]:
    """Make ``cohort.json``."""
    twice_read = images.loc[images["mask_reader2"].notna(), "patient_id"].nunique()
    return {
        "name": "Synthetic phantoms",
        "synthetic": True,
        "description": (
            f"{config.n_patients} invented patients with computed phantom mammograms: no person's "
            "data. SLN and HER2 can be read from the lesion's texture up to a known AUC. "
            f"The second reader outlined {twice_read} of {config.n_patients} patients."
        ),
        "source": (
            "drawn by mammoroi; the clinical table follows the counts and regressions printed by "
            "Zhao et al., Front Oncol 2025;15:1578458"
        ),
        "n_patients": config.n_patients,
        "n_images": len(images),
        "n_patients_reader2": twice_read,
        "settings": _settings(config),
        "signal": {
            "sln": "correlation length of the lesion's texture",
            "her2": "direction (anisotropy) and share of fine grain of the lesion's texture",
            "ceiling_auc": ceilings(config, _her2_shares(template)),
        },
        "truth": _TRUTH,
    }
