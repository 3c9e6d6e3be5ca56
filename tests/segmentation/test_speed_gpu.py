"""What only a CUDA device can show: ``pytest -m gpu tests/segmentation/test_speed_gpu.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv
from mammoroi.segmentation import search
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.device_augmentation import Windows, augment_batch, for_host
from mammoroi.segmentation.fold_jobs import FoldJob, fold_job, make_plan
from mammoroi.segmentation.gpus import gpus_for_folds
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.probability import on_device, probabilities
from mammoroi.segmentation.store import ArrayStore
from mammoroi.segmentation.train import train_fold, train_prepared
from mammoroi.segmentation.weights import load_model, load_models

from .conftest import power_cut

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

GPU = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(8, 8, 16, 16, 16),
    epochs=2,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="gpu",
    workers=2,
)


@pytest.fixture
def small_memory() -> Iterator[None]:
    """Let PyTorch have 1 GB of the GPU."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2**30 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def first_fold(study: Path, config: SegmentationConfig) -> tuple[Path, FoldJob, dict]:
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    return folder, fold_job(config, load_splits(study), 0, index), make_plan(config, index)


def test_a_batch_is_augmented_as_on_the_cpu(study: Path) -> None:
    arrays = ArrayStore(prepare(GPU, study), ["P02-L-CC", "P03-R-MLO"], (64, 32))
    windows = Windows(arrays, 5, "strong", (32, 16))
    batch = for_host(torch.utils.data.default_collate([windows[(1, 0)], windows[(1, 1)]]))
    batch["grey"][:, 2] = 0  # noise is drawn by the device
    there = {k: v.cuda() if torch.is_tensor(v) else v for k, v in batch.items()}
    here, moved = augment_batch(batch, (32, 16)), augment_batch(there, (32, 16))
    torch.testing.assert_close(moved["image"].cpu(), here["image"], atol=1e-3, rtol=1e-3)
    assert float((moved["mask"].cpu() != here["mask"]).float().mean()) < 0.01


@pytest.mark.parametrize("compiled", ["off", "auto"])
def test_a_fold_is_trained_and_goes_on(study: Path, compiled: str) -> None:
    config = replace(GPU, compile=compiled, patch=(32, 16))

    with power_cut(epoch=1):
        train_fold(config, *first_fold(study, config))
    target = train_fold(config, *first_fold(study, config))
    history = pd.read_csv(target / "history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert history[["train_loss", "tuning_loss"]].notna().all(axis=None)
    assert load_model(target).card["epoch"] in (0, 1)


def test_the_optimiser_is_fused(study: Path) -> None:
    config = replace(GPU, epochs=1)
    folder, job, plan = first_fold(study, config)
    seen = []
    finished = SegmentationModule.on_train_epoch_start

    def start(self: SegmentationModule) -> None:
        seen.append(self.trainer.optimizers[0].param_groups[0]["fused"])
        finished(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SegmentationModule, "on_train_epoch_start", start)
        train_fold(config, folder, job, plan)
    assert seen == [True]


def test_memory_that_runs_out_makes_smaller_parts(study: Path, small_memory: None) -> None:
    config = replace(
        GPU, epochs=1, channels=(32, 64, 128, 256, 512), batch_size=8, augment_on="host"
    )
    folder, job, plan = first_fold(study, config)
    target = train_fold(config, folder, job, {**plan, "canvas": [512, 512]})
    assert load_model(target).card["accumulate"] > 1


def test_a_batch_size_is_found_that_fits(study: Path, small_memory: None) -> None:
    config = replace(GPU, channels=(32, 64, 128, 256, 512), find_batch_size=True)
    folder, job, plan = first_fold(study, config)
    many = replace(job, training=job.training * 40)
    found = search.find(config, folder, many, {**plan, "canvas": [512, 512]})["batch_size"]
    assert 1 <= found < 16  # without the limit of 1 GB it would be 16 or more


def test_masks_on_the_gpu_are_those_on_the_cpu(study: Path) -> None:
    target = train_fold(replace(GPU, epochs=1), *first_fold(study, GPU))
    array = ArrayStore(study / "segmentation" / "prepared", ["P02-L-CC"], (64, 32)).arrays(0)[0]
    model = load_model(target)
    inference = model.card["inference"] | {"test_time_scales": (1.0, 1.25)}
    here = probabilities(model, array, inference, torch.device("cpu"))
    with on_device([model], torch.device("cuda")):
        there = probabilities(model, array, inference, torch.device("cuda"))
    assert len(here) == 4  # two scales, each also upside down
    for one, other in zip(here, there, strict=True):
        assert abs(one - other).max() < 0.02  # TF32 and channels-last


def test_two_folds_share_a_gpu(study: Path) -> None:
    prepare(GPU, study)
    train_prepared(replace(GPU, epochs=1, networks_per_gpu=2, devices=1), study)
    assert len(load_models(study / "segmentation")) == 2
    gpu, _ = gpus_for_folds(replace(GPU, networks_per_gpu=2, devices=1), "gpu")
    places = {path.name for path in (study / "segmentation").glob(".gpu-*")}
    assert places == {f".gpu-{gpu}.lock", f".gpu-{gpu}-1.lock"}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_folds_have_a_gpu_each(study: Path) -> None:
    prepare(GPU, study)
    train_prepared(replace(GPU, epochs=1), study)
    assert len(load_models(study / "segmentation")) == 2
    assert len(list((study / "segmentation").glob(".gpu-*.lock"))) == 2


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_one_network(study: Path) -> None:
    prepare(GPU, study)
    train_prepared(replace(GPU, epochs=1, devices=2), study)
    assert len(load_models(study / "segmentation")) == 2
