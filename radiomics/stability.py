"""The stage `perturb`: what the features become when the masks are drawn a little differently.

For studies without a second reader: the manual masks of the training patients are perturbed
(:mod:`.perturb`) and measured like every other mask, so that a feature's ICC over the perturbations
can take the place of that between two readers. Test patients are left alone, since nothing about
them may decide which features are used.

Written:

``masks/perturbed/<perturbation>/<image_id>.png``
    The masks.
``stability/masks.csv``
    ``image_id, patient_id, perturbation, pixels, area_ratio (to the manual mask), dice (with it),
    outcome``. The outcome is ``used``, or says why the mask is not: it has no pixel, or fewer than
    the preset's least. That is a result, not a failure; such a mask has no file.
``stability/perturbed.parquet``
    A row is an image with one perturbation: ``image_id, patient_id, view, laterality,
    perturbation``, then the features as in ``features/manual.parquet``.
``stability/perturbed.json``
    How it was made (:func:`.provenance.how_made`), the ``perturbations``, and ``counts``:
    ``cases_in = used + too_small + failed``.
``stability/failures.csv``
    ``case, stage, error, action``: an image that one perturbation (``stage``, as in
    ``radiomics/grow-0.5mm``), or all of them (``perturb``), failed for.
"""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..cohort.cohort import Cohort, load_cohort
from ..cohort.split import load_splits
from ..errors import Failure, MammoroiError
from ..files import write_csv, write_failures, write_json, write_parquet
from ..imaging.mask import read_mask, write_mask
from ..imaging.read import read_mammogram
from ..progress import with_bar
from . import pool
from .count import check_count
from .dispatch import processes, run_jobs
from .engine import engine_of
from .extract import job_of
from .jobs import Job
from .perturb import perturbed
from .perturbation_config import Perturbation, PerturbConfig, StabilityConfig
from .presets import load_preset
from .provenance import Case, how_made
from .tables import ID_COLUMNS

LOGGER = logging.getLogger(__name__)
USED = "used"
MASK_COLUMNS = ("image_id", "perturbation", "pixels", "area_ratio", "dice", "outcome")


@dataclass(frozen=True)
class _Drawn:
    """The perturbed masks of one image: the job that measures them, rows of ``masks.csv``."""

    job: Job
    rows: list[tuple[str, str, int, float, float, str]] = field(default_factory=list)
    failure: Failure | None = None


def perturb(config: PerturbConfig, study: Path) -> Path:
    """Perturb the manual masks of the training patients, measure them, return ``stability/``.

    The noise depends on the seed, the image and the perturbation, so that a repeated run gives the
    same masks. Features that were measured before are taken from ``features/cache``.

    Raises
    ------
    MammoroiError
        When no perturbation is asked for, the preset does not yield what it promises, or the
        cohort cannot be read.
    """
    perturbations = config.stability.perturbations()
    if not perturbations:
        raise MammoroiError("stability names no perturbation", "set stability.growth_mm to [0.5]")
    folder, masks = study / "stability", study / "masks" / "perturbed"
    preset = load_preset(config.radiomics.preset)
    names = check_count(preset)
    cohort = load_cohort(study)
    train = set(load_splits(study).train)
    rows = [row for row in cohort.images.to_dict("records") if row["patient_id"] in train]
    jobs = [job_of(cohort, study, row) for row in rows]
    LOGGER.info("%d images, %d perturbations each", len(jobs), len(perturbations))

    shutil.rmtree(masks, ignore_errors=True)  # those of other settings would stay
    drawn = _draw_all(jobs, config, masks, preset.minimum_pixels)
    ready = [one.job for one in drawn if one.job.masks]
    records = (study / "features" / "cache").absolute()
    found = run_jobs(ready, preset, names, config.radiomics, records)
    cases = [case for of_job in found for case in of_job]
    failures = [one.failure for one in drawn if one.failure is not None]
    failures += [case.failure for case in cases if case.failure is not None]
    table = _feature_table(cohort, perturbations, cases, names)
    outlines = _mask_table(cohort, drawn)
    counts = {
        "used": len(table),
        "too_small": int((outlines["outcome"] != USED).sum()),
        "failed": len(failures),
    }
    how = how_made(preset, engine_of(preset, config.radiomics.engine), names)
    about = {"perturbations": perturbations, "counts": {"cases_in": sum(counts.values()), **counts}}
    write_parquet(folder / "perturbed.parquet", table)
    write_json(folder / "perturbed.json", how | about)
    write_csv(folder / "masks.csv", outlines)
    write_failures(folder / "failures.csv", sorted(failures, key=lambda one: (one.case, one.stage)))
    LOGGER.info("%(used)d measured, %(too_small)d too small, %(failed)d failed", counts)
    return folder


