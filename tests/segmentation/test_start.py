"""Networks that start from another one's weights."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, sha256_of
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.fold_jobs import fold_job, make_plan
from mammoroi.segmentation.learned_from import learned_from, note_learned_from
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.network import NetworkSpec, build_network
from mammoroi.segmentation.outline import outline_config, training_places
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.start import start_of
from mammoroi.segmentation.train import TRAINING_VERSION, train_fold, train_prepared
from mammoroi.segmentation.weights import load_model, load_models, save_model

from .conftest import write_study

TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    epochs=1,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    workers=1,
)
TWO = replace(TINY, outline_spacing_mm=1.0, outline_patch=(32, 32))
RESNET = replace(TINY, architecture="smp-unet", decoder_channels=(8, 8, 8, 8, 8))


def trained(folder: Path, config: SegmentationConfig = TINY, fold: int = 0, seed: int = 3) -> Path:
    """A network of random weights and random running statistics, with its card."""
    torch.manual_seed(seed)
    spec = NetworkSpec.of(config)
    state = build_network(spec).state_dict()
    for name, tensor in state.items():
        if name.endswith("running_mean"):
            tensor.normal_()
    card = {"fold": fold, "network": spec.to_json(), "inference": config.inference()}
    save_model(folder, state, {**card, "notice": "Of a test.", "key": str(seed)})
    return folder


def trained_twice(folder: Path, folds: int = 2, second: SegmentationConfig = TINY) -> Path:
    """A study's networks of two stages."""
    for fold in range(folds):
        trained(folder / f"fold-{fold}", fold=fold, seed=fold)
        trained(folder / "outline" / f"fold-{fold}", second, fold=fold, seed=10 + fold)
    (folder / "outline" / "outline.json").write_text("{}")
    return folder


def run_fold(study: Path, config: SegmentationConfig, fold: int = 0) -> Path:
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    job = fold_job(config, load_splits(study), fold, index)
    return train_fold(config, folder, job, make_plan(config, index))


class Begun(BaseException):
    pass


def first_weights(
    study: Path, config: SegmentationConfig, monkeypatch: pytest.MonkeyPatch, fold: int = 0
) -> dict[str, torch.Tensor]:
    """What a fold's network is before its first step."""
    found = {}

    def look(self: SegmentationModule) -> None:
        found.update({k: v.clone() for k, v in self.network.state_dict().items()})
        raise Begun

    with monkeypatch.context() as patched:
        patched.setattr(SegmentationModule, "on_train_start", look)
        with pytest.raises(Begun):
            run_fold(study, config, fold)
    return found


@pytest.mark.parametrize("config", [TINY, RESNET, replace(TINY, ema_decay=0.9)])
def test_the_first_step_is_from_exactly_these_weights(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: SegmentationConfig
) -> None:
    start = trained(tmp_path / "start", config)
    expected = load_model(start).network.state_dict()
    found = first_weights(study, replace(config, start_from=str(start)), monkeypatch)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensor.equal(found[name]), name


def test_the_key_and_the_card_know_the_weights_and_not_their_place(
    study: Path, tmp_path: Path
) -> None:
    start = trained(tmp_path / "start")
    target = run_fold(study, replace(TINY, start_from=str(start)))
    card = load_model(target).card
    sha256 = load_model(start).sha256
    assert card["started_from"] == {
        "sha256": sha256,
        "notice": "Of a test.",
        "patients_known": False,
        "started_from": None,
    }
    assert str(start) not in json.dumps(card)

    stamp = (target / "model.safetensors").stat().st_mtime_ns
    start = start.rename(tmp_path / "moved")
    run_fold(study, replace(TINY, start_from=str(start)))
    assert (target / "model.safetensors").stat().st_mtime_ns == stamp
    trained(start, seed=4)
    run_fold(study, replace(TINY, start_from=str(start)))
    other = load_model(target).card
    assert other["key"] != card["key"]
    assert other["started_from"]["sha256"] != sha256
    assert load_model(run_fold(study, TINY)).card["key"] not in (card["key"], other["key"])


def test_without_a_start_keys_are_what_they_were(study: Path) -> None:
    target = run_fold(study, TINY)
    index = read_csv(target.parent / "prepared" / "index.csv", dtype={"patient_id": str})
    job = fold_job(TINY, load_splits(study), 0, index)
    before = {name: getattr(job, name) for name in ("fold", "sets", "training", "tuning")}
    plan = make_plan(TINY, index[index["has_mask"]])
    card = read_json(target / "model.json")
    assert card["key"] == sha256_of(TRAINING_VERSION, TINY.training(), plan, before)
    assert not {"start_from", "pretraining_epochs"} & set(TINY.training())
    assert not {"started_from", "pretraining"} & set(card)


