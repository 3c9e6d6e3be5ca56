"""A study of manual masks alone, ``masks: manual``: its stages, its report, its way back."""

import re
import shutil

import pandas as pd
import pytest

from mammoroi.cli import main
from mammoroi.files import read_csv, read_json, sha256_file, write_csv
from mammoroi.reporting.methods import methods
from mammoroi.reporting.standards import standards

STAGES = ["accept", "agree", "extract", "perturb", "model", "compare", "tables", "report"]
ONLY = ["my-study.yaml", "--masks", "manual"]
RISKS = "models/sln/manual/predictions.csv"
OF_AUTOMATIC = ("automatic mask", "network", "U-Net", "torch", "epoch", "seeds: .*segment")


def words(page):
    return re.sub(r"<(style|script)[\s\S]*?</\1>|<[^>]+>", " ", page.read_text("utf-8"))


def test_the_classifiers_of_manual_masks_stand_alone(copied, documented):
    study = copied / "my-study"
    shutil.rmtree(study / "segmentation")  # nothing is prepared: the mammograms themselves are read
    assert main(["study", *ONLY]) == 0
    assert [stage["stage"] for stage in read_json(study / "run.json")["stages"]] == STAGES
    assert read_json(study / "config.json")["masks"] == "manual"
    # What manual masks give does not depend on whether there are automatic ones.
    pd.testing.assert_frame_equal(read_csv(study / RISKS), read_csv(documented.study / RISKS))
    features = "features/manual.parquet"
    assert sha256_file(study / features) == sha256_file(documented.study / features)
    assert sorted(path.name for path in (study / "models" / "sln").iterdir()) == ["manual"]
    assert not (study / "features" / "automatic.parquet").exists()
    gone = ("masks/automatic", "overlays/overlays.csv", "froc.csv", "lesions.csv",
            "uncertainty.json", "pixel_calibration.csv", "comparison/auc.csv")  # fmt: skip
    assert not [name for name in gone if (study / name).exists()]

    page = (study / "report.html").read_text("utf-8")
    sections = re.findall(r'<section id="([^"]*)"', page)
    assert sections == [
        *(
            "summary",
            "data",
            "clinical",
            "masks",
            "features",
            "task-sln",
            "subgroups-section",
            "claim",
        ),
        *("trust", "methods", "standards", "limits"),
    ]
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(re.findall(r'id="([^"]*)"', page))
    text = words(study / "report.html")
    assert "Classifiers from manual masks in" in text
    assert "automatic ones were not drawn" in text
    auc = read_json(study / "models" / "sln" / "manual" / "metrics.json")["test"]["auc"]
    assert f"{auc:.2f}" in text
    assert "training_history" not in {path.stem for path in (study / "figures").iterdir()}

    _two_readers_are_compared_as_beside_networks(study, documented.study)
    written = methods(study)
    for word in OF_AUTOMATIC:
        assert not re.search(word, written, re.IGNORECASE), word
    metrics = standards(study)["metrics"].set_index("item")
    assert metrics.loc["9", "status"] == "not applicable"  # automatic segmentation evaluated
    assert metrics.loc["10", "status"] == "shown by the run"  # test masks by one reader

    assert main(["study", *ONLY]) == 0
    assert all(stage["skipped"] for stage in read_json(study / "run.json")["stages"])


def test_one_reader_alone_is_compared_with_nobody(copied):
    table = read_csv(copied / "my-cohort" / "cohort.csv", dtype=str)
    write_csv(copied / "my-cohort" / "cohort.csv", table.drop(columns="mask_reader2"))
    few = ["--stability.growth_mm", "[]", "--stability.noise_mm", "[]"]  # nor perturbations
    assert main(["study", *ONLY, *few]) == 0
    study = copied / "my-study"
    assert read_csv(study / "agreement.csv").empty
    assert [path.name for path in (study / "comparison").iterdir()] == ["summary.json"]
    assert '<section id="masks"' not in (study / "report.html").read_text("utf-8")


def _two_readers_are_compared_as_beside_networks(study, both):
    found, before = (read_csv(folder / "agreement.csv") for folder in (study, both))
    before = before[before["comparison"] == "reader2-manual"].reset_index(drop=True)
    assert len(before) > 5
    pd.testing.assert_frame_equal(found, before, check_dtype=False)
    readers = [
        read_csv(folder / "comparison/stability.csv")[["feature", "icc_reader", "n_reader"]]
        for folder in (study, both)
    ]
    pd.testing.assert_frame_equal(*readers)
    assert f"mean Dice of {before['dice'].mean():.2f}" in words(study / "report.html")
    assert "icc_families" in {path.stem for path in (study / "figures").iterdir()}


def test_networks_and_masks_are_set_aside_and_come_back(copied):
    study = copied / "my-study"
    network, mask = "segmentation/fold-0/model.safetensors", "masks/predictions.csv"
    before = [sha256_file(study / name) for name in (network, mask, RISKS)]
    compared = read_csv(study / "comparison" / "auc.csv")
    assert main(["accept", *ONLY]) == 0
    assert not (study / network).exists()
    assert not (study / mask).exists()
    assert sha256_file(study / "set-aside" / "train" / "files" / network) == before[0]
    assert main(["study", *ONLY]) == 0
    assert main(["study", "my-study.yaml"]) == 0
    assert [sha256_file(study / name) for name in (network, mask, RISKS)] == before
    pd.testing.assert_frame_equal(read_csv(study / "comparison" / "auc.csv"), compared)
    done = {stage["stage"]: stage["skipped"] for stage in read_json(study / "run.json")["stages"]}
    assert done["train"]
    assert done["segment"]
    assert not (study / "set-aside").exists()


@pytest.mark.parametrize("stage", ["train", "segment"])
def test_a_stage_of_automatic_masks_is_refused(tmp_path, stage, capsys):
    (tmp_path / "my.yaml").write_text(f"out: {tmp_path}/study\ncohort: {{folder: {tmp_path}}}\n")
    assert main([stage, str(tmp_path / "my.yaml"), "--masks", "manual"]) == 1
    said = capsys.readouterr().err
    assert f"masks is manual: these settings ask for manual masks alone, not for '{stage}'" in said
    assert "set masks to both" in said


def test_neither_networks_nor_classifiers_is_no_study(tmp_path, capsys):
    (tmp_path / "my.yaml").write_text(f"out: {tmp_path}/study\ncohort: {{folder: {tmp_path}}}\n")
    study = ["study", str(tmp_path / "my.yaml"), "--masks"]
    assert main([*study, "manual", "--modeling.tasks", "[]"]) == 1
    assert "neither automatic masks nor classifiers" in capsys.readouterr().err
    assert main([*study, "automatic"]) == 1
    assert "masks" in capsys.readouterr().err