def _draw_all(jobs: list[Job], config: PerturbConfig, masks: Path, least: int) -> list[_Drawn]:
    """In the order of the jobs; an image whose process dies fails alone."""
    draw = functools.partial(_draw, stability=config.stability, masks=masks, least=least)
    made = pool.in_processes(draw, jobs, processes(config.radiomics, len(jobs)))
    found: dict[str, _Drawn] = {}
    for job, drawn in with_bar(made, "Perturbing masks", len(jobs)):
        found[job.image_id] = _not_drawn(job, drawn) if isinstance(drawn, BaseException) else drawn
    return [found[job.image_id] for job in jobs]


def _not_drawn(job: Job, error: BaseException) -> _Drawn:
    return _Drawn(replace(job, masks={}), failure=Failure.of(job.image_id, "perturb", error))


def _draw(job: Job, stability: StabilityConfig, masks: Path, least: int) -> _Drawn:
    """Write the perturbed masks of one image; what goes wrong is recorded, others go on."""
    paths, rows = {}, []
    try:
        mammogram = read_mammogram(
            job.image, spacing_mm=job.spacing_mm, spacing_source=job.spacing_source
        )
        shape = (mammogram.pixels.shape[0], mammogram.pixels.shape[1])
        mask = read_mask(job.outline("manual"), shape, job.labels.get("manual"))
        for one in stability.perturbations():
            spacing = mammogram.require_spacing()
            changed = perturbed(mask, spacing, one, job.image_id, stability.seed)
            row = _row(job.image_id, one, mask, changed, least)
            rows.append(row)
            if row[-1] == USED:
                path = masks / one.name / f"{job.image_id}.png"
                paths[one.name] = write_mask(path, changed)
    except Exception as error:  # noqa: BLE001  the boundary of one case: recorded, others go on
        return _not_drawn(job, error)
    return _Drawn(replace(job, labels={}, masks=paths), rows)


def _row(
    image_id: str,
    perturbation: Perturbation,
    mask: NDArray[np.bool_],
    changed: NDArray[np.bool_],
    least: int,
) -> tuple[str, str, int, float, float, str]:
    before, after = int(mask.sum()), int(changed.sum())
    outcome = USED
    if after < least:
        outcome = f"{after} pixels, {least} are the least" if after else "nothing is left"
    dice = 2 * int((mask & changed).sum()) / (before + after)
    return image_id, perturbation.name, after, after / before, dice, outcome


def _mask_table(cohort: Cohort, drawn: list[_Drawn]) -> pd.DataFrame:
    rows = [row for one in drawn for row in one.rows]
    table = pd.DataFrame(rows, columns=list(MASK_COLUMNS))
    patients = cohort.images.set_index("image_id")["patient_id"]
    table.insert(1, "patient_id", table["image_id"].map(patients))
    return table


def _feature_table(
    cohort: Cohort, perturbations: Sequence[Perturbation], cases: list[Case], names: tuple[str, ...]
) -> pd.DataFrame:
    """By perturbation, then in the order of the cohort."""
    rows = {(case.roi, case.image_id): case.row for case in cases if case.row is not None}
    images = cohort.images[list(ID_COLUMNS)]
    keys = [
        images[[(one.name, image_id) in rows for image_id in images["image_id"]]].assign(
            perturbation=one.name
        )
        for one in perturbations
    ]
    table = pd.concat(keys, ignore_index=True)
    found = [rows[key] for key in zip(table["perturbation"], table["image_id"], strict=True)]
    values = np.array(found, dtype=np.float64).reshape(len(table), len(names))
    return pd.concat([table, pd.DataFrame(values, columns=list(names))], axis=1)
