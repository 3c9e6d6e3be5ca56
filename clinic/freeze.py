"""From a finished study to the members of a bundle: equal studies give equal bytes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ..cohort.split import load_splits
from ..errors import MammoroiError
from ..files import atomic, read_json
from ..segmentation.drawing import load_to_draw
from ..segmentation.outline import load_outline
from ..segmentation.uncertainty import load_flag
from ..segmentation.weights import load_models, network_folders
from ..stages import refuse_outdated
from .archive import MANIFEST, as_json, check_members, pack, packed_again
from .bundle_card import bundle_card
from .class_risks import study_classes
from .intervals import study_spread
from .ranges import study_ranges
from .tested import study_test

log = logging.getLogger(__name__)

_READ = ("train", "agree", "extract", "model")
"""Stages whose files go into a bundle."""
SOURCE = "automatic"
"""New mammograms come without manual masks."""
PHANTOMS = (
    "This model was trained on phantoms only. It is for trying out the software: its results on "
    "real mammograms are not to be relied on."
)


def write_bundle(study: Path, out: Path, name: str | None = None) -> Path:
    """Write the bundle of a finished study, or pack an unpacked one again.

    Parameters
    ----------
    study : Path
        A study folder whose networks are trained; classifiers are taken along where there are
        any for automatic masks. Or the folder of an unpacked bundle.
    out : Path
        The file to write, such as ``model.mroi``.
    name : str, optional
        What the bundle of a study is called; the cohort's name without it.

    Raises
    ------
    MammoroiError
        When it is no study folder, has no trained network, is of manual masks alone, or its files
        contradict each other, or when another name is given to a bundle.
    """
    from .archive import read_folder

    if (study / MANIFEST).is_file():
        if name is not None:
            raise MammoroiError(
                f"{study} is a bundle that has its name", "leave --name out, or name a study"
            )
        members = read_folder(study)
    elif (study / "config.json").is_file():
        members = freeze(study, name)
    else:
        raise MammoroiError(f"{study} is no study folder", "name the folder that a study wrote")
    with atomic(out) as temporary:
        temporary.write_bytes(packed_again(members))
    return out


def freeze(study: Path, name: str | None = None) -> dict[str, bytes]:
    """Give the members of a study's bundle, the manifest included.

    Raises
    ------
    MammoroiError
        As :func:`write_bundle`.
    """
    _refuse_manual(study)
    refuse_outdated(study, _READ, between=("segment",))
    _refuse_missing_folds(study)
    members = dict(_networks(study))
    targets = [
        target
        for target in _targets(study)
        if (study / "models" / target["target"] / SOURCE / "model.json").exists()
    ]
    abouts = []
    for target in targets:
        folder = study / "models" / target["target"] / SOURCE
        about = read_json(folder / "model.json")
        about["preset"] = _plain_name(about["preset"])
        place = f"classifiers/{target['target']}"
        members[f"{place}/model.json"] = as_json(about)
        members[f"{place}/model.skops"] = (folder / "model.skops").read_bytes()
        abouts.append((folder, about))
    preset = None
    if targets:
        preset, members["preset.yaml"] = _preset(study, abouts[0][1]["settings_sha256"])
    names = {
        feature["name"].rpartition("@")[0] or feature["name"]
        for _, about in abouts
        for feature in about["features"]
    }
    members["ranges.json"] = as_json(study_ranges(study, names))
    facts = _about(study, name, abouts, preset)
    members["bundle.json"] = as_json(facts)
    members["card.md"] = bundle_card(study, facts).encode()
    manifest = pack(members)
    return _with_manifest(manifest, members)


def _refuse_manual(study: Path) -> None:
    """Refuse a study of manual masks alone: new mammograms have none."""
    if read_json(study / "config.json").get("masks") == "manual":
        raise MammoroiError(
            f"{study} is a study of manual masks alone: no network draws in new mammograms",
            "run `mammoroi study CONFIG --masks both` first",
        )


def _refuse_missing_folds(study: Path) -> None:
    """Refuse a study that lacks the networks of some of its folds."""
    if not (study / "splits.json").exists():
        return
    folds = range(len(load_splits(study).folds))
    there = {name.fold for name in network_folders(study / "segmentation")}
    if there and (missing := [str(fold) for fold in folds if fold not in there]):
        raise MammoroiError(
            f"{study} lacks the networks of fold {', '.join(missing)}",
            "run `mammoroi train CONFIG`",
        )


def _with_manifest(packed: bytes, members: dict[str, bytes]) -> dict[str, bytes]:
    """Add the manifest that an archive of the members has."""
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        whole = {MANIFEST: archive.read(MANIFEST), **members}
    check_members(Path("the bundle"), whole)
    return whole


def _networks(study: Path) -> Iterator[tuple[str, bytes]]:
    """The networks of all folds, of both stages; equal ones once, since their mean is the same."""
    seen: set[tuple[str, ...]] = set()
    folder = study / "segmentation"
    models = load_to_draw(folder)
    stages = {"": dict(zip(network_folders(folder).values(), models, strict=True))}
    outline = load_outline(folder, len(models))
    if outline is not None:
        second = network_folders(folder / "outline").values()
        stages["outline/"] = dict(zip(second, outline.models, strict=True))
        yield "outline/outline.json", (folder / "outline" / "outline.json").read_bytes()
    for together in zip(*(places.items() for places in stages.values()), strict=True):
        key = tuple(model.sha256 for _, model in together)
        if key in seen:
            continue
        for stage, (place, model) in zip(stages, together, strict=True):
            weights = (place / "model.safetensors").read_bytes()
            if hashlib.sha256(weights).hexdigest() != model.sha256:
                raise MammoroiError(f"{place} changed while it was read", "try again")
            member = f"{stage}fold-{len(seen)}"
            yield f"{member}/model.safetensors", weights
            yield f"{member}/model.json", as_json(model.card)
        seen.add(key)


def _targets(study: Path) -> list[dict[str, Any]]:
    path = study / "models" / "targets.json"
    rows = read_json(path) if path.exists() else []
    return [row for row in rows if SOURCE in row["rois"]]


def _preset(study: Path, expected: str) -> tuple[str, bytes]:
    """The preset's name and YAML, from how the features say they were made."""
    import tempfile

    from ..radiomics.presets import load_preset

    made = read_json(study / "features" / f"{SOURCE}.json")
    preparation = made.get("preparation")
    if preparation:
        preparation = {key: value for key, value in preparation.items() if value}
        if (preparation.get("normalise") or {}).get("method") == "z-score":
            preparation["normalise"].pop("percentiles", None)
    content = {
        "description": made.get("description"),
        "setting": made["settings"],
        "imageType": made["image_types"],
        "featureClass": made["feature_classes"],
        "slice_thickness_mm": made.get("slice_thickness_mm"),
        "preparation": preparation,
    }
    kept = {key: value for key, value in content.items() if value is not None}
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    with tempfile.TemporaryDirectory(prefix="mammoroi-") as place:
        path = Path(place) / "preset.yaml"
        path.write_text(text, encoding="utf-8")
        found = load_preset(str(path)).sha256
    if found != expected:
        raise MammoroiError(
            f"{study}: the classifiers were fitted to features of other settings than those of "
            f"features/{SOURCE}.json",
            "run `mammoroi study CONFIG` again, which fits them anew",
        )
    return _plain_name(made["preset"]), text.encode()


