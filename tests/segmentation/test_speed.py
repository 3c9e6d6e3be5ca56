"""What makes a training fast must not change what it learns."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json
from mammoroi.segmentation import compiling, gpus, search, store, trainer
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.data import PreparedImages
from mammoroi.segmentation.device_augmentation import (
    Windows,
    augment_batch,
    blurred,
    coarsened,
    for_host,
    on_device,
)
from mammoroi.segmentation.draws import (
    BEND_SPACING,
    CURVE_POINTS,
    KINDS,
    affine_matrix,
    draw_changes,
    grey_curve,
    window_size,
)
from mammoroi.segmentation.fit import images_of
from mammoroi.segmentation.gpus import VISIBLE, claim_gpu, gpus_for_folds
from mammoroi.segmentation.mixing import LesionMixing
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.side_by_side import side_by_side
from mammoroi.segmentation.store import ArrayStore, window
from mammoroi.segmentation.train import FoldJob, fold_job, make_plan, train_fold, train_prepared
from mammoroi.segmentation.weights import load_model, load_models

from .conftest import power_cut

TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    epochs=4,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    workers=1,
)
ON_DEVICE = replace(
    TINY, augment_on="device", augmentation="strong", lesion_mixing=0.5, patch=(32, 16)
)
IDS = ["P02-L-CC", "P03-R-MLO", "P04-L-CC"]
CANVAS = (64, 32)


def first_fold(study: Path, config: SegmentationConfig) -> tuple[Path, FoldJob, dict]:
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    return folder, fold_job(config, load_splits(study), 0, index), make_plan(config, index)


def run_fold(study: Path, config: SegmentationConfig) -> Path:
    return train_fold(config, *first_fold(study, config))


def identity(images: int) -> torch.Tensor:
    return torch.from_numpy(affine_matrix(False, 0, (1, 1), (0, 0))).repeat(images, 1, 1)


def test_arrays_on_the_disk_are_those_in_memory(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepare(TINY, study)
    held = PreparedImages(folder, IDS, CANVAS)
    monkeypatch.setattr(store, "fits", lambda _: False)
    mapped = PreparedImages(folder, IDS, CANVAS)
    assert held.arrays.in_memory
    assert not mapped.arrays.in_memory
    for number in range(len(IDS)):
        for name in ("image", "mask"):
            assert held[(0, number)][name].equal(mapped[(0, number)][name])
            assert held[(0, number)][name].shape == (1, *CANVAS)


def test_arrays_stay_on_the_disk_where_they_would_fill_the_memory() -> None:
    assert store.fits(1000)
    assert not store.fits(10**15)


def test_a_window_shows_zeros_beyond_the_array(study: Path) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    whole, _ = arrays.arrays(0)
    shown = window(whole, -5, -3, 20, 10)
    assert np.array_equal(shown[0, 5:, 3:], whole[:15, :7])
    assert shown.shape == (1, 20, 10)
    assert not shown[:, :5].any()
    assert not shown[:, :, :3].any()
    assert not window(whole, 500, 0, 4, 4).any()


def test_an_array_larger_than_the_canvas_is_refused(study: Path) -> None:
    with pytest.raises(MammoroiError, match="larger than the canvas"):
        ArrayStore(prepare(TINY, study), IDS, (16, 16))


@pytest.mark.parametrize("flip", [False, True])
def test_the_batch_is_moved_as_monai_moves_an_image(flip: bool) -> None:
    from monai.transforms.intensity.array import AdjustContrast
    from monai.transforms.spatial.array import Affine

    image = torch.rand(1, 64, 48, generator=torch.manual_seed(1)).half()
    mask = image > 0.5
    batch = {
        "image": image[None],
        "mask": mask[None].to(torch.uint8),
        "affine": torch.from_numpy(affine_matrix(flip, 0.15, (1.1, 0.9), (3, -5), (0.1, 0.05)))[
            None
        ],
        "grey": torch.tensor([[1.2, 1.05, 0]]),
        "seed": 1,
    }
    moved = augment_batch(batch, (64, 48))
    for name, before, mode in (("image", image.float(), "bilinear"), ("mask", mask, "nearest")):
        move = Affine(
            rotate_params=0.15,
            shear_params=(0.1, 0.05),
            translate_params=(3, -5),
            scale_params=(1.1, 0.9),
            mode=mode,
            padding_mode="zeros",
        )
        expected, _ = move((before.flip(1) if flip else before).float())
        if name == "image":
            expected = AdjustContrast(1.2)(expected) * 1.05
        torch.testing.assert_close(
            moved[name][0], expected.as_subclass(torch.Tensor), atol=1e-4, rtol=0
        )


def test_an_unchanged_patch_is_the_middle_of_its_window() -> None:
    patch = (32, 16)
    rows, columns = window_size(patch, KINDS["strong"])
    image = torch.rand(2, 1, rows, columns).half()
    top, left = (rows - 32) // 2, (columns - 16) // 2
    middle = image[:, :, top : top + 32, left : left + 16].float()
    batch = {"image": image, "mask": (image > 0.5).to(torch.uint8), "affine": identity(2)}
    batch |= {"grey": torch.tensor([[1.0, 1, 0]] * 2), "seed": 0}
    local = {
        "bend": torch.zeros(2, 2, 3, 3),
        "curve": torch.from_numpy(grey_curve(None)).repeat(2, 1),
        "blur": torch.zeros(2, 2),
        "zoom": [1.0, 1.0],
    }
    for changes in ({}, local):
        out = augment_batch(batch | changes, patch)
        torch.testing.assert_close(out["image"], middle, atol=1e-4, rtol=0)
        assert out["mask"].equal((middle > 0.5).float())


@pytest.mark.parametrize("kind", ["full", "strong"])
def test_a_turned_patch_shows_what_lies_around_it(kind: str) -> None:
    patch, ranges = (64, 32), KINDS[kind]
    ones = torch.ones(1, 1, *window_size(patch, ranges))
    size, far = 1 + ranges.scale, ranges.shift_pixels
    for sign in (1, -1):
        matrix = affine_matrix(
            *(False, sign * ranges.turn_rad, (size, size), (sign * far, sign * far)),
            shear=(sign * ranges.shear, sign * ranges.shear),
        )
        batch = {"image": ones, "mask": ones, "affine": torch.from_numpy(matrix)[None]}
        out = augment_batch({**batch, "grey": torch.tensor([[1.0, 1, 0]]), "seed": 0}, patch)
        assert out["mask"].all()


def test_points_that_all_shift_alike_shift_the_image() -> None:
    image = torch.rand(1, 1, 64, 48)
    bend = torch.zeros(1, 2, 4, 3)
    bend[:, 0], bend[:, 1] = 2, -3  # rows, columns
    batch = {"image": image, "mask": image > 0.5, "affine": identity(1), "bend": bend, "seed": 0}
    batch |= {
        "grey": torch.tensor([[1.0, 1, 0]]),
        "curve": torch.from_numpy(grey_curve(None))[None],
        "blur": torch.zeros(1, 2),
        "zoom": [1.0],
    }
    out = augment_batch(batch, (64, 48))["image"]
    torch.testing.assert_close(out[..., :62, 3:], image[..., 2:, :45], atol=1e-3, rtol=0)
    assert BEND_SPACING * 4 >= 64 + BEND_SPACING


def test_images_are_blurred_and_coarsened_as_by_monai() -> None:
    from monai.transforms.intensity.array import GaussianSmooth
    from monai.transforms.spatial.array import Resize

    image = torch.rand(3, 1, 40, 30, generator=torch.manual_seed(1))
    blurry = blurred(image, torch.tensor([[0.6, 1.0], [0.0, 0.0], [0.9, 0.5]]))
    assert blurry[1].allclose(image[1], atol=1e-6)
    for number, sigma in ((0, (0.6, 1.0)), (2, (0.9, 0.5))):
        expected = GaussianSmooth(sigma, approx="erf")(image[number])
        torch.testing.assert_close(blurry[number], expected, atol=1e-3, rtol=0)
    coarse = coarsened(image, [1.0, 0.6, 1.0])
    assert coarse[0].equal(image[0])
    small = Resize((24, 18), mode="nearest")(image[1])
    expected = Resize((40, 30), mode="bilinear")(small).as_subclass(torch.Tensor)
    torch.testing.assert_close(coarse[1], expected, atol=1e-5, rtol=0)


def test_grey_curves_rise_and_are_read_between_their_points() -> None:
    curves = np.stack([grey_curve(np.random.default_rng(seed)) for seed in range(5)])
    assert (np.diff(curves) >= 0).all()
    assert (curves[:, 0] == 0).all()
    assert (curves[:, -1] == 1).all()
    image = torch.rand(5, 1, 20, 20) * 0.5 + 0.2
    batch = {"image": image, "mask": image > 0.5, "affine": identity(5), "seed": 0}
    batch |= {
        "bend": torch.zeros(5, 2, 3, 3),
        "grey": torch.tensor([[1.0, 1, 0]] * 5),
        "curve": torch.from_numpy(curves),
        "blur": torch.zeros(5, 2),
        "zoom": [1.0] * 5,
    }
    out = augment_batch(batch, (20, 20))["image"].numpy()
    line = np.linspace(0, 1, CURVE_POINTS)
    for before, after, curve in zip(image.numpy(), out, curves, strict=True):
        low, high = before.min(), before.max()
        expected = np.interp((before - low) / (high - low), line, curve) * (high - low) + low
        np.testing.assert_allclose(after, expected, atol=1e-4)


@pytest.mark.parametrize("kind", list(KINDS))
def test_changes_stay_within_their_ranges(kind: str) -> None:
    ranges, generator = KINDS[kind], np.random.default_rng(3)
    drawn = [draw_changes(generator, ranges, (96, 48)) for _ in range(300)]
    grey = np.stack([one["grey"] for one in drawn])
    assert ranges.gamma[0] <= grey[:, 0].min() <= grey[:, 0].max() <= ranges.gamma[1]
    assert abs(grey[:, 1] - 1).max() <= ranges.factor + 1e-6
    assert (grey[:, 0] != 1).mean() == pytest.approx(ranges.bent, abs=0.1)
    assert (grey[:, 2] > 0).mean() == pytest.approx(ranges.noise, abs=0.1)
    flipped = np.stack([one["affine"][0, 0] < 0 for one in drawn]).mean()
    assert flipped == pytest.approx(0.5, abs=0.1)
    if ranges.local:
        assert abs(np.stack([one["bend"] for one in drawn])).max() <= ranges.bend_pixels
        assert min(one["zoom"] for one in drawn) >= 0.5


def test_noise_has_the_drawn_size_and_the_seed_decides_it() -> None:
    flat = torch.full((2, 1, 64, 64), 0.5)
    batch = {"image": flat, "mask": flat.to(torch.uint8), "affine": identity(2)}
    batch["grey"] = torch.tensor([[1, 1, 0.02], [1, 1, 0]])
    one, two, other = (augment_batch({**batch, "seed": s}, (64, 64))["image"] for s in (7, 7, 8))
    assert one.equal(two)
    assert not one.equal(other)
    assert float(one[0].std()) == pytest.approx(0.02, rel=0.05)
    assert float(one[1].std()) < 1e-6


@pytest.mark.parametrize("patch", [None, (32, 16)])
def test_a_window_depends_on_seed_epoch_and_number_alone(
    study: Path, patch: tuple[int, int] | None
) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    one, other = (Windows(arrays, 5, "full", patch) for _ in range(2))
    other[(0, 0)]
    for name in ("image", "mask", "affine", "grey"):
        assert one[(3, 1)][name].equal(other[(3, 1)][name])
    assert one[(3, 1)]["seed"] == other[(3, 1)]["seed"]
    assert not one[(3, 1)]["affine"].equal(one[(4, 1)]["affine"])
    size = window_size(patch, KINDS["full"]) if patch else CANVAS
    assert one[(3, 1)]["image"].shape == (1, *size)


def test_lesions_of_others_are_mixed_in_before_the_crop(study: Path) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    plain = Windows(arrays, 5, "flips", None)
    mixed = Windows(arrays, 5, "flips", None, LesionMixing(1.0, 5))
    pairs = [(plain[(epoch, 0)]["mask"], mixed[(epoch, 0)]["mask"]) for epoch in range(10)]
    assert all(bool((after >= before).all()) for before, after in pairs)
    assert sum(int(after.sum() > before.sum()) for before, after in pairs) >= 3
    assert mixed[(0, 0)]["image"].dtype == plain[(0, 0)]["image"].dtype == torch.float16


def test_half_of_the_patches_are_drawn_around_a_lesion_pixel(study: Path) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    windows = Windows(arrays, 5, "flips", (16, 16))
    masks = torch.stack([windows[(epoch, 0)]["mask"] for epoch in range(200)])
    share = float(masks.flatten(1).any(1).float().mean())
    assert 0.5 <= share < 0.95


def test_the_device_is_taken_where_it_can() -> None:
    assert on_device(TINY, "gpu")
    assert not on_device(TINY, "cpu")
    assert not on_device(replace(TINY, augment_on="host"), "gpu")
    assert on_device(replace(TINY, augment_on="device"), "cpu")
    assert TINY.training() == replace(TINY, compile="auto", workers=3).training()
    assert TINY.training() != replace(TINY, augment_on="device").training()


def test_loader_processes_change_nothing(study: Path) -> None:
    folder = prepare(TINY, study)
    windows = Windows(ArrayStore(folder, IDS, CANVAS), 5, "strong", (32, 16))
    items = [(1, 0), (1, 2), (1, 1)]
    batches = [
        next(iter(torch.utils.data.DataLoader(windows, 3, sampler=items, num_workers=workers)))
        for workers in (0, 2)
    ]
    for name, values in batches[0].items():
        assert values.equal(batches[1][name]), name
    kept = for_host(batches[0])
    assert isinstance(kept["seed"], int)
    assert len(kept["zoom"]) == 3
    out = augment_batch(kept, (32, 16))
    assert out["image"].shape == out["mask"].shape == (3, 1, 32, 16)
    assert out["image"].isfinite().all()


def test_four_epochs_are_two_and_two_more_with_the_batch_augmented(study: Path) -> None:
    target = run_fold(study, ON_DEVICE)
    whole = pd.read_csv(target / "history.csv")
    model = load_model(target)
    for name in ("model.json", "model.safetensors", "history.csv"):
        (target / name).unlink()

    with power_cut():
        run_fold(study, ON_DEVICE)
    run_fold(study, ON_DEVICE)
    pd.testing.assert_frame_equal(pd.read_csv(target / "history.csv"), whole)
    again = load_model(target).network.state_dict()
    for name, tensor in model.network.state_dict().items():
        assert tensor.equal(again[name]), name


class Reads(TorchDispatchMode):
    """Counts how often the host asks for the value of a tensor, for which it waits for a GPU."""

    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_host_waits_for_the_device_once_a_step(
    study: Path, monkeypatch: pytest.MonkeyPatch, ema_decay: float
) -> None:
    reads, counts = Reads(), []
    as_list, step, on_host = Tensor.tolist, SegmentationModule.training_step, trainer.for_host

    def tolist(self: Tensor) -> list[Any]:
        reads.count += self.numel() > 0
        return as_list(self)

    def training_step(self: SegmentationModule, batch: dict, number: int) -> Tensor:
        counts.append(reads.count)
        return step(self, batch, number)

    def for_host(batch: dict) -> dict:  # while it lies on the host
        before = reads.count
        batch = on_host(batch)
        reads.count = before
        return batch

    monkeypatch.setattr(Tensor, "tolist", tolist)
    monkeypatch.setattr(SegmentationModule, "training_step", training_step)
    monkeypatch.setattr(trainer, "for_host", for_host)
    # As on a GPU; the other kind asks for its number of steps, which lies on the host.
    adam = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *a, **k: adam(*a, **k | {"fused": True}))
    config = replace(ON_DEVICE, epochs=1, batch_size=1, ema_decay=ema_decay, lesion_mixing=0.0)
    fold = first_fold(study, config)
    with reads:
        train_fold(config, *fold)
    assert len(counts) > 3
    # Asked, too, are tensors that lie on the host: MONAI's Dice once for its axes, the average
    # twice how often it was updated.
    assert np.diff(counts).tolist() == [1 + 1 + 2 * (ema_decay > 0)] * (len(counts) - 1)


def test_gpus_are_shared_among_folds_only_where_there_are_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert gpus_for_folds(TINY, "gpu") == ["0", "1", "2"]
    assert gpus_for_folds(TINY, "cpu") == []
    assert gpus_for_folds(replace(TINY, devices=2), "gpu") == []
    monkeypatch.setenv(VISIBLE, "4,GPU-5, 6")
    assert gpus_for_folds(TINY, "gpu") == ["4", "GPU-5", "6"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert gpus_for_folds(TINY, "gpu") == []
    monkeypatch.setenv(VISIBLE, "7,8")
    assert gpus_for_folds(replace(TINY, networks_per_gpu=2), "gpu") == ["7", "7"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert gpus_for_folds(replace(TINY, networks_per_gpu=2), "gpu") == ["7", "8", "7", "8"]


def seen_gpu(seconds: float) -> tuple[int, str]:
    time.sleep(seconds)
    return os.getpid(), os.environ[VISIBLE]


def killed_once(marker: str) -> tuple[int, str]:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return seen_gpu(0)


def test_each_process_takes_a_gpu_of_its_own(tmp_path: Path) -> None:
    begin = partial(claim_gpu, tmp_path, ["0", "7"])
    calls = [(seen_gpu, (0.5,))] * 4
    results = [result for _, result in side_by_side(calls, 2, 1, begin)]
    assert {gpu for _, gpu in results} == {"0", "7"}
    assert len(set(results)) == 2  # one GPU per process, the same for all of its folds


def test_a_gpu_has_as_many_places_as_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    monkeypatch.setattr(gpus, "_held", held)
    monkeypatch.setenv(VISIBLE, "to be restored")
    names = ["7", "8", "7"]
    assert [claim_gpu(tmp_path, names) for _ in names] == names
    monkeypatch.setattr(gpus, "WAIT_S", 0.1)
    with pytest.raises(MammoroiError, match="all 3 places"):
        claim_gpu(tmp_path, names)
    for handle in held:
        os.close(handle)
    places = {path.name for path in tmp_path.glob(".gpu-*")}
    assert places == {".gpu-7.lock", ".gpu-8.lock", ".gpu-7-1.lock"}


def test_the_gpu_of_a_killed_process_is_free_again(tmp_path: Path) -> None:
    begin = partial(claim_gpu, tmp_path, ["0", "7"])
    calls = [(killed_once, (str(tmp_path / "killed"),))] * 2
    results = dict(side_by_side(calls, 2, 1, begin))
    # Called again one at a time; were a lock left, there would be an error instead of a GPU.
    assert {results[number][1] for number in (0, 1)} <= {"0", "7"}


def images_of_loader_processes(*fold: Any) -> tuple[int, int]:
    """Load an epoch as on a GPU, by processes; give the images and the processes."""
    trainer.choose_accelerator = lambda _: "gpu"
    config, folder, job, plan = fold
    images = images_of(config, folder, job, plan)
    images.trainer = SimpleNamespace(global_rank=0, world_size=1)
    loader = images.train_dataloader()
    return sum(len(batch["image"]) for batch in loader), loader.num_workers


def test_a_network_trained_beside_others_has_loader_processes(study: Path) -> None:
    config = replace(TINY, workers=2, augment_on="host")
    folder, job, plan = first_fold(study, config)
    call = (images_of_loader_processes, (config, folder, job, plan))
    assert dict(side_by_side([call], 1, 1)) == {0: (len(job.training), 2)}


def test_what_keeps_a_loader_from_starting_is_said(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: DataLoader) -> NoReturn:
        raise OSError("no more processes")

    monkeypatch.setattr(DataLoader, "_get_iterator", start)
    with pytest.raises(OSError, match="no more processes"):
        train_fold(TINY, *first_fold(study, TINY))


def test_folds_are_trained_on_a_gpu_each(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent believes in two GPUs; its processes find none, and train on the CPU."""
    config = replace(TINY, epochs=1, workers=0, accelerator="auto")
    prepare(config, study)
    monkeypatch.setattr(trainer, "choose_accelerator", lambda _: "gpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    train_prepared(config, study)
    assert len(load_models(study / "segmentation")) == 2
    assert (study / "segmentation" / ".gpu-0.lock").exists()
    assert (study / "segmentation" / ".gpu-1.lock").exists()


def test_the_largest_power_of_two_that_fits_is_found(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for a GPU whose memory holds four images: PyTorch's error, on the CPU."""
    folder, job, plan = first_fold(study, TINY)
    many = replace(job, training=job.training * 20)
    step, sizes = SegmentationModule.training_step, []

    def training_step(self: SegmentationModule, batch: dict, number: int) -> torch.Tensor:
        sizes.append(len(batch["image"]))
        if sizes[-1] > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, number)

    build = search._trainer
    monkeypatch.setattr(search, "_trainer", lambda config, _, work: build(config, "cpu", work))
    monkeypatch.setattr(trainer, "choose_accelerator", lambda _: "gpu")
    monkeypatch.setattr(SegmentationModule, "training_step", training_step)
    config = replace(TINY, find_batch_size=True, accelerator="auto", accumulate=4)
    assert search.find(config, folder, many, plan)["batch_size"] == 4
    assert sorted(set(sizes)) == [1, 2, 4, 8]
    few = replace(job, training=job.training * 4)  # 16 images: a batch of 2 leaves 8 steps
    assert search.find(config, folder, few, plan)["batch_size"] == 2
    assert not (folder / ".search").exists()


def test_a_gpu_that_holds_no_image_is_said(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, job, plan = first_fold(study, TINY)

    def training_step(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    build = search._trainer
    monkeypatch.setattr(search, "_trainer", lambda config, _, work: build(config, "cpu", work))
    monkeypatch.setattr(trainer, "choose_accelerator", lambda _: "gpu")
    monkeypatch.setattr(SegmentationModule, "training_step", training_step)
    config = replace(TINY, find_batch_size=True, accelerator="auto")
    with pytest.raises(MammoroiError, match="not enough for a single image"):
        search.find(config, folder, job, plan)


def test_a_learning_rate_is_found_once_and_kept(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(TINY, find_learning_rate=True)
    folder, job, plan = first_fold(study, config)
    found = search.with_found(config, folder, job, plan, 1)
    assert search.RATES[0] < found.learning_rate < search.RATES[1]
    assert found.batch_size == config.batch_size
    assert read_json(folder / "found.json")["learning_rate"] == found.learning_rate
    monkeypatch.setattr(search, "find", None)
    assert search.with_found(config, folder, job, plan, 1) == found
    monkeypatch.undo()
    search.find(replace(TINY, find_batch_size=True), folder, job, plan)
    assert "batch_size stays 4" in caplog.text


def test_settings_without_a_search_are_left_alone(tmp_path: Path) -> None:
    assert search.with_found(TINY, tmp_path, None, {}, 1) is TINY  # type: ignore[arg-type]


def test_a_missing_compiler_is_said_and_survived(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nMore")

    monkeypatch.setattr(torch, "compile", broken)
    network = torch.nn.Conv2d(1, 1, 3)
    assert not compiling.compile_network(network, replace(TINY, compile="auto"), "gpu")
    assert "trains uncompiled: Failed to find C compiler." in caplog.text
    assert network._compiled_call_impl is None


def test_nothing_is_compiled_on_the_cpu_or_unasked() -> None:
    network = torch.nn.Conv2d(1, 1, 3)
    assert not compiling.compile_network(network, replace(TINY, compile="auto"), "cpu")
    assert not compiling.compile_network(network, TINY, "gpu")


@pytest.mark.slow
def test_a_compiled_network_keeps_its_names_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from mammoroi.segmentation.network import NetworkSpec, build_network

    network = build_network(NetworkSpec.of(TINY)).eval()
    image = torch.rand(2, 1, 32, 16)
    names = list(network.state_dict())
    with torch.inference_mode():
        before = network(image)
        missing = compiling.missing_compiler
        monkeypatch.setattr(compiling, "missing_compiler", lambda _: missing("cpu"))
        assert compiling.compile_network(network, replace(TINY, compile="auto"), "gpu")
        torch.testing.assert_close(network(image), before, atol=1e-4, rtol=1e-4)
    assert list(network.state_dict()) == names
    torch._dynamo.reset()


def test_images_per_device_and_part_are_the_loaders(study: Path) -> None:
    config = replace(TINY, accumulate=2)
    data = images_of(config, *first_fold(study, config))
    assert data.batch_size == 2


def test_sums_of_the_affine_matrix() -> None:
    matrix = affine_matrix(True, 0.0, (2.0, 3.0), (4.0, 5.0))
    assert np.array_equal(matrix, np.array([[-2, 0, -4], [0, 3, 5]], np.float32))
