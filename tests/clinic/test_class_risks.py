"""All classes of a question together: for new mammograms as in the study itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import pydicom
import pytest
from sklearn.metrics import roc_auc_score

from mammoroi.cli import main
from mammoroi.clinic.archive import MANIFEST, pack
from mammoroi.clinic.bundle import open_bundle
from mammoroi.clinic.class_risks import class_risks
from mammoroi.clinic.closing import closing_lines
from mammoroi.clinic.freeze import freeze
from mammoroi.clinic.objects import write_objects
from mammoroi.clinic.page import write_page
from mammoroi.clinic.results import Flag
from mammoroi.clinic.write import Outputs, process
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv, read_json
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.fit import model
from mammoroi.modeling.recipes import Recipe

from .made_results import errors_of, make_image, make_patient

IDS = {"image_id": str, "patient_id": str}
CLASSES = ["zero", "low", "positive"]


@pytest.fixture(scope="module")
def her2(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study with classifiers of HER2."""
    copy = shutil.copytree(study, tmp_path_factory.mktemp("her2") / "study")
    recipe = replace(Recipe(), n_alphas=8, lasso_rule="min", lasso_folds=3)
    settings = {"repeats": 1, "all_patients": False, "n_bootstrap": 100, "predictors": False}
    model(ModelingConfig(tasks=("her2",), recipe=recipe, workers=1, **settings), copy)
    return copy


