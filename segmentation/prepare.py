"""From mammograms to the working arrays that training and inference read.

``segmentation/prepared/`` holds for each image ``<image_id>.npy`` (float16, working rows x
columns, breast scaled to 0..1), for images of training patients ``<image_id>.mask.npy`` (uint8,
0 or 1), and ``<image_id>.json``: ``key, mapping`` (see :class:`.mapping.Mapping`), ``low, high``
(the grey values that became 0 and 1) and ``mask_share`` (share of the manual mask's pixels that
lie within the breast's box; null without a mask). ``index.csv`` lists the images that are ready:
``image_id, patient_id, set (train|test), key, working_rows, working_columns, has_mask``; and
``failures.csv`` those that are not. A failed image is tried again by the next run. Of an image that
the cohort no longer has nothing stays.

Masks of test patients are not prepared: nothing that trains could read them. The second of two
stages (:mod:`.outline`) has the same files, of finer arrays, in ``segmentation/outline/prepared/``.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Failure, MammoroiError
from ..files import (
    atomic,
    read_csv,
    read_json,
    remove_unfinished,
    sha256_file,
    sha256_of,
    write_csv,
    write_failures,
    write_json,
)
from ..imaging.formats import identify
from .cases import map_cases
from .config import SegmentationConfig
from .mapping import Mapping

if TYPE_CHECKING:
    import pandas as pd

    from ..cohort.cohort import Cohort
    from ..imaging.mammogram import Mammogram

log = logging.getLogger(__name__)

PREPARE_VERSION = 1
PERCENTILES = (1.0, 99.8)
STAGE = "segmentation/prepare"
_AGAIN = "run mammoroi prepare with these settings where the mammograms are"
INDEX = ("image_id", "patient_id", "set", "key", "working_rows", "working_columns", "has_mask")
NORMALS = "normals"
"""Folder below ``prepared`` of mammograms without a lesion, whose masks are empty and no files."""
SEGMENTATION = "segmentation"
"""Where in a study folder the networks and the prepared arrays lie."""


@dataclass(frozen=True)
class Source:
    """One image as the cohort describes it: its file, its spacing, its manual mask."""

    image_id: str
    patient_id: str
    image: Path
    spacing_mm: float | None
    spacing_source: str
    mask: Path | None
    mask_label: int | None
    mask_is_box: bool = False
    mask_label_reader2: int | None = None

    def read(self) -> Mammogram:
        """Read the mammogram."""
        from ..imaging.read import read_mammogram

        return read_mammogram(
            self.image, spacing_mm=self.spacing_mm, spacing_source=self.spacing_source
        )


def sources(cohort: Cohort) -> list[Source]:
    """List a cohort's images, in its order."""
    import pandas as pd

    def given(value: Any) -> bool:
        return bool(pd.notna(value)) and value != ""

    def label(cell: Any) -> int | None:
        return int(cell) if given(cell) else None

    return [
        Source(
            image_id=row["image_id"],
            patient_id=row["patient_id"],
            image=cohort.path(row["image"]),
            spacing_mm=float(row["spacing_mm"]) if given(row["spacing_mm"]) else None,
            spacing_source=row["spacing_source"] if given(row["spacing_source"]) else "measured",
            mask=cohort.path(row["mask"]) if given(row["mask"]) else None,
            mask_label=label(row["mask_label"]),
            mask_is_box=row["mask_kind"] == "box",
            mask_label_reader2=label(row["mask_label_reader2"]),
        )
        for row in cohort.images.to_dict("records")
    ]


def prepare(config: SegmentationConfig, study: Path, place: str = SEGMENTATION) -> Path:
    """Prepare all images of a study and return the folder; unchanged ones are kept.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    study : Path
        The study folder.
    place : str
        Where in it ``prepared`` lies.
    """
    from ..cohort.cohort import load_cohort
    from ..cohort.split import load_splits

    training = set(load_splits(study).train)
    folder = Path(study) / place / "prepared"
    cases = [(case, case.patient_id in training) for case in sources(load_cohort(study))]
    prepare_cases(config, folder, cases, INDEX, [])
    # Also where a second stage was prepared for earlier settings.
    _forget_others(Path(study) / SEGMENTATION / "outline" / "prepared", cases)
    return folder


