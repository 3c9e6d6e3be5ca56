"""The stage: a cohort and its masks in, one table of features for each source of masks out.

Written to ``S/features/``:

``<roi>.parquet`` (``manual``, ``reader2``, ``automatic``)
    A row is an image: ``image_id, patient_id, view, laterality``, then the features by pyradiomics'
    names (float64; missing means not defined for that ROI).
``<roi>.json``
    How the table was made (:mod:`.provenance`).
``<roi>_cases.csv``
    A row for each row of the table: ``image_id``; ``roi_pixels``, ``regions`` of the ROI;
    ``undefined_features`` (how many have no value); ``flags`` (words: ``several_regions``,
    ``estimated_spacing``, ``undefined_features``, ``one_grey_level``,
    ``fewer_than_16_grey_levels``, ``more_than_128_grey_levels``); ``spacing_row_mm``,
    ``spacing_column_mm``, ``spacing_source``; and grey levels inside the ROI by image type
    (``bins_original``, ...; none where plain pyradiomics computed). With a preparation, what it
    came to (``prepared_roi_pixels``, ...; see :class:`.preparation.Prepared`).
``dictionary.csv``
    What each feature is (:mod:`.dictionary`).
``failures.csv``
    ``case, stage, error, action``: an image (``case``) that one source (``stage``, as in
    ``radiomics/manual``) yielded no row for.
``missed.csv``
    ``image_id, patient_id, roi``: lesions that the automatic segmentation did not find. A result,
    not a failure.
``summary.json``
    ``cases_in = used + missed + failed`` over all sources.
``runs.jsonl``
    A line for each run that came to its end: when, how long, on what, how many cases computed and
    how many found in the cache.
``cache/``
    One record per case (:mod:`.cache`).
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Hashable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import __version__
from ..cohort.cohort import Cohort, load_cohort
from ..cohort.schema import label_cell
from ..errors import Failure, MammoroiError
from ..files import remove_unfinished, write_csv, write_failures, write_json
from ..imaging.mammogram import Mammogram
from . import guard
from .cache import remove_stale
from .config import RadiomicsConfig
from .count import check_count
from .dictionary import write_dictionary
from .dispatch import processes, run_jobs
from .engine import engine_of, features_of
from .jobs import Job
from .presets import DEFAULT, Preset, load_preset
from .provenance import how_made, warn, what_came
from .tables import Collected, write_features

LOGGER = logging.getLogger(__name__)
ROIS = ("manual", "reader2", "automatic")


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
        When the preset or the spacing is missing, or the ROI is no mask of true and false, empty
        or too small.
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
        When the preset does not yield what it promises, the cohort cannot be read or has an image
        without a name of its own, or there is nobody to compute (:func:`.dispatch.run_jobs`).
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    preset = load_preset(config.preset)
    names = check_count(preset)
    cohort = load_cohort(study)
    _require_names(cohort)
    folder = study / "features"
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    remove_stale(folder / "cache")
    jobs = [job_of(cohort, study, row) for row in cohort.images.to_dict("records")]
    crew = config.dask or f"{processes(config, len(jobs))} processes"
    LOGGER.info("%d images, %d features each, %s", len(jobs), len(names), crew)

    positions = {job.image_id: position for position, job in enumerate(jobs)}
    sources: dict[str, Collected] = {}
    peak_memory_mb = 0.0
    for cases in run_jobs(jobs, preset, names, config, (folder / "cache").absolute()):
        for case in cases:
            if case.roi not in sources:
                sources[case.roi] = Collected(len(jobs), len(names), folder)
            sources[case.roi].add(positions[case.image_id], case)
            peak_memory_mb = max(peak_memory_mb, case.peak_memory_mb)
    extracted = time.perf_counter() - clock

    how = how_made(preset, engine_of(preset, config.engine), names)
    for roi in ROIS:
        if roi in sources:
            _write_table(folder, roi, cohort, sources[roi], names, how)
        else:
            for name in (f"{roi}.parquet", f"{roi}.json", f"{roi}_cases.csv"):
                (folder / name).unlink(missing_ok=True)
    write_dictionary(folder, names)
    counts = _write_lists(folder, cohort, sources)
    computed = [seconds for source in sources.values() for seconds in source.cpu_seconds]
    run = {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 3),
        "seconds_extracting": round(extracted, 3),
        "workers": crew,
        "settings_sha256": preset.sha256,
        "engine": how["engine"],
        "mammoroi": __version__,
        "system": f"{platform.system()} {platform.machine()}",
        **counts,
        "from_cache": sum(source.from_cache for source in sources.values()),
        "cases_per_second": round(counts["cases_in"] / extracted, 3),
        "cpu_seconds_per_case": round(float(np.median(computed)), 3) if computed else None,
        "peak_memory_mb_of_a_worker": round(peak_memory_mb),
        "peak_memory_mb_of_this_process": round(guard.peak_memory_mb()),
    }
    with (folder / "runs.jsonl").open("a", encoding="utf-8") as record:
        record.write(json.dumps(run) + "\n")
    return folder


def _require_names(cohort: Cohort) -> None:
    """Refuse rows without a name of their own, as a cohort that was not checked may have.

    Raises
    ------
    MammoroiError
        When an image has no name, or that of another, one of whose rows would be lost.
    """
    names = cohort.images["image_id"]
    twice = names[names.duplicated()]
    if names.isna().any() or len(twice):
        found = "a row has no image_id" if names.isna().any() else f"{twice.iloc[0]} stands twice"
        raise MammoroiError(
            f"{cohort.folder / 'cohort.csv'}: {found}",
            "give every row an image_id of its own; `mammoroi check` lists all that is wrong",
        )


def job_of(cohort: Cohort, study: Path, row: dict[Hashable, Any]) -> Job:
    """The job of one row of ``cohort.csv``: the image with all masks that it should have."""

    def given(column: str) -> bool:
        return bool(pd.notna(row.get(column)))

    image_id = str(row["image_id"])
    columns = {"manual": "mask", "reader2": "mask_reader2"}
    masks = {roi: cohort.path(str(row[name])) for roi, name in columns.items() if given(name)}
    cells = {str(name): cell for name, cell in row.items() if pd.notna(cell)}
    labels = {roi: label_cell(cells, name) for roi, name in columns.items()}
    automatic = study / "masks" / "automatic"
    if automatic.is_dir():
        masks["automatic"] = automatic / f"{image_id}.png"
    return Job(
        image_id=image_id,
        image=cohort.path(str(row["image"])),
        spacing_mm=float(row["spacing_mm"]) if given("spacing_mm") else None,
        spacing_source=str(row["spacing_source"]) if given("spacing_source") else "measured",
        labels={roi: int(label) for roi, label in labels.items() if label is not None},
        masks=masks,
        boxes=row.get("mask_kind") == "box",
    )


def _write_table(
    folder: Path,
    roi: str,
    cohort: Cohort,
    source: Collected,
    names: tuple[str, ...],
    how: dict[str, Any],
) -> None:
    columns = write_features(folder / f"{roi}.parquet", names, source.batches(cohort.images))
    cases = source.cases(cohort.images["image_id"])
    write_csv(folder / f"{roi}_cases.csv", cases)
    missed, failed = len(source.missed), len(source.failures)
    came = what_came(cases, missed, failed, columns.degenerate, columns.undefined)
    about = {"roi": roi, **how, **came}
    write_json(folder / f"{roi}.json", about)
    warn(roi, about)


def _write_lists(folder: Path, cohort: Cohort, sources: dict[str, Collected]) -> dict[str, int]:
    failures: list[Failure] = []
    missed: list[tuple[str, str, str]] = []
    images = cohort.images[["image_id", "patient_id"]].to_numpy().tolist()
    for roi in (roi for roi in ROIS if roi in sources):
        by_position = sorted(sources[roi].failures, key=lambda failure: failure[0])
        failures += [failure for _, failure in by_position]
        missed += [(*images[position], roi) for position in sorted(sources[roi].missed)]
    write_failures(folder / "failures.csv", failures)
    columns = ["image_id", "patient_id", "roi"]
    write_csv(folder / "missed.csv", pd.DataFrame(missed, columns=columns))
    n_cases = sum(source.n_cases for source in sources.values())
    counts = {
        "cases_in": n_cases,
        "used": n_cases - len(missed) - len(failures),
        "missed": len(missed),
        "failed": len(failures),
    }
    write_json(folder / "summary.json", counts)
    if failures:
        LOGGER.error("%d of %d cases failed: see %s", len(failures), n_cases, folder)
    return counts
