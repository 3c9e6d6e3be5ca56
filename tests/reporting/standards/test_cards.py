"""Model cards: figures, limits and patients are the files'."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mammoroi.cli import main
from mammoroi.errors import MammoroiError
from mammoroi.files import write_csv, write_json
from mammoroi.reporting.methods import methods
from mammoroi.reporting.model_card import card_of, model_card, segmentation_card
from mammoroi.reporting.read_results import read_results
from mammoroi.reporting.summary import target_sentences

FILES = ("funnel", "metrics")


def test_a_card_has_the_figures_of_its_model(complete: Path) -> None:
    metrics = json.loads((complete / "models/her2-low/automatic/metrics.json").read_text())
    test, train = metrics["test"], metrics["train_out_of_fold"]
    text = model_card(complete, "her2-low", "automatic")
    auc, low, high = (test[f"auc{end}"] for end in ("", "_lower", "_upper"))
    assert f"AUC {auc:.2f} ({low:.2f} to {high:.2f})" in text
    assert f"n = {test['n']}, {test['n_positive']} positive" in text
    assert f"{train['n_positive']} of {train['n']} patients" in text
    assert "calibration slope 0.70" in text
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


@pytest.mark.parametrize(("upper", "said"), [(0.9, True), (1.1, False)])
def test_risks_are_off_scale_where_the_interval_shows_it(
    copied: Path, upper: float, said: bool
) -> None:
    path = copied / "models/sln/manual/metrics.json"
    metrics = json.loads(path.read_text())
    for end, value in (("", 0.7), ("_lower", 0.5), ("_upper", upper)):
        metrics["test"][f"calibration_slope{end}"] = value
    write_json(path, metrics)
    text = model_card(copied, "sln", "manual")
    assert ("Risks are off scale (calibration slope 0.70 (0.50 to 0.90))" in text) == said
    assert ("off scale" in text) == said


@pytest.mark.parametrize(
    ("index", "smaller", "unstable", "overfitted"),
    [(0.39, 49, True, True), (0.4, 50, False, False), (0.8, 200, False, False)],
)
def test_unstable_selections_and_few_patients_for_the_features_are_said(
    copied: Path, index: float, smaller: int, unstable: bool, overfitted: bool
) -> None:
    """Poor is Nogueira's index below 0.4; few are less than 10 of the smaller class a feature."""
    folder = copied / "models/sln/manual"
    funnel, metrics = (json.loads((folder / f"{name}.json").read_text()) for name in FILES)
    write_json(folder / "funnel.json", funnel | {"lasso": 5, "stability": {"value": index}})
    train = metrics["train_out_of_fold"] | {"n": smaller + 300, "n_positive": smaller}
    write_json(folder / "metrics.json", metrics | {"train_out_of_fold": train})
    text = model_card(copied, "sln", "manual")
    assert ("Refits select other features" in text) == unstable
    few = f"{smaller} training patients of the smaller class for 5 features: overfitting is likely."
    assert (few in text) == overfitted


def test_nearly_equal_risks_are_said_in_card_and_summary(copied: Path) -> None:
    said = "The risks hardly differ between the test patients (0.4"
    assert said not in model_card(copied, "sln", "manual")
    path = copied / "models/sln/manual/predictions.csv"
    table = pd.read_csv(path)
    write_csv(path, table.assign(risk=0.48 + 0.03 * table["risk"]))
    assert said in model_card(copied, "sln", "manual")
    results = read_results(copied)
    manual, automatic, *_ = target_sentences(results, results.targets[0])
    assert said in manual
    assert said not in automatic


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


def test_who_did_not_choose_an_epoch_is_not_said_to_have(copied: Path) -> None:
    assert segmentation_card(copied)["trained_on"]["fold 0"].endswith("chose the epoch")
    path = copied / "segmentation/fold-0/model.json"
    card = json.loads(path.read_text("utf-8"))
    write_json(path, card | {"settings": card["settings"] | {"keep": "last"}})
    said = segmentation_card(copied)["trained_on"]["fold 0"]
    assert said.endswith("patients watched, the last epoch was kept")


def test_a_second_stage_is_told_with_its_weights(copied: Path) -> None:
    assert "second network" not in methods(copied)
    outline = copied / "segmentation" / "outline"
    for fold in range(3):
        card = json.loads((copied / f"segmentation/fold-{fold}/model.json").read_text())
        write_json(outline / f"fold-{fold}/model.json", card | {"sha256": f"{fold + 5}" * 64})
    assert "second network" not in methods(copied), "networks that are not drawn with"
    assert len(segmentation_card(copied)["hashes"]) == 3
    write_json(outline / "outline.json", {"working_spacing_mm": 0.2, "patch": [192, 160]})
    assert "at 0.2 mm per pixel on crops most of which show a lesion" in methods(copied)
    assert "windows of 192 by 160 pixels" in methods(copied)
    hashes = segmentation_card(copied)["hashes"]
    assert hashes["segmentation/outline/fold-2/model.safetensors"] == "7" * 64
