"""Stochastic weight averaging: the mean of the epochs' weights, with statistics of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv
from mammoroi.segmentation import trainer as trainers
from mammoroi.segmentation.callbacks import Averaging, EpochAverage, MovingAverage
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.data import EpochSampler, PreparedImages
from mammoroi.segmentation.fit import images_of
from mammoroi.segmentation.fold_jobs import FoldJob, fold_job, make_plan
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.train import train_fold
from mammoroi.segmentation.weights import Model, load_model

TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    epochs=5,
    batch_size=3,
    learning_rate=0.01,
    swa_start=0.4,
    tuning_fraction=0.3,
    keep="last",
    accelerator="cpu",
    workers=1,
)


class Weights(Callback):
    """Collects weights at the end of each epoch's steps, and those that are then measured."""

    def __init__(self) -> None:
        self.trained: list[dict[str, torch.Tensor]] = []
        self.measured: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if trainer.is_last_batch:
            self.trained.append(_copy(module.network))

    def on_validation_batch_start(self, _: Any, module: Any, *__: Any) -> None:
        self.measured.append(_copy(module.network))


def _copy(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@dataclass
class Run:
    """A fold that was trained: what was seen, what is kept, on which images."""

    weights: Weights
    model: Model
    folder: Path
    job: FoldJob
    plan: dict[str, Any]


def run(study: Path, config: SegmentationConfig) -> Run:
    """Train the first fold."""
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    job, plan = fold_job(config, load_splits(study), 0, index), make_plan(config, index)
    weights = Weights()
    build = trainers.build_trainer

    def with_weights(*given: Any) -> Any:
        trainer = build(*given)
        trainer.callbacks.insert(0, weights)
        return trainer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainers, "build_trainer", with_weights)
        model = load_model(train_fold(config, folder, job, plan))
    return Run(weights, model, folder, job, plan)


@pytest.fixture(scope="module")
def trained(make_study: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    study = tmp_path_factory.mktemp("swa") / "study"
    return run(make_study(study, patients=10, test=2, folds=2), TINY)


def test_the_weights_kept_are_the_mean_of_the_epochs(trained: Run) -> None:
    weights, model = trained.weights, trained.model
    learnt = {name for name, _ in model.network.named_parameters()}
    kept = model.network.state_dict()
    for name in learnt:
        mean = torch.stack([state[name] for state in weights.trained[2:]]).mean(0)
        torch.testing.assert_close(kept[name], mean, atol=1e-6, rtol=1e-5)
        assert not kept[name].equal(weights.trained[-1][name])

    # Running statistics: those of the mean's own layers over the epoch's images, drawn again.
    module = SegmentationModule(TINY)
    module.network.load_state_dict(kept)
    norms = [m for m in module.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    first = norms[0]
    images = images_of(TINY, trained.folder, trained.job, trained.plan).training
    order = EpochSampler(len(images), TINY.seed)
    order.set_epoch(4)
    items = [images[item]["image"] for item in order]
    convolution = dict(module.network.named_modules())["conv_0.conv_0.conv"]
    parts = [torch.stack(items[start : start + 3]) for start in range(0, len(items), 3)]
    with torch.no_grad():
        seen = [convolution(part).transpose(0, 1).flatten(1) for part in parts]
    means = torch.stack([values.mean(1) for values in seen]).mean(0)
    variances = torch.stack([values.var(1) for values in seen]).mean(0)
    torch.testing.assert_close(first.running_mean, means, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.running_var, variances, atol=1e-5, rtol=1e-4)


def test_what_is_measured_is_what_is_kept(trained: Run) -> None:
    weights, model = trained.weights, trained.model
    for epoch, (measured, trained) in enumerate(
        zip(weights.measured, weights.trained, strict=True)
    ):
        same = all(measured[name].equal(trained[name]) for name in trained)
        assert same == (epoch <= 2), epoch
    for name, tensor in model.network.state_dict().items():
        assert tensor.equal(weights.measured[-1][name]), name


def test_averaging_leaves_the_training_alone(trained: Run, study: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainers.EpochAverage, "on_train_batch_end", lambda *_: None)
        alone = run(study, TINY)
    for state, other in zip(trained.weights.trained, alone.weights.trained, strict=True):
        for name, tensor in state.items():
            assert tensor.equal(other[name]), name


def test_the_learning_rate_stays_where_it_is(trained: Run) -> None:
    rates = pd.read_csv(trained.folder / "fold-0" / "history.csv")["learning_rate"]
    assert rates[0] > rates[1] > rates[2] > 0.3 * TINY.learning_rate
    assert rates[2:].nunique() == 1


def test_statistics_that_are_not_finite_are_not_kept(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    item = PreparedImages.__getitem__

    def poisoned(self: PreparedImages, at: tuple[int, int]) -> Any:
        case = item(self, at)
        return case | {"image": case["image"] * torch.nan} if at == (4, 0) else case

    monkeypatch.setattr(PreparedImages, "__getitem__", poisoned)
    found = run(study, TINY)
    assert "epoch 4: the statistics of the averaged network are not finite" in caplog.text
    assert found.model.card["skipped_steps"] == 1
    kept, last = found.model.network.state_dict(), found.weights.trained[-1]
    assert all(tensor.isfinite().all() for tensor in kept.values())
    assert kept["conv_0.conv_0.adn.N.running_mean"].equal(last["conv_0.conv_0.adn.N.running_mean"])


@pytest.mark.parametrize(
    ("share", "epochs", "first"),
    [(0.6, 24, 14), (0.6, 26, 16), (0.5, 24, 12), (0.7, 10, 7), (0.6, 1, 0)],
)
def test_the_share_of_epochs(share: float, epochs: int, first: int) -> None:
    assert SegmentationConfig(swa_start=share, epochs=epochs).averaged_from == first


def test_two_means_at_once_are_refused() -> None:
    with pytest.raises(MammoroiError, match="ema_decay to 0: one mean"):
        SegmentationConfig(swa_start=0.6, ema_decay=0.9)
    with pytest.raises(MammoroiError, match=r"at least 0\.2 and below 1"):
        SegmentationConfig(swa_start=0.1)


@pytest.mark.parametrize("average", [MovingAverage(0.9), EpochAverage(1)])
def test_the_average_follows_the_network_to_its_device(average: Averaging) -> None:
    class Network(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 3)

    network = Network()
    average.setup(Trainer(logger=False), network, "fit")
    assert average._average_model is not None
    # A device that every machine has: tensors without values.
    average.on_train_start(Trainer(logger=False), network.to("meta"))
    assert {p.device.type for p in average._average_model.parameters()} == {"meta"}
    assert average._average_model.n_averaged.device.type == "cpu"  # the host asks in every step


def test_images_are_drawn_in_full_precision_for_a_network_that_computes_in_less(
    study: Path,
) -> None:
    config = replace(TINY, epochs=3, swa_start=0.3, precision="bf16-mixed")
    folder = run(study, config).folder
    assert len(read_csv(folder / "fold-0" / "history.csv")) == 3