def test_four_epochs_from_a_start_are_two_and_two_more(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = trained(tmp_path / "start")
    config = replace(TINY, epochs=4, start_from=str(start))
    target = run_fold(study, config)
    whole = load_model(target).network.state_dict()
    shutil.rmtree(target)

    def stop(self: SegmentationModule) -> None:
        if self.current_epoch == 2:
            raise Begun

    with monkeypatch.context() as patched:
        patched.setattr(SegmentationModule, "on_train_epoch_start", stop)
        with pytest.raises(Begun):
            run_fold(study, config)
    again = load_model(run_fold(study, config)).network.state_dict()
    assert all(tensor.equal(again[name]) for name, tensor in whole.items())


def test_each_fold_starts_from_the_same_fold_else_from_the_first(tmp_path: Path) -> None:
    for fold in range(2):
        trained(tmp_path / f"fold-{fold}", fold=fold, seed=fold)
    config = replace(TINY, start_from=str(tmp_path))
    folders = [start.folder.name for fold in range(3) if (start := start_of(config, fold))]
    assert folders == ["fold-0", "fold-1", "fold-0"]


def test_the_second_stage_starts_from_the_second_stage(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TWO, start_from=str(trained_twice(tmp_path / "other")))
    second = outline_config(config)
    for stage, place in ((config, tmp_path / "other"), (second, tmp_path / "other" / "outline")):
        found = [start.folder for fold in range(3) if (start := start_of(stage, fold))]
        assert found == [place / name for name in ("fold-0", "fold-1", "fold-0")]
    expected = load_model(tmp_path / "other" / "outline" / "fold-1")
    weights = first_weights(study, second, monkeypatch, fold=1)
    assert all(t.equal(weights[name]) for name, t in expected.network.state_dict().items())
    card = load_model(run_fold(study, second, fold=1)).card["started_from"]
    assert (card["sha256"], card["stage"]) == (expected.sha256, "second")


def test_without_a_second_stage_of_its_kind_it_starts_from_the_first(tmp_path: Path) -> None:
    wider = replace(TINY, channels=(4, 4, 8, 8, 16))
    trained_twice(tmp_path / "wider", second=wider)
    trained_twice(tmp_path / "one")
    (tmp_path / "one" / "outline" / "outline.json").unlink()
    alone = trained_twice(tmp_path / "alone") / "fold-1"
    for start in (str(tmp_path / "wider"), str(tmp_path / "one"), str(alone), "phantoms", None):
        assert outline_config(replace(TWO, start_from=start)).start_from == start
    # What is no part of a U-Net of this kind may differ.
    other = replace(TWO, channels=wider.channels, encoder="resnet34")
    other = replace(other, start_from=str(tmp_path / "wider"))
    assert outline_config(other).start_from == str(tmp_path / "wider" / "outline")


def test_the_patients_of_the_second_stage_that_starts_are_looked_at(
    study: Path, tmp_path: Path
) -> None:
    other = trained_twice(tmp_path / "other")
    for fold in range(2):
        note_learned_from(other / f"fold-{fold}", {"training": ["A"]})
        note_learned_from(other / "outline" / f"fold-{fold}", {"training": ["A", "P00"]})
    config = replace(TWO, start_from=str(other))
    for settings, place in training_places(config):
        prepare(settings, study, place)
    with pytest.raises(MammoroiError, match=r"in .*outline/fold-0 has learned from 1 of the pat"):
        train_prepared(config, study)


def test_the_shipped_network_is_named_phantoms(study: Path) -> None:
    config = replace(TINY, channels=(8, 16, 32, 64, 128), start_from="phantoms")
    prepare(config, study)
    train_prepared(config, study)
    for model in load_models(study / "segmentation"):
        assert "phantoms" in model.card["started_from"]["notice"]
        assert model.notice is None


def test_other_studies_and_the_same_folds_may_start_and_leaks_are_refused(
    study: Path, tmp_path: Path
) -> None:
    """Two studies of the same patients: honest only while their folds are the same."""
    prepare(TINY, study)
    first = train_prepared(TINY, study)
    other = write_study(tmp_path / "other", patients=10, test=2, folds=2)
    config = replace(TINY, seed=16, start_from=str(first))
    prepare(config, other)
    train_prepared(config, other)
    told = [model.card["started_from"] for model in load_models(other / "segmentation")]
    assert [one["sha256"] for one in told] == [model.sha256 for model in load_models(first)]
    assert all(one["patients_known"] for one in told)

    message = r"has learned from 4 of the patients whose masks fold 1 is to draw"
    with pytest.raises(MammoroiError, match=message):  # fold 1 from the network of fold 0
        train_prepared(replace(config, start_from=str(first / "fold-0")), other)

    splits = json.loads((other / "splits.json").read_text())
    splits["folds"].reverse()
    (other / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(MammoroiError, match="of a study with the same"):
        train_prepared(config, other)

    # The splits of the first study were made anew and nothing was trained since: its networks
    # have still learned from the same patients.
    roles = pd.read_csv(first / "folds.csv")
    roles["fold"] = 1 - roles["fold"]
    roles.to_csv(first / "folds.csv", index=False)
    with pytest.raises(MammoroiError, match="of a study with the same"):
        train_prepared(config, other)

    for fold in ("fold-0", "fold-1"):
        strangers = pd.read_csv(first / fold / "learned_from.csv")
        strangers["patient_id"] = "X" + strangers["patient_id"]
        strangers.to_csv(first / fold / "learned_from.csv", index=False)
    train_prepared(config, other)

    with pytest.raises(MammoroiError, match="which this training writes to"):
        train_prepared(replace(config, start_from=str(other / "segmentation")), other)


def test_patients_of_the_pre_training_and_of_the_start_of_the_start_count(
    study: Path, tmp_path: Path
) -> None:
    """Fold 0 of this study, begun from a network that began from one that had seen P02."""
    first = trained(tmp_path / "first")
    note_learned_from(first, {"training": ["A"], "pretraining": ["P02"]})
    strangers = write_study(tmp_path / "second", patients=4, test=0, folds=2)
    for name in ("cohort.csv", "patients.csv", "splits.json"):
        file = strangers / name
        file.write_text(re.sub(r"\bP0", "S0", file.read_text()))
    for picture in strangers.glob("*.png"):
        picture.rename(picture.with_name(picture.name.replace("P0", "S0")))
    second = run_fold(strangers, replace(TINY, start_from=str(first)))
    rows = read_csv(second / "learned_from.csv", dtype=str)
    assert rows[rows["role"] == "start"]["patient_id"].tolist() == ["A", "P02"]
    assert learned_from(second) == {"A", "P02", *rows[rows["role"] != "start"]["patient_id"]}
    assert load_model(second).card["started_from"]["patients_known"]
    assert "P02" in load_splits(study).folds[0].validation
    prepare(TINY, study)
    with pytest.raises(MammoroiError, match="learned from 1 of the patients whose masks fold 0"):
        train_prepared(replace(TINY, start_from=str(second)), study)


def test_another_architecture_is_refused_with_the_difference(study: Path, tmp_path: Path) -> None:
    start = trained(tmp_path / "start", replace(TINY, channels=(4, 4, 8, 8, 16)))
    prepare(TINY, study)
    message = (
        r"channels \[4, 4, 8, 8, 16\] there, \[4, 4, 8, 8, 8\] here; \d+ tensors, the first "
        r".*set architecture, channels"
    )
    with pytest.raises(MammoroiError, match=message):
        train_prepared(replace(TINY, start_from=str(start)), study)


def test_a_start_that_is_none_is_refused(study: Path, tmp_path: Path) -> None:
    prepare(TINY, study)
    with pytest.raises(MammoroiError, match=r"holds no trained network.*'phantoms'"):
        train_prepared(replace(TINY, start_from=str(tmp_path)), study)
    start = trained(tmp_path / "start")
    (start / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(MammoroiError, match="its SHA-256 is not that of its card"):
        train_prepared(replace(TINY, start_from=str(start)), study)
    with pytest.raises(MammoroiError, match="with start_from all weights come from there"):
        replace(RESNET, encoder_weights="imagenet", start_from=str(start))


def test_the_learning_rate_is_searched_from_the_start(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mammoroi.segmentation.search import find

    start = trained(tmp_path / "start")
    config = replace(TINY, find_learning_rate=True, start_from=str(start))
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    job = fold_job(config, load_splits(study), 0, index)
    found = {}

    def look(self: SegmentationModule) -> None:
        found.update({k: v.clone() for k, v in self.network.state_dict().items()})
        raise Begun

    monkeypatch.setattr(SegmentationModule, "on_train_start", look)
    with pytest.raises(Begun):
        find(config, folder, job, make_plan(config, index))
    expected = load_model(start).network.state_dict()
    assert all(tensor.equal(found[name]) for name, tensor in expected.items())


def test_a_study_trains_again_when_the_start_has_changed(tmp_path: Path) -> None:
    from mammoroi.cohort.config import CohortConfig
    from mammoroi.stages import STAGES, StudyConfig
    from mammoroi.study import _key

    stage = next(stage for stage in STAGES if stage.name == "train")
    accept = next(stage for stage in STAGES if stage.name == "accept")
    start = trained(tmp_path / "start")
    config = StudyConfig(
        tmp_path / "study",
        CohortConfig(tmp_path),
        segmentation=replace(TINY, start_from=str(start)),
    )
    done = {"accept": {"wrote": accept.digest(config.out), "read": {}}}
    key = _key(stage, config, done)
    assert _key(stage, config, done) == key
    trained(start, seed=4)
    assert _key(stage, config, done) != key

    two = replace(TWO, start_from=str(trained_twice(tmp_path / "two")))
    config = replace(config, segmentation=two)
    key = _key(stage, config, done)
    trained(tmp_path / "two" / "outline" / "fold-1", fold=1, seed=4)
    assert _key(stage, config, done) != key


@pytest.mark.slow
def test_two_processes_start_alike(study: Path, tmp_path: Path) -> None:
    start = trained(tmp_path / "start")
    config = replace(TINY, devices=2, start_from=str(start), pretraining_epochs=1)
    prepare(config, study)
    train_prepared(config, study)
    for model in load_models(study / "segmentation"):
        assert model.card["started_from"]["sha256"] == load_model(start).sha256
        assert model.card["pretraining"]["epochs"] == 1
