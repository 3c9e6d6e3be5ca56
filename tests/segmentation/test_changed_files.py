"""A mask or mammogram that was changed or taken away after a run: what rests on it is made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammoroi import study as whole
from mammoroi.cli import main
from mammoroi.cohort.accept import FILES
from mammoroi.cohort.config import CohortConfig
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, sha256_file, write_csv, write_json
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.others import prepare_others
from mammoroi.segmentation.outline import training_places
from mammoroi.segmentation.prepare import prepare
from mammoroi.stages import STAGES, StudyConfig
from mammoroi.study import run_study

TINY = SegmentationConfig(
    working_spacing_mm=2.0, channels=(4, 4, 8, 8, 8), epochs=1, accelerator="cpu", workers=1
)
NAMES = ("accept", "train", "segment", "agree")
WEIGHTS = "segmentation/fold-0/model.safetensors"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make_study: Callable[..., Path]) -> Path:
    """A study of the masks, with its cohort in it: its paths are relative, so it can be copied."""
    folder = tmp_path_factory.mktemp("finished")
    cohort = make_study(folder / "out" / "cohort", patients=10, test=2, folds=2)
    read_csv(cohort / "patients.csv")[["patient_id"]].to_csv(cohort / "patients.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(whole, "STAGES", STAGES[:4])
        assert run_study(config()) == 0
    return folder


def config() -> StudyConfig:
    return StudyConfig(
        out=Path("out"),
        cohort=CohortConfig(folder=Path("out/cohort"), n_folds=2, stratify=(), test_size=0.2),
        segmentation=TINY,
    )


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may spoil, as the working directory."""
    copy = shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(copy)
    monkeypatch.setattr(whole, "STAGES", STAGES[:4])
    return copy


def skipped() -> list[str]:
    return [one["stage"] for one in read_json(Path("out/run.json"))["stages"] if one["skipped"]]


def patient_of(side: str) -> str:
    """A patient with a second reader's masks, of the training or of the test."""
    odd = [name for name in read_json(Path("out/splits.json"))[side] if int(name[1:]) % 2]
    return odd[0] if odd else read_json(Path("out/splits.json"))[side][0]


def image_of(side: str) -> str:
    table = read_csv(Path("out/cohort.csv"), dtype=str)
    return str(table.loc[table["patient_id"] == patient_of(side), "image_id"].iloc[0])


def moved(path: Path) -> None:
    """Draw a mask elsewhere."""
    pixels = np.asarray(Image.open(path))
    Image.fromarray(np.roll(pixels, 25, axis=0)).save(path)


def test_an_untouched_study_is_skipped(folder: Path) -> None:
    assert run_study(config()) == 0
    assert skipped() == list(NAMES)
    for name in NAMES[1:]:
        assert run_study(config(), only=name) == 0
        assert name in skipped()


def test_a_file_that_was_only_touched_redoes_nothing(folder: Path) -> None:
    (folder / "out" / "cohort" / f"{image_of('test')}.mask.png").touch()
    assert run_study(config(), only="agree") == 0
    assert "agree" in skipped()
    assert run_study(config()) == 0
    assert skipped() == list(NAMES[1:])


def test_a_corrected_test_mask_changes_the_agreement_and_no_network(folder: Path) -> None:
    name, weights = image_of("test"), sha256_file(folder / "out" / WEIGHTS)
    trained = (folder / "out" / WEIGHTS).stat().st_mtime_ns
    before = read_csv(Path("out/agreement.csv"))
    moved(folder / "out" / "cohort" / f"{name}.mask.png")
    assert run_study(config()) == 0
    assert skipped() == []
    after = read_csv(Path("out/agreement.csv"))
    other = (before.fillna(-1) != after.fillna(-1)).any(axis=1)
    assert set(after.loc[other, "image_id"]) == {name}
    assert sha256_file(folder / "out" / WEIGHTS) == weights
    assert (folder / "out" / WEIGHTS).stat().st_mtime_ns == trained


@pytest.mark.parametrize("ending", [".mask.png", ".png"])
def test_a_corrected_training_mask_or_mammogram_trains_anew(folder: Path, ending: str) -> None:
    places = sorted(Path("out/segmentation").glob("fold-*/model.safetensors"))
    before = [sha256_file(place) for place in places]
    moved(folder / "out" / "cohort" / f"{image_of('train')}{ending}")
    assert run_study(config()) == 0
    assert skipped() == []
    assert [sha256_file(place) for place in places] != before


@pytest.mark.parametrize("ending", [".mask.png", ".png", ".reader2.png"])
@pytest.mark.parametrize("only", ["train", "segment", "agree"])
def test_a_stage_alone_does_not_go_on_from_changed_files(
    folder: Path, ending: str, only: str
) -> None:
    name = image_of("train")
    moved(folder / "out" / "cohort" / f"{name}{ending}")
    with pytest.raises(MammoroiError, match=f": 1, such as those of {name}"):
        run_study(config(), only=only)
    assert run_study(config(), only="accept") == 0
    assert skipped() == []
    if only != "train":
        with pytest.raises(MammoroiError, match=f"stage '{only}' needs (train|segment)"):
            run_study(config(), only=only)


