"""Weights as safetensors, and beside them a card that says what they are.

``model.safetensors`` holds the network's state. ``model.json`` holds ``format, fold``,
``network_of_fold`` (counted from 1; a card without it is of a first one), ``network`` (see
:class:`.network.NetworkSpec`), ``plan`` (``working_spacing_mm, canvas``), ``inference``
(threshold and the like, see :mod:`.drawing`), ``settings``, ``epoch`` (counted from 0), ``metrics``
of that epoch, numbers of patients and images, ``accumulate`` (parts in which a step's batch was
computed in the end), ``skipped_steps``, ``key`` of the training's inputs, ``versions``, and
``sha256`` of the weights;
where there is something that every user of the network must know, also ``notice``. Where the
network started from another one, ``started_from`` is what :class:`.start.Start` tells of it; where
it was pre-trained, ``pretraining`` holds ``epochs, images, images_without_mask, loss``.
Nothing that is loaded can run code.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import atomic, plain, read_csv, read_json, sha256_file, write_json
from .config import SegmentationConfig
from .folds import NetworkName, network_names
from .network import NetworkSpec, build_network

if TYPE_CHECKING:
    import torch
    from torch import nn

MODEL_FORMAT = 1
_AGAIN = "copy the model again from where it was trained, or train again"


@dataclass(frozen=True)
class Model:
    """A trained network, ready to draw.

    Attributes
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU.
    spec : NetworkSpec
        Its architecture.
    card : dict
        ``model.json``.
    """

    network: nn.Module
    spec: NetworkSpec
    card: dict[str, Any]

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights."""
        return str(self.card["sha256"])

    @property
    def notice(self) -> str | None:
        """What every user of the network must know, if anything."""
        return self.card.get("notice")

    @property
    def working_spacing_mm(self) -> float:
        """Pixel size at which the network was trained."""
        return float(self.card["plan"]["working_spacing_mm"])


def save_model(folder: Path, state: dict[str, torch.Tensor], card: dict[str, Any]) -> Path:
    """Write a network's state and its card; the card comes last, so that it is never early.

    The disk holds both in the end, so that the checkpoint can be removed.
    """
    from safetensors.torch import save

    weights = folder / "model.safetensors"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic(weights, to_disk=True) as temporary:
        temporary.write_bytes(save(tensors))  # not save_file: it hides what a full disk says
    card = {"format": MODEL_FORMAT, **card, "sha256": sha256_file(weights)}
    write_json(folder / "model.json", card, to_disk=True)
    return weights


def load_model(folder: Path) -> Model:
    """Read a network and its card.

    Raises
    ------
    MammoroiError
        When a file is missing or of another format, or the weights are not those of the card.
    """
    card, state = load_state(folder)
    try:
        spec = NetworkSpec(**card["network"])
        network = build_network(spec)
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise _not_its_card(folder, error) from error
    return Model(network.eval(), spec, card)


