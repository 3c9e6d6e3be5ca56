"""The stage: a cohort and its masks in, one table of features for each source of masks out.

Written to ``S/features/``:

``<roi>.parquet`` (``manual``, ``reader2``, ``automatic``)
    A row is an image: ``image_id, patient_id, view, laterality``, then the features by pyradiomics'
    names (float64; missing means not defined for that ROI).
``<roi>.json``
    How the table was made (:mod:`.provenance`).
``failures.csv``
    ``case, stage, error, action``: an image (``case``) that one source (``stage``, as in
    ``radiomics/manual``) yielded no row for.
``missed.csv``
    ``image_id, patient_id, roi``: lesions that the automatic segmentation did not find. A result,
    not a failure.
``summary.json``
    ``cases_in = used + missed + failed`` over all sources.
``cache/``
    One record per case (:mod:`.cache`).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.ndimage import label

from ..cohort.cohort import Cohort, load_cohort
from ..errors import Failure, MammoroiError
from ..files import write_csv, write_failures, write_json, write_parquet
from ..imaging.mammogram import Mammogram
from ..imaging.mask import read_mask
from ..imaging.read import read_mammogram
from . import cache
from .config import RadiomicsConfig
from .count import check_count
from .engine import Features, features_of
from .presets import DEFAULT, Preset, load_preset
from .provenance import Case, provenance

LOGGER = logging.getLogger(__name__)
ROIS = ("manual", "reader2", "automatic")
ID_COLUMNS = ("image_id", "patient_id", "view", "laterality")


@dataclass(frozen=True)
class Job:
    """One image with its masks: what a worker process gets.

    Attributes
    ----------
    image_id : str
        The image.
    image : Path
        Its file.
    spacing_mm : float | None
        From the manifest.
    spacing_source : str
        ``measured`` or ``estimated``.
    label : int | None
        The lesion's value in the readers' masks.
    masks : dict[str, Path]
        By source.
    """

    image_id: str
    image: Path
    spacing_mm: float | None
    spacing_source: str
    label: int | None
    masks: dict[str, Path]


def extract_case(
    mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset | str = DEFAULT
) -> dict[str, float]:
    """Features of one ROI by pyradiomics' names; NaN where a feature is not defined.

    Parameters
    ----------
    mammogram : Mammogram
        With spacing.
    mask : NDArray[np.bool_]
        (rows, columns), true inside the ROI; several regions are one ROI.
    preset : Preset | str
        A preset, its name, or the path of a YAML file.

    Raises
    ------
    MammoroiError
        When the preset or the spacing is missing, or the ROI is empty or too small.
    ValueError
        When the ROI is a horizontal or vertical line.
    """
    chosen = load_preset(preset) if isinstance(preset, str) else preset
    return features_of(mammogram, mask, chosen).by_name


def extract(config: RadiomicsConfig, study: Path) -> Path:
    """Extract the features of every mask of a study and return ``study / "features"``.

    Images are read once for all of their masks, on one thread per process. A case that fails is
    recorded and the others go on; whether there were too many is for the caller to judge by
    ``summary.json``.

    Raises
    ------
    MammoroiError
        When the preset does not yield what it promises, the cohort cannot be read, or a worker
        process was killed.
    """
    started = time.perf_counter()
    preset = load_preset(config.preset)
    names = check_count(preset)
    cohort = load_cohort(study)
    folder = study / "features"
    jobs = [_job(cohort, study, row) for row in cohort.images.to_dict("records")]
    workers = min(config.workers or cpu_count(), max(len(jobs), 1))
    LOGGER.info("%d images, %d features each, %d processes", len(jobs), len(names), workers)

    cases = [case for done in _in_parallel(jobs, preset, names, folder, workers) for case in done]
    seconds = time.perf_counter() - started
    for roi in ROIS:
        of_roi = [case for case in cases if case.roi == roi]
        if of_roi:
            table = _table(cohort, of_roi, names)
            write_parquet(folder / f"{roi}.parquet", table)
            about = provenance(roi, preset, of_roi, table[list(names)], seconds)
            write_json(folder / f"{roi}.json", about)
        else:
            for suffix in (".parquet", ".json"):
                (folder / f"{roi}{suffix}").unlink(missing_ok=True)
    _write_lists(cohort, cases, folder)
    return folder


def _job(cohort: Cohort, study: Path, row: dict[Hashable, Any]) -> Job:
    def given(column: str) -> bool:
        return bool(pd.notna(row.get(column)))

    image_id = str(row["image_id"])
    columns = {"manual": "mask", "reader2": "mask_reader2"}
    masks = {roi: cohort.path(str(row[name])) for roi, name in columns.items() if given(name)}
    automatic = study / "masks" / "automatic"
    if automatic.is_dir():
        masks["automatic"] = automatic / f"{image_id}.png"
    return Job(
        image_id=image_id,
        image=cohort.path(str(row["image"])),
        spacing_mm=float(row["spacing_mm"]) if given("spacing_mm") else None,
        spacing_source=str(row["spacing_source"]) if given("spacing_source") else "measured",
        label=int(row["mask_label"]) if given("mask_label") else None,
        masks=masks,
    )


def _in_parallel(
    jobs: list[Job], preset: Preset, names: tuple[str, ...], folder: Path, workers: int
) -> Iterator[list[Case]]:
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=workers, return_as="generator_unordered")
        done = pool(delayed(run_job)(job, preset, names, folder / "cache") for job in jobs)
        try:
            yield from track(
                done,
                description="radiomics",
                total=len(jobs),
                console=Console(stderr=True),
                disable=not sys.stderr.isatty(),
            )
        except TerminatedWorkerError:
            raise MammoroiError(
                f"one of {workers} processes was killed, most likely for want of memory",
                "set radiomics.workers lower and run again: finished cases are kept",
            ) from None


def run_job(job: Job, preset: Preset, names: tuple[str, ...], records: Path) -> list[Case]:
    """Extract every mask of one image, each by itself: one that fails does not stop the others."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    mammogram: Mammogram | None = None
    pixels = ""
    cases = []
    for roi, path in job.masks.items():
        started = time.process_time()
        try:
            if mammogram is None:
                mammogram = read_mammogram(
                    job.image, spacing_mm=job.spacing_mm, spacing_source=job.spacing_source
                )
                pixels = cache.pixels_sha256(mammogram)
            case = _case(job, roi, path, mammogram, pixels, preset, names, records)
        except Exception as error:  # noqa: BLE001  the boundary of one case: recorded, others go on
            case = Case(job.image_id, roi, failure=Failure.of(job.image_id, _stage(roi), error))
        cases.append(replace(case, cpu_seconds=time.process_time() - started))
    return cases


