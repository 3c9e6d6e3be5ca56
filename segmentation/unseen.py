"""What a study's networks say of training patients whom they have not seen, beside their masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files import read_json
from .config import SegmentationConfig
from .mapping import Mapping

if TYPE_CHECKING:
    import torch

    from .fold_jobs import FoldJob
    from .normals import Normals
    from .outline import OutlineStage
    from .weights import Model


@dataclass(frozen=True)
class Look:
    """One image of a patient whom the networks that looked at it had not seen.

    Attributes
    ----------
    fold : int
        The patient's, and the networks'.
    probability : Path
        What they say, float32 (rows, columns), until everything is learnt.
    manual : Path
        The manual mask on the same array; of a mammogram without a lesion there is none.
    pixel_area_mm2 : float
        Area of a pixel of it.
    """

    fold: int
    probability: Path
    manual: Path
    pixel_area_mm2: float

    def probability_of(self) -> NDArray[np.float32]:
        """Give the probability alone."""
        probability: NDArray[np.float32] = np.load(self.probability)
        return probability

    def read(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give probability and manual mask."""
        return self.probability_of(), np.load(self.manual) > 0


def look_at(
    config: SegmentationConfig,
    folder: Path,
    folds: Sequence[Sequence[Model]],
    images: Sequence[Sequence[tuple[str, str]]],
    outline: OutlineStage | None,
    device: torch.device,
    place: Path,
) -> Iterator[Look]:
    """Let each fold's networks look at the fold's validation patients.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder.
    folds : sequence of sequences of Model
        Each fold's networks, on ``device``.
    images : sequence of sequences of (image_id, key)
        Each fold's images.
    outline : OutlineStage, optional
        The second stage, on ``device``.
    place : Path
        Where the probabilities are written.
    """
    from .outline import refined
    from .probability import probabilities
    from .store import load_array

    inference = config.inference()
    # Both stages' probability is on the finer arrays.
    prepared = folder / "outline" / "prepared" if outline else folder / "prepared"
    for fold, (networks, of_fold) in enumerate(zip(folds, images, strict=True)):
        for image_id, _ in of_fold:
            array = load_array(folder / "prepared" / f"{image_id}.npy")
            members = [one for m in networks for one in probabilities(m, array, inference, device)]
            if outline is not None:
                outlining = outline.of_prepared(folder.parent, image_id, [fold])
                members = refined(members, outlining, inference, device)
            file = place / f"{image_id}.npy"
            file.parent.mkdir(exist_ok=True)
            np.save(file, np.mean(members, axis=0))
            manual = prepared / f"{image_id}.mask.npy"
            mapping = Mapping.from_json(read_json(prepared / f"{image_id}.json")["mapping"])
            yield Look(fold, file, manual, mapping.working_pixel_area_mm2)


def validation_images(jobs: Sequence[FoldJob], fold: int) -> list[tuple[str, str]]:
    """List ``image_id`` and ``key`` of the training images of a fold's validation patients.

    They train or tune the networks of every other fold.
    """
    own = {*jobs[fold].training, *jobs[fold].tuning}
    elsewhere = {image for job in jobs for image in (*job.training, *job.tuning)}
    return sorted(elsewhere - own)


def normal_images(normals: Normals, fold: int) -> list[tuple[str, str]]:
    """List name and ``key`` of the mammograms without a lesion that a fold's networks alone draw.

    They teach the networks of every other fold.
    """
    index = normals.index
    own = index[[normals.folds[patient] == (fold,) for patient in index["patient_id"]]]
    return sorted(zip(own["name"], own["key"], strict=True))