def load_state(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a network's card and its tensors, without building it.

    Raises
    ------
    MammoroiError
        When a file is missing or of another format, or the weights are not those of the card.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = read_json(folder / "model.json")
    weights = folder / "model.safetensors"
    if not isinstance(card, dict) or card.get("format") != MODEL_FORMAT:
        raise MammoroiError(f"{folder / 'model.json'} is no card of this version's format", _AGAIN)
    if not weights.exists():
        raise MammoroiError(f"{weights} does not exist", _AGAIN)
    if sha256_file(weights) != card.get("sha256"):
        raise MammoroiError(f"{weights} was changed: its SHA-256 is not that of its card", _AGAIN)
    try:
        return card, load_file(weights)
    except SafetensorError as error:
        raise _not_its_card(folder, error) from error


def _not_its_card(folder: Path, error: Exception) -> MammoroiError:
    return MammoroiError(f"{folder} does not hold what its card says: {error}", _AGAIN)


def demonstration_model() -> Path:
    """Folder of the shipped network, which was trained on phantoms (see its card)."""
    return Path(str(resources.files("mammoroi.checkpoints"))) / "phantoms"


def network_folders(folder: Path) -> dict[NetworkName, Path]:
    """List the folders of the networks in a folder, in order, or the folder of a single one.

    Folders of other names are left alone.
    """
    if (folder / "model.json").exists():
        return {NetworkName(0): folder}
    found = ((NetworkName.of(path.name), path) for path in folder.glob("fold-*/"))
    return dict(sorted((name, path) for name, path in found if name is not None))


def place_of_networks(model: Path) -> Path:
    """Give the folder of networks that is meant: a study folder stands for its ``segmentation``.

    Raises
    ------
    MammoroiError
        When it is a file, such as a bundle.
    """
    if model.is_file():
        raise MammoroiError(
            f"{model} is a file, and no folder of networks",
            "name the study folder or its segmentation; a bundle is for mammoroi infer",
        )
    trained = model / "segmentation"
    return trained if trained.is_dir() and not network_folders(model) else model


def load_models(folder: Path) -> list[Model]:
    """Read the networks of all folds of a folder, in order, or the one that the folder is of.

    A fold's networks follow each other, the first one first. Which folds there are is said by
    ``folds.csv`` where a training wrote it.

    Raises
    ------
    MammoroiError
        When there is none, one of them cannot be trusted, one fold has more than another or none,
        as in a training that is not finished, or they were trained with other settings.
    """
    folders = network_folders(folder)
    if not folder.is_dir():
        raise MammoroiError(f"there is no folder {folder}", "correct the path of the networks")
    if not folders:
        raise MammoroiError(f"{folder} holds no fold-0/model.safetensors", "run mammoroi train")
    folds = [name.fold for name in folders]
    counts = {fold: folds.count(fold) for fold in folds}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of fold {fold}" for fold, count in counts.items())
        raise MammoroiError(
            f"{folder} holds unequal numbers of networks: {told}",
            "run mammoroi train, or copy all of its folders fold-*",
        )
    if sorted(counts) != list(range(len(counts))) and folder not in folders.values():
        told = ", ".join(str(fold) for fold in counts)
        raise MammoroiError(
            f"{folder} holds the networks of the folds {told}, and not of those between",
            "run mammoroi train, or copy all of its folders fold-*",
        )
    roles = folder / "folds.csv"
    wanted = set(read_csv(roles)["fold"]) if roles.exists() else set()
    if missing := sorted(wanted - set(folds)):
        raise MammoroiError(
            f"{folder} lacks the networks of the folds {', '.join(map(str, missing))}",
            "run mammoroi train, or copy all of its folders fold-*",
        )
    models = [load_model(path) for path in folders.values()]
    if differences := _differences(models):
        raise MammoroiError(
            f"{folder} holds networks of several trainings: {'; '.join(differences)}",
            "run mammoroi train, or copy the folders fold-* of one training",
        )
    return models


def trained_with(card: dict[str, Any]) -> dict[str, Any]:
    """Give the settings that a network was trained with, of those on which it depends.

    What its card lacks has its default. ``normals_per_image`` is left out of a network that learned
    from no mammograms without a lesion: it may be tried on them all the same.
    """
    noted = plain(asdict(SegmentationConfig())) | card.get("settings", {})
    names = SegmentationConfig().trained()
    if "n_normal_images" not in card:
        names -= {"normals_per_image"}
    return {name: noted[name] for name in sorted(names)}


def _differences(models: list[Model]) -> list[str]:
    """Tell in which settings networks were trained that cannot be of one training."""
    first, *others = (trained_with(model.card) for model in models)
    told = {
        name: f"{name} {first[name]} and {other[name]}"
        for other in others
        for name in first.keys() & other.keys()
        if first[name] != other[name]
    }
    return [told[name] for name in sorted(told)]


def load_folds(folder: Path, folds: int, networks_per_fold: int) -> list[list[Model]]:
    """Read the networks of a study, fold by fold.

    Raises
    ------
    MammoroiError
        When one is missing or cannot be trusted, or there are others than the settings ask for.
    """
    there, wanted = set(network_folders(folder)), set(network_names(folds, networks_per_fold))
    if there != wanted:
        lacking, surplus = (
            "; ".join(str(name) for name in sorted(names))
            for names in (wanted - there, there - wanted)
        )
        found = [f"lacks networks: {lacking}"] if lacking else []
        found += [f"holds networks that the settings do not ask for: {surplus}"] if surplus else []
        raise MammoroiError(f"{folder} {' and '.join(found)}", "run mammoroi train")
    models = load_models(folder)
    return [models[n : n + networks_per_fold] for n in range(0, len(models), networks_per_fold)]
