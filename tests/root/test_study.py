"""The whole way: nothing is lost, nothing is redone in vain, nobody is on two sides."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from mammoroi.cli import main
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.split import load_splits
from mammoroi.cohort.synthetic import synthesize
from mammoroi.cohort.synthetic_config import SyntheticConfig
from mammoroi.files import read_csv, read_json, sha256_file
from mammoroi.imaging.mask import read_mask
from mammoroi.imaging.read import read_mammogram
from mammoroi.lock import held
from mammoroi.radiomics.config import RadiomicsConfig
from mammoroi.radiomics.phantom import textured_phantom
from mammoroi.stages import STAGE_NAMES, STAGES, StudyConfig
from mammoroi.study import LOCK, ORPHAN_S, run_study

IDS = {"image_id": str, "patient_id": str, "fold": str}


def test_every_case_is_accounted_for(documented):
    stages = read_json(documented.study / "run.json")["stages"]
    assert [stage["stage"] for stage in stages] == list(STAGE_NAMES)
    for stage in stages:
        assert stage["cases_in"] == (
            stage["used"] + stage["excluded"] + stage["missed"] + stage["failed"]
        )
    extract = stages[STAGE_NAMES.index("extract")]
    assert extract["cases_in"] == 3 * len(read_csv(documented.study / "cohort.csv"))


def test_automatic_masks_come_from_networks_that_never_saw_the_patient(documented):
    study = documented.study
    splits = load_splits(study)
    drawn = read_csv(study / "masks" / "predictions.csv", dtype=IDS)
    assert set(drawn["patient_id"]) == set(splits.train) | set(splits.test)
    folds = read_csv(study / "segmentation" / "folds.csv", dtype=IDS)
    saw = folds[folds["role"] != "validation"].groupby("fold")["patient_id"].agg(set)
    assert len(saw) == splits.n_folds
    for row in drawn.itertuples():
        used = list(saw) if row.fold == "test" else [saw[row.fold]]
        assert not any(row.patient_id in patients for patients in used)


def test_out_of_fold_risks_use_the_same_folds_as_the_masks(documented):
    splits = load_splits(documented.study)
    for roi in ("manual", "automatic"):
        path = documented.study / "models" / "sln" / roi / "predictions.csv"
        risks = read_csv(path, dtype=IDS)
        train = risks[risks["set"] == "train"]
        assert all(str(splits.fold_of(row.patient_id)) == row.fold for row in train.itertuples())
        assert set(risks.loc[risks["set"] == "test", "patient_id"]) <= set(splits.test)


def test_masks_lie_on_the_original_grid(documented):
    cohort = load_cohort(documented.study)
    row = cohort.images.iloc[0]
    shape = read_mammogram(cohort.path(row["image"])).pixels.shape
    mask = documented.study / "masks" / "automatic" / f"{row['image_id']}.png"
    assert read_mask(mask, shape).shape == shape


def test_a_second_run_skips_everything_and_changes_nothing(documented, monkeypatch):
    monkeypatch.chdir(documented.folder)
    study = documented.study
    watched = [study / "report.html", *sorted((study / "models").rglob("*.json"))]
    before = [(path.stat().st_mtime_ns, sha256_file(path)) for path in watched]
    assert main(["study", str(documented.config)]) == 0
    assert all(stage["skipped"] for stage in read_json(study / "run.json")["stages"])
    assert [(path.stat().st_mtime_ns, sha256_file(path)) for path in watched] == before


def test_a_report_asked_for_by_name_is_always_made(documented, monkeypatch):
    monkeypatch.chdir(documented.folder)
    page = documented.study / "report.html"
    before = page.stat().st_mtime_ns
    assert main(["report", str(documented.config)]) == 0
    assert page.stat().st_mtime_ns > before
    assert main(["study", str(documented.config)]) == 0
    assert all(stage["skipped"] for stage in read_json(documented.study / "run.json")["stages"])


def skipped(folder):
    stages = read_json(folder / "my-study" / "run.json")["stages"]
    return {stage["stage"]: stage["skipped"] for stage in stages}


def test_a_changed_setting_redoes_what_depends_on_it(copied):
    arguments = ["study", "my-study.yaml", "--reporting.title", "Another title"]
    assert main(arguments) == 0
    done = skipped(copied)
    assert [name for name in STAGE_NAMES if not done[name]] == ["report"]
    assert "Another title" in (copied / "my-study" / "report.html").read_text(encoding="utf-8")


def test_a_preset_of_features_that_was_edited_is_extracted_anew(tmp_path, monkeypatch):
    """Its name in the configuration is what it was. Of the stages there is only the extraction."""
    monkeypatch.setattr("mammoroi.study.STAGES", [s for s in STAGES if s.name == "extract"])
    mammogram, mask = textured_phantom()
    for name, pixels in (("image", mammogram.pixels.astype(np.uint16)), ("mask", mask)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    row = {"image_id": "A", "patient_id": "P", "view": "CC", "laterality": "L"}
    row |= {"image": "image.png", "mask": "mask.png", "spacing_mm": 0.5}
    pd.DataFrame([row]).to_csv(tmp_path / "cohort.csv", index=False)
    pd.DataFrame({"patient_id": ["P"]}).to_csv(tmp_path / "patients.csv", index=False)
    preset, table = tmp_path / "own.yaml", tmp_path / "features" / "manual.json"
    config = StudyConfig(tmp_path, CohortConfig(tmp_path), radiomics=RadiomicsConfig(str(preset)))
    for width in (25, 20, 20):
        before = table.stat().st_mtime_ns if table.exists() else 0
        preset.write_text(
            f"setting: {{binWidth: {width}}}\nimageType: {{Original: }}\nfeatureClass: {{glcm: }}\n"
        )
        run_study(config, "extract")
        assert read_json(table)["settings"] == {"binWidth": width}
    assert table.stat().st_mtime_ns == before  # the same text: skipped


def test_a_stage_alone_goes_on_from_nothing_outdated(copied, capsys, caplog):
    """Patients are divided anew: what rests on the former division is not taken for the new."""
    other = ["my-study.yaml", "--cohort.seed", "99"]
    run = copied / "my-study" / "run.json"
    assert read_json(run)["config"]["cohort"]["seed"] != 99
    assert main(["report", *other]) == 0
    assert "does not use what has changed in cohort since the last run" in caplog.text
    assert read_json(run)["config"]["cohort"]["seed"] != 99
    assert main(["accept", *other]) == 0
    assert read_json(run)["config"]["cohort"]["seed"] == 99
    for name, first in (("segment", "train"), ("agree", "segment"), ("report", "train")):
        assert main([name, *other]) == 1
        assert f"stage '{name}' needs {first}" in capsys.readouterr().err
    splits = copied / "my-study" / "splits.json"
    assert read_json(splits)["seed"] == 99


def test_settings_are_kept_as_the_stages_ran(copied):
    """Those of a command that refused, or that count for another stage, are not noted."""
    kept, run = copied / "my-study" / "config.json", copied / "my-study" / "run.json"
    before = read_json(kept)
    other = ["--segmentation.hit_iou", "0.6", "--segmentation.epochs", "50"]
    assert main(["segment", "my-study.yaml", *other]) == 1
    assert read_json(kept) == before
    assert main(["agree", "my-study.yaml", *other]) == 0
    now = before | {"segmentation": before["segmentation"] | {"hit_iou": 0.6}}
    assert read_json(kept) == read_json(run)["config"] == now
    assert main(["report", "my-study.yaml", *other]) == 1, "the comparison read other measures"
    assert read_json(kept) == now


def test_a_stage_that_is_no_longer_asked_for_leaves_nothing(copied, capsys):
    study = copied / "my-study"
    perturbed = (study / "stability" / "perturbed.parquet", study / "masks" / "perturbed")
    assert perturbed[0].exists()
    nothing = ["--stability.growth_mm", "[]", "--stability.noise_mm", "[]"]
    assert main(["study", "my-study.yaml", *nothing]) == 0
    done = skipped(copied)
    assert [name for name in STAGE_NAMES if not done.get(name, True)] == [
        *("model", "compare", "report"),
    ]
    assert "perturb" not in done
    assert not perturbed[0].exists()
    assert not list(perturbed[1].rglob("*.png"))
    assert main(["perturb", "my-study.yaml", *nothing]) == 1
    assert "stability names no perturbation" in capsys.readouterr().err


def test_bad_cases_are_named_and_the_rest_goes_on(copied, capsys):
    """A truncated image, an empty mask and a missing file: three lines, exit code 3, a report."""
    cohort = copied / "my-cohort"
    table = read_csv(cohort / "cohort.csv", dtype=str)
    truncated, emptied, removed = (table.iloc[index] for index in (0, 5, 8))
    image = cohort / truncated["image"]
    image.write_bytes(image.read_bytes()[:2000])
    mask = cohort / emptied["mask"]
    Image.fromarray(np.zeros_like(np.asarray(Image.open(mask)))).save(mask)
    (cohort / removed["image"]).unlink()
    assert main(["check", "my-cohort"]) == 3
    listed = capsys.readouterr().out
    for row in (truncated, emptied, removed):
        assert row["image_id"] in listed
    assert main(["study", "my-study.yaml"]) == 3
    said = capsys.readouterr().err
    assert f"{Path('my-study/excluded.csv')}: 3 lines" in said
    assert f"{removed['image_id']}: image '{removed['image']}' does not exist -> " in said
    excluded = read_csv(copied / "my-study" / "excluded.csv", dtype=str)
    assert set(excluded["case"]) == {row["image_id"] for row in (truncated, emptied, removed)}
    used = read_csv(copied / "my-study" / "cohort.csv", dtype=str)
    assert len(used) == len(table) - 3
    assert (copied / "my-study" / "report.html").exists()
    features = pd.read_parquet(copied / "my-study" / "features" / "manual.parquet")
    assert set(features["image_id"]) == set(used["image_id"])
    assert main(["study", "my-study.yaml", "--allow_failures", "3"]) == 0


def test_a_spoilt_result_is_made_again(copied):
    assert main(["accept", "my-study.yaml"]) == 0
    mask = next((copied / "my-study" / "masks" / "automatic").glob("*.png"))
    before = sha256_file(mask)
    mask.unlink()
    assert main(["segment", "my-study.yaml"]) == 0
    assert sha256_file(mask) == before


def test_new_mammograms_get_masks_features_and_risks(documented):
    results = documented.folder / "results"
    predictions = read_csv(results / "predictions.csv", dtype=IDS)
    assert len(predictions) == 4
    features = read_csv(results / "features.csv", dtype=IDS)
    assert set(features["image_id"]) == set(predictions.loc[predictions["found"], "image_id"])
    risks = read_csv(results / "risks.csv", dtype=IDS)
    targets = read_json(documented.study / "models" / "targets.json")
    assert len(risks) == len(targets) * predictions["patient_id"].nunique()
    known = risks[risks["n_images"] > 0]
    assert known["risk"].between(0, 1).all()
    assert risks.loc[risks["n_images"] == 0, "risk"].isna().all()


def test_new_mammograms_without_spacing_are_refused_one_by_one(documented, tmp_path, capsys):
    pixels = np.tile(np.arange(120, dtype=np.uint8), (150, 1))
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    (tmp_path / "broken.dcm").write_bytes(b"no DICOM")
    sound = next((documented.folder / "new-mammograms").glob("*.dcm"))
    out = tmp_path / "out"
    words = [str(tmp_path / "plain.png"), str(tmp_path / "broken.dcm"), str(sound)]
    assert main(["infer", str(documented.study), *words, "--out", str(out)]) == 3
    failures = read_csv(out / "failures.csv", dtype=str)
    assert set(failures["case"]) == {"plain", "broken"}
    assert "spacing" in failures.set_index("case").loc["plain", "error"]
    assert len(read_csv(out / "predictions.csv")) == 1


def test_when_every_new_mammogram_fails_all_are_named(documented, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.dcm").write_bytes(b"no DICOM")
    out = tmp_path / "out"
    words = [str(tmp_path / "one.dcm"), str(tmp_path / "two.dcm"), "--out", str(out)]
    assert main(["infer", str(documented.study), *words]) == 3
    assert read_csv(out / "failures.csv", dtype=str)["case"].tolist() == ["one", "two"]
    assert len(read_csv(out / "predictions.csv")) == len(read_csv(out / "risks.csv")) == 0


def test_the_configuration_is_kept_with_the_study(documented):
    kept = read_json(documented.study / "config.json")
    given = yaml.safe_load(documented.config.read_text())
    assert kept["segmentation"]["epochs"] == given["segmentation"]["epochs"]
    run = read_json(documented.study / "run.json")
    assert run["versions"]["torch"] != "not installed"
    assert all(stage["peak_memory_mb"] > 50 for stage in run["stages"])


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return synthesize(
        SyntheticConfig(n_patients=10, spacing_mm=0.5, workers=1),
        tmp_path_factory.mktemp("phantoms") / "cohort",
    )


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (["--modeling.tasks", "[{name: late, label: stage_grp, classes: [a, b]}]"], "'stage_grp'"),
        (["--modeling.harmonise", "combat"], "no column 'centre'"),
        (["--clinical.variables", "[{name: ca15_3, kind: number, source: patient}]"], "'ca15_3'"),
        (["--radiomics.preset", "mammography-1312"], "mammography-1311"),
        (["--cohort.test_size", "0"], "no test patients"),
    ],
)
def test_what_the_classifiers_lack_is_said_before_the_training(
    phantoms, tmp_path, capsys, setting, said
):
    config = tmp_path / "my-study.yaml"
    config.write_text(f"out: {tmp_path / 'my-study'}\ncohort: {{folder: {phantoms}, n_folds: 2}}\n")
    assert main(["study", str(config), *setting]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "my-study" / "segmentation").exists()


def test_two_runs_at_once_do_not_write_into_one_study(tmp_path, capsys, monkeypatch):
    """The one that ends last would undo what the other had noted of its stages."""
    monkeypatch.setattr("mammoroi.study.ORPHAN_S", 0.0)
    monkeypatch.chdir(tmp_path)
    synthesize(SyntheticConfig(n_patients=30, spacing_mm=0.5, workers=1), tmp_path / "cohort")
    (tmp_path / "my.yaml").write_text("out: study\ncohort: {folder: cohort, n_folds: 2}\n")
    with held(tmp_path / "study" / LOCK, "the study"):
        assert main(["accept", "my.yaml"]) == 1
        said = capsys.readouterr().err
        assert f"study is being written by another process (id {os.getpid()}) -> wait" in said
        assert not (tmp_path / "study" / "stages.json").exists()
    assert main(["accept", "my.yaml"]) == 0


def test_a_killed_run_is_waited_for_as_long_as_its_loaders_live():
    """They inherit the lock, and look for their parent only now and then."""
    from torch.utils.data._utils import MP_STATUS_CHECK_INTERVAL

    assert ORPHAN_S >= MP_STATUS_CHECK_INTERVAL + 1
