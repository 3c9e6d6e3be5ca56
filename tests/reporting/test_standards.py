"""Checklists, methods section and model cards: they say what the files say, and nothing else."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mammoroi.cli import main
from mammoroi.errors import MammoroiError
from mammoroi.files import write_csv, write_json
from mammoroi.reporting.facts import FACTS
from mammoroi.reporting.methods import SECTIONS, methods, sections
from mammoroi.reporting.model_card import card_of, model_card, segmentation_card, write_cards
from mammoroi.reporting.standards import (
    ANSWERED,
    CONFIRM,
    FOLDER,
    NO_EVIDENCE,
    NOT_APPLICABLE,
    OPEN,
    SHOWN,
    score,
    standards,
    standards_tables,
    write_standards,
)

RECIPE = {
    "name": "own",
    "t_test_alpha": 0.04,
    "alpha_max": 10.0,
    "alpha_ratio": 1e-5,
    "n_alphas": 47,
    "lasso_folds": 9,
    "lasso_rule": "1se",
    "smote": True,
    "class_weights": False,
    "kernels": ["linear"],
    "costs": [0.25],
}
FEATURES = {
    "roi": "manual",
    "preset": "mammography-1311",
    "settings": {"binWidth": 23, "distances": [1]},
    "image_types": {"Original": {}, "LoG": {"sigma": [1, 3]}, "LBP2D": {"binWidth": 1}},
    "feature_classes": {"shape2D": None, "glcm": None},
    "preparation": None,
    "settings_sha256": "ab" * 32,
    "engine": "exact",
    "engine_version": "2 pyradiomics-bhklab 3.1.4",
    "versions": {"pyradiomics-bhklab": "3.1.4"},
    "n_features": 1311,
    "counts": {"cases_in": 120, "used": 119, "missed": 0, "failed": 1},
    "spacing_mm": {"least": 0.07, "median": 0.085, "greatest": 0.094},
    "bins": {"original": {"least": 17, "median": 33.0, "greatest": 61}},
    "degenerate_features": ["x"],
}
# What a complete run evidences.
METRICS_SHOWN = set(map(str, (9, 10, 11, 12, 13, 14, 15, 18, 20, 21, 22, 26)))
CLEAR_SHOWN = set(map(str, (15, *range(21, 29), *range(30, 36), *range(37, 42), 44, 46, 47)))
TRIPOD_SHOWN = {"13", "15", "21", "22", "23a", *(f"12{x}" for x in "abceg"), "20a", "20b", "20c"}


@pytest.fixture(scope="module")
def complete(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study with every file that a run writes beside those that the report needs."""
    import numpy as np
    import skops.io
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    folder = tmp_path_factory.mktemp("standards") / "study"
    shutil.copytree(study, folder)
    for roi in ("manual", "automatic", "reader2"):
        write_json(folder / f"features/{roi}.json", FEATURES | {"roi": roi})
    rows = [("a", "Original", "shape2D", "differs", "none"), ("b", "LoG", "glcm", "same", "none")]
    columns = ["name", "image_type", "feature_class", "ibsi", "image_ibsi"]
    dictionary = pd.DataFrame(rows, columns=columns).assign(meaning="A meaning.")
    write_csv(folder / "features/dictionary.csv", dictionary)
    for fold in range(3):
        settings = {
            "working_spacing_mm": 0.4, "patch": None, "loss": "dice-ce", "augmentation": "full",
            "epochs": 83, "batch_size": 6, "learning_rate": 0.002,
        }  # fmt: skip
        card = {
            "fold": fold,
            "network": {"architecture": "unet", "channels": [16, 32], "encoder": "resnet18"},
            "settings": settings,
            "inference": {"threshold": 0.5, "max_components": 1, "minimum_area_mm2": 4.0},
            "n_training_patients": 22 + fold,
            "n_tuning_patients": 4,
            "n_training_images": 44,
            "sha256": f"{fold}" * 64,
        }
        write_json(folder / f"segmentation/fold-{fold}/model.json", card)
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 1, 0, 1]
    svm = SVC(kernel="linear", C=0.25)
    fitted = Pipeline([("scale", StandardScaler()), ("svm", svm)]).fit(X, y)
    stability = {"value": 0.43, "lower": 0.21, "upper": 0.65}
    for path in folder.glob("models/*/*/metrics.json"):
        skops.io.dump(fitted, path.parent / "model.skops")
        about = {
            "settings": {"recipe": RECIPE, "icc_threshold": 0.75, "views": "mean"},
            "features": [], "calibration": {"intercept": 0.0, "slope": 1.0}, "n_train": 40,
            "preset": "mammography-1311", "views": "mean", "model_sha256": "cd" * 32,
            "versions": {"scikit-learn": "1.9.1"},
        }  # fmt: skip
        write_json(path.parent / "model.json", about)
        funnel = json.loads((path.parent / "funnel.json").read_text())
        _change(
            path.parent / "funnel.json", folds=[funnel] * 3, smote_neighbours=5, stability=stability
        )
    write_json(
        folder / "comparison/summary.json",
        {"n_bootstrap": 777, "rules": {"complete_case": "Found."}, "icc": {"reader": "ICC(2,1)"}},
    )
    write_json(folder / "models/cases.json", [])
    rows = [("univariable", 59, 2.0), ("univariable", 60, 1.5), ("multivariable", 58, None)]
    odds = pd.DataFrame(rows, columns=["analysis", "n", "odds_ratio"])
    write_csv(folder / "tables/table2_sln.csv", odds.assign(method="maximum likelihood"))
    return folder


