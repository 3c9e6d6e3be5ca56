"""The shipped network: it draws at once, and nobody can overlook what it is."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammoroi import commands_segmentation
from mammoroi.cli import main
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.synthetic import synthesize
from mammoroi.cohort.synthetic_config import SyntheticConfig
from mammoroi.files import read_csv, read_json
from mammoroi.imaging.mask import read_mask
from mammoroi.imaging.read import read_mammogram
from mammoroi.segmentation.weights import demonstration_model, load_models


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    return synthesize(SyntheticConfig(n_patients=2, seed=2024, spacing_mm=0.5, workers=1), folder)


def test_segments_phantoms_that_it_never_saw(
    phantoms: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = load_cohort(phantoms)
    images = [str(cohort.path(image)) for image in cohort.images["image"]]
    with caplog.at_level(logging.WARNING):
        assert main(["segment", *images, "--out", str(tmp_path / "out")]) == 0
    assert "trained on phantoms only" in caplog.text
    card = read_json(tmp_path / "out" / "models.json")[0]
    assert "phantoms" in card["notice"]
    rows = read_csv(tmp_path / "out" / "predictions.csv")
    assert set(rows["model_sha256"]) == {card["sha256"]}
    dice = []
    for row in cohort.images.to_dict("records"):
        shape = read_mammogram(cohort.path(row["image"])).pixels.shape
        truth = read_mask(cohort.path(row["mask"]), shape)
        drawn = read_mask(tmp_path / "out" / f"{Path(row['image']).stem}.png", shape)
        dice.append(2 * (truth & drawn).sum() / (truth.sum() + drawn.sum()))
    assert np.median(dice) > 0.75


def test_segments_without_being_told_where_to(
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cohort = load_cohort(phantoms)
    image = cohort.path(cohort.images["image"].iloc[0])
    monkeypatch.chdir(tmp_path)
    assert main(["segment", str(image)]) == 0
    assert capsys.readouterr().out == "Results: masks\n"
    (drawn,) = (tmp_path / "masks").glob("*.png")
    before = drawn.stat().st_mtime_ns
    assert main(["segment", str(image)]) == 1
    assert "masks is not empty" in capsys.readouterr().err
    assert drawn.stat().st_mtime_ns == before
    assert main(["segment", str(image), "--out", "masks"]) == 0


def test_a_folder_of_mammograms_may_be_named_like_a_preset(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = load_cohort(phantoms)
    monkeypatch.chdir(tmp_path)
    for folder, image in zip("AB", cohort.images["image"], strict=False):
        Path("small", folder).mkdir(parents=True)
        shutil.copy(cohort.path(image), Path("small", folder, "IM0001"))
    assert main(["segment", "small", "--out", "o1"]) == 0
    assert read_csv(Path("o1/predictions.csv"))["image_id"].tolist() == ["A-IM0001", "B-IM0001"]
    assert {file.stem for file in Path("o1").glob("*.png")} == {"A-IM0001", "B-IM0001"}
    assert not Path("o1/config.json").exists()

    asked = []
    monkeypatch.setattr(commands_segmentation, "study", lambda *words: asked.append(words) or 0)
    Path("demo").mkdir()
    Path("demo/config.json").write_text("{}")  # the study that `make demo` made
    for words in (["demo"], ["large"], ["own.yaml"]):
        assert main(["segment", *words]) == 0
    assert [words for _, words in asked] == [["demo"], ["large"], ["own.yaml"]]


def test_a_study_folder_is_a_model_and_a_bundle_is_for_infer(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort = load_cohort(phantoms)
    words = ["segment", str(cohort.path(cohort.images["image"].iloc[0])), "--out"]
    shutil.copytree(demonstration_model(), tmp_path / "study" / "segmentation")
    assert main([*words, str(tmp_path / "own"), "--model", str(tmp_path / "study")]) == 0
    assert main([*words, str(tmp_path / "shipped")]) == 0
    own, shipped = (next((tmp_path / name).glob("*.png")) for name in ("own", "shipped"))
    assert own.read_bytes() == shipped.read_bytes()
    bundle = tmp_path / "model.mroi"
    bundle.write_bytes(b"PK")
    capsys.readouterr()
    assert main([*words, str(tmp_path / "none"), "--model", str(bundle)]) == 1
    assert "a bundle is for mammoroi infer" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "none"), "--model", "nowhere"]) == 1
    assert "there is no folder nowhere" in capsys.readouterr().err


def test_an_image_without_spacing_is_told_what_to_say_here(phantoms: Path, tmp_path: Path) -> None:
    breast = np.zeros((120, 90), np.uint8)
    breast[20:100, :60] = np.arange(60) + 50
    Image.fromarray(breast).save(tmp_path / "plain.png")
    out = tmp_path / "out"
    words = ["segment", str(tmp_path / "plain.png"), "--out", str(out)]
    assert main(words) == 3
    (failure,) = read_csv(out / "failures.csv").to_dict("records")
    assert failure["action"].startswith("give --spacing_mm (mm per pixel")
    assert main([*words, "--spacing_mm", "1"]) == 0
    cohort = load_cohort(phantoms)
    own = cohort.path(cohort.images["image"].iloc[0])
    drawn = {}
    for name, given in (("alone", []), ("mixed", [*words[1:2], "--spacing_mm", "1"])):
        assert main(["segment", str(own), *given, "--out", str(tmp_path / name)]) == 0
        drawn[name] = (tmp_path / name / f"{own.stem}.png").read_bytes()
    assert drawn["alone"] == drawn["mixed"], "a file that states a spacing keeps it"


def test_a_table_gives_each_image_its_spacing(tmp_path: Path) -> None:
    for name, rows in (("a", 160), ("b", 120)):
        breast = np.zeros((rows, 90), np.uint8)
        breast[20:100, :60] = np.arange(60) + 50
        Image.fromarray(breast).save(tmp_path / f"{name}.png")
    table = tmp_path / "spacings.csv"
    table.write_text("image;spacing_mm;view\na.png;0,9;CC\nb.png;1,25;CC\nc.png;;CC\n")
    images = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for command in ("infer", "segment"):
        out = str(tmp_path / command)
        assert main([command, *images, "--out", out, "--spacing_mm", str(table)]) == 0
    found = read_csv(tmp_path / "infer/predictions.csv").set_index("image_id")
    assert found["spacing_row_mm"].to_dict() == {"a": 0.9, "b": 1.25}
    assert found["flags"].str.contains("spacing-given").all()
    both = [read_csv(tmp_path / f"{name}/predictions.csv") for name in ("infer", "segment")]
    assert both[0]["area_mm2"].tolist() == both[1]["area_mm2"].tolist()


def test_infers_without_a_study(phantoms: Path, tmp_path: Path) -> None:
    cohort = load_cohort(phantoms)
    image = cohort.path(cohort.images["image"].iloc[0])
    assert main(["infer", str(image), "--out", str(tmp_path)]) == 0
    assert len(read_csv(tmp_path / "predictions.csv")) == 1
    assert len(read_csv(tmp_path / "features.csv")) == 1
    assert len(read_csv(tmp_path / "risks.csv")) == 4
    assert "trying out" in read_json(tmp_path / "masks" / "models.json")[0]["notice"]


def test_a_small_network_with_a_card_that_says_how_poor_it_is() -> None:
    (model,) = load_models(demonstration_model())
    folder = demonstration_model() / "fold-0"
    assert (folder / "model.safetensors").stat().st_size < 4e6
    real = next(row for row in model.card["performance"] if "real" in row["data"])
    assert real["mean_dice"] < 0.5


def test_a_name_may_have_dollars_and_a_case_that_failed_leaves_no_mask(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mammoroi.segmentation import overlays

    cohort = load_cohort(phantoms)
    name = r"P$\frac{1"  # as mathematics it is none
    image = tmp_path / f"{name}.dcm"
    shutil.copy(cohort.path(cohort.images["image"].iloc[0]), image)
    out = tmp_path / "out"
    assert main(["segment", str(image), "--out", str(out)]) == 0
    assert (out / f"{name}.png").is_file()
    assert (out / "overlays" / f"{name}.png").is_file()

    def fail(*_: object, **__: object) -> None:
        raise ValueError("no picture")

    monkeypatch.setattr(overlays, "draw_overlay", fail)
    assert main(["segment", str(image), "--out", str(out)]) == 3
    assert read_csv(out / "failures.csv")["case"].tolist() == [name]
    assert not list(out.rglob("*.png"))
