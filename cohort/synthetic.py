"""The synthetic cohort: any number of patients with phantom mammograms and a known signal.

Written into the folder, besides ``cohort.csv`` and ``patients.csv`` (see ``schema``):

========================================  ==========================================================
``cohort.json``                           description, settings, planted signal, ``synthetic: true``
``images/<image_id>.dcm``                 DICOM mammogram, CC and MLO of one breast per patient
``masks/reader1``, ``masks/reader2``      the readers' masks; ``cohort.csv`` points to them
``truth/masks/<image_id>.png``            the true mask; no stage reads it
``truth/patients.csv``                    latent scores and the true risks that follow from them
``truth/images.csv``                      each image's scores, texture, drawn diameter in mm
========================================  ==========================================================

With ``other_breast`` the folder ``normals`` holds the mammograms of every patient's other breast,
``images/<image_id>.dcm``, and a ``cohort.csv`` of them: they have no lesion and no mask.

A cell of ``mask_reader2`` is empty where the second reader did not outline the patient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MammoroiError
from ..files import plain, read_json, write_csv, write_json
from ..imaging.mask import write_mask
from ..progress import with_bar
from ..resources import cores
from .clinical import draw_patient, read_template, template_rows
from .phantom import VIEWS, Anatomy, Findings, draw_anatomy, draw_view
from .phantom_dicom import DEVICE, ImageName, write_phantom_dicom
from .planted import HER2_CLASSES, Scores, ceilings, draw_scores, her2_risks, sln_risk, view_scores
from .readers import CLEAR, ILL_DEFINED, read_lesion
from .synthetic_config import SyntheticConfig
from .texture import LesionTexture

OTHER_BREASTS = "normals"
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
    """One patient, and the rows of the tables that her images add."""

    clinical: dict[str, Any]
    scores: Scores
    findings: Findings
    anatomy: Anatomy
    laterality: str
    twice_read: bool
    images: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    image_truths: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    normals: list[dict[str, Any]] = dataclasses.field(default_factory=list)


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

    # Worker processes may have been started elsewhere: a relative path is not theirs.
    out = Path(out).resolve()
    if _is_there(config, out):
        return out
    template = read_template()
    rows: list[dict[str, str]] = [
        {str(k): str(v) for k, v in row.items()} for row in template.to_dict("records")
    ]
    chosen = [rows[i] for i in template_rows(template, config.n_patients, config.seed)]
    patients = list(with_bar(_draw_all(config, chosen, out), "Drawing phantoms", config.n_patients))

    images = pd.DataFrame([image for patient in patients for image in patient.images])
    truths = pd.DataFrame([truth for patient in patients for truth in patient.image_truths])
    write_csv(out / "patients.csv", pd.DataFrame([patient.clinical for patient in patients]))
    write_csv(out / "truth" / "patients.csv", _true_risks(config, patients, template))
    write_csv(out / "truth" / "images.csv", truths)
    if config.other_breast:
        normals = [image for patient in patients for image in patient.normals]
        write_csv(out / OTHER_BREASTS / "cohort.csv", pd.DataFrame(normals))
    write_csv(out / "cohort.csv", images)
    write_json(out / "cohort.json", _about(config, images, template))
    return out


def _settings(config: SyntheticConfig) -> dict[str, Any]:
    """What decides the content of the files."""
    settings: dict[str, Any] = plain(config)
    del settings["workers"]
    if not config.other_breast:
        del settings["other_breast"]  # as cohorts had it that were drawn before there was a choice
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

    workers = min(config.workers or cores(), len(rows))
    parallel = Parallel(n_jobs=workers, return_as="generator")
    drawn: Iterable[_Patient] = parallel(
        delayed(_draw_patient)(config, number, row, out) for number, row in enumerate(rows)
    )
    return drawn


def _draw_patient(config: SyntheticConfig, number: int, row: dict[str, str], out: Path) -> _Patient:
    """Draw patient ``number`` (from 0) and write her files; depends on nothing but the seed."""
    patient_id = f"SYN{number + 1:05d}"
    root = np.random.SeedSequence(config.seed, spawn_key=(1, number))
    seeds = root.spawn(2 + len(VIEWS))
    rng = np.random.default_rng(seeds[0])
    clinical = draw_patient(patient_id, row, rng)
    patient = _Patient(
        clinical=clinical,
        scores=draw_scores(clinical["sln"], clinical["her2"], config, rng),
        findings=_findings(clinical),
        anatomy=draw_anatomy(_findings(clinical), np.random.default_rng(seeds[1])),
        laterality="L" if rng.random() < 0.5 else "R",
        twice_read=_reads_twice(number, config.reader2_fraction),
    )
    for view, seed in zip(VIEWS, seeds[2:], strict=True):
        _draw_image(config, patient, view, seed, out)
    if config.other_breast:
        for view, seed in zip(VIEWS, root.spawn(len(VIEWS)), strict=True):
            _draw_normal(config, patient, view, seed, out / OTHER_BREASTS)
    return patient


def _draw_normal(
    config: SyntheticConfig, patient: _Patient, view: str, seed: np.random.SeedSequence, out: Path
) -> None:
    """Draw one view of a patient's other breast and add its row to the patient."""
    side = {"L": "R", "R": "L"}[patient.laterality]
    findings = dataclasses.replace(
        patient.findings, spiculated=False, distortion=False, calcification=False, skin_change=False
    )
    phantom = draw_view(view, side, patient.anatomy, findings, None, config.spacing_mm, seed)
    name = _name(patient, view, side, len(patient.normals) + 1)
    image = f"images/{name.image_id}.dcm"
    write_phantom_dicom(out / image, phantom.pixels, name, config.spacing_mm, config.seed)
    patient.normals.append(_row(config, name, image))


