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

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import sha256_of
from .config import SegmentationConfig
from .others import empty_index, read_index
from .prepare import NORMALS

if TYPE_CHECKING:
    import pandas as pd

    from ..cohort.split import Splits


@dataclass(frozen=True)
class Normals:
    """The prepared mammograms without a lesion.

    Attributes
    ----------
    index : DataFrame
        As :func:`.others.read_index` gives it; without rows where the settings name none.
    folds : dict of str to (int, ...)
        For each patient the folds whose networks draw her mammograms.
    """

    index: pd.DataFrame
    folds: dict[str, tuple[int, ...]]

    def drawn_by(self, fold: int) -> frozenset[str]:
        """Name the patients whose normal mammograms a fold's networks draw."""
        return frozenset(patient for patient, folds in self.folds.items() if fold in folds)

    def keys_drawn_by(self, fold: int) -> frozenset[str]:
        """Give the keys of the images that a fold's networks draw."""
        drawn = self.index["patient_id"].isin(self.drawn_by(fold))
        return frozenset(self.index["key"][drawn])

    def teaching(self, fold: int, tuning: Set[str]) -> tuple[tuple[str, str, str], ...]:
        """Give name, key and patient of the images from which a fold's networks learn."""
        barred = self.drawn_by(fold) | tuning
        index = self.index[~self.index["patient_id"].isin(barred)]
        return tuple(zip(index["name"], index["key"], index["patient_id"], strict=True))


def find_normals(config: SegmentationConfig, folder: Path, splits: Splits) -> Normals:
    """Read the prepared mammograms without a lesion, and divide their patients.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    folder : Path
        ``segmentation`` in the study folder, or its ``outline``.
    splits : Splits
        The study's patients.

    Raises
    ------
    MammoroiError
        When the settings name some, and they were not prepared.
    """
    index = empty_index() if config.normal_cohort is None else read_index(folder, NORMALS)
    everyone = tuple(range(len(splits.folds)))
    folds: dict[str, tuple[int, ...]] = {}
    for patient, part in zip(index["patient_id"], index["set"], strict=True):
        fold = splits.fold_of(patient)
        if fold is not None:
            folds[patient] = (fold,)
        elif patient in splits.test or part == "test":
            folds[patient] = everyone
        else:
            folds[patient] = (int(sha256_of(config.seed, patient)[:8], 16) % len(everyone),)
    return Normals(index, folds)


def taken_per_epoch(config: SegmentationConfig, normals: int, with_lesion: int) -> int:
    """How many of the normal mammograms an epoch takes."""
    return min(normals, max(1, round(config.normals_per_image * with_lesion)))
