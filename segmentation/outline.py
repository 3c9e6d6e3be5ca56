"""Two stages: one network finds regions at low resolution, a second one outlines them at high.

With ``outline_spacing_mm`` every fold trains a second network of the same architecture on the same
patients, on crops of ``outline_patch`` pixels of that size, most of them around lesions. It sees
nothing of what the first one says, so the two trainings have nothing to do with each other, and
neither network of a fold has seen the fold's validation patients. ``segmentation/outline/`` is
a training folder as ``segmentation/`` is (``prepared``, ``plan.json``, ``folds.csv``, ``fold-K``),
and holds ``outline.json``, ``working_spacing_mm`` and ``patch`` (rows, columns), while the study
draws in two stages: without that file the networks beside it are not used.

Drawing, the regions of at least :data:`PROPOSED` in the first stage's mean probability get windows
(:mod:`.windows`). Within these the probability is the mean of that of both networks; where windows
overlap, that of the second is the mean over them. Elsewhere it is the first network's. A mean of
probabilities, not of logits, is what folds, turned images and scales are averaged by too: so
it does not matter in which order, and each member of the mean is one of both stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..files import read_json, write_json
from .config import SegmentationConfig
from .mapping import Mapping, resize
from .prepare import SEGMENTATION, load_mapping, scaled_array
from .probability import probabilities
from .start import second_stage_start
from .weights import Model, load_models
from .windows import proposals, windows_over

if TYPE_CHECKING:
    import torch

    from ..imaging.mammogram import Mammogram

OUTLINE = f"{SEGMENTATION}/outline"
PROPOSED = 0.05
"""Half of what makes a candidate: one of which the second network is surer can still become one."""

Probability = NDArray[np.float32]


def outline_config(config: SegmentationConfig) -> SegmentationConfig:
    """Give the settings with which the second stage is prepared and trained like a first one."""
    assert config.outline_spacing_mm is not None
    return replace(
        config,
        working_spacing_mm=config.outline_spacing_mm,
        patch=config.outline_patch,
        crops="lesions",
        outline_spacing_mm=None,
        postprocessing="fixed",
        start_from=second_stage_start(config),
    )


def training_places(config: SegmentationConfig) -> list[tuple[SegmentationConfig, str]]:
    """List what is trained: settings, and the folder within the study folder."""
    first = [(config, SEGMENTATION)]
    if config.outline_spacing_mm is None:
        return first
    return [*first, (outline_config(config), OUTLINE)]


def forget_outline(config: SegmentationConfig, folder: Path) -> None:
    """Remove ``outline.json`` below ``segmentation`` unless it says what the settings ask for.

    A training that is stopped then leaves no second stage of which the file is untrue.
    """
    file = folder / "outline" / "outline.json"
    if file.exists() and read_json(file) != _wanted(config):
        file.unlink()


def note_outline(config: SegmentationConfig, folder: Path) -> None:
    """Write ``outline.json`` below ``segmentation`` once the second stage is trained."""
    if config.outline_spacing_mm is not None:
        write_json(folder / "outline" / "outline.json", _wanted(config))


def _wanted(config: SegmentationConfig) -> dict[str, Any]:
    patch = list(config.outline_patch)
    return {"working_spacing_mm": config.outline_spacing_mm, "patch": patch}


@dataclass(frozen=True)
class OutlineStage:
    """The trained networks of the second stage.

    Attributes
    ----------
    models : list of Model
        In the order of the first stage's.
    patch : (int, int)
        Rows and columns of a window.
    working_spacing_mm : float
        Pixel size of the arrays that they see.
    """

    models: list[Model]
    patch: tuple[int, int]
    working_spacing_mm: float

    def digest(self) -> list[Any]:
        """Give that on which masks depend besides the first stage."""
        return [self.working_spacing_mm, self.patch, [model.sha256 for model in self.models]]

    def of_prepared(self, study: Path, image_id: str, folds: Sequence[int]) -> Outlining:
        """Make the stage ready for a prepared image, to be drawn by the networks of some folds."""
        from .store import load_array

        array = load_array(Path(study) / OUTLINE / "prepared" / f"{image_id}.npy")
        models = [model for model in self.models if model.card["fold"] in folds]
        return Outlining(models, self.patch, array, load_mapping(study, image_id, OUTLINE))

    def of_mammogram(
        self, mammogram: Mammogram, mapping: Mapping, limits: tuple[float, float]
    ) -> Outlining:
        """Make the stage ready for a new mammogram, to be drawn by all networks.

        Parameters
        ----------
        mammogram : Mammogram
            The mammogram.
        mapping, limits
            What :func:`.prepare.working_array` gave for the first stage.
        """
        finer = mapping.at(self.working_spacing_mm)
        return Outlining(self.models, self.patch, scaled_array(mammogram, finer, limits), finer)


@dataclass(frozen=True)
class Outlining:
    """The second stage, ready for one image.

    Attributes
    ----------
    models : list of Model
        Networks of the second stage.
    patch : (int, int)
        Rows and columns of a window.
    array : float16 (rows, columns)
        The image's working array of the finer pixels.
    mapping : Mapping
        Its way back.
    """

    models: list[Model]
    patch: tuple[int, int]
    array: NDArray[np.float16]
    mapping: Mapping


def has_outline(folder: Path) -> bool:
    """Whether a folder of networks draws in two stages."""
    return (Path(folder) / "outline" / "outline.json").exists()


def load_outline(folder: Path, networks: int) -> OutlineStage | None:
    """Read the second stage of a folder of networks; None where it draws in one stage.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder, a copy of it, or an unpacked bundle.
    networks : int
        How many networks the first stage has.

    Raises
    ------
    MammoroiError
        When networks are missing or cannot be trusted.
    """
    if not has_outline(folder):
        return None
    place = Path(folder) / "outline"
    about = read_json(place / "outline.json")
    models = load_models(place)
    if len(models) != networks:
        raise MammoroiError(
            f"{place} holds {len(models)} networks for the {networks} of the first stage",
            "run mammoroi train, or copy the whole folder again",
        )
    trained = models[0].working_spacing_mm
    if trained != about["working_spacing_mm"]:
        raise MammoroiError(
            f"the networks in {place} see {trained:g} mm per pixel, its outline.json says "
            f"{about['working_spacing_mm']:g}",
            "run mammoroi train, or copy the whole folder again",
        )
    return OutlineStage(models, _window(about, models[0]), float(about["working_spacing_mm"]))


def window_of_networks(folder: Path, models: Sequence[Model]) -> tuple[int, int] | None:
    """Give rows and columns of the windows that networks see, where they are a second stage's.

    Parameters
    ----------
    folder : Path
        From where they were read: ``outline``, or the folder of a network in it.
    models : sequence of Model
        What :func:`.weights.load_models` read there.
    """
    for place in (Path(folder), Path(folder).parent):
        if (place / "outline.json").exists():
            return _window(read_json(place / "outline.json"), models[0])
    return None


def _window(about: dict[str, Any], model: Model) -> tuple[int, int]:
    """Rows and columns of a window; training crops, too, are no larger than the canvas."""
    rows, columns = map(min, about["patch"], model.card["plan"]["canvas"])
    return int(rows), int(columns)


def trained_outline(config: SegmentationConfig, folder: Path, networks: int) -> OutlineStage | None:
    """Read the second stage that the settings ask for; None where they ask for one stage.

    Raises
    ------
    MammoroiError
        As :func:`load_outline`, and when it was not trained with these settings.
    """
    if config.outline_spacing_mm is None:
        return None
    file = folder / "outline" / "outline.json"
    stage = load_outline(folder, networks)
    if stage is None or read_json(file) != _wanted(config):
        rows, columns = config.outline_patch
        raise MammoroiError(
            f"{folder} holds no networks that outline at {config.outline_spacing_mm:g} mm in "
            f"windows of {rows} x {columns}",
            "run mammoroi train, or set segmentation.outline_spacing_mm to null",
        )
    return stage


def of_both_stages(models: Sequence[Model], outline: OutlineStage | None) -> list[Model]:
    """List the networks of the first stage, and those of the second where there is one."""
    return [*models, *(outline.models if outline else ())]


def refined(
    members: Sequence[Probability],
    outlining: Outlining,
    inference: dict[str, Any],
    device: torch.device,
) -> list[Probability]:
    """Look again, at finer pixels, where the first stage proposes something.

    Parameters
    ----------
    members : sequence of float32 (working rows, working columns)
        What the first stage's networks say of one image, each for every view of it.
    outlining : Outlining
        The second stage, on ``device``: as many networks, in the same order.
    inference : dict
        As for :func:`.probability.probabilities`.
    device : torch.device
        Where the networks are.

    Returns
    -------
    list of float32 (rows, columns) of the finer array
        Each member together with the second stage's of the same fold and view.
    """
    from .store import window

    array, size = outlining.array, outlining.patch
    finer = [resize(member, array.shape) for member in members]
    corners = windows_over(proposals(np.mean(finer, axis=0), PROPOSED), size, array.shape)
    looks = np.zeros(array.shape, np.float32)
    sums = np.zeros((len(finer), *array.shape), np.float32)
    for top, left in corners:
        part = window(array, top, left, *size)[0]
        rows = min(size[0], array.shape[0] - top)
        columns = min(size[1], array.shape[1] - left)
        place = np.s_[top : top + rows, left : left + columns]
        seen = [
            one
            for model in outlining.models
            for one in probabilities(model, part, inference, device, size)
        ]
        looks[place] += 1
        for total, one in zip(sums, seen, strict=True):
            total[place] += one[:rows, :columns]
    looked, looks = looks > 0, np.maximum(looks, 1)
    return [
        np.where(looked, (member + total / looks) / 2, member)
        for member, total in zip(finer, sums, strict=True)
    ]
