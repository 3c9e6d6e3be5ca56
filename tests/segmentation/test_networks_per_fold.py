"""Several networks per fold: which of them draw whose masks, and what is kept when."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mammoroi.clinic.freeze import _networks
from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, sha256_of
from mammoroi.segmentation import train as training
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.export import export
from mammoroi.segmentation.fold_jobs import fold_job, make_plan
from mammoroi.segmentation.folds import NetworkName, network_names
from mammoroi.segmentation.learnt import dice_of_settings, grid
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.network import NetworkSpec, build_network
from mammoroi.segmentation.new_mammograms import segment_images
from mammoroi.segmentation.outline import trained_outline
from mammoroi.segmentation.postprocess import draw_mask
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.prepare import load_mapping, prepare
from mammoroi.segmentation.probability import probabilities
from mammoroi.segmentation.progress import bars
from mammoroi.segmentation.train import train, train_prepared
from mammoroi.segmentation.uncertainty import uncertainty
from mammoroi.segmentation.weights import Model, load_model, load_models, save_model

from .conftest import write_study

ONE = SegmentationConfig(
    working_spacing_mm=3.0,
    channels=(2, 2, 2, 4, 4),
    epochs=1,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    threshold="expected-dice",
    workers=1,
)
TWO = replace(ONE, networks_per_fold=2)
FOLDERS = ["fold-0", "fold-0-network-2", "fold-1", "fold-1-network-2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with two networks for each of two folds; not to be changed."""
    study = write_study(tmp_path_factory.mktemp("two") / "study", patients=8, test=2, folds=2)
    train(TWO, study)
    return study