def test_a_mask_that_is_lost_fails_in_the_stage_that_reads_it(folder: Path) -> None:
    name = image_of("test")
    (folder / "out" / "cohort" / f"{name}.mask.png").unlink()
    assert run_study(config(), only="agree") > 0
    assert set(read_csv(Path("out/agreement_failures.csv"))["case"]) == {name}


def test_a_mammogram_that_is_unreadable_has_no_overlay_and_all_else(folder: Path) -> None:
    before = read_csv(Path("out/agreement.csv"))
    table = read_csv(Path("out/overlays/overlays.csv"), dtype=str)
    name = table["image_id"].iloc[0]
    (folder / "out" / "cohort" / f"{name}.png").unlink()
    assert run_study(config(), only="agree") == 1
    (row,) = read_csv(Path("out/agreement_failures.csv")).to_dict("records")
    assert (row["case"], row["stage"]) == (name, "segmentation/overlays")
    assert "does not exist" in row["error"]
    assert read_csv(Path("out/agreement.csv")).equals(before)
    left = read_csv(Path("out/overlays/overlays.csv"), dtype=str)
    assert left.equals(table[table["image_id"] != name].reset_index(drop=True))
    assert {path.name for path in Path("out/overlays").glob("*.png")} == set(left["file"])


@pytest.mark.parametrize("name", ["automatic/{}.png", "probability/{}.png", "predictions.csv"])
def test_a_drawn_mask_that_was_damaged_is_drawn_again(folder: Path, name: str) -> None:
    """It was taken for what the networks had drawn, whatever had become of it."""
    file = Path("out/masks", name.format(image_of("test")))
    before = file.read_bytes()
    file.write_bytes(b"damaged")
    assert run_study(config()) == 0
    assert "segment" not in skipped()
    assert file.read_bytes() == before


def test_a_study_of_before_reads_its_files_again(folder: Path) -> None:
    done = read_json(Path("out/stages.json"))
    del done["accept"]["files"]
    write_json(Path("out/stages.json"), done)
    Path("out", FILES).unlink()
    with pytest.raises(MammoroiError, match="does not say which images"):
        run_study(config(), only="agree")
    assert run_study(config()) == 0
    assert Path("out", FILES).is_file()


def test_standards_do_not_describe_what_is_outdated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["standards", "out"]) == 0
    moved(folder / "out" / "cohort" / f"{image_of('train')}.mask.png")
    assert run_study(config(), only="accept") == 0
    before = sha256_file(Path("out/methods.md"))
    assert main(["standards", "out"]) == 1
    assert "has not read what 'accept' has since written" in capsys.readouterr().err
    assert sha256_file(Path("out/methods.md")) == before


def test_nothing_stays_of_a_patient_who_left_the_cohort(folder: Path) -> None:
    """In no file's name, and in no table but of networks that are set aside, which learned so."""
    gone = patient_of("train")
    assert list(Path("out/masks").rglob(f"{gone}-*"))
    assert list(Path("out/segmentation").rglob(f"{gone}-*"))
    for name in ("cohort.csv", "patients.csv"):
        table = read_csv(Path("out/cohort", name), dtype=str)
        write_csv(Path("out/cohort", name), table[table["patient_id"] != gone])
    assert run_study(config()) == 0
    places = [path for path in Path("out").rglob("*") if Path("out/cohort") not in path.parents]
    assert not [path for path in places if gone in path.name]
    tables = [path for path in places if path.suffix == ".csv" and "set-aside" not in path.parts]
    assert not [path for path in tables if gone in path.read_text()]
    assert len(read_csv(Path("out/masks/predictions.csv"))) == 18


def test_arrays_stay_of_those_who_are_left(study: Path, normals: Path) -> None:
    """Those of both stages and of mammograms without a lesion; masks of the training alone."""
    given = replace(TINY, normal_cohort=str(normals), outline_spacing_mm=1.0)

    def prepared() -> dict[str, set[str]]:
        for settings, place in training_places(given):
            prepare(settings, study, place)
            prepare_others(settings, study, place)
        folders = [study / place / "prepared" for _, place in training_places(given)]
        folders += [folder / "normals" for folder in folders]
        return {
            path.relative_to(study).as_posix(): {
                file.name for file in path.iterdir() if file.name[0] in "PN"
            }
            for path in folders
        }

    before = prepared()
    for table in (study / "cohort.csv", normals / "cohort.csv"):
        lines = table.read_text().splitlines(keepends=True)
        table.write_text("".join(line for line in lines if "P09" not in line))
    splits = read_json(study / "splits.json")
    splits["train"].remove("P08")  # tests now: its mask is no business of a training
    splits["test"].append("P08")
    for fold in splits["folds"]:
        for part in fold.values():
            part[:] = [name for name in part if name not in ("P08", "P09")]
    splits["train"].remove("P09")
    write_json(study / "splits.json", splits)
    prepare(replace(TINY, outline_spacing_mm=None), study)
    assert not list((study / "segmentation/outline/prepared").glob("P09*"))
    after = prepared()
    assert len(after) == 4
    for place, names in after.items():
        left = {name for name in before[place] if "P09" not in name}
        if not place.endswith("normals"):
            left -= {name for name in left if name.startswith("P08") and ".mask." in name}
        assert names == left, place
        assert names < before[place]
