"""An exported network draws what the network draws."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, special
from skimage.filters import threshold_otsu
from skimage.morphology import disk

from mammoroi.cohort.phantom import Findings, Phantom, draw_anatomy, draw_view
from mammoroi.cohort.phantom_dicom import ImageName, write_phantom_dicom
from mammoroi.cohort.texture import LesionTexture
from mammoroi.errors import MammoroiError
from mammoroi.files import read_json, write_json
from mammoroi.imaging.breast import breast_region
from mammoroi.imaging.read import read_mammogram
from mammoroi.segmentation import export as exporting
from mammoroi.segmentation import export_bundle
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.export import export
from mammoroi.segmentation.mapping import bounding_box
from mammoroi.segmentation.network import NetworkSpec, build_network
from mammoroi.segmentation.new_mammograms import segment_images
from mammoroi.segmentation.prepare import working_array
from mammoroi.segmentation.probability import probabilities
from mammoroi.segmentation.weights import demonstration_model, load_model, load_models, save_model

TINY = NetworkSpec("unet", (4, 4, 4, 8, 8), "resnet18")
DYNUNET = NetworkSpec("dynunet", (4, 4, 4, 8, 8), "resnet18")
SMP = NetworkSpec("smp-unet", (8, 8, 8, 8, 8), "resnet18")


def _drawn(model, array):
    """Draw the probability map as the package itself does."""
    plain = {"test_time_augmentation": False}
    (member,) = probabilities(model, array, plain, torch.device("cpu"))
    return member


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    """A prepared image of no convenient size."""
    return np.random.default_rng(3).random((150, 77)).astype(np.float16)


@cache
def draw_phantom() -> Phantom:
    """A left CC view at 0.5 mm."""
    findings = Findings("scattered", 22.0, True, False, True, False, False, False)
    anatomy = draw_anatomy(findings, np.random.default_rng(3))
    seed = np.random.SeedSequence(3)
    return draw_view("CC", "L", anatomy, findings, LesionTexture(0.5, 0, 0.2), 0.5, seed)


def save(folder: Path, spec: NetworkSpec, fold: int) -> None:
    torch.manual_seed(fold)
    network = build_network(spec)
    card = {
        "fold": fold,
        "network": spec.to_json(),
        "plan": {"working_spacing_mm": 1.0, "canvas": [64, 64]},
        "inference": SegmentationConfig().inference(),
        "metrics": {},
    }
    target = folder / f"fold-{fold}"
    target.mkdir(parents=True)
    save_model(target, network.state_dict(), card)


def padded(array: np.ndarray, rows: int, columns: int) -> torch.Tensor:
    image = torch.zeros(1, 1, rows, columns)
    image[0, 0, : array.shape[0], : array.shape[1]] = torch.from_numpy(array.astype(np.float32))
    return image


@pytest.mark.parametrize(
    "spec", [TINY, DYNUNET, pytest.param(SMP, marks=pytest.mark.slow)], ids=str
)
def test_program_of_torch_holds_the_mean_of_two_networks(
    spec: NetworkSpec, tmp_path: Path, array: np.ndarray
) -> None:
    for fold in range(2):
        save(tmp_path / "models", spec, fold)
    out = export(tmp_path / "models", "torch-export", tmp_path / "out")
    program = torch.export.load(out / "model.pt2").module()
    models = load_models(tmp_path / "models")
    expected = np.mean([_drawn(model, array) for model in models], axis=0)
    # Instance norm sees the padding: it must be the one that preparation.json asks for.
    sides = [-(-side // spec.multiple) * spec.multiple for side in array.shape]
    drawn = program(padded(array, *sides))[0, 0, :150, :77].detach().numpy()
    np.testing.assert_allclose(drawn, expected, atol=1e-4)
    assert [card["fold"] for card in read_json(out / "models.json")] == [0, 1]


with_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the extra `export` is not installed",
)


@with_onnx
@pytest.mark.slow
def test_onnx_holds_dynunet(tmp_path: Path) -> None:
    save(tmp_path / "models", DYNUNET, 0)
    out = export(tmp_path / "models", "onnx", tmp_path / "out")  # which compares them at two sizes
    assert read_json(out / "preparation.json")["largest_difference"] < 1e-4


@with_onnx
def test_onnx_draws_the_same_at_any_size(tmp_path: Path, array: np.ndarray) -> None:
    import onnxruntime

    out = export(demonstration_model(), "onnx", tmp_path)
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    (model,) = load_models(demonstration_model())
    expected = _drawn(model, array)
    (drawn,) = session.run(None, {"image": padded(array, 208, 112).numpy()})
    np.testing.assert_allclose(drawn[0, 0, :150, :77], expected, atol=1e-4)
    about = read_json(out / "preparation.json")
    assert about["largest_difference"] < 1e-4
    assert about["working_spacing_mm"] == 1.0
    assert "phantoms" in about["notice"]


def test_bundle_runs_in_monai(
    tmp_path: Path, array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monai.bundle import run
    from monai.bundle.scripts import verify_net_in_out

    out = export(demonstration_model() / "fold-0", "monai-bundle", tmp_path)
    monkeypatch.chdir(out)
    np.save("prepared.npy", array)
    files = {"meta_file": "configs/metadata.json", "config_file": "configs/inference.json"}
    verify_net_in_out("network_def", **files, device="cpu", n=2)
    run(**files, device="cpu", image="prepared.npy", probability="drawn.npy")
    model = load_model(demonstration_model() / "fold-0")
    expected = _drawn(model, array)
    np.testing.assert_allclose(np.load("drawn.npy"), expected, atol=1e-4)


def test_the_command_that_is_told_runs_as_it_is_told(tmp_path: Path, array: np.ndarray) -> None:
    pytest.importorskip("fire", reason="the extra `export` is not installed")
    lines = (export_bundle.__doc__ or "").splitlines()
    told = "\n".join(line.strip() for line in lines if line.startswith("    "))
    assert "python -m monai.bundle run" in told
    out = export(demonstration_model() / "fold-0", "monai-bundle", tmp_path / "BUNDLE")
    np.save(out / "prepared.npy", array)
    python = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", told], cwd=tmp_path, env=environment, check=True)
    expected = _drawn(load_model(demonstration_model() / "fold-0"), array)
    np.testing.assert_allclose(np.load(out / "probability.npy"), expected, atol=1e-4)


def test_a_bundle_of_dynunet_runs_in_monai(
    tmp_path: Path, array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monai.bundle import run

    save(tmp_path / "models", DYNUNET, 0)
    out = export(tmp_path / "models", "monai-bundle", tmp_path / "out")
    definition = read_json(out / "configs" / "inference.json")["network_def"]
    assert definition["_target_"] == "DynUNet"
    monkeypatch.chdir(out)
    np.save("prepared.npy", array)
    files = {"meta_file": "configs/metadata.json", "config_file": "configs/inference.json"}
    run(**files, device="cpu", image="prepared.npy", probability="drawn.npy")
    expected = _drawn(load_model(tmp_path / "models" / "fold-0"), array)
    np.testing.assert_allclose(np.load("drawn.npy"), expected, atol=1e-4)


@with_onnx
def test_the_pages_examples_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a folder with the exports that the page makes, on a DICOM mammogram."""
    from monai.bundle import run

    monkeypatch.chdir(tmp_path)
    phantom = draw_phantom()
    about = ImageName("image", "P1", "CC", "L", 1, 50)
    write_phantom_dicom(tmp_path / "mammogram.dcm", phantom.pixels, about, 0.5, 3)
    model = demonstration_model()
    export(model, "onnx", tmp_path / "onnx")
    export(model, "torch-export", tmp_path / "torch")
    export(model / "fold-0", "monai-bundle", tmp_path / "monai")
    mammogram = read_mammogram(tmp_path / "mammogram.dcm")
    array, mapping, _ = working_array(mammogram, 1.0)
    expected = _drawn(load_model(model / "fold-0"), array)
    page = Path(__file__).parents[2] / "docs" / "export.md"
    examples = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 4
    for example in examples[:3]:
        names: dict[str, Any] = {}
        exec(example, names)
        np.testing.assert_allclose(names["probability"], expected, atol=1e-4)
        assert names["mask"].shape == mammogram.pixels.shape
        assert np.array_equal(names["mask"], mapping.to_original(names["probability"]) >= 0.5)
        assert 2 * (names["mask"] & phantom.lesion).sum() > phantom.lesion.sum()
    exec(examples[3], {})
    monkeypatch.chdir(tmp_path / "monai")
    files = {"meta_file": "configs/metadata.json", "config_file": "configs/inference.json"}
    run(**files, device="cpu", image="prepared.npy")
    drawn = np.load("probability.npy")[: array.shape[0], : array.shape[1]]
    np.testing.assert_allclose(drawn, expected, atol=1e-4)


