from __future__ import annotations

import json
import logging
import multiprocessing
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import pytest
import torch

from mammoroi.errors import MammoroiError
from mammoroi.segmentation import trainer
from mammoroi.segmentation.config import ARCHITECTURES, SegmentationConfig
from mammoroi.segmentation.data import Augmentation, EpochSampler, PreparedImages
from mammoroi.segmentation.folds import network_names
from mammoroi.segmentation.network import NetworkSpec, build_network
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.progress import bars, finished
from mammoroi.segmentation.search import _trainer
from mammoroi.segmentation.several_devices import Told
from mammoroi.segmentation.train import train, train_prepared
from mammoroi.segmentation.weights import load_model, load_models

from .conftest import power_cut
from .tiny import TINY, run_fold


def test_four_epochs_are_two_and_two_more(study: Path) -> None:
    target = run_fold(study)
    whole = pd.read_csv(target / "history.csv")
    model = load_model(target)
    for name in ("model.json", "model.safetensors", "history.csv"):
        (target / name).unlink()

    with power_cut():
        run_fold(study)
    assert len(pd.read_csv(target / "history.csv")) == 2
    assert (target / "last.ckpt").exists()

    assert run_fold(study) == target
    pd.testing.assert_frame_equal(pd.read_csv(target / "history.csv"), whole)
    again = load_model(target)
    assert again.card["epoch"] == model.card["epoch"]
    for name, tensor in model.network.state_dict().items():
        assert tensor.equal(again.network.state_dict()[name]), name
    assert sorted(path.name for path in target.iterdir()) == [
        "history.csv",
        "learned_from.csv",
        "model.json",
        "model.safetensors",
    ]


def test_a_finished_fold_is_kept_and_a_changed_setting_trains_again(study: Path) -> None:
    config = SegmentationConfig(**{**vars(TINY), "epochs": 1})
    target = run_fold(study, config)
    weights = target / "model.safetensors"
    before = weights.stat().st_mtime_ns
    run_fold(study, SegmentationConfig(**{**vars(config), "max_components": 3, "workers": 2}))
    assert weights.stat().st_mtime_ns == before
    run_fold(study, SegmentationConfig(**{**vars(config), "learning_rate": 0.01}))
    assert weights.stat().st_mtime_ns != before


