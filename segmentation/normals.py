"""Mammograms without a lesion: who learns from them, and who draws them.

A patient of ``normal_cohort`` who is one of the study's stays where the study has put her: in her
fold, or in the test set. Every other one is put into a fold by ``seed`` and ``patient_id`` alone,
so that nobody moves when others come or go. A fold's networks learn from the normal mammograms of
patients who train them or are in another fold, and draw those of its own; so false regions are
counted on breasts that the networks have not seen.

A training sees them as images whose mask is empty. They take no part in the tuning Dice, in what is
learnt of post-processing and calibration, and in anything that follows the masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..files import sha256_of
from .config import SegmentationConfig
from .folds import FoldSets
from .others import other_images, read_index
from .prepare import NORMALS

if TYPE_CHECKING:
    from ..cohort.split import Splits


def normal_folds(splits: Splits, patient_id: str, seed: int) -> tuple[int, ...]:
    """Folds whose networks draw a patient's normal mammograms: none of them has seen the patient.

    Parameters
    ----------
    splits : Splits
        The study's patients.
    patient_id : str
        One of the study's or not.
    seed : int
        The training's seed.
    """
    if patient_id in splits.test:
        return tuple(range(len(splits.folds)))
    fold = splits.fold_of(patient_id)
    if fold is None:
        fold = int(sha256_of(seed, patient_id)[:8], 16) % len(splits.folds)
    return (fold,)


def normals_drawn(
    config: SegmentationConfig, folder: Path, splits: Splits, fold: int
) -> frozenset[str]:
    """Name the patients whose normal mammograms a fold's networks draw.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder, or its ``outline``.
    """
    if config.normal_cohort is None:
        return frozenset()
    patients = set(read_index(folder, NORMALS)["patient_id"])
    return frozenset(one for one in patients if fold in normal_folds(splits, one, config.seed))


def normal_images(
    config: SegmentationConfig, folder: Path, splits: Splits, fold: int, sets: FoldSets
) -> tuple[tuple[str, str], ...]:
    """Name the normal mammograms from which a fold's networks learn, as :func:`.other_images`."""
    drawn = normals_drawn(config, folder, splits, fold)
    return other_images(config, folder, {*drawn, *sets.tuning, *splits.test}, NORMALS)


def taken_per_epoch(config: SegmentationConfig, normals: int, with_lesion: int) -> int:
    """How many of the normal mammograms an epoch takes."""
    return min(normals, max(1, round(config.normals_per_image * with_lesion)))
