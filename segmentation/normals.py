"""Mammograms without a lesion: who learns from them, and who draws them.

A patient of ``normal_cohort`` who is one of the study's stays where the study has put her: in her
fold, or in the test set. Of the others, those whose ``split`` in ``patients.csv`` of that cohort is
``test`` join the test set, and every other one is put into a fold by ``seed`` and ``patient_id``
alone, so that nobody moves when others come or go. A fold's networks learn from the normal
mammograms of patients who train them or are in another fold, and draw those of its own; so false
regions are counted on breasts that the networks have not seen.

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
    import pandas as pd

    from ..cohort.split import Splits


def normal_folds(splits: Splits, index: pd.DataFrame, seed: int) -> dict[str, tuple[int, ...]]:
    """Give for each patient the folds whose networks draw her normal mammograms.

    None of these networks has seen the patient.

    Parameters
    ----------
    splits : Splits
        The study's patients.
    index : DataFrame
        ``patient_id, set`` of the normal mammograms.
    seed : int
        The training's seed.
    """
    found: dict[str, tuple[int, ...]] = {}
    everyone = tuple(range(len(splits.folds)))
    for patient, part in zip(index["patient_id"], index["set"], strict=True):
        fold = splits.fold_of(patient)
        if fold is not None:
            found[patient] = (fold,)
        elif patient in splits.test or part == "test":
            found[patient] = everyone
        else:
            found[patient] = (int(sha256_of(seed, patient)[:8], 16) % len(everyone),)
    return found


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
    folds = normal_folds(splits, read_index(folder, NORMALS), config.seed)
    return frozenset(patient for patient, drawing in folds.items() if fold in drawing)


def normal_images(
    config: SegmentationConfig, folder: Path, splits: Splits, fold: int, sets: FoldSets
) -> tuple[tuple[str, str], ...]:
    """Name the normal mammograms from which a fold's networks learn, as :func:`.other_images`."""
    drawn = normals_drawn(config, folder, splits, fold)
    return other_images(config, folder, {*drawn, *sets.tuning, *splits.test}, NORMALS)


def taken_per_epoch(config: SegmentationConfig, normals: int, with_lesion: int) -> int:
    """How many of the normal mammograms an epoch takes."""
    return min(normals, max(1, round(config.normals_per_image * with_lesion)))