def test_changed_weights_are_refused(study: Path) -> None:
    target = run_fold(study, SegmentationConfig(**{**vars(TINY), "epochs": 1}))
    weights = target / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(MammoroiError, match="SHA-256"):
        load_models(target.parent)
    (target / "model.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(MammoroiError, match="format"):
        load_model(target)
    with pytest.raises(MammoroiError, match="run mammoroi train"):
        load_models(study)


def test_the_card_says_what_the_weights_are(study: Path) -> None:
    model = load_model(run_fold(study, SegmentationConfig(**{**vars(TINY), "epochs": 1})))
    assert model.spec == NetworkSpec("unet", (4, 4, 8, 8, 8), "resnet18")
    assert model.card["n_training_patients"] + model.card["n_tuning_patients"] == 4
    assert set(model.card["metrics"]) >= {"tuning_dice", "train_loss"}
    assert model.card["plan"]["working_spacing_mm"] == 2.0


def test_masks_of_test_patients_are_not_prepared(study: Path) -> None:
    folder = prepare(TINY, study)
    index = pd.read_csv(folder / "index.csv")
    assert set(index.loc[index["set"] == "test", "patient_id"]) == {"P00", "P01"}
    assert not index.loc[index["set"] == "test", "has_mask"].any()
    assert not list(folder.glob("P00*.mask.npy"))
    assert len(list(folder.glob("P02*.mask.npy"))) == 2
    stamp = (folder / "P02-L-CC.npy").stat().st_mtime_ns
    prepare(TINY, study)
    assert (folder / "P02-L-CC.npy").stat().st_mtime_ns == stamp


def test_training_needs_no_library_that_reads_mammograms(study: Path) -> None:
    config = {**vars(TINY), "epochs": 1}
    prepare(TINY, study)
    for image in study.glob("*.png"):
        image.unlink()
    program = f"""
import sys
for name in ("pydicom", "SimpleITK", "radiomics", "highdicom"):
    sys.modules[name] = None
from pathlib import Path
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.train import train_prepared
train_prepared(SegmentationConfig(**{config!r}), Path({str(study)!r}))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
    assert len(load_models(study / "segmentation")) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "smp-unit"}, r"'smp-unit' -> did you mean 'smp-unet'\?"),
        ({"loss": "dice"}, r"did you mean 'dice-ce'\?"),
        ({"precision": "bf16"}, r"did you mean 'bf16-mixed'\?"),
        ({"encoder_weights": "imagenets"}, r"did you mean 'imagenet'\?"),
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"augmentation": "flip"}, r"did you mean 'flips'\?"),
        ({"patch": (90, 64)}, "multiples of 16"),
        ({"patch": (16, 16), "architecture": "dynunet"}, "more than 16 x 16"),
        ({"patch": (16, 16)}, r"segmentation.patch is \(16, 16\) -> set it to more than 16 x 16"),
        ({"patch": (32, 32), "architecture": "smp-unet"}, "more than 32 x 32"),
        ({"outline_patch": (16, 16)}, "outline_patch is .* more than 16 x 16"),
        ({"epochs": 0}, "1 or more"),
        ({"seed": -1}, "0 or more"),
        ({"seed": 202611281200}, "below 2147483648"),
        ({"working_spacing_mm": 0.0}, "more than 0"),
        ({"channels": (16, 32)}, "five positive"),
        ({"devices": 0}, "auto or a number"),
        ({"networks_per_fold": 0}, "1 or more"),
        ({"tuning_fraction": 0.0}, "between 0 and 1"),
        ({"hit_iou": 1.0}, "between 0 and 1"),
        ({"poor_dice": 0.0}, "between 0 and 1"),
        ({"caught": 0.0}, "more than 0, at most 1"),
        ({"caught": 1.01}, "more than 0, at most 1"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict, message: str) -> None:
    with pytest.raises(MammoroiError, match=message):
        SegmentationConfig(**settings)


def test_an_unknown_encoder_names_the_nearest() -> None:
    with pytest.raises(MammoroiError, match=r"did you mean 'resnet18'\?"):
        build_network(NetworkSpec("smp-unet", (16, 32), "resnet-18"))


def test_weights_that_cannot_be_had_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import segmentation_models_pytorch as smp

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(smp, "Unet", offline)
    with pytest.raises(MammoroiError, match=r"cannot be had: no network.*encoder_weights to null"):
        build_network(NetworkSpec("smp-unet", (16, 32), "resnet18"), "imagenet")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_keeps_the_size_of_its_multiple(architecture: str) -> None:
    spec = NetworkSpec(architecture, (4, 4, 8, 8, 8), "resnet18")
    side = spec.multiple
    with torch.inference_mode():
        network = build_network(spec).eval()
        assert network(torch.zeros(2, 1, 3 * side, 2 * side)).shape == (2, 1, 3 * side, 2 * side)


def test_the_bars_read_the_histories(tmp_path: Path) -> None:
    (tmp_path / "fold-0").mkdir()
    (tmp_path / "fold-0" / "history.csv").write_text("epoch,tuning_dice\n0,0.5\n1,0.4\n")
    table = bars(tmp_path, network_names(2, 1), epochs=9)
    cells = [list(column.cells) for column in table.columns]
    assert cells[2] == ["2 of 9 epochs", "0 of 9 epochs"]
    assert cells[3] == ["Dice 0.400 (best 0.500)", "starts"]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_finished_network_is_logged_once(
    study: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(TINY, epochs=2, workers=workers)
    with caplog.at_level(logging.INFO):
        folder = train(config, study)
    told = sorted(line for line in caplog.messages if "finished in" in line)
    for name, line in zip(("fold-0", "fold-1"), told, strict=True):
        card = load_model(folder / name).card
        dice = card["metrics"]["tuning_dice"]
        kept = f"epoch {card['epoch']} kept, tuning Dice {dice:.3f}"
        assert re.fullmatch(
            rf"segmentation/{name} finished in \d+\.\d seconds: {re.escape(kept)}", line
        )
        assert float(line.split()[3]) > 0
        assert finished(folder / name, 90).split(": ")[0].endswith("finished in 90.0 seconds")
        assert finished(folder / name, 210).split(": ")[0].endswith("finished in 3.5 minutes")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        train(config, study)  # keeps both
        assert "finished in" not in caplog.text
        train(replace(config, epochs=1), study)
        assert caplog.text.count("finished in") == 2
        train(config, study)  # takes both back
    assert caplog.text.count("finished in") == 2
    assert "fold 0 is taken back" in caplog.text


@pytest.mark.slow
def test_two_processes_train_together(study: Path) -> None:
    config = SegmentationConfig(**{**vars(TINY), "devices": 2, "epochs": 2})
    prepare(config, study)
    train_prepared(config, study)
    for model in load_models(study / "segmentation"):
        assert np.isfinite(model.card["metrics"]["tuning_dice"])
    history = pd.read_csv(study / "segmentation" / "fold-0" / "history.csv")
    assert history["epoch"].tolist() == [0, 1]


@pytest.mark.slow
def test_two_processes_train_an_encoder_with_weights_that_take_no_part(study: Path) -> None:
    settings = {"architecture": "smp-unet", "encoder": "efficientnet-b0", "channels": (4,) * 5}
    target = run_fold(study, replace(TINY, devices=2, epochs=2, **settings))
    assert pd.read_csv(target / "history.csv")["epoch"].tolist() == [0, 1]


class OfALibraryError(Exception):
    """One that cannot be pickled."""

    def __reduce__(self) -> NoReturn:
        raise TypeError


@pytest.mark.parametrize(
    "error",
    [
        MammoroiError("what was found", "what to do"),
        OSError(28, "No space left on device", "last.ckpt"),
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        OfALibraryError("1 and 2"),
    ],
)
def test_a_process_of_a_device_sends_the_error_that_ends_it(error: Exception) -> None:
    errors = multiprocessing.get_context("spawn").SimpleQueue()

    def fail() -> NoReturn:
        raise error

    with pytest.raises(type(error)):
        Told(fail, errors)()
    sent = errors.get()
    if isinstance(error, OfALibraryError):
        assert (type(sent), str(sent)) == (RuntimeError, "OfALibraryError: 1 and 2")
    else:
        assert (type(sent), str(sent)) == (type(error), str(error))
    assert getattr(sent, "errno", None) == getattr(error, "errno", None)


@pytest.mark.slow
def test_an_error_on_one_of_several_devices_is_that_of_one(
    study: Path, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(MammoroiError, match=r"fold 0: the loss is not finite .* -> lower segmenta"):
        train(replace(TINY, devices=2, learning_rate=1e30), study)
    failures = pd.read_csv(study / "segmentation" / "failures.csv")
    assert not failures["error"].str.contains("Traceback|Process").any()
    said = "".join(capfd.readouterr())
    assert "distributed_backend" not in said
    assert "UserWarning" not in said


def test_devices_share_an_epoch() -> None:
    samplers = [EpochSampler(7, seed=3, rank=rank, world_size=2) for rank in (0, 1)]
    for sampler in samplers:
        sampler.set_epoch(5)
    parts = [list(sampler) for sampler in samplers]
    assert [len(part) for part in parts] == [4, 4]
    assert {number for part in parts for _, number in part} == set(range(7))
    assert {epoch for part in parts for epoch, _ in part} == {5}


def test_every_epoch_has_its_own_order(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []
    for seed, epoch in ((3, 0), (3, 1), (3, 2), (4, 1)):
        sampler = EpochSampler(20, seed)
        sampler.set_epoch(epoch)
        orders.append([number for _, number in sampler])
        assert sorted(orders[-1]) == list(range(20))
        assert [number for _, number in sampler] == orders[-1]
    assert len({tuple(order) for order in orders}) == 4

    seen: list[tuple[int, int]] = []
    get = PreparedImages.__getitem__

    def noted(self: PreparedImages, item: tuple[int, int]) -> dict:
        if self.augment is not None:  # not of those that tune
            seen.append(item)
        return get(self, item)

    monkeypatch.setattr(PreparedImages, "__getitem__", noted)
    run_fold(study, replace(TINY, epochs=3))
    assert [epoch for epoch, _ in seen] == sorted([0, 1, 2] * (len(seen) // 3))
    learnt = {tuple(number for at, number in seen if at == epoch) for epoch in range(3)}
    assert len(learnt) == 3
    assert len({tuple(sorted(order)) for order in learnt}) == 1


@pytest.mark.parametrize(
    ("patch", "kind"), [(None, "full"), ((32, 32), "full"), ((32, 32), "strong")]
)
def test_an_item_depends_on_seed_epoch_and_number_alone(
    study: Path, patch: tuple[int, int] | None, kind: str
) -> None:
    folder = prepare(TINY, study)
    ids = ["P02-L-CC", "P03-R-MLO"]
    augment = Augmentation(seed=5, kind=kind, patch=patch)
    one = PreparedImages(folder, ids, (64, 32), augment)
    other = PreparedImages(folder, ids, (64, 32), augment)
    other[(0, 0)]
    other[(1, 1)]
    assert one[(3, 1)]["image"].equal(other[(3, 1)]["image"])
    assert not one[(3, 1)]["image"].equal(one[(4, 1)]["image"])
    assert set(one[(3, 1)]["mask"].unique().tolist()) <= {0.0, 1.0}
    assert type(one[(3, 1)]["image"]) is torch.Tensor
    assert one[(3, 1)]["mask"].shape == (1, *(patch or (64, 32)))


@pytest.mark.parametrize("tasks", ["1", "8"])
def test_a_job_of_slurm_starts_no_process_of_a_training(
    study: Path, monkeypatch: pytest.MonkeyPatch, tasks: str
) -> None:
    job = {"NTASKS": tasks, "JOB_ID": "7", "JOB_NAME": "train", "PROCID": "0", "LOCALID": "0"}
    for name, value in {**job, "NODEID": "0", "NODELIST": "node1", "NNODES": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    two = trainer.build_trainer(replace(TINY, devices=2), study)
    assert (two.world_size, two.global_rank, two.num_nodes) == (2, 0, 1)
    assert not two.strategy.cluster_environment.creates_processes_externally
    search = _trainer(TINY, "cpu", study)
    assert search._accelerator_connector.cluster_environment.world_size() == 1
    assert load_model(run_fold(study, replace(TINY, epochs=1))).card["epoch"] == 0


@pytest.mark.parametrize(("workers", "loaders"), [(12, 12), (1, 1), (0, 8)])
def test_a_number_of_workers_holds_and_none_takes_eight_cores_at_most(
    monkeypatch: pytest.MonkeyPatch, workers: int, loaders: int
) -> None:
    monkeypatch.setattr(trainer, "choose_accelerator", lambda _: "gpu")
    monkeypatch.setattr(trainer, "cores", lambda: 64)
    images: list[dict] = [{}]
    data = trainer.PreparedData(images, images, replace(TINY, workers=workers))  # type: ignore[arg-type]
    data.trainer = trainer.Trainer(accelerator="cpu", logger=False)
    assert data.train_dataloader().num_workers == loaders