EIGHT = np.ones((3, 3))
"""Neighbours by edge or corner."""

AFTER = [
    "remove the padding",
    "do the same upside down: reverse the rows of the array before its padding, pad that and run "
    "it, remove the padding, reverse the rows of the result; take the mean of both",
    "do all of that with the array before its padding enlarged by 1 and 1.25 (sides rounded), "
    "padded after it; resample each result to the size from before; take the mean of all",
    "calibrate the probability: its logit times 0.9 plus 0.25 is the new logit; what was below "
    "1/510 becomes 0",
    "resample to the breast's box on the mammogram's own grid, undo the mirroring",
    "the lesion is where the probability is 0.3 or more",
    "of it, drop what lies in no region of probability 0.1 or more (neighbours by edge or corner) "
    "whose mean probability is above 0.25",
    "drop regions (neighbours by edge or corner) below 4 mm2; of the others keep the 2 with the "
    "largest summed probability (0: all)",
]


def resampled(array: np.ndarray, rows: int, columns: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(array, np.float32))
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))


def breast_by(breast: dict[str, Any], pixels: np.ndarray) -> np.ndarray:
    """Find the breast with the numbers of `breast` alone."""
    scale = breast["longer_side_of_small_copy"] / max(pixels.shape)
    assert scale < 1
    size = [round(side * scale) for side in pixels.shape[::-1]]
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX), float)
    small = ndimage.gaussian_filter(small, breast["gaussian_sigma"])
    low, high = small.min(), np.percentile(small, breast["clipped_above_percentile"])
    small = np.sqrt(np.clip(small - low, 0, high - low))
    otsu = threshold_otsu(small)
    background = np.median(small[small <= otsu])
    cut = background + breast["cut_between_background_median_and_threshold"] * (otsu - background)
    parted = ndimage.binary_opening(small > cut, disk(breast["opening_disk_radius"]))
    labels, _ = ndimage.label(parted)
    found = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    radius = breast["closing_disk_radius"]
    wider = ndimage.binary_closing(np.pad(found, radius, mode="edge"), disk(radius))
    filled = ndimage.binary_fill_holes(wider)[radius:-radius, radius:-radius]
    return resampled(filled.astype(float), *pixels.shape) >= 0.5


