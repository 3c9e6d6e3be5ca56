"""A study of two stages goes into a bundle as it is, and the bundle draws the same masks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load, save

from mammoroi.cli import main
from mammoroi.clinic.archive import MANIFEST, pack, unpack
from mammoroi.clinic.bundle import Bundle, open_bundle
from mammoroi.clinic.freeze import write_bundle
from mammoroi.clinic.infer import infer
from mammoroi.cohort.cohort import load_cohort
from mammoroi.errors import MammoroiError
from mammoroi.files import read_json, sha256_file, write_json
from mammoroi.segmentation.new_mammograms import segment_images


@pytest.fixture(scope="module")
def staged(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study with a second stage: the shipped network at finer pixels, differing by fold."""
    folder = Path(shutil.copytree(study, tmp_path_factory.mktemp("staged") / "study"))
    outline = folder / "segmentation" / "outline"
    for fold in (0, 1):
        place = outline / f"fold-{fold}"
        shutil.copytree(folder / "segmentation" / f"fold-{fold}", place)
        weights = place / "model.safetensors"
        tensors = {name: tensor.copy() for name, tensor in load(weights.read_bytes()).items()}
        tensors["final_conv.bias"] += 0.5 * (1 - fold)
        weights.write_bytes(save(tensors))
        card = read_json(place / "model.json")
        card |= {"fold": fold, "sha256": sha256_file(weights)}
        card["plan"]["working_spacing_mm"] = 0.5
        write_json(place / "model.json", card)
    write_json(outline / "outline.json", {"working_spacing_mm": 0.5, "patch": [96, 80]})
    return folder


@pytest.fixture(scope="module")
def staged_model(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(staged, tmp_path_factory.mktemp("bundle") / "model.mroi")


@pytest.fixture(scope="module")
def staged_bundle(staged_model: Path) -> Bundle:
    return open_bundle(staged_model)


def test_it_holds_both_stages(staged: Path, staged_model: Path, staged_bundle: Bundle) -> None:
    assert staged_bundle.outline is not None
    assert staged_bundle.outline.patch == (96, 80)
    assert staged_bundle.outline.working_spacing_mm == 0.5
    # Those of the first stage are equal, but not the pairs.
    assert len(staged_bundle.networks) == len(staged_bundle.outline.models) == 2
    written = [staged / "segmentation" / "outline" / f"fold-{fold}/model.json" for fold in (0, 1)]
    digests = [model.sha256 for model in staged_bundle.outline.models]
    assert digests == [read_json(file)["sha256"] for file in written]
    assert open_bundle(staged).sha256 == staged_bundle.sha256


def test_it_draws_what_the_study_draws(
    staged: Path, staged_bundle: Bundle, bundle: Bundle, tmp_path: Path
) -> None:
    cohort = load_cohort(staged)
    images = [cohort.path(image) for image in cohort.images["image"][:3]]
    assert not segment_images(staged / "segmentation", images, tmp_path)
    patients, failures = infer(images, staged_bundle)
    assert not failures
    drawn = [image for patient in patients for image in patient.images]
    assert len(drawn) == 3
    one_stage, _ = infer(images, bundle)
    plain = [image.mask for patient in one_stage for image in patient.images]
    for image in drawn:
        mask = np.asarray(Image.open(tmp_path / f"{image.image_id}.png")) > 0
        assert np.array_equal(image.mask, mask)
    assert any(not np.array_equal(image.mask, one) for image, one in zip(drawn, plain, strict=True))


def test_the_cards_of_both_stages_are_shown(
    staged_model: Path, staged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "inspect", str(staged_model)]) == 0
    assert "2 networks at 0.5 mm, windows of 96 x 80" in capsys.readouterr().out
    cohort = load_cohort(staged)
    image = str(cohort.path(cohort.images["image"][0]))
    out = tmp_path / "out"
    assert main(["infer", image, "--out", str(out), "--model", str(staged_model)]) == 0
    assert len(read_json(out / "masks" / "models.json")) == 4


def test_a_bundle_that_lacks_a_network_of_the_second_stage_is_refused(
    staged_model: Path, tmp_path: Path
) -> None:
    members = unpack(staged_model)
    lacking = {name: members[name] for name in members if "outline/fold-1" not in name}
    lacking.pop(MANIFEST)
    (tmp_path / "lacking.mroi").write_bytes(pack(lacking))
    with pytest.raises(MammoroiError, match=r"lacking.mroi/outline holds 1 networks for the 2"):
        open_bundle(tmp_path / "lacking.mroi")
