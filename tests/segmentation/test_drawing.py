"""Networks draw as the last training says, in their study and elsewhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets.basic_unet import BasicUNet
from PIL import Image

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json
from mammoroi.segmentation.agreement import agree
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.drawing import note_drawing
from mammoroi.segmentation.export import export
from mammoroi.segmentation.learnt import learnt_settings
from mammoroi.segmentation.network import NetworkSpec
from mammoroi.segmentation.new_mammograms import segment_images
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.probability import probabilities
from mammoroi.segmentation.train import train
from mammoroi.segmentation.weights import Model

from .conftest import SPACING_MM, write_study

OF_A_TEST_PATIENT = "P00-L-CC"
CONFIG = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(8, 8, 8, 8, 8),
    epochs=24,
    batch_size=2,
    learning_rate=0.01,
    keep="last",
    threshold=0.3,
    overlays=0,
    bootstrap_samples=20,
    accelerator="cpu",
    workers=1,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = write_study(tmp_path_factory.mktemp("drawing") / "study", patients=8, test=2, folds=2)
    train(CONFIG, study)
    return study


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "study"))


def mask_of(folder: Path) -> np.ndarray:
    return np.asarray(Image.open(folder / f"{OF_A_TEST_PATIENT}.png"))


def drawn_elsewhere(networks: Path, study: Path) -> np.ndarray:
    """The mask that all networks draw of a mammogram that is new to them."""
    new = networks.parent / "new"
    assert not segment_images(networks, [study / f"{OF_A_TEST_PATIENT}.png"], new, SPACING_MM)
    return mask_of(new)


def test_another_threshold_is_noted_and_counts_everywhere(study: Path, tmp_path: Path) -> None:
    segment(CONFIG, study)
    before = mask_of(study / "masks" / "automatic")
    weights = [study / "segmentation" / f"fold-{fold}" / "model.safetensors" for fold in (0, 1)]
    stamps = [file.stat().st_mtime_ns for file in weights]
    lower = replace(CONFIG, threshold=0.1)
    with pytest.raises(MammoroiError, match=r"threshold 0.3, not 0.1 -> run mammoroi train"):
        segment(lower, study)
    train(lower, study)
    assert [file.stat().st_mtime_ns for file in weights] == stamps
    segment(lower, study)
    now = mask_of(study / "masks" / "automatic")
    assert 0 < np.count_nonzero(before) < np.count_nonzero(now)
    copied = tmp_path / "elsewhere" / "networks"
    shutil.copytree(study / "segmentation", copied, ignore=shutil.ignore_patterns("prepared"))
    assert np.array_equal(drawn_elsewhere(copied, study), now)


def test_what_is_learnt_goes_with_each_network(study: Path, tmp_path: Path) -> None:
    learning = replace(CONFIG, postprocessing="learnt")
    with pytest.raises(MammoroiError, match="postprocessing fixed, not learnt"):
        segment(learning, study)
    train(learning, study)
    segment(learning, study)
    folder = study / "segmentation"
    learnt = learnt_settings(folder, None)
    assert learnt["threshold"] != CONFIG.threshold
    networks = tmp_path / "elsewhere" / "networks"
    for fold in ("fold-0", "fold-1"):
        shutil.copytree(folder / fold, networks / fold)
        assert learnt.items() <= read_json(networks / fold / "model.json")["inference"].items()
    expected = mask_of(study / "masks" / "automatic")
    assert np.array_equal(drawn_elsewhere(networks, study), expected)
    export(networks / "fold-0", "torch-export", tmp_path / "out")
    assert read_json(tmp_path / "out" / "preparation.json")["threshold"] == learnt["threshold"]
    (folder / "postprocessing.json").unlink()
    with pytest.raises(MammoroiError, match=f"threshold {learnt['threshold']}, not 0.3"):
        segment(learning, study)
    # And back.
    train(CONFIG, study)
    assert read_json(folder / "fold-0" / "model.json")["inference"]["threshold"] == 0.3
    segment(CONFIG, study)


def test_networks_that_find_nothing_say_so(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    nothing = replace(CONFIG, threshold=0.9999)
    train(nothing, study)
    segment(nothing, study)
    assert "in 16 of 16 mammograms the networks found nothing: train longer" in caplog.text
    caplog.set_level("INFO")
    agree(nothing, study)
    assert "automatic-manual: mean Dice 0.00 (0.00 to 0.00) of 16 images" in caplog.text


def test_cards_that_say_it_are_left_alone(study: Path) -> None:
    card = study / "segmentation" / "fold-0" / "model.json"
    stamp = card.stat().st_mtime_ns
    note_drawing(CONFIG, study / "segmentation")
    assert card.stat().st_mtime_ns == stamp


class Seen(torch.nn.Module):
    """A network that notes its input's size and how far the image in it reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        reach = images[0, 0].nonzero().max(dim=0).values + 1
        self.sizes.append((*images.shape[2:], *reach.tolist()))
        return images


def test_enlarged_images_keep_their_shape_and_the_canvas_of_the_training() -> None:
    network = Seen()
    model = Model(
        network, NetworkSpec("unet", (4,) * 5, "resnet18"), {"plan": {"canvas": [64, 48]}}
    )
    inference = {"test_time_augmentation": False, "test_time_scales": (1.0, 2.0, 0.82)}
    array = np.ones((40, 20), np.float16)
    members = probabilities(model, array, inference, torch.device("cpu"))
    # Rows and columns of the input, and of the image in its corner: as large as the canvas or more.
    assert network.sizes == [(64, 48, 40, 20), (80, 48, 80, 40), (64, 48, 33, 16)]
    assert [member.shape for member in members] == [(40, 20)] * 3


def test_what_is_said_of_the_upside_down_image_is_turned_back() -> None:
    """A network that says of every pixel what it sees there says so whichever way it looks."""
    spec = NetworkSpec("unet", (4, 4, 8, 8, 8), "resnet18")
    model = Model(torch.nn.Identity(), spec, {"plan": {"canvas": [64, 32]}})
    array = np.random.default_rng(4).random((60, 30)).astype(np.float16)
    for scales in ((1.0,), (1.0, 2.0)):
        given = {"test_time_scales": scales, "test_time_augmentation": True}
        members = probabilities(model, array, given, torch.device("cpu"))
        assert len(members) == 2 * len(scales)
        for upright, turned_back in zip(members[::2], members[1::2], strict=True):
            np.testing.assert_allclose(turned_back, upright, atol=1e-5)
        np.testing.assert_allclose(members[0], 1 / (1 + np.exp(-array.astype(float))), atol=1e-3)


def test_a_device_whose_memory_is_full_says_what_to_do(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, called = BasicUNet.forward, []

    def starved(self: BasicUNet, image: torch.Tensor) -> torch.Tensor:
        called.append(image.shape)
        if len(called) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")
        return forward(self, image)

    monkeypatch.setattr(BasicUNet, "forward", starved)
    segment(CONFIG, study)
    (failure,) = read_csv(study / "masks" / "failures.csv").to_dict("records")
    assert failure["error"].startswith("the device's memory is not enough for an array of")
    assert "segmentation.accelerator cpu" in failure["action"]

    def full(self: BasicUNet, *_: Any) -> BasicUNet:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")

    monkeypatch.setattr(BasicUNet, "to", full)
    with pytest.raises(MammoroiError, match=r"not enough for 2 networks -> .*nvidia-smi"):
        segment(CONFIG, study)
