"""A frozen model on a second cohort: what was planted is found, and nothing else."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pydicom
import pytest
from scipy.special import expit, logit

from mammoroi.cli import main
from mammoroi.clinic.bundle import Classifier
from mammoroi.clinic.closing import validation_lines
from mammoroi.clinic.drift import drift_table
from mammoroi.clinic.ranges import Distribution, Ranges
from mammoroi.clinic.second_cohort import read_cohort
from mammoroi.clinic.validate import target_of
from mammoroi.cohort.cohort import load_cohort
from mammoroi.files import read_csv
from mammoroi.modeling.metrics import measure
from mammoroi.modeling.recalibration import recalibrated, recalibration_table
from mammoroi.modeling.targets import classes_of, labels_of
from mammoroi.reporting.wording import interval

IDS = {"image_id": str, "patient_id": str}


@pytest.fixture(scope="module")
def validated(model, second, tmp_path_factory):
    """The second cohort as it is."""
    out = tmp_path_factory.mktemp("validated")
    code = main(["validate", str(second), "--model", str(model), "-o", str(out)])
    return code, out


def test_every_case_is_accounted_for(validated, second):
    code, out = validated
    assert code == 0
    flow = read_csv(out / "flow.csv")
    for level in ("images", "patients"):
        n = flow[flow["level"] == level].drop_duplicates("what").set_index("what")["n"]
        assert n["in"] == n["used"] + n["excluded"] + n["failed"]
    cohort = load_cohort(second)
    assert flow.loc[flow["level"] == "images", "n"].iloc[0] == len(cohort.images)
    sln = flow[flow["target"] == "sln"].set_index("what")["n"]
    assert sln["used, with an outcome"] == (
        sln["with an outcome and a risk"] + sln["with an outcome, no risk"]
    )


def test_a_folder_never_holds_two_cohorts_results(validated, model, second, tmp_path, capsys):
    """A cohort without masks and outcomes would leave the curves of the one before."""
    folder, out = tmp_path / "cohort", tmp_path / "out"
    shutil.copytree(validated[1], out)
    folder.mkdir()
    cohort = load_cohort(second)
    images = cohort.images.head(6).drop(columns=["mask"])
    images["image"] = [str(cohort.path(image)) for image in images["image"]]
    images.to_csv(folder / "cohort.csv", index=False)
    cohort.patients[["patient_id"]].to_csv(folder / "patients.csv", index=False)
    ours = ["--model", str(model), "-o"]
    assert main(["validate", str(folder), *ours, str(out)]) == 1
    assert "another run (not the same cohort.csv and patients.csv)" in capsys.readouterr().err
    assert (out / "report.html").read_bytes() == (validated[1] / "report.html").read_bytes()


def test_a_number_that_is_none_excludes_its_line(model, second, tmp_path):
    folder, out = tmp_path / "cohort", tmp_path / "out"
    folder.mkdir()
    cohort = load_cohort(second)
    images = cohort.images.head(8).astype({"spacing_mm": object})
    for column in ("image", "mask"):
        images[column] = [str(cohort.path(name)) for name in images[column]]
    images["mask_label"] = ["", "lesion", "", "", "1.5", "nan", "", ""]
    images.loc[images.index[[0, 2]], "spacing_mm"] = ["about half", "70"]
    images.to_csv(folder / "cohort.csv", index=False)
    cohort.patients.to_csv(folder / "patients.csv", index=False)
    assert main(["validate", str(folder), "--model", str(model), "-o", str(out)]) == 3
    reasons = read_csv(out / "excluded.csv")["error"].tolist()
    assert reasons == [
        "spacing_mm is 'about half', which is no number",
        "mask_label is 'lesion', which is no number",
        "spacing_mm is 70",
        "mask_label is '1.5', which is no whole number",
        "mask_label is 'nan', which is no whole number",
    ]


def first_images(second, folder, n):
    """The first image of the first patients, as ``cohort.csv`` of a folder of its own."""
    folder.mkdir()
    cohort = load_cohort(second)
    images = cohort.images.drop(columns="mask").groupby("patient_id").head(1).head(n)
    images["image"] = [str(cohort.path(name)) for name in images["image"]]
    images.to_csv(folder / "cohort.csv", index=False)
    return cohort.patients, images


def test_a_patient_of_whom_two_lines_speak_is_not_tried_on_the_first(model, second, tmp_path):
    folder, out = tmp_path / "cohort", tmp_path / "out"
    patients, images = first_images(second, folder, 2)
    patients = patients[patients["patient_id"].isin(images["patient_id"])]
    twice = images["patient_id"].iloc[0]
    other = patients[patients["patient_id"] == twice].assign(sln="negative")
    pd.concat([other, patients]).to_csv(folder / "patients.csv", index=False)
    assert main(["validate", str(folder), "--model", str(model), "-o", str(out)]) == 3
    excluded = read_csv(out / "excluded.csv", dtype=str)
    assert excluded["error"].tolist() == ["its patient has several lines in patients.csv"]
    assert twice not in set(read_csv(out / "risks.csv", dtype=IDS)["patient_id"])
    counted = read_csv(out / "flow.csv").query("level == 'patients' and target.isna()")
    assert counted["n"].tolist() == [2, 1, 0, 1]


def test_a_misspelt_outcome_costs_its_patient_alone(model, second, tmp_path):
    folder, out = tmp_path / "cohort", tmp_path / "out"
    patients, images = first_images(second, folder, 3)
    patients = patients.set_index("patient_id").loc[images["patient_id"]]
    patients["sln"] = ["postive", "negative", "positive"]
    patients.to_csv(folder / "patients.csv")
    assert main(["validate", str(folder), "--model", str(model), "-o", str(out)]) == 3
    (failure,) = read_csv(out / "failures.csv", dtype=str).to_dict("records")
    assert failure["case"] == patients.index[0]
    assert "has 'postive' in column 'sln'" in failure["error"]
    assert "did you mean 'positive'?" in failure["action"]
    assert "add it to the classes" not in failure["action"]  # of a frozen model
    page = (out / "report.html").read_text("utf-8")
    assert "Failed</h3>" in page
    assert "postive" in page
    assert read_csv(out / "risks.csv")["label"].tolist()[1:] == [0, 1]
    patients["sln"] = ["positiv", "negativ", "positiv"]
    patients.to_csv(folder / "patients.csv")
    other = tmp_path / "other"
    assert main(["validate", str(folder), "--model", str(model), "-o", str(other)]) == 3
    failures = read_csv(other / "failures.csv", dtype=str)
    (failure,) = failures[failures["case"] == "sln"].to_dict("records")
    assert failure["error"].endswith("is a class of the model, but 'positiv', 'negativ'")
    assert failure["action"] == "write them as the model does: positive, negative"


def test_rectangles_around_lesions_are_no_masks_to_compare_with(tmp_path):
    images = pd.DataFrame({"image_id": list("abc"), "patient_id": list("ABC"), "view": "CC"})
    images = images.assign(laterality="L", image="a.png", mask="m.png")
    images["mask_kind"] = ["outline", "box", None]
    images.to_csv(tmp_path / "cohort.csv", index=False)
    pd.DataFrame({"patient_id": list("ABC")}).to_csv(tmp_path / "patients.csv", index=False)
    found = read_cohort(tmp_path)
    assert [one.patient_id for one in found.patients] == list("ABC")
    assert sorted(found.references) == ["a", "c"]


def test_masks_are_compared_with_the_manual_ones(validated, second):
    _, out = validated
    agreement = read_csv(out / "agreement.csv", dtype=IDS)
    assert set(agreement["image_id"]) == set(load_cohort(second).images["image_id"])
    summary = read_csv(out / "agreement_summary.csv").set_index("metric")
    assert summary.loc["dice", "mean"] == pytest.approx(agreement["dice"].mean())
    assert summary.loc["dice", "median"] > 0.6
    assert summary.loc["dice", "mean_lower"] < summary.loc["dice", "mean"]


def test_performance_is_that_of_the_frozen_risks(validated, bundle, second):
    _, out = validated
    risks = read_csv(out / "risks.csv", dtype=IDS)
    known = risks[risks["label"].notna() & risks["risk"].notna()]
    outcomes = load_cohort(second).patients.set_index("patient_id")["sln"]
    assert (known["label"] == (outcomes[known["patient_id"]] == "positive").to_numpy()).all()
    row = read_csv(out / "performance.csv").iloc[0]
    expected = measure(known["label"], known["risk"], bundle.classifiers[0].threshold, [False])
    for name in ("auc", "auc_lower", "calibration_intercept", "brier", "sensitivity"):
        assert row[name] == pytest.approx(expected[name]), name


def test_the_studys_own_figure_stands_beside(validated, bundle):
    _, out = validated
    row, tested = read_csv(out / "performance.csv").iloc[0], bundle.classifiers[0].tested
    assert (row["study_n"], row["study_auc"]) == (tested.n, pytest.approx(tested.auc))
    words = interval(tested.auc, tested.lower, tested.upper)
    page = (out / "report.html").read_text("utf-8").replace("\u00a0", " ")
    assert f"<td>{words}</td>" in page
    assert any(line.endswith(f"; in the study {words}") for line in validation_lines(out))


def test_a_cohort_of_the_same_kind_has_not_drifted(validated):
    _, out = validated
    drift = read_csv(out / "drift.csv")
    assert {"breast_high", "spacing_row_mm", "lesion_area_mm2"} <= set(drift["name"])
    assert set(drift["kind"]) == {"image", "feature"}
    assert not drift["drifted"].any(), drift[drift["drifted"]]


def test_the_report_is_one_page_that_loads_nothing(validated):
    _, out = validated
    page = (out / "report.html").read_text("utf-8")
    for words in (
        "Flow of cases",
        "Simple recalibration",
        "SYNTHETIC DATA",
        "Not a medical device",
    ):
        assert words in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert (out / "figures" / "drift.svg").exists()


def test_an_outcome_more_frequent_than_the_risks_say_is_found(validated, model, second, tmp_path):
    """Outcomes drawn from the risks, their logit moved by 2; two cases are lost on the way."""
    folder, out = tmp_path / "cohort", tmp_path / "out"
    shutil.copytree(second, folder)
    risks = read_csv(validated[1] / "risks.csv", dtype=IDS).set_index("patient_id")["risk"]
    rng = np.random.default_rng(1)
    positive = rng.random(len(risks)) < expit(logit(risks) + 2.0)
    patients = load_cohort(folder).patients.set_index("patient_id")
    patients.loc[risks.index, "sln"] = np.where(positive, "positive", "negative")
    patients.reset_index().to_csv(folder / "patients.csv", index=False)
    images = pd.read_csv(folder / "cohort.csv", dtype=str)
    (folder / images.loc[0, "image"]).write_bytes(b"lost")
    images.loc[1, "patient_id"] = "nobody"
    images.drop(columns="mask").to_csv(folder / "cohort.csv", index=False)
    assert main(["validate", str(folder), "--model", str(model), "-o", str(out)]) == 3
    row = read_csv(out / "performance.csv").iloc[0]
    assert row["calibration_intercept_lower"] < 2.0 < row["calibration_intercept_upper"]
    assert row["calibration_intercept_lower"] > 0
    assert row["observed_expected"] > 1
    recalibration = read_csv(out / "recalibration.csv").set_index("method")
    assert not recalibration.loc["none", "enough"]
    shift = recalibration.loc["intercept", "intercept"]
    assert shift == pytest.approx(row["calibration_intercept"], rel=1e-6)
    flow = read_csv(out / "flow.csv")
    counted = flow[flow["level"] == "images"].set_index("what")["n"]
    assert (counted["excluded"], counted["failed"]) == (1, 1)
    excluded = read_csv(out / "excluded.csv", dtype=str).iloc[0]
    assert "not in patients.csv" in excluded["error"]
    assert not (out / "agreement.csv").exists(), "there are no masks"


def test_darker_images_are_found(model, second, tmp_path):
    folder, out = tmp_path / "cohort", tmp_path / "out"
    shutil.copytree(second, folder)
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PixelData = (dataset.pixel_array * 0.85).astype("<u2").tobytes()
        dataset.save_as(path)
    assert main(["validate", str(folder), "--model", str(model), "-o", str(out)]) == 0
    drift = read_csv(out / "drift.csv").set_index("name")
    assert drift.loc["breast_high", "drifted"]
    assert drift.loc["breast_high", "difference"] < -0.8
    assert not drift.loc["spacing_row_mm", "drifted"]


def test_a_cohort_without_outcomes_is_said_to_have_none(model, second, tmp_path, capsys):
    folder, out = tmp_path / "cohort", tmp_path / "out"
    folder.mkdir()
    cohort = load_cohort(second)
    images = cohort.images.head(2).assign(
        image=[str(cohort.path(image)) for image in cohort.images["image"].head(2)], mask=None
    )
    images.dropna(axis=1, how="all").to_csv(folder / "cohort.csv", index=False)
    cohort.patients[["patient_id"]].head(1).to_csv(folder / "patients.csv", index=False)
    assert main(["validate", str(folder), "--model", str(model), "-o", str(out)]) == 3
    assert "no column 'sln'" in capsys.readouterr().err
    assert "no outcome that a classifier" in (out / "report.html").read_text("utf-8")
    assert main(["validate", str(tmp_path / "nowhere"), "-o", str(out)]) == 1


@pytest.mark.parametrize(
    ("intercept", "slope", "enough"),
    [(0.0, 1.0, "none"), (0.8, 1.0, "intercept"), (0.3, 0.4, "logistic")],
)
def test_recalibration_finds_what_was_planted(intercept, slope, enough):
    rng = np.random.default_rng(2)
    risks = expit(rng.normal(0, 1.3, 3000))
    labels = (rng.random(3000) < recalibrated(risks, intercept, slope)).astype(int)
    table = recalibration_table(labels, risks).set_index("method")
    assert table.index[table["enough"]].tolist() == [enough]
    logistic = table.loc["logistic"]
    for name, planted in (("intercept", intercept), ("slope", slope)):
        assert logistic[f"{name}_lower"] < planted < logistic[f"{name}_upper"]
    assert table.loc[enough, "brier_cross_fitted"] <= table.loc["none", "brier_cross_fitted"]


def test_recalibration_says_nothing_without_both_classes():
    assert recalibration_table([1, 1, 1], [0.2, 0.5, 0.7]).empty
    flat = recalibration_table([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
    assert flat["method"].tolist() == ["none", "intercept"]
    assert flat["enough"].tolist() == [True, False]


def test_drift_test_holds_its_level_and_finds_a_shift():
    """Cohorts of the same kind are flagged in about 5 of 100; shifted ones nearly always."""
    rng = np.random.default_rng(3)
    flagged = {0.0: 0, 1.0: 0}
    for _ in range(200):
        known = Distribution.of(rng.normal(size=300))
        assert known is not None
        ranges = Ranges({"breast_high": known}, {}, {})
        for shift in flagged:
            rows = [{"breast_high": value} for value in rng.normal(shift, 1, 80)]
            flagged[shift] += int(drift_table(ranges, rows, [], 1.0)["drifted"].iloc[0])
    assert flagged[0.0] <= 20
    assert flagged[1.0] >= 195


def test_a_constant_quantity_drifts_when_it_changes():
    known = Distribution.of([0.07] * 50)
    assert known is not None
    ranges = Ranges({"spacing_row_mm": known}, {}, {})
    same = drift_table(ranges, [{"spacing_row_mm": 0.07}] * 20, [], 2.0).iloc[0]
    other = drift_table(ranges, [{"spacing_row_mm": 0.1}] * 20, [], 2.0).iloc[0]
    assert not same["drifted"]
    assert other["drifted"]
    assert other["outside"] == 1.0


def test_outside_is_for_a_feature_what_it_is_for_the_classifier_that_takes_it():
    """From 0.97 to 0.98 in training: 0.985 is outside for a feature, not for a grey level."""
    known = Distribution.of(np.linspace(0.97, 0.98, 40))
    ranges = Ranges({"breast_median": known}, {"correlation": known}, {})
    rows = [[{name: 0.985}] * 20 for name in ("breast_median", "correlation")]
    found = drift_table(ranges, *rows, 2.0).set_index("name")["outside"]
    assert found.to_dict() == {"breast_median": 0.0, "correlation": 1.0}


@pytest.mark.parametrize(
    ("title", "negative", "classes"),
    [
        ("HER2", "zero or low", ("zero or low",)),
        ("HER2: positive against the rest", "zero or low", ("zero", "low")),
    ],
)
def test_classes_that_are_joined_and_a_class_that_is_called_so(title, negative, classes):
    about = {"target": "her2", "title": title, "label": "her2", "positive": "positive"}
    model = SimpleNamespace(about=about | {"negative": negative})
    target = target_of(Classifier(model, None))
    assert target.negative == classes
    patients = pd.DataFrame({"patient_id": ["P1", "P2"], "her2": ["positive", classes[0]]})
    assert labels_of(target, classes_of(target, patients)).tolist() == [1, 0]