@pytest.fixture
def copied(complete: Path, tmp_path: Path) -> Path:
    """The complete study, to be spoiled."""
    return Path(shutil.copytree(complete, tmp_path / "study"))


def _change(path: Path, **changes: object) -> None:
    write_json(path, json.loads(path.read_text()) | changes)


def _status(folder: Path, name: str = "metrics") -> dict[str, str]:
    table = standards(folder)[name]
    return dict(zip(table["item"], table["status"], strict=True))


def _shown(folder: Path, name: str = "metrics") -> set[str]:
    return {item for item, status in _status(folder, name).items() if status == SHOWN}


def test_the_lists_are_whole_and_refer_to_what_exists() -> None:
    lists = {name: pd.read_csv(FOLDER / f"{name}.csv", dtype=str, keep_default_na=False)
             for name in ("clear", "metrics", "tripod_ai")}  # fmt: skip
    assert lists["clear"]["item"].tolist() == [str(k) for k in range(1, 59)]
    assert lists["metrics"]["item"].tolist() == [str(k) for k in range(1, 31)]
    tripod = lists["tripod_ai"]["item"]
    assert len(tripod) == tripod.nunique() == 52
    assert list(dict.fromkeys(tripod.str.rstrip("abcdefg"))) == [str(k) for k in range(1, 28)]
    weights = lists["metrics"].set_index("item")["weight"].astype(float)
    assert weights.sum() == pytest.approx(1, abs=1e-9)  # Kocak et al. 2024, Table 1
    assert weights[["3", "18", "27", "30"]].tolist() == [0.0919, 0.0599, 0.0749, 0.0075]
    assert lists["metrics"]["section"].nunique() == 9
    for table in lists.values():
        assert set(table["who"]) == {"software", "assisted", "human"}
        assert (table.loc[table["who"] != "software", "hint"] != "").all()
        assert (table.loc[table["who"] == "software", "evidence"] != "").all()
        named = {key.rstrip("?!") for keys in table["evidence"] for key in keys.split()}
        assert named <= set(FACTS)
    assert {name for names in SECTIONS.values() for name in names} <= set(FACTS)


def test_a_complete_run_shows_what_it_holds_and_names_the_files(complete: Path) -> None:
    filled = standards(complete)
    assert _shown(complete) == METRICS_SHOWN
    assert _shown(complete, "clear") == CLEAR_SHOWN
    assert _shown(complete, "tripod_ai") == TRIPOD_SHOWN
    for table in filled.values():
        for row in table.to_dict("records"):
            files = row["evidence"].split("; ") if row["evidence"] else []
            assert all(list(complete.glob(name)) for name in files), row["item"]
            assert bool(files) == (row["status"] in (SHOWN, CONFIRM)), row["item"]
            if row["who"] == "human":
                assert (row["value"], row["status"]) in (("", OPEN), ("", NOT_APPLICABLE))
    assert [table.name for table in standards_tables(filled)] == ["clear", "metrics", "tripod_ai"]


def test_nothing_is_shown_by_an_empty_folder(tmp_path: Path) -> None:
    for table in standards(tmp_path).values():
        assert not table["status"].isin((SHOWN, CONFIRM, ANSWERED)).any()
        assert (table["value"] == "").all()
    assert score(standards(tmp_path)["metrics"]).lowest == 0
    assert sections(tmp_path) == []
    assert write_cards(tmp_path) == []
    with pytest.raises(MammoroiError, match="no folder"):
        standards(tmp_path / "absent")


