"""A trained study as one file that anybody can use on new mammograms, read and checked.

Members (see :mod:`.archive`; what writes them is :mod:`.freeze`):

================================  ===============================================================
``manifest.json``                 format, and the SHA-256 of every other member
``bundle.json``                   ``name``, ``notices``, ``study`` (what it was trained on),
                                  ``classifiers`` (their names in order, each with what its
                                  interval rests on and its AUC on test patients),
                                  ``uncertainty`` (the flag of uncertain masks),
                                  ``harmonise_by``, ``versions``
``card.md``                       the model card
``fold-<n>/``                     a network: ``model.safetensors``, ``model.json`` (its fold, and
                                  which of the fold's it is, stand there; ``n`` only counts)
``outline/``                      the second of two stages, where there is one: ``outline.json``,
                                  ``fold-<n>/`` (:mod:`..segmentation.outline`)
``preset.yaml``                   which features, a pyradiomics parameter file
``classifiers/<target>/``         a classifier for automatic masks: ``model.skops``,
                                  ``model.json`` (:mod:`..modeling.persist`)
``ranges.json``                   what the training images were like (:mod:`.ranges`)
================================  ===============================================================

Networks are safetensors, classifiers skops with a fixed list of types, everything else is text:
nothing that is read can run code.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import MammoroiError
from ..modeling.persist import Model, known_batches
from ..modeling.persist import load_model as load_classifier
from ..radiomics.presets import Preset, load_preset
from ..segmentation.outline import OutlineStage, load_outline, of_both_stages
from ..segmentation.uncertainty import Flag as UncertaintyFlag
from ..segmentation.weights import Model as Network
from ..segmentation.weights import load_models
from .archive import MANIFEST, packed_again, read_folder, unpack
from .class_risks import ClassModel
from .intervals import RiskSpread
from .ranges import Ranges
from .results import Discrimination
from .tested import tested_from


@dataclass(frozen=True)
class Classifier:
    """One classifier of a bundle.

    Attributes
    ----------
    model : Model
        Features, SVM, calibration, threshold.
    spread : RiskSpread or None
        What its intervals rest on; None where the study did not hold enough for any.
    tested : Discrimination or None
        How well it did on the study's test patients; None where that is not known.
    """

    model: Model
    spread: RiskSpread | None
    tested: Discrimination | None = None

    @property
    def target(self) -> str:
        """Its name."""
        return str(self.model.about["target"])

    @property
    def title(self) -> str:
        """Its name for readers."""
        return str(self.model.about.get("title") or self.target)

    @property
    def positive(self) -> str:
        """What its risk is the risk of."""
        return str(self.model.about["positive"])

    @property
    def threshold(self) -> float:
        """The risk from which on a patient counts as positive."""
        return float(self.model.about["threshold"])

    @property
    def n_train(self) -> int:
        """How many patients it was trained on."""
        return int(self.model.about["n_train"])


@dataclass(frozen=True)
class Bundle:
    """A bundle that was checked and read.

    Attributes
    ----------
    name : str
        Its name.
    sha256 : str
        SHA-256 of its file.
    notices : tuple of str
        What every user must know.
    networks : tuple of Network
        They draw together.
    preset : Preset or None
        Which features; None without classifiers.
    classifiers : tuple of Classifier
        In the study's order; none where the study has none for automatic masks.
    ranges : Ranges
        What the training images were like.
    uncertainty : UncertaintyFlag or None
        When a mask is called uncertain.
    card : str
        The model card, Markdown.
    about : dict
        ``bundle.json``.
    sizes : Mapping of str to int
        Bytes of each member.
    outline : OutlineStage or None
        The second stage, where masks are drawn in two.
    classes : tuple of ClassModel
        The questions of three or more classes, each of several of the classifiers.
    """

    name: str
    sha256: str
    notices: tuple[str, ...]
    networks: tuple[Network, ...]
    preset: Preset | None
    classifiers: tuple[Classifier, ...]
    ranges: Ranges
    uncertainty: UncertaintyFlag | None
    card: str
    about: dict[str, Any]
    sizes: Mapping[str, int]
    outline: OutlineStage | None = None
    classes: tuple[ClassModel, ...] = ()

    @property
    def all_networks(self) -> list[Network]:
        """The networks of both stages."""
        return of_both_stages(self.networks, self.outline)

    def unknown_targets(self) -> list[str]:
        """Name the targets of questions of several classes without a classifier of their class."""
        known = {(one.target, one.positive) for one in self.classifiers}
        return [
            target
            for one in self.classes
            for target, name in zip(one.targets, one.classes, strict=True)
            if (target, name) not in known
        ]

    def check_batch(self, batch: str | None) -> None:
        """Refuse a centre or device that the classifiers need and do not know."""
        by = str(self.about.get("harmonise_by") or "centre")
        check_batch(self.classifiers, batch, self.name, by)


def check_batch(classifiers: Sequence[Classifier], batch: str | None, name: str, by: str) -> None:
    """Refuse a centre or device that classifiers need and do not know, or do not need.

    Parameters
    ----------
    classifiers : sequence of Classifier
        Those of a bundle.
    batch : str or None
        What was given.
    name, by : str
        The bundle's name, and what its classifiers' features are harmonised by.

    Raises
    ------
    MammoroiError
        Which names those that they know.
    """
    known = sorted({batch for one in classifiers for batch in known_batches(one.model.about)})
    if known and batch not in known:
        found = "none was given" if batch is None else f"'{batch}' is none that they know"
        raise MammoroiError(
            f"the classifiers of {name} take features harmonised by {by}, and {found}",
            f"give --batch with one of: {', '.join(known)}; for any other {by}, fit the study "
            "again with patients of it, or with harmonise: none",
        )
    if batch is not None and not known:
        raise MammoroiError(
            f"batch is '{batch}', but the classifiers of {name} take features as they are",
            "leave it out",
        )


def demonstration_bundle() -> Path:
    """Folder of the shipped bundle, which was trained on phantoms (see its card)."""
    return Path(str(resources.files("mammoroi.checkpoints"))) / "phantoms"


def open_bundle(path: Path | str | None = None) -> Bundle:
    """Read a bundle: a file, an unpacked one, or a finished study, which is frozen for it.

    Parameters
    ----------
    path : Path or str, optional
        ``model.mroi``, or a folder; without it the shipped demonstration bundle.

    Raises
    ------
    MammoroiError
        When it is none of these, was changed, or holds anything that a bundle does not hold.
    """
    from .freeze import freeze

    source = demonstration_bundle() if path is None else Path(path)
    if not source.is_dir():
        members = unpack(source)
    elif (source / MANIFEST).is_file():
        members = read_folder(source)
    elif (source / "config.json").is_file():
        members = freeze(source)
    else:
        raise MammoroiError(
            f"{source} is neither a bundle nor a study folder",
            "name a file that `mammoroi bundle` wrote, or the folder of a finished study",
        )
    return _load(source, members)


def _preset(folder: Path, name: str) -> Preset:
    return replace(load_preset(str(folder / "preset.yaml")), name=name)


def _load(source: Path, members: Mapping[str, bytes]) -> Bundle:
    """Build a bundle from members that were checked."""
    with tempfile.TemporaryDirectory(prefix="mammoroi-") as place:
        folder = Path(place)
        for name, content in members.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        try:
            about = json.loads(members["bundle.json"])
            classifiers = tuple(
                Classifier(
                    load_classifier(folder / "classifiers" / entry["target"]),
                    RiskSpread.from_json(entry["interval"]) if entry["interval"] else None,
                    tested_from(entry),
                )
                for entry in about["classifiers"]
            )
            flag = about["uncertainty"]
            networks = tuple(load_models(folder))
            bundle = Bundle(
                name=str(about["name"]),
                sha256=hashlib.sha256(packed_again(members)).hexdigest(),
                notices=tuple(map(str, about["notices"])),
                networks=networks,
                preset=_preset(folder, about["preset"]) if classifiers else None,
                classifiers=classifiers,
                ranges=Ranges.from_json(json.loads(members["ranges.json"])),
                uncertainty=UncertaintyFlag(**flag) if flag else None,
                card=members["card.md"].decode(),
                about=about,
                sizes={name: len(content) for name, content in members.items()},
                outline=load_outline(folder, len(networks)),
                classes=tuple(map(ClassModel.from_json, about.get("classes", []))),
            )
            if absent := bundle.unknown_targets():
                raise KeyError(absent[0])
        except (KeyError, TypeError, UnicodeDecodeError, ValueError) as error:
            raise MammoroiError(
                f"{source} does not hold what a bundle holds: {type(error).__name__}: {error}",
                "make it again with `mammoroi bundle`",
            ) from None
        except MammoroiError as error:  # of a member: its place is temporary, the bundle's is not
            raise MammoroiError(
                error.found.replace(place, str(source)), error.action.replace(place, str(source))
            ) from None
    for one in bundle.classifiers:
        if bundle.preset and one.model.about["settings_sha256"] != bundle.preset.sha256:
            raise MammoroiError(
                f"{source}: the classifier {one.target} was fitted to features of other settings "
                "than those of its preset",
                "make it again from its study with `mammoroi bundle`",
            )
    return bundle
