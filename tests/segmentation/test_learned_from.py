"""No network draws a patient whom it has seen, whatever has happened since it was trained."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.export import export
from mammoroi.segmentation.learned_from import check_unseen, note_learned_from
from mammoroi.segmentation.new_mammograms import segment_images
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.train import train
from mammoroi.segmentation.weights import load_models

from .conftest import write_study

CONFIG = SegmentationConfig(
    working_spacing_mm=3.0,
    channels=(2, 2, 2, 4, 4),
    epochs=1,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    workers=1,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = write_study(tmp_path_factory.mktemp("learned") / "study", patients=8, test=2, folds=2)
    train(CONFIG, study)
    return study


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "study"))


def digests(study: Path) -> list[str]:
    return [model.sha256 for model in load_models(study / "segmentation")]


def exchange_folds(study: Path) -> None:
    splits = json.loads((study / "splits.json").read_text())
    splits["folds"].reverse()
    (study / "splits.json").write_text(json.dumps(splits))


def test_a_network_says_from_whom_it_has_learned(trained: Path) -> None:
    splits = load_splits(trained)
    roles = read_csv(trained / "segmentation" / "folds.csv", dtype={"patient_id": str})
    for fold in range(2):
        told = read_csv(trained / "segmentation" / f"fold-{fold}" / "learned_from.csv", dtype=str)
        assert set(told["patient_id"]) == set(splits.folds[fold].train)
        own = roles[(roles["fold"] == fold) & (roles["role"] != "validation")]
        pairs = [set(zip(one["patient_id"], one["role"], strict=True)) for one in (told, own)]
        assert pairs[0] == pairs[1]


def test_patients_divided_anew_are_not_drawn_and_networks_come_back(
    study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment(CONFIG, study)
    before = digests(study)
    exchange_folds(study)
    with pytest.raises(MammoroiError, match=r"fold-0 has learned from 3 of .*P03, P05, P07.*train"):
        segment(CONFIG, study)
    train(CONFIG, study)
    assert "fold 0 is trained anew" in caplog.text
    assert "set aside" in caplog.text
    segment(CONFIG, study)
    assert not set(before) & set(digests(study))
    # Taken back, they need no training.
    exchange_folds(study)
    caplog.clear()
    train(CONFIG, study)
    assert digests(study) == before
    assert "trained anew" not in caplog.text
    segment(CONFIG, study)
    assert len(list((study / "segmentation" / "set-aside").glob("fold-*"))) == 2


def test_a_patient_of_the_test_set_counts(study: Path) -> None:
    splits = json.loads((study / "splits.json").read_text())
    moved = splits["folds"][0]["train"].pop()
    splits["folds"][1]["validation"].remove(moved)
    splits["train"].remove(moved)
    splits["test"].append(moved)
    (study / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(MammoroiError, match=rf"fold-0 has learned from 1 of .*\({moved}\)"):
        segment(CONFIG, study)


def test_every_fold_is_asked_about_its_own_patients_and_mammograms(tmp_path: Path) -> None:
    for fold, names in enumerate(("ABCD", "EFGH")):
        roles = dict(zip(("training", "tuning", "pretraining", "start"), names, strict=True))
        (tmp_path / f"fold-{fold}").mkdir()
        note_learned_from(tmp_path / f"fold-{fold}", roles, [("n", f"key {fold}", f"N{fold}")])
    nobody: list[set[str]] = [set(), set()]
    check_unseen(tmp_path, [{*"EFGH", "N1"}, {*"ABCD", "N0"}], [{"key 1"}, {"key 0"}])
    for fold, names in enumerate((("A", "B", "C", "D", "N0"), ("E", "F", "G", "H", "N1"))):
        for name in names:
            drawn = [{name} if number == fold else set() for number in range(2)]
            with pytest.raises(MammoroiError, match=rf"fold-{fold} has learned .*\({name}\)"):
                check_unseen(tmp_path, drawn, nobody)
        keys = [{f"key {fold}"} if number == fold else set() for number in range(2)]
        with pytest.raises(MammoroiError, match=rf"fold-{fold} has learned from 1 of the mammogr"):
            check_unseen(tmp_path, nobody, keys)


def test_of_whom_nothing_is_known_nobody_is_drawn(study: Path) -> None:
    weights = study / "segmentation" / "fold-1" / "model.safetensors"
    stamp = weights.stat().st_mtime_ns
    (weights.parent / "learned_from.csv").unlink()
    with pytest.raises(MammoroiError, match=r"not known from whom .*fold-1 has learned.*run mam"):
        segment(CONFIG, study)
    train(CONFIG, study)  # its key tells
    segment(CONFIG, study)
    assert weights.stat().st_mtime_ns == stamp


def test_other_settings_than_those_of_the_training_are_refused(study: Path) -> None:
    arrays = study / "segmentation" / "prepared" / "P00-L-CC.npy"
    shape = np.load(arrays).shape
    with pytest.raises(MammoroiError, match=r"were trained with working_spacing_mm 3.0, not 2.0"):
        segment(replace(CONFIG, working_spacing_mm=2.0), study)
    assert np.load(arrays).shape == shape
    with pytest.raises(MammoroiError, match=r"trained with channels \[.*\]; epochs 1, not 5"):
        segment(replace(CONFIG, channels=(2, 2, 2, 4, 8), epochs=5), study)


def test_damaged_weights_are_trained_anew(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = digests(study)
    weights = study / "segmentation" / "fold-0" / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-2:] = bytes(255 - byte for byte in damaged[-2:])
    weights.write_bytes(bytes(damaged))
    with pytest.raises(MammoroiError, match="was changed"):
        segment(CONFIG, study)
    train(CONFIG, study)
    assert "fold 0 is trained anew: its weights" in caplog.text
    assert digests(study) == before
    assert not (study / "segmentation" / "set-aside").exists()


def test_networks_that_do_not_belong_together_are_refused(study: Path, tmp_path: Path) -> None:
    folder = study / "segmentation"
    card = read_json(folder / "fold-1" / "model.json")
    card["settings"] |= {"working_spacing_mm": 2.0, "epochs": 7, "threshold": 0.9, "patience": 5}
    (folder / "fold-1" / "model.json").write_text(json.dumps(card))
    told = "several trainings: epochs 1 and 7; working_spacing_mm 3.0 and 2.0"
    with pytest.raises(MammoroiError, match=told):
        load_models(folder)
    (folder / "fold-1").rename(folder / "fold-2")
    with pytest.raises(MammoroiError, match="folds 0, 2, and not of those between"):
        load_models(folder)
    assert len(load_models(folder / "fold-2")) == 1


def test_a_training_that_is_not_finished_draws_nothing_new(study: Path, tmp_path: Path) -> None:
    """Its networks were taken for all of them, though another fold's are still to come."""
    folder = study / "segmentation"
    shutil.rmtree(folder / "fold-1")
    for use in (
        lambda: segment_images(study, [study / "P00-L-CC.png"], tmp_path / "masks", 1.0),
        lambda: export(study, "torch-export", tmp_path / "exported"),
    ):
        with pytest.raises(MammoroiError, match=r"lacks the networks of the folds 1.*train"):
            use()
    (folder / "folds.csv").unlink()  # as where the networks alone were copied
    assert len(load_models(folder)) == 1


def test_the_table_stays_in_the_training_folder(study: Path) -> None:
    from mammoroi.clinic.freeze import _networks

    told = pd.read_csv(study / "segmentation" / "fold-0" / "learned_from.csv", dtype=str)
    members = dict(_networks(study))
    assert not any("learned_from" in name for name in members)
    everything = b"".join(members.values())
    assert not any(name.encode() in everything for name in told["patient_id"])