def _no_test_patients(folder: Path) -> None:
    for path in folder.glob("models/*/*/metrics.json"):
        _change(path, test={"n": 0, "n_positive": 0})


def _overlap(folder: Path) -> None:
    train = json.loads((folder / "splits.json").read_text())["train"]
    _change(folder / "splits.json", test=train[:5])


def _masks_of_the_wrong_network(folder: Path) -> None:
    masks = pd.read_csv(folder / "masks/predictions.csv", dtype=str)
    masks.loc[masks["fold"] == "0", "fold"] = "1"
    write_csv(folder / "masks/predictions.csv", masks)


def _no_calibration(folder: Path) -> None:
    for path in folder.glob("models/*/*/metrics.json"):
        metrics = json.loads(path.read_text())
        for part in ("test", "train_out_of_fold"):
            metrics[part]["calibration_slope"] = None
        write_json(path, metrics)


def _without(pattern: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for path in list(folder.glob(pattern)):
            path.unlink()

    return remove


def _funnels(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for path in folder.glob("models/*/*/funnel.json"):
            _change(path, **changes)

    return change


@pytest.mark.parametrize(
    ("spoil", "lost"),
    [
        (_without("agreement_summary.csv"), {"9"}),
        (_without("features/*.json"), {"11", "12", "13"}),
        (_funnels(icc_source=None, icc_patients=0), {"14"}),
        (_funnels(lasso=None), {"15"}),
        (_funnels(folds=[]), {"18"}),
        (_overlap, {"18", "26"}),
        (_masks_of_the_wrong_network, {"18"}),
        (_no_calibration, {"22"}),
        (_no_test_patients, {"26"}),
        (_without("models/*/*/metrics.json"), {"14", "15", "18", "20", "21", "22", "26"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_missing_or_contrary_is_no_tick(
    copied: Path, spoil: Callable[[Path], None], lost: set[str]
) -> None:
    spoil(copied)
    assert _shown(copied) == METRICS_SHOWN - lost
    assert {_status(copied)[item] for item in lost} == {NO_EVIDENCE}


def test_without_automatic_masks_their_item_does_not_apply(copied: Path) -> None:
    _without("masks/predictions.csv")(copied)
    assert _status(copied)["9"] == _status(copied)["17"] == NOT_APPLICABLE


def test_other_estimators_and_clinical_models_count_as_comparisons(copied: Path) -> None:
    row = {"test_auc": 0.7, "test_auc_lower": 0.6, "test_auc_upper": 0.8}
    rows = [{"estimator": name, **row} for name in ("svm", "elastic-net")]
    write_csv(copied / "models/sln/manual/comparators.csv", pd.DataFrame(rows))
    shutil.copytree(copied / "models/sln/manual", copied / "models/sln/clinical")
    assert _shown(copied) - METRICS_SHOWN == {"24", "25"}
    assert "48" in _shown(copied, "clear")


def test_metrics_is_a_range_of_the_published_weights(copied: Path) -> None:
    """Item 17 does not apply: the others' weights are scaled by 1 / 0.98."""
    weights = pd.read_csv(FOLDER / "metrics.csv", dtype={"item": str}).set_index("item")["weight"]
    found = score(standards(copied)["metrics"])
    assert found.shown == pytest.approx(weights[sorted(METRICS_SHOWN)].sum() / 0.98, abs=1e-12)
    assert found.unsupported == pytest.approx(weights[["24", "25"]].sum() / 0.98, abs=1e-12)
    assert found.highest == pytest.approx(1 - found.unsupported, abs=1e-12)

    answers = [("2", "yes, see the text"), ("4", "no"), ("24", "yes"), ("14", "No: few readers")]
    _answer(copied, [("metrics", *one) for one in answers])
    judged = score(standards(copied)["metrics"])
    assert judged.answered == pytest.approx(weights[["2", "24"]].sum() / 0.98)
    assert judged.shown == pytest.approx(found.shown - weights["14"] / 0.98)
    assert judged.remaining == pytest.approx(found.remaining - weights[["2", "4"]].sum() / 0.98)
    assert f"{judged.lowest:.1%}" in str(judged)

    everything = [("metrics", item, "yes") for item in weights.index if item != "17"]
    _answer(copied, everything)
    assert score(standards(copied)["metrics"]).lowest == pytest.approx(1)


def _answer(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    table = pd.DataFrame(rows, columns=["standard", "item", "answer"])
    write_csv(folder / "standards_answers.csv", table)


def test_answers_survive_another_run(copied: Path) -> None:
    write_standards(copied)
    given = pd.read_csv(copied / "standards/to_answer.csv", dtype=str)
    assert given["answer"].isna().all()
    given.loc[(given["standard"] == "clear") & (given["item"] == "8"), "answer"] = "Committee 12/3."
    write_csv(copied / "standards_answers.csv", given)
    for _ in range(2):
        write_standards(copied)
        row = pd.read_csv(copied / "standards/clear.csv", dtype=str).set_index("item").loc["8"]
        assert (row["status"], row["answer"]) == (ANSWERED, "Committee 12/3.")
    assert len(pd.read_csv(copied / "standards/to_answer.csv")) == len(given) - 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("clear", "59", "x")], "item 59 of 'clear', which does not exist"),
        ([("rqs", "1", "x")], "item 1 of 'rqs'"),
        ([("clear", "8", "x"), ("clear", "8", "y")], "clear 8 twice"),
        ([("metrics", "4", "perhaps")], "metrics 4 with 'perhaps'"),
    ],
)
def test_answers_that_fit_nothing_are_refused(
    copied: Path, rows: list[tuple[str, str, str]], message: str
) -> None:
    _answer(copied, rows)
    with pytest.raises(MammoroiError, match=re.escape(message)):
        standards(copied)


def test_the_methods_have_the_numbers_of_the_files(complete: Path) -> None:
    text = methods(complete)
    metrics = json.loads((complete / "models/sln/manual/metrics.json").read_text())
    for expected in (
        "120 mammograms of 60 patients (60 CC, 60 MLO)",
        "122 mammograms of 61 patients",
        "40 for training and 20 for testing (67% and 33%)",
        "3 folds",
        "0.070 to 0.094 mm (median 0.085 mm)",
        "estimated, not measured, for 10 of 120 mammograms",
        "A second reader outlined the lesion in 60 of 120 mammograms (50%)",
        "peak learning rate 0.002, batches of 6) for at most 83 epochs",
        "Each was fitted to 22 to 24 patients; the epoch with the best Dice on 4 others",
        "fixed width of 23 (a width of 1 for LBP2D)",
        "17 to 61 grey levels in the lesion (median 33)",
        "LoG (sigma 1, 3)",
        "ICC(2,1) between the two readers exceeded 0.75, computed from the 30 training patients",
        "911 of 1311 were left",
        "gave P < 0.04; 160 were left",
        "of 47 penalties from 10 down to 1e-05 times that",
        "the largest one with a squared error within one standard error",
        "at most 9 folds",
        "18 for sln with manual masks",
        "support vector machine (kernel linear, C 0.25)",
        "SMOTE, 5 neighbours",
        "0.43 (0.21 to 0.65) for sln with manual masks",
        f"sln: {metrics['train_out_of_fold']['n_positive']} of 40 training patients",
        f"{metrics['threshold']:.3f} for sln with manual masks",
        "fitted anew in each of the 3 folds",
        "estimated for sln, with one variable at a time (n = 59 to 60); by maximum likelihood",
        "paired bootstrap of 777 samples",
        "mammoroi 0.1.0 (Python 3.11.2, numpy 2.4.6, torch 2.9.0); seeds: cohort 15",
        "| Discretisation | Grey levels were binned",
        "grade (1 of 60)",
    ):
        assert expected in text, expected
    assert "left out for want" not in text
    assert "all variables together" not in text  # no such model could be estimated


def _no_second_reader(folder: Path) -> None:
    images = pd.read_csv(folder / "cohort.csv", dtype=str).drop(columns="mask_reader2")
    write_csv(folder / "cohort.csv", images)
    (folder / "features/reader2.json").unlink()
    _funnels(icc_source=None)(folder)


def _recipe(drop: tuple[str, ...] = (), **changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for path in folder.glob("models/*/*/model.json"):
            about = json.loads(path.read_text())
            recipe = about["settings"]["recipe"] | changes
            about["settings"]["recipe"] = {k: v for k, v in recipe.items() if k not in drop}
            write_json(path, about)

    return change


def _neighbours_none(folder: Path) -> None:
    _funnels(smote_neighbours=None, folds=[])(folder)


@pytest.mark.parametrize(
    ("spoil", "claims"),
    [
        (_no_second_reader, ["second reader outlined", "second reader's", "ICC(2,1) between"]),
        (_recipe(t_test_alpha=1.0), ["t-test between the classes"]),
        (_recipe(drop=("lasso_rule",)), ["The LASSO selected from"]),
        (_recipe(drop=("smote",)), ["SMOTE", "Classes were left"]),
        (_neighbours_none, ["SMOTE", "fitted anew in each"]),
        (_without("models/*/*/model.skops"), ["support vector machine (", "z-scored"]),
        (_without("comparison/*"), ["DeLong's paired test", "bootstrap of"]),
        (_without("segmentation/*/model.json"), ["U-Net", "Training minimised"]),
        (_masks_of_the_wrong_network, ["no mask comes from a network that had seen"]),
        (_without("features/dictionary.csv"), ["IBSI's formula"]),
        (_without("run.json"), ["The analysis was made with"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_methods_claim_nothing_that_was_not_done(
    complete: Path, copied: Path, spoil: Callable[[Path], None], claims: list[str]
) -> None:
    before = methods(complete)
    spoil(copied)
    after = methods(copied)
    for claim in claims:
        assert claim not in after, claim
    assert claims[0] in before


def test_a_recipe_given_by_name_is_looked_up(copied: Path) -> None:
    from mammoroi.modeling.recipes import PRESET_RECIPES

    for path in copied.glob("models/*/*/model.json"):
        about = json.loads(path.read_text())
        about["settings"]["recipe"] = "rigorous"
        write_json(path, about)
    text = methods(copied)
    assert f"of {PRESET_RECIPES['rigorous'].n_alphas} penalties from the smallest one" in text
    assert "gave P <" not in text


def test_a_card_has_the_figures_of_its_model(complete: Path) -> None:
    metrics = json.loads((complete / "models/her2-low/automatic/metrics.json").read_text())
    test, train = metrics["test"], metrics["train_out_of_fold"]
    text = model_card(complete, "her2-low", "automatic")
    auc, low, high = (test[f"auc{end}"] for end in ("", "_lower", "_upper"))
    assert f"AUC {auc:.2f} ({low:.2f} to {high:.2f})" in text
    assert f"n = {test['n']}, {test['n_positive']} positive" in text
    assert f"{train['n_positive']} of {train['n']} patients" in text
    assert "calibration slope 0.70" in text
    assert "off scale (calibration slope 0.70)" in text
    assert "knows nothing of patients" in text
    assert "no medical device" in text
    assert f"model.skops: {'cd' * 32}" in text
    card = card_of(complete, "her2-low", "automatic")
    selection = pd.read_csv(complete / "models/her2-low/automatic/selection.csv")
    assert [one["name"] for one in card["features"]] == selection["feature"].tolist()
    patients = pd.read_csv(complete / "patients.csv").set_index("patient_id")
    ages = patients.loc[json.loads((complete / "splits.json").read_text())["train"], "age"]
    assert card["trained_on"]["age"].startswith(f"median {ages.median():g}, {ages.min():g} to")
    menopause = patients.loc[ages.index, "menopause"].value_counts()
    assert card["trained_on"]["menopause"] == f"no {menopause['no']}, yes {menopause['yes']}"
    with pytest.raises(MammoroiError, match=r"no model models/x/manual .* it has sln/manual"):
        model_card(complete, "x", "manual")


def test_real_patients_are_not_called_phantoms(
    make_study: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "study", synthetic=False, targets=("sln",))
    assert "phantom" not in methods(folder) + model_card(folder, "sln", "manual")
    assert "City hospital, 2016 to 2024" in methods(folder)


def test_the_command_writes_everything(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["standards", str(copied)]) == 0
    printed = capsys.readouterr().out
    assert "METRICS between" in printed
    assert sorted(path.name for path in (copied / "cards").glob("*.md")) == [
        "her2-low-automatic.md", "her2-low-manual.md", "segmentation.md",
        "sln-automatic.md", "sln-manual.md",
    ]  # fmt: skip
    assert (copied / "methods.md").read_text("utf-8") == methods(copied)
    saved = json.loads((copied / "cards/segmentation.json").read_text("utf-8"))
    assert saved["trained_on"]["fold 2"].startswith("24 patients")
    assert saved == json.loads(json.dumps(segmentation_card(copied)))
