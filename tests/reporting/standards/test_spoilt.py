"""A spoilt run: what is missing or contrary is neither ticked in a list nor claimed in words."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mammoroi.files import write_csv, write_json
from mammoroi.reporting.methods import methods
from mammoroi.reporting.standards import NO_EVIDENCE, NOT_APPLICABLE, SHOWN, standards

Spoil = Callable[[Path], None]


def _change(path: Path, **changes: object) -> None:
    write_json(path, json.loads(path.read_text()) | changes)


def _overlap(folder: Path) -> None:
    train = json.loads((folder / "splits.json").read_text())["train"]
    _change(folder / "splits.json", test=train[:5])


def _masks_of_the_wrong_network(folder: Path) -> None:
    masks = pd.read_csv(folder / "masks/predictions.csv", dtype=str)
    masks.loc[masks["fold"] == "0", "fold"] = "1"
    write_csv(folder / "masks/predictions.csv", masks)


def _without(pattern: str) -> Spoil:
    def remove(folder: Path) -> None:
        for path in list(folder.glob(pattern)):
            path.unlink()

    return remove


def _funnels(**changes: object) -> Spoil:
    def change(folder: Path) -> None:
        for path in folder.glob("models/*/*/funnel.json"):
            _change(path, **changes)

    return change


def _status(folder: Path) -> dict[str, str]:
    table = standards(folder)["metrics"]
    return dict(zip(table["item"], table["status"], strict=True))


def _no_test_patients(folder: Path) -> None:
    for path in folder.glob("models/*/*/metrics.json"):
        _change(path, test={"n": 0, "n_positive": 0})


def _no_calibration(folder: Path) -> None:
    for path in folder.glob("models/*/*/metrics.json"):
        metrics = json.loads(path.read_text())
        for part in ("test", "train_out_of_fold", "all_out_of_fold"):
            metrics[part]["calibration_slope"] = None
        write_json(path, metrics)


def _no_clinical_variables(folder: Path) -> None:
    for path in folder.glob("models/*/*/predictors.json"):
        write_json(path, {"skipped": "patients.csv has no clinical variable to predict with"})
        (path.parent / "predictors.csv").unlink()


def _unmarked(text: str) -> str:
    """The text without the marks of its references, which depend on what else is cited."""
    return re.sub(r" \[\d+\]", "", text)


def _no_second_reader(folder: Path) -> None:
    images = pd.read_csv(folder / "cohort.csv", dtype=str).drop(columns="mask_reader2")
    write_csv(folder / "cohort.csv", images)
    (folder / "features/reader2.json").unlink()
    _funnels(icc_source=None)(folder)


def _recipe(drop: tuple[str, ...] = (), **changes: object) -> Spoil:
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
        (_without("models/*/*/predictors.csv"), {"24"}),
        (_no_clinical_variables, {"24"}),
        (_without("models/*/*/metrics.json"), {"14", "15", "18", "20", "21", "22", "24", "26"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_missing_or_contrary_is_no_tick(copied: Path, spoil: Spoil, lost: set[str]) -> None:
    before = _status(copied)
    spoil(copied)
    after = _status(copied)
    assert {item for item in before if before[item] == SHOWN != after[item]} == lost
    assert {after[item] for item in lost} == {NO_EVIDENCE}


def test_without_automatic_masks_their_item_does_not_apply(copied: Path) -> None:
    _without("masks/predictions.csv")(copied)
    assert _status(copied)["9"] == _status(copied)["17"] == NOT_APPLICABLE


@pytest.mark.parametrize(
    ("spoil", "claims"),
    [
        (_no_second_reader, ["a second reader in", "ICC(2,1) between"]),
        (_recipe(t_test_alpha=1.0), ["t-test between the classes"]),
        (_recipe(drop=("lasso_rule",)), ["The LASSO selected from"]),
        (_recipe(drop=("smote",)), ["SMOTE", "Classes were left"]),
        (_neighbours_none, ["SMOTE", "fitted anew"]),
        (_without("models/*/*/model.skops"), ["support vector machines (", "z-scored"]),
        (_without("comparison/*"), ["paired bootstrap samples", "paired test"]),
        (_without("segmentation/*/model.json"), ["U-Net", "Training minimised"]),
        (_masks_of_the_wrong_network, ["no network had seen the patient"]),
        (_without("features/dictionary.csv"), ["the formulas of IBSI"]),
        (_without("run.json"), ["The analysis was made with"]),
        (_no_clinical_variables, ["Logistic regressions with a ridge", "clinical values were"]),
        (_without("models/*/*/metrics.json"), ["ask for", "support vector machine"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_methods_claim_nothing_that_was_not_done(
    complete: Path, copied: Path, spoil: Spoil, claims: list[str]
) -> None:
    before = _unmarked(methods(complete))
    spoil(copied)
    after = _unmarked(methods(copied))
    for claim in claims:
        assert claim not in after, claim
    assert claims[0] in before
