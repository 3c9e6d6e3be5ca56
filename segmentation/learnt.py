"""How probabilities become masks, learnt from masks of patients whom the networks never saw.

``segmentation/postprocessing.json`` holds ``key``, ``tried`` (how many settings were), ``folds``
(for each fold the settings with which the masks of its validation patients are drawn, chosen on the
training patients of the other folds) and ``all`` (chosen on the training patients of all folds: for
test patients and new mammograms). Each has ``threshold, max_components, minimum_area_mm2,
calibration`` (``slope, intercept`` of :class:`.recalibration.Calibration`, or null), ``dice``
(mean over the ``n_images`` from which it was chosen) and ``minimum_score`` (with
``false_regions_per_normal``: what a region's score has to exceed, from the mammograms without a
lesion of the same patients and of other training patients; else 0). Every probability that is
looked at was given by the networks of the patient's own fold, which the patient did not train;
``all`` is then used on the mean of all folds' networks, which is more cautious than any of them.
The file is there with ``postprocessing: learnt``, ``calibrate`` or ``false_regions_per_normal``
only; without the first the first three are the configured ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..files import read_json, sha256_of, write_json
from .candidates import find_candidates
from .config import EXPECTED_DICE, SegmentationConfig
from .postprocess import threshold_of
from .recalibration import Calibration, count_pixels, fit_calibration
from .unseen import Look, look_at, normal_images, validation_images

if TYPE_CHECKING:
    from .fold_jobs import FoldJob
    from .normals import Normals

LEARNT_VERSION = 1
_LOOKS = ".learn-"
THRESHOLDS: tuple[float | str, ...] = (
    EXPECTED_DICE,
    *(round(0.1 + 0.05 * step, 2) for step in range(15)),
)
MAX_COMPONENTS = (1, 2, 3, 0)
MINIMUM_AREAS_MM2 = (0.0, 25.0, 50.0, 100.0, 200.0)
"""Those above the configured area are tried beside it."""

Scores = NDArray[np.float64]
Setting = tuple[float | str, int, float]


@dataclass(frozen=True)
class Postprocessing:
    """One way from probabilities to a mask, and how well it did where it was chosen.

    Attributes
    ----------
    threshold, max_components, minimum_area_mm2
        As in :class:`.config.SegmentationConfig`.
    dice : float
        Mean Dice over the images, on the working array.
    n_images : int
        From how many images it was chosen.
    calibration : dict or None
        ``slope, intercept`` with which the probability is calibrated first.
    minimum_score : float
        Only regions with a higher score are drawn (:func:`.candidates.without_faint`).
    """

    threshold: float | str
    max_components: int
    minimum_area_mm2: float
    dice: float
    n_images: int
    calibration: dict[str, float] | None = None
    minimum_score: float = 0.0

    def settings(self) -> dict[str, Any]:
        """Give what :func:`.predict.draw` takes."""
        settings: dict[str, Any] = {
            "threshold": self.threshold,
            "max_components": self.max_components,
            "minimum_area_mm2": self.minimum_area_mm2,
        }
        for name in ("calibration", "minimum_score"):
            if getattr(self, name):
                settings[name] = getattr(self, name)
        return settings


def grid(config: SegmentationConfig) -> list[Setting]:
    """List the settings that are tried; the configured ones come first and win ties."""
    areas = sorted({config.minimum_area_mm2, *MINIMUM_AREAS_MM2})
    areas = [area for area in areas if area >= config.minimum_area_mm2]
    configured: Setting = (config.threshold, config.max_components, config.minimum_area_mm2)
    if config.postprocessing == "fixed":
        return [configured]
    tried: list[Setting] = [
        (t, count, area) for t in THRESHOLDS for count in MAX_COMPONENTS for area in areas
    ]
    return [configured, *(one for one in tried if one != configured)]


def dice_of_settings(
    probability: NDArray[np.float32],
    manual: NDArray[np.bool_],
    pixel_area_mm2: float,
    tried: Sequence[Setting],
) -> Scores:
    """Dice with the manual mask for each of the settings (two empty masks: 1).

    Parameters
    ----------
    probability : float32 (rows, columns)
        0..1, on the working array.
    manual : bool (rows, columns)
        The manual mask there.
    pixel_area_mm2 : float
        Area of a pixel of the working array.
    tried : sequence of (threshold, max_components, minimum_area_mm2)
        The settings.
    """
    from scipy import ndimage

    regions_at: dict[float | str, tuple[Scores, Scores]] = {}
    for threshold in {one[0] for one in tried}:
        limit = threshold_of(probability, threshold)
        regions, count = ndimage.label(probability >= limit, structure=np.ones((3, 3)))
        flat = regions.ravel()
        pixels, shared, weight = (
            np.bincount(flat, weights, count + 1)[1:].astype(np.float64)
            for weights in (None, manual.ravel(), probability.ravel())
        )
        best_first = np.argsort(-weight, kind="stable")
        regions_at[threshold] = pixels[best_first], shared[best_first]
    size = int(manual.sum())
    scores = []
    for threshold, most, area in tried:
        sizes, hits = regions_at[threshold]
        kept = np.flatnonzero(sizes * pixel_area_mm2 >= area)[: most or None]
        total = float(sizes[kept].sum()) + size
        scores.append(2 * float(hits[kept].sum()) / total if total else 1.0)
    return np.array(scores, dtype=np.float64)


def choose(
    scores: Scores, tried: Sequence[Setting], calibration: Calibration | None = None
) -> Postprocessing:
    """Take the settings with the best mean of (images, settings); of equal ones the first."""
    means = scores.mean(axis=0)
    best = int(np.argmax(means))
    dice, numbers = float(means[best]), asdict(calibration) if calibration else None
    return Postprocessing(*tried[best], dice=dice, n_images=len(scores), calibration=numbers)


def choose_all(
    folds: int, looks: Sequence[Look], tried: Sequence[Setting], calibrate: bool
) -> dict[str, Any]:
    """Choose the settings for each fold's validation patients on those of the other folds.

    Parameters
    ----------
    folds : int
        How many.
    looks : sequence of Look
        All images.
    tried : sequence of (threshold, max_components, minimum_area_mm2)
        The settings.
    calibrate : bool
        Fit a calibration first, on the same images.

    Returns
    -------
    dict
        ``folds``, and ``all``: for everybody else, on the patients of all folds.
    """
    counts = [count_pixels(*look.read()) for look in looks] if calibrate else []

    @cache  # without a calibration an image's scores are the same for all folds
    def scores_of(number: int, calibration: Calibration | None) -> Scores:
        probability, manual = looks[number].read()
        if calibration is not None:
            probability = calibration(probability)
        return dice_of_settings(probability, manual, looks[number].pixel_area_mm2, tried)

    def choose_for(fold: int | None) -> Postprocessing:
        others = [number for number, look in enumerate(looks) if look.fold != fold]
        calibration = None
        if calibrate:
            calibration = fit_calibration(np.sum([counts[number] for number in others], axis=0))
        rows = [scores_of(number, calibration) for number in others]
        return choose(np.reshape(rows, (-1, len(tried))), tried, calibration)

    return {"folds": [choose_for(fold) for fold in range(folds)], "all": choose_for(None)}


def limit_false_regions(
    chosen: Postprocessing, normals: Sequence[Look], per_image: float
) -> Postprocessing:
    """Add the score that so many regions per mammogram without a lesion exceed, at most.

    Parameters
    ----------
    chosen : Postprocessing
        How the probability is calibrated, and how large a region must be.
    normals : sequence of Look
        The mammograms.
    per_image : float
        Regions per mammogram.
    """
    calibrated = Calibration(**chosen.calibration) if chosen.calibration else None
    scores: list[float] = []
    for look in normals:
        probability = look.probability_of()
        if calibrated:
            probability = calibrated(probability)
        found = find_candidates(probability, look.pixel_area_mm2, chosen.minimum_area_mm2)
        scores += [one.score for one in found]
    allowed = int(per_image * len(normals) + 1e-9)  # 0.29 * 100 is 28.999...
    scores.sort(reverse=True)
    return replace(chosen, minimum_score=scores[allowed] if len(scores) > allowed else 0.0)


def learn(
    config: SegmentationConfig, folder: Path, jobs: Sequence[FoldJob], normals: Normals
) -> None:
    """Write ``postprocessing.json`` from the networks of all folds, or keep what is there.

    Parameters
    ----------
    config : SegmentationConfig
        The settings; where nothing is to be learnt the file is removed.
    folder : Path
        ``segmentation`` in the study folder, with all folds trained, of both stages where there
        are two.
    jobs : sequence of FoldJob
        The folds, one job each.
    normals : Normals
        The mammograms without a lesion.

    Raises
    ------
    MammoroiError
        When false regions are to be limited, and no mammogram without a lesion is there for it.
    """
    from .outline import of_both_stages, trained_outline
    from .probability import on_device
    from .trainer import choose_device
    from .weights import load_folds

    file = folder / "postprocessing.json"
    rate = config.false_regions_per_normal
    if config.postprocessing == "fixed" and not config.calibrate and rate is None:
        file.unlink(missing_ok=True)
        return
    folds = load_folds(folder, len(jobs), config.networks_per_fold)
    models = [model for of_fold in folds for model in of_fold]
    tried = grid(config)
    images = [validation_images(jobs, fold) for fold in range(len(jobs))]
    outline = trained_outline(config, folder, len(models))
    second: list[Any] = [outline.digest()] if outline else []
    if config.calibrate:
        second.append("calibrate")
    healthy = [normal_images(normals, fold) if rate else [] for fold in range(len(jobs))]
    if rate:
        second.append(["false regions", rate, healthy])
    digests = [model.sha256 for model in models]
    key = sha256_of(LEARNT_VERSION, tried, config.inference(), digests, images, *second)
    if file.exists() and read_json(file).get("key") == key:
        return
    device = choose_device(config)
    for left in folder.glob(f"{_LOOKS}*"):  # as of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=_LOOKS, dir=folder) as place:
        with on_device(of_both_stages(models, outline), device):
            looks, without = (
                list(look_at(config, folder, folds, some, outline, device, Path(place)))
                for some in (images, healthy)
            )
        chosen = choose_all(len(jobs), looks, tried, config.calibrate)
        if rate:
            chosen = _limit_all(chosen, without, rate)
    write_json(file, {"key": key, "tried": len(tried), **chosen})


def _limit_all(chosen: dict[str, Any], normals: Sequence[Look], per_image: float) -> dict[str, Any]:
    """Limit the false regions of each fold by the normal mammograms of the others."""

    def limited(one: Postprocessing, fold: int | None) -> Postprocessing:
        others = [look for look in normals if look.fold != fold]
        if not others:
            left = "no fold" if fold is None else f"no fold but {fold}"
            raise MammoroiError(
                "segmentation.false_regions_per_normal needs mammograms without a lesion, of which "
                f"{left} has any of a training patient",
                "give normal_cohort more patients, or set it to null",
            )
        return limit_false_regions(one, others, per_image)

    folds = [limited(one, fold) for fold, one in enumerate(chosen["folds"])]
    return {"folds": folds, "all": limited(chosen["all"], None)}


def learnt_settings(folder: Path, fold: int | None) -> dict[str, Any]:
    """Give the learnt settings with which a mask is drawn; none where they are fixed.

    Parameters
    ----------
    folder : Path
        The folder of the networks.
    fold : int or None
        The fold whose validation patient the mask is of; None for everybody else.
    """
    file = folder / "postprocessing.json"
    if not file.exists():
        return {}
    learnt = read_json(file)
    return Postprocessing(**(learnt["all"] if fold is None else learnt["folds"][fold])).settings()