def _stage(roi: str) -> str:
    return f"radiomics/{roi}"


def _case(
    job: Job,
    roi: str,
    path: Path,
    mammogram: Mammogram,
    pixels: str,
    preset: Preset,
    names: tuple[str, ...],
    records: Path,
) -> Case:
    automatic = roi == "automatic"
    if automatic and not path.exists():
        raise MammoroiError(
            f"there is no automatic mask {path.name}",
            "see masks/failures.csv, mend the cause and run the segmentation again",
        )
    shape = (mammogram.pixels.shape[0], mammogram.pixels.shape[1])
    mask = read_mask(path, shape, None if automatic else job.label)
    spacing = mammogram.require_spacing()
    if automatic and not mask.any():
        return Case(job.image_id, roi, missed=True, spacing=spacing)
    key = cache.case_key(pixels, mask, preset)
    features = cache.load(records, key)
    reused = features is not None
    if features is None:
        features = features_of(mammogram, mask, preset)
        _check_names(features, names)
        cache.store(records, key, features)
    return Case(
        image_id=job.image_id,
        roi=roi,
        row=np.array([features.by_name[name] for name in names]),
        bins=features.bins,
        pixels=int(np.count_nonzero(mask)),
        regions=int(label(mask, np.ones((3, 3)))[1]),
        spacing=spacing,
        from_cache=reused,
    )


def _check_names(features: Features, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in features.by_name]
    if missing:
        raise MammoroiError(
            f"{len(missing)} of {len(names)} features did not come out, such as {missing[0]}",
            "the image is too small for a filter of the preset: leave this image out",
        )


def _table(cohort: Cohort, cases: list[Case], names: tuple[str, ...]) -> pd.DataFrame:
    rows = {case.image_id: case.row for case in cases if case.row is not None}
    images = cohort.images[list(ID_COLUMNS)]
    images = images[images["image_id"].isin(rows)].reset_index(drop=True)
    values = np.array([rows[image_id] for image_id in images["image_id"]], dtype=np.float64)
    features = pd.DataFrame(values.reshape(len(images), len(names)), columns=list(names))
    return pd.concat([images, features], axis=1)


def _write_lists(cohort: Cohort, cases: list[Case], folder: Path) -> None:
    order = {str(image_id): n for n, image_id in enumerate(cohort.images["image_id"])}
    cases = sorted(cases, key=lambda case: (ROIS.index(case.roi), order[case.image_id]))
    failures = [case.failure for case in cases if case.failure is not None]
    write_failures(folder / "failures.csv", failures)
    patients = dict(zip(cohort.images["image_id"], cohort.images["patient_id"], strict=True))
    missed = [(case.image_id, patients[case.image_id], case.roi) for case in cases if case.missed]
    columns = ["image_id", "patient_id", "roi"]
    write_csv(folder / "missed.csv", pd.DataFrame(missed, columns=columns))
    counts = {
        "cases_in": len(cases),
        "used": sum(case.row is not None for case in cases),
        "missed": len(missed),
        "failed": len(failures),
    }
    write_json(folder / "summary.json", counts)
    if failures:
        LOGGER.error("%d of %d cases failed: see %s", len(failures), len(cases), folder)