@pytest.fixture(scope="module")
def results(her2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What came of the study's own test patients as new ones."""
    cohort, tests = load_cohort(her2), load_splits(her2).test
    rows = cohort.images[cohort.images["patient_id"].isin(tests)]
    out = tmp_path_factory.mktemp("new") / "results"
    files = [cohort.path(image) for image in rows["image"]]
    bundle = open_bundle(her2)
    assert [(one.task, list(one.classes)) for one in bundle.classes] == [("her2", CLASSES)]
    assert not process(files, out, bundle, outputs=Outputs(objects=False))
    return out


def test_the_studys_own_test_patients_get_the_studys_own_shares(her2, results):
    expected = read_csv(her2 / "models/her2/classes/automatic/predictions.csv", dtype=IDS)
    expected = expected[(expected["set"] == "test") & ~expected["missed"]].set_index("patient_id")
    owner = load_cohort(her2).images.set_index("image_id")["patient_id"]
    names = read_csv(results / "predictions.csv", dtype=IDS).set_index("patient_id")["image_id"]
    found = read_csv(results / "classes.csv", dtype=IDS)
    found["patient_id"] = found["patient_id"].map(owner[names].set_axis(names.index).to_dict())
    given = found.dropna(subset="risk")
    assert given["patient_id"].nunique() >= 5
    assert set(given["patient_id"]) <= set(expected.index)
    expected = expected[expected.index.isin(given["patient_id"])]
    wide = given.pivot_table(index="patient_id", columns="class", values="risk")
    for name in CLASSES:
        shares = expected[f"risk_{name}"]
        assert wide.loc[expected.index, name].to_numpy() == pytest.approx(shares.to_numpy())
    called = given[given["most_probable"].astype(bool)].set_index("patient_id")["class"]
    assert called.loc[expected.index].tolist() == expected["called"].tolist()
    tested = read_json(her2 / "models/her2/classes/automatic/metrics.json")["test"]
    assert given["macro_auc"].to_numpy() == pytest.approx(tested["macro_auc"], rel=1e-5)
    assert (given["n_test"] == tested["n"]).all()
    in_json = read_json(results / "results.json")["patients"]
    assert all(len(one["classes"]) == 1 for one in in_json)
    said = [line for line in closing_lines(results) if "her2, all classes: " in line]
    assert len(said) == len(in_json)
    page = next((results / "pages").glob("*.html")).read_text("utf-8")
    assert "all classes together" in page


def test_no_shares_without_an_answer_for_each_class(her2, tmp_path):
    bundle = open_bundle(her2)
    patient = make_patient()
    (like,) = patient.risks[:1]
    risks = [
        replace(like, target=f"her2-{name}", positive=name, risk=0.3, score=0.1, flags=())
        for name in CLASSES
    ]
    (whole,) = class_risks(bundle.classes, risks)
    assert sum(whole.risks) == pytest.approx(1)
    withheld = replace(risks[1], risk=None, score=None, flags=(Flag("not-measured", "No risk."),))
    (none,) = class_risks(bundle.classes, [risks[0], withheld, risks[2]])
    assert none.risks is None
    assert none.most_probable is None
    assert [(flag.code, "her2-low" in flag.text) for flag in none.flags] == [
        ("no-class-risks", True)
    ]
    page = write_page(replace(patient, classes=(none,)), tmp_path / "page.html").read_text("utf-8")
    assert "No answer: it takes one for each class." in page

    # A classifier without features says nothing of the patient: with none of three, the shares are
    # those of the training patients.
    empty = [replace(one, flags=(Flag("prevalence-only", "No feature."),)) for one in risks]
    (shares,) = class_risks(bundle.classes, empty)
    assert shares.risks == pytest.approx(bundle.classes[0].coupling.prevalences)
    # What is doubtful about one is doubtful about all together.
    outside = replace(risks[2], flags=(Flag("outside-training-features", "1 of 4."),))
    (doubtful,) = class_risks(bundle.classes, [*risks[:2], outside])
    assert "her2-positive: 1 of 4." in [flag.text for flag in doubtful.flags]


def test_the_dicom_report_holds_the_shares(her2, tmp_path):
    bundle = open_bundle(her2)
    risks = [
        replace(make_patient().risks[0], target=f"her2-{name}", risk=0.3, score=0.1, flags=())
        for name in CLASSES
    ]
    (whole,) = class_risks(bundle.classes, risks)
    (none,) = class_risks(bundle.classes, [*risks[:2], replace(risks[2], risk=None)])
    for number, classes in enumerate((whole, none)):
        folder = tmp_path / str(number)
        folder.mkdir()
        patient = replace(make_patient(make_image(folder, 0)), risks=(), classes=(classes,))
        reports = [
            path
            for path in write_objects(patient, folder / "objects")
            if pydicom.dcmread(path).Modality == "SR"
        ]
        assert errors_of(reports[0]) == []
        content = [
            item
            for item in hd.sr.srread(reports[0]).content.get_image_measurement_groups()
            if item.tracking_identifier == "her2, all classes"
        ]
        (group,) = content
        found = {one.name.meaning: one.value for one in group.get_measurements()}
        shares = [found.get(f"Probability of {name}") for name in CLASSES]
        (answer,) = [one.value.meaning for one in group.get_qualitative_evaluations()]
        if classes.risks:
            assert shares == pytest.approx(list(classes.risks))
            assert answer == classes.most_probable
        else:
            assert shares == [None] * 3
            assert answer == "No answer"
        assert found["Mean AUC of each class against the rest on test patients"] == pytest.approx(
            classes.tested.auc, rel=1e-5
        )


def test_a_bundle_says_what_it_answers_together(her2, tmp_path, capsys):
    assert main(["bundle", str(her2), "-o", str(tmp_path / "her2.mroi")]) == 0
    assert main(["bundle", "inspect", str(tmp_path / "her2.mroi")]) == 0
    assert "all classes       her2: zero, low, positive together" in capsys.readouterr().out
    members = freeze(her2)
    assert b"All of `her2` together (zero, low, positive)" in members["card.md"]
    (entry,) = json.loads(members["bundle.json"])["classes"]
    assert entry["targets"] == [f"her2-{name}" for name in CLASSES]


def test_a_study_of_two_classes_has_no_such_table(model, second, tmp_path):
    cohort = load_cohort(second)
    assert open_bundle(model).classes == ()
    process([cohort.path(cohort.images["image"].iloc[0])], tmp_path / "out", model)
    assert not (tmp_path / "out" / "classes.csv").exists()


def test_on_a_second_cohort_all_classes_are_measured_together(her2, second, tmp_path):
    out = tmp_path / "validation"
    assert main(["validate", str(second), "-o", str(out), "--model", str(her2)]) in (0, 3)
    table = read_csv(out / "classes.csv", dtype=IDS)
    truth = read_csv(second / "patients.csv", dtype=str).set_index("patient_id")["her2"]
    wide = table.pivot(index="patient_id", columns="class", values="risk")[CLASSES]
    assert (table["label"] == table["patient_id"].map(truth)).all()
    given = wide.dropna()
    assert 15 < len(given) <= len(wide)
    assert given.sum(axis=1).to_numpy() == pytest.approx(1)
    aucs = [roc_auc_score(truth[given.index] == name, given[name]) for name in CLASSES]
    rows = read_csv(out / "classes_performance.csv").set_index("patients")
    with_risk = rows.loc["with a risk"]
    assert with_risk["macro_auc"] == pytest.approx(sum(aucs) / 3)
    assert with_risk["n"] == len(given)
    assert with_risk["accuracy"] == pytest.approx(
        (given.idxmax(axis=1) == truth[given.index]).mean()
    )
    assert with_risk["macro_auc_lower"] < with_risk["macro_auc"] < with_risk["macro_auc_upper"]
    if len(given) < len(wide):
        assert rows.loc["all", "n"] == len(wide)
        assert rows.loc["all", "n_missed"] == len(wide) - len(given)
    assert "All classes of a question together" in (out / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda one: one["coupling"]["weights"].pop(), "the weights of its coupling"),
        (lambda one: one["coupling"]["means"].pop(), "the means of its coupling"),
        (lambda one: one["coupling"]["means"].__setitem__(0, "x"), "could not convert"),
        (lambda one: one["coupling"]["spreads"].__setitem__(0, float("nan")), "the spreads"),
        (lambda one: one["classes"].pop(), "her2: 2 classes, 3 targets"),
        (lambda one: one["targets"].pop(), "her2: 3 classes, 2 targets"),
        (lambda one: one["targets"].reverse(), "her2-positive"),
    ],
)
def test_classes_that_contradict_themselves_are_refused(her2, tmp_path, capsys, edit, said):
    """Their shares would be wrong, or the command would end with the first patient."""
    members = {name: content for name, content in freeze(her2).items() if name != MANIFEST}
    about = json.loads(members["bundle.json"])
    edit(about["classes"][0])
    members["bundle.json"] = json.dumps(about).encode()
    (tmp_path / "edited.mroi").write_bytes(pack(members))
    assert main(["bundle", "inspect", str(tmp_path / "edited.mroi")]) == 1
    assert said in capsys.readouterr().err
