"""One image with its masks: read, measured, recorded. What a worker does."""

from __future__ import annotations

import functools
import pickle
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import label as connected

from ..errors import Failure, MammoroiError
from ..imaging.mammogram import Mammogram
from ..imaging.mask import read_mask
from ..imaging.read import read_mammogram
from . import cache, guard
from .config import RadiomicsConfig
from .engine import Features, features_of
from .presets import Preset
from .provenance import Case


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
    labels : dict[str, int]
        The lesion's value in the masks of a source, where one is named.
    masks : dict[str, Path]
        By source.
    boxes : bool
        Whether the readers' masks are rectangles around the lesion.
    """

    image_id: str
    image: Path
    spacing_mm: float | None
    spacing_source: str
    labels: dict[str, int]
    masks: dict[str, Path]
    boxes: bool = False

    def outline(self, roi: str) -> Path:
        """Give the mask of a source, but no box for an outline: its features are another thing's.

        Raises
        ------
        MammoroiError
            When a reader's mask is a box.
        """
        if self.boxes and roi != "automatic":
            raise MammoroiError(
                f"{self.masks[roi].name} is a box around the lesion, not its outline (mask_kind)",
                "outline the lesion, or see its automatic mask",
            )
        return self.masks[roi]


@dataclass(frozen=True)
class Plan:
    """What is the same for all jobs of a run.

    Attributes
    ----------
    preset : Preset
        What is computed.
    names : tuple[str, ...]
        The features, in the order of the table.
    config : RadiomicsConfig
        Engine and limits.
    records : Path
        Folder of the cache.
    """

    preset: Preset
    names: tuple[str, ...]
    config: RadiomicsConfig
    records: Path

    @functools.cached_property
    def settings_key(self) -> str:
        """See :func:`.cache.settings_key`."""
        return cache.settings_key(self.preset, self.config.engine, self.names)

    def packed(self) -> bytes:
        """A few kB that travel with every job, see :func:`unpacked`."""
        return zlib.compress(pickle.dumps(self))


@functools.lru_cache(maxsize=2)
def unpacked(packed: bytes) -> Plan:
    """The plan of a run, unpacked once in each worker."""
    plan: Plan = pickle.loads(zlib.decompress(packed))  # noqa: S301  of this run, by this run
    return plan


class _Image:
    """The image of a job, hashed and read when it is first needed, and not twice."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @functools.cached_property
    def key(self) -> str:
        job = self._job
        return cache.image_key(job.image, job.spacing_mm, job.spacing_source)

    @functools.cached_property
    def mammogram(self) -> Mammogram:
        job = self._job
        return read_mammogram(
            job.image, spacing_mm=job.spacing_mm, spacing_source=job.spacing_source
        )


def run_job(job: Job, plan: Plan) -> list[Case]:
    """Extract every mask of one image, each by itself: one that fails does not stop the others."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = _Image(job)
    cases = []
    for roi in job.masks:
        started = time.thread_time()
        try:
            extract_mask = functools.partial(_case, job, roi, image, plan)
            case = guard.within(plan.config.time_limit_s, extract_mask)
        except Exception as error:  # noqa: BLE001  the boundary of one case: recorded, others go on
            case = _failed(job, roi, error)
        seconds = time.thread_time() - started
        cases.append(replace(case, cpu_seconds=seconds, peak_memory_mb=guard.peak_memory_mb()))
    return cases


def failed_job(job: Job, error: BaseException) -> list[Case]:
    """The cases of a job that never came back."""
    return [_failed(job, roi, error) for roi in job.masks]


def _failed(job: Job, roi: str, error: BaseException) -> Case:
    failure = Failure.of(job.image_id, f"radiomics/{roi}", error)
    return Case(job.image_id, roi, failure=failure)


def _case(job: Job, roi: str, image: _Image, plan: Plan) -> Case:
    path = job.outline(roi)
    automatic = roi == "automatic"
    if automatic and not path.exists():
        raise MammoroiError(
            f"there is no automatic mask {path.name}",
            "see masks/failures.csv, mend the cause and run the segmentation again",
        )
    label = job.labels.get(roi)
    key = cache.case_key(plan.settings_key, image.key, path, label)
    known = cache.load(plan.records, key, job.image_id, roi)
    if known is not None:
        return known
    mammogram = image.mammogram
    mask = read_mask(path, (mammogram.pixels.shape[0], mammogram.pixels.shape[1]), label)
    spacing = mammogram.require_spacing()
    if automatic and not mask.any():
        return Case(job.image_id, roi, missed=True, spacing=spacing)
    features = features_of(mammogram, mask, plan.preset, plan.config.engine)
    _check_names(features, plan.names)
    case = Case(
        image_id=job.image_id,
        roi=roi,
        row=np.array([features.by_name[name] for name in plan.names]),
        bins=features.bins,
        facts=features.facts,
        pixels=int(np.count_nonzero(mask)),
        regions=int(connected(mask, np.ones((3, 3)))[1]),
        spacing=spacing,
    )
    cache.store(plan.records, key, case)
    return case


def _check_names(features: Features, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in features.by_name]
    if missing:
        raise MammoroiError(
            f"{len(missing)} of {len(names)} features did not come out, such as {missing[0]}",
            "the image is too small for a filter of the preset: leave this image out",
        )
