"""The stages `model` and `compare` on a simulated study, and bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, write_csv, write_json, write_parquet
from mammoroi.modeling.compare import compare
from mammoroi.modeling.config import ModelingConfig, Task
from mammoroi.modeling.fit import model
from mammoroi.modeling.persist import load_model, predict_risk, types_in
from mammoroi.modeling.recipes import PRESET_RECIPES, Recipe
from mammoroi.modeling.table import combine_views, feature_names, load_features
from mammoroi.modeling.targets import targets_of

CLEAN = replace(PRESET_RECIPES["paper-clean"], lasso_folds=5, n_alphas=20, alpha_ratio=1e-4)
CONFIG = ModelingConfig(
    tasks=("sln",), recipe=CLEAN, repeats=1, all_patients=False, calibration_folds=3,
    n_bootstrap=200, workers=1,
)  # fmt: skip
FAST = replace(PRESET_RECIPES["rigorous"], lasso_folds=5, costs=(0.01, 0.1))
IDS = {"patient_id": str, "fold": str}


def copy(study, to: Path) -> Path:
    shutil.copytree(study.folder, to / "study")
    return to / "study"


@pytest.fixture(scope="module")
def fitted(study, tmp_path_factory):
    folder = copy(study, tmp_path_factory.mktemp("fitted"))
    model(CONFIG, folder)
    compare(CONFIG, folder)
    return folder


def test_signal_is_found_and_files_are_the_contracts(study, fitted):
    for roi in ("manual", "automatic"):
        folder = fitted / "models" / "sln" / roi
        metrics = read_json(folder / "metrics.json")
        assert set(metrics) == {
            *("train_out_of_fold", "train_apparent", "test", "threshold", "repeats")
        }
        assert 0.75 < metrics["test"]["auc"] <= metrics["test"]["auc_upper"]
        assert 0.75 < metrics["train_out_of_fold"]["auc"] < metrics["train_apparent"]["auc"]
        assert metrics["test"]["n"] == 36
        assert metrics["train_out_of_fold"]["auc_of_repeats"] == pytest.approx(
            [metrics["train_out_of_fold"]["auc"]]
        )
        table = read_csv(folder / "predictions.csv", dtype=IDS)
        called = table["risk"] >= table["threshold"]
        for part, key in (("train", "train_out_of_fold"), ("test", "test")):
            positive = (table["set"] == part) & (table["label"] == 1)
            assert metrics[key]["sensitivity"] == pytest.approx(called[positive].mean())
        own = table.groupby("set")["threshold"].unique()
        assert own["test"] == pytest.approx([metrics["threshold"]])
        assert len(own["train"]) == 3  # one for each fold
        selection = read_csv(folder / "selection.csv")
        carriers = selection["feature"].isin(study.carriers)
        assert carriers.mean() > 0.3
        assert carriers.iloc[0]
        assert (selection["icc"] > 0.75).all()
        assert selection["frequency"].between(0, 1).all()
        funnel = read_json(folder / "funnel.json")
        assert funnel["extracted"] == 120 > funnel["stable"] > funnel["t_test"] >= funnel["lasso"]
        assert funnel["lasso"] == len(selection)
        assert len(funnel["folds"]) == 3
        path = read_csv(folder / "lasso_path.csv")
        assert path["chosen"].sum() == 1
        assert len(read_csv(folder / "lasso_coefficients.csv")) == 20 * len(selection)
        for curve in ("roc", "calibration", "decision"):
            assert set(read_csv(folder / "curves" / f"{curve}.csv")["set"]) == {"train", "test"}
    targets = read_json(fitted / "models" / "targets.json")
    assert [(row["target"], row["rois"]) for row in targets] == [("sln", ["manual", "automatic"])]
    assert len(read_csv(fitted / "models" / "failures.csv")) == 0


def test_predictions_follow_the_splits(fitted):
    splits = read_json(fitted / "splits.json")
    tables = []
    for roi in ("manual", "automatic"):
        table = read_csv(fitted / "models" / "sln" / roi / "predictions.csv", dtype=IDS)
        train, test = table[table["set"] == "train"], table[table["set"] == "test"]
        assert sorted(train["patient_id"]) == splits["train"]
        assert sorted(test["patient_id"]) == splits["test"]
        for number, fold in enumerate(splits["folds"]):
            inside = train[train["fold"] == str(number)]
            assert sorted(inside["patient_id"]) == sorted(fold["validation"])
        assert test["fold"].isna().all()
        assert table["risk"].between(0, 1).all()
        tables.append(table)
    assert tables[0]["patient_id"].tolist() == tables[1]["patient_id"].tolist()
    assert not tables[0]["missed"].any()
    missed = tables[1][tables[1]["missed"]]
    assert sorted(missed["patient_id"]) == ["P0000", "P0001"]
    assert missed["score"].isna().all()


def test_a_group_without_signal_stands_in_the_files(study, tmp_path):
    """In one centre every patient has the features of another one: nothing is left to be found."""
    folder = copy(study, tmp_path)
    patients = read_csv(folder / "patients.csv", dtype=str)
    ids = patients["patient_id"]
    destroyed = np.arange(len(ids)) % 2 == 1
    patients["centre"] = np.where(destroyed, "south", "north")
    write_csv(folder / "patients.csv", patients)
    shuffled = np.random.default_rng(3).permutation(ids[destroyed])
    moved = dict(zip(ids[destroyed], shuffled, strict=True))
    path = folder / "features" / "manual.parquet"
    table = pd.read_parquet(path)
    table["patient_id"] = table["patient_id"].replace(moved)
    write_parquet(path, table)
    for roi in ("automatic", "reader2"):
        (folder / "features" / f"{roi}.parquet").unlink()
    model(replace(CONFIG, all_patients=True), folder)
    own = folder / "models" / "sln" / "manual"
    table = read_csv(own / "subgroups.csv").set_index(["set", "group"])
    assert table["n"].groupby("set").sum().to_dict() == {"train": 84, "test": 36, "all": 120}
    north, south = table.loc["all", "north"], table.loc["all", "south"]
    assert north["auc_lower"] > 0.7
    assert south["auc_lower"] < 0.5 < south["auc_upper"] < 0.75
    assert read_csv(own / "heterogeneity.csv").set_index("set").loc["all", "p_holm"] < 0.01


def test_missed_lesions_under_both_rules(fitted):
    """P0000 and P0001 are missed in both views, P0002 to P0004 in one."""
    table = read_csv(fitted / "comparison" / "auc.csv").set_index(["set", "rule"])
    of_roi = [
        read_csv(fitted / "models" / "sln" / roi / "predictions.csv", dtype=IDS)
        for roi in ("manual", "automatic")
    ]
    splits = read_json(fitted / "splits.json")
    for rule, left_out in (("intention_to_diagnose", 0), ("complete_case", 5)):
        for part in ("train", "test"):
            ids = sorted(set(splits[part]) - {f"P{k:04d}" for k in range(left_out)})
            row = table.loc[part, rule]
            assert row["n"] == len(ids)
            chosen = [one.set_index("patient_id").loc[ids] for one in of_roi]
            aucs = [roc_auc_score(one["label"], one["risk"]) for one in chosen]
            assert row[["auc_manual", "auc_automatic"]].tolist() == pytest.approx(aucs)
            assert row["difference"] == pytest.approx(aucs[1] - aucs[0])
            assert row["n_missed"] == len({"P0000", "P0001"} & set(ids))
    summary = read_json(fitted / "comparison" / "summary.json")
    assert set(summary["rules"]) == {"complete_case", "intention_to_diagnose"}
    assert summary["n_patients_without_any_automatic_mask"] == 2
    assert summary["n_images_missed"] == 7


def test_masks_that_cannot_be_measured_are_lesions_missed(study, tmp_path, caplog):
    """Ten test patients whose automatic masks are too small: no features, and not in missed.csv."""
    folder = copy(study, tmp_path)
    path = folder / "features" / "automatic.parquet"
    table = pd.read_parquet(path)
    test = read_json(folder / "splits.json")["test"]
    gone = [one for one in test if one >= "P0005"][:10]
    write_parquet(path, table[~table["patient_id"].isin(gone)])
    with caplog.at_level("WARNING"):
        model(CONFIG, folder)
    assert "measured nothing of 10 patients" in caplog.text
    compare(CONFIG, folder)
    found = read_csv(folder / "comparison" / "auc.csv").query("set == 'test'").set_index("rule")
    everybody, complete = found.loc["intention_to_diagnose"], found.loc["complete_case"]
    empty = len({"P0000", "P0001"} & set(test))
    assert (everybody["n"], everybody["n_missed"]) == (36, 10 + empty)
    in_one = {f"P{k:04d}" for k in range(5)} & set(test)
    assert (complete["n"], complete["n_missed"]) == (36 - len(in_one | set(gone)), 0)
    for roi, counts in (("manual", (0, 0)), ("automatic", (12, 10))):
        assert read_json(folder / "models" / "sln" / roi / "metrics.json")["test"]["n"] == 36
        cases = read_json(folder / "models" / "cases.json")[roi == "automatic"]
        assert (cases["missed"], cases["failed"], cases["without_features"]) == (*counts, 0)
    assert read_json(folder / "comparison" / "summary.json")["predicted_from_one_source_only"] == {
        "sln": []
    }


@pytest.mark.parametrize("views", ["mean", "concat"])
def test_networks_that_found_nothing_cost_no_other_result(study, tmp_path, views):
    folder = copy(study, tmp_path)
    path = folder / "features" / "automatic.parquet"
    table = pd.read_parquet(path)
    write_parquet(path, table.iloc[:0])
    images = pd.read_parquet(folder / "features" / "manual.parquet")[["image_id", "patient_id"]]
    write_csv(folder / "features" / "missed.csv", images.assign(roi="automatic"))
    config = replace(CONFIG, views=views)
    model(config, folder)
    failures = read_csv(folder / "models" / "failures.csv")
    assert failures["stage"].tolist() == ["model/automatic"]
    assert failures["error"].str.contains("nothing was measured of any patient").all()
    targets = read_json(folder / "models" / "targets.json")
    assert [target["rois"] for target in targets] == [["manual"]]
    compare(config, folder)
    bias = read_csv(folder / "comparison" / "feature_bias.csv")
    assert (bias["n"] == 0).all()
    assert bias["bias"].isna().all()
    assert read_csv(folder / "comparison" / "auc.csv").empty


def test_feature_agreement_by_family_and_image_type(fitted):
    stability = read_csv(fitted / "comparison" / "stability.csv")
    assert len(stability) == 120
    assert (stability["n_automatic"] == 233).all()
    assert (stability["n_reader"] == 120).all()
    assert (stability["n_perturbation"] == 0).all()
    assert stability["icc_perturbation"].isna().all()
    assert stability["icc_reader"].median() > stability["icc_automatic"].median()
    for source in ("reader", "automatic"):
        lower, upper = stability[f"icc_{source}_lower"], stability[f"icc_{source}_upper"]
        assert stability[f"icc_{source}"].between(lower, upper).all()
    assert set(stability["family"]) >= {"shape2D", "glcm", "ngtdm"}
    assert "log-sigma-1-mm-3D" in set(stability["image_type"])
    summary = read_csv(fitted / "comparison" / "icc_summary.csv")
    part = summary[summary["group"].str.startswith("family=")]
    assert part.groupby("comparison")["n_features"].sum().tolist() == [120, 120]
    units = read_json(fitted / "comparison" / "summary.json")["icc"]
    assert list(units) == ["reader", "automatic"]


def test_a_saved_model_gives_the_same_risks(fitted):
    folder = fitted / "models" / "sln" / "manual"
    expected = read_csv(folder / "predictions.csv", dtype=IDS).query("set == 'test'")
    images = load_features(fitted, "manual").images
    images = images[images["patient_id"].isin(expected["patient_id"])]
    selected = load_model(folder).features()
    keys = ["image_id", "patient_id", "view", "laterality"]
    found = predict_risk(folder, images[keys + selected]).set_index("patient_id")
    expected = expected.set_index("patient_id").loc[found.index]
    for column in ("score", "risk", "radscore"):
        assert found[column].to_numpy() == pytest.approx(expected[column].to_numpy(), abs=1e-9)
    threshold = read_json(folder / "metrics.json")["threshold"]
    assert (found["positive"] == (found["risk"] >= threshold)).all()
    assert (found["n_images"] == 2).all()
    gap = images.copy()
    gap[selected[0]] = np.nan
    assert (predict_risk(folder, gap)["n_filled"] == 1).all()
    with pytest.raises(MammoroiError, match="lacks"):
        predict_risk(folder, images.drop(columns=selected[0]))


def test_foreign_types_are_refused(fitted, tmp_path):
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    folder = shutil.copytree(fitted / "models" / "sln" / "manual", tmp_path / "model")
    skops.io.dump(FunctionTransformer(np.exp), folder / "model.skops")
    assert "numpy.exp" in str(types_in(folder / "model.skops")) or types_in(folder / "model.skops")
    with pytest.raises(MammoroiError, match="never does"):
        load_model(folder)
    (folder / "model.skops").write_bytes(b"no archive")
    with pytest.raises(MammoroiError, match="no skops file"):
        load_model(folder)


def test_a_changed_model_is_refused(fitted, tmp_path):
    folder = shutil.copytree(fitted / "models" / "sln" / "manual", tmp_path / "model")
    shutil.copy(fitted / "models" / "sln" / "automatic" / "model.skops", folder)
    with pytest.raises(MammoroiError, match="is not the file that"):
        load_model(folder)


def test_repeats_everybody_and_comparators(study, tmp_path):
    folder = copy(study, tmp_path)
    (folder / "features" / "automatic.parquet").unlink()
    config = replace(
        CONFIG, recipe=FAST, repeats=2, all_patients=True, comparators=("random-forest",)
    )
    model(config, folder)
    results = folder / "models" / "sln" / "manual"
    splits = read_json(folder / "splits.json")
    everybody = read_csv(results / "predictions_all.csv", dtype=IDS)
    assert sorted(everybody["patient_id"]) == sorted(splits["train"] + splits["test"])
    assert sorted(everybody.query("set == 'test'")["patient_id"]) == splits["test"]
    metrics = read_json(results / "metrics.json")
    assert (metrics["repeats"], metrics["all_out_of_fold"]["n"]) == (2, 120)
    for name in ("train_out_of_fold", "test", "all_out_of_fold"):
        assert metrics[name]["auc"] > 0.8
    assert 0.5 < metrics["all_out_of_fold"]["calibration_slope"] < 2
    assert len(read_json(results / "funnel.json")["folds"]) == 2 * 3
    frequency = read_csv(results / "selection.csv")["frequency"]
    assert set((frequency * 6).round(9)) <= set(range(7))
    for key in ("train_out_of_fold", "all_out_of_fold"):
        assert len(metrics[key]["auc_of_repeats"]) == 2
        assert max(metrics[key]["auc_of_repeats"]) < 1
    claimed = read_json(results / "literal.json")
    assert claimed["train"]["auc"] > claimed["test"]["auc"] > 0.8
    assert read_json(results / "model.json")["recipe"]["lasso_rule"] == "1se"
    rows = read_csv(results / "comparators.csv").set_index("estimator")
    assert list(rows.index) == ["svm", "random-forest"]
    assert rows.loc["svm", "auc"] == pytest.approx(metrics["train_out_of_fold"]["auc"])
    assert rows.loc["svm", "test_brier"] == pytest.approx(metrics["test"]["brier"])
    assert rows.loc["random-forest", "auc_lower"] > 0.5
    before = everybody
    model(replace(config, comparators=()), folder)
    assert not (results / "comparators.csv").exists()
    pd.testing.assert_frame_equal(read_csv(results / "predictions_all.csv", dtype=IDS), before)


@pytest.mark.parametrize("recipe", ["paper-clean", "rigorous"])
def test_shuffled_labels_are_chance(study, tmp_path, recipe):
    aucs, sizes = [], []
    chosen = CLEAN if recipe == "paper-clean" else FAST
    quick = replace(CONFIG, calibration_folds=2, recipe=chosen)
    folder = copy(study, tmp_path)
    (folder / "features" / "automatic.parquet").unlink()
    for seed in range(8):
        patients = study.patients.copy()
        patients["sln"] = np.random.default_rng(seed).permutation(patients["sln"].to_numpy())
        write_csv(folder / "patients.csv", patients)
        model(quick, folder)
        metrics = read_json(folder / "models" / "sln" / "manual" / "metrics.json")
        aucs.append(metrics["test"]["auc"])
        sizes.append((metrics["test"]["n_positive"], metrics["test"]["n"]))
    m, n = sizes[0][0], sizes[0][1] - sizes[0][0]
    sd = np.sqrt((m + n + 1) / (12 * m * n) / len(aucs))
    assert abs(np.mean(aucs) - 0.5) < 3 * sd


def test_without_second_reader_and_automatic_masks(study, tmp_path):
    folder = copy(study, tmp_path)
    for roi in ("reader2", "automatic"):
        (folder / "features" / f"{roi}.parquet").unlink()
    model(CONFIG, folder)
    funnel = read_json(folder / "models" / "sln" / "manual" / "funnel.json")
    assert (funnel["icc_applied"], funnel["icc_patients"], funnel["stable"]) == (False, 0, 120)
    assert funnel["icc_source"] is None
    assert read_csv(folder / "models" / "sln" / "manual" / "selection.csv")["icc"].isna().all()
    compare(CONFIG, folder)  # of manual masks alone
    assert [path.name for path in (folder / "comparison").iterdir()] == ["summary.json"]
    write_csv(folder / "masks/predictions.csv", pd.DataFrame({"image_id": ["a"]}))
    with pytest.raises(MammoroiError, match="nothing to compare"):
        compare(CONFIG, folder)


def test_equal_runs_write_equal_bytes(fitted, study, tmp_path):
    folder = copy(study, tmp_path)
    model(CONFIG, folder)
    files = sorted(path for path in (folder / "models").rglob("*") if path.is_file())
    assert len(files) > 40
    for file in files:
        before = fitted / file.relative_to(folder)
        assert file.read_bytes() == before.read_bytes(), file.name


def test_a_task_of_ones_own_and_missing_labels(study, tmp_path):
    folder = copy(study, tmp_path)
    patients = study.patients.assign(birads=np.where(study.patients["sln"] == "positive", "5", "4"))
    patients.loc[:9, "birads"] = None
    write_csv(folder / "patients.csv", patients)
    config = replace(CONFIG, tasks=(Task("birads5", "birads", ("4", "5"), "BI-RADS 5"),))
    model(config, folder)
    cases = read_json(folder / "models" / "cases.json")[0]
    assert (cases["patients"], cases["used"], cases["without_label"]) == (120, 110, 10)
    about = read_json(folder / "models" / "birads5" / "manual" / "model.json")
    assert (about["label"], about["positive"], about["negative"]) == ("birads", "5", "4")


def test_a_class_too_small_fails_alone(study, tmp_path):
    folder = copy(study, tmp_path)
    patients = study.patients.assign(rare="no")
    patients.loc[:2, "rare"] = "yes"
    write_csv(folder / "patients.csv", patients)
    model(replace(CONFIG, tasks=("sln", Task("rare", "rare", ("no", "yes")))), folder)
    failures = read_csv(folder / "models" / "failures.csv")
    assert failures["case"].tolist() == ["rare", "rare"]
    assert failures["error"].str.contains("rare = yes").all()
    assert [row["target"] for row in read_json(folder / "models" / "targets.json")] == ["sln"]
    patients["rare"] = "no"
    write_csv(folder / "patients.csv", patients)
    with pytest.raises(MammoroiError, match=r"no target could be fitted; .* 0 of"):
        model(replace(CONFIG, tasks=(Task("rare", "rare", ("no", "yes")),)), folder)


@pytest.mark.parametrize("known", [0, 2])
def test_hardly_any_label_costs_no_other_task(study, tmp_path, known):
    """No patient, or fewer of each class than there are folds: nothing that could be divided."""
    folder = copy(study, tmp_path)
    train = read_json(folder / "splits.json")["train"]
    labels = pd.Series(["no", "yes"] * known, train[: 2 * known], dtype=object)
    patients = study.patients.assign(new=study.patients["patient_id"].map(labels))
    write_csv(folder / "patients.csv", patients)
    tasks = ("sln", Task("new", "new", ("no", "yes")))
    model(replace(CONFIG, tasks=tasks, repeats=2, all_patients=True), folder)
    failures = read_csv(folder / "models" / "failures.csv")
    assert failures["case"].tolist() == ["new", "new"]
    assert failures["action"].str.contains("at least 3 are needed").all()
    assert [row["target"] for row in read_json(folder / "models" / "targets.json")] == ["sln"]


def test_concat_leaves_patients_of_one_view_out_of_both_sources(study, tmp_path):
    """Also those whose lesion the automatic masks missed: they are no missed lesions then."""
    folder = copy(study, tmp_path)
    alone = [f"P{number:04d}" for number in (20, 21, 22)]
    for roi in ("manual", "automatic"):
        path = folder / "features" / f"{roi}.parquet"
        table = pd.read_parquet(path)
        kept = ~table["patient_id"].isin(alone) | (table["view"] == "CC") & (roi == "manual")
        write_parquet(path, table[kept])
    missed = read_csv(folder / "features" / "missed.csv", dtype=str)
    more = [{"image_id": f"{one}-CC", "patient_id": one, "roi": "automatic"} for one in alone]
    write_csv(folder / "features" / "missed.csv", pd.concat([missed, pd.DataFrame(more)]))
    model(replace(CONFIG, views="concat"), folder)
    for case, lost in zip(read_json(folder / "models" / "cases.json"), (0, 5), strict=True):
        assert (case["used"], case["without_features"], case["missed"]) == (117, 3, lost)


@pytest.mark.parametrize("roi", ["automatic", "reader2"])
def test_concat_with_a_source_of_one_view_goes_on_with_the_other(study, tmp_path, roi):
    """Automatic masks of CC alone are missed lesions for `concat`, no end of the manual models."""
    folder = copy(study, tmp_path)
    manual, path = (folder / "features" / f"{one}.parquet" for one in ("manual", roi))
    table = pd.read_parquet(path if path.exists() else manual)
    write_parquet(path, table[table["view"] == "CC"])
    if roi == "reader2":
        shutil.copy(manual.with_suffix(".json"), path.with_suffix(".json"))
    model(replace(CONFIG, views="concat"), folder)
    assert read_json(folder / "models" / "targets.json")[0]["rois"][0] == "manual"
    failed = read_csv(folder / "models" / "failures.csv")
    assert failed["stage"].tolist() == (["model/automatic"] if roi == "automatic" else [])


def test_models_no_longer_asked_for_are_removed(study, tmp_path):
    """Neither the report nor a bundle takes them for models of this run."""
    folder = copy(study, tmp_path)
    old = folder / "models" / "her2-low" / "manual"
    classes = folder / "models" / "her2" / "classes" / "manual"
    for left in (old, classes):
        (left / "curves").mkdir(parents=True)
        write_json(left / "metrics.json", {})
    mine = folder / "models" / "notes" / "mine"
    mine.mkdir(parents=True)
    (mine / "note.txt").write_text("kept: no model")
    write_json(folder / "models" / "sln" / "manual" / "metrics.json", {})
    (folder / "models" / "sln" / "manual" / "predictions_all.csv").write_text("of other settings")
    model(CONFIG, folder)
    found = sorted(path.name for path in (folder / "models").iterdir() if path.is_dir())
    assert found == ["notes", "sln"]
    assert not (folder / "models" / "sln" / "manual" / "predictions_all.csv").exists()


def break_settings(folder: Path) -> None:
    path = folder / "features" / "automatic.json"
    write_json(path, {**read_json(path), "preset": "other", "settings_sha256": "1" * 64})


def drop_label(folder: Path) -> None:
    write_csv(folder / "patients.csv", read_csv(folder / "patients.csv").drop(columns="sln"))


def wrong_label(folder: Path) -> None:
    patients = read_csv(folder / "patients.csv")
    patients.loc[3, "sln"] = "Positiv"
    write_csv(folder / "patients.csv", patients)


def text_feature(folder: Path) -> None:
    path = folder / "features" / "manual.parquet"
    write_parquet(path, pd.read_parquet(path).assign(note="x"))


def repeated_image(folder: Path) -> None:
    path = folder / "features" / "manual.parquet"
    table = pd.read_parquet(path)
    write_parquet(path, pd.concat([table, table.head(1)]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_settings, "were not made alike: settings_sha256 is 0+ and 1+ .* with one preset"),
        (drop_label, "no column 'sln', which task sln needs"),
        (wrong_label, "P0003 has 'Positiv' .* did you mean 'positive'"),
        (text_feature, "column 'note' holds no numbers"),
        (repeated_image, "has image P0000-CC twice"),
        (lambda folder: (folder / "splits.json").unlink(), "splits.json does not exist"),
        (
            lambda folder: (folder / "features" / "manual.parquet").unlink(),
            "run `mammoroi extract CONFIG`",
        ),
    ],
)
def test_bad_input_is_named(study, tmp_path, damage, message):
    folder = copy(study, tmp_path)
    damage(folder)
    with pytest.raises(MammoroiError, match=message):
        model(CONFIG, folder)


def test_different_folds_are_not_compared(fitted, tmp_path):
    folder = shutil.copytree(fitted, tmp_path / "study")
    path = folder / "models" / "sln" / "automatic" / "predictions.csv"
    table = read_csv(path, dtype=IDS)
    table.loc[0, "fold"] = "2"
    write_csv(path, table)
    with pytest.raises(MammoroiError, match="has another fold"):
        compare(CONFIG, folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ("her",)}, "'her' is no preset task .* did you mean 'her2'"),
        ({"tasks": ("sln", "sln")}, "two tasks are called sln"),
        (
            {"tasks": (Task("her2-low", "low", ("zero", "low")), "her2")},
            "her2-low and her2 both have a target her2-low",
        ),
        ({"tasks": (Task("g", "g", ("I", "II/III", "IV")),)}, "'II/III' cannot be part of"),
        ({"tasks": (Task("g", "g", ("I", "I ", "IV")),)}, "'I ' cannot be part of"),
        ({"tasks": (Task("g", "g", ("I", "II or III", "IV")),)}, "reads like two classes"),
        ({"views": "means"}, "did you mean 'mean'"),
        ({"recipe": "rigourous"}, "no recipe .* did you mean 'rigorous'"),
        ({"comparators": ("forest",)}, "did you mean 'random-forest'"),
        ({"repeats": 0}, "repeats is 0"),
        ({"seed": 202611281200}, "seed is 202611281200"),
    ],
)
def test_settings_that_cannot_be_meant(options, message):
    with pytest.raises(MammoroiError, match=message):
        ModelingConfig(**options)


def test_classes_that_name_no_folder_may_be_called_anything():
    either = Task("g", "g", ("I or II", "III/IV"))
    targets = targets_of(either) + targets_of(Task("ki67", "ki67", ("< 14 %", "≥ 14 %")))
    assert ModelingConfig(tasks=(either,)).tasks == (either,)
    assert [target.name for target in targets] == ["g", "ki67"]
    assert [target.name for target in targets_of(Task("h", "h", ("0", "1+", "Grade 2")))] == [
        *("h-0", "h-1+", "h-Grade 2")
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lasso_rule": "1-se"}, "did you mean '1se'"),
        ({"kernels": ("radial",)}, "kernels is 'radial'"),
        ({"t_test_alpha": 0.0}, "t_test_alpha is 0.0"),
        ({"alpha_ratio": 1.0}, "alpha_ratio is 1.0"),
        ({"costs": ()}, "costs is"),
    ],
)
def test_recipes_that_cannot_be_meant(options, message):
    with pytest.raises(MammoroiError, match=message):
        Recipe(**options)


@pytest.mark.parametrize(
    ("name", "classes", "message"),
    [("a/b", ("x", "y"), "cannot name a folder"), ("a", ("x",), "at least two different")],
)
def test_tasks_that_cannot_be_meant(name, classes, message):
    with pytest.raises(MammoroiError, match=message):
        Task(name, "label", classes)


def test_views_are_combined_by_the_stated_rule(study):
    images = load_features(study.folder, "manual").images.head(4).copy()
    feature, area = feature_names(images)[5], feature_names(images)[0]
    images[feature], images[area] = [1.0, 3.0, 5.0, np.nan], [9.0, 8.0, 1.0, 2.0]
    assert combine_views(images, "mean")[feature].tolist()[0] == 2.0
    assert np.isnan(combine_views(images, "mean")[feature].tolist()[1])
    assert combine_views(images, "largest")[feature].iloc[0] == 1.0
    wide = combine_views(images.head(3), "concat")
    assert wide.index.tolist() == ["P0000"]
    assert wide[[f"{feature}@CC", f"{feature}@MLO"]].to_numpy().tolist() == [[1.0, 3.0]]
    with pytest.raises(MammoroiError, match="no lesion size"):
        combine_views(images.drop(columns=area), "largest")
    with pytest.raises(MammoroiError, match="both views"):
        combine_views(images[images["view"] == "CC"], "concat")


@pytest.mark.parametrize("views", ["largest", "concat"])
def test_other_views_fit_and_apply(study, tmp_path, views):
    folder = copy(study, tmp_path)
    (folder / "features" / "automatic.parquet").unlink()
    model(replace(CONFIG, views=views), folder)
    model_folder = folder / "models" / "sln" / "manual"
    expected = read_csv(model_folder / "predictions.csv", dtype=IDS).query("set == 'test'")
    images = load_features(folder, "manual").images
    found = predict_risk(model_folder, images).set_index("patient_id")["risk"]
    assert found[expected["patient_id"]].to_numpy() == pytest.approx(expected["risk"].to_numpy())
    assert json.loads((model_folder / "model.json").read_text())["views"] == views


def test_nothing_selected_is_written_and_applied(study, tmp_path):
    folder = copy(study, tmp_path)
    model(replace(CONFIG, recipe=replace(CLEAN, t_test_alpha=1e-12)), folder)
    model_folder = folder / "models" / "sln" / "manual"
    funnel = read_json(model_folder / "funnel.json")
    assert (funnel["t_test"], funnel["lasso"]) == (0, None)
    about = read_json(model_folder / "model.json")
    risks = predict_risk(model_folder, load_features(folder, "manual").images)["risk"]
    assert risks.to_numpy() == pytest.approx(about["prevalence"])
    assert read_json(model_folder / "metrics.json")["test"]["auc"] == 0.5
    assert len(read_csv(model_folder / "selection.csv")) == 0
    out_of_fold = read_json(model_folder / "metrics.json")["train_out_of_fold"]
    assert out_of_fold["auc"] == 0.5  # though the folds' own prevalences differ
