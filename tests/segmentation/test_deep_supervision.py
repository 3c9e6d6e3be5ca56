"""Deep supervision: the loss is the weighted sum, the network that is kept knows nothing of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from monai.losses.dice import DiceCELoss

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv
from mammoroi.segmentation.config import ARCHITECTURES, LOSSES, SegmentationConfig
from mammoroi.segmentation.deep_supervision import DeepSupervision
from mammoroi.segmentation.fit import keep_model
from mammoroi.segmentation.fold_jobs import fold_job, make_plan
from mammoroi.segmentation.module import SegmentationModule, build_loss
from mammoroi.segmentation.network import NetworkSpec, build_network
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.train import train_fold, train_prepared
from mammoroi.segmentation.weights import load_model, load_models

SMALL_ENCODER = "tu-mobilenetv3_small_050"
TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    encoder=SMALL_ENCODER,
    decoder_channels=(8, 8, 8, 4, 4),
    deep_supervision=True,
    epochs=1,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    workers=1,
)


def run_fold(study: Path, config: SegmentationConfig) -> Path:
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    job = fold_job(config, load_splits(study), 0, index)
    return train_fold(config, folder, job, make_plan(config, index))


def supervised(architecture: str) -> tuple[torch.nn.Module, DeepSupervision]:
    torch.manual_seed(0)
    spec = NetworkSpec(architecture, (4, 6, 8, 10, 12), SMALL_ENCODER, (14, 12, 10, 8, 6))
    return build_network(spec), DeepSupervision(spec)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_finest_level_is_the_network_and_each_other_half_as_large(architecture: str) -> None:
    network, supervision = supervised(architecture)
    network.eval()
    images = torch.rand(2, 1, 96, 64)
    with torch.inference_mode():
        levels = supervision(network, images)
        assert levels[0].equal(network(images))
    count = 4 if architecture == "smp-unet" else 3
    expected = [(2, 1, 96 // 2**level, 64 // 2**level) for level in range(count)]
    assert [level.shape for level in levels] == expected
    # At first the heads expect a lesion in few pixels, as the network does.
    assert max(float(level.sigmoid().mean()) for level in levels) < 0.2


@pytest.mark.parametrize(
    ("architecture", "shares"), [("unet", (4, 2, 1)), ("smp-unet", (8, 4, 2, 1))]
)
def test_the_loss_is_the_weighted_sum(architecture: str, shares: tuple[int, ...]) -> None:
    network, supervision = supervised(architecture)
    images, mask = torch.rand(3, 1, 64, 96), (torch.rand(3, 1, 64, 96) > 0.7).float()
    levels = supervision(network, images)
    loss = DiceCELoss(sigmoid=True, batch=True)
    by_hand = 0.0
    for number, (share, logits) in enumerate(zip(shares, levels, strict=True)):
        side = 2**number
        blocks = mask.reshape(3, 1, 64 // side, side, 96 // side, side)
        by_hand += share / sum(shares) * loss(logits, blocks.mean((3, 5))).item()
    assert supervision.loss(loss, levels, mask).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_takes_the_masks_of_coarse_pixels(name: str) -> None:
    mask = torch.zeros(2, 1, 32, 32)
    mask[:, :, 9:20, 6:17] = 1
    supervision = DeepSupervision(NetworkSpec("unet", (4, 6, 8, 10, 12), ""))
    right, wrong = (
        [logits * (8 * mask[:, :, ::step, ::step] - 4) for step in (1, 2, 4)] for logits in (1, -1)
    )
    loss = build_loss(name)
    good, bad = (float(supervision.loss(loss, levels, mask)) for levels in (right, wrong))
    assert 0 <= good < bad


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_learns(architecture: str) -> None:
    """DistributedDataParallel waits for every gradient."""
    module = SegmentationModule(replace(TINY, architecture=architecture, encoder_rate=0.5))
    before = {name: value.clone() for name, value in module.named_parameters()}
    optimizer = torch.optim.SGD(module._groups(), lr=0.1)
    mask = (torch.rand(2, 1, 64, 64) > 0.9).float()
    module._training_loss({"image": torch.rand(2, 1, 64, 64), "mask": mask}).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    optimizer.step()
    heads = [name for name in before if name.startswith("supervision.")]
    assert len(heads) == (6 if architecture == "smp-unet" else 4)
    for name in heads:
        assert not dict(module.named_parameters())[name].equal(before[name]), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_network_that_is_kept_is_the_one_without_heads(
    study: Path, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def keep(target: Path, card: dict) -> None:
        seen.append(torch.load(target / "best.ckpt", weights_only=True)["state_dict"])
        keep_model(target, card)

    monkeypatch.setattr("mammoroi.segmentation.train.keep_model", keep)
    config = replace(TINY, architecture=architecture)
    model = load_model(run_fold(study, config))
    assert set(model.network.state_dict()) == set(build_network(model.spec).state_dict())
    trained = SegmentationModule(config)
    trained.load_state_dict(seen[0])
    trained.eval()
    images = torch.rand(2, 1, 64, 32)
    with torch.inference_mode():
        assert trained.supervision is not None
        logits = trained.supervision(trained.network, images)[0]
        assert logits.equal(model.network(images))


def test_the_first_weights_are_those_without_it() -> None:
    torch.manual_seed(3)
    plain = SegmentationModule(replace(TINY, deep_supervision=False)).network.state_dict()
    torch.manual_seed(3)
    for name, tensor in SegmentationModule(TINY).network.state_dict().items():
        assert tensor.equal(plain[name]), name


def test_settings_from_before_keep_their_key() -> None:
    plain = SegmentationConfig().training()
    assert not {"deep_supervision", "swa_start"} & set(plain)
    assert replace(SegmentationConfig(), deep_supervision=True).training() != plain
    assert replace(SegmentationConfig(), swa_start=0.6).training() != plain


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_processes_train_together(study: Path, architecture: str) -> None:
    config = replace(TINY, architecture=architecture, devices=2, swa_start=0.3, epochs=3)
    prepare(config, study)
    train_prepared(config, study)
    assert len(load_models(study / "segmentation")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiled_levels_are_the_same(architecture: str) -> None:
    import torch._dynamo

    network, supervision = supervised(architecture)
    images = torch.rand(2, 1, 64, 64)
    network.eval()
    with torch.inference_mode():
        expected = supervision(network, images)
        network.compile()
        supervision.compile()
        for level, same in zip(supervision(network, images), expected, strict=True):
            torch.testing.assert_close(level, same, atol=1e-4, rtol=1e-4)
    torch._dynamo.reset()