def prepare_cases(
    config: SegmentationConfig,
    folder: Path,
    cases: list[tuple[Source, bool]],
    columns: tuple[str, ...],
    failures: list[Failure],
) -> int:
    """Prepare images into a folder and write its ``index.csv`` and ``failures.csv``.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    folder : Path
        Made where it is missing.
    cases : list of (Source, bool)
        The images, each with whether its patient is one of training.
    columns : tuple of str
        Those of ``index.csv``.
    failures : list of Failure
        Those from before, which come first.

    Returns
    -------
    int
        How many images are ready.
    """
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)  # also of a patient whom the cohort no longer has
    arguments = [
        (case.image_id, (case, training, config.working_spacing_mm, folder))
        for case, training in cases
    ]
    results = list(map_cases(prepare_case, arguments, STAGE, "Preparing images", config.workers))
    rows = [result for result in results if isinstance(result, dict)]
    write_csv(folder / "index.csv", pd.DataFrame(rows, columns=list(columns)))
    failed = [result for result in results if isinstance(result, Failure)]
    write_failures(folder / "failures.csv", failures + failed)
    _forget_others(folder, cases)
    return len(rows)


def _forget_others(folder: Path, cases: list[tuple[Source, bool]]) -> None:
    """Remove the arrays of images that are not among the cases, and masks of those not trained on.

    A patient who was taken out of a cohort must not stay, least of all in what is copied elsewhere.
    """
    kept = {f"{case.image_id}{ending}" for case, _ in cases for ending in (".json", ".npy")}
    kept |= {f"{case.image_id}.mask.npy" for case, training in cases if training}
    for path in folder.glob("[!.]*"):
        if path.suffix in (".json", ".npy") and path.name not in kept:
            path.unlink(missing_ok=True)


def prepare_case(
    case: Source, training: bool, working_spacing_mm: float, folder: Path
) -> dict[str, Any]:
    """Prepare one image, unless it is there unchanged, and give its row of ``index.csv``.

    Raises
    ------
    MammoroiError
        When a file is missing or unreadable, the spacing is unknown or there is no breast.
    """
    mask_file = case.mask if training else None
    for file in filter(None, (case.image, mask_file)):
        identify(file)  # says what is wrong with one that is missing
    key = sha256_of(
        PREPARE_VERSION,
        PERCENTILES,
        working_spacing_mm,
        sha256_file(case.image),
        (case.spacing_mm, case.spacing_source),
        sha256_file(mask_file) if mask_file else None,
        case.mask_label,
    )
    record_file = folder / f"{case.image_id}.json"
    record = read_json(record_file) if record_file.exists() else None
    if (
        record is None
        or record["key"] != key
        or record["mask_share"] == 0  # of a version that let it pass
        or not _whole(record, case, training, folder)
    ):
        record = _prepare_anew(case, mask_file, working_spacing_mm, folder)
        write_json(record_file, {"key": key, **record})
    return {
        "image_id": case.image_id,
        "patient_id": case.patient_id,
        "set": "train" if training else "test",
        "key": key,
        "working_rows": record["mapping"]["working_rows"],
        "working_columns": record["mapping"]["working_columns"],
        "has_mask": mask_file is not None,
    }


def _whole(record: dict[str, Any], case: Source, training: bool, folder: Path) -> bool:
    """Tell whether the arrays of a record are there, of its shape and of full length."""
    shape = record["mapping"]["working_rows"], record["mapping"]["working_columns"]
    names = [f"{case.image_id}.npy"] + [f"{case.image_id}.mask.npy"] * (
        training and bool(case.mask)
    )
    try:
        return all(np.load(folder / name, mmap_mode="r").shape == shape for name in names)
    except (OSError, ValueError, EOFError) as error:
        log.warning("%s is prepared again: %s", case.image_id, error)
        return False


def _prepare_anew(
    case: Source, mask_file: Path | None, working_spacing_mm: float, folder: Path
) -> dict[str, Any]:
    mammogram = case.read()
    array, mapping, (low, high) = working_array(mammogram, working_spacing_mm)
    share = None
    if mask_file:
        from ..imaging.mask import read_mask

        rows, columns = mammogram.pixels.shape
        mask = read_mask(mask_file, (rows, columns), case.mask_label)
        share = float(mask[mapping.box].sum() / max(1, mask.sum()))
        working_mask = mapping.mask_to_working(mask)
        if not working_mask.any():
            raise MammoroiError(
                f"{100 * share:.0f} % of the mask {mask_file} lie in the breast, no pixel of "
                f"{working_spacing_mm:g} mm",
                "look at it on the mammogram: it may be mirrored, shifted, or of another image",
            )
        if share < 0.95:
            log.warning("%s: %.0f %% of the mask lie in the breast", case.image_id, 100 * share)
        _save(folder / f"{case.image_id}.mask.npy", working_mask.astype(np.uint8))
    _save(folder / f"{case.image_id}.npy", array)
    return {"mapping": asdict(mapping), "low": low, "high": high, "mask_share": share}


