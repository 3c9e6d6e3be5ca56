"""Which epoch's weights are kept, and on which course of the learning rate, whatever happens."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json
from mammoroi.segmentation import search
from mammoroi.segmentation.callbacks import MovingAverage
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.prepare import Source, prepare, prepare_case
from mammoroi.segmentation.train import prepare_all, train, train_prepared
from mammoroi.segmentation.weights import load_model

from .conftest import power_cut
from .tiny import TINY, first_fold, run_fold


def with_tuning_dice(monkeypatch: pytest.MonkeyPatch, dice: list[float]) -> None:
    """Have every epoch of a training measure the Dice that stands here for it."""
    log = SegmentationModule._log

    def told(self: SegmentationModule, name: str, value: torch.Tensor, batch: dict) -> None:
        fixed = torch.tensor(dice[self.current_epoch])
        log(self, name, fixed if name == "tuning_dice" else value, batch)

    monkeypatch.setattr(SegmentationModule, "_log", told)


@pytest.mark.parametrize(("dice", "kept"), [([0.0] * 4, 3), ([0.2, 0.4, 0.4, 0.3], 2)])
def test_of_equally_good_epochs_the_latest_is_kept_and_none_that_finds_nothing_in_silence(
    study: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    dice: list[float],
    kept: int,
) -> None:
    with_tuning_dice(monkeypatch, dice)
    with power_cut():
        run_fold(study)
    target = run_fold(study)
    assert load_model(target).card["epoch"] == kept
    said = "fold 0: the network in " in caplog.text and "finds no lesion" in caplog.text
    assert said == (kept == 3)
    caplog.clear()
    run_fold(study)  # it is kept, and still finds nothing
    assert ("finds no lesion" in caplog.text) == said
    assert ("set segmentation.crops to lesions" in caplog.text) == said
    caplog.clear()
    run_fold(study, replace(TINY, crops="lesions", patch=(32, 32)))
    assert ("finds no lesion" in caplog.text) == said
    assert "set segmentation.crops" not in caplog.text  # they are


def test_patience_counts_from_the_first_epoch_that_finds_something(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = [0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.9]
    with_tuning_dice(monkeypatch, dice)
    target = run_fold(study, replace(TINY, epochs=7, patience=2))
    assert list(pd.read_csv(target / "history.csv")["tuning_dice"]) == dice[:6]
    assert load_model(target).card["epoch"] == 4


@pytest.mark.parametrize("moved", [False, True])
def test_the_best_epoch_from_before_is_remembered_wherever_the_study_lies(
    study: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    with_tuning_dice(monkeypatch, [0.2, 0.9, 0.4, 0.3])
    with power_cut():
        run_fold(study)
    place = study.rename(study.with_name("elsewhere")) if moved else study
    target = run_fold(place)
    assert load_model(target).card["epoch"] == 1
    assert load_model(target).card["metrics"]["tuning_dice"] == pytest.approx(0.9)


def test_the_best_epoch_after_the_resumption_is_kept_where_the_study_has_a_relative_path(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_tuning_dice(monkeypatch, [0.2, 0.3, 0.9, 0.4])
    monkeypatch.chdir(study.parent)
    with power_cut():
        run_fold(Path(study.name))
    assert load_model(run_fold(Path(study.name))).card["epoch"] == 2


@pytest.mark.parametrize("lost", [True, False])
def test_without_the_best_epoch_a_network_is_trained_from_its_beginning(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lost: bool
) -> None:
    with_tuning_dice(monkeypatch, [0.2, 0.9, 0.4, 0.3])
    with power_cut():
        run_fold(study)
    best = study / "segmentation" / "fold-0" / "best.ckpt"
    best.unlink() if lost else best.write_bytes(best.read_bytes()[:5000])
    target = run_fold(study)
    assert "best.ckpt" in caplog.text
    assert load_model(target).card["epoch"] == 1
    assert list(read_csv(target / "history.csv")["epoch"]) == [0, 1, 2, 3]


@pytest.mark.parametrize("change", [{"ema_decay": 0.9}, {"swa_start": 0.25}])
def test_the_average_that_was_measured_is_kept(
    study: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, float]
) -> None:
    measured: dict[int, dict[str, torch.Tensor]] = {}
    step = SegmentationModule.validation_step

    def seen(self: SegmentationModule, batch: dict[str, torch.Tensor], number: int) -> None:
        state = self.network.state_dict()
        measured[self.current_epoch] = {name: value.clone() for name, value in state.items()}
        step(self, batch, number)

    with_tuning_dice(monkeypatch, [0.1, 0.2, 0.3, 0.9, 0.4, 0.5])
    monkeypatch.setattr(SegmentationModule, "validation_step", seen)
    config = replace(TINY, epochs=6, **change)  # type: ignore[arg-type]
    assert config.keep == "best"
    model = load_model(run_fold(study, config))
    assert model.card["epoch"] == 3
    for name, value in model.network.state_dict().items():
        assert value.equal(measured[3][name]), name


def test_a_moving_average_goes_to_other_processes() -> None:
    average = pickle.loads(pickle.dumps(MovingAverage(0.75)))
    update = average._kwargs["multi_avg_fn"]
    averages, weights = [torch.tensor([1.0])], [torch.tensor([5.0])]
    update(averages, weights, 1)
    assert averages[0].item() == 2.0


def test_a_training_goes_on_along_its_course_with_another_number_of_devices(
    study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = pd.read_csv(run_fold(study) / "history.csv")["learning_rate"]
    target = study / "segmentation" / "fold-0"
    for name in ("model.json", "model.safetensors", "history.csv"):
        (target / name).unlink()
    with power_cut():
        run_fold(study)
    # As from two devices, where an epoch has half as many steps.
    last = target / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    course = checkpoint["lr_schedulers"][0]
    assert course["total_steps"] % 2 == 0
    course["total_steps"] //= 2
    course["last_epoch"] //= 2
    for phase in course["_schedule_phases"]:
        phase["end_step"] = (phase["end_step"] + 1) / 2 - 1
    torch.save(checkpoint, last)
    rates = pd.read_csv(run_fold(study) / "history.csv")["learning_rate"]
    assert "begun with another number of devices: it goes on from epoch 2" in caplog.text
    assert list(rates) == pytest.approx(list(whole))
    # The last step has the end of the course, not the step that does not come any more.
    assert whole.iloc[-1] == pytest.approx(TINY.learning_rate / 25e4)


def test_the_sweep_of_the_learning_rate_does_not_stand_still(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    def look(self: SegmentationModule, *_: Any) -> None:
        seen.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    monkeypatch.setattr(SegmentationModule, "on_before_zero_grad", look)
    config = replace(TINY, find_learning_rate=True, epochs=20)
    folder, job, plan = first_fold(study, config)
    plain = search.find(config, folder, job, plan)
    averaged = search.find(replace(config, swa_start=0.5), folder, job, plan)
    assert averaged == plain
    assert max(seen) > search.RATES[1] / 2


def test_a_sweep_that_ends_in_losses_that_are_not_finite_has_a_learning_rate(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = SegmentationModule._training_loss

    def lost(self: SegmentationModule, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        spoilt = torch.nan if self.global_step >= 60 else 1.0
        return loss(self, batch) * spoilt

    monkeypatch.setattr(SegmentationModule, "_training_loss", lost)
    config = replace(TINY, find_learning_rate=True)
    folder, job, plan = first_fold(study, config)
    found = search.find(config, folder, job, plan)
    assert search.RATES[0] <= found["learning_rate"] < search.RATES[1]


def test_another_threshold_trains_nothing(study: Path) -> None:
    target = run_fold(study)
    before = (target / "model.safetensors").stat().st_mtime_ns
    history = read_csv(target / "history.csv")
    for threshold in (0.2, "expected-dice"):
        run_fold(study, replace(TINY, threshold=threshold))
        assert (target / "model.safetensors").stat().st_mtime_ns == before
    anew = run_fold(study, replace(TINY, threshold=0.01, learning_rate=0.002))
    assert (anew / "model.safetensors").stat().st_mtime_ns != before
    assert not read_csv(anew / "history.csv").equals(history)


def test_arrays_of_other_pixels_are_not_trained_on(study: Path) -> None:
    prepare(TINY, study)
    with pytest.raises(MammoroiError) as refused:
        train_prepared(replace(TINY, working_spacing_mm=0.5), study)
    assert "prepared with pixels of 2 x 2" in str(refused.value)
    assert "the settings ask for 0.5 mm -> run mammoroi prepare" in str(refused.value)
    two = replace(TINY, outline_spacing_mm=1.0, outline_patch=(32, 32), epochs=1)
    with pytest.raises(MammoroiError, match=r"outline/prepared/index.csv is missing: .* at 1 mm"):
        train_prepared(two, study)


def test_arrays_of_a_preparation_that_was_stopped_are_not_trained_on(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(TINY, study)
    last = max(path.stem for path in (study / "segmentation/prepared").glob("*.json"))

    def stopped(case: Source, *given: Any) -> dict[str, Any]:
        if case.image_id == last:
            raise KeyboardInterrupt
        return prepare_case(case, *given)

    coarser = replace(TINY, working_spacing_mm=3.0)
    with monkeypatch.context() as patched:
        patched.setattr("mammoroi.segmentation.prepare.prepare_case", stopped)
        with pytest.raises(KeyboardInterrupt):
            prepare(coarser, study)
    with pytest.raises(MammoroiError, match=r"another array than that of index.csv.* -> run mammo"):
        train_prepared(coarser, study)


def test_normal_mammograms_of_other_pixels_are_not_trained_on(study: Path, normals: Path) -> None:
    config = replace(TINY, normal_cohort=str(normals))
    prepare_all(config, study)
    coarser = replace(config, working_spacing_mm=3.0)
    prepare(coarser, study)
    with pytest.raises(MammoroiError, match=r"prepared/normals is prepared with pixels of 2 x 2"):
        train_prepared(coarser, study)


def test_a_mask_beside_the_breast_is_told_and_teaches_nothing(
    tmp_path: Path, make_study: Callable[..., Path]
) -> None:
    from PIL import Image

    study = make_study(tmp_path / "study", patients=6, test=1, folds=2)
    table = read_csv(study / "cohort.csv", dtype=str)
    row = table[table["patient_id"] == "P03"].iloc[0]
    file = study / row["mask"]
    with Image.open(file) as mask:
        columns, rows = mask.size
    air = Image.new("L", (columns, rows))
    air.putpixel((columns - 1 if "-L-" in row["image_id"] else 0, 0), 255)
    air.save(file)
    config = replace(TINY, epochs=1)
    prepared = prepare(config, study)
    failures = read_csv(prepared / "failures.csv", dtype=str)
    assert list(failures["case"]) == [row["image_id"]]
    assert "0 % of the mask" in failures["error"].iloc[0]
    assert "mirrored" in failures["action"].iloc[0]
    assert row["image_id"] not in set(read_csv(prepared / "index.csv", dtype=str)["image_id"])
    train(config, study)
    card = read_json(study / "segmentation" / "fold-0" / "model.json")
    assert card["n_training_images"] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"crops": "lesions"}, "set it to halves, or set a patch"),
        ({"encoder_weights": "imagenet"}, "set it to null: only smp-unet"),
        ({"threshold": "expected_dice"}, "set it to a number between 0 and 1, or expected-dice"),
        ({"precision": 8}, "precision"),
    ],
)
def test_settings_without_effect_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(MammoroiError) as refused:
        SegmentationConfig(**change)
    assert said in str(refused.value)


def test_a_precision_may_be_a_number() -> None:
    assert SegmentationConfig(precision=32) == SegmentationConfig(precision="32")
    assert (
        SegmentationConfig(precision=32).training() == SegmentationConfig(precision="32").training()
    )


def test_settings_that_train_nothing_are_not_in_a_key() -> None:
    plain = SegmentationConfig()
    for change in ({"threshold": 0.3}, {"threshold": "expected-dice"}, {"max_components": 0}):
        assert replace(plain, **change).training() == plain.training()
    last = replace(plain, keep="last")
    assert replace(last, patience=5).training() == last.training() != plain.training()
    assert replace(plain, patience=5).training() != plain.training()