@pytest.fixture
def two(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed, whose networks draw something: one epoch teaches nothing."""
    study = shutil.copytree(made, tmp_path / "copy")
    for name in FOLDERS:
        change(study / "segmentation" / name, {"weight": 60.0, "bias": 0.0})
    return study


def change(target: Path, factors: dict[str, float]) -> None:
    """Multiply the last layer of a network."""
    model = load_model(target)
    state = model.network.state_dict()
    for name, factor in factors.items():
        state[f"final_conv.{name}"] = state[f"final_conv.{name}"] * factor
    save_model(target, state, model.card)


def digests(study: Path) -> dict[str, str]:
    """SHA-256 of the weights of each network folder."""
    folder = study / "segmentation"
    return {
        path.parent.name: str(read_json(path)["sha256"])
        for path in sorted(folder.glob("fold-*/model.json"))
    }


def mean_of(models: list[Model], study: Path, image_id: str) -> tuple[np.ndarray, list[np.ndarray]]:
    array = np.load(study / "segmentation" / "prepared" / f"{image_id}.npy")
    members = [
        one
        for model in models
        for one in probabilities(model, array, ONE.inference(), torch.device("cpu"))
    ]
    return np.mean(members, axis=0), members


def of_fold(study: Path, fold: int) -> list[Model]:
    names = [name for name in FOLDERS if name.startswith(f"fold-{fold}")]
    return [load_model(study / "segmentation" / name) for name in names]


def test_names_and_folders() -> None:
    names = network_names(2, 2)
    assert [name.folder for name in names] == FOLDERS
    assert [str(name) for name in names][2:] == ["fold 1", "fold 1, network 2"]
    assert [NetworkName.of(name.folder) for name in names] == names == sorted(names)
    for other in ("fold-0-network-1", "fold-01", "fold-0-old", "fold-", "fold-0-network-", "x"):
        assert NetworkName.of(other) is None


def test_the_first_network_has_the_seed_of_the_study_and_no_other_shares_one() -> None:
    assert NetworkName(3).seed(15) == 15
    seeds = {name.seed(15) + name.fold for name in network_names(10, 20)}
    assert len(seeds) == 200
    assert NetworkName(0, 2).seed(15) == NetworkName(4, 2).seed(15) < 2**31


def test_a_fold_trains_them_on_the_same_patients_and_they_differ(made: Path) -> None:
    assert list(digests(made)) == FOLDERS
    assert len(set(digests(made).values())) == 4
    cards = [model.card for model in load_models(made / "segmentation")]
    assert [(card["fold"], card["network_of_fold"]) for card in cards] == [
        (0, 1), (0, 2), (1, 1), (1, 2)
    ]  # fmt: skip
    assert len({card["key"] for card in cards}) == 4
    assert {card["settings"]["seed"] for card in cards} == {15}
    for first, second in (cards[:2], cards[2:]):
        for name in ("n_training_patients", "n_tuning_images", "plan"):
            assert first[name] == second[name]
    roles = read_csv(made / "segmentation" / "folds.csv")
    assert len(roles) == 2 * 6
    assert not roles.duplicated(["patient_id", "fold"]).any()


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str], int]]:
    """Of every network that is trained: training images, tuning images, seed."""
    from mammoroi.segmentation import fit as fitting

    seen: list[tuple[list[str], list[str], int]] = []
    images_of = fitting.images_of

    def noted(config: SegmentationConfig, folder: Path, job: Any, plan: Any) -> Any:
        parts = [[image for image, _ in part] for part in (job.training, job.tuning)]
        seen.append((parts[0], parts[1], config.seed + job.fold))
        return images_of(config, folder, job, plan)

    monkeypatch.setattr(fitting, "images_of", noted)
    return seen


def test_raising_trains_the_further_networks_only(
    tmp_path: Path, images: list[tuple[list[str], list[str], int]], made: Path
) -> None:
    study = write_study(tmp_path / "study", patients=8, test=2, folds=2)
    train(ONE, study)
    first = digests(study)
    assert list(first) == ["fold-0", "fold-1"]
    stamps = {name: _stamp(study, name) for name in first}
    key = read_json(study / "segmentation/fold-1/model.json")["key"]
    index = read_csv(study / "segmentation/prepared/index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    job = fold_job(ONE, load_splits(study), 1, index)
    inputs = {"fold": 1, "sets": job.sets, "training": job.training, "tuning": job.tuning}
    plan = make_plan(ONE, index)
    # The key of before there were several: a finished network of an older study is kept.
    assert key == sha256_of(training.TRAINING_VERSION, ONE.training(), plan, inputs)

    train(TWO, study)
    assert {name: _stamp(study, name) for name in first} == stamps
    assert digests(study) == digests(made), "trained at once or one after the other"
    assert len(images) == 4
    for fold in (0, 1):
        assert images[fold][:2] == images[2 + fold][:2], "the same patients"
    assert len({seed for _, _, seed in images}) == 4


def _stamp(study: Path, name: str) -> int:
    return (study / "segmentation" / name / "model.safetensors").stat().st_mtime_ns


def test_lowering_sets_the_others_aside_and_raising_takes_them_back(
    two: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(two)
    with pytest.raises(
        MammoroiError,
        match=r"not ask for: fold 0, network 2; fold 1, network 2 -> run mammoroi train",
    ):
        segment(ONE, two)
    monkeypatch.setattr(training, "fit", None)  # nothing is trained from here on
    train(ONE, two)
    folder = two / "segmentation"
    assert "fold 0, network 2 is not asked for any more: set aside" in caplog.text
    assert digests(two) == {name: before[name] for name in ("fold-0", "fold-1")}
    assert len(load_models(folder)) == 2
    assert sorted(path.name for path in (folder / "set-aside").iterdir()) == [
        "fold-0-network-2",
        "fold-1-network-2",
    ]
    with pytest.raises(MammoroiError, match=r"lacks networks: fold 0, network 2; fold 1, netw"):
        segment(TWO, two)
    masks = segment(ONE, two)
    image = next(iter(sorted(masks.glob("P02*.png"))))
    fold = load_splits(two).fold_of("P02")
    assert fold is not None
    mean, _ = mean_of([load_model(folder / f"fold-{fold}")], two, image.stem)
    assert np.array_equal(np.asarray(Image.open(image)) > 0, _mask(mean, two, image.stem))
    train(TWO, two)
    assert digests(two) == before
    assert not list((folder / "set-aside").iterdir())


def _mask(mean: np.ndarray, study: Path, image_id: str) -> np.ndarray:
    mapping = load_mapping(study, image_id)
    settings = (ONE.threshold, ONE.max_components, ONE.minimum_area_mm2)
    return draw_mask(mapping.to_original(mean), mapping.pixel_area_mm2, *settings)


def test_a_mask_is_that_of_the_mean_of_the_folds_own_networks(two: Path) -> None:
    """Recomputed by hand: probability, mask, member_dice and digest of every image."""
    segment(TWO, two)
    splits = load_splits(two)
    table = read_csv(two / "masks/predictions.csv", dtype={"fold": str}).set_index("image_id")
    assert len(table) == 16
    for image_id, row in table.iterrows():
        fold = splits.fold_of(row["patient_id"])
        assert row["fold"] == ("test" if fold is None else str(fold))
        folds = (0, 1) if fold is None else (fold,)
        models = [model for one in folds for model in of_fold(two, one)]
        assert len(models) == (4 if fold is None else 2)
        mean, members = mean_of(models, two, str(image_id))
        assert len(members) == 2 * len(models)  # as it is, and upside down
        drawn = np.asarray(Image.open(two / "masks/probability" / f"{image_id}.png"))
        np.testing.assert_allclose(drawn / 255, mean, atol=0.5 / 255 + 1e-6)
        mask = np.asarray(Image.open(two / "masks/automatic" / f"{image_id}.png")) > 0
        assert np.array_equal(mask, _mask(mean, two, str(image_id)))
        assert row["model_sha256"] == sha256_of([model.sha256 for model in models])
        cut = [member >= _threshold(member) for member in members]
        expected = uncertainty(mean, mean > 2, cut).member_dice
        assert row["member_dice"] == pytest.approx(expected)


def _threshold(member: np.ndarray) -> float:
    from mammoroi.segmentation.postprocess import threshold_of

    return threshold_of(member, ONE.threshold)


def test_another_folds_network_changes_no_mask_of_this_fold(two: Path) -> None:
    segment(TWO, two)
    before = {path.name: path.read_bytes() for path in (two / "masks/probability").iterdir()}
    change(two / "segmentation" / "fold-1-network-2", {"weight": -1.0})
    segment(TWO, two)
    splits = load_splits(two)
    changed = {
        path.stem.split("-")[0]
        for path in (two / "masks/probability").iterdir()
        if path.read_bytes() != before[path.name]
    }
    assert changed == {*splits.folds[1].validation, *splits.test}


def test_learnt_settings_rest_on_the_mean_of_a_folds_networks(two: Path) -> None:
    config = replace(TWO, postprocessing="learnt")
    train(config, two)
    learnt = read_json(two / "segmentation/postprocessing.json")
    splits, tried = load_splits(two), grid(config)
    for fold in (0, 1):
        rows = []
        for patient in splits.folds[1 - fold].validation:
            for file in sorted((two / "segmentation/prepared").glob(f"{patient}-*.mask.npy")):
                image_id = file.name.removesuffix(".mask.npy")
                mean, _ = mean_of(of_fold(two, 1 - fold), two, image_id)
                area = load_mapping(two, image_id).working_pixel_area_mm2
                rows.append(dice_of_settings(mean, np.load(file) > 0, area, tried))
        means = np.mean(rows, axis=0)
        assert learnt["folds"][fold]["dice"] == pytest.approx(means.max())
        assert learnt["folds"][fold]["n_images"] == len(rows) == 6


def test_new_mammograms_are_drawn_by_all_networks(made: Path, tmp_path: Path) -> None:
    images = [made / "P00-L-CC.png"]
    assert segment_images(made / "segmentation", images, tmp_path, spacing_mm=1.0) == []
    cards = read_json(tmp_path / "models.json")
    assert [card["sha256"] for card in cards] == list(digests(made).values())
    row = read_csv(tmp_path / "predictions.csv").iloc[0]
    assert row["model_sha256"] == sha256_of(list(digests(made).values()))


def test_a_network_that_fails_is_named_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path / "study", patients=8, test=2, folds=2)
    prepare(TWO, study)
    keep_model = training.keep_model

    def keep(target: Path, card: dict[str, Any]) -> None:
        if target.name == "fold-1-network-2":
            raise RuntimeError("no luck")
        keep_model(target, card)

    with monkeypatch.context() as patched:
        patched.setattr(training, "keep_model", keep)
        with pytest.raises(
            MammoroiError,
            match=r"1 of the networks could not be trained \(fold 1, network 2: .*no luck.*kept",
        ):
            train_prepared(TWO, study)
    assert read_csv(study / "segmentation/failures.csv")["case"].tolist() == ["fold 1, network 2"]
    assert list(digests(study)) == FOLDERS[:3]
    stamps = [_stamp(study, name) for name in FOLDERS[:3]]
    with pytest.raises(MammoroiError, match=r"model\.json does not exist"):
        segment(TWO, study)
    shutil.rmtree(study / "segmentation" / FOLDERS[3])
    with pytest.raises(MammoroiError, match=r"unequal numbers.*2 of fold 0, 1 of fold 1"):
        load_models(study / "segmentation")
    train_prepared(TWO, study)
    assert [_stamp(study, name) for name in FOLDERS[:3]] == stamps
    assert list(digests(study)) == FOLDERS


def test_a_further_network_goes_on_where_it_stopped_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TWO, epochs=4, keep="last", ema_decay=0.5)
    study = write_study(tmp_path / "study", patients=8, test=2, folds=2)
    prepare(config, study)
    folder = study / "segmentation"
    index = read_csv(folder / "prepared/index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    job = replace(fold_job(config, load_splits(study), 0, index), network=2)
    plan = make_plan(config, index)
    target = training.train_fold(config, folder, job, plan)
    assert target.name == "fold-0-network-2"
    assert (folder / ".fold-0-network-2.lock").exists()
    weights, history = (
        (target / name).read_bytes() for name in ("model.safetensors", "history.csv")
    )
    shutil.rmtree(target)

    def stop(self: SegmentationModule) -> None:
        if self.current_epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SegmentationModule, "on_train_epoch_start", stop)
        with pytest.raises(KeyboardInterrupt):
            training.train_fold(config, folder, job, plan)
    assert (target / "last.ckpt").exists()
    training.train_fold(config, folder, job, plan)
    assert (target / "model.safetensors").read_bytes() == weights
    assert (target / "history.csv").read_bytes() == history


def test_they_train_side_by_side_with_the_same_bits(made: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", patients=8, test=2, folds=2)
    prepare(TWO, study)
    train_prepared(replace(TWO, workers=2), study)
    assert list(digests(study)) == FOLDERS
    if torch.get_num_threads() == 1:  # as many as each of the two processes has on two cores
        assert digests(study) == digests(made)


def test_a_network_that_another_process_writes_is_not_moved(two: Path) -> None:
    from mammoroi.lock import held
    from mammoroi.segmentation.surplus import arrange

    folder = two / "segmentation"
    with (
        held(folder / ".fold-1-network-2.lock", "x"),
        pytest.raises(MammoroiError, match=r"fold-1-network-2 is being written"),
    ):
        arrange(folder, network_names(2, 1))
    assert (folder / "fold-1-network-2/model.json").exists()


def test_both_of_two_stages_have_as_many(tmp_path: Path, made: Path) -> None:
    study = write_study(tmp_path / "study", patients=8, test=2, folds=2)
    config = replace(TWO, outline_spacing_mm=2.0, outline_patch=(32, 32))
    train(config, study)
    outline = study / "segmentation" / "outline"
    assert digests(study) == digests(made)
    assert [path.parent.name for path in sorted(outline.glob("fold-*/model.json"))] == FOLDERS
    stage = trained_outline(config, study / "segmentation", 4)
    own = stage.of_prepared(study, "P03-R-CC", [1]).models
    assert [(m.card["fold"], m.card["network_of_fold"]) for m in own] == [(1, 1), (1, 2)]
    segment(config, study)
    assert len(read_csv(study / "masks/predictions.csv")) == 16
    members = dict(_networks(study))
    assert [name for name in members if name.endswith("json")] == [
        "outline/outline.json",
        *(f"{place}fold-{n}/model.json" for n in range(4) for place in ("", "outline/")),
    ]
    pairs = [
        [json.loads(members[f"{place}fold-{n}/model.json"]) for place in ("", "outline/")]
        for n in range(4)
    ]
    for first, second in pairs:
        for name in ("fold", "network_of_fold", "n_training_patients"):
            assert first[name] == second[name]
        assert first["sha256"] != second["sha256"]
    train(replace(config, networks_per_fold=1), study)
    for folder in (outline.parent, outline):
        assert [path.name for path in sorted(folder.glob("fold-*"))] == ["fold-0", "fold-1"]
        assert len(list((folder / "set-aside").iterdir())) == 2


def test_every_network_has_a_bar(made: Path) -> None:
    table = bars(made / "segmentation", network_names(2, 2), epochs=1)
    first = list(table.columns[0].cells)
    assert first == [
        "Training fold 0",
        "Training fold 0, network 2",
        "Training fold 1",
        "Training fold 1, network 2",
    ]


def test_an_export_holds_the_mean_of_all(tmp_path: Path) -> None:
    spec = NetworkSpec("unet", (2, 2, 2, 4, 4), "resnet18")
    for number, name in enumerate(network_names(1, 2)):
        torch.manual_seed(number)
        card = {
            "fold": name.fold,
            "network_of_fold": name.number,
            "network": spec.to_json(),
            "plan": {"working_spacing_mm": 1.0, "canvas": [64, 64]},
            "inference": SegmentationConfig().inference(),
            "metrics": {},
        }
        target = tmp_path / "models" / name.folder
        target.mkdir(parents=True)
        save_model(target, build_network(spec).state_dict(), card)
    out = export(tmp_path / "models", "torch-export", tmp_path / "out")
    assert read_json(out / "preparation.json")["output"]["networks_averaged"] == 2
    program = torch.export.load(out / "model.pt2").module()
    image = torch.rand(1, 1, 64, 48)
    networks = [model.network for model in load_models(tmp_path / "models")]
    with torch.inference_mode():
        expected = torch.stack([network(image).sigmoid() for network in networks]).mean(0)
        torch.testing.assert_close(program(image), expected, atol=1e-4, rtol=0)
    with pytest.raises(MammoroiError, match=r"one network, and there are 2.*folder of one"):
        export(tmp_path / "models", "monai-bundle", tmp_path / "bundle")
    one = export(tmp_path / "models/fold-0-network-2", "monai-bundle", tmp_path / "bundle")
    assert [card["network_of_fold"] for card in read_json(one / "models.json")] == [2]


def test_a_bundle_holds_all_of_them(two: Path) -> None:
    members: Iterator[tuple[str, bytes]] = _networks(two)
    cards = [json.loads(content) for name, content in members if name.endswith(".json")]
    assert [card["sha256"] for card in cards] == list(digests(two).values())
    assert [(card["fold"], card["network_of_fold"]) for card in cards] == [
        (0, 1), (0, 2), (1, 1), (1, 2)
    ]  # fmt: skip
