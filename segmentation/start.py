"""Networks that start from another one's weights: ``start_from``.

Masks are only honest when no network draws a patient from whom it has learned, and a network has
also learned from those of the network that it started from. Its ``learned_from.csv`` names them
(:mod:`.learned_from`), with those of the pre-training and of the start of the start: none of them
may be among the patients whom the fold's network is to draw (its validation part and the test set).
With two stages the second starts from the other study's second, where there is one
(:func:`second_stage_start`), and its patients are looked at. Patients are compared by
``patient_id``: one who has another name in each study cannot be seen. Where a network came without
the table, the card says so (``patients_known: false``).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_json
from .config import SegmentationConfig
from .learned_from import learned_from
from .network import NetworkSpec
from .weights import demonstration_model, load_state

if TYPE_CHECKING:
    from torch import nn

SHIPPED = "phantoms"
# What networks of an architecture must have in common besides it.
_SHAPE = {
    "unet": ("channels",),
    "dynunet": ("channels",),
    "smp-unet": ("encoder", "decoder_channels"),
}


@dataclass(frozen=True)
class Start:
    """The network that a fold's starts from.

    Attributes
    ----------
    folder : Path
        Where its ``model.safetensors`` and ``model.json`` are.
    card : dict
        ``model.json``.
    patients : frozenset of str or None
        From whom it has learned; None where that is not known.
    second : bool
        Whether it is one of a second stage.
    """

    folder: Path
    card: dict[str, Any]
    patients: frozenset[str] | None
    second: bool = False

    @property
    def sha256(self) -> str:
        """SHA-256 of its weights."""
        return str(self.card["sha256"])

    def told(self) -> dict[str, Any]:
        """Give what the card of a network that started from it says of it.

        ``sha256, notice`` (null where it has none), ``patients_known``, ``started_from``, the
        same of the network that it started from itself (null), and where it is one of a second
        stage ``stage``, ``second``.
        """
        own = self.card.get("started_from") or {}
        return {
            "sha256": self.sha256,
            "notice": self.card.get("notice"),
            "patients_known": self.patients is not None and own.get("patients_known", True),
            "started_from": own or None,
            **({"stage": "second"} if self.second else {}),
        }


def start_of(config: SegmentationConfig, fold: int) -> Start | None:
    """Find the network that a fold starts from; None without ``start_from``.

    In a folder of several folds it is the one of the same number, else that of fold 0.

    Parameters
    ----------
    config : SegmentationConfig
        Of the stage that is trained (:func:`.outline.training_places`).

    Raises
    ------
    MammoroiError
        When there is none.
    """
    if config.start_from is None:
        return None
    given = demonstration_model() if config.start_from == SHIPPED else Path(config.start_from)
    for folder in (given, given / f"fold-{fold}", given / "fold-0"):
        if (folder / "model.json").exists():
            card = read_json(folder / "model.json")
            if not isinstance(card, dict) or "sha256" not in card:
                break
            second = (folder.parent / "outline.json").exists()
            return Start(folder, card, learned_from(folder), second)
    raise MammoroiError(
        f"segmentation.start_from is '{config.start_from}', which holds no trained network",
        "name a study's folder 'segmentation', one of its folders 'fold-0', 'fold-1', ..., or "
        f"'{SHIPPED}'",
    )


def second_stage_start(config: SegmentationConfig) -> str | None:
    """Give what ``start_from`` means for the second stage of the settings.

    Where it names a study that draws in two stages and whose second is of the same architecture,
    that stage's folder; else what it is for the first: one network, a study of one stage,
    ``phantoms``.
    """
    if config.start_from in (None, SHIPPED):
        return config.start_from
    place = Path(str(config.start_from)) / "outline"
    card = place / "fold-0" / "model.json"
    if not ((place / "outline.json").exists() and card.exists()):
        return config.start_from
    asked, there = NetworkSpec.of(config).to_json(), read_json(card).get("network", {})
    compared = ("architecture", *_SHAPE[config.architecture])
    same = all(_listed(asked[name]) == _listed(there.get(name)) for name in compared)
    return str(place) if same else config.start_from


def check_start(config: SegmentationConfig, fold: int, study: Path, drawn: Set[str]) -> None:
    """See that a fold's start may draw the fold's patients.

    Parameters
    ----------
    study : Path
        ``segmentation`` of the study that is trained.
    drawn : set of str
        Patients whose masks the fold's network is to draw.

    Raises
    ------
    MammoroiError
        When the start has learned from one of them, or lies in the study itself.
    """
    start = start_of(config, fold)
    if start is None:
        return
    if start.folder.resolve().is_relative_to(study.resolve()):
        raise MammoroiError(
            f"segmentation.start_from is '{config.start_from}', which this training writes to",
            "train into another study folder (out), or copy the network elsewhere",
        )
    if both := drawn & (start.patients or frozenset()):
        raise MammoroiError(
            f"the network in {start.folder} has learned from {len(both)} of the patients whose "
            f"masks fold {fold} is to draw or who test it",
            "start from networks of other patients, or of a study with the same splits.json; "
            "if these are others with the same patient_id, rename them",
        )


def begin_with_start(network: nn.Module, config: SegmentationConfig, fold: int) -> None:
    """Fill a network with the weights that its fold starts from, if there are any.

    Raises
    ------
    MammoroiError
        When they cannot be trusted, or are those of another architecture.
    """
    start = start_of(config, fold)
    if start is None:
        return
    card, state = load_state(start.folder)
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if own != theirs:
        raise MammoroiError(
            f"the network in {start.folder} is another one than that of the settings: "
            f"{_difference(config, card, own, theirs)}",
            "set architecture, channels, encoder and decoder_channels to those of its model.json",
        )
    network.load_state_dict(state)


def _difference(
    config: SegmentationConfig,
    card: dict[str, Any],
    own: dict[str, tuple[int, ...]],
    theirs: dict[str, tuple[int, ...]],
) -> str:
    """Say how two networks differ: settings first, then tensors."""
    asked = {k: _listed(v) for k, v in NetworkSpec.of(config).to_json().items()}
    there = {k: _listed(v) for k, v in card.get("network", {}).items()}
    settings = [
        f"{name} {there[name]} there, {value} here"
        for name, value in asked.items()
        if name in there and there[name] != value
    ]
    names = sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name))
    first = names[0]
    tensors = (
        f"{len(names)} tensors, the first {first}: "
        f"{theirs.get(first, 'missing')} there, {own.get(first, 'missing')} here"
    )
    return "; ".join([*settings, tensors])


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def start_key(config: SegmentationConfig, fold: int) -> tuple[str, ...]:
    """Give what a fold's start adds to keys: the SHA-256 of its weights, or nothing."""
    start = start_of(config, fold)
    return () if start is None else (start.sha256,)


def start_card(config: SegmentationConfig, fold: int) -> dict[str, Any]:
    """Give what a fold's start adds to the fold's card: ``started_from``, or nothing."""
    start = start_of(config, fold)
    return {} if start is None else {"started_from": start.told()}