def array_by(about: dict[str, Any], pixels: np.ndarray, spacing: float) -> tuple[Any, ...]:
    """Do `before` but the padding; give the array, the box and whether it is mirrored."""
    breast = breast_by(about["breast"], pixels)
    box = bounding_box(breast)
    assert box is not None
    place = np.s_[box[0] : box[1], box[2] : box[3]]
    inside, values = breast[place], pixels[place]
    quarter = inside.shape[1] // 4
    mirrored = inside[:, -quarter:].sum() > inside[:, :quarter].sum()
    sides = [round(side * spacing / about["working_spacing_mm"]) for side in inside.shape]
    low, high = np.percentile(pixels[breast], about["percentiles"])
    array = resampled(values[:, ::-1] if mirrored else values, *sides)
    return np.clip((array - low) / (high - low), 0, 1), place, mirrored


def mask_by(about: dict[str, Any], pixels: np.ndarray, spacing: float, run: Any) -> np.ndarray:
    """Do `before` and `after` step by step, as :data:`AFTER` says it, with a network's file."""
    array, place, mirrored = array_by(about, pixels, spacing)
    multiple = about["input"]["rows_and_columns_are_multiples_of"]

    def shown(image: np.ndarray) -> np.ndarray:
        sides = [-(-side // multiple) * multiple for side in image.shape]
        rows, columns = map(max, sides, about["canvas"])
        return run(padded(image, rows, columns))[0, 0, : image.shape[0], : image.shape[1]]

    views = []
    for factor in (1, 1.25):
        image = resampled(array, *(round(factor * side) for side in array.shape))
        both = (shown(image) + shown(image[::-1])[::-1]) / 2
        views.append(resampled(both, *array.shape))
    mean = np.mean(views, axis=0)
    new = special.expit(special.logit(mean) * 0.9 + 0.25)
    new[mean < 1 / 510] = 0
    box = resampled(new, place[0].stop - place[0].start, place[1].stop - place[1].start)
    whole = np.zeros(pixels.shape)
    whole[place] = box[:, ::-1] if mirrored else box
    lesion = whole >= 0.3
    faint, count = ndimage.label(whole >= 0.1, EIGHT)
    for number in range(1, count + 1):
        if whole[faint == number].mean() <= 0.25:
            lesion[faint == number] = False
    regions, count = ndimage.label(lesion, EIGHT)
    sums = {
        number: whole[regions == number].sum()
        for number in range(1, count + 1)
        if (regions == number).sum() * spacing**2 >= 4
    }
    return np.isin(regions, sorted(sums, key=lambda number: -sums[number])[:2])


def test_who_follows_preparation_step_by_step_draws_what_segment_draws(tmp_path: Path) -> None:
    """With its words and numbers alone: the breast's box, the array and the mask are the same."""
    shutil.copytree(demonstration_model(), tmp_path / "model")
    card = tmp_path / "model" / "fold-0" / "model.json"
    drawing = {
        "threshold": 0.3,
        "max_components": 2,
        "test_time_scales": [1.0, 1.25],
        "calibration": {"slope": 0.9, "intercept": 0.25},
        "minimum_score": 0.25,
    }
    content = read_json(card)
    write_json(card, content | {"inference": content["inference"] | drawing})
    out = export(tmp_path / "model", "torch-export", tmp_path / "out")
    about = read_json(out / "preparation.json")
    assert about["after"] == AFTER
    assert (about["input"]["rows_at_least"], about["input"]["columns_at_least"]) == (208, 112)
    network = torch.export.load(out / "model.pt2").module()
    name = ImageName("image", "P1", "CC", "L", 1, 50)
    write_phantom_dicom(tmp_path / "image.dcm", draw_phantom().pixels, name, 0.5, 3)
    mammogram = read_mammogram(tmp_path / "image.dcm")
    pixels = mammogram.pixels.astype(np.float32)
    assert np.array_equal(breast_by(about["breast"], pixels), breast_region(pixels))
    array, mapping, _ = working_array(mammogram, 1.0)
    own, place, mirrored = array_by(about, pixels, 0.5)
    assert (place, mirrored) == (mapping.box, mapping.mirrored)
    np.testing.assert_allclose(own, array, atol=1e-3)

    def run(image: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return network(image).numpy()

    assert not segment_images(tmp_path / "model", [tmp_path / "image.dcm"], tmp_path / "new")
    expected = np.asarray(Image.open(tmp_path / "new" / "image.png")) > 0
    drawn = mask_by(about, pixels, 0.5, run)
    assert expected.any()
    assert 2 * (drawn & expected).sum() > 0.999 * (drawn.sum() + expected.sum())


def test_a_folder_holds_one_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fold in range(2):
        save(tmp_path / "models", TINY, fold)
    out = export(tmp_path / "models", "torch-export", tmp_path / "out")
    before = read_json(out / "models.json")
    for other, to in (("models/fold-1", "torch-export"), ("models/fold-1", "monai-bundle")):
        with pytest.raises(MammoroiError, match=r"out holds results of another run .*another fold"):
            export(tmp_path / other, to, out)
    assert read_json(out / "models.json") == before
    assert (out / "model.pt2").exists()
    export(tmp_path / "models", "torch-export", out)
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    for to in ("torch-export", "monai-bundle"):
        with pytest.raises(MammoroiError, match="nothing was exported"):
            export(tmp_path / "models" / "fold-0", to, tmp_path / to)
        files = [path.name for path in (tmp_path / to).rglob("*") if path.is_file()]
        assert files == ["inputs.json"]


def test_what_a_bundle_cannot_hold_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "models", SMP, 0)
    with pytest.raises(MammoroiError, match="BasicUNet"):
        export(tmp_path / "models", "monai-bundle", tmp_path / "out")
    save(tmp_path / "models", SMP, 1)
    with pytest.raises(MammoroiError, match="name the folder of one"):
        export(tmp_path / "models", "monai-bundle", tmp_path / "out")


def test_an_unknown_format_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(MammoroiError, match=r"^--to is 'onx' -> did you mean 'onnx'\?"):
        export(demonstration_model(), "onx", tmp_path)


def test_a_missing_package_names_the_extra(tmp_path: Path, without: Callable[..., None]) -> None:
    without("onnx")
    with pytest.raises(MammoroiError, match=r"mammoroi\[export\]"):
        export(demonstration_model(), "onnx", tmp_path)
