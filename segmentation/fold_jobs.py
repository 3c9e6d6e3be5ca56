"""What the networks of every fold learn from: patients, prepared images, the canvas for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from .config import SegmentationConfig
from .folds import FoldSets, NetworkName, fold_sets
from .mapping import padded_size
from .network import NetworkSpec
from .normals import Normals
from .others import other_images

if TYPE_CHECKING:
    import pandas as pd

    from ..cohort.split import Splits


@dataclass(frozen=True)
class FoldJob:
    """One network's fold, its patients and prepared images.

    Attributes
    ----------
    fold : int
        Which fold.
    sets : FoldSets
        Its patients; those of the validation part have no image here.
    training, tuning : tuple of (str, str)
        ``image_id`` and ``key`` of the prepared images.
    network : int
        Which of the fold's networks, counted from 1. All have the same patients.
    unmasked : tuple of (str, str)
        As ``training``, of images whose mask is not needed, where there is a pre-training: those of
        the training patients that have none, and those of another cohort (:mod:`.others`).
    normals : tuple of (str, str, str)
        As ``training``, of mammograms without a lesion (:mod:`.normals`), each with its patient.
    """

    fold: int
    sets: FoldSets
    training: tuple[tuple[str, str], ...]
    tuning: tuple[tuple[str, str], ...]
    network: int = 1
    unmasked: tuple[tuple[str, str], ...] = ()
    normals: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> NetworkName:
        """Which network is trained."""
        return NetworkName(self.fold, self.network)

    def inputs(self) -> dict[str, Any]:
        """Give what a network is trained on; which of the fold's it is shows in its seed.

        Without ``unmasked`` and ``normals`` when there are none, as keys always had it.
        """
        given = {name: value for name, value in vars(self).items() if name != "network"}
        for name in ("unmasked", "normals"):
            if not given[name]:
                del given[name]
        return given


def fold_job(
    config: SegmentationConfig,
    splits: Splits,
    fold: int,
    index: pd.DataFrame,
    folder: Path | None = None,
    normals: Normals | None = None,
) -> FoldJob:
    """Collect what one fold trains and tunes on.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    splits : Splits
        The study's patients.
    fold : int
        Which fold.
    index : DataFrame
        The prepared images, as in ``index.csv``.
    folder : Path, optional
        ``segmentation`` in the study folder, where the images of a pre-training may lie.
    normals : Normals, optional
        Mammograms without a lesion.

    Raises
    ------
    MammoroiError
        When there is no training or no tuning image.
    """
    ready = frozenset(map(str, index["patient_id"][index["has_mask"]]))
    sets = fold_sets(splits, fold, config.tuning_fraction, config.seed, ready)
    training, tuning, unmasked = (
        tuple(
            (str(image_id), str(key))
            for image_id, key, patient, has_mask in zip(
                *(index[name] for name in ("image_id", "key", "patient_id", "has_mask")),
                strict=True,
            )
            if patient in patients and has_mask == masked
        )
        for patients, masked in (
            (set(sets.training), True),
            (set(sets.tuning), True),
            (set(sets.training) if config.pretraining_epochs else set(), False),
        )
    )
    if not training or not tuning:
        raise MammoroiError(
            f"fold {fold} has {len(training)} training and {len(tuning)} tuning images",
            "see segmentation/prepared/failures.csv, or add patients",
        )
    teaching: tuple[tuple[str, str, str], ...] = ()
    drawn = {*sets.validation, *splits.test}
    if normals is not None:
        teaching = normals.teaching(fold, set(sets.tuning))
        drawn |= normals.drawn_by(fold)
    if folder is not None:
        unmasked += other_images(config, folder, {*sets.tuning, *drawn})
    return FoldJob(fold, sets, training, tuning, unmasked=unmasked, normals=teaching)


def make_plan(
    config: SegmentationConfig, index: pd.DataFrame, normals: Normals | None = None
) -> dict[str, Any]:
    """Choose the canvas that holds every training image; ``normals`` as for :func:`fold_job`."""
    multiple = NetworkSpec.of(config).multiple
    tables = [index] if normals is None or normals.index.empty else [index, normals.index]
    canvas = [
        padded_size(max(int(table[side].max()) for table in tables), multiple)
        for side in ("working_rows", "working_columns")
    ]
    return {"working_spacing_mm": config.working_spacing_mm, "canvas": canvas}


def roles(folds: Sequence[FoldSets]) -> pd.DataFrame:
    """Give the rows of ``folds.csv``."""
    import pandas as pd

    return pd.DataFrame(
        [
            (patient, fold, role)
            for fold, sets in enumerate(folds)
            for role, patients in asdict(sets).items()
            for patient in patients
        ],
        columns=["patient_id", "fold", "role"],
    )