def _name(patient: _Patient, view: str, laterality: str, number: int) -> ImageName:
    """Name a patient's image."""
    patient_id = patient.clinical["patient_id"]
    return ImageName(
        image_id=f"{patient_id}-{laterality}-{view}",
        patient_id=patient_id,
        view=view,
        laterality=laterality,
        number=number,
        age=patient.clinical["age"],
    )


def _row(config: SyntheticConfig, name: ImageName, image: str, **masks: Any) -> dict[str, Any]:
    """Make an image's row of ``cohort.csv``."""
    return {
        "image_id": name.image_id,
        "patient_id": name.patient_id,
        "view": name.view,
        "laterality": name.laterality,
        "image": image,
        **masks,
        "spacing_mm": config.spacing_mm,
        "device": DEVICE,
    }


def _draw_image(
    config: SyntheticConfig, patient: _Patient, view: str, seed: np.random.SeedSequence, out: Path
) -> None:
    """Draw one view, write its mammogram and masks, and add its rows to the patient."""
    phantom_seed, *others = seed.spawn(4)
    score_rng, *reader_rngs = (np.random.default_rng(other) for other in others)
    scores = view_scores(patient.scores, config.view_noise, score_rng)
    texture = LesionTexture.of(scores)
    phantom = draw_view(
        view,
        patient.laterality,
        patient.anatomy,
        patient.findings,
        texture,
        config.spacing_mm,
        phantom_seed,
    )
    name = _name(patient, view, patient.laterality, len(patient.images) + 1)
    image = f"images/{name.image_id}.dcm"
    write_phantom_dicom(out / image, phantom.pixels, name, config.spacing_mm, config.seed)
    write_mask(out / "truth" / "masks" / f"{name.image_id}.png", phantom.lesion)
    masks = [f"masks/{reader}/{name.image_id}.png" for reader in ("reader1", "reader2")]
    habits = ILL_DEFINED if patient.findings.spiculated else CLEAR
    for mask, rng in zip(masks[: 1 + patient.twice_read], reader_rngs, strict=False):
        write_mask(out / mask, read_lesion(phantom.lesion, habits, rng))

    second = masks[1] if patient.twice_read else None
    patient.images.append(_row(config, name, image, mask=masks[0], mask_reader2=second))
    patient.image_truths.append(
        {
            "image_id": name.image_id,
            "patient_id": name.patient_id,
            **dataclasses.asdict(scores),
            **dataclasses.asdict(texture),
            "diameter_mm": phantom.diameter_mm,
        }
    )


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
            **dataclasses.asdict(patient.scores),
            "sln_risk": sln_risk(patient.scores.sln_score, config, prevalence),
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
