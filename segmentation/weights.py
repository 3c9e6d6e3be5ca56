"""Weights as safetensors, and beside them a card that says what they are.

``model.safetensors`` holds the network's state. ``model.json`` holds ``format, fold, network``
(see :class:`.network.NetworkSpec`), ``plan`` (``working_spacing_mm, canvas``), ``inference``
(threshold and the like), ``epoch`` (counted from 0), ``metrics`` of that epoch, numbers of
patients and images, ``accumulate`` (parts in which a step's batch was computed in the end),
``skipped_steps``, ``key`` of the training's inputs, ``versions``, and ``sha256`` of the weights;
where there is something that every user of the network must know, also ``notice``. Where the
network started from another one, ``started_from`` is what :class:`.start.Start` tells of it; where
it was pre-trained, ``pretraining`` holds ``epochs, images, images_without_mask, loss``.
Nothing that is loaded can run code.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import atomic, read_json, sha256_file, write_json
from .learnt import learnt_settings
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
    """Write a network's state and its card; the card comes last, so that it is never early."""
    from safetensors.torch import save

    weights = folder / "model.safetensors"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic(weights) as temporary:
        temporary.write_bytes(save(tensors))  # not save_file: it hides what a full disk says
    card = {"format": MODEL_FORMAT, **card, "sha256": sha256_file(weights)}
    write_json(folder / "model.json", card)
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


def load_models(folder: Path) -> list[Model]:
    """Read the networks of all folds of a folder, in the folds' order, or those of one fold.

    The settings for drawing in the cards of all folds are the learnt ones where there are some
    (:mod:`.learnt`).

    Raises
    ------
    MammoroiError
        When there is none, or one of them cannot be trusted.
    """
    if (folder / "model.json").exists():
        return [load_model(folder)]
    folders = sorted(folder.glob("fold-*/"), key=lambda path: int(path.name.split("-")[1]))
    if not folders:
        raise MammoroiError(f"{folder} holds no fold-0/model.safetensors", "run mammoroi train")
    models = [load_model(path) for path in folders]
    for model in models:
        model.card["inference"] |= learnt_settings(folder, None)
    return models