def working_array(
    mammogram: Mammogram, working_spacing_mm: float
) -> tuple[NDArray[np.float16], Mapping, tuple[float, float]]:
    """Make the array that the network sees.

    Grey values between the 1st and the 99.8th percentile of the breast become 0..1; values beyond
    are clipped, so that the air around the breast is 0.

    Returns
    -------
    array : float16 (working rows, working columns), 0..1
    mapping : Mapping
    limits : (low, high), the grey values that became 0 and 1

    Raises
    ------
    MammoroiError
        When the spacing is unknown or the breast has a single grey value.
    """
    from ..imaging.breast import breast_region

    spacing = mammogram.require_spacing()
    region = breast_region(mammogram.pixels)
    mapping = Mapping.of_breast(region, spacing, working_spacing_mm)
    inside = mammogram.pixels[region] if region.any() else mammogram.pixels.ravel()
    low, high = (float(value) for value in np.percentile(inside, PERCENTILES))
    if not high > low:
        raise MammoroiError(
            f"{mammogram.source} shows no breast: its grey values do not vary",
            "check that this is a mammogram",
        )
    return scaled_array(mammogram, mapping, (low, high)), mapping, (low, high)


def scaled_array(
    mammogram: Mammogram, mapping: Mapping, limits: tuple[float, float]
) -> NDArray[np.float16]:
    """Make the working array of a mapping, the grey values between ``limits`` becoming 0..1."""
    low, high = limits
    scaled: NDArray[np.float32] = (mapping.to_working(mammogram.pixels) - low) / (high - low)
    return np.clip(scaled, 0, 1).astype(np.float16)


def read_prepared(config: SegmentationConfig, folder: Path) -> pd.DataFrame:
    """Read ``index.csv`` of the images from which a training learns.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    folder : Path
        Where ``prepared`` lies.

    Raises
    ------
    MammoroiError
        When it is missing, or see :func:`check_prepared`.
    """
    file = folder / "prepared" / "index.csv"
    spacing = config.working_spacing_mm
    if not file.exists():
        raise MammoroiError(f"{file} is missing: no image is prepared at {spacing:g} mm", _AGAIN)
    index = read_csv(file, dtype={"image_id": str, "patient_id": str})
    check_prepared(spacing, file.parent, index)
    return index


def check_prepared(spacing_mm: float, folder: Path, index: pd.DataFrame) -> None:
    """See that the arrays of a folder are those of its ``index.csv``, with pixels of one size.

    Raises
    ------
    MammoroiError
        When the pixels have another size than the settings ask for, or arrays were prepared anew
        since, as by a run that was stopped.
    """
    for number, (image_id, key) in enumerate(zip(index["image_id"], index["key"], strict=True)):
        record = read_json(folder / f"{image_id}.json")
        mapping = Mapping.from_json(record["mapping"])
        if number == 0 and mapping != mapping.at(spacing_mm):
            rows, columns = mapping.working_pixel_mm
            raise MammoroiError(
                f"{image_id} in {folder} is prepared with pixels of {rows:.3g} x {columns:.3g}"
                f" mm, but the settings ask for {spacing_mm:g} mm",
                _AGAIN,
            )
        if record["key"] != key:
            raise MammoroiError(
                f"{image_id} in {folder} is another array than that of index.csv: a preparation "
                "was stopped, or not all of it was copied",
                _AGAIN,
            )


def is_prepared(study: Path, image_id: str, place: str = SEGMENTATION) -> bool:
    """Whether an image was prepared; ``place`` as for :func:`prepare`."""
    return (Path(study) / place / "prepared" / f"{image_id}.json").exists()


def load_mapping(study: Path, image_id: str, place: str = SEGMENTATION) -> Mapping:
    """Read the mapping of a prepared image; ``place`` as for :func:`prepare`."""
    folder = Path(study) / place / "prepared"
    return Mapping.from_json(read_json(folder / f"{image_id}.json")["mapping"])


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic(path) as temporary:
        np.save(temporary, array)
