"""Single facts against the files, the functions and the tables that they speak of."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import skops.io
from sklearn.dummy import DummyClassifier

from mammoroi.errors import Failure
from mammoroi.files import sha256_files, write_csv, write_failures, write_json
from mammoroi.modeling.leakage import COLUMNS, MADE_OF
from mammoroi.modeling.risk_errors import CURVE_SAMPLES
from mammoroi.modeling.sample_size import expected_shrinkage, needed_patients
from mammoroi.reporting import wording
from mammoroi.reporting.facts import FACTS
from mammoroi.reporting.figures_classifiers import metric
from mammoroi.reporting.figures_masks import draw_history
from mammoroi.reporting.methods import sections
from mammoroi.reporting.model_card import segmentation_card
from mammoroi.reporting.read_results import read_results
from mammoroi.reporting.record import Record
from mammoroi.reporting.references import WORKS, cite
from mammoroi.reporting.standards import _gathered, standards
from mammoroi.reporting.summary import difference_of, limits
from mammoroi.reporting.trust import OUTDATED, leakage_table, no_audit, size_table


def _said(folder: Path, name: str) -> str:
    fact = FACTS[name](Record(folder))
    assert fact is not None
    assert all((folder / file).is_file() for file in fact.files)
    return fact.text


def _change_auc(folder: Path, model: str, auc: float) -> None:
    path = folder / f"models/{model}/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["train_out_of_fold"] |= {"auc": auc, "auc_lower": auc - 0.1}
    write_json(path, metrics)


def test_the_sample_size_is_riley_s_for_all_candidates(copied: Path) -> None:
    models = ("sln/manual", "sln/automatic", "her2-low/manual", "her2-low/automatic")
    for model, auc in zip(models, (0.75, 0.8, 0.9, 0.55), strict=True):
        _change_auc(copied, model, auc)
    made = size_table(Record(copied))
    assert made is not None
    needed = []
    for model, row in zip(models, made.cells, strict=True):
        train = json.loads((copied / f"models/{model}/metrics.json").read_text())[
            "train_out_of_fold"
        ]
        n, positive, auc = train["n"], train["n_positive"], train["auc"]
        assert row[:4] == [*model.split("/"), "1,311", f"{n} ({positive})"]
        assert row[6] == f"{min(positive, n - positive) / 1311:.3f}"
        if auc == 0.55:  # its interval begins at 0.45
            assert row[5] == row[7] == wording.DASH
            continue
        asked = needed_patients(1311, positive / n, auc)
        needed.append(asked.needed)
        assert row[5] == f"{asked.needed:,}"
        assert row[7] == f"{expected_shrinkage(n, 1311, asked.r2_cox_snell):.2f}"
    text = _said(copied, "sample_size")
    assert f"{min(needed):,} to {max(needed):,} would be needed" in text
    assert "For 1 of 4 models the AUC cannot be told from 0.5" in text
    assert f"{min(needed):,} to {max(needed):,} training patients" in _said(copied, "size_method")


def test_all_classes_as_one_model_are_evidence(complete: Path) -> None:
    metrics = json.loads((complete / "models/her2/classes/manual/metrics.json").read_text())
    one = metrics["test"]
    auc = wording.interval(*(one[f"macro_auc{end}"] for end in ("", "_lower", "_upper")))
    assert f"her2 with manual masks macro AUC {auc}" in _said(complete, "class_performance")
    assert "her2 (3 classes)" in _said(complete, "class_method")
    assert "−0.040 (−0.090 to 0.012), P = .123" in _said(complete, "class_comparison")
    files = FACTS["class_files"](Record(complete))
    assert files is not None
    assert all((complete / name).is_file() for name in files.files)


def test_files_are_gathered_by_kind_of_model() -> None:
    made = [f"models/{one}/{roi}/metrics.json" for one in "ab" for roi in ("manual", "automatic")]
    classes = [f"models/c/classes/{roi}/metrics.json" for roi in ("manual", "automatic")]
    curves = [f"models/{one}/manual/curves/roc.csv" for one in "abc"]
    shown = _gathered([*made, *classes, *curves, "models/cases.json", "models/a/manual/model.json"])
    assert shown == [
        "models/*/*/metrics.json",
        "models/*/classes/*/metrics.json",
        "models/*/*/curves/roc.csv",
        "models/cases.json",
        "models/a/manual/model.json",
    ]


def test_without_a_class_there_is_no_sample_size(copied: Path) -> None:
    for path in copied.glob("models/*/*/metrics.json"):
        metrics = json.loads(path.read_text())
        metrics["train_out_of_fold"]["n_positive"] = 0
        write_json(path, metrics)
    assert size_table(Record(copied)) is None
    assert FACTS["sample_size"](Record(copied)) is None


def test_radiomics_is_compared_with_clinical_variables_by_the_files(complete: Path) -> None:
    table = pd.read_csv(complete / "models/sln/automatic/predictors.csv")
    rows = table[table["set"] == "test"].set_index("predictor")
    both = rows.loc["radiomics+preoperative"]
    over = [both[f"over_clinical{end}"] for end in ("", "_lower", "_upper")]
    text = _said(complete, "clinical_comparison")
    assert f"preoperative clinical variables {rows.loc['preoperative', 'auc']:.2f} (" in text
    assert wording.interval(*over, 3) in text
    assert wording.p_value(both["over_clinical_p"]) in text
    patients = pd.read_csv(complete / "patients.csv")
    imputed = _said(complete, "imputation")
    assert f"(grade in {patients['grade'].isna().sum()} of {len(patients)} patients)" in imputed
    assert "HER2 status, grade and sentinel node status" in _said(complete, "clinical_models")


def test_the_curve_s_distance_has_bootstrap_samples_of_its_own(complete: Path) -> None:
    text = _said(complete, "uncertainty")
    assert text.endswith(
        f" and from {CURVE_SAMPLES} bootstrap samples for the integrated calibration index."
    )
    assert text.count("integrated calibration index") == 1


def test_the_interval_of_the_auc_can_be_calculated_again(copied: Path) -> None:
    """The plain one of DeLong is another; where the AUC is 1 neither is used."""
    assert "are DeLong's on the logit scale for the AUC, Wilson's" in _said(copied, "uncertainty")
    path = copied / "models/sln/manual/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["test"] |= {"auc": 1.0, "auc_lower": 0.8, "auc_upper": 1.0}
    write_json(path, metrics)
    exact = "for the AUC (Clopper and Pearson's where it is 1 or 0), Wilson's"
    assert exact in _said(copied, "uncertainty")


def test_where_nothing_is_missing_nothing_was_imputed(copied: Path) -> None:
    for path in copied.glob("models/*/*/predictors.json"):
        about = json.loads(path.read_text())
        for one in about["variables"]:
            one |= {"missing_train": 0, "missing_test": 0}
        write_json(path, about)
    assert FACTS["imputation"](Record(copied)) is None


def test_leakage_is_told_as_it_was_audited(copied: Path) -> None:
    assert FACTS["leakage_audit"](Record(copied)) is None
    assert leakage_table(Record(copied)) is None
    rows = [
        *[("sln", "A", "clean", 20, 60, 0.5, 5.0, 0.9, 0.48, 0.08, 0.0)],
        *[("sln", "E", "SMOTE first", 20, 60, 0.5, 5.0, 0.9, 0.60, 0.08, 0.12)],
        *[("her2-low", "A", "clean", 20, 60, 0.3, 5.0, 0.9, 0.51, 0.08, 0.0)],
        *[("her2-low", "E", "SMOTE first", 20, 60, 0.3, 5.0, 0.9, 0.86, 0.08, 0.35)],
        *[("her2-low", "by patient", "by patient", 20, 60, 0.3, 5.0, 0.9, 0.5, 0.08, 0.0)],
        *[("her2-low", "by image", "by image", 20, 60, 0.3, 5.0, 0.9, 0.49, 0.08, -0.01)],
    ]
    write_csv(copied / "leakage/leakage.csv", pd.DataFrame(rows, columns=list(COLUMNS)))
    assert no_audit(Record(copied)) == OUTDATED  # it does not say of what it was made
    files = sha256_files({name: copied / name for name in MADE_OF})
    entries = json.loads((copied / "models/targets.json").read_text())
    names = ("target", "label", "positive", "negative")
    targets = [{name: entry[name] for name in names} for entry in entries]
    made_of = {"files": files, "views": "mean", "targets": targets}
    write_json(copied / "leakage/inputs.json", made_of)
    assert no_audit(Record(copied)) == ""
    text = _said(copied, "leakage_audit")
    assert "shuffled 20 times" in text
    assert "its mean was 0.48 to 0.51" in text
    assert text.endswith("SMOTE first: +0.12 to +0.35; by image: −0.01.")
    made = leakage_table(Record(copied))
    assert made is not None
    assert made.cells[3] == ["her2-low", "E", "SMOTE first", "5", "0.90", "0.86 (0.08)", "0.35"]
    assert "shuffled labels" in " ".join(one.text for one in sections(copied))
    targets[0]["positive"] = "another class"  # sln is another question now
    write_json(copied / "leakage/inputs.json", made_of)
    left = leakage_table(Record(copied))
    assert left is not None
    assert {row[0] for row in left.cells} == {"her2-low"}
    with (copied / "patients.csv").open("a") as stream:
        stream.write("\n")
    assert leakage_table(Record(copied)) is None
    assert FACTS["leakage_audit"](Record(copied)) is None
    assert no_audit(Record(copied)) == OUTDATED


def test_another_order_of_steps_is_told_beside_the_study_s_own(copied: Path) -> None:
    figures = {"test": {"auc": 0.874}, "test_refit": {"auc": 0.964}}
    own = []
    for path in copied.glob("models/*/*/metrics.json"):
        write_json(path.parent / "literal.json", figures)
        own.append(json.loads(path.read_text())["test"]["auc"])
    text = _said(copied, "literal_claim")
    assert "a test AUC of 0.87 would have been claimed, and of 0.96 after" in text
    assert f"where these models have {min(own):.2f} to {max(own):.2f}" in text
    assert text in standards(copied)["metrics"].set_index("item")["value"]["18"]


def test_works_are_numbered_as_they_are_first_named(complete: Path) -> None:
    texts = ["DeLong's test of a LASSO.", "Another LASSO; by SMOTE of pyradiomics-bhklab."]
    marked, works = cite(texts)
    assert marked[0] == "DeLong's [1] test of a LASSO [2]."
    assert marked[1] == "Another LASSO; by SMOTE [3] of pyradiomics-bhklab."
    assert works == [WORKS["DeLong"], WORKS["LASSO"], WORKS["SMOTE"]]
    written = sections(complete)
    assert written[-1].heading == "References"
    text = " ".join(one.text for one in written)
    assert all(text.count(f"[{n}]") == 1 for n in range(1, len(written[-1].works) + 1))


@pytest.mark.parametrize("name", ["clinical_comparison", "imputation", "sample_size"])
def test_without_models_there_is_no_fact(copied: Path, name: str) -> None:
    shutil.rmtree(copied / "models")
    assert FACTS[name](Record(copied)) is None


def test_several_networks_per_fold_are_said(copied: Path) -> None:
    assert "one for each of 3 folds" in _said(copied, "network")
    assert "by the network of the fold that left them out" in _said(copied, "cross_fitted")
    for fold in range(3):
        first = copied / f"segmentation/fold-{fold}"
        card = json.loads((first / "model.json").read_text())
        write_json(copied / f"segmentation/fold-{fold}-network-2/model.json",
                   {**card, "network_of_fold": 2})  # fmt: skip
        shutil.copy(first / "history.csv", copied / f"segmentation/fold-{fold}-network-2")
    text = _said(copied, "network")
    assert "2 for each of 3 folds" in text
    assert "differed in the seed of their first weights, order and augmentation" in text
    said = _said(copied, "cross_fitted")
    assert "by the mean of the 2 networks of the fold that left them out, test" in said
    card = segmentation_card(copied)
    assert list(card["trained_on"])[:3] == ["fold 0", "fold 0, network 2", "fold 1"]
    assert len(card["hashes"]) == 6
    plot = draw_history(read_results(copied))
    assert plot is not None
    labels = [line.get_label() for line in plot.figure.axes[1].get_lines()]
    assert labels[:2] == ["fold 0", "fold 0, network 2"]
    assert "Best held-out Dice per network" in plot.finding


def test_a_question_without_a_classifier_is_named(copied: Path) -> None:
    """As one whose class has too few patients: it must not vanish from what was asked."""
    rows = [("her2-zero", "manual"), ("her2-zero", "automatic"), ("her2", "manual")]
    rows.append(("her2-low", "automatic"))
    failures = [Failure(case, f"model/{roi}", "too few", "add some") for case, roi in rows]
    before = limits(read_results(copied))
    write_failures(copied / "models/failures.csv", failures)
    lost = "No classifier could be fitted for her2-zero and her2-low with automatic masks"
    assert f"{lost} (models/failures.csv)." in _said(copied, "questions")
    said = limits(read_results(copied))
    assert [sentence for sentence in said if sentence not in before] == [
        f"{lost} (models/failures.csv)."
    ]


def test_classes_and_centres_coded_by_numbers_stay_as_they_are(tmp_path: Path) -> None:
    """A column of whole numbers with a gap is one of 0.0 and 1.0 to pandas."""
    lines = ["patient_id,centre,pcr", "1,1,0", "2,2,1", "3,,1", "4,1,"]
    (tmp_path / "patients.csv").write_text("\n".join(lines), "utf-8")
    entry = {"target": "pcr", "task": "pcr", "title": "Response", "label": "pcr", "positive": "1"}
    write_json(tmp_path / "models/targets.json", [entry])
    record = Record(tmp_path)
    outcomes, centres = (FACTS[name](record) for name in ("outcomes", "centres"))
    assert outcomes is not None
    assert outcomes.text == "Response was 0 in 1 (33%) and 1 in 2 (67%) of 3 patients."
    assert centres is not None
    assert centres.text == "The patients come from 2 centres: 1 (2) and 2 (1)."


def test_features_that_do_not_vary_are_not_called_undefined(copied: Path) -> None:
    """Without the filter for stability the next step removes both."""
    for path in copied.glob("models/*/*/funnel.json"):
        write_json(path, json.loads(path.read_text()) | {"stable": 1311, "complete": 1308})
    said = "undefined for a training patient, or the same for all, were removed (3)."
    assert said in _said(copied, "incomplete_features")


def test_why_no_feature_was_judged_by_its_stability(complete: Path, copied: Path) -> None:
    """A second reader of test patients, or of two training patients, is one all the same."""
    for path in copied.glob("models/*/*/funnel.json"):
        write_json(path, json.loads(path.read_text()) | {"icc_source": None, "icc_patients": 0})
    few = "No filter for stability was applied: too few training patients were outlined more"
    assert _said(copied, "stability_filter").startswith(few)
    (copied / "features/reader2.json").unlink()
    (copied / "stability/perturbed.parquet").unlink(missing_ok=True)
    assert "neither masks of a second reader" in _said(copied, "stability_filter")
    assert "training patients outlined twice;" in _said(complete, "stability_filter")


def test_limits_say_where_patients_without_a_lesion_found_count(copied: Path) -> None:
    (missed,) = (text for text in limits(read_results(copied)) if "no lesion was found" in text)
    assert "Their Dice is 0 and counts in every mean" in missed
    assert "gets the average risk: she counts in every figure but those of lesions" in missed


def test_the_summary_counts_everyone_in_aucs_and_their_difference(copied: Path) -> None:
    path = copied / "comparison/auc.csv"
    table = pd.read_csv(path)
    found = table["rule"] == "complete_case"
    ends = ["lower", "upper", "bootstrap_lower", "bootstrap_upper"]
    table.loc[found, ["auc_automatic", "difference", *ends]] -= 0.1
    write_csv(path, table)
    results = read_results(copied)
    for target in results.targets:
        manual, automatic = (metric(target, roi, "test", "auc") for roi in ("manual", "automatic"))
        delta = difference_of(results, target)
        assert delta is not None
        assert delta.value == pytest.approx(automatic.value - manual.value)


def test_where_all_masks_are_boxes_no_dice_is_spoken_of(copied: Path) -> None:
    images, dice = pd.read_csv(copied / "cohort.csv"), pd.read_csv(copied / "agreement.csv")
    write_csv(copied / "cohort.csv", images.assign(mask_kind="box"))
    write_csv(copied / "agreement.csv", dice.assign(dice=None))
    said = limits(read_results(copied))
    assert any("the manual mask is a box around the lesion" in text for text in said)
    (missed,) = (text for text in said if "no lesion was found" in text)
    assert "They count as missed." in missed
    assert "Dice" not in missed


def test_a_given_division_was_not_stratified(copied: Path) -> None:
    drawn = _said(copied, "split")
    assert "at random (seed 15)" in drawn
    assert drawn.index("stratified by") < drawn.index("the training patients into 3 folds")
    patients = pd.read_csv(copied / "patients.csv", dtype={"patient_id": str})
    write_csv(copied / "patients.csv", patients.assign(split="train"))
    given = _said(copied, "split")
    assert "as their column split says into" in given
    assert given.index("the training patients into 3 folds") < given.index("stratified by")


def test_models_without_any_feature_are_not_left_unsaid(copied: Path) -> None:
    for path in copied.glob("models/*/*/model.skops"):
        skops.io.dump(DummyClassifier().fit([[0], [1]], [0, 1]), path)
    assert _said(copied, "classifier") == (
        "In none of the final models was a feature left: every patient has the prevalence as risk."
    )


def test_the_tolerance_of_the_surface_dice_is_named(copied: Path) -> None:
    write_json(copied / "config.json", {"segmentation": {"surface_tolerance_mm": 1.5}})
    table = pd.read_csv(copied / "agreement_summary.csv").replace({"iou": "surface_dice"})
    write_csv(copied / "agreement_summary.csv", table)
    assert "surface Dice with a tolerance of 1.5 mm" in _said(copied, "agreement_measures")
