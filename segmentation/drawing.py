"""How trained networks draw is in their cards, so that they draw alike wherever they are.

Threshold, turned and enlarged images, learnt post-processing and a second stage are nothing that a
network depends on. When they change, ``mammoroi train`` keeps the networks and writes the new ones
into ``settings`` and ``inference`` of their cards; of what was learnt, that for new patients. A
study draws only with the settings that are there, and new mammograms, exported networks and bundles
take them from there.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import plain, read_json, write_json
from .config import SegmentationConfig
from .learnt import learnt_settings
from .outline import has_outline, window_of_networks
from .weights import load_models, network_folders, trained_with

if TYPE_CHECKING:
    from .weights import Model


def note_drawing(config: SegmentationConfig, folder: Path) -> None:
    """Let the cards of all networks of a folder say how they draw, those of both stages alike.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    folder : Path
        ``segmentation`` in the study folder, with all that is learnt.
    """
    drawing, inference = plain(config.drawing()), plain(_inference(config, folder))
    stages = [(folder, drawing)]
    if has_outline(folder):  # whose settings are those of a training in one stage
        stages.append((folder / "outline", {}))
    for stage, settings in stages:
        for place in network_folders(stage).values():
            card = read_json(place / "model.json")
            changed = card | {"settings": card["settings"] | settings, "inference": inference}
            if changed != card:
                write_json(place / "model.json", changed)


def check_settings(config: SegmentationConfig, folder: Path, card: dict[str, Any]) -> None:
    """Refuse settings with which the networks of a study were not trained or do not draw.

    Batch size and learning rate may have been found (:mod:`.search`) and do not count here.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    folder : Path
        ``segmentation`` in the study folder.
    card : dict
        ``model.json`` of one of its networks.

    Raises
    ------
    MammoroiError
        When the card says otherwise; names what differs.
    """
    asked = plain(asdict(config) | _inference(config, folder))
    noted = plain(asdict(SegmentationConfig()) | card["settings"] | card["inference"])
    trained = set(trained_with(card))
    if config.normal_cohort is None:
        trained -= {"normals_per_image"}
    for names, what, kept in (
        (trained, "were trained with", ""),
        (config.drawing() | _inference(config, folder), "draw with", ", which keeps the networks"),
    ):
        other = [
            f"{name} {noted.get(name)}, not {asked[name]}"
            for name in sorted(names)
            if noted.get(name) != asked[name]
        ]
        if other:
            raise MammoroiError(
                f"the networks in {folder} {what} {'; '.join(other)}", f"run mammoroi train{kept}"
            )


def _inference(config: SegmentationConfig, folder: Path) -> dict[str, Any]:
    return config.inference() | learnt_settings(folder, None)


def load_to_draw(folder: Path) -> list[Model]:
    """Read the networks of a folder as :func:`.weights.load_models` does, to draw with them.

    Raises
    ------
    MammoroiError
        As there, when the second stage is missing with which they draw, and when they are a second
        stage themselves, which sees windows around what a first one proposes.
    """
    models = load_models(folder)
    if window_of_networks(folder, models) is not None:
        raise MammoroiError(
            f"{folder} holds networks of a second stage, which draw with the first and not alone",
            "name the folder `segmentation` in which both were trained",
        )
    spacing = models[0].card["settings"].get("outline_spacing_mm")
    if spacing is not None and not has_outline(folder):
        raise MammoroiError(
            f"{folder} lacks the networks that outline at {spacing:g} mm, with which its own draw",
            "take the whole folder `segmentation` in which they were trained, with `outline`",
        )
    return models