def _about(
    study: Path, name: str | None, abouts: list[tuple[Path, dict[str, Any]]], preset: str | None
) -> dict[str, Any]:
    """The content of ``bundle.json``."""
    from ..cohort.cohort import load_about
    from ..cohort.split import load_splits

    cohort, splits = load_about(study), load_splits(study)
    cards = [model.card for model in load_models(study / "segmentation")]
    notices = list(dict.fromkeys(card["notice"] for card in cards if card.get("notice")))
    if cohort["synthetic"] and not notices:
        notices.append(PHANTOMS)
    run = study / "run.json"
    harmonised = [about for _, about in abouts if about.get("harmonisation")]
    return {
        "name": name or str(cohort["name"]),
        "notices": notices,
        "study": {
            "cohort": str(cohort["name"]),
            "synthetic": bool(cohort["synthetic"]),
            "training_patients": len(splits.train),
            "test_patients": len(splits.test),
        },
        "preset": preset,
        "classifiers": [
            {
                "target": about["target"],
                "interval": study_spread(folder, about),
                "test": study_test(folder),
            }
            for folder, about in abouts
        ],
        "classes": study_classes(study, SOURCE),
        "uncertainty": load_flag(study),
        "harmonise_by": harmonised[0]["settings"]["harmonise_by"] if harmonised else None,
        "versions": read_json(run).get("versions", {}) if run.exists() else {},
    }


def _plain_name(preset: str) -> str:
    """A preset's name; of a file's path the file's name, since folders are nobody's business."""
    return Path(preset).name if "/" in preset or "\\" in preset else preset
